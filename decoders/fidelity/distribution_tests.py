"""Whether many texts of a decoder have the target's law, where that law is easy to get wrong.

A decoder at T > 0 writes other tokens than autoregressive decoding with the same seed, of the
same law if it is exact. So texts are drawn after one prompt, and two neighboring tokens of each
are tested jointly with G: the first ones that are guessed, those after a rejected guess, and
those on the far side of a round all of whose guesses stood.
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
from .teacher_forced import keyed

Floats = NDArray[np.float64]
Text = tuple[int, ...]

TOP = 8
"""Likeliest tokens at each of the first two places that have cells of their own."""

BINS = 4
"""Cells a side of the square in which tokens after different texts are pooled."""

FEWEST = 5.0
"""Expected draws of a cell; cells below it are pooled, as the χ² law of G needs."""

BATCH = 64


@dataclass(frozen=True)
class DistributionTest:
    """A joint law of two neighboring tokens, drawn and computed.

    site      ``guesses``, ``rejection``, ``boundary`` or ``later``; see `distribution_tests`
    draws     texts that came to this site
    cells     cells that were compared; below 2 there was nothing to test, and p is 1
    p         of the G-test against the target's law
    tv        total variation distance, in 0 … 1, between the cells drawn and the target's
    floor     what `tv` is on average for an exact decoder with as many draws
    detects   Cohen's w, √Σ(p′ − p)²/p, that is found with probability 0.9 at level 0.001
    """

    site: str
    draws: int
    cells: int
    p: float
    tv: float
    floor: float
    detects: float


def distribution_tests(
    decoder: Decoder,
    prompt: Sequence[int],
    draws: int,
    tick: Callable[[], object] = lambda: None,
) -> list[DistributionTest]:
    """Test the decoder's law after one prompt.

    prompt  best where the text that follows has some entropy, and the draft is often wrong
    draws   texts to write. Their seeds are those that give one same first token, so that all
            stand at one place. A decoder whose first token is no plain draw from the prefill
            gets all seeds, and the tests begin with its first token.
    tick    called once a draw

    Sites: ``guesses``, the first two tokens that are guessed, in cells of `TOP` × `TOP` likeliest
    tokens and the rest; ``rejection``, the two tokens after the first round in which a guess was
    rejected; ``boundary``, those after the first round in which none was. When a round ends is
    settled before the next token is drawn, so these laws are the target's too; but a decoder
    whose next root takes the place of a rejected guess is looked at behind that root. One with
    keyed noise may look at the noise ahead to end a round; it is tested two tokens ``later``.

    The p-values are not adjusted for their number.
    """
    text = tuple(prompt)
    length = min(int(getattr(decoder, "max_depth", 4)), 6) + 4
    pilot = decoder.generate(text, length, seed=0)
    start = len(pilot.tokens) - sum(r.emitted for r in pilot.rounds)
    first = next_token_distributions(decoder, decoder.pair.target, [text])[0, -1]
    forced = int(first.argmax())
    law = torch.from_numpy(first)
    seeds = (s for s in count() if not start or draw(law, Stream(s, text).at(0)) == forced)
    written = []
    for _, seed in zip(range(draws), seeds, strict=False):
        generation = decoder.generate(text, length, seed=seed)
        if not start or generation.tokens[0] == forced:
            written.append(generation)
        tick()
    sites: dict[str, Callable[[Generation], int | None]] = {}
    if keyed(decoder):
        sites["later"] = lambda _: start + 2
    else:
        pending = not start  # what a rejection left is then the law of the next root
        sites["rejection"] = lambda generation: _end_of_round(generation, True, pending)
        sites["boundary"] = lambda generation: _end_of_round(generation, False)
    prefix = text + (forced,) * start
    tests = [_test("guesses", *_joint(decoder, prefix, [g.tokens[start:] for g in written]))]
    for site, place in sites.items():
        seen = [(g.tokens, at) for g in written if (at := place(g)) is not None]
        tests.append(_test(site, *_pooled(decoder, text, seen)))
    return tests


def g_test(observed: Floats, expected: Floats) -> tuple[float, int]:
    """p of G = 2 Σ O log(O/E), and the cells that were compared.

    observed, expected  (cells,) of one sum. Cells expected fewer than `FEWEST` times are one;
                        where together they are still too few, they join the next smallest.
    """
    order = np.argsort(expected, kind="stable")
    sums = np.cumsum(expected[order])
    heap = int((expected < FEWEST).sum())
    if heap:
        heap = max(heap, int(np.searchsorted(sums, FEWEST)) + 1)
    drawn, due = (np.append(x[order[heap:]], x[order[:heap]].sum()) for x in (observed, expected))
    drawn, due = (x if heap else x[:-1] for x in (drawn, due))
    if len(due) < 2:
        return 1.0, len(due)
    statistic = 2 * float((xlogy(drawn, drawn) - xlogy(drawn, due)).sum())
    return float(chi2.sf(statistic, len(due) - 1)), len(due)


def next_token_distributions(
    decoder: Decoder, model: PreTrainedModel, texts: Sequence[Text]
) -> Floats:
    """What follows the last two places of texts of one length: (texts, 2, vocabulary) float64.

    By a plain forward pass: no cache, no tree, nothing that the decoder itself uses.
    """
    with torch.inference_mode(), torch_threads(decoder.threads):
        ids = torch.tensor(texts, device=model.device)
        logits = model(input_ids=ids, logits_to_keep=2).logits[:, -2:].float().cpu()
    law = decoder.sampling.probs(logits).double()
    found: Floats = (law / law.sum(-1, keepdim=True)).numpy()
    return found


def _test(site: str, observed: Floats, law: Floats) -> DistributionTest:
    draws = int(observed.sum())
    p, cells = g_test(observed, draws * law)
    noise = np.random.Generator(np.random.Philox(0)).multinomial(draws, law, size=400)
    tv, floor = (
        float(np.abs(x - draws * law).sum(-1).mean() / 2 / max(draws, 1)) for x in (observed, noise)
    )
    return DistributionTest(site, draws, cells, p, tv, floor, _detects(cells, draws))


def _end_of_round(generation: Generation, rejected: bool, skipped: int = 0) -> int | None:
    """Where the text stood so many tokens after the first such round; None where it had ended."""
    place = len(generation.tokens) - sum(r.emitted for r in generation.rounds)
    for r in generation.rounds:
        place += r.emitted
        if (r.accepted < r.drafted_depth) == rejected:
            place += skipped
            return place if place < len(generation.tokens) else None
    return None


def _joint(decoder: Decoder, text: Text, drawn: Sequence[Text]) -> tuple[Floats, Floats]:
    """Draws and law of the two tokens after one text, by cell."""
    target, stops = decoder.pair.target, decoder.pair.stops
    first = next_token_distributions(decoder, target, [text])[0, -1]
    tops = [int(x) for x in np.argsort(-first, kind="stable")[:TOP] if first[x] > 0]
    seconds = next_token_distributions(decoder, target, [(*text, x) for x in tops])[:, -1]
    law: dict[Text, float] = {}
    for x, second in zip(tops, seconds, strict=True):
        law[(x,)] = float(first[x])
        for y in () if x in stops else np.argsort(-second, kind="stable")[:TOP].tolist():
            law[(x, y)] = float(first[x] * second[y])
            law[(x,)] -= law[(x, y)]
    law[()] = 1 - sum(law.values())
    counts = Counter(next(c for c in (two[:2], two[:1], ()) if c in law) for two in drawn)
    mass = np.maximum(np.array(list(law.values())), 0.0)
    return np.array([counts[cell] for cell in law], dtype=np.float64), mass / mass.sum()


def _pooled(
    decoder: Decoder, prompt: Text, seen: Sequence[tuple[Text, int]]
) -> tuple[Floats, Floats]:
    """Draws and law of tokens `at`, `at` + 1 after as many different texts, on one square.

    Each token becomes its place in the target's distribution function, at random within the
    token's own step: uniform in 0 … 1 after any text if the law is the target's (Rosenblatt
    1952, Annals of Mathematical Statistics 23). Tokens are ordered by p/q, because what goes
    wrong with guesses goes by p/q. The place of a token behind the end of a text is drawn.
    """
    noise = np.random.Generator(np.random.Philox(0))
    square = noise.random((len(seen), 2))
    by_length: dict[int, list[int]] = defaultdict(list)
    for row, (_, at) in enumerate(seen):
        by_length[at].append(row)
    for at, rows in by_length.items():
        for start in range(0, len(rows), BATCH):
            some = rows[start : start + BATCH]
            texts = [prompt + seen[row][0][: at + 1] for row in some]
            p, q = (
                next_token_distributions(decoder, m, texts)
                for m in (decoder.pair.target, decoder.pair.draft)
            )
            for row, laws, guesses in zip(some, p, q, strict=True):
                two = seen[row][0][at : at + 2]
                for side, token in enumerate(two):
                    ratio = laws[side] / np.maximum(guesses[side], 1e-300)
                    before = (ratio > ratio[token]) | (
                        (ratio == ratio[token]) & (np.arange(len(ratio)) < token)
                    )
                    square[row, side] *= laws[side][token]
                    square[row, side] += laws[side][before].sum()
    cells = np.minimum((square * BINS).astype(int), BINS - 1) @ (BINS, 1)
    counts = np.bincount(cells, minlength=BINS**2).astype(np.float64)
    return counts, np.full(BINS**2, BINS**-2.0)


def _detects(cells: int, draws: int) -> float:
    """The effect that a χ² test of this size finds in nine of ten cases at level 0.001."""
    if cells < 2:
        return float("inf")
    bar, low, high = chi2.isf(1e-3, cells - 1), 0.0, 1e4
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if ncx2.sf(bar, cells - 1, middle) < 0.9 else (low, middle)
    return float(np.sqrt(high / draws))
