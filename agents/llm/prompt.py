"""What the model reads: a numbered list of titles, what the user said, and what to answer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from .parse import Answer

NAMES = ("system", "request", "complaint", "answer")


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
    utterance  what the user said; may be empty
    wanted     how many numbers to answer with
    """

    titles: Sequence[str]
    utterance: str
    wanted: int


def ask(turn: Turn) -> list[dict[str, str]]:
    """The conversation up to the model's first answer, whose beginning is given."""
    listing = "\n".join(f"{number}. {title}" for number, title in enumerate(turn.titles, start=1))
    request = text_of("request").format(
        listing=listing, utterance=turn.utterance, wanted=turn.wanted
    )
    return [
        {"role": "system", "content": text_of("system").format(wanted=turn.wanted)},
        {"role": "user", "content": request},
    ]


def ask_again(turn: Turn, text: str, answer: Answer) -> list[dict[str, str]]:
    """The same conversation, with the unusable answer and what is wrong with it."""
    complaint = text_of("complaint").format(
        problem=answer.problem, wanted=turn.wanted, last=len(turn.titles)
    )
    return [
        *ask(turn),
        {"role": "assistant", "content": begin(turn) + text},
        {"role": "user", "content": complaint},
    ]


def begin(turn: Turn) -> str:
    """The words that are put into the model's mouth, so that numbers come next."""
    return text_of("answer").format(wanted=turn.wanted) + " "


def encode(tokenizer: Any, messages: list[dict[str, str]], begun: str) -> list[int]:
    """Token ids of a conversation and of the words with which the answer begins.

    The tokenizer's own chat template is used; one without a template reads plain paragraphs.
    """
    if getattr(tokenizer, "chat_template", None):
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    else:
        text = "".join(f"{message['content']}\n\n" for message in messages)
    ids: list[int] = tokenizer.encode(text + begun, add_special_tokens=False)
    return ids
