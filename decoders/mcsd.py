"""Multi-candidate speculative decoding: a static tree of guesses, one target pass for all.

Yang et al. 2024, "Multi-Candidate Speculative Decoding", arXiv 2401.06706.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..records import Round
from .base import Decoder, ModelPair, Transcript
from .cache import Reader
from .sampling import Stream, candidates, draw, is_greedy, law
from .tree import make_tree
from .verification import NONE, recursive_rejection


@dataclass
class Guesses:
    """A drafted tree: node 0 is the text's last token.

    tokens  token id of each node: (nodes,)
    alive   whether the node was drawn; a law with too little support leaves some undrawn
    q       the law that a node's children were drawn from, by node number
    """

    tokens: NDArray[np.int64]
    alive: NDArray[np.bool_]
    q: Callable[[int], NDArray[np.float32]]


class Mcsd(Decoder):
    """Draft k_1 tokens, k_2 after each, …; keep the longest path that rejection sampling lets.

    k            children per node at each depth
    replacement  draw siblings independently, instead of all different

    The draft samples at the decoder's temperature. When greedy, siblings are its k most likely
    tokens (with replacement: k times the most likely), as in the authors' code.
    """

    name = "mcsd"
    exact = True

    def __init__(
        self,
        pair: ModelPair,
        *,
        k: Sequence[int] = (4, 2, 2, 1),
        replacement: bool = False,
        **common: Any,
    ) -> None:
        super().__init__(pair, **common)
        self.tree = make_tree(k)
        self.replacement = bool(replacement)
        self.draft = Reader(pair.draft)

    def config(self) -> dict[str, Any]:
        """As in Decoder, with the tree and the way siblings are drawn."""
        return super().config() | {"k": list(self.tree.widths), "replacement": self.replacement}

    def decode(self, prompt: tuple[int, ...], text: Transcript, stream: Stream) -> None:
        """Draft, verify, walk, commit; once per round."""
        room = text.limit + len(self.tree)
        logits = self.target.begin(prompt, room)
        unread = [draw(law(logits, self.temperature), stream.at(0))]
        text.write(unread)
        if not text.done and self.pair.early_exit:
            self.draft.begin_as(self.target, room)
        elif not text.done:
            self.draft.begin(prompt, room)
        while not text.done:
            started = perf_counter()
            noise = stream.at(len(text.tokens))
            guesses = self.propose(unread, noise)
            drafted = perf_counter()
            logits = self.target.feed(guesses.tokens, self.tree.depths, self.tree.sees)
            verified = perf_counter()
            path, token = self.walk(guesses, logits, noise)
            self.target.commit([0, *path])
            accepted = [int(guesses.tokens[node]) for node in path]
            unread = [*self.settle(path, accepted), token]
            emitted = text.write([*accepted, token])
            ended = perf_counter()
            text.rounds.append(
                Round(
                    max_depth=len(self.tree.widths),
                    drafted_depth=int(self.tree.depths[guesses.alive].max()),
                    drafted_nodes=int(guesses.alive.sum()) - 1,
                    verified_nodes=len(self.tree),
                    accepted=len(path),
                    emitted=emitted,
                    draft_seconds=drafted - started,
                    verify_seconds=verified - drafted,
                    decide_seconds=ended - verified,
                    sources=("draft",) * len(path),
                )
            )

    def propose(self, unread: list[int], noise: np.random.Generator) -> Guesses:
        """Let the draft read the `unread` end of the text, then draw the tree level by level."""
        tree, greedy = self.tree, is_greedy(self.temperature)
        tokens = np.full(len(tree), unread[-1], dtype=np.int64)
        alive = np.ones(len(tree), dtype=np.bool_)
        logits = self.draft.feed(unread, logits=1)
        self.draft.commit(range(len(unread)))
        tables = []
        for depth, width in enumerate(tree.widths):
            table = logits if greedy else law(logits, self.temperature)
            tables.append(table)
            ids, drawn = candidates(table, width, None if greedy else noise, self.replacement)
            level = slice(tree.levels[depth + 1].start, tree.levels[depth + 1].stop)
            parents = np.array(tree.levels[depth])
            tokens[level] = ids.ravel()
            alive[level] = (drawn & alive[parents, None]).ravel()
            if depth + 1 < len(tree.widths):
                sees = tree.sees[level, 1 : level.stop]
                logits = self.draft.feed(tokens[level], tree.depths[level] - 1, sees)

        def q(node: int) -> NDArray[np.float32]:
            depth = int(tree.depths[node])
            row = tables[depth][node - tree.levels[depth].start]
            return law(row, 1.0) if greedy else row

        return Guesses(tokens, alive, q)

    def walk(
        self, guesses: Guesses, logits: NDArray[np.float32], noise: np.random.Generator
    ) -> tuple[list[int], int]:
        """Go down from the root for as long as a child is accepted.

        Returns the nodes passed and the token to write after them: drawn from the residual
        where every child was rejected, from the target's own law below the last depth.
        """
        path: list[int] = []
        node = 0
        while True:
            p = law(logits[node], self.temperature)
            children = [child for child in self.tree.children(node) if guesses.alive[child]]
            if not children:
                return path, draw(p, noise)
            accepted, left = recursive_rejection(
                p,
                guesses.q(node),
                [int(guesses.tokens[child]) for child in children],
                lambda chance: noise.random() < chance,
                replacement=self.replacement,
            )
            if accepted == NONE:
                return path, draw(left, noise)
            node = children[accepted]
            path.append(node)

    def settle(self, path: list[int], accepted: list[int]) -> list[int]:
        """Keep in the draft's cache what it read of the path; returns the tokens it did not."""
        read = [node - 1 for node in path if self.tree.depths[node] < len(self.tree.widths)]
        self.draft.commit(read)
        return accepted[len(read) :]
