"""Pair tiny as shipped: its files, its tokenizer, and its answers to the llm agent's prompts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from tasteshift.agents.llm.prompt import (
    ANSWER_PREFIX,
    PromptContext,
    build_prompt,
    candidate_entries,
    encode,
    format_answer,
    max_answer_tokens,
    prompts_hash,
)
from tasteshift.decoders import make_decoder
from tasteshift.decoders.base import ModelPair
from tasteshift.decoders.drafting.decision_model import KINDS, load, path_for, trained_on
from tasteshift.decoders.pairs import tiny
from tasteshift.envs.catalogs.load import load_catalog
from tasteshift.errors import InputError

FILES = (tiny.TARGET, tiny.DRAFT, tiny.TOKENIZER)
FILMS = load_catalog("movielens-100k")
ASKED = (
    ("I feel like crime today, maybe drama.", (126, 55, 99, 6, 179, 522, 473, 301, 292, 10, 0, 63)),
    ("None of these, thank you.", (49, 171, 180, 209, 227, 203, 95, 171 + 55, 228, 229, 448, 379)),
    ("Do you have any good romance? I also like comedy.", (124, 203, 236, 254, 0, 731, 69, 215)),
)


@pytest.fixture(scope="module")
def shipped() -> ModelPair:
    return tiny.load("cpu")


def turn_of(utterance: str, items: tuple[int, ...], wanted: int = 5) -> PromptContext:
    return PromptContext(
        titles=[FILMS.label(item) for item in items],
        topics=[FILMS.topics_of(item) for item in items],
        liked=[FILMS.label(180), FILMS.label(97)],
        disliked=[FILMS.label(300)],
        utterance=utterance,
        wanted=wanted,
    )


def test_files_and_models_have_the_planned_size(shipped: ModelPair) -> None:
    assert sum((tiny.FOLDER / name).stat().st_size for name in FILES) <= 25e6
    target, draft = shipped.target, shipped.draft
    assert 8e6 <= target.num_parameters() <= 12e6
    assert target.config.num_hidden_layers >= 10
    assert draft.num_parameters() <= 1.3e6
    assert draft.config.num_hidden_layers <= 2
    assert shipped.vocabulary == len(shipped.tokenizer or ()) == 4096
    assert shipped.context == 1024
    assert shipped.stops == {shipped.tokenizer.eos_token_id}


def test_weights_are_those_of_the_files_and_output_layers_are_tied(shipped: ModelPair) -> None:
    for model, name in ((shipped.target, tiny.TARGET), (shipped.draft, tiny.DRAFT)):
        with safe_open(tiny.FOLDER / name, framework="pt") as file:
            stored = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        assert {weight.dtype for weight in stored.values()} == {torch.bfloat16}
        loaded = model.state_dict()
        assert loaded.keys() - stored.keys() == {"lm_head.weight"}
        for key, weight in stored.items():
            assert torch.equal(loaded[key], weight.float())
        assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
        assert not model.training


def test_trained_on_the_current_prompts() -> None:
    """Changing a prompt template requires training the pair anew."""
    for name in (tiny.TARGET, tiny.DRAFT):
        with safe_open(tiny.FOLDER / name, framework="pt") as file:
            assert file.metadata()["prompts"] == prompts_hash()


@given(st.text())
def test_tokenizer_round_trips_any_text(shipped: ModelPair, text: str) -> None:
    text = text.encode(errors="ignore").decode()
    assert shipped.tokenizer.decode(shipped.tokenizer.encode(text)) == text


@given(st.integers(0, 10**9))
def test_every_digit_is_a_token(shipped: ModelPair, number: int) -> None:
    assert len(shipped.tokenizer.encode(str(number))) == len(str(number))


@given(st.lists(st.integers(0, len(FILMS) - 1), min_size=2, max_size=14, unique=True))
def test_an_answer_copies_the_tokens_of_listed_entries(
    shipped: ModelPair, items: list[int]
) -> None:
    """The tokens of each entry in an answer occur in the prompt too, in a row."""
    turn = turn_of("Hello.", tuple(items), wanted=len(items))
    prompt = encode(shipped.tokenizer, build_prompt(turn), "")
    text = format_answer(turn, range(1, len(items) + 1), "Have fun.")
    whole = encode(shipped.tokenizer, build_prompt(turn), text)
    assert shipped.tokenizer.decode(whole[len(prompt) - 1 :]).strip() == text
    answered = whole[len(prompt) - 1 :]
    for entry in candidate_entries(turn):
        copied = shipped.tokenizer.encode(entry)
        assert find(copied, prompt)
        assert find(copied, answered)


def find(part: list[int], tokens: list[int]) -> bool:
    return any(tokens[k : k + len(part)] == part for k in range(len(tokens)))


def test_answers_are_json_and_end(shipped: ModelPair) -> None:
    """An answer has as many different entries as requested, each with its own title."""
    for utterance, items in ASKED:
        turn = turn_of(utterance, items)
        prompt = encode(shipped.tokenizer, build_prompt(turn), ANSWER_PREFIX)
        most = max_answer_tokens(shipped.tokenizer, turn)
        ids = make_decoder("autoregressive", shipped).generate(prompt, most).tokens
        assert ids[-1] in shipped.stops
        text = ANSWER_PREFIX + shipped.tokenizer.decode(list(ids), skip_special_tokens=True)
        parsed = json.loads(text)
        assert list(parsed) == ["slate", "say"]
        assert 0 < len(parsed["say"].split()) <= 12
        numbers = [entry["id"] for entry in parsed["slate"]]
        assert len(numbers) == len({*numbers} & {*range(1, len(items) + 1)}) == turn.wanted
        assert [entry["title"] for entry in parsed["slate"]] == [
            turn.titles[n - 1] for n in numbers
        ]


def test_the_draft_agrees_with_most_tokens_of_the_target(shipped: ModelPair) -> None:
    turn = turn_of(*ASKED[0])
    prompt = encode(shipped.tokenizer, build_prompt(turn), ANSWER_PREFIX)
    ids = make_decoder("autoregressive", shipped).generate(prompt, 120).tokens
    text = torch.tensor([[*prompt, *ids]])
    with torch.inference_mode():
        predicted = shipped.draft(text).logits[0, len(prompt) - 1 : -1].argmax(1)
    assert (predicted == text[0, len(prompt) :]).float().mean() > 0.6


def test_decision_models_were_trained_on_this_draft(shipped: ModelPair) -> None:
    assert trained_on(shipped, path_for(shipped.name))
    assert {load(path_for(shipped.name), kind).features for kind in KINDS} == {128, 11}


def test_fingerprint_depends_on_the_files(shipped: ModelPair, tmp_path: Path) -> None:
    for name in FILES:
        shutil.copy(tiny.FOLDER / name, tmp_path)
    assert tiny.load("cpu", tmp_path).hash == shipped.hash
    with (tmp_path / tiny.TOKENIZER).open("a") as file:
        file.write("\n")
    assert tiny.load("cpu", tmp_path).hash != shipped.hash


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    for other in FILES:
        if other != name:
            shutil.copy(tiny.FOLDER / other, tmp_path)
    with pytest.raises(InputError, match=name):
        tiny.load("cpu", tmp_path)


@pytest.mark.parametrize("content", [b"", b"no weights", bytes(64)])
@pytest.mark.parametrize("broken", [tiny.TARGET, tiny.TOKENIZER])
def test_a_broken_file_is_named(tmp_path: Path, broken: str, content: bytes) -> None:
    for name in FILES:
        shutil.copy(tiny.FOLDER / name, tmp_path)
    (tmp_path / broken).write_bytes(content)
    with pytest.raises(InputError, match=broken):
        tiny.load("cpu", tmp_path)
