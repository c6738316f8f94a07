"""A target's own texts: batched generation that remembers what the target thought of each token."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from tasteshift.decoders.execution.forward import ForwardInput, forward_of
from tasteshift.decoders.execution.kv_cache import KVCache

TOP = 64
"""Most likely tokens whose log-probabilities are kept at every place."""

HEATS = (1.0, 0.7, 0.7, 0.0)
"""Temperatures of the texts that continue one prompt."""

CHUNK = 256


@dataclass(frozen=True)
class Text:
    """One continuation.

    prompt  token ids read
    tokens  (n,) int64 token ids written
    ids     (n, TOP) int32 the target's most likely tokens before each of them, falling
    logp    (n, TOP) float16 their log-probabilities at temperature 1
    """

    prompt: tuple[int, ...]
    tokens: Tensor
    ids: Tensor
    logp: Tensor


def write(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    stops: frozenset[int],
    folder: Path,
    minutes: float,
    limit: int,
    seed: int,
    batch: int = 96,
) -> None:
    """Continue prompts once per temperature of HEATS, batch by batch, until the time is up.

    Every batch becomes a file in `folder` that follows from the seed and its number; files that
    are there already are not written again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    started, written = monotonic(), 0
    for number, group in enumerate(alike(prompts, batch // len(HEATS), random.Random(seed))):
        path = folder / f"{number:04}.safetensors"
        if path.exists():
            continue
        if (passed := monotonic() - started) > 60 * minutes:
            break
        with torch.inference_mode():
            chance = torch.Generator().manual_seed(seed + number)
            texts = together(model, group, stops, limit, chance)
        keep(texts, path)
        written += sum(len(text.tokens) for text in texts)
        passed = monotonic() - started
        print(
            f"{path}: {written} tokens, {written / passed:.0f} a second, "
            f"{max(0.0, minutes - passed / 60):.1f} min left",
            flush=True,
        )


def alike(
    prompts: Sequence[Sequence[int]], size: int, order: random.Random
) -> Iterator[list[tuple[int, ...]]]:
    """Groups of `size` prompts of like lengths, in random order."""
    for start in range(0, len(prompts), 16 * size):
        block = sorted(map(tuple, prompts[start : start + 16 * size]), key=len)
        groups = [block[first : first + size] for first in range(0, len(block), size)]
        order.shuffle(groups)
        yield from groups


def together(
    model: PreTrainedModel,
    prompts: Sequence[tuple[int, ...]],
    stops: frozenset[int],
    limit: int,
    chance: torch.Generator,
) -> list[Text]:
    """Texts of at most `limit` tokens for each prompt at each temperature, side by side.

    Prompts are padded on the left; texts that have ended are dropped from the batch now and then.
    """
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in prompts])
    real = torch.arange(width) >= torch.tensor([[width - len(prompt)] for prompt in prompts])
    places = (real.cumsum(-1) - 1).clamp(min=0)
    cache = KVCache(model, len(prompts))
    cache.reserve(width + limit)

    def read(tokens: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        end = mask.shape[-1]
        cells = slice(end - tokens.shape[1], end)
        one = ForwardInput(
            tokens, positions, mask, cache.layers, cache.window, cells, end, logits_to_keep=1
        )
        logits, _ = forward_of(model)([one])[0]
        return logits[:, -1].float()

    def pick(rows: Tensor) -> None:
        for layer in cache.layers:
            layer.keys = layer.keys.index_select(0, rows)
            layer.values = layer.values.index_select(0, rows)

    for start in range(0, width, CHUNK):
        end = min(start + CHUNK, width)
        row, column = torch.arange(start, end)[:, None], torch.arange(end)
        mask = (real[:, None, :end] & (column <= row)) | (column == row)
        logits = read(ids[:, start:end], mask, places[:, start:end])
    rows = torch.arange(len(prompts)).repeat_interleave(len(HEATS))
    pick(rows)
    logits, real, place = logits[rows], real[rows], places[rows, -1]
    heat = torch.tensor(HEATS).repeat(len(prompts))
    said: list[list[tuple[int, Tensor, Tensor]]] = [[] for _ in heat]
    alive = torch.arange(len(heat))
    for step in range(limit):
        best = logits.topk(TOP)
        logp = (best.values - logits.logsumexp(-1, keepdim=True)).half()
        token = torch.where(heat > 0, drawn(logits, heat, chance), best.indices[:, 0])
        for row, text in enumerate(alive.tolist()):
            said[text].append((int(token[row]), best.indices[row].int(), logp[row]))
        ended = torch.tensor([int(one) in stops for one in token])
        if ended.all() or step == limit - 1:
            break
        if ended.float().mean() > 0.15:
            on = (~ended).nonzero().squeeze(-1)
            pick(on)
            token, real, place, heat, alive = token[on], real[on], place[on], heat[on], alive[on]
        place = place + 1
        real = torch.cat([real, torch.ones(len(real), 1, dtype=torch.bool)], dim=1)
        logits = read(token[:, None], real[:, None], place[:, None])
    return [text_of(prompts[int(row)], told, stops) for row, told in zip(rows, said, strict=True)]


def drawn(logits: Tensor, heat: Tensor, chance: torch.Generator) -> Tensor:
    """(rows,) one token from each row's law at its temperature, by inversion."""
    mass = (logits / heat.clamp(min=0.01)[:, None]).softmax(-1).cumsum(-1)
    edge = torch.rand(len(mass), 1, generator=chance) * mass[:, -1:]
    return torch.searchsorted(mass, edge).squeeze(-1).clamp(max=mass.shape[1] - 1)


def text_of(
    prompt: tuple[int, ...], told: list[tuple[int, Tensor, Tensor]], stops: frozenset[int]
) -> Text:
    """A text up to its first stop, which belongs to it."""
    tokens = [token for token, _, _ in told]
    end = next((place + 1 for place, token in enumerate(tokens) if token in stops), len(tokens))
    ids, logp = (torch.stack([one[part] for one in told[:end]]) for part in (1, 2))
    return Text(prompt, torch.tensor(tokens[:end]), ids, logp)


def keep(texts: Sequence[Text], path: Path) -> None:
    """Write a file of texts."""
    part = path.with_suffix(".part")
    save_file(
        {
            "prompt": torch.tensor([token for text in texts for token in text.prompt]),
            "prompts": torch.tensor([len(text.prompt) for text in texts]),
            "tokens": torch.cat([text.tokens for text in texts]),
            "lengths": torch.tensor([len(text.tokens) for text in texts]),
            "ids": torch.cat([text.ids for text in texts]),
            "logp": torch.cat([text.logp for text in texts]),
        },
        part,
    )
    part.rename(path)


def recall(path: Path) -> list[Text]:
    """The texts of one file."""
    held = load_file(path)
    before, sizes = held["prompts"].tolist(), held["lengths"].tolist()
    columns = (held[name].split(sizes) for name in ("tokens", "ids", "logp"))
    prompts = (tuple(prompt.tolist()) for prompt in held["prompt"].split(before))
    return [Text(*one) for one in zip(prompts, *columns, strict=True)]
