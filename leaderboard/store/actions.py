"""Actions of an agent in hidden-seed attempts: stored in order, and final."""

from __future__ import annotations

from sqlalchemy import func, select

from .database import Board, ConflictError
from .schema import AttemptAction, Json, utc_now
from .submissions import last_event, lock_submission


def store_action(
    board: Board, id: int, episode: int, turn: int, action: dict[str, Json]
) -> tuple[dict[str, Json], bool]:
    """Store the action in turn `turn` (from 0) of episode `episode` of attempt `id`.

    Returns the stored action, and False where one had been stored before, which then stays.
    Raises ConflictError where earlier turns are missing or the attempt has ended.
    """
    with board.transaction() as session:
        lock_submission(session, id)
        known = session.get(AttemptAction, (id, episode, turn))
        if known is not None:
            return known.action, False
        if last_event(session, id).state != "playing":
            raise ConflictError(f"attempt {id} is over")
        mine = (AttemptAction.submission_id == id) & (AttemptAction.episode == episode)
        stored = session.scalar(select(func.count()).select_from(AttemptAction).where(mine))
        if turn != stored:
            raise ConflictError(f"episode {episode} is at turn {stored}, not {turn}")
        session.add(
            AttemptAction(submission_id=id, episode=episode, turn=turn, action=action, at=utc_now())
        )
        return action, True


def actions_of_episode(board: Board, id: int, episode: int) -> list[dict[str, Json]]:
    """Return the stored actions of one episode, in order."""
    stored = (
        select(AttemptAction)
        .where(AttemptAction.submission_id == id, AttemptAction.episode == episode)
        .order_by(AttemptAction.turn)
    )
    with board.session() as session:
        return [turn.action for turn in session.scalars(stored)]


def actions_of_attempt(board: Board, id: int) -> dict[int, list[dict[str, Json]]]:
    """Map each episode with stored actions to them, in order."""
    found: dict[int, list[dict[str, Json]]] = {}
    stored = (
        select(AttemptAction)
        .where(AttemptAction.submission_id == id)
        .order_by(AttemptAction.episode, AttemptAction.turn)
    )
    with board.session() as session:
        for one in session.scalars(stored):
            found.setdefault(one.episode, []).append(one.action)
    return found
