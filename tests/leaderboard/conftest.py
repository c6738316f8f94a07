"""A suite small enough to be run for real in every test session, and runs of it to tamper with."""

import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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

    def remake_digests(self) -> None:
        """Give every life the digest of what its tables say now, as a careful cheat would."""
        steps, rounds = self.table("steps"), self.table("generations")
        lines = []
        for episode in map(json.loads, self.lines()):
            own = [
                [
                    {k: v for k, v in row.items() if k not in KEY}
                    for row in rows
                    if lived(row, episode)
                ]
                for rows in (steps, rounds)
            ]
            turns: dict[Any, list[Any]] = {(row["session"], row["turn"]): [] for row in own[0]}
            for row in own[1]:
                turns[row.pop("session"), row.pop("turn")].append(row)
            episode["digest"] = sha256({"steps": own[0], "rounds": list(turns.values())})
            lines.append(json.dumps(episode))
        self.write_lines(lines)


KEY = ("task", "seed", "user", "policy", "age_group")


def lived(row: dict[str, Any], episode: dict[str, Any]) -> bool:
    return all(row[name] == episode[name] for name in KEY[:4])


@dataclass(frozen=True)
class Tampering:
    """A way to cheat.

    words  what the refusal says; "" where the run is believed, because it claims nothing false
           that a board could know
    """

    edit: Callable[[Tampered], Any]
    words: str


def _index(run: Tampered) -> int:
    """The last row of the agent, so that all before it has been replayed."""
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
    """Rounds that could have happened, digests and all, but not with the scores beside them."""
    first = next(row for row in run.table("steps") if row["policy"] == "agent")
    place = {name: first[name] for name in ("task", "seed", "user", "policy", "session", "turn")}
    reply = {"reply": 9, "outcome": "valid", "text": "1 2 3", "prompt_tokens": 7, "tokens": 4}
    depths = {"max_depth": 4, "drafted_depth": 4, "drafted_nodes": 4, "verified_nodes": 5}
    made = {"round": 0, **depths, "accepted": 2, "emitted": 3, "sources": ["draft"] * 2}
    rows = run.table("generations")
    whose = [k for k, row in enumerate(rows) if all(row[name] == place[name] for name in place)]
    rows.insert(whose[-1] + 1 if whose else 0, {**place, **reply, **made})
    run.write_table("generations", rows)
    run.remake_digests()


def _truncate(run: Tampered) -> None:
    file = run.path / "steps.parquet"
    file.write_bytes(file.read_bytes()[:-100])


TAMPERINGS = {
    "an edited reward": Tampering(_edit_reward, "reward 0.987654321 recorded"),
    "a swapped item": Tampering(_swap_item, "steps.parquet: "),
    "a dropped episode": Tampering(_drop_episode, "is missing"),
    "a duplicated episode": Tampering(_double_episode, "is there 2 times"),
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
"""What a board must see through, each on any finished run of one seed.

A copy under another name is no lie that a replay could find: who made a run is only claimed. It
is believed, and linked to the earlier run whose slates it shows.
"""


@pytest.fixture
def tamperings() -> dict[str, Tampering]:
    return TAMPERINGS


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

    def __init__(self, decoder: str, tokens: int, rounds: tuple[Round, ...]) -> None:
        self._model = TextModel(decoder, "quill", "0" * 64)
        generation = Generation(7, tuple(range(tokens)), rounds)
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


GOOD_ROUNDS = (Round(4, 4, 4, 5, 2, 3, sources=("draft",) * 2), Round(4, 3, 3, 4, 0, 1))


@pytest.fixture
def scribe_run(tmp_path: Path) -> Callable[..., Path]:
    """Runs an agent with the given decoder and rounds through the language-model task."""

    def run(
        decoder: str = "mcsd", tokens: int = 5, rounds: tuple[Round, ...] = GOOD_ROUNDS
    ) -> Path:
        return evaluate(Scribe(decoder, tokens, rounds), SUITE.name, out=tmp_path / decoder).out

    return run


@pytest.fixture(scope="session")
def postgres() -> Iterator[Callable[[], str]]:
    """Makes an empty place in PostgreSQL and names its URL: in a cluster of its own, or in the
    database that TASTESHIFT_TEST_POSTGRES names."""
    if server := os.environ.get("TASTESHIFT_TEST_POSTGRES"):
        yield from _schemas(server, leave=False)
        return
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    if not found:
        missing = "PostgreSQL is not installed; apt-get install postgresql"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    folder = Path(tempfile.mkdtemp(prefix="cluster"))
    as_user = {"cwd": folder, "stdout": subprocess.DEVNULL, "check": True}
    if os.getuid() == 0:  # as whom PostgreSQL refuses to run
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
    """Each board has a schema of its own: far cheaper than a database, and as empty."""
    url, made = sqlalchemy.make_url(server).set(drivername="postgresql+psycopg"), []
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:

        def fresh() -> str:
            made.append(f"board_{secrets.token_hex(8)}")
            connection.execute(sqlalchemy.schema.CreateSchema(made[-1]))
            there = url.update_query_dict({"options": f"-csearch_path={made[-1]}"})
            return there.set(drivername="postgresql").render_as_string(hide_password=False)

        yield fresh
        for name in made if not leave else ():
            connection.execute(sqlalchemy.schema.DropSchema(name, cascade=True))
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a board may be made: once in a file, once on a server."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgres")()
    return str(tmp_path / "board.db")
