"""Token recycling: reuse what the target predicted after tokens that it has scored before.

Every target pass scores the tokens after each row, and all but one of these predictions are thrown
away. Kept by the token (and by the two tokens) that they would follow, they are candidates where
the same context comes again, at no model's cost (Luo et al. 2024, arXiv 2408.08696).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Scores = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Token ids and their logits, best first."""

KEPT = 8
"""Successors kept of each context."""


class RecycledTokens:
    """The target's best successors of every token, and of every two tokens, that it has read.

    kept  successors per context
    """

    def __init__(self, kept: int = KEPT) -> None:
        self.kept = kept
        self._after: dict[int | tuple[int, int], Scores] = {}

    def best(self, logits: Tensor) -> Tensor:
        """Scores and ids of the target's best successors, (2, rows, kept), on its device.

        logits  the target's: (rows, vocabulary)
        """
        scores, ids = logits.topk(min(self.kept, logits.shape[-1]), dim=-1)
        return torch.stack((scores.double(), ids.double()))

    def learn(self, previous: Sequence[int], tokens: Sequence[int], best: Tensor) -> None:
        """Keep what the target predicts after each token; a later row replaces an earlier one.

        previous  the token before each, (rows,)
        tokens    the tokens read, (rows,)
        best      their successors, see `best`
        """
        scores, ids = best.numpy(force=True)
        ids = ids.astype(np.int64)
        for row, (before, token) in enumerate(zip(previous, tokens, strict=True)):
            self._after[token] = self._after[before, token] = (ids[row], scores[row])

    def after(self, previous: int, token: int) -> tuple[bool, Scores] | None:
        """The successors of `token` after `previous`, or else of `token` after anything.

        Returns whether both tokens matched, and the successors; None where it was never read.
        """
        found = self._after.get((previous, token))
        both = found is not None
        if found is None:
            found = self._after.get(token)
        if found is None:
            return None
        return both, found
