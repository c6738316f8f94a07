"""Recorded decoding rounds that contradict themselves, the decoder or the digest are refused."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from tasteshift.leaderboard.verification.verify import verify
from tasteshift.records import Round


def refusal_reason(path: Path) -> str:
    verdict = verify(path)
    assert not verdict.accepted
    assert verdict.run is None
    assert "\n" not in verdict.reason
    return verdict.reason


def test_a_language_model_agent_plays_its_own_task_only(text_run: Callable[..., Path]) -> None:
    verdict = verify(text_run())
    assert verdict.accepted, verdict.reason
    assert verdict.run is not None
    assert {score.task for score in verdict.run.scores} == {"board-test/first"}
    rate = next(s for s in verdict.run.overall if s.metric == "acceptance_rate")
    assert rate.value == pytest.approx(2 / 8)


def write_rounds(run: Any, rounds: tuple[Round, ...]) -> None:
    """Replace the rounds of every reply; only their columns that are stored matter."""
    replies = [row for row in run.table("generations") if row["round"] == 0]
    run.write_table(
        "generations",
        [
            reply | {k: v for k, v in asdict(one).items() if k in reply} | {"round": number}
            for reply in replies
            for number, one in enumerate(rounds)
        ],
    )


TWO, ONE = Round(4, 4, 4, 5, 2, 3, sources=("draft",) * 2), Round(4, 3, 3, 4, 0, 1)


@pytest.mark.parametrize(
    ("rounds", "message"),
    [
        ((replace(TWO, accepted=5), ONE), "accepted 5 of 4 drafted"),
        ((replace(TWO, max_depth=3), ONE), "accepted 2 of 4 drafted at a depth of at most 3"),
        ((replace(TWO, drafted_nodes=3), ONE), "drafted 4 deep with 3 nodes"),
        ((replace(TWO, verified_nodes=2), ONE), "accepted 2 of 2 verified nodes"),
        ((replace(TWO, emitted=4), ONE), "emitted 4 tokens after accepting 2"),
        ((replace(TWO, emitted=0), ONE), "emitted 0 tokens after accepting 2"),
        ((replace(TWO, sources=("draft",)), ONE), "names 1 sources for 2 accepted"),
        ((replace(TWO, emitted=2), ONE), "is cut short, but is not the last round"),
        ((TWO,), "makes 4 tokens of a reply of 5"),
        ((TWO, ONE, ONE), "makes 6 tokens of a reply of 5"),
    ],
)
def test_impossible_rounds_are_named(
    text_run: Callable[..., Path], tampered: Any, rounds: tuple[Round, ...], message: str
) -> None:
    tampered.path = text_run()
    write_rounds(tampered, rounds)
    reason = refusal_reason(tampered.path)
    assert reason.startswith("generations.parquet: board-test/first, seed 0, user ")
    assert ", session 0, turn 0, reply 0, round " in reason
    assert message in reason


def test_the_first_token_counts_in_the_first_round_where_it_is_drafted(
    text_run: Callable[..., Path],
) -> None:
    assert verify(text_run("target-init", tokens=4)).accepted
    assert "makes 4 tokens of a reply of 5" in refusal_reason(text_run("target-init-dynamic"))


def test_autoregressive_drafts_nothing(text_run: Callable[..., Path]) -> None:
    assert "drafts 4 deep, but the decoder is autoregressive" in refusal_reason(
        text_run("autoregressive")
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accepted": 1, "emitted": 2, "sources": ["draft"]}, "makes 4 tokens of a reply of 5"),
        ({"text": "3 2 1"}, "has a text that differs within the reply"),
        ({"round": 1}, "is out of order or occurs twice"),
        ({"session": 9}, "belongs to no turn of the episode"),
        ({"policy": "oracle"}, "is not part of this run"),
    ],
)
def test_an_edited_round_is_named(
    text_run: Callable[..., Path], tampered: Any, changes: dict[str, Any], message: str
) -> None:
    tampered.path = text_run()
    tampered.edit_row("generations", 0, **changes)
    assert message in refusal_reason(tampered.path)


def test_consistently_edited_rounds_break_the_digest(
    text_run: Callable[..., Path], tampered: Any
) -> None:
    tampered.path = text_run()
    before = tampered.edit_row("generations", 0, max_depth=5)
    reason = refusal_reason(tampered.path)
    assert f"user {before['user']} (agent): the digest in episodes.jsonl is not" in reason
