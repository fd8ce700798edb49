"""REST as it goes over the wire: each attempt, and how long discord.py held a request back."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import typing
from contextvars import ContextVar
from time import perf_counter, time
from typing import Any, ClassVar, Final

import discord
from discord.http import Route

from argus_exporter.discordpy.parts import Audience, Part
from argus_exporter.discordpy.patches import Patches
from argus_exporter.discordpy.routes import CALLBACK, TEMPLATES, path_of, place_of, template_of

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from argus_exporter.discordpy.view import ClientView

_SESSION: Final = "_HTTPClient__session"
_GLOBAL: Final = "_global_over"
_WEBSOCKETS: Final = ("ws:", "wss:")
_OWN_TEMPLATES: Final[dict[str | None, str]] = {
    template: template for template in TEMPLATES if template is not CALLBACK
}
UNHELD_SECONDS: Final = 0.001
"""A request that was held back for less was not held back: so long takes the work of sending it."""

_log: Final = logging.getLogger(__name__)


@dataclasses.dataclass(slots=True)
class Exchange:
    """One attempt.

    :ivar route: the template.
    :ivar sent: when, by ``time.perf_counter``; ``seconds``: from then to the headers of the response.
    :ivar status: as text; ``error`` where no response came.
    :ivar api: whether it went to Discord's API, and not to its CDN or elsewhere.
    :ivar interaction_id: whose first response it is.
    """

    method: str
    route: str
    sent: float
    api: bool = False
    seconds: float = 0.0
    status: str = "error"
    headers: Mapping[str, str] | None = None
    interaction_id: int | None = None


class HttpListener:
    """Who wants to hear of requests overrides what it wants. What it raises is caught and counted."""

    def sent(self, exchange: Exchange) -> None:
        """An attempt goes out; it has neither status nor headers yet."""

    def done(self, exchange: Exchange) -> None:
        """Its response is there, or will not come; once for each that was sent."""

    def waited(self, reason: str, seconds: float) -> None:
        """discord.py held a request back for the global limit, or for its ``bucket``: see :attr:`Wire.unheld`."""


_SENT: Final = HttpListener.sent
_DONE: Final = HttpListener.done


class _Call:
    """A call of ``HTTPClient.request``, from after the global limit on."""

    __slots__ = ("began", "last", "seconds", "template")

    def __init__(self, route: object) -> None:
        # its own template saves the search for one; a user's Route may have an id in it
        self.template = _OWN_TEMPLATES.get(getattr(route, "path", None))
        self.last: Exchange | None = None
        self.seconds = 0.0
        self.began = perf_counter()


class Wire(Part[HttpListener]):
    """Sees every attempt, by the trace that the user gave to the client, else by the client's session.

    ``HTTPClient.request`` tells how long discord.py waited, and keeps us with the session of a new login.

    :ivar unheld: how many requests did not have to wait for their bucket (less than ``UNHELD_SECONDS``). Nobody is told
        of each: they are nearly all.
    :ivar callbacks: who wants to hear of the first responses to interactions alone, and of nothing else.
    :ivar under_way: attempts that were sent and have no response yet.
    :ivar hooked: whether attempts are seen; before the login by a trace only.
    """

    noun: ClassVar[str] = "rest"

    def __init__(self, view: ClientView) -> None:
        super().__init__(view)
        self.hooked = False
        self.callbacks: Audience[HttpListener] = Audience()
        self.under_way = self.unheld = 0
        self._http: Any = None
        self._session: Any = None
        self._trace: Any = None
        self._active = False
        self._clock = view.clock
        self._of_session = Patches()
        self._calls: ContextVar[_Call | None] = ContextVar("argus_exporter_call", default=None)

    # ------------------------------------------------------------------------------------- life

    @property
    def wanted(self) -> bool:
        """Whether anybody listens."""
        return bool(self.listeners or self.callbacks)

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
        self._trace = self._session = None
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
                self._of_session.set(session, "_request", self._sending(session._request))
                self.hooked = True

    # ------------------------------------------------------------------------------------- what is the case now

    @property
    def global_limited(self) -> bool | None:
        """Whether discord.py holds all requests back; None where it does not say."""
        over = getattr(self._http, _GLOBAL, None)
        return not over.is_set() if isinstance(over, asyncio.Event) else None

    @property
    def buckets(self) -> int | None:
        """How many rate-limit buckets discord.py keeps; None where it does not say."""
        buckets = getattr(self._http, "_buckets", None)
        return len(typing.cast("dict[object, object]", buckets)) if isinstance(buckets, dict) else None

    # ------------------------------------------------------------------------------------- attempts

    def _sending(self, original: Callable[..., Any]) -> Callable[..., Any]:
        async def _request(method: str, str_or_url: Any, **named: Any) -> Any:
            if not self._active:
                return await original(method, str_or_url, **named)
            exchange, response = self._begin(method, str_or_url), None
            try:
                response = await original(method, str_or_url, **named)
            finally:
                self.end(exchange, response)
            return response

        return _request

    def begin(self, method: str, url: object, session: object) -> Exchange | None:
        """Tell that an attempt goes out; None for what is none. Never raises."""
        is_ours = self._session is None or session is self._session  # one trace may have been given to two clients
        return self._begin(method, url) if is_ours else None

    def _begin(self, method: str, url: object) -> Exchange | None:  # noqa: C901 - each call costs
        sent, call = perf_counter(), self._calls.get()
        if call is not None and call.template is not None:
            exchange = Exchange(method, call.template, sent, True)  # noqa: FBT003 - a name costs a tenth of a microsecond
        else:
            try:
                found = _exchange(method, url if isinstance(url, str) else str(url), sent)
            except Exception as error:  # noqa: BLE001 - the address is of anybody's making
                self._failed(error)
                return None
            if found is None:
                return None
            exchange = found
        if call is not None:
            if call.last is None:
                call.seconds = sent - call.began
            call.last = exchange
        self.under_way += 1
        for call_listener in self.listeners.ears[_SENT]:
            try:
                call_listener(exchange)
            except Exception as error:  # noqa: BLE001
                self._failed(error)
        if exchange.interaction_id is not None:
            for call_listener in self.callbacks.ears[_SENT]:
                try:
                    call_listener(exchange)
                except Exception as error:  # noqa: BLE001
                    self._failed(error)
        return exchange

    def end(self, exchange: Exchange | None, response: Any) -> None:
        """Tell that its response is there, or None if that will not come. Never raises."""
        if exchange is None:
            return
        exchange.seconds = seconds = perf_counter() - exchange.sent
        if response is not None:
            try:
                exchange.status, exchange.headers = str(response.status), response.headers
                if exchange.api:
                    now = time()
                    self._clock.note(response.headers.get("Date"), now - seconds, now)
            except Exception as error:  # noqa: BLE001 - the user's session may answer with anything
                self._failed(error)
        self.under_way -= 1
        for call_listener in self.listeners.ears[_DONE]:
            try:
                call_listener(exchange)
            except Exception as error:  # noqa: BLE001
                self._failed(error)
        if exchange.interaction_id is not None:
            for call_listener in self.callbacks.ears[_DONE]:
                try:
                    call_listener(exchange)
                except Exception as error:  # noqa: BLE001
                    self._failed(error)

    def _failed(self, error: Exception) -> None:
        self.view.note_error(self.noun, error)

    # ------------------------------------------------------------------------------------- waiting

    def _requesting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        set_call = self._calls.set

        async def request(route: Any, **named: Any) -> Any:
            if not self._active:
                return await original(route, **named)
            if getattr(self._http, _SESSION, None) is not self._session:
                self.view.guard(self.noun, self.follow)
            over: Any = getattr(self._http, _GLOBAL, None)
            if over.__class__ is asyncio.Event and not over.is_set():
                await self._wait_for_all(over)
            call = _Call(route)
            set_call(call)
            try:
                return await original(route, **named)
            finally:
                set_call(None)
                self._waited(call)

        return request

    async def _wait_for_all(self, over: asyncio.Event) -> None:
        """Wait for the end of the global limit: discord.py would do so at once, and nobody could time it."""
        began = perf_counter()
        try:
            await over.wait()
        finally:
            self.tell(HttpListener.waited, "global", perf_counter() - began)

    def _waited(self, call: _Call) -> None:
        now, last, seconds = perf_counter(), call.last, call.seconds
        if last is None:  # cancelled, or RateLimited, before it was sent
            seconds = now - call.began
        elif now - last.sent - last.seconds > UNHELD_SECONDS:
            try:
                seconds += _slept_after(last, now - last.sent - last.seconds)
            except ValueError as error:  # a header that is no number
                self._failed(error)
        if seconds < UNHELD_SECONDS:
            self.unheld += 1
        else:
            self.tell(HttpListener.waited, "bucket", seconds)


def _exchange(method: str, address: str, sent: float) -> Exchange | None:
    """What goes out; None for a websocket."""
    if method == "POST" and address.endswith("/callback"):  # the most frequent one has a quick way
        base, _, rest = address.partition("/interactions/")
        number, _, token = rest.partition("/")
        if base == Route.BASE and token.count("/") == 1 and (interaction_id := _number(number)) is not None:
            return Exchange(method, CALLBACK, sent, api=True, interaction_id=interaction_id)
    path = path_of(address, Route.BASE)
    if path is None:
        place = place_of(address, discord.Asset.BASE)
        return None if address.startswith(_WEBSOCKETS) else Exchange(method, place, sent)
    exchange = Exchange(method, template_of(path), sent, api=True)
    if exchange.route is CALLBACK and method == "POST":
        exchange.interaction_id = _number(path.split("/", 3)[2])
    return exchange


def _slept_after(last: Exchange, passed: float) -> float:
    """How long discord.py slept after the last response, inside the request, because its bucket was empty then.

    It sleeps for ``X-RateLimit-Reset-After`` when nothing remains, or no more than others have under way. The pause
    after a 429 or a 5xx is none of a bucket's.
    """
    if last.headers is None or last.status == "429" or last.status.startswith("5"):
        return 0.0
    reset_after = float(last.headers.get("X-RateLimit-Reset-After", 0))
    is_empty = last.headers.get("X-RateLimit-Remaining") == "0"
    return min(passed, reset_after) if is_empty or passed >= reset_after else 0.0


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() else None
