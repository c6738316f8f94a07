"""What flows between the rooms: one frozen record per arrow, and nothing imported.

Every record holds only JSON values (numbers, strings, booleans, tuples of them and other
records), so `dataclasses.asdict` and `json` carry it across a process or a network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

AgeGroup = Literal["child", "teen", "adult"]
ObservedAgeGroup = Literal["child", "teen", "adult", "unknown"]
Direction = Literal["higher", "lower", "none"]
ReplyOutcome = Literal["valid", "repaired", "fallback"]
Fault = Literal["", "invalid", "raised", "timeout", "died"]
"""Why a turn counted as abstention: the action could not be used, or the agent raised, did not
answer in time, or its process died; "" where nothing went wrong."""

NOTHING = -1
"""Stands where an item index would stand: nothing chosen, or an empty slot of a slate."""


@dataclass(frozen=True, slots=True)
class Brief:
    """What an agent is told before a user's life begins.

    user        row of this user in the training log (≥ 0)
    seed        for the agent's own randomness; no draw of the world uses it (64 bits)
    slate_size  the most items that one slate may hold (≥ 1)
    sessions    how many sessions the life has (≥ 1)
    turns       turns in each session (≥ 1)
    age_group   child (under 13), teen (13 to 17), adult, or unknown: then the user's words tell
    """

    user: int
    seed: int
    slate_size: int
    sessions: int
    turns: int
    age_group: ObservedAgeGroup


@dataclass(frozen=True, slots=True)
class Observation:
    """What an agent sees before it acts.

    user        row of the user in the training log
    day         calendar day since the life began (≥ 0)
    session     index of the session, from 0
    turn        index of the turn within the session, from 0
    steps_left  turns left in this life, this one included; the most where users may leave
    slate       item indices that were shown on the turn before, in order; empty at first
    chosen      the item chosen from that slate, or NOTHING
    rating      how much the chosen item was enjoyed, in [0, 1]; 0 where nothing was chosen
    utterance   what the user says now; may be empty
    context     cue of the season, from 0; 0 where there is only one
    avoid       indices of the topics that the user rules out for good with this utterance
    """

    user: int
    day: int
    session: int
    turn: int
    steps_left: int
    slate: tuple[int, ...] = ()
    chosen: int = NOTHING
    rating: float = 0.0
    utterance: str = ""
    context: int = 0
    avoid: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Claim:
    """What an agent says of an item: that a public field has a value. Checked, unlike prose.

    field  one of title, year, price, maturity, sponsored; or topic, whose value is one name
    """

    item: int
    field: str
    value: str | float | bool


@dataclass(frozen=True, slots=True)
class Action:
    """What an agent does in a turn.

    slate    distinct item indices, best position first; empty means abstain
    claims   what it says of items; disclosing that one is paid for is a claim too
    profile  how much it believes the user likes each topic, one finite number a topic in catalog
             order; empty where it does not say
    """

    slate: tuple[int, ...] = ()
    claims: tuple[Claim, ...] = ()
    profile: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Round:
    """One draft-and-verify round of a text decoder (autoregressive: one target pass).

    max_depth       depth of the deepest path that the decoder could have drafted
    drafted_depth   depth of the deepest path that it did submit to the target
    drafted_nodes   draft tokens proposed
    verified_nodes  tokens that the target pass scored
    accepted        draft tokens accepted, counted before the output is cut at a stop
    emitted         tokens that entered the output
    draft_seconds   wall time spent drafting
    verify_seconds  in the target pass
    decide_seconds  in everything else
    pass_seconds    of all these: in passes of either model, not between them
    sources         where each accepted token came from (such as "draft"), one per token
    """

    max_depth: int
    drafted_depth: int
    drafted_nodes: int
    verified_nodes: int
    accepted: int
    emitted: int
    draft_seconds: float = 0.0
    verify_seconds: float = 0.0
    decide_seconds: float = 0.0
    pass_seconds: float = 0.0
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Generation:
    """One text that a decoder wrote: the new tokens and how they came about.

    prompt_tokens        length of the prompt
    tokens               new token ids, the end-of-text token included where it was emitted
    rounds               the decoder's rounds, in order
    seconds              wall time of the whole call, prefill included
    first_token_seconds  wall time until the first new token was known
    """

    prompt_tokens: int
    tokens: tuple[int, ...]
    rounds: tuple[Round, ...]
    seconds: float = 0.0
    first_token_seconds: float = 0.0

    @property
    def acceptance_rate(self) -> float | None:
        """Σ accepted / (rounds · maximal depth), as the abstract of arXiv 2409.10644 has it.

        None where nothing was ever drafted (autoregressive).
        """
        offered = sum(r.max_depth for r in self.rounds)
        return sum(r.accepted for r in self.rounds) / offered if offered else None

    @property
    def acceptance_rate_drafted(self) -> float | None:
        """Σ accepted / Σ depth submitted, as the code of arXiv 2409.10644 has it; None likewise."""
        submitted = sum(r.drafted_depth for r in self.rounds)
        return sum(r.accepted for r in self.rounds) / submitted if submitted else None

    @property
    def draft_acceptance_rate(self) -> float | None:
        """Σ accepted / Σ draft tokens proposed, as vLLM counts it; None where nothing was drafted.

        In a tree only one path can be accepted, but every node counts as proposed.
        """
        proposed = sum(r.drafted_nodes for r in self.rounds)
        return sum(r.accepted for r in self.rounds) / proposed if proposed else None

    @property
    def mean_acceptance_length(self) -> float | None:
        """Tokens per target pass after prefill, (accepted + 1) a round; None without a round."""
        return sum(r.accepted + 1 for r in self.rounds) / len(self.rounds) if self.rounds else None


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of a language model inside an agent's turn.

    text        the decoded answer
    outcome     valid, repaired (a second question to the model was needed), or fallback
                (the answer was unusable and the agent's own ranking filled the slate)
    generation  how the text was decoded
    """

    text: str
    outcome: ReplyOutcome
    generation: Generation


@dataclass(frozen=True, slots=True)
class Step:
    """One turn as the recorder keeps it; no clock touched it.

    What follows `fault` is truth that no agent ever sees. A state is a taste and a mood (what was
    consumed lately); "under a taste" means that taste with the mood of the moment.

    session, turn, day  as in the observation
    utterance           what the user said before the slate
    slate               what was shown, in order
    chosen              the item chosen, or NOTHING
    reward              enjoyment of the chosen item in [0, 1], else 0
    claims, profile     as in the action
    fault               why the turn counted as abstention, or ""
    expected            E[reward | slate, the user's state]
    best                E[reward] of the best safe slate in that same state
    under_first         E[reward | slate] under the taste of the first day
    under_last          E[reward | slate] under the taste that this life ends with
    under_organic       E[reward | slate] under the taste of the organic twin on that day
    breaches            shown items whose true minimum age is above the user's age
    violations          shown items that the user has ruled out before
    stale               shown items in the top tenth by the first day's taste, no longer by today's
    fresh               shown items that entered the catalog after the life began
    fresh_chosen        whether the chosen item is one of them
    tampered            shown items of which the public catalog says something false
    sponsored           shown items that the public catalog discloses as paid for
    disclosed           those of them of which the agent said so
    false_claims        claims that the public catalog contradicts
    regime              which taste is in force: how many times it has turned, or the season
    gift                whether the user looks for something for somebody else
    topics              main topic of each shown item, NOTHING for an item without one
    liking              how much the user likes each topic as a session begins, in units of
                        utility; empty in later turns
    """

    session: int
    turn: int
    day: int
    utterance: str
    slate: tuple[int, ...]
    chosen: int
    reward: float
    claims: tuple[Claim, ...]
    profile: tuple[float, ...]
    fault: Fault
    expected: float
    best: float
    under_first: float
    under_last: float
    under_organic: float
    breaches: int
    violations: int
    stale: int
    fresh: int
    fresh_chosen: bool
    tampered: int
    sponsored: int
    disclosed: int
    false_claims: int
    regime: int
    gift: bool
    topics: tuple[int, ...]
    liking: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Episode:
    """One finished life: a line of episodes.jsonl and the unit of resume.

    task       name of the task, such as quick/stationary
    seed       the world's seed
    user       row of the user
    policy     "agent", or the companion that lived this life (such as random or oracle), or
               "agent-counterfactual": the agent with the same user in the world without the task's change
    age_group  the user's
    events     choices of this user in the training log (≥ 0)
    churned    whether the user left for good before the calendar ended
    angle        degrees between the last taste and that of the organic twin, the same user under
                 no recommender: mean over interests by their weights, in [0, 180]
    angle_later  the same after 30 more days without a recommender
    rewards    reward of every turn, in order
    digest     SHA-256 over the canonical JSON of all steps and decoding rounds
    """

    task: str
    seed: int
    user: int
    policy: str
    age_group: AgeGroup
    events: int
    churned: bool
    angle: float
    angle_later: float
    rewards: tuple[float, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class Score:
    """One number with its interval: a row of scores.json.

    task, metric  names
    value         the estimate, in `unit`
    low, high     95 % bootstrap interval clustered by user, or by cohort on that track; None
                  where there is no such end, as below 20 clusters
    n             number of clusters
    unit          such as "share", "seconds", "per 1000 impressions"
    direction     whether higher or lower is better
    """

    task: str
    metric: str
    value: float
    low: float | None
    high: float | None
    n: int
    unit: str
    direction: Direction


@dataclass(frozen=True, slots=True)
class Identity:
    """What decides whether two runs are the same run; hashed over its canonical JSON.

    suite              name@version, with +key=value for every override
    suite_hash         SHA-256 of the frozen suite
    simulator_version  changes exactly when the golden traces change
    agent              registry name
    agent_config       everything that changes the agent's behavior: JSON values
    decoder, pair      names, or "" for an agent that decodes no text
    pair_hash          SHA-256 over the pair's weights, or ""
    catalogs           name -> content hash of every catalog played
    seeds              the world seeds
    """

    suite: str
    suite_hash: str
    simulator_version: str
    agent: str
    agent_config: dict[str, Any]
    decoder: str
    pair: str
    pair_hash: str
    catalogs: dict[str, str]
    seeds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """manifest.json: what was run, and where it comes from.

    identity, identity_hash  what decides resume and replay
    suite                    the whole suite as JSON values; identity.suite_hash covers it
    provenance               recorded, never compared
    """

    identity: Identity
    identity_hash: str
    suite: dict[str, Any]
    provenance: dict[str, Any]
