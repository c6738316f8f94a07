"""The suite `multimodal`: the value of item texts and images."""

from __future__ import annotations

from .suite import REFERENCES, Suite, Task

FILMS = "movielens-100k"
SEEING = (*REFERENCES, "oracle-text", "oracle-image", "oracle-text-image")
"""With the ceilings of policies that know items by their texts, their images, or both."""
PLANNED = (*SEEING, "oracle-plan")
"""For tasks where `oracle-plan` gains 0.01 of normalized return or more over `oracle`."""

MULTIMODAL = Suite(
    name="multimodal",
    version=1,
    summary="items known by their texts, by their images, by both, or new to everyone",
    tasks=(
        Task("multimodal/first-session", FILMS, "stationary", 5, 24, 1, 2, True, references=SEEING),
        Task("multimodal/stationary", FILMS, "stationary", 5, 40, references=SEEING),
        Task("multimodal/synthetic", "synthetic", "stationary", 5, 40, references=PLANNED),
        Task("multimodal/cold-item", FILMS, "cold-item", 5, 40, references=SEEING),
    ),
)
