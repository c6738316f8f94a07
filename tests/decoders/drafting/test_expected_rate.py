"""The number of nodes, against an enumeration of all subtrees."""

from __future__ import annotations

from itertools import chain, combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasteshift.decoders.drafting.expected_rate import ChainCosts, best_chain, best_size


@st.composite
def trees(draw) -> list[tuple[int | None, float]]:
    """Up to seven nodes, each with its parent and a probability of at most the parent's."""
    nodes: list[tuple[int | None, float]] = []
    for number in range(draw(st.integers(0, 7))):
        parent = draw(st.sampled_from([None, *range(number)]))
        above = 1.0 if parent is None else nodes[parent][1]
        nodes.append((parent, above * draw(st.floats(0.05, 0.95))))
    return nodes


COSTS = st.lists(st.floats(0.0, 2.0), min_size=9, max_size=9).map(
    lambda steps: [0.0, *(1.0 + sum(steps[:rows]) for rows in range(9))]
)


@given(trees(), COSTS, st.floats(0, 3))
def test_no_subtree_has_a_better_rate(nodes, seconds, spent) -> None:
    probs = sorted((prob for _, prob in nodes), reverse=True)
    size, rate = best_size(probs, seconds, spent)
    everything = range(len(nodes))
    best = 0.0
    for chosen in chain.from_iterable(combinations(everything, k) for k in range(len(nodes) + 1)):
        if all(nodes[node][0] is None or nodes[node][0] in chosen for node in chosen):
            expected = 1.0 + sum(nodes[node][1] for node in chosen)
            best = max(best, expected / (seconds[len(chosen) + 1] + spent))
    assert rate == pytest.approx(best)
    assert rate == pytest.approx((1.0 + sum(probs[:size])) / (seconds[size + 1] + spent))


def test_flat_costs_are_filled_and_steep_costs_are_avoided() -> None:
    flat = [0.0, 10.0, 20.0, 20.0, 20.0, 60.0, 60.0]
    assert best_size([0.9, 0.5, 0.2, 0.19], flat, 0.0)[0] == 3
    assert best_size([0.1, 0.05, 0.02], flat, 0.0)[0] == 0


@given(st.floats(0.05, 0.95), st.floats(0.1, 1.0), st.floats(0.01, 1.0), COSTS, st.integers(1, 5))
def test_a_chain_is_rated_at_its_best_length(accepts, open_, price, seconds, longest) -> None:
    by_hand = []
    for passes in range(1, longest + 1):
        tokens = 1.5 + sum(open_ * accepts**step for step in range(1, passes + 1))
        by_hand.append(tokens / (seconds[2 + passes] + 0.25 + 2 * price + (passes - 1) * price))
    costs = ChainCosts(2 * price, price, seconds, 0.25, accepts, longest)
    found = best_chain(1.5, 1, open_, costs)
    assert found == pytest.approx(max(by_hand))


def test_a_chain_that_pays_only_when_long_is_found() -> None:
    steep_then_flat = [0.0, 10.0, 18.0, 18.0, 18.0, 18.0]
    one, many = (
        best_chain(1.0, 0, 1.0, ChainCosts(0.5, 0.5, steep_then_flat, 0.0, 0.7, passes))
        for passes in (1, 4)
    )
    assert one < 1.0 / 10.0 < many


def test_without_room_for_a_chain_its_rate_is_zero() -> None:
    assert best_chain(1.0, 1, 1.0, ChainCosts(0.1, 0.1, [0.0, 1.0, 2.0], 0.0, 0.9, 4)) == 0.0
