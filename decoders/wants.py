"""What a text wants of a model."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .cache import KVCache


class Want(NamedTuple):
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


class Told(NamedTuple):
    """What a model says of them, in fp32, where the model is.

    logits  (rows asked for, vocabulary)
    hidden  (rows, hidden size) what its head read, where that was wanted
    """

    logits: Tensor
    hidden: Tensor | None
