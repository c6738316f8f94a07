"""Honest runs are believed; every way of touching one is refused by name."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
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
from tasteshift.records import Round
from tasteshift.suites import evaluate as evaluation

LIVES = 2 * 3 * 4
TURNS = 3 * 4 * (2 + 14)


def refusal(path: Path) -> str:
    verdict = verify(path)
    assert not verdict.accepted
    assert verdict.run is None
    assert "\n" not in verdict.reason
    return verdict.reason


def place(row: dict[str, Any]) -> str:
    who = f"{row['task']}, seed {row['seed']}, user {row['user']} ({row['policy']})"
    return f"{who}, session {row['session']}, turn {row['turn']}"


def a_turn(tampered: Any, policy: str = "agent") -> int:
    """Index of the row of some turn in the middle of a life."""
    rows = tampered.table("steps")
    return next(k for k, row in enumerate(rows) if (row["policy"], row["session"]) == (policy, 3))


@pytest.mark.parametrize("agent", ["random", "popular", "linucb", "frozen-oracle"])
def test_an_honest_run_is_believed(runs: Callable[[str], Path], agent: str) -> None:
    ticks: list[str] = []

    class Watch:
        def __init__(self, ahead: int) -> None:
            assert ahead == LIVES

        def __enter__(self) -> Callable[[str], None]:
            return ticks.append

        def __exit__(self, *_: object) -> None:
            ticks.append("end")

    verdict = verify(runs(agent), progress=Watch)
    assert verdict.accepted, verdict.reason
    assert (verdict.episodes, verdict.steps, len(ticks)) == (LIVES, TURNS, LIVES + 1)
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
    assert refusal(tampered.path) == (
        f"steps.parquet: {place(before)}: reward 0.9 recorded, {before['reward']!r} replayed"
    )


def test_an_edited_reward_in_the_episode_line_is_named(tampered: Any) -> None:
    lines = tampered.lines()
    index = next(k for k, line in enumerate(lines) if "/shift" in line and '"agent"' in line)
    episode = json.loads(lines[index])
    true, episode["rewards"][7] = episode["rewards"][7], 0.9
    lines[index] = json.dumps(episode)
    tampered.write_lines(lines)
    turn = place(episode | {"session": 3, "turn": 1})
    assert refusal(tampered.path) == (
        f"episodes.jsonl: {turn}: reward 0.9 recorded, {true!r} replayed"
    )


def test_both_rewards_edited_alike_do_not_help(tampered: Any) -> None:
    before = tampered.edit_row("steps", a_turn(tampered), reward=0.9)
    lines = [json.loads(line) for line in tampered.lines()]
    for episode in lines:
        if all(episode[key] == before[key] for key in ("task", "user", "policy")):
            episode["rewards"][2 * before["session"] + before["turn"]] = 0.9
    tampered.write_lines([json.dumps(line) for line in lines])
    assert f"{place(before)}: reward 0.9 recorded" in refusal(tampered.path)


def test_a_swapped_item_is_named_by_what_it_would_have_led_to(tampered: Any) -> None:
    index = a_turn(tampered)
    slate = tampered.table("steps")[index]["slate"]
    other = next(item for item in range(60) if item not in slate)
    before = tampered.edit_row("steps", index, slate=[other, *slate[1:]])
    assert f"steps.parquet: {place(before)}: " in refusal(tampered.path)


@pytest.mark.parametrize("slate", [[0, 0], [60], [-1], [0, 1, 2, 3, 4]])
def test_a_slate_that_nobody_can_show_is_refused(tampered: Any, slate: list[int]) -> None:
    before = tampered.edit_row("steps", a_turn(tampered), slate=slate)
    assert refusal(tampered.path) == (
        f"steps.parquet: {place(before)}: slate {slate} recorded, [] replayed"
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
    honest = tampered.table("steps")
    value = data.draw(EDITS[edit], label="value")
    assume(repr(value) != repr(honest[row][edit]))
    try:
        before = tampered.edit_row("steps", row, **{edit: value})
        reason = refusal(tampered.path)
    finally:
        tampered.write_table("steps", honest)
    if edit in ("session", "turn"):
        assert f"{place(before)} is missing" in reason
    elif edit in ("task", "seed", "user", "policy"):
        assert f"session {before['session']}, turn {before['turn']} is" in reason
    else:
        assert f"{place(before)}: " in reason


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
def test_edited_words_of_the_agent_are_refused(tampered: Any, edit: Any, reason: str) -> None:
    tampered.edit_row("steps", a_turn(tampered), **edit)
    assert reason in refusal(tampered.path)


def test_a_true_claim_put_in_later_breaks_the_digest(tampered: Any) -> None:
    catalog = load_catalog("synthetic:60")
    claim = {"item": 1, "field": "title", "value": json.dumps(catalog.title[1])}
    tampered.edit_row("steps", a_turn(tampered), claims=[claim])
    assert "the digest in episodes.jsonl is not that of" in refusal(tampered.path)


@pytest.mark.parametrize("field", ["events", "churned", "angle", "angle_later"])
def test_what_an_episode_says_of_its_user_is_replayed(tampered: Any, field: str) -> None:
    lines = tampered.lines()
    episode = json.loads(lines[3])
    episode[field] = not episode[field] if field == "churned" else episode[field] + 1
    tampered.write_lines([*lines[:3], json.dumps(episode), *lines[4:]])
    assert f": {field} " in refusal(tampered.path)


def test_rows_out_of_order_are_refused(tampered: Any) -> None:
    rows = tampered.table("steps")
    index = a_turn(tampered)
    rows[index], rows[index + 1] = rows[index + 1], rows[index]
    tampered.write_table("steps", rows)
    assert refusal(tampered.path) == f"steps.parquet: {place(rows[index])} is out of place"


def test_a_deleted_episode_is_named(tampered: Any) -> None:
    lines = tampered.lines()
    gone = json.loads(lines.pop(9))
    tampered.write_lines(lines)
    assert refusal(tampered.path) == (
        f"episodes.jsonl: episode {gone['task']} seed {gone['seed']} user {gone['user']} "
        f"policy {gone['policy']} is missing"
    )


def test_a_duplicated_episode_is_named(tampered: Any) -> None:
    lines = tampered.lines()
    counterfactual = json.loads(lines[9])
    tampered.write_lines([*lines, lines[9]])
    assert (
        f"user {counterfactual['user']} policy {counterfactual['policy']} is there 2 times"
        in refusal(tampered.path)
    )


def test_an_episode_of_somebody_else_is_named(tampered: Any) -> None:
    stranger = json.loads(tampered.lines()[0]) | {"seed": 5}
    tampered.write_lines([*tampered.lines(), json.dumps(stranger)])
    assert "seed 5" in refusal(tampered.path)
    assert "is no part of this run" in refusal(tampered.path)


def test_no_task_can_be_left_out(tampered: Any) -> None:
    def kept(row: dict[str, Any]) -> bool:
        return row["task"] == "board-test/shift"

    tampered.write_lines([line for line in tampered.lines() if kept(json.loads(line))])
    tampered.write_table("steps", [row for row in tampered.table("steps") if kept(row)])
    assert "episode board-test/first seed 0" in refusal(tampered.path)


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
    assert name in refusal(tampered.path)


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
    assert name in refusal(tampered.path)


def test_a_table_with_other_columns_is_named(tampered: Any) -> None:
    shutil.copy(tampered.path / "generations.parquet", tampered.path / "steps.parquet")
    assert "steps.parquet does not have the columns" in refusal(tampered.path)


def test_a_table_with_holes_is_named(tampered: Any) -> None:
    tampered.edit_row("steps", 3, reward=None)
    assert refusal(tampered.path).endswith("steps.parquet has an empty value in column reward")
    tampered.edit_row("steps", 3, reward=0.0, slate=[1, None])
    assert refusal(tampered.path).endswith("steps.parquet has an empty value in column slate")


@pytest.mark.parametrize("name", ["episodes.jsonl", "steps.parquet", "timings.json"])
def test_a_missing_file_is_named(tampered: Any, name: str) -> None:
    (tampered.path / name).unlink()
    assert f"{name} is missing" in refusal(tampered.path)


@pytest.mark.parametrize("name", ["manifest.json", "scores.json"])
def test_what_is_no_finished_run_is_bad_input(tampered: Any, tmp_path: Path, name: str) -> None:
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
    reason = refusal(tampered.path)
    assert reason.startswith(f"scores.json: board-test/first normalized_return: {field} ")
    assert reason.endswith("recomputed")


def test_a_missing_or_added_score_is_refused(tampered: Any) -> None:
    scores = tampered.json("scores.json")
    for cheat in (scores[:-1], [*scores, scores[0]]):
        tampered.write_json("scores.json", cheat)
        assert "scores recorded" in refusal(tampered.path)


def test_times_must_fit_the_turns_and_the_clocked_scores(tampered: Any) -> None:
    honest = tampered.json("timings.json")
    for cheat, expected in (
        (lambda t: t["scores"][0].update(value=1e-9), "value 1e-09 recorded"),
        (lambda t: t["episodes"][0]["decisions"].pop(), "user 46 (agent) has other turns"),
        (lambda t: t["episodes"][0].update(decisions=[1.0], memory=[1]), "1 decisions for 2 turns"),
        (lambda t: t["episodes"][0].update(memory=[]), "user 46 (agent) has other turns"),
        (lambda t: t["episodes"][0]["generations"].append({}), "episodes.0.generations.0.turn"),
        (lambda t: t["episodes"][0]["decisions"].__setitem__(0, -1.0), "impossible decision time"),
        (lambda t: t["episodes"].pop(), "episodes are not those of episodes.jsonl"),
        (
            lambda t: t["episodes"].append(t["episodes"][0]),
            "episodes are not those of episodes.jsonl",
        ),
        (lambda t: t["episodes"][0].pop("decisions"), "episodes.0.decisions"),
    ):
        timings = json.loads(json.dumps(honest))
        cheat(timings)
        tampered.write_json("timings.json", timings)
        assert re.search(r"timings.json(:| was changed| cannot be read)", refusal(tampered.path))
        assert expected in refusal(tampered.path)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seeds": [1]}, r"seeds [1] are not [0]"),
        ({"suite_hash": "0" * 64}, "suite_hash is not that of board-test@1"),
        ({"catalogs": {"synthetic:60": "f" * 64}}, "catalog 'synthetic:60' has hash ffffffffffff"),
        ({"catalogs": {}}, "catalogs [] are not ['synthetic:60']"),
        ({"simulator_version": "0"}, "simulator_version '0' is not"),
        ({"suite": "board-test@2"}, "board-test@2"),
        ({"suite": "board-tset@1"}, "did you mean 'board-test'?"),
        ({"suite": "board-test@1+users=2"}, "suite_hash is not that of board-test@1+users=2"),
    ],
)
def test_an_identity_that_is_not_ours_is_named(
    tampered: Any, changes: dict[str, Any], named: str
) -> None:
    tampered.edit_identity(rehash=False, **changes)
    assert "identity_hash is not the hash of identity" in refusal(tampered.path)
    tampered.edit_identity(rehash=True, **changes)
    assert named in refusal(tampered.path)


def test_another_name_needs_another_hash(tampered: Any) -> None:
    tampered.edit_identity(rehash=False, agent="my-own-invention")
    assert "identity_hash is not the hash of identity" in refusal(tampered.path)


def test_a_weakened_ceiling_is_refused_although_all_of_it_agrees(
    tmp_path: Path, suite: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every digest and score of this run is consistent, and every outcome can be replayed."""

    def make_weak(name: str, **options: Any) -> Any:
        return make_agent("frozen-oracle" if name == "oracle" else name, **options)

    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "make_agent", make_weak)
        run = evaluation.evaluate("popular", suite.name, out=tmp_path / "weak")
    reason = refusal(run.out)
    assert "board-test/shift, seed 0" in reason
    assert re.search(r"\(oracle\), session [4-9], turn [01]: slate \[", reason)


def test_a_language_model_plays_its_own_task_only(scribe_run: Callable[..., Path]) -> None:
    verdict = verify(scribe_run())
    assert verdict.accepted, verdict.reason
    assert verdict.run is not None
    assert {score.task for score in verdict.run.scores} == {"board-test/first"}
    rate = next(s for s in verdict.run.overall if s.metric == "acceptance_rate")
    assert rate.value == pytest.approx(2 / 8)


TWO, ONE = Round(4, 4, 4, 5, 2, 3, sources=("draft",) * 2), Round(4, 3, 3, 4, 0, 1)


@pytest.mark.parametrize(
    ("rounds", "named"),
    [
        ((replace(TWO, accepted=5), ONE), "accepted 5 of 4 drafted"),
        ((replace(TWO, max_depth=3), ONE), "accepted 2 of 4 drafted at a depth of at most 3"),
        ((replace(TWO, drafted_nodes=3), ONE), "drafted 4 deep with 3 nodes"),
        ((replace(TWO, verified_nodes=2), ONE), "accepted 2 of 2 verified nodes"),
        ((replace(TWO, emitted=4), ONE), "emitted 4 tokens after accepting 2"),
        ((replace(TWO, emitted=0), ONE), "emitted 0 tokens after accepting 2"),
        ((replace(TWO, sources=("draft",)), ONE), "names 1 sources for 2 accepted"),
        ((replace(TWO, emitted=2), ONE), "cuts the text, but is not the last round"),
        ((TWO,), "makes 4 tokens of a reply of 5"),
        ((TWO, ONE, ONE), "makes 6 tokens of a reply of 5"),
    ],
)
def test_rounds_that_cannot_have_happened_are_named(
    scribe_run: Callable[..., Path], rounds: tuple[Round, ...], named: str
) -> None:
    reason = refusal(scribe_run(rounds=rounds))
    assert reason.startswith("generations.parquet: board-test/first, seed 0, user ")
    assert ", session 0, turn 0, reply 0, round " in reason
    assert named in reason


def test_a_first_token_from_the_first_round_is_counted_there(
    scribe_run: Callable[..., Path],
) -> None:
    assert verify(scribe_run("target-init", tokens=4)).accepted
    assert "makes 4 tokens of a reply of 5" in refusal(scribe_run("target-init-dynamic"))


def test_autoregressive_drafts_nothing(scribe_run: Callable[..., Path]) -> None:
    assert "drafts 4 deep, but the decoder is autoregressive" in refusal(
        scribe_run("autoregressive")
    )


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"accepted": 1, "emitted": 2, "sources": ["draft"]}, "makes 4 tokens of a reply of 5"),
        ({"text": "3 2 1"}, "has a text that changes within the reply"),
        ({"round": 1}, "is out of order or there twice"),
        ({"session": 9}, "belongs to no turn of the life"),
        ({"policy": "oracle"}, "is no part of this run"),
    ],
)
def test_an_edited_round_is_named(
    scribe_run: Callable[..., Path], tampered: Any, changes: dict[str, Any], named: str
) -> None:
    tampered.path = scribe_run()
    tampered.edit_row("generations", 0, **changes)
    assert named in refusal(tampered.path)


def test_rounds_edited_without_a_trace_break_the_digest(
    scribe_run: Callable[..., Path], tampered: Any
) -> None:
    tampered.path = scribe_run()
    before = tampered.edit_row("generations", 0, max_depth=5)
    reason = refusal(tampered.path)
    assert f"user {before['user']} (agent): the digest in episodes.jsonl is not" in reason


def test_an_edited_digest_is_refused(tampered: Any) -> None:
    lines = tampered.lines()
    lines[4] = json.dumps(json.loads(lines[4]) | {"digest": "0" * 64})
    tampered.write_lines(lines)
    assert "the digest in episodes.jsonl is not" in refusal(tampered.path)


def test_all_turns_are_compared_not_a_sample(tampered: Any) -> None:
    rows = tampered.table("steps")
    for index in np.linspace(0, len(rows) - 1, 7, dtype=int):
        tampered.write_table("steps", rows)
        nudged = float(np.nextafter(rows[index]["expected"], 1))
        before = tampered.edit_row("steps", int(index), expected=nudged)
        assert f"{place(before)}: expected " in refusal(tampered.path)
