"""Hidden-seed play over HTTP: normal play, restarts, permissions and attacks."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasteshift.leaderboard.archive import unpack
from tasteshift.leaderboard.hidden.attempt import Attempt
from tasteshift.leaderboard.hidden.scoring import check_attempt, conclude_attempt
from tasteshift.leaderboard.keys import attempt_key, commitment
from tasteshift.leaderboard.store.actions import actions_of_attempt
from tasteshift.leaderboard.store.files import attempt_folder
from tasteshift.leaderboard.store.seasons import open_season, season, secret
from tasteshift.leaderboard.store.submissions import add_event, by_key
from tasteshift.suites.suite import Suite

NEW_ATTEMPT = {
    "season": "spring",
    "agent": "random",
    "agent_config": {"depth": 3},
    "simulator_trained": False,
    "hardware": "cpu-2",
}
ANSWER = {"slate": [1, 2, 3, 4]}


class Player:
    """Client side of the protocol, request by request."""

    def __init__(self, service: Any, name: str = "ada") -> None:
        self.service, self.name = service, name

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        headers |= self.service.bearer(self.name)
        return self.service.client.request(method, f"/api/v2{path}", json=body, headers=headers)

    def start(self, key: str = "first-try", **changes: Any) -> Any:
        return self("POST", "/attempts", NEW_ATTEMPT | changes, **{"Idempotency-Key": key})

    def answer(self, attempt: str, episode: int, turn: int, body: Any = ANSWER) -> Any:
        return self("PUT", f"/attempts/{attempt}/episodes/{episode}/turns/{turn}", body)


def derived_attempt(service: Any, attempt: str, suite: Suite) -> Attempt:
    """The attempt, derived from the season's secret."""
    return Attempt(suite.id, attempt_key(secret(service.state.board, "spring"), attempt), attempt)


def test_attempt_is_started_once(seasoned: Any) -> None:
    service = seasoned()
    ada, bob = Player(service), Player(service, "bob")
    first = ada.start()
    assert first.status_code == 201
    again = ada.start()
    assert (again.status_code, again.json()) == (200, first.json())
    assert ada.start(agent="popular").status_code == 409
    others = [ada.start("second-try"), bob.start()]
    assert [other.status_code for other in others] == [201, 201]
    found = {answer.json()["attempt"] for answer in (first, *others)}
    assert len(found) == 3
    assert all(len(one) == 32 for one in found)
    (season,) = service.client.get("/api/v2/seasons").json()
    assert first.json()["commitment"] == season["commitment"]
    assert service.follow(first.json()["submission"])["state"] == "playing"


def test_play_follows_from_the_key(seasoned: Any, suite: Suite) -> None:
    service = seasoned()
    ada = Player(service)
    started = ada.start().json()
    attempt = derived_attempt(service, started["attempt"], suite)
    assert [task["name"] for task in started["tasks"]] == [task.name for task in suite.tasks]
    assert [one["task"] for one in started["episodes"]] == list(attempt.episode_tasks)
    base = f"/attempts/{started['attempt']}"
    data = ada("GET", f"{base}/tasks/1").json()
    assert data["title"] == list(attempt.public(1).catalog.title)
    poster = ada("GET", f"{base}/tasks/1/posters/7.png")
    assert poster.headers["content-type"] == "image/png"
    assert poster.content == attempt.poster(1, 7)
    status = ada("GET", f"{base}/episodes/3").json()
    given: list[Any] = []
    now = status["observation"]
    assert status["turn"] == 0
    while now is not None:
        seen = attempt.observe(3, given)
        assert seen is not None
        assert (now["user"], now["utterance"]) == (seen.user, seen.utterance)
        slate = np.random.default_rng(len(given)).permutation(60)[:4].tolist()
        answer = ada.answer(started["attempt"], 3, len(given), {"slate": slate})
        assert answer.status_code == 200
        given = actions_of_attempt(service.state.board, started["submission"])[3]
        now = answer.json()["observation"]
    assert attempt.observe(3, given) is None
    over = ada.answer(started["attempt"], 3, len(given))
    assert (over.status_code, "over" in over.json()["detail"]) == (409, True)
    assert len(actions_of_attempt(service.state.board, started["submission"])[3]) == len(given)


def test_answer_is_final(seasoned: Any) -> None:
    service = seasoned()
    ada = Player(service)
    attempt = ada.start().json()["attempt"]
    first = ada.answer(attempt, 0, 0)
    assert ada.answer(attempt, 0, 0).json() == first.json()
    slower = ANSWER | {"seconds": 3.5}
    assert ada.answer(attempt, 0, 0, slower).json() == first.json(), "decision time is not compared"
    for other in (
        {"slate": [1, 2, 4, 3]},
        ANSWER | {"profile": [0.5]},
        ANSWER | {"fault": "raised"},
    ):
        assert ada.answer(attempt, 0, 0, other).status_code == 409
    ahead = ada.answer(attempt, 0, 2)
    assert (ahead.status_code, "turn 1" in ahead.json()["detail"]) == (409, True)
    assert ada.answer(attempt, 0, 1).status_code == 200
    assert ada.answer(attempt, 0, 0).json() == first.json(), "a repeated answer reveals nothing new"
    status = ada("GET", f"/attempts/{attempt}/episodes/0").json()
    assert status["turn"] == 2
    assert status["history"][1] == first.json()["observation"]


def test_restart_changes_nothing(seasoned: Any, serve: Any) -> None:
    service = seasoned()
    ada = Player(service)
    attempt = ada.start().json()["attempt"]
    replies = [ada.answer(attempt, 1, turn).json() for turn in range(2)]
    another = serve()
    another.tokens |= service.tokens
    again = Player(another)
    assert [again.answer(attempt, 1, turn).json() for turn in range(2)] == replies
    status = again("GET", f"/attempts/{attempt}").json()
    assert status["episodes"][1] == {"episode": 1, "task": 0, "turn": 2}
    assert status == ada("GET", f"/attempts/{attempt}").json()


def test_attempt_is_private_to_its_owner(seasoned: Any) -> None:
    service = seasoned()
    attempt = Player(service).start().json()["attempt"]
    service.bearer("root", "admin")
    for name, status in (("bob", 403), ("root", 200)):
        other = Player(service, name)
        assert other("GET", f"/attempts/{attempt}").status_code == status
        assert other("GET", f"/attempts/{attempt}/tasks/0").status_code == status
        assert other("GET", f"/attempts/{attempt}/tasks/0/posters/0.png").status_code == status
        assert other("GET", f"/attempts/{attempt}/episodes/0").status_code == status
        assert other.answer(attempt, 0, 0).status_code == status
    assert Player(service, "bob")("POST", f"/attempts/{attempt}/finish").status_code == 403
    assert service.client.get(f"/api/v2/attempts/{attempt}").status_code == 401


def test_unknown_paths_are_not_found(seasoned: Any) -> None:
    ada = Player(seasoned())
    attempt = ada.start().json()["attempt"]
    base = f"/attempts/{attempt}"
    for path in (f"{base}/tasks/2", f"{base}/episodes/6", f"{base}/tasks/0/posters/60.png"):
        assert ada("GET", path).status_code == 404
    assert ada("GET", f"/attempts/{'0' * 32}").status_code == 404
    for path in ("/attempts/..%2f..", f"/attempts/{attempt.upper()}x", f"{base}/episodes/-1"):
        assert ada("GET", path).status_code in (404, 422)
    assert ada.start(season="autumn").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"slate": "1234"},
        {"slate": [1.5]},
        {"slate": [True]},
        {"slate": [2**60]},
        {"slate": [1] * 1001},
        {"slate": [], "seconds": -1},
        {"slate": [], "seconds": 1e300},
        {"slate": [], "fault": "lazy"},
        {"slate": [], "reward": 1.0},
        {"slate": [], "claims": [{"item": 0, "field": "title", "value": None}]},
    ],
)
def test_answers_are_validated_strictly(seasoned: Any, body: Any) -> None:
    service = seasoned()
    ada = Player(service)
    started = ada.start().json()
    assert ada.answer(started["attempt"], 0, 0, body).status_code == 422
    assert actions_of_attempt(service.state.board, started["submission"]) == {}


def test_invalid_json_numbers_are_refused(seasoned: Any) -> None:
    service = seasoned()
    started = Player(service).start().json()
    path = f"/api/v2/attempts/{started['attempt']}/episodes/0/turns/0"
    headers = service.bearer("ada") | {"Content-Type": "application/json"}
    for text in ('{"slate":[],"profile":[NaN]}', '{"slate":[],"profile":[1e999]}', "[" * 10_000):
        answer = service.client.put(path, content=text, headers=headers)
        assert answer.status_code in (400, 422)
        assert answer.headers["content-type"] == "application/problem+json"
    for config in ('{"a":NaN}', '{"a":"\\ud800"}', json.dumps({"a": "x" * 20_000})):
        body = json.dumps(NEW_ATTEMPT).replace('{"depth": 3}', config)
        made = service.client.post(
            "/api/v2/attempts", content=body, headers=headers | {"Idempotency-Key": "k" * 9}
        )
        assert made.status_code == 422, config


def test_no_answer_after_the_deadline(seasoned: Any) -> None:
    service = seasoned(attempt_seconds=60)
    ada = Player(service)
    started = ada.start().json()
    assert ada.answer(started["attempt"], 0, 0).status_code == 200
    service.clock[0] += 59
    assert ada.answer(started["attempt"], 0, 1).status_code == 200
    service.clock[0] += 1.5
    for _ in range(2):
        late = ada.answer(started["attempt"], 1, 0)
        assert late.status_code == 410
    known = service.follow(started["submission"])
    assert [event["state"] for event in known["events"]] == ["playing", "queued"]
    assert "deadline" in known["events"][-1]["message"]
    assert {
        k: len(v) for k, v in actions_of_attempt(service.state.board, started["submission"]).items()
    } == {0: 2}


def test_abandoned_attempt_is_concluded(seasoned: Any) -> None:
    from tasteshift.leaderboard.server.app import clean_up

    service = seasoned(attempt_seconds=60)
    started = Player(service).start().json()
    clean_up(service.state)
    assert service.follow(started["submission"])["state"] == "playing"
    service.clock[0] += 61
    clean_up(service.state)
    clean_up(service.state)
    states = [event["state"] for event in service.follow(started["submission"])["events"]]
    assert states == ["playing", "queued"]


def test_attempts_end_before_the_secret_is_published(seasoned: Any) -> None:
    service = seasoned()
    ada, now = Player(service), service.clock[0]
    (season,) = service.client.get("/api/v2/seasons").json()
    started = ada.start().json()
    assert started["deadline"] < season["closes"]
    service.clock[0] = 4_102_444_790.0
    assert ada.start("in-the-last-seconds").json()["deadline"] == season["closes"]
    service.clock[0] += 10
    (season,) = service.client.get("/api/v2/seasons").json()
    assert season["secret"] is not None
    assert ada.start("too-late-to-start").status_code == 409
    assert ada.answer(started["attempt"], 0, 0).status_code == 410
    service.clock[0] = now


def test_published_run_can_be_checked(seasoned: Any, tmp_path: Path) -> None:
    service = seasoned()
    ada, now, board = Player(service), service.clock[0], service.state.board
    started = ada.start().json()
    attempt, path = started["attempt"], f"/api/v2/attempts/{started['attempt']}/run"
    assert ada.answer(attempt, 0, 0).status_code == 200
    ada("POST", f"/attempts/{attempt}/finish")
    early = service.client.get(path)
    assert (early.status_code, "when it closes" in early.json()["detail"]) == (409, True)
    service.clock[0] = 4_102_444_800.0
    unscored = service.client.get(path)
    assert (unscored.status_code, "not been scored" in unscored.json()["detail"]) == (409, True)

    submission = by_key(board, attempt)
    assert submission is not None
    played = Attempt(season_suite(board), attempt_key(secret(board, "spring"), attempt), attempt)
    answers = actions_of_attempt(board, submission.id)
    folder = attempt_folder(board, submission.id)
    run = conclude_attempt(played, submission.about, answers, folder)

    (season,) = service.client.get("/api/v2/seasons").json()
    published = bytes.fromhex(season["secret"])
    assert commitment(published, "spring") == started["commitment"]
    for _ in range(2):
        sent = service.client.get(path)
        assert (sent.status_code, sent.headers["content-type"]) == (200, "application/gzip")
    (tmp_path / "attempt.tar.gz").write_bytes(sent.content)
    unpack(tmp_path / "attempt.tar.gz", tmp_path / "attempt")
    assert check_attempt(published, attempt, tmp_path / "attempt") == run
    assert service.client.get(f"/api/v2/attempts/{'0' * 32}/run").status_code == 404
    service.clock[0] = now


def season_suite(board: Any) -> str:
    found = season(board, "spring")
    assert found is not None
    return found.suite


def test_finish_is_final_and_idempotent(seasoned: Any) -> None:
    service = seasoned()
    ada = Player(service)
    attempt = ada.start().json()["attempt"]
    for _ in range(2):
        done = ada("POST", f"/attempts/{attempt}/finish")
        assert (done.status_code, done.json()["state"]) == (200, "queued")
    for answer in (ada.answer(attempt, 0, 0), ada("GET", f"/attempts/{attempt}/episodes/0")):
        assert answer.status_code == 409


def test_open_attempts_are_limited(seasoned: Any) -> None:
    service = seasoned(open_attempts=2)
    ada = Player(service)
    attempt = ada.start("try-number-1").json()["attempt"]
    assert ada.start("try-number-2").status_code == 201
    third = ada.start("try-number-3")
    assert (third.status_code, "Retry-After" in third.headers) == (429, True)
    assert ada.start("try-number-1").status_code == 200
    ada("POST", f"/attempts/{attempt}/finish")
    assert ada.start("try-number-3").status_code == 429
    found = by_key(service.state.board, attempt)
    assert found is not None
    add_event(service.state.board, found.id, "working", "", after=1)
    assert ada.start("try-number-3").status_code == 429
    add_event(service.state.board, found.id, "refused", "", after=2)
    assert ada.start("try-number-3").status_code == 201


def test_concurrent_starts_are_limited(seasoned: Any) -> None:
    service = seasoned(open_attempts=2)
    ada = Player(service)
    service.bearer("ada")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: ada.start(f"try-number-{n}").status_code, range(8)))
    assert sorted(answers) == [201] * 2 + [429] * 6


def test_unplayable_attempt_is_not_started(serve: Any, suite: Suite) -> None:
    service = serve()
    opens, closes = "2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z"
    open_season(service.state.board, "spring", "quick@1+track=cohort", opens, closes)
    assert Player(service).start().status_code == 409
    assert service.client.get("/api/v2/submissions/1").status_code == 404
    admin = service.bearer("root", "admin")
    season = {"name": "autumn", "suite": f"{suite.id}+track=cohort"}
    season |= {"opens": opens, "closes": closes}
    made = service.client.post("/api/v2/admin/seasons", json=season, headers=admin)
    assert (made.status_code, "cohort" in made.json()["detail"]) == (409, True)
