import json
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tasteshift.agents import make_agent
from tasteshift.agents.protocols import TextModel
from tasteshift.errors import AgentError, InputError
from tasteshift.leaderboard.hidden.attempt import Attempt
from tasteshift.leaderboard.hidden.client import STATE, play_hidden
from tasteshift.records import Action, Brief, Claim, Observation

Make = Callable[..., Attempt]
Boards = Callable[..., Any]


def go(board: Any, out: Path, agent: Any = None, **more: Any) -> dict[str, Any]:
    given = {"season": "winter", "simulator_trained": False, "transport": board.transport()}
    given |= {"sleep": lambda seconds: None} | more
    return play_hidden(
        agent or make_agent("linucb"), "http://board.test/", "token", out=out, **given
    )


def acts(turns: dict[int, list[dict[str, Any]]]) -> dict[int, list[Any]]:
    return {
        life: [[turn[name] for name in ("slate", "claims", "profile", "fault")] for turn in given]
        for life, given in turns.items()
    }


def test_an_attempt_is_played_as_it_is_without_a_network(
    memory_board: Boards, new_attempt: Make, play: Callable[..., Any], out: Path
) -> None:
    board = memory_board()
    assert go(board, out) == {"attempt": "0f" * 16, "state": "queued"}
    assert acts(board.turns) == acts(play(new_attempt(), make_agent("linucb")))
    assert board.about == {
        "season": "winter",
        "simulator_trained": False,
        "hardware": "",
        "agent": "linucb",
        "agent_config": make_agent("linucb").config(),
        "decoder": "",
        "pair": "",
    }
    assert all(0 < turn["seconds"] < 60 for turn in board.turns[0])


def test_progress_is_told_life_by_life(memory_board: Boards, out: Path) -> None:
    told: list[Any] = []

    @contextmanager
    def progress(ahead: int) -> Any:
        told.append(ahead)
        yield told.append
        told.append("over")

    go(memory_board(), out, make_agent("popular"), progress=progress)
    tasks = ["hidden-test/first"] * 6 + ["hidden-test/shift"] * 8 + ["hidden-test/poisoned"] * 4
    assert told == [18, *tasks, "over"]


def cut(after: int, *, served: bool) -> Any:
    """Breaks the client off at its `after`-th request, before or after it was served."""
    count = [0]

    def disturb(request: httpx.Request, answer: httpx.Response | None) -> None:
        if (answer is not None) == served:
            count[0] += 1
            if count[0] == after:
                raise KeyboardInterrupt

    return disturb


@pytest.mark.parametrize("served", [False, True])
def test_a_client_that_was_stopped_anywhere_goes_on(
    memory_board: Boards, new_attempt: Make, play: Callable[..., Any], tmp_path: Path, served: bool
) -> None:
    expected = acts(play(new_attempt(), make_agent("popular")))
    for after in (1, 2, 3, 5, 6, 40, 61, 98):
        board = memory_board(cut(after, served=served))
        out = tmp_path / f"{after}"
        with pytest.raises(KeyboardInterrupt):
            go(board, out, make_agent("popular"), resume=True)
        with pytest.raises(InputError, match="add --resume"):
            go(board, out, make_agent("popular"))
        assert go(board, out, make_agent("popular"), resume=True)["state"] == "queued"
        assert acts(board.turns) == expected, after
        assert len(board.keys) == 1
        assert not list(out.glob(".*.tmp"))


class Diary:
    """Shows items that depend on all it has seen in the life, and on its seed."""

    name = "diary"

    def config(self) -> dict[str, Any]:
        return {}

    def prepare(self, world: Any) -> None:
        self.n = len(world.catalog)

    def start(self, brief: Brief) -> Any:
        return DiarySession(self.n, [brief.seed])


class DiarySession:
    def __init__(self, n: int, pages: list[Any]) -> None:
        self.n, self.pages = n, pages

    def act(self, observation: Observation) -> Action:
        self.pages += [observation.chosen + 1, *(item + 1 for item in observation.slate)]
        order = np.random.default_rng(self.pages).permutation(self.n)
        return Action(tuple(order[:4].tolist()))


class Diaries(Diary):
    def act_batch(self, sessions: Any, observations: Any) -> list[Action]:
        return [one.act(seen) for one, seen in zip(sessions, observations, strict=True)]


@pytest.mark.parametrize("together", [1, 3])
def test_memory_is_made_again_from_what_was_seen(
    memory_board: Boards, new_attempt: Make, play: Callable[..., Any], tmp_path: Path, together: int
) -> None:
    expected = acts(play(new_attempt(), Diary()))
    for after in (20, 53):
        board = memory_board(cut(after, served=True))
        out, agent = tmp_path / f"{after}", Diaries() if together > 1 else Diary()
        with pytest.raises(KeyboardInterrupt):
            go(board, out, agent, together=together)
        go(board, out, agent, together=together, resume=True)
        assert acts(board.turns) == expected


def test_a_server_that_is_killed_again_and_again(
    memory_board: Boards, new_attempt: Make, play: Callable[..., Any], out: Path
) -> None:
    """Every third answer is lost with the server that made it; what it stored is there."""
    count = [0]

    def disturb(request: httpx.Request, answer: httpx.Response | None) -> None:
        if answer is not None:
            count[0] += 1
            if count[0] % 3 == 0:
                board.restart()
                raise httpx.ReadError("connection reset")

    board = memory_board(disturb)
    go(board, out, make_agent("popular"))
    assert acts(board.turns) == acts(play(new_attempt(), make_agent("popular")))
    assert len(board.keys) == 1


@pytest.mark.parametrize(
    ("status", "headers", "waits"),
    [(503, {}, [0.5, 1.0, 2.0]), (429, {"Retry-After": "7"}, [7.0, 7.0, 7.0])],
)
def test_a_server_that_asks_for_patience_gets_it(
    memory_board: Boards, out: Path, status: int, headers: Any, waits: list[float]
) -> None:
    refusals, naps = [httpx.Response(status, headers=headers) for _ in range(3)], []

    def disturb(request: httpx.Request, answer: httpx.Response | None) -> httpx.Response | None:
        return refusals.pop() if request.method == "PUT" and refusals else None

    board = memory_board(disturb)
    assert go(board, out, make_agent("popular"), sleep=naps.append)["state"] == "queued"
    assert len(naps) == 3
    assert all(least <= nap <= 1.2 * least for least, nap in zip(waits, naps, strict=True))


def test_patience_ends_and_the_attempt_stays(memory_board: Boards, out: Path) -> None:
    def disturb(request: httpx.Request, answer: httpx.Response | None) -> None:
        raise httpx.ConnectError("refused")

    board = memory_board(disturb)
    with pytest.raises(InputError, match=r"does not answer .*refused"):
        go(board, out, make_agent("popular"))
    board.disturb = lambda request, answer: None
    assert go(board, out, make_agent("popular"), resume=True)["state"] == "queued"


@pytest.mark.parametrize(
    ("url", "token"),
    [("", "token"), ("board.db", "token"), ("ftp://board.test", "token"), ("http://x", "p w\n")],
)
def test_what_is_no_address_or_no_token_is_told_before_anything_is_written(
    out: Path, url: str, token: str
) -> None:
    with pytest.raises(InputError) as caught:
        play_hidden(make_agent("popular"), url, token, season="w", simulator_trained=False, out=out)
    assert "p w" not in str(caught.value)
    assert not out.exists()


def test_a_refusal_is_told_at_once(memory_board: Boards, out: Path) -> None:
    naps: list[float] = []
    late = httpx.Response(410, json={"detail": "the deadline\nhas passed"})
    board = memory_board(lambda request, answer: late if request.method == "PUT" else None)
    with pytest.raises(InputError, match=r"410: the deadline has passed$"):
        go(board, out, make_agent("popular"), sleep=naps.append)
    assert naps == []


def test_no_token_is_kept(memory_board: Boards, out: Path) -> None:
    go(memory_board(), out, make_agent("popular"))
    assert [file.name for file in out.iterdir()] == [STATE]
    assert "token" not in (out / STATE).read_text()


def test_an_attempt_that_was_refused_never_was(memory_board: Boards, out: Path) -> None:
    closed = httpx.Response(409, json={"detail": "season autumn is over"})
    board = memory_board(
        lambda request, answer: closed if "autumn" in request.content.decode() else None
    )
    with pytest.raises(InputError, match="season autumn is over"):
        go(board, out, make_agent("popular"), season="autumn")
    assert go(board, out, make_agent("popular"))["state"] == "queued"


def test_an_attempt_that_was_begun_is_kept_whatever_is_refused(
    memory_board: Boards, out: Path
) -> None:
    board = memory_board(cut(30, served=True))
    with pytest.raises(KeyboardInterrupt):
        go(board, out, make_agent("popular"))
    before = (out / STATE).read_text()
    board.disturb = lambda request, answer: httpx.Response(401, json={"detail": "revoked"})
    with pytest.raises(InputError, match="revoked"):
        go(board, out, make_agent("popular"), resume=True)
    assert (out / STATE).read_text() == before


def test_an_attempt_that_was_handed_in_is_handed_in_again(memory_board: Boards, out: Path) -> None:
    """As when the client was killed before it read the last answer."""
    board = memory_board()
    go(board, out, make_agent("popular"))
    before = len(board.sent)
    assert go(board, out, make_agent("popular"), resume=True)["state"] == "queued"
    assert len(board.sent) == before + 2


@pytest.mark.parametrize(
    "change", [{"season": "summer"}, {"simulator_trained": True}, {"hardware": "h100"}]
)
def test_another_attempt_is_not_gone_on_with(
    memory_board: Boards, out: Path, change: dict[str, Any]
) -> None:
    go(memory_board(), out, make_agent("popular"))
    with pytest.raises(InputError, match="another agent, season or board"):
        go(memory_board(), out, make_agent("popular"), resume=True, **change)
    with pytest.raises(InputError, match="another agent, season or board"):
        go(memory_board(), out, make_agent("random"), resume=True)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"url": 3}'])
def test_a_broken_state_is_named(memory_board: Boards, out: Path, text: str) -> None:
    out.mkdir()
    (out / STATE).write_text(text)
    with pytest.raises(InputError, match="cannot be read"):
        go(memory_board(), out, resume=True)


class Troubled(Diary):
    """Fails in every way in which an agent can, turn by turn."""

    name = "troubled"

    def start(self, brief: Brief) -> Any:
        if brief.user % 2:
            raise RuntimeError("not this one")
        return TroubledSession()


class TroubledSession:
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


def test_an_agent_that_fails_abstains_as_in_every_run(
    memory_board: Boards, new_attempt: Make, play: Callable[..., Any], out: Path
) -> None:
    board = memory_board()
    go(board, out, Troubled())
    assert acts(board.turns) == acts(play(new_attempt(), Troubled()))
    faults = {turn["fault"] for given in board.turns.values() for turn in given}
    assert faults == {"raised", "invalid", ""}


def test_an_answer_that_the_board_cannot_take_is_unusable(memory_board: Boards, out: Path) -> None:
    def disturb(request: httpx.Request, answer: httpx.Response | None) -> Any:
        said = request.method == "PUT" and json.loads(request.content)["slate"]
        return httpx.Response(422, json={"detail": "too long"}) if said else None

    board = memory_board(disturb)
    go(board, out, make_agent("popular"))
    assert {turn["fault"] for given in board.turns.values() for turn in given} == {"invalid"}


def test_a_board_that_can_take_nothing_is_no_board(memory_board: Boards, out: Path) -> None:
    def disturb(request: httpx.Request, answer: httpx.Response | None) -> Any:
        return httpx.Response(422) if request.method == "PUT" else None

    with pytest.raises(InputError, match="422"):
        go(memory_board(disturb), out, make_agent("popular"))


def test_what_is_no_protocol_is_named(memory_board: Boards, out: Path) -> None:
    page = httpx.Response(200, text="<html>welcome</html>")
    with pytest.raises(InputError, match="does not answer as a board does"):
        go(memory_board(lambda request, answer: page), out)


def test_yardsticks_do_not_play(memory_board: Boards, out: Path) -> None:
    with pytest.raises(InputError, match="shown the truth"):
        go(memory_board(), out, make_agent("oracle"))
    assert not out.exists()


def test_an_agent_that_cannot_be_sent_begins_nothing(memory_board: Boards, out: Path) -> None:
    agent, board = Diary(), memory_board()
    agent.lines = (line for line in "one two")
    with pytest.raises(InputError):
        go(board, out, agent)
    assert not board.sent
    assert not out.exists()


class Unprepared(Diary):
    def prepare(self, world: Any) -> None:
        raise MemoryError("too many items")


def test_an_agent_that_cannot_prepare_says_so_and_can_be_mended(
    memory_board: Boards, out: Path
) -> None:
    board = memory_board()
    with pytest.raises(AgentError, match="MemoryError: too many items"):
        go(board, out, Unprepared())
    assert go(board, out, Diary(), resume=True)["state"] == "queued"


def test_agents_that_ask_a_language_model_play_their_tasks(memory_board: Boards, out: Path) -> None:
    agent = make_agent("popular")
    agent.text_model = lambda: TextModel("", "", "")
    board = memory_board(only_language_models=True)
    go(board, out, agent)
    assert board.about["only_language_models"] is True
    assert set(board.turns) == set(range(6))
