"""Scoring an attempt: from its answers to a run directory, its scores, and a verified run.

Episodes become the files of an ordinary run, which the code that scores, reports and replays every
run then reads.
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
from ..keys import attempt_key
from ..rejection import VerificationError
from ..verification.decoding_rounds import check_rounds
from ..verification.recorded_run import read_run, recorded_episodes
from ..verification.replay import replay
from ..verification.verify import VerifiedRun, verified_run
from .attempt import Attempt, StoredAnswer
from .messages import answer_from

MISSING_ANSWER = Decision(None, "timeout", "the episode was not played to its end")
"""In place of every answer that was not given: an abstention, and a fault of the agent."""


def conclude_attempt(
    attempt: Attempt,
    about: Mapping[str, Any],
    answers: Mapping[int, Sequence[StoredAnswer]],
    folder: Path,
    *,
    progress: ProgressFactory | None = None,
) -> VerifiedRun:
    """Replay an attempt's answers, run the reference policies, write the run, and score it.

    about     what was declared at its start: agent, agent_config, decoder, pair
    answers   by number of the episode; whatever is missing counts as MISSING_ANSWER
    folder    of the run directory; one that holds part of this run is resumed
    progress  as in `evaluate`: called with the number of episodes

    Raises InputError where the folder holds anything else.
    """
    run = RunDirectory.resume(folder, _manifest(attempt, about))
    with closing(run):
        if not run.finished:
            with (progress or no_progress)(len(attempt.episode_tasks)) as advance:
                _run_episodes(run, attempt, answers, advance)
            score_and_finish(run, [task.name for task in attempt.tasks])
    recorded = read_run(folder)
    episodes = recorded_episodes(recorded, attempt.suite, attempt.tasks)
    return verified_run(recorded, attempt.suite, episodes, level="hidden-seed", cluster="seed")


def check_attempt(
    secret: bytes, attempt_id: str, run_dir: str | Path, *, progress: ProgressFactory | None = None
) -> VerifiedRun:
    """Replay a concluded attempt from the secret that its season has published.

    Anybody can do this: catalogs and seeds are derived again from the secret, every episode of
    the agent is replayed, every reference policy runs again, and all must match bit for bit. That
    the secret is the season's is for the caller to check (`keys.commitment`).

    Raises VerificationError at the first difference, and InputError for a bad secret or id.
    """
    path, key = Path(run_dir), attempt_key(secret, attempt_id)
    recorded = read_run(path)
    identity = recorded.manifest.identity
    played = {episode.task for episode in read_episodes(path)}
    attempt = Attempt(identity.suite, key, attempt_id)
    if played <= {task.name for task in attempt.tasks if task.language_models}:
        attempt = Attempt(identity.suite, key, attempt_id, only_language_models=True)
    expected = _manifest(attempt, asdict(identity))
    if recorded.manifest.identity != expected.identity:
        raise VerificationError(
            "manifest.json: identity is not that of this attempt in this season"
        )
    if recorded.manifest.suite != expected.suite:
        raise VerificationError("manifest.json: suite is not that of this attempt in this season")
    episodes = recorded_episodes(recorded, attempt.suite, attempt.tasks)
    for one, episode in episodes.items():
        check_rounds(one, episode, identity.decoder)
    with (progress or no_progress)(len(episodes)) as advance:
        replay(played_suite(attempt), episodes, advance)
    return verified_run(recorded, attempt.suite, episodes, level="hidden-seed", cluster="seed")


def played_suite(attempt: Attempt) -> Suite:
    """The attempt's tasks as a suite of ordinary tasks, without their keys."""
    return replace(attempt.suite, tasks=tuple(task.without_key() for task in attempt.tasks))


def _manifest(attempt: Attempt, about: Mapping[str, Any]) -> Manifest:
    """Identity with the public suite's name and hash, so that attempts compare."""
    identity = Identity(
        suite=attempt.suite.id,
        suite_hash=attempt.suite.hash(),
        simulator_version=SIMULATOR_VERSION,
        agent=about["agent"],
        agent_config=about["agent_config"],
        decoder=about["decoder"],
        pair=about["pair"],
        pair_hash="",
        catalogs={task.catalog: load_data(task.catalog).public.hash for task in attempt.tasks},
        seeds=tuple(attempt.episode_key(k)[1] for k in range(len(attempt.episode_tasks))),
    )
    where = {**provenance(), "track": "hidden-seed", "attempt": attempt.name}
    suite = played_suite(attempt).to_dict()
    return Manifest(FORMAT_VERSION, identity, sha256(asdict(identity)), suite, where)


def _run_episodes(
    run: RunDirectory,
    attempt: Attempt,
    answers: Mapping[int, Sequence[StoredAnswer]],
    advance: ProgressCallback,
) -> None:
    names = sorted({name for task in attempt.tasks for name in task.references})
    references = tuple((name, pickled(make_agent(name))) for name in names)
    worker = Worker(AgentSpec(b"", references, isolated=False))
    for episode, index in enumerate(attempt.episode_tasks):
        task, episode_key = attempt.tasks[index], attempt.episode_key(episode)
        keys: list[EpisodeKey] = [
            (*episode_key, policy) for policy in task.policies if policy != AGENT
        ]
        if not run.done.issuperset([(*episode_key, AGENT), *keys]):
            run.add(_replayed(attempt, episode, answers.get(episode, ())))
            for reference in worker.run(EpisodeBatch(task, tuple(keys))):
                run.add(reference)
        advance(task.name)


def _replayed(attempt: Attempt, episode: int, answers: Sequence[StoredAnswer]) -> EpisodeResult:
    """The agent's episode with its answers, and without any to its end."""
    runner = attempt.new_runner(episode)
    decisions = (answer_from(answer).decision() for answer in answers)
    while not runner.done:
        runner.step(next(decisions, MISSING_ANSWER))
    return runner.result()
