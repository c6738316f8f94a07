"""The likeliest-first tree, against all paths by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasteshift.decoders.drafting.calibration import SURE
from tasteshift.decoders.drafting.growth import DraftToken, Node, TreeBuilder, merged
from tasteshift.decoders.drafting.planning import best_size


def flat(most: int) -> list[float]:
    """The costs of passes where rows are free: room for `most` nodes below the root."""
    return [0.0] + [1.0] * (most + 1)


def grown(law: dict[int, list[tuple[int, float]]], **limits) -> TreeBuilder:
    """A tree where what follows a node depends on its token alone."""
    limits = {"seconds": flat(50), "floor": 0.01, "depth": 3, "reach": 4} | limits

    def ask(node: Node) -> list[DraftToken]:
        return [DraftToken(token, chance, "copy", []) for token, chance in law.get(node.token, [])]

    return TreeBuilder(Node(0, 0, 1.0, (9, 0)), ask, **limits)


LAWS = st.dictionaries(
    st.integers(0, 3),
    st.lists(
        st.tuples(st.integers(0, 3), st.floats(0.05, 0.45)),
        max_size=2,
        unique_by=lambda entry: entry[0],
    ),
)


@given(LAWS, st.integers(1, 9), st.floats(0.01, 0.4), st.integers(0, 4))
def test_the_likeliest_paths_are_placed_parents_first(law, most, floor, depth) -> None:
    paths: dict[tuple[int, ...], float] = {(): 1.0}
    level = [((), 1.0)]
    for _ in range(depth):
        level = [
            ((*path, token), above * chance)
            for path, above in level
            for token, chance in law.get(path[-1] if path else 0, [])
        ]
        paths |= dict(level)
    del paths[()]
    expected = sorted((c for c in paths.values() if c >= floor), reverse=True)[:most]
    growth = grown(law, seconds=flat(most), floor=floor, depth=depth)
    assert [node.chance for node in growth.nodes] == pytest.approx(expected)
    placed = {growth.root}
    for node in growth.nodes:
        path = tuple(step.token for step in node.path())
        assert node.chance == pytest.approx(paths[path])
        assert node.depth == len(path)
        assert node.tail == (9, 0, *path)[-4:]
        assert node.parent in placed
        placed.add(node)


def test_the_surest_source_speaks_and_chances_never_exceed_one() -> None:
    one, other = DraftToken(5, 0.5, "copy", ["a"]), DraftToken(5, 0.8, "draft", ["b"])
    both = merged([one, other, DraftToken(6, 0.05, "copy", ["c"])])
    assert [(guess.token, guess.source, guess.kinds) for guess in both] == [
        (5, "draft", ["a", "b"]),
        (6, "copy", ["c"]),
    ]
    assert both[0].chance == pytest.approx(0.8)
    crowd = merged([DraftToken(token, 0.6, "copy", []) for token in range(3)])
    assert [guess.chance for guess in crowd] == pytest.approx([SURE / 3] * 3)
    assert one.kinds == ["a"]


def test_what_the_draft_says_moves_whole_branches() -> None:
    growth = grown({0: [(1, 0.5), (2, 0.4)], 1: [(3, 0.5)], 2: [(3, 0.9)]})
    assert [node.token for node in growth.nodes] == [1, 2, 3, 3]
    assert growth.root.uncovered == pytest.approx(0.1)
    growth.inform(
        {growth.root: [DraftToken(2, 0.9, "draft", []), DraftToken(7, 0.3, "draft", [])]}, 0.0
    )
    total = 0.5 + 0.9 + 0.3
    chances = {
        tuple(step.token for step in node.path()): node.chance * total / SURE
        for node in growth.nodes
    }
    assert chances == {
        (2,): pytest.approx(0.9),
        (2, 3): pytest.approx(0.9 * 0.9),
        (1,): pytest.approx(0.5),
        (7,): pytest.approx(0.3),
        (1, 3): pytest.approx(0.25),
    }
    assert growth.nodes[0].source == "draft"


def test_the_tree_is_cut_anew_when_the_draft_has_spoken() -> None:
    growth = grown({0: [(1, 0.3), (2, 0.2)]}, seconds=flat(2))
    growth.inform({growth.root: [DraftToken(8, 0.4, "draft", [])]}, 0.0)
    assert [node.token for node in growth.nodes] == [8, 1]


@given(
    LAWS,
    st.lists(st.floats(0.05, 1.0), min_size=12, max_size=12),
    st.floats(0.0, 2.0),
)
def test_what_is_left_out_for_its_cost_could_not_have_paid(law, steps, spent) -> None:
    seconds = [0.0, *(1.0 + sum(steps[:rows]) for rows in range(12))]
    every, some = grown(law, floor=1e-9), grown(law, seconds=seconds, floor=1e-9)
    for growth in (every, some):
        growth.inform({}, spent)
    best = [
        best_size([node.chance for node in growth.nodes], seconds, spent)[1]
        for growth in (every, some)
    ]
    assert best[1] == pytest.approx(best[0])
