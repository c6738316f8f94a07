"""What decoders do on the pair `tiny`: counts are gated exactly, time only as a ratio.

Counts of fixed prompts and seeds change when an algorithm, a weight or a prompt does. They stand
in decoders.json, which this file makes anew when it is run as a script:

    python tests/performance/test_decoders.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tasteshift.benchmarks.contenders import ours
from tasteshift.benchmarks.decoder_rows import Trial, counts, pace
from tasteshift.benchmarks.decoders import interleaved
from tasteshift.benchmarks.workloads import WORKLOADS, Prompt, workload
from tasteshift.decoders import DECODERS, load_pair, make_decoder

EXPECTED = Path(__file__).with_name("decoders.json")
PAIR, THREADS = "tiny", 1
COUNTED, TIMED, TOKENS = 3, 8, 48
GATED = (
    "tokens",
    "rounds",
    "mean_acceptance_length",
    "accepted_lengths",
    "sources",
    "nodes_per_round",
    "rows_per_round",
)
CASES = [(name, where, t) for name in DECODERS.names() for where in WORKLOADS for t in (0.0, 0.7)]

AT_LEAST = {
    ("recommender", "autoregressive"): 1.25,
    ("recommender", "mcsd"): 1.4,
    ("text", "autoregressive"): 0.85,
    ("text", "mcsd"): 1.0,
}
"""Speed of exact-dynamic over others. Promised are 1.5, 1.75, 0.97 and 1.15 on a quiet machine
(`tasteshift bench decoders`); a busy one may show less."""


def prompts_of(where: str, count: int) -> list[Prompt]:
    found = workload(where, load_pair(PAIR), count)
    return [Prompt(one.ids, min(one.max_new_tokens, TOKENS)) for one in found]


def written(name: str, where: str, temperature: float) -> Trial:
    contender = ours(name, load_pair(PAIR), temperature, THREADS)
    given = enumerate(prompts_of(where, COUNTED))
    texts = [contender.generate(one.ids, one.max_new_tokens, seed) for seed, one in given]
    return Trial(contender, texts)


def gated(trial: Trial) -> dict:
    found = counts(trial)
    return {name: found[name] for name in GATED}


def key(name: str, where: str, temperature: float) -> str:
    return f"{name}, {where}, T = {temperature}"


@pytest.mark.parametrize(("name", "where", "temperature"), CASES)
def test_counts(benchmark, name: str, where: str, temperature: float) -> None:
    expected = json.loads(EXPECTED.read_text("utf-8"))
    trial = benchmark.pedantic(written, (name, where, temperature), rounds=1)
    tokens = sum(len(text.tokens) for text in trial.generations)
    benchmark.extra_info["tokens_per_s"] = tokens / benchmark.stats.stats.median
    assert gated(trial) == expected[key(name, where, temperature)]


def test_nothing_else_is_expected() -> None:
    assert set(json.loads(EXPECTED.read_text("utf-8"))) == {key(*case) for case in CASES}


@pytest.mark.parametrize("where", WORKLOADS)
def test_exact_dynamic_is_ahead(benchmark, where: str) -> None:
    names = ("autoregressive", "mcsd", "exact-dynamic")
    contenders = [ours(name, load_pair(PAIR), 0.0, THREADS) for name in names]
    prompts = prompts_of(where, TIMED)

    def taking_turns() -> list[Trial]:
        return interleaved(contenders, prompts[0], prompts, lambda _: None)

    trials = benchmark.pedantic(taking_turns, rounds=1)
    paces = {trial.contender.label: pace(trial.generations) for trial in trials}
    for base in names[:2]:
        ratio = float(np.nanmedian(paces[base] / paces["exact-dynamic"]))
        benchmark.extra_info[f"over {base}"] = ratio
        assert ratio >= AT_LEAST[where, base], (base, ratio)


@pytest.mark.parametrize("where", WORKLOADS)
def test_exact_dynamic_writes_what_autoregressive_writes(where: str) -> None:
    for temperature in (0.0, 0.7):
        plain, exact = (
            make_decoder(name, PAIR, temperature=temperature, threads=THREADS)
            for name in ("autoregressive", "exact-dynamic")
        )
        for seed, one in enumerate(prompts_of(where, COUNTED)):
            texts = [d.generate(one.ids, one.max_new_tokens, seed=seed) for d in (plain, exact)]
            assert texts[0].tokens == texts[1].tokens


if __name__ == "__main__":
    made = {key(*case): gated(written(*case)) for case in CASES}
    EXPECTED.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", "utf-8")
