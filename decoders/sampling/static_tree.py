"""Static draft trees: k_1 children of the root, k_2 children of each of those, and so on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..options import whole

MAX_NODES = 4096
"""Largest tree; its ancestor mask has the square of this many entries."""


@dataclass(frozen=True, eq=False)
class StaticTree:
    """Topology of a draft tree whose node 0 is the text's last token; built once per shape.

    Nodes are numbered level by level, and siblings in the order in which they are drawn.

    widths  children of every node at depth 0, 1, …
    levels  node numbers at depth 0, 1, …; levels[0] is the root alone
    depths  depth of each node: (nodes,)
    mask    [i, j]: whether j is i or an ancestor of i: (nodes, nodes)
    """

    widths: tuple[int, ...]
    levels: tuple[range, ...]
    depths: NDArray[np.int64]
    mask: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.depths)

    def split(self, nodes: range) -> Iterator[tuple[int, range]]:
        """Split consecutive nodes where the depth changes; yields depth and nodes."""
        for depth, level in enumerate(self.levels):
            part = range(max(nodes.start, level.start), min(nodes.stop, level.stop))
            if part:
                yield depth, part

    def children_of_all(self, nodes: range) -> slice:
        """All children of consecutive nodes of one depth, siblings in drawing order."""
        return slice(self.children(nodes[0]).start, self.children(nodes[-1]).stop)

    def children(self, node: int) -> range:
        """Numbers of a node's children, in drawing order; empty at the last depth."""
        depth = int(self.depths[node])
        if depth == len(self.widths):
            return range(0)
        width = self.widths[depth]
        first = self.levels[depth + 1].start + (node - self.levels[depth].start) * width
        return range(first, first + width)


def make_tree(widths: Iterable[int]) -> StaticTree:
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
        if nodes > MAX_NODES:
            raise InputError(f"k is {str(shape)[:40]}: more than {MAX_NODES} nodes; give fewer")
    return _build(shape)


@lru_cache(maxsize=64)
def _build(widths: tuple[int, ...]) -> StaticTree:
    levels = [range(0, 1)]
    parents = [0]
    for width in widths:
        above = levels[-1]
        levels.append(range(above.stop, above.stop + len(above) * width))
        parents += [node for node in above for _ in range(width)]
    depths = np.repeat(np.arange(len(levels)), [len(level) for level in levels])
    mask = np.eye(len(parents), dtype=np.bool_)
    for node, parent in enumerate(parents):
        mask[node] |= mask[parent]
    for table in (depths, mask):
        table.setflags(write=False)
    return StaticTree(widths, tuple(levels), depths, mask)
