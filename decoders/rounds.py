"""The loop that all decoders share: draft, one target pass over the draft tree, verify, commit."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Generic, NamedTuple, TypeVar, cast

from torch import Tensor

from ..records import Round
from .base import Decoder, ModelPair
from .execution.clock import now, seconds
from .execution.reader import Reader
from .generated_text import GeneratedText
from .sampling.distribution import argmax
from .sampling.draft_tree import DraftTree, StaticDraftTree
from .sampling.noise import Stream


class Verified(NamedTuple):
    """What the target makes of a draft tree.

    path     nodes that the text takes over, each the parent of the next
    token    the target's own token after them; None where the next round draws it
    pending  see `GeneratedText`
    """

    path: list[int]
    token: int | None
    pending: Tensor | None = None


Text = TypeVar("Text", bound=GeneratedText)
Tree = TypeVar("Tree", bound=DraftTree)


class RoundDecoder(Decoder, Generic[Text, Tree]):
    """A decoder in rounds; subclasses define `draft`, `verify` and, if needed, `commit`.

    most_nodes   size of the largest tree that a round can submit
    draft_model  the draft model's reading position in the text
    """

    most_nodes: int

    def __init__(self, pair: ModelPair, **common: Any) -> None:
        super().__init__(pair, **common)
        self.draft_model = Reader(pair.draft)

    def new_text(self, prompt: tuple[int, ...], limit: int, stream: Stream) -> GeneratedText:
        """The empty text of a call, with all that is kept from round to round."""
        return GeneratedText(prompt, limit, self.pair.stops, stream)

    @abstractmethod
    def draft(self, text: Text) -> Tree:
        """Propose a tree of draft tokens that may follow the text."""

    @abstractmethod
    def verify(self, tree: Tree, target_logits: Tensor, text: Text) -> Verified:
        """Choose the draft tokens to keep, and the target's token after them.

        target_logits  (submitted nodes, vocabulary)
        """

    def commit(self, tree: Tree, verified: Verified, text: Text) -> None:
        """Keep in the draft model's cache what it has read of the accepted path."""
        path, token, text.pending = verified
        self.draft_model.commit([n - tree.read.start for n in (0, *path) if n in tree.read])
        tokens, _ = tree.on_host
        text.unread = [tokens[node] for node in path if node not in tree.read]
        if token is not None:
            text.unread.append(token)

    def start(self, text: Text, target_logits: Tensor) -> None:
        """Write the first token, drawn from the target's logits after the prompt, (vocabulary,)."""
        text.unread = [self.target_token(target_logits, text)]
        text.write(text.unread)
        if not text.done:
            self.begin_draft(text)

    def decode(self, text: GeneratedText) -> None:
        """Read the prompt, then decode round by round until the text is done."""
        text = cast(Text, text)
        self.start(text, self.target_model.begin(text.prompt, text.limit + self.most_nodes))
        while not text.done:
            passed = self.target_model.seconds + self.draft_model.seconds
            started = now(self.device)
            tree = self.draft(text)
            drafted_at = now(self.device)
            nodes = tree.submitted
            first = nodes.start
            target_logits = self.target_model.feed(
                tree.tokens[nodes], tree.depths[nodes] - first, tree.mask[nodes, nodes]
            )
            verified_at = now(self.device)
            verified = self.verify(tree, target_logits, text)
            path, token, _ = verified
            self.target_model.commit([node - first for node in (0, *path) if node >= first])
            self.commit(tree, verified, text)
            tokens, drafted = tree.on_host
            written = [tokens[node] for node in path]
            emitted = text.write(written if token is None else [*written, token])
            text.rounds.append(
                Round(
                    max_depth=self.max_depth,
                    drafted_depth=int(tree.depths[drafted].max()) - first,
                    drafted_nodes=sum(drafted[tree.roots.stop :]),
                    verified_nodes=nodes.stop - first,
                    accepted=len(path) - first,
                    emitted=emitted,
                    draft_seconds=seconds(started, drafted_at),
                    verify_seconds=seconds(drafted_at, verified_at),
                    decide_seconds=seconds(verified_at, now(self.device)),
                    pass_seconds=self.target_model.seconds + self.draft_model.seconds - passed,
                    sources=tuple(tree.sources[node] for node in path[first:]),
                )
            )

    def target_token(self, logits: Tensor, text: Text) -> int:
        """The target's own next token, argmax p / E, from its logits (vocabulary,)."""
        if self.sampling.greedy:
            return int(argmax(logits))
        return int(self.sampling.sample(logits, text.noise())[1])

    def begin_draft(self, text: Text) -> None:
        """Let the draft model read the prompt, or share the keys of the target it is part of."""
        room = text.limit + self.most_nodes
        if self.pair.early_exit:
            self.draft_model.begin_as(self.target_model, room)
        else:
            self.draft_model.begin(text.prompt, room)

    def read_unread(self, text: Text) -> Tensor:
        """Let the draft model read to the text's end; returns its logits there, (1, vocabulary)."""
        logits = self.draft_model.feed(text.unread, logits=1)
        self.draft_model.commit(range(len(text.unread)))
        return logits

    def read_nodes(self, tree: StaticDraftTree, nodes: slice) -> Tensor:
        """Let the draft model read more nodes of the tree; returns (nodes, vocabulary) logits."""
        first = tree.read.start if tree.read else nodes.start
        tree.read = range(first, nodes.stop)
        return self.draft_model.feed(
            tree.tokens[nodes],
            tree.depths[nodes] - int(tree.depths[first]),
            tree.mask[nodes, first : nodes.stop],
        )
