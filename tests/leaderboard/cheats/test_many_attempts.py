"""Agents that play until they are lucky.

The luck is real: an agent that throws dice earns now more, now less. On public seeds one may throw
them at home and submit the best. On hidden seeds whatever was started counts.
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

TRIES, LIVES = 20, 20


class Gambler(PopularAgent):
    """What is popular, but half of the time a slate by lot."""

    name = "gambler"

    def __init__(self, luck):
        super().__init__()
        self.luck = luck

    def start(self, brief):
        rng = np.random.default_rng([self.luck, brief.user])
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
    """Track -> TRIES arrays (LIVES, 2) of what was gained and could have been.

    The same public lives over and over; on hidden seeds every attempt has a key of its own.
    """
    lucks = count()
    home, away = (arena("synthetic:60", lives, (1, 6)) for lives in (LIVES, TRIES * LIVES))
    zero, one = home.yardsticks["public"]
    public = [
        np.column_stack([home.public(lambda: Gambler(next(lucks))) - zero, one - zero])
        for _ in range(TRIES)
    ]
    zero, one = away.yardsticks["hidden"]
    hidden = np.column_stack([away.hidden(lambda: Gambler(next(lucks))) - zero, one - zero])
    return {"public": public, "hidden": np.split(hidden, TRIES)}


@pytest.fixture
def board(tmp_path):
    with open_board(tmp_path / "board.db", create=True) as opened:
        yield opened


def put(board, track, owner, sums):
    """What the worker writes for an accepted submission, as far as ranking reads it."""
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
                suite="luck@1",
                suite_hash="0",
                simulator_version="3",
                agent=owner,
                decoder="",
                pair="",
                privileged=False,
                identity_hash="0",
                actions_digest=f"{track}{number}",
                track=track,
                tasks=["luck/life"],
                trust={PRIMARY_METRIC: track},
                manifest={"identity": {"agent_config": {}}},
                scores=[score | {"task": "luck/life"}],
                clocked=[],
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


def test_the_best_of_twenty_can_be_sent_in_from_public_seeds_only(attempts, board, figures, figure):
    """On hidden seeds its row shows the mean of all, whatever the best of them was."""
    put(board, "replayed", "gambler", best(attempts["public"]))
    for sums in attempts["hidden"]:
        put(board, "hidden-seed", "gambler", sums)
    shown = {row["trust"]: row for row in board_rows(board, rank_from="replayed")}
    assert shown["replayed"]["attempts"] == 1
    assert shown["hidden-seed"]["attempts"] == TRIES
    for trust, track in (("replayed", "public"), ("hidden-seed", "hidden")):
        found = shown[trust][PRIMARY_METRIC]
        honest = np.mean([value(sums) for sums in attempts[track]])
        gain = float(found - honest)
        figures.append(figure("best of 20", "synthetic:60", track, LIVES, honest, found, gain,
                              None, None))  # fmt: skip
        luck = value(best(attempts[track])) - honest
        assert luck > 0.05
        assert gain == pytest.approx(luck if track == "public" else 0.0, abs=1e-9)


def test_twenty_names_are_one_group(attempts, board, figures, figure):
    """Each name has one attempt; the luckiest is told apart from nobody, though it stands first."""
    for k, sums in enumerate(attempts["hidden"]):
        put(board, "hidden-seed", f"gambler-{k}", sums)
    rows = board_rows(board)
    luckiest = rows[0][PRIMARY_METRIC]
    honest = float(np.mean([row[PRIMARY_METRIC] for row in rows]))
    figures.append(figure("20 names (all rank 1 to 20)", "synthetic:60", "hidden", LIVES, honest,
                          luckiest, luckiest - honest, None, None))  # fmt: skip
    assert luckiest > honest + 0.05
    assert {(row["rank_low"], row["rank_high"]) for row in rows} == {(1, TRIES)}
