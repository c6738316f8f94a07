"""Answers of a player on hidden seeds: in order, and final."""

from __future__ import annotations

from sqlalchemy import func, select

from .database import Board, Outpaced
from .schema import Json, Turn, utc_now
from .submissions import hold, last_event


def answer(
    board: Board, id: int, life: int, turn: int, action: dict[str, Json]
) -> tuple[dict[str, Json], bool]:
    """Store the action on turn `turn` (from 0) of life `life` of attempt `id`.

    Returns the action that counts, and False where one was stored before: that one counts.
    Raises Outpaced where turns before it are missing or the attempt is no longer played.
    """
    with board.writing() as session:
        hold(session, id)
        known = session.get(Turn, (id, life, turn))
        if known is not None:
            return known.action, False
        if last_event(session, id).state != "playing":
            raise Outpaced(f"attempt {id} is over")
        mine = (Turn.submission_id == id) & (Turn.life == life)
        stored = session.scalar(select(func.count()).select_from(Turn).where(mine))
        if turn != stored:
            raise Outpaced(f"life {life} stands at turn {stored}, not {turn}")
        session.add(Turn(submission_id=id, life=life, turn=turn, action=action, at=utc_now()))
        return action, True


def turns_of(board: Board, id: int, life: int) -> list[dict[str, Json]]:
    """The stored actions of one life, in order."""
    stored = select(Turn).where(Turn.submission_id == id, Turn.life == life).order_by(Turn.turn)
    with board.session() as session:
        return [turn.action for turn in session.scalars(stored)]


def turns(board: Board, id: int) -> dict[int, list[dict[str, Json]]]:
    """Life -> its stored actions in order; lives without one are missing."""
    found: dict[int, list[dict[str, Json]]] = {}
    stored = select(Turn).where(Turn.submission_id == id).order_by(Turn.life, Turn.turn)
    with board.session() as session:
        for one in session.scalars(stored):
            found.setdefault(one.life, []).append(one.action)
    return found
