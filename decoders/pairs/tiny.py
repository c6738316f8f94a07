"""Pair tiny: a small recommender model and its draft, which ship with the package.

Both were trained by ``training/tiny.py`` on the prompts of the `llm` agent with the answers of
a teacher that knows the ground-truth user state; ``decoders/weights/tiny.md`` is their model card.
Each file holds bfloat16 weights and, as its metadata, the configuration of the Llama.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ...errors import InputError
from ..base import ModelPair

FOLDER = Path(__file__).parents[1] / "weights"
TARGET, DRAFT, TOKENIZER = (
    "tiny-target.safetensors",
    "tiny-draft.safetensors",
    "tiny-tokenizer.json",
)
END = "<|end|>"
"""The token that ends a text; there are no other special ones."""


def load(device: str, folder: Path = FOLDER) -> ModelPair:
    """Small recommender model and draft, trained on the prompts of the llm agent; shipped.

    folder  folder with files of the same names; by default the package's own

    Raises InputError where a file is missing or cannot be read.
    """
    digest = hashlib.sha256()
    for name in (TARGET, DRAFT, TOKENIZER):
        path = folder / name
        if not path.is_file():
            raise InputError(f"pair 'tiny' needs {path}; reinstall tasteshift or train the pair")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    target, draft = (read_model(folder / name, device) for name in (TARGET, DRAFT))
    return ModelPair(
        target=target,
        draft=draft,
        tokenizer=read_tokenizer(folder / TOKENIZER, target.config.max_position_embeddings),
        name="tiny",
        fingerprint=digest.hexdigest(),
    )


def read_model(path: Path, device: str) -> LlamaForCausalLM:
    """Load one model in fp32 and eval mode; its output layer is its embedding."""
    try:
        with safe_open(path, framework="pt") as file:
            config = LlamaConfig(**json.loads(file.metadata()["config"]))
            weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
        with torch.random.fork_rng([]):
            model = LlamaForCausalLM(config)
        model.load_state_dict(weights)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"cannot read {path} ({reason}); reinstall tasteshift") from None
    if not all(bool(weight.isfinite().all()) for weight in weights.values()):
        raise InputError(f"{path} holds weights that are not finite; reinstall tasteshift")
    torch.nn.Module.to(model, device)
    model.train(False)
    return model


def read_tokenizer(path: Path, context: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE with single digits; JSON around titles is always tokenized alike."""
    try:
        return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
            tokenizer_file=str(path),
            eos_token=END,
            pad_token=END,
            clean_up_tokenization_spaces=False,
            model_max_length=context,
        )
    except Exception as error:  # tokenizers raises nothing more specific
        reason = str(error).splitlines()[0]
        raise InputError(f"cannot read {path} ({reason}); reinstall tasteshift") from None
