"""Compilation of Python loops by Numba, bit-exact with the interpreter.

Numba (Lam et al. 2015) may neither fuse nor re-order floating-point operations here: fast-math
stays off. `NUMBA_DISABLE_JIT=1` runs the same source in the interpreter; tests compare the two.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

from ...storage import folder

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile `function` on first use, release the GIL inside it, and keep the machine code.

    Numba invalidates its cache by the function's own file only, but compiled functions call each
    other across files; hence one cache folder per content of `envs`.
    """
    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder() / "compiled" / _content())
    try:
        return cast(Function, numba.njit(function, cache=True, nogil=True, error_model="numpy"))
    except RuntimeError:
        return cast(Function, numba.njit(function, nogil=True, error_model="numpy"))
    finally:
        config.CACHE_DIR = before


@cache
def _content() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
