"""What followed the last few tokens when they stood in the text before.

Answers copy: titles and ids stand in the prompt as the answer will spell them, and an answer
repeats its own schema. So the longest context that occurred before is the best guess there is of
what comes next, at no model's cost (prompt lookup: Saxena 2023; contexts of several orders,
longest first, as in prediction by partial matching: Cleary & Witten 1984).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

ORDERS = (12, 6, 4, 3, 2, 1)
"""Lengths of the contexts that are remembered, longest first."""

Tail = tuple[int, ...]


@dataclass(slots=True)
class Seen:
    """What followed one context: how often in all, and how often each token."""

    total: int = 0
    counts: dict[int, int] = field(default_factory=dict)


class CopyIndex:
    """An index of the contexts of a growing text; O(number of orders) per token and look-up.

    orders  lengths of context, in tokens, longest first

    A context is counted when the token after it is written, so the end of the text never
    matches itself.
    """

    def __init__(self, orders: tuple[int, ...] = ORDERS) -> None:
        self.orders = orders
        self.reach = orders[0]
        self.tail: Tail = ()
        self._seen: dict[Tail, Seen] = {}

    def extend(self, tokens: Iterable[int]) -> None:
        """Append to the text."""
        known, tail, reach = self._seen, self.tail, self.reach
        for token in tokens:
            length = len(tail)
            for order in self.orders:
                if order <= length:
                    context = tail[length - order :]
                    seen = known.get(context)
                    if seen is None:
                        seen = known[context] = Seen()
                    seen.total += 1
                    seen.counts[token] = seen.counts.get(token, 0) + 1
            tail = (*tail, token)[-reach:]
        self.tail = tail

    def after(self, tail: Tail, below: int | None = None) -> tuple[int, Seen] | None:
        """The longest context at the end of `tail` that has been continued before.

        below  only contexts shorter than this

        Returns its order and what followed it; None where even the last token is new.
        """
        length = len(tail)
        for order in self.orders:
            if order <= length and (below is None or order < below):
                seen = self._seen.get(tail[length - order :])
                if seen is not None:
                    return order, seen
        return None
