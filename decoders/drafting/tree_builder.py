"""The tree of candidates of one round, built likeliest first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count, pairwise

from .calibration import MAX_RATE
from .copy_index import Tail

Kind = tuple[str, int, int]
"""The evidence for a candidate: its source, and two small numbers that grade it."""


@dataclass(slots=True)
class Candidate:
    """A token that may come next, and the probability that it does.

    source  that proposed it
    kinds   of evidence for it, for calibration
    """

    token: int
    prob: float
    source: str
    kinds: list[Kind]


@dataclass(slots=True, eq=False)
class Node:
    """A candidate at its position in the tree; the root is the text's last token.

    depth       how far below the root
    reach_prob  probability that the text runs through this node
    tail        the last tokens up to here
    """

    token: int
    depth: int
    reach_prob: float
    tail: Tail
    source: str = ""
    kinds: list[Kind] = field(default_factory=list)
    parent: Node | None = None
    children: list[Node] = field(default_factory=list)

    @property
    def uncovered(self) -> float:
        """Probability that the text runs through here and on to a token that is no candidate."""
        return self.reach_prob - sum(child.reach_prob for child in self.children)

    def path(self) -> list[Node]:
        """The nodes from below the root to here."""
        nodes: list[Node] = []
        node = self
        while node.parent is not None:
            nodes.append(node)
            node = node.parent
        return nodes[::-1]


def merged(candidates: Sequence[Candidate]) -> list[Candidate]:
    """One candidate per token, best first, each with its highest probability.

    Sources that agree often do so for one reason, so agreement adds nothing. Probabilities are
    scaled down where they sum to more than `MAX_RATE`, so that a child is less likely than its
    parent.
    """
    found: dict[int, Candidate] = {}
    for candidate in candidates:
        known = found.get(candidate.token)
        if known is None:
            found[candidate.token] = Candidate(
                candidate.token, candidate.prob, candidate.source, list(candidate.kinds)
            )
            continue
        if candidate.prob > known.prob:
            known.source = candidate.source
        known.prob = max(known.prob, candidate.prob)
        known.kinds += candidate.kinds
    total = sum(candidate.prob for candidate in found.values())
    if total > MAX_RATE:
        for candidate in found.values():
            candidate.prob *= MAX_RATE / total
    return sorted(found.values(), key=lambda candidate: -candidate.prob)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a tree.

    target_cost  of a target pass over 0, 1, 2, … rows; its length bounds the number of nodes
    min_prob     no node less likely than this is placed
    depth        of the deepest node
    reach        number of tokens that a tail holds
    """

    target_cost: Sequence[float]
    min_prob: float
    depth: int
    reach: int


class TreeBuilder:
    """Places nodes likeliest first; a node's candidates are looked up when it is placed.

    A node that is less likely than the cheapest row costs at the best rate so far, in tokens
    per unit of time, can be no part of a better round, and nor can what comes after it.

    root        the text's last token
    candidates  what may follow a node, at no model's cost
    limits      see `Limits`

    nodes  those placed, likeliest first, so that parents precede their children
    """

    def __init__(
        self, root: Node, candidates: Callable[[Node], Sequence[Candidate]], limits: Limits
    ) -> None:
        self.root = root
        self.limits = limits
        self.nodes: list[Node] = []
        costs = limits.target_cost
        self._cheapest_row = min((after - row for row, after in pairwise(costs[1:])), default=0.0)
        self._lookup = candidates
        self._candidates: dict[Node, list[Candidate]] = {}
        self._serial = count()
        self._heap: list[tuple[float, int, Node]] = []
        self._open(root)
        self._build(0.0)

    def add(self, drafted: Mapping[Node, Sequence[Candidate]], spent: float) -> None:
        """Add candidates below some nodes, weigh their children anew, and rebuild.

        spent  what this round has cost already
        """
        for node, candidates in drafted.items():
            known = {child.token: child for child in node.children}
            self._candidates[node] = [*self._candidates[node], *candidates]
            for candidate in merged(self._candidates[node]):
                child = known.get(candidate.token)
                if child is None:
                    self._append(node, candidate)
                else:
                    _scale(child, node.reach_prob * candidate.prob / child.reach_prob)
                    child.kinds, child.source = candidate.kinds, candidate.source
        self.nodes.clear()
        self._heap.clear()
        self._open(self.root)
        self._build(spent)

    def _build(self, spent: float) -> None:
        expected, rate = 1.0, 0.0
        for cost in self.limits.target_cost[1:-1]:
            rate = max(rate, expected / (cost + spent))
            if not self._heap or -self._heap[0][0] < self._cheapest_row * rate:
                break
            node = heappop(self._heap)[2]
            self.nodes.append(node)
            self._open(node)
            expected += node.reach_prob

    def _open(self, node: Node) -> None:
        """Make the children of a placed node available."""
        if node not in self._candidates:
            found = list(self._lookup(node)) if node.depth < self.limits.depth else []
            self._candidates[node] = found
            for candidate in merged(found):
                self._append(node, candidate)
        for child in node.children:
            if child.reach_prob >= self.limits.min_prob:
                heappush(self._heap, (-child.reach_prob, next(self._serial), child))

    def _append(self, parent: Node, candidate: Candidate) -> None:
        tail = (*parent.tail, candidate.token)[-self.limits.reach :]
        prob = parent.reach_prob * candidate.prob
        child = Node(
            candidate.token, parent.depth + 1, prob, tail, candidate.source, candidate.kinds, parent
        )
        parent.children.append(child)


def _scale(node: Node, factor: float) -> None:
    node.reach_prob *= factor
    for child in node.children:
        _scale(child, factor)
