"""Every decoder: stops, limits, seeds, counts, and the target's greedy text."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from tasteshift.decoders import DECODERS, make_decoder
from tasteshift.decoders.base import Decoder, ModelPair
from tasteshift.decoders.sampling.distribution import Sampling
from tasteshift.errors import InputError

Llama = Callable[..., LlamaForCausalLM]
NAMES = DECODERS.names()
EXACT = [name for name in NAMES if DECODERS.get(name).exact]
ROOTED = ("target-init", "target-init-dynamic")
"""Decoders whose first token is drawn in the first round, not from the prefill."""
PROMPTS = [
    tuple(np.random.default_rng(n).integers(0, 31, size).tolist())
    for n, size in enumerate((1, 2, 7, 63, 64, 65, 150))
]
TREES = [
    {"k": (4, 2, 2, 1)},
    {"k": (4, 2, 2, 1), "replacement": True},
    {"k": (1,)},
    {"k": (1, 1, 1, 1, 1)},
    {"k": (3, 3)},
    {"k": (40, 2)},
]


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """Each decoder in turn."""
    return str(request.param)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("prompt", PROMPTS)
def test_greedy_text_equals_that_of_transformers(pair: ModelPair, name: str, prompt) -> None:
    ids = torch.tensor([prompt])
    theirs = pair.target.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=40
    )
    ours = make_decoder(name, pair).generate(prompt, max_new_tokens=40)
    assert list(ours.tokens) == theirs[0, len(prompt) :].tolist()


@pytest.mark.parametrize("options", TREES)
@pytest.mark.parametrize("which", ["pair", "identical"])
def test_greedy_mcsd_generates_the_tokens_of_autoregressive(
    which: str, options: dict[str, object], request: pytest.FixtureRequest
) -> None:
    pair = request.getfixturevalue(which)
    mcsd, autoregressive = (
        make_decoder("mcsd", pair, **options),
        make_decoder("autoregressive", pair),
    )
    for prompt in PROMPTS[2:4]:
        assert mcsd.generate(prompt, 33).tokens == autoregressive.generate(prompt, 33).tokens


@pytest.mark.parametrize("depth", [1, 2, 8])
@pytest.mark.parametrize("which", ["pair", "identical"])
def test_greedy_speculative_generates_the_tokens_of_autoregressive(
    which: str, depth: int, request: pytest.FixtureRequest
) -> None:
    pair = request.getfixturevalue(which)
    speculative, autoregressive = (
        make_decoder("speculative", pair, depth=depth),
        make_decoder("autoregressive", pair),
    )
    for prompt in PROMPTS[2:4]:
        assert speculative.generate(prompt, 33).tokens == autoregressive.generate(prompt, 33).tokens


@pytest.mark.parametrize("temperature", [0.0, 0.3, 1.0, 50.0])
def test_speculative_accepts_all_of_a_draft_equal_to_the_target(
    identical: ModelPair, temperature: float
) -> None:
    speculative = make_decoder("speculative", identical, temperature=temperature, depth=3)
    generation = speculative.generate(PROMPTS[2], 41)
    assert [r.accepted for r in generation.rounds] == [3] * 10
    assert generation.acceptance_rate == 1.0


@pytest.mark.parametrize("temperature", [0.0, 0.3, 1.0, 50.0])
@pytest.mark.parametrize("replacement", [False, True])
def test_mcsd_accepts_all_of_a_draft_equal_to_the_target(
    identical: ModelPair, temperature: float, replacement: bool
) -> None:
    mcsd = make_decoder("mcsd", identical, temperature=temperature, replacement=replacement)
    generation = mcsd.generate(PROMPTS[2], 41)
    assert [r.accepted for r in generation.rounds] == [4] * 8
    assert generation.mean_acceptance_length == 5.0
    assert generation.acceptance_rate == 1.0


def test_text_depends_on_the_seed_and_not_on_earlier_calls(pair: ModelPair, name: str) -> None:
    decoder = make_decoder(name, pair, temperature=1.0, seed=3)
    first = decoder.generate(PROMPTS[6], 30).tokens
    decoder.generate(PROMPTS[5], 30, seed=8)
    decoder.generate(PROMPTS[6][:100] + PROMPTS[3], 300)
    assert decoder.generate(PROMPTS[6], 30).tokens == first
    fresh, unseeded = (
        make_decoder(name, pair, temperature=1.0, seed=3),
        make_decoder(name, pair, temperature=1.0),
    )
    assert fresh.generate(PROMPTS[6], 30).tokens == first
    assert unseeded.generate(PROMPTS[6], 30, seed=3).tokens == first
    assert decoder.generate(PROMPTS[6], 30, seed=4).tokens != first


def test_greedy_text_does_not_depend_on_the_seed(pair: ModelPair, name: str) -> None:
    decoder = make_decoder(name, pair, temperature=9e-5)
    first, second = (decoder.generate(PROMPTS[2], 20, seed=seed) for seed in (0, 1))
    assert first.tokens == second.tokens


def test_global_random_states_are_untouched(pair: ModelPair, name: str) -> None:
    before, numbers = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    make_decoder(name, pair, temperature=1.0).generate(PROMPTS[2], 10)
    assert torch.equal(before, torch.random.get_rng_state())
    assert (numbers == np.random.get_state()[1]).all()


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 17])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_limits_are_met_and_counts_add_up(
    pair: ModelPair, name: str, limit: int, temperature: float
) -> None:
    generation = make_decoder(name, pair, temperature=temperature).generate(PROMPTS[2], limit)
    assert generation.prompt_tokens == 7
    assert len(generation.tokens) == limit
    assert sum(r.emitted for r in generation.rounds) == max(limit - (name not in ROOTED), 0)
    for r in generation.rounds[:-1]:
        assert r.emitted == r.accepted + 1
    for r in generation.rounds:
        assert len(r.sources) == r.accepted <= r.drafted_depth <= r.max_depth
        assert min(r.draft_seconds, r.verify_seconds, r.decide_seconds) >= 0
        assert 0 < r.pass_seconds <= r.draft_seconds + r.verify_seconds + r.decide_seconds
    spent = sum(r.draft_seconds + r.verify_seconds + r.decide_seconds for r in generation.rounds)
    first = 0.0 if name in ROOTED else generation.first_token_seconds
    assert first + spent <= generation.seconds


def test_a_shorter_limit_gives_a_prefix_of_the_same_text(pair: ModelPair, name: str) -> None:
    decoder = make_decoder(name, pair, temperature=1.0)
    whole = decoder.generate(PROMPTS[2], 24).tokens
    for limit in range(24):
        assert decoder.generate(PROMPTS[2], limit).tokens == whole[:limit]


def test_counts_of_each_algorithm(pair: ModelPair) -> None:
    plain = make_decoder("autoregressive", pair).generate(PROMPTS[2], 9)
    assert plain.mean_acceptance_length == 1.0
    assert plain.acceptance_rate is None
    for r in plain.rounds:
        assert (r.max_depth, r.drafted_depth, r.drafted_nodes) == (0, 0, 0)
        assert (r.verified_nodes, r.accepted, r.emitted) == (1, 0, 1)
    for r in make_decoder("mcsd", pair, k=(4, 2, 2, 1)).generate(PROMPTS[2], 30).rounds:
        assert (r.max_depth, r.drafted_depth, r.drafted_nodes, r.verified_nodes) == (4, 4, 44, 45)
    for r in make_decoder("speculative", pair, depth=3).generate(PROMPTS[2], 30).rounds:
        assert (r.max_depth, r.drafted_depth, r.drafted_nodes, r.verified_nodes) == (3, 3, 3, 4)


def test_half_precision_works(llama: Llama, name: str) -> None:
    for dtype in (torch.bfloat16, torch.float16):
        pair = ModelPair(llama(1).to(dtype), llama(2, layers=1).to(dtype), None, "half")
        for temperature in (0.0, 1.0):
            generation = make_decoder(name, pair, temperature=temperature).generate(PROMPTS[3], 20)
            assert len(generation.tokens) == 20


def test_decoders_in_two_threads_share_a_pair(pair: ModelPair, name: str) -> None:
    """Each generates the same tokens as alone."""
    options = {"temperature": 1.0, "seed": 3}
    alone = {
        prompt: make_decoder(name, pair, **options).generate(prompt, 25).tokens
        for prompt in PROMPTS[2:4]
    }
    with ThreadPoolExecutor(2) as pool:
        written = pool.map(
            lambda prompt: make_decoder(name, pair, **options).generate(prompt, 25).tokens,
            PROMPTS[2:4] * 4,
        )
        assert list(written) == list(alone.values()) * 4


@pytest.mark.parametrize("options", [{"top_k": 3}, {"top_p": 0.6}, {"top_k": 1, "top_p": 0.9}])
def test_top_k_and_top_p_write_only_tokens_they_keep(pair: ModelPair, name: str, options) -> None:
    generation = make_decoder(name, pair, temperature=1.0, **options).generate(PROMPTS[2], 25)
    text = PROMPTS[2]
    sampling = Sampling(1.0, **options)
    for token in generation.tokens:
        with torch.inference_mode():
            logits = pair.target(torch.tensor([text])).logits[0, -1]
        assert sampling.probs(logits)[token] > 0
        text += (token,)


def test_distributions_with_little_support_draft_smaller_trees(llama: Llama) -> None:
    """At a low temperature a peaked draft gives few tokens any mass; only those are drawn."""
    pair = ModelPair(llama(1, sharpness=3000), llama(2, sharpness=3000), None, "sharp")
    generation = make_decoder("mcsd", pair, temperature=0.02).generate(PROMPTS[2], 30)
    greedy = make_decoder("autoregressive", pair).generate(PROMPTS[2], 30)
    assert max(r.drafted_nodes for r in generation.rounds) < 44
    assert all(r.drafted_depth == 4 for r in generation.rounds)
    assert generation.tokens == greedy.tokens


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_text_ends_with_its_stop_token(llama: Llama, name: str, temperature: float) -> None:
    free = ModelPair(llama(1), llama(2, layers=1), None, "free")
    whole = make_decoder(name, free, temperature=temperature).generate(PROMPTS[2], 60).tokens
    for eos in sorted(set(whole))[:6]:
        pair = ModelPair(llama(1, eos=eos), llama(2, layers=1), None, "stops")
        ended = make_decoder(name, pair, temperature=temperature).generate(PROMPTS[2], 60)
        assert ended.tokens == whole[: whole.index(eos) + 1]
        assert sum(r.emitted for r in ended.rounds) == len(ended.tokens) - (name not in ROOTED)


def test_the_text_ends_where_the_context_ends(llama: Llama, name: str) -> None:
    target, draft = llama(1, context=32), llama(2, layers=1, context=40)
    decoder = make_decoder(name, ModelPair(target, draft, None, "short"))
    assert len(decoder.generate(PROMPTS[2], 64).tokens) == 32 - 7
    assert len(decoder.generate(PROMPTS[3][:31], 64).tokens) == 1
    with pytest.raises(InputError, match=r"has 32 tokens .* hold 32"):
        decoder.generate(PROMPTS[3][:32])


@pytest.mark.parametrize(
    ("prompt", "limit", "seed", "message"),
    [
        ((), 5, None, "empty"),
        ((1, 31), 5, None, "outside 0 … 30"),
        ((-1,), 5, None, "outside"),
        ((1.5,), 5, None, "integers"),
        ("words", 5, None, "integers"),
        ((1,), -1, None, "max_new_tokens is -1"),
        ((1,), 2.5, None, "integers"),
        ((1,), 5, -3, "seed is -3"),
    ],
)
def test_unusable_calls_are_refused(
    pair: ModelPair, name: str, prompt, limit, seed, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make_decoder(name, pair).generate(prompt, limit, seed=seed)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": "warm"}, "temperature"),
        ({"seed": -1}, "seed"),
        ({"threads": 0}, "threads"),
        ({"k": (0,)}, "k is"),
        ({"k": 4}, "k is"),
        ({"width": 3}, "no option 'width'; its options are k, replacement"),
    ],
)
def test_unusable_options_are_refused(pair: ModelPair, options, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_decoder("mcsd", pair, **options)


def test_unknown_decoders_and_other_vocabularies_are_refused(llama: Llama, pair: ModelPair) -> None:
    with pytest.raises(InputError, match="did you mean 'mcsd'"):
        make_decoder("mcds", pair)
    with pytest.raises(InputError, match="31 tokens and the draft 30"):
        ModelPair(llama(1), llama(1, vocab=30), None, "odd")


def test_prompts_may_be_numpy_or_torch_ids(pair: ModelPair, name: str) -> None:
    decoder = make_decoder(name, pair)
    expected = decoder.generate(PROMPTS[2], 5).tokens
    assert decoder.generate(np.array(PROMPTS[2]), 5).tokens == expected
    assert decoder.generate(torch.tensor(PROMPTS[2]), 5).tokens == expected


def test_threads_are_set_for_the_call_and_restored(pair: ModelPair) -> None:
    seen: list[int] = []

    class Recording(DECODERS.get("autoregressive")):  # type: ignore[misc]
        def decode(self, text):
            seen.append(torch.get_num_threads())
            super().decode(text)

    assert torch.get_num_threads() == 1
    Recording(pair, threads=2).generate(PROMPTS[2], 2)
    Recording(pair).generate(PROMPTS[2], 2)
    assert seen == [2, 1]
    assert torch.get_num_threads() == 1


def test_config_is_json_and_distinguishes_decoders(pair: ModelPair) -> None:
    variants: list[Decoder] = [
        make_decoder("autoregressive", pair),
        make_decoder("mcsd", pair),
        make_decoder("mcsd", pair, k=(2, 2)),
        make_decoder("mcsd", pair, replacement=True),
        make_decoder("mcsd", pair, temperature=0.5),
        make_decoder("mcsd", pair, seed=1),
        make_decoder("mcsd", pair, top_k=5),
        make_decoder("mcsd", pair, top_p=0.5),
        make_decoder("speculative", pair),
        make_decoder("speculative", pair, depth=2),
    ]
    texts = [json.dumps(decoder.config(), sort_keys=True) for decoder in variants]
    assert len(set(texts)) == len(texts)
    assert [json.loads(text)["decoder"] for text in texts] == [d.name for d in variants]
    assert all(decoder.exact for decoder in variants)
