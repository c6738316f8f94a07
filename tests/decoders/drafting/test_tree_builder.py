"""The likeliest-first tree, against an enumeration of all paths."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasteshift.decoders.drafting.calibration import MAX_RATE
from tasteshift.decoders.drafting.expected_rate import best_size
from tasteshift.decoders.drafting.tree_builder import Candidate, Limits, Node, TreeBuilder, merged


def flat(most: int) -> list[float]:
    """Costs of passes where rows are free, for `most` nodes below the root."""
    return [0.0] + [1.0] * (most + 1)


def built(table: dict[int, list[tuple[int, float]]], **limits) -> TreeBuilder:
    """A tree whose candidates after a node depend on its token alone."""
    limits = {"target_cost": flat(50), "min_prob": 0.01, "depth": 3, "reach": 4} | limits

    def lookup(node: Node) -> list[Candidate]:
        return [Candidate(token, chance, "copy", []) for token, chance in table.get(node.token, [])]

    return TreeBuilder(Node(0, 0, 1.0, (9, 0)), lookup, Limits(**limits))


TABLES = st.dictionaries(
    st.integers(0, 3),
    st.lists(
        st.tuples(st.integers(0, 3), st.floats(0.05, 0.45)),
        max_size=2,
        unique_by=lambda entry: entry[0],
    ),
)


@given(TABLES, st.integers(1, 9), st.floats(0.01, 0.4), st.integers(0, 4))
def test_the_likeliest_nodes_are_placed_parents_first(table, most, floor, depth) -> None:
    paths: dict[tuple[int, ...], float] = {(): 1.0}
    level = [((), 1.0)]
    for _ in range(depth):
        level = [
            ((*path, token), above * chance)
            for path, above in level
            for token, chance in table.get(path[-1] if path else 0, [])
        ]
        paths |= dict(level)
    del paths[()]
    expected = sorted((c for c in paths.values() if c >= floor), reverse=True)[:most]
    builder = built(table, target_cost=flat(most), min_prob=floor, depth=depth)
    assert [node.reach_prob for node in builder.nodes] == pytest.approx(expected)
    placed = {builder.root}
    for node in builder.nodes:
        path = tuple(step.token for step in node.path())
        assert node.reach_prob == pytest.approx(paths[path])
        assert node.depth == len(path)
        assert node.tail == (9, 0, *path)[-4:]
        assert node.parent in placed
        placed.add(node)


def test_the_highest_probability_counts_and_sums_never_exceed_one() -> None:
    one, other = Candidate(5, 0.5, "copy", ["a"]), Candidate(5, 0.8, "draft", ["b"])
    both = merged([one, other, Candidate(6, 0.05, "copy", ["c"])])
    assert [(candidate.token, candidate.source, candidate.kinds) for candidate in both] == [
        (5, "draft", ["a", "b"]),
        (6, "copy", ["c"]),
    ]
    assert both[0].prob == pytest.approx(0.8)
    crowd = merged([Candidate(token, 0.6, "copy", []) for token in range(3)])
    assert [candidate.prob for candidate in crowd] == pytest.approx([MAX_RATE / 3] * 3)
    assert one.kinds == ["a"]


def test_new_candidates_rescale_whole_branches() -> None:
    builder = built({0: [(1, 0.5), (2, 0.4)], 1: [(3, 0.5)], 2: [(3, 0.9)]})
    assert [node.token for node in builder.nodes] == [1, 2, 3, 3]
    assert builder.root.uncovered == pytest.approx(0.1)
    builder.add(
        {builder.root: [Candidate(2, 0.9, "draft", []), Candidate(7, 0.3, "draft", [])]}, 0.0
    )
    total = 0.5 + 0.9 + 0.3
    chances = {
        tuple(step.token for step in node.path()): node.reach_prob * total / MAX_RATE
        for node in builder.nodes
    }
    assert chances == {
        (2,): pytest.approx(0.9),
        (2, 3): pytest.approx(0.9 * 0.9),
        (1,): pytest.approx(0.5),
        (7,): pytest.approx(0.3),
        (1, 3): pytest.approx(0.25),
    }
    assert builder.nodes[0].source == "draft"


def test_the_tree_is_rebuilt_with_new_candidates() -> None:
    builder = built({0: [(1, 0.3), (2, 0.2)]}, target_cost=flat(2))
    builder.add({builder.root: [Candidate(8, 0.4, "draft", [])]}, 0.0)
    assert [node.token for node in builder.nodes] == [8, 1]


@given(
    TABLES,
    st.lists(st.floats(0.05, 1.0), min_size=12, max_size=12),
    st.floats(0.0, 2.0),
)
def test_nodes_left_out_for_their_cost_could_not_have_paid(table, steps, spent) -> None:
    seconds = [0.0, *(1.0 + sum(steps[:rows]) for rows in range(12))]
    every, some = built(table, min_prob=1e-9), built(table, target_cost=seconds, min_prob=1e-9)
    for builder in (every, some):
        builder.add({}, spent)
    best = [
        best_size([node.reach_prob for node in builder.nodes], seconds, spent)[1]
        for builder in (every, some)
    ]
    assert best[1] == pytest.approx(best[0])
