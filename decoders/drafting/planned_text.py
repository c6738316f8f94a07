"""State of `exact-dynamic` in one text."""

from __future__ import annotations

from dataclasses import dataclass

from ..execution.reader import CHUNK
from ..execution.scheduling import current_scheduler
from ..generated_text import GeneratedText
from ..sampling.noise import Stream
from .candidate_sources import CandidateSources
from .cost_profile import CostProfile


@dataclass(frozen=True)
class PassCosts:
    """What passes cost in one text, with the texts that share them, by rows read.

    target  over 0, 1, … rows, up to the largest tree
    draft   over 0, 1, … rows, up to a chunk of the prompt
    """

    target: list[float]
    draft: list[float]

    @classmethod
    def of(cls, profile: CostProfile, most_nodes: int) -> PassCosts:
        """The costs of a profile for trees of at most so many nodes."""
        texts = current_scheduler().batch_size
        return cls(profile.of_target(most_nodes, texts), profile.of_draft(CHUNK, texts))

    def draft_rows(self, rows: int) -> float:
        """Cost for the draft model to read so many rows, chunk by chunk."""
        chunks, rest = divmod(rows, CHUNK)
        return chunks * self.draft[CHUNK] + self.draft[rest]


class PlannedText(GeneratedText):
    """A text of which every round is planned.

    sources       candidates for its continuation
    costs         of passes
    shares_cache  whether the draft model takes over what the target has read, at no cost
    draft_begun   whether the draft model has read the prompt
    planned       tokens that the rounds so far were expected to write, and their expected cost
    """

    def __init__(
        self,
        prompt: tuple[int, ...],
        limit: int,
        stops: frozenset[int],
        stream: Stream,
        sources: CandidateSources,
        costs: PassCosts,
        shares_cache: bool,
    ) -> None:
        super().__init__(prompt, limit, stops, stream)
        self.sources = sources
        self.costs = costs
        self.shares_cache = shares_cache
        self.draft_begun = False
        self.planned = (0.0, 0.0)
        self._indexed = 0
        sources.copies.extend(prompt)

    def unread_by_draft(self) -> list[int]:
        """Tokens that the draft model's next pass reads before any candidate."""
        return self.unread if self.draft_begun or not self.shares_cache else self.unread[-1:]

    def index_new_tokens(self) -> None:
        """Let the copy source see what was written since the last round."""
        self.sources.copies.extend(self.tokens[self._indexed :])
        self._indexed = len(self.tokens)
        self.sources.forget_noise(self._indexed)
