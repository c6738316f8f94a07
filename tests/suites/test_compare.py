"""Comparison of runs: values by hand, ranks, refusals, and the printed tables."""

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tasteshift.cli import app
from tasteshift.errors import InputError
from tasteshift.metrics.comparison import (
    linearized,
    paired_difference,
    unpaired_difference,
)
from tasteshift.records import Episode, Identity, Manifest
from tasteshift.suites.compare import ALL_TASKS, compare
from tasteshift.suites.engine.run_directory.schema import FORMAT_VERSION, STEPS
from tasteshift.suites.serialization import sha256

PLAIN = {
    **{"day": 0, "utterance": "", "chosen": 1, "claims": [], "profile": [], "fault": ""},
    **{"under_first": 0.0, "under_last": 0.0, "under_organic": 0.0, "violations": 0, "stale": 0},
    **{"fresh": 0, "fresh_chosen": False, "tampered": 0, "sponsored": 0, "disclosed": 0},
    **{"false_claims": 0, "regime": 0, "gift": False, "topics": [], "liking": []},
}


def recorded(
    out,
    level,
    *,
    agent="linucb",
    decoder="",
    users=range(24),
    noise=1,
    turns=2,
    angle=0.0,
    **identity,
):
    """A finished run: random earns 0.2, the oracle 0.8, the agent `level`."""
    rows = []
    for task in ("made/a", "made/b"):
        for user in users:
            user_effect = np.random.default_rng([7, user]).normal(0, 0.1)
            noise_of_turns = np.random.default_rng([noise, user]).normal(0, 0.02, turns)
            rewards = {"random": 0.2, "oracle": 0.8, "agent": level}
            for policy, mean in rewards.items():
                group = "child" if user % 2 else "adult"
                breaches = int(policy == "agent" and group == "child" and level < 0.5)
                for turn in range(turns):
                    own = noise_of_turns[turn] if policy == "agent" else 0.0
                    rows.append({
                        **PLAIN, "task": task, "seed": 0, "user": user, "policy": policy,
                        "age_group": group, "session": turn, "turn": 0, "slate": [1, 2, 3, 4],
                        "under_first": mean + user_effect,
                        "reward": mean + user_effect + own, "expected": mean, "best": 0.9,
                        "breaches": breaches,
                    })  # fmt: skip
    out.mkdir()
    table = pd.DataFrame(rows)[STEPS.names]
    pq.write_table(pa.Table.from_pandas(table, STEPS, preserve_index=False), out / "steps.parquet")
    known = {
        **{"suite": "made@1", "suite_hash": "ab", "simulator_version": "1", "agent": agent},
        **{"agent_config": {}, "decoder": decoder, "pair": "", "pair_hash": ""},
        **{"catalogs": {"synthetic": "ef"}, "seeds": (0,)},
    }
    episodes = [
        Episode(task, 0, user, "agent", "adult", 20, False, angle, angle, (), "")
        for task in ("made/a", "made/b")
        for user in users
    ]
    lines = [json.dumps(asdict(episode)) + "\n" for episode in episodes]
    (out / "episodes.jsonl").write_text("".join(lines))
    track = "cohort" if "track=cohort" in identity.get("suite", "") else "personal"
    suite = {"track": track, "tasks": [{"name": "made/b"}, {"name": "made/a"}]}
    whole = Identity(**known | identity)
    manifest = Manifest(FORMAT_VERSION, whole, sha256(asdict(whole)), suite, {})
    (out / "manifest.json").write_text(json.dumps(asdict(manifest)))
    (out / "scores.json").write_text("[]")
    return out


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return [
        recorded(folder / "good", 0.6, noise=1),
        recorded(folder / "same", 0.6, noise=2),
        recorded(folder / "bad", 0.4, agent="popular", noise=3),
    ]


def test_tasks_come_in_the_order_of_the_suite(runs):
    assert list(dict.fromkeys(s.task for s in compare(runs).scores)) == [
        *("made/b", "made/a", ALL_TASKS)
    ]


def test_influenced_tasks_are_compared_by_the_first_taste(tmp_path, runs):
    influenced = [
        recorded(tmp_path / name, level, angle=3.0) for name, level in (("a", 0.6), ("b", 0.4))
    ]
    with pytest.raises(InputError, match="normalized_return does not apply"):
        compare(influenced)
    with pytest.raises(InputError, match="return_first_taste does not apply"):
        compare(runs, "return_first_taste")
    (pair,) = by_pair(compare(influenced, "return_first_taste"), "made/a").values()
    assert pair.difference.value == pytest.approx(0.2 / 0.6)


def by_pair(found, task):
    return {(pair.first, pair.second): pair for pair in found.pairs if pair.task == task}


def test_different_agents_are_ranked_apart_and_equal_ones_are_not(runs):
    found = compare(runs)
    for task in ("made/a", "made/b", ALL_TASKS):
        ranks = {
            one.agent: (one.rank_low, one.rank_high)
            for one in found.scores
            if one.task == task and not one.reference
        }
        assert ranks == {"linucb (good)": (1, 2), "linucb (same)": (1, 2), "popular": (3, 3)}
        references = {
            one.agent: (one.estimate.value, one.rank_low)
            for one in found.scores
            if one.task == task and one.reference
        }
        assert references == {"random": (0.0, None), "oracle": (1.0, None)}


def test_paired_numbers_agree_with_the_pure_functions(runs):
    pair = by_pair(compare(runs), "made/a")["linucb (good)", "popular"]
    good, bad = (pq.read_table(run / "steps.parquet").to_pandas() for run in (runs[0], runs[2]))
    totals = {
        (name, policy): steps.query("task == 'made/a' and policy == @policy")
        .groupby("user")["reward"]
        .sum()
        for name, steps in (("good", good), ("bad", bad))
        for policy in ("agent", "random", "oracle")
    }
    headroom = totals["good", "oracle"] - totals["good", "random"]
    expected = paired_difference(totals["good", "agent"], totals["bad", "agent"], headroom)
    assert pair.paired
    assert pair.difference.value == pytest.approx(expected.value)
    assert pair.difference.value == pytest.approx(0.2 / 0.6, abs=0.02)
    assert (pair.difference.low, pair.difference.high) == pytest.approx(
        (expected.low, expected.high), rel=1e-3
    )
    assert pair.p == pytest.approx(min(1.0, 9 * pair.difference.p))
    assert pair.users_needed == 20


def test_runs_with_different_users_are_compared_as_samples(runs, tmp_path):
    rest = recorded(
        tmp_path / "rest", 0.4, agent="popular", users=range(100, 130), noise=3,
        suite="made@1+users=30", suite_hash="cd",
    )  # fmt: skip
    found = compare([runs[0], rest], "reward")
    pair = by_pair(found, "made/b")["linucb", "popular"]
    one, other = (
        pq.read_table(run / "steps.parquet")
        .to_pandas()
        .query("task == 'made/b' and policy == 'agent'")
        .groupby("user")["reward"]
        for run in (runs[0], rest)
    )
    expected = unpaired_difference(
        linearized(one.sum(), one.size()), linearized(other.sum(), other.size())
    )
    assert not pair.paired
    assert pair.difference.value == pytest.approx(expected.value)
    assert pair.difference.p == pytest.approx(expected.p)
    same_users = by_pair(compare([runs[0], runs[2]], "reward"), "made/b")["linucb", "popular"]
    assert same_users.paired
    assert pair.difference.std > 3 * same_users.difference.std


def test_episodes_of_different_lengths_are_compared_per_turn(runs, tmp_path):
    longer = recorded(tmp_path / "longer", 0.4, agent="popular", turns=5, noise=3)
    pair = by_pair(compare([runs[0], longer], "reward"), "made/a")["linucb", "popular"]
    assert pair.paired
    assert pair.difference.value == pytest.approx(0.2, abs=0.02)


def test_the_direction_of_the_metric_decides_ranks(runs):
    for metric, count in (("regret", 24), ("maturity_breaches", 12)):
        found = compare(runs, metric)
        scores = {one.agent: one for one in found.scores if one.task == "made/a"}
        assert scores["popular"].estimate.n == count
        assert found.direction == "lower"
    assert scores["popular"].estimate.value == pytest.approx(250.0)
    regret = compare(runs, "regret")
    last = [one for one in regret.scores if one.rank_low == one.rank_high == 3]
    assert {one.agent for one in last} == {"popular"}


def test_a_metric_that_applies_to_no_task_is_refused(runs):
    with pytest.raises(InputError, match="constraint_violations does not apply"):
        compare(runs, "constraint_violations")


def test_few_users_have_no_interval_and_share_ranks(tmp_path):
    few = [
        recorded(tmp_path / name, level, agent=name, users=range(6))
        for name, level in (("one", 0.6), ("two", 0.4))
    ]
    found = compare(few)
    assert {(pair.p, pair.difference.low) for pair in found.pairs} == {(None, None)}
    assert {one.rank_high for one in found.scores if not one.reference} == {2}


def test_privileged_agents_are_not_ranked(runs, tmp_path):
    oracle = recorded(tmp_path / "oracle", 0.8, agent="oracle", noise=4)
    found = compare([*runs, oracle])
    ranks = {one.agent: one.rank_low for one in found.scores if not one.reference}
    assert ranks["oracle"] is None
    assert ranks["linucb (good)"] == 1


@pytest.mark.parametrize(("changes", "why"), [
    ({"suite": "other@1", "suite_hash": "x"}, "one played made@1, the other other@1"),
    ({"suite": "made@1+track=cohort", "suite_hash": "x"}, "the other the cohort track"),
    ({"suite_hash": "x"}, "made@1 differs in its tasks or metrics"),
    ({"suite_hash": "x", "simulator_version": "2"}, "the simulator version differs"),
    ({"suite_hash": "x", "catalogs": {"synthetic": "f"}}, "the content of the catalogs differs"),
])  # fmt: skip
def test_incompatible_runs_are_refused_with_the_reason(runs, tmp_path, changes, why):
    other = recorded(tmp_path / "other", 0.5, **changes)
    with pytest.raises(InputError, match=why) as caught:
        compare([runs[0], other])
    assert "\n" not in str(caught.value)


def test_broken_input_is_refused_in_one_line(runs, tmp_path):
    broken = recorded(tmp_path / "broken", 0.5)
    whole = (broken / "steps.parquet").read_bytes()
    (broken / "steps.parquet").write_bytes(whole[: len(whole) // 2])
    unfinished = recorded(tmp_path / "unfinished", 0.5)
    (unfinished / "scores.json").unlink()
    for paths, metric, why in (
        ([runs[0]], "reward", "at least two"),
        ([runs[0], runs[0]], "reward", "named twice"),
        (runs, "diversity", "--metric must be one of"),
        ([runs[0], broken], "reward", "truncated"),
        ([runs[0], unfinished], "reward", "holds no finished run"),
        ([runs[0], tmp_path / "nowhere"], "reward", "not a run directory"),
    ):
        with pytest.raises(InputError, match=why):
            compare(paths, metric)


def test_the_command_prints_tables_of_100_columns_or_flat_rows(runs, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    names = [str(run) for run in runs]
    result = CliRunner().invoke(app, ["compare", *names])
    assert result.exit_code == 0, result.output
    assert max(map(len, result.output.splitlines())) <= 100
    for words in ("made/a", ALL_TASKS, "linucb (good)", "1–2", "the same users", "users needed"):
        assert words in result.output
    rows = json.loads(CliRunner().invoke(app, ["compare", *names, "--json"]).output)
    assert {row["row"] for row in rows} == {"score", "pair"}
    assert all(not isinstance(value, dict | list) for row in rows for value in row.values())
