"""The copy index against brute-force search."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tasteshift.decoders.drafting.copy_index import ORDERS, CopyIndex

TEXTS = st.lists(st.integers(0, 3), max_size=60)
SHAPES = st.sets(st.integers(1, 9), min_size=1, max_size=4).map(
    lambda orders: tuple(sorted(orders, reverse=True))
)


def followers(text: list[int], context: list[int]) -> Counter[int]:
    """What follows each occurrence of `context`, by brute force."""
    size = len(context)
    return Counter(
        text[at + size] for at in range(len(text) - size) if text[at : at + size] == context
    )


@given(TEXTS, st.lists(st.integers(0, 3), max_size=6), SHAPES)
def test_the_longest_known_context_is_found_with_all_its_followers(text, path, orders) -> None:
    copies = CopyIndex(orders)
    copies.extend(text)
    going_on = (text + path)[-copies.reach :]
    expected = None
    for order in orders:
        if order <= len(going_on) and (found := followers(text, going_on[-order:])):
            expected = (order, found)
            break
    got = copies.after(tuple(going_on))
    if expected is None:
        assert got is None
    else:
        assert got is not None
        order, found_counts = got
        assert order == expected[0]
        assert found_counts.counts == dict(expected[1])
        assert found_counts.total == sum(expected[1].values())


@given(TEXTS, st.lists(st.integers(1, 7), max_size=8))
def test_indexing_in_pieces_gives_the_same_index(text, cuts) -> None:
    whole, pieces = CopyIndex(), CopyIndex()
    whole.extend(text)
    rest = list(text)
    for cut in cuts:
        pieces.extend(rest[:cut])
        rest = rest[cut:]
    pieces.extend(rest)
    assert whole.tail == pieces.tail == tuple(text[-ORDERS[0] :])
    tail = whole.tail
    below = None
    while (found := whole.after(tail, below)) is not None:
        assert found == pieces.after(tail, below)
        below = found[0]
    assert pieces.after(tail, below) is None


def test_below_restricts_to_shorter_contexts() -> None:
    copies = CopyIndex((3, 2, 1))
    copies.extend([1, 2, 3, 7, 9, 2, 3, 8, 5, 3, 6, 1, 2, 3])
    tail = (1, 2, 3)
    order, found_counts = copies.after(tail)
    assert (order, found_counts.counts) == (3, {7: 1})
    order, found_counts = copies.after(tail, 3)
    assert (order, found_counts.counts) == (2, {7: 1, 8: 1})
    order, found_counts = copies.after(tail, 2)
    assert (order, found_counts.counts) == (1, {7: 1, 8: 1, 6: 1})
    assert copies.after(tail, 1) is None


def test_a_title_of_the_prompt_is_copied_after_its_number() -> None:
    listing = [90, 1, 91, 11, 12, 13, 92, 90, 2, 91, 21, 22, 23, 92, 90, 3, 91, 31, 32, 33, 92]
    copies = CopyIndex()
    copies.extend([*listing, 80, 90])
    assert set(copies.after(copies.tail)[1].counts) == {1, 2, 3}
    tail, spelled = (*copies.tail, 2)[-copies.reach :], []
    for _ in range(5):
        _, found_counts = copies.after(tail)
        assert len(found_counts.counts) == 1
        spelled += found_counts.counts
        tail = (*tail, spelled[-1])[-copies.reach :]
    assert spelled == [91, 21, 22, 23, 92]
