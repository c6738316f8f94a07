"""Measure what passes cost on this machine, once for each device and shape of a pair.

Measured profiles are kept between runs, so that a decoder drafts tomorrow as it does today. They
are part of a run's identity; to get the same trees on two machines, give a decoder its `profile`.

    python -m tasteshift.decoders.drafting.cost_measurement PAIR
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch

from ...errors import InputError
from ...storage import atomic_path, folder
from ..base import ModelPair, torch_threads
from ..execution.fixed_shapes import has_fixed_shapes
from ..execution.reader import Reader
from ..sampling.distribution import Sampling
from .cost_profile import ROWS, CostProfile

PASSES_VERSION = 2
"""Raised when passes of the same models come to cost something else."""

MAX_SECONDS = 20.0
"""Time after which no size is measured again."""


_known: dict[str, CostProfile] = {}


def measured_profile(pair: ModelPair) -> CostProfile:
    """The profile of such a pair here: known to this process, stored on disk, or measured now.

    On a CPU one thread is timed, whatever a decoder will use: the ratios hardly depend on it.
    Where several processes measure at once, all use the result of the first to end.
    """
    key = profile_key(pair)
    text = json.dumps(key, sort_keys=True)
    name = hashlib.sha256(text.encode()).hexdigest()[:24]
    path = folder() / "profiles" / f"{name}.json"
    if path.name not in _known:
        found = _stored(path)
        if found is None:
            found = measure(pair, context=min(256, pair.context // 2), threads=1)
            _store(path, {"profile": found.config(), "of": key})
            found = _stored(path) or found
        _known[path.name] = found
    return _known[path.name]


def profile_key(pair: ModelPair) -> dict[str, Any]:
    """What the cost of a pass depends on, as JSON values: shapes, type, device and torch."""
    device = pair.target.device
    if device.type == "cuda":
        hardware = torch.cuda.get_device_name(device)
    else:
        hardware = f"{device.type} {platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    shapes = [
        [model.config.get_text_config().to_diff_dict(), model.num_parameters()]
        for model in (pair.target, pair.draft)
    ]
    key = {
        "passes": PASSES_VERSION,
        "device": hardware,
        "type": str(pair.target.dtype),
        "models": shapes,
    }
    values: dict[str, Any] = json.loads(
        json.dumps({**key, "torch": torch.__version__}, default=str)
    )
    return values


def _stored(path: Path) -> CostProfile | None:
    with suppress(OSError, ValueError, KeyError, TypeError, InputError):
        return CostProfile(**json.loads(path.read_text(encoding="utf-8"))["profile"])
    return None


def _store(path: Path, content: dict[str, Any]) -> None:
    """Store a profile where the disk allows it and no other process has; replace a broken file."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError), atomic_path(path, overwrite=False) as temporary:
            temporary.write_text(json.dumps(content, indent=2), encoding="utf-8")
            if _stored(path) is None:
                path.unlink(missing_ok=True)


def measure(
    pair: ModelPair,
    *,
    context: int = 512,
    rows: Sequence[int] = ROWS,
    repeats: int = 9,
    threads: int | None = None,
) -> CostProfile:
    """Time passes of a pair on this machine.

    context  tokens of text before each pass
    rows     numbers of rows to time
    repeats  passes of each size, at most; sizes alternate, and the median is taken
    threads  torch's intra-op threads; None leaves them

    Measure on a quiet machine: later drafts depend on the profile.
    """
    text = np.random.default_rng(0).integers(0, pair.vocabulary, context + max(rows)).tolist()
    sampling = Sampling(temperature=1.0)
    found: dict[tuple[str, int], list[float]] = {}
    with torch.inference_mode(), torch_threads(threads):
        readers = {"target": Reader(pair.target), "draft": Reader(pair.draft)}
        for reader in readers.values():
            reader.begin(tuple(text[:context]), max(rows))
        begin = perf_counter()
        for repeat in range(repeats + 1):
            if repeat and perf_counter() - begin > MAX_SECONDS:
                break
            for count in rows:
                for name, reader in readers.items():
                    started = perf_counter()
                    logits = reader.feed(text[context : context + count])
                    reader.commit([])
                    scores = sampling.probs(logits[-1]) if name == "draft" else logits[-1]
                    scores.topk(min(4, pair.vocabulary)).indices.tolist()
                    found.setdefault((name, count), []).append(perf_counter() - started)
    cost = {key: round(1e3 * median(times[1:] or times), 3) for key, times in found.items()}
    return CostProfile(
        rows=tuple(rows),
        target=tuple(max(cost["target", count], 1e-3) for count in rows),
        draft=tuple(max(cost["draft", count], 1e-3) for count in rows),
        steps=has_fixed_shapes(pair.target),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the profile of a pair, as `stored_profiles.STORED` has it."""
    parser = argparse.ArgumentParser(description="measure what a pass of a pair's models costs")
    parser.add_argument("pair")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--context", type=int, default=512)
    given = parser.parse_args(arguments)
    from ..pairs.load import load

    pair = load(given.pair, given.device)
    print(measure(pair, context=given.context, threads=given.threads))


if __name__ == "__main__":
    main()
