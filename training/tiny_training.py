"""Training loop of pair `tiny`: batches with little padding, a time budget, and scores."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tiny_documents import Document
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, LlamaForCausalLM

from tasteshift.decoders.pairs.tiny import END

PROSE, PROMPT, FRAME, NUMBER, TITLE, SAY = range(6)
IGNORED = -1
"""Kinds of tokens: prose; prompt; JSON frame; an id; a title; the `say` sentence; or ignored."""
KINDS = ("prose", "prompt", "frame", "number", "title", "say")
FOLLOWED = {'{"id":': NUMBER, '],"say":"': SAY, '"}': FRAME}
"""Frame token -> the kind of the tokens that follow it."""
TITLE_OPENS = ',"title":"'
"""End of the token of a number, which a title follows."""
NUMBER_WEIGHT, FIRST_WEIGHT = 12.0, 3.0
"""Loss weights of numbers and of the first tokens of titles, which alone are hard."""
PROMPT_WEIGHT = 0.3
NO_TARGET = -100


BLOCK = 128
"""Rows of attention computed at a time."""


def causal_blocks(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    **ignored: Any,
) -> tuple[Tensor, None]:
    """Causal attention, one block of rows after the other, for training on a CPU.

    On one core, with bfloat16, torch's own took half of a step of the target; this takes a third
    of its time. Shapes as in `transformers.AttentionInterface`.
    """
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    outputs = []
    for begin in range(0, query.shape[2], BLOCK):
        end = min(begin + BLOCK, query.shape[2])
        scores = (query[:, :, begin:end] * scaling) @ key[:, :, :end].transpose(-1, -2)
        later = torch.full((end - begin, end - begin), float("-inf"), dtype=scores.dtype)
        scores[..., begin:] += later.triu(1)
        outputs.append(scores.softmax(-1) @ value[:, :, :end])
    return torch.cat(outputs, dim=2).transpose(1, 2), None


AttentionInterface.register("causal_blocks", causal_blocks)


@dataclass(frozen=True)
class Encoded:
    """A document as ids, the last one the end of text, and the kind of each, both (length,)."""

    ids: np.ndarray
    kinds: np.ndarray


def encode(tokenizer: Tokenizer, document: Document) -> Encoded:
    """Ids and kinds of a document, followed by the end-of-text token."""
    ids = [*tokenizer.encode(document.prompt + document.text).ids, tokenizer.token_to_id(END)]
    kinds = np.full(len(ids), PROSE)
    if document.prompt:
        begin = len(tokenizer.encode(document.prompt + document.text[0]).ids) - 1
        kinds[:begin] = PROMPT
        kind = FRAME
        for position in range(begin, len(ids)):
            token = tokenizer.id_to_token(ids[position])
            kinds[position] = FRAME if token in FOLLOWED else kind
            kind = TITLE if token.endswith(TITLE_OPENS) else FOLLOWED.get(token, kind)
        kinds[-2:] = FRAME
        if document.drill:
            kinds[(kinds == PROMPT) | (kinds == SAY)] = IGNORED
    return Encoded(np.array(ids, dtype=np.int64), kinds)


def batches(documents: Sequence[Encoded], tokens: int, seed: int) -> Iterator[list[Encoded]]:
    """Every document once, in batches of at most `tokens` with padding, of similar length.

    Texts never share a row, so that none can be copied from another.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(documents))
    for part in np.split(order, range(512, len(order), 512)):
        part = sorted(part, key=lambda k: len(documents[k].ids))
        made: list[list[Encoded]] = [[]]
        for k in part:
            if (len(made[-1]) + 1) * len(documents[k].ids) > tokens and made[-1]:
                made.append([])
            made[-1].append(documents[k])
        for k in rng.permutation(len(made)):
            yield made[k]


def padded(batch: Sequence[Encoded]) -> tuple[Tensor, Tensor, Tensor]:
    """(rows, longest) ids; the ids to predict, NO_TARGET after the end; and their weights."""
    longest = max(len(one.ids) for one in batch)
    ids, wanted = np.zeros((len(batch), longest), int), np.full((len(batch), longest), NO_TARGET)
    weight = np.zeros((len(batch), longest), np.float32)
    for row, one in enumerate(batch):
        size = len(one.ids)
        ids[row, :size] = one.ids
        wanted[row, : size - 1] = one.ids[1:]
        weight[row, : size - 1] = weights(one.kinds)[1:]
    return torch.tensor(ids), torch.tensor(wanted), torch.tensor(weight)


def weights(kinds: np.ndarray) -> np.ndarray:
    """(length,) weight of each token in the loss."""
    first = (kinds == TITLE) & (np.roll(kinds, 1) != TITLE)
    return np.select(
        [kinds == PROMPT, kinds == IGNORED, kinds == NUMBER, first],
        [PROMPT_WEIGHT, 0.0, NUMBER_WEIGHT, FIRST_WEIGHT],
        1.0,
    )


def logits_at(model: LlamaForCausalLM, ids: Tensor, chosen: Tensor) -> Tensor:
    """(n, vocabulary) logits of the next token at n chosen positions of ids (rows, longest).

    The head is a fifth of the work, and most positions of a drill have no weight.
    """
    return model.lm_head(model.model(ids, use_cache=False).last_hidden_state[chosen]).float()


def prediction_loss(model: LlamaForCausalLM, batch: Sequence[Encoded]) -> Tensor:
    """Mean weighted cross-entropy of the next tokens."""
    ids, wanted, weight = (part.to(model.device) for part in padded(batch))
    counts = weight > 0
    loss = functional.cross_entropy(logits_at(model, ids, counts), wanted[counts], reduction="none")
    return (loss * weight[counts]).sum() / weight.sum()


def distillation_loss(
    draft: LlamaForCausalLM, target: LlamaForCausalLM, batch: Sequence[Encoded]
) -> Tensor:
    """Mean weighted KL(target || draft) of the next tokens."""
    ids, _, weight = (part.to(draft.device) for part in padded(batch))
    counts = weight > 0
    with torch.no_grad():
        p = functional.log_softmax(logits_at(target, ids, counts), dim=-1)
    q = functional.log_softmax(logits_at(draft, ids, counts), dim=-1)
    divergence = functional.kl_div(q, p, reduction="none", log_target=True).sum(dim=-1)
    return (divergence * weight[counts]).sum() / weight.sum()


@dataclass(frozen=True)
class Budget:
    """End of training: after so many steps or so many minutes, whichever comes first."""

    steps: int
    minutes: float

    def spent(self, step: int, since: float) -> float:
        """Share of the budget that is spent, from 0; 1 or more when it is used up."""
        return max(step / self.steps, (time.monotonic() - since) / 60 / self.minutes)


def learn(
    model: LlamaForCausalLM,
    loss_of: Callable[[Sequence[Encoded]], Tensor],
    stream: Callable[[float], Iterator[list[Encoded]]],
    rate: float,
    budget: Budget,
    report: Callable[[int, float, float], None],
    every: float = 3.0,
) -> int:
    """Train until the budget is spent; returns the number of steps.

    Muon (Jordan 2024) updates the matrices inside the layers and AdamW all else. The rate rises
    over the first hundredth of the budget and falls along a cosine to a hundredth.

    stream  share of the budget spent -> batches; called again when they run out
    report  called with step, share spent and mean loss since the last call, every `every` minutes
    """
    inside = [w for name, w in model.named_parameters() if w.ndim == 2 and "layers" in name]
    others = [w for name, w in model.named_parameters() if w.ndim != 2 or "layers" not in name]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.Muon(inside, lr=rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]
    since = reported = time.monotonic()
    step, losses = 0, []
    model.train()
    while (spent := budget.spent(step, since)) < 1:
        for batch in stream(spent):
            spent = budget.spent(step, since)
            if spent >= 1:
                break
            now = rate * min(1.0, spent / 0.01 + 0.01) * (0.505 + 0.495 * np.cos(np.pi * spent))
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = now
            with torch.autocast(model.device.type, dtype=torch.bfloat16):
                loss = loss_of(batch)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            losses.append(float(loss.detach()))
            step += 1
            if time.monotonic() - reported > 60 * every:
                report(step, spent, float(np.mean(losses)))
                reported, losses = time.monotonic(), []
                model.train()
    report(step, 1.0, float(np.mean(losses)) if losses else float("nan"))
    return step


@torch.no_grad()
def scores(
    model: LlamaForCausalLM,
    documents: Sequence[Encoded],
    teacher: LlamaForCausalLM | None = None,
) -> dict[str, float]:
    """Loss and top-1 accuracy of the next token by its kind, and over answers as a whole.

    teacher  where given, accuracy is agreement with this model's top-1 instead of with the text
    """
    model.eval()
    kinds = np.concatenate([one.kinds[1:] for one in documents])
    found: list[tuple[Tensor, Tensor]] = []
    for one in documents:
        ids = torch.tensor(one.ids, device=model.device)[None]
        logits = model(ids, use_cache=False).logits[0, :-1].float()
        right = ids[0, 1:]
        expected = (
            right if teacher is None else teacher(ids, use_cache=False).logits[0, :-1].argmax(1)
        )
        loss = functional.cross_entropy(logits, right, reduction="none")
        found.append((loss.cpu(), (logits.argmax(1) == expected).cpu()))
    loss, hit = (torch.cat(part).numpy() for part in zip(*found, strict=True))
    parts = {name: kinds == kind for kind, name in enumerate(KINDS)} | {"answer": kinds >= FRAME}
    return {
        f"{name} {what}": round(float(values[part].mean()), 4)
        for name, part in parts.items()
        if part.any()
        for what, values in (("loss", loss), ("top-1", hit))
    }
