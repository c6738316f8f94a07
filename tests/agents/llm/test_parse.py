"""What counts as an answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasteshift.agents.llm.parse import parse


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("4, 1, 9, 2, 7", (4, 1, 9, 2, 7)),
        ("1, 2, 3, 4, and 5.", (1, 2, 3, 4, 5)),
        ("  12;11 10\n9 & 8\n", (12, 11, 10, 9, 8)),
        ("1, 2, 3, 4, 5, 6, 7, 99, 1", (1, 2, 3, 4, 5)),
        ("07, 1, 2, 3, 4", (7, 1, 2, 3, 4)),
        ("3, 4, 5, 6, 7 because they are funny", (3, 4, 5, 6, 7)),
    ],
)
def test_valid_answers(text: str, numbers: tuple[int, ...]) -> None:
    answer = parse(text, candidates=12, wanted=5)
    assert answer.valid
    assert answer.numbers == numbers


@pytest.mark.parametrize(
    ("text", "numbers", "problem"),
    [
        ("", (), "it is not a list of numbers"),
        ("I would watch 3, 4, 5, 6, 7", (), "it is not a list of numbers"),
        ("-1, 2, 3, 4, 5", (), "it is not a list of numbers"),
        ("٣, 4, 5, 6, 7", (), "it is not a list of numbers"),
        ("4, 1, 9", (4, 1, 9), "it has too few numbers"),
        ("1. Star Wars\n2. Alien\n3. Heat", (1,), "it has too few numbers"),
        ("1-12", (1,), "it has too few numbers"),
        ("4, 1, 13, 2, 7", (4, 1, 2, 7), "13 is not on the list"),
        ("0, 1, 2, 3, 4", (1, 2, 3, 4), "0 is not on the list"),
        ("4, 1, 4, 2, 7", (4, 1, 2, 7), "4 is there twice"),
        ("9" * 5000 + ", 1, 2, 3, 4", (1, 2, 3, 4), "999999 is not on the list"),
    ],
)
def test_unusable_answers(text: str, numbers: tuple[int, ...], problem: str) -> None:
    answer = parse(text, candidates=12, wanted=5)
    assert not answer.valid
    assert (answer.numbers, answer.problem) == (numbers, problem)


texts = st.one_of(st.text(), st.text(alphabet="0123456789 ,;&and\n."))


@given(texts, st.integers(1, 40), st.integers(1, 10))
def test_every_text_gives_an_answer(text: str, candidates: int, wanted: int) -> None:
    answer = parse(text, candidates, wanted)
    assert len(answer.numbers) <= wanted
    assert len(set(answer.numbers)) == len(answer.numbers)
    assert all(1 <= number <= candidates for number in answer.numbers)
    assert answer.valid == (len(answer.numbers) == wanted)
    assert "\n" not in answer.problem


@given(st.permutations(range(1, 13)), st.sampled_from([", ", "; ", " ", "\n", ",", " and "]))
def test_what_is_written_is_read(numbers: list[int], separator: str) -> None:
    text = separator.join(map(str, numbers))
    assert parse(text, 12, 5).numbers == tuple(numbers[:5])
