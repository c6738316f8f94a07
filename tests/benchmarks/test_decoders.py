"""Decoder benchmark on two tiny Llamas: complete rows, and figures by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from tasteshift.benchmarks import decoders, engines, workloads
from tasteshift.benchmarks.decoder_metrics import Trial, rows_of, seconds_per_token
from tasteshift.benchmarks.decoder_tables import decoding_tables, histogram, summary
from tasteshift.benchmarks.decoders import WorkloadRun, bench_decoders, distribution_prompt
from tasteshift.benchmarks.engines import (
    Engine,
    after_prefill,
    all_engines,
    decoder_engine,
    tune,
)
from tasteshift.benchmarks.reference_engines import REFERENCE_ENGINES, reference_engine
from tasteshift.cli import app
from tasteshift.decoders import DECODERS
from tasteshift.decoders.base import ModelPair
from tasteshift.decoders.fidelity.distribution_tests import DistributionTest
from tasteshift.decoders.fidelity.teacher_forced import Mismatch, TokenMatch
from tasteshift.errors import InputError
from tasteshift.records import Generation, Round

CONTRACT = (
    "decoder pair device temperature workload batch exact acceptance_rate acceptance_rate_drafted "
    "draft_acceptance_rate mean_acceptance_length tokens_per_s tokens_per_s_with_prompt speedup_ar "
    "speedup_mcsd speedup_ar_with_prompt token_match near_ties tv_distance distribution_p threads"
).split()
SMALL_SWEEPS = {"speculative": ({"depth": 1}, {"depth": 2}), "mcsd": ({"k": (2,)},)}


@pytest.fixture(scope="module")
def rows(pair: ModelPair, made_prompts, counting) -> list[dict]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (engines, decoders):
            patch.setattr(module, "SWEEPS", SMALL_SWEEPS)
        patch.setattr(decoders, "TUNING_PROMPTS", 3)
        updates: list[str] = []
        found = bench_decoders(
            pair, {"made": made_prompts(5)}, threads=1, draws=10, bars=counting(updates)
        )
    assert updates
    return found


def test_rows_are_complete(rows: list[dict]) -> None:
    labels = [row["decoder"] for row in rows if row["temperature"] == 0]
    assert set(DECODERS.names()) | set(REFERENCE_ENGINES) <= set(labels)
    assert len(labels) == len(set(labels))
    assert [row["decoder"] for row in rows if row["temperature"] == 0.7][:1] == labels[:1]
    assert sum("(tuned: " in label for label in labels) == 2
    for row in rows:
        assert set(CONTRACT) <= set(row)
        assert (row["pair"], row["device"], row["workload"]) == ("small", "cpu", "made")
        assert row["batch"] == 1
        assert (row["draft_acceptance_rate"] is None) == (row["nodes_per_round"] == 0)
        assert (row["prompts"], row["threads"], row["note"]) == (2, 1, "")
        assert sum(row["accepted_lengths"]) == row["rounds"]
        assert sum(row["sources"].values()) == sum(
            n * times for n, times in enumerate(row["accepted_lengths"])
        )
        assert row["tokens_per_s"] > 0
        if row["decoder"] == "exact-dynamic":
            assert row["planned_acceptance_length"] >= 1
            assert row["planned_tokens_per_s"] > 0
            assert row["rounds_per_s"] > 0
        else:
            assert row["planned_tokens_per_s"] is None
        assert (row["share_host"] is None) == row["reference_engine"]
        assert row["reference_engine"] or 0 < row["share_host"] < 1
        assert row["floor_seconds"] > 0
        shares = [row[f"share_{part}"] for part in ("draft", "verify", "decide")]
        assert sum(shares) == pytest.approx(1)
        assert row["tokens_per_s_low"] is None, "two prompts are too few for an interval"
    json.dumps(rows, allow_nan=False)


def test_lossless_rows_match_and_others_do_not(rows: list[dict]) -> None:
    for row in rows:
        if row["temperature"] == 0:
            assert row["tv_distance"] is row["distribution_p"] is None
            assert (row["token_match"] == 1) == (row["exact"] is not False)
        elif row["decoder"] in ("autoregressive", "exact-dynamic"):
            assert row["token_match"] == 1
        else:
            assert row["token_match"] is None
        if row["temperature"] and not row["tuned"] and not row["reference_engine"]:
            assert row["distribution_draws"] == 10
            assert 0 <= row["tv_distance"] <= 1
            assert 0 <= row["distribution_p"] <= 1


def test_tables_name_every_engine_at_any_width(rows: list[dict]) -> None:
    for width in (60, 200):
        console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
        for one in decoding_tables(rows):
            console.print(one)
        console.file.close()
        text = console.export_text()
        assert "1 threads" in text
        if width == 200:
            assert all(row["decoder"] in text for row in rows)


def generations(times: list[float], accepted: list[int], first: float = 0.5) -> list[Generation]:
    """Texts of one round each that take so many seconds per token after the first."""
    return [
        Generation(
            4,
            tuple(range(n + 2)),
            (Round(4, 2, 3, 5, n, n + 1, 0.1, 0.2, 0.1, sources=("draft",) * n),),
            first + seconds * (n + 1),
            first,
        )
        for seconds, n in zip(times, accepted, strict=True)
    ]


def trial(label: str, times: list[float], accepted: list[int], exact: bool = True) -> Trial:
    one = Engine(label, label, exact, lambda *_: None, decoder=object.__new__(_Decoder))  # type: ignore[arg-type,return-value]
    return Trial(one, generations(times, accepted))


class _Decoder:
    """Stand-in for a decoder that has only a configuration."""

    def config(self) -> dict:
        return {}


def test_figures_by_hand() -> None:
    trials = [
        trial("autoregressive", [0.2, 0.4, 0.9], [0, 0, 0]),
        trial("mcsd", [0.1, 0.4, 0.1], [2, 0, 1]),
    ]
    near, wrong = Mismatch(0, 1, 2, 1e-5), Mismatch(1, 1, 2, 1.0)
    matches = {"mcsd": [TokenMatch(4, 1e-5, (near,), ()), TokenMatch(6, 1e-4, (), (wrong,))]}
    tests = {
        "autoregressive": [DistributionTest("draft", 9, 3, 0.5, 0.1, 0.2, 1.0)],
        "mcsd": [
            DistributionTest("draft", 9, 3, 0.01, 0.3, 0.2, 1.0),
            DistributionTest("rejection", 9, 3, 0.02, 0.4, 0.2, 1.0),
        ],
    }
    plain, mcsd = rows_of({"threads": 2}, trials, matches, tests)
    assert mcsd["speedup_ar"] == pytest.approx(np.median([2, 1, 9]))
    assert mcsd["speedup_ar_with_prompt"] == pytest.approx(np.median([1.75, 1, 3]))
    assert plain["speedup_mcsd"] == pytest.approx(0.5)
    assert plain["speedup_ar"] == mcsd["speedup_mcsd"] == 1
    assert mcsd["tokens_per_s"] == pytest.approx(10)
    assert mcsd["tokens_per_s_with_prompt"] == pytest.approx(9 / (0.8 + 0.9 + 0.7))
    assert mcsd["acceptance_rate"] == 3 / 12
    assert mcsd["acceptance_rate_drafted"] == 3 / 6
    assert mcsd["draft_acceptance_rate"] == 3 / 9
    assert mcsd["mean_acceptance_length"] == 6 / 3
    assert mcsd["accepted_lengths"] == [1, 1, 1]
    assert mcsd["sources"] == {"draft": 3}
    assert (mcsd["nodes_per_round"], mcsd["rows_per_round"]) == (3, 5)
    assert mcsd["nodes_per_token"] == 9 / 6
    assert (mcsd["token_match"], mcsd["near_ties"], mcsd["unexplained"]) == (0.9, 1, 1)
    assert mcsd["logit_difference"] == 1e-4
    assert plain["token_match"] is None
    assert (mcsd["distribution_p"], plain["distribution_p"]) == (
        pytest.approx(0.03),
        pytest.approx(0.5),
    )
    assert (mcsd["tv_distance"], mcsd["tv_floor"], mcsd["distribution_draws"]) == (0.3, 0.2, 9)
    assert mcsd["inter_token_p50"] == pytest.approx((0.4 / 3 + 0.4 / 2) / 2)
    assert mcsd["share_verify"] == pytest.approx(0.5)
    assert mcsd["ttft_p50"] == 0.5


def test_intervals_need_twenty_prompts() -> None:
    times = np.random.default_rng(0).uniform(0.1, 0.2, 24)
    trials = [
        trial("autoregressive", (2 * times).tolist(), [0] * 24),
        trial("mcsd", times.tolist(), [1] * 24),
    ]
    _, mcsd = rows_of({}, trials, {}, {})
    assert mcsd["speedup_ar_low"] == pytest.approx(2)
    assert mcsd["speedup_ar_high"] == pytest.approx(2)
    assert mcsd["tokens_per_s_low"] < mcsd["tokens_per_s"] < mcsd["tokens_per_s_high"]


def test_first_tokens_are_not_counted_as_decoding() -> None:
    rooted = Generation(
        4, (1, 2, 3, 4, 5), (Round(4, 4, 4, 5, 2, 3), Round(4, 4, 4, 5, 1, 2)), 3, 1
    )
    assert after_prefill(rooted) == (2, 2)
    (plain,) = generations([0.25], [3])
    assert after_prefill(plain) == (4, 1)
    assert math.isnan(seconds_per_token([Generation(4, (1,), (), 0.1, 0.1)])[0])


def test_an_engine_without_texts_has_a_note(pair: ModelPair, made_prompts) -> None:
    def broken(*_):
        raise ValueError("no such\nthing")

    fine = decoder_engine("autoregressive", pair, 0.0, 1)
    reference = Engine("broken", "broken", True, broken)
    prompts = made_prompts(2)
    trials = decoders.interleaved([fine, reference], prompts[0], prompts, lambda _: None)
    assert [trial.reason for trial in trials] == ["", "ValueError: no such"]
    rows = rows_of({"temperature": 0.0, "workload": "made"}, trials, {}, {})
    assert rows[1]["note"] == "ValueError: no such"
    assert rows[1]["tokens_per_s"] is rows[1]["speedup_ar"] is None
    broken_decoder = Engine("mine", "mine", True, broken, decoder=fine.decoder)
    with pytest.raises(ValueError, match="no such"):
        decoders.interleaved([broken_decoder], prompts[0], prompts, lambda _: None)


def test_engines_can_be_selected_by_name(pair: ModelPair, made_prompts) -> None:
    prompts = {"made": made_prompts(5)}
    chosen = ("autoregressive", "transformers generate")
    rows = bench_decoders(pair, prompts, temperatures=[0.0], threads=1, only=chosen)
    assert [row["decoder"] for row in rows] == list(chosen)
    assert rows[0]["speedup_mcsd"] is None
    with pytest.raises(InputError, match="there is no engine 'mcds'"):
        bench_decoders(pair, prompts, only=["mcds"])


def test_tuning_takes_the_fastest(pair: ModelPair, made_prompts, monkeypatch) -> None:
    """Fastest by the seconds per token of the generations."""
    monkeypatch.setattr(engines, "SWEEPS", SMALL_SWEEPS)
    seconds = {1: 0.5, 2: 0.25}

    def timed(generation: Generation) -> tuple[int, float]:
        return 10, 10 * seconds[generation.rounds[0].max_depth]

    monkeypatch.setattr(engines, "after_prefill", timed)
    best = tune("speculative", pair, 0.0, 1, made_prompts(3), lambda _: None)
    assert (best.label, best.tuned, best.options) == (
        "speculative (tuned: depth=2)",
        True,
        {"depth": 2},
    )


def test_variants_that_change_nothing_are_left_out(pair: ModelPair) -> None:
    """This pair has no decision model, so its default is `off` already."""
    labels = [one.label for one in all_engines(pair, 0.0, 1)]
    assert not any("off" in label for label in labels)


@pytest.mark.parametrize("name", REFERENCE_ENGINES)
@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_reference_engines_record_their_rounds(
    pair: ModelPair, name: str, temperature: float
) -> None:
    """Every target pass after the first is a round; when greedy the text is the target's."""
    before = torch.random.get_rng_state()
    threads = torch.get_num_threads()
    generate = reference_engine(name, pair, temperature, 1)
    one, again = (generate((3, 4, 5, 3, 4, 5), 20, 7) for _ in range(2))
    assert one.tokens == again.tokens
    assert len(one.tokens) == 20
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads
    first = 20 - sum(r.emitted for r in one.rounds)
    assert first >= 1
    assert all(r.emitted == r.accepted + 1 for r in one.rounds)
    assert 0 < one.first_token_seconds < one.seconds
    if temperature == 0:
        plain = decoder_engine("autoregressive", pair, 0.0, 1).generate((3, 4, 5, 3, 4, 5), 20, 0)
        assert one.tokens == plain.tokens
    else:
        assert generate((3, 4, 5, 3, 4, 5), 20, 8).tokens != one.tokens


def test_the_prompt_of_distribution_tests_is_taken_from_the_texts(
    pair: ModelPair, made_prompts
) -> None:
    one = decoder_engine("autoregressive", pair, 0.7, 1)
    prompts = made_prompts(3, tokens=16)
    written = [one.generate(prompt.ids, 16, 0) for prompt in prompts]
    assert one.decoder
    run = WorkloadRun("made", prompts, [Trial(one, written)], {})
    found = distribution_prompt(one.decoder, [run])
    assert len(found) == decoders.TEST_PROMPT_TOKENS
    whole = [prompt.ids + text.tokens for prompt, text in zip(prompts, written, strict=True)]
    assert any(
        text[end - len(found) : end] == found for text in whole for end in range(24, len(text))
    )


def test_summary_and_histogram() -> None:
    base = {"best_tuned": "mcsd (tuned: k=2)", "best_reference": "", "token_match": 0.5}
    base |= {"planned_tokens_per_s": 90.4, "planned_acceptance_length": 3.0}
    base |= {"rounds_per_s": 25.0, "mean_acceptance_length": 4.0}
    for column in ("speedup_ar", "speedup_mcsd", "speedup_tuned", "speedup_reference"):
        base |= {column: 1.5, f"{column}_low": 1.25, f"{column}_high": 1.75}
    rows = [
        {"decoder": "exact-dynamic", **base},
        {"decoder": "mcsd", "acceptance_rate": 0.2},
        {"decoder": "target-init-dynamic", "acceptance_rate": 0.5, **base},
    ]
    first, plan, second = summary(rows)
    assert plan == "exact-dynamic planned 90 tokens/s, 3.00 a pass; it reached 100, 4.00 a pass"
    assert first.endswith("1.50 [1.25, 1.75] × mcsd (tuned: k=2)")
    assert "acceptance 2.50 × (paper 2.64), speed 1.50 [1.25, 1.75] × (paper 1.75)" in second
    assert "token match 50.00%" in second
    assert list(summary(rows[1:2])) == []
    assert histogram([]) == "–"
    assert histogram([10]) == "█"
    assert histogram([1] * 8 + [4, 4]) == "▁" * 8 + "▄"


def test_the_command_prints_a_list_of_flat_rows(pair: ModelPair, made_prompts, monkeypatch) -> None:
    """Unbatched and batched rows have every key that is documented."""
    monkeypatch.setattr("tasteshift.decoders.load_pair", lambda *_, **__: pair)
    monkeypatch.setattr(workloads, "workload", lambda *_: made_prompts(10))
    small = ["bench", "decoders", "--workload", "text", "--decoder", "autoregressive", "--json"]
    for options in (["--no-distribution-tests"], ["--batch", "2", "--temperature", "0"]):
        printed = CliRunner().invoke(app, [*small, *options])
        assert printed.exit_code == 0, printed.output
        rows = json.loads(printed.stdout)
        assert [row["batch"] for row in rows] == ([1, 2] if "--batch" in options else [1, 1])
        for row in rows:
            assert set(CONTRACT) <= set(row)
            assert row["decoder"] == "autoregressive"
            assert row["tokens_per_s_with_prompt"] > 0
            assert row["distribution_p"] is None
