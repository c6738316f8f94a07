"""On a GPU, where there is one: captured passes write what the CPU writes, and leave no memory."""

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
def there(llama) -> ModelPair:
    """The pair `pair`, on the GPU."""
    models = [copy.deepcopy(one).cuda() for one in (llama(1), llama(2, layers=1))]
    return ModelPair(*models, None, "small")


@pytest.mark.parametrize("temperature", [0.0, 0.9])
@pytest.mark.parametrize("name", DECODERS.names())
def test_every_decoder_writes_what_it_writes_on_a_cpu(
    pair: ModelPair, there: ModelPair, name: str, temperature: float
) -> None:
    assert Reader(there.target).own.fixed
    texts = []
    for one in (pair, there):
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
def test_drafting_waits_for_nothing(
    there: ModelPair, name: str, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = make_decoder(name, there, temperature=temperature)
    written = decoder.generate(PROMPTS[0], 30)  # captures the passes
    draft, rounds = decoder.draft, []

    def drafting(*args):
        rounds.append(1)
        try:
            torch.cuda.set_sync_debug_mode("error")
            return draft(*args)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(decoder, "draft", drafting)
    assert decoder.generate(PROMPTS[0], 30).tokens == written.tokens
    assert len(rounds) > 3


@pytest.mark.parametrize("name", ["mcsd", "exact-dynamic"])
def test_memory_does_not_grow(there: ModelPair, name: str) -> None:
    """Of 1,000 texts, once the passes of all sizes are captured."""
    decoder = make_decoder(name, there, temperature=0.7)
    held = []
    for seed in range(1000):
        decoder.generate(PROMPTS[seed % 5], 20, seed)
        if seed in (200, 999):
            gc.collect()
            torch.cuda.empty_cache()
            held.append((torch.cuda.memory_allocated(), torch.cuda.memory_reserved()))
    assert held[1][0] <= held[0][0]
    assert held[1][1] <= held[0][1]


def test_a_cache_that_grows_is_captured_anew(there: ModelPair) -> None:
    with torch.inference_mode():
        grown, fresh = Reader(there.target), Reader(there.target)
        grown.begin(PROMPTS[0], 8)
        grown.begin(PROMPTS[2], 300)
        gc.collect()
        fresh.begin(PROMPTS[2], 300)
        assert (grown.feed([4]) == fresh.feed([4])).all()


def test_one_model_may_be_target_and_draft(there: ModelPair) -> None:
    twins = ModelPair(there.target, there.target, None, "twins")
    tasks = [
        partial(make_decoder("mcsd", twins).generate, prompt, 30, seed)
        for seed, prompt in enumerate(PROMPTS)
    ]
    assert [text.tokens for text in generate_together(tasks)] == [task().tokens for task in tasks]
