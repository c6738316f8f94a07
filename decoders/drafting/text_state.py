"""What one text has taught so far about what comes next in it; it ends with the text."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..sampling.distribution import Sampling, best
from ..sampling.noise import Stream
from .calibration import Calibration
from .copy_index import CopyIndex
from .growth import DraftToken, Kind, Node
from .recycling import Recycled
from .sources import copied, family, prior, ranked

PATIENCE = 2.0
"""Guesses, promised and kept, that each source is credited with before a text begins."""

AHEAD = 8
"""Places whose noise is made at once, for most of a short vector's time goes into starting it."""

ASKED: Kind = ("ask", 0, 0)
"""The kind that stands for the draft's best guess, whatever it may be."""


class Knowledge:
    """The guesses of all sources for any place in one text, on the noise of that place.

    sampling    how logits become laws
    stream      the text's noise
    vocabulary  size of a law
    sources     which sources may speak: of "copy", "recycled", "draft"
    width       guesses per place and source
    trust       how often the draft's best guess is expected to come true, to begin with
    """

    def __init__(
        self,
        sampling: Sampling,
        stream: Stream,
        vocabulary: int,
        sources: Collection[str],
        width: int,
        trust: float,
    ) -> None:
        self.sampling = sampling
        self.copies = CopyIndex()
        self.recycled = Recycled()
        self.calibration: Calibration[Kind] = Calibration(
            lambda kind: trust if kind == ASKED else prior(kind), family
        )
        self.sources = sources
        self.width = width
        self._kept: dict[str, list[float]] = {}
        self._stream = stream
        self._vocabulary = vocabulary
        self._times: dict[int, tuple[Tensor, NDArray[np.float64]]] = {}

    def times(self, place: int) -> Tensor:
        """E of the token at `place`, (vocabulary,): the very numbers that `draw` would use."""
        return self._made(place)[0]

    def times_here(self, place: int) -> NDArray[np.float64]:
        """The same on the host."""
        return self._made(place)[1]

    def _made(self, place: int) -> tuple[Tensor, NDArray[np.float64]]:
        if place not in self._times:
            places = range(place, place + AHEAD)
            table = self._stream.exponentials(places, self._vocabulary)
            both = zip(table, table.numpy(force=True), strict=True)
            self._times.update(zip(places, both, strict=True))
        return self._times[place]

    def forget(self, place: int) -> None:
        """Drop the noise of all places before this one: the text has passed them."""
        for passed in [known for known in self._times if known < place]:
            del self._times[passed]

    def decide(self, logits: Tensor, places: Sequence[int]) -> Tensor:
        """The target's token at each place, (places,): argmax p / E."""
        return best(logits if self.sampling.greedy else self._raced(logits, places))

    def free(self, node: Node, place: int) -> list[DraftToken]:
        """What may stand at `place`, after `node`, as far as that is known without a pass."""
        guesses: list[DraftToken] = []
        times = None if self.sampling.greedy else self.times_here(place)
        if "copy" in self.sources:
            guesses += copied(self.copies, node.tail, self.calibration, times, self.width)
        if "recycled" in self.sources and len(node.tail) > 1:
            found = self.recycled.after(node.tail[-2], node.token)
            if found is not None:
                both, (tokens, logits) = found
                scores: NDArray[np.floating] = logits
                if times is not None:
                    scores = logits - self.sampling.temperature * np.log(times[tokens])
                    order = (-scores).argsort(kind="stable")
                    tokens, scores = tokens[order], scores[order]
                first = list(zip(tokens.tolist(), scores.tolist(), strict=True))[: self.width]
                guesses += ranked("recycled", first, self.calibration, trust=int(both))
        return self._tempered(guesses)

    def drafted(self, logits: Tensor, places: Sequence[int]) -> list[list[DraftToken]]:
        """The draft's guesses for each place, best first, from its logits (places, vocabulary)."""
        table = logits.double() if self.sampling.greedy else self._raced(logits, places)
        scores, tokens = table.topk(min(self.width, table.shape[-1]), dim=-1)
        if not self.sampling.greedy:
            scores = self.sampling.temperature * scores.log()
        found = []
        for row in torch.stack((tokens.double(), scores), dim=-1).tolist():
            kept = [(int(token), score) for token, score in row if score > -np.inf]
            found.append(self._tempered(ranked("draft", kept, self.calibration)))
        return found

    def _raced(self, logits: Tensor, places: Sequence[int]) -> Tensor:
        times = [self.times(place) for place in places]
        return self.sampling.probs(logits) / (times[0] if len(times) == 1 else torch.stack(times))

    def _tempered(self, guesses: list[DraftToken]) -> list[DraftToken]:
        calibration_ratio = {source: self.calibration_ratio(source) for source in self.sources}
        for guess in guesses:
            guess.chance *= calibration_ratio[guess.source]
        return guesses

    def learn(self, node: Node, token: int, drafted: int | None) -> None:
        """`token` follows `node`; `drafted` is the draft's best guess, where it was asked."""
        for child in node.children:
            hit = child.token == token
            for kind in child.kinds:
                self.calibration.learn(kind, hit)
        if drafted is not None:
            self.calibration.learn(ASKED, drafted == token)

    def calibration_ratio(self, source: str) -> float:
        """What a source's guesses were worth in this text for each one that they promised.

        The guesses that are submitted are those that look best, and those are often overrated.
        """
        kept, promised = self._kept.get(source, (PATIENCE, PATIENCE))
        return min(1.0, kept / promised)

    def judge(self, node: Node, submitted: Collection[Node], token: int) -> None:
        """`token` followed a node below which these children had been submitted."""
        for child in submitted:
            tally = self._kept.setdefault(child.source, [PATIENCE, PATIENCE])
            tally[0] += child.token == token
            tally[1] += child.chance / node.chance
