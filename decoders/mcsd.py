"""Multi-candidate speculative decoding (MCSD): a static draft tree, verified in one target pass.

Yang et al. 2024, "Multi-Candidate Speculative Decoding", arXiv 2401.06706.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .base import ModelPair
from .generated_text import GeneratedText
from .rounds import RoundDecoder, Verified
from .sampling.distribution import argmax
from .sampling.draft_tree import StaticDraftTree, on_demand
from .sampling.noise import VERIFICATION
from .sampling.static_tree import make_tree
from .sampling.verification import NONE


class Mcsd(RoundDecoder[GeneratedText, StaticDraftTree]):
    """Draft k_1 tokens, k_2 after each of them, …; accept a path by recursive rejection sampling.

    k            children per node at each depth
    replacement  draw siblings independently, instead of all different

    The draft model samples as the decoder does. When greedy, siblings are its k most likely tokens
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
        self.shape = make_tree(k)
        self.max_depth, self.most_nodes = len(self.shape.widths), len(self.shape)
        self.replacement = bool(replacement)

    def config(self) -> dict[str, Any]:
        """As in Decoder, with the tree and the way siblings are drawn."""
        return super().config() | {"k": list(self.shape.widths), "replacement": self.replacement}

    def draft(self, text: GeneratedText) -> StaticDraftTree:
        """Draw k_d children x_1, x_2, … ~ q of every node at depth d = 0, 1, …"""
        noise = None if self.sampling.greedy else text.noise()
        draft_logits = self.read_unread(text)
        tree = StaticDraftTree.rooted(self.shape, text.last, like=draft_logits)
        level = tree.draw(draft_logits, noise, self.sampling, self.replacement)
        for _ in range(self.max_depth - 1):
            draft_logits = self.read_nodes(tree, level)
            level = tree.draw(draft_logits, noise, self.sampling, self.replacement)
        return tree

    def verify(self, tree: StaticDraftTree, target_logits: Tensor, text: GeneratedText) -> Verified:
        """Go down from the root for as long as a child is accepted, then resample.

        Children x of a node are tested in drawing order: x is accepted with probability
        min(1, p(x)/q(x)), a rejection leaves p ← norm(max(p − q, 0)) to the next: algorithm 2,
        `decoders.sampling.verification.recursive_rejection`. The token after the path is drawn
        from what p is then, which is the target's own p below the last depth. When greedy it is
        the target's token, and the child that holds it is accepted.
        """
        uniforms = exponentials = None
        if not self.sampling.greedy:
            noise = text.noise(VERIFICATION)
            uniforms = tree.uniforms(noise)
            exponentials = noise.exponentials(target_logits.shape[-1])

        def test_and_resample(nodes: range) -> tuple[Tensor, Tensor]:
            accepted, rest = tree.test_children(
                nodes,
                target_logits[nodes.start : nodes.stop],
                self.sampling,
                uniforms,
                self.replacement,
            )
            return accepted, argmax(rest if exponentials is None else rest / exponentials)

        result = on_demand(test_and_resample, range(len(self.shape)), target_logits)
        path: list[int] = []
        node = 0
        while True:
            accepted, token = result(node)
            if accepted == NONE:
                return Verified(path, token)
            node = self.shape.children(node)[accepted]
            path.append(node)
