"""Check recorded decoding rounds for consistency: arithmetic that holds for every decoder.

A reply's first token comes from the prefill and belongs to no round, except in decoders that
draft the first token too, where it belongs to the first round. Every round emits its accepted
tokens and one more; only the last round may be cut at a stop. Rounds are not replayed, which would
need the model, so metrics that depend on them stay *reported*.
"""

from __future__ import annotations

from itertools import groupby
from typing import get_args

from ...records import EpisodeKey, ReplyOutcome
from .. import rejection
from ..rejection import VerificationError
from .recorded_run import RecordedEpisode, Row

OUTCOMES: tuple[str, ...] = get_args(ReplyOutcome)
REPLY_FIELDS = ("outcome", "text", "prompt_tokens", "tokens")
DECODER_WITHOUT_DRAFTS = "autoregressive"
FIRST_TOKEN_IN_ROUND = ("target-init", "target-init-dynamic")
"""Decoders whose first token belongs to their first round."""

COUNTS = ("max_depth", "drafted_nodes", "verified_nodes", "prompt_tokens", "tokens")
MAX_COUNT = 2**24
"""Of any of them; beyond it, sums could overflow."""


def check_rounds(key: EpisodeKey, recorded: RecordedEpisode, decoder: str) -> None:
    """Raise VerificationError where an episode's rounds contradict themselves or their decoder."""
    rows, turns = recorded.rounds, {(row["session"], row["turn"]) for row in recorded.steps}
    positions = [(row["session"], row["turn"], row["reply"], row["round"]) for row in rows]
    for row, position, before in zip(rows, positions, [None, *positions], strict=False):
        if position[:2] not in turns:
            _refuse(key, row, "belongs to no turn of the episode")
        if before is not None and position <= before:
            _refuse(key, row, "is out of order or occurs twice")
        _check_round(key, row, decoder)
    for _, reply in groupby(rows, lambda row: (row["session"], row["turn"], row["reply"])):
        _check_reply(key, list(reply), decoder)


def _check_round(key: EpisodeKey, row: Row, decoder: str) -> None:
    depth, drafted, accepted = row["max_depth"], row["drafted_depth"], row["accepted"]
    for field in COUNTS:
        if row[field] > MAX_COUNT:
            _refuse(key, row, f"has a {field} of {row[field]}, more than any decoder writes")
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
    if decoder == DECODER_WITHOUT_DRAFTS and depth > 0:
        _refuse(key, row, f"drafts {depth} deep, but the decoder is {decoder}")


def _check_reply(key: EpisodeKey, rounds: list[Row], decoder: str) -> None:
    first = rounds[0]
    if [row["round"] for row in rounds] != list(range(len(rounds))):
        _refuse(key, first, "is not followed by consecutive rounds")
    for field in REPLY_FIELDS:
        if any(row[field] != first[field] for row in rounds):
            _refuse(key, first, f"has a {field} that differs within the reply")
    if first["outcome"] not in OUTCOMES:
        _refuse(key, first, f"has outcome {first['outcome']!r}; known: {', '.join(OUTCOMES)}")
    if first["prompt_tokens"] < 0:
        _refuse(key, first, f"has a prompt of {first['prompt_tokens']} tokens")
    for row in rounds[:-1]:
        if row["emitted"] <= row["accepted"]:
            _refuse(key, row, "is cut short, but is not the last round of its reply")
    emitted = (decoder not in FIRST_TOKEN_IN_ROUND) + sum(row["emitted"] for row in rounds)
    if emitted != first["tokens"]:
        _refuse(key, first, f"makes {emitted} tokens of a reply of {first['tokens']}")


def _refuse(key: EpisodeKey, row: Row, what: str) -> None:
    where = rejection.turn_name(key, row["session"], row["turn"])
    raise VerificationError(
        f"generations.parquet: {where}, reply {row['reply']}, round {row['round']} {what}"
    )
