"""Parsing of answers: valid, invalid, truncated, and arbitrary text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasteshift.agents.llm.parse import parse_answer
from tasteshift.agents.llm.prompt import ANSWER_PREFIX, PromptContext, format_answer

TITLES = ("Heat (1995)", 'The "Burbs" (1989)', "Amélie (2001)", "Ran (1985)", "Heat (1995)")
HEAT, BURBS, AMELIE, RAN = (
    '{"id":1,"title":"Heat (1995)"}',
    r'{"id":2,"title":"The \"Burbs\" (1989)"}',
    '{"id":3,"title":"Amélie (2001)"}',
    '{"id":4,"title":"Ran (1985)"}',
)


@pytest.mark.parametrize(
    ("text", "numbers", "say"),
    [
        (f'{{"slate":[{RAN},{HEAT}],"say":"Both are long."}}', (4, 1), "Both are long."),
        (f'{{"slate":[{BURBS},{AMELIE}],"say":"A \\"joke\\"."}}', (2, 3), 'A "joke".'),
        (f'Sure!\n{{ "slate" : [ {RAN} ,\n{HEAT} ] , "say" : "Both."}} Enjoy.', (4, 1), "Both."),
        (r'{"slate":[{"title":"Am\u00e9lie (2001)","id":3},' + HEAT, (3, 1), ""),
        ('{"slate":[' + RAN + ',{"id":5,"title":"Heat (1995)"}],"say":"It is', (4, 5), ""),
        (f'{{"slate":[{RAN},{HEAT},{RAN}],"say":"Two."}}', (4, 1), "Two."),
        (f'{{"slate":[{RAN},{HEAT}],"say":5}}', (4, 1), ""),
        (f'{{"slate":[{RAN},{HEAT},{{"id":[[[', (4, 1), ""),
        (f'{{"slate":[{RAN},{HEAT}],"say":"half \\ud83d"}}', (4, 1), "half ?"),
    ],
)
def test_valid_answers(text: str, numbers: tuple[int, ...], say: str) -> None:
    parsed = parse_answer(text, TITLES, wanted=2)
    assert parsed.valid
    assert (parsed.numbers, parsed.say) == (numbers, say)


@pytest.mark.parametrize(
    ("entries", "numbers", "problem"),
    [
        ("", (), "it has no slate"),
        ("1, 2, 3", (), "it has no slate"),
        (f"{HEAT}", (1,), "it has too few entries"),
        (f"{HEAT},{RAN[:-3]}", (1,), "it has too few entries"),
        (f"{HEAT},5,{RAN}", (1,), "it has too few entries"),
        (f"{HEAT},{HEAT}", (1,), "id 1 is there twice"),
        (f'{RAN},{{"id":1,"title":"Ran (1985)"}}', (4,), "id 1 has another title"),
        (f'{{"id":4,"title":"Ran"}},{HEAT}', (1,), "id 4 has another title"),
        (f'{{"id":4}},{HEAT}', (1,), "id 4 has another title"),
        (f'{HEAT},{{"id":6,"title":"Ran (1985)"}}', (1,), "an id is not on the list"),
        (f'{{"id":0,"title":"Heat (1995)"}},{HEAT}', (1,), "an id is not on the list"),
        (f'{{"id":"4","title":"Ran (1985)"}},{HEAT}', (1,), "an id is not on the list"),
        (f'{{"id":true,"title":"Heat (1995)"}},{RAN}', (4,), "an id is not on the list"),
        (f'{{"id":{"9" * 5000},"title":""}},{HEAT}', (), "it has no slate"),
        (f'{{"id":{"[" * 100_000},{HEAT}', (), "it has no slate"),
    ],
)
def test_invalid_answers(entries: str, numbers: tuple[int, ...], problem: str) -> None:
    parsed = parse_answer(f'{{"slate":[{entries}],"say":"Enjoy."}}', TITLES, wanted=2)
    assert not parsed.valid
    assert (parsed.numbers, parsed.say, parsed.problem) == (numbers, "", problem)


@pytest.mark.parametrize("text", ["", "I am sorry.", '{"slate":', HEAT, f"[{HEAT},{RAN}]"])
def test_without_a_slate(text: str) -> None:
    assert parse_answer(text, TITLES, 2).problem == "it has no slate"


titles = st.lists(st.text(max_size=12), min_size=1, max_size=16)
pieces = st.sampled_from(
    [
        '{"slate":[',
        '{"id":',
        "1",
        "2",
        ',"title":"',
        "a",
        '"}',
        "],",
        '"say":"',
        "\\",
        " ",
        "[",
        "}",
    ]
)
texts = st.one_of(st.text(), st.lists(pieces).map("".join))


@given(texts, st.lists(st.sampled_from(["a", "1", ""]), min_size=1), st.integers(1, 4))
def test_arbitrary_text_never_raises(text: str, titles: list[str], wanted: int) -> None:
    parsed = parse_answer(text, titles, wanted)
    assert len(set(parsed.numbers)) == len(parsed.numbers) <= wanted
    assert all(1 <= number <= len(titles) for number in parsed.numbers)
    assert parsed.valid == (len(parsed.numbers) == wanted)
    assert "\n" not in parsed.problem
    assert parsed.valid or not parsed.say


def context_of(titles: list[str]) -> PromptContext:
    return PromptContext(titles, [()] * len(titles), (), (), "", len(titles))


@given(titles, st.text(), st.data())
def test_a_formatted_answer_parses_back(titles: list[str], say: str, data: st.DataObject) -> None:
    context = context_of(titles)
    numbers = data.draw(st.permutations(range(1, len(titles) + 1)))
    numbers = numbers[: data.draw(st.integers(1, len(numbers)))]
    text = format_answer(context, numbers, say)
    assert text.startswith(ANSWER_PREFIX)
    assert "\n" not in text
    parsed = parse_answer(text, titles, len(numbers))
    assert (parsed.numbers, parsed.say, parsed.problem) == (tuple(numbers), say, "")
    whole: dict[str, Any] = json.loads(text)
    assert whole["slate"] == [{"id": n, "title": titles[n - 1]} for n in numbers]
    assert whole["say"] == say


@given(titles, st.data())
def test_a_truncated_answer_keeps_its_complete_entries(
    titles: list[str], data: st.DataObject
) -> None:
    context = context_of(titles)
    numbers = data.draw(st.permutations(range(1, len(titles) + 1)))
    text = format_answer(context, numbers, "So be it.")
    cut = data.draw(st.integers(0, len(text)))
    whole = [
        k
        for k in range(len(numbers))
        if len(format_answer(context, numbers[: k + 1], "")) - 11 <= cut
    ]
    parsed = parse_answer(text[:cut], titles, len(titles))
    assert parsed.numbers == tuple(numbers[: len(whole)])
    assert parsed.say == ("So be it." if cut >= len(text) - 1 else "")
