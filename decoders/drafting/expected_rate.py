"""Expected tokens per second of a round: how many nodes to submit, and whether to draft more.

A round that submits a set of nodes, each with the probability that the text runs through it, writes
1 + Σ probability tokens on average, the one after the accepted path included. A node is never
more likely than its parent, so the best set of any size is the likeliest nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


def best_size(
    reach_probs: Sequence[float], target_cost: Sequence[float], spent: float
) -> tuple[int, float]:
    """The number of nodes with the best expected rate of a round, and that rate.

    reach_probs  of the nodes, best first
    target_cost  of a target pass over 0, 1, 2, … rows, in any unit; node 0 is one row
    spent        what this round has cost already, in the same unit

    Returns how many of the nodes to submit (0: a plain decoding step) and (1 + Σ probability) /
    cost. Of equal rates the smaller set wins.
    """
    size, expected = 0, 1.0
    rate = 1.0 / (target_cost[1] + spent)
    for nodes, prob in enumerate(reach_probs[: len(target_cost) - 2], start=1):
        expected += prob
        found = expected / (target_cost[nodes + 1] + spent)
        if found > rate:
            size, rate = nodes, found
    return size, rate


@dataclass(frozen=True, slots=True)
class ChainCosts:
    """What a chain of draft passes would cost from here.

    first        cost of reading the first node
    later        cost of reading each draft token after it
    target_cost  of a target pass over 0, 1, 2, … rows
    spent        what this round has cost already
    accept_rate  the rate at which the draft model's best token is accepted
    max_passes   passes to consider, at most
    """

    first: float
    later: float
    target_cost: Sequence[float]
    spent: float
    accept_rate: float
    max_passes: int


def best_chain(expected: float, size: int, reach_prob: float, costs: ChainCosts) -> float:
    """The rate of the best chain of draft passes from here, at the acceptance rate so far.

    expected    1 + Σ probability of the nodes that would be submitted besides
    size        number of those nodes
    reach_prob  probability that the text runs through the node to read, and on into the chain

    One pass may not pay where three do, so the whole chain is weighed; the decision is made anew
    before every pass.
    """
    best = 0.0
    target_cost, spent, first = costs.target_cost, costs.spent, costs.first
    for passes in range(1, costs.max_passes + 1):
        rows = size + passes + 1
        if rows >= len(target_cost):
            break
        reach_prob *= costs.accept_rate
        expected += reach_prob
        cost = target_cost[rows] + spent + first + (passes - 1) * costs.later
        best = max(best, expected / cost)
    return best
