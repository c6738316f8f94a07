"""What counts as an answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasteshift.agents.llm.parse import parse
from tasteshift.agents.llm.prompt import Turn, answer, begin

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
    read = parse(text, TITLES, wanted=2)
    assert read.valid
    assert (read.numbers, read.say) == (numbers, say)


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
def test_unusable_answers(entries: str, numbers: tuple[int, ...], problem: str) -> None:
    read = parse(f'{{"slate":[{entries}],"say":"Enjoy."}}', TITLES, wanted=2)
    assert not read.valid
    assert (read.numbers, read.say, read.problem) == (numbers, "", problem)


@pytest.mark.parametrize("text", ["", "I am sorry.", '{"slate":', HEAT, f"[{HEAT},{RAN}]"])
def test_without_a_slate(text: str) -> None:
    assert parse(text, TITLES, 2).problem == "it has no slate"


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
def test_every_text_gives_an_answer(text: str, titles: list[str], wanted: int) -> None:
    read = parse(text, titles, wanted)
    assert len(set(read.numbers)) == len(read.numbers) <= wanted
    assert all(1 <= number <= len(titles) for number in read.numbers)
    assert read.valid == (len(read.numbers) == wanted)
    assert "\n" not in read.problem
    assert read.valid or not read.say


def turn_of(titles: list[str]) -> Turn:
    return Turn(titles, [()] * len(titles), (), (), "", len(titles))


@given(titles, st.text(), st.data())
def test_what_is_answered_is_read(titles: list[str], say: str, data: st.DataObject) -> None:
    turn = turn_of(titles)
    numbers = data.draw(st.permutations(range(1, len(titles) + 1)))
    numbers = numbers[: data.draw(st.integers(1, len(numbers)))]
    text = answer(turn, numbers, say)
    assert text.startswith(begin(turn))
    assert "\n" not in text
    read = parse(text, titles, len(numbers))
    assert (read.numbers, read.say, read.problem) == (tuple(numbers), say, "")
    whole: dict[str, Any] = json.loads(text)
    assert whole["slate"] == [{"id": n, "title": titles[n - 1]} for n in numbers]
    assert whole["say"] == say


@given(titles, st.data())
def test_an_answer_cut_anywhere_keeps_its_whole_entries(
    titles: list[str], data: st.DataObject
) -> None:
    turn = turn_of(titles)
    numbers = data.draw(st.permutations(range(1, len(titles) + 1)))
    text = answer(turn, numbers, "So be it.")
    cut = data.draw(st.integers(0, len(text)))
    whole = [k for k in range(len(numbers)) if len(answer(turn, numbers[: k + 1], "")) - 11 <= cut]
    read = parse(text[:cut], titles, len(titles))
    assert read.numbers == tuple(numbers[: len(whole)])
    assert read.say == ("So be it." if cut >= len(text) - 1 else "")
