"""Reading candidate numbers out of whatever a language model wrote."""

from __future__ import annotations

import re
from dataclasses import dataclass

LIST = re.compile(r"\s*([0-9]+(?:(?:[\s,;&]|and)+[0-9]+)*)")
NUMBER = re.compile(r"[0-9]+")


@dataclass(frozen=True)
class Answer:
    """What an answer says.

    numbers  usable numbers, distinct and in range, in the order of the answer, at most `wanted`
    problem  what is wrong, as a short clause for the model; "" for a valid answer
    """

    numbers: tuple[int, ...]
    problem: str

    @property
    def valid(self) -> bool:
        """Whether the answer can be shown as it is."""
        return not self.problem


def parse(text: str, candidates: int, wanted: int) -> Answer:
    """Read the list of whole numbers that `text` begins with; any text gives an answer.

    The list is decimal numbers separated by white space, commas, semicolons, ``&`` or ``and``;
    it ends at the first other character. The answer is valid exactly when the list has at least
    `wanted` entries and the first `wanted` of them are distinct and in 1 … `candidates`. What
    follows them is ignored.
    """
    start = LIST.match(text)
    entries = NUMBER.findall(start[1])[:wanted] if start else []
    usable: list[int] = []
    problem = "" if len(entries) == wanted else "it has too few numbers"
    for entry in entries:
        number = int(entry) if len(entry) <= len(str(candidates)) else candidates + 1
        if not 1 <= number <= candidates:
            problem = f"{entry[:6]} is not on the list"
        elif number in usable:
            problem = f"{number} is there twice"
        else:
            usable.append(number)
    return Answer(tuple(usable), problem if entries else "it is not a list of numbers")
