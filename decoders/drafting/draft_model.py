"""The draft's part in one round: what it has yet to read of the text, and which guesses it read.

A draft that is not asked reads nothing. When it is, one pass reads all that was written since,
together with the guesses that lead to the node it is asked about.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..execution.reader import Reader
from .growth import Node


class Drafting:
    """One round's passes of the draft.

    draft   its place in the text
    unread  the end of the text, which it has not read; the last of it is the tree's root
    rows    tokens read in this round, the unread text first
    """

    def __init__(self, draft: Reader, unread: list[int]) -> None:
        self.unread = unread
        self.rows = 0
        self._draft = draft
        self._row: dict[Node, int] = {}

    def has_read(self, node: Node) -> bool:
        """Whether the draft has said what follows `node`."""
        return self.rows > 0 if node.parent is None else node in self._row

    def missing(self, node: Node) -> int:
        """Rows that a pass must read to say what follows `node`."""
        above = sum(step not in self._row for step in node.path())
        return above if self.rows else above + len(self.unread)

    def fits(self, node: Node, most: int) -> bool:
        """Whether at most so many guesses will have been read once `node` is."""
        return len(self._row) + sum(step not in self._row for step in node.path()) <= most

    def read(self, node: Node) -> tuple[list[Node], Tensor]:
        """One pass down to `node`; returns the nodes it reached anew and their logits.

        The first pass of a round reaches the root too.
        """
        path = node.path()
        fresh = [step for step in path if step not in self._row]
        lead, before = len(self.unread), self.rows
        text = [] if before else self.unread
        for row, step in enumerate(fresh, start=before + len(text)):
            self._row[step] = row
        self.rows = before + len(text) + len(fresh)
        sees = np.zeros((self.rows - before, self.rows), dtype=np.bool_)
        sees[:, :lead] = True
        if text:
            sees[:lead, :lead] = np.tri(lead, dtype=np.bool_)
        above = [self._row[step] for step in path]
        for step in fresh:
            sees[self._row[step] - before, above[: step.depth]] = True
        depths = [*range(len(text)), *(lead - 1 + step.depth for step in fresh)]
        tokens = [*text, *(step.token for step in fresh)]
        reached = fresh
        if text:
            root = path[0].parent if path else node
            assert root is not None
            reached = [root, *fresh]
        return reached, self._draft.feed(tokens, depths, sees, logits=len(reached))

    def keep(self, path: list[Node]) -> list[int]:
        """End the round: keep what was read of the accepted path; returns what was not of it."""
        tokens = [step.token for step in path]
        if not self.rows:
            return [*self.unread, *tokens]
        kept = 0
        while kept < len(path) and path[kept] in self._row:
            kept += 1
        self._draft.commit([*range(len(self.unread)), *(self._row[step] for step in path[:kept])])
        return tokens[kept:]
