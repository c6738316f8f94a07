"""Lossless decoders pass the distribution tests at T > 0; lossy ones and wrong rules fail.

One prompt and a tiny vocabulary, so that every distribution is known and `DRAWS` texts find any
effect w ≥ 0.32 with probability 0.9; seeds are fixed, so that results are reproducible.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import power_divergence

from tasteshift.decoders import DECODERS, make_decoder
from tasteshift.decoders.base import ModelPair
from tasteshift.decoders.fidelity.distribution_tests import (
    DistributionTest,
    distribution_tests,
    g_test,
    next_token_distributions,
)
from tasteshift.decoders.sampling import draft_tree
from tasteshift.decoders.sampling.verification import recursive_rejection
from tasteshift.metrics.comparison import holm

VOCAB, DRAWS = 4, 400
PROMPT = (1, 3, 0, 2)
ALPHA = 1e-3
DEFAULTS = [(name, {}) for name in DECODERS.names() if name != "mcsd"]
SMALL_TREES = [
    ("mcsd", {"k": (2, 1)}),
    ("mcsd", {"k": (2, 1), "replacement": True}),
    ("mcsd", {"k": (2, 1), "top_k": 3}),
    ("speculative", {"depth": 1, "top_p": 0.9}),
]
CASES = [*DEFAULTS, *SMALL_TREES]


@pytest.fixture(scope="module")
def disagreeing(llama) -> ModelPair:
    """A tiny target, and a draft that disagrees with it."""
    shape = {"vocab": VOCAB, "layers": 1, "hidden": 8, "sharpness": 12.0}
    return ModelPair(llama(2, **shape), llama(21, **shape), None, "disagreeing")


def smallest_p(tests: list[DistributionTest]) -> float:
    return min(holm([test.p for test in tests]))


def test_the_pair_disagrees(disagreeing: ModelPair) -> None:
    """Without disagreement the tests below would have no power."""
    decoder = make_decoder("autoregressive", disagreeing, temperature=1.0)
    texts = [(*PROMPT, x) for x in range(VOCAB)]
    p, q = (
        next_token_distributions(decoder, model, texts)
        for model in (disagreeing.target, disagreeing.draft)
    )
    assert (np.abs(p - q).sum(-1) / 2).mean() > 0.3


EXACT = [case for case in CASES if DECODERS.get(case[0]).exact and case[0] != "exact-dynamic"]
"""Without exact-dynamic, whose tokens are tested to be those of autoregressive, seed by seed."""
ONE_ROOT = [
    ("target-init", {"k": (1, 2)}),
    ("target-init-dynamic", {"width": 1, "depth": 2, "decision": "off"}),
]
"""Lossless with a single root, though not in general."""


@pytest.mark.parametrize(("name", "options"), [*EXACT, *ONE_ROOT])
def test_lossless_decoders_have_the_distribution_of_the_target(
    disagreeing: ModelPair, name: str, options
) -> None:
    tests = distribution_tests(
        make_decoder(name, disagreeing, temperature=1.0, **options), PROMPT, DRAWS
    )
    assert smallest_p(tests) > ALPHA / len(CASES)
    assert tests[0].draws == DRAWS
    assert tests[0].tv_distance < 2 * tests[0].tv_floor
    assert all(test.detects < 0.6 for test in tests if test.draws > 200)


MORE_DRAWS = {"target-init": 3 * DRAWS}
"""With few roots the first often has the longest path; so small an effect takes more texts."""


@pytest.mark.parametrize("name", [n for n in DECODERS.names() if not DECODERS.get(n).exact])
def test_lossy_decoders_have_another_distribution(disagreeing: ModelPair, name: str) -> None:
    draws = MORE_DRAWS.get(name, DRAWS)
    tests = distribution_tests(make_decoder(name, disagreeing, temperature=1.0), PROMPT, draws)
    assert smallest_p(tests) < 1e-6
    assert max(test.tv_distance - test.tv_floor for test in tests) > 0.05


def without_residual(p, q, candidates, *, replacement=False):
    """After a rejection, draw from p again instead of from the residual."""
    accept_prob, _ = recursive_rejection(p, q, candidates, replacement=replacement)
    return accept_prob, p.double()


def sorted_siblings(p, q, candidates, *, replacement=False):
    """Verify the likeliest draft token first, whichever was drawn first."""
    order = q.gather(-1, candidates).argsort(dim=-1, descending=True, stable=True)
    given = candidates.gather(-1, order)
    accept_prob, left = recursive_rejection(p, q, given, replacement=replacement)
    # Draws its own uniforms, then makes the outcome certain.
    accepted = (torch.rand(accept_prob.shape) < accept_prob).int()
    certain = torch.zeros_like(accept_prob)
    for row, outcomes in enumerate(accepted.tolist()):
        if any(outcomes):
            certain[row, order[row, outcomes.index(1)]] = 1.0
    return certain, left


def pruned(p, q, candidates, *, replacement=False):
    """Drop draft tokens of low q after they were drawn."""
    kept = q.gather(-1, candidates) > 0.3
    accept_prob, left = torch.zeros(candidates.shape, dtype=torch.float64), p.double()
    for row in range(len(kept)):
        if kept[row].any():
            some = candidates[row, kept[row]]
            accept_prob[row, kept[row]], left[row] = recursive_rejection(
                p[row], q[row], some, replacement=replacement
            )
    return accept_prob, left


@pytest.mark.parametrize("rule", [without_residual, sorted_siblings, pruned])
def test_wrong_verification_rules_are_detected(disagreeing: ModelPair, monkeypatch, rule) -> None:
    monkeypatch.setattr(draft_tree, "recursive_rejection", rule)
    decoder = make_decoder("mcsd", disagreeing, temperature=1.0, k=(2, 1))
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        assert smallest_p(distribution_tests(decoder, PROMPT, DRAWS)) < 1e-5


def test_drafting_from_a_wrong_last_token_is_detected(llama, monkeypatch) -> None:
    """The draft continues from the last draft token, not from the bonus token after it."""
    shape = {"vocab": VOCAB, "layers": 1, "hidden": 8, "sharpness": 12.0}
    mild = ModelPair(llama(2, **shape), llama(2, **shape | {"sharpness": 9.0}), None, "mild")
    decoder = make_decoder("speculative", mild, temperature=1.0, depth=2)
    draft = decoder.draft

    def draft_from_wrong_token(text):
        written = text.tokens[-1]
        if text.rounds and text.rounds[-1].accepted == 2:
            text.tokens[-1] = text.unread[-1] = text.tokens[-2]
        tree = draft(text)
        text.tokens[-1] = written
        return tree

    monkeypatch.setattr(decoder, "draft", draft_from_wrong_token)
    draft_tokens, _, boundary = distribution_tests(decoder, PROMPT, DRAWS)
    assert draft_tokens.p > ALPHA
    assert boundary.p < ALPHA


def test_next_token_distributions_are_softmax_of_plain_logits(disagreeing: ModelPair) -> None:
    decoder = make_decoder("autoregressive", disagreeing, temperature=1.0)
    with torch.inference_mode():
        logits = disagreeing.target(torch.tensor([PROMPT])).logits[0].double()
    given = next_token_distributions(decoder, disagreeing.target, [PROMPT])[0]
    assert given == pytest.approx(logits[-2:].softmax(-1).numpy(), abs=1e-6)


def test_g_test_agrees_with_scipy_and_pools_small_cells() -> None:
    observed, expected = np.array([30.0, 50.0, 20.0]), np.array([25.0, 50.0, 25.0])
    theirs = power_divergence(observed, expected, lambda_="log-likelihood")[1]
    assert g_test(observed, expected) == (pytest.approx(theirs), 3)
    # 1 + 2 + 1 are expected fewer than five times together, so the cell of 6 joins them
    wide = np.array([0.0, 5.0, 1.0, 4.0, 90.0]), np.array([1.0, 2.0, 1.0, 6.0, 90.0])
    assert g_test(*wide) == (1.0, 2)
    assert g_test(np.array([3.0]), np.array([3.0])) == (1.0, 1)
