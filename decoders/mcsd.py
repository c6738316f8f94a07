"""Multi-candidate speculative decoding: a static tree of guesses, one target pass for all.

Yang et al. 2024, "Multi-Candidate Speculative Decoding", arXiv 2401.06706.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .base import ModelPair, Transcript
from .rounds import Guesses, TreeDecoder
from .sampling import COINS, Stream, candidates, draw
from .tree import make_tree
from .verification import NONE, recursive_rejection


class Mcsd(TreeDecoder):
    """Draft k_1 tokens, k_2 after each, …; keep the longest path that rejection sampling lets.

    k            children per node at each depth
    replacement  draw siblings independently, instead of all different

    The draft samples as the decoder does. When greedy, siblings are its k most likely tokens
    (with replacement: k times the most likely), as in the authors' code.
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
        self.max_depth, self.most_nodes = len(self.tree.widths), len(self.tree)
        self.replacement = bool(replacement)

    def config(self) -> dict[str, Any]:
        """As in Decoder, with the tree and the way siblings are drawn."""
        return super().config() | {"k": list(self.tree.widths), "replacement": self.replacement}

    def propose(self, unread: list[int], text: Transcript, stream: Stream) -> Guesses:
        """Let the draft read the `unread` end of the text, then draw the tree level by level."""
        tree, greedy = self.tree, self.sampling.greedy
        noise = None if greedy else stream.at(len(text.tokens))
        tokens = np.full(len(tree), unread[-1], dtype=np.int64)
        self.alive = np.ones(len(tree), dtype=np.bool_)
        logits = self.draft.feed(unread, logits=1)
        self.draft.commit(range(len(unread)))
        self.tables = []
        for depth, width in enumerate(tree.widths):
            table = logits if greedy else self.sampling.law(logits)
            self.tables.append(table)
            ids, drawn = candidates(table, width, noise, self.replacement)
            level = slice(tree.levels[depth + 1].start, tree.levels[depth + 1].stop)
            parents = np.array(tree.levels[depth])
            tokens[level] = ids.ravel()
            self.alive[level] = (drawn & self.alive[parents, None]).ravel()
            if depth + 1 < len(tree.widths):
                sees = tree.sees[level, 1 : level.stop]
                logits = self.draft.feed(tokens[level], tree.depths[level] - 1, sees)
        return Guesses(
            tokens=tokens,
            depths=tree.depths,
            sees=tree.sees,
            sources=("", *["draft"] * (len(tree) - 1)),
            drafted_nodes=int(self.alive.sum()) - 1,
            drafted_depth=int(tree.depths[self.alive].max()),
            read=list(range(1, tree.levels[-1].start)),
        )

    def walk(
        self, guesses: Guesses, logits: NDArray[np.float32], text: Transcript, stream: Stream
    ) -> tuple[list[int], int]:
        """Go down from the root for as long as a child is accepted.

        The token after the path is drawn from the residual where every child was rejected, and
        from the target's own law below the last depth.
        """
        coins = stream.at(len(text.tokens), COINS)
        path: list[int] = []
        node = 0
        while True:
            children = [child for child in self.tree.children(node) if self.alive[child]]
            drawn = guesses.tokens[children].tolist()
            accepted, token = self.judge(node, drawn, logits[node], coins)
            if accepted == NONE:
                return path, token
            node = children[accepted]
            path.append(node)

    def judge(
        self, node: int, drawn: list[int], logits: NDArray[np.float32], coins: np.random.Generator
    ) -> tuple[int, int]:
        """Which of a node's drawn children stands, or NONE and the token to write instead.

        When greedy, that is the child that holds the target's token: all of p lies on it.
        """
        if self.sampling.greedy:
            token = int(logits.argmax())
            return (drawn.index(token) if token in drawn else NONE), token
        p = self.sampling.law(logits)
        if not drawn:
            return NONE, draw(p, coins)
        depth = int(self.tree.depths[node])
        accepted, left = recursive_rejection(
            p,
            self.tables[depth][node - self.tree.levels[depth].start],
            drawn,
            lambda chance: coins.random() < chance,
            replacement=self.replacement,
        )
        return accepted, draw(left, coins) if accepted == NONE else drawn[accepted]
