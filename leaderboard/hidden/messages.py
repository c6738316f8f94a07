"""JSON messages of hidden-seed play: what an agent may know, and what it answers.

Client and server convert to and from the same records here, so each message has one definition.
Floats travel in their shortest exact form, so both ends hold the same bits. A catalog goes without
its hash, which covers hidden values; the receiver hashes the message instead.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError

from ...envs.catalogs.catalog import Catalog
from ...envs.catalogs.poster_format import POSTER_SIZE
from ...envs.catalogs.public import PublicData, TrainingLog
from ...errors import InputError
from ...records import Action, Brief, Claim, Fault, Observation
from ...suites.engine.actions import MOST_CLAIMS
from ...suites.engine.decision_source import Decision
from ...suites.serialization import sha256
from ..protocol import INTEGRAL, StrictModel

MAX_SECONDS = 1e6
MAX_SLATE, MAX_PROFILE = 100, 200
MAX_FIELD, MAX_TEXT = 100, 1000
CACHED_POSTERS = 4096

TEXT_COLUMNS = ("item_id", "title", "description", "topics", "simulated")
NUMBER_COLUMNS: dict[str, Any] = {
    "year": np.int64,
    "maturity": np.int64,
    "price": np.float64,
    "sponsored": np.bool_,
    "popularity": np.float64,
}
FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]
Item = Annotated[int, Field(ge=-(2**53), le=2**53), INTEGRAL]


@dataclass(frozen=True)
class TaskDataMessage:
    """The `PublicData` of a task: columns of its catalog and of its training log, as lists.

    topic  for every item, indices of its topics in `topics`
    """

    name: str
    slate_size: int
    seed: int
    item_id: list[str]
    title: list[str]
    description: list[str]
    topics: list[str]
    topic: list[list[int]]
    year: list[int]
    maturity: list[int]
    price: list[float]
    sponsored: list[bool]
    popularity: list[float]
    simulated: list[str]
    entry_day: list[int]
    num_users: int
    log_user: list[int]
    log_item: list[int]
    log_rating: list[float]


class ClaimMessage(StrictModel):
    """A `Claim`: that a public field of an item has a value."""

    item: Item
    field: str = Field(max_length=MAX_FIELD)
    value: Annotated[str, Field(max_length=MAX_TEXT)] | bool | FiniteFloat


class Answer(StrictModel):
    """An agent's answer to one turn: its action, or with `fault` the reason why there is none.

    seconds  the agent's decision time by the client's clock; reported, never scored
    """

    slate: list[Item] = Field(max_length=MAX_SLATE)
    claims: list[ClaimMessage] = Field(default=[], max_length=MOST_CLAIMS)
    profile: list[FiniteFloat] = Field(default=[], max_length=MAX_PROFILE)
    fault: Fault = ""
    seconds: float = Field(default=0.0, ge=0, le=MAX_SECONDS, allow_inf_nan=False)

    def decision(self) -> Decision:
        """The decision that the engine steps with; no action where there is a fault."""
        if self.fault:
            return Decision(None, self.fault, seconds=self.seconds)
        claims = tuple(Claim(one.item, one.field, one.value) for one in self.claims)
        action = Action(tuple(self.slate), claims, tuple(self.profile))
        return Decision(action, seconds=self.seconds)

    def stored(self) -> dict[str, Any]:
        """The JSON object that a board stores and compares: equal for equal decisions."""
        return answer_message(self.decision())


TASK_DATA = TypeAdapter(TaskDataMessage)
ANSWER = TypeAdapter(Answer)
BRIEF = TypeAdapter(Brief)
OBSERVATION = TypeAdapter(Observation)


def task_data_message(public: PublicData) -> dict[str, Any]:
    """A `TaskDataMessage` as JSON values; posters are sent one by one (`poster_message`)."""
    catalog, log = public.catalog, public.log
    return {
        "name": catalog.name,
        "slate_size": public.slate_size,
        "seed": public.seed,
        **{name: list(getattr(catalog, name)) for name in TEXT_COLUMNS},
        "topic": [np.flatnonzero(row).tolist() for row in catalog.topic],
        **{name: getattr(catalog, name).tolist() for name in NUMBER_COLUMNS},
        "entry_day": public.entry_day.tolist(),
        "num_users": log.num_users,
        "log_user": log.user.tolist(),
        "log_item": log.item.tolist(),
        "log_rating": log.rating.tolist(),
    }


def task_data_from(message: Any, fetch: Callable[[int], bytes]) -> PublicData:
    """The public data in a message, equal to the sent one in all but the catalog's hash.

    fetch  returns the PNG of an item; called when an agent first looks at its poster

    Raises InputError where the message is not a `TaskDataMessage`.
    """
    data: TaskDataMessage = _validated(TASK_DATA, message, "task data")
    topic = np.zeros((len(data.item_id), len(data.topics)), dtype=np.bool_)
    try:
        for row, indices in zip(topic, data.topic, strict=True):
            row[indices] = True
    except (ValueError, IndexError):
        raise InputError("task data from the server: topics do not fit the items") from None
    texts: dict[str, Any] = {name: tuple(getattr(data, name)) for name in TEXT_COLUMNS}
    numbers: dict[str, Any] = {
        name: np.array(getattr(data, name), dtype=kind) for name, kind in NUMBER_COLUMNS.items()
    }
    catalog = Catalog(
        name=data.name,
        hash=sha256(message),
        topic=topic,
        posters=FetchedPosters(fetch, len(data.item_id)),
        **texts,
        **numbers,
    )
    log = TrainingLog(
        data.num_users,
        np.array(data.log_user, dtype=np.int64),
        np.array(data.log_item, dtype=np.int64),
        np.array(data.log_rating, dtype=np.float64),
    )
    entry_day = np.array(data.entry_day, dtype=np.int64)
    return PublicData(catalog, log, data.slate_size, data.seed, entry_day)


def brief_message(brief: Brief) -> dict[str, Any]:
    """A brief as JSON values."""
    return asdict(brief)


def brief_from(message: Any) -> Brief:
    """The brief in a message; raises InputError."""
    brief: Brief = _validated(BRIEF, message, "brief")
    return brief


def observation_message(observation: Observation | None) -> dict[str, Any] | None:
    """An observation as JSON values; None, at the end of an episode, stays None."""
    return None if observation is None else asdict(observation)


def observation_from(message: Any) -> Observation | None:
    """The observation in a message, or None; raises InputError."""
    if message is None:
        return None
    observation: Observation = _validated(OBSERVATION, message, "observation")
    return observation


def answer_message(decision: Decision) -> dict[str, Any]:
    """A decision as the JSON values of an `Answer`, whether or not a board would accept it."""
    action = decision.action or Action()
    return {
        "slate": list(action.slate),
        "claims": [asdict(claim) for claim in action.claims],
        "profile": list(action.profile),
        "fault": decision.fault,
        "seconds": min(decision.seconds, MAX_SECONDS),
    }


def answer_from(message: Any) -> Answer:
    """The answer in a message; raises InputError for anything else.

    An answer that cannot be shown, such as one with unknown items, is valid here: it counts as
    an abstention with the fault "invalid", as in every run.
    """
    answer: Answer = _validated(ANSWER, message, "answer")
    return answer


def poster_message(poster: NDArray[np.uint8]) -> bytes:
    """A poster (64, 64, 3) as PNG."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(poster).save(file, "PNG")
    return file.getvalue()


class FetchedPosters:
    """Array-like posters of `size` items, each fetched from the server when it is first read.

    The CACHED_POSTERS used last stay in memory; the others are fetched again.
    """

    def __init__(self, fetch: Callable[[int], bytes], size: int) -> None:
        self._fetch, self._size = fetch, size
        self._cache: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """As that of an array (items, 64, 64, 3)."""
        return self._size, POSTER_SIZE, POSTER_SIZE, 3

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: Any, /) -> NDArray[np.uint8]:
        """One poster (64, 64, 3) for an integer, (…, 64, 64, 3) for a slice or an array."""
        items = np.arange(self._size)[index]
        pixels = np.empty((items.size, POSTER_SIZE, POSTER_SIZE, 3), dtype=np.uint8)
        for k, item in enumerate(np.ravel(items)):
            pixels[k] = self._poster(int(item))
        return pixels.reshape(*np.shape(items), POSTER_SIZE, POSTER_SIZE, 3)

    def _poster(self, item: int) -> NDArray[np.uint8]:
        if item not in self._cache:
            self._cache[item] = _decoded(self._fetch(item), item)
            if len(self._cache) > CACHED_POSTERS:
                self._cache.popitem(last=False)
        self._cache.move_to_end(item)
        return self._cache[item]


def _decoded(content: bytes, item: int) -> NDArray[np.uint8]:
    from PIL import Image

    with (
        suppress(OSError, ValueError, SyntaxError),
        Image.open(io.BytesIO(content), formats=["PNG"]) as image,
    ):
        if image.size == (POSTER_SIZE, POSTER_SIZE) and image.mode == "RGB":
            return np.asarray(image)
    raise InputError(f"what the server sent for item {item} is not a poster: 64 × 64, RGB, PNG")


def _validated(kind: TypeAdapter[Any], message: Any, what: str) -> Any:
    try:
        return kind.validate_python(message)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        reason = error.errors()[0]["msg"]
        raise InputError(
            f"{what} cannot be read: {where + ': ' if where else ''}{reason}"
        ) from None
