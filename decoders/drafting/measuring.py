"""Measuring what passes cost on the machine at hand, once for each device and shape of a pair.

What was measured is kept between runs, so that a decoder drafts tomorrow as it does today. It is
part of a run's identity; who wants the same on two machines gives a decoder its `profile`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
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
from ...storage import folder
from ..base import ModelPair, torch_threads
from ..execution.fixed_shapes import has_fixed_shapes
from ..execution.reader import Reader
from ..sampling.distribution import Sampling
from .profile import ROWS, Profile

PASSES = 2
"""Rises when the passes of the same models come to cost something else."""

LONGEST = 20.0
"""Seconds after which no size is timed again."""


_known: dict[str, Profile] = {}


def measured(pair: ModelPair) -> Profile:
    """What passes of such a pair cost here: as found before in this process, on disk, or now.

    On a CPU one thread is timed, whatever a decoder will use: the ratios hardly depend on it.
    Of several processes that measure at once the first to end is believed by all.
    """
    facts = facts_of(pair)
    text = json.dumps(facts, sort_keys=True)
    name = hashlib.sha256(text.encode()).hexdigest()[:24]
    path = folder() / "profiles" / f"{name}.json"
    if path.name not in _known:
        found = _read(path)
        if found is None:
            found = measure(pair, context=min(256, pair.context // 2), threads=1)
            _write(path, {"profile": found.config(), "of": facts})
            found = _read(path) or found
        _known[path.name] = found
    return _known[path.name]


def facts_of(pair: ModelPair) -> dict[str, Any]:
    """What decides the cost of a pass, as JSON values: shapes, type, device and torch."""
    device = pair.target.device
    if device.type == "cuda":
        there = torch.cuda.get_device_name(device)
    else:
        there = f"{device.type} {platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    shapes = [
        [model.config.get_text_config().to_diff_dict(), model.num_parameters()]
        for model in (pair.target, pair.draft)
    ]
    facts = {"passes": PASSES, "device": there, "type": str(pair.target.dtype), "models": shapes}
    read: dict[str, Any] = json.loads(
        json.dumps({**facts, "torch": torch.__version__}, default=str)
    )
    return read


def _read(path: Path) -> Profile | None:
    with suppress(OSError, ValueError, KeyError, TypeError, InputError):
        return Profile(**json.loads(path.read_text(encoding="utf-8"))["profile"])
    return None


def _write(path: Path, told: dict[str, Any]) -> None:
    """Keep it, where the disk allows that and nobody was quicker; what is broken is replaced."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(told, indent=2), encoding="utf-8")
        try:
            if _read(path) is None:
                path.unlink(missing_ok=True)
            with suppress(FileExistsError):
                os.link(temporary, path)
        finally:
            temporary.unlink()


def measure(
    pair: ModelPair,
    *,
    context: int = 512,
    rows: Sequence[int] = ROWS,
    repeats: int = 9,
    threads: int | None = None,
) -> Profile:
    """Time passes of a pair on the machine at hand.

    context  tokens of text before each pass
    rows     numbers of rows to time
    repeats  passes of each size, at most; sizes take turns, and the median counts
    threads  torch's intra-op threads; None leaves them

    Measure on a quiet machine: the profile decides what a decoder drafts from then on.
    """
    text = np.random.default_rng(0).integers(0, pair.vocabulary, context + max(rows)).tolist()
    sampling = Sampling(temperature=1.0)
    found: dict[tuple[str, int], list[float]] = {}
    with torch.inference_mode(), torch_threads(threads):
        readers = {"target": Reader(pair.target), "draft": Reader(pair.draft)}
        for reader in readers.values():
            reader.begin(tuple(text[:context]), max(rows))
        begun = perf_counter()
        for turn in range(repeats + 1):
            if turn and perf_counter() - begun > LONGEST:
                break
            for count in rows:
                for name, reader in readers.items():
                    started = perf_counter()
                    logits = reader.feed(text[context : context + count])
                    reader.commit([])
                    law = sampling.probs(logits[-1]) if name == "draft" else logits[-1]
                    law.topk(min(4, pair.vocabulary)).indices.tolist()
                    found.setdefault((name, count), []).append(perf_counter() - started)
    cost = {key: round(1e3 * median(times[1:] or times), 3) for key, times in found.items()}
    return Profile(
        rows=tuple(rows),
        target=tuple(max(cost["target", count], 1e-3) for count in rows),
        draft=tuple(max(cost["draft", count], 1e-3) for count in rows),
        steps=has_fixed_shapes(pair.target),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the profile of a pair, as `costs.STORED` has it."""
    parser = argparse.ArgumentParser(description="measure what a pass of a pair's models costs")
    parser.add_argument("pair")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--context", type=int, default=512)
    given = parser.parse_args(arguments)
    from .. import load_pair

    pair = load_pair(given.pair, device=given.device)
    print(measure(pair, context=given.context, threads=given.threads))


if __name__ == "__main__":
    main()
