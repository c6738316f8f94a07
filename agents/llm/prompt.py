"""Prompts: candidates as JSON lines, liked titles and the utterance; and the answer's format."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from .parse import ParsedAnswer

TEMPLATES = ("system", "request", "repair")
ANSWER_PREFIX = '{"slate":[{"id":'
"""The first characters of every answer, prefilled so that the model continues with a number."""


@cache
def load_template(name: str) -> str:
    """The prompt template `name`, without its final newline."""
    path = files(__package__).joinpath("prompts", f"{name}.txt")
    return path.read_text(encoding="utf-8").removesuffix("\n")


@cache
def prompts_hash() -> str:
    """SHA-256 over all prompt files."""
    joined = "\0".join(load_template(name) for name in TEMPLATES)
    return hashlib.sha256(joined.encode()).hexdigest()


@dataclass(frozen=True)
class PromptContext:
    """Content of one prompt.

    titles     candidates in the order of their numbers, from 1
    topics     topic names of each candidate
    liked      titles that the user liked, latest first
    disliked   titles that the user disliked, latest first
    utterance  what the user said; may be empty
    wanted     number of candidates to pick
    """

    titles: Sequence[str]
    topics: Sequence[Sequence[str]]
    liked: Sequence[str]
    disliked: Sequence[str]
    utterance: str
    wanted: int


def build_prompt(context: PromptContext) -> list[dict[str, str]]:
    """The conversation up to the model's first answer, whose beginning is given.

    Every entry that an answer can hold stands in the listing character for character, so that
    a decoder may copy it.
    """
    listing = "\n".join(
        f"{entry} {', '.join(topics).lower()}".rstrip()
        for entry, topics in zip(candidate_entries(context), context.topics, strict=True)
    )
    request = load_template("request").format(
        listing=listing,
        liked="; ".join(context.liked) or "nothing yet",
        disliked="; ".join(context.disliked) or "nothing yet",
        utterance=context.utterance,
        wanted=context.wanted,
    )
    return [
        {"role": "system", "content": load_template("system")},
        {"role": "user", "content": request},
    ]


def build_repair_prompt(
    context: PromptContext, text: str, answer: ParsedAnswer
) -> list[dict[str, str]]:
    """The conversation extended by the invalid answer and a request to correct it.

    text  what the model generated after ANSWER_PREFIX
    """
    correction = load_template("repair").format(problem=answer.problem, wanted=context.wanted)
    return [
        *build_prompt(context),
        {"role": "assistant", "content": ANSWER_PREFIX + text},
        {"role": "user", "content": correction},
    ]


def format_answer(context: PromptContext, numbers: Sequence[int], say: str) -> str:
    """The valid answer with these numbers (from 1, at least one), as one line of JSON.

    Starts with ANSWER_PREFIX; `parse_answer` reads the numbers and the sentence back.
    """
    listed = candidate_entries(context)
    slate = ",".join(listed[number - 1] for number in numbers)
    return f'{{"slate":[{slate}],"say":{_json(say)}}}'


def candidate_entries(context: PromptContext) -> list[str]:
    """The JSON object of each candidate, the same in the prompt and in an answer."""
    return [_json({"id": n, "title": title}) for n, title in enumerate(context.titles, start=1)]


def encode(tokenizer: Any, messages: list[dict[str, str]], prefix: str) -> list[int]:
    """Token ids of a conversation and of the prefilled start of the answer.

    Uses the tokenizer's chat template; without one, messages are plain paragraphs.
    """
    if getattr(tokenizer, "chat_template", None):
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    else:
        text = "".join(f"{message['content']}\n\n" for message in messages)
    ids: list[int] = tokenizer.encode(text + prefix, add_special_tokens=False)
    return ids


SAY_TOKENS = 32
"""Token budget of the sentence and the end of the JSON."""


def max_answer_tokens(tokenizer: Any, context: PromptContext) -> int:
    """Token limit of an answer: its longest possible slate plus `SAY_TOKENS`."""
    lengths = [
        len(tokenizer.encode(f"{entry},", add_special_tokens=False))
        for entry in candidate_entries(context)
    ]
    return sum(sorted(lengths)[-context.wanted :]) + SAY_TOKENS


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
