"""The suite `quick`: under a minute for agents without a language model."""

from __future__ import annotations

from .suite import Suite, Task

FILMS = "movielens-100k"

QUICK = Suite(
    name="quick",
    version=2,
    summary="real films; stable, drifting and shifting tastes; minors; a first session for LLMs",
    tasks=(
        Task("quick/first-session", FILMS, "stationary", 5, 24, 1, 2, language_models=True),
        Task("quick/stationary", FILMS, "stationary", 5, 30),
        Task("quick/gradual-drift", FILMS, "gradual-drift", 5, 30),
        Task("quick/abrupt-shift", FILMS, "abrupt-shift", 5, 30, counterfactual=("shift",)),
        Task("quick/minors", FILMS, "minor-profile", 5, 30),
    ),
)
