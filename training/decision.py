"""Train a pair's decision models, which stop drafting early (arXiv 2409.10644).

    python training/decision.py --pair smollm2-135m --prompts recommender general
    python training/decision.py --pair tiny

Runs `target-init-dynamic` with no decision model on training prompts and records, for every draft
token, what the draft model computed there and whether the token was accepted: at temperature 1 the
probability min(1, p(x)/q(x)) for the soft model, greedily whether the target agreed for the hard
one. Both learn by binary cross-entropy (Adam, 1e-3), the hard one with accepted and rejected tokens
of equal weight, as its authors balance them; the epoch with the best held-out loss is kept.
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
from tasteshift.decoders.generated_text import GeneratedText
from tasteshift.decoders.rounds import Verified
from tasteshift.decoders.sampling.distribution import Sampling, argmax
from tasteshift.decoders.sampling.draft_tree import StaticDraftTree
from tasteshift.decoders.sampling.verification import acceptance
from tasteshift.decoders.target_init_dynamic import TargetInitDynamic

HELD_OUT = 10
"""One prompt in so many is held out."""

TEMPERATURES: dict[Kind, float] = {"soft": 1.0, "hard": 0.0}
"""Sampling temperature of the draft tokens that each model learns from."""


class Recorder(TargetInitDynamic):
    """Never stops early, and records a training example for every draft token.

    examples  (features, label) of each level of each round: (tokens, features), (tokens,)
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
        self.draft_model = Reader(pair.draft, keep_hidden=True)
        self.examples: list[tuple[Tensor, Tensor]] = []
        self._features: list[Tensor] = []

    def drafts_on(self, tree: StaticDraftTree, level: slice, draft_logits: Tensor) -> bool:
        """Record the features of this level, and draft on."""
        hidden = self.draft_model.hidden[-len(draft_logits) :]
        self._features.append(
            hidden if self.kind == "soft" else distribution_features(draft_logits)
        )
        return True

    def verify(self, tree: StaticDraftTree, target_logits: Tensor, text: GeneratedText) -> Verified:
        """Record the labels of the tokens drafted there, then verify as usual."""
        for depth, features in enumerate(self._features, start=1):
            parents = self.shape.levels[depth]
            level = self.shape.children_of_all(parents)
            drafted, tokens = tree.drafted[level], tree.tokens[level]
            rows = target_logits[parents.start - 1 : parents.stop - 1]
            labels = accept_probs(self.sampling, rows, tree.probs[depth], tokens)
            self.examples.append((features[drafted], labels[drafted]))
        self._features.clear()
        return super().verify(tree, target_logits, text)


def accept_probs(sampling: Sampling, logits: Tensor, q: Tensor, tokens: Tensor) -> Tensor:
    """Probability that each token x is accepted: min(1, p(x)/q(x)), or 0 or 1 when greedy.

    logits  (tokens, vocabulary) the target's, at each token's position
    q       (tokens, vocabulary) the distribution that it was drawn from
    """
    if sampling.greedy:
        return (argmax(logits) == tokens).float()
    return acceptance(sampling.probs(logits), q, tokens).float()


def record(
    recorder: Recorder, prompts: Sequence[Sequence[int]], limit: int
) -> tuple[Tensor, Tensor]:
    """Examples of the texts after these prompts: (tokens, features), (tokens,)."""
    recorder.examples.clear()
    for prompt in prompts:
        recorder.generate(prompt, limit)
    features, labels = (torch.cat(part).cpu() for part in zip(*recorder.examples, strict=True))
    return features, labels


def train(
    kind: Kind,
    hidden: int,
    examples: tuple[Tensor, Tensor],
    held_out: tuple[Tensor, Tensor],
    *,
    epochs: int,
    size: int,
    seed: int,
) -> DecisionModel:
    """Fit a fresh network to the examples; returns the epoch with the best held-out loss."""
    torch.manual_seed(seed)
    network = perceptron(layer_sizes(kind, hidden))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    features, labels = examples
    share = labels.mean().clamp(1e-3, 1 - 1e-3)
    balance = (1 - share) / share if kind == "hard" else torch.tensor(1.0)
    criterion = nn.BCEWithLogitsLoss(pos_weight=balance)
    best_loss, best_weights = float("inf"), network.state_dict()
    for epoch in range(epochs):
        for batch in torch.randperm(len(labels)).split(size):
            scores = network(features[batch]).squeeze(-1)
            loss = criterion(scores, labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.inference_mode():
            scores = network(held_out[0]).squeeze(-1)
            found = float(criterion(scores, held_out[1]))
        print(f"{kind} epoch {epoch + 1}: held-out loss {found:.4f}", flush=True)
        if found < best_loss:
            best_loss, best_weights = found, copy.deepcopy(network.state_dict())
    network.load_state_dict(best_weights)
    return DecisionModel(kind, network.eval())


def area(scores: NDArray[np.float32], labels: NDArray[np.float32]) -> float:
    """Area under the ROC curve; a token with label y counts as y accepted and 1 − y rejected."""
    values, rank = np.unique(scores, return_inverse=True)
    accepted = np.bincount(rank, labels.astype(np.float64), len(values))
    rejected = np.bincount(rank, 1.0 - labels.astype(np.float64), len(values))
    below = np.cumsum(rejected) - rejected
    return float((accepted * (below + rejected / 2)).sum() / (accepted.sum() * rejected.sum()))


def report(model: DecisionModel, held_out: tuple[Tensor, Tensor]) -> str:
    """Held-out scores in one line."""
    with torch.inference_mode():
        scores = model.network(held_out[0]).sigmoid().squeeze(-1).numpy()
    labels = held_out[1].numpy()
    accuracy = np.where(scores > 0.5, labels, 1.0 - labels).mean()
    return (
        f"{model.kind}: {len(labels)} held-out draft tokens, {labels.mean():.3f} accepted; "
        f"AUC {area(scores, labels):.3f}, accuracy {accuracy:.3f}, "
        f"above 0.4: {(scores > 0.4).mean():.3f}"
    )


def main() -> None:
    """Record, train, report, write."""
    from distil_prompts import prompts_of

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pair", default="smollm2-135m")
    parser.add_argument("--prompts", nargs="+", default=["recommender"], help="and general")
    parser.add_argument("--count", type=int, default=200, help="prompts of each kind")
    parser.add_argument("--limit", type=int, default=48, help="tokens after each")
    parser.add_argument("--width", type=int, default=8, help="roots of a round")
    parser.add_argument("--depth", type=int, default=5, help="draft tokens below each")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--size", type=int, default=50, help="draft tokens a step")
    parser.add_argument("--seed", type=int, default=6000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="instead of the package's own folder")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    pair = load_pair(given.pair)
    prompts = [
        prompt
        for source in given.prompts
        for prompt in prompts_of(source, pair.tokenizer, given.seed, exclude_benchmark=True)[
            : given.count
        ]
        if len(prompt) < pair.context
    ]
    held = prompts[::HELD_OUT]
    training = [prompt for number, prompt in enumerate(prompts) if number % HELD_OUT]
    print(f"{pair.name}: {len(training)} prompts, {len(held)} held out; seed {given.seed}")
    hidden = pair.draft.config.get_text_config().hidden_size
    models = []
    for kind in KINDS:
        recorder = Recorder(pair, kind, given.width, given.depth, given.seed)
        examples, held_out = (record(recorder, some, given.limit) for some in (training, held))
        count, share = len(examples[1]), examples[1].mean()
        print(f"{kind}: {count} draft tokens, {share:.3f} accepted", flush=True)
        settings = {"epochs": given.epochs, "size": given.size, "seed": given.seed}
        model = train(kind, hidden, examples, held_out, **settings)
        print(report(model, held_out), flush=True)
        models.append(model)
    path = given.out or path_for(pair.name)
    save(models, path, pair)
    print(f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB)")


if __name__ == "__main__":
    main()
