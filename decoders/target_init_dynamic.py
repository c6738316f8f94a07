"""Target-initialized decoding that stops drafting when no guess is likely to be accepted.

Lu et al. 2024, "Improving Multi-candidate Speculative Decoding", arXiv 2409.10644: the dynamic
form. What follows a rejection is drawn from the residual of the two laws at that very place; the
authors' code takes the draft's law one place earlier, and none at all below a root.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..errors import InputError
from .base import ModelPair
from .drafting.decision_model import KINDS, DecisionModel, load, path_for, taught_on
from .execution.reader import Reader
from .options import is_number, whole
from .target_init import TargetInit

OFF = "off"


class TargetInitDynamic(TargetInit):
    """w roots from the target's law and a chain below each, as deep as seems worth its passes.

    width      w, roots per round
    depth      D, of the deepest guess below a root
    threshold  drafting stops where no chain's chance is above it; in 0 … 1
    decision   the model of those chances: ``soft`` or ``hard`` for the pair's own, a
               DecisionModel, or ``off`` to draft D deep always. None takes the pair's soft one
               where the package has one taught on these weights, else ``off``.

    The attention mask of w chains of depth D is built once; a round that stops early takes the
    corner of it that it needs, because nodes are numbered depth by depth. The model is asked
    once the draft has read a level: the guesses drawn there are submitted all the same, so a
    round drafts at least one. Not exact for w > 1, for the reason that TargetInit gives.

    Raises InputError for an unusable option, or a model that cannot read this draft or was taught
    on another. Of a DecisionModel that one hands over only its size is checked.
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
            w, below = whole(width), whole(depth)
        except TypeError:
            raise InputError(
                f"width is {width!r} and depth {depth!r}; give whole numbers ≥ 1"
            ) from None
        if w < 1 or below < 1:
            raise InputError(f"width is {w} and depth {below}; give whole numbers ≥ 1")
        if not (is_number(threshold) and 0 <= threshold <= 1):
            raise InputError(f"threshold is {threshold!r}; give a number from 0 to 1")
        super().__init__(pair, k=(w, *[1] * below), **common)
        self.threshold = float(threshold)
        self.decision = decision_model(pair, decision)
        if self.decision is not None:
            self.decision = self.decision.on(self.device)
        self.draft = Reader(pair.draft, keep_hidden=self.decision is not None)

    def config(self) -> dict[str, Any]:
        """As in TargetInit, with what stops a round early."""
        model = self.decision
        return super().config() | {
            "threshold": self.threshold,
            "decision": f"{model.kind} {model.hash}" if model else OFF,
        }

    def goes_on(self, level: slice, logits: Tensor) -> bool:
        """Whether any chain's next guess has a chance above the threshold."""
        if self.decision is None:
            return True
        chances = self.decision(logits, self.draft.hidden[-len(logits) :])
        return bool((self.drafted.drawn[level] & (chances > self.threshold)).any())


def decision_model(pair: ModelPair, chosen: str | DecisionModel | None) -> DecisionModel | None:
    """The model that an option `decision` means; None for no model."""
    if chosen == OFF:
        return None
    if isinstance(chosen, DecisionModel):
        model = chosen
    elif chosen is None or chosen in KINDS:
        path = path_for(pair.name)
        fits = taught_on(pair, path)
        if chosen is None and not fits:
            return None
        model = load(path, "hard" if chosen == "hard" else "soft")
        if not fits:
            raise InputError(
                f"the decision models of {pair.name!r} were taught on other weights; "
                "train some with training/decision.py"
            )
    else:
        raise InputError(f"decision is {chosen!r}; give {', '.join(KINDS)}, {OFF} or a model")
    hidden = pair.draft.config.get_text_config().hidden_size
    if model.kind == "soft" and model.features != hidden:
        raise InputError(
            f"the decision model reads {model.features} numbers and the draft of {pair.name!r} "
            f"has {hidden}; train one with training/decision.py"
        )
    return model
