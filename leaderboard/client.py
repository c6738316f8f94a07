"""Submitting to the service of a board, over connections that break."""

from __future__ import annotations

import random
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..suites.engine.progress import ProgressFactory, no_progress
from .submission import Receipt, checked
from .verification.rejection import one_line

if TYPE_CHECKING:
    import httpx

PIECE = 2**20
"""Bytes of an archive in one request."""

AGAIN = {408, 425, 429, 500, 502, 503, 504}
"""Answers after which the same request is worth another try."""

TRIES = 12
FIRST_TRIES = 4
"""Before anything was answered: an address that was mistyped shows within seconds."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
POLL = (0.3, 5.0)
STUMBLES = 20
"""How often the service may tell another offset than was expected."""

OVER = ("accepted", "refused")

Told = Callable[[str], None]


def submit_remote(
    run_dir: str | Path,
    url: str,
    token: str,
    *,
    progress: ProgressFactory | None = None,
    upload: ProgressFactory | None = None,
    tell: Told | None = None,
    allow_unregistered: bool = False,
    transport: httpx.BaseTransport | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Receipt:
    """Replay the run in `run_dir` here and, if it matches, submit it to the service at `url`.

    token      that the board issued; it goes into a header and nowhere else
    watch      as in `evaluate`: called with the number of lives that will be replayed
    upload     likewise, with the number of pieces that are still to be sent
    tell       hears every event of the submission, one line each, as it comes
    transport  how requests travel; None for the network

    What is checked is the archive that is sent, by the code that the service uses. The archive of
    a run is the same every time, so an upload that was cut off goes on where it stopped, whoever
    begins it again. Returns when there is a verdict. Raises InputError where there is no finished
    run, and where the service cannot be reached or does not take the run.
    """
    service = Service(url, token, transport=transport, sleep=sleep)
    with service, tempfile.TemporaryDirectory(prefix="tasteshift-") as folder:
        archive, sha256, verdict = checked(run_dir, folder, progress, allow_unregistered)
        if verdict.run is None:
            return Receipt(verdict)
        with _understood(url):
            number, new = _send(service, archive, sha256, upload)
            state, message = _follow(service, number, tell, sleep)
            if state == "refused":
                return Receipt(verdict, number, new, refusal=message)
            same = service.json("GET", f"/submissions/{number}")["same_actions"]
    return Receipt(verdict, number, new, same)


def fetch_rows(
    url: str, suite: str | None = None, *, transport: httpx.BaseTransport | None = None
) -> list[dict[str, Any]]:
    """The rows of the board at `url`, as `board_rows` gives them; raises InputError."""
    with Service(url, transport=transport) as service, _understood(url):
        rows = service.json("GET", "/board", params={} if suite is None else {"suite": suite})
        return [dict(row) for row in rows]


class Service:
    """A board's service, asked until it answers.

    Broken connections and answers that say "later" are waited out, twice as long every time or
    as long as the service asks for. Used as a context manager.

    Raises InputError, which holds no secret, for an address that is none.
    """

    def __init__(
        self,
        url: str,
        token: str = "",
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        try:
            import httpx
        except ImportError:
            raise InputError(
                "talking to a board's service needs httpx; pip install 'tasteshift[board]'"
            ) from None
        nowhere = InputError(f"{url!r} is no address of a board; it is such as https://host:8000")
        if not re.fullmatch(r"https?://[^\s@?#]+", url):
            raise nowhere
        if not re.fullmatch(r"[\x21-\x7e]*", token):
            raise InputError("the token holds characters that no token has; copy it once more")
        self._broken, self._met = httpx.TransportError, False
        self._url, self._sleep = url.rstrip("/"), sleep
        try:
            self._client = httpx.Client(
                base_url=f"{self._url}/api/v1",
                headers={"Authorization": f"Bearer {token}"} if token else {},
                timeout=60.0,
                transport=transport,
            )
        except httpx.InvalidURL:
            raise nowhere from None

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def json(self, method: str, path: str, **request: Any) -> Any:
        """The JSON of a successful answer; raises InputError for any other."""
        answer = self.ask(method, path, **request)
        if answer.is_success:
            return _parsed(answer)
        raise self.problem(answer)

    def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """The answer to a request that may be made again; raises InputError where none comes."""
        pause, last = FIRST_PAUSE, ""
        for attempt in count(1):
            try:
                answer = self._client.request(method, path, **request)
            except self._broken as error:
                wait, last = pause, f"{type(error).__name__}: {error}"
            else:
                self._met = True
                if answer.status_code not in AGAIN:
                    return answer
                asked = answer.headers.get("Retry-After", "")
                wait = min(float(asked), LONGEST_PAUSE) if asked.isdecimal() else pause
                last = f"{answer.status_code}: {detail(answer)}"
            if attempt == (TRIES if self._met else FIRST_TRIES):
                break
            self._sleep(wait * random.uniform(1.0, 1.2))
            pause = min(2 * pause, LONGEST_PAUSE)
        what = "do the same again later, and it goes on where it stopped"
        if not self._met:
            what = "see that the address is right, or do the same again later"
        raise InputError(f"{self._url} does not answer ({one_line(last)}); {what}")

    def problem(self, answer: httpx.Response) -> InputError:
        """What a refusing answer says, and what to do about it."""
        what = f"{self._url} answers {answer.status_code}: {detail(answer)}"
        if answer.status_code in (401, 403):
            what += "; put a token that this board issued into TASTESHIFT_TOKEN"
        if answer.is_redirect:
            what += f"; use the address {one_line(answer.headers.get('Location', ''))}"
        return InputError(what)


def detail(answer: httpx.Response) -> str:
    """One line from the problem document of an answer, or its reason."""
    found = _parsed(answer)
    text = found.get("detail") if isinstance(found, dict) else None
    return one_line(str(text or answer.reason_phrase or "no reason given"))


def _send(
    service: Service, archive: Path, sha256: str, upload: ProgressFactory | None
) -> tuple[int, bool]:
    """Send what the service does not have yet; returns the submission's number, and if it is new.

    An answer that was lost leaves it open whether a piece arrived: the service says where it is.
    """
    size = archive.stat().st_size
    begun = service.json("POST", "/submissions", json={"sha256": sha256, "size": size})
    number, offset, stumbles = int(begun["id"]), int(begun["offset"]), 0
    left = -(-(size - offset) // PIECE)
    with (upload or no_progress)(left) as tick, archive.open("rb") as file:
        while offset < size:
            file.seek(offset)
            piece = file.read(PIECE)
            answer = service.ask(
                "PATCH",
                f"/submissions/{number}/archive",
                content=piece,
                headers={
                    "Upload-Offset": str(offset),
                    "Content-Type": "application/offset+octet-stream",
                },
            )
            found = _parsed(answer)
            told = found.get("offset") if isinstance(found, dict) else None
            stumbles += told != offset + len(piece)
            if not isinstance(told, int) or not 0 <= told <= size or stumbles > STUMBLES:
                raise service.problem(answer)
            offset = told
            tick(archive.name)
    return number, bool(begun["state"] == "receiving")


def _follow(
    service: Service, number: int, tell: Told | None, sleep: Callable[[float], None]
) -> tuple[str, str]:
    """Wait for the verdict, and tell every event; returns the last state and its message."""
    heard, (pause, longest) = 0, POLL
    while True:
        events = service.json("GET", f"/submissions/{number}")["events"]
        for event in events[heard:]:
            if tell is not None:
                tell(one_line(f"{event['at']} {event['state']}: {event['message']}"))
        heard = len(events)
        if events and events[-1]["state"] in OVER:
            return str(events[-1]["state"]), one_line(events[-1]["message"])
        sleep(pause)
        pause = min(1.3 * pause, longest)


@contextmanager
def _understood(url: str) -> Iterator[None]:
    """Raise InputError where an answer lacks what the answers of a board have."""
    try:
        yield
    except InputError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InputError(f"{url} does not answer as a board does; see that it is one") from None


def _parsed(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None
