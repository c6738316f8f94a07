"""Teach a pair's decision models when to stop drafting (arXiv 2409.10644).

    python training/decision.py --pair smollm2-135m --prompts recommender general
    python training/decision.py --pair tiny

Runs `target-init-dynamic` with no decision model on training prompts and notes, at every guess,
what the draft knew there and what became of the guess: at temperature 1 the chance
min(1, p(x)/q(x)) for the soft model, greedily whether the target agreed for the hard one. Both
learn by binary cross-entropy (Adam, 1e-3), the hard one with good and bad guesses of equal weight,
as its authors balance them; the epoch that is best on held-out prompts is kept.
Writes ``decoders/weights/PAIR-decision.safetensors``. Everything follows from --seed.
"""

from __future__ import annotations

import argparse
import copy
import os
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tasteshift.decoders import load_pair
from tasteshift.decoders.base import ModelPair
from tasteshift.decoders.drafting.decision_model import (
    KINDS,
    DecisionModel,
    Kind,
    distribution_features,
    layer_sizes,
    path_for,
    perceptron,
    save,
)
from tasteshift.decoders.execution.reader import Reader
from tasteshift.decoders.sampling.distribution import Sampling, best
from tasteshift.decoders.sampling.noise import Noise
from tasteshift.decoders.sampling.verification import acceptance
from tasteshift.decoders.target_init_dynamic import TargetInitDynamic

HELD_OUT = 10
"""Every so many-th prompt is never trained on."""

TEMPERATURES: dict[Kind, float] = {"soft": 1.0, "hard": 0.0}
"""At which the guesses are drawn that each model learns from."""


class Watched(TargetInitDynamic):
    """Never stops early, and keeps the lessons of every guess.

    lessons  (features, label) of each level of each round: (guesses, features), (guesses,)
    """

    def __init__(self, pair: ModelPair, kind: Kind, width: int, depth: int, seed: int) -> None:
        super().__init__(
            pair,
            width=width,
            depth=depth,
            decision="off",
            temperature=TEMPERATURES[kind],
            seed=seed,
        )
        self.kind = kind
        self.draft = Reader(pair.draft, keep_hidden=True)
        self.lessons: list[tuple[Tensor, Tensor]] = []
        self._known: list[Tensor] = []

    def goes_on(self, level: slice, logits: Tensor) -> bool:
        """Note what the draft knows at this level."""
        hidden = self.draft.hidden[-len(logits) :]
        self._known.append(hidden if self.kind == "soft" else distribution_features(logits))
        return True

    def judge(self, logits: Tensor, noise: Noise) -> tuple[list[int], Tensor]:
        """Note what becomes of the guesses drawn there, then judge them as ever."""
        for depth, features in enumerate(self._known, start=1):
            above = self.tree.levels[depth]
            guesses = self.tree.below(above)
            drawn, tokens = self.drafted.drawn[guesses], self.drafted.tokens[guesses]
            said = logits[above.start - 1 : above.stop - 1]
            labels = chances(self.sampling, said, self.drafted.tables[depth], tokens)
            self.lessons.append((features[drawn], labels[drawn]))
        self._known.clear()
        return super().judge(logits, noise)


def chances(sampling: Sampling, said: Tensor, table: Tensor, tokens: Tensor) -> Tensor:
    """Chance that each token x is accepted: min(1, p(x)/q(x)), or 0 or 1 when greedy.

    said   (guesses, vocabulary) the target's logits where each guess stands
    table  (guesses, vocabulary) the law that it was drawn from
    """
    if sampling.greedy:
        return (best(said) == tokens).float()
    return acceptance(sampling.probs(said), table, tokens).float()


def record(watched: Watched, prompts: Sequence[Sequence[int]], limit: int) -> tuple[Tensor, Tensor]:
    """Lessons of the texts after these prompts: (guesses, features), (guesses,)."""
    watched.lessons.clear()
    for prompt in prompts:
        watched.generate(prompt, limit)
    features, labels = (torch.cat(part).cpu() for part in zip(*watched.lessons, strict=True))
    return features, labels


def teach(
    kind: Kind,
    hidden: int,
    lessons: tuple[Tensor, Tensor],
    exam: tuple[Tensor, Tensor],
    *,
    epochs: int,
    size: int,
    seed: int,
) -> DecisionModel:
    """Fit a fresh network to the lessons; returns it as it was when best on the exam."""
    torch.manual_seed(seed)
    network = perceptron(layer_sizes(kind, hidden))
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    features, labels = lessons
    share = labels.mean().clamp(1e-3, 1 - 1e-3)
    balance = (1 - share) / share if kind == "hard" else torch.tensor(1.0)
    judge = nn.BCEWithLogitsLoss(pos_weight=balance)
    best, kept = float("inf"), network.state_dict()
    for epoch in range(epochs):
        for batch in torch.randperm(len(labels)).split(size):
            scores = network(features[batch]).squeeze(-1)
            loss = judge(scores, labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        with torch.inference_mode():
            scores = network(exam[0]).squeeze(-1)
            found = float(judge(scores, exam[1]))
        print(f"{kind} epoch {epoch + 1}: held-out loss {found:.4f}", flush=True)
        if found < best:
            best, kept = found, copy.deepcopy(network.state_dict())
    network.load_state_dict(kept)
    return DecisionModel(kind, network.eval())


def area(scores: NDArray[np.float32], labels: NDArray[np.float32]) -> float:
    """Area under the ROC curve, a guess with label y being y accepted and 1 − y rejected ones."""
    values, place = np.unique(scores, return_inverse=True)
    good = np.bincount(place, labels.astype(np.float64), len(values))
    bad = np.bincount(place, 1.0 - labels.astype(np.float64), len(values))
    below = np.cumsum(bad) - bad
    return float((good * (below + bad / 2)).sum() / (good.sum() * bad.sum()))


def report(model: DecisionModel, exam: tuple[Tensor, Tensor]) -> str:
    """Held-out scores in one line."""
    with torch.inference_mode():
        scores = model.network(exam[0]).sigmoid().squeeze(-1).numpy()
    labels = exam[1].numpy()
    right = np.where(scores > 0.5, labels, 1.0 - labels).mean()
    return (
        f"{model.kind}: {len(labels)} held-out guesses, {labels.mean():.3f} accepted; "
        f"AUC {area(scores, labels):.3f}, accuracy {right:.3f}, "
        f"above 0.4: {(scores > 0.4).mean():.3f}"
    )


def main() -> None:
    """Record, teach, report, write."""
    from distil_prompts import prompts_of

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pair", default="smollm2-135m")
    parser.add_argument("--prompts", nargs="+", default=["recommender"], help="and general")
    parser.add_argument("--count", type=int, default=200, help="prompts of each sort")
    parser.add_argument("--limit", type=int, default=48, help="tokens after each")
    parser.add_argument("--width", type=int, default=8, help="roots of a round")
    parser.add_argument("--depth", type=int, default=5, help="guesses below each")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--size", type=int, default=50, help="guesses a step")
    parser.add_argument("--seed", type=int, default=6000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="instead of the package's own folder")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    pair = load_pair(asked.pair)
    prompts = [
        prompt
        for sort in asked.prompts
        for prompt in prompts_of(sort, pair.tokenizer, asked.seed, exclude_benchmark=True)[
            : asked.count
        ]
        if len(prompt) < pair.context
    ]
    held = prompts[::HELD_OUT]
    taught = [prompt for number, prompt in enumerate(prompts) if number % HELD_OUT]
    print(f"{pair.name}: {len(taught)} prompts, {len(held)} held out; seed {asked.seed}")
    hidden = pair.draft.config.get_text_config().hidden_size
    models = []
    for kind in KINDS:
        watched = Watched(pair, kind, asked.width, asked.depth, asked.seed)
        lessons, exam = (record(watched, some, asked.limit) for some in (taught, held))
        print(f"{kind}: {len(lessons[1])} guesses, {lessons[1].mean():.3f} accepted", flush=True)
        model = teach(
            kind, hidden, lessons, exam, epochs=asked.epochs, size=asked.size, seed=asked.seed
        )
        print(report(model, exam), flush=True)
        models.append(model)
    path = asked.out or path_for(pair.name)
    save(models, path, pair)
    print(f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB)")


if __name__ == "__main__":
    main()
