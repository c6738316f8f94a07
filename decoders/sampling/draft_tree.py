"""A drafted tree, drawn level by level, and judged: all of it, or where a walk comes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from ..execution.cuda_graphs import cuda_graphed
from .distribution import Sampling, best, candidates
from .noise import Noise
from .trees import Tree
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

    def draw(
        self,
        scores: Tensor,
        noise: Noise | None,
        sampling: Sampling | None = None,
        replacement: bool = False,
    ) -> slice:
        """Draw one level more, the children of the last; returns its nodes.

        scores       (nodes of the last level, vocabulary) a draft's logits
        noise        None where all is greedy
        sampling     how logits become laws; None where `scores` are laws already
        replacement  whether siblings are drawn independently
        """
        depth = len(self.tables)
        above, width = self.tree.levels[depth], self.tree.widths[depth]
        key, start = None, 0
        if noise is not None:
            key, start = noise.key, noise.take(scores.numel() * (width if replacement else 1))
        table, ids, some = children(
            scores, key, sampling=sampling, width=width, replacement=replacement, start=start
        )
        self.tables.append(table)
        level = self.tree.below(above)
        self.tokens[level] = ids.flatten()
        self.drawn[level] = (some & self.drawn[above.start : above.stop, None]).flatten()
        return level

    def judged(
        self,
        nodes: range,
        sampling: Sampling,
        logits: Tensor,
        uniforms: Tensor | None,
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
        return verdicts(
            logits,
            uniforms,
            self.tokens,
            self.drawn,
            *self.tables,
            tree=self.tree,
            nodes=nodes,
            sampling=sampling,
            replacement=replacement,
        )


@cuda_graphed
def children(
    scores: Tensor,
    key: Tensor | None,
    *,
    sampling: Sampling | None,
    width: int,
    replacement: bool,
    start: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """The table that each node's children are drawn from, and as `candidates` gives them."""
    noise = None if key is None else Noise(key, start)
    table = scores if noise is None or sampling is None else sampling.probs(scores)
    return table, *candidates(table, width, noise, replacement)


@cuda_graphed
def verdicts(
    logits: Tensor,
    uniforms: Tensor | None,
    tokens: Tensor,
    drawn: Tensor,
    *tables: Tensor,
    tree: Tree,
    nodes: range,
    sampling: Sampling,
    replacement: bool,
) -> tuple[Tensor, Tensor]:
    """As `Drafted.judged`."""
    p = logits if sampling.greedy else sampling.probs(logits)
    stands, left = [], []
    for depth, some in tree.runs(nodes):
        law = p[some.start - nodes.start : some.stop - nodes.start]
        if depth == len(tables):
            stands.append(torch.full_like(law[:, 0], NONE, dtype=torch.int64))
            left.append(law if sampling.greedy else law.double())
            continue
        width, below = tree.widths[depth], tree.below(some)
        x, proposed = (of[below].view(-1, width) for of in (tokens, drawn))
        if sampling.greedy:
            stands.append(coupled(best(law), torch.where(proposed, x, NONE)))
        else:
            first = tree.levels[depth].start
            q = tables[depth][some.start - first : some.stop - first]
            assert uniforms is not None
            chances, law = recursive_rejection(law, q, x, replacement=replacement)
            stands.append(standing(chances, uniforms[some.start : some.stop, :width]))
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
