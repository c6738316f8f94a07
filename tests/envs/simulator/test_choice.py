"""Choice against the logit's closed form and a plain NumPy reference; enjoyment against integrals.

The reference works on whole arrays with the C library's functions and shares no line with the
compiled loop.
"""

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import expit, logsumexp, ndtri, softmax

from tasteshift.envs.numerics import philox
from tasteshift.envs.numerics.grid import GRID, on_grid
from tasteshift.envs.numerics.philox import Purpose
from tasteshift.envs.simulator import choice
from tasteshift.records import NOTHING

B, K, M, D, N, T = 400, 6, 3, 10, 50, 5
BETA, OUTSIDE = 4.0, 1.0


@pytest.fixture(scope="module")
def some():
    """Random items, users and slates, as arrays that the compiled function takes."""
    rng = np.random.default_rng(0)

    def unit(*shape):
        x = rng.normal(size=shape)
        return on_grid(x / np.linalg.norm(x, axis=-1, keepdims=True))

    weights = rng.dirichlet(np.ones(M), size=B)
    topic = rng.random((N, T)) < 0.4
    topic[0] = False
    recent = rng.integers(-1, N, (B, 20))
    slates = np.array([rng.permutation(N)[:K] for _ in range(B)])
    slates[rng.random((B, K)) < 0.15] = NOTHING
    return {
        "z": unit(N, D),
        "appeal": on_grid(rng.normal(size=N)),
        "quality": on_grid(rng.normal(size=N)),
        "topic": topic,
        "seed": rng.integers(0, 2**63, B).astype(np.uint64),
        "user": rng.integers(0, 1000, B),
        "time": rng.integers(0, 100, B),
        "u": unit(B, M, D),
        "weights": weights,
        "topic_utility": on_grid(rng.normal(size=(B, T))),
        "scale": rng.random(B),
        "recent": recent,
        "slates": slates,
    }


def respond(some, **changed):
    s = {**some, **changed}
    chosen, reward = np.empty(len(s["slates"]), np.int64), np.empty(len(s["slates"]))
    users = choice.ChoiceState(
        s["seed"],
        s["user"],
        s["time"],
        np.rint(s["u"] / GRID).astype(np.int32),
        s["weights"],
        s["topic_utility"],
        s["scale"],
        s["recent"],
    )
    traits = choice.item_traits(s["z"], s["appeal"], s["quality"], s["topic"])
    model = choice.ChoiceModel(BETA, OUTSIDE, traits)
    choice.fill_responses(model, users, int(Purpose.RESPONSE), s["slates"], chosen, reward)
    return chosen, reward


def reference(s):
    """Utilities (B, K), likings (B, K), and the response by Gumbel-max."""
    item = np.maximum(s["slates"], 0)
    scores = BETA * np.einsum("bmd,bkd->bkm", s["u"], s["z"][item])
    topics = s["topic"][item] / np.maximum(s["topic"][item].sum(axis=2, keepdims=True), 1)
    liking = logsumexp(np.log(s["weights"])[:, None] + scores, axis=2)
    liking = liking + np.einsum("bkt,bt->bk", topics, s["topic_utility"])
    liking -= choice.REPEAT_COST * (item[:, :, None] == s["recent"][:, None]).any(axis=2)
    utility = liking + s["appeal"][item] - choice.POSITION_COST * np.arange(K)
    utility = np.where(s["slates"] == NOTHING, -np.inf, utility)
    keys = np.hstack([np.zeros((len(item), 1), np.int64), item + 1])
    draw, enjoyment_draw = philox.uniforms(
        s["seed"][:, None], s["user"][:, None], s["time"][:, None], Purpose.RESPONSE, keys
    )
    noise = -np.log(-np.log(draw))
    total = np.hstack([OUTSIDE + noise[:, :1], utility + noise[:, 1:]])
    slot, row = total.argmax(axis=1), np.arange(len(item))
    k = np.maximum(slot - 1, 0)
    level = liking[row, k] + choice.QUALITY_WEIGHT * s["quality"][item[row, k]]
    level += choice.ENJOYMENT_NOISE * ndtri(enjoyment_draw[row, slot]) - choice.ENJOYMENT_BIAS
    return np.where(slot, item[row, k], NOTHING), np.where(slot, s["scale"] * expit(level), 0.0)


def test_the_compiled_function_agrees_with_numpy(some):
    chosen, reward = respond(some)
    expected_choice, expected_reward = reference(some)
    assert (chosen == expected_choice).all()
    assert reward == pytest.approx(expected_reward, rel=1e-12)
    assert 0.2 < (chosen == NOTHING).mean() < 0.8


def test_rows_are_independent(some):
    chosen, reward = respond(some)
    order = np.random.default_rng(1).permutation(B)
    per_user = {k: v for k, v in some.items() if k not in ("z", "appeal", "quality", "topic")}
    again = respond(some, **{k: v[order] for k, v in per_user.items()})
    assert (again[0] == chosen[order]).all()
    assert (again[1] == reward[order]).all()


def test_choice_frequencies_follow_the_multinomial_logit(some):
    n, slate = 30_000, np.array([3, 9, 20, NOTHING, 41, 7])
    one = {k: v[:1] for k, v in some.items() if k not in ("z", "appeal", "quality", "topic")}
    many = {k: np.repeat(v, n, axis=0) for k, v in one.items()}
    many |= {"slates": np.tile(slate, (n, 1)), "time": np.arange(n)}
    chosen, _ = respond(some, **many)
    item = np.maximum(slate, 0)
    scores = BETA * some["z"][item] @ some["u"][0].T
    topics = some["topic"][item] / np.maximum(some["topic"][item].sum(axis=1, keepdims=True), 1)
    utility = logsumexp(np.log(some["weights"][0]) + scores, axis=1) + some["appeal"][item]
    utility += topics @ some["topic_utility"][0] - choice.POSITION_COST * np.arange(K)
    utility -= choice.REPEAT_COST * np.isin(item, some["recent"][0])
    shown = slate != NOTHING
    expected = n * softmax([OUTSIDE, *utility[shown]])
    counts = [(chosen == NOTHING).sum(), *((chosen == i).sum() for i in slate[shown])]
    assert sum(counts) == n
    assert stats.chisquare(counts, expected).pvalue > 0.01


def test_changing_one_item_keeps_the_draws_of_the_others(some):
    chosen, reward = respond(some)
    slates = some["slates"].copy()
    slates[:, 2] = np.where(slates[:, 2] == NOTHING, NOTHING, (slates[:, 2] + 17) % N)
    again, reward_again = respond(some, slates=slates)
    kept = (chosen != some["slates"][:, 2]) & (again != slates[:, 2])
    assert kept.mean() > 0.5
    assert (chosen[kept] == again[kept]).all()
    assert (reward[kept] == reward_again[kept]).all()


def test_liking_of_all_items_agrees_with_numpy(some):
    liking = np.empty(N)
    traits = choice.item_traits(some["z"], some["appeal"], some["quality"], some["topic"])
    units = np.rint(some["u"][3] / GRID).astype(np.int32)
    choice.fill_liking(
        BETA, traits, units, some["weights"][3], some["topic_utility"][3], some["recent"][3], liking
    )
    share = some["topic"] / np.maximum(some["topic"].sum(axis=1, keepdims=True), 1)
    by_hand = logsumexp(np.log(some["weights"][3]) + BETA * some["z"] @ some["u"][3].T, axis=1)
    by_hand += share @ some["topic_utility"][3]
    by_hand -= choice.REPEAT_COST * np.isin(np.arange(N), some["recent"][3])
    assert liking == pytest.approx(by_hand, abs=1e-12)


@pytest.mark.parametrize("level", [-3.0, -0.5, 0.0, 1.7])
def test_expected_enjoyment_integrates_over_its_noise(level):
    mean = level - choice.ENJOYMENT_BIAS
    true, _ = integrate.quad(
        lambda x: expit(mean + choice.ENJOYMENT_NOISE * x) * stats.norm.pdf(x), -9, 9
    )
    found = choice.expected_enjoyment(np.array([level]), np.array([0.0]))[0]
    assert found == pytest.approx(true, abs=1e-5)


def test_the_quadrature_is_gauss_hermite():
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)
    assert pytest.approx(nodes, abs=1e-14) == choice.HERMITE_NODES
    assert pytest.approx(weights / weights.sum(), abs=1e-14) == choice.HERMITE_WEIGHTS
