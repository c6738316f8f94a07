"""Parse the slate and the sentence from a language model's answer."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SLATE = re.compile(r'"slate"\s*:\s*\[')
ENTRY = re.compile(r"[\s,]*(?=\{)")
SAY = re.compile(r'\s*\]\s*,\s*"say"\s*:\s*(?=")')


@dataclass(frozen=True)
class ParsedAnswer:
    """The content of an answer.

    numbers  valid candidate numbers, distinct, from 1, in order, at most `wanted`
    say      the sentence after a valid slate; "" where it is missing or incomplete
    problem  what is wrong, as a short clause for the model; "" for a valid answer
    """

    numbers: tuple[int, ...]
    say: str
    problem: str

    @property
    def valid(self) -> bool:
        """Whether the answer can be shown as it is."""
        return not self.problem


def parse_answer(text: str, titles: Sequence[str], wanted: int) -> ParsedAnswer:
    """Parse ``{"slate":[{"id":3,"title":"…"},…],"say":"…"}``; never raises.

    The answer is valid exactly when the slate has at least `wanted` ≥ 1 entries and the first
    `wanted` of them have distinct ids, each in 1 … len(titles) and with that candidate's own
    title. Where the text breaks off or is no JSON, the slate ends with the last complete entry;
    text after the first `wanted` entries, or around the object, is ignored.
    """
    entries, say = _extract_slate(text)
    usable: list[int] = []
    problem = "" if len(entries) >= wanted else "it has too few entries"
    for entry in entries[:wanted]:
        number = entry.get("id")
        if type(number) is not int or not 1 <= number <= len(titles):
            problem = "an id is not on the list"
        elif entry.get("title") != titles[number - 1]:
            problem = f"id {number} has another title"
        elif number in usable:
            problem = f"id {number} is there twice"
        else:
            usable.append(number)
    if not entries:
        problem = "it has no slate"
    return ParsedAnswer(tuple(usable), "" if problem else say, problem)


def _extract_slate(text: str) -> tuple[list[dict[str, Any]], str]:
    """The complete objects at the start of the slate, and the sentence after the slate."""
    entries: list[dict[str, Any]] = []
    start = SLATE.search(text)
    end = start.end() if start else len(text)
    while (entry := ENTRY.match(text, end)) and (parsed := _decode_json(text, entry.end())):
        entries.append(parsed[0])
        end = parsed[1]
    match = SAY.match(text, end)
    sentence = _decode_json(text, match.end()) if match else None
    return entries, _without_lone_surrogates(sentence[0]) if sentence else ""


def _decode_json(text: str, start: int) -> tuple[Any, int] | None:
    """The JSON value at `start` and where it ends; None where it is incomplete."""
    try:
        return json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return None


def _without_lone_surrogates(sentence: str) -> str:
    """The sentence without lone surrogates, which JSON can express and UTF-8 cannot."""
    return sentence.encode("utf-8", "replace").decode("utf-8")
