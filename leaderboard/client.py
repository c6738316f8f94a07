"""HTTP client of a board's server: submit runs and fetch rows, with retries."""

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
from .protocol import API, VERSION
from .rejection import one_line
from .submission import Receipt, pack_and_verify

if TYPE_CHECKING:
    import httpx

CHUNK_BYTES = 2**20
"""Bytes of an archive in one request."""

RETRY_STATUSES = {408, 425, 429, 500, 502, 503, 504}
"""Responses after which the same request is sent again."""

MAX_TRIES = 12
MAX_FIRST_TRIES = 4
"""Before the first response, so that a mistyped address is reported within seconds."""

FIRST_PAUSE, MAX_PAUSE = 0.5, 60.0
"""Seconds between tries."""

POLL_SECONDS = (0.3, 5.0)
"""First and longest pause between polls for the verdict."""

MAX_OFFSET_MISMATCHES = 20
"""How often the server may report another upload offset than expected."""

FINAL_STATES = ("accepted", "refused")

EventCallback = Callable[[str], None]
"""Called with one line per event of a submission."""


def submit_remote(
    run_dir: str | Path,
    url: str,
    token: str,
    *,
    progress: ProgressFactory | None = None,
    upload: ProgressFactory | None = None,
    on_event: EventCallback | None = None,
    allow_unregistered: bool = False,
    transport: httpx.BaseTransport | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Receipt:
    """Verify the run in `run_dir` locally and, if accepted, submit it to the server at `url`.

    token      issued by the board; sent in a header only
    progress   as in `evaluate`: called with the number of episodes to replay
    upload     likewise, with the number of chunks to send
    on_event   called with every event of the submission, one line each
    transport  httpx transport; None for the network

    The archive that is sent is the one verified locally, by the same code that the server uses.
    Since the archive of a run is reproducible, an interrupted upload continues where it stopped.
    Returns when there is a verdict. Raises InputError where there is no finished run, and where
    the server cannot be reached or does not accept the request.
    """
    client = BoardClient(url, token, transport=transport, sleep=sleep)
    with client, tempfile.TemporaryDirectory(prefix="tasteshift-") as folder:
        archive, sha256, verdict = pack_and_verify(run_dir, folder, progress, allow_unregistered)
        if verdict.run is None:
            return Receipt(verdict)
        with _invalid_responses_reported(url):
            number, new = _upload(client, archive, sha256, upload)
            state, message = _wait_for_verdict(client, number, on_event, sleep)
            if state == "refused":
                return Receipt(verdict, number, new, refusal=message)
            same = client.json("GET", f"/submissions/{number}")["same_actions"]
    return Receipt(verdict, number, new, same)


def fetch_rows(
    url: str, suite: str | None = None, *, transport: httpx.BaseTransport | None = None
) -> list[dict[str, Any]]:
    """Return the rows of the board at `url`, as `board_rows` does; raises InputError."""
    with BoardClient(url, transport=transport) as client, _invalid_responses_reported(url):
        rows = client.json("GET", "/board", params={} if suite is None else {"suite": suite})
        return [dict(row) for row in rows]


class BoardClient:
    """Client of a board's server that retries; use it as a context manager.

    After a broken connection or a status in `RETRY_STATUSES` it waits, twice as long every time or
    as long as Retry-After says. Raises InputError, which never contains the token, for an invalid
    address.
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
                "connecting to a board needs httpx; pip install 'tasteshift[board]'"
            ) from None
        invalid = InputError(
            f"{url!r} is not the address of a board; give one such as https://host:8000"
        )
        if not re.fullmatch(r"https?://[^\s@?#]+", url):
            raise invalid
        if not re.fullmatch(r"[\x21-\x7e]*", token):
            raise InputError("the token holds characters that no token has; copy it again")
        self._transport_error, self._connected = httpx.TransportError, False
        self.url, self._sleep = url.rstrip("/"), sleep
        try:
            self._client = httpx.Client(
                base_url=f"{self.url}{API}",
                headers={"Authorization": f"Bearer {token}"} if token else {},
                timeout=60.0,
                transport=transport,
            )
        except httpx.InvalidURL:
            raise invalid from None

    def __enter__(self) -> BoardClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def json(self, method: str, path: str, **options: Any) -> Any:
        """Return the JSON of a successful response; raises InputError for any other."""
        response = self.request(method, path, **options)
        if response.is_success:
            return _parsed(response)
        raise self.problem(response)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request that may be repeated; raises InputError where no response comes."""
        pause, last = FIRST_PAUSE, ""
        for attempt in count(1):
            try:
                response = self._client.request(method, path, **options)
            except self._transport_error as error:
                wait, last = pause, f"{type(error).__name__}: {error}"
            else:
                self._connected = True
                if response.status_code not in RETRY_STATUSES:
                    return response
                retry_after = response.headers.get("Retry-After", "")
                wait = min(float(retry_after), MAX_PAUSE) if retry_after.isdecimal() else pause
                last = f"{response.status_code}: {detail(response)}"
            if attempt == (MAX_TRIES if self._connected else MAX_FIRST_TRIES):
                break
            self._sleep(wait * random.uniform(1.0, 1.2))
            pause = min(2 * pause, MAX_PAUSE)
        what = "repeat the command later; it continues where it stopped"
        if not self._connected:
            what = "check the address, or repeat the command later"
        raise InputError(f"{self.url} does not respond ({one_line(last)}); {what}")

    def problem(self, response: httpx.Response) -> InputError:
        """The error for an unsuccessful response: what it says and what to do."""
        if response.status_code == 404 and detail(response) == "Not Found":
            return InputError(
                f"{self.url} responds 404: Not Found; it does not speak protocol {VERSION} of "
                "boards, so check the address and that both sides have the same version"
            )
        what = f"{self.url} responds {response.status_code}: {detail(response)}"
        if response.status_code in (401, 403):
            what += "; set TASTESHIFT_TOKEN to a token that this board issued"
        if response.is_redirect:
            what += f"; use the address {one_line(response.headers.get('Location', ''))}"
        return InputError(what)


def detail(response: httpx.Response) -> str:
    """One line from the problem document of a response, or its reason phrase."""
    found = _parsed(response)
    text = found.get("detail") if isinstance(found, dict) else None
    return one_line(str(text or response.reason_phrase or "no reason given"))


def _upload(
    client: BoardClient, archive: Path, sha256: str, upload: ProgressFactory | None
) -> tuple[int, bool]:
    """Send what the server does not have yet; returns the submission's number, and if it is new.

    After a lost response it is unknown whether a chunk arrived: the server reports its offset.
    """
    size = archive.stat().st_size
    begun = client.json("POST", "/submissions", json={"sha256": sha256, "size": size})
    number, offset, mismatches = int(begun["id"]), int(begun["offset"]), 0
    left = -(-(size - offset) // CHUNK_BYTES)
    with (upload or no_progress)(left) as tick, archive.open("rb") as file:
        while offset < size:
            file.seek(offset)
            chunk = file.read(CHUNK_BYTES)
            response = client.request(
                "PATCH",
                f"/submissions/{number}/archive",
                content=chunk,
                headers={
                    "Upload-Offset": str(offset),
                    "Content-Type": "application/offset+octet-stream",
                },
            )
            found = _parsed(response)
            received = found.get("offset") if isinstance(found, dict) else None
            mismatches += received != offset + len(chunk)
            if (
                not isinstance(received, int)
                or not 0 <= received <= size
                or mismatches > MAX_OFFSET_MISMATCHES
            ):
                raise client.problem(response)
            offset = received
            tick(archive.name)
    return number, bool(begun["state"] == "receiving")


def _wait_for_verdict(
    client: BoardClient, number: int, on_event: EventCallback | None, sleep: Callable[[float], None]
) -> tuple[str, str]:
    """Wait for the verdict and report every event; returns the last state and its message."""
    reported, (pause, longest) = 0, POLL_SECONDS
    while True:
        events = client.json("GET", f"/submissions/{number}")["events"]
        for event in events[reported:]:
            if on_event is not None:
                on_event(one_line(f"{event['at']} {event['state']}: {event['message']}"))
        reported = len(events)
        if events and events[-1]["state"] in FINAL_STATES:
            return str(events[-1]["state"]), one_line(events[-1]["message"])
        sleep(pause)
        pause = min(1.3 * pause, longest)


@contextmanager
def _invalid_responses_reported(url: str) -> Iterator[None]:
    """Raise InputError where a response lacks the fields of a board's responses."""
    try:
        yield
    except InputError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InputError(f"{url} does not respond like a board; check the address") from None


def _parsed(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None
