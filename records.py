"""What flows between the rooms: one frozen record per arrow, and nothing imported.

Every record holds only JSON values (numbers, strings, booleans, tuples of them and other
records), so `dataclasses.asdict` and `json` carry it across a process or a network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

AgeGroup = Literal["child", "teen", "adult"]
Direction = Literal["higher", "lower", "none"]
ReplyOutcome = Literal["valid", "repaired", "fallback"]

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
    age_group   child (under 13), teen (13 to 17) or adult
    """

    user: int
    seed: int
    slate_size: int
    sessions: int
    turns: int
    age_group: AgeGroup


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
class Action:
    """What an agent does: distinct item indices, best position first; empty means abstain."""

    slate: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Round:
    """One draft-and-verify round of a text decoder (autoregressive: one target pass).

    max_depth       depth of the deepest path that the decoder could have drafted
    drafted_depth   depth of the deepest path that it did submit to the target
    drafted_nodes   draft tokens proposed
    verified_nodes  tokens that the target pass scored
    accepted        draft tokens accepted, counted before the output is cut at a stop
    emitted         tokens that entered the output
    *_seconds       wall time spent drafting, in the target pass, and in everything else
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
    def block_efficiency(self) -> float | None:
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

    The last four fields are truth that no agent ever sees.

    session, turn, day  as in the observation
    utterance           what the user said before the slate
    slate               what was shown, in order
    chosen              the item chosen, or NOTHING
    reward              enjoyment of the chosen item in [0, 1], else 0
    valid               False where the agent's action was unusable and counted as abstention
    expected            E[reward | slate, the user's state]
    best                E[reward] of the best safe slate in that same state
    breaches            shown items whose true minimum age is above the user's age
    violations          shown items that the user has ruled out before
    """

    session: int
    turn: int
    day: int
    utterance: str
    slate: tuple[int, ...]
    chosen: int
    reward: float
    valid: bool
    expected: float
    best: float
    breaches: int
    violations: int


@dataclass(frozen=True, slots=True)
class Episode:
    """One finished life: a line of episodes.jsonl and the unit of resume.

    task       name of the task, such as quick/stationary
    seed       the world's seed
    user       row of the user
    policy     "agent", or the companion that lived this life (random, frozen-oracle, oracle)
    age_group  the user's
    rewards    reward of every turn, in order
    digest     SHA-256 over the canonical JSON of all steps and decoding rounds
    """

    task: str
    seed: int
    user: int
    policy: str
    age_group: AgeGroup
    rewards: tuple[float, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class Score:
    """One number with its interval: a row of scores.json.

    task, metric  names
    value         the estimate, in `unit`
    low, high     95 % bootstrap interval clustered by user; None below 20 clusters
    n             number of clusters (users)
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
    agent_config       everything that changes the agent's behaviour: JSON values
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
    """manifest.json: the identity, its hash, and a provenance that is recorded, never compared."""

    identity: Identity
    identity_hash: str
    provenance: dict[str, Any]
