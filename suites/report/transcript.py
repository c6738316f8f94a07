"""One recorded episode, turn by turn, in the form that the report template reads."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...metrics.trace import EPISODE_KEY, Trace
from ...records import NOTHING

if TYPE_CHECKING:
    import pandas as pd

Title = Callable[[str, int], str]
Picture = Callable[[str, int], NDArray[np.uint8] | None]

MAX_TURNS = 60
"""Turns of the transcript; of a longer episode the beginning and the end are shown."""


def transcript(trace: Trace, task: str, title: Title, picture: Picture | None) -> dict[str, Any]:
    """The agent's episode with the median total reward, with titles and pictures of its slates.

    trace    of this one task, in which the agent played at least one episode
    title    (task, item) -> the item's title
    picture  (task, item) -> uint8 RGB of shape (height, width, 3), or None
    """
    agent = trace.steps_of("agent")
    totals = agent.groupby(EPISODE_KEY)["reward"].sum().reset_index()
    order, middle = totals.sort_values(["reward", *EPISODE_KEY]), (len(totals) - 1) // 2
    seed, user = (int(order[name].iloc[middle]) for name in EPISODE_KEY)
    episode = agent[(agent["seed"] == seed) & (agent["user"] == user)]
    episode = episode.sort_values(["session", "turn"])
    rounds = trace.generations
    if len(rounds):
        rounds = rounds[(rounds["seed"] == seed) & (rounds["user"] == user)]
    kept = episode
    if len(episode) > MAX_TURNS:
        half = MAX_TURNS // 2
        kept = episode.iloc[np.r_[:half, len(episode) - half : len(episode)]]
    items = {int(item) for slate in kept["slate"] for item in slate}
    pictures = {item: _data_uri(picture(task, item) if picture else None) for item in items}
    sessions: dict[int, list[dict[str, Any]]] = {}
    for step in kept.to_dict("records"):
        sessions.setdefault(int(step["session"]), []).append(
            {
                **step,
                "items": [
                    {
                        "title": title(task, int(item)),
                        "picture": pictures[int(item)],
                        "chosen": int(item) == int(step["chosen"]) != NOTHING,
                    }
                    for item in step["slate"]
                ],
                "replies": _replies(rounds, int(step["session"]), int(step["turn"])),
            }
        )
    return {
        "task": task,
        "seed": seed,
        "user": user,
        "age_group": episode["age_group"].iloc[0],
        "reward": float(episode["reward"].mean()),
        "left_out": len(episode) - len(kept),
        "sessions": sessions,
        "writes_text": len(trace.generations) > 0,
    }


def _replies(rounds: pd.DataFrame, session: int, turn: int) -> list[dict[str, Any]]:
    """The model's replies of one turn, each once, in order."""
    if len(rounds) == 0:
        return []
    of_turn = rounds[(rounds["session"] == session) & (rounds["turn"] == turn)]
    replies = of_turn.sort_values("reply").drop_duplicates("reply")
    return [dict(row) for row in replies[["text", "outcome", "tokens"]].to_dict("records")]


def _data_uri(pixels: NDArray[np.uint8] | None) -> str | None:
    if pixels is None:
        return None
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
