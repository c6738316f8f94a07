"""Table rows of steps and decoding rounds, and the digest of an episode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from ...records import ROUND_COLUMNS, Claim, Reply, Round, Step
from ..serialization import canonical_json, sha256

STEP_FIELDS = tuple(Step.__dataclass_fields__)
ROUND_FIELDS = tuple(name for name in Round.__dataclass_fields__ if name in ROUND_COLUMNS)
NO_ROUND = Round(0, 0, 0, 0, 0, 0)


def step_row(step: Step) -> dict[str, Any]:
    """A step as a flat row of lists and plain values; the value of a claim is spelled as JSON."""
    row = {name: getattr(step, name) for name in STEP_FIELDS}
    row["claims"] = [_claim_row(claim) for claim in step.claims]
    return {name: list(value) if isinstance(value, tuple) else value for name, value in row.items()}


def round_rows(replies: Sequence[Reply]) -> Iterator[dict[str, Any]]:
    """One flat row per decoding round of a turn: the reply's columns, then the round's.

    A reply that needed no round, because prefill ended it, has one row: round −1, counts 0.
    """
    for number, reply in enumerate(replies):
        for k, one in list(enumerate(reply.generation.rounds)) or [(-1, NO_ROUND)]:
            yield {
                "reply": number,
                "outcome": reply.outcome,
                "text": reply.text,
                "prompt_tokens": reply.generation.prompt_tokens,
                "tokens": len(reply.generation.tokens),
                "round": k,
                **{name: getattr(one, name) for name in ROUND_FIELDS},
                "sources": list(one.sources),
            }


def trace_digest(steps: list[dict[str, Any]], rounds: list[list[dict[str, Any]]]) -> str:
    """SHA-256 over the rows of all steps, and of the decoding rounds of each; no clock in it."""
    return sha256({"steps": steps, "rounds": rounds})


def _claim_row(claim: Claim) -> dict[str, Any]:
    """A claim as a row whose columns have one type each."""
    return {**asdict(claim), "value": canonical_json(claim.value)}
