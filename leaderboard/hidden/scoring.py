"""From the answers of an attempt to a run directory, its scores, and what a board may keep.

Nothing is scored in a way of its own: lives become the files of an ordinary run, which the code
that scores, reports and replays every run then reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ...agents import make_agent
from ...envs.catalogs.load import load_data
from ...envs.simulator.world import SIMULATOR_VERSION
from ...records import AGENT, EpisodeKey, Identity, Manifest
from ...suites.engine.batches import EpisodeBatch
from ...suites.engine.decision_source import Decision
from ...suites.engine.episode_runner import EpisodeResult
from ...suites.engine.pickling import pickled
from ...suites.engine.progress import ProgressCallback, ProgressFactory, no_progress
from ...suites.engine.provenance import provenance
from ...suites.engine.run_directory.reader import read_episodes
from ...suites.engine.run_directory.schema import FORMAT_VERSION
from ...suites.engine.run_directory.writer import RunDirectory
from ...suites.engine.scoring import score_and_finish
from ...suites.engine.worker import AgentSpec, Worker
from ...suites.serialization import sha256
from ...suites.suite import Suite
from ..verification.decoding_rounds import check_rounds
from ..verification.recorded_run import read_run, recorded_episodes
from ..verification.rejection import VerificationError
from ..verification.replay import replay
from ..verification.verify import VerifiedRun, verified_run
from .attempt import Attempt, Turn
from .keys import world_key
from .messages import decision_from

UNPLAYED = Decision(None, "timeout", "the life was not played to its end")
"""Stands for every answer that never came: an abstention, and a fault of the agent."""


def conclude_attempt(
    attempt: Attempt,
    about: Mapping[str, Any],
    turns: Mapping[int, Sequence[Turn]],
    folder: Path,
    *,
    progress: ProgressFactory | None = None,
) -> VerifiedRun:
    """Live an attempt's answers and its companions, write the run, and score it.

    about   what was said when it began: agent, agent_config, decoder, pair
    turns   the answers to every life by its number; whatever is missing counts as UNPLAYED
    folder  of the run directory; one that holds part of this run is gone on with
    watch   as in `evaluate`

    Raises InputError where the folder holds anything else.
    """
    run = RunDirectory.resume(folder, _manifest(attempt, about))
    with closing(run):
        if not run.finished:
            ahead = len(attempt.lives)
            with (progress or no_progress)(ahead) as tick:
                _live(run, attempt, turns, tick)
            score_and_finish(run, [world.name for world in attempt.worlds])
    recorded = read_run(folder)
    lives = recorded_episodes(recorded, attempt.suite, attempt.worlds)
    return verified_run(recorded, attempt.suite, lives, level="hidden-seed", cluster="seed")


def check_attempt(
    secret: bytes, attempt_id: str, run_dir: str | Path, *, progress: ProgressFactory | None = None
) -> VerifiedRun:
    """Live a concluded attempt again, from the secret that its season has published.

    Anybody can do this: the worlds are drawn afresh from the secret, every life of the agent is
    replayed and every companion lives again, and all must match bit for bit. That the secret is
    the season's is for the caller to see (`season.commitment`).

    Raises VerificationError at the first thing that differs, and InputError for a bad secret or id.
    """
    path, key = Path(run_dir), world_key(secret, attempt_id)
    recorded = read_run(path)
    identity = recorded.manifest.identity
    played = {episode.task for episode in read_episodes(path)}
    attempt = Attempt(identity.suite, key, attempt_id)
    slow = {world.name for world in attempt.worlds if world.language_models}
    if played <= slow:
        attempt = Attempt(identity.suite, key, attempt_id, only_language_models=True)
    expected = _manifest(attempt, asdict(identity))
    if recorded.manifest.identity != expected.identity:
        raise VerificationError(
            "manifest.json: identity is not that of this attempt in this season"
        )
    if recorded.manifest.suite != expected.suite:
        raise VerificationError("manifest.json: suite is not that of this attempt in this season")
    lives = recorded_episodes(recorded, attempt.suite, attempt.worlds)
    for one, life in lives.items():
        check_rounds(one, life, identity.decoder)
    with (progress or no_progress)(len(lives)) as tick:
        replay(suite_of(attempt), lives, tick)
    return verified_run(recorded, attempt.suite, lives, level="hidden-seed", cluster="seed")


def suite_of(attempt: Attempt) -> Suite:
    """What was played, as a suite of ordinary tasks whose document can be written down."""
    return replace(attempt.suite, tasks=tuple(world.plain() for world in attempt.worlds))


def _manifest(attempt: Attempt, about: Mapping[str, Any]) -> Manifest:
    """The public suite's name and hash, so that attempts compare; the worlds as they were."""
    identity = Identity(
        suite=attempt.suite.id,
        suite_hash=attempt.suite.hash(),
        simulator_version=SIMULATOR_VERSION,
        agent=about["agent"],
        agent_config=about["agent_config"],
        decoder=about["decoder"],
        pair=about["pair"],
        pair_hash="",
        catalogs={world.catalog: load_data(world.catalog).public.hash for world in attempt.worlds},
        seeds=tuple(attempt.life(life)[1] for life in range(len(attempt.lives))),
    )
    where = {**provenance(), "track": "hidden-seed", "attempt": attempt.name}
    suite = suite_of(attempt).to_dict()
    return Manifest(FORMAT_VERSION, identity, sha256(asdict(identity)), suite, where)


def _live(
    run: RunDirectory, attempt: Attempt, turns: Mapping[int, Sequence[Turn]], tick: ProgressCallback
) -> None:
    names = sorted({name for world in attempt.worlds for name in world.references})
    references = tuple((name, pickled(make_agent(name))) for name in names)
    worker = Worker(AgentSpec(b"", references, isolated=False))
    for life, world in enumerate(attempt.lives):
        task, life_key = attempt.worlds[world], attempt.life(life)
        keys: list[EpisodeKey] = [
            (*life_key, policy) for policy in task.policies if policy != AGENT
        ]
        if not run.done.issuperset([(*life_key, AGENT), *keys]):
            run.add(_lived(attempt, life, turns.get(life, ())))
            for reference in worker.run(EpisodeBatch(task, tuple(keys))):
                run.add(reference)
        tick(task.name)


def _lived(attempt: Attempt, life: int, turns: Sequence[Turn]) -> EpisodeResult:
    """The agent's life as its answers have it, and to its end without any."""
    living = attempt.living(life)
    decisions = map(decision_from, map(dict, turns))
    while not living.done:
        living.step(next(decisions, UNPLAYED))
    return living.result()
