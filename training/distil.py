"""Distil a small draft for a target, on texts that the target generated itself.

    python training/distil.py texts general recommender  # the target generates
    python training/distil.py train general recommender  # the draft is trained
    python training/distil.py evaluate general recommender  # agreement of draft and target

`texts` continues prompts at temperatures 1, 0.7 and 0 and keeps, at every token, the 64 most
likely and their log-probabilities; `train` fits a draft with a reduced vocabulary
(`tasteshift.decoders.pairs.reduced`) to those distributions and writes it whenever it improves on
held-out prompts; `evaluate` prints how well a draft file agrees with the target. The target is the
pair's that --target names, or ``hf:NAME`` for any model built like Llama; its draft is then
loaded as the pair ``hf:NAME,draft.safetensors``. Everything is determined by --seed, except
how many texts are finished in time.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from time import monotonic

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from distil_examples import Example, agreement, batches, distance, examples_of, scores
from distil_prompts import prompts_of
from distil_texts import Text, generate_texts, load_texts
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tasteshift.decoders import load_pair
from tasteshift.decoders.base import ModelPair
from tasteshift.decoders.pairs import load, reduced

HELD_OUT = 16
"""One prompt in so many is held out of training."""

WARM_UP, LOG_EVERY, SCORE_EVERY = 40, 25, 200
"""Steps until the full rate, between lines of progress, and between held-out scores."""


def target_of(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model and tokenizer that --target names, in fp32 on the CPU."""
    if name.startswith(load.HUB):
        with load.quiet():
            name = name.removeprefix(load.HUB)
            return load.read_model(name, "cpu"), load.read_tokenizer(name)
    pair = load_pair(name)
    return pair.target, pair.tokenizer


def by_prompt(folder: Path) -> list[list[Text]]:
    """The texts of every file in a folder, those of one prompt together."""
    found: dict[tuple[int, ...], list[Text]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        for text in load_texts(path):
            found.setdefault(text.prompt, []).append(text)
    return list(found.values())


def split(folders: Sequence[Path]) -> tuple[list[list[list[Text]]], dict[str, list[list[Text]]]]:
    """Training texts by folder and prompt, and held-out texts by the folder's name."""
    found = {folder.name: by_prompt(folder) for folder in folders}
    training = [[one for n, one in enumerate(groups) if n % HELD_OUT] for groups in found.values()]
    return training, {name: groups[::HELD_OUT] for name, groups in found.items()}


def frequent(
    groups: Iterable[Sequence[Text]], prompts: Iterable[Sequence[int]], vocabulary: int, count: int
) -> Tensor:
    """Ids, ascending, of the tokens with the most mass in the target's distributions.

    An occurrence in a prompt, from where a token may be copied, counts a tenth. Unseen tokens are
    ordered by id: byte pairs are numbered by how early, so how often, they were merged.
    """
    mass = torch.linspace(1e-6, 0, vocabulary, dtype=torch.float64)
    for group in groups:
        for text in group:
            mass.index_add_(0, text.ids.flatten().long(), text.logp.flatten().double().exp())
    for prompt in prompts:
        mass.index_add_(0, torch.tensor(prompt), torch.full((len(prompt),), 0.1).double())
    return mass.topk(min(count, vocabulary)).indices.sort().values


def main() -> None:
    """Run one step."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("step", choices=("texts", "train", "evaluate"))
    parser.add_argument("kinds", nargs="+", choices=("general", "recommender"))
    parser.add_argument("--target", default="smollm2-135m")
    parser.add_argument("--folder", type=Path, default=Path("build/distil"), help="of the texts")
    parser.add_argument("--out", type=Path, default=Path("build/distil/draft.safetensors"))
    parser.add_argument("--seed", type=int, default=5000)
    parser.add_argument("--minutes", type=float, default=20, help="a kind of texts, or to train")
    parser.add_argument("--limit", type=int, default=144, help="tokens of a text")
    parser.add_argument("--layers", type=int, nargs="+", default=[0, 1], help="to start from")
    parser.add_argument("--tokens", type=int, default=8192, help="that the draft scores")
    parser.add_argument("--steps", type=int, default=3000, help="at most")
    parser.add_argument("--size", type=int, default=10, help="texts a step")
    parser.add_argument("--rate", type=float, default=1e-3, help="highest learning rate")
    parser.add_argument("--variation", type=float, default=1.0, help="weight of total variation")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    target, tokenizer = target_of(given.target)
    steps = {"texts": write_texts, "train": train_draft, "evaluate": evaluate}
    steps[given.step](target, tokenizer, given)


def write_texts(
    target: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, given: argparse.Namespace
) -> None:
    """Step `texts`, in bf16."""
    stops = ModelPair(target, target, tokenizer, given.target).stops
    for weight in target.parameters():
        weight.data = weight.data.bfloat16()
    for kind in given.kinds:
        prompts = prompts_of(kind, tokenizer, given.seed)
        generate_texts(
            target, prompts, stops, given.folder / kind, given.minutes, given.limit, given.seed
        )


def train_draft(
    target: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, given: argparse.Namespace
) -> None:
    """Step `train`: choose the vocabulary, start from the target's layers, and fit."""
    folders = [given.folder / kind for kind in given.kinds]
    training, held = split(folders)
    prompts = [
        prompt
        for kind in given.kinds
        if kind != "general"
        for prompt in prompts_of(kind, tokenizer, given.seed)
    ]
    groups = [group for kind in training for group in kind]
    ids = frequent(groups, prompts, target.config.vocab_size, given.tokens)
    draft = reduced.reduced(target, ids.tolist(), given.layers)
    column = columns_of(draft)
    train(
        draft,
        lambda: [examples_of(groups, column) for groups in split(folders)[0]],
        {name: examples_of(groups, column) for name, groups in held.items()},
        given,
    )


def evaluate(
    target: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, given: argparse.Namespace
) -> None:
    """Step `evaluate`: the draft in --out on the texts held out."""
    draft = reduced.load(given.out, target)
    for name, groups in split([given.folder / kind for kind in given.kinds])[1].items():
        examples = examples_of(groups, columns_of(draft))
        print(name, json.dumps(agreement(draft, examples, given.size)))


def columns_of(draft: PreTrainedModel) -> Tensor:
    """(vocabulary,) column of each token in the draft's scores; −1 where it has none."""
    column = torch.full((draft.config.vocab_size,), -1)
    column[draft.lm_head.ids] = torch.arange(len(draft.lm_head.ids))
    return column


def train(
    draft: PreTrainedModel,
    examples: Callable[[], Sequence[Sequence[Example]]],
    held: dict[str, list[Example]],
    given: argparse.Namespace,
) -> None:
    """Fit the draft's layers and norm; write them whenever the held-out overlap is the best.

    `examples` is called again when all have been used, so that texts finished meanwhile join.
    """
    for weight in draft.parameters():
        weight.requires_grad_(False)
    own = [*draft.base_model.layers.parameters(), *draft.base_model.norm.parameters()]
    for weight in own:
        weight.requires_grad_(True)
    optimizer = torch.optim.AdamW(own, lr=given.rate, betas=(0.9, 0.95), weight_decay=0.01)
    order, started = random.Random(given.seed), monotonic()
    batch: list[list[Example]] = []
    best, seen, step = 0.0, torch.zeros(2), 0

    def score() -> None:
        nonlocal best
        found = {name: agreement(draft, some, given.size) for name, some in held.items()}
        print(f"after {step} steps {json.dumps(found)}", flush=True)
        mean = sum(one["overlap_0.7"] for one in found.values()) / len(found)
        if mean > best:
            best = mean
            given.out.parent.mkdir(parents=True, exist_ok=True)
            reduced.save(draft, given.out)

    while True:
        minutes = (monotonic() - started) / 60
        done = max(step / given.steps, minutes / given.minutes)
        if done >= 1:
            break
        pace = min(1, (step + 1) / WARM_UP) * (1 + math.cos(math.pi * done)) / 2
        for group in optimizer.param_groups:
            group["lr"] = given.rate * (0.02 + 0.98 * pace)
        batch = batch or batches(examples(), given.size, order)
        part = batch.pop()
        with torch.autocast("cpu", torch.bfloat16):
            logits = scores(draft, part)
        columns = torch.cat([one.columns for one in part])
        logp = torch.cat([one.logp for one in part])
        divergence, variation = distance(logits, columns, logp)
        (divergence + given.variation * variation).backward()
        nn.utils.clip_grad_norm_(own, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        seen += torch.stack([divergence, variation]).detach()
        if step % LOG_EVERY == 0:
            kl, tv = (seen / LOG_EVERY).tolist()
            left = minutes / done - minutes if done else math.nan
            print(f"step {step}: kl {kl:.4f}, tv {tv:.4f}, {left:.1f} min left", flush=True)
            seen.zero_()
        if step % SCORE_EVERY == 0:
            score()
    score()


if __name__ == "__main__":
    main()
