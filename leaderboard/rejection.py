"""The error that rejects a run, and how its message names an episode or a turn."""

from __future__ import annotations

from ..records import EpisodeKey

MAX_MESSAGE_LENGTH = 500
"""Characters."""


class VerificationError(Exception):
    """A run contradicts itself, this version of TasteShift, or its own replay.

    The message is one printable line of at most `MAX_MESSAGE_LENGTH` characters. It names the
    file or the episode, and the turn where there is one. It may quote untrusted text.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


def one_line(text: str) -> str:
    """Untrusted text as one printable line, safe for terminals, logs and pages."""
    line = " ".join(text.split())
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    if len(line) <= MAX_MESSAGE_LENGTH:
        return line
    return f"{line[: MAX_MESSAGE_LENGTH - 1]}…"


def episode_name(key: EpisodeKey) -> str:
    """The name of an episode in messages, such as ``quick/stationary, seed 0, user 17 (agent)``."""
    task, seed, user, policy = key
    return f"{task}, seed {seed}, user {user} ({policy})"


def turn_name(key: EpisodeKey, session: int, number: int) -> str:
    """The name of a turn in messages: its episode, session and number."""
    return f"{episode_name(key)}, session {session}, turn {number}"
