"""The command line as a newcomer meets it: help, errors in one line, exit status, JSON."""

import json
import sys

import pytest
import typer

from tasteshift.cli import app, main

KINDS = ["suites", "tasks", "agents", "decoders", "pairs", "scenarios", "catalogs", "metrics"]


@pytest.fixture
def call(capsys, monkeypatch):
    """Run the command line in this process; returns (status, stdout, stderr)."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["tasteshift", *map(str, words)])
        try:
            main()
            status = 0
        except SystemExit as stopped:
            status = stopped.code or 0
        return (status, *capsys.readouterr())

    return run


def commands(group, words=()):
    """The words of every command there is, groups included."""
    yield list(words)
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*words, name))


@pytest.mark.parametrize("command", list(commands(typer.main.get_command(app))), ids=" ".join)
def test_every_command_explains_itself(call, command):
    status, out, _ = call(*command, "--help")
    assert status == 0
    assert "Usage: tasteshift" in out
    assert "--help" in out


@pytest.mark.parametrize("kind", KINDS)
def test_everything_listed_has_a_name_and_a_summary(call, kind):
    status, out, _ = call("list", kind, "--json")
    rows = json.loads(out)
    assert status == 0
    assert rows
    assert all(row["name"] for row in rows)
    assert kind == "tasks" or all(row["summary"] for row in rows)
    status, text, _ = call("list", kind, rows[0]["name"], "--json")
    assert (status, json.loads(text)) == (0, rows[:1])
    status, table, _ = call("list", kind)
    assert status == 0
    assert all(row["name"] in table for row in rows)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "quik", "--agent", "random"], "unknown suite 'quik'; did you mean 'quick'?"),
        (["run", "smoke", "--agent", "lin-ucb"], "did you mean 'linucb'?"),
        (["run", "smoke", "--agent", "llm", "--decoder", "mcds"], "did you mean 'mcsd'?"),
        (["run", "smoke", "--agent", "llm", "--pair", "smollm"], "did you mean 'smollm2-135m'?"),
        (["run", "smoke", "--agent", "random", "--users", "-3"], "--users must be at least 1"),
        (["run", "smoke", "--agent", "random", "--seeds", "0"], "--seeds must be at least 1"),
        (["run", "smoke", "--agent", "random", "--workers", "0"], "--workers must be at least 1"),
        (["run", "smoke", "--agent", "random", "--users", "9999"], "ask for 1 to 1000"),
        (["run", "smoke", "--agent", "random", "--decoder", "mcsd"], "writes no text"),
        (["list", "agent"], "did you mean 'agents'?"),
        (["list", "scenarios", "abrupt"], "unknown scenario 'abrupt'; did you mean 'abrupt-shift'"),
        (["list", "catalogs", "movielens"], "did you mean 'movielens-100k'?"),
        (["list", "metrics", "regrets"], "did you mean 'regret'?"),
        (["report", "no-such-folder"], "is not a run directory"),
        (["submit", "no-such-folder", "--board", "b.db"], "is not a run directory"),
        (["board", "show", "--board", "no-such-board.db"], "no-such-board.db"),
        (["board", "show", "--board", "http://127.0.0.1:9"], "127.0.0.1:9"),
        (["board", "show", "--board", "http://[::1"], "is not the address of a board"),
        (["board", "verify", "no-such-folder"], "no-such-folder"),
        (["board", "serve", "--board", "mysql://localhost/b"], "postgresql://"),
        (["board", "token", "alice", "--board", "postgresql://localhost/b"], "--files"),
        (["submit", "run", "--board", "http://127.0.0.1:9"], "TASTESHIFT_TOKEN"),
    ],
)
def test_bad_input_gets_one_line_and_status_2(call, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    status, out, error = call(*words)
    assert status == 2
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    assert out == ""
    assert not list(tmp_path.rglob("*")), "nothing may be left behind"


def test_a_wrong_type_is_a_usage_error(call):
    status, _, error = call("run", "smoke", "--agent", "random", "--users", "many")
    assert status == 2
    assert "Invalid value for '--users'" in error
    assert "valid integer" in error


def test_from_run_to_board(call, tmp_path):
    out, board = tmp_path / "run", tmp_path / "board.db"
    status, text, _ = call("run", "smoke", "--agent", "popular", "--out", out)
    assert status == 0
    assert "normalized_return" in text
    assert "report.html" in text.replace("\n", "")
    status, text, _ = call("report", out, "--json")
    rows = json.loads(text)
    assert status == 0
    assert {"task", "metric", "value", "low", "high", "n", "unit", "direction"} <= rows[0].keys()
    status, text, _ = call("submit", out, "--board", board)
    assert (status, "replayed" in text) == (0, True)
    status, text, _ = call("board", "show", "--board", board, "--json")
    (row,) = json.loads(text)
    assert (row["agent"], row["suite"], row["rank_low"]) == ("popular", "smoke@1", None)
    status, text, _ = call("board", "show", "--board", board)
    assert (status, "popular" in text) == (0, True)


def test_an_edited_reward_is_refused_with_status_1_and_its_step(call, tmp_path):
    out, board = tmp_path / "run", tmp_path / "board.db"
    call("run", "smoke", "--agent", "random", "--out", out)
    lines = (out / "episodes.jsonl").read_text().splitlines()
    episode = json.loads(lines[0])
    episode["rewards"][1] += 0.125
    (out / "episodes.jsonl").write_text("\n".join([json.dumps(episode), *lines[1:]]) + "\n")
    status, _, error = call("submit", out, "--board", board)
    assert status == 1
    assert f"user {episode['user']}" in error
    assert "session 1, turn 0" in error
    assert "reward" in error
    status, _, error = call("board", "show", "--board", board)
    assert status == 2
    status, _, error = call("board", "verify", out)
    assert (status, "session 1, turn 0" in error) == (1, True)


def test_keeping_a_board(call, tmp_path):
    run, board = tmp_path / "run", tmp_path / "board.db"
    call("run", "smoke", "--agent", "popular", "--out", run)
    assert call("submit", run, "--board", board)[0] == 0
    status, text, _ = call("board", "verify", run, "--json")
    assert (status, json.loads(text)[0]["accepted"]) == (0, True)

    status, token, _ = call("board", "token", "alice", "--board", board)
    assert (status, token.startswith("alice.")) == (0, True)
    assert token.strip().encode() not in board.read_bytes()
    status, _, error = call("board", "token", "alice", "--board", board)
    assert (status, "choose another name" in error) == (2, True)
    assert call("board", "token", "alice", "--revoke", "--board", board)[0] == 0
    status, _, error = call("board", "token", "alice", "--revoke", "--board", board)
    assert (status, "no valid token 'alice'" in error) == (2, True)

    when = ["--opens", "2027-03-01T00:00Z", "--closes", "2027-06-01T00:00Z"]
    words = ["board", "season", "spring", "--suite", "smoke@1", *when, "--board", board]
    status, text, _ = call(*words, "--json")
    (season,) = json.loads(text)
    assert (status, season["suite"], len(season["commitment"])) == (0, "smoke@1", 64)
    assert call(*words)[0] == 2

    status, _, error = call("board", "retry", 1, "--board", board)
    assert (status, "was not refused" in error) == (2, True)
    assert call("board", "invalidate", 1, "--reason", "a test", "--board", board)[0] == 0
    status, text, _ = call("board", "show", "--board", board, "--json")
    assert json.loads(text)[0]["invalidated_by"] == "a test"
