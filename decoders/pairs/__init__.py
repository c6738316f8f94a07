"""Model pairs: those that ship with the package, pairs of transformers models, enlarged ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...registry import Registry

if TYPE_CHECKING:
    from ..base import ModelPair

PAIRS: Registry[Callable[[str], ModelPair]] = Registry("pair")
"""Name -> function of a torch device that loads the pair; call `load_pair`, which caches."""
PAIRS.register("tiny", "tasteshift.decoders.pairs.tiny:load")
PAIRS.register("smollm2-135m", "tasteshift.decoders.pairs.smollm2:load")
