"""Recorded episodes for pair `tiny`: each turn's observation, and the best items.

Environment seeds are ones that no suite uses (suites count from 0), and the users whom seed 0
draws first in a scenario are kept for held-out episodes. The shortlist is the `llm` agent's own;
the teacher is privileged: it orders that shortlist by the user's expected enjoyment of each item in
the present user state.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasteshift.agents.llm.interest_profile import InterestProfile
from tasteshift.agents.llm.retrieval import Retrieval, RetrievalWeights
from tasteshift.envs.lifelong import Lifelong
from tasteshift.envs.reference.ground_truth import GroundTruth
from tasteshift.envs.simulator.training_log import public_data
from tasteshift.suites.engine.conversion import to_env_action, to_observation

FILMS, STORIES = "movielens-100k", "synthetic"
PLAYED = (
    # catalog, scenario, sessions, turns, share of the episodes
    (FILMS, "stationary", 1, 3, 8),
    (FILMS, "stationary", 4, 4, 2),
    (FILMS, "minor-profile", 1, 3, 2),
    (FILMS, "gradual-drift", 6, 3, 1),
    (FILMS, "abrupt-shift", 8, 3, 1),
    (FILMS, "life-event", 8, 3, 1),
    (FILMS, "recurring", 6, 3, 1),
    (FILMS, "transient-intent", 6, 3, 1),
    (FILMS, "satiation", 6, 3, 1),
    (FILMS, "constraint-change", 6, 3, 1),
    (FILMS, "cold-user", 3, 4, 2),
    (FILMS, "cold-item", 6, 3, 1),
    (STORIES, "stationary", 1, 3, 2),
    (STORIES, "transient-intent", 5, 3, 1),
    (STORIES, "satiation", 5, 3, 1),
)
SLATE, LISTED, MEMORY = 5, 16, 60
SEED, HELD_SEED = 1_000_000, 2_000_000
"""Environment seeds of training and of held-out episodes count from these."""
HELD_USERS = 120
"""Users whom environment seed 0 draws first in a scenario: none of its training episodes is theirs.

Scenarios with few eligible users (minors, cold users) may draw others, who occur in training.
"""


def record(path: Path, episodes: int, held_out: bool) -> int:
    """Write one JSON line per turn of so many episodes per share; returns the number of lines."""
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for number, (catalog, scenario, sessions, turns, share) in enumerate(PLAYED):
            env = Lifelong(catalog, scenario, SLATE, sessions, turns)
            public = public_data(env.world)
            retrieval = Retrieval(public, RetrievalWeights())
            eligible = env.world.eligible_users()
            held = env.world.sample_users(0, min(HELD_USERS, len(eligible) // 4))
            users = np.array(held) if held_out else np.setdiff1d(eligible, held)
            for k in range(episodes * share):
                seed = (HELD_SEED if held_out else SEED) + 10_000 * number + k
                rng = np.random.default_rng(seed)
                user = int(rng.choice(users))
                for turn in run_episode(env, retrieval, seed, user, rng):
                    row = {"catalog": catalog, "scenario": scenario, "seed": seed, **turn}
                    file.write(json.dumps(row) + "\n")
                    count += 1
    return count


def run_episode(
    env: Lifelong, retrieval: Retrieval, seed: int, user: int, rng: np.random.Generator
) -> Iterator[dict[str, Any]]:
    """The turns of one episode, with the user's expected enjoyment of every listed item.

    Slates are the teacher's in half of the turns, else the retrieval's, and sometimes random ones
    of the list, so that prompts contain all kinds of likes and dislikes.
    """
    log = public_data(env.world).log
    values, _ = env.reset(seed=seed, options={"user": user})
    brief = env.brief(agent_seed=seed)
    profile = InterestProfile(env.world.catalog, log, user, MEMORY)
    over = False
    while not over:
        seen = to_observation(values)
        profile.observe(seen)
        listed = retrieval.shortlist(
            LISTED, profile.topics, profile.liked, brief.age_group, profile.recent
        )
        gain = worth(env.ground_truth, np.array(listed, dtype=np.int64))
        order = [listed[k] for k in np.argsort(-gain, kind="stable")]
        draw = rng.random()
        shown = order if draw < 0.5 else listed if draw < 0.85 else rng.permutation(listed).tolist()
        yield {
            "user": user,
            "session": seen.session,
            "turn": seen.turn,
            "utterance": seen.utterance,
            "asked": list(profile.topics),
            "listed": list(listed),
            "worth": [round(float(value), 5) for value in gain],
            "liked": [item for item, much in reversed(profile.liked.items()) if much > 0][:6],
            "disliked": [item for item, much in reversed(profile.liked.items()) if much < 0][:4],
            "shown": list(shown[:SLATE]),
        }
        values, _, left, ended, _ = env.step(to_env_action(shown[:SLATE], SLATE))
        over = left or ended


def worth(ground_truth: GroundTruth, listed: NDArray[np.int64]) -> NDArray[np.float64]:
    """Expected enjoyment of each item if the user chooses it, in [0, 1].

    −1 for items that must not be shown: above the user's age, or ruled out.
    """
    _, reward = ground_truth.appraisal()
    return np.where(ground_truth.allowed()[listed], reward[listed], -1.0)
