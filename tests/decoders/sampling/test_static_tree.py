"""The static tree against a hand-drawn one and against its own definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasteshift.decoders.sampling.static_tree import make_tree
from tasteshift.errors import InputError


def test_by_hand() -> None:
    tree = make_tree([2, 2])
    assert tree.depths.tolist() == [0, 1, 1, 2, 2, 2, 2]
    assert [list(tree.children(node)) for node in range(4)] == [[1, 2], [3, 4], [5, 6], []]
    assert tree.mask.astype(int).tolist() == [
        [1, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0],
        [1, 0, 1, 0, 0, 0, 0],
        [1, 1, 0, 1, 0, 0, 0],
        [1, 1, 0, 0, 1, 0, 0],
        [1, 0, 1, 0, 0, 1, 0],
        [1, 0, 1, 0, 0, 0, 1],
    ]


def test_the_papers_tree_has_44_draft_tokens() -> None:
    assert [len(level) for level in make_tree((4, 2, 2, 1)).levels] == [1, 4, 8, 16, 16]


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_the_mask_shows_each_node_its_path(widths: list[int]) -> None:
    tree = make_tree(widths)
    assert sorted([0, *(c for node in range(len(tree)) for c in tree.children(node))]) == list(
        range(len(tree))
    )
    assert (tree.mask.sum(axis=1) == tree.depths + 1).all()
    for node in range(len(tree)):
        for child in tree.children(node):
            assert (tree.mask[child] == (tree.mask[node] | (np.arange(len(tree)) == child))).all()


@pytest.mark.parametrize("widths", [(), (0,), (2, -1), (1.5,), ("2",), (2, None)])
def test_bad_widths_are_refused(widths: tuple[object, ...]) -> None:
    with pytest.raises(InputError, match="k is"):
        make_tree(widths)  # type: ignore[arg-type]
