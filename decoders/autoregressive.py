"""One target pass per token: what every other decoder is measured against."""

from __future__ import annotations

from ..records import Round
from .base import Decoder, GeneratedText
from .execution.clock import now, seconds
from .sampling.noise import Stream


class Autoregressive(Decoder):
    """Sample each token from the target's law and read it back; the draft is not used."""

    name = "autoregressive"
    exact = True

    def decode(self, prompt: tuple[int, ...], text: GeneratedText, stream: Stream) -> None:
        """Token t is argmax p_t / E_t, with E_t keyed by the seed, the prompt and t."""
        logits = self.target.begin(prompt, room=text.limit)
        token = self.choose(logits, stream, 0)
        text.write([token])
        while not text.done:
            passed, started = self.target.seconds, now(self.device)
            logits = self.target.feed([token])[0]
            self.target.commit([0])
            read = now(self.device)
            token = self.choose(logits, stream, len(text.tokens))
            text.write([token])
            text.rounds.append(
                Round(
                    max_depth=0,
                    drafted_depth=0,
                    drafted_nodes=0,
                    verified_nodes=1,
                    accepted=0,
                    emitted=1,
                    verify_seconds=seconds(started, read),
                    decide_seconds=seconds(read, now(self.device)),
                    pass_seconds=self.target.seconds - passed,
                )
            )
