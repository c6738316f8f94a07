"""What goes over the wire, as JSON values: exactly what an agent may know, and what it answers.

Floats travel in their shortest exact form, so both ends hold the same bits. A catalog goes
without its hash, which covers what is hidden; the receiver hashes what it was told instead.
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
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from ...envs.catalogs.catalog import Catalog
from ...envs.catalogs.poster_format import POSTER_SIZE
from ...envs.catalogs.public import PublicData, TrainingLog
from ...errors import InputError
from ...records import Action, Brief, Claim, Fault, Observation
from ...suites.engine.actions import plain_action
from ...suites.engine.decision_source import Decision
from ...suites.serialization import sha256

LONGEST_WAIT = 1e6
PICTURES_KEPT = 4096

TEXTS = ("item_id", "title", "description", "topics", "simulated")
NUMBERS: dict[str, Any] = {
    "year": np.int64,
    "maturity": np.int64,
    "price": np.float64,
    "sponsored": np.bool_,
    "popularity": np.float64,
}
Finite = Annotated[float, Field(allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=LONGEST_WAIT, allow_inf_nan=False)]


@dataclass(frozen=True)
class WorldMessage:
    """A `PublicData`: columns of the catalog and of the training log as lists.

    topic  for every item the places of its topics in `topics`
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


@dataclass(frozen=True)
class TurnMessage:
    """One answer of an agent: its action, or why there is none.

    seconds  how long it thought by the sender's own clock; reported, never scored
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    slate: tuple[int, ...]
    claims: tuple[Claim, ...] = ()
    profile: tuple[Finite, ...] = ()
    fault: Fault = ""
    seconds: Seconds = 0.0


WORLD = TypeAdapter(WorldMessage)
TURN = TypeAdapter(TurnMessage)
BRIEF = TypeAdapter(Brief)
OBSERVATION = TypeAdapter(Observation)


def world_message(world: PublicData) -> dict[str, Any]:
    """A `WorldMessage` as JSON values; pictures go one by one (`picture_message`)."""
    catalog, log = world.catalog, world.log
    return {
        "name": catalog.name,
        "slate_size": world.slate_size,
        "seed": world.seed,
        **{name: list(getattr(catalog, name)) for name in TEXTS},
        "topic": [np.flatnonzero(row).tolist() for row in catalog.topic],
        **{name: getattr(catalog, name).tolist() for name in NUMBERS},
        "entry_day": world.entry_day.tolist(),
        "num_users": log.num_users,
        "log_user": log.user.tolist(),
        "log_item": log.item.tolist(),
        "log_rating": log.rating.tolist(),
    }


def world_from(message: Any, fetch: Callable[[int], bytes]) -> PublicData:
    """The world of a message, equal to the sent one in all but the catalog's hash.

    fetch  the PNG of an item; called when an agent first looks at its picture

    Raises InputError for what is no `WorldMessage`.
    """
    told: WorldMessage = _read(WORLD, message, "world")
    topic = np.zeros((len(told.item_id), len(told.topics)), dtype=np.bool_)
    try:
        for row, places in zip(topic, told.topic, strict=True):
            row[places] = True
    except (ValueError, IndexError):
        raise InputError("the server's world has topics that do not fit its items") from None
    texts: dict[str, Any] = {name: tuple(getattr(told, name)) for name in TEXTS}
    numbers: dict[str, Any] = {
        name: np.array(getattr(told, name), dtype=kind) for name, kind in NUMBERS.items()
    }
    catalog = Catalog(
        name=told.name,
        hash=sha256(message),
        topic=topic,
        posters=FetchedPosters(fetch, len(told.item_id)),
        **texts,
        **numbers,
    )
    log = TrainingLog(
        told.num_users,
        np.array(told.log_user, dtype=np.int64),
        np.array(told.log_item, dtype=np.int64),
        np.array(told.log_rating, dtype=np.float64),
    )
    entry_day = np.array(told.entry_day, dtype=np.int64)
    return PublicData(catalog, log, told.slate_size, told.seed, entry_day)


def brief_message(brief: Brief) -> dict[str, Any]:
    """A brief as JSON values."""
    return asdict(brief)


def brief_from(message: Any) -> Brief:
    """The brief of a message; raises InputError."""
    brief: Brief = _read(BRIEF, message, "brief")
    return brief


def observation_message(observation: Observation | None) -> dict[str, Any] | None:
    """An observation as JSON values; None, which ends a life, stays None."""
    return None if observation is None else asdict(observation)


def observation_from(message: Any) -> Observation | None:
    """The observation of a message, or None; raises InputError."""
    if message is None:
        return None
    observation: Observation = _read(OBSERVATION, message, "observation")
    return observation


def turn_message(decision: Decision) -> dict[str, Any]:
    """What came of asking an agent, as JSON values: a `TurnMessage`."""
    action = decision.action or Action()
    return asdict(
        TurnMessage(
            slate=action.slate,
            claims=action.claims,
            profile=action.profile,
            fault=decision.fault,
            seconds=min(decision.seconds, LONGEST_WAIT),
        )
    )


def checked_turn(message: Any) -> dict[str, Any]:
    """The one spelling of a `TurnMessage`, to be kept; raises InputError for anything else.

    A turn of the right shape that cannot be shown, such as one with unknown items, passes: it
    counts as an abstention with the fault "invalid", as in every run.
    """
    turn: TurnMessage = _read(TURN, message, "turn")
    action = plain_action(Action(turn.slate, turn.claims, turn.profile))
    if action is None:
        raise InputError("the turn has a number or a text that is too large; send a smaller one")
    return turn_message(_decision(turn, action))


def decision_from(turn: dict[str, Any]) -> Decision:
    """The decision that a kept turn stands for."""
    told: TurnMessage = _read(TURN, turn, "turn")
    return _decision(told, Action(told.slate, told.claims, told.profile))


def _decision(told: TurnMessage, action: Action) -> Decision:
    return Decision(None if told.fault else action, told.fault, seconds=told.seconds)


def picture_message(picture: NDArray[np.uint8]) -> bytes:
    """A poster (64, 64, 3) as PNG."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


class FetchedPosters:
    """Pictures of `size` items that come over the wire when they are looked at.

    The latest PICTURES_KEPT stay here; the others are asked for again.
    """

    def __init__(self, fetch: Callable[[int], bytes], size: int) -> None:
        self._fetch, self._size = fetch, size
        self._kept: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """As that of the array they stand for."""
        return self._size, POSTER_SIZE, POSTER_SIZE, 3

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: Any, /) -> NDArray[np.uint8]:
        """One poster (64, 64, 3) for an integer, (…, 64, 64, 3) for a slice or an array."""
        items = np.arange(self._size)[index]
        pixels = np.empty((items.size, POSTER_SIZE, POSTER_SIZE, 3), dtype=np.uint8)
        for k, item in enumerate(np.ravel(items)):
            pixels[k] = self._picture(int(item))
        return pixels.reshape(*np.shape(items), POSTER_SIZE, POSTER_SIZE, 3)

    def _picture(self, item: int) -> NDArray[np.uint8]:
        if item not in self._kept:
            self._kept[item] = _read_picture(self._fetch(item), item)
            if len(self._kept) > PICTURES_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(item)
        return self._kept[item]


def _read_picture(content: bytes, item: int) -> NDArray[np.uint8]:
    from PIL import Image

    with (
        suppress(OSError, ValueError, SyntaxError),
        Image.open(io.BytesIO(content), formats=["PNG"]) as image,
    ):
        if image.size == (POSTER_SIZE, POSTER_SIZE) and image.mode == "RGB":
            return np.asarray(image)
    raise InputError(f"what the server sent as the picture of item {item} is no poster")


def _read(kind: TypeAdapter[Any], message: Any, what: str) -> Any:
    try:
        return kind.validate_python(message)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        reason = error.errors()[0]["msg"]
        raise InputError(
            f"{what} cannot be read: {where + ': ' if where else ''}{reason}"
        ) from None
