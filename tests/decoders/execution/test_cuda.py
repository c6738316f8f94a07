"""On a GPU, where there is one: captured passes give the CPU's tokens, and memory does not grow."""

from __future__ import annotations

import copy
import gc
from functools import partial

import pytest
import torch

from tasteshift.decoders import DECODERS, make_decoder
from tasteshift.decoders.base import ModelPair
from tasteshift.decoders.execution.batching import generate_together
from tasteshift.decoders.execution.reader import Reader

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

PROMPTS = ((1, 2, 3), (4,), tuple(range(1, 25)) * 6, (7, 7, 7, 7, 7), (9, 8, 7, 6))


@pytest.fixture(scope="module")
def gpu_pair(llama) -> ModelPair:
    """The pair `pair`, on the GPU."""
    models = [copy.deepcopy(one).cuda() for one in (llama(1), llama(2, layers=1))]
    return ModelPair(*models, None, "small")


@pytest.mark.parametrize("temperature", [0.0, 0.9])
@pytest.mark.parametrize("name", DECODERS.names())
def test_every_decoder_generates_the_tokens_of_a_cpu(
    pair: ModelPair, gpu_pair: ModelPair, name: str, temperature: float
) -> None:
    assert Reader(gpu_pair.target).own.fixed
    texts = []
    for one in (pair, gpu_pair):
        tasks = [
            partial(make_decoder(name, one, temperature=temperature).generate, prompt, 30, seed)
            for seed, prompt in enumerate(PROMPTS)
        ]
        texts += [
            [task().tokens for task in tasks],
            [text.tokens for text in generate_together(tasks)],
        ]
    assert texts[0] == texts[1] == texts[2] == texts[3]


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
@pytest.mark.parametrize("temperature", [0.0, 0.9])
@pytest.mark.parametrize("name", ["speculative", "mcsd"])
def test_drafting_does_not_synchronize(
    gpu_pair: ModelPair, name: str, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = make_decoder(name, gpu_pair, temperature=temperature)
    expected = decoder.generate(PROMPTS[0], 30)  # captures the passes
    draft, rounds = decoder.draft, []

    def drafting(*args):
        rounds.append(1)
        try:
            torch.cuda.set_sync_debug_mode("error")
            return draft(*args)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(decoder, "draft", drafting)
    assert decoder.generate(PROMPTS[0], 30).tokens == expected.tokens
    assert len(rounds) > 3


@pytest.mark.parametrize("name", ["mcsd", "exact-dynamic"])
def test_memory_does_not_grow(gpu_pair: ModelPair, name: str) -> None:
    """Over 1,000 texts, once the passes of all sizes are captured."""
    decoder = make_decoder(name, gpu_pair, temperature=0.7)
    held = []
    for seed in range(1000):
        decoder.generate(PROMPTS[seed % 5], 20, seed)
        if seed in (200, 999):
            gc.collect()
            torch.cuda.empty_cache()
            held.append((torch.cuda.memory_allocated(), torch.cuda.memory_reserved()))
    assert held[1][0] <= held[0][0]
    assert held[1][1] <= held[0][1]


def test_passes_are_captured_again_after_a_cache_has_grown(gpu_pair: ModelPair) -> None:
    with torch.inference_mode():
        grown, fresh = Reader(gpu_pair.target), Reader(gpu_pair.target)
        grown.begin(PROMPTS[0], 8)
        grown.begin(PROMPTS[2], 300)
        gc.collect()
        fresh.begin(PROMPTS[2], 300)
        assert (grown.feed([4]) == fresh.feed([4])).all()


def test_one_model_can_be_target_and_draft(gpu_pair: ModelPair) -> None:
    identical = ModelPair(gpu_pair.target, gpu_pair.target, None, "identical")
    tasks = [
        partial(make_decoder("mcsd", identical).generate, prompt, 30, seed)
        for seed, prompt in enumerate(PROMPTS)
    ]
    assert [text.tokens for text in generate_together(tasks)] == [task().tokens for task in tasks]
