"""Speculative decoding with one chain of guesses.

Leviathan et al. 2023, "Fast Inference from Transformers via Speculative Decoding",
arXiv 2211.17192, algorithm 1; Chen et al. 2023, arXiv 2302.01318, algorithm 2.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from .base import GeneratedText, ModelPair
from .options import whole
from .rounds import Guesses, TreeDecoder
from .sampling.distribution import best, sampled
from .sampling.noise import VERIFICATION, Noise, Stream
from .sampling.trees import MOST_NODES, make_tree
from .sampling.verification import acceptance, residual


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

    def propose(self, unread: list[int], text: GeneratedText, stream: Stream) -> Guesses:
        """x_i ~ q_i(· | text, x_1 … x_{i−1}); when greedy, q_i's most likely token."""
        noise = stream.at(len(text.tokens))
        logits = self.draft.feed(unread, logits=1)
        self.draft.commit(range(len(unread)))
        tokens, self.q = [torch.full((1,), unread[-1], device=self.device)], []
        for depth in range(self.max_depth):
            law, token = self.guessed(logits, noise)
            self.q.append(law)
            tokens.append(token)
            if depth + 1 < self.max_depth:
                logits = self.draft.feed(tokens[-1])
        chain = torch.cat(tokens)
        return Guesses(
            tokens=chain,
            depths=self.chain.depths,
            sees=self.chain.sees,
            sources=("", *["draft"] * self.max_depth),
            drawn=torch.ones_like(chain, dtype=torch.bool),
            read=list(range(1, self.max_depth)),
        )

    def guessed(self, logits: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """The draft's law and a token of it, (1, vocabulary) and (1,)."""
        if self.sampling.greedy:
            return self.sampling.probs(logits), best(logits)
        start = noise.take(logits.numel())
        return sampled(logits, noise.key, sampling=self.sampling, start=start)

    def walk(
        self, guesses: Guesses, logits: Tensor, text: GeneratedText, stream: Stream
    ) -> tuple[list[int], int]:
        """Accept x_i with min(1, p/q); a rejection writes a token of norm(max(p − q, 0)).

        When greedy, p and q lie on one token each: x_i stands where it is the target's.
        """
        noise = stream.at(len(text.tokens), VERIFICATION)
        p, q = self.sampling.probs(logits), torch.cat(self.q)
        chances = acceptance(p[:-1], q, guesses.tokens[1:])
        stands = [*(noise.uniforms(self.max_depth) < chances).tolist(), False]
        accepted = stands.index(False)
        left = p[accepted]
        if accepted < self.max_depth:
            left = residual(left, q[accepted])
        return list(range(1, accepted + 1)), int(self.pick(left, noise))
