"""Agents that look up the package's hidden data of items or of users."""

from dataclasses import replace

import numpy as np
import pytest

from tasteshift.agents.item_features import decades, item_features
from tasteshift.agents.linucb import LinUcbAgent
from tasteshift.agents.taste_prior import fit_prior
from tasteshift.envs.catalogs.load import load_data
from tasteshift.envs.catalogs.sources.synthetic import AXES
from tasteshift.envs.reference.optimal_slate import appraise, best_slate
from tasteshift.envs.simulator.choice import (
    ENJOYMENT_BIAS,
    ENJOYMENT_NOISE,
    QUALITY_WEIGHT,
    position,
)
from tasteshift.envs.simulator.population import initial_population, take_rows
from tasteshift.envs.simulator.world import build_world
from tasteshift.records import NOTHING

REST = 20
PATIENT = 3
SURE = 2.0
BELIEF = 2.0
"""Weight of the package's latents: large enough to gain where they are right."""
SCALES, GENRES = 2.5, 1.7
"""Weights of text features; about the best values for the baseline."""


def package_rows(catalog, public):
    """(n) row of every item in the package's catalog, found by its id."""
    known = {name: row for row, name in enumerate(load_data(catalog).public.item_id)}
    return np.array([known[name] for name in public.catalog.item_id])


class TextReader(LinUcbAgent):
    """A linear bandit on public text features: the axes a description mentions, or genre and
    decade where descriptions have none."""

    name = "text-reader"

    def secrets(self, public):
        return np.zeros((len(public.catalog), 0))

    def prepare(self, public):
        catalog = public.catalog
        mentions = [
            [scale_of(text, words) for words in AXES.values()] for text in catalog.description
        ]
        public_features = SCALES * standardized(np.array(mentions))
        if not np.any(mentions):
            public_features = GENRES * standardized(
                np.hstack([catalog.topic, decades(catalog.year)])
            )
        columns = [public_features, BELIEF * standardized(self.secrets(public))]
        raw = np.hstack([*columns, item_features(catalog, public.log)])
        prior = fit_prior(raw, public.log, self.refusal)
        self._features = raw @ np.linalg.cholesky(prior.covariance) / self.noise
        self._pooled = raw @ prior.mean
        self._log = public.log


def standardized(columns):
    columns = columns[:, columns.std(axis=0) > 0]
    return (columns - columns.mean(axis=0)) / columns.std(axis=0)


def scale_of(text, words):
    """Position of a text on an axis, from −3 to 3; 0 where it mentions none."""
    return next((k - 3.0 for k, word in enumerate(words) if word in text), 0.0)


class LatentReader(TextReader):
    """The same, with all hidden latents that the package has of an item."""

    name = "latent-reader"

    def __init__(self, catalog):
        super().__init__()
        self.package = catalog

    def secrets(self, public):
        hidden, row = load_data(self.package).hidden, package_rows(self.package, public)
        return np.column_stack([hidden.z, hidden.appeal, hidden.quality])[row]


class KnownUser:
    """Finds the package user whose behavior best explains this user's.

    Uses the match once it predicts the observations better than chance.
    """

    name = "nearest-known-user"

    def __init__(self, catalog):
        self.package = catalog

    def config(self):
        return {}

    def __deepcopy__(self, memo):
        return self

    def prepare(self, public):
        self.baseline = LinUcbAgent()
        self.baseline.prepare(public)
        row, self.log = package_rows(self.package, public), public.log
        self.world = build_world(self.package, "stationary", public.slate_size)
        users = initial_population(self.world, 0, np.arange(self.world.num_users))
        known = [appraise(self.world, take_rows(users, np.array([u]))) for u in users.user]
        self.utility, self.reward = (np.array(part)[:, row] for part in zip(*known, strict=True))
        hidden = self.world.hidden
        self.pleasure = self.utility - hidden.appeal[row] + QUALITY_WEIGHT * hidden.quality[row]

    def start(self, brief):
        mine = self.log.user == brief.user
        return KnownUserSession(self, self.baseline.start(brief), self.log.item[mine],
                                self.log.rating[mine])  # fmt: skip

    def enjoyed(self, item, rating):
        """(U) log density of a rating under every known user."""
        logit = np.log(rating / (1 - rating))
        return -0.5 * ((logit - self.pleasure[:, item] + ENJOYMENT_BIAS) / ENJOYMENT_NOISE) ** 2

    def picked(self, slate, chosen):
        """(U) log probability of a choice under every known user."""
        utility = self.utility[:, list(slate)] + position(len(slate))
        total = np.log(np.exp(self.world.outside_utility) + np.exp(utility).sum(axis=1))
        if chosen == NOTHING:
            return self.world.outside_utility - total
        return utility[:, slate.index(chosen)] - total


class KnownUserSession:
    def __init__(self, cheat, baseline, items, ratings):
        self.cheat, self.baseline = cheat, baseline
        self.likely = np.zeros(len(cheat.utility))
        for item, rating in zip(items, ratings, strict=True):
            self.likely += cheat.enjoyed(item, rating)
        self.turns, self.evidence, self.chosen = 0, 0.0, []

    def act(self, seen):
        cheat = self.cheat
        if seen.slate:
            log_probs = cheat.picked(seen.slate, seen.chosen)
            weight = np.exp(self.likely - self.likely.max())
            self.turns += 1
            self.evidence += np.log(weight @ np.exp(log_probs) / weight.sum())
            self.evidence -= np.log(0.5 if seen.chosen == NOTHING else 0.5 / len(seen.slate))
            self.likely += log_probs
            if seen.chosen != NOTHING:
                self.likely += cheat.enjoyed(seen.chosen, seen.rating)
                self.chosen.append(seen.chosen)
        action = self.baseline.act(seen)
        if self.turns < PATIENT or self.evidence < SURE:
            return action
        user = int(self.likely.argmax())
        utility = cheat.utility[user].copy()
        utility[self.chosen[-REST:]] = -np.inf
        slate, _ = best_slate(
            utility, cheat.reward[user], cheat.world.outside_utility, cheat.world.slate_size
        )
        return replace(action, slate=tuple(slate.tolist()))


@pytest.mark.parametrize("catalog", ["movielens-100k", "synthetic"])
def test_reading_package_latents_gains_on_public_seeds_only(catalog, arena, no_gain):
    no_gain(arena(catalog).compare("latent reader", TextReader, lambda: LatentReader(catalog)))


@pytest.mark.parametrize("catalog", ["movielens-100k", "synthetic"])
def test_matching_package_users_gains_on_public_seeds_only(catalog, arena, no_gain):
    no_gain(arena(catalog).compare("nearest known user", LinUcbAgent, lambda: KnownUser(catalog)))
