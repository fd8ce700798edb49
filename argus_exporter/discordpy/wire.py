"""REST as it goes over the wire: each attempt, and how long discord.py held a request back."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
import typing
from contextvars import ContextVar
from typing import Any, ClassVar, Final

import discord
from discord.http import Route

from argus_exporter.discordpy.parts import Part
from argus_exporter.discordpy.patches import Patches
from argus_exporter.discordpy.routes import CALLBACK, path_of, place_of, template_of

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from argus_exporter.discordpy.view import ClientView

_SESSION: Final = "_HTTPClient__session"
_WEBSOCKETS: Final = ("ws:", "wss:")
_NO_SLEEP_SECONDS: Final = 0.001
"""What goes by between the headers of a response and the end of its request is no sleep if it is shorter."""

_log: Final = logging.getLogger(__name__)


@dataclasses.dataclass(slots=True)
class Exchange:
    """One attempt.

    :ivar route: the template; empty for what is none (a websocket).
    :ivar sent: when, by ``time.perf_counter``; ``seconds``: from then to the headers of the response.
    :ivar status: as text; ``error`` where no response came.
    :ivar api: whether it went to Discord's API, and not to its CDN or elsewhere.
    :ivar interaction_id: whose first response it is.
    """

    method: str
    route: str
    sent: float
    seconds: float = 0.0
    status: str = "error"
    headers: Mapping[str, str] | None = None
    api: bool = False
    interaction_id: int | None = None


class HttpListener:
    """Who wants to hear of requests overrides what it wants. What it raises is caught and counted."""

    def sent(self, exchange: Exchange) -> None:
        """An attempt goes out; it has neither status nor headers yet."""

    def done(self, exchange: Exchange) -> None:
        """Its response is there, or will not come; once for each that was sent."""

    def waited(self, reason: str, seconds: float) -> None:
        """discord.py held a request back.

        ``bucket``: once for each ``HTTPClient.request``, mostly 0. ``global``: for each that met the global limit.
        """


class _Call:
    """A call of ``HTTPClient.request``, from after the global limit on."""

    __slots__ = ("began", "first", "last")

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.first: Exchange | None = None
        self.last: Exchange | None = None


class Wire(Part[HttpListener]):
    """Sees every attempt, by the trace that the user gave to the client, else by the client's session.

    ``HTTPClient.request`` tells how long discord.py waited, and keeps us with the session of a new login.

    :ivar hooked: whether attempts are seen; before the login by a trace only.
    """

    noun: ClassVar[str] = "rest"

    def __init__(self, view: ClientView) -> None:
        super().__init__(view)
        self.hooked = False
        self._http: Any = None
        self._session: Any = None
        self._trace: Any = None
        self._active = False
        self._of_session = Patches()
        self._calls: ContextVar[_Call | None] = ContextVar("argus_exporter_call", default=None)

    # ------------------------------------------------------------------------------------- life

    def open(self, state: Any) -> None:  # noqa: ARG002
        """Adopt the user's trace if there is one, and see what is requested from now on, the login included."""
        self._active = True
        self._http = getattr(self.view.client, "http", None)
        trace = getattr(self._http, "http_trace", None)
        if getattr(trace, "argus_exporter", self) is None:
            self._trace, self.hooked = trace, True
            self._trace.argus_exporter = self
        if callable(getattr(self._http, "request", None)):
            self.patches.set(self._http, "request", self._requesting(self._http.request))
        self.follow()

    def park(self) -> None:
        """Say so if attempts are not seen."""
        self.follow()
        if not self.hooked:
            _log.warning(
                "discord.py %s or aiohttp is not as we know it: give the client http_trace=argus_exporter.http_trace() "
                "to have metrics of its requests",
                discord.__version__,
            )

    def close(self) -> None:
        """Give everything back; a trace is free for the next exporter."""
        self._active = self.hooked = False
        if self._trace is not None:
            self._trace.argus_exporter = None
        self._of_session.close()
        super().close()

    def follow(self) -> None:
        """Hook the session that is in use: a new login makes a new one."""
        session: Any = getattr(self._http, _SESSION, None)
        if session is self._session:
            return
        self._session = session
        if self._trace is None:
            self._of_session.close()
            self.hooked = False
            with contextlib.suppress(AttributeError):  # none yet, or an aiohttp that does not let it be replaced
                self._of_session.set(session, "_request", self._sending(session, session._request))
                self.hooked = True

    # ------------------------------------------------------------------------------------- what is the case now

    @property
    def global_limited(self) -> bool | None:
        """Whether discord.py holds all requests back; None where it does not say."""
        over = getattr(self._http, "_global_over", None)
        return not over.is_set() if isinstance(over, asyncio.Event) else None

    @property
    def buckets(self) -> int | None:
        """How many rate-limit buckets discord.py keeps; None where it does not say."""
        buckets = getattr(self._http, "_buckets", None)
        return len(typing.cast("dict[object, object]", buckets)) if isinstance(buckets, dict) else None

    # ------------------------------------------------------------------------------------- attempts

    def _sending(self, session: object, original: Callable[..., Any]) -> Callable[..., Any]:
        async def _request(method: str, str_or_url: Any, **named: Any) -> Any:
            if not self._active:
                return await original(method, str_or_url, **named)
            exchange, response = self.begin(method, str_or_url, session), None
            try:
                response = await original(method, str_or_url, **named)
            finally:
                self.end(exchange, response)
            return response

        return _request

    def begin(self, method: str, url: object, session: object) -> Exchange:
        """Tell that an attempt goes out. Never raises."""
        exchange = Exchange(method, "", time.perf_counter())
        if self._session is None or session is self._session:  # one trace may have been given to two clients
            self.view.guard(self.noun, self._begin, exchange, url)
        return exchange

    def _begin(self, exchange: Exchange, url: object) -> None:
        address = url if isinstance(url, str) else str(url)
        if address.startswith(_WEBSOCKETS):
            return
        path = path_of(address, Route.BASE)
        if path is None:
            exchange.route = place_of(address, discord.Asset.BASE)
        else:
            exchange.api, exchange.route = True, template_of(path)
            if exchange.route is CALLBACK and exchange.method == "POST":
                exchange.interaction_id = _number(path.split("/", 3)[2])
        call = self._calls.get()
        if call is not None:
            call.first, call.last = call.first or exchange, exchange
        for listener in self.listeners:
            self.view.guard(self.noun, listener.sent, exchange)

    def end(self, exchange: Exchange, response: Any) -> None:
        """Tell that its response is there, or None if that will not come. Never raises."""
        exchange.seconds = time.perf_counter() - exchange.sent
        if exchange.route:
            self.view.guard(self.noun, self._read, exchange, response)
            for listener in self.listeners:
                self.view.guard(self.noun, listener.done, exchange)

    def _read(self, exchange: Exchange, response: Any) -> None:
        if response is None:
            return
        exchange.status, exchange.headers = str(response.status), response.headers
        if exchange.api:
            now = time.time()
            self.view.clock.note(response.headers.get("Date"), now - exchange.seconds, now)

    # ------------------------------------------------------------------------------------- waiting

    def _requesting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        calls = self._calls

        async def request(*arguments: Any, **named: Any) -> Any:
            if not self._active:
                return await original(*arguments, **named)
            self.view.guard(self.noun, self.follow)
            if self.global_limited:
                await self._wait_for_all()
            call = _Call()
            calls.set(call)
            try:
                return await original(*arguments, **named)
            finally:
                calls.set(None)
                self.view.guard(self.noun, self._waited, call)

        return request

    async def _wait_for_all(self) -> None:
        """Wait for the end of the global limit: discord.py would do so at once, and nobody could time it."""
        began = time.perf_counter()
        try:
            await self._http._global_over.wait()
        finally:
            seconds = time.perf_counter() - began
            self.tell(lambda listener: listener.waited("global", seconds))

    def _waited(self, call: _Call) -> None:
        now = time.perf_counter()
        before = (now if call.first is None else call.first.sent) - call.began
        seconds = before + _slept_after(call.last, now)
        for listener in self.listeners:
            self.view.guard(self.noun, listener.waited, "bucket", seconds)


def _slept_after(last: Exchange | None, now: float) -> float:
    """How long discord.py slept after the last response, inside the request, because its bucket was empty then.

    It sleeps for ``X-RateLimit-Reset-After`` when nothing remains, or no more than others have under way. The pause
    after a 429 or a 5xx is none of a bucket's.
    """
    if last is None or last.headers is None or last.status == "429" or last.status.startswith("5"):
        return 0.0
    passed = now - last.sent - last.seconds
    if passed < _NO_SLEEP_SECONDS:
        return 0.0
    reset_after = float(last.headers.get("X-RateLimit-Reset-After", 0))
    is_empty = last.headers.get("X-RateLimit-Remaining") == "0"
    return min(passed, reset_after) if is_empty or passed >= reset_after else 0.0


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() else None
