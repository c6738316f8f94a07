"""Recycled successors, against sorting by hand."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from tasteshift.decoders.drafting.recycling import RecycledTokens


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=12),
    st.integers(1, 12),
    st.integers(0, 1000),
)
def test_the_latest_successors_of_each_context_are_kept(contexts, kept, seed) -> None:
    logits = np.random.default_rng(seed).normal(size=(len(contexts), 9)).astype(np.float32)
    recycled = RecycledTokens(kept)
    previous, tokens = zip(*contexts, strict=True)
    recycled.learn(previous, tokens, recycled.best(torch.from_numpy(logits)))
    for before in range(4):
        for token in range(4):
            exact = [row for row, at in enumerate(contexts) if at == (before, token)]
            loose = [row for row, at in enumerate(contexts) if at[1] == token]
            got = recycled.after(before, token)
            if not loose:
                assert got is None
                continue
            both, (found, scores) = got
            assert both == bool(exact)
            row = logits[(exact or loose)[-1]]
            best = np.argsort(-row)[: min(kept, 9)]
            np.testing.assert_array_equal(found, best)
            np.testing.assert_array_equal(scores, row[best])


def test_a_new_text_has_no_successors() -> None:
    assert RecycledTokens().after(1, 2) is None
