"""Batch benchmark on two tiny Llamas: complete rows, each prompt once per size, ratios by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from rich.console import Console

from tasteshift.benchmarks import decoder_batches, decoder_tables
from tasteshift.benchmarks.decoder_batches import BATCHED, bench_batches, speeds
from tasteshift.benchmarks.decoder_tables import batch_tables
from tasteshift.decoders.base import ModelPair
from tasteshift.errors import InputError
from tasteshift.registry import UnknownName


def test_every_batch_size_generates_each_prompt_once(
    pair: ModelPair, made_prompts, counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    original = decoder_batches.generate_together

    def recording(tasks):
        sizes.append(len(tasks))
        return original(tasks)

    monkeypatch.setattr(decoder_batches, "generate_together", recording)
    rows = bench_batches(pair, {"made": made_prompts(10)}, [2, 4], bars=counting([]))
    assert [(row["decoder"], row["batch"], row["temperature"]) for row in rows] == [
        (name, size, temperature)
        for temperature in (0.0, 0.7)
        for name in BATCHED
        for size in (1, 2, 4)
    ]
    # for each of two temperatures and three decoders: a warm-up of each size, and eight texts
    assert sorted(sizes) == sorted(6 * [1, 2, 4, *8 * [1], *4 * [2], *2 * [4]])
    for row in rows:
        assert (row["prompts"], row["tokens"], row["blocks"], row["workload"]) == (8, 64, 2, "made")
        assert row["tokens_per_s"] > 0
        assert row["tokens_per_s_low"] is None, "two blocks are too few for an interval"
        if row["batch"] == 1:
            assert row["speedup_unbatched"] == 1
        if row["temperature"] == 0 or row["decoder"] != "mcsd":
            assert row["token_match"] == 1
    json.dumps(rows, allow_nan=False)
    for width in (60, 200):
        console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
        for table in batch_tables(rows):
            console.print(table)
        console.file.close()
        assert "T = 0.7, made, 8 prompts" in " ".join(console.export_text().split())


def test_gpu_memory_is_in_the_title() -> None:
    assert decoder_tables._memory({"device_memory": None}) == ""
    said = decoder_tables._memory({"device_memory": 14_249_000_000})
    assert said == "; at most 14.2 GB of its memory held"


def test_speedups_are_medians_over_blocks() -> None:
    times = {
        ("autoregressive", 1): np.array([4.0, 8.0, 8.0]),
        ("autoregressive", 2): np.array([2.0, 4.0, 5.0]),
        ("mcsd", 1): np.array([1.0, 1.0, 1.0]),
        ("mcsd", 2): np.array([0.5, 2.0, 1.0]),
    }
    found = speeds(("mcsd", 2), times)
    # by hand: 1/0.5, 1/2, 1/1 tokens a second; 2/0.5, 4/2, 5/1; and 1/0.5, 1/2, 1/1
    assert (found["tokens_per_s"], found["speedup_ar"], found["speedup_unbatched"]) == (1, 4, 1)
    assert found["speedup_mcsd"] == 1
    assert speeds(("mcsd", 1), {("mcsd", 1): times["mcsd", 1]})["speedup_ar"] is None


@pytest.mark.parametrize("sizes", [[0], [3, 4], [-1, 2]])
def test_sizes_must_divide_the_largest(pair: ModelPair, made_prompts, sizes: list[int]) -> None:
    with pytest.raises(InputError, match="divide the largest"):
        bench_batches(pair, {"made": made_prompts(9)}, sizes)


def test_too_few_prompts_and_unknown_decoders_are_refused(pair: ModelPair, made_prompts) -> None:
    with pytest.raises(InputError, match="made: 8 prompts; give 9"):
        bench_batches(pair, {"made": made_prompts(8)}, [8])
    with pytest.raises(UnknownName, match="mcsd"):
        bench_batches(pair, {"made": made_prompts(9)}, [8], only=["mcds"])
