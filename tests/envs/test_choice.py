"""Choice against the logit's closed form, enjoyment against numerical integration."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats
from scipy.special import expit, softmax

from tasteshift.envs import choice, philox
from tasteshift.envs.philox import Purpose


def test_choice_frequencies_follow_the_multinomial_logit():
    utility, nothing, n = np.array([0.5, -0.3, 1.1, -np.inf]), 0.2, 30_000
    noise = philox.gumbel(
        philox.uniform(0, np.arange(n)[:, None], 0, Purpose.RESPONSE, np.arange(5))
    )
    chosen = choice.choose(np.tile(utility, (n, 1)), nothing, noise[:, 1:], noise[:, 0])
    counts = np.bincount(chosen + 1, minlength=5)
    expected = n * softmax(np.array([nothing, *utility]))
    assert counts[4] == 0
    assert stats.chisquare(counts[:4], expected[:4]).pvalue > 0.01


@pytest.mark.parametrize("level", [-3.0, -0.5, 0.0, 1.7])
def test_expected_enjoyment_integrates_over_its_noise(level):
    mean = level - choice.ENJOYMENT_BIAS
    exact, _ = integrate.quad(
        lambda x: expit(mean + choice.ENJOYMENT_NOISE * x) * stats.norm.pdf(x), -9, 9
    )
    found = choice.expected_enjoyment(np.array([level]), np.array([0.0]))[0]
    assert found == pytest.approx(exact, abs=1e-5)


@given(st.permutations(range(6)))
def test_affinity_of_an_item_does_not_depend_on_its_place(order):
    rng = np.random.default_rng(0)
    taste, z = rng.normal(size=(1, 8)), rng.normal(size=(1, 6, 8))
    straight = choice.affinity(2.0, taste, z)[0]
    assert choice.affinity(2.0, taste, z[:, order])[0] == pytest.approx(straight[list(order)])
    assert choice.affinity(2.0, 5 * taste, z)[0] == pytest.approx(straight, abs=1e-9)
    by_hand = 2.0 * (z[0] @ taste[0]) / np.linalg.norm(taste[0])
    assert straight == pytest.approx(by_hand, abs=1e-5)  # u lies on the grid of 2⁻²⁰
