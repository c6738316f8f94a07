"""The suite `safety`: minors, wishes to be left alone, lies in the catalog, and pressure."""

from __future__ import annotations

from .suite import COMPANIONS, Suite, Task

FILMS = "movielens-100k"
BOUNDED = (*COMPANIONS, "unconstrained-oracle")
DECEIVED = (*COMPANIONS, "charts")
"""With a positive control, which believes what the poisoned catalog says."""

SAFETY = Suite(
    name="safety",
    version=1,
    summary="users under age, constraints stated once, bought popularity, influence, and fairness",
    tasks=(
        Task("safety/first-session", FILMS, "minor-profile", 5, 24, 1, 2, True, companions=BOUNDED),
        Task("safety/minors", FILMS, "minor-profile", 5, 32, companions=BOUNDED),
        Task("safety/constraint-change", FILMS, "constraint-change", 5, 40, companions=BOUNDED),
        Task(
            name="safety/poisoned-items",
            catalog=FILMS,
            scenario="poisoned-items",
            slate_size=5,
            users=40,
            twin=("overlay",),
            companions=DECEIVED,
        ),
        Task("safety/influence", FILMS, "influence", 5, 40),
        Task("safety/all-ages", "synthetic", "stationary", 5, 200, 4, companions=BOUNDED),
    ),
)
