"""Measuring what passes cost on the machine at hand, once for each device and shape of a pair.

What was measured is kept between runs, so that a decoder drafts tomorrow as it does today.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch

from ...errors import InputError
from ...storage import folder
from ..base import ModelPair, torch_threads
from ..fixed import has_fixed_shapes
from ..reader import Reader
from ..sampling import Sampling
from .profile import ROWS, Profile, stored_profile

LONGEST = 20.0
"""Seconds after which no further pass is timed, but for the first two of each size."""


def with_profile(pair: ModelPair) -> ModelPair:
    """The pair with a measured profile, found on disk or made now; as it is if one is stored.

    On a CPU one thread is timed, whatever a decoder will use: the ratios hardly depend on it.
    """
    if stored_profile(pair) is not None:
        return pair
    facts = facts_of(pair)
    text = json.dumps(facts, sort_keys=True)
    name = hashlib.sha256(text.encode()).hexdigest()[:24]
    path = folder() / "profiles" / f"{name}.json"
    with suppress(OSError, ValueError, KeyError, TypeError, InputError):
        return replace(pair, profile=Profile(**json.loads(path.read_text())["profile"]))
    found = measure(pair, context=min(512, pair.context // 2), threads=1)
    with suppress(OSError):
        _write(path, {"profile": found.config(), "of": facts})
    return replace(pair, profile=found)


def facts_of(pair: ModelPair) -> dict[str, Any]:
    """What decides the cost of a pass, as JSON values: shapes, type, device and torch."""
    device = pair.target.device
    there = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    models = {"target": pair.target, "draft": pair.draft}
    shapes = {
        name: [model.config.get_text_config().to_diff_dict(), model.num_parameters()]
        for name, model in models.items()
    }
    facts = {"device": there, "type": str(pair.target.dtype), "torch": torch.__version__}
    read: dict[str, Any] = json.loads(json.dumps({**facts, **shapes}, default=str))
    return read


def _write(path: Path, told: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(told, indent=2), encoding="utf-8")
    os.replace(temporary, path)


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
            if turn > 1 and perf_counter() - begun > LONGEST:
                break
            for count in rows:
                for name, reader in readers.items():
                    started = perf_counter()
                    logits = reader.feed(text[context : context + count])
                    reader.commit([])
                    if name == "draft":
                        torch.from_numpy(sampling.law(logits[-1])).topk(min(4, pair.vocabulary))
                    found.setdefault((name, count), []).append(perf_counter() - started)
    cost = {key: round(1e3 * median(times[1:]), 3) for key, times in found.items()}
    return Profile(
        rows=tuple(rows),
        target=tuple(max(cost["target", count], 1e-3) for count in rows),
        draft=tuple(max(cost["draft", count], 1e-3) for count in rows),
        steps=has_fixed_shapes(pair.target),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the profile of a pair, as `profile.STORED` has it."""
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
