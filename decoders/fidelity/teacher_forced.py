"""Teacher-forced check: read a text back under its target and compare it token by token.

Every speed stands beside its fidelity. A decoder that promises the tokens of autoregressive
decoding (any lossless one when greedy; one that shares its exponentials at any temperature) is read
back under the target, one token at a time. One that promises only the target's distribution is
sampled from instead: see `distribution_tests`.

A pass over many rows rounds differently from a pass over one, so the two best tokens may change
places where they nearly tie. How far the logits of one prefix differ is measured, never assumed,
and each such token is counted and listed. In bfloat16 that is far enough to explain almost
anything; there the measure is how often the autoregressive path itself takes another token when it
is read in passes of other sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError
from ...records import Generation
from ..base import Decoder, torch_threads
from ..execution.reader import Reader
from ..sampling.distribution import Sampling, argmax, race
from ..sampling.noise import Noise, Stream

WIDTHS = (1, 3)
"""Shapes of the passes that are compared with one-token passes: a chain, and a tree whose every
level holds so many siblings."""

LEVELS = 15
"""Depth of those passes: 15 and 45 rows, as speculative chains and static trees have."""

TOKEN_IDENTICAL = ("autoregressive", "exact-dynamic")
"""Decoders whose token at a position is the winner of the exponential race of that position."""


@dataclass(frozen=True)
class Mismatch:
    """A token that differs from the autoregressive path's.

    position  index among the new tokens
    expected  the token that the path takes after the same prefix
    margin    how much closer the logits would have to lie for `token` to win; ≥ 0
    """

    position: int
    token: int
    expected: int
    margin: float


@dataclass(frozen=True)
class TokenMatch:
    """Result of reading one text back under the autoregressive path.

    tokens       positions compared
    difference   largest |Δlogit| between one-token and many-row passes over the same prefixes
    near_ties    mismatches that twice this difference explains
    unexplained  the others, which no rounding accounts for
    own_flips    positions at which the path itself takes another token in such passes: their
                 number, as a mean over the shapes of passes
    """

    tokens: int
    difference: float
    near_ties: tuple[Mismatch, ...]
    unexplained: tuple[Mismatch, ...]
    own_flips: float = 0.0

    @property
    def tolerance(self) -> float:
        """The largest margin that rounding explains: both logits may move."""
        return 2 * self.difference

    @property
    def share(self) -> float:
        """Share of the tokens that are the path's own or nearly tie with it; 1 for no token."""
        return 1 - len(self.unexplained) / self.tokens if self.tokens else 1.0


def token_identical(decoder: Decoder) -> bool:
    """Whether a decoder's tokens can be compared with the autoregressive path's, seed by seed."""
    return decoder.sampling.greedy or decoder.name in TOKEN_IDENTICAL


def teacher_forced(
    decoder: Decoder, prompt: Sequence[int], generation: Generation, seed: int | None = None
) -> TokenMatch:
    """Compare a generation with the target's token after each of its own prefixes.

    decoder  the one that wrote it; for a text from elsewhere, another of the same pair and sampling
    seed     the call's, None for the decoder's own; without effect when greedy

    Raises InputError for a decoder that is not `token_identical`: only its distribution is the
    target's.
    """
    if not token_identical(decoder):
        raise InputError(
            f"{decoder.name!r} draws tokens of its own at temperature "
            f"{decoder.sampling.temperature}; test its distribution instead"
        )
    text, tokens = tuple(prompt), generation.tokens
    if not tokens:
        return TokenMatch(0, 0.0, (), ())
    with torch.inference_mode(), torch_threads(decoder.threads):
        rows, others = read_back(Reader(decoder.pair.target), text, tokens)
        stream = Stream(decoder.seed if seed is None else seed, text)
        exponentials = None
        if not decoder.sampling.greedy:
            exponentials = stream.exponentials(range(len(tokens)), rows.shape[-1])
        own, *flipped = (
            path_tokens(table, decoder.sampling, exponentials) for table in (rows, *others)
        )
    difference = max(float((table - rows).abs().max()) for table in others)
    near_ties: list[Mismatch] = []
    unexplained: list[Mismatch] = []
    for position in (own != torch.tensor(tokens)).nonzero().flatten().tolist():
        noise, token = stream.at(position), tokens[position]
        found = token_mismatch(
            rows[position], decoder.sampling, noise, position, token, 2 * difference
        )
        if found is not None:
            (near_ties if found.margin <= 2 * difference else unexplained).append(found)
    flips = sum(int((table != own).sum()) for table in flipped) / len(flipped)
    return TokenMatch(len(tokens), difference, tuple(near_ties), tuple(unexplained), flips)


def path_tokens(logits: Tensor, sampling: Sampling, exponentials: Tensor | None) -> Tensor:
    """The autoregressive path's token at each position of a text, (tokens,).

    logits, exponentials  (tokens, vocabulary); exponentials are None when greedy
    """
    return argmax(logits if exponentials is None else sampling.probs(logits) / exponentials)


def read_back(
    target: Reader, prompt: tuple[int, ...], tokens: Sequence[int]
) -> tuple[Tensor, list[Tensor]]:
    """Logits before each token, by one-token passes and by passes of each width in `WIDTHS`.

    Tables of (tokens, vocabulary), on the host.
    """
    room = len(tokens) + LEVELS * max(WIDTHS)
    table = [target.begin(prompt, room)]
    for token in tokens[:-1]:
        table.append(target.feed([token])[0])
        target.commit([0])
    rows = torch.stack(table).cpu()
    others = []
    for width in WIDTHS:
        table = [target.begin(prompt, room)[None]]
        for start in range(0, len(tokens) - 1, LEVELS):
            chain = np.asarray(tokens[start : min(start + LEVELS, len(tokens) - 1)])
            levels = np.repeat(np.arange(len(chain)), width)
            real = np.arange(0, len(levels), width)
            sees = np.eye(len(levels), dtype=np.bool_)
            sees[:, real] |= levels[:, None] > levels[real]
            table.append(target.feed(chain[levels], levels, sees)[real.tolist()])
            target.commit(real.tolist())
        others.append(torch.cat(table).cpu())
    return rows, others


def token_mismatch(
    logits: Tensor,
    sampling: Sampling,
    noise: Noise,
    position: int,
    token: int,
    tolerance: float,
) -> Mismatch | None:
    """None where the token is the path's own: the largest logit, or the winner of the race.

    logits     (vocabulary,) of the target before the token
    tolerance  difference of logits that rounding explains

    A race is run in units of logits, T · log(p / E), so that its margin compares with
    |Δlogit|. Under top-k or top-p a token may also have just passed or missed the cut.
    """
    keys = values = logits.double().numpy()
    rivals = np.ones(len(values), dtype=np.bool_)
    short = 0.0
    if not sampling.greedy:
        scores = race(replace(sampling, top_k=0, top_p=1.0).probs(logits), noise).numpy()
        with np.errstate(divide="ignore"):
            keys = sampling.temperature * np.log(scores)
        rivals = (sampling.probs(logits) > 0).numpy()
    expected = int(np.where(rivals, keys, -np.inf).argmax())
    if token == expected:
        return None
    if not rivals.all():
        cut = values[rivals].min()
        short = float(cut - values[token])
        rivals &= values >= cut + tolerance
    margin = max(float((keys[rivals] - keys[token]).max(initial=0.0)), short)
    return Mismatch(position, token, expected, margin)
