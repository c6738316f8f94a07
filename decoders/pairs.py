"""Finding and loading model pairs by what a person types."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils import logging

from ..errors import InputError
from . import PAIRS
from .base import ModelPair
from .cache import Reader
from .tree import make_tree

HUB = "hf:"
"""Begins the name of a pair of any two models of transformers."""

_loaded: dict[tuple[str, str], ModelPair] = {}


def load(pair: str | ModelPair, device: str) -> ModelPair:
    """As `tasteshift.decoders.load_pair`."""
    if isinstance(pair, ModelPair):
        return pair
    place = usable(device)
    key = (pair, place)
    if key not in _loaded:
        if pair.startswith(HUB):
            _loaded[key] = from_transformers(pair, place)
        else:
            _loaded[key] = PAIRS.get(pair)(place)
    return _loaded[key]


def usable(device: str) -> str:
    """The device as torch writes it; raises InputError where this machine has no such thing."""
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"cannot use device {device!r} ({reason}); try 'cpu'") from None
    return str(place)


def from_transformers(pair: str, device: str) -> ModelPair:
    """The pair that ``hf:TARGET,DRAFT`` names, in fp32, with the target's tokenizer."""
    names = [name.strip() for name in pair.removeprefix(HUB).split(",")]
    if len(names) != 2 or not all(names):
        raise InputError(f"pair {pair!r} must name two models: hf:TARGET,DRAFT")
    with quiet():
        target, draft = (read_model(name, device) for name in names)
        tokenizers = [AutoTokenizer.from_pretrained(name) for name in names]
    if tokenizers[0].get_vocab() != tokenizers[1].get_vocab():
        raise InputError(f"pair {pair!r}: the two tokenizers differ; pick models that share one")
    loaded = ModelPair(target, draft, tokenizers[0], name=pair)
    for name, model in zip(names, (target, draft), strict=True):
        if not reads_trees(model):
            raise InputError(
                f"model {name!r} ({type(model).__name__}) cannot be read in trees: it ignores "
                "position ids or attention masks; pick another architecture"
            )
    return loaded


def read_model(name: str, device: str) -> PreTrainedModel:
    """One causal language model from a folder or a hub; raises InputError where there is none."""
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"cannot load model {name!r} ({reason})") from None
    torch.nn.Module.to(model, device)
    model.train(False)
    return model


def reads_trees(model: PreTrainedModel) -> bool:
    """Whether a pass over a small tree gives the logits of plain passes over its paths.

    Architectures that take no position ids, or count positions from the cache, do not.
    """
    prompt, tree = (0, 1, 2, 3), make_tree((2, 1))
    tokens = np.arange(len(tree))
    with torch.inference_mode():
        try:
            reader = Reader(model)
            reader.begin(prompt, room=len(tree))
            logits = reader.feed(tokens, tree.depths, tree.sees)
        except Exception:  # whatever a foreign architecture makes of an unknown argument
            return False
        for node in range(len(tree)):
            path = [*prompt, *tokens[tree.sees[node]].tolist()]
            plain = model(torch.tensor([path], device=model.device)).logits[0, -1]
            plain = plain.float().cpu().numpy()
            if np.abs(logits[node] - plain).max() > 1e-3 * np.abs(plain).max():
                return False
    return True


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' warnings and progress bars out of ours."""
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
