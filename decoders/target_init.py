"""Target-initialized multi-candidate decoding: the first tokens of a round come from the target.

Lu et al. 2024, "Improving Multi-candidate Speculative Decoding", arXiv 2409.10644: the static
form, with the tree of Yang et al. 2024, arXiv 2401.06706, below each root.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..errors import InputError
from .base import ModelPair
from .generated_text import GeneratedText
from .rounds import RoundDecoder, Verified
from .sampling.draft_tree import StaticDraftTree, on_demand
from .sampling.noise import VERIFICATION
from .sampling.static_tree import make_tree
from .sampling.verification import NONE


class TargetInit(RoundDecoder[GeneratedText, StaticDraftTree]):
    """Draw w roots from the target's distribution, draft a tree below each, keep the longest path.

    k  w roots, then children per node at each depth below them

    The distribution of the token after the text is left pending at the end of a round: the
    target's own p below the last depth drafted, else the residual after the rejected draft tokens.
    The next roots are drawn from it, all different; when greedy, they are its w most likely tokens.
    The root below which most was accepted wins, the first of several; where nothing was accepted
    that is the first root.

    Not lossless: a root is chosen for what was drawn below it, so for w > 1 not even the greedy
    text is the target's. One root is lossless, because siblings are tested one after another, as in
    mcsd. (At T > 0 the authors' code tests each sibling alone and keeps the longest of all paths:
    more is accepted, and even one root is not lossless.)

    A round writes its root and what was accepted below it. Roots do not count as accepted draft
    tokens, and the first round writes the first token.
    """

    name = "target-init"
    exact = False

    def __init__(
        self, pair: ModelPair, *, k: Sequence[int] = (2, 4, 4, 1, 1), **common: Any
    ) -> None:
        super().__init__(pair, **common)
        self.shape = make_tree(k)  # node 0 is the text's last token, which the target has read
        self.max_depth, self.most_nodes = len(self.shape.widths) - 1, len(self.shape) - 1
        if not self.max_depth:
            raise InputError(f"k is {self.shape.widths}; give the roots and at least one depth")

    def config(self) -> dict[str, Any]:
        """As in Decoder, with the roots and the tree below each."""
        return super().config() | {"k": list(self.shape.widths)}

    def start(self, text: GeneratedText, target_logits: Tensor) -> None:
        """Leave the first token to the first round: its roots are drawn from `target_logits`."""
        greedy = self.sampling.greedy
        text.pending = target_logits if greedy else self.sampling.probs(target_logits)
        self.begin_draft(text)

    def draft(self, text: GeneratedText) -> StaticDraftTree:
        """Draw w roots ~ p, let the draft model read them, draw the next level ~ q, and so on.

        The draft model reads the text's last token with the roots, if it has not read it yet.
        """
        assert text.pending is not None
        noise = None if self.sampling.greedy else text.noise()
        roots = self.shape.levels[1]
        tree = StaticDraftTree.rooted(self.shape, text.last, text.pending, roots)
        level = tree.draw(text.pending[None], noise)
        unread = slice(0 if text.unread else level.start, level.stop)
        while True:
            draft_logits = self.read_nodes(tree, unread)[level.start - level.stop :]
            proceed = self.drafts_on(tree, level, draft_logits)
            level = unread = tree.draw(draft_logits, noise, self.sampling)
            if not proceed or tree.size == len(self.shape):
                return tree

    def drafts_on(self, tree: StaticDraftTree, level: slice, draft_logits: Tensor) -> bool:
        """Whether to draft beyond the next level, given what the draft model says at this one.

        level         nodes that it has read last
        draft_logits  (nodes of the level, vocabulary)
        """
        return True

    def verify(self, tree: StaticDraftTree, target_logits: Tensor, text: GeneratedText) -> Verified:
        """Go down from every root for as long as a child is accepted; keep the longest path.

        Children are tested as in mcsd. What p is after the last test on that path is pending.
        """
        uniforms = None if self.sampling.greedy else tree.uniforms(text.noise(VERIFICATION))
        rest: dict[int, Tensor] = {}

        def test(nodes: range) -> tuple[Tensor]:
            rows = slice(nodes.start - 1, nodes.stop - 1)  # the target does not read node 0 again
            accepted, left = tree.test_children(nodes, target_logits[rows], self.sampling, uniforms)
            rest.update(zip(nodes, left, strict=True))
            return (accepted,)

        def group(node: int) -> range:
            """Of chains nearly every node is reached, of trees one below each root."""
            level = self.shape.levels[int(self.shape.depths[node])]
            return level if len(level) == len(tree.roots) else range(node, node + 1)

        nodes = range(tree.submitted.start, tree.submitted.stop)
        result = on_demand(test, nodes, target_logits, group)

        def accepted_below(root: int) -> list[int]:
            path = [root]
            while (accepted := result(path[-1])[0]) != NONE:
                path.append(self.shape.children(path[-1])[accepted])
            return path

        _, drafted = tree.on_host
        path = max((accepted_below(root) for root in tree.roots if drafted[root]), key=len)
        return Verified(path, None, pending=rest[path[-1]])
