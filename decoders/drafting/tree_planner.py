"""Plans the tree of one round: which nodes the draft model reads, and how many are submitted."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..sampling.draft_tree import DraftTree
from .candidate_sources import DRAFT_BEST
from .draft_passes import DraftPasses
from .expected_rate import ChainCosts, best_chain, best_size
from .planned_text import PlannedText
from .tree_builder import Limits, Node, TreeBuilder

MAX_PASSES = 8
"""Draft passes per round, at most."""

MIN_PROB = 0.01
"""Candidates that are reached with lower probability are ignored."""


@dataclass(kw_only=True)
class CandidateTree(DraftTree):
    """A draft tree of candidates from all sources.

    nodes       in the order of the tree's tokens; a child's parent precedes it
    index       number of each node
    draft_best  the draft model's best token after each node that it has read
    passes      of the draft model in this round
    """

    nodes: list[Node]
    index: dict[Node, int]
    draft_best: dict[Node, int]
    passes: DraftPasses = field(repr=False)

    @classmethod
    def of(
        cls, nodes: list[Node], draft_best: dict[Node, int], passes: DraftPasses
    ) -> CandidateTree:
        """The tree of these nodes, root first, each after its parent."""
        index = {node: number for number, node in enumerate(nodes)}
        mask = np.eye(len(nodes), dtype=np.bool_)
        for number, node in enumerate(nodes):
            if node.parent is not None:
                mask[number] |= mask[index[node.parent]]
        return cls(
            tokens=torch.tensor([node.token for node in nodes]),
            drafted=torch.ones(len(nodes), dtype=torch.bool),
            depths=np.array([node.depth for node in nodes]),
            mask=mask,
            sources=tuple(node.source for node in nodes),
            nodes=nodes,
            index=index,
            draft_best=draft_best,
            passes=passes,
        )


class TreePlanner:
    """Builds the tree of one round for the best expected rate, in tokens per second.

    text    so far
    passes  of the draft model in this round
    depth   of the deepest candidate
    drafts  whether the draft model may be asked at all

    spent   what draft passes have cost so far in this round
    """

    def __init__(self, text: PlannedText, passes: DraftPasses, depth: int, drafts: bool) -> None:
        written = len(text.tokens)
        left = text.limit - written
        sources = text.sources
        self._text = text
        self._passes = passes
        self._builder = TreeBuilder(
            Node(text.last, 0, 1.0, sources.copies.tail),
            lambda node: sources.free(node, written + node.depth),
            Limits(text.costs.target, MIN_PROB, min(depth, left - 1), sources.copies.reach),
        )
        # how many more rounds there may be at the pace so far, if half the limit is used
        self._rounds_left = max(1.0, 0.5 * left * (1 + len(text.rounds)) / written)
        self._passes_left = MAX_PASSES if drafts else 0
        self._accept_rate = sources.calibration.rate(DRAFT_BEST)
        self._draft_best: dict[Node, int] = {}
        self._size = 0
        self.spent = 0.0

    def next_read(self) -> Node | None:
        """The node that the draft model should read next; None where no further pass pays."""
        costs, spent = self._text.costs, self.spent
        reach_probs = [node.reach_prob for node in self._builder.nodes]
        self._size, rate = best_size(reach_probs, costs.target, spent)
        node = self._most_uncovered() if self._passes_left else None
        if node is None:
            return None
        price = self._price(node)
        chain = ChainCosts(
            price, costs.draft[1], costs.target, spent, self._accept_rate, self._passes_left
        )
        # the chain grows below `node`, beside the best tree so far or beside its own path alone
        rank = self._builder.nodes.index(node) + 1 if node.depth else 0
        beside = reach_probs[: max(self._size, rank)]
        path = [step.reach_prob for step in node.path()]
        promise = max(
            best_chain(1.0 + sum(known), len(known), prob, chain)
            for known, prob in ((beside, node.uncovered), (path, node.reach_prob))
        )
        if promise <= rate:
            return None
        self.spent = spent + price
        self._passes_left -= 1
        return node

    def read(self, node: Node) -> None:
        """Make one draft pass down to `node`; add its candidates at every open node on the way."""
        text = self._text
        reached, draft_logits = self._passes.read(node)
        rows = [
            row
            for row, step in enumerate(reached)
            if step is node or step.uncovered > MIN_PROB
        ]  # fmt: skip
        positions = [len(text.tokens) + reached[row].depth for row in rows]
        found = text.sources.drafted(_rows_of(draft_logits, rows), positions)
        drafted = {reached[row]: candidates for row, candidates in zip(rows, found, strict=True)}
        self._draft_best.update({step: candidates[0].token for step, candidates in drafted.items()})
        self._builder.add(drafted, self.spent)

    def tree(self) -> CandidateTree:
        """The likeliest nodes, as many as give the best expected rate."""
        text = self._text
        nodes = [self._builder.root, *self._builder.nodes[: self._size]]
        tokens, cost = text.planned
        expected = tokens + 1.0 + sum(node.reach_prob for node in nodes[1:])
        text.planned = (expected, cost + text.costs.target[len(nodes)] + self.spent)
        return CandidateTree.of(nodes, self._draft_best, self._passes)

    def _most_uncovered(self) -> Node | None:
        """The unread node through which the text most likely runs on to no known candidate."""
        builder = self._builder
        most_candidates = len(self._text.costs.target) - 2  # without the root
        best, found = MIN_PROB, None
        for node in (builder.root, *builder.nodes):
            if node.reach_prob <= best:
                break
            if node.depth == builder.limits.depth or self._passes.has_read(node):
                continue
            if node.uncovered > best and self._passes.fits(node, most_candidates):
                best, found = node.uncovered, node
        return found

    def _price(self, node: Node) -> float:
        """Cost of a draft pass down to `node`; an unread prompt is shared by the rounds to come."""
        text = self._text
        unread = 0 if text.draft_begun or text.shares_cache else len(text.prompt)
        pass_cost = text.costs.draft_rows(self._passes.missing(node))
        return pass_cost + text.costs.draft_rows(unread) / self._rounds_left


def _rows_of(logits: Tensor, rows: list[int]) -> Tensor:
    return logits[torch.tensor(rows).to(logits.device, non_blocking=True)]
