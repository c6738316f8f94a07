"""The text of one call as it grows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from time import perf_counter

from torch import Tensor

from ..records import Round
from .sampling.noise import Noise, Stream


class GeneratedText:
    """The text of one call, and the state that a decoder keeps from round to round.

    prompt          token ids
    limit           number of new tokens at most
    stops           tokens that end the text
    stream          its random numbers
    tokens, rounds  what was written so far, and how
    done            whether a stop or the limit was reached
    first_token_at  `perf_counter` when the first token was known
    unread          tokens at the end of the text that the draft model has not read
    pending         (vocabulary,) distribution of the next token, where its draw is left to the
                    next round; logits when greedy
    """

    def __init__(
        self, prompt: tuple[int, ...], limit: int, stops: frozenset[int], stream: Stream
    ) -> None:
        self.prompt = prompt
        self.limit = limit
        self.stops = stops
        self.stream = stream
        self.tokens: list[int] = []
        self.rounds: list[Round] = []
        self.done = limit == 0
        self.first_token_at = math.nan
        self.unread: list[int] = []
        self.pending: Tensor | None = None

    @property
    def last(self) -> int:
        """The last token so far, of the prompt where nothing was written."""
        return self.tokens[-1] if self.tokens else self.prompt[-1]

    def noise(self, lane: int = 0) -> Noise:
        """The random numbers of the next token, and of the round that it begins."""
        return self.stream.at(len(self.tokens), lane)

    def write(self, tokens: Sequence[int]) -> int:
        """Append tokens up to a stop or the limit; returns how many were appended."""
        before = len(self.tokens)
        if not before:
            self.first_token_at = perf_counter()
        for token in tokens:
            if not self.done:
                self.tokens.append(token)
                self.done = token in self.stops or len(self.tokens) == self.limit
        return len(self.tokens) - before
