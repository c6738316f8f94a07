"""Batched generation by a target that records its distribution at each token."""

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
from tasteshift.storage import atomic_path

TOP = 64
"""Number of likeliest tokens whose log-probabilities are kept at every position."""

TEMPERATURES = (1.0, 0.7, 0.7, 0.0)
"""Temperatures of the texts that continue one prompt."""

CHUNK = 256


@dataclass(frozen=True)
class Text:
    """One continuation.

    prompt  token ids read
    tokens  (n,) int64 generated token ids
    ids     (n, TOP) int32 the target's most likely tokens before each of them, in descending order
    logp    (n, TOP) float16 their log-probabilities at temperature 1
    """

    prompt: tuple[int, ...]
    tokens: Tensor
    ids: Tensor
    logp: Tensor


def generate_texts(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    stops: frozenset[int],
    folder: Path,
    minutes: float,
    limit: int,
    seed: int,
    batch: int = 96,
) -> None:
    """Continue prompts at each of `TEMPERATURES`, batch by batch, until the time is up.

    Every batch is a file in `folder`, determined by the seed and its number; existing files are
    skipped.
    """
    folder.mkdir(parents=True, exist_ok=True)
    started, count = monotonic(), 0
    for number, group in enumerate(
        similar_lengths(prompts, batch // len(TEMPERATURES), random.Random(seed))
    ):
        path = folder / f"{number:04}.safetensors"
        if path.exists():
            continue
        if (passed := monotonic() - started) > 60 * minutes:
            break
        with torch.inference_mode():
            generator = torch.Generator().manual_seed(seed + number)
            texts = generate_batch(model, group, stops, limit, generator)
        save_texts(texts, path)
        count += sum(len(text.tokens) for text in texts)
        passed = monotonic() - started
        print(
            f"{path}: {count} tokens, {count / passed:.0f} per second, "
            f"{max(0.0, minutes - passed / 60):.1f} min left",
            flush=True,
        )


def similar_lengths(
    prompts: Sequence[Sequence[int]], size: int, order: random.Random
) -> Iterator[list[tuple[int, ...]]]:
    """Groups of `size` prompts of similar length, in random order."""
    for start in range(0, len(prompts), 16 * size):
        block = sorted(map(tuple, prompts[start : start + 16 * size]), key=len)
        groups = [block[first : first + size] for first in range(0, len(block), size)]
        order.shuffle(groups)
        yield from groups


def generate_batch(
    model: PreTrainedModel,
    prompts: Sequence[tuple[int, ...]],
    stops: frozenset[int],
    limit: int,
    generator: torch.Generator,
) -> list[Text]:
    """Texts of at most `limit` tokens for each prompt at each temperature, in one batch.

    Prompts are padded on the left; finished texts are dropped from the batch from time to time.
    """
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in prompts])
    real = torch.arange(width) >= torch.tensor([[width - len(prompt)] for prompt in prompts])
    prompt_positions = (real.cumsum(-1) - 1).clamp(min=0)
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
        logits = read(ids[:, start:end], mask, prompt_positions[:, start:end])
    rows = torch.arange(len(prompts)).repeat_interleave(len(TEMPERATURES))
    pick(rows)
    logits, real, position = logits[rows], real[rows], prompt_positions[rows, -1]
    temperature = torch.tensor(TEMPERATURES).repeat(len(prompts))
    recorded: list[list[tuple[int, Tensor, Tensor]]] = [[] for _ in temperature]
    alive = torch.arange(len(temperature))
    for step in range(limit):
        best = logits.topk(TOP)
        logp = (best.values - logits.logsumexp(-1, keepdim=True)).half()
        token = torch.where(
            temperature > 0, drawn(logits, temperature, generator), best.indices[:, 0]
        )
        for row, text in enumerate(alive.tolist()):
            recorded[text].append((int(token[row]), best.indices[row].int(), logp[row]))
        ended = torch.tensor([int(one) in stops for one in token])
        if ended.all() or step == limit - 1:
            break
        if ended.float().mean() > 0.15:
            on = (~ended).nonzero().squeeze(-1)
            pick(on)
            token, real, position, temperature, alive = (
                token[on],
                real[on],
                position[on],
                temperature[on],
                alive[on],
            )
        position = position + 1
        real = torch.cat([real, torch.ones(len(real), 1, dtype=torch.bool)], dim=1)
        logits = read(token[:, None], real[:, None], position[:, None])
    return [
        text_of(prompts[int(row)], records, stops)
        for row, records in zip(rows, recorded, strict=True)
    ]


def drawn(logits: Tensor, temperature: Tensor, generator: torch.Generator) -> Tensor:
    """(rows,) one token from each row's distribution at its temperature, by inversion."""
    mass = (logits / temperature.clamp(min=0.01)[:, None]).softmax(-1).cumsum(-1)
    edge = torch.rand(len(mass), 1, generator=generator) * mass[:, -1:]
    return torch.searchsorted(mass, edge).squeeze(-1).clamp(max=mass.shape[1] - 1)


def text_of(
    prompt: tuple[int, ...], records: list[tuple[int, Tensor, Tensor]], stops: frozenset[int]
) -> Text:
    """A text up to and including its first stop token."""
    tokens = [token for token, _, _ in records]
    end = next((index + 1 for index, token in enumerate(tokens) if token in stops), len(tokens))
    ids, logp = (torch.stack([one[part] for one in records[:end]]) for part in (1, 2))
    return Text(prompt, torch.tensor(tokens[:end]), ids, logp)


def save_texts(texts: Sequence[Text], path: Path) -> None:
    """Write a file of texts."""
    with atomic_path(path) as part:
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


def load_texts(path: Path) -> list[Text]:
    """The texts of one file."""
    held = load_file(path)
    before, sizes = held["prompts"].tolist(), held["lengths"].tolist()
    columns = (held[name].split(sizes) for name in ("tokens", "ids", "logp"))
    prompts = (tuple(prompt.tolist()) for prompt in held["prompt"].split(before))
    return [Text(*one) for one in zip(prompts, *columns, strict=True)]
