"""Target-initialized multi-candidate decoding: the first tokens of a round come from the target.

Lu et al. 2024, "Improving Multi-candidate Speculative Decoding", arXiv 2409.10644: the static
form, with the tree of Yang et al. 2024, arXiv 2401.06706, below each root.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from ..errors import InputError
from ..records import Round
from .base import Decoder, GeneratedText, ModelPair
from .execution.clock import now, seconds
from .execution.reader import Reader
from .sampling.draft_tree import foreseen, rooted
from .sampling.noise import VERIFICATION, Noise, Stream
from .sampling.trees import make_tree
from .sampling.verification import NONE


class TargetInit(Decoder):
    """Draw roots from the target's law, draft a tree below each, keep the longest path.

    k  w roots, then children per node at each depth below them

    The law of what follows the text is left pending at the end of a round: the target's own
    below the last depth drafted, else what the rejected guesses leave of it. The next roots are
    drawn from it, all different; when greedy, they are its w most likely tokens. The root below
    which most was accepted wins, the first of several; where nothing was accepted that is the
    first root.

    Not exact: a root is chosen for what was drawn below it, so for w > 1 not even the greedy
    text is the target's. One root is exact, because siblings are tested one after another, as in
    mcsd. (At T > 0 the authors' code tests each sibling alone and keeps the longest of all paths:
    more is accepted, and even one root is not exact.)

    A round writes its root and what was accepted below it. Roots are not accepted guesses, and
    the first round writes the first token.
    """

    name = "target-init"
    exact = False

    def __init__(
        self, pair: ModelPair, *, k: Sequence[int] = (2, 4, 4, 1, 1), **common: Any
    ) -> None:
        super().__init__(pair, **common)
        self.tree = make_tree(k)  # node 0 is the text's last token, which the target has read
        self.max_depth, self.most_nodes = len(self.tree.widths) - 1, len(self.tree) - 1
        if not self.max_depth:
            raise InputError(f"k is {self.tree.widths}; give the roots and at least one depth")
        self.draft = Reader(pair.draft)

    def config(self) -> dict[str, Any]:
        """As in Decoder, with the roots and the tree below each."""
        return super().config() | {"k": list(self.tree.widths)}

    def decode(self, prompt: tuple[int, ...], text: GeneratedText, stream: Stream) -> None:
        """Read the prompt, then go round after round; every token is written by a round."""
        room = text.limit + len(self.tree)
        logits = self.target.begin(prompt, room)
        if self.pair.early_exit:
            self.draft.begin_as(self.target, room)
        else:
            self.draft.begin(prompt, room)
        pending = logits if self.sampling.greedy else self.sampling.probs(logits)
        unread = False
        while not text.done:
            passed = self.target.seconds + self.draft.seconds
            started = now(self.device)
            last = text.tokens[-1] if text.tokens else prompt[-1]
            noise = None if self.sampling.greedy else stream.at(len(text.tokens))
            size = self.grow(pending, last, unread, noise)
            drafted = now(self.device)
            below = slice(1, size)
            logits = self.target.feed(
                self.drafted.tokens[below],
                self.tree.depths[below] - 1,
                self.tree.sees[below, below],
            )
            verified = now(self.device)
            path, pending = self.judge(logits, stream.at(len(text.tokens), VERIFICATION))
            self.target.commit([node - 1 for node in path])
            unread = self.settle(path, unread)
            tokens, drawn = self.drafted.told
            emitted = text.write([tokens[node] for node in path])
            text.rounds.append(
                Round(
                    max_depth=self.max_depth,
                    drafted_depth=int(self.tree.depths[drawn].max()) - 1,
                    drafted_nodes=sum(drawn[self.tree.levels[1].stop :]),
                    verified_nodes=size - 1,
                    accepted=len(path) - 1,
                    emitted=emitted,
                    draft_seconds=seconds(started, drafted),
                    verify_seconds=seconds(drafted, verified),
                    decide_seconds=seconds(verified, now(self.device)),
                    pass_seconds=self.target.seconds + self.draft.seconds - passed,
                    sources=("draft",) * (len(path) - 1),
                )
            )

    def grow(self, pending: Tensor, last: int, unread: bool, noise: Noise | None) -> int:
        """Draw the roots, let the draft read them, draw the next level, and so on.

        pending  (vocabulary,) the law of the roots, or the scores to be greedy on
        last     the text's last token
        unread   whether the draft has yet to read it; it does so with the roots

        Returns the size of the tree, node 0 included; its mask is a corner of the whole one.
        """
        tree = self.tree
        drafted = self.drafted = rooted(tree, last, self.device)
        first = start = 0 if unread else 1
        level = drafted.draw(pending[None], noise)
        more = True
        while more:
            rows = slice(start, level.stop)
            logits = self.draft.feed(
                drafted.tokens[rows], tree.depths[rows] - first, tree.sees[rows, first : level.stop]
            )[level.start - level.stop :]
            start = level.stop
            more = self.goes_on(level, logits)
            level = drafted.draw(logits, noise, self.sampling)
            more = more and level.stop < len(tree)
        self.read = range(first, start)
        return int(level.stop)

    def goes_on(self, level: slice, logits: Tensor) -> bool:
        """Whether the level after the next is worth drafting, once the draft has read `level`.

        logits  (nodes of the level, vocabulary) what the draft says of their children
        """
        return True

    def judge(self, logits: Tensor, noise: Noise) -> tuple[list[int], Tensor]:
        """The longest path that the target accepts, its root included, and the law after it.

        logits  (nodes, vocabulary) the target's, of nodes 1, 2, …
        """
        shape = len(self.tree), max(self.tree.widths)
        uniforms = None if self.sampling.greedy else noise.uniforms(*shape)
        laws: dict[int, Tensor] = {}

        def ask(nodes: range) -> tuple[Tensor]:
            some = logits[nodes.start - 1 : nodes.stop - 1]
            stands, left = self.drafted.judged(nodes, self.sampling, some, uniforms)
            laws.update(zip(nodes, left, strict=True))
            return (stands,)

        def along(node: int) -> range:
            """Of chains nearly every node is walked to, of trees one below each root."""
            level = self.tree.levels[int(self.tree.depths[node])]
            return level if len(level) == len(self.tree.levels[1]) else range(node, node + 1)

        told = foreseen(ask, range(1, 1 + len(logits)), self.device, along)
        drawn = self.drafted.told[1]
        paths = [self.walk(root, told) for root in self.tree.levels[1] if drawn[root]]
        path = max(paths, key=len)
        return path, laws[path[-1]]

    def walk(self, root: int, told: Callable[[int], list[int]]) -> list[int]:
        """Go down from a root for as long as a child is accepted."""
        path = [root]
        while (accepted := told(path[-1])[0]) != NONE:
            path.append(self.tree.children(path[-1])[accepted])
        return path

    def settle(self, path: list[int], unread: bool) -> bool:
        """Keep in the draft's cache what it has read of the path; is the last token missing?"""
        kept = [0, *path] if unread else path
        self.draft.commit([node - self.read.start for node in kept if node in self.read])
        return path[-1] not in self.read
