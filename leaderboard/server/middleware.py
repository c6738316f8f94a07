"""Middleware of every request: rate by address, size and time of the body, and the access log."""

from __future__ import annotations

import asyncio
import logging
from ipaddress import ip_address, ip_network
from time import perf_counter
from traceback import format_tb

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .limits import Limits, RateLimiter
from .problems import Problem, too_many_requests

access_log = logging.getLogger("tasteshift.board.access")
error_log = logging.getLogger("tasteshift.board")
CLOSE = {"Connection": "close"}
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class RequestGuard:
    """ASGI middleware that enforces limits, adds security headers, and logs.

    The log holds address, method, path, status and milliseconds, and of a failure its type and
    traceback: no headers, no query and no values, which could hold secrets.
    """

    def __init__(self, app: ASGIApp, limits: Limits, rates: RateLimiter) -> None:
        self._app, self._limits, self._rates = app, limits, rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to the application, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, statuses = perf_counter(), [0]
        address = scope["client"][0] if scope.get("client") else "unknown"

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            problem = self._refusal(scope, address)
            if problem is None:
                await self._app(scope, self._bounded(scope, receive), answer)
            else:
                await problem.response()(scope, receive, answer)
        except Exception as error:
            where = "".join(format_tb(error.__traceback__))
            error_log.error("%a failed: %s\n%s", scope["path"], type(error).__name__, where)
            if len(statuses) > 1:
                raise
            broken = Problem(500, "the server failed; the error was logged", headers=CLOSE)
            await broken.response()(scope, receive, answer)
        finally:
            milliseconds = 1000 * (perf_counter() - began)
            what = (address, scope["method"], scope["path"][:200], statuses[-1], milliseconds)
            access_log.info("%s %s %a %d %.0f ms", *what)

    def _refusal(self, scope: Scope, address: str) -> Problem | None:
        wait = self._rates.take(_rate_key(address))
        if wait:
            return too_many_requests("from this address", wait)
        length = Headers(scope=scope).get("content-length", "0")
        if not length.isdecimal() or int(length[:20]) > self._max_body(scope):
            return self._too_large(scope)
        return None

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        """`receive`, limited in bytes and in time."""
        loop = asyncio.get_running_loop()
        deadline, size, more = loop.time() + self._limits.body_seconds, 0, True

        async def bounded() -> Message:
            nonlocal size, more
            if not more:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), deadline - loop.time())
            except TimeoutError:
                late = f"the body took longer than {self._limits.body_seconds:g} s to arrive"
                raise Problem(408, late, headers=CLOSE) from None
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
            if size > self._max_body(scope):
                raise self._too_large(scope)
            return message

        return bounded

    def _max_body(self, scope: Scope) -> int:
        limits = self._limits
        return {"PATCH": limits.chunk, "PUT": limits.answer}.get(scope["method"], limits.body)

    def _too_large(self, scope: Scope) -> Problem:
        limit = self._max_body(scope)
        return Problem(413, f"the body of this request may hold {limit} bytes", headers=CLOSE)


def _rate_key(address: str) -> str:
    """An IPv4 address, or the /64 network of an IPv6 address, which one subscriber holds."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    return address if found.version == 4 else str(ip_network((found.packed[:8] + bytes(8), 64)))
