"""The bench of decoders on two tiny Llamas: complete rows, ratios by hand, sums that add up."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from rich.console import Console

from tasteshift.benchmarks import contenders, decoders
from tasteshift.benchmarks.contenders import Contender, everyone, ours, tuned
from tasteshift.benchmarks.contenders import decoding as after_prefill
from tasteshift.benchmarks.decoder_rows import Trial, pace, rows_of
from tasteshift.benchmarks.decoder_tables import decoding_tables, histogram, verdicts
from tasteshift.benchmarks.decoders import bench_decoders, law_site, pass_seconds
from tasteshift.benchmarks.peers import PEERS, peer
from tasteshift.decoders import DECODERS
from tasteshift.decoders.base import ModelPair
from tasteshift.decoders.fidelity.distribution_tests import DistributionTest
from tasteshift.decoders.fidelity.teacher_forced import Match, Miss
from tasteshift.errors import InputError
from tasteshift.records import Generation, Round

CONTRACT = (
    "decoder pair device temperature workload exact acceptance_rate acceptance_rate_drafted "
    "mean_acceptance_length tokens_per_s speedup_ar speedup_mcsd token_match near_ties tv law_p threads"
).split()
SMALL_SWEEPS = {"speculative": ({"depth": 1}, {"depth": 2}), "mcsd": ({"k": (2,)},)}


@pytest.fixture(scope="module")
def rows(pair: ModelPair, made_prompts, counting) -> list[dict]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (contenders, decoders):
            patch.setattr(module, "SWEEPS", SMALL_SWEEPS)
        patch.setattr(decoders, "TUNING_PROMPTS", 3)
        ticks: list[str] = []
        found = bench_decoders(
            pair, {"made": made_prompts(5)}, threads=1, draws=10, bars=counting(ticks)
        )
    assert ticks
    return found


def test_rows_are_complete(rows: list[dict]) -> None:
    labels = [row["decoder"] for row in rows if row["temperature"] == 0]
    assert set(DECODERS.names()) | set(PEERS) <= set(labels)
    assert len(labels) == len(set(labels))
    assert [row["decoder"] for row in rows if row["temperature"] == 0.7][:1] == labels[:1]
    assert sum("(tuned: " in label for label in labels) == 2
    for row in rows:
        assert set(CONTRACT) <= set(row)
        assert (row["pair"], row["device"], row["workload"]) == ("small", "cpu", "made")
        assert (row["prompts"], row["threads"], row["note"]) == (2, 1, "")
        assert sum(row["accepted_lengths"]) == row["rounds"]
        assert sum(row["sources"].values()) == sum(
            n * times for n, times in enumerate(row["accepted_lengths"])
        )
        assert row["tokens_per_s"] > 0
        if row["decoder"] == "exact-dynamic":
            assert row["planned_block_efficiency"] >= 1
            assert row["planned_tokens_per_s"] > 0
            assert row["rounds_per_s"] > 0
        else:
            assert row["planned_tokens_per_s"] is None
        assert (row["share_host"] is None) == row["peer"]
        assert row["peer"] or 0 < row["share_host"] < 1
        assert row["floor_seconds"] > 0
        shares = [row[f"share_{part}"] for part in ("draft", "verify", "decide")]
        assert sum(shares) == pytest.approx(1)
        assert row["tokens_per_s_low"] is None, "two prompts give no honest interval"
    json.dumps(rows, allow_nan=False)


def test_exact_rows_match_and_others_do_not(rows: list[dict]) -> None:
    for row in rows:
        if row["temperature"] == 0:
            assert row["tv"] is row["law_p"] is None
            assert (row["token_match"] == 1) == (row["exact"] is not False)
        elif row["decoder"] in ("autoregressive", "exact-dynamic"):
            assert row["token_match"] == 1
        else:
            assert row["token_match"] is None
        if row["temperature"] and not row["tuned"] and not row["peer"]:
            assert row["law_draws"] == 10
            assert 0 <= row["tv"] <= 1
            assert 0 <= row["law_p"] <= 1


def test_tables_name_everyone_at_any_width(rows: list[dict]) -> None:
    for width in (60, 200):
        console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
        for one in decoding_tables(rows):
            console.print(one)
        console.file.close()
        text = console.export_text()
        assert "1 threads" in text
        if width == 200:
            assert all(row["decoder"] in text for row in rows)


def made(paces: list[float], accepted: list[int], first: float = 0.5) -> list[Generation]:
    """Texts of one round each that take so many seconds a token after the first."""
    return [
        Generation(
            4,
            tuple(range(n + 2)),
            (Round(4, 2, 3, 5, n, n + 1, 0.1, 0.2, 0.1, sources=("draft",) * n),),
            first + seconds * (n + 1),
            first,
        )
        for seconds, n in zip(paces, accepted, strict=True)
    ]


def trial(label: str, paces: list[float], accepted: list[int], exact: bool = True) -> Trial:
    one = Contender(label, label, exact, lambda *_: None, decoder=object.__new__(_Ours))  # type: ignore[arg-type,return-value]
    return Trial(one, made(paces, accepted))


class _Ours:
    """Stands for a decoder of which only its configuration is asked."""

    def config(self) -> dict:
        return {}


def test_figures_by_hand() -> None:
    trials = [
        trial("autoregressive", [0.2, 0.4, 0.9], [0, 0, 0]),
        trial("mcsd", [0.1, 0.4, 0.1], [2, 0, 1]),
    ]
    near, wrong = Miss(0, 1, 2, 1e-5), Miss(1, 1, 2, 1.0)
    matches = {"mcsd": [Match(4, 1e-5, (near,), ()), Match(6, 1e-4, (), (wrong,))]}
    laws = {
        "autoregressive": [DistributionTest("guesses", 9, 3, 0.5, 0.1, 0.2, 1.0)],
        "mcsd": [
            DistributionTest("guesses", 9, 3, 0.01, 0.3, 0.2, 1.0),
            DistributionTest("rejection", 9, 3, 0.02, 0.4, 0.2, 1.0),
        ],
    }
    plain, mcsd = rows_of({"threads": 2}, trials, matches, laws)
    assert mcsd["speedup_ar"] == pytest.approx(np.median([2, 1, 9]))
    assert mcsd["speedup_ar_whole"] == pytest.approx(np.median([1.75, 1, 3]))
    assert plain["speedup_mcsd"] == pytest.approx(0.5)
    assert plain["speedup_ar"] == mcsd["speedup_mcsd"] == 1
    assert mcsd["tokens_per_s"] == pytest.approx(10)
    assert mcsd["tokens_per_s_total"] == pytest.approx(9 / (0.8 + 0.9 + 0.7))
    assert mcsd["acceptance_rate"] == 3 / 12
    assert mcsd["acceptance_rate_drafted"] == 3 / 6
    assert mcsd["mean_acceptance_length"] == 6 / 3
    assert mcsd["accepted_lengths"] == [1, 1, 1]
    assert mcsd["sources"] == {"draft": 3}
    assert (mcsd["nodes_per_round"], mcsd["rows_per_round"]) == (3, 5)
    assert mcsd["nodes_per_token"] == 9 / 6
    assert (mcsd["token_match"], mcsd["near_ties"], mcsd["unexplained"]) == (0.9, 1, 1)
    assert mcsd["logit_difference"] == 1e-4
    assert plain["token_match"] is None
    assert (mcsd["law_p"], plain["law_p"]) == (pytest.approx(0.03), pytest.approx(0.5))
    assert (mcsd["tv"], mcsd["tv_floor"], mcsd["law_draws"]) == (0.3, 0.2, 9)
    assert mcsd["inter_token_p50"] == pytest.approx((0.4 / 3 + 0.4 / 2) / 2)
    assert mcsd["share_verify"] == pytest.approx(0.5)
    assert mcsd["ttft_p50"] == 0.5


def test_intervals_come_with_twenty_prompts() -> None:
    paces = np.random.default_rng(0).uniform(0.1, 0.2, 24)
    trials = [
        trial("autoregressive", (2 * paces).tolist(), [0] * 24),
        trial("mcsd", paces.tolist(), [1] * 24),
    ]
    _, mcsd = rows_of({}, trials, {}, {})
    assert mcsd["speedup_ar_low"] == pytest.approx(2)
    assert mcsd["speedup_ar_high"] == pytest.approx(2)
    assert mcsd["tokens_per_s_low"] < mcsd["tokens_per_s"] < mcsd["tokens_per_s_high"]


def test_first_tokens_are_no_decoding() -> None:
    rooted = Generation(
        4, (1, 2, 3, 4, 5), (Round(4, 4, 4, 5, 2, 3), Round(4, 4, 4, 5, 1, 2)), 3, 1
    )
    assert after_prefill(rooted) == (2, 2)
    (plain,) = made([0.25], [3])
    assert after_prefill(plain) == (4, 1)
    assert math.isnan(pace([Generation(4, (1,), (), 0.1, 0.1)])[0])


def test_a_contender_without_texts_says_why(pair: ModelPair, made_prompts) -> None:
    def broken(*_):
        raise ValueError("no such\nthing")

    fine = ours("autoregressive", pair, 0.0, 1)
    peerless = Contender("broken", "broken", True, broken)
    prompts = made_prompts(2)
    trials = decoders.interleaved([fine, peerless], prompts[0], prompts, lambda _: None)
    assert [trial.reason for trial in trials] == ["", "ValueError: no such"]
    rows = rows_of({"temperature": 0.0, "workload": "made"}, trials, {}, {})
    assert rows[1]["note"] == "ValueError: no such"
    assert rows[1]["tokens_per_s"] is rows[1]["speedup_ar"] is None
    ours_broken = Contender("mine", "mine", True, broken, decoder=fine.decoder)
    with pytest.raises(ValueError, match="no such"):
        decoders.interleaved([ours_broken], prompts[0], prompts, lambda _: None)


def test_a_few_alone(pair: ModelPair, made_prompts) -> None:
    prompts = {"made": made_prompts(5)}
    chosen = ("autoregressive", "transformers generate")
    rows = bench_decoders(pair, prompts, temperatures=[0.0], threads=1, only=chosen)
    assert [row["decoder"] for row in rows] == list(chosen)
    assert rows[0]["speedup_mcsd"] is None
    with pytest.raises(InputError, match="nobody is called 'mcds'"):
        bench_decoders(pair, prompts, only=["mcds"])


def test_tuning_takes_the_quickest(pair: ModelPair, made_prompts, monkeypatch) -> None:
    """Quickest by the seconds a token that the generations tell."""
    monkeypatch.setattr(contenders, "SWEEPS", SMALL_SWEEPS)
    told = {1: 0.5, 2: 0.25}

    def timed(generation: Generation) -> tuple[int, float]:
        return 10, 10 * told[generation.rounds[0].max_depth]

    monkeypatch.setattr(contenders, "decoding", timed)
    best = tuned("speculative", pair, 0.0, 1, made_prompts(3), lambda _: None)
    assert (best.label, best.tuned, best.options) == (
        "speculative (tuned: depth=2)",
        True,
        {"depth": 2},
    )


def test_variants_that_change_nothing_are_left_out(pair: ModelPair) -> None:
    """This pair has no decision model, so its default is `off` already."""
    labels = [one.label for one in everyone(pair, 0.0, 1)]
    assert not any("off" in label for label in labels)


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_peers_tell_their_rounds(pair: ModelPair, name: str, temperature: float) -> None:
    """Every target pass after the first is a round; when greedy the text is the target's."""
    before = torch.random.get_rng_state()
    threads = torch.get_num_threads()
    write = peer(name, pair, temperature, 1)
    one, again = (write((3, 4, 5, 3, 4, 5), 20, 7) for _ in range(2))
    assert one.tokens == again.tokens
    assert len(one.tokens) == 20
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads
    first = 20 - sum(r.emitted for r in one.rounds)
    assert first >= 1
    assert all(r.emitted == r.accepted + 1 for r in one.rounds)
    assert 0 < one.first_token_seconds < one.seconds
    if temperature == 0:
        plain = ours("autoregressive", pair, 0.0, 1).generate((3, 4, 5, 3, 4, 5), 20, 0)
        assert one.tokens == plain.tokens
    else:
        assert write((3, 4, 5, 3, 4, 5), 20, 8).tokens != one.tokens


def test_the_site_is_where_models_disagree(pair: ModelPair, made_prompts) -> None:
    one = ours("autoregressive", pair, 0.7, 1)
    prompts = made_prompts(3, tokens=16)
    written = [one.generate(prompt.ids, 16, 0) for prompt in prompts]
    assert one.decoder
    site = law_site(one.decoder, [([Trial(one, written)], prompts)])
    assert len(site) == decoders.SITE_TOKENS
    whole = [prompt.ids + text.tokens for prompt, text in zip(prompts, written, strict=True)]
    assert any(
        text[end - len(site) : end] == site for text in whole for end in range(24, len(text))
    )


def test_cost_of_twins_is_one(llama) -> None:
    """Noise may be large, but one layer against twelve is not one."""
    deep, shallow = llama(1, 12), llama(2, 1)
    draft, target = pass_seconds(ModelPair(deep, shallow, None, "steep"), 1, passes=9)
    assert 0 < draft < 0.7 * target


@pytest.mark.parametrize("tied", [False, True])
def test_a_pass_reads_all_but_an_embedding_of_its_own(llama, tied: bool) -> None:
    # by hand: 2 layers of 4·16² − 2·16·8 for attention, 3·16·32 for the rest, 2·16 for norms, then
    # the last norm and a head of 29·16; four bytes each
    weights = 2 * (4 * 256 - 256 + 3 * 512 + 32) + 16 + 29 * 16
    model = llama(1, 2, tied)
    assert decoders.bytes_of_a_pass(model) == 4 * weights
    assert decoders.floor_seconds(model, 1, times=1) > 0


def test_verdicts_and_bars() -> None:
    base = {"best_tuned": "mcsd (tuned: k=2)", "best_peer": "", "token_match": 0.5}
    base |= {"planned_tokens_per_s": 90.4, "planned_block_efficiency": 3.0}
    base |= {"rounds_per_s": 25.0, "mean_acceptance_length": 4.0}
    for column in ("speedup_ar", "speedup_mcsd", "speedup_tuned", "speedup_peer"):
        base |= {column: 1.5, f"{column}_low": 1.25, f"{column}_high": 1.75}
    rows = [
        {"decoder": "exact-dynamic", **base},
        {"decoder": "mcsd", "acceptance_rate": 0.2},
        {"decoder": "target-init-dynamic", "acceptance_rate": 0.5, **base},
    ]
    first, plan, second = verdicts(rows)
    assert plan == "exact-dynamic planned 90 tokens/s, 3.00 a pass; it wrote 100, 4.00 a pass"
    assert first.endswith("1.50 [1.25, 1.75] × mcsd (tuned: k=2)")
    assert "acceptance 2.50 × (paper 2.64), speed 1.50 [1.25, 1.75] × (paper 1.75)" in second
    assert "token match 50.00%" in second
    assert list(verdicts(rows[1:2])) == []
    assert histogram([]) == "–"
    assert histogram([10]) == "█"
    assert histogram([1] * 8 + [4, 4]) == "▁" * 8 + "▄"
