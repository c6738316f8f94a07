"""Reduced drafts: logits of the scored tokens, and −inf for all others."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BloomConfig, BloomForCausalLM, PreTrainedModel

from tasteshift.decoders import load_pair, make_decoder
from tasteshift.decoders.base import ModelPair
from tasteshift.decoders.execution.reader import Reader
from tasteshift.decoders.pairs import reduced
from tasteshift.errors import InputError

IDS = (30, 2, 3, 5, 7, 11, 13, 17, 19)
TEXT = (1, 4, 9, 16, 25, 5, 30)


def logits(model: PreTrainedModel) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.tensor([TEXT])).logits[0]


@pytest.fixture
def target(llama) -> PreTrainedModel:
    return llama(1, layers=3)


def test_all_layers_and_some_tokens_give_the_logits_of_the_target(target) -> None:
    """All layers, part of the head: the target's logits there and −inf elsewhere."""
    draft = reduced.reduced(target, IDS, (0, 1, 2))
    theirs, ours = logits(target), logits(draft)
    scored = sorted(IDS)
    torch.testing.assert_close(ours[:, scored], theirs[:, scored], rtol=1e-5, atol=1e-5)
    unscored = [token for token in range(31) if token not in IDS]
    assert (ours[:, unscored] == -math.inf).all()
    assert ours.shape == theirs.shape


def test_layers_are_copied_and_the_embedding_is_shared(target) -> None:
    draft = reduced.reduced(target, IDS, (2, 0))
    assert draft.get_input_embeddings() is target.get_input_embeddings()
    ours, theirs = draft.model.layers, target.model.layers
    for own, copied in zip(ours, (theirs[2], theirs[0]), strict=True):
        for one, other in zip(own.parameters(), copied.parameters(), strict=True):
            assert torch.equal(one, other)
            assert one.data_ptr() != other.data_ptr()
    assert len(ours) == draft.config.num_hidden_layers == 2
    assert not any(weight.is_meta for weight in (*draft.parameters(), *draft.buffers()))
    assert not ModelPair(target, draft, None, "reduced").early_exit


def test_save_and_load_round_trip(target, llama, tmp_path: Path) -> None:
    draft = reduced.reduced(target, IDS, (0, 2))
    with torch.no_grad():
        for weight in (*draft.model.layers.parameters(), *draft.model.norm.parameters()):
            weight.copy_(weight.bfloat16())
    path = tmp_path / "draft.safetensors"
    reduced.save(draft, path)
    again = reduced.load(path, target)
    assert torch.equal(logits(draft), logits(again))
    assert next(again.parameters()).dtype == torch.float32
    assert ModelPair(target, draft, None, "a").hash == ModelPair(target, again, None, "b").hash
    with pytest.raises(InputError, match="not made for this target"):
        reduced.load(path, llama(1, hidden=32))
    with pytest.raises(InputError, match="0 … 28"):
        reduced.load(path, llama(1, vocab=29))


def test_unreadable_files_are_refused(target, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot load draft"):
        reduced.load(tmp_path / "nowhere.safetensors", target)
    (tmp_path / "text.safetensors").write_text("not weights")
    with pytest.raises(InputError, match="cannot load draft"):
        reduced.load(tmp_path / "text.safetensors", target)


@pytest.mark.parametrize(
    ("ids", "layers", "message"),
    [
        ((), (0,), "at least one"),
        ((31,), (0,), "0 … 30"),
        ((-1, 3), (0,), "0 … 30"),
        (IDS, (), "layers are"),
        (IDS, (3,), "layers are"),
    ],
)
def test_bad_tokens_and_layers_are_refused(target, ids, layers, message: str) -> None:
    with pytest.raises(InputError, match=message):
        reduced.reduced(target, ids, layers)


def test_other_architectures_are_refused() -> None:
    with torch.device("meta"):
        model = BloomForCausalLM(BloomConfig(vocab_size=31, hidden_size=16, n_layer=1, n_head=2))
    with pytest.raises(InputError, match="not built like Llama"):
        reduced.reduced(model, IDS, (0,))


def test_siblings_in_a_tree_do_not_see_each_other(target) -> None:
    """Through the cache, two siblings see the text and not each other."""
    draft = reduced.reduced(target, IDS, (0, 2))
    reader = Reader(draft)
    with torch.inference_mode():
        reader.begin(TEXT, room=2)
        rows = reader.feed((2, 8), (0, 0), np.eye(2, dtype=np.bool_))
        for row, token in zip(rows, (2, 8), strict=True):
            plain = draft(torch.tensor([[*TEXT, token]])).logits[0, -1].numpy()
            np.testing.assert_allclose(row, plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("temperature", [0.0, 0.7])
@pytest.mark.parametrize("name", ["speculative", "mcsd"])
def test_decoding_with_a_reduced_draft_is_lossless(target, name: str, temperature: float) -> None:
    """A smaller vocabulary costs acceptance, never a token."""
    pair = ModelPair(target, reduced.reduced(target, IDS, (0, 1, 2)), None, "reduced")
    decoder = make_decoder(name, pair, temperature=temperature)
    made = [decoder.generate((1, 2, seed), 16, seed=seed) for seed in range(3)]
    assert sum(one.accepted for text in made for one in text.rounds) > 0
    tokens = {token for text in made for token in text.tokens}
    assert tokens - set(IDS)
    if temperature == 0:
        plain = make_decoder("autoregressive", pair)
        assert [text.tokens for text in made] == [
            plain.generate((1, 2, seed), 16).tokens for seed in range(3)
        ]


def test_distribution_of_the_target_holds_for_unscored_tokens(llama) -> None:
    """Token 2 given token 1, which the first round emits; χ² over cells of 5 and more."""
    target = llama(1, layers=1, sharpness=8.0)
    pair = ModelPair(target, reduced.reduced(target, IDS, (0,)), None, "reduced")
    decoder = make_decoder("speculative", pair, temperature=1.0, depth=1)
    prompt = (1, 2, 3)
    with torch.inference_mode():
        first = int(target(torch.tensor([prompt])).logits[0, -1].argmax())
        probs = target(torch.tensor([[*prompt, first]])).logits[0, -1].softmax(-1).numpy()
    assert probs[sorted(IDS)].sum() < 0.8
    drawn = [decoder.generate(prompt, 2, seed=seed).tokens for seed in range(500)]
    given = [tokens[1] for tokens in drawn if tokens[0] == first]
    expected, seen = probs * len(given), np.bincount(given, minlength=31)
    cells = np.where(expected >= 5, np.arange(31), 31)
    expected, seen = (np.bincount(cells, counts) for counts in (expected, seen))
    filled = expected > 0
    distance = float(((seen - expected)[filled] ** 2 / expected[filled]).sum())
    freedom = int(filled.sum()) - 1
    assert freedom >= 3
    assert distance < freedom + 4 * math.sqrt(2 * freedom)


def test_a_pair_of_a_folder_and_a_distilled_file(target, llama, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({f"w{n}": n for n in range(31)}, unk_token="w0"))
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="w0").save_pretrained(tmp_path)
    target.save_pretrained(tmp_path)
    reduced.save(reduced.reduced(target, IDS, (0,)), tmp_path / "draft.safetensors")
    pair = load_pair(f"hf:{tmp_path},{tmp_path / 'draft.safetensors'}")
    assert pair.draft.get_input_embeddings() is pair.target.get_input_embeddings()
    assert make_decoder("mcsd", pair).generate((1, 2), 8).tokens
