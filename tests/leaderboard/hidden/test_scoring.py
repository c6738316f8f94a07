import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasteshift.agents import make_agent
from tasteshift.errors import InputError
from tasteshift.leaderboard.hidden.attempt import Attempt
from tasteshift.leaderboard.hidden.scoring import check_attempt, conclude_attempt
from tasteshift.leaderboard.keys import attempt_key
from tasteshift.leaderboard.rejection import VerificationError
from tasteshift.leaderboard.verification.verify import VerifiedRun, verify
from tasteshift.suites.suite import Suite

Make = Callable[..., Attempt]
ATTEMPT_ID = "0f" * 16
FILES = ("manifest.json", "episodes.jsonl", "steps.parquet", "generations.parquet", "scores.json")


def episodes(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]


def rewards(folder: Path) -> dict[str, dict[tuple[str, int], float]]:
    found: defaultdict[str, dict[tuple[str, int], float]] = defaultdict(dict)
    for one in episodes(folder):
        found[one["policy"]][one["task"], one["user"]] = sum(one["rewards"])
    return found


def headline(run: VerifiedRun) -> float:
    return next(row.value for row in run.overall if row.metric == "normalized_return")


def test_run_directory_is_an_ordinary_one(concluded: Any) -> None:
    assert {file.name for file in concluded.folder.iterdir()} == {*FILES, "timings.json"}
    found = episodes(concluded.folder)
    attempt = concluded.attempt
    policies = {"agent", "random", "frozen-oracle", "oracle"}
    assert {one["policy"] for one in found} == policies
    episode_keys = {attempt.episode_key(episode) for episode in range(len(attempt.episode_tasks))}
    for policy in policies:
        mine = {(e["task"], e["seed"], e["user"]) for e in found if e["policy"] == policy}
        assert mine == episode_keys


def test_every_answer_is_recorded(concluded: Any) -> None:
    steps = defaultdict(list)
    for row in pq.read_table(concluded.folder / "steps.parquet").to_pylist():
        if row["policy"] == "agent":
            steps[row["task"], row["seed"], row["user"]].append(row)
    for episode, turns in concluded.answers.items():
        rows = steps[concluded.attempt.episode_key(episode)]
        assert [row["slate"] for row in rows] == [list(turn["slate"]) for turn in turns]
        assert not any(row["fault"] for row in rows)
        history = concluded.attempt.episode_message(episode, turns)["history"]
        assert [row["utterance"] for row in rows] == [one["utterance"] for one in history]
        assert [row["reward"] for row in rows[:-1]] == [one["rating"] for one in history[1:]]


def test_scores_follow_from_the_rewards(concluded: Any) -> None:
    """By hand: the agent's gain over random as a share of the oracle's gain."""
    total = rewards(concluded.folder)
    gained = {k: total["agent"][k] - total["random"][k] for k in total["agent"]}
    possible = {k: total["oracle"][k] - total["random"][k] for k in total["agent"]}
    assert headline(concluded.run) == pytest.approx(sum(gained.values()) / sum(possible.values()))
    for task in {task for task, _ in gained}:
        value = next(
            row.value
            for row in concluded.run.scores
            if (row.task, row.metric) == (task, "normalized_return")
        )
        mine = [key for key in gained if key[0] == task]
        assert value == pytest.approx(
            sum(gained[key] for key in mine) / sum(possible[key] for key in mine)
        )


def test_sums_hold_one_pair_per_user(concluded: Any) -> None:
    pairs = concluded.run.sums["normalized_return"]
    total = rewards(concluded.folder)
    expected = [
        (total["agent"][k] - total["random"][k], total["oracle"][k] - total["random"][k])
        for k in total["agent"]
    ]
    assert len(pairs) == len(concluded.attempt.episode_tasks)
    flat = [number for pair in sorted(expected) for number in pair]
    assert [number for pair in sorted(map(tuple, pairs)) for number in pair] == pytest.approx(flat)
    first = next(row for row in concluded.run.overall if row.metric == "normalized_return")
    assert first.n == len(pairs)


def test_trust_is_hidden_seed(concluded: Any) -> None:
    trust = concluded.run.trust
    assert set(trust.values()) == {"hidden-seed", "reported"}
    assert trust["normalized_return"] == trust["reward"] == "hidden-seed"
    assert trust["decision_latency_p50"] == trust["agent_failures"] == "reported"
    assert not concluded.run.privileged
    assert concluded.run.tasks == tuple(task.name for task in concluded.attempt.suite.tasks)


@pytest.fixture(scope="module")
def abandoned(hidden_suite: Suite, about: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Another attempt, started and abandoned."""
    key = attempt_key(bytes(range(32)), "1f" * 16)
    attempt = Attempt(hidden_suite.id, key, "1f" * 16, only_language_models=True)
    folder = tmp_path_factory.mktemp("abandoned") / "run"
    return SimpleNamespace(run=conclude_attempt(attempt, about, {}, folder), folder=folder)


def test_attempts_have_one_suite_hash_and_different_catalogs(
    concluded: Any, abandoned: Any, hidden_suite: Suite
) -> None:
    one, two = concluded.run.manifest.identity, abandoned.run.manifest.identity
    assert (one.suite, one.suite_hash) == (two.suite, two.suite_hash)
    assert one.suite_hash == hidden_suite.hash()
    assert not set(one.catalogs) & set(two.catalogs)
    assert not set(one.seeds) & set(two.seeds)


def slates_of(folder: Path, policy: str, attempt: Attempt) -> dict[int, list[dict[str, Any]]]:
    """Slates of a reference policy, as answers."""
    numbers = {
        attempt.episode_key(episode): episode for episode in range(len(attempt.episode_tasks))
    }
    turns: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in pq.read_table(folder / "steps.parquet").to_pylist():
        if row["policy"] == policy:
            episode = numbers[row["task"], row["seed"], row["user"]]
            turns[episode].append({"slate": row["slate"]})
    return turns


def test_reference_policies_are_the_scale(concluded: Any, about: Any, tmp_path: Path) -> None:
    """The oracle's slates score 1 and random's 0 in the same episodes."""
    attempt = concluded.attempt
    shown = {name: slates_of(concluded.folder, name, attempt) for name in ("oracle", "random")}
    who = {
        episode: "oracle" if task == 1 else "random"
        for episode, task in enumerate(attempt.episode_tasks)
    }
    answers = {episode: shown[name][episode] for episode, name in who.items()}
    run = conclude_attempt(attempt, about, answers, tmp_path / "run")
    found = {row.task: row.value for row in run.scores if row.metric == "normalized_return"}
    assert found == {
        "hidden-test/first": 0.0,
        "hidden-test/shift": 1.0,
        "hidden-test/poisoned": 0.0,
    }


def test_random_agent_scores_about_zero(
    hidden_suite: Suite, play: Any, about: Any, tmp_path: Path
) -> None:
    """Over 36 users: within 4 standard errors of 0 (ratio of sums, one cluster a user)."""
    attempt = Attempt(f"{hidden_suite.id}+users=6", bytes(32), "chance")
    answers = play(attempt, make_agent("random"))
    run = conclude_attempt(attempt, about, answers, tmp_path / "run")
    pairs = run.sums["normalized_return"]
    possible = sum(bottom for _, bottom in pairs)
    value = sum(top for top, _ in pairs) / possible
    error = sum((top - value * bottom) ** 2 for top, bottom in pairs) ** 0.5 / possible
    assert len(pairs) == 36
    assert abs(value) < 4 * error < 0.6


def test_missing_answers_earn_nothing(
    concluded: Any, new_attempt: Make, about: Any, tmp_path: Path
) -> None:
    half = {episode: turns[:1] for episode, turns in concluded.answers.items() if episode % 2}
    run = conclude_attempt(new_attempt(), about, half, tmp_path / "run")
    numbers = {new_attempt().episode_key(episode): episode for episode in range(18)}
    played = defaultdict(list)
    for row in pq.read_table(tmp_path / "run" / "steps.parquet").to_pylist():
        if row["policy"] == "agent":
            played[numbers[row["task"], row["seed"], row["user"]]].append(row)
    for episode, rows in played.items():
        whole = concluded.answers[episode]
        assert len(rows) == len(whole)
        given = len(half.get(episode, []))
        assert [row["slate"] for row in rows[:given]] == [list(t["slate"]) for t in whole[:given]]
        for row in rows[given:]:
            assert (row["fault"], row["slate"], row["reward"]) == ("timeout", [], 0.0)
    everything = {row.metric: row.value for row in run.overall}
    assert everything["agent_failures"] > 0
    assert headline(run) < headline(concluded.run)


def test_abandoned_attempt_counts(abandoned: Any) -> None:
    assert {row.metric: row.value for row in abandoned.run.overall}["reward"] == 0.0
    total = rewards(abandoned.folder)
    random, oracle = (sum(total[name].values()) for name in ("random", "oracle"))
    assert oracle > random > 0
    assert headline(abandoned.run) == pytest.approx(-random / (oracle - random))


class Killed(Exception):
    """Interrupts scoring."""


def test_interrupted_scoring_resumes_to_the_same_bytes(
    concluded: Any, new_attempt: Make, about: Any, tmp_path: Path
) -> None:
    left = 3

    def progress(total: int) -> Any:
        assert total == 6

        def advance(task: str) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed

        return nullcontext(advance)

    def conclude(folder: Path, **more: Any) -> VerifiedRun:
        attempt = new_attempt(only_language_models=True)
        return conclude_attempt(attempt, about, concluded.answers, folder, **more)

    with pytest.raises(Killed):
        conclude(tmp_path / "killed", progress=progress)
    assert not (tmp_path / "killed" / "scores.json").exists()
    run, whole = conclude(tmp_path / "killed"), conclude(tmp_path / "whole")
    for name in FILES[1:]:
        killed, untouched = ((tmp_path / one / name).read_bytes() for one in ("killed", "whole"))
        assert killed == untouched, name
    assert run.manifest.identity == whole.manifest.identity
    assert conclude(tmp_path / "killed") == run


def test_folder_with_another_run_is_refused(
    concluded: Any, new_attempt: Make, about: Any, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="holds another run"):
        conclude_attempt(new_attempt(attempt_id="2f" * 16), about, {}, concluded.folder)


def test_attempt_can_be_checked_with_the_secret(
    concluded: Any, secret: bytes, tmp_path: Path
) -> None:
    """In a new process, from the secret and the files alone, with another hash seed."""
    script = tmp_path / "check.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from tasteshift.suites.suite import SUITES, suite_from_dict\n"
        "from tasteshift.leaderboard.hidden.scoring import check_attempt\n"
        "import json\n"
        "suite = suite_from_dict(json.loads(sys.argv[3]))\n"
        "SUITES.register(suite.name, suite)\n"
        "run = check_attempt(bytes.fromhex(sys.argv[1]), sys.argv[2], Path(sys.argv[4]))\n"
        "print(repr(run))\n"
    )
    document = json.dumps(concluded.attempt.suite.to_dict())
    done = subprocess.run(
        [sys.executable, "-P", script, secret.hex(), ATTEMPT_ID, document, concluded.folder],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == repr(concluded.run), done.stderr


@pytest.mark.parametrize(
    ("key", "attempt_id"), [(bytes(32), ATTEMPT_ID), (bytes(range(32)), "1f" * 16)]
)
def test_another_secret_or_attempt_is_detected(concluded: Any, key: bytes, attempt_id: str) -> None:
    with pytest.raises(VerificationError, match="identity is not that of this attempt"):
        check_attempt(key, attempt_id, concluded.folder)


@pytest.fixture
def copy(concluded: Any, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(concluded.folder, tmp_path / "copy"))


@pytest.mark.parametrize(
    "change",
    [
        {"reward": 0.987654321},
        {"slate": [0, 1, 2, 3]},
        {"fault": "timeout"},
    ],
)
def test_edited_step_is_detected(secret: bytes, copy: Path, change: dict[str, Any]) -> None:
    file = copy / "steps.parquet"
    rows = pq.read_table(file).to_pylist()
    row = next(row for row in rows if row["policy"] == "agent" and row["task"].endswith("shift"))
    row |= change
    pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(file)), file)
    with pytest.raises(VerificationError, match="hidden-test/shift"):
        check_attempt(secret, ATTEMPT_ID, copy)


def test_edited_score_is_detected(secret: bytes, copy: Path) -> None:
    scores = json.loads((copy / "scores.json").read_text())
    scores[0]["value"] += 0.01
    (copy / "scores.json").write_text(json.dumps(scores))
    with pytest.raises(VerificationError, match=r"scores.json"):
        check_attempt(secret, ATTEMPT_ID, copy)


def test_attempt_is_not_accepted_as_a_public_run(concluded: Any) -> None:
    verdict = verify(concluded.folder)
    assert not verdict.accepted
    assert "manifest.json" in verdict.reason


def test_language_model_agents_are_scored_on_their_tasks(
    new_attempt: Make, secret: bytes, about: Any, play: Any, tmp_path: Path
) -> None:
    attempt = new_attempt(only_language_models=True)
    answers = play(attempt, make_agent("popular"))
    run = conclude_attempt(attempt, about, answers, tmp_path / "run")
    assert {row.task for row in run.scores} == {"hidden-test/first"}
    assert len(run.tasks) == 3
    assert check_attempt(secret, ATTEMPT_ID, tmp_path / "run") == run
