import json
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tasteshift.agents import make_agent
from tasteshift.agents.protocols import TextModel
from tasteshift.errors import AgentError, InputError
from tasteshift.leaderboard.client import BoardClient
from tasteshift.leaderboard.hidden.attempt import Attempt
from tasteshift.leaderboard.hidden.client import STATE_FILE, Entry, play_hidden
from tasteshift.leaderboard.protocol import VERSION
from tasteshift.records import Action, Brief, Claim, Observation

Make = Callable[..., Attempt]
Boards = Callable[..., Any]
ENTRY = Entry("winter", simulator_trained=False)


def play_on(
    board: Any,
    out: Path,
    agent: Any = None,
    entry: Entry = ENTRY,
    sleep: Callable[[float], None] = lambda seconds: None,
    **more: Any,
) -> dict[str, Any]:
    """One attempt of an agent on a board in memory."""
    agent, transport = agent or make_agent("linucb"), board.transport()
    with BoardClient("http://board.test/", "token", transport=transport, sleep=sleep) as service:
        return play_hidden(agent, service, entry, out=out, **more)


def without_seconds(answers: dict[int, list[dict[str, Any]]]) -> dict[int, list[Any]]:
    return {
        episode: [[one[name] for name in ("slate", "claims", "profile", "fault")] for one in given]
        for episode, given in answers.items()
    }


def test_attempt_over_http_equals_a_local_one(
    memory_board: Boards, new_attempt: Make, play: Callable[..., Any], out: Path
) -> None:
    board = memory_board()
    assert play_on(board, out) == {"attempt": "0f" * 16, "state": "queued"}
    assert without_seconds(board.answers) == without_seconds(
        play(new_attempt(), make_agent("linucb"))
    )
    assert board.about == {
        "season": "winter",
        "simulator_trained": False,
        "hardware": "",
        "agent": "linucb",
        "agent_config": make_agent("linucb").config(),
        "decoder": "",
        "pair": "",
    }
    assert all(0 < turn["seconds"] < 60 for turn in board.answers[0])


def test_progress_is_reported_per_episode(memory_board: Boards, out: Path) -> None:
    reported: list[Any] = []

    @contextmanager
    def progress(total: int) -> Any:
        reported.append(total)
        yield reported.append
        reported.append("done")

    play_on(memory_board(), out, make_agent("popular"), progress=progress)
    tasks = ["hidden-test/first"] * 6 + ["hidden-test/shift"] * 8 + ["hidden-test/poisoned"] * 4
    assert reported == [18, *tasks, "done"]


def cut(after: int, *, served: bool) -> Any:
    """Interrupts the client at its `after`-th request, before or after it was served."""
    count = [0]

    def disturb(request: httpx.Request, response: httpx.Response | None) -> None:
        if (response is not None) == served:
            count[0] += 1
            if count[0] == after:
                raise KeyboardInterrupt

    return disturb


@pytest.mark.parametrize("served", [False, True])
def test_interrupted_client_resumes(
    memory_board: Boards, new_attempt: Make, play: Callable[..., Any], tmp_path: Path, served: bool
) -> None:
    expected = without_seconds(play(new_attempt(), make_agent("popular")))
    for after in (1, 2, 3, 5, 6, 40, 61, 98):
        board = memory_board(cut(after, served=served))
        out = tmp_path / f"{after}"
        with pytest.raises(KeyboardInterrupt):
            play_on(board, out, make_agent("popular"), resume=True)
        with pytest.raises(InputError, match="add --resume"):
            play_on(board, out, make_agent("popular"))
        assert play_on(board, out, make_agent("popular"), resume=True)["state"] == "queued"
        assert without_seconds(board.answers) == expected, after
        assert len(board.keys) == 1
        assert not list(out.glob(".*.tmp"))


class HistoryAgent:
    """Shows items that depend on its seed and on all observations of the episode."""

    name = "history"

    def config(self) -> dict[str, Any]:
        return {}

    def prepare(self, world: Any) -> None:
        self.n = len(world.catalog)

    def start(self, brief: Brief) -> Any:
        return HistorySession(self.n, [brief.seed])


class HistorySession:
    def __init__(self, n: int, seen: list[Any]) -> None:
        self.n, self.seen = n, seen

    def act(self, observation: Observation) -> Action:
        self.seen += [observation.chosen + 1, *(item + 1 for item in observation.slate)]
        order = np.random.default_rng(self.seen).permutation(self.n)
        return Action(tuple(order[:4].tolist()))


class BatchHistoryAgent(HistoryAgent):
    def act_batch(self, sessions: Any, observations: Any) -> list[Action]:
        return [one.act(seen) for one, seen in zip(sessions, observations, strict=True)]


@pytest.mark.parametrize("batch_size", [1, 3])
def test_agent_memory_is_restored_from_observations(
    memory_board: Boards,
    new_attempt: Make,
    play: Callable[..., Any],
    tmp_path: Path,
    batch_size: int,
) -> None:
    expected = without_seconds(play(new_attempt(), HistoryAgent()))
    for after in (20, 53):
        board = memory_board(cut(after, served=True))
        out, agent = (
            tmp_path / f"{after}",
            BatchHistoryAgent() if batch_size > 1 else HistoryAgent(),
        )
        with pytest.raises(KeyboardInterrupt):
            play_on(board, out, agent, batch_size=batch_size)
        play_on(board, out, agent, batch_size=batch_size, resume=True)
        assert without_seconds(board.answers) == expected


def test_server_killed_repeatedly(
    memory_board: Boards, new_attempt: Make, play: Callable[..., Any], out: Path
) -> None:
    """Every third response is lost with its server; stored answers remain."""
    count = [0]

    def disturb(request: httpx.Request, response: httpx.Response | None) -> None:
        if response is not None:
            count[0] += 1
            if count[0] % 3 == 0:
                board.restart()
                raise httpx.ReadError("connection reset")

    board = memory_board(disturb)
    play_on(board, out, make_agent("popular"))
    assert without_seconds(board.answers) == without_seconds(
        play(new_attempt(), make_agent("popular"))
    )
    assert len(board.keys) == 1


@pytest.mark.parametrize(
    ("status", "headers", "waits"),
    [(503, {}, [0.5, 1.0, 2.0]), (429, {"Retry-After": "7"}, [7.0, 7.0, 7.0])],
)
def test_client_waits_as_the_server_asks(
    memory_board: Boards, out: Path, status: int, headers: Any, waits: list[float]
) -> None:
    refusals, waited = [httpx.Response(status, headers=headers) for _ in range(3)], []

    def disturb(request: httpx.Request, response: httpx.Response | None) -> httpx.Response | None:
        return refusals.pop() if request.method == "PUT" and refusals else None

    board = memory_board(disturb)
    assert play_on(board, out, make_agent("popular"), sleep=waited.append)["state"] == "queued"
    assert len(waited) == 3
    assert all(least <= wait <= 1.2 * least for least, wait in zip(waits, waited, strict=True))


def test_client_gives_up_and_the_attempt_stays(memory_board: Boards, out: Path) -> None:
    def disturb(request: httpx.Request, response: httpx.Response | None) -> None:
        raise httpx.ConnectError("refused")

    board = memory_board(disturb)
    with pytest.raises(InputError, match=r"does not respond .*refused"):
        play_on(board, out, make_agent("popular"))
    board.disturb = lambda request, response: None
    assert play_on(board, out, make_agent("popular"), resume=True)["state"] == "queued"


@pytest.mark.parametrize(
    ("url", "token"),
    [("", "token"), ("board.db", "token"), ("ftp://board.test", "token"), ("http://x", "p w\n")],
)
def test_bad_address_or_token_is_refused_without_showing_the_token(url: str, token: str) -> None:
    with pytest.raises(InputError) as caught:
        BoardClient(url, token)
    assert "p w" not in str(caught.value)


def test_refusal_is_not_retried(memory_board: Boards, out: Path) -> None:
    waited: list[float] = []
    late = httpx.Response(410, json={"detail": "the deadline\nhas passed"})
    board = memory_board(lambda request, response: late if request.method == "PUT" else None)
    with pytest.raises(InputError, match=r"410: the deadline has passed$"):
        play_on(board, out, make_agent("popular"), sleep=waited.append)
    assert waited == []


def test_token_is_not_stored(memory_board: Boards, out: Path) -> None:
    play_on(memory_board(), out, make_agent("popular"))
    assert [file.name for file in out.iterdir()] == [STATE_FILE]
    assert "token" not in (out / STATE_FILE).read_text()


def test_refused_start_leaves_no_state_file(memory_board: Boards, out: Path) -> None:
    closed = httpx.Response(409, json={"detail": "season autumn is over"})
    board = memory_board(
        lambda request, response: closed if "autumn" in request.content.decode() else None
    )
    with pytest.raises(InputError, match="season autumn is over"):
        play_on(board, out, make_agent("popular"), replace(ENTRY, season="autumn"))
    assert play_on(board, out, make_agent("popular"))["state"] == "queued"


def test_started_attempt_keeps_its_state_file(memory_board: Boards, out: Path) -> None:
    board = memory_board(cut(30, served=True))
    with pytest.raises(KeyboardInterrupt):
        play_on(board, out, make_agent("popular"))
    before = (out / STATE_FILE).read_text()
    board.disturb = lambda request, response: httpx.Response(401, json={"detail": "revoked"})
    with pytest.raises(InputError, match="revoked"):
        play_on(board, out, make_agent("popular"), resume=True)
    assert (out / STATE_FILE).read_text() == before


def test_finished_attempt_can_be_finished_again(memory_board: Boards, out: Path) -> None:
    """The client may be killed before it reads the last response."""
    board = memory_board()
    play_on(board, out, make_agent("popular"))
    before = len(board.sent)
    assert play_on(board, out, make_agent("popular"), resume=True)["state"] == "queued"
    assert len(board.sent) == before + 2


@pytest.mark.parametrize(
    "change", [{"season": "summer"}, {"simulator_trained": True}, {"hardware": "h100"}]
)
def test_resume_with_other_parameters_is_refused(
    memory_board: Boards, out: Path, change: dict[str, Any]
) -> None:
    play_on(memory_board(), out, make_agent("popular"))
    with pytest.raises(InputError, match="another agent, season or board"):
        play_on(memory_board(), out, make_agent("popular"), replace(ENTRY, **change), resume=True)
    with pytest.raises(InputError, match="another agent, season or board"):
        play_on(memory_board(), out, make_agent("random"), resume=True)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"url": 3}'])
def test_broken_state_file_is_refused(memory_board: Boards, out: Path, text: str) -> None:
    out.mkdir()
    (out / STATE_FILE).write_text(text)
    with pytest.raises(InputError, match="cannot be read"):
        play_on(memory_board(), out, resume=True)


class FailingAgent(HistoryAgent):
    """Fails in a different way in every turn."""

    name = "failing"

    def start(self, brief: Brief) -> Any:
        if brief.user % 2:
            raise RuntimeError("not this one")
        return FailingSession()


class FailingSession:
    def act(self, observation: Observation) -> Any:
        match observation.turn + 2 * observation.session:
            case 0:
                raise ValueError("cannot think")
            case 1:
                return "a slate"
            case 2:
                return Action((1, 1))
            case 3:
                return Action((1, 2), (Claim(1, "title", "\x00\x1b"),))
        return Action((1, 2), (), (float("inf"),))


def test_failing_agent_abstains_as_in_a_run(
    memory_board: Boards, new_attempt: Make, play: Callable[..., Any], out: Path
) -> None:
    board = memory_board()
    play_on(board, out, FailingAgent())
    assert without_seconds(board.answers) == without_seconds(play(new_attempt(), FailingAgent()))
    faults = {turn["fault"] for given in board.answers.values() for turn in given}
    assert faults == {"raised", "invalid", ""}


def test_answer_refused_as_malformed_counts_as_invalid(memory_board: Boards, out: Path) -> None:
    def disturb(request: httpx.Request, response: httpx.Response | None) -> Any:
        said = request.method == "PUT" and json.loads(request.content)["slate"]
        return httpx.Response(422, json={"detail": "too long"}) if said else None

    board = memory_board(disturb)
    play_on(board, out, make_agent("popular"))
    assert {turn["fault"] for given in board.answers.values() for turn in given} == {"invalid"}


def test_board_that_refuses_every_answer_is_an_error(memory_board: Boards, out: Path) -> None:
    def disturb(request: httpx.Request, response: httpx.Response | None) -> Any:
        return httpx.Response(422) if request.method == "PUT" else None

    with pytest.raises(InputError, match="422"):
        play_on(memory_board(disturb), out, make_agent("popular"))


def test_other_web_servers_are_recognised(memory_board: Boards, out: Path) -> None:
    page = httpx.Response(200, text="<html>welcome</html>")
    with pytest.raises(InputError, match="does not respond like a board"):
        play_on(memory_board(lambda request, response: page), out)


def test_board_of_an_older_protocol_is_named_in_one_line(memory_board: Boards, out: Path) -> None:
    missing = httpx.Response(404, json={"detail": "Not Found"})
    with pytest.raises(InputError, match=rf"does not speak protocol {VERSION} of boards") as caught:
        play_on(memory_board(lambda request, response: missing), out)
    assert "\n" not in str(caught.value)
    assert not (out / STATE_FILE).exists()


def test_privileged_agents_are_refused(memory_board: Boards, out: Path) -> None:
    with pytest.raises(InputError, match="needs ground truth"):
        play_on(memory_board(), out, make_agent("oracle"))
    assert not out.exists()


def test_agent_that_cannot_be_pickled_starts_nothing(memory_board: Boards, out: Path) -> None:
    agent, board = HistoryAgent(), memory_board()
    agent.lines = (line for line in "one two")
    with pytest.raises(InputError):
        play_on(board, out, agent)
    assert not board.sent
    assert not out.exists()


class UnpreparedAgent(HistoryAgent):
    def prepare(self, world: Any) -> None:
        raise MemoryError("too many items")


def test_prepare_error_is_reported_and_attempt_resumes(memory_board: Boards, out: Path) -> None:
    board = memory_board()
    with pytest.raises(AgentError, match="MemoryError: too many items"):
        play_on(board, out, UnpreparedAgent())
    assert play_on(board, out, HistoryAgent(), resume=True)["state"] == "queued"


def test_language_model_agents_play_their_tasks(memory_board: Boards, out: Path) -> None:
    agent = make_agent("popular")
    agent.text_model = lambda: TextModel("", "", "")
    board = memory_board(only_language_models=True)
    play_on(board, out, agent)
    assert board.about["only_language_models"] is True
    assert set(board.answers) == set(range(6))
