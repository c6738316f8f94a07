"""Boredom: topics clicked too often recently lose utility for some turns; clicks move the taste.

SARDINE (Deffayet et al. 2023, arXiv 2311.16586; constants of its `BoredInf` environments). As
published: 5 clicks on a main topic within the last 5 turns bore for 5 turns, after which the
clicks are counted again; boredom with that topic alone ("user_tloi") or, as in the registered
environments, with everything ("user_car"); and the pull of clicked items, ω = 0.95. SARDINE's code
adds np.mean over items *and* dimensions, one number for all dimensions; its paper means, and this
file adds, the mean vector of the clicked items.

Different here: the choice model, so that at most one item a turn is clicked and SARDINE's cap of 10
remembered clicks never binds; and the logit scale, on which a bored topic costs utility where
SARDINE sets the user's liking to 0, below its relevance threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...validation import COST, COUNT, SHARE, check
from ..numerics.arrays import Bools, Floats, Ints
from ..numerics.grid import on_grid
from ..numerics.vectors import dot, unit


@dataclass(frozen=True)
class Boredom:
    """Parameters of boredom and of the pull of clicked items.

    window      at least 1, turns over which clicks are counted
    threshold   at least 1, clicks on one topic within the window that bore
    duration    at least 1, turns that boredom lasts
    everything  boredom with one topic is boredom with all
    cost        in [0, 100], utility lost by an item wholly of a bored topic (ours)
    memory      ω in [0, 1]: weight of the taste against the mean of the clicked items
    """

    window: int = 5
    threshold: int = 5
    duration: int = 5
    everything: bool = False
    cost: float = 6.0
    memory: float = 0.95

    def __post_init__(self) -> None:
        """Raises InputError outside these ranges."""
        check(
            self,
            window=COUNT,
            threshold=COUNT,
            duration=COUNT,
            everything=bool,
            cost=COST,
            memory=SHARE,
        )


def begin_boredom(params: Boredom, users: int, topics: int) -> tuple[Ints, Ints]:
    """Initial recent topics (B, window), all −1, and turns of boredom left (B, T), all 0."""
    recent = np.full((users, params.window), -1, dtype=np.int64)
    return recent, np.zeros((users, topics), dtype=np.int64)


def update_boredom(params: Boredom, recent: Ints, left: Ints, topic: Ints) -> tuple[Ints, Ints]:
    """Recent topics (B, window), newest last, and turns of boredom left (B, T) after a turn.

    Boredom decreases by one turn. A topic at 0 is set to `duration` if it has `threshold` clicks in
    the window, this turn's included.

    topic  main topic (B) of the clicked item, its largest share; −1 where nothing was clicked
    """
    recent = np.concatenate([recent[:, 1:], topic[:, None]], axis=1)
    clicks = (recent[:, :, None] == np.arange(left.shape[1])).sum(axis=1)
    left = np.maximum(left - 1, 0)
    bored = (left == 0) & (clicks >= params.threshold)
    return recent, np.where(bored, params.duration, left)


def boredom_utility(params: Boredom, left: Ints) -> Floats:
    """Utility (B, T), 0 or −cost, that each topic adds to an item wholly of that topic."""
    bored = left > 0
    if params.everything:
        bored = np.broadcast_to(bored.any(axis=1, keepdims=True), left.shape)
    return on_grid(np.where(bored, -params.cost, 0.0))


def pull(params: Boredom, taste: Floats, clicked_z: Floats, clicked: Bools) -> Floats:
    """Tastes (B, d) after clicks: x ← ‖x‖ norm(ω u + (1 − ω) mean z̃), u = x/‖x‖, z̃ = z/‖z‖.

    The length is kept; SARDINE's users and items are unit vectors. All arrays lie on the grid.
    A taste is unchanged where the new direction is zero.

    clicked_z  latents (B, K, d) of the items shown; clicked (B, K) which of them were clicked
    """
    count = clicked.sum(axis=1)[:, None]
    unit_z = unit(clicked_z) * clicked[:, :, None]
    mean = unit_z.sum(axis=1) / np.maximum(count, 1)
    turned = unit(on_grid(params.memory * unit(taste) + (1.0 - params.memory) * mean))
    moves = (count > 0) & turned.any(axis=-1, keepdims=True)
    return np.where(moves, on_grid(np.sqrt(dot(taste, taste)) * turned), taste)
