"""The report holds the right numbers in one self-contained file; plots agree with tables."""

import json
import re
import struct
import zlib
from dataclasses import replace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from tasteshift.metrics import FAMILIES, METRICS
from tasteshift.metrics.scoring import score
from tasteshift.metrics.statistics import ratio_interval
from tasteshift.metrics.trace import DECISIONS, EPISODES, GENERATIONS, Trace
from tasteshift.records import Identity, Manifest, Score
from tasteshift.suites.engine.run_directory.schema import FORMAT_VERSION
from tasteshift.suites.report.page import Details, number, write_report

TASKS = ("made/steady", "made/shift", "made/minors")
UTTERANCES = (
    "Something light tonight, please.",
    "More like the last one.",
    "",
    "I'm <b>done</b> & tired",
)
LEVEL = {"random": 0.16, "agent": 0.34, "frozen-oracle": 0.52, "oracle": 0.55}
ALL_LEVELS = {
    **LEVEL,
    "agent-counterfactual": 0.42,
    "oracle-plan": 0.57,
    "oracle-text": 0.4,
    "custom": 0.3,
}
STEP_DEFAULTS = {
    **{"claims": [], "profile": [], "fault": "", "under_first": 0.3, "under_last": 0.3},
    **{"under_organic": 0.3, "violations": 0, "stale": 0, "fresh": 0, "fresh_chosen": False},
    **{"tampered": 0, "sponsored": 0, "disclosed": 0, "false_claims": 0, "regime": 0},
    **{"gift": False, "topics": [], "liking": []},
}


def made_up_run(users=30, sessions=8, turns=3, seed=1, model=True, levels=LEVEL, cluster_by="user"):
    """A made-up trace of three tasks; in one, tastes change at session 4 and the agent adapts."""
    rng = np.random.default_rng(seed)
    steps, generations, decisions, episodes = [], [], [], []
    for task in TASKS:
        user_effect = rng.normal(0, 0.05, users)
        for policy, level in levels.items():
            for user in range(users):
                group = ("child", "teen")[user % 2] if task == "made/minors" else "adult"
                key = (task, user // 2, user, policy, group)
                episodes.append((*key, 20, False, 0.0, 0.0))
                for s in range(sessions):
                    mean = level + user_effect[user] + (0.02 * s if policy == "agent" else 0)
                    if task == "made/shift" and s >= 4 and policy in ("agent", "frozen-oracle"):
                        lost = 0.22 if policy == "frozen-oracle" else 0.2 * 0.6 ** (s - 4)
                        mean -= lost
                    for t in range(turns):
                        best = 0.6 + user_effect[user]
                        chose = rng.random() < 0.8
                        reward = float(np.clip(rng.normal(mean / 0.8, 0.15), 0, 1)) * chose
                        slate = [int(i) for i in rng.choice(90, 5, replace=False)]
                        breaches = int(rng.binomial(5, 0.2)) if policy == "random" else 0
                        if policy == "agent":
                            breaches = int(rng.random() < 0.1)
                        breaches *= group != "adult"
                        chosen = slate[t] if chose else -1
                        row = {"task": task, "seed": user // 2, "user": user, "policy": policy}
                        row |= {"age_group": group, "session": s, "turn": t, "day": 7 * s}
                        row |= {
                            "utterance": UTTERANCES[(s + t) % 4],
                            "slate": slate,
                            "chosen": chosen,
                        }
                        row |= {"reward": reward, "expected": min(mean, best), "best": best}
                        steps.append({**STEP_DEFAULTS, **row, "breaches": breaches})
                        if policy == "agent":
                            wait = 0.9 if model and task == "made/shift" else 0.002
                            waited = wait * rng.lognormal(0, 0.3)
                            decisions.append((task, user // 2, user, waited, 0.0, 10**8))
                        if policy == "agent" and model and task == "made/shift":
                            generations += generation(rng, task, user, s, t)
    return Trace(
        pd.DataFrame(steps),
        pd.DataFrame(generations, columns=GENERATIONS),
        pd.DataFrame(decisions, columns=DECISIONS),
        pd.DataFrame(episodes, columns=EPISODES),
        cluster_by,
    )


def generation(rng, task, user, session, turn):
    outcome = str(rng.choice(["valid", "fallback"], p=[0.9, 0.1]))
    accepted = rng.binomial(4, 0.55, size=4)
    text = "3 1 12 7 5" if outcome == "valid" else "</script><script>alert(1)</script>"
    reply = [task, user // 2, user, session, turn, 0, outcome, text, 210, int(sum(accepted) + 4)]
    return [
        [*reply, index, 4, 4, 28, 29, int(length), int(length) + 1, ["draft"] * int(length)]
        for index, length in enumerate(accepted)
    ]


def manifest(**changes):
    identity = {
        "suite": "made@1",
        "suite_hash": "ab" * 32,
        "simulator_version": "1",
        "agent": "llm",
        "agent_config": {"candidates": 12},
        "decoder": "mcsd",
        "pair": "smollm2-135m",
        "pair_hash": "cd" * 32,
        "catalogs": {"movielens-100k": "ef" * 32},
        "seeds": (0,),
    }
    provenance = {"commit": "0123456789abcdef", "dirty": True, "packages": {"numpy": "2.4"}}
    return Manifest(FORMAT_VERSION, Identity(**identity | changes), "12" * 32, {}, provenance)


def picture(task, item):
    across, down = np.meshgrid(np.linspace(0, 1, 64), np.linspace(0, 1, 64))
    hue = np.stack([across, down, np.full_like(across, (item % 9) / 9)], axis=-1)
    return (255 * (0.3 + 0.7 * hue * (item % 7 + 1) / 7)).astype(np.uint8)


def title(task, item):
    return f"Film & Number {item} (19{item % 90 + 10})"


def written(out, trace, **changes):
    tasks = list(dict.fromkeys(trace.steps["task"]))
    scores = [*score(trace, tasks, timed=False), *score(trace, tasks, timed=True)]
    path = write_report(
        out,
        manifest(**changes),
        scores,
        trace.of_task,
        Details(
            title,
            picture,
            tasks={"made/shift": "tastes change in session 5"},
            simulated=("maturity", "posters"),
        ),
    )
    return path.read_text(encoding="utf-8"), scores


@pytest.fixture(scope="module")
def trace():
    return made_up_run()


@pytest.fixture(scope="module")
def page(trace, tmp_path_factory):
    return written(tmp_path_factory.mktemp("run"), trace)[0]


def figures(page):
    found = re.findall(r'<script type="application/json" data-figure="(.*?)">(.*?)</script>', page)
    return {name: json.loads(text) for name, text in found}


def series(figure, name):
    return next(data for data in figure["data"] if data["name"] == name)


def test_curves_are_the_means_of_the_recorded_rewards(page, trace):
    drawn = figures(page)
    for index, task in enumerate(TASKS):
        for policy in LEVEL:
            steps = trace.of_task(task).steps_of(policy)
            line = series(drawn[f"curve-{index}"], policy)
            assert line["x"] == [1, 2, 3, 4, 5, 6, 7, 8]
            assert line["y"] == pytest.approx(steps.groupby("session")["reward"].mean().tolist())
            fifth = steps[steps["session"] == 4].groupby("user")["reward"]
            expected = ratio_interval(fifth.sum(), fifth.size())
            band = series(drawn[f"curve-{index}"], f"{policy} interval")
            assert (band["y"][4], band["y"][-5]) == (expected.high, expected.low)


def test_the_plot_of_normalized_returns_shows_the_scores(tmp_path, trace):
    page, scores = written(tmp_path, trace)
    drawn = series(figures(page)["normalized-returns"], "agent")
    returns = {s.task: s for s in scores if s.metric == "normalized_return"}
    assert drawn["x"] == [returns[task].value for task in reversed(TASKS)]
    reach = [returns[task].high - returns[task].value for task in reversed(TASKS)]
    assert drawn["error_x"]["array"] == pytest.approx(reach)


def test_every_score_is_in_the_table(tmp_path, trace):
    page, scores = written(tmp_path, trace)
    rows = re.findall(r'<th scope="row">(made/\w+)</th><td class="n value">(.*?)</td>', page)
    assert sorted(rows) == sorted((s.task, number(s.value, s.unit)) for s in scores)


def test_histogram_latency_and_safety_match_the_tables(page, trace):
    drawn = figures(page)
    lengths = trace.generations["accepted"].value_counts().reindex(range(5), fill_value=0)
    assert drawn["accepted"]["data"][0]["customdata"] == lengths.tolist()
    assert drawn["accepted"]["data"][0]["y"] == pytest.approx((lengths / lengths.sum()).tolist())
    waits = trace.decisions.query("task == 'made/shift'")["seconds"]
    curve = series(drawn["latency"], "made/shift")
    assert curve["x"] == pytest.approx(np.quantile(waits, curve["y"]).tolist())
    minors = trace.steps.query("task == 'made/minors' and policy == 'random'")
    dot = series(drawn["safety-0"], "random")
    assert dot["x"] == pytest.approx([1000 * minors["breaches"].sum() / (5 * len(minors))])
    assert dot["y"] == pytest.approx([minors["reward"].mean()])
    assert "safety-1" not in drawn


def test_the_transcript_is_the_median_episode_of_the_task_with_a_model(page, trace):
    steps = trace.steps.query("task == 'made/shift' and policy == 'agent'")
    totals = steps.groupby("user")["reward"].sum().sort_values()
    user = totals.index[(len(totals) - 1) // 2]
    assert f"User {user} (adult) of made/shift" in page
    episode = steps[steps["user"] == user]
    assert page.count('<div class="turn">') == len(episode)
    assert page.count("<em>chosen</em>") == (episode["chosen"] >= 0).sum()
    assert page.count('<ol class="slate">') == len(episode)


def test_pictures_show_the_given_pixels(page):
    import base64

    encoded = re.search(r'src="data:image/png;base64,([^"]+)"[^>]*>Film &amp; Number (\d+)', page)
    png, item = base64.b64decode(encoded[1]), int(encoded[2])
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", png[16:24]) == (64, 64)
    size = struct.unpack(">I", png[33:37])[0]
    rows = np.frombuffer(zlib.decompress(png[41 : 41 + size]), np.uint8).reshape(64, 193)
    assert (rows[:, 1:].reshape(64, 64, 3) == picture("", item)).all()


def test_nothing_is_loaded_and_no_recorded_text_is_executed(page):
    own = page[: page.index("plotly.js v")] + page[page.rindex('"use strict"') :]
    assert not re.search(r'(src|href)="(?!data:|#)', own)
    assert "default-src 'none'" in own
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in own
    assert "<script>alert" not in own
    assert "I&#39;m &lt;b&gt;done&lt;/b&gt; &amp; tired" in own


def test_plotly_accepts_every_figure(page):
    drawn = figures(page)
    assert len(drawn) == 7
    for figure in drawn.values():
        colors = re.sub(r'"@[a-z0-9-]+"', '"#123456"', json.dumps(figure))
        go.Figure(json.loads(colors))


def test_colors_all_have_a_value_in_light_and_dark(page):
    tokens = {name for f in figures(page).values() for name in re.findall(r'"@([\w-]+)"', str(f))}
    tokens |= set(re.findall(r"'@([\w-]+)'", str(figures(page))))
    assert tokens
    for token in tokens:
        assert page.count(f"--{token}:") == 2, token


def test_the_page_states_identity_and_sampling_unit(page):
    for words in ("made@1", "mcsd", "smollm2-135m", "0123456789", "with uncommitted changes"):
        assert words in page
    for words in ("tastes change in session 5", "does not have them: maturity, posters."):
        assert words in page
    for words in ("sampling unit is the user", "2,000 resamples", "Below 20 users"):
        assert words in page


def test_a_small_run_without_a_model_has_no_intervals_and_no_decoding(tmp_path):
    small = made_up_run(users=3, sessions=1, turns=2, model=False)
    page, _ = written(tmp_path, small, agent="popular", decoder="", pair="", pair_hash="")
    drawn = figures(page)
    assert "accepted" not in drawn
    assert series(drawn["curve-0"], "agent")["x"] == [1, 2]
    assert series(drawn["curve-0"], "agent interval")["x"] == []
    assert page.count(">none</span>") > 10


def test_an_agent_alone_still_gets_a_page(tmp_path):
    run = made_up_run(users=4, sessions=2, turns=2, model=False)
    alone = Trace(run.steps_of("agent"), pd.DataFrame(), pd.DataFrame(), pd.DataFrame())
    drawn = figures(written(tmp_path, alone)[0])
    assert "normalized-returns" not in drawn
    assert [data["name"] for data in drawn["curve-0"]["data"]] == ["agent interval", "agent"]


def test_all_reference_policies_and_the_counterfactual_are_shown(tmp_path):
    run = made_up_run(users=22, sessions=3, levels=ALL_LEVELS, model=False)
    page, _ = written(tmp_path, run)
    drawn = figures(page)
    names = {data["name"] for data in drawn["curve-0"]["data"]}
    assert {"agent-counterfactual", "oracle-plan"} < names
    assert not {"oracle-text", "custom"} & names
    counterfactual = series(drawn["curve-0"], "agent-counterfactual")
    steps = run.of_task("made/steady").steps_of("agent-counterfactual")
    assert counterfactual["y"] == pytest.approx(steps.groupby("session")["reward"].mean().tolist())
    assert counterfactual["text"][0].startswith("agent (counterfactual), session 1")
    assert "custom</b> a policy of this suite" in page
    assert {data["name"] for data in drawn["safety-0"]["data"]} == set(ALL_LEVELS) - {
        "agent-counterfactual"
    }
    rows = page[page.index("<h2>Reference policies</h2>") :]
    row = re.search(r"agent \(counterfactual\)</th>.*?</tr>", rows, re.DOTALL)[0]
    assert row.count("–") >= 2
    planner = re.search(r"oracle-plan</th>.*?</tr>", rows, re.DOTALL)[0]
    assert "by definition" in planner


def test_cohorts_are_named_as_the_sampling_unit(tmp_path):
    page, _ = written(tmp_path, made_up_run(users=50, sessions=2, cluster_by="seed", model=False))
    for words in ("sampling unit is the cohort", "Below 20 cohorts", "over cohorts"):
        assert words in page
    assert series(figures(page)["curve-0"], "agent")["text"][0].endswith("25 cohorts)")


def test_metrics_are_listed_under_their_family(page, trace):
    headings = re.findall(r'id="family-(\w+)">', page)
    assert headings == [family for family in FAMILIES if family in headings]
    assert {"personalization", "safety", "efficiency"} <= set(headings)
    table = page[page.index("<h2>Scores</h2>") :]
    positions = {family: table.index(f'id="family-{family}"') for family in headings}
    for family, name in (("safety", "invalid_actions"), ("efficiency", "mean_acceptance_length")):
        position = table.index(METRICS.get(name).summary.replace("'", "&#39;"))
        assert positions[family] < position
        assert [f for f in headings if positions[f] < position][-1] == family


def test_a_censored_time_is_a_lower_bound(tmp_path, trace):
    scores = [Score("made/shift", "adaptation_half_life", 7.0, 3.5, None, 30, "sessions", "lower")]
    path = write_report(tmp_path, manifest(), scores, trace.of_task, Details(title))
    assert "at least 3.50" in path.read_text(encoding="utf-8")


def test_faults_are_explained(tmp_path):
    run = made_up_run(users=2, sessions=1, turns=2, model=False)
    faulty = run.steps.assign(
        fault=["timeout", "died"] * (len(run.steps) // 2), slate=[[]] * len(run.steps)
    )
    page, _ = written(tmp_path, replace(run, steps=faulty.drop(columns="shown")))
    assert "The agent did not answer in time; nothing was shown." in page
    assert "process died; nothing was shown." in page


def test_no_more_than_one_task_need_be_in_memory(tmp_path, trace):
    asked = []
    scores = score(trace, list(TASKS), timed=False)
    write_report(
        tmp_path,
        manifest(),
        scores,
        lambda task: asked.append(task) or trace.of_task(task),
        Details(title),
    )
    assert asked == [*TASKS, "made/shift"]


def test_of_a_long_episode_both_ends_are_shown(tmp_path):
    page, _ = written(tmp_path, made_up_run(users=2, sessions=20, turns=4, model=False))
    assert page.count('<div class="turn">') == 60
    assert "20 turns in the middle are left out" in page


def test_the_same_run_gives_the_same_page_and_leaves_nothing_else(tmp_path, trace):
    first = written(tmp_path, trace)[0]
    assert first == written(tmp_path, trace)[0]
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "", "–"),
        (0.0, "", "0"),
        (0.41234, "", "0.412"),
        (-0.05, "", "−0.0500"),
        (12.0, "", "12.0"),
        (123.4, "", "123"),
        (12345.6, "", "12,346"),
        (0.0123, "seconds", "12.3\u202fms"),
        (0.00001, "seconds", "10.0\u202fµs"),
        (2.5, "seconds", "2.50\u202fs"),
        (292_000_000.0, "bytes", "292\u202fMB"),
        (1.5e9, "bytes", "1.50\u202fGB"),
    ],
)
def test_numbers_are_formatted_for_readers(value, unit, text):
    assert number(value, unit) == text
