"""REST as it goes over the wire: each attempt, and how long discord.py held a request back."""

from __future__ import annotations

import asyncio
import contextlib
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
_CALLBACK_PARTS: Final = 5
"""The API's base, ``interactions``, an id, a token, ``callback``."""

_CLOCK_SECONDS: Final = 0.2
"""So long the clock needs no other response: their number does not make it better, their spread does."""

_REFUSED: Final = 400
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500

UNHELD_SECONDS: Final = 0.001
"""A request that was held back for less was not held back: so long takes the work of sending it."""

_log: Final = logging.getLogger(__name__)


class Exchange:
    """One attempt.

    :ivar route: the template.
    :ivar sent: when, by ``time.perf_counter``; ``seconds``: from then to the headers of the response.
    :ivar code: the status of its response, 0 where none came.
    :ivar headers: of the response, where it refused something; ``limits``: of any other, while discord.py acts on them.
    :ivar api: whether it went to Discord's API, and not to its CDN or elsewhere.
    :ivar interaction_id: whose first response it is.
    :ivar address: where it goes, as long as nobody has asked what route that is.
    :ivar told: whether the listeners know that it was sent.
    """

    # what most of them never have costs nothing in the class
    api: bool = False
    seconds: float = 0.0
    code: int = 0
    headers: Mapping[str, str] | None = None
    limits: Mapping[str, str] | None = None
    interaction_id: int | None = None
    address: str = ""
    told: bool = False

    def __init__(self, method: str, route: str, sent: float) -> None:
        self.method = method
        self.route = route
        self.sent = sent

    @property
    def status(self) -> str:
        """The status as text, ``error`` where no response came."""
        return str(self.code) if self.code else "error"


class HttpListener:
    """Who wants to hear of requests overrides what it wants. What it raises is caught and counted."""

    def sent(self, exchange: Exchange) -> None:
        """An attempt went out, and has no response yet. Of the others only their response is told."""

    def done(self, exchange: Exchange) -> None:
        """Its response is there, or will not come; once for each attempt."""

    def waited(self, reason: str, seconds: float) -> None:
        """discord.py held a request back for the global limit, or for its ``bucket``: see :attr:`Wire.unheld`."""


_SENT: Final = HttpListener.sent
_DONE: Final = HttpListener.done


class _Call(Exchange):
    """A call of ``HTTPClient.request``, from after the global limit on; where its route is known, its first attempt.

    :ivar sent: when its first attempt was, however that is known.
    :ivar began: when, by ``time.perf_counter``.
    :ivar again: its last attempt, where that is another object.
    :ivar over: whether it has ended; what its task sends after that is none of its own.
    """

    api: bool = True
    again: Exchange | None = None
    over: bool = False

    def __init__(self, route: str) -> None:
        # by hand what Exchange does, because each call costs
        self.method = ""
        self.route = route
        self.sent = 0.0
        self.began = perf_counter()


class Wire(Part[HttpListener]):
    """Sees every attempt, by the trace that the user gave to the client, else by the client's session.

    ``HTTPClient.request`` tells how long discord.py waited, and keeps us with the session of a new login.

    :ivar unheld: how many requests did not have to wait for their bucket (less than ``UNHELD_SECONDS``). Nobody is told
        of each: they are nearly all.
    :ivar callbacks: who wants to hear of the first responses to interactions alone, and of nothing else.
    :ivar flying: attempts that were sent and have no response yet.
    :ivar hooked: whether attempts are seen; before the login by a trace only.
    """

    noun: ClassVar[str] = "rest"

    def __init__(self, view: ClientView) -> None:
        super().__init__(view)
        self.hooked = False
        self.callbacks: Audience[HttpListener] = Audience()
        self.flying: set[Exchange] = set()
        self.unheld = 0
        self._http: Any = None
        self._session: Any = None
        self._trace: Any = None
        self._active = False
        self._clock = view.clock
        self._clock_due = 0.0
        self._journal = view.journal
        self._notes = view.journal.notes
        self._done = self._tell_done
        self._heard = self.listeners.ears[_DONE]
        self._callbacks_heard = self.callbacks.ears[_DONE]
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
        get_call, fly, journal, begin, end = self._calls.get, self.flying.add, self._journal, self._begin, self.end

        async def _request(method: str, str_or_url: Any, **named: Any) -> Any:
            if not self._active:
                return await original(method, str_or_url, **named)
            call = get_call()
            # what begin does, without calls: for the first attempt of a call whose route is known, and for a webhook's,
            # which is what answers an interaction, too; no websocket begins with a POST
            if journal.limit == 1:
                exchange = begin(method, str_or_url)
            elif call is None or call.over:
                if method == "POST" and str_or_url.__class__ is str:
                    exchange = Exchange("POST", "", perf_counter())
                    exchange.address = str_or_url
                    fly(exchange)
                else:
                    exchange = begin(method, str_or_url)
            elif call.route and not call.sent:
                exchange = call
                fly(call)
                call.method, call.sent = method, perf_counter()
            else:
                exchange = begin(method, str_or_url)
            try:
                response = await original(method, str_or_url, **named)
            except BaseException:
                end(exchange, None)
                raise
            end(exchange, response)
            return response

        return _request

    def begin(self, method: str, url: object, session: object) -> Exchange | None:
        """Tell that an attempt goes out; None for what is none. Never raises."""
        is_ours = self._session is None or session is self._session  # one trace may have been given to two clients
        return self._begin(method, url) if is_ours else None

    def _begin(self, method: str, url: Any) -> Exchange | None:
        call = self._calls.get()
        if call is not None and call.route and not (call.sent or call.over):
            exchange: Exchange = call
            exchange.method, exchange.sent = method, perf_counter()
        elif (another := self._attempt(None if call is None or call.over else call, method, url)) is None:
            return None
        else:
            exchange = another
        self.flying.add(exchange)
        if self._journal.limit == 1:  # somebody wants to be told in this task
            self._journal.settle()
            self._tell_sent(exchange)
        return exchange

    def _attempt(self, call: _Call | None, method: str, url: Any) -> Exchange | None:
        """An attempt that is no call's first one, or whose route is looked for later; None for a websocket."""
        route = "" if call is None else call.route
        address = "" if route else url if type(url) is str else self._text(url)
        if not route and (not address or address.startswith(_WEBSOCKETS)):
            return None
        exchange = Exchange(method, route, perf_counter())
        exchange.address, exchange.api = address, bool(route)
        if call is not None:
            call.again, call.sent = exchange, call.sent or exchange.sent
        return exchange

    def _text(self, url: object) -> str:
        """The address as text; empty where it is of anybody's making, and cannot say."""
        try:
            return str(url)
        except Exception as error:  # noqa: BLE001
            self._failed(error)
            return ""

    def end(self, exchange: Exchange | None, response: Any) -> None:
        """Tell that its response is there, or None if that will not come. Never raises."""
        if exchange is None:
            return
        done = perf_counter()
        exchange.seconds = done - exchange.sent
        if response is not None:
            try:
                exchange.code = code = response.status
                if code >= _REFUSED:
                    exchange.headers = response.headers
                elif exchange.api:
                    exchange.limits = response.headers
                if done >= self._clock_due:
                    self._note_clock(exchange, response.headers.get("Date"), done)
            except Exception as error:  # noqa: BLE001 - the user's session may answer with anything
                self._failed(error)
        self.flying.discard(exchange)
        notes = self._notes
        notes.append((self._done, exchange))
        if len(notes) >= self._journal.limit:
            self._journal.settle()

    def _note_clock(self, exchange: Exchange, date: str | None, done: float) -> None:
        if exchange.address:
            _resolve(exchange)
        if exchange.api:
            now = time()
            self._clock.note(date, now - exchange.seconds, now)
            self._clock_due = 0.0 if self._clock.skew is None else done + _CLOCK_SECONDS

    # ------------------------------------------------------------------------------------- what is told of them later

    def tell_flying(self) -> None:
        """Tell of what was sent and has no response yet; of all others it is told with their response."""
        for exchange in [each for each in self.flying if not each.told]:
            self._tell_sent(exchange)

    def _tell_sent(self, exchange: Exchange) -> None:
        exchange.told = True
        if exchange.address:
            _resolve(exchange)
        self.tell(_SENT, exchange)
        if exchange.interaction_id is not None:
            for hear in self.callbacks.ears[_SENT]:
                self.view.guard(self.noun, hear, exchange)

    def _tell_done(self, note: tuple[object, Exchange]) -> None:
        exchange = note[1]
        if exchange.address:
            _resolve(exchange)
        for hear in self._heard:
            try:
                hear(exchange)
            except Exception as error:  # noqa: BLE001 - nothing of ours may raise into the bot
                self._failed(error)
        if exchange.interaction_id is not None:
            for hear in self._callbacks_heard:
                try:
                    hear(exchange)
                except Exception as error:  # noqa: BLE001
                    self._failed(error)

    def _failed(self, error: Exception) -> None:
        self.view.note_error(self.noun, error)

    # ------------------------------------------------------------------------------------- waiting

    def _requesting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        set_call, waited, http, own, event = (
            self._calls.set,
            self._waited,
            self._http,
            _OWN_TEMPLATES.get,
            asyncio.Event,
        )

        async def request(route: Any, **named: Any) -> Any:
            if not self._active:
                return await original(route, **named)
            if getattr(http, _SESSION, None) is not self._session:
                self.view.guard(self.noun, self.follow)
            over: Any = getattr(http, _GLOBAL, None)
            if over.__class__ is event and not over.is_set():
                await self._wait_for_all(over)
            # its own template saves the search for one; a user's Route may have an id in it
            call = _Call(own(getattr(route, "path", None), ""))
            set_call(call)
            try:
                return await original(route, **named)
            finally:
                call.over, now = True, perf_counter()
                # nearly all are neither held back nor tried again
                if call.again is None and now - call.began - call.seconds < UNHELD_SECONDS:
                    self.unheld += 1
                else:
                    waited(call, now)
                call.limits = None  # their memory is used again, and is in the caches then

        return request

    async def _wait_for_all(self, over: asyncio.Event) -> None:
        """Wait for the end of the global limit: discord.py would do so at once, and nobody could time it."""
        began = perf_counter()
        try:
            await over.wait()
        finally:
            self.tell(HttpListener.waited, "global", perf_counter() - began)

    def _waited(self, call: _Call, now: float) -> None:
        last = call.again or call
        seconds = call.sent - call.began
        after = now - last.sent - last.seconds
        if not call.sent:  # cancelled, or RateLimited, before it was sent
            seconds = now - call.began
        elif after > UNHELD_SECONDS:
            seconds += _slept_after(last, after)
        last.limits = None
        if seconds < UNHELD_SECONDS:
            self.unheld += 1
        else:
            self.tell(HttpListener.waited, "bucket", seconds)


def _resolve(exchange: Exchange) -> None:
    """Find out what an attempt's address is."""
    address, exchange.address = exchange.address, ""
    parts = address.rsplit("/", 4)
    if len(parts) == _CALLBACK_PARTS and exchange.method == "POST":  # the most frequent one has a quick way
        base, place, number, _, what = parts
        is_one = what == "callback" and place == "interactions" and base == Route.BASE
        if is_one and number.isdecimal() and number.isascii():
            exchange.route, exchange.api, exchange.interaction_id = CALLBACK, True, int(number)
            return
    path = path_of(address, Route.BASE)
    if path is None:
        exchange.route = place_of(address, discord.Asset.BASE)
        return
    exchange.route, exchange.api = template_of(path), True
    if exchange.route is CALLBACK and exchange.method == "POST":
        exchange.interaction_id = _number(path.split("/", 3)[2])


def _slept_after(last: Exchange, passed: float) -> float:
    """How long discord.py slept after the last response, inside the request, because its bucket was empty then.

    It sleeps for ``X-RateLimit-Reset-After`` when nothing remains, or no more than others have under way. The pause
    after a 429 or a 5xx is none of a bucket's.
    """
    headers = last.limits or last.headers
    if headers is None or last.code == _TOO_MANY or last.code >= _SERVER_ERROR:
        return 0.0
    try:
        reset_after = float(headers.get("X-RateLimit-Reset-After", 0))
    except ValueError:
        return 0.0  # discord.py cannot read it either, and has not slept
    is_empty = headers.get("X-RateLimit-Remaining") == "0"
    return min(passed, reset_after) if is_empty or passed >= reset_after else 0.0


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() else None
