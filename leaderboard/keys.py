"""Key derivation: from a season's secret to every random draw of an attempt.

The secret is 32 random bytes. Its commitment is published before the first attempt and the secret
itself after the season, so that anybody can check that no environment was chosen afterwards. Every
draw comes from HMAC-SHA256 (RFC 2104, FIPS 198-1) under one 256-bit key and a label of its own:
knowing one output says nothing about another. Labels are fixed: another spelling draws another
environment, and published runs could no longer be checked.
"""

from __future__ import annotations

import hashlib
import hmac
import re

from ..errors import InputError

SECRET_BYTES = 32
ATTEMPT_ID = r"[0-9a-f]{32}"


def commitment(secret: bytes, season: str) -> str:
    """Hexadecimal SHA-256 that binds a season to its secret, published before the season.

    Raises InputError for a secret that is not 32 bytes; the fixed length keeps name and secret
    apart.
    """
    _check(secret)
    return hashlib.sha256(b"tasteshift season\0" + season.encode() + secret).hexdigest()


def attempt_key(secret: bytes, attempt_id: str) -> bytes:
    """The 32-byte key of one attempt; raises InputError for a bad secret or id."""
    _check(secret)
    if not re.fullmatch(ATTEMPT_ID, attempt_id):
        raise InputError(f"attempt {attempt_id!r} is no id; it must be 32 hexadecimal digits")
    return subkey(secret, "attempt", attempt_id)


def subkey(key: bytes, *labels: str | int) -> bytes:
    """The 32 bytes under `key` for a label; different labels give unrelated bytes.

    Labels are encoded as netstrings with a type letter, so that no two lists of labels collide.
    """
    encoded = b"".join(
        b"%c%d:%s," % (type(label).__name__[0].encode(), len(text), text)
        for label, text in ((label, str(label).encode()) for label in labels)
    )
    return hmac.digest(key, encoded, "sha256")


def seed_from(key: bytes, *labels: str | int) -> int:
    """A seed in [0, 2⁶³): the leading 63 bits of a subkey."""
    return int.from_bytes(subkey(key, *labels)[:8], "big") >> 1


def _check(secret: bytes) -> None:
    if len(secret) != SECRET_BYTES:
        raise InputError(f"a season's secret has {SECRET_BYTES} bytes, not {len(secret)}")
