"""Target-initialized decoding that stops drafting when no draft token is likely to be accepted.

Lu et al. 2024, "Improving Multi-candidate Speculative Decoding", arXiv 2409.10644: the dynamic
form. After a rejection the next token comes from the residual of p and q at that very position;
the authors' code takes q one position earlier, and no q at all below a root.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..errors import InputError
from .base import ModelPair
from .drafting.decision_model import OFF, DecisionModel, chosen_model
from .execution.reader import Reader
from .options import is_number, whole
from .sampling.draft_tree import StaticDraftTree
from .target_init import TargetInit


class TargetInitDynamic(TargetInit):
    """w roots from the target's distribution and a chain below each, as deep as seems worthwhile.

    width      w, roots per round
    depth      D, depth of the deepest draft token below a root
    threshold  drafting stops where no chain's acceptance probability exceeds it; in 0 … 1
    decision   the model of that probability: ``soft`` or ``hard`` for the pair's own, a
               DecisionModel, or ``off`` to draft D deep always. None takes the pair's soft one
               where the package has one trained on these weights, else ``off``.

    The attention mask of w chains of depth D is built once; a round that stops early takes the
    corner of it that it needs, because nodes are numbered depth by depth. The model is asked once
    the draft model has read a level: the tokens drawn there are submitted all the same, so a round
    drafts at least one level. Not lossless for w > 1, for the reason that TargetInit gives.

    Raises InputError for an unusable option, or a decision model that does not fit this draft
    model or was trained on another. Of a given DecisionModel only the size is checked.
    """

    name = "target-init-dynamic"
    exact = False

    def __init__(
        self,
        pair: ModelPair,
        *,
        width: int = 16,
        depth: int = 5,
        threshold: float = 0.4,
        decision: str | DecisionModel | None = None,
        **common: Any,
    ) -> None:
        try:
            w, depth_below = whole(width), whole(depth)
        except TypeError:
            raise InputError(
                f"width is {width!r} and depth {depth!r}; give whole numbers ≥ 1"
            ) from None
        if w < 1 or depth_below < 1:
            raise InputError(f"width is {w} and depth {depth_below}; give whole numbers ≥ 1")
        if not (is_number(threshold) and 0 <= threshold <= 1):
            raise InputError(f"threshold is {threshold!r}; give a number from 0 to 1")
        super().__init__(pair, k=(w, *[1] * depth_below), **common)
        self.threshold = float(threshold)
        self.decision = chosen_model(pair, decision)
        if self.decision is not None:
            self.decision = self.decision.on(self.device)
        self.draft_model = Reader(pair.draft, keep_hidden=self.decision is not None)

    def config(self) -> dict[str, Any]:
        """As in TargetInit, with what stops a round early."""
        model = self.decision
        return super().config() | {
            "threshold": self.threshold,
            "decision": f"{model.kind} {model.hash}" if model else OFF,
        }

    def drafts_on(self, tree: StaticDraftTree, level: slice, draft_logits: Tensor) -> bool:
        """Whether any chain's next draft token is accepted with more than threshold probability."""
        if self.decision is None:
            return True
        accept_prob = self.decision(draft_logits, self.draft_model.hidden[-len(draft_logits) :])
        return bool((tree.drafted[level] & (accept_prob > self.threshold)).any())
