"""Adapter to RecBole (Zhao et al. 2021): training a factorization on a log, without side effects.

RecBole 1.2.1 expects the aliases that numpy 2 dropped, reads the command line of the importing
program, reseeds the global generators, writes into the working directory and changes the
environment. All of that happens inside `isolated` and is undone when it ends.
"""

from __future__ import annotations

import logging
import os
import random
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..envs.catalogs.public import TrainingLog
from ..errors import InputError

DATASET = "log"
ALIASES: dict[str, type] = {
    "bool8": np.bool_,
    "complex_": np.complex128,
    "float_": np.float64,
    "int_": np.int64,
    "object_": np.object_,
    "str_": np.str_,
    "unicode_": np.str_,
}
"""Names that RecBole reads from numpy and that numpy 2 may not have."""

SHADOWED = ("bool", "int", "float", "complex", "object", "str", "long", "unicode")
"""Names that RecBole's Config puts into numpy."""


@dataclass(frozen=True, eq=False)
class Factors:
    """Vectors of a matrix factorization; rows that the log does not have are NaN.

    user  (num_users, d), item: (n, d)
    """

    user: NDArray[np.float64]
    item: NDArray[np.float64]


def factorize(
    model: str,
    log: TrainingLog,
    num_items: int,
    seed: int,
    epochs: int,
    settings: Mapping[str, Any],
) -> Factors:
    """Train RecBole's `model` on the log's choices; the same arguments give the same bytes.

    model     name of a RecBole model with user_embedding and item_embedding, such as BPR
    settings  RecBole's parameters, such as embedding_size; others keep RecBole's defaults

    Raises InputError where RecBole is missing or the log is empty.
    """
    _require_recbole()
    if len(log) == 0:
        raise InputError(f"RecBole's {model} needs a training log with at least one row")
    with isolated(seed) as folder:
        _write_interactions(log, folder)
        return _train(model, log.num_users, num_items, _options(folder, seed, settings), epochs)


def _require_recbole() -> None:
    if find_spec("recbole") is None or find_spec("torch") is None:
        raise InputError(
            "RecBole's models need recbole, which is not installed; "
            "run: pip install 'tasteshift[recbole]' -c constraints.txt"
        )


@contextmanager
def isolated(seed: int) -> Iterator[Path]:
    """A scratch folder, seeded global generators, one torch thread; restores all of it."""
    import torch

    state = random.getstate(), np.random.get_state(), torch.get_num_threads()
    numpy_before, argv, environ = dict(vars(np)), sys.argv, dict(os.environ)
    logging_before = logging.root.manager.disable
    with TemporaryDirectory() as folder, warnings.catch_warnings(), torch.random.fork_rng([]):
        try:
            warnings.simplefilter("ignore")
            logging.disable(logging.WARNING)
            sys.argv = sys.argv[:1] or [""]
            for name, target in ALIASES.items():
                setattr(np, name, target)
            torch.set_num_threads(1)
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)
            random.seed(seed)
            yield Path(folder)
        finally:
            random.setstate(state[0])
            np.random.set_state(state[1])
            torch.set_num_threads(state[2])
            logging.disable(logging_before)
            sys.argv = argv
            _restore(vars(np), numpy_before, (*ALIASES, *SHADOWED))
            _restore(os.environ, environ, ("CUDA_VISIBLE_DEVICES",))


def _restore(now: Any, before: Mapping[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        if name in before:
            now[name] = before[name]
        else:
            now.pop(name, None)


def _options(folder: Path, seed: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "data_path": str(folder),
        "checkpoint_dir": str(folder),
        "load_col": {"inter": ["user_id", "item_id"]},
        "eval_args": {"split": {"RS": [1, 0, 0]}, "group_by": None, "order": "RO", "mode": "full"},
        "gpu_id": "",
        "use_gpu": False,
        "seed": seed % 2**32,
        "show_progress": False,
        **settings,
    }


def _write_interactions(log: TrainingLog, folder: Path) -> None:
    """RecBole's atomic file, with row numbers as tokens."""
    lines = (f"{user}\t{item}\n" for user, item in zip(log.user, log.item, strict=True))
    path = folder / DATASET / f"{DATASET}.inter"
    path.parent.mkdir()
    path.write_text("user_id:token\titem_id:token\n" + "".join(lines), encoding="utf-8")


def _train(
    model: str, num_users: int, num_items: int, options: dict[str, Any], epochs: int
) -> Factors:
    """Adam on the model's own loss and sampler, as RecBole's trainer does it, without files."""
    import torch
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.utils import get_model

    config = Config(model=model, dataset=DATASET, config_dict=options)
    dataset = create_dataset(config)
    batches, _, _ = data_preparation(config, dataset)
    network = get_model(model)(config, batches.dataset)
    optimizer = torch.optim.Adam(network.parameters(), lr=config["learning_rate"])
    network.train()
    for _ in range(epochs):
        for batch in batches:
            optimizer.zero_grad()
            network.calculate_loss(batch).backward()
            optimizer.step()
    return Factors(
        _by_row(dataset, "user_id", network.user_embedding, num_users),
        _by_row(dataset, "item_id", network.item_embedding, num_items),
    )


def _by_row(dataset: Any, field: str, embedding: Any, rows: int) -> NDArray[np.float64]:
    """An embedding in the order of the log's rows; RecBole's row 0 is padding."""
    weight = embedding.weight.detach().numpy()
    row = dataset.id2token(field, np.arange(1, len(weight))).astype(np.int64)
    factors = np.full((rows, weight.shape[1]), np.nan)
    factors[row] = weight[1:]
    return factors
