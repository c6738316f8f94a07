"""Verification of a run whose tasks differ in catalog, references and counterfactuals."""

from pathlib import Path

from tasteshift.leaderboard.verification.verify import verify
from tasteshift.suites.evaluate import evaluate
from tasteshift.suites.suite import REFERENCES, SUITES, Suite, Task


def test_tasks_with_different_catalogs_and_references_are_verified_together(tmp_path: Path) -> None:
    """Topics differ; one task has a planning oracle and a counterfactual, one has influence."""
    shape = {"slate_size": 3, "users": 2, "sessions": 2, "turns": 2}
    tasks = (
        Task("mixed/plain", "synthetic:60", "stationary", **shape),
        Task(
            "mixed/tampered",
            "synthetic:80",
            "poisoned-items",
            **shape,
            counterfactual=("overlay",),
            references=(*REFERENCES, "oracle-plan", "charts"),
        ),
        Task("mixed/influence", "synthetic:60", "influence", **shape),
    )
    SUITES.register("mixed", Suite("mixed", 1, "for one test", tasks))
    try:
        verdict = verify(evaluate("charts", "mixed", out=tmp_path / "run").out)
    finally:
        del SUITES._entries["mixed"]
    assert verdict.accepted, verdict.reason
    overall = {row.metric: row.value for row in verdict.run.overall}
    scores = {(row.task, row.metric): row.value for row in verdict.run.scores}
    assert scores["mixed/tampered", "tampered_lift"] > 0
    assert ("mixed/influence", "normalized_return") not in scores
    both = [scores[f"mixed/{task}", "normalized_return"] for task in ("plain", "tampered")]
    assert min(both) <= overall["normalized_return"] <= max(both)
