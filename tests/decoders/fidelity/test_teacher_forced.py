"""The teacher-forced check: clean for lossless texts, and finds every wrong token."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasteshift.decoders import DECODERS, make_decoder
from tasteshift.decoders.base import ModelPair
from tasteshift.decoders.execution.reader import Reader
from tasteshift.decoders.fidelity.teacher_forced import (
    TokenMatch,
    read_back,
    teacher_forced,
    token_identical,
    token_mismatch,
)
from tasteshift.decoders.sampling.distribution import Sampling, draw, race
from tasteshift.decoders.sampling.noise import Stream
from tasteshift.errors import InputError
from tasteshift.records import Generation

PROMPTS = [
    tuple(np.random.default_rng(n).integers(0, 31, size).tolist()) for n, size in enumerate((7, 66))
]
EXACT = [name for name in DECODERS.names() if DECODERS.get(name).exact]
LOSSY = [name for name in DECODERS.names() if not DECODERS.get(name).exact]


def read(decoder, prompt, seed=None, tokens=40) -> TokenMatch:
    return teacher_forced(decoder, prompt, decoder.generate(prompt, tokens, seed=seed), seed)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("prompt", PROMPTS)
def test_greedy_text_of_lossless_decoders_matches_autoregressive(
    pair: ModelPair, name: str, prompt
) -> None:
    match = read(make_decoder(name, pair), prompt)
    assert (match.tokens, match.share, match.unexplained) == (40, 1.0, ())
    assert 0 < match.difference < 1e-3


@pytest.mark.parametrize("name", LOSSY)
def test_greedy_text_of_lossy_decoders_does_not_match(pair: ModelPair, name: str) -> None:
    matches = [read(make_decoder(name, pair), prompt) for prompt in PROMPTS]
    assert sum(len(match.unexplained) for match in matches) > 3
    assert min(one.margin for match in matches for one in match.unexplained) > 1e-3


@pytest.mark.parametrize("options", [{}, {"top_k": 5}, {"top_p": 0.8}, {"top_k": 9, "top_p": 0.9}])
def test_sampled_tokens_match_only_under_their_own_seed(pair: ModelPair, options) -> None:
    for name in EXACT:
        decoder = make_decoder(name, pair, temperature=0.7, seed=3, **options)
        if not token_identical(decoder):
            with pytest.raises(InputError, match="test its distribution"):
                read(decoder, PROMPTS[0])
            continue
        assert read(decoder, PROMPTS[0], seed=9).share == 1
        assert read(decoder, PROMPTS[0]).share == 1
        text = decoder.generate(PROMPTS[0], 40, seed=9)
        assert teacher_forced(decoder, PROMPTS[0], text, 8).share < 0.9


def test_a_wrong_token_is_reported_at_its_position(pair: ModelPair) -> None:
    decoder = make_decoder("autoregressive", pair)
    text = decoder.generate(PROMPTS[0], 12)
    for position in (0, 5, 11):
        tokens = list(text.tokens)
        tokens[position] = (tokens[position] + 1) % 31
        match = teacher_forced(decoder, PROMPTS[0], replace(text, tokens=tuple(tokens)))
        first = match.unexplained[0]
        assert (first.position, first.token, first.expected) == (
            position,
            tokens[position],
            text.tokens[position],
        )
        with torch.inference_mode():
            ids = torch.tensor([[*PROMPTS[0], *tokens[:position]]])
            logits = pair.target(ids).logits[0, -1]
        margin = float(logits.max() - logits[tokens[position]])
        assert first.margin == pytest.approx(margin, abs=1e-4)
        assert match.share == 1 - len(match.unexplained) / 12


def test_tokens_with_equal_output_rows_are_near_ties(llama) -> None:
    plain = make_decoder("autoregressive", ModelPair(llama(1), llama(2), None, "plain"))
    token = plain.generate(PROMPTS[0], 1).tokens[0]
    target, other_token = llama(1), (token + 1) % 31
    with torch.no_grad():
        target.lm_head.weight[other_token] = target.lm_head.weight[token]
    tied = make_decoder("autoregressive", ModelPair(target, llama(2), None, "tied"))
    own = tied.generate(PROMPTS[0], 20).tokens
    other = Generation(7, (token + other_token - own[0], *own[1:]), ())
    match = teacher_forced(tied, PROMPTS[0], other)
    assert {own[0], other.tokens[0]} == {token, other_token}
    assert (match.near_ties[0].position, match.near_ties[0].expected) == (0, own[0])
    assert match.near_ties[0].margin <= match.tolerance < 1e-3


def test_read_back_gives_the_logits_of_a_plain_pass(pair: ModelPair) -> None:
    tokens = np.random.default_rng(5).integers(0, 31, 37).tolist()
    with torch.inference_mode():
        rows, others = read_back(Reader(pair.target), PROMPTS[0], tokens)
        plain = pair.target(torch.tensor([[*PROMPTS[0], *tokens]])).logits[0]
    assert (rows - plain[6:-1]).abs().max() < 1e-4
    assert all(0 < (table - rows).abs().max() < 1e-4 for table in others)


def test_own_flips_count_tokens_that_change_with_the_pass_size(
    llama, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passes of many rows are made to favor another token at two positions."""
    plain = make_decoder("autoregressive", ModelPair(llama(1), llama(2), None, "plain"))
    text = plain.generate(PROMPTS[0], 12)
    assert teacher_forced(plain, PROMPTS[0], text).own_flips == 0
    feed = Reader.feed

    def biased(self, tokens, *args, **kwargs):
        logits = feed(self, tokens, *args, **kwargs)
        if len(tokens) == 33:  # the tree of 3 × 11 rows
            logits[[0, 6], text.tokens[1]] -= 100.0
            logits[[0, 6], (text.tokens[1] + 1) % 31] += 100.0
        return logits

    monkeypatch.setattr(Reader, "feed", biased)
    match = teacher_forced(plain, PROMPTS[0], text)
    assert match.own_flips == 1.0, "two of one shape, none of the other"
    assert match.share == 1.0


def test_empty_and_one_token_texts_match(pair: ModelPair) -> None:
    decoder = make_decoder("autoregressive", pair)
    match = teacher_forced(decoder, PROMPTS[0], decoder.generate(PROMPTS[0], 0))
    assert (match.tokens, match.share, match.difference) == (0, 1.0, 0.0)
    assert read(decoder, PROMPTS[0], tokens=1) == TokenMatch(1, 0.0, (), ())


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.floats(0.1, 3.0), st.sampled_from([0, 3]), st.floats(1e-6, 0.3))
def test_rounding_within_tolerance_is_never_unexplained(
    seed: int, temperature: float, top_k: int, difference: float
) -> None:
    """Logits that move by at most `difference` change margins by at most twice that."""
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(0, 0.5, 12)).float()
    moved = (logits + torch.from_numpy(rng.uniform(-difference, difference, 12))).float()
    sampling = Sampling(temperature, top_k=top_k)
    token = int(draw(sampling.probs(moved), Stream(seed).at(0)))
    mismatch = token_mismatch(logits, sampling, Stream(seed).at(0), 0, token, 2 * difference)
    assert mismatch is None or mismatch.margin <= 2 * difference + 1e-5


def test_race_margin_by_hand() -> None:
    """Two tokens, T = 0.5: the loser's key is T · log(p / E), so the margin is a difference."""
    logits = torch.tensor([1.0, 0.2])
    keys = logits.double() - 0.5 * Stream(4).at(0).exponentials(2).log()
    mismatch = token_mismatch(logits, Sampling(0.5), Stream(4).at(0), 0, int(keys.argmin()), 0.0)
    assert mismatch is not None
    assert mismatch.margin == pytest.approx(float(abs(keys[0] - keys[1])), rel=1e-5)


def test_margin_of_a_token_cut_by_top_k_is_its_distance_to_the_cut() -> None:
    logits = torch.tensor([3.0, 2.0, 1.75])
    sampling = Sampling(1.0, top_k=2)
    seed = next(s for s in range(500) if race(logits.exp(), Stream(s).at(0)).argmax() == 2)
    mismatch = token_mismatch(logits, sampling, Stream(seed).at(0), 0, 2, 1e-3)
    assert mismatch is not None
    assert mismatch.margin == pytest.approx(0.25)
