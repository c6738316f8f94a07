"""Speculative decoding with one chain of guesses.

Leviathan et al. 2023, "Fast Inference from Transformers via Speculative Decoding",
arXiv 2211.17192, algorithm 1; Chen et al. 2023, arXiv 2302.01318, algorithm 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .base import ModelPair, Transcript
from .rounds import Guesses, TreeDecoder
from .sampling import COINS, Stream, draw, whole
from .tree import MOST_NODES, make_tree
from .verification import acceptance, residual


class Speculative(TreeDecoder):
    """Let the draft write `depth` tokens; keep them up to the first that the target rejects.

    depth  γ, tokens drafted in a round
    """

    name = "speculative"
    exact = True

    def __init__(self, pair: ModelPair, *, depth: int = 4, **common: Any) -> None:
        super().__init__(pair, **common)
        try:
            self.max_depth = whole(depth)
        except TypeError:
            raise InputError(f"depth is {depth!r}; give a whole number ≥ 1") from None
        if not 1 <= self.max_depth < MOST_NODES:
            raise InputError(f"depth is {depth}; give a whole number, 1 to {MOST_NODES - 1}")
        self.chain = make_tree((1,) * self.max_depth)
        self.most_nodes = len(self.chain)

    def config(self) -> dict[str, Any]:
        """As in Decoder, with the chain's depth."""
        return super().config() | {"depth": self.max_depth}

    def propose(self, unread: list[int], text: Transcript, stream: Stream) -> Guesses:
        """x_i ~ q_i(· | text, x_1 … x_{i−1}); when greedy, q_i's most likely token."""
        noise = stream.at(len(text.tokens))
        tokens = [unread[-1]]
        logits = self.draft.feed(unread, logits=1)
        self.draft.commit(range(len(unread)))
        self.q: list[NDArray[np.float64]] = []
        for depth in range(self.max_depth):
            if self.sampling.greedy:
                tokens.append(int(logits[0].argmax()))
            else:
                self.q.append(self.sampling.law(logits[0]).astype(np.float64))
                tokens.append(draw(self.q[depth], noise))
            if depth + 1 < self.max_depth:
                logits = self.draft.feed(tokens[-1:])
        return Guesses(
            tokens=np.array(tokens),
            depths=self.chain.depths,
            sees=self.chain.sees,
            sources=("", *["draft"] * self.max_depth),
            drafted_nodes=self.max_depth,
            drafted_depth=self.max_depth,
            read=list(range(1, self.max_depth)),
        )

    def walk(
        self, guesses: Guesses, logits: NDArray[np.float32], text: Transcript, stream: Stream
    ) -> tuple[list[int], int]:
        """Accept x_i with min(1, p/q); a rejection writes a token of norm(max(p − q, 0)).

        When greedy, that is to accept x_i where it is the target's token, or to write that one.
        """
        coins = stream.at(len(text.tokens), COINS)
        drawn = guesses.tokens[1:].tolist()
        for depth, x in enumerate(drawn):
            if self.sampling.greedy:
                if (best := int(logits[depth].argmax())) != x:
                    return list(range(1, depth + 1)), best
                continue
            p, q = self.sampling.law(logits[depth]).astype(np.float64), self.q[depth]
            if coins.random() >= acceptance(p, q, x):
                return list(range(1, depth + 1)), draw(residual(p, q), coins)
        return list(range(1, len(drawn) + 1)), draw(self.sampling.law(logits[-1]), coins)
