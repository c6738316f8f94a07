"""Draft trees: the draft tokens of one round, with all that verification needs to know of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..execution.cuda_graphs import cuda_graphed
from .distribution import Sampling, argmax, candidates
from .noise import Noise
from .static_tree import StaticTree
from .verification import NONE, coupled, first_accepted, recursive_rejection


@dataclass
class DraftTree:
    """The draft tokens of one round as a tree; node 0 is the text's last token.

    tokens   (nodes,) token ids, on the host or where the draft model is
    drafted  (nodes,) whether the node was drawn: true for node 0, false for padding
    depths   (nodes,) depth of each node; node 0 has depth 0
    mask     (nodes, nodes) [i, j]: whether j is i or an ancestor of i
    sources  where each draft token came from, such as "draft"; "" where the target chose it
    roots    nodes whose tokens the target chose and has yet to read: node 0, or the level below
             it in target initialization. The target pass reads the tree from here on.
    read     nodes that the draft model has read and not yet committed, in that order
    """

    tokens: Tensor
    drafted: Tensor
    depths: NDArray[np.int64]
    mask: NDArray[np.bool_]
    sources: Sequence[str]
    roots: range = range(1)
    read: range = range(0)

    @classmethod
    def single(cls, token: int) -> DraftTree:
        """A tree of node 0 alone, for a plain decoding step."""
        drafted = torch.ones(1, dtype=torch.bool)
        return cls(torch.tensor([token]), drafted, np.zeros(1, np.int64), _SINGLE_MASK, ("",))

    @property
    def size(self) -> int:
        """Number of nodes in use; those from here on are not submitted."""
        return len(self.depths)

    @property
    def submitted(self) -> slice:
        """Nodes that the target pass reads."""
        return slice(self.roots.start, self.size)

    @cached_property
    def on_host(self) -> tuple[list[int], list[bool]]:
        """`tokens` and `drafted` as lists; waits for the device once."""
        tokens, drafted = torch.stack((self.tokens, self.drafted.long())).tolist()
        return tokens, [bool(one) for one in drafted]


_SINGLE_MASK = np.ones((1, 1), dtype=np.bool_)


@dataclass
class StaticDraftTree(DraftTree):
    """A draft tree of fixed topology, drawn level by level.

    shape  topology
    probs  q: for each depth from 0 whose children were drawn, the distributions that they were
           drawn from, (nodes of the depth, vocabulary); logits where the draw was greedy
    """

    shape: StaticTree = field(kw_only=True)
    probs: list[Tensor] = field(default_factory=list)

    @classmethod
    def rooted(
        cls, shape: StaticTree, token: int, like: Tensor, roots: range = range(1)
    ) -> StaticDraftTree:
        """A tree of this shape in which only node 0 is drawn yet, on the device of `like`."""
        tokens = torch.full((len(shape),), token, device=like.device)
        drafted = torch.zeros_like(tokens, dtype=torch.bool)
        drafted[:1] = True
        sources = ("",) * roots.stop + ("draft",) * (len(shape) - roots.stop)
        return cls(tokens, drafted, shape.depths, shape.mask, sources, roots, shape=shape)

    @classmethod
    def chain(
        cls, shape: StaticTree, token: int, draft_tokens: list[Tensor], draft_probs: list[Tensor]
    ) -> StaticDraftTree:
        """A chain below `token`: each draft token (1,) with the q that it was drawn from."""
        tokens = torch.cat((torch.full_like(draft_tokens[0], token), *draft_tokens))
        drafted = torch.ones_like(tokens, dtype=torch.bool)
        sources = ("", *["draft"] * len(draft_tokens))
        read = range(1, len(draft_tokens))  # the draft model does not read its last token
        return cls(
            tokens, drafted, shape.depths, shape.mask, sources, read=read, shape=shape,
            probs=draft_probs,
        )  # fmt: skip

    @property
    def size(self) -> int:
        """Number of nodes on the levels drawn so far."""
        return self.shape.levels[len(self.probs)].stop

    def draw(
        self,
        scores: Tensor,
        noise: Noise | None,
        sampling: Sampling | None = None,
        replacement: bool = False,
    ) -> slice:
        """Draw the next level, the children of the last one; returns its nodes.

        scores       (nodes of the last level, vocabulary) logits
        noise        None draws greedily
        sampling     how logits become q; None where `scores` are probabilities already
        replacement  whether siblings are drawn independently
        """
        depth = len(self.probs)
        parents, width = self.shape.levels[depth], self.shape.widths[depth]
        key, start = None, 0
        if noise is not None:
            key, start = noise.key, noise.take(scores.numel() * (width if replacement else 1))
        q, ids, drawn = draw_children(
            scores, key, sampling=sampling, width=width, replacement=replacement, start=start
        )
        self.probs.append(q)
        level = self.shape.children_of_all(parents)
        self.tokens[level] = ids.flatten()
        self.drafted[level] = (drawn & self.drafted[parents.start : parents.stop, None]).flatten()
        return level

    def uniforms(self, noise: Noise) -> Tensor:
        """A uniform number for each possible child of each node: (nodes, widest)."""
        return noise.uniforms(len(self.shape), max(self.shape.widths))

    def test_children(
        self,
        nodes: range,
        target_logits: Tensor,
        sampling: Sampling,
        uniforms: Tensor | None,
        replacement: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Test the children of consecutive nodes, with recursive rejection or, greedily, equality.

        target_logits  (nodes, vocabulary) of these nodes
        uniforms       see `uniforms`; None when greedy
        replacement    whether siblings were drawn independently

        Returns the first accepted child of each node, as an index among its siblings or `NONE`,
        (nodes,); and the distribution to resample from where none is accepted, (nodes,
        vocabulary): when greedy the logits, whose largest is the target's token.
        """
        return verify_children(
            target_logits,
            uniforms,
            self.tokens,
            self.drafted,
            *self.probs,
            tree=self.shape,
            nodes=nodes,
            sampling=sampling,
            replacement=replacement,
        )


@cuda_graphed
def draw_children(
    scores: Tensor,
    key: Tensor | None,
    *,
    sampling: Sampling | None,
    width: int,
    replacement: bool,
    start: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """The q of each node's children, and the children as `candidates` returns them."""
    noise = None if key is None else Noise(key, start)
    q = scores if noise is None or sampling is None else sampling.probs(scores)
    return q, *candidates(q, width, noise, replacement)


@cuda_graphed
def verify_children(
    target_logits: Tensor,
    uniforms: Tensor | None,
    tokens: Tensor,
    drafted: Tensor,
    *draft_probs: Tensor,
    tree: StaticTree,
    nodes: range,
    sampling: Sampling,
    replacement: bool,
) -> tuple[Tensor, Tensor]:
    """As `StaticDraftTree.test_children`."""
    probs = target_logits if sampling.greedy else sampling.probs(target_logits)
    accepted, rest = [], []
    for depth, part in tree.split(nodes):
        p = probs[part.start - nodes.start : part.stop - nodes.start]
        if depth == len(draft_probs):  # no child was drafted below the last level
            accepted.append(torch.full_like(p[:, 0], NONE, dtype=torch.int64))
            rest.append(p if sampling.greedy else p.double())
            continue
        width, below = tree.widths[depth], tree.children_of_all(part)
        x, drawn = (of[below].view(-1, width) for of in (tokens, drafted))
        if sampling.greedy:
            accepted.append(coupled(argmax(p), torch.where(drawn, x, NONE)))
        else:
            first = tree.levels[depth].start
            q = draft_probs[depth][part.start - first : part.stop - first]
            assert uniforms is not None
            accept_prob, p = recursive_rejection(p, q, x, replacement=replacement)
            accepted.append(first_accepted(accept_prob, uniforms[part.start : part.stop, :width]))
        rest.append(p)
    return torch.cat(accepted), torch.cat(rest)


def on_demand(
    evaluate: Callable[[range], tuple[Tensor, ...]],
    nodes: range,
    like: Tensor,
    group: Callable[[int], range] = lambda node: range(node, node + 1),
) -> Callable[[int], list[int]]:
    """Results of `evaluate` by node, as whole numbers, for a walk from node to node.

    evaluate  given consecutive nodes, returns tensors (nodes,)
    nodes     that the walk may reach
    like      a tensor on the device that evaluates
    group     consecutive nodes that a CPU evaluates together with a node

    A CPU evaluates a node when the walk reaches it. A GPU evaluates all nodes at once: waiting for
    one more answer costs more than the answers for nodes that are never reached.
    """
    results: dict[int, list[int]] = {}

    def result(node: int) -> list[int]:
        if node not in results:
            batch = group(node) if like.device.type == "cpu" else nodes
            results.update(zip(batch, torch.stack(evaluate(batch), dim=-1).tolist(), strict=True))
        return results[node]

    return result
