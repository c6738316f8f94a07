"""Autoregressive decoding: one target pass per token, the baseline of every other decoder."""

from __future__ import annotations

from torch import Tensor

from .generated_text import GeneratedText
from .rounds import RoundDecoder, Verified
from .sampling.draft_tree import DraftTree


class Autoregressive(RoundDecoder[GeneratedText, DraftTree]):
    """Sample each token from the target's distribution; the draft model is not used.

    Token t is argmax p_t / E_t, with the exponentials E_t keyed by the seed, the prompt and t.
    """

    name = "autoregressive"
    exact = True
    max_depth = 0
    most_nodes = 1

    def draft(self, text: GeneratedText) -> DraftTree:
        """Draft nothing: the target reads the last token alone."""
        return DraftTree.single(text.last)

    def verify(self, tree: DraftTree, target_logits: Tensor, text: GeneratedText) -> Verified:
        """Sample the next token from p."""
        return Verified([], self.target_token(target_logits[0], text))

    def begin_draft(self, text: GeneratedText) -> None:
        """Leave the draft model alone."""

    def commit(self, tree: DraftTree, verified: Verified, text: GeneratedText) -> None:
        """Leave the draft model alone."""
