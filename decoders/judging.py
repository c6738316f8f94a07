"""A drafted tree, drawn level by level, and judged: all of it, or where a walk comes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from .noise import Noise
from .sampling import Sampling, best, candidates
from .tree import Tree
from .verification import NONE, coupled, recursive_rejection, standing


@dataclass
class Drawn:
    """The nodes of a tree.

    tokens  (nodes,) token id of each, on the host or where the draft is
    drawn   (nodes,) whether anybody proposed it: node 0 counts, padding does not
    """

    tokens: Tensor
    drawn: Tensor

    @cached_property
    def told(self) -> tuple[list[int], list[bool]]:
        """Both on the host, which waits for them once."""
        tokens, drawn = torch.stack((self.tokens, self.drawn.long())).tolist()
        return tokens, [bool(one) for one in drawn]


def rooted(tree: Tree, token: int, place: torch.device) -> Drafted:
    """A tree of which only node 0 is there, the text's last token."""
    tokens = torch.full((len(tree),), token, device=place)
    drawn = torch.zeros_like(tokens, dtype=torch.bool)
    drawn[:1] = True
    return Drafted(tokens, drawn, tree)


@dataclass
class Drafted(Drawn):
    """What a draft drew of a tree.

    tree    its shape
    tables  for each depth from 0 whose children were drafted: the laws that they were drawn
            from or, when greedy, the scores; (nodes of the depth, vocabulary)
    """

    tree: Tree
    tables: list[Tensor] = field(default_factory=list)

    def draw(self, table: Tensor, noise: Noise | None, replacement: bool = False) -> slice:
        """Draw one level more, the children of the last; returns its nodes.

        table  as in `tables`; the other arguments as in `candidates`
        """
        depth = len(self.tables)
        above, width = self.tree.levels[depth], self.tree.widths[depth]
        self.tables.append(table)
        ids, some = candidates(table, width, noise, replacement)
        level = self.tree.below(above)
        self.tokens[level] = ids.flatten()
        self.drawn[level] = (some & self.drawn[above.start : above.stop, None]).flatten()
        return level

    def judged(
        self,
        nodes: range,
        sampling: Sampling,
        logits: Tensor,
        coins: Tensor | None,
        *,
        replacement: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Which child of each node stands, and the law of what is written where none does.

        nodes        some in a row
        logits       (nodes, vocabulary) the target's, of these
        coins        (nodes of the tree, widest), uniform in 0 … 1; None when greedy
        replacement  whether siblings were drawn independently

        Returns the places of children among their siblings or `NONE`, and laws, (nodes,
        vocabulary): when greedy the logits themselves, whose largest says the token.
        """
        p = logits if sampling.greedy else sampling.law(logits)
        stands, left = [], []
        for depth, some in self.tree.runs(nodes):
            law = p[some.start - nodes.start : some.stop - nodes.start]
            if depth == len(self.tables):
                stands.append(torch.full_like(law[:, 0], NONE, dtype=torch.int64))
                left.append(law if sampling.greedy else law.double())
                continue
            width, below = self.tree.widths[depth], self.tree.below(some)
            x, drawn = (of[below].view(-1, width) for of in (self.tokens, self.drawn))
            if sampling.greedy:
                stands.append(coupled(best(law), torch.where(drawn, x, NONE)))
            else:
                first = self.tree.levels[depth].start
                q = self.tables[depth][some.start - first : some.stop - first]
                assert coins is not None
                chances, law = recursive_rejection(law, q, x, replacement=replacement)
                stands.append(standing(chances, coins[some.start : some.stop, :width]))
            left.append(law)
        return torch.cat(stands), torch.cat(left)


def foreseen(
    ask: Callable[[range], tuple[Tensor, ...]],
    nodes: range,
    place: torch.device,
    along: Callable[[int], range] = lambda node: range(node, node + 1),
) -> Callable[[int], list[int]]:
    """What `ask` says of a node, as whole numbers, for a walk from node to node.

    ask    given some nodes in a row, gives tensors (nodes,)
    nodes  that the walk may come to
    place  where those tensors are
    along  given a node, the nodes in a row that a CPU judges with it

    On a CPU a node is judged when the walk comes to it. A GPU judges all of them beforehand: one
    wait for its answer costs more than the answers to nodes that nobody comes to.
    """
    told: dict[int, list[int]] = {}

    def look(node: int) -> list[int]:
        if node not in told:
            some = along(node) if place.type == "cpu" else nodes
            told.update(zip(some, torch.stack(ask(some), dim=-1).tolist(), strict=True))
        return told[node]

    return look
