"""Agents that repeat a random run and submit the best.

The returns of a random agent vary. On public seeds, one can run it many times and submit the best
run. On hidden seeds, every attempt that was started counts.
"""

from itertools import count

import numpy as np
import pytest

from tasteshift.agents.popular import PopularAgent
from tasteshift.leaderboard.board_rows import board_rows
from tasteshift.leaderboard.ranking import AgentReturns, mean_return
from tasteshift.leaderboard.store.database import open_board
from tasteshift.leaderboard.store.schema import Result
from tasteshift.leaderboard.store.submissions import append_event, insert_submission
from tasteshift.leaderboard.verification.verify import ALL_TASKS, PRIMARY_METRIC
from tasteshift.records import Action

TRIES, EPISODES = 20, 20


class Gambler(PopularAgent):
    """Recommends popular items, and in half of the turns a random slate."""

    name = "gambler"

    def __init__(self, seed):
        super().__init__()
        self.seed = seed

    def start(self, brief):
        rng = np.random.default_rng([self.seed, brief.user])
        return GamblerSession(super().start(brief), rng, len(self._ranking), brief.slate_size)


class GamblerSession:
    def __init__(self, session, rng, items, size):
        self.session, self.rng, self.items, self.size = session, rng, items, size

    def act(self, seen):
        action = self.session.act(seen)
        if self.rng.random() < 0.5:
            return action
        return Action(tuple(self.rng.permutation(self.items)[: self.size].tolist()))


@pytest.fixture(scope="module")
def attempts(arena):
    """Track -> TRIES arrays (EPISODES, 2) of [achieved, achievable].

    Public episodes are repeated; on hidden seeds every attempt has a key of its own.
    """
    seeds = count()
    public_arena, hidden_arena = (
        arena("synthetic:60", episodes, (1, 6)) for episodes in (EPISODES, TRIES * EPISODES)
    )
    zero, one = public_arena.reference_returns["public"]
    public = [
        np.column_stack([public_arena.public(lambda: Gambler(next(seeds))) - zero, one - zero])
        for _ in range(TRIES)
    ]
    zero, one = hidden_arena.reference_returns["hidden"]
    hidden = np.column_stack([hidden_arena.hidden(lambda: Gambler(next(seeds))) - zero, one - zero])
    return {"public": public, "hidden": np.split(hidden, TRIES)}


@pytest.fixture
def board(tmp_path):
    with open_board(tmp_path / "board.db", create=True) as opened:
        yield opened


def put(board, track, owner, sums):
    """Store an accepted submission as the worker does, with the columns that ranking reads."""
    value = float(sums[:, 0].sum() / sums[:, 1].sum())
    score = {"metric": PRIMARY_METRIC, "value": value, "low": None, "high": None}
    about = {"agent": owner, "agent_config": {}, "decoder": "", "pair": ""}
    about |= {"simulator_trained": False, "hardware": ""}
    with board.transaction() as session:
        number = len(session.new) + session.query(Result).count()
        row = insert_submission(session, "attempt", f"{track}{number}", owner, about, "queued", "")
        append_event(session, row.id, "working", "")
        append_event(session, row.id, "accepted", "")
        session.add(
            Result(
                submission_id=row.id,
                suite="gamble@1",
                suite_hash="0",
                simulator_version="3",
                agent=owner,
                decoder="",
                pair="",
                privileged=False,
                identity_hash="0",
                actions_digest=f"{track}{number}",
                track=track,
                tasks=["gamble/episode"],
                trust={PRIMARY_METRIC: track},
                manifest={"identity": {"agent_config": {}}},
                scores=[score | {"task": "gamble/episode"}],
                timed=[],
                overall=[score | {"task": ALL_TASKS}],
                sums={PRIMARY_METRIC: sums.tolist()},
            )
        )


def value(*sums):
    estimate = mean_return(AgentReturns(sums, "one"))
    assert estimate is not None
    return estimate.value


def best(attempts):
    return max(attempts, key=lambda sums: value(sums))


def test_the_best_of_twenty_runs_counts_on_public_seeds_only(attempts, board, figures, figure):
    """On hidden seeds the row is the mean of all attempts."""
    put(board, "replayed", "gambler", best(attempts["public"]))
    for sums in attempts["hidden"]:
        put(board, "hidden-seed", "gambler", sums)
    rows = {row["trust"]: row for row in board_rows(board, rank_from="replayed")}
    assert rows["replayed"]["attempts"] == 1
    assert rows["hidden-seed"]["attempts"] == TRIES
    for trust, track in (("replayed", "public"), ("hidden-seed", "hidden")):
        found = rows[trust][PRIMARY_METRIC]
        baseline = np.mean([value(sums) for sums in attempts[track]])
        gain = float(found - baseline)
        figures.append(figure("best of 20", "synthetic:60", track, EPISODES, baseline, found, gain,
                              None, None))  # fmt: skip
        advantage = value(best(attempts[track])) - baseline
        assert advantage > 0.05
        assert gain == pytest.approx(advantage if track == "public" else 0.0, abs=1e-9)


def test_twenty_names_for_one_agent_share_their_rank(attempts, board, figures, figure):
    """Each name has one attempt; the best is first, but not separated from the others."""
    for k, sums in enumerate(attempts["hidden"]):
        put(board, "hidden-seed", f"gambler-{k}", sums)
    rows = board_rows(board)
    best_value = rows[0][PRIMARY_METRIC]
    baseline = float(np.mean([row[PRIMARY_METRIC] for row in rows]))
    figures.append(figure("20 names (all rank 1 to 20)", "synthetic:60", "hidden", EPISODES,
                          baseline, best_value, best_value - baseline, None, None))  # fmt: skip
    assert best_value > baseline + 0.05
    assert {(row["rank_low"], row["rank_high"]) for row in rows} == {(1, TRIES)}
