"""The tree of guesses of one round, grown likeliest first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count, pairwise

from .calibration import SURE
from .copy_index import Tail

Kind = tuple[str, int, int]
"""What a guess rests on: its source, and two small numbers that say how well."""


@dataclass(slots=True)
class DraftToken:
    """A token that may come next, the chance that it does, and every reason to think so."""

    token: int
    chance: float
    source: str
    kinds: list[Kind]


@dataclass(slots=True, eq=False)
class Node:
    """A place in the text as it may become.

    token   what stands there
    depth   how far below the text's last token, which is depth 0
    chance  that the text runs through here
    tail    the last tokens up to here
    """

    token: int
    depth: int
    chance: float
    tail: Tail
    source: str = ""
    kinds: list[Kind] = field(default_factory=list)
    parent: Node | None = None
    children: list[Node] = field(default_factory=list)

    @property
    def uncovered(self) -> float:
        """The chance that the text runs through here and on to a token nobody guessed."""
        return self.chance - sum(child.chance for child in self.children)

    def path(self) -> list[Node]:
        """The nodes from below the root to here."""
        nodes: list[Node] = []
        node = self
        while node.parent is not None:
            nodes.append(node)
            node = node.parent
        return nodes[::-1]


def merged(guesses: Sequence[DraftToken]) -> list[DraftToken]:
    """One guess per token, best first, with the word of whichever source is surest of it.

    Sources that agree often do so for one reason, so agreement adds nothing. The chances of all
    tokens are scaled down where they sum to more than `SURE`, so that a child is less likely
    than its parent.
    """
    found: dict[int, DraftToken] = {}
    for guess in guesses:
        known = found.get(guess.token)
        if known is None:
            found[guess.token] = DraftToken(
                guess.token, guess.chance, guess.source, list(guess.kinds)
            )
            continue
        if guess.chance > known.chance:
            known.source = guess.source
        known.chance = max(known.chance, guess.chance)
        known.kinds += guess.kinds
    total = sum(guess.chance for guess in found.values())
    if total > SURE:
        for guess in found.values():
            guess.chance *= SURE / total
    return sorted(found.values(), key=lambda guess: -guess.chance)


class TreeBuilder:
    """Nodes placed likeliest first; a node's guesses are asked for when it is placed.

    A node that is less likely than the cheapest row costs at the best rate so far, in tokens
    per unit of time, can be no part of a better round, and nor can what comes after it.

    root     the text's last token
    ask      what may follow a node, at no model's cost
    seconds  what a target pass over 0, 1, 2, … rows costs; it bounds the number of nodes
    floor    no node less likely than this is placed
    depth    of the deepest node
    reach    tokens that a tail holds

    nodes  those placed, likeliest first, so that parents stand before their children
    """

    def __init__(
        self,
        root: Node,
        ask: Callable[[Node], Sequence[DraftToken]],
        *,
        seconds: Sequence[float],
        floor: float,
        depth: int,
        reach: int,
    ) -> None:
        self.root = root
        self.nodes: list[Node] = []
        self._seconds = seconds
        self._slope = min((after - row for row, after in pairwise(seconds[1:])), default=0.0)
        self.floor = floor
        self.depth = depth
        self.reach = reach
        self._ask = ask
        self._guesses: dict[Node, list[DraftToken]] = {}
        self._serial = count()
        self._heap: list[tuple[float, int, Node]] = []
        self._open(root)
        self._grow(0.0)

    def inform(self, told: Mapping[Node, Sequence[DraftToken]], spent: float) -> None:
        """Add what the draft says follows some nodes, weigh their children anew, and regrow.

        spent  what this round has cost already
        """
        for node, guesses in told.items():
            known = {child.token: child for child in node.children}
            self._guesses[node] = [*self._guesses[node], *guesses]
            for guess in merged(self._guesses[node]):
                child = known.get(guess.token)
                if child is None:
                    self._add(node, guess)
                else:
                    _scale(child, node.chance * guess.chance / child.chance)
                    child.kinds, child.source = guess.kinds, guess.source
        self.nodes.clear()
        self._heap.clear()
        self._open(self.root)
        self._grow(spent)

    def _grow(self, spent: float) -> None:
        expected, rate = 1.0, 0.0
        for cost in self._seconds[1:-1]:
            rate = max(rate, expected / (cost + spent))
            if not self._heap or -self._heap[0][0] < self._slope * rate:
                break
            node = heappop(self._heap)[2]
            self.nodes.append(node)
            self._open(node)
            expected += node.chance

    def _open(self, node: Node) -> None:
        if node not in self._guesses:
            guesses = list(self._ask(node)) if node.depth < self.depth else []
            self._guesses[node] = guesses
            for guess in merged(guesses):
                self._add(node, guess)
        for child in node.children:
            if child.chance >= self.floor:
                heappush(self._heap, (-child.chance, next(self._serial), child))

    def _add(self, parent: Node, guess: DraftToken) -> None:
        tail = (*parent.tail, guess.token)[-self.reach :]
        chance = parent.chance * guess.chance
        depth = parent.depth + 1
        parent.children.append(
            Node(guess.token, depth, chance, tail, guess.source, guess.kinds, parent)
        )


def _scale(node: Node, factor: float) -> None:
    node.chance *= factor
    for child in node.children:
        _scale(child, factor)
