"""RecBole: training, reproducibility, and isolation from the process."""

from __future__ import annotations

import hashlib
import logging
import os
import random
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasteshift.agents import recbole_adapter
from tasteshift.agents.recbole_adapter import ALIASES, factorize
from tasteshift.agents.recbole_bpr import RecboleBprAgent
from tasteshift.envs.catalogs.public import PublicData, TrainingLog
from tasteshift.errors import InputError
from tasteshift.records import Brief, Observation

pytestmark = pytest.mark.skipif(find_spec("recbole") is None, reason="recbole is not installed")

SETTINGS = {"embedding_size": 8, "learning_rate": 0.01}


def two_groups(users: int = 30, items: int = 20) -> TrainingLog:
    """The lower half of the users choose the lower half of the items, the others the others."""
    rng = np.random.default_rng(5)
    user = np.repeat(np.arange(users), 6)
    item = np.concatenate(
        [rng.permutation(items // 2)[:6] + items // 2 * (u >= users // 2) for u in range(users)]
    )
    return TrainingLog(users, user, item, np.ones(len(user)))


def test_it_separates_the_groups() -> None:
    factors = factorize("BPR", two_groups(), 20, seed=1, epochs=60, settings=SETTINGS)
    score = factors.user @ factors.item.T
    own = np.equal.outer(np.arange(30) < 15, np.arange(20) < 10)
    assert score[own].mean() > score[~own].mean() + 1
    assert np.mean([score[u][own[u]].min() > score[u][~own[u]].max() for u in range(30)]) > 0.9


def test_rows_without_interactions_are_nan() -> None:
    log = replace(two_groups(), num_users=32)
    factors = factorize("BPR", log, 23, seed=1, epochs=1, settings=SETTINGS)
    assert factors.user.shape == (32, 8)
    assert factors.item.shape == (23, 8)
    assert np.isnan(factors.user).all(axis=1).nonzero()[0].tolist() == [30, 31]
    assert np.isnan(factors.item).all(axis=1).nonzero()[0].tolist() == [20, 21, 22]


FINGERPRINT = """
import hashlib, sys
import numpy as np
from tasteshift.agents.recbole_adapter import factorize
from tasteshift.envs.catalogs.public import TrainingLog
log = TrainingLog(30, np.repeat(np.arange(30), 4), (np.arange(120) * 7) % 19, np.ones(120))
def fingerprint(seed):
    options = {"embedding_size": 8, "learning_rate": 0.01}
    factors = factorize("BPR", log, 19, seed=seed, epochs=3, settings=options)
    return hashlib.sha256(factors.user.tobytes() + factors.item.tobytes()).hexdigest()
"""


def test_a_fresh_process_gives_the_same_bytes(tmp_path: Path) -> None:
    """With another hash seed and command line; no ray, no files, nothing on stderr."""
    here: dict[str, Any] = {}
    exec(FINGERPRINT, here)
    code = FINGERPRINT + (
        "print(fingerprint(4), 'ray' in sys.modules, 'recbole.quick_start' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code, "--learning_rate=9", "--seed=7"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == [here["fingerprint"](4), "False", "False"]
    assert ran.stderr == ""
    assert list(tmp_path.iterdir()) == []
    assert here["fingerprint"](4) != here["fingerprint"](5)


def traces() -> dict[str, Any]:
    import torch

    return {
        "numpy": {name: vars(np).get(name) for name in (*ALIASES, "bool", "int", "float", "long")},
        "argv": list(sys.argv),
        "environ": dict(os.environ),
        "logging": logging.root.manager.disable,
        "threads": torch.get_num_threads(),
        "python": random.getstate(),
        "numpy state": hashlib.sha256(np.random.get_state()[1].tobytes()).hexdigest(),
        "torch state": torch.random.get_rng_state().tolist(),
        "cwd": sorted(os.listdir()),
    }


def test_training_leaves_no_side_effects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    factorize("BPR", two_groups(), 20, seed=1, epochs=1, settings=SETTINGS)
    before = traces()
    factorize("BPR", two_groups(), 20, seed=2, epochs=1, settings=SETTINGS)
    assert traces() == before


def test_a_failure_leaves_no_side_effects() -> None:
    before = traces()
    with pytest.raises(ZeroDivisionError), recbole_adapter.isolated(3):
        np.random.seed(1 // 0)
    assert traces() == before


def test_missing_recbole_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, small_public: PublicData
) -> None:
    monkeypatch.setattr(recbole_adapter, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'tasteshift\[recbole\]'"):
        RecboleBprAgent().prepare(small_public)


def test_an_empty_log_is_refused() -> None:
    empty = TrainingLog(3, np.zeros(0, int), np.zeros(0, int), np.zeros(0))
    with pytest.raises(InputError, match="at least one row"):
        factorize("BPR", empty, 5, seed=1, epochs=1, settings=SETTINGS)


def test_the_agent_ranks_by_score_and_unknown_users_by_popularity(small_public: PublicData) -> None:
    log = replace(two_groups(), num_users=31)
    agent = RecboleBprAgent(embedding_size=8, learning_rate=0.01, epochs=30)
    agent.prepare(replace(small_public, log=log))
    turn = Observation(0, 0, 0, 0, 2)
    known = agent.start(Brief(3, 0, 6, 1, 2, "adult")).act(turn).slate
    assert set(known) <= set(range(10))
    assert list(known) == np.argsort(-agent.scores(3), kind="stable")[:6].tolist()
    assert (agent.scores(3)[20:] == -np.inf).all()
    unknown = agent.start(Brief(30, 0, 6, 1, 2, "adult")).act(turn).slate
    count = np.bincount(log.item, minlength=60)
    assert list(unknown) == np.argsort(-count, kind="stable")[:6].tolist()
