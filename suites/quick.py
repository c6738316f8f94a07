"""The suite `quick`: under a minute for agents without a language model."""

from __future__ import annotations

from .suite import Suite, Task

CATALOG = "movielens-100k"

QUICK = Suite(
    name="quick",
    version=1,
    summary="real films, tastes that stay, drift or turn, minors, and a first session for LLMs",
    tasks=(
        Task("quick/first-session", CATALOG, "stationary", 5, 24, 1, 2, language_models=True),
        Task("quick/stationary", CATALOG, "stationary", 5, 30),
        Task("quick/gradual-drift", CATALOG, "gradual-drift", 5, 30),
        Task("quick/abrupt-shift", CATALOG, "abrupt-shift", 5, 30),
        Task("quick/minors", CATALOG, "minor-profile", 5, 30),
    ),
)
