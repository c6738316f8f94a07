"""Compare cheating agents with their baselines on public and on hidden seeds.

Hidden seeds are played through the messages of the protocol. On both tracks, cheat and baseline
meet the same users, which a real season does not allow, so that the paired comparison has the
greatest power.

TASTESHIFT_CHEAT_EPISODES  episodes per track, 40 by default; a multiple of 20
TASTESHIFT_CHEAT_TABLE     a file for the table of results, which is printed in any case
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

EPISODES = int(os.environ.get("TASTESHIFT_CHEAT_EPISODES", "40"))
EPISODES_PER_ATTEMPT = 20
SECRET = bytes.fromhex("5eed") * 16
PLAYED: dict[str, Suite] = {}
Floats = NDArray[np.float64]
Make = Callable[[], Any]


@dataclass(frozen=True)
class Figures:
    """The gain of a cheat on one track, in shares of the range from random to oracle."""

    cheat: str
    catalog: str
    track: str
    episodes: int
    baseline: float
    cheating: float
    gain: float
    low: float | None
    high: float | None


def gained(
    cheat: str,
    catalog: str,
    track: str,
    baseline: Floats,
    cheating: Floats,
    zero: Floats,
    one: Floats,
) -> Figures:
    """Return the gain, paired by episode, with its 95 % interval by Student's t."""
    scale = float((one - zero).mean())
    differences = (cheating - baseline) / scale
    reach = (
        float(stats.t.ppf(0.975, len(differences) - 1))
        * float(differences.std(ddof=1))
        / len(differences) ** 0.5
    )
    mean = float(differences.mean())
    levels = [float((one_of - zero).mean()) / scale for one_of in (baseline, cheating)]
    return Figures(
        cheat, catalog, track, len(differences), *levels, mean, mean - reach, mean + reach
    )


def table(rows: list[Figures]) -> str:
    """Format the figures as a table in Markdown."""
    names = [one.name for one in fields(Figures)]
    cells = [[formatted(value) for value in astuple(row)] for row in rows]
    lines = [names, ["---"] * len(names), *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def formatted(value: str | int | float | None) -> str:
    return f"{value:+.3f}" if isinstance(value, float) else "" if value is None else f"{value}"


@dataclass
class Arena:
    """Episodes of one length on one catalog, played on both tracks.

    On hidden seeds, in attempts of EPISODES_PER_ATTEMPT episodes, each with its own key and
    catalog.
    """

    catalog: str
    episodes: int
    sessions: int
    turns: int
    known: dict[Make, tuple[Floats, Floats]] = field(default_factory=dict)

    @cached_property
    def suite(self) -> Suite:
        """The suite of the public track."""
        return self._suite("public", self.episodes)

    @cached_property
    def season(self) -> Suite:
        """The suite of one hidden-seed attempt."""
        return self._suite("season", EPISODES_PER_ATTEMPT)

    @cached_property
    def attempts(self) -> list[Attempt]:
        ids = [f"{k:032x}" for k in range(self.episodes // EPISODES_PER_ATTEMPT)]
        return [Attempt(self.season.id, attempt_key(SECRET, one), one) for one in ids]

    @cached_property
    def client_data(self) -> list[PublicData]:
        """Task data as a client receives it, but with posters that were not encoded as PNG."""
        found = []
        for attempt in self.attempts:
            public = attempt.public(0)
            received = task_data_from(task_data_message(public), partial(attempt.poster, 0))
            catalog = replace(received.catalog, posters=public.catalog.posters)
            found.append(replace(received, catalog=catalog))
        return found

    def public(self, make: Make) -> Floats:
        """(episodes) returns of an agent on public seeds."""
        (task,) = self.suite.tasks
        source, env = InProcessAgent(make(), trusted=True), task.make()
        source.prepare(env.world)
        return np.array(
            [
                episode_return(
                    source, EpisodeRunner(env, task=task.name, seed=seed, user=user, policy="agent")
                )
                for seed, user in task.episodes(1)
            ]
        )

    def hidden(self, make: Make) -> Floats:
        """(episodes) returns of an agent that receives only what the protocol sends."""
        returns = []
        for attempt, data in zip(self.attempts, self.client_data, strict=True):
            agent = make()
            agent.prepare(data)
            source = InProcessAgent(agent, trusted=True)
            returns += [
                return_over_protocol(source, attempt, number)
                for number in range(EPISODES_PER_ATTEMPT)
            ]
        return np.array(returns)

    def hidden_reference(self, name: str) -> Floats:
        """(episodes) returns of a built-in agent, with ground truth if it needs it."""
        returns = []
        for attempt in self.attempts:
            source = InProcessAgent(make_agent(name), trusted=True)
            for number in range(EPISODES_PER_ATTEMPT):
                runner = attempt.new_runner(number)
                source.prepare(runner.env.world)
                returns.append(episode_return(source, runner))
        return np.array(returns)

    @cached_property
    def reference_returns(self) -> dict[str, tuple[Floats, Floats]]:
        """Track -> returns of random slates and of the oracle."""
        names = ("random", "oracle")
        public, hidden = (
            [returns(name) for name in names]
            for returns in (
                lambda name: self.public(partial(make_agent, name)),
                self.hidden_reference,
            )
        )
        return {"public": (public[0], public[1]), "hidden": (hidden[0], hidden[1])}

    def compare(self, cheat: str, baseline: Make, cheating: Make) -> tuple[Figures, Figures]:
        """Play both agents on both tracks; returns the figures of the public and the hidden one."""
        if baseline not in self.known:
            self.known[baseline] = (self.public(baseline), self.hidden(baseline))
        tracks = {"public": self.public, "hidden": self.hidden}
        public, hidden = (
            gained(
                cheat, self.catalog, track, returns, play(cheating), *self.reference_returns[track]
            )
            for (track, play), returns in zip(tracks.items(), self.known[baseline], strict=True)
        )
        return public, hidden

    def _suite(self, kind: str, users: int) -> Suite:
        shape = f"{self.catalog.replace(':', '-')}-{self.episodes}-{self.sessions}x{self.turns}"
        name = f"cheats-{kind}-{shape}"
        task = Task(
            name=f"{name}/episode",
            catalog=self.catalog,
            scenario="stationary",
            slate_size=5,
            users=users,
            sessions=self.sessions,
            turns=self.turns,
            references=("random", "oracle"),
        )
        suite = Suite(name, 1, "episodes for cheating agents", (task,))
        SUITES.register(name, suite)
        PLAYED[name] = suite
        return suite


def episode_return(source: InProcessAgent, runner: EpisodeRunner) -> float:
    """Return of an agent in one episode."""
    source.reset()
    source.open(runner.key, runner.brief, runner.env.ground_truth)
    total = 0.0
    while not runner.done:
        runner.step(source.decide([(runner.key, runner.observation)])[0])
        total += runner.observation.rating
    source.close(runner.key)
    return total


def return_over_protocol(source: InProcessAgent, attempt: Attempt, number: int) -> float:
    """The same, with every observation and action encoded as a protocol message."""
    key = ("", number, 0, "agent")
    turns: list[dict[str, Any]] = []

    def seen() -> Any:
        return observation_from(observation_message(attempt.observe(number, turns)))

    source.reset()
    source.open(key, brief_from(brief_message(attempt.brief(number))))
    while (now := seen()) is not None:
        turns.append(answer_message(source.decide([(key, now)])[0]))
    source.close(key)
    replayed, total = attempt.new_runner(number), 0.0
    for turn in turns:
        replayed.step(answer_from(turn).decision())
        total += replayed.observation.rating
    return total


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    """Register the suites for the tests of this folder only."""
    for name, suite in PLAYED.items():
        SUITES.register(name, suite)
    yield
    for name in PLAYED:
        del SUITES._entries[name]


@pytest.fixture(scope="session")
def arena() -> Callable[..., Arena]:
    """Arenas by catalog, number of episodes and their length, each made once."""
    return lru_cache(
        lambda catalog, episodes=EPISODES, length=(2, 10): Arena(catalog, episodes, *length)
    )


@pytest.fixture(scope="session")
def figures() -> Iterator[list[Figures]]:
    """Collect the figures of all cheats; printed, and written if asked for, at the end."""
    rows: list[Figures] = []
    yield rows
    print("\n\n" + table(rows))
    if path := os.environ.get("TASTESHIFT_CHEAT_TABLE"):
        Path(path).write_text(table(rows))


@pytest.fixture(scope="session", name="figure")
def figure_fixture() -> type[Figures]:
    return Figures


@pytest.fixture(scope="session", name="gained")
def gained_fixture() -> Callable[..., Figures]:
    return gained


@pytest.fixture(scope="session", name="episode_return")
def episode_return_fixture() -> Callable[[InProcessAgent, EpisodeRunner], float]:
    return episode_return


@pytest.fixture(scope="session")
def no_gain(figures: list[Figures]) -> Callable[[tuple[Figures, Figures]], None]:
    """Assert that a cheat gains on public seeds and not on hidden ones.

    The test has enough power: the public gain lies outside the interval of the hidden one.
    """

    def check(found: tuple[Figures, Figures]) -> None:
        figures.extend(found)
        public, hidden = found
        assert None not in (public.low, hidden.low, hidden.high)
        assert public.low > 0, public
        assert hidden.low <= 0, hidden
        assert hidden.high < public.gain, hidden

    return check
