"""Workloads of the decoder benchmark: the llm agent's own prompts, and free text."""

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
"""Environment seed of the recorded episodes: the first that suites play."""
USERS, SESSIONS, TURNS, SLATE = 60, 4, 4, 5
FREE_TOKENS = 64
"""Most new tokens of a free text."""

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
POPULAR_ITEMS = 32
"""Questions are about so many of the most popular items."""


@dataclass(frozen=True)
class Prompt:
    """One prompt to decode.

    ids             token ids of the prompt, with the beginning of the answer where one is given
    max_new_tokens  limit of new tokens
    """

    ids: tuple[int, ...]
    max_new_tokens: int


def workload(name: str, pair: ModelPair, count: int, catalog: str = FILMS) -> list[Prompt]:
    """The first `count` prompts of a workload for a pair; deterministic.

    recommender  prompts of the llm agent in Lifelong-v0 episodes, with the agent's own limit of
                 new tokens. Sixty users of environment seed 0, each at another turn of four
                 sessions of four turns, then again at others; slates are in the retrieval's own
                 order, so that no model influences the prompts.
    text         `FREE_TOKENS` of free text: for a pair with a chat template, answers to questions
                 about films, tastes and daily life; for others, dialogues and descriptions to
                 continue, of the kind that pair `tiny` was trained on

    catalog      catalog that the prompts are about

    Raises InputError for another name, a pair without a tokenizer, or more prompts than there are.
    """
    tokenizer: Any = pair.tokenizer
    if tokenizer is None:
        raise InputError(f"pair {pair.name!r} has no tokenizer; give it one")
    if name not in WORKLOADS:
        raise InputError(f"there is no workload {name!r}; pick one of {', '.join(WORKLOADS)}")
    if count < 1:
        raise InputError(f"{count} prompts asked for; ask for 1 or more")
    generated = (
        recommender_prompts(tokenizer, catalog)
        if name == "recommender"
        else text_prompts(tokenizer, catalog)
    )
    prompts = list(islice(generated, count))
    if len(prompts) < count:
        raise InputError(f"{name!r} has {len(prompts)} prompts for {pair.name!r}, not {count}")
    return prompts


def recommender_prompts(tokenizer: Any, catalog: str) -> Iterator[Prompt]:
    """The llm agent's prompts, with the beginning of the answer."""
    for turn in recorded_turns(catalog):
        ids = encode(tokenizer, build_prompt(turn), ANSWER_PREFIX)
        yield Prompt(tuple(ids), max_answer_tokens(tokenizer, turn))


def text_prompts(tokenizer: Any, catalog: str) -> Iterator[Prompt]:
    """Prompts for prose: questions where there is a chat template, else texts to continue."""
    if getattr(tokenizer, "chat_template", None):
        for question in questions(load_catalog(catalog)):
            ids = encode(tokenizer, [{"role": "user", "content": question}], "")
            yield Prompt(tuple(ids), FREE_TOKENS)
    else:
        for text in beginnings(catalog):
            yield Prompt(tuple(tokenizer.encode(text, add_special_tokens=False)), FREE_TOKENS)


def recorded_turns(catalog: str) -> Iterator[PromptContext]:
    """The llm agent's view of each turn of each episode, once.

    Visit v of episode n is at turn (5n + 3v) modulo its length, so that consecutive prompts are
    at different turns.
    """
    recorded: list[list[PromptContext]] = []
    for number, episode in enumerate(recorded_episodes(catalog)):
        recorded.append(episode)
        yield episode[5 * number % len(episode)]
    for visit in range(1, SESSIONS * TURNS):
        for number, episode in enumerate(recorded):
            yield episode[(5 * number + 3 * visit) % len(episode)]


def recorded_episodes(catalog: str) -> Iterator[list[PromptContext]]:
    """All turns of one episode of each of `USERS` users, with slates in the retrieval's order."""
    env = Lifelong(catalog, "stationary", SLATE, SESSIONS, TURNS)
    world = public_data(env.world)
    retrieval = Retrieval(world, RetrievalWeights())
    eligible = len(env.world.eligible_users())
    for user in env.world.sample_users(SEED, min(USERS, eligible)):
        values, _ = env.reset(seed=SEED, options={"user": user})
        brief = env.brief(SEED)
        profile = InterestProfile(world.catalog, world.log, user, MEMORY)
        episode: list[PromptContext] = []
        for _ in range(SESSIONS * TURNS):
            observation = to_observation(values)
            profile.observe(observation)
            listed, turn = list_candidates(observation, brief, profile, retrieval, CANDIDATES)
            episode.append(turn)
            values, *_ = env.step(to_env_action(listed[: turn.wanted], SLATE))
        yield episode


def questions(catalog: Catalog) -> list[str]:
    """Questions that ask for prose, distinct, in mixed order."""
    popular = np.argsort(-catalog.popularity, kind="stable")[:POPULAR_ITEMS]
    titles = [catalog.label(int(item)) for item in popular]
    return hash_ordered(
        [form.format(topic=topic.lower()) for form in ABOUT_TOPICS for topic in catalog.topics]
        + [form.format(title=title) for form in ABOUT_TITLES for title in titles]
        + [form.format(subject=subject) for form in ABOUT_LIFE for subject in SUBJECTS]
    )


def beginnings(catalog: str) -> Iterator[str]:
    """Alternating dialogues and descriptions to continue, distinct; held-out titles first."""
    items = load_catalog(catalog)
    titles = [items.label(item) for item in range(len(items))]
    descriptions = hash_ordered(f"{title} is a" for title in titles if not held_out(title))
    descriptions += hash_ordered(f"{title} is a" for title in titles if held_out(title))
    openings = (turn for episode in recorded_episodes(catalog) for turn in episode[::TURNS])
    seen = set()
    for turn in openings:
        dialogue = f"User: {turn.utterance}\nRecommender: How about {turn.titles[0]},"
        if dialogue not in seen and descriptions:
            seen.add(dialogue)
            yield from (dialogue, descriptions.pop())


def held_out(title: str) -> bool:
    """Whether descriptions of this item are kept out of the training of pair tiny.

    One title in eight, by its SHA-256.
    """
    return hashlib.sha256(title.encode()).digest()[0] < 32


def hash_ordered(texts: Iterable[str]) -> list[str]:
    """Distinct texts in the order of their SHA-256, which does not depend on library versions."""
    return sorted(set(texts), key=lambda text: hashlib.sha256(text.encode()).digest())
