"""exact-dynamic generates the tokens of autoregressive, whatever it drafts."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasteshift.decoders.autoregressive import Autoregressive
from tasteshift.decoders.base import ModelPair
from tasteshift.decoders.drafting.cost_profile import CostProfile
from tasteshift.decoders.drafting.stored_profiles import default_profile
from tasteshift.decoders.exact_dynamic import SOURCES, ExactDynamic
from tasteshift.errors import InputError

FREE = CostProfile(rows=(1, 64), target=(1.0, 1.2), draft=(0.01, 0.02))
"""Drafting costs next to nothing: every round drafts all it can."""
EXPENSIVE = CostProfile(rows=(1, 64), target=(1.0, 5000.0), draft=(50.0, 60.0))
"""Drafting never pays."""
STEPS = CostProfile(
    rows=(1, 2, 8, 9, 16), target=(1.0, 1.6, 1.6, 2.0, 2.0), draft=(0.1, 0.1, 0.1, 1, 1)
)

PROMPTS = ([5], [1, 2, 3, 4] * 6, [7, 8, 9, 20, 7, 8, 9, 21, 7, 8], list(range(30)) * 3)


@pytest.fixture(scope="module")
def pairs(llama, pair, identical) -> list[ModelPair]:
    target = llama(11, layers=3)
    draft = llama(11, layers=3)
    with torch.random.fork_rng([]), torch.no_grad():
        torch.manual_seed(0)
        for weight in draft.parameters():
            weight += 0.05 * weight.std() * torch.randn_like(weight)
    return [pair, identical, ModelPair(target, draft, None, "near"), early_exit(target)]


def early_exit(target) -> ModelPair:
    from tasteshift.decoders.pairs.smollm2 import early_exit

    return ModelPair(target, early_exit(target, 2), None, "early")


@pytest.mark.parametrize("temperature", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("cut", [{}, {"top_k": 5}, {"top_p": 0.8}, {"top_k": 9, "top_p": 0.6}])
def test_every_token_equals_that_of_autoregressive(pairs, temperature, cut) -> None:
    for number, pair in enumerate(pairs):
        common = {"temperature": temperature, "seed": 3 + number, **cut}
        plain = Autoregressive(pair, **common)
        ours = ExactDynamic(pair, profile=(FREE, STEPS)[number % 2], **common)
        prompt = PROMPTS[(number + int(10 * temperature)) % len(PROMPTS)]
        got = ours.generate(prompt, 30)
        assert got.tokens == plain.generate(prompt, 30).tokens
        assert sum(round_.emitted for round_ in got.rounds) == len(got.tokens) - 1


OPTIONS = st.fixed_dictionaries(
    {
        "sources": st.lists(st.sampled_from(SOURCES), unique=True),
        "nodes": st.integers(1, 30),
        "depth": st.integers(1, 12),
        "width": st.integers(1, 40),
        "profile": st.sampled_from([None, FREE, EXPENSIVE, STEPS]),
        "temperature": st.sampled_from([0.0, 0.4, 0.9, 5.0]),
        "top_k": st.sampled_from([0, 1, 3]),
        "seed": st.integers(0, 2**64 - 1),
    }
)


@settings(max_examples=30, deadline=None)
@given(
    OPTIONS,
    st.integers(0, 3),
    st.lists(st.integers(0, 30), min_size=1, max_size=30),
    st.integers(0, 30),
)
def test_the_text_does_not_depend_on_options(pairs, options, which, prompt, limit) -> None:
    ours = ExactDynamic(pairs[which], **options)
    common = {name: options[name] for name in ("temperature", "top_k", "seed")}
    got = ours.generate(prompt, limit)
    assert got.tokens == Autoregressive(pairs[which], **common).generate(prompt, limit).tokens
    for round_ in got.rounds:
        assert round_.accepted <= round_.drafted_depth <= options["depth"]
        assert round_.drafted_nodes <= options["nodes"]
        assert round_.verified_nodes == round_.drafted_nodes + 1
        assert len(round_.sources) == round_.accepted
        assert set(round_.sources) <= set(options["sources"])


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_the_text_ends_where_autoregressive_ends(llama, temperature) -> None:
    endless = llama(21)
    pair = ModelPair(endless, endless, None, "endless")
    written = Autoregressive(pair, temperature=temperature).generate([0, 2, 3, 0], 50).tokens
    target = llama(21, eos=written[7])
    pair = ModelPair(target, target, None, "ends")
    lengths = []
    for seed in range(6):
        common = {"temperature": temperature, "seed": seed}
        prompt = [seed, 2, 3, seed]
        expected = Autoregressive(pair, **common).generate(prompt, 50).tokens
        assert ExactDynamic(pair, profile=FREE, **common).generate(prompt, 50).tokens == expected
        assert written[7] not in expected[:-1]
        lengths.append(len(expected))
    assert lengths[0] <= 8


def test_the_text_ends_where_the_context_ends(llama) -> None:
    pair = ModelPair(llama(5, context=40), llama(6, context=40), None, "short")
    prompt = [3] * 30
    expected = Autoregressive(pair).generate(prompt, 64).tokens
    assert ExactDynamic(pair, profile=FREE).generate(prompt, 64).tokens == expected
    assert len(expected) == 10


def test_earlier_calls_change_neither_text_nor_trees(pairs) -> None:
    used = ExactDynamic(pairs[2], temperature=0.7, seed=1, profile=STEPS)
    for prompt in PROMPTS:
        used.generate(prompt, 30)
    for prompt in PROMPTS:
        fresh = ExactDynamic(pairs[2], temperature=0.7, seed=1, profile=STEPS)
        again, first = used.generate(prompt, 30), fresh.generate(prompt, 30)
        assert again.tokens == first.tokens
        clocks = ("draft", "verify", "decide", "pass")
        clockless = {f"{clock}_seconds": 0.0 for clock in clocks}
        assert [replace(round_, **clockless) for round_ in again.rounds] == [
            replace(round_, **clockless) for round_ in first.rounds
        ]


def test_a_free_and_perfect_draft_is_used(identical) -> None:
    for temperature in (0.0, 0.7):
        ours = ExactDynamic(
            identical, sources=["draft"], profile=FREE, temperature=temperature, seed=2
        )
        rounds = ours.generate([4, 9, 2], 60).rounds
        assert sum(round_.accepted for round_ in rounds) / len(rounds) > 3
        assert {source for round_ in rounds for source in round_.sources} == {"draft"}


def test_where_drafting_never_pays_every_round_is_a_plain_step(pairs, monkeypatch) -> None:
    ours = ExactDynamic(pairs[0], profile=EXPENSIVE)
    monkeypatch.setattr(ours.draft_model, "begin", None)
    generation = ours.generate([1, 2, 3] * 5, 20)
    assert [round_.verified_nodes for round_ in generation.rounds] == [1] * 19
    assert not any(round_.draft_seconds > 1.0 for round_ in generation.rounds)


def test_a_repeating_text_is_copied(llama) -> None:
    target = llama(8)
    with (
        torch.no_grad()
    ):  # a model that depends on the last token only, so that its text is periodic
        for block in target.model.layers:
            block.self_attn.o_proj.weight.zero_()
            block.mlp.down_proj.weight.zero_()
        target.model.embed_tokens.weight.copy_(torch.eye(31)[:, :16] + 0.1)
    pair = ModelPair(target, target, None, "circle")
    plain = Autoregressive(pair).generate([1], 60).tokens
    ours = ExactDynamic(pair, sources=["copy"], profile=FREE).generate([1], 60)
    assert ours.tokens == plain
    assert len(set(plain[30:])) < 20
    assert len(ours.rounds) < 30
    assert {source for round_ in ours.rounds for source in round_.sources} == {"copy"}


def test_config_holds_all_that_decides_the_trees(pair) -> None:
    ours = ExactDynamic(pair, sources=["draft", "copy"], depth=5, nodes=9)
    config = json.loads(json.dumps(ours.config()))
    assert config["sources"] == ["copy", "draft"]
    assert (config["depth"], config["nodes"], config["width"]) == (5, 9, 4)
    assert config["profile"] == default_profile(pair).config()
    again = ExactDynamic(pair, profile=config["profile"])
    assert again.profile == ours.profile


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("sources", ["oracle"], "copy, recycled, draft"),
        ("sources", "copy", "copy, recycled, draft"),
        ("nodes", 0, "nodes"),
        ("depth", -1, "depth"),
        ("width", 1.5, "width"),
        ("width", True, "width"),
        ("profile", {"rows": [1]}, "profile"),
    ],
)
def test_unusable_options_are_refused(pair, option, value, says) -> None:
    with pytest.raises(InputError, match=says):
        ExactDynamic(pair, **{option: value})


def test_the_noise_equals_that_of_autoregressive(pair) -> None:
    from tasteshift.decoders.drafting.candidate_sources import CandidateSources
    from tasteshift.decoders.sampling.distribution import Sampling, draw
    from tasteshift.decoders.sampling.noise import Stream

    sampling, stream = Sampling(temperature=0.7), Stream(5, (1, 2))
    candidates = CandidateSources(sampling, stream, 31, SOURCES, 4, 0.7)
    rng = np.random.default_rng(0)
    positions = (0, 3, 3, 1)
    logits = torch.from_numpy(rng.normal(size=(len(positions), 31))).float()
    drawn = [
        int(draw(sampling.probs(row), stream.at(position)))
        for row, position in zip(logits, positions, strict=True)
    ]
    assert candidates.target_tokens(logits, positions).tolist() == drawn
