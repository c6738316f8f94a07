"""Training documents of pair `tiny`: recorded turns as prompts with answers, and some prose.

An answer document is the `llm` agent's prompt, word for word, and the teacher's JSON. Prose is
of two kinds, each a paragraph of plain lines that ends with the end-of-text token:

    Heat (1995) is a film of action, crime and thriller.

    User: I feel like crime today, maybe drama.
    Recommender: How about Heat (1995), Fargo (1996) or Casino (1995)? Here is some crime for you.
    User: I loved Fargo (1996). More like that, please.

so that the pair can also continue free text about its catalogs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from tiny_episodes import FILMS, STORIES

from tasteshift.agents.llm.prompt import PromptContext, build_prompt, format_answer
from tasteshift.benchmarks.workloads import held_out
from tasteshift.envs.catalogs.catalog import Catalog
from tasteshift.envs.catalogs.load import load_catalog

SAYINGS = (
    "Here is some {topic} for you.",
    "I picked these because you like {topic}.",
    "You may enjoy this {topic} most.",
    "The first one is the best {topic} I know.",
    "I hope there is enough {topic} in these.",
    "Start with the first if you want {topic}.",
)
USUAL_LIST, USUAL_SLATE = 12, 5


@dataclass(frozen=True)
class Document:
    """A text to learn, or a prompt and the text to generate after it.

    prompt  "" for prose
    text    without the end-of-text token
    drill   learn only to copy titles and to repeat no number
    """

    prompt: str
    text: str
    drill: bool = False


def turns(path: Path) -> list[dict[str, Any]]:
    """The recorded turns of a file, in order."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def answers(
    rows: Sequence[dict[str, Any]], seed: int, longest: int | None = None
) -> Iterator[Document]:
    """One prompt with the teacher's answer for every turn.

    Lists, orders and numbers vary: three in five lists have the usual length, the others 4 to
    16; a quarter is shuffled; seven in ten slates are of the usual size, the others 3 to 10.

    longest  use lists of 2 to so many candidates, of which half are wanted, for the first stage
    """
    for number, row in enumerate(rows):
        rng = np.random.default_rng((seed, number))
        turn, worth = asked(row, rng, longest)
        numbers = 1 + np.argsort(-worth, kind="stable")[: turn.wanted]
        say = saying(turn, int(numbers[0]) - 1, wishes(row), rng)
        prompt = "".join(f"{message['content']}\n\n" for message in build_prompt(turn))
        yield Document(prompt, format_answer(turn, numbers.tolist(), say))


def drills(count: int, seed: int) -> Iterator[Document]:
    """Answers that copy up to ten titles of a list, in any order.

    Real titles can be memorized, so two drills in three have made-up titles, which can only be
    copied; of the numbers only that none is repeated can be learned. In most lists many titles
    start alike: they are made of few words, or are neighbors in alphabetical order.
    """
    films = load_catalog(FILMS)
    words = sorted({word for title in films.title for word in title.split()})
    real = sorted(
        catalog.label(item)
        for catalog in (films, load_catalog(STORIES))
        for item in range(len(catalog))
    )
    rng = np.random.default_rng((seed, count))
    for _ in range(count):
        size = int(rng.integers(2, 17))
        kind = rng.random()
        if kind < 1 / 3:
            titles = neighbors(real, size, rng)
        else:
            titles = invented(words if kind < 0.6 else rng.choice(words, 4), size, rng)
        some = rng.integers(len(films), size=size)
        turn = PromptContext(
            titles, [films.topics_of(int(k)) for k in some], [], [], "", min(size, 10)
        )
        prompt = "".join(f"{message['content']}\n\n" for message in build_prompt(turn))
        numbers = 1 + rng.permutation(size)[:10]
        yield Document(prompt, format_answer(turn, numbers.tolist(), "Enjoy."), drill=True)


def invented(words: Sequence[str], size: int, rng: np.random.Generator) -> list[str]:
    """Titles of one to three of these words and a year."""
    return [
        f"{' '.join(rng.choice(words, int(rng.integers(1, 4))))} ({rng.integers(1920, 2025)})"
        for _ in range(size)
    ]


def neighbors(titles: Sequence[str], size: int, rng: np.random.Generator) -> list[str]:
    """Distinct titles of a sorted list, drawn four neighbors at a time, in random order."""
    found: dict[str, None] = {}
    while len(found) < size:
        first = int(rng.integers(len(titles) - 4))
        found |= dict.fromkeys(titles[first : first + 4])
    return [str(title) for title in rng.permutation(list(found)[:size])]


def asked(
    row: dict[str, Any], rng: np.random.Generator, longest: int | None = None
) -> tuple[PromptContext, np.ndarray]:
    """The prompt context of a recorded turn, and the expected enjoyment of each candidate."""
    catalog = load_catalog(row["catalog"])
    count = USUAL_LIST if rng.random() < 0.6 else int(rng.integers(4, 17))
    wanted = USUAL_SLATE if rng.random() < 0.7 else int(rng.integers(3, 11))
    if longest is not None:
        count = int(rng.integers(2, longest + 1))
        wanted = int(rng.integers(1, 2 + longest // 2))
    count = min(count, len(row["listed"]))
    order = np.arange(count) if rng.random() < 0.75 else rng.permutation(count)
    items = [row["listed"][k] for k in order]
    likes, dislikes = (4, 2) if rng.random() < 0.7 else rng.integers((0, 0), (5, 3)).tolist()
    turn = PromptContext(
        titles=[catalog.label(item) for item in items],
        topics=[catalog.topics_of(item) for item in items],
        liked=[catalog.label(item) for item in row["liked"][:likes]],
        disliked=[catalog.label(item) for item in row["disliked"][:dislikes]],
        utterance=row["utterance"],
        wanted=min(wanted, count),
    )
    return turn, np.array(row["worth"])[order]


def saying(turn: PromptContext, best: int, wished: Sequence[str], rng: np.random.Generator) -> str:
    """A sentence that names a topic of the best candidate, a requested one where there is one."""
    topics = turn.topics[best]
    topic = next((name for name in topics if name in wished), (*topics, "something new")[0])
    return SAYINGS[int(rng.integers(len(SAYINGS)))].format(topic=topic.lower())


def wishes(row: dict[str, Any]) -> list[str]:
    """Names of the topics that the user last asked for."""
    topics = load_catalog(row["catalog"]).topics
    return [topics[topic] for topic in row["asked"]]


def dialogues(rows: Sequence[dict[str, Any]], seed: int) -> Iterator[Document]:
    """One dialogue per session, as lines of a user and a recommender."""

    def session(row: dict[str, Any]) -> tuple[int, int]:
        return row["seed"], row["session"]

    for (episode, number), group in groupby(rows, key=session):
        rng = np.random.default_rng((seed, episode, number))
        lines = []
        for row in group:
            catalog = load_catalog(row["catalog"])
            shown = [catalog.label(item) for item in row["shown"]]
            topic = (*wishes(row), *catalog.topics_of(row["shown"][0]), "something new")[0].lower()
            lines.append(f"User: {row['utterance']}")
            words = SAYINGS[int(rng.integers(len(SAYINGS)))].format(topic=topic)
            lines.append(f"Recommender: How about {listed(shown, 'or')}? {words}")
        yield Document("", "\n".join(lines))


def descriptions(catalog: Catalog, kind: str, seed: int) -> Iterator[Document]:
    """Every item once, a few to a paragraph: title, topics and description.

    Items whose descriptions the benchmark asks for are left out.

    kind  what an item is called, such as film
    """
    read = [item for item in range(len(catalog)) if not held_out(catalog.label(item))]
    order = np.random.default_rng(seed).permutation(read)
    for part in np.split(order, range(4, len(order), 4)):
        yield Document("", "\n".join(described(catalog, int(item), kind) for item in part))


def described(catalog: Catalog, item: int, kind: str) -> str:
    """One line about one item."""
    topics = listed([name.lower() for name in catalog.topics_of(item)], "and")
    about = f" of {topics}" if topics else ""
    return f"{catalog.label(item)} is a {kind}{about}. {catalog.description[item]}".rstrip()


def listed(names: Sequence[str], word: str) -> str:
    """Names joined as in prose: a, b and c."""
    return f" {word} ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)
