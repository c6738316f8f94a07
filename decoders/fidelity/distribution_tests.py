"""Statistical tests of a decoder's output distribution against its target's.

At T > 0 a lossless decoder writes other tokens than autoregressive decoding with the same seed, but
with the same distribution. So many texts are drawn after one prompt, and two neighboring tokens
of each are tested jointly with a G-test, where a wrong rule is most likely to show: at the first
draft tokens, after a rejected draft token, and after a round in which all were accepted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import xlogy
from scipy.stats import chi2, ncx2
from transformers import PreTrainedModel

from ...records import Generation
from ..base import Decoder, torch_threads
from ..sampling.distribution import draw
from ..sampling.noise import Stream
from .teacher_forced import token_identical

Floats = NDArray[np.float64]
Text = tuple[int, ...]

TOP = 8
"""Number of likeliest tokens at each of the two positions that have cells of their own."""

BINS = 4
"""Cells per side of the square in which tokens after different texts are pooled."""

MIN_EXPECTED = 5.0
"""Expected count of a cell; smaller cells are pooled, as the χ² approximation of G needs."""

BATCH = 64


@dataclass(frozen=True)
class DistributionTest:
    """Result of one G-test of two neighboring tokens against the target's distribution.

    site         ``draft``, ``rejection``, ``boundary`` or ``later``; see `distribution_tests`
    draws        number of texts that reached this site
    cells        number of cells compared; below 2 there was nothing to test, and p is 1
    p            p-value of the G-test
    tv_distance  total variation distance, in 0 … 1, between observed and expected cells
    tv_floor     mean of `tv_distance` for a lossless decoder with as many draws
    detects      Cohen's w, √Σ(p′ − p)²/p, that is found with probability 0.9 at level 0.001
    """

    site: str
    draws: int
    cells: int
    p: float
    tv_distance: float
    tv_floor: float
    detects: float


def distribution_tests(
    decoder: Decoder,
    prompt: Sequence[int],
    draws: int,
    progress: Callable[[], object] = lambda: None,
) -> list[DistributionTest]:
    """Test a decoder's output distribution after one prompt.

    prompt    best where the text that follows has some entropy, and the draft is often wrong
    draws     number of texts to generate. Their seeds are those that give one same first token, so
              that all continue the same text. A decoder whose first token is no plain draw from the
              prefill gets all seeds, and the tests begin with its first token.
    progress  called after each draw

    Sites: ``draft``, the first two tokens that are drafted, in cells of `TOP` × `TOP` likeliest
    tokens and the rest; ``rejection``, the two tokens after the first round in which a draft token
    was rejected; ``boundary``, those after the first round in which none was. When a round ends is
    decided before the next token is drawn, so the target's distribution holds there too; but a
    decoder whose next root replaces a rejected draft token is tested behind that root. A
    token-identical decoder may look at the noise ahead to end a round; it is tested two tokens
    ``later``.

    The p-values are not adjusted for their number.
    """
    text = tuple(prompt)
    length = min(int(getattr(decoder, "max_depth", 0) or 4), 6) + 4
    pilot = decoder.generate(text, length, seed=0)
    start = len(pilot.tokens) - sum(r.emitted for r in pilot.rounds)
    first = next_token_distributions(decoder, decoder.pair.target, [text])[0, -1]
    forced = int(first.argmax())
    probs = torch.from_numpy(first)
    seeds = (s for s in count() if not start or draw(probs, Stream(s, text).at(0)) == forced)
    generations = []
    for _, seed in zip(range(draws), seeds, strict=False):
        generation = decoder.generate(text, length, seed=seed)
        if not start or generation.tokens[0] == forced:
            generations.append(generation)
        progress()
    sites: dict[str, Callable[[Generation], int | None]] = {}
    if token_identical(decoder):
        sites["later"] = lambda _: start + 2
    else:
        replaced_root = not start  # after a rejection the next root is drawn first
        sites["rejection"] = lambda generation: _end_of_round(generation, True, replaced_root)
        sites["boundary"] = lambda generation: _end_of_round(generation, False)
    prefix = text + (forced,) * start
    tests = [_test("draft", *_joint(decoder, prefix, [g.tokens[start:] for g in generations]))]
    for site, position_of in sites.items():
        samples = [(g.tokens, at) for g in generations if (at := position_of(g)) is not None]
        tests.append(_test(site, *_pooled(decoder, text, samples)))
    return tests


def g_test(observed: Floats, expected: Floats) -> tuple[float, int]:
    """p-value of G = 2 Σ O log(O/E), and the number of cells compared.

    observed, expected  (cells,) counts with equal sums. Cells expected fewer than `MIN_EXPECTED`
                        times are pooled; where together they are still too few, the next smallest
                        cell joins them.
    """
    order = np.argsort(expected, kind="stable")
    sums = np.cumsum(expected[order])
    pool = int((expected < MIN_EXPECTED).sum())
    if pool:
        pool = max(pool, int(np.searchsorted(sums, MIN_EXPECTED)) + 1)
    drawn, due = (np.append(x[order[pool:]], x[order[:pool]].sum()) for x in (observed, expected))
    drawn, due = (x if pool else x[:-1] for x in (drawn, due))
    if len(due) < 2:
        return 1.0, len(due)
    statistic = 2 * float((xlogy(drawn, drawn) - xlogy(drawn, due)).sum())
    return float(chi2.sf(statistic, len(due) - 1)), len(due)


def next_token_distributions(
    decoder: Decoder, model: PreTrainedModel, texts: Sequence[Text]
) -> Floats:
    """Distributions of the next token at the last two positions: (texts, 2, vocabulary) float64.

    texts  token ids, all of one length

    Computed by a plain forward pass of transformers, without anything that the decoder itself uses.
    """
    with torch.inference_mode(), torch_threads(decoder.threads):
        ids = torch.tensor(texts, device=model.device)
        logits = model(input_ids=ids, logits_to_keep=2).logits[:, -2:].float().cpu()
    probs = decoder.sampling.probs(logits).double()
    normalized: Floats = (probs / probs.sum(-1, keepdim=True)).numpy()
    return normalized


def _test(site: str, observed: Floats, probs: Floats) -> DistributionTest:
    """Compare counts (cells,) with the probabilities (cells,) of the target."""
    draws = int(observed.sum())
    p, cells = g_test(observed, draws * probs)
    noise = np.random.Generator(np.random.Philox(0)).multinomial(draws, probs, size=400)
    distance, floor = (
        float(np.abs(x - draws * probs).sum(-1).mean() / 2 / max(draws, 1))
        for x in (observed, noise)
    )
    return DistributionTest(site, draws, cells, p, distance, floor, _detects(cells, draws))


def _end_of_round(generation: Generation, rejected: bool, skipped: int = 0) -> int | None:
    """Position `skipped` tokens after the first round with (or without) a rejection.

    None where the text had ended.
    """
    position = len(generation.tokens) - sum(r.emitted for r in generation.rounds)
    for r in generation.rounds:
        position += r.emitted
        if (r.accepted < r.drafted_depth) == rejected:
            position += skipped
            return position if position < len(generation.tokens) else None
    return None


def _joint(decoder: Decoder, text: Text, drawn: Sequence[Text]) -> tuple[Floats, Floats]:
    """Counts and probabilities, by cell, of the two tokens after one text."""
    target, stops = decoder.pair.target, decoder.pair.stops
    first = next_token_distributions(decoder, target, [text])[0, -1]
    tops = [int(x) for x in np.argsort(-first, kind="stable")[:TOP] if first[x] > 0]
    seconds = next_token_distributions(decoder, target, [(*text, x) for x in tops])[:, -1]
    probs: dict[Text, float] = {}
    for x, second in zip(tops, seconds, strict=True):
        probs[(x,)] = float(first[x])
        for y in () if x in stops else np.argsort(-second, kind="stable")[:TOP].tolist():
            probs[(x, y)] = float(first[x] * second[y])
            probs[(x,)] -= probs[(x, y)]
    probs[()] = 1 - sum(probs.values())
    counts = Counter(next(c for c in (two[:2], two[:1], ()) if c in probs) for two in drawn)
    mass = np.maximum(np.array(list(probs.values())), 0.0)
    return np.array([counts[cell] for cell in probs], dtype=np.float64), mass / mass.sum()


def _pooled(
    decoder: Decoder, prompt: Text, samples: Sequence[tuple[Text, int]]
) -> tuple[Floats, Floats]:
    """Counts and probabilities of tokens `at`, `at` + 1 after as many different texts.

    Each token is mapped to its value under the target's distribution function, at random within
    the token's own step: uniform in 0 … 1 after any text if the target's distribution holds
    (Rosenblatt 1952, Annals of Mathematical Statistics 23). Tokens are ordered by p/q, because
    errors of verification go by p/q. The value of a token behind the end of a text is drawn.
    """
    noise = np.random.Generator(np.random.Philox(0))
    square = noise.random((len(samples), 2))
    by_length: dict[int, list[int]] = defaultdict(list)
    for row, (_, at) in enumerate(samples):
        by_length[at].append(row)
    for at, rows in by_length.items():
        for start in range(0, len(rows), BATCH):
            some = rows[start : start + BATCH]
            texts = [prompt + samples[row][0][: at + 1] for row in some]
            target_probs, draft_probs = (
                next_token_distributions(decoder, model, texts)
                for model in (decoder.pair.target, decoder.pair.draft)
            )
            for row, p, q in zip(some, target_probs, draft_probs, strict=True):
                two = samples[row][0][at : at + 2]
                for side, token in enumerate(two):
                    ratio = p[side] / np.maximum(q[side], 1e-300)
                    before = (ratio > ratio[token]) | (
                        (ratio == ratio[token]) & (np.arange(len(ratio)) < token)
                    )
                    square[row, side] *= p[side][token]
                    square[row, side] += p[side][before].sum()
    cells = np.minimum((square * BINS).astype(int), BINS - 1) @ (BINS, 1)
    counts = np.bincount(cells, minlength=BINS**2).astype(np.float64)
    return counts, np.full(BINS**2, BINS**-2.0)


def _detects(cells: int, draws: int) -> float:
    """The effect that a χ² test of this size finds with probability 0.9 at level 0.001."""
    if cells < 2:
        return float("inf")
    critical, low, high = chi2.isf(1e-3, cells - 1), 0.0, 1e4
    for _ in range(60):
        middle = (low + high) / 2
        power = ncx2.sf(critical, cells - 1, middle)
        low, high = (middle, high) if power < 0.9 else (low, middle)
    return float(np.sqrt(high / draws))
