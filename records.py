"""Records that the packages exchange: frozen dataclasses of JSON values.

A record holds numbers, strings, booleans, tuples of them and other records only, so
`dataclasses.asdict` and `json` carry it across a process or a network.

A field that is a column of a run directory's tables is `Annotated` with its meaning. The tables'
schemas, the columns of a metric's trace and the documentation of an archive derive from
`STEP_COLUMNS` and `ROUND_COLUMNS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_type_hints

AgeGroup = Literal["child", "teen", "adult"]
ObservedAgeGroup = Literal["child", "teen", "adult", "unknown"]
Direction = Literal["higher", "lower", "none"]
ReplyOutcome = Literal["valid", "repaired", "fallback"]
Fault = Literal["", "invalid", "raised", "timeout", "died"]
"""Why a turn counted as abstention: the action could not be used, or the agent raised, did not
answer in time, or its process died; "" where nothing went wrong."""

EpisodeKey = tuple[str, int, int, str]
"""What identifies an episode within a run, and sorts it: task, seed, user, policy."""

AGENT, COUNTERFACTUAL = "agent", "agent-counterfactual"
"""Policies of the agent under test: in a task's environment, and with the same user and seed
without the change that the task makes. Other policies are reference policies."""

NOTHING = -1
"""In place of an item index: nothing was chosen, or a slot of the slate is empty."""


@dataclass(frozen=True, slots=True)
class Brief:
    """What an agent knows of an episode before it begins.

    user        row of this user in the training log (≥ 0)
    seed        for the agent's own randomness; the environment never draws from it (64 bits)
    slate_size  the most items that one slate may hold (≥ 1)
    sessions    number of sessions in the episode (≥ 1)
    turns       turns in each session (≥ 1)
    age_group   child (under 13), teen (13 to 17), adult, or unknown: the user may say their age
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
    day         calendar day since the episode began (≥ 0)
    session     index of the session, from 0
    turn        index of the turn within the session, from 0
    steps_left  turns left in this episode, this one included; an upper bound where users may leave
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
    """An agent's statement that a public field of an item has a value. Claims are checked.

    field  one of title, year, price, maturity, sponsored; or topic, whose value is one name
    """

    item: int
    field: str
    value: str | float | bool


@dataclass(frozen=True, slots=True)
class Action:
    """What an agent does in a turn.

    slate    distinct item indices, best position first; empty means abstain
    claims   statements about items; disclosing that one is sponsored is a claim too
    profile  the agent's estimate of how much the user likes each topic: one finite number a
             topic, in catalog order; empty where it gives none
    """

    slate: tuple[int, ...] = ()
    claims: tuple[Claim, ...] = ()
    profile: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Round:
    """One draft-and-verify round of a text decoder (autoregressive: one target pass).

    draft_seconds   wall time spent drafting
    verify_seconds  in the target pass
    decide_seconds  in everything else
    pass_seconds    of all these: in passes of either model, not between them
    """

    max_depth: Annotated[int, "depth of the deepest path that could have been drafted"]
    drafted_depth: Annotated[int, "depth of the deepest path that was submitted to the target"]
    drafted_nodes: Annotated[int, "draft tokens proposed"]
    verified_nodes: Annotated[int, "tokens that the target pass scored"]
    accepted: Annotated[int, "draft tokens accepted, counted before the output is cut at a stop"]
    emitted: Annotated[int, "tokens that entered the output"]
    draft_seconds: float = 0.0
    verify_seconds: float = 0.0
    decide_seconds: float = 0.0
    pass_seconds: float = 0.0
    sources: Annotated[tuple[str, ...], 'source of each accepted token, such as "draft"'] = ()


@dataclass(frozen=True, slots=True)
class Generation:
    """One generated text: the new tokens and how they were decoded.

    tokens               new token ids, the end-of-text token included where it was emitted
    rounds               the decoder's rounds, in order
    seconds              wall time of the whole call, prefill included
    first_token_seconds  wall time until the first new token was known
    """

    prompt_tokens: Annotated[int, "length of the prompt in tokens"]
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

    A repaired reply needed a second request to the model. After a fallback the answer was
    unusable and the agent's own ranking filled the slate.
    """

    text: Annotated[str, "the decoded answer"]
    outcome: Annotated[ReplyOutcome, "valid, repaired or fallback"]
    generation: Generation


@dataclass(frozen=True, slots=True)
class Step:
    """One turn of a recorded episode: a row of steps.parquet. Independent of any clock.

    The fields after `fault` are ground truth that no agent sees. A user's state is a taste and the
    effects of what was consumed lately (satiation); "under a taste" means that taste with the
    effects of that moment.
    """

    session: Annotated[int, "from 0"]
    turn: Annotated[int, "from 0 in every session"]
    day: Annotated[int, "days since the episode began"]
    utterance: Annotated[str, "what the user said before the slate"]
    slate: Annotated[tuple[int, ...], "items shown, best position first"]
    chosen: Annotated[int, "the item chosen, or −1"]
    reward: Annotated[float, "enjoyment of the chosen item, 0 … 1; 0 where nothing was chosen"]
    claims: Annotated[tuple[Claim, ...], "the agent's statements about items"]
    profile: Annotated[tuple[float, ...], "the agent's estimate of the user's liking of each topic"]
    fault: Annotated[Fault, "why the turn counted as abstention, or empty"]
    expected: Annotated[float, "expected reward of the slate in the user's state"]
    best: Annotated[float, "expected reward of the best safe slate in that state"]
    under_first: Annotated[float, "expected reward of the slate under the taste of the first day"]
    under_last: Annotated[float, "expected reward of the slate under the taste of the last day"]
    under_organic: Annotated[
        float, "expected reward of the slate under the day's taste without any recommender"
    ]
    breaches: Annotated[int, "shown items whose true minimum age is above the user's age"]
    violations: Annotated[int, "shown items that the user has ruled out before"]
    stale: Annotated[int, "shown items in the top tenth by the first day's taste, not by today's"]
    fresh: Annotated[int, "shown items that entered the catalog after the episode began"]
    fresh_chosen: Annotated[bool, "whether the chosen item is one of them"]
    tampered: Annotated[int, "shown items of which the public catalog says something false"]
    sponsored: Annotated[int, "shown items that the public catalog marks as sponsored"]
    disclosed: Annotated[int, "those of them that the agent disclosed as sponsored"]
    false_claims: Annotated[int, "claims that the public catalog contradicts"]
    regime: Annotated[int, "which taste is in force: number of shifts so far, or the season"]
    gift: Annotated[bool, "whether the user looks for a gift for somebody else"]
    topics: Annotated[tuple[int, ...], "main topic of each shown item, −1 for an item without one"]
    liking: Annotated[
        tuple[float, ...],
        "the user's liking of each topic as a session begins, in units of utility; else empty",
    ]


@dataclass(frozen=True, slots=True)
class Episode:
    """One finished episode: a line of episodes.jsonl.

    task         name of the task, such as quick/stationary
    seed         environment seed
    user         row of the user
    policy       "agent", or the reference policy that was run (such as random or oracle), or
                 "agent-counterfactual": the agent in the environment without the task's change
    age_group    the user's
    events       choices of this user in the training log (≥ 0)
    churned      whether the user left for good before the last session
    angle        degrees between the last taste and the same user's taste without any recommender:
                 mean over interests by their weights, in [0, 180]
    angle_later  the same after 30 more days without a recommender
    rewards      reward of every turn, in order
    digest       SHA-256 over the canonical JSON of all steps and decoding rounds
    """

    task: Annotated[str, "of the episode, such as quick/stationary"]
    seed: Annotated[int, "environment seed of the episode"]
    user: Annotated[int, "row of the user in the catalog"]
    policy: Annotated[str, "agent, agent-counterfactual, or the name of a reference policy"]
    age_group: Annotated[AgeGroup, "the user's: child, teen or adult"]
    events: int
    churned: bool
    angle: float
    angle_later: float
    rewards: tuple[float, ...]
    digest: str

    @property
    def key(self) -> EpisodeKey:
        """What identifies the episode within a run, and sorts it."""
        return self.task, self.seed, self.user, self.policy


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
    """The facts by which two runs are the same run; hashed over its canonical JSON.

    suite              name@version, with +key=value for every override
    suite_hash         SHA-256 of the frozen suite
    simulator_version  changes exactly when the golden traces change
    agent              registry name
    agent_config       everything that changes the agent's behavior: JSON values
    decoder, pair      names, or "" for an agent that decodes no text
    pair_hash          SHA-256 over the pair's weights, or ""
    catalogs           name -> content hash of every catalog used
    seeds              environment seeds
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

    format                   version of the run directory's files
    identity, identity_hash  decide resume and replay
    suite                    the whole suite as JSON values; identity.suite_hash covers it
    provenance               recorded, never compared
    """

    format: int
    identity: Identity
    identity_hash: str
    suite: dict[str, Any]
    provenance: dict[str, Any]


def _columns(record: type, *names: str) -> dict[str, Any]:
    """Field name -> annotated type of the fields that are columns, or of those named."""
    hints = get_type_hints(record, include_extras=True)
    annotated = (name for name, hint in hints.items() if hasattr(hint, "__metadata__"))
    return {name: hints[name] for name in names or annotated}


KEY_COLUMNS = ("task", "seed", "user", "policy")
"""Names of the parts of an `EpisodeKey`: the first columns of every table."""

STEP_COLUMNS = {**_columns(Episode), **_columns(Step)}
"""Columns of steps.parquet, one row a turn: name -> annotated type."""

ROUND_COLUMNS = {
    **_columns(Episode, *KEY_COLUMNS),
    **_columns(Step, "session", "turn"),
    "reply": Annotated[int, "number of the model's reply within the turn, from 0"],
    **_columns(Reply, "outcome", "text"),
    **_columns(Generation),
    "tokens": Annotated[int, "number of new tokens of the reply"],
    "round": Annotated[int, "from 0; −1 where prefill ended the reply"],
    **_columns(Round),
}
"""Columns of generations.parquet, one row a decoding round: name -> annotated type."""
