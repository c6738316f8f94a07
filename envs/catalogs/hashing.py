"""Content hash of a catalog and its latents, independent of how they were stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class OnDemand(Protocol):
    """A column whose values are made when they are read, such as lazy texts."""

    @property
    def fingerprint(self) -> str:
        """Name of the recipe."""
        ...

    def __len__(self) -> int: ...


def content_hash(columns: Mapping[str, Any]) -> str:
    """SHA-256 over named arrays (dtype, shape, bytes) and JSON values, in order of name.

    An `OnDemand` value counts by its length and `fingerprint`.
    """
    digest = hashlib.sha256()
    for name in sorted(columns):
        value = columns[name]
        digest.update(name.encode())
        if isinstance(value, np.ndarray):
            digest.update(f"{value.dtype.str}{value.shape}".encode())
            digest.update(np.ascontiguousarray(value).data)
        elif isinstance(value, OnDemand):
            digest.update(f"{len(value)} {value.fingerprint}".encode())
        else:
            digest.update(json.dumps(value, ensure_ascii=False).encode())
    return digest.hexdigest()
