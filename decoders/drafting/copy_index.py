"""Copy source: what followed the last few tokens where they occurred earlier in the text.

Answers copy: titles and ids stand in the prompt as the answer will spell them, and an answer
repeats its own schema. So what followed the longest context that occurred before is the best
free prediction of the next token (prompt lookup: Saxena 2023; contexts of several orders, longest
first, as in prediction by partial matching: Cleary & Witten 1984).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

ORDERS = (12, 6, 4, 3, 2, 1)
"""Lengths of the indexed contexts, longest first."""

Tail = tuple[int, ...]


@dataclass(slots=True)
class Followers:
    """The tokens that followed one context: how many in all, and how often each."""

    total: int = 0
    counts: dict[int, int] = field(default_factory=dict)


class CopyIndex:
    """An index of the contexts of a growing text; O(number of orders) per token and look-up.

    orders  lengths of context, in tokens, longest first
    reach   the longest of them
    tail    the last `reach` tokens of the text

    A context is counted when the token after it is written, so the end of the text never
    matches itself.
    """

    def __init__(self, orders: tuple[int, ...] = ORDERS) -> None:
        self.orders = orders
        self.reach = orders[0]
        self.tail: Tail = ()
        self._followers: dict[Tail, Followers] = {}

    def extend(self, tokens: Iterable[int]) -> None:
        """Append to the text."""
        index, tail, reach = self._followers, self.tail, self.reach
        for token in tokens:
            length = len(tail)
            for order in self.orders:
                if order <= length:
                    context = tail[length - order :]
                    followers = index.get(context)
                    if followers is None:
                        followers = index[context] = Followers()
                    followers.total += 1
                    followers.counts[token] = followers.counts.get(token, 0) + 1
            tail = (*tail, token)[-reach:]
        self.tail = tail

    def after(self, tail: Tail, below: int | None = None) -> tuple[int, Followers] | None:
        """Find the longest context at the end of `tail` that has been continued before.

        below  only contexts shorter than this

        Returns its order and what followed it; None where even the last token is new.
        """
        length = len(tail)
        for order in self.orders:
            if order <= length and (below is None or order < below):
                followers = self._followers.get(tail[length - order :])
                if followers is not None:
                    return order, followers
        return None
