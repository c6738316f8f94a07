"""The draft model's passes in one round: over unread text, and along paths of the tree.

A draft model that is not needed reads nothing. When it is, one pass reads all that was written
since, together with the candidates on the path to the node in question.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from ..execution.reader import Reader
from .tree_builder import Node


class DraftPasses:
    """One round's passes of the draft model.

    draft_model  its reading position in the text
    unread       the end of the text, which it has not read; the last token is the tree's root
    rows         tokens read in this round, the unread text first
    """

    def __init__(self, draft_model: Reader, unread: list[int]) -> None:
        self.unread = unread
        self.rows = 0
        self._draft_model = draft_model
        self._row: dict[Node, int] = {}

    def has_read(self, node: Node) -> bool:
        """Whether the logits after `node` are known."""
        return self.rows > 0 if node.parent is None else node in self._row

    def missing(self, node: Node) -> int:
        """Number of rows that a pass must read to give the logits after `node`."""
        above = sum(step not in self._row for step in node.path())
        return above if self.rows else above + len(self.unread)

    def fits(self, node: Node, limit: int) -> bool:
        """Whether at most `limit` candidates will have been read once `node` is."""
        return len(self._row) + sum(step not in self._row for step in node.path()) <= limit

    def read(self, node: Node) -> tuple[list[Node], Tensor]:
        """Read down to `node`; returns the newly read nodes and the logits after each.

        The first pass of a round includes the root.
        """
        path = node.path()
        fresh = [step for step in path if step not in self._row]
        lead, before = len(self.unread), self.rows
        text = [] if before else self.unread
        for row, step in enumerate(fresh, start=before + len(text)):
            self._row[step] = row
        self.rows = before + len(text) + len(fresh)
        mask = np.zeros((self.rows - before, self.rows), dtype=np.bool_)
        mask[:, :lead] = True
        if text:
            mask[:lead, :lead] = np.tri(lead, dtype=np.bool_)
        above = [self._row[step] for step in path]
        for step in fresh:
            mask[self._row[step] - before, above[: step.depth]] = True
        depths = [*range(len(text)), *(lead - 1 + step.depth for step in fresh)]
        tokens = [*text, *(step.token for step in fresh)]
        reached = fresh
        if text:
            root = path[0].parent if path else node
            assert root is not None
            reached = [root, *fresh]
        return reached, self._draft_model.feed(tokens, depths, mask, logits=len(reached))

    def commit(self, path: Sequence[Node]) -> list[int]:
        """End the round: keep what was read of the accepted path; returns the tokens not read."""
        tokens = [step.token for step in path]
        if not self.rows:
            return [*self.unread, *tokens]
        kept = 0
        while kept < len(path) and path[kept] in self._row:
            kept += 1
        rows = [self._row[step] for step in path[:kept]]
        self._draft_model.commit([*range(len(self.unread)), *rows])
        return tokens[kept:]
