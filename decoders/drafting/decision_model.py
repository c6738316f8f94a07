"""Decision models: whether a draft model's next guess is likely to be accepted.

Lu et al. 2024, arXiv 2409.10644, give two small networks over what the draft knows at a node:
``soft`` reads its last hidden state and was taught min(1, p(x)/q(x)) of the token x drawn there;
``hard`` reads the entropy and the ten largest probabilities of its law and was taught whether
the target took its best token. ``training/decision.py`` teaches both for a pair.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from ...errors import InputError
from ..base import ModelPair

Kind = Literal["soft", "hard"]
KINDS: tuple[Kind, ...] = ("soft", "hard")

FOLDER = Path(__file__).parents[1] / "weights"

TOP = 10
"""Probabilities that the hard model reads."""


@dataclass(frozen=True, eq=False)
class DecisionModel:
    """A perceptron with one output, its logit, and what it reads.

    kind     ``soft`` or ``hard``
    network  (rows, features) -> (rows, 1), in eval mode
    """

    kind: Kind
    network: nn.Sequential

    def __call__(self, logits: Tensor, hidden: Tensor | None) -> Tensor:
        """Chances in 0 … 1, (rows,), that the tokens drawn at these rows are accepted.

        logits  (rows, vocabulary) of the draft
        hidden  (rows, hidden size) its last hidden states; only ``soft`` reads them
        """
        read = hidden if self.kind == "soft" else distribution_features(logits)
        assert read is not None
        with torch.inference_mode():
            chances: Tensor = self.network(read).sigmoid().squeeze(-1)
        return chances

    def on(self, device: torch.device) -> DecisionModel:
        """The model, or a copy of it, on a device."""
        if next(self.network.parameters()).device == device:
            return self
        return replace(self, network=copy.deepcopy(self.network).to(device))

    @property
    def features(self) -> int:
        """How many numbers a row has."""
        return sizes_of(self.network.state_dict())[0]

    @cached_property
    def hash(self) -> str:
        """SHA-256, hexadecimal, of the weights."""
        digest = hashlib.sha256(self.kind.encode())
        for name, weight in sorted(self.network.state_dict().items()):
            digest.update(f"{name} {tuple(weight.shape)}\n".encode())
            digest.update(weight.contiguous().cpu().numpy().tobytes())
        return digest.hexdigest()


def distribution_features(logits: Tensor) -> Tensor:
    """Entropy in nats and the `TOP` largest probabilities at temperature 1: (rows, 11).

    A vocabulary of fewer tokens is filled up with zeros.
    """
    law = logits.softmax(-1)
    entropy = -law.xlogy(law).sum(-1, keepdim=True)
    likeliest = law.topk(min(TOP, law.shape[-1]), dim=-1).values
    missing = TOP - likeliest.shape[-1]
    return torch.cat((entropy, functional.pad(likeliest, (0, missing))), dim=-1)


def layer_sizes(kind: Kind, hidden: int) -> tuple[int, ...]:
    """Widths of the layers, as the authors have them for a draft 768 wide: 512, 256; and 44."""
    return (hidden, 2 * hidden // 3, hidden // 3, 1) if kind == "soft" else (1 + TOP, 44, 1)


def perceptron(sizes: Sequence[int]) -> nn.Sequential:
    """Linear layers with ReLU between them; the last gives the logit of a chance."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def sizes_of(weights: dict[str, torch.Tensor]) -> tuple[int, ...]:
    """Widths of the layers that these weights are of."""
    shapes = [weight.shape for weight in weights.values() if weight.ndim == 2]
    return (*(int(shape[1]) for shape in shapes), 1)


def path_for(pair: str, folder: Path = FOLDER) -> Path:
    """Where the decision models of a pair of this name lie, if the package has them."""
    return folder / f"{pair}-decision.safetensors"


def mark_of(pair: ModelPair) -> str:
    """SHA-256, hexadecimal, of the draft's vectors, its norms: tells one training from another.

    Taken in bfloat16, so that a draft which was stored so has one mark in every precision.
    """
    digest = hashlib.sha256()
    for name, weight in sorted(pair.draft.state_dict().items()):
        if weight.ndim == 1:
            digest.update(name.encode())
            digest.update(weight.cpu().to(torch.bfloat16).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save(models: Sequence[DecisionModel], path: Path, pair: ModelPair) -> None:
    """Write one model of each kind into one file, marked with the pair that they were taught on."""
    save_file(
        {
            f"{model.kind}.{name}": weight.contiguous()
            for model in models
            for name, weight in model.network.state_dict().items()
        },
        path,
        metadata={"pair": mark_of(pair)},
    )


def taught_on(pair: ModelPair, path: Path) -> bool:
    """Whether a file of decision models is there and was taught on this very pair."""
    try:
        with safe_open(path, "pt") as file:
            return (file.metadata() or {}).get("pair") == mark_of(pair)
    except (OSError, SafetensorError):
        return False


def load(path: Path, kind: Kind) -> DecisionModel:
    """The model of one kind in a file that `save` wrote; raises InputError where there is none."""
    try:
        weights = {
            name.removeprefix(f"{kind}."): weight.float()
            for name, weight in sorted(load_file(path).items())
            if name.startswith(f"{kind}.")
        }
        if not weights:
            raise KeyError(kind)
        with torch.device("meta"):
            network = perceptron(sizes_of(weights))
        network.load_state_dict(weights, assign=True)
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"no {kind} decision model in {path} ({reason}); train one with training/decision.py"
        ) from None
    network.train(False)
    return DecisionModel(kind, network)
