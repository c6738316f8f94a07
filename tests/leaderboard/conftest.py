"""Fixtures: a small suite, runs of it made once per session, tampered copies, and PostgreSQL."""

import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy

from tasteshift.agents.protocols import TextModel
from tasteshift.records import Action, Brief, Generation, Observation, Reply, Round
from tasteshift.suites.evaluate import evaluate
from tasteshift.suites.serialization import sha256
from tasteshift.suites.suite import SUITES, Suite, Task

SUITE = Suite(
    name="board-test",
    version=1,
    summary="two small tasks",
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
    """A copy of a run directory that a test may edit."""

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

    def remake_digests(self) -> None:
        """Recompute every episode's digest from the tables, so that tables and digests agree."""
        steps, rounds = self.table("steps"), self.table("generations")
        lines = []
        for episode in map(json.loads, self.lines()):
            own = [
                [
                    {k: v for k, v in row.items() if k not in KEY_COLUMNS}
                    for row in rows
                    if belongs_to(row, episode)
                ]
                for rows in (steps, rounds)
            ]
            turns: dict[Any, list[Any]] = {(row["session"], row["turn"]): [] for row in own[0]}
            for row in own[1]:
                turns[row.pop("session"), row.pop("turn")].append(row)
            episode["digest"] = sha256({"steps": own[0], "rounds": list(turns.values())})
            lines.append(json.dumps(episode))
        self.write_lines(lines)


KEY_COLUMNS = ("task", "seed", "user", "policy", "age_group")


def belongs_to(row: dict[str, Any], episode: dict[str, Any]) -> bool:
    return all(row[name] == episode[name] for name in KEY_COLUMNS[:4])


@dataclass(frozen=True)
class Tampering:
    """An edit of a run that verification must detect.

    message  part of the reason for refusal; "" where the run is accepted, because the edit cannot
             be detected
    """

    edit: Callable[[Tampered], Any]
    message: str


def _index(run: Tampered) -> int:
    """Index of the agent's last row with a slate, so that all rows before it are replayed first."""
    rows = run.table("steps")
    return max(k for k, row in enumerate(rows) if row["policy"] == "agent" and row["slate"])


def _edit_reward(run: Tampered) -> None:
    run.edit_row("steps", _index(run), reward=0.987654321)


def _swap_item(run: Tampered) -> None:
    slate = run.table("steps")[_index(run)]["slate"]
    other = next(item for item in range(len(slate) + 1) if item not in slate)
    run.edit_row("steps", _index(run), slate=[other, *slate[1:]])


def _drop_episode(run: Tampered) -> None:
    run.write_lines(run.lines()[:-1])


def _double_episode(run: Tampered) -> None:
    run.write_lines([*run.lines(), run.lines()[-1]])


def _change_seed(run: Tampered) -> None:
    run.edit_identity(rehash=True, seeds=[1])
    run.write_lines([json.dumps(json.loads(line) | {"seed": 1}) for line in run.lines()])
    for name in ("steps", "generations"):
        run.write_table(name, [row | {"seed": 1} for row in run.table(name)])


def _change_catalog(run: Tampered) -> None:
    catalogs = dict.fromkeys(run.json("manifest.json")["identity"]["catalogs"], "f" * 64)
    run.edit_identity(rehash=True, catalogs=catalogs)


def _edit_score(run: Tampered) -> None:
    scores = run.json("scores.json")
    row = next(row for row in scores if row["metric"] == "normalized_return")
    run.write_json("scores.json", [{**row, "value": 0.99} if one is row else one for one in scores])


def _edit_rounds(run: Tampered) -> None:
    """Insert consistent rounds with correct digests that contradict the scores."""
    first = next(row for row in run.table("steps") if row["policy"] == "agent")
    position = {name: first[name] for name in ("task", "seed", "user", "policy", "session", "turn")}
    reply = {"reply": 9, "outcome": "valid", "text": "1 2 3", "prompt_tokens": 7, "tokens": 4}
    depths = {"max_depth": 4, "drafted_depth": 4, "drafted_nodes": 4, "verified_nodes": 5}
    made = {"round": 0, **depths, "accepted": 2, "emitted": 3, "sources": ["draft"] * 2}
    rows = run.table("generations")
    same_turn = [
        k for k, row in enumerate(rows) if all(row[name] == position[name] for name in position)
    ]
    rows.insert(same_turn[-1] + 1 if same_turn else 0, {**position, **reply, **made})
    run.write_table("generations", rows)
    run.remake_digests()


def _truncate(run: Tampered) -> None:
    file = run.path / "steps.parquet"
    file.write_bytes(file.read_bytes()[:-100])


TAMPERINGS = {
    "an edited reward": Tampering(_edit_reward, "reward 0.987654321 recorded"),
    "a swapped item": Tampering(_swap_item, "steps.parquet: "),
    "a dropped episode": Tampering(_drop_episode, "is missing"),
    "a duplicated episode": Tampering(_double_episode, "occurs 2 times"),
    "another seed": Tampering(_change_seed, "seeds [1] are not [0]"),
    "a changed suite hash": Tampering(
        lambda run: run.edit_identity(rehash=True, suite_hash="0" * 64), "suite_hash is not that of"
    ),
    "another catalog": Tampering(_change_catalog, "has hash ffffffffffff"),
    "edited scores": Tampering(_edit_score, "value 0.99 recorded"),
    "rounds that contradict the acceptance": Tampering(_edit_rounds, "scores.json: "),
    "a copy under another name": Tampering(
        lambda run: run.edit_identity(rehash=True, agent="my-own-invention"), ""
    ),
    "a truncated file": Tampering(_truncate, "steps.parquet cannot be read"),
}
"""Edits of a finished run with one seed, by name.

A copy under another name cannot be detected by a replay, since the agent's name is only claimed. It
is accepted and linked to the earlier run with the same slates.
"""


@pytest.fixture
def tamperings() -> dict[str, Tampering]:
    return TAMPERINGS


@pytest.fixture(scope="session")
def runs(suite: Suite, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Runs of built-in agents, each made once per session."""
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


ROUNDS = (Round(4, 4, 4, 5, 2, 3, sources=("draft",) * 2), Round(4, 3, 3, 4, 0, 1))


class TextAgent:
    """A fake language-model agent: every turn has the same reply."""

    name = "text-agent"

    def __init__(self, decoder: str, tokens: int) -> None:
        self._model = TextModel(decoder, "test-pair", "0" * 64)
        generation = Generation(7, tuple(range(tokens)), ROUNDS)
        self._reply = Reply("1 2 3", "valid", generation)

    def text_model(self) -> TextModel:
        return self._model

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


@pytest.fixture(scope="session")
def recorded_text_runs(
    suite: Suite, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, int], Path]:
    """Runs of `TextAgent`, each made once per session."""
    folder = tmp_path_factory.mktemp("text-runs")

    @cache
    def run(decoder: str, tokens: int) -> Path:
        out = Path(tempfile.mkdtemp(dir=folder))
        return evaluate(TextAgent(decoder, tokens), suite.name, out=out).out

    return run


@pytest.fixture
def text_run(recorded_text_runs: Callable[[str, int], Path], tmp_path: Path) -> Callable[..., Path]:
    """A copy of a run of the language-model task with the given decoder and tokens per reply."""

    def run(decoder: str = "mcsd", tokens: int = 5) -> Path:
        return Path(shutil.copytree(recorded_text_runs(decoder, tokens), tmp_path / decoder))

    return run


@pytest.fixture(scope="session")
def postgres() -> Iterator[Callable[[], str]]:
    """Make empty schemas in PostgreSQL and return their URLs.

    Uses one server started per session, or the database that TASTESHIFT_TEST_POSTGRES names.
    """
    if server := os.environ.get("TASTESHIFT_TEST_POSTGRES"):
        yield from _schemas(server, leave=False)
        return
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    if not found:
        missing = "PostgreSQL is not installed; apt-get install postgresql"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    folder = Path(tempfile.mkdtemp(prefix="cluster"))
    as_user = {"cwd": folder, "stdout": subprocess.DEVNULL, "check": True}
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(folder, "postgres", "postgres")
        as_user |= {"user": "postgres", "group": "postgres", "extra_groups": []}
    bin, data = found[-1].parent, folder / "data"
    made = [bin / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-EUTF8"]
    subprocess.run([*made, "--locale=C"], **as_user)
    settings = f"-c listen_addresses= -k {folder} -c fsync=off -c max_connections=200"
    control = [bin / "pg_ctl", "-D", data, "-w", "-l", folder / "log"]
    subprocess.run([*control, "-o", settings, "start"], **as_user)
    try:
        yield from _schemas(f"postgresql://postgres@/postgres?host={folder}", leave=True)
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **as_user)
        shutil.rmtree(folder)


def _schemas(server: str, *, leave: bool) -> Iterator[Callable[[], str]]:
    """Give each board a schema of its own, which is far cheaper than a database."""
    url, made = sqlalchemy.make_url(server).set(drivername="postgresql+psycopg"), []
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:

        def new_schema() -> str:
            made.append(f"board_{secrets.token_hex(8)}")
            connection.execute(sqlalchemy.schema.CreateSchema(made[-1]))
            with_schema = url.update_query_dict({"options": f"-csearch_path={made[-1]}"})
            return with_schema.set(drivername="postgresql").render_as_string(hide_password=False)

        yield new_schema
        for name in made if not leave else ():
            connection.execute(sqlalchemy.schema.DropSchema(name, cascade=True))
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def board_location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where to create a board: once an SQLite file, once a PostgreSQL schema."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgres")()
    return str(tmp_path / "board.db")
