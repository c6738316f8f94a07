"""Executors: run episode batches in this process, in joblib workers, or on a Dask cluster."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from threading import Lock, Thread
from time import sleep
from typing import Any

from ...errors import AgentError, InputError
from .batches import EpisodeBatch
from .episode_runner import EpisodeResult
from .worker import AgentSpec, Worker

Results = Generator[list[EpisodeResult], None, None]
"""The results of one batch after the other, in the order in which they end."""

MOST_FAILURES = 3
"""How often in a row the workers may die without finishing a batch."""


@dataclass(frozen=True)
class ExecutorOptions:
    """Where the episodes of a run are played.

    executor   local or dask
    workers    processes; 1 on the local executor is this process
    scheduler  address of the Dask scheduler; None for a cluster of `workers` processes here

    Raises InputError for values that no run could use.
    """

    executor: str = "local"
    workers: int = 1
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.workers, int) or self.workers < 1:
            raise InputError(f"--workers must be at least 1, not {self.workers!r}")
        if self.executor not in ("local", "dask"):
            raise InputError(f"--executor must be local or dask, not {self.executor!r}")
        if self.scheduler is not None and self.executor != "dask":
            raise InputError("--scheduler is for --executor dask; add that or leave it out")


def run_batches(
    spec: AgentSpec, batches: Sequence[EpisodeBatch], options: ExecutorOptions
) -> Results:
    """Play batches with the executor that was asked for."""
    if options.executor == "dask":
        return run_on_dask(spec, batches, options.scheduler, options.workers)
    if options.workers == 1:
        return run_in_process(spec, batches)
    return run_with_joblib(spec, batches, options.workers)


def run_in_process(spec: AgentSpec, batches: Iterable[EpisodeBatch]) -> Results:
    """Play one batch after the other in this process."""
    with ExitStack() as stack:
        worker = Worker(spec)
        stack.callback(worker.close)
        for batch in batches:
            yield worker.run(batch)


def run_with_joblib(spec: AgentSpec, batches: Sequence[EpisodeBatch], workers: int) -> Results:
    """Play batches in `workers` processes, yielding results as they come, in any order.

    The batch of a worker that dies is played again by another. Raises AgentError where workers
    keep dying without finishing a batch.
    """
    from joblib import Parallel, delayed

    left, failures = dict(enumerate(batches)), 0
    while left:
        pool = Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1)
        try:
            jobs = [delayed(_run_numbered)(spec, *item, os.getpid()) for item in left.items()]
            for number, results in pool(jobs):
                del left[number]
                failures = 0
                yield results
        except BrokenExecutor as error:
            failures += 1
            if failures == MOST_FAILURES:
                raise AgentError(
                    f"workers died {MOST_FAILURES} times in a row, perhaps for want of memory; "
                    "use fewer --workers and go on with --resume"
                ) from error


def run_on_dask(
    spec: AgentSpec, batches: Sequence[EpisodeBatch], scheduler: str | None, workers: int
) -> Results:
    """Play batches on the Dask cluster at `scheduler`, or on one of `workers` processes here.

    Dask itself moves work from workers that die. Raises InputError where there is no such
    scheduler, and AgentError where one batch made several workers die.
    """
    import distributed

    dask: Any = distributed
    with ExitStack() as stack:
        client = stack.enter_context(_client(dask, stack, scheduler, workers))
        stack.callback(lambda: client.run(_worker.cache_clear))
        queue = iter(batches)
        window = 2 * max(1, sum(client.nthreads().values()))

        def submit(batch: EpisodeBatch) -> Any:
            return client.submit(run_batch, spec, batch, pure=False, retries=MOST_FAILURES)

        done = dask.as_completed([submit(batch) for batch in islice(queue, window)])
        try:
            for future in done:
                yield future.result()
                future.release()
                done.update([submit(batch) for batch in islice(queue, 1)])
        except dask.KilledWorker as error:
            raise AgentError(
                "several workers died on the same batch of episodes, perhaps for want of memory; "
                "give them more and go on with --resume"
            ) from error


def _client(dask: Any, stack: ExitStack, scheduler: str | None, workers: int) -> Any:
    if scheduler is None:
        cluster = dask.LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs=40
        )
        return dask.Client(stack.enter_context(cluster))
    try:
        return dask.Client(scheduler)
    except (OSError, ValueError) as error:
        why = " ".join(str(error).split())
        raise InputError(f"no Dask scheduler at {scheduler!r}: {why}") from None


def run_batch(spec: AgentSpec, batch: EpisodeBatch) -> list[EpisodeResult]:
    """Play one batch with the `Worker` of this process."""
    with _lock:
        return _worker(spec).run(batch)


def _run_numbered(
    spec: AgentSpec, number: int, batch: EpisodeBatch, parent: int
) -> tuple[int, list[EpisodeResult]]:
    if parent != os.getpid():
        _exit_with_parent(parent)
    return number, run_batch(spec, batch)


@lru_cache(maxsize=1)
def _exit_with_parent(parent: int) -> None:
    """End this worker soon after process `parent`, which may be killed without notice."""

    def watch() -> None:
        while os.getppid() == parent:
            sleep(0.5)
        os._exit(1)

    Thread(target=watch, daemon=True).start()


@lru_cache(maxsize=1)
def _worker(spec: AgentSpec) -> Worker:
    """One `Worker` per process and run."""
    return Worker(spec)


_lock = Lock()
"""Threads of one Dask worker take turns: they share one `Worker`."""
