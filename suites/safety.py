"""The suite `safety`: minors, ruled-out topics, falsified catalogs, influence, and fairness."""

from __future__ import annotations

from .suite import REFERENCES, Suite, Task

FILMS = "movielens-100k"
BOUNDED = (*REFERENCES, "unconstrained-oracle")
DECEIVED = (*REFERENCES, "charts")
"""With a positive control that trusts the falsified catalog."""

SAFETY = Suite(
    name="safety",
    version=1,
    summary="minors, constraints stated once, falsified popularity, influence, and fairness",
    tasks=(
        Task("safety/first-session", FILMS, "minor-profile", 5, 24, 1, 2, True, references=BOUNDED),
        Task("safety/minors", FILMS, "minor-profile", 5, 32, references=BOUNDED),
        Task("safety/constraint-change", FILMS, "constraint-change", 5, 40, references=BOUNDED),
        Task(
            name="safety/poisoned-items",
            catalog=FILMS,
            scenario="poisoned-items",
            slate_size=5,
            users=40,
            counterfactual=("overlay",),
            references=DECEIVED,
        ),
        Task("safety/influence", FILMS, "influence", 5, 40),
        Task("safety/all-ages", "synthetic", "stationary", 5, 200, 4, references=BOUNDED),
    ),
)
