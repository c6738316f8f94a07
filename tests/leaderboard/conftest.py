"""A suite small enough to be run for real in every test session, and runs of it to tamper with."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasteshift.records import Action, Brief, Generation, Observation, Reply, Round
from tasteshift.suites.canonical import sha256
from tasteshift.suites.evaluate import evaluate
from tasteshift.suites.suite import SUITES, Suite, Task

SUITE = Suite(
    name="board-test",
    version=1,
    summary="two small worlds",
    tasks=(
        Task("board-test/first", "synthetic:60", "minor-profile", 4, 3, 1, 2, language_models=True),
        Task("board-test/shift", "synthetic:60", "abrupt-shift", 4, 3, 7, 2),
    ),
)


@pytest.fixture(scope="session", autouse=True)
def suite() -> Iterator[Suite]:
    SUITES.register(SUITE.name, SUITE)
    yield SUITE
    del SUITES._entries[SUITE.name]


@dataclass
class Tampered:
    """A copy of a run directory that a cheat may edit."""

    path: Path

    def table(self, name: str) -> list[dict[str, Any]]:
        return pq.read_table(self.path / f"{name}.parquet").to_pylist()

    def write_table(self, name: str, rows: list[dict[str, Any]]) -> None:
        file = self.path / f"{name}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(file)), file)

    def edit_row(self, name: str, index: int, **changes: Any) -> dict[str, Any]:
        """Change one row; returns it as it was."""
        rows = self.table(name)
        before = dict(rows[index])
        rows[index] |= changes
        self.write_table(name, rows)
        return before

    def json(self, name: str) -> Any:
        return json.loads((self.path / name).read_text())

    def write_json(self, name: str, value: Any) -> None:
        (self.path / name).write_text(json.dumps(value))

    def lines(self) -> list[str]:
        return (self.path / "episodes.jsonl").read_text().splitlines()

    def write_lines(self, lines: list[str]) -> None:
        (self.path / "episodes.jsonl").write_text("".join(f"{line}\n" for line in lines))

    def edit_identity(self, *, rehash: bool, **changes: Any) -> None:
        manifest = self.json("manifest.json")
        manifest["identity"] |= changes
        if rehash:
            manifest["identity_hash"] = sha256(manifest["identity"])
        self.write_json("manifest.json", manifest)


@pytest.fixture(scope="session")
def runs(suite: Suite, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Real runs of built-in agents, each made once."""
    folder, made = tmp_path_factory.mktemp("runs"), {}

    def run(agent: str) -> Path:
        if agent not in made:
            made[agent] = evaluate(agent, suite.name, out=folder / agent).out
        return made[agent]

    return run


@pytest.fixture
def tampered(runs: Callable[[str], Path], tmp_path: Path) -> Tampered:
    """A copy of the run of `popular`."""
    return Tampered(Path(shutil.copytree(runs("popular"), tmp_path / "copy")))


class Scribe:
    """An agent shaped like one that asks a language model: every turn has the same reply."""

    name = "scribe"
    uses_language_model = True

    def __init__(self, decoder: str, tokens: int, rounds: tuple[Round, ...]) -> None:
        self.decoder = SimpleNamespace(
            name=decoder, pair=SimpleNamespace(name="quill", hash="0" * 64)
        )
        generation = Generation(7, tuple(range(tokens)), rounds)
        self._reply = Reply("1 2 3", "valid", generation)

    def config(self) -> dict[str, Any]:
        return {}

    def prepare(self, world: Any) -> None:
        pass

    def start(self, brief: Brief) -> Any:
        replies: list[Reply] = []

        def act(observation: Observation) -> Action:
            replies.append(self._reply)
            return Action((observation.turn, 1 + observation.turn, 9))

        return SimpleNamespace(act=act, replies=replies)


GOOD_ROUNDS = (Round(4, 4, 4, 5, 2, 3, sources=("draft",) * 2), Round(4, 3, 3, 4, 0, 1))


@pytest.fixture
def scribe_run(tmp_path: Path) -> Callable[..., Path]:
    """Runs an agent with the given decoder and rounds through the language-model task."""

    def run(
        decoder: str = "mcsd", tokens: int = 5, rounds: tuple[Round, ...] = GOOD_ROUNDS
    ) -> Path:
        return evaluate(Scribe(decoder, tokens, rounds), SUITE.name, out=tmp_path / decoder).out

    return run
