"""Load model pairs by name: shipped pairs, and any two models of transformers."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from ...errors import InputError
from ..base import ModelPair
from ..execution.forward import forget
from ..execution.reader import Reader
from ..sampling.static_tree import make_tree
from . import PAIRS, reduced

HUB = "hf:"
"""Prefix of the name of a pair of any two models of transformers."""

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""Dtypes of weights, keys and values; distributions are always computed in fp32."""

UNREADABLE = (OSError, ValueError, KeyError, RuntimeError, SafetensorError)
"""Errors of transformers where files are missing, broken or do not fit each other."""

_loaded: dict[tuple[str, str, str], ModelPair] = {}


def load(pair: str | ModelPair, device: str, dtype: str = "float32") -> ModelPair:
    """As `tasteshift.decoders.load_pair`; a ModelPair is returned as it is, in its own dtype."""
    if dtype not in TYPES:
        raise InputError(f"cannot use type {dtype!r}; pick one of {', '.join(TYPES)}")
    if isinstance(pair, ModelPair):
        return pair
    if not isinstance(pair, str):
        raise InputError(f"pair is {pair!r}; give a name, hf:TARGET,DRAFT or a ModelPair")
    checked = checked_device(device)
    key = (pair, checked, dtype)
    if key not in _loaded:
        if pair.startswith(HUB):
            loaded = from_transformers(pair, checked, TYPES[dtype])
        else:
            loaded = in_dtype(PAIRS.get(pair)(checked), TYPES[dtype])
        _loaded[key] = replace(loaded, timed=True)
    return _loaded[key]


def in_dtype(pair: ModelPair, dtype: torch.dtype) -> ModelPair:
    """Round the weights of an fp32 pair in place; readers made before keep the old ones.

    Buffers keep their dtype: the frequencies of rotary positions need fp32.
    """
    if dtype == torch.float32:
        return pair
    for model in (pair.target, pair.draft):
        forget(model)
        for weight in model.parameters():
            weight.data = weight.data.to(dtype)
    recipe = f"{pair.fingerprint} as {dtype}" if pair.fingerprint else ""
    return replace(pair, fingerprint=recipe and hashlib.sha256(recipe.encode()).hexdigest())


def checked_device(device: str) -> str:
    """The device as torch spells it; raises InputError where this machine does not have it."""
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"cannot use device {device!r} ({reason}); try 'cpu'") from None
    return str(found)


def from_transformers(pair: str, device: str, dtype: torch.dtype) -> ModelPair:
    """The pair that ``hf:TARGET,DRAFT`` names, with the target's tokenizer.

    A draft that ends in ``.safetensors`` is a file of `reduced.save`, distilled on this target.
    """
    names = [name.strip() for name in pair.removeprefix(HUB).split(",")]
    if len(names) != 2 or not all(names):
        raise InputError(f"pair {pair!r} must name two models: hf:TARGET,DRAFT")
    with quiet():
        target, tokenizer = read_model(names[0], device, dtype), read_tokenizer(names[0])
        if names[1].endswith(".safetensors"):
            draft = reduced.load(Path(names[1]), target)
        else:
            draft = read_model(names[1], device, dtype)
            if tokenizer.get_vocab() != read_tokenizer(names[1]).get_vocab():
                raise InputError(
                    f"pair {pair!r}: the two tokenizers differ; pick models that share one"
                )
    loaded = ModelPair(target, draft, tokenizer, name=pair)
    for name, model in zip(names, (target, draft), strict=True):
        if not reads_trees(model):
            raise InputError(
                f"model {name!r} ({type(model).__name__}) cannot be read in trees: it ignores "
                "position ids or attention masks; pick another architecture"
            )
    return loaded


def read_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The tokenizer in a model's folder or hub."""
    try:
        return AutoTokenizer.from_pretrained(name)
    except Exception as error:  # tokenizers raises nothing more specific
        reason = str(error).splitlines()[0]
        raise InputError(f"cannot load the tokenizer of model {name!r} ({reason})") from None


def read_model(name: str, device: str, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """Load one causal language model from a folder or hub; raises InputError where that fails."""
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(name, dtype=dtype)
    except UNREADABLE as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"cannot load model {name!r} ({reason})") from None
    torch.nn.Module.to(model, device)
    model.train(False)
    return model


def reads_trees(model: PreTrainedModel) -> bool:
    """Whether one pass over a small tree gives the logits of plain passes over its paths.

    Architectures that take no position ids, or count positions from the cache, do not.
    """
    prompt, tree = (0, 1, 2, 3), make_tree((2, 1))
    slack = max(1e-3, 10 * torch.finfo(model.dtype).eps)
    tokens = np.arange(len(tree))
    with torch.inference_mode():
        try:
            reader = Reader(model)
            reader.begin(prompt, room=len(tree))
            logits = reader.feed(tokens, tree.depths, tree.mask)
        except (torch.OutOfMemoryError, torch.AcceleratorError):
            raise
        except Exception:  # an unknown argument may raise anything in a foreign architecture
            return False
        for node in range(len(tree)):
            path = [*prompt, *tokens[tree.mask[node]].tolist()]
            ids = torch.tensor([path], device=model.device)
            plain = model(ids).logits[0, -1].float().cpu()
            scored = plain.isfinite()  # a reduced draft does not score some tokens
            difference = (logits[node].cpu() - plain)[scored].abs().max()
            if difference > slack * plain[scored].abs().max():
                return False
    return True


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress the warnings and progress bars of transformers inside the block."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
