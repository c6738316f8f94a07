"""What a text wants of a model."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .clock import Moment
from .kv_cache import KVCache


class ForwardRequest(NamedTuple):
    """Rows of one text to be read.

    cache, text        where its keys are, and which of the cache's texts it is
    tokens             (rows,), on the host or where the model is
    positions          (rows,)
    where              (rows,) slots to write to, rising
    mask               (rows, reach), whether a row attends to a slot; None: to all
    reach              slots that may be seen
    last               how many of the last rows to give logits of; 0 for all
    hidden             whether to tell what the head read
    """

    cache: KVCache
    text: int
    tokens: Tensor
    positions: NDArray[np.int64]
    where: NDArray[np.int64]
    mask: NDArray[np.bool_] | None
    reach: int
    last: int
    hidden: bool


class ForwardResult(NamedTuple):
    """What a model says of them, in fp32, where the model is.

    logits  (rows asked for, vocabulary)
    hidden  (rows, hidden size) what its head read, where that was wanted
    began   when the device had all that it was to read, where that is known
    """

    logits: Tensor
    hidden: Tensor | None
    began: Moment | None = None


def full(rows: Tensor, copied: bool = False) -> Tensor:
    """Rows of a pass in fp32, where laws are worked out.

    copied  whether in memory of their own, for the next pass will use what they are in
    """
    return rows.to(sampling_device(rows.device), torch.float32, copy=copied)


def sampling_device(device: torch.device) -> torch.device:
    """Where the laws of a model on `device` are worked out: there, if it knows float64."""
    return device if device.type in ("cpu", "cuda") else torch.device("cpu")
