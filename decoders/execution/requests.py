"""Requests for a forward pass over some rows of one text, and their results."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .clock import Timestamp
from .kv_cache import KVCache


class ForwardRequest(NamedTuple):
    """Rows (new tokens) of one text to run through a model.

    cache, sequence  the KV cache, and which of its sequences the text is
    tokens           (rows,) token ids, on the host or on the model's device
    positions        (rows,) position ids
    write_cells      (rows,) cache cells to write to, ascending
    mask             (rows, visible_cells) whether a row attends to a cell; None: to all
    visible_cells    number of cells that may be attended to, from the first
    logits_to_keep   how many of the last rows to return logits of; 0 for all
    hidden           whether to return the input of the model's head
    """

    cache: KVCache
    sequence: int
    tokens: Tensor
    positions: NDArray[np.int64]
    write_cells: NDArray[np.int64]
    mask: NDArray[np.bool_] | None
    visible_cells: int
    logits_to_keep: int
    hidden: bool


class ForwardResult(NamedTuple):
    """Outputs for one request: fp32, on the device where sampling runs.

    logits   (rows kept, vocabulary)
    hidden   (rows, hidden size) input of the model's head, where the request asked for it
    started  when the device had received all inputs of the pass, where that is known
    """

    logits: Tensor
    hidden: Tensor | None
    started: Timestamp | None = None


def as_float32(rows: Tensor, copy: bool = False) -> Tensor:
    """Rows of a pass in fp32, on the device where sampling runs.

    copy  always into new memory: the next pass overwrites the rows' own
    """
    return rows.to(sampling_device(rows.device), torch.float32, copy=copy)


def sampling_device(device: torch.device) -> torch.device:
    """Device where a model's distributions are computed: its own if that has float64, else CPU."""
    return device if device.type in ("cpu", "cuda") else torch.device("cpu")
