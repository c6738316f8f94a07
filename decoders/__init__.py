"""Text decoders: continue a prompt with a pair of language models, a target and a draft.

A decoder knows nothing of recommenders. It takes token ids and returns a `Generation`: the new
tokens and, round by round, what was drafted, what was accepted and how long it took.

    decoder = make_decoder("mcsd", pair="smollm2-135m", temperature=0.7, seed=1)
    generation = decoder.generate(prompt_ids, max_new_tokens=64)

Imports are lazy: torch is imported when the first decoder or pair is made.
"""

from __future__ import annotations

import inspect
import os
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..registry import Registry
from .pairs import PAIRS

if TYPE_CHECKING:
    from .base import Decoder, ModelPair

DECODERS: Registry[type[Decoder]] = Registry("decoder")
DECODERS.register("autoregressive", "tasteshift.decoders.autoregressive:Autoregressive")
DECODERS.register("speculative", "tasteshift.decoders.speculative:Speculative")
DECODERS.register("mcsd", "tasteshift.decoders.mcsd:Mcsd")
DECODERS.register("target-init", "tasteshift.decoders.target_init:TargetInit")
DECODERS.register(
    "target-init-dynamic", "tasteshift.decoders.target_init_dynamic:TargetInitDynamic"
)
DECODERS.register("exact-dynamic", "tasteshift.decoders.exact_dynamic:ExactDynamic")

PAIR = "tiny"
"""The default pair."""

__all__ = ["DECODERS", "PAIRS", "load_pair", "make_decoder"]


def load_pair(
    pair: str | ModelPair = PAIR, *, device: str = "cpu", dtype: str = "float32"
) -> ModelPair:
    """Load the model pair of a name, once per process and device.

    pair    a name in `PAIRS`; ``"hf:TARGET,DRAFT"`` with two folders or hub names of
            transformers; or a ModelPair, which is returned as it is, on the device it is on
    device  where to put the weights, as torch spells it: cpu, cuda, cuda:1
    dtype   of weights, keys and values: float32, bfloat16 or float16. Probabilities are computed
            in float32 in any case.

    Raises InputError where the name, the device, the type or the models cannot be used.
    """
    _yield_cores()
    from .pairs.load import load

    return load(pair, device, dtype)


def make_decoder(
    name: str,
    pair: str | ModelPair = PAIR,
    *,
    temperature: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int = 0,
    device: str = "cpu",
    dtype: str = "float32",
    threads: int | None = None,
    **options: Any,
) -> Decoder:
    """Make a decoder that is ready to `generate`.

    name         a name in `DECODERS`
    pair         as in `load_pair`
    temperature  ≥ 0; below 1e-4 the decoder is greedy
    top_k        number of most likely tokens to draw from; 0 for all
    top_p        of those, only the most likely that hold this share of the mass together
    seed         key of all its randomness (64 bits); a call may bring its own
    device       as in `load_pair`
    dtype        likewise
    threads      torch's intra-op threads while it generates; None leaves them to the caller.
                 The last bits of a logit depend on them, so fix them where runs must agree.
    options      the decoder's own, such as ``k=(4, 2, 2, 1)`` and ``replacement`` for mcsd

    Raises InputError for a name, an option or a value that cannot be used.
    """
    _yield_cores()
    kind = DECODERS.get(name)
    known = [
        option.name
        for option in inspect.signature(kind).parameters.values()
        if option.kind is option.KEYWORD_ONLY and option.name not in _COMMON
    ]
    for option in options:
        if option not in known:
            takes = f"its options are {', '.join(known)}" if known else "it takes none"
            raise InputError(f"decoder {name!r} has no option {option!r}; {takes}")
    return kind(
        load_pair(pair, device=device, dtype=dtype),
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        threads=threads,
        **options,
    )


_COMMON = ("temperature", "top_k", "top_p", "seed", "threads")


def _yield_cores() -> None:
    """Make OpenMP's threads sleep, not spin, while they wait; call before torch starts them.

    On two cores shared with other work, a 64-token pass of SmolLM2 was 5 to 50 times slower with
    spinning threads; on quiet ones it makes no noticeable difference.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
