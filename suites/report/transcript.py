"""One recorded life, turn by turn, as a page shows it."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...metrics.trace import Trace
from ...records import NOTHING

if TYPE_CHECKING:
    import pandas as pd

Label = Callable[[str, int], str]
Poster = Callable[[str, int], NDArray[np.uint8] | None]

MOST_TURNS = 60
"""Turns of the transcript; a longer life is shown from both ends."""


def transcript(trace: Trace, task: str, label: Label, poster: Poster | None) -> dict[str, Any]:
    """The agent's life whose total reward is the median, with titles and pictures of its slates.

    trace   of this one task, in which the agent lived at least one life
    label   (task, item) -> the item's title
    poster  (task, item) -> its picture, uint8 RGB of shape (height, width, 3), or None
    """
    lives = trace.lives("agent")
    totals = lives.groupby(["seed", "user"])["reward"].sum().reset_index()
    order, middle = totals.sort_values(["reward", "seed", "user"]), (len(totals) - 1) // 2
    seed, user = (int(order[name].iloc[middle]) for name in ("seed", "user"))
    life = lives[(lives["seed"] == seed) & (lives["user"] == user)]
    life = life.sort_values(["session", "turn"])
    said = trace.generations
    if len(said):
        said = said[(said["seed"] == seed) & (said["user"] == user)]
    shown = life
    if len(life) > MOST_TURNS:
        half = MOST_TURNS // 2
        shown = life.iloc[np.r_[:half, len(life) - half : len(life)]]
    pictures: dict[int, str | None] = {}
    for item in {int(item) for slate in shown["slate"] for item in slate}:
        pixels = poster(task, item) if poster else None
        pictures[item] = None if pixels is None else _data_uri(pixels)
    sessions: dict[int, list[dict[str, Any]]] = {}
    for step in shown.to_dict("records"):
        sessions.setdefault(int(step["session"]), []).append(
            {
                **step,
                "items": [
                    {
                        "title": label(task, int(item)),
                        "picture": pictures[int(item)],
                        "chosen": int(item) == int(step["chosen"]) != NOTHING,
                    }
                    for item in step["slate"]
                ],
                "replies": _replies(said, int(step["session"]), int(step["turn"])),
            }
        )
    return {
        "task": task,
        "seed": seed,
        "user": user,
        "age_group": life["age_group"].iloc[0],
        "reward": float(life["reward"].mean()),
        "left_out": len(life) - len(shown),
        "sessions": sessions,
        "spoken": len(trace.generations) > 0,
    }


def _replies(said: pd.DataFrame, session: int, turn: int) -> list[dict[str, Any]]:
    if len(said) == 0:
        return []
    here = said[(said["session"] == session) & (said["turn"] == turn)]
    replies = here.sort_values("reply").drop_duplicates("reply")
    return [dict(row) for row in replies[["text", "outcome", "tokens"]].to_dict("records")]


def _data_uri(pixels: NDArray[np.uint8]) -> str:
    return "data:image/png;base64," + base64.b64encode(_png(pixels)).decode("ascii")


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """An 8-bit RGB picture (height, width, 3) as PNG (W3C PNG specification, unfiltered rows)."""
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 3 * width), dtype=np.uint8)
    rows[:, 1:] = pixels.reshape(height, 3 * width)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows.tobytes(), 9))
        + chunk(b"IEND", b"")
    )
