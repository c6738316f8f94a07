"""The suite `lifelong`: changes of tastes, users and catalogs."""

from __future__ import annotations

from .suite import REFERENCES, Suite, Task

FILMS = "movielens-100k"
PLANNED = (*REFERENCES, "oracle-plan")
"""For tasks where `oracle-plan` gains 0.01 of normalized return or more over `oracle`."""
BOUNDED = (*REFERENCES, "unconstrained-oracle")

LIFELONG = Suite(
    name="lifelong",
    version=1,
    summary="tastes that drift, shift, recur, tire or are influenced; new users and new items",
    tasks=(
        Task("lifelong/first-session", FILMS, "stationary", 5, 24, 1, 2, language_models=True),
        Task("lifelong/stationary", FILMS, "stationary", 5, 40),
        Task("lifelong/gradual-drift", FILMS, "gradual-drift", 5, 40),
        Task("lifelong/abrupt-shift", FILMS, "abrupt-shift", 5, 40, counterfactual=("shift",)),
        Task("lifelong/life-event", FILMS, "life-event", 5, 40, counterfactual=("shift",)),
        Task("lifelong/recurring", FILMS, "recurring", 5, 40),
        Task(
            "lifelong/transient-intent",
            FILMS,
            "transient-intent",
            5,
            40,
            counterfactual=("transient",),
        ),
        Task("lifelong/satiation", FILMS, "satiation", 5, 40, references=PLANNED),
        Task("lifelong/influence", FILMS, "influence", 5, 40),
        Task("lifelong/retention", FILMS, "retention", 5, 40),
        Task("lifelong/cold-user", FILMS, "cold-user", 5, 120),
        Task("lifelong/cold-item", FILMS, "cold-item", 5, 40),
        Task("lifelong/constraint-change", FILMS, "constraint-change", 5, 40, references=BOUNDED),
    ),
)
