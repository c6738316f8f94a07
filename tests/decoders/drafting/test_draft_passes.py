"""Draft passes over unread text and candidates, against plain passes over the paths."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tasteshift.decoders.drafting.draft_passes import DraftPasses
from tasteshift.decoders.drafting.tree_builder import Node
from tasteshift.decoders.execution.reader import Reader

PROMPT = (3, 1, 4, 1, 5)


@pytest.fixture
def reader(llama) -> Reader:
    with torch.inference_mode():
        reader = Reader(llama(4))
        reader.begin(PROMPT, 40)
        yield reader


def plain(reader: Reader, tokens: list[int]) -> np.ndarray:
    """Logits after a text that is read from its start."""
    with torch.inference_mode():
        return reader.model(torch.tensor([tokens])).logits[0, -1].numpy()


def below(parent: Node, token: int) -> Node:
    return Node(token, parent.depth + 1, 0.5, (), parent=parent)


def test_every_node_attends_to_its_own_path_only(reader) -> None:
    root = Node(7, 0, 1.0, ())
    a, b = below(root, 10), below(root, 11)
    aa, ab = below(a, 12), below(a, 13)
    aab = below(aa, 14)
    passes = DraftPasses(reader, [2, 6, 7])
    texts = {root: [], a: [10], b: [11], aa: [10, 12], ab: [10, 13], aab: [10, 12, 14]}
    seen = []
    for node, rows in ((root, 3), (aa, 2), (b, 1), (ab, 1), (aab, 1)):
        assert not passes.has_read(node)
        assert passes.missing(node) == rows
        for step, logits in zip(*passes.read(node), strict=True):
            expected = plain(reader, [*PROMPT, 2, 6, 7, *texts[step]])
            np.testing.assert_allclose(logits, expected, atol=1e-4)
            assert passes.has_read(step)
            seen.append(step)
    assert seen == [root, a, aa, b, ab, aab]
    assert passes.fits(aab, 5)
    assert not passes.fits(below(aab, 15), 5)

    assert passes.commit([a, ab, below(ab, 20)]) == [20]
    assert reader.committed == len(PROMPT) + 3 + 2
    after = reader.feed([20], logits=1)[0]
    np.testing.assert_allclose(after, plain(reader, [*PROMPT, 2, 6, 7, 10, 13, 20]), atol=1e-4)


def test_the_first_pass_may_read_a_whole_path(reader) -> None:
    root = Node(7, 0, 1.0, ())
    leaf = below(below(root, 10), 12)
    passes = DraftPasses(reader, [7])
    assert passes.missing(leaf) == 3
    reached, logits = passes.read(leaf)
    assert len(logits) == 3
    assert reached == [root, *leaf.path()]
    for row, text in zip(logits, ([], [10], [10, 12]), strict=True):
        np.testing.assert_allclose(row, plain(reader, [*PROMPT, 7, *text]), atol=1e-4)
    assert passes.commit([]) == []
    assert reader.committed == len(PROMPT) + 1


def test_without_a_pass_everything_stays_unread(reader) -> None:
    root = Node(7, 0, 1.0, ())
    passes = DraftPasses(reader, [2, 7])
    assert passes.commit([below(root, 9)]) == [2, 7, 9]
    assert reader.committed == len(PROMPT)
