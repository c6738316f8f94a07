"""The dynamics of RecSim and SARDINE against closed forms and cases computed by hand."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit

from tasteshift.envs.dynamics import boredom, interest_evolution, long_term_satisfaction
from tasteshift.envs.dynamics.boredom import Boredom
from tasteshift.envs.dynamics.interest_evolution import InterestEvolution
from tasteshift.envs.dynamics.long_term_satisfaction import LongTermSatisfaction
from tasteshift.envs.numerics.grid import GRID, on_grid

HALF_STEP = GRID / 2
"""What rounding to the grid may change."""

UP, DOWN = 0.0, 1.0
"""Draws below and above every probability."""


def lies_on_grid(values):
    return (values / GRID == np.round(values / GRID)).all()


def one_topic(topics, count):
    return np.eye(count)[np.asarray(topics)]


# --- interest evolution


def test_first_interests_are_uniform_on_minus_one_to_one():
    draws = interest_evolution.interest_draws(7, np.arange(4000), 5)
    interests = interest_evolution.begin_interests(draws)
    assert interests.shape == (4000, 5)
    assert lies_on_grid(interests)
    assert stats.kstest(interests.ravel(), stats.uniform(-1, 2).cdf).pvalue > 0.01
    between_topics = np.corrcoef(interests.T)[np.triu_indices(5, 1)]
    assert np.abs(between_topics).max() < 4 / np.sqrt(4000)


@pytest.mark.parametrize(
    ("interest", "draw", "after"),
    [
        (0.0, UP, 0.3),
        (0.5, UP, 0.5 + 0.3 * 0.5 * 0.5),
        (0.5, DOWN, 0.5 - 0.3 * 0.5 * 0.5),
        (-0.5, UP, -0.5 + 0.3 * 0.5 * 1.5),
        (-0.5, DOWN, -0.5 - 0.3 * 0.5 * 1.5),
        (1.0, DOWN, 1.0),
        (-1.0, UP, -1.0),
    ],
)
def test_one_step_by_hand(interest, draw, after):
    interests, share = np.array([[0.25, interest, -0.75]]), one_topic([1], 3)
    found = interest_evolution.update_interests(
        InterestEvolution(), interests, share, np.array([draw])
    )
    assert found[0, 1] == pytest.approx(after, abs=HALF_STEP)
    assert found[0, [0, 2]].tolist() == [0.25, -0.75]


@pytest.mark.parametrize("interest", [-0.75, 0.0, 0.5])
def test_interests_rise_with_probability_half_of_one_plus_interest(interest):
    interests, share = np.full((1, 2), interest), one_topic([0], 2)
    border = (interest + 1) / 2
    for draw, sign in ((border - 1e-12, 1), (border, -1)):
        found = interest_evolution.update_interests(
            InterestEvolution(), interests, share, np.array([draw])
        )
        assert np.sign(found[0, 0] - interest) == sign


def test_mean_and_variance_of_a_step_match_the_two_point_distribution():
    n, interest = 40_000, 0.5
    user, turn = np.arange(n), np.full(n, 3)
    interests, share = np.full((n, 1), interest), np.ones((n, 1))
    draws = interest_evolution.direction_draws(1, user, turn)
    found = interest_evolution.update_interests(InterestEvolution(), interests, share, draws)
    size, upward = 0.3 * (1 - interest) * (1 - interest), (interest + 1) / 2
    deviation = size * np.sqrt(1 - (2 * upward - 1) ** 2)
    # E ΔI = y (1 − |I|)(1 − I) I; four standard errors
    assert found.mean() - interest == pytest.approx(size * interest, abs=4 * deviation / np.sqrt(n))
    assert found.std() == pytest.approx(deviation, rel=0.02)


def test_mean_after_three_items_equals_the_tree_of_all_directions():
    step, start = 0.3, -0.25
    mean = 0.0
    for signs in product((1, -1), repeat=3):
        interest, probability = start, 1.0
        for sign in signs:
            probability *= (1 + sign * interest) / 2
            interest += sign * step * (1 - abs(interest)) * (1 - interest)
        mean += probability * interest
    n = 40_000
    interests = np.full((n, 1), start)
    for turn in range(3):
        draws = interest_evolution.direction_draws(5, np.arange(n), np.full(n, turn))
        interests = interest_evolution.update_interests(
            InterestEvolution(step=step), interests, np.ones((n, 1)), draws
        )
    assert interests.mean() == pytest.approx(mean, abs=4 * interests.std() / np.sqrt(n))


def test_an_item_of_two_topics_moves_both_by_their_shares():
    interests, share = np.array([[0.0, 0.5]]), np.array([[0.75, 0.25]])
    border = 0.75 * 0.5 + 0.25 * 0.75
    params = InterestEvolution()
    up = interest_evolution.update_interests(params, interests, share, np.array([border - 1e-12]))
    down = interest_evolution.update_interests(params, interests, share, np.array([border]))
    change = np.array([0.75 * 0.3, 0.25 * 0.3 * 0.25])
    assert up - interests == pytest.approx(change[None], abs=HALF_STEP)
    assert down - interests == pytest.approx(-change[None], abs=HALF_STEP)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), step=st.floats(0, 1), turns=st.integers(1, 8))
def test_interests_stay_in_range_and_change_only_by_consumption(seed, step, turns):
    rng = np.random.default_rng(seed)
    params = InterestEvolution(step=step)
    interests = interest_evolution.begin_interests(rng.uniform(size=(6, 4)))
    for _ in range(turns):
        share = on_grid(rng.dirichlet(np.ones(4), size=6))
        share[0] = 0
        after = interest_evolution.update_interests(params, interests, share, rng.uniform(size=6))
        assert (np.abs(after) <= 1).all()
        assert lies_on_grid(after)
        assert (after[0] == interests[0]).all()
        interests = after


def test_interests_are_the_topics_utility():
    interests = np.array([[0.5, -0.25]])
    utility = interest_evolution.interest_utility(InterestEvolution(), interests)
    assert utility.tolist() == interests.tolist()
    doubled = interest_evolution.interest_utility(InterestEvolution(weight=2.0), interests)
    assert doubled.tolist() == [[1.0, -0.5]]


def test_draws_of_a_user_do_not_depend_on_other_users():
    user, seed = np.array([4, 9, 2]), np.array([1, 2, 3], dtype=np.uint64)
    batched = interest_evolution.interest_draws(seed, user, 6)
    turns = np.array([0, 5, 11])
    directions = interest_evolution.direction_draws(seed, user, turns)
    noise = long_term_satisfaction.innovation_noise(seed, user, turns)
    first = long_term_satisfaction.exposure_draws(seed, user)
    for row in range(3):
        single = (int(seed[row]), user[[row]])
        assert (interest_evolution.interest_draws(*single, 6) == batched[[row]]).all()
        at = turns[[row]]
        assert interest_evolution.direction_draws(*single, at) == directions[row]
        assert long_term_satisfaction.innovation_noise(*single, at) == noise[row]
        assert long_term_satisfaction.exposure_draws(*single) == first[row]
    assert not np.isin(directions, batched).any()
    assert (np.abs(stats.norm.cdf(noise) - first) > 1e-6).all()


# --- long-term satisfaction


def test_first_exposure_is_uniform_around_zero():
    draws = long_term_satisfaction.exposure_draws(3, np.arange(5000))
    exposure = long_term_satisfaction.begin_exposure(LongTermSatisfaction(), draws)
    reach = 0.5 / 0.3
    assert stats.kstest(exposure, stats.uniform(-reach, 2 * reach).cdf).pvalue > 0.01


def test_exposure_by_hand():
    params = LongTermSatisfaction()
    after = long_term_satisfaction.update_exposure(
        params,
        exposure=np.array([1.0, 1.0, 1.0]),
        kale=np.array([1.0, 0.25, 0.25]),
        consumed=np.array([True, True, False]),
        noise=np.array([0.0, 2.0, 2.0]),
    )
    assert after == pytest.approx([0.7 + 1.0, 0.7 - 0.5 + 0.1, 1.0], abs=HALF_STEP)
    assert after[2] == 1.0


def test_exposure_has_the_stationary_distribution_of_its_autoregression():
    params, n, kale = LongTermSatisfaction(innovation=0.4), 20_000, 0.8
    exposure = np.zeros(n)
    for turn in range(40):
        noise = long_term_satisfaction.innovation_noise(2, np.arange(n), np.full(n, turn))
        exposure = long_term_satisfaction.update_exposure(
            params, exposure, np.full(n, kale), np.ones(n, dtype=bool), noise
        )
    mean, deviation = 2 * (kale - 0.5) / 0.3, 0.4 / np.sqrt(1 - 0.7**2)
    assert exposure.mean() == pytest.approx(mean, abs=4 * deviation / np.sqrt(n))
    # the standard error of a standard deviation is deviation / √(2n)
    assert exposure.std() == pytest.approx(deviation, abs=4 * deviation / np.sqrt(2 * n))
    assert stats.kstest(exposure, stats.norm(mean, deviation).cdf).pvalue > 0.01


def test_exposure_halves_every_half_life():
    params = LongTermSatisfaction(memory=0.5 ** (1 / 4))
    exposure = np.array([1.0])
    for _ in range(8):
        exposure = long_term_satisfaction.update_exposure(
            params, exposure, np.array([0.5]), np.array([True]), np.array([0.0])
        )
    assert exposure[0] == pytest.approx(0.25, abs=8 * HALF_STEP)


def test_satisfaction_and_kaleness_are_logistic_and_on_the_grid():
    exposure = np.array([-3.0, 0.0, 2.5])
    for sensitivity in (0.01, 1.0):
        params = LongTermSatisfaction(sensitivity=sensitivity)
        found = long_term_satisfaction.satisfaction(params, exposure)
        assert found == pytest.approx(expit(sensitivity * exposure), abs=HALF_STEP)
        assert lies_on_grid(found)
    quality, appeal = np.array([2.0, 0.0, -1.0]), np.array([0.5, 0.0, 2.0])
    kale = long_term_satisfaction.kaleness(quality, appeal)
    assert kale == pytest.approx(expit([1.5, 0.0, -3.0]), abs=HALF_STEP)
    assert lies_on_grid(kale)


def test_clickbait_lowers_satisfaction_and_kale_restores_it():
    params, exposure = LongTermSatisfaction(sensitivity=1.0), np.zeros(1)
    course = []
    for kale in [0.1] * 10 + [0.9] * 10:
        exposure = long_term_satisfaction.update_exposure(
            params, exposure, np.array([kale]), np.array([True]), np.array([0.0])
        )
        course.append(long_term_satisfaction.satisfaction(params, exposure)[0])
    assert course[:10] == sorted(course[:10], reverse=True)
    assert course[10:] == sorted(course[10:])
    assert course[9] < 0.1
    assert course[-1] > 0.9


# --- boredom


def boredom_after(params, clicks, topics=3):
    """Turns of boredom left after each click of one user."""
    recent, left = boredom.begin_boredom(params, 1, topics)
    course = []
    for topic in clicks:
        recent, left = boredom.update_boredom(params, recent, left, np.array([topic]))
        course.append(left[0].tolist())
    return course


def test_five_clicks_in_five_turns_bore_for_five_turns():
    course = boredom_after(Boredom(), [1] * 5 + [0, 2, 0, 2, -1, -1])
    assert course[:4] == [[0, 0, 0]] * 4
    assert [left[1] for left in course[4:]] == [5, 4, 3, 2, 1, 0, 0]
    assert all(left[0] == left[2] == 0 for left in course)


def test_another_click_or_a_turn_without_click_prevents_boredom():
    for other in (0, -1):
        assert boredom_after(Boredom(), [1, 1, 1, other, 1, 1, 1, 1]) == [[0, 0, 0]] * 8


def test_clicks_are_forgotten_after_the_window():
    params = Boredom(window=3, threshold=2, duration=2)
    assert [left[0] for left in boredom_after(params, [0, -1, -1, 0])] == [0, 0, 0, 0]
    assert [left[0] for left in boredom_after(params, [0, -1, 0])] == [0, 0, 2]


def test_boredom_is_not_prolonged_and_restarts_if_clicks_continue():
    params = Boredom(window=3, threshold=2, duration=2)
    assert [left[0] for left in boredom_after(params, [0] * 7)] == [0, 2, 1, 2, 1, 2, 1]


def test_two_topics_can_bore_together():
    params = Boredom(window=4, threshold=2, duration=3)
    assert boredom_after(params, [0, 2, 0, 2])[-1] == [2, 0, 3]


def test_bored_topics_lose_utility_and_with_everything_all_topics_do():
    left = np.array([[0, 2, 0], [0, 0, 0]])
    one_topic_only = boredom.boredom_utility(Boredom(cost=4.0), left)
    assert one_topic_only.tolist() == [[0, -4, 0], [0, 0, 0]]
    everything = boredom.boredom_utility(Boredom(cost=4.0, everything=True), left)
    assert everything.tolist() == [[-4, -4, -4], [0, 0, 0]]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-1, 2), min_size=1, max_size=30), st.integers(1, 6), st.integers(1, 4))
def test_boredom_follows_from_counting_the_last_clicks(clicks, window, threshold):
    course = boredom_after(Boredom(window=window, threshold=threshold, duration=3), clicks)
    ends = [0, 0, 0]
    for turn in range(len(clicks)):
        for topic in range(3):
            count = clicks[max(turn - window + 1, 0) : turn + 1].count(topic)
            if turn >= ends[topic] and count >= threshold:
                ends[topic] = turn + 3
            assert course[turn][topic] == max(ends[topic] - turn, 0)


def test_pull_is_towards_the_mean_vector_of_the_clicked_items():
    taste = np.array([[2.0, 0.0, 0.0]])
    shown = np.array([[[0.0, 0.5, 0.0], [0.0, 0.0, 0.25], [-1.0, 0.0, 0.0]]])
    clicked = np.array([[True, True, False]])
    after = boredom.pull(Boredom(memory=0.8), taste, shown, clicked)
    direction = np.array([0.8, 0.1, 0.1])
    assert after[0] == pytest.approx(2 * direction / np.linalg.norm(direction), abs=4 * GRID)
    assert lies_on_grid(after)


def test_pull_needs_clicks_and_keeps_lengths():
    rng = np.random.default_rng(0)
    taste, shown = on_grid(rng.normal(size=(8, 5))), on_grid(rng.uniform(-0.4, 0.4, (8, 4, 5)))
    clicked = rng.uniform(size=(8, 4)) < 0.5
    clicked[:2] = False
    after = boredom.pull(Boredom(), taste, shown, clicked)
    assert (after[:2] == taste[:2]).all()
    assert np.linalg.norm(after, axis=1) == pytest.approx(
        np.linalg.norm(taste, axis=1), abs=8 * GRID
    )


def test_repeated_pull_matches_the_closed_form():
    """Before lengths are restored ω u + (1 − ω) z̃ rotates u towards z̃ in their plane.

    tan θ' = ω sin θ / (ω cos θ + 1 − ω).
    """
    taste, z, angle = np.array([[1.0, 0.0]]), np.array([[[0.0, 0.5]]]), np.pi / 2
    for _ in range(10):
        taste = boredom.pull(Boredom(), taste, z, np.array([[True]]))
        angle = np.arctan2(0.95 * np.sin(angle), 0.95 * np.cos(angle) + 0.05)
        assert np.arctan2(taste[0, 0], taste[0, 1]) == pytest.approx(angle, abs=2e-5)
