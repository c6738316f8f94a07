"""One content hash for a catalog and its latents, independent of how they were stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np


def content_hash(columns: Mapping[str, Any]) -> str:
    """SHA-256 over named arrays (dtype, shape, bytes) and JSON values, in order of name.

    A value that makes its content on demand counts by its size and `fingerprint`.
    """
    digest = hashlib.sha256()
    for name in sorted(columns):
        value = columns[name]
        digest.update(name.encode())
        if isinstance(value, np.ndarray):
            digest.update(f"{value.dtype.str}{value.shape}".encode())
            digest.update(np.ascontiguousarray(value).data)
        elif hasattr(value, "fingerprint"):
            digest.update(f"{len(value)} {value.fingerprint}".encode())
        else:
            digest.update(json.dumps(value, ensure_ascii=False).encode())
    return digest.hexdigest()
