"""Speculative decoding with a chain of γ draft tokens.

Leviathan et al. 2023, "Fast Inference from Transformers via Speculative Decoding",
arXiv 2211.17192, algorithm 1; Chen et al. 2023, arXiv 2302.01318, algorithm 2.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from .base import ModelPair
from .generated_text import GeneratedText
from .options import whole
from .rounds import RoundDecoder, Verified
from .sampling.draft_tree import StaticDraftTree
from .sampling.noise import VERIFICATION
from .sampling.static_tree import MAX_NODES, make_tree
from .sampling.verification import acceptance, residual


class Speculative(RoundDecoder[GeneratedText, StaticDraftTree]):
    """Draft `depth` tokens; accept them up to the first that the target rejects.

    depth  γ, draft tokens per round

    When greedy, p and q lie on one token each, so a draft token is accepted where it is the
    target's own.
    """

    name = "speculative"
    exact = True

    def __init__(self, pair: ModelPair, *, depth: int = 4, **common: Any) -> None:
        super().__init__(pair, **common)
        try:
            self.max_depth = whole(depth)
        except TypeError:
            raise InputError(f"depth is {depth!r}; give a whole number ≥ 1") from None
        if not 1 <= self.max_depth < MAX_NODES:
            raise InputError(f"depth is {depth}; give a whole number, 1 to {MAX_NODES - 1}")
        self.shape = make_tree((1,) * self.max_depth)
        self.most_nodes = len(self.shape)

    def config(self) -> dict[str, Any]:
        """As in Decoder, with γ."""
        return super().config() | {"depth": self.max_depth}

    def draft(self, text: GeneratedText) -> StaticDraftTree:
        """Sample x_i ~ q_i(· | text, x_1 … x_{i−1}) for i = 1 … γ."""
        noise = text.noise()
        draft_tokens: list[Tensor] = []
        draft_probs: list[Tensor] = []
        draft_logits = self.read_unread(text)
        for _ in range(self.max_depth):
            if draft_tokens:
                draft_logits = self.draft_model.feed(draft_tokens[-1])
            q, x = self.sampling.sample(draft_logits, noise)
            draft_probs.append(q)
            draft_tokens.append(x)
        return StaticDraftTree.chain(self.shape, text.last, draft_tokens, draft_probs)

    def verify(self, tree: StaticDraftTree, target_logits: Tensor, text: GeneratedText) -> Verified:
        """Accept x_i with probability min(1, p_i(x_i) / q_i(x_i)), up to the first rejection.

        The token after them is drawn from norm(max(p − q, 0)) at the rejected position, or from p
        where all γ were accepted.
        """
        gamma = self.max_depth
        noise = text.noise(VERIFICATION)
        p = self.sampling.probs(target_logits)
        q = torch.cat(tree.probs)
        accept_prob = acceptance(p[:gamma], q, tree.tokens[1:])
        accepted = (noise.uniforms(gamma) < accept_prob).tolist()
        n = [*accepted, False].index(False)
        rest = residual(p[n], q[n]) if n < gamma else p[n]
        token = int(self.sampling.draw(rest, noise))
        return Verified(list(range(1, n + 1)), token)
