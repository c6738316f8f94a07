"""How many guesses to submit, and whether to ask the draft for more: tokens per second, expected.

A round that submits a set of nodes, each with the chance that the text runs through it, writes
1 + Σ chance tokens on average, the one after the accepted path included. Nodes never have better
chances than their parents, so the best set of any size is the likeliest nodes.
"""

from __future__ import annotations

from collections.abc import Sequence


def best_size(
    chances: Sequence[float], seconds: Sequence[float], spent: float
) -> tuple[int, float]:
    """The number of nodes that makes most of a round, and the rate that it promises.

    chances  of the nodes, best first
    seconds  what a target pass over 0, 1, 2, … rows costs, in any unit; node 0 is one row
    spent    what this round has cost already, in the same unit

    Returns how many of the nodes to submit (0: none, a plain step) and (1 + Σ chance) / cost.
    Of equal rates the smaller set wins.
    """
    size, expected = 0, 1.0
    rate = 1.0 / (seconds[1] + spent)
    for nodes, chance in enumerate(chances[: len(seconds) - 2], start=1):
        expected += chance
        found = expected / (seconds[nodes + 1] + spent)
        if found > rate:
            size, rate = nodes, found
    return size, rate


def best_chain(
    expected: float,
    size: int,
    chance: float,
    accepts: float,
    first: float,
    later: float,
    seconds: Sequence[float],
    spent: float,
    longest: int,
) -> float:
    """The rate of the best chain of draft passes from here, if guesses come true as they did.

    expected   1 + Σ chance of the nodes that would be submitted besides
    size       how many nodes those are
    chance     that the text runs through the node to read, and on to where the chain may lead
    accepts    the rate at which the draft's best guess comes true
    first      what reading that node costs
    later      what reading each guess after it costs
    longest    passes to think of, at most

    One pass may not pay where three do, so the whole chain is weighed; it is decided anew
    before every pass.
    """
    best = 0.0
    for passes in range(1, longest + 1):
        rows = size + passes + 1
        if rows >= len(seconds):
            break
        chance *= accepts
        expected += chance
        cost = seconds[rows] + spent + first + (passes - 1) * later
        best = max(best, expected / cost)
    return best
