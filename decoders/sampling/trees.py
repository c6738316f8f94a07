"""The static tree of guesses: k_1 children of the root, k_2 children of each of those, …"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..options import whole

MOST_NODES = 4096
"""Of a tree, whose mask has their square."""


@dataclass(frozen=True, eq=False)
class Tree:
    """Topology of a tree whose node 0 is the text's last token; built once per shape.

    Nodes are numbered level by level, and siblings in the order in which they are drawn.

    widths  children of every node at depth 0, 1, …
    levels  node numbers at depth 0, 1, …; levels[0] is the root alone
    depths  depth of each node: (nodes,)
    sees    [i, j]: whether j is i or an ancestor of i: (nodes, nodes)
    """

    widths: tuple[int, ...]
    levels: tuple[range, ...]
    depths: NDArray[np.int64]
    sees: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.depths)

    def runs(self, nodes: range) -> Iterator[tuple[int, range]]:
        """Some nodes in a row, cut where the depth changes: depths and nodes."""
        for depth, level in enumerate(self.levels):
            some = range(max(nodes.start, level.start), min(nodes.stop, level.stop))
            if some:
                yield depth, some

    def below(self, nodes: range) -> slice:
        """All children of some nodes in a row of one depth, siblings in drawing order."""
        return slice(self.children(nodes[0]).start, self.children(nodes[-1]).stop)

    def children(self, node: int) -> range:
        """Numbers of a node's children, in drawing order; empty at the last depth."""
        depth = int(self.depths[node])
        if depth == len(self.widths):
            return range(0)
        width = self.widths[depth]
        first = self.levels[depth + 1].start + (node - self.levels[depth].start) * width
        return range(first, first + width)


def make_tree(widths: Iterable[int]) -> Tree:
    """The tree of these widths; raises InputError unless they are one or more integers ≥ 1."""
    try:
        shape = tuple(whole(width) for width in widths)
    except TypeError:
        raise InputError(f"k is {widths!r}; give whole numbers, such as 4, 2, 2, 1") from None
    if not shape or min(shape) < 1:
        raise InputError(f"k is {shape}; give at least one depth, and at least 1 at each")
    nodes = level = 1
    for width in shape:
        level *= width
        nodes += level
        if nodes > MOST_NODES:
            raise InputError(f"k is {str(shape)[:40]}: more than {MOST_NODES} nodes; give fewer")
    return _build(shape)


@lru_cache(maxsize=64)
def _build(widths: tuple[int, ...]) -> Tree:
    levels = [range(0, 1)]
    parents = [0]
    for width in widths:
        above = levels[-1]
        levels.append(range(above.stop, above.stop + len(above) * width))
        parents += [node for node in above for _ in range(width)]
    depths = np.repeat(np.arange(len(levels)), [len(level) for level in levels])
    sees = np.eye(len(parents), dtype=np.bool_)
    for node, parent in enumerate(parents):
        sees[node] |= sees[parent]
    for table in (depths, sees):
        table.setflags(write=False)
    return Tree(widths, tuple(levels), depths, sees)
