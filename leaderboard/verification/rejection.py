"""Why a run is not believed, in one line."""

from __future__ import annotations

from ...records import EpisodeKey

LONGEST = 500


class VerificationError(Exception):
    """A run contradicts itself, this version of TasteShift, or its own replay.

    The message is one printable line, of at most `LONGEST` characters, that names the file or the
    life, and the turn where there is one; much of it may be the words of a stranger.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


def one_line(text: str) -> str:
    """The words of a stranger as every terminal, log and page can take them."""
    line = " ".join(text.split())
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def episode_name(key: EpisodeKey) -> str:
    """A life in words, such as ``quick/stationary, seed 0, user 17 (agent)``."""
    task, seed, user, policy = key
    return f"{task}, seed {seed}, user {user} ({policy})"


def turn_name(key: EpisodeKey, session: int, number: int) -> str:
    """A turn of a life in words."""
    return f"{episode_name(key)}, session {session}, turn {number}"
