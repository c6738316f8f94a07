"""Unedited runs are accepted; every kind of edit is refused with a message that names it."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tasteshift.agents import make_agent
from tasteshift.envs.catalogs.load import load_catalog
from tasteshift.errors import InputError
from tasteshift.leaderboard.verification.verify import verify
from tasteshift.suites import evaluate as evaluation

EPISODES = 2 * 3 * 4
TURNS = 3 * 4 * (2 + 14)


def refusal_reason(path: Path) -> str:
    verdict = verify(path)
    assert not verdict.accepted
    assert verdict.run is None
    assert "\n" not in verdict.reason
    return verdict.reason


def turn_of(row: dict[str, Any]) -> str:
    who = f"{row['task']}, seed {row['seed']}, user {row['user']} ({row['policy']})"
    return f"{who}, session {row['session']}, turn {row['turn']}"


def a_turn(tampered: Any, policy: str = "agent") -> int:
    """Index of the row of a turn in the middle of an episode."""
    rows = tampered.table("steps")
    return next(k for k, row in enumerate(rows) if (row["policy"], row["session"]) == (policy, 3))


@pytest.mark.parametrize("agent", ["random", "popular", "linucb", "frozen-oracle"])
def test_an_unedited_run_is_accepted(runs: Callable[[str], Path], agent: str) -> None:
    ticks: list[str] = []

    class Progress:
        def __init__(self, total: int) -> None:
            assert total == EPISODES

        def __enter__(self) -> Callable[[str], None]:
            return ticks.append

        def __exit__(self, *_: object) -> None:
            ticks.append("end")

    verdict = verify(runs(agent), progress=Progress)
    assert verdict.accepted, verdict.reason
    assert (verdict.episodes, verdict.steps, len(ticks)) == (EPISODES, TURNS, EPISODES + 1)
    assert verdict.run is not None
    assert verdict.run.privileged == (agent == "frozen-oracle")
    trust = verdict.run.trust
    assert trust["normalized_return"] == trust["maturity_breaches"] == "replayed"
    assert trust["acceptance_rate"] == trust["decision_latency_p50"] == "reported"


def test_verifying_changes_nothing_on_disk(tampered: Any) -> None:
    before = {path.name: path.read_bytes() for path in tampered.path.iterdir()}
    verify(tampered.path)
    assert before == {path.name: path.read_bytes() for path in tampered.path.iterdir()}


def test_an_edited_reward_is_named_with_both_values(tampered: Any) -> None:
    rows = tampered.table("steps")
    index = next(k for k, row in enumerate(rows) if row["policy"] == "agent" and row["reward"])
    before = tampered.edit_row("steps", index, reward=0.9)
    assert refusal_reason(tampered.path) == (
        f"steps.parquet: {turn_of(before)}: reward 0.9 recorded, {before['reward']!r} replayed"
    )


def test_an_edited_reward_in_the_episode_line_is_named(tampered: Any) -> None:
    lines = tampered.lines()
    index = next(k for k, line in enumerate(lines) if "/shift" in line and '"agent"' in line)
    episode = json.loads(lines[index])
    true, episode["rewards"][7] = episode["rewards"][7], 0.9
    lines[index] = json.dumps(episode)
    tampered.write_lines(lines)
    turn = turn_of(episode | {"session": 3, "turn": 1})
    assert refusal_reason(tampered.path) == (
        f"episodes.jsonl: {turn}: reward 0.9 recorded, {true!r} replayed"
    )


def test_a_reward_edited_in_both_files_is_refused(tampered: Any) -> None:
    before = tampered.edit_row("steps", a_turn(tampered), reward=0.9)
    lines = [json.loads(line) for line in tampered.lines()]
    for episode in lines:
        if all(episode[key] == before[key] for key in ("task", "user", "policy")):
            episode["rewards"][2 * before["session"] + before["turn"]] = 0.9
    tampered.write_lines([json.dumps(line) for line in lines])
    assert f"{turn_of(before)}: reward 0.9 recorded" in refusal_reason(tampered.path)


def test_a_swapped_item_is_named_by_the_first_difference(tampered: Any) -> None:
    index = a_turn(tampered)
    slate = tampered.table("steps")[index]["slate"]
    other = next(item for item in range(60) if item not in slate)
    before = tampered.edit_row("steps", index, slate=[other, *slate[1:]])
    assert f"steps.parquet: {turn_of(before)}: " in refusal_reason(tampered.path)


@pytest.mark.parametrize("slate", [[0, 0], [60], [-1], [0, 1, 2, 3, 4]])
def test_an_invalid_slate_is_refused(tampered: Any, slate: list[int]) -> None:
    before = tampered.edit_row("steps", a_turn(tampered), slate=slate)
    assert refusal_reason(tampered.path) == (
        f"steps.parquet: {turn_of(before)}: slate {slate} recorded, [] replayed"
    )


EDITS = {
    "seed": st.integers(0, 2),
    "user": st.integers(0, 200),
    "task": st.sampled_from(["board-test/first", "board-test/shift", "elsewhere"]),
    "policy": st.sampled_from(["agent", "random", "oracle", "nobody"]),
    "age_group": st.sampled_from(["child", "teen", "adult", "elder"]),
    "session": st.integers(-1, 6),
    "turn": st.integers(-1, 3),
    "day": st.integers(-1, 40),
    "utterance": st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    "slate": st.lists(st.integers(-2, 61), max_size=5),
    "chosen": st.integers(-2, 61),
    "reward": st.floats(),
    "fault": st.sampled_from(["", "invalid", "raised", "timeout", "bored"]),
    **dict.fromkeys(("expected", "best"), st.floats()),
    **dict.fromkeys(("under_first", "under_last", "under_organic"), st.floats()),
    **dict.fromkeys(("breaches", "violations", "stale", "fresh"), st.integers(-1, 5)),
    **dict.fromkeys(("tampered", "sponsored", "disclosed"), st.integers(-1, 5)),
    **dict.fromkeys(("false_claims", "regime"), st.integers(-1, 5)),
    **dict.fromkeys(("fresh_chosen", "gift"), st.booleans()),
    "topics": st.lists(st.integers(-1, 5), max_size=4),
    "liking": st.lists(st.floats(), max_size=5),
}


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(row=st.integers(0, TURNS - 1), edit=st.sampled_from(sorted(EDITS)), data=st.data())
def test_any_edit_of_any_step_is_refused_and_names_the_turn(
    tampered: Any, row: int, edit: str, data: st.DataObject
) -> None:
    original = tampered.table("steps")
    value = data.draw(EDITS[edit], label="value")
    assume(repr(value) != repr(original[row][edit]))
    try:
        before = tampered.edit_row("steps", row, **{edit: value})
        reason = refusal_reason(tampered.path)
    finally:
        tampered.write_table("steps", original)
    if edit in ("session", "turn"):
        assert f"{turn_of(before)} is missing" in reason
    elif edit in ("task", "seed", "user", "policy"):
        assert f"session {before['session']}, turn {before['turn']} is" in reason
    else:
        assert f"{turn_of(before)}: " in reason


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ({"claims": [{"item": 1, "field": "year", "value": "1990.0"}]}, "false_claims"),
        ({"claims": [{"item": 1, "field": "year", "value": "{"}]}, "cannot be read"),
        ({"claims": [{"item": 99, "field": "year", "value": "1.0"}]}, "slate ["),
        ({"claims": [{"item": 1, "field": None, "value": "1.0"}]}, "empty value in column claims"),
        ({"profile": [float("nan")]}, "cannot be read"),
        ({"profile": [1.0]}, "slate ["),
    ],
)
def test_edited_claims_and_profiles_are_refused(tampered: Any, edit: Any, reason: str) -> None:
    tampered.edit_row("steps", a_turn(tampered), **edit)
    assert reason in refusal_reason(tampered.path)


def test_an_inserted_true_claim_breaks_the_digest(tampered: Any) -> None:
    catalog = load_catalog("synthetic:60")
    claim = {"item": 1, "field": "title", "value": json.dumps(catalog.title[1])}
    tampered.edit_row("steps", a_turn(tampered), claims=[claim])
    assert "the digest in episodes.jsonl is not that of" in refusal_reason(tampered.path)


@pytest.mark.parametrize("field", ["events", "churned", "angle", "angle_later"])
def test_episode_fields_are_replayed(tampered: Any, field: str) -> None:
    lines = tampered.lines()
    episode = json.loads(lines[3])
    episode[field] = not episode[field] if field == "churned" else episode[field] + 1
    tampered.write_lines([*lines[:3], json.dumps(episode), *lines[4:]])
    assert f": {field} " in refusal_reason(tampered.path)


def test_rows_out_of_order_are_refused(tampered: Any) -> None:
    rows = tampered.table("steps")
    index = a_turn(tampered)
    rows[index], rows[index + 1] = rows[index + 1], rows[index]
    tampered.write_table("steps", rows)
    assert refusal_reason(tampered.path) == f"steps.parquet: {turn_of(rows[index])} is out of order"


def test_a_deleted_episode_is_named(tampered: Any) -> None:
    lines = tampered.lines()
    removed = json.loads(lines.pop(9))
    tampered.write_lines(lines)
    assert refusal_reason(tampered.path) == (
        f"episodes.jsonl: episode {removed['task']} seed {removed['seed']} user {removed['user']} "
        f"policy {removed['policy']} is missing"
    )


def test_a_duplicated_episode_is_named(tampered: Any) -> None:
    lines = tampered.lines()
    counterfactual = json.loads(lines[9])
    tampered.write_lines([*lines, lines[9]])
    assert (
        f"user {counterfactual['user']} policy {counterfactual['policy']} occurs 2 times"
        in refusal_reason(tampered.path)
    )


def test_an_episode_outside_the_run_is_named(tampered: Any) -> None:
    foreign = json.loads(tampered.lines()[0]) | {"seed": 5}
    tampered.write_lines([*tampered.lines(), json.dumps(foreign)])
    assert "seed 5" in refusal_reason(tampered.path)
    assert "is not part of this run" in refusal_reason(tampered.path)


def test_a_missing_task_is_refused(tampered: Any) -> None:
    def in_second_task(row: dict[str, Any]) -> bool:
        return row["task"] == "board-test/shift"

    tampered.write_lines([line for line in tampered.lines() if in_second_task(json.loads(line))])
    tampered.write_table("steps", [row for row in tampered.table("steps") if in_second_task(row)])
    assert "episode board-test/first seed 0" in refusal_reason(tampered.path)


@pytest.mark.parametrize("name", ["episodes.jsonl", "timings.json", "scores.json", "manifest.json"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: b"\x89PNG\r\n\xff\xfe",
        lambda content: b'{"a": [1, NaN, null]}\n',
        lambda content: b"[[[" * 5000,
    ],
    ids=["truncated", "empty", "foreign", "another", "deep"],
)
def test_a_damaged_text_file_is_named(
    tampered: Any, name: str, damage: Callable[[bytes], bytes]
) -> None:
    file = tampered.path / name
    file.write_bytes(damage(file.read_bytes()))
    assert name in refusal_reason(tampered.path)


@pytest.mark.parametrize("name", ["steps.parquet", "generations.parquet"])
@pytest.mark.parametrize(
    "damage",
    [lambda content: content[:-100], lambda content: b"", lambda content: b"PAR1" * 9],
    ids=["truncated", "empty", "foreign"],
)
def test_a_damaged_table_is_named(
    tampered: Any, name: str, damage: Callable[[bytes], bytes]
) -> None:
    file = tampered.path / name
    file.write_bytes(damage(file.read_bytes()))
    assert name in refusal_reason(tampered.path)


def test_a_table_with_other_columns_is_named(tampered: Any) -> None:
    shutil.copy(tampered.path / "generations.parquet", tampered.path / "steps.parquet")
    assert "steps.parquet does not have the columns" in refusal_reason(tampered.path)


def test_empty_values_are_named(tampered: Any) -> None:
    tampered.edit_row("steps", 3, reward=None)
    assert refusal_reason(tampered.path).endswith(
        "steps.parquet has an empty value in column reward"
    )
    tampered.edit_row("steps", 3, reward=0.0, slate=[1, None])
    assert refusal_reason(tampered.path).endswith(
        "steps.parquet has an empty value in column slate"
    )


@pytest.mark.parametrize("name", ["episodes.jsonl", "steps.parquet", "timings.json"])
def test_a_missing_file_is_named(tampered: Any, name: str) -> None:
    (tampered.path / name).unlink()
    assert f"{name} is missing" in refusal_reason(tampered.path)


@pytest.mark.parametrize("name", ["manifest.json", "scores.json"])
def test_an_unfinished_run_is_an_input_error(tampered: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tampered.path / name).unlink()
    for path in (tmp_path / "nowhere", tmp_path / "empty", tampered.path):
        with pytest.raises(InputError, match=str(path)):
            verify(path)


@pytest.mark.parametrize("field", ["value", "low", "n", "direction", "metric"])
def test_an_edited_score_is_named(tampered: Any, field: str) -> None:
    scores = tampered.json("scores.json")
    row = next(k for k, s in enumerate(scores) if s["metric"] == "normalized_return")
    scores[row][field] = {"direction": "lower", "metric": "reward", "n": 7}.get(field, 0.99)
    tampered.write_json("scores.json", scores)
    reason = refusal_reason(tampered.path)
    assert reason.startswith(f"scores.json: board-test/first normalized_return: {field} ")
    assert reason.endswith("recomputed")


def test_a_missing_or_added_score_is_refused(tampered: Any) -> None:
    scores = tampered.json("scores.json")
    for edited in (scores[:-1], [*scores, scores[0]]):
        tampered.write_json("scores.json", edited)
        assert "scores recorded" in refusal_reason(tampered.path)


def test_times_must_match_turns_and_clocked_scores(tampered: Any) -> None:
    original = tampered.json("timings.json")
    for edit, expected in (
        (lambda t: t["scores"][0].update(value=1e-9), "value 1e-09 recorded"),
        (lambda t: t["episodes"][0]["decisions"].pop(), "user 46 (agent) has other turns"),
        (lambda t: t["episodes"][0].update(decisions=[1.0], memory=[1]), "1 decisions for 2 turns"),
        (lambda t: t["episodes"][0].update(memory=[]), "user 46 (agent) has other turns"),
        (lambda t: t["episodes"][0]["generations"].append({}), "episodes.0.generations.0.turn"),
        (lambda t: t["episodes"][0]["decisions"].__setitem__(0, -1.0), "negative or not finite"),
        (lambda t: t["episodes"].pop(), "episodes are not those of episodes.jsonl"),
        (
            lambda t: t["episodes"].append(t["episodes"][0]),
            "episodes are not those of episodes.jsonl",
        ),
        (lambda t: t["episodes"][0].pop("decisions"), "episodes.0.decisions"),
    ):
        timings = json.loads(json.dumps(original))
        edit(timings)
        tampered.write_json("timings.json", timings)
        assert re.search(
            r"timings.json(:| was changed| cannot be read)", refusal_reason(tampered.path)
        )
        assert expected in refusal_reason(tampered.path)


def test_a_weakened_oracle_is_refused_although_all_files_agree(
    tmp_path: Path, suite: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All digests and scores are consistent, and every recorded action can be replayed."""

    def make_weak(name: str, **options: Any) -> Any:
        return make_agent("frozen-oracle" if name == "oracle" else name, **options)

    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "make_agent", make_weak)
        run = evaluation.evaluate("popular", suite.name, out=tmp_path / "weak")
    reason = refusal_reason(run.out)
    assert "board-test/shift, seed 0" in reason
    assert re.search(r"\(oracle\), session [4-9], turn [01]: slate \[", reason)


def test_an_edited_digest_is_refused(tampered: Any) -> None:
    lines = tampered.lines()
    lines[4] = json.dumps(json.loads(lines[4]) | {"digest": "0" * 64})
    tampered.write_lines(lines)
    assert "the digest in episodes.jsonl is not" in refusal_reason(tampered.path)


def test_all_turns_are_compared(tampered: Any) -> None:
    rows = tampered.table("steps")
    for index in np.linspace(0, len(rows) - 1, 7, dtype=int):
        tampered.write_table("steps", rows)
        changed = float(np.nextafter(rows[index]["expected"], 1))
        before = tampered.edit_row("steps", int(index), expected=changed)
        assert f"{turn_of(before)}: expected " in refusal_reason(tampered.path)
