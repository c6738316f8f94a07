"""Linear maps with weights packed once for the processor that they run on.

A pass over a few tokens reads each weight once and computes little, so the layout decides: in
fp32 on a CPU, oneDNN's blocked layout was two to three times as fast as the plain one at 1 to
16 rows of SmolLM2's shapes (AVX-512, one thread), and a row's bits hardly depended any more on how
many rows were read with it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

ROWS = 8
"""Number of rows that the layout is optimized for: one token, and trees of some tens of them."""

LinearMap = Callable[[Tensor], Tensor]
"""(rows, in) -> (rows, out)."""


def packed_linear(weight: Tensor) -> LinearMap:
    """x ↦ x · weightᵀ, for inference only: later changes of the weight (out, in) have no effect."""
    weight = weight.detach()
    blocked = weight.device.type == "cpu" and weight.dtype == torch.float32
    if blocked and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), ROWS)
        return partial(_blocked, packed)
    return partial(functional.linear, weight=weight)


def _blocked(packed: Tensor, x: Tensor) -> Tensor:
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")
    return y
