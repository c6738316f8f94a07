"""Two tracks on which a cheat plays beside its honest self, and a table of what it gained.

Public seeds, as anybody can run them, and hidden seeds, through what a server would send and be
sent. On both tracks cheat and honest agent meet the same users, which no real season allows: it
gives the comparison all the power that there is.

TASTESHIFT_CHEAT_LIVES   lives on each track, 40 unless set; a multiple of 20
TASTESHIFT_CHEAT_TABLE   a file that the table of figures is written to; it is printed anyway
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, field, fields, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from tasteshift.agents import make_agent
from tasteshift.envs.catalogs.public import PublicData
from tasteshift.leaderboard.hidden.attempt import Attempt
from tasteshift.leaderboard.hidden.messages import (
    answer_from,
    answer_message,
    brief_from,
    brief_message,
    observation_from,
    observation_message,
    task_data_from,
    task_data_message,
)
from tasteshift.leaderboard.keys import attempt_key
from tasteshift.suites.engine.episode_runner import EpisodeRunner
from tasteshift.suites.engine.in_process_agent import InProcessAgent
from tasteshift.suites.suite import SUITES, Suite, Task

LIVES = int(os.environ.get("TASTESHIFT_CHEAT_LIVES", "40"))
AT_ONCE = 20
SECRET = bytes.fromhex("5eed") * 16
PLAYED: dict[str, Suite] = {}
Floats = NDArray[np.float64]
Make = Callable[[], Any]


@dataclass(frozen=True)
class Figures:
    """What a cheat gained on one track, in shares of what lies between random and oracle."""

    cheat: str
    catalog: str
    track: str
    lives: int
    honest: float
    cheating: float
    gain: float
    low: float | None
    high: float | None


def gained(
    cheat: str,
    catalog: str,
    track: str,
    honest: Floats,
    cheating: Floats,
    zero: Floats,
    one: Floats,
) -> Figures:
    """Paired over lives: the gain and its 95 % interval by Student's t."""
    room = float((one - zero).mean())
    off = (cheating - honest) / room
    reach = float(stats.t.ppf(0.975, len(off) - 1)) * float(off.std(ddof=1)) / len(off) ** 0.5
    mean = float(off.mean())
    levels = [float((one_of - zero).mean()) / room for one_of in (honest, cheating)]
    return Figures(cheat, catalog, track, len(off), *levels, mean, mean - reach, mean + reach)


def table(rows: list[Figures]) -> str:
    """The figures as a table in Markdown, for people and for the documentation."""
    names = [one.name for one in fields(Figures)]
    cells = [[shown(value) for value in astuple(row)] for row in rows]
    lines = [names, ["---"] * len(names), *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def shown(value: str | int | float | None) -> str:
    return f"{value:+.3f}" if isinstance(value, float) else "" if value is None else f"{value}"


@dataclass
class Arena:
    """One kind of life on one catalog, to be lived on both tracks.

    On hidden seeds in attempts of AT_ONCE lives, each with a key and so a world of its own.
    """

    catalog: str
    lives: int
    sessions: int
    turns: int
    known: dict[Make, tuple[Floats, Floats]] = field(default_factory=dict)

    @cached_property
    def suite(self) -> Suite:
        """As public as can be."""
        return self._suite("public", self.lives)

    @cached_property
    def season(self) -> Suite:
        """What one attempt plays."""
        return self._suite("season", AT_ONCE)

    @cached_property
    def attempts(self) -> list[Attempt]:
        ids = [f"{k:032x}" for k in range(self.lives // AT_ONCE)]
        return [Attempt(self.season.id, attempt_key(SECRET, one), one) for one in ids]

    @cached_property
    def told(self) -> list[PublicData]:
        """The hidden worlds as they come over the wire; pictures without the detour by PNG."""
        found = []
        for attempt in self.attempts:
            public = attempt.public(0)
            told = task_data_from(task_data_message(public), partial(attempt.poster, 0))
            catalog = replace(told.catalog, posters=public.catalog.posters)
            found.append(replace(told, catalog=catalog))
        return found

    def public(self, make: Make) -> Floats:
        """(lives) what an agent earns on the public seeds."""
        (task,) = self.suite.tasks
        player, env = InProcessAgent(make(), trusted=True), task.make()
        player.prepare(env.world)
        return np.array(
            [
                lived(
                    player, EpisodeRunner(env, task=task.name, seed=seed, user=user, policy="agent")
                )
                for seed, user in task.episodes(1)
            ]
        )

    def hidden(self, make: Make) -> Floats:
        """(lives) what an agent earns that is told what the protocol tells, and no more."""
        earned = []
        for attempt, told in zip(self.attempts, self.told, strict=True):
            agent = make()
            agent.prepare(told)
            player = InProcessAgent(agent, trusted=True)
            earned += [played(player, attempt, life) for life in range(AT_ONCE)]
        return np.array(earned)

    def hidden_yardstick(self, name: str) -> Floats:
        """(lives) what a built-in agent, shown the truth if it must be, earns there."""
        earned = []
        for attempt in self.attempts:
            player = InProcessAgent(make_agent(name), trusted=True)
            for number in range(AT_ONCE):
                life = attempt.new_runner(number)
                player.prepare(life.env.world)
                earned.append(lived(player, life))
        return np.array(earned)

    @cached_property
    def yardsticks(self) -> dict[str, tuple[Floats, Floats]]:
        """Track -> what random slates and the oracle earn in its lives."""
        names = ("random", "oracle")
        public, hidden = (
            [earned(name) for name in names]
            for earned in (
                lambda name: self.public(partial(make_agent, name)),
                self.hidden_yardstick,
            )
        )
        return {"public": (public[0], public[1]), "hidden": (hidden[0], hidden[1])}

    def compare(self, cheat: str, honest: Make, cheating: Make) -> tuple[Figures, Figures]:
        """Both on both tracks: figures of the public one and of the hidden one."""
        if honest not in self.known:
            self.known[honest] = (self.public(honest), self.hidden(honest))
        tracks = {"public": self.public, "hidden": self.hidden}
        public, hidden = (
            gained(cheat, self.catalog, track, earned, play(cheating), *self.yardsticks[track])
            for (track, play), earned in zip(tracks.items(), self.known[honest], strict=True)
        )
        return public, hidden

    def _suite(self, kind: str, users: int) -> Suite:
        shape = f"{self.catalog.replace(':', '-')}-{self.lives}-{self.sessions}x{self.turns}"
        name = f"cheats-{kind}-{shape}"
        task = Task(
            name=f"{name}/life",
            catalog=self.catalog,
            scenario="stationary",
            slate_size=5,
            users=users,
            sessions=self.sessions,
            turns=self.turns,
            references=("random", "oracle"),
        )
        suite = Suite(name, 1, "lives to be cheated in", (task,))
        SUITES.register(name, suite)
        PLAYED[name] = suite
        return suite


def lived(player: InProcessAgent, life: EpisodeRunner) -> float:
    """What a player earns in a life."""
    player.reset()
    player.open(life.key, life.brief, life.env.ground_truth)
    total = 0.0
    while not life.done:
        life.step(player.decide([(life.key, life.observation)])[0])
        total += life.observation.rating
    player.close(life.key)
    return total


def played(player: InProcessAgent, attempt: Attempt, life: int) -> float:
    """The same, where every question and answer goes over the wire."""
    key = ("", life, 0, "agent")
    turns: list[dict[str, Any]] = []

    def seen() -> Any:
        return observation_from(observation_message(attempt.observe(life, turns)))

    player.reset()
    player.open(key, brief_from(brief_message(attempt.brief(life))))
    while (now := seen()) is not None:
        turns.append(answer_message(player.decide([(key, now)])[0]))
    player.close(key)
    again, total = attempt.new_runner(life), 0.0
    for turn in turns:
        again.step(answer_from(turn).decision())
        total += again.observation.rating
    return total


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    """The suites are known while cheats are played, and to nobody else's tests."""
    for name, suite in PLAYED.items():
        SUITES.register(name, suite)
    yield
    for name in PLAYED:
        del SUITES._entries[name]


@pytest.fixture(scope="session")
def arena() -> Callable[..., Arena]:
    """Arenas by catalog, number of lives and their length, each made once."""
    return lru_cache(lambda catalog, lives=LIVES, length=(2, 10): Arena(catalog, lives, *length))


@pytest.fixture(scope="session")
def figures() -> Iterator[list[Figures]]:
    """Collects the figures of all cheats; at the end they are printed, and written if asked for."""
    rows: list[Figures] = []
    yield rows
    print("\n\n" + table(rows))
    if place := os.environ.get("TASTESHIFT_CHEAT_TABLE"):
        Path(place).write_text(table(rows))


@pytest.fixture(scope="session", name="figure")
def figure_fixture() -> type[Figures]:
    return Figures


@pytest.fixture(scope="session", name="gained")
def gained_fixture() -> Callable[..., Figures]:
    return gained


@pytest.fixture(scope="session", name="lived")
def lived_fixture() -> Callable[[InProcessAgent, EpisodeRunner], float]:
    return lived


@pytest.fixture(scope="session")
def no_gain(figures: list[Figures]) -> Callable[[tuple[Figures, Figures]], None]:
    """Asserts that a cheat works on public seeds, and not on hidden ones.

    Not for want of power: the gain of the public track lies outside the hidden one's interval.
    """

    def check(found: tuple[Figures, Figures]) -> None:
        figures.extend(found)
        public, hidden = found
        assert None not in (public.low, hidden.low, hidden.high)
        assert public.low > 0, public
        assert hidden.low <= 0, hidden
        assert hidden.high < public.gain, hidden

    return check
