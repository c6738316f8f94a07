"""Decision models: the probability that a draft model's next token is accepted.

Lu et al. 2024, arXiv 2409.10644, give two small networks over what the draft model computes at a
node: ``soft`` reads its last hidden state and was trained on min(1, p(x)/q(x)) of the token x drawn
there; ``hard`` reads the entropy and the ten largest probabilities of q and was trained on whether
the target's token was the draft's best. ``training/decision.py`` trains both for a pair.
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

OFF = "off"
"""The option that stands for no decision model."""

FOLDER = Path(__file__).parents[1] / "weights"

TOP = 10
"""Number of probabilities that the hard model reads."""


@dataclass(frozen=True, eq=False)
class DecisionModel:
    """A perceptron whose one output is the logit of an acceptance probability.

    kind     ``soft`` or ``hard``
    network  (rows, features) -> (rows, 1), in eval mode
    """

    kind: Kind
    network: nn.Sequential

    def __call__(self, logits: Tensor, hidden: Tensor | None) -> Tensor:
        """Probabilities in 0 … 1, (rows,), that the tokens drawn at these rows are accepted.

        logits  (rows, vocabulary) of the draft model
        hidden  (rows, hidden size) its last hidden states; only ``soft`` reads them
        """
        features = hidden if self.kind == "soft" else distribution_features(logits)
        assert features is not None
        with torch.inference_mode():
            accept_prob: Tensor = self.network(features).sigmoid().squeeze(-1)
        return accept_prob

    def on(self, device: torch.device) -> DecisionModel:
        """The model, or a copy of it, on a device."""
        if next(self.network.parameters()).device == device:
            return self
        return replace(self, network=copy.deepcopy(self.network).to(device))

    @property
    def features(self) -> int:
        """Number of input features per row."""
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

    A smaller vocabulary is padded with zeros.
    """
    probs = logits.softmax(-1)
    entropy = -probs.xlogy(probs).sum(-1, keepdim=True)
    largest = probs.topk(min(TOP, probs.shape[-1]), dim=-1).values
    missing = TOP - largest.shape[-1]
    return torch.cat((entropy, functional.pad(largest, (0, missing))), dim=-1)


def layer_sizes(kind: Kind, hidden: int) -> tuple[int, ...]:
    """Layer widths, in the authors' proportions (for a draft 768 wide: 512, 256; and 44)."""
    return (hidden, 2 * hidden // 3, hidden // 3, 1) if kind == "soft" else (1 + TOP, 44, 1)


def perceptron(sizes: Sequence[int]) -> nn.Sequential:
    """Linear layers with ReLU between them and one output."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def sizes_of(weights: dict[str, torch.Tensor]) -> tuple[int, ...]:
    """Layer widths of a network with these weights."""
    shapes = [weight.shape for weight in weights.values() if weight.ndim == 2]
    return (*(int(shape[1]) for shape in shapes), 1)


def path_for(pair: str, folder: Path = FOLDER) -> Path:
    """Path of the decision models of a pair of this name, if the package ships them."""
    return folder / f"{pair}-decision.safetensors"


def draft_fingerprint(pair: ModelPair) -> str:
    """SHA-256, hexadecimal, of the draft's norm weights: tells one training from another.

    Taken in bfloat16, so that a draft stored in that type has one fingerprint in every precision.
    """
    digest = hashlib.sha256()
    for name, weight in sorted(pair.draft.state_dict().items()):
        if weight.ndim == 1:
            digest.update(name.encode())
            digest.update(weight.cpu().to(torch.bfloat16).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save(models: Sequence[DecisionModel], path: Path, pair: ModelPair) -> None:
    """Write one model of each kind into one file, with the fingerprint of their draft model."""
    save_file(
        {
            f"{model.kind}.{name}": weight.contiguous()
            for model in models
            for name, weight in model.network.state_dict().items()
        },
        path,
        metadata={"pair": draft_fingerprint(pair)},
    )


def trained_on(pair: ModelPair, path: Path) -> bool:
    """Whether there is a file of decision models that were trained on this very pair."""
    try:
        with safe_open(path, "pt") as file:
            return (file.metadata() or {}).get("pair") == draft_fingerprint(pair)
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


def chosen_model(pair: ModelPair, decision: str | DecisionModel | None) -> DecisionModel | None:
    """The model that an option `decision` names; None for no model. Raises InputError."""
    if decision == OFF:
        return None
    if isinstance(decision, DecisionModel):
        model = decision
    elif decision is None or decision in KINDS:
        path = path_for(pair.name)
        fits = trained_on(pair, path)
        if decision is None and not fits:
            return None
        model = load(path, "hard" if decision == "hard" else "soft")
        if not fits:
            raise InputError(
                f"the decision models of {pair.name!r} were trained on other weights; "
                "train new ones with training/decision.py"
            )
    else:
        raise InputError(f"decision is {decision!r}; give {', '.join(KINDS)}, {OFF} or a model")
    hidden = pair.draft.config.get_text_config().hidden_size
    if model.kind == "soft" and model.features != hidden:
        raise InputError(
            f"the decision model reads {model.features} numbers and the draft of {pair.name!r} "
            f"has {hidden}; train one with training/decision.py"
        )
    return model
