"""What a draft learns from: the target's laws along its own texts, and how far it is from them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from distil_texts import Text
from torch import Tensor, nn
from transformers import PreTrainedModel

LONG = 200
"""Prompts of so many tokens are read once for all their texts."""


@dataclass(frozen=True)
class Lesson:
    """A prompt and its continuations as one row: each sees the prompt and itself.

    tokens, places, owner  (n,) ids, positions, and 0 for the prompt or the continuation's number
    asked                  (m,) rows whose next token the target has judged
    columns, logp          (m, TOP) the draft's column of each likely token, −1 where it has
                           none; log-probabilities
    """

    tokens: Tensor
    places: Tensor
    owner: Tensor
    asked: Tensor
    columns: Tensor
    logp: Tensor


def lessons_of(groups: Sequence[Sequence[Text]], column: Tensor) -> list[Lesson]:
    """One lesson per prompt; one per text where repeating the prompt costs less than a mask."""
    found = []
    for group in groups:
        apart = len(group[0].prompt) < LONG
        found += [
            lesson(part, column) for part in ([[text] for text in group] if apart else [group])
        ]
    return found


def lesson(texts: Sequence[Text], column: Tensor) -> Lesson:
    """The texts of one prompt; the last token of each is not read, for nothing follows it."""
    prompt = torch.tensor(texts[0].prompt)
    n = len(prompt)
    tokens, places, owner = [prompt], [torch.arange(n)], [torch.zeros(n, dtype=torch.long)]
    asked = []
    start = n
    for number, text in enumerate(texts, start=1):
        more = len(text.tokens) - 1
        tokens.append(text.tokens[:-1].long())
        places.append(torch.arange(n, n + more))
        owner.append(torch.full((more,), number))
        asked.append(torch.cat([torch.tensor([n - 1]), torch.arange(start, start + more)]))
        start += more
    ids = torch.cat([text.ids for text in texts]).long()
    return Lesson(
        torch.cat(tokens),
        torch.cat(places),
        torch.cat(owner),
        torch.cat(asked),
        column[ids],
        torch.cat([text.logp for text in texts]).float(),
    )


def scores(draft: PreTrainedModel, lessons: Sequence[Lesson]) -> Tensor:
    """(all m, tokens) logits of the draft's own tokens wherever the target was asked."""
    width = max(len(one.tokens) for one in lessons)

    def padded(rows: Sequence[Tensor], filler: int) -> Tensor:
        return torch.stack(
            [nn.functional.pad(row, (0, width - len(row)), value=filler) for row in rows]
        )

    tokens = padded([one.tokens for one in lessons], 0)
    places = padded([one.places for one in lessons], 0)
    sees = None
    if any(int(one.owner[-1]) > 1 for one in lessons):
        owner = padded([one.owner for one in lessons], -1)
        alone = (owner[:, None, :] == owner[:, :, None]) | (owner[:, None, :] == 0)
        sees = (alone & torch.ones(width, width, dtype=torch.bool).tril())[:, None]
    hidden = draft.base_model(
        input_ids=tokens, attention_mask=sees, position_ids=places, use_cache=False
    ).last_hidden_state
    rows = torch.cat([hidden[row, one.asked] for row, one in enumerate(lessons)])
    return draft.lm_head.scores(rows)


def distance(logits: Tensor, columns: Tensor, logp: Tensor) -> tuple[Tensor, Tensor]:
    """Kullback-Leibler divergence and total variation from the target, means over rows.

    Over the target's likely tokens that the draft has, and all others that it has as one more
    cell; the target's law without what the draft cannot say, renormalised.
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
def agreement(draft: PreTrainedModel, lessons: Sequence[Lesson], size: int) -> dict[str, float]:
    """Held-out means per token.

    sayable               the target's mass on tokens that the draft has
    top1                  share of places with the same likeliest token
    overlap, overlap_0.7  Σ min(p, q) at temperatures 1 and 0.7
    kl                    as in `distance`

    Sums are over the target's TOP tokens; the first two and `overlap` are lower bounds by that.
    """
    total = {"sayable": 0.0, "top1": 0.0, "overlap": 0.0, "overlap_0.7": 0.0, "kl": 0.0}
    count = 0
    size = max(1, size // int(lessons[0].owner.max()))
    for start in range(0, len(lessons), size):
        part = lessons[start : start + size]
        columns = torch.cat([one.columns for one in part])
        logp = torch.cat([one.logp for one in part])
        with torch.autocast("cpu", torch.bfloat16):
            logits = scores(draft, part)
        logits = logits.float()
        rows = len(columns)
        count += rows
        total["sayable"] += float(logp.exp()[columns >= 0].sum())
        total["top1"] += float((logits.argmax(-1) == columns[:, 0]).sum())
        total["kl"] += rows * float(distance(logits, columns, logp)[0])
        for name, heat in (("overlap", 1.0), ("overlap_0.7", 0.7)):
            p = (logp / heat).exp()
            p = p if heat == 1 else p / p.sum(-1, keepdim=True)
            q = (logits / heat).softmax(-1).gather(-1, columns.clamp(min=0))
            total[name] += float(torch.minimum(p, torch.where(columns >= 0, q, 0.0)).sum())
    return {name: value / count for name, value in total.items()}


def batches(
    kinds: Sequence[Sequence[Lesson]], size: int, order: random.Random
) -> list[list[Lesson]]:
    """Every lesson once, in batches of about `size` texts of one kind, in random order."""
    found = []
    for lessons in kinds:
        mixed = order.sample(lessons, len(lessons))
        count = max(1, size // int(mixed[0].owner.max()))
        found += [mixed[start : start + count] for start in range(0, len(mixed), count)]
    order.shuffle(found)
    return found
