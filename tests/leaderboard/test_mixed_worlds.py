"""A run over worlds that have little in common is replayed and pooled all the same."""

from pathlib import Path

from tasteshift.leaderboard.verification.verify import verify
from tasteshift.suites.evaluate import evaluate
from tasteshift.suites.suite import REFERENCES, SUITES, Suite, Task


def test_tasks_over_different_catalogs_and_ceilings_are_verified_together(tmp_path: Path) -> None:
    """Topics differ, one task plans ahead, one has a twin in an honest world, one leads tastes."""
    world = {"slate_size": 3, "users": 2, "sessions": 2, "turns": 2}
    tasks = (
        Task("mixed/plain", "synthetic:60", "stationary", **world),
        Task(
            "mixed/lied",
            "synthetic:80",
            "poisoned-items",
            **world,
            counterfactual=("overlay",),
            references=(*REFERENCES, "oracle-plan", "charts"),
        ),
        Task("mixed/led", "synthetic:60", "influence", **world),
    )
    SUITES.register("mixed", Suite("mixed", 1, "for one test", tasks))
    try:
        verdict = verify(evaluate("charts", "mixed", out=tmp_path / "run").out)
    finally:
        del SUITES._entries["mixed"]
    assert verdict.accepted, verdict.reason
    overall = {row.metric: row.value for row in verdict.run.overall}
    scores = {(row.task, row.metric): row.value for row in verdict.run.scores}
    assert scores["mixed/lied", "tampered_lift"] > 0
    assert ("mixed/led", "normalized_return") not in scores
    both = [scores[f"mixed/{task}", "normalized_return"] for task in ("plain", "lied")]
    assert min(both) <= overall["normalized_return"] <= max(both)
