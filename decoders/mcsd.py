"""Multi-candidate speculative decoding: a static tree of guesses, one target pass for all.

Yang et al. 2024, "Multi-Candidate Speculative Decoding", arXiv 2401.06706.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .base import GeneratedText, ModelPair
from .rounds import Guesses, TreeDecoder
from .sampling.distribution import best
from .sampling.draft_tree import foreseen, rooted
from .sampling.noise import VERIFICATION, Stream
from .sampling.trees import make_tree
from .sampling.verification import NONE


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

    def propose(self, unread: list[int], text: GeneratedText, stream: Stream) -> Guesses:
        """Let the draft read the `unread` end of the text, then draw the tree level by level."""
        tree = self.tree
        noise = None if self.sampling.greedy else stream.at(len(text.tokens))
        drafted = self.drafted = rooted(tree, unread[-1], self.device)
        logits = self.draft.feed(unread, logits=1)
        self.draft.commit(range(len(unread)))
        for depth in range(self.max_depth):
            level = drafted.draw(logits, noise, self.sampling, self.replacement)
            if depth + 1 < self.max_depth:
                sees = tree.sees[level, 1 : level.stop]
                logits = self.draft.feed(drafted.tokens[level], tree.depths[level] - 1, sees)
        return Guesses(
            tokens=drafted.tokens,
            depths=tree.depths,
            sees=tree.sees,
            sources=("", *["draft"] * (len(tree) - 1)),
            drawn=drafted.drawn,
            read=list(range(1, tree.levels[-1].start)),
        )

    def walk(
        self, guesses: Guesses, logits: Tensor, text: GeneratedText, stream: Stream
    ) -> tuple[list[int], int]:
        """Go down from the root for as long as a child is accepted.

        The token after the path is drawn from the residual where every child was rejected, and
        from the target's own law below the last depth; when greedy it is the target's token,
        and a child is accepted that holds it.
        """
        uniforms = times = None
        if not self.sampling.greedy:
            noise = stream.at(len(text.tokens), VERIFICATION)
            uniforms = noise.uniforms(len(self.tree), max(self.tree.widths))
            times = noise.exponentials(logits.shape[-1])

        def ask(nodes: range) -> tuple[Tensor, Tensor]:
            some = logits[nodes.start : nodes.stop]
            stands, left = self.drafted.judged(
                nodes, self.sampling, some, uniforms, replacement=self.replacement
            )
            return stands, best(left if times is None else left / times)

        told = foreseen(ask, range(len(self.tree)), self.device)
        path: list[int] = []
        node = 0
        while True:
            accepted, token = told(node)
            if accepted == NONE:
                return path, token
            node = self.tree.children(node)[accepted]
            path.append(node)
