"""Training examples of a draft: the target's distributions along its own texts, and losses."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from distil_texts import Text
from torch import Tensor, nn
from transformers import PreTrainedModel

LONG = 200
"""Prompts of at least so many tokens are read once for all their texts."""


@dataclass(frozen=True)
class Example:
    """A prompt and its continuations as one row; each attends to the prompt and itself.

    tokens, positions, owner  (n,) ids, positions, and 0 for the prompt or the continuation's number
    scored                    (m,) rows for which the target's distribution is known
    columns, logp             (m, TOP) the draft's column of each likely token, −1 where it has
                              none; log-probabilities
    """

    tokens: Tensor
    positions: Tensor
    owner: Tensor
    scored: Tensor
    columns: Tensor
    logp: Tensor


def examples_of(groups: Sequence[Sequence[Text]], column: Tensor) -> list[Example]:
    """One example per prompt; one per text where repeating the prompt costs less than a mask."""
    found = []
    for group in groups:
        separate = len(group[0].prompt) < LONG
        found += [
            example(part, column) for part in ([[text] for text in group] if separate else [group])
        ]
    return found


def example(texts: Sequence[Text], column: Tensor) -> Example:
    """The texts of one prompt; the last token of each is not read, since nothing follows it."""
    prompt = torch.tensor(texts[0].prompt)
    n = len(prompt)
    tokens, positions, owner = [prompt], [torch.arange(n)], [torch.zeros(n, dtype=torch.long)]
    scored = []
    start = n
    for number, text in enumerate(texts, start=1):
        more = len(text.tokens) - 1
        tokens.append(text.tokens[:-1].long())
        positions.append(torch.arange(n, n + more))
        owner.append(torch.full((more,), number))
        scored.append(torch.cat([torch.tensor([n - 1]), torch.arange(start, start + more)]))
        start += more
    ids = torch.cat([text.ids for text in texts]).long()
    return Example(
        torch.cat(tokens),
        torch.cat(positions),
        torch.cat(owner),
        torch.cat(scored),
        column[ids],
        torch.cat([text.logp for text in texts]).float(),
    )


def scores(draft: PreTrainedModel, examples: Sequence[Example]) -> Tensor:
    """(all m, tokens) logits of the draft's own tokens at all scored rows."""
    width = max(len(one.tokens) for one in examples)

    def padded(rows: Sequence[Tensor], filler: int) -> Tensor:
        return torch.stack(
            [nn.functional.pad(row, (0, width - len(row)), value=filler) for row in rows]
        )

    tokens = padded([one.tokens for one in examples], 0)
    positions = padded([one.positions for one in examples], 0)
    sees = None
    if any(int(one.owner[-1]) > 1 for one in examples):
        owner = padded([one.owner for one in examples], -1)
        alone = (owner[:, None, :] == owner[:, :, None]) | (owner[:, None, :] == 0)
        sees = (alone & torch.ones(width, width, dtype=torch.bool).tril())[:, None]
    hidden = draft.base_model(
        input_ids=tokens, attention_mask=sees, position_ids=positions, use_cache=False
    ).last_hidden_state
    rows = torch.cat([hidden[row, one.scored] for row, one in enumerate(examples)])
    return draft.lm_head.scores(rows)


def distance(logits: Tensor, columns: Tensor, logp: Tensor) -> tuple[Tensor, Tensor]:
    """Kullback-Leibler divergence and total variation from the target, means over rows.

    Over the target's likely tokens that the draft has, and all others that it has as one more
    cell; the target's distribution without tokens that the draft does not score, renormalized.
    """
    has = columns >= 0
    rest = (1 - logp.exp().sum(-1)).clamp(min=1e-6)
    p = torch.where(has, logp.exp(), 0.0)
    whole = p.sum(-1) + rest
    p, rest = p / whole[:, None], rest / whole
    logq = logits.float().log_softmax(-1).gather(-1, columns.clamp(min=0))
    q = torch.where(has, logq.exp(), 0.0)
    others = (1 - q.sum(-1)).clamp(min=1e-6)
    divergence = (p * (p.clamp(min=1e-9).log() - logq)).sum(-1) + rest * (rest / others).log()
    variation = ((p - q).abs().sum(-1) + (rest - others).abs()) / 2
    return divergence.mean(), variation.mean()


@torch.inference_mode()
def agreement(draft: PreTrainedModel, examples: Sequence[Example], size: int) -> dict[str, float]:
    """Held-out means per token.

    coverage              the target's mass on tokens that the draft scores
    top1                  share of positions with the same likeliest token
    overlap, overlap_0.7  Σ min(p, q) at temperatures 1 and 0.7
    kl                    as in `distance`

    Sums are over the target's TOP tokens; the first two and `overlap` are lower bounds by that.
    """
    total = {"coverage": 0.0, "top1": 0.0, "overlap": 0.0, "overlap_0.7": 0.0, "kl": 0.0}
    count = 0
    size = max(1, size // int(examples[0].owner.max()))
    for start in range(0, len(examples), size):
        part = examples[start : start + size]
        columns = torch.cat([one.columns for one in part])
        logp = torch.cat([one.logp for one in part])
        with torch.autocast("cpu", torch.bfloat16):
            logits = scores(draft, part)
        logits = logits.float()
        rows = len(columns)
        count += rows
        total["coverage"] += float(logp.exp()[columns >= 0].sum())
        total["top1"] += float((logits.argmax(-1) == columns[:, 0]).sum())
        total["kl"] += rows * float(distance(logits, columns, logp)[0])
        for name, temperature in (("overlap", 1.0), ("overlap_0.7", 0.7)):
            p = (logp / temperature).exp()
            p = p if temperature == 1 else p / p.sum(-1, keepdim=True)
            q = (logits / temperature).softmax(-1).gather(-1, columns.clamp(min=0))
            total[name] += float(torch.minimum(p, torch.where(columns >= 0, q, 0.0)).sum())
    return {name: value / count for name, value in total.items()}


def batches(
    kinds: Sequence[Sequence[Example]], size: int, order: random.Random
) -> list[list[Example]]:
    """Every example once, in batches of about `size` texts of one kind, in random order."""
    found = []
    for examples in kinds:
        mixed = order.sample(examples, len(examples))
        count = max(1, size // int(mixed[0].owner.max()))
        found += [mixed[start : start + count] for start in range(0, len(mixed), count)]
    order.shuffle(found)
    return found
