"""Influence against the tangent formula of repeated consumption."""

import numpy as np
import pytest

from tasteshift.envs.dynamics.influence import Influence, influence
from tasteshift.envs.numerics.grid import GRID
from tasteshift.records import NOTHING

B, M, D, K = 12, 3, 24, 5


def on_grid(x):
    return np.round(x / GRID) * GRID


def vectors(*shape: int, seed: int, length: float = 1.0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(*shape, D))
    return on_grid(length * x / np.linalg.norm(x, axis=-1, keepdims=True))


def angle(x, y):
    x, y = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (x, y))
    return 2 * np.arctan2(np.linalg.norm(x - y, axis=-1), np.linalg.norm(x + y, axis=-1))


def influenced(params, taste, anchor, interest, chosen_z, picked, shown_z, shown):
    """`influence` with items given by their latents instead of by rows."""
    users, size = shown.shape
    table = np.concatenate([chosen_z, shown_z.reshape(users * size, -1)])
    slots = users + np.arange(users * size).reshape(users, size)
    return influence(
        params,
        taste,
        anchor,
        interest,
        np.rint(table / GRID).astype(np.int32),
        np.where(picked, np.arange(users), NOTHING),
        np.where(shown, slots, NOTHING),
    )


def one_turn(params, taste, anchor, z, picked=None, shown_z=None, shown=None, interest=None):
    """One turn; by default all users consume z for interest 1 and nothing else was shown."""
    return influenced(
        params,
        taste,
        anchor,
        np.full(B, 1) if interest is None else interest,
        z,
        np.ones(B, bool) if picked is None else picked,
        vectors(B, K, seed=99) if shown_z is None else shown_z,
        np.zeros((B, K), bool) if shown is None else shown,
    )


def reference(params, taste, anchor, interest, chosen_z, picked, shown_z, shown):
    """The equation in NumPy; sums of grid values are exact."""

    def dot(x, y):
        return (x * y).sum(axis=-1, keepdims=True)

    def directed(x):
        return on_grid(x / np.sqrt(np.where(dot(x, x) == 0, 1.0, dot(x, x))))

    def pulled(x, towards, rate):
        moved = on_grid(x + rate * dot(x, towards) * towards)
        return on_grid(moved * np.sqrt(dot(x, x) / dot(moved, moved)))

    row = np.arange(len(taste))
    x, a = taste[row, interest], anchor[row, interest]
    x = pulled(x, directed(np.where(shown[:, :, None], shown_z, 0).sum(axis=1)), params.exposure)
    x = pulled(x, directed(np.where(picked[:, None], chosen_z, 0)), params.consumption)
    followed = directed(on_grid((1 - params.anchor) * a + params.anchor * directed(x)))
    new_taste, new_anchor = taste.copy(), anchor.copy()
    new_taste[row, interest] = x
    new_anchor[row, interest] = np.where(picked[:, None], followed, a)
    return new_taste, new_anchor


def test_the_compiled_function_is_bit_exact_with_numpy():
    draws = np.random.default_rng(20)
    n = 400
    arguments = (
        vectors(n, M, seed=21, length=1.6),
        vectors(n, M, seed=22),
        draws.integers(0, M, n),
        vectors(n, seed=23, length=0.8),
        draws.random(n) < 0.5,
        vectors(n, K, seed=24, length=0.8),
        draws.random((n, K)) < 0.5,
    )
    params = Influence(0.2, 0.01, 0.02)
    expected = reference(params, *arguments)
    for ours, one in zip(influenced(params, *arguments), expected, strict=True):
        assert (ours == one).all()


def test_the_angle_to_a_repeated_item_follows_the_tangent_formula():
    eta, taste = 0.2, vectors(B, M, seed=0, length=1.5)
    z = vectors(B, seed=1, length=0.6)
    first = angle(taste[:, 1], z)
    first = np.minimum(first, np.pi - first)  # towards z̃ where it is liked, else towards −z̃
    now = taste
    for n in range(1, 30):
        now, _ = one_turn(Influence(eta, 0.0, 0.0), now, now, z)
        left = angle(now[:, 1], z)
        left = np.minimum(left, np.pi - left)
        assert np.abs(left - np.arctan(np.tan(first) / (1 + eta) ** n)).max() < 5e-6 * n
    lengths = np.linalg.norm(now, axis=-1) - np.linalg.norm(taste, axis=-1)
    assert np.abs(lengths).max() < 30 * 3e-6


def test_disliked_items_repel_and_orthogonal_ones_have_no_effect():
    taste = np.zeros((B, M, D))
    taste[:, :, 0] = 1.0
    z = np.zeros((B, D))
    z[:, 0], z[:, 1] = -0.5, 0.5
    moved, _ = one_turn(Influence(0.5, 0.0, 0.0), taste, taste, z)
    # u = (1, 0), z̃ = (−1, 1)/√2: u + ½⟨u, z̃⟩z̃ = (5/4, −1/4)
    assert moved[:, 1, :2] == pytest.approx(np.tile([5, -1], (B, 1)) / np.sqrt(26), abs=2 * GRID)
    z[:, 0] = 0.0
    assert (one_turn(Influence(0.5, 0.0, 0.0), taste, taste, z)[0] == taste).all()


def test_only_the_given_interest_of_consuming_users_moves():
    taste, anchor = vectors(B, M, seed=2), vectors(B, M, seed=3)
    interest, picked = np.arange(B) % M, np.arange(B) % 2 == 0
    before = taste.copy(), anchor.copy()
    params, z = Influence(0.2, 0.01, 0.05), vectors(B, seed=4)
    new_taste, new_anchor = one_turn(params, taste, anchor, z, picked=picked, interest=interest)
    expected = np.zeros((B, M), bool)
    expected[np.arange(B), interest] = picked
    assert ((new_taste != taste).any(axis=-1) == expected).all()
    assert ((new_anchor != anchor).any(axis=-1) == expected).all()
    assert (taste == before[0]).all()
    assert (anchor == before[1]).all()


def test_exposure_equals_consumption_of_the_mean_direction():
    taste, shown_z = vectors(B, M, seed=5), vectors(B, K, seed=6, length=0.7)
    shown = np.random.default_rng(7).random((B, K)) < 0.6
    shown[0] = False
    none_chosen, z = np.zeros(B, bool), vectors(B, seed=8)
    exposed, anchor = one_turn(
        Influence(0.0, 0.1, 0.5), taste, taste, z, none_chosen, shown_z, shown
    )
    mean = on_grid(np.where(shown[:, :, None], shown_z, 0).sum(axis=1) / 8)
    consumed, _ = one_turn(Influence(0.1, 0.0, 0.0), taste, taste, mean, shown.any(axis=1))
    assert np.abs(exposed - consumed).max() < 2e-6
    assert (exposed[0] == taste[0]).all()
    assert (exposed[1:, 1] != taste[1:, 1]).any(axis=-1).all()
    assert (anchor == taste).all()


def test_the_anchor_follows_along_the_great_circle():
    share, taste, anchor = 0.1, vectors(B, M, seed=9, length=2.0), vectors(B, M, seed=10)
    z = vectors(B, seed=11)
    moved, followed = one_turn(Influence(0.2, 0.0, share), taste, anchor, z)
    theta = angle(anchor, moved)[:, 1]
    phi = np.arctan2(share * np.sin(theta), 1 - share + share * np.cos(theta))
    assert np.abs(angle(anchor, followed)[:, 1] - phi).max() < 5e-6
    assert np.abs(angle(followed, moved)[:, 1] - (theta - phi)).max() < 5e-6
    assert np.abs(np.linalg.norm(followed, axis=-1) - 1).max() < 2.0**-18


def test_states_lie_on_the_grid_and_rows_are_independent():
    taste, anchor, z = vectors(B, M, seed=12), vectors(B, M, seed=13), vectors(B, seed=14)
    shown_z, shown = vectors(B, K, seed=15), np.ones((B, K), bool)
    picked, interest = np.arange(B) % 3 > 0, np.arange(B) % M
    arguments = (taste, anchor, interest, z, picked, shown_z, shown)
    params = Influence(0.2, 0.01, 0.02)
    batched = influenced(params, *arguments)
    for state in batched:
        assert (state / GRID == np.rint(state / GRID)).all()
    for k in range(B):
        single = influenced(params, *(part[k : k + 1] for part in arguments))
        assert (single[0][0] == batched[0][k]).all()
        assert (single[1][0] == batched[1][k]).all()
