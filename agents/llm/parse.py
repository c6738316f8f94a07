"""Reading a slate out of whatever a language model wrote."""

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
class Answer:
    """What an answer says.

    numbers  usable numbers, distinct, from 1, in the order of the answer, at most `wanted`
    say      the sentence beside a valid slate; "" where there is no whole one
    problem  what is wrong, as a short clause for the model; "" for a valid answer
    """

    numbers: tuple[int, ...]
    say: str
    problem: str

    @property
    def valid(self) -> bool:
        """Whether the answer can be shown as it is."""
        return not self.problem


def parse(text: str, titles: Sequence[str], wanted: int) -> Answer:
    """Read ``{"slate":[{"id":3,"title":"…"},…],"say":"…"}``; any text gives an answer.

    The answer is valid exactly when the slate has at least `wanted` ≥ 1 entries and the first
    `wanted` of them have distinct ids, each in 1 … len(titles) and with that candidate's own
    title. Where the text breaks off or is no JSON, the slate ends with the last whole entry;
    what follows the first `wanted` entries, or surrounds the object, is never a fault.
    """
    entries, say = _read(text)
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
    return Answer(tuple(usable), "" if problem else say, problem)


def _read(text: str) -> tuple[list[dict[str, Any]], str]:
    """The whole objects at the head of the slate, and the sentence after the slate."""
    entries: list[dict[str, Any]] = []
    start = SLATE.search(text)
    end = start.end() if start else len(text)
    while (entry := ENTRY.match(text, end)) and (read := _value(text, entry.end())):
        entries.append(read[0])
        end = read[1]
    said = SAY.match(text, end)
    sentence = _value(text, said.end()) if said else None
    return entries, _writable(sentence[0]) if sentence else ""


def _value(text: str, start: int) -> tuple[Any, int] | None:
    """The JSON value at `start` and where it ends; None where there is no whole one."""
    try:
        return json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return None


def _writable(sentence: str) -> str:
    """Without the halves of surrogate pairs, which JSON can name and no file can hold."""
    return sentence.encode("utf-8", "replace").decode("utf-8")
