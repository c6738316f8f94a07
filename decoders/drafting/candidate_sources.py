"""Candidates of all sources for any position of one text, on the noise of that position."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..sampling.distribution import Sampling, argmax
from ..sampling.noise import Stream
from .calibration import Calibration
from .candidate_probs import copied, family, prior, ranked
from .copy_index import CopyIndex
from .recycling import RecycledTokens
from .tree_builder import Candidate, Kind, Node

INITIAL_COUNT = 2.0
"""Accepted and expected tokens that each source is credited with before a text begins."""

POSITIONS = 8
"""Positions whose noise is made at once: most of a short vector's time goes into starting it."""

DRAFT_BEST: Kind = ("draft-best", 0, 0)
"""The kind that stands for the draft model's best token, whatever its lead."""


class CandidateSources:
    """What one text has shown so far about its continuation; a new text starts with nothing.

    sampling    how logits become probabilities
    stream      the text's noise
    vocabulary  number of tokens
    sources     which sources are used: of "copy", "recycled", "draft"
    width       candidates per position and source
    trust       expected acceptance rate of the draft model's best token, to begin with
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
        self.recycled = RecycledTokens()
        self.calibration: Calibration[Kind] = Calibration(
            lambda kind: trust if kind == DRAFT_BEST else prior(kind), family
        )
        self.sources = sources
        self.width = width
        self._counts: dict[str, list[float]] = {}
        self._stream = stream
        self._vocabulary = vocabulary
        self._exponentials: dict[int, tuple[Tensor, NDArray[np.float64]]] = {}

    def target_tokens(self, target_logits: Tensor, positions: Sequence[int]) -> Tensor:
        """The target's own token y = argmax p / E at each position: (positions,)."""
        if self.sampling.greedy:
            return argmax(target_logits)
        return argmax(self._race(target_logits, positions))

    def free(self, node: Node, position: int) -> list[Candidate]:
        """Candidates for `position`, after `node`, that need no pass of a model."""
        candidates: list[Candidate] = []
        exponentials = None if self.sampling.greedy else self._noise(position)[1]
        if "copy" in self.sources:
            candidates += copied(self.copies, node.tail, self.calibration, exponentials, self.width)
        if "recycled" in self.sources and len(node.tail) > 1:
            found = self.recycled.after(node.tail[-2], node.token)
            if found is not None:
                both, (tokens, logits) = found
                scores: NDArray[np.floating] = logits
                if exponentials is not None:
                    scores = logits - self.sampling.temperature * np.log(exponentials[tokens])
                    order = (-scores).argsort(kind="stable")
                    tokens, scores = tokens[order], scores[order]
                first = list(zip(tokens.tolist(), scores.tolist(), strict=True))[: self.width]
                candidates += ranked("recycled", first, self.calibration, grade=int(both))
        return self._calibrated(candidates)

    def drafted(self, draft_logits: Tensor, positions: Sequence[int]) -> list[list[Candidate]]:
        """The draft model's candidates for each position, ranked by q / E, best first.

        draft_logits  (positions, vocabulary)
        """
        greedy = self.sampling.greedy
        table = draft_logits.double() if greedy else self._race(draft_logits, positions)
        scores, tokens = table.topk(min(self.width, table.shape[-1]), dim=-1)
        if not greedy:
            scores = self.sampling.temperature * scores.log()
        found = []
        for row in torch.stack((tokens.double(), scores), dim=-1).tolist():
            possible = [(int(token), score) for token, score in row if score > -np.inf]
            found.append(self._calibrated(ranked("draft", possible, self.calibration)))
        return found

    def learn(
        self, node: Node, token: int, submitted: Collection[Node], draft_best: int | None
    ) -> None:
        """Record that `token` follows `node`.

        submitted   those children of the node that the target read
        draft_best  the draft model's best token after the node, where it was read
        """
        for child in node.children:
            hit = child.token == token
            for kind in child.kinds:
                self.calibration.learn(kind, hit)
        if draft_best is not None:
            self.calibration.learn(DRAFT_BEST, draft_best == token)
        for child in submitted:
            count = self._counts.setdefault(child.source, [INITIAL_COUNT, INITIAL_COUNT])
            count[0] += child.token == token
            count[1] += child.reach_prob / node.reach_prob

    def calibration_ratio(self, source: str) -> float:
        """Accepted over expected tokens of a source in this text, at most 1.

        Submitted candidates are those that look best, and those are often overrated.
        """
        accepted, expected = self._counts.get(source, (INITIAL_COUNT, INITIAL_COUNT))
        return min(1.0, accepted / expected)

    def forget_noise(self, position: int) -> None:
        """Drop the noise of all positions before this one."""
        for passed in [known for known in self._exponentials if known < position]:
            del self._exponentials[passed]

    def _noise(self, position: int) -> tuple[Tensor, NDArray[np.float64]]:
        """E of the token at `position`, (vocabulary,), on the device and on the host.

        These are the numbers that `draw` uses there.
        """
        if position not in self._exponentials:
            positions = range(position, position + POSITIONS)
            table = self._stream.exponentials(positions, self._vocabulary)
            both = zip(table, table.numpy(force=True), strict=True)
            self._exponentials.update(zip(positions, both, strict=True))
        return self._exponentials[position]

    def _race(self, logits: Tensor, positions: Sequence[int]) -> Tensor:
        """Probabilities over E, (positions, vocabulary)."""
        rows = [self._noise(position)[0] for position in positions]
        return self.sampling.probs(logits) / (rows[0] if len(rows) == 1 else torch.stack(rows))

    def _calibrated(self, candidates: list[Candidate]) -> list[Candidate]:
        """Scale probabilities by their source's calibration ratio."""
        ratios = {source: self.calibration_ratio(source) for source in self.sources}
        for candidate in candidates:
            candidate.prob *= ratios[candidate.source]
        return candidates
