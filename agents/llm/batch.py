"""The llm agent for many users at once: their texts are written side by side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ...errors import InputError
from ...records import Action, Brief, Observation
from .agent import LlmAgent, LlmSession


class LlmBatchAgent(LlmAgent):
    """As `LlmAgent`, but passes of one model are joined over the users who are asked for together.

    More texts a second, each of them later: a pass over the tokens of many users costs little
    more than one over a single user's (see `decoders.reading.generate_together`). Each session has a
    decoder, and so a cache, of its own. What is written is what `llm` writes, but for near-ties:
    the last bits of a logit depend on the size of a pass.
    """

    name = "llm-batch"

    def start(self, brief: Brief) -> LlmSession:
        """As in LlmAgent; raises InputError for a decoder that was handed over ready."""
        if not isinstance(self._decoder, str):
            raise InputError("agent 'llm-batch' needs a decoder for every user; give its name")
        return self._session(brief, self._made())

    def act_batch(
        self, sessions: Sequence[LlmSession], observations: Sequence[Observation]
    ) -> list[Action]:
        """What `act` of each session would return."""
        from ...decoders.execution.batching import generate_together

        return generate_together(
            [
                partial(session.act, observation)
                for session, observation in zip(sessions, observations, strict=True)
            ]
        )
