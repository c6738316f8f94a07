"""The llm agent in batches: the answers of several users are generated together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ...errors import InputError
from ...records import Action, Brief, Observation
from .agent import LlmAgent, LlmSession


class LlmBatchAgent(LlmAgent):
    """As `LlmAgent`, but forward passes are batched over the users of one `act_batch`.

    Higher throughput at higher latency: a pass over the tokens of many users costs little more
    than one over a single user's (see `decoders.execution.batching.generate_together`). Each
    session has a decoder, and so a cache, of its own. Texts equal those of `llm` but for
    near-ties, since the last bits of a logit depend on the batch size.
    """

    name = "llm-batch"

    def start(self, brief: Brief) -> LlmSession:
        """As `LlmAgent.start`; raises InputError for a decoder instance."""
        if not isinstance(self._decoder, str):
            raise InputError("agent 'llm-batch' needs a decoder for every user; give its name")
        return self._start_with_decoder(brief, self._new_decoder())

    def act_batch(
        self, sessions: Sequence[LlmSession], observations: Sequence[Observation]
    ) -> list[Action]:
        """The action that `act` of each session would return."""
        from ...decoders.execution.batching import generate_together

        return generate_together(
            [
                partial(session.act, observation)
                for session, observation in zip(sessions, observations, strict=True)
            ]
        )
