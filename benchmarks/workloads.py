"""What decoders are measured on: the llm agent's own prompts, and free text."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from ..agents.llm.agent import CANDIDATES, MEMORY
from ..agents.llm.candidates import list_candidates
from ..agents.llm.interest_profile import InterestProfile
from ..agents.llm.prompt import (
    ANSWER_PREFIX,
    PromptContext,
    build_prompt,
    encode,
    max_answer_tokens,
)
from ..agents.llm.retrieval import Retrieval, RetrievalWeights
from ..envs.catalogs.catalog import Catalog
from ..envs.catalogs.load import load_catalog
from ..envs.lifelong import Lifelong
from ..envs.simulator.training_log import public_data
from ..errors import InputError
from ..suites.engine.conversion import to_env_action, to_observation

if TYPE_CHECKING:
    from ..decoders.base import ModelPair

WORKLOADS = ("recommender", "text")

FILMS = "movielens-100k"
SEED = 0
"""Of the world whose lives are recorded: the first that suites play."""
USERS, SESSIONS, TURNS, SLATE = 60, 4, 4, 5
FREE_TOKENS = 64
"""The most new tokens of a free text."""

ABOUT_TOPICS = (
    "What do people enjoy about {topic} films?",
    "Describe an evening with a good {topic} film.",
    "Write a short review of a {topic} film that disappointed you.",
    "How would you explain {topic} films to somebody who has never seen one?",
    "My taste has changed and now I like {topic}. Why might that be?",
    "Write the first lines of a {topic} story.",
    "Should a {topic} film be long or short? Give your reasons.",
)
ABOUT_TITLES = (
    "Would {title} be a good choice for a rainy Sunday? Tell me why.",
    "Write a letter to a friend who loved {title}.",
    "Invent a sequel to {title} and tell its plot in a few sentences.",
    "I did not enjoy {title}. How can I tell my friends politely?",
)
ABOUT_LIFE = (
    "Give me some advice about {subject}.",
    "Tell a short story about {subject}.",
    "Why do people disagree about {subject}?",
    "What should a beginner know about {subject}?",
    "Describe how {subject} may change over the next twenty years.",
)
SUBJECTS = (
    "cooking for one", "learning the piano", "moving to another city", "sleeping badly",
    "writing letters by hand", "keeping a garden", "working at night", "growing old",
    "sharing a flat", "getting up early", "saving money", "walking to work", "making new friends",
    "reading before bed", "looking after a dog", "travelling by train", "speaking in public",
    "baking bread",
)  # fmt: skip
FAMOUS = 32
"""The most popular items are those that questions are about."""


@dataclass(frozen=True)
class Prompt:
    """One thing to decode.

    ids             token ids of the prompt, with the beginning of the answer where one is given
    max_new_tokens  the most tokens to write
    """

    ids: tuple[int, ...]
    max_new_tokens: int


def workload(name: str, pair: ModelPair, count: int, catalog: str = FILMS) -> list[Prompt]:
    """The first `count` prompts of a workload for a pair; the same whenever it is asked for.

    recommender  what the llm agent asks in lives of Lifelong-v0, with the agent's own limit of
                 new tokens. Sixty users of world 0, each at another turn of four sessions of
                 four turns, then again at others; what they are shown is the retrieval's own
                 order, so that no model has a say in the prompts.
    text         `FREE_TOKENS` of free text: for a pair that chats, answers to questions about
                 films, tastes and daily life; for others, dialogues and descriptions to go on
                 with, such as the pair `tiny` has read

    catalog      whose items the prompts are about

    Raises InputError for another name, a pair without a tokenizer, or more prompts than there are.
    """
    tokenizer: Any = pair.tokenizer
    if tokenizer is None:
        raise InputError(f"pair {pair.name!r} has no tokenizer; give it one")
    if name not in WORKLOADS:
        raise InputError(f"there is no workload {name!r}; take one of {', '.join(WORKLOADS)}")
    if count < 1:
        raise InputError(f"{count} prompts asked for; ask for 1 or more")
    made = asked(tokenizer, catalog) if name == "recommender" else free(tokenizer, catalog)
    prompts = list(islice(made, count))
    if len(prompts) < count:
        raise InputError(f"{name!r} has {len(prompts)} prompts for {pair.name!r}, not {count}")
    return prompts


def asked(tokenizer: Any, catalog: str) -> Iterator[Prompt]:
    """The llm agent's prompts, with the beginning of the answer."""
    for turn in turns(catalog):
        ids = encode(tokenizer, build_prompt(turn), ANSWER_PREFIX)
        yield Prompt(tuple(ids), max_answer_tokens(tokenizer, turn))


def free(tokenizer: Any, catalog: str) -> Iterator[Prompt]:
    """Prompts for prose: questions where there is a chat template, else beginnings."""
    if getattr(tokenizer, "chat_template", None):
        for question in questions(load_catalog(catalog)):
            ids = encode(tokenizer, [{"role": "user", "content": question}], "")
            yield Prompt(tuple(ids), FREE_TOKENS)
    else:
        for text in beginnings(catalog):
            yield Prompt(tuple(tokenizer.encode(text, add_special_tokens=False)), FREE_TOKENS)


def turns(catalog: str) -> Iterator[PromptContext]:
    """What the llm agent asks about, each turn of each life once.

    Visit v of life number n is at turn 5n + 3v of that life, counted round, so that prompts that
    follow each other are at different turns.
    """
    lived: list[list[PromptContext]] = []
    for number, life in enumerate(lives(catalog)):
        lived.append(life)
        yield life[5 * number % len(life)]
    for visit in range(1, SESSIONS * TURNS):
        for number, life in enumerate(lived):
            yield life[(5 * number + 3 * visit) % len(life)]


def lives(catalog: str) -> Iterator[list[PromptContext]]:
    """Every turn of the lives of `USERS` users, who are shown the retrieval's own order."""
    env = Lifelong(catalog, "stationary", SLATE, SESSIONS, TURNS)
    world = public_data(env.world)
    retrieval = Retrieval(world, RetrievalWeights())
    eligible = len(env.world.eligible_users())
    for user in env.world.sample_users(SEED, min(USERS, eligible)):
        values, _ = env.reset(seed=SEED, options={"user": user})
        brief = env.brief(SEED)
        profile = InterestProfile(world.catalog, world.log, user, MEMORY)
        life: list[PromptContext] = []
        for _ in range(SESSIONS * TURNS):
            observation = to_observation(values)
            profile.observe(observation)
            listed, turn = list_candidates(observation, brief, profile, retrieval, CANDIDATES)
            life.append(turn)
            values, *_ = env.step(to_env_action(listed[: turn.wanted], SLATE))
        yield life


def questions(catalog: Catalog) -> list[str]:
    """What a person may ask for in prose, none twice, kinds mixed."""
    famous = np.argsort(-catalog.popularity, kind="stable")[:FAMOUS]
    titles = [catalog.label(int(item)) for item in famous]
    return mixed(
        [form.format(topic=topic.lower()) for form in ABOUT_TOPICS for topic in catalog.topics]
        + [form.format(title=title) for form in ABOUT_TITLES for title in titles]
        + [form.format(subject=subject) for form in ABOUT_LIFE for subject in SUBJECTS]
    )


def beginnings(catalog: str) -> Iterator[str]:
    """Beginnings of dialogues and of descriptions in turn, none twice; first the unread ones."""
    items = load_catalog(catalog)
    titles = [items.label(item) for item in range(len(items))]
    descriptions = mixed(f"{title} is a" for title in titles if not unread(title))
    descriptions += mixed(f"{title} is a" for title in titles if unread(title))
    openings = (turn for life in lives(catalog) for turn in life[::TURNS])
    seen = set()
    for turn in openings:
        dialogue = f"User: {turn.utterance}\nRecommender: How about {turn.titles[0]},"
        if dialogue not in seen and descriptions:
            seen.add(dialogue)
            yield from (dialogue, descriptions.pop())


def unread(title: str) -> bool:
    """Whether descriptions of this item are asked for here, so that no model of ours learns them.

    One title in eight, by its SHA-256.
    """
    return hashlib.sha256(title.encode()).digest()[0] < 32


def mixed(texts: Iterable[str]) -> list[str]:
    """Distinct texts in the order of their SHA-256, which no version of anything changes."""
    return sorted(set(texts), key=lambda text: hashlib.sha256(text.encode()).digest())
