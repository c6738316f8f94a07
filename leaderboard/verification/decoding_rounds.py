"""Whether decoding rounds can have happened: arithmetic that no decoder can escape.

A reply's first token comes from the prefill and belongs to no round (a decoder that draws several
of them and keeps one finds it in its first round); every round emits what it accepted and one
token more, except that the last may be cut at a stop. Rounds are not
replayed (that would take the model), so whatever rests on them stays *reported*.
"""

from __future__ import annotations

from itertools import groupby
from typing import get_args

from ...records import EpisodeKey, ReplyOutcome
from . import rejection
from .recorded_run import RecordedEpisode, Row
from .rejection import VerificationError

OUTCOMES: tuple[str, ...] = get_args(ReplyOutcome)
OF_REPLY = ("outcome", "text", "prompt_tokens", "tokens")
UNDRAFTED = "autoregressive"
ROOTED = ("target-init", "target-init-dynamic")
"""Decoders whose first token belongs to their first round."""
COUNTS = ("max_depth", "drafted_nodes", "verified_nodes", "prompt_tokens", "tokens")
MOST = 2**24
"""Of any of them; beyond that, sums could run over."""


def check_rounds(key: EpisodeKey, life: RecordedEpisode, decoder: str) -> None:
    """Raise VerificationError where the rounds of a life contradict themselves or their decoder."""
    rows, turns = life.rounds, {(row["session"], row["turn"]) for row in life.steps}
    places = [(row["session"], row["turn"], row["reply"], row["round"]) for row in rows]
    for row, place, before in zip(rows, places, [None, *places], strict=False):
        if place[:2] not in turns:
            _refuse(key, row, "belongs to no turn of the life")
        if before is not None and place <= before:
            _refuse(key, row, "is out of order or there twice")
        _check_round(key, row, decoder)
    for _, reply in groupby(rows, lambda row: (row["session"], row["turn"], row["reply"])):
        _check_reply(key, list(reply), decoder)


def _check_round(key: EpisodeKey, row: Row, decoder: str) -> None:
    depth, drafted, accepted = row["max_depth"], row["drafted_depth"], row["accepted"]
    for field in COUNTS:
        if row[field] > MOST:
            _refuse(key, row, f"has a {field} of {row[field]}, more than any decoder could")
    if not 0 <= accepted <= drafted <= depth:
        _refuse(key, row, f"accepted {accepted} of {drafted} drafted at a depth of at most {depth}")
    if not drafted <= row["drafted_nodes"]:
        _refuse(key, row, f"drafted {drafted} deep with {row['drafted_nodes']} nodes")
    if not accepted < row["verified_nodes"]:
        _refuse(key, row, f"accepted {accepted} of {row['verified_nodes']} verified nodes")
    if not 1 <= row["emitted"] <= accepted + 1:
        _refuse(key, row, f"emitted {row['emitted']} tokens after accepting {accepted}")
    if len(row["sources"]) != accepted:
        _refuse(key, row, f"names {len(row['sources'])} sources for {accepted} accepted tokens")
    if decoder == UNDRAFTED and depth > 0:
        _refuse(key, row, f"drafts {depth} deep, but the decoder is {decoder}")


def _check_reply(key: EpisodeKey, rounds: list[Row], decoder: str) -> None:
    first = rounds[0]
    if [row["round"] for row in rounds] != list(range(len(rounds))):
        _refuse(key, first, "does not begin a complete count of rounds")
    for field in OF_REPLY:
        if any(row[field] != first[field] for row in rounds):
            _refuse(key, first, f"has a {field} that changes within the reply")
    if first["outcome"] not in OUTCOMES:
        _refuse(key, first, f"has outcome {first['outcome']!r}; known: {', '.join(OUTCOMES)}")
    if first["prompt_tokens"] < 0:
        _refuse(key, first, f"has a prompt of {first['prompt_tokens']} tokens")
    for row in rounds[:-1]:
        if row["emitted"] <= row["accepted"]:
            _refuse(key, row, "cuts the text, but is not the last round of its reply")
    emitted = (decoder not in ROOTED) + sum(row["emitted"] for row in rounds)
    if emitted != first["tokens"]:
        _refuse(key, first, f"makes {emitted} tokens of a reply of {first['tokens']}")


def _refuse(key: EpisodeKey, row: Row, what: str) -> None:
    where = rejection.turn_name(key, row["session"], row["turn"])
    raise VerificationError(
        f"generations.parquet: {where}, reply {row['reply']}, round {row['round']} {what}"
    )
