"""What the model reads: candidates as JSON lines, the user's likes and words; and its answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from .parse import Answer

NAMES = ("system", "request", "complaint")
BEGIN = '{"slate":[{"id":'


@cache
def text_of(name: str) -> str:
    """The prompt file `name`, without the line end at its end."""
    path = files(__package__).joinpath("prompts", f"{name}.txt")
    return path.read_text(encoding="utf-8").removesuffix("\n")


@cache
def prompts_hash() -> str:
    """SHA-256 over all prompt files."""
    joined = "\0".join(text_of(name) for name in NAMES)
    return hashlib.sha256(joined.encode()).hexdigest()


@dataclass(frozen=True)
class Turn:
    """What one prompt is about.

    titles     candidates in the order of their numbers, from 1
    topics     topic names of each candidate
    liked      titles that this user liked lately, the latest first
    disliked   titles that this user did not like, likewise
    utterance  what the user said; may be empty
    wanted     how many candidates to answer with
    """

    titles: Sequence[str]
    topics: Sequence[Sequence[str]]
    liked: Sequence[str]
    disliked: Sequence[str]
    utterance: str
    wanted: int


def ask(turn: Turn) -> list[dict[str, str]]:
    """The conversation up to the model's first answer, whose beginning is given.

    Every entry that an answer can hold stands in the listing character for character, so that
    a decoder may copy it.
    """
    listing = "\n".join(
        f"{entry} {', '.join(topics).lower()}".rstrip()
        for entry, topics in zip(entries(turn), turn.topics, strict=True)
    )
    request = text_of("request").format(
        listing=listing,
        liked="; ".join(turn.liked) or "nothing yet",
        disliked="; ".join(turn.disliked) or "nothing yet",
        utterance=turn.utterance,
        wanted=turn.wanted,
    )
    return [
        {"role": "system", "content": text_of("system")},
        {"role": "user", "content": request},
    ]


def ask_again(turn: Turn, text: str, answer: Answer) -> list[dict[str, str]]:
    """The same conversation, with the unusable answer and what is wrong with it.

    text  what the model wrote after the beginning that it was given
    """
    complaint = text_of("complaint").format(problem=answer.problem, wanted=turn.wanted)
    return [
        *ask(turn),
        {"role": "assistant", "content": begin(turn) + text},
        {"role": "user", "content": complaint},
    ]


def begin(turn: Turn) -> str:
    """The characters that are put into the model's mouth, so that a number comes next."""
    return BEGIN


def answer(turn: Turn, numbers: Sequence[int], say: str) -> str:
    """The valid answer that picks these numbers (from 1, at least one), as one line of JSON.

    It starts with `begin(turn)`, and `parse` reads the numbers and the sentence back.
    """
    listed = entries(turn)
    slate = ",".join(listed[number - 1] for number in numbers)
    return f'{{"slate":[{slate}],"say":{_json(say)}}}'


def entries(turn: Turn) -> list[str]:
    """Each candidate as the JSON object that stands for it in the listing and in an answer."""
    return [_json({"id": n, "title": title}) for n, title in enumerate(turn.titles, start=1)]


def encode(tokenizer: Any, messages: list[dict[str, str]], begun: str) -> list[int]:
    """Token ids of a conversation and of the characters with which the answer begins.

    The tokenizer's own chat template is used; one without a template reads plain paragraphs.
    """
    if getattr(tokenizer, "chat_template", None):
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    else:
        text = "".join(f"{message['content']}\n\n" for message in messages)
    ids: list[int] = tokenizer.encode(text + begun, add_special_tokens=False)
    return ids


SAY_TOKENS = 32
"""Room in an answer for one short sentence and the end of the JSON."""


def limit(tokenizer: Any, turn: Turn) -> int:
    """The most tokens an answer may take: its longest possible slate, and `SAY_TOKENS`."""
    lengths = [
        len(tokenizer.encode(f"{entry},", add_special_tokens=False)) for entry in entries(turn)
    ]
    return sum(sorted(lengths)[-turn.wanted :]) + SAY_TOKENS


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
