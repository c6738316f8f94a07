"""Runs side by side: numbers by hand, verdicts that a reader can check, and clear refusals."""

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
from tasteshift.metrics.comparison import linearized, paired, unpaired
from tasteshift.records import Episode, Identity, Manifest
from tasteshift.suites.canonical import sha256
from tasteshift.suites.compare import TOGETHER, compare
from tasteshift.suites.engine.run_directory import STEPS

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
    led=0.0,
    **identity,
):
    """A finished run whose agent earns `level` beside random 0.2 and oracle 0.8, and breaches."""
    rows = []
    for task in ("made/a", "made/b"):
        for user in users:
            mood = np.random.default_rng([7, user]).normal(0, 0.1)
            luck = np.random.default_rng([noise, user]).normal(0, 0.02, turns)
            earns = {"random": 0.2, "oracle": 0.8, "agent": level}
            for policy, mean in earns.items():
                group = "child" if user % 2 else "adult"
                breaches = int(policy == "agent" and group == "child" and level < 0.5)
                for turn in range(turns):
                    own = luck[turn] if policy == "agent" else 0.0
                    rows.append({
                        **PLAIN, "task": task, "seed": 0, "user": user, "policy": policy,
                        "age_group": group, "session": turn, "turn": 0, "slate": [1, 2, 3, 4],
                        "under_first": mean + mood,
                        "reward": mean + mood + own, "expected": mean, "best": 0.9,
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
        Episode(task, 0, user, "agent", "adult", 20, False, led, led, (), "")
        for task in ("made/a", "made/b")
        for user in users
    ]
    lines = [json.dumps(asdict(episode)) + "\n" for episode in episodes]
    (out / "episodes.jsonl").write_text("".join(lines))
    track = "cohort" if "track=cohort" in identity.get("suite", "") else "personal"
    suite = {"track": track, "tasks": [{"name": "made/b"}, {"name": "made/a"}]}
    who = Identity(**known | identity)
    manifest = Manifest(who, sha256(asdict(who)), suite, {})
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
    assert list(dict.fromkeys(s.task for s in compare(runs).standings)) == [
        *("made/b", "made/a", TOGETHER)
    ]


def test_where_tastes_are_led_the_first_taste_judges(tmp_path, runs):
    led = [recorded(tmp_path / name, level, led=3.0) for name, level in (("a", 0.6), ("b", 0.4))]
    with pytest.raises(InputError, match="normalized_return does not apply"):
        compare(led)
    with pytest.raises(InputError, match="return_first_taste does not apply"):
        compare(runs, "return_first_taste")
    (pair,) = by_pair(compare(led, "return_first_taste"), "made/a").values()
    assert pair.difference.value == pytest.approx(0.2 / 0.6)


def by_pair(found, task):
    return {(pair.mine, pair.theirs): pair for pair in found.pairs if pair.task == task}


def test_agents_are_told_apart_and_equals_are_not(runs):
    found = compare(runs)
    for task in ("made/a", "made/b", TOGETHER):
        ranks = {
            one.agent: (one.rank_low, one.rank_high)
            for one in found.standings
            if one.task == task and not one.yardstick
        }
        assert ranks == {"linucb (good)": (1, 2), "linucb (same)": (1, 2), "popular": (3, 3)}
        yardsticks = {
            one.agent: (one.estimate.value, one.rank_low)
            for one in found.standings
            if one.task == task and one.yardstick
        }
        assert yardsticks == {"random": (0.0, None), "oracle": (1.0, None)}


def test_the_numbers_are_those_of_the_pure_functions(runs):
    pair = by_pair(compare(runs), "made/a")["linucb (good)", "popular"]
    good, bad = (pq.read_table(run / "steps.parquet").to_pandas() for run in (runs[0], runs[2]))
    totals = {
        (name, policy): steps.query("task == 'made/a' and policy == @policy")
        .groupby("user")["reward"]
        .sum()
        for name, steps in (("good", good), ("bad", bad))
        for policy in ("agent", "random", "oracle")
    }
    room = totals["good", "oracle"] - totals["good", "random"]
    expected = paired(totals["good", "agent"], totals["bad", "agent"], room)
    assert pair.paired
    assert pair.difference.value == pytest.approx(expected.value)
    assert pair.difference.value == pytest.approx(0.2 / 0.6, abs=0.02)
    assert (pair.difference.low, pair.difference.high) == pytest.approx(
        (expected.low, expected.high), rel=1e-3
    )
    assert pair.p == pytest.approx(min(1.0, 9 * pair.difference.p))
    assert pair.users == 20


def test_other_users_are_compared_as_samples(runs, tmp_path):
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
    expected = unpaired(linearized(one.sum(), one.size()), linearized(other.sum(), other.size()))
    assert not pair.paired
    assert pair.difference.value == pytest.approx(expected.value)
    assert pair.difference.p == pytest.approx(expected.p)
    same_users = by_pair(compare([runs[0], runs[2]], "reward"), "made/b")["linucb", "popular"]
    assert same_users.paired
    assert pair.difference.spread > 3 * same_users.difference.spread


def test_lives_of_other_lengths_are_compared_per_turn(runs, tmp_path):
    longer = recorded(tmp_path / "longer", 0.4, agent="popular", turns=5, noise=3)
    pair = by_pair(compare([runs[0], longer], "reward"), "made/a")["linucb", "popular"]
    assert pair.paired
    assert pair.difference.value == pytest.approx(0.2, abs=0.02)


def test_lower_is_better_where_it_is(runs):
    for metric, count in (("regret", 24), ("maturity_breaches", 12)):
        found = compare(runs, metric)
        standing = {one.agent: one for one in found.standings if one.task == "made/a"}
        assert standing["popular"].estimate.n == count
        assert found.direction == "lower"
    assert standing["popular"].estimate.value == pytest.approx(250.0)
    regret = compare(runs, "regret")
    last = [one for one in regret.standings if one.rank_low == one.rank_high == 3]
    assert {one.agent for one in last} == {"popular"}


def test_a_metric_that_applies_nowhere_is_said_so(runs):
    with pytest.raises(InputError, match="constraint_violations does not apply"):
        compare(runs, "constraint_violations")


def test_few_users_get_no_verdict(tmp_path):
    few = [
        recorded(tmp_path / name, level, agent=name, users=range(6))
        for name, level in (("one", 0.6), ("two", 0.4))
    ]
    found = compare(few)
    assert {(pair.p, pair.difference.low) for pair in found.pairs} == {(None, None)}
    assert {one.rank_high for one in found.standings if not one.yardstick} == {2}


def test_privileged_agents_are_not_ranked(runs, tmp_path):
    oracle = recorded(tmp_path / "oracle", 0.8, agent="oracle", noise=4)
    found = compare([*runs, oracle])
    ranks = {one.agent: one.rank_low for one in found.standings if not one.yardstick}
    assert ranks["oracle"] is None
    assert ranks["linucb (good)"] == 1


@pytest.mark.parametrize(("changes", "why"), [
    ({"suite": "other@1", "suite_hash": "x"}, "one played made@1, the other other@1"),
    ({"suite": "made@1+track=cohort", "suite_hash": "x"}, "the other the cohort track"),
    ({"suite_hash": "x"}, "made@1 differs in its tasks or metrics"),
    ({"suite_hash": "x", "simulator_version": "2"}, "the simulator version differs"),
    ({"suite_hash": "x", "catalogs": {"synthetic": "f"}}, "the content of the catalogs differs"),
])  # fmt: skip
def test_runs_that_cannot_be_compared_say_what_differs(runs, tmp_path, changes, why):
    other = recorded(tmp_path / "other", 0.5, **changes)
    with pytest.raises(InputError, match=why) as caught:
        compare([runs[0], other])
    assert "\n" not in str(caught.value)


def test_broken_input_is_one_clear_line(runs, tmp_path):
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


def test_the_command_prints_tables_of_a_hundred_columns_and_flat_rows(runs, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    names = [str(run) for run in runs]
    told = CliRunner().invoke(app, ["compare", *names])
    assert told.exit_code == 0, told.output
    assert max(map(len, told.output.splitlines())) <= 100
    for words in ("made/a", TOGETHER, "linucb (good)", "1–2", "the same users", "users to tell"):
        assert words in told.output
    rows = json.loads(CliRunner().invoke(app, ["compare", *names, "--json"]).output)
    assert {row["row"] for row in rows} == {"standing", "pair"}
    assert all(not isinstance(value, dict | list) for row in rows for value in row.values())
