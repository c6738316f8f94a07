"""One round of any decoder that guesses ahead: draft, read all guesses in one pass, walk, keep."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..records import Round
from .base import Decoder, GeneratedText, ModelPair
from .execution.clock import now, seconds
from .execution.reader import Reader
from .sampling.draft_tree import Drawn
from .sampling.noise import Stream


@dataclass
class Guesses(Drawn):
    """A drafted tree: node 0 is the text's last token, which the target has not read yet.

    depths   (nodes,) how many nodes lie above it
    sees     (nodes, nodes) [i, j]: whether j is i or an ancestor of i
    sources  where each node's token came from; "" for node 0
    read     nodes that the draft has read as guesses, in the order in which it did
    unread   tokens at the text's end that the draft has not read, node 0's included
    """

    depths: NDArray[np.int64]
    sees: NDArray[np.bool_]
    sources: tuple[str, ...]
    read: list[int] = field(default_factory=list)
    unread: list[int] = field(default_factory=list)


class TreeDecoder(Decoder):
    """Rounds of `propose`, one target pass and `walk`: what differs is how to guess and to judge.

    max_depth   depth of the deepest path that a round can draft
    most_nodes  size of the largest tree, node 0 included
    draft       the draft model's place in the text
    """

    max_depth: int
    most_nodes: int

    def __init__(self, pair: ModelPair, **common: Any) -> None:
        super().__init__(pair, **common)
        self.draft = Reader(pair.draft)

    @abstractmethod
    def propose(self, unread: list[int], text: GeneratedText, stream: Stream) -> Guesses:
        """Guess what follows; `unread` is the end of the text that the draft has not read."""

    @abstractmethod
    def walk(
        self, guesses: Guesses, logits: Tensor, text: GeneratedText, stream: Stream
    ) -> tuple[list[int], int]:
        """Judge the guesses by the target's logits (nodes, vocabulary).

        Returns the nodes that stand, from below node 0 downward, and the token after them.
        """

    def decode(self, prompt: tuple[int, ...], text: GeneratedText, stream: Stream) -> None:
        """Read the prompt, write its first token, then go round after round."""
        logits = self.target.begin(prompt, text.limit + self.most_nodes)
        unread = [self.choose(logits, stream, 0)]
        text.write(unread)
        if not text.done:
            self.begin_draft(prompt, text.limit + self.most_nodes)
        while not text.done:
            passed = self.target.seconds + self.draft.seconds
            started = now(self.device)
            guesses = self.propose(unread, text, stream)
            drafted = now(self.device)
            logits = self.target.feed(guesses.tokens, guesses.depths, guesses.sees)
            verified = now(self.device)
            path, token = self.walk(guesses, logits, text, stream)
            self.target.commit([0, *path])
            unread = self.settle(guesses, path, token)
            tokens, drawn = guesses.told
            emitted = text.write([*(tokens[node] for node in path), token])
            text.rounds.append(
                Round(
                    max_depth=self.max_depth,
                    drafted_depth=int(guesses.depths[drawn].max()),
                    drafted_nodes=sum(drawn) - 1,
                    verified_nodes=len(guesses.tokens),
                    accepted=len(path),
                    emitted=emitted,
                    draft_seconds=seconds(started, drafted),
                    verify_seconds=seconds(drafted, verified),
                    decide_seconds=seconds(verified, now(self.device)),
                    pass_seconds=self.target.seconds + self.draft.seconds - passed,
                    sources=tuple(guesses.sources[node] for node in path),
                )
            )

    def begin_draft(self, prompt: tuple[int, ...], room: int) -> None:
        """Let the draft read the prompt, or take over the keys of a target that it is part of."""
        if self.pair.early_exit:
            self.draft.begin_as(self.target, room)
        else:
            self.draft.begin(prompt, room)

    def settle(self, guesses: Guesses, path: list[int], token: int) -> list[int]:
        """Keep what the draft has read of the path; returns the tokens that it has not."""
        row = {node: index for index, node in enumerate(guesses.read)}
        kept = 0
        while kept < len(path) and path[kept] in row:
            kept += 1
        self.draft.commit([row[node] for node in path[:kept]])
        tokens = guesses.told[0]
        return [*guesses.unread, *(tokens[node] for node in path[kept:]), token]
