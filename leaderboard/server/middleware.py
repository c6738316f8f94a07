"""What every request passes first: its address's rate, its body's size and time; and the log."""

from __future__ import annotations

import asyncio
import logging
from ipaddress import ip_address, ip_network
from time import perf_counter
from traceback import format_tb

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .limits import Limits, Rates
from .problems import Problem

log = logging.getLogger("tasteshift.board.access")
failures = logging.getLogger("tasteshift.board")
CLOSE = {"Connection": "close"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """ASGI middleware in front of `app`.

    The log holds address, method, path, status and milliseconds, and of a failure its kind and
    where it came from: neither headers, nor the query, nor any value, where secrets could stand.
    """

    def __init__(self, app: ASGIApp, limits: Limits, rates: Rates) -> None:
        self._app, self._limits, self._rates = app, limits, rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, statuses = perf_counter(), [0]
        address = scope["client"][0] if scope.get("client") else "nowhere"

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            problem = self._objection(scope, address)
            if problem is None:
                await self._app(scope, self._bounded(scope, receive), answer)
            else:
                await problem.response()(scope, receive, answer)
        except Exception as error:
            where = "".join(format_tb(error.__traceback__))
            failures.error("%a failed: %s\n%s", scope["path"], type(error).__name__, where)
            if len(statuses) > 1:
                raise
            broken = Problem(500, "the server failed; this was logged", headers=CLOSE)
            await broken.response()(scope, receive, answer)
        finally:
            milliseconds = 1000 * (perf_counter() - began)
            what = (address, scope["method"], scope["path"][:200], statuses[-1], milliseconds)
            log.info("%s %s %a %d %.0f ms", *what)

    def _objection(self, scope: Scope, address: str) -> Problem | None:
        wait = self._rates.take(_household(address))
        if wait:
            return too_fast("from this address", wait)
        length = Headers(scope=scope).get("content-length", "0")
        if not length.isdecimal() or int(length[:20]) > self._largest(scope):
            return self._too_large(scope)
        return None

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        """`receive`, until the body is too large or too late."""
        loop = asyncio.get_running_loop()
        deadline, came, more = loop.time() + self._limits.body_seconds, 0, True

        async def bounded() -> Message:
            nonlocal came, more
            if not more:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), deadline - loop.time())
            except TimeoutError:
                late = f"the request took longer than {self._limits.body_seconds:g} s to arrive"
                raise Problem(408, late, headers=CLOSE) from None
            came += len(message.get("body", b""))
            more = message.get("more_body", False)
            if came > self._largest(scope):
                raise self._too_large(scope)
            return message

        return bounded

    def _largest(self, scope: Scope) -> int:
        limits = self._limits
        return {"PATCH": limits.chunk, "PUT": limits.answer}.get(scope["method"], limits.body)

    def _too_large(self, scope: Scope) -> Problem:
        most = self._largest(scope)
        return Problem(413, f"a request here may hold {most} bytes", headers=CLOSE)


def _household(address: str) -> str:
    """An IPv4 address, or the /64 that one subscriber has of IPv6."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    return address if found.version == 4 else str(ip_network((found.packed[:8] + bytes(8), 64)))


def too_fast(whose: str, wait: int) -> Problem:
    """Too many requests; `wait` seconds until there may be another."""
    detail = f"too many requests {whose}; ask again in {wait} s"
    return Problem(429, detail, headers={"Retry-After": str(wait)})
