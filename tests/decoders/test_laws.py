"""At T=1 the first three tokens have the joint law that plain forwards of the target give.

The second token needs a whole round of drafting and verifying, and the third one lies after a
rejection or within the same round. The same test must find out a decoder without the residual.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from scipy.stats import power_divergence

from tasteshift.decoders import make_decoder, mcsd
from tasteshift.decoders.base import Decoder, ModelPair
from tasteshift.decoders.verification import NONE, recursive_rejection

VOCAB, DRAWS = 4, 2000
PROMPT = (1, 3, 0, 2)


@pytest.fixture(scope="module")
def quarrel(llama) -> ModelPair:
    """A tiny target, and a draft that disagrees with it."""
    shape = {"vocab": VOCAB, "layers": 1, "hidden": 8, "sharpness": 12.0}
    return ModelPair(llama(5, **shape), llama(12, **shape), None, "quarrel")


def softmax_after(model, tokens: tuple[int, ...]) -> np.ndarray:
    with torch.inference_mode():
        return model(torch.tensor([tokens])).logits[0, -1].double().softmax(-1).numpy()


def joint(pair: ModelPair) -> np.ndarray:
    """(V, V, V) exact law of three new tokens."""
    table = np.empty((VOCAB,) * 3)
    for a in range(VOCAB):
        for b in range(VOCAB):
            table[a, b] = (
                softmax_after(pair.target, PROMPT)[a]
                * softmax_after(pair.target, (*PROMPT, a))[b]
                * softmax_after(pair.target, (*PROMPT, a, b))
            )
    return table


def p_value(decoder: Decoder) -> float:
    """G-test of many seeds against the joint law; cells expected under 5 are pooled."""
    counts = Counter(decoder.generate(PROMPT, 3, seed=seed).tokens for seed in range(DRAWS))
    expected = joint(decoder.pair).ravel() * DRAWS
    observed = np.array([counts[cell] for cell in np.ndindex((VOCAB,) * 3)], dtype=float)
    rare = expected < 5
    expected = np.append(expected[~rare], expected[rare].sum() + 1e-9)
    observed = np.append(observed[~rare], observed[rare].sum())
    expected *= observed.sum() / expected.sum()
    return float(power_divergence(observed, expected, lambda_="log-likelihood")[1])


def test_the_pair_disagrees(quarrel: ModelPair) -> None:
    """Else the tests below would have no power."""
    distance = [
        np.abs(softmax_after(quarrel.target, text) - softmax_after(quarrel.draft, text)).sum() / 2
        for text in (PROMPT, (*PROMPT, 0), (*PROMPT, 1), (*PROMPT, 2), (*PROMPT, 3))
    ]
    assert np.mean(distance) > 0.3


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("autoregressive", {}),
        ("mcsd", {"k": (2, 1)}),
        ("mcsd", {"k": (2, 1), "replacement": True}),
    ],
)
def test_joint_law_of_three_tokens(quarrel: ModelPair, name: str, options) -> None:
    assert p_value(make_decoder(name, quarrel, temperature=1.0, **options)) > 1e-3


def test_a_decoder_without_the_residual_is_found_out(
    quarrel: ModelPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_residual(p, q, candidates, accepts, *, replacement):
        index, left = recursive_rejection(p, q, candidates, accepts, replacement=replacement)
        return index, (p if index == NONE else left)

    monkeypatch.setattr(mcsd, "recursive_rejection", no_residual)
    assert p_value(make_decoder("mcsd", quarrel, temperature=1.0, k=(2, 1))) < 1e-9
