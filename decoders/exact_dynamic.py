"""Exact decoding with common random numbers: guess anything, from anywhere, at any width.

The target's token at a place is y = argmax p / E, with E the very noise that `autoregressive`
draws there, so the text is that decoder's, token for token. A guess is right or wrong, and nothing
about how it was found, ranked, pruned or paid for can change what is written (a coupling: see
Gumbel-max list sampling, arXiv 2506.05632). Guesses are ranked by their own q / E with the same
noise, and the tree, its sources and its size are whatever makes a round pay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from .base import GeneratedText, ModelPair
from .drafting.draft_model import Drafting
from .drafting.growth import Node, TreeBuilder
from .drafting.planning import best_chain, best_size
from .drafting.profile import Profile
from .drafting.profiles import chosen
from .drafting.text_state import ASKED, Knowledge
from .execution.reader import CHUNK
from .execution.scheduling import current_scheduler
from .rounds import Guesses, TreeDecoder
from .sampling.draft_tree import foreseen
from .sampling.noise import Stream

SOURCES = ("copy", "recycled", "draft")

PASSES = 8
"""Draft passes per round, at most."""
FLOOR = 0.01
"""Less likely guesses are not looked at."""


class ExactDynamic(TreeDecoder):
    """Each round the tree that promises most tokens per second, none at all included.

    sources  where guesses may come from: any of "copy", "recycled", "draft"
    nodes    guesses per round, at most
    depth    of the deepest guess
    width    guesses per place and source
    profile  what passes cost: a Profile, its `config()`, or None for the pair's own

    planned  tokens that the rounds of the last text were to write, and the milliseconds that they
             were to take, as the profile has it
    """

    name = "exact-dynamic"
    exact = True

    def __init__(
        self,
        pair: ModelPair,
        *,
        sources: Sequence[str] = SOURCES,
        nodes: int = 47,
        depth: int = 24,
        width: int = 4,
        profile: Profile | Mapping[str, Any] | None = None,
        **common: Any,
    ) -> None:
        super().__init__(pair, **common)
        known = isinstance(sources, Sequence) and not isinstance(sources, str)
        if not (known and all(source in SOURCES for source in sources)):
            raise InputError(f"sources is {sources!r}; give a list of {', '.join(SOURCES)}")
        for name, value in (("nodes", nodes), ("depth", depth), ("width", width)):
            if type(value) is not int or value < 1:
                raise InputError(f"{name} is {value!r}; give a whole number ≥ 1")
        self.sources = tuple(source for source in SOURCES if source in sources)
        self.most_nodes = nodes + 1
        self.max_depth = depth
        self.width = width
        self.profile = chosen(profile, pair)
        self.planned = (0.0, 0.0)

    def config(self) -> dict[str, Any]:
        """As in Decoder, with what decides the trees; the text does not depend on it."""
        return super().config() | {
            "sources": list(self.sources),
            "nodes": self.most_nodes - 1,
            "depth": self.max_depth,
            "width": self.width,
            "profile": self.profile.config(),
        }

    def decode(self, prompt: tuple[int, ...], text: GeneratedText, stream: Stream) -> None:
        """As in TreeDecoder; what is learned from this text ends with it."""
        texts = current_scheduler().batch_size
        self._target_cost = self.profile.of_target(self.most_nodes, texts)
        self._draft_cost = self.profile.of_draft(CHUNK, texts)
        self.planned = (0.0, 0.0)
        self._knows = Knowledge(
            self.sampling,
            stream,
            self.pair.vocabulary,
            self.sources,
            self.width,
            self.profile.trust,
        )
        super().decode(prompt, text, stream)

    def begin_draft(self, prompt: tuple[int, ...], room: int) -> None:
        """Nothing yet: a draft that is never asked need not read the prompt."""
        self._knows.copies.extend(prompt)
        self._prompt, self._room = prompt, room
        self._written = 0
        self._begun = False

    def propose(self, unread: list[int], text: GeneratedText, stream: Stream) -> Guesses:
        """Grow the tree from what costs nothing, ask the draft where that pays, cut it to size."""
        self._knows.copies.extend(text.tokens[self._written :])
        self._written = len(text.tokens)
        self._knows.forget(self._written)
        left = text.limit - self._written
        borrows = self.pair.early_exit and not self._begun
        self._drafting = Drafting(self.draft, unread[-1:] if borrows else unread)
        self._told: dict[Node, int] = {}
        growth = TreeBuilder(
            Node(text.tokens[-1], 0, 1.0, self._knows.copies.tail),
            lambda node: self._knows.free(node, self._written + node.depth),
            seconds=self._target_cost,
            floor=FLOOR,
            depth=min(self.max_depth, left - 1),
            reach=self._knows.copies.reach,
        )
        rounds = max(1.0, 0.5 * left * (1 + len(text.rounds)) / self._written)
        size = self._ask(growth, rounds)
        self._nodes = [growth.root, *growth.nodes[:size]]
        return self._submit()

    def _ask(self, growth: TreeBuilder, rounds: float) -> int:
        """Let the draft read on for as long as that raises the expected rate.

        rounds  how many more there may be, at the pace so far, if half the room is used

        Returns how many of the likeliest nodes to submit.
        """
        spent, asks = 0.0, PASSES if "draft" in self.sources else 0
        accepts = self._knows.calibration.rate(ASKED)
        while True:
            chances = [node.chance for node in growth.nodes]
            size, rate = best_size(chances, self._target_cost, spent)
            node = self._to_read(growth) if asks else None
            if node is None:
                return self._plan(size, chances, spent)
            price = self._price(self._drafting.missing(node), rounds)
            among = max(size, growth.nodes.index(node) + 1 if node.depth else 0)
            above = [step.chance for step in node.path()]
            promise = max(
                best_chain(
                    1.0 + sum(known),
                    len(known),
                    chance,
                    accepts,
                    price,
                    self._draft_cost[1],
                    self._target_cost,
                    spent,
                    asks,
                )
                for known, chance in ((chances[:among], node.uncovered), (above, node.chance))
            )
            if promise <= rate:
                return self._plan(size, chances, spent)
            spent, asks = spent + price, asks - 1
            self._read(growth, node, spent)

    def _plan(self, size: int, chances: list[float], spent: float) -> int:
        tokens, cost = self.planned
        self.planned = (
            tokens + 1.0 + sum(chances[:size]),
            cost + self._target_cost[size + 1] + spent,
        )
        return size

    def _to_read(self, growth: TreeBuilder) -> Node | None:
        """The unread node through which the text most likely runs on to no known guess."""
        best, found = FLOOR, None
        for node in (growth.root, *growth.nodes):
            if node.chance <= best:
                break
            if node.depth == growth.depth or self._drafting.has_read(node):
                continue
            if node.uncovered > best and self._drafting.fits(node, self.most_nodes - 1):
                best, found = node.uncovered, node
        return found

    def _price(self, rows: int, rounds: float) -> float:
        """What a draft pass over so many rows costs now, its start shared by the rounds to come."""
        start = 0 if self._begun or self.pair.early_exit else len(self._prompt)
        return self._pass_cost(rows) + self._pass_cost(start) / rounds

    def _pass_cost(self, rows: int) -> float:
        whole, rest = divmod(rows, CHUNK)
        return whole * self._draft_cost[CHUNK] + self._draft_cost[rest]

    def _read(self, growth: TreeBuilder, node: Node, spent: float) -> None:
        """One draft pass down to `node`, and what it says of every open place on the way."""
        if not self._begun:
            super().begin_draft(self._prompt, self._room)
            self._begun = True
        reached, logits = self._drafting.read(node)
        rows = [n for n, step in enumerate(reached) if step is node or step.uncovered > FLOOR]
        places = [self._written + reached[row].depth for row in rows]
        where = torch.tensor(rows).to(logits.device, non_blocking=True)
        said = self._knows.drafted(logits[where], places)
        told = {reached[row]: guesses for row, guesses in zip(rows, said, strict=True)}
        self._told.update({step: guesses[0].token for step, guesses in told.items()})
        growth.inform(told, spent)

    def _submit(self) -> Guesses:
        nodes = self._nodes
        number = {node: index for index, node in enumerate(nodes)}
        sees = np.eye(len(nodes), dtype=np.bool_)
        for index, node in enumerate(nodes):
            if node.parent is not None:
                sees[index] |= sees[number[node.parent]]
        depths = np.array([node.depth for node in nodes])
        return Guesses(
            tokens=torch.tensor([node.token for node in nodes]),
            depths=depths,
            sees=sees,
            sources=tuple(node.source for node in nodes),
            drawn=torch.ones(len(nodes), dtype=torch.bool),
        )

    def walk(
        self, guesses: Guesses, logits: Tensor, text: GeneratedText, stream: Stream
    ) -> tuple[list[int], int]:
        """Follow the target's own tokens down the tree; learn from every guess they pass."""
        number = {node: index for index, node in enumerate(self._nodes)}
        places = [self._written + node.depth for node in self._nodes]

        def ask(nodes: range) -> tuple[Tensor]:
            some = slice(nodes.start, nodes.stop)
            return (self._knows.decide(logits[some], places[some]),)

        told = foreseen(ask, range(len(places)), self.device)
        best = self._knows.recycled.best(logits) if "recycled" in self.sources else None
        node, path = self._nodes[0], []
        while True:
            (token,) = told(number[node])
            self._knows.learn(node, token, self._told.get(node))
            self._knows.judge(node, [child for child in node.children if child in number], token)
            step = next((child for child in node.children if child.token == token), None)
            if step is None or step not in number:
                break
            node = step
            path.append(number[node])
        if best is not None:
            before = [node.tail[-2] for node in self._nodes]
            self._knows.recycled.learn(before, guesses.tokens.tolist(), best)
        return path, token

    def settle(self, guesses: Guesses, path: list[int], token: int) -> list[int]:
        """As in TreeDecoder, where the draft may not have been asked for many rounds."""
        return [*self._drafting.keep([self._nodes[index] for index in path]), token]
