"""What reading a text back finds: nothing in an exact one, and every token that is not its own."""

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
    Match,
    judge,
    keyed,
    read_back,
    teacher_forced,
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


def read(decoder, prompt, seed=None, tokens=40) -> Match:
    return teacher_forced(decoder, prompt, decoder.generate(prompt, tokens, seed=seed), seed)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("prompt", PROMPTS)
def test_greedy_text_of_exact_decoders_is_the_path(pair: ModelPair, name: str, prompt) -> None:
    match = read(make_decoder(name, pair), prompt)
    assert (match.tokens, match.share, match.unexplained) == (40, 1.0, ())
    assert 0 < match.difference < 1e-3


@pytest.mark.parametrize("name", LOSSY)
def test_greedy_text_of_lossy_decoders_is_not(pair: ModelPair, name: str) -> None:
    matches = [read(make_decoder(name, pair), prompt) for prompt in PROMPTS]
    assert sum(len(match.unexplained) for match in matches) > 3
    assert min(miss.margin for match in matches for miss in match.unexplained) > 1e-3


@pytest.mark.parametrize("options", [{}, {"top_k": 5}, {"top_p": 0.8}, {"top_k": 9, "top_p": 0.9}])
def test_keyed_text_is_the_path_of_its_own_seed_only(pair: ModelPair, options) -> None:
    for name in EXACT:
        decoder = make_decoder(name, pair, temperature=0.7, seed=3, **options)
        if not keyed(decoder):
            with pytest.raises(InputError, match="compare its law"):
                read(decoder, PROMPTS[0])
            continue
        assert read(decoder, PROMPTS[0], seed=9).share == 1
        assert read(decoder, PROMPTS[0]).share == 1
        text = decoder.generate(PROMPTS[0], 40, seed=9)
        assert teacher_forced(decoder, PROMPTS[0], text, 8).share < 0.9


def test_one_wrong_token_is_found_where_it_stands(pair: ModelPair) -> None:
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


def test_twins_in_the_vocabulary_nearly_tie(llama) -> None:
    plain = make_decoder("autoregressive", ModelPair(llama(1), llama(2), None, "plain"))
    token = plain.generate(PROMPTS[0], 1).tokens[0]
    target, twin = llama(1), (token + 1) % 31
    with torch.no_grad():
        target.lm_head.weight[twin] = target.lm_head.weight[token]
    tied = make_decoder("autoregressive", ModelPair(target, llama(2), None, "tied"))
    own = tied.generate(PROMPTS[0], 20).tokens
    other = Generation(7, (token + twin - own[0], *own[1:]), ())
    match = teacher_forced(tied, PROMPTS[0], other)
    assert {own[0], other.tokens[0]} == {token, twin}
    assert (match.near_ties[0].position, match.near_ties[0].expected) == (0, own[0])
    assert match.near_ties[0].margin <= match.tolerance < 1e-3


def test_rows_are_those_of_a_plain_pass(pair: ModelPair) -> None:
    tokens = np.random.default_rng(5).integers(0, 31, 37).tolist()
    with torch.inference_mode():
        rows, others = read_back(Reader(pair.target), PROMPTS[0], tokens)
        plain = pair.target(torch.tensor([[*PROMPTS[0], *tokens]])).logits[0]
    assert (rows - plain[6:-1]).abs().max() < 1e-4
    assert all(0 < (table - rows).abs().max() < 1e-4 for table in others)


def test_a_path_that_rounding_bends_flips(llama, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tokens tie; passes of many rows favour the second, so the path takes another token."""
    plain = make_decoder("autoregressive", ModelPair(llama(1), llama(2), None, "plain"))
    text = plain.generate(PROMPTS[0], 12)
    assert teacher_forced(plain, PROMPTS[0], text).own_flips == 0
    feed = Reader.feed

    def bent(self, tokens, *args, **kwargs):
        logits = feed(self, tokens, *args, **kwargs)
        if len(tokens) == 33:  # the tree of 3 × 11 rows
            logits[[0, 6], text.tokens[1]] -= 100.0
            logits[[0, 6], (text.tokens[1] + 1) % 31] += 100.0
        return logits

    monkeypatch.setattr(Reader, "feed", bent)
    match = teacher_forced(plain, PROMPTS[0], text)
    assert match.own_flips == 1.0, "two of one shape, none of the other"
    assert match.share == 1.0


def test_nothing_written_is_nothing_wrong(pair: ModelPair) -> None:
    decoder = make_decoder("autoregressive", pair)
    match = teacher_forced(decoder, PROMPTS[0], decoder.generate(PROMPTS[0], 0))
    assert (match.tokens, match.share, match.difference) == (0, 1.0, 0.0)
    assert read(decoder, PROMPTS[0], tokens=1) == Match(1, 0.0, (), ())


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.floats(0.1, 3.0), st.sampled_from([0, 3]), st.floats(1e-6, 0.3))
def test_a_winner_after_rounding_is_never_unexplained(
    seed: int, temperature: float, top_k: int, difference: float
) -> None:
    """Logits that move by at most `difference` may change who wins, by twice it and no more."""
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(0, 0.5, 12)).float()
    moved = (logits + torch.from_numpy(rng.uniform(-difference, difference, 12))).float()
    sampling = Sampling(temperature, top_k=top_k)
    token = int(draw(sampling.probs(moved), Stream(seed).at(0)))
    miss = judge(logits, sampling, Stream(seed).at(0), 0, token, 2 * difference)
    assert miss is None or miss.margin <= 2 * difference + 1e-5


def test_margin_of_a_race_by_hand() -> None:
    """Two tokens, T = 0.5: the loser's key is T · log(p / E), so the margin is a difference."""
    logits = torch.tensor([1.0, 0.2])
    keys = logits.double() - 0.5 * Stream(4).at(0).exponentials(2).log()
    miss = judge(logits, Sampling(0.5), Stream(4).at(0), 0, int(keys.argmin()), 0.0)
    assert miss is not None
    assert miss.margin == pytest.approx(float(abs(keys[0] - keys[1])), rel=1e-5)


def test_a_token_that_top_k_cuts_is_as_far_off_as_the_cut() -> None:
    logits = torch.tensor([3.0, 2.0, 1.75])
    sampling = Sampling(1.0, top_k=2)
    seed = next(s for s in range(500) if race(logits.exp(), Stream(s).at(0)).argmax() == 2)
    miss = judge(logits, sampling, Stream(seed).at(0), 0, 2, 1e-3)
    assert miss is not None
    assert miss.margin == pytest.approx(0.25)
