"""Texts generated together are those generated alone, with fewer passes."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel

from tasteshift.decoders import DECODERS, make_decoder
from tasteshift.decoders.base import Decoder, ModelPair
from tasteshift.decoders.execution import batching as batching
from tasteshift.decoders.execution.batching import generate_together
from tasteshift.decoders.execution.requests import ForwardRequest, ForwardResult
from tasteshift.decoders.execution.scheduling import run_requests
from tasteshift.records import Generation

PROMPTS = ((1, 2, 3), (4,), tuple(range(1, 25)) * 6, (7, 7, 7, 7, 7), (9, 8, 7, 6))
LIMITS = (20, 7, 12, 0, 31)


def generated(
    pair: ModelPair, names: list[str], temperature: float, together: bool
) -> list[Generation]:
    tasks = [
        partial(make_decoder(name, pair, temperature=temperature).generate, prompt, limit, seed)
        for seed, (name, prompt, limit) in enumerate(zip(names, PROMPTS, LIMITS, strict=True))
    ]
    return generate_together(tasks) if together else [task() for task in tasks]


@pytest.mark.parametrize("temperature", [0.0, 0.9])
@pytest.mark.parametrize("name", DECODERS.names())
def test_every_decoder_generates_the_same_tokens_in_a_batch(
    identical: ModelPair, name: str, temperature: float
) -> None:
    """Prompts of one token to several chunks, limits of none to many."""
    names = [name] * len(PROMPTS)
    alone, joined = (
        generated(identical, names, temperature, together) for together in (False, True)
    )
    for one, other in zip(alone, joined, strict=True):
        assert one.tokens == other.tokens
        if name != "exact-dynamic":
            assert [(r.drafted_nodes, r.accepted) for r in one.rounds] == [
                (r.drafted_nodes, r.accepted) for r in other.rounds
            ]


def test_planning_counts_the_rows_of_all_texts(identical: ModelPair) -> None:
    """The cost of eight trees in one pass makes each tree smaller."""
    profile = {"rows": (1, 64), "target": (10.0, 73.0), "draft": (0.1, 0.2)}
    decoders = [make_decoder("exact-dynamic", identical, profile=profile) for _ in range(8)]
    alone = decoders[0].generate((1, 2, 3), 30)
    tasks = [partial(one.generate, (1, 2, 3), 30) for one in decoders]
    for text in generate_together(tasks):
        assert text.tokens == alone.tokens
        assert len(text.rounds) >= len(alone.rounds)
        assert max(r.drafted_nodes for r in text.rounds) < max(
            r.drafted_nodes for r in alone.rounds
        )


def test_different_decoders_and_pairs_share_passes(identical: ModelPair, pair: ModelPair) -> None:
    names = ["autoregressive", "exact-dynamic", "mcsd", "speculative", "target-init"]
    alone, joined = (generated(pair, names, 0.0, together) for together in (False, True))
    assert [one.tokens for one in alone] == [one.tokens for one in joined]
    tasks = [
        partial(make_decoder("mcsd", some).generate, PROMPTS[0], 9)
        for some in (identical, pair, identical)
    ]
    assert [one.tokens for one in generate_together(tasks)] == [task().tokens for task in tasks]


def test_requests_share_passes(identical: ModelPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five texts of twelve tokens take twelve passes of the target, not sixty."""
    sizes: list[int] = []

    def counting(model: PreTrainedModel, requests: list[ForwardRequest]) -> list[ForwardResult]:
        sizes.append(len(requests))
        return run_requests(model, requests)

    monkeypatch.setattr(batching, "run_requests", counting)
    decoders = [make_decoder("autoregressive", identical) for _ in PROMPTS]
    generate_together([partial(one.generate, (5, seed), 12) for seed, one in enumerate(decoders)])
    assert sizes == [5] * 12


def test_a_failing_task_raises_after_the_others_have_ended(identical: ModelPair) -> None:
    ended = []

    def fails() -> None:
        make_decoder("autoregressive", identical).generate((1, 2), 4)
        raise RuntimeError("on purpose")

    def works() -> None:
        ended.append(make_decoder("mcsd", identical).generate((1, 2), 20).tokens)

    with pytest.raises(RuntimeError, match="on purpose"):
        generate_together([works, fails, works])
    assert len(ended) == 2


def test_a_failing_pass_raises_in_all_waiting_tasks(
    identical: ModelPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(model: PreTrainedModel, requests: list[ForwardRequest]) -> list[ForwardResult]:
        raise MemoryError("out of memory")

    monkeypatch.setattr(batching, "run_requests", broken)
    decoders: list[Decoder] = [make_decoder("autoregressive", identical) for _ in range(3)]
    with pytest.raises(MemoryError, match="out of memory"):
        generate_together([partial(one.generate, (1,), 3) for one in decoders])


def test_models_without_a_fused_pass_can_be_batched() -> None:
    shape = {"n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": 31, "n_positions": 64}
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        models = [GPT2LMHeadModel(GPT2Config(**shape)).eval() for _ in range(2)]
    pair = ModelPair(*models, None, "gpt2")
    tasks = [partial(make_decoder("exact-dynamic", pair).generate, (1, 2, n), 10) for n in range(4)]
    assert [one.tokens for one in generate_together(tasks)] == [task().tokens for task in tasks]


def test_no_task_and_one_task() -> None:
    assert generate_together([]) == []
    assert generate_together([lambda: 3]) == [3]
