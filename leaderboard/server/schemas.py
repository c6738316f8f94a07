"""What the two sides of hidden-seed play tell each other."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field

from ...records import Brief, Fault, Observation
from ...suites.engine.actions import MOST_CLAIMS
from ...suites.suite import NAME
from ..hidden.messages import LONGEST_WAIT
from ..verification.strict_json import DECODER
from .request_bodies import WHOLE, Strict

CONFIG_BYTES = 16 * 1024
PRINTED = "^[ -~]*$"
Item = Annotated[int, Field(ge=-(2**53), le=2**53), WHOLE]


def _storable(config: dict[str, Any]) -> dict[str, Any]:
    """The JSON value itself; raises ValueError for one that a manifest cannot hold."""
    try:
        text = json.dumps(config, allow_nan=False, ensure_ascii=False)
        DECODER.decode(text)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if len(text.encode()) > CONFIG_BYTES:
        raise ValueError(f"has more than {CONFIG_BYTES} bytes")
    if "\\u0000" in text:
        raise ValueError("holds the character 0")
    return config


class Entrant(Strict):
    """Who plays: told before the first world is seen, and shown on the board.

    simulator_trained     whether the agent was trained on this simulator
    hardware              a class, such as "cpu-2" or "h100"; times compare within one only
    only_language_models  play the tasks alone that are made for agents that ask one
    """

    season: str = Field(pattern="^[a-z0-9][a-z0-9-]{0,63}$")
    agent: str = Field(max_length=100, pattern=f"^{NAME}$")
    agent_config: Annotated[dict[str, Any], AfterValidator(_storable)] = Field(
        description=f"JSON values, at most {CONFIG_BYTES} bytes in all"
    )
    decoder: str = Field(default="", max_length=100, pattern=f"^({NAME})?$")
    pair: str = Field(default="", max_length=200, pattern=PRINTED)
    simulator_trained: bool
    hardware: str = Field(max_length=100, pattern=PRINTED)
    only_language_models: bool = False


class WorldOf(BaseModel):
    """A world and the task that is played in it."""

    world: int
    task: str


class LifeOf(BaseModel):
    """A life, its world, and how many turns of it were answered."""

    life: int
    world: int
    turn: int


class Standing(BaseModel):
    """An attempt and how far it has come; deadline: from then on nothing is answered."""

    attempt: str
    submission: int
    season: str
    commitment: str
    deadline: str
    state: str
    worlds: list[WorldOf]
    lives: list[LifeOf]


class LifeStanding(BaseModel):
    """A life: how many turns were answered, what was seen before each, and what is seen now.

    observation  null once the life is over
    """

    turn: int
    brief: Brief
    seen: list[Observation]
    observation: Observation | None


class Said(Strict):
    """What an agent says of an item."""

    item: Item
    field: str = Field(max_length=100)
    value: Annotated[str, Field(max_length=1000)] | bool | float


class Answer(Strict):
    """One answer of an agent, or with a fault why there is none.

    seconds  how long it thought by its own clock; reported, never scored
    """

    slate: list[Item] = Field(max_length=100)
    claims: list[Said] = Field(default=[], max_length=MOST_CLAIMS)
    profile: list[Annotated[float, Field(allow_inf_nan=False)]] = Field(default=[], max_length=200)
    fault: Fault = ""
    seconds: float = Field(default=0.0, ge=0, le=LONGEST_WAIT, allow_inf_nan=False)


class Followed(BaseModel):
    """What an agent sees after its answer; null where the life is over."""

    observation: Observation | None


class Finished(BaseModel):
    """An attempt that takes no more answers."""

    attempt: str
    submission: int
    state: str
