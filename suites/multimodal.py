"""The suite `multimodal`: what texts and pictures are worth."""

from __future__ import annotations

from .suite import REFERENCES, Suite, Task

FILMS = "movielens-100k"
SEEING = (*REFERENCES, "oracle-text", "oracle-image", "oracle-text-image")
"""With the ceilings of those who know items only by what they read or see."""
PLANNED = (*SEEING, "oracle-plan")
"""Where planning gains a hundredth of the room over the best slate of the moment."""

MULTIMODAL = Suite(
    name="multimodal",
    version=1,
    summary="items known by their texts, by their pictures, by both, or by nobody's choices yet",
    tasks=(
        Task("multimodal/first-session", FILMS, "stationary", 5, 24, 1, 2, True, references=SEEING),
        Task("multimodal/stationary", FILMS, "stationary", 5, 40, references=SEEING),
        Task("multimodal/synthetic", "synthetic", "stationary", 5, 40, references=PLANNED),
        Task("multimodal/cold-item", FILMS, "cold-item", 5, 40, references=SEEING),
    ),
)
