"""The one place that reads discord.py's private attributes and replaces any of its methods.

Each of them is probed, has a fallback, and has a test per supported version. What is replaced is replaced on the
instance, remembers what was there, and is given back by :meth:`ClientView.close`.

==================================================  =================================================================
read or replaced                                    without it
==================================================  =================================================================
``Client._connection._update_references``           events are counted by a public ``wait_for`` predicate, dispatches
                                                    by shard from the sequence; close codes are not known
``DiscordWebSocket._dispatch``                      the same
``DiscordWebSocket.socket.close``                   a close is seen at the next websocket of the shard or at a sample
``DiscordWebSocket._keep_alive``                    no ACK times; the latency is public
``DiscordWebSocket._close_code``                    every close is the server's
``DiscordWebSocket.identify``, ``.resume``          IDENTIFYs are not counted down between two polls
``DiscordWebSocket.request_chunks``                 requests for members are not counted
``ConnectionState.parsers``                         guilds by shard are counted anew at most once a minute
``ConnectionState._guilds``                         ``Client.guilds``, which copies
``AutoShardedClient.__shards``, ``.__queue``        ``AutoShardedClient.shards``; the queue is absent
``Client._listeners``                               the dispatch is never skipped
==================================================  =================================================================
"""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import math
import time
import typing
from typing import Any, Final

import discord
from discord.ext import commands

from argus_exporter.catalogue import FATAL_CLOSE_CODES

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping

    from discord.gateway import DiscordWebSocket, KeepAliveHandler

    from argus_exporter.instruments import CounterCell

KNOWN_VERSIONS: Final = ((2, 4), (2, 5), (2, 6), (2, 7))
"""Minor versions of discord.py whose gateway was read and is tested."""

CLOSE_CODE: Final = 4000
"""The code with which discord.py closes a websocket that it wants to resume."""

_SESSIONS: Final = {"READY": "identify", "RESUMED": "resume"}
_RECOUNT_SECONDS: Final = 60.0

_log: Final = logging.getLogger(__name__)


class GatewayListener:
    """Who wants to hear of a shard's websockets overrides what it wants. What it raises is caught and counted."""

    def opened(self, shard_id: int, *, resuming: bool, ready: bool) -> None:
        """A websocket is there. ``ready``: it was, before we came, and its session is running."""

    def began(self, shard_id: int, kind: str) -> None:
        """A session began: ``identify`` at READY, ``resume`` at RESUMED."""

    def counted(self, event: object) -> None:
        """A dispatch came whose name is not among :attr:`ClientView.events`."""

    def closed(self, shard_id: int, code: str | None, initiator: str | None) -> None:
        """The websocket is closing, or was left; once each. None where it cannot be known."""

    def identified(self, shard_id: int, waited: float) -> None:
        """An IDENTIFY was sent, after so many seconds of waiting for its turn."""

    def chunks_requested(self, shard_id: int) -> None:
        """Guild members were asked for over the gateway."""


@dataclasses.dataclass(slots=True)
class Heart:
    """What can be read of a shard's websocket at a sample. Times are those of ``time.perf_counter``, in seconds.

    :ivar answered: when the last heartbeat that was answered was sent; before the first answer, one interval before
        the first heartbeat.
    """

    open: bool = False
    rate_limited: bool = False
    sequence: int | None = None
    interval: float | None = None
    last_beat: float | None = None
    latency: float | None = None
    last_ack: float | None = None
    answered: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class SessionStartLimit:
    """The answer of ``/gateway/bot``; ``reset_after`` in seconds."""

    total: int
    remaining: int
    reset_after: float
    max_concurrency: int


class Patches:
    """Attributes that were replaced on instances, and how to give them back."""

    def __init__(self) -> None:
        self._undo: list[tuple[Any, str, Any, Any, bool]] = []

    def set(self, target: Any, name: str, value: Any) -> None:  # noqa: ANN401 - any object of discord.py
        own = name in vars(target)
        before = getattr(target, name)
        setattr(target, name, value)
        self._undo.append((target, name, value, before, own))

    def close(self) -> None:
        """Give back what is still ours; what somebody else has wrapped since is left to them."""
        while self._undo:
            target, name, value, before, own = self._undo.pop()
            if vars(target).get(name) is not value:
                continue
            if own:
                setattr(target, name, before)
            else:
                delattr(target, name)


class _Socket:
    """One websocket of a shard, and the patches on it."""

    __slots__ = ("closed", "keep_alive", "patches", "shard_id", "ws")

    def __init__(self, ws: DiscordWebSocket) -> None:
        self.ws = ws
        self.shard_id: int = getattr(ws, "shard_id", None) or 0
        self.closed = False
        self.keep_alive: KeepAliveHandler | None = getattr(ws, "_keep_alive", None)
        self.patches = Patches()

    def close_reason(self, code: int, *, closing: bool) -> tuple[str, str]:
        """The close code and who began it, read while the websocket is being closed with ``code``."""
        sent: int | None = getattr(self.ws, "_close_code", None)
        received = self.ws.socket.close_code
        if sent is not None:
            return str(sent), self._who_closed(sent, closing=closing)
        if received == 1000 and not getattr(self.ws.socket, "_closing", True):  # noqa: PLR2004
            return "1006", "server"  # aiohttp says 1000 for a connection that ended without a close frame
        if self.ws.socket.closed or received not in {None, 1006}:
            return str(received or "none"), "server"
        return str(code), "client"

    def _who_closed(self, sent: int, *, closing: bool) -> str:
        """discord.py closes with 4000 for op 7, op 9 and a missed ACK alike, and with 1000 for op 9 and for itself."""
        if closing:
            return "client"
        if sent == CLOSE_CODE:
            return "client" if self._is_silent() else "server"
        return "server" if self.ws.session_id is None and self.ws.sequence is None else "client"

    def _is_silent(self) -> bool:
        beats = self.keep_alive
        return beats is not None and time.perf_counter() - beats._last_recv > 0.9 * beats.heartbeat_timeout


class ClientView:
    """A discord.py client, seen without disturbing it.

    :param errors: is told of each exception that was caught here: a collector's noun, and the exception.
    :param short_circuit: whether to skip dispatches of ``socket_event_type`` that nobody listens to.
    :ivar events: the cells of dispatch names; a name that is not here goes to the listeners.
    :ivar shard_cell: gives the cell in which a shard's dispatches are counted.
    :ivar hooked: whether websockets are watched; False where the public fallback counts.
    """

    def __init__(
        self, client: discord.Client, errors: Callable[[str, BaseException], None], *, short_circuit: bool = True
    ) -> None:
        self.client = client
        self.hooked = False
        self.listeners: list[GatewayListener] = []
        self.events: dict[str, CounterCell] = {}
        self.shard_cell: Callable[[int], CounterCell] | None = None
        self.guilds = GuildLedger(client, self.guard)
        self._errors = errors
        self._short_circuit = short_circuit
        self._patches = Patches()
        self._sockets: dict[int, _Socket] = {}
        self._parked: list[tuple[str, Callable[..., bool], asyncio.Task[Any]]] = []

    # ------------------------------------------------------------------------------------- life

    def open(self) -> None:
        """Watch every websocket from now on, those already open included. Needs no running loop.

        :raises RuntimeError: if another exporter watches this client.
        """
        state: Any = getattr(self.client, "_connection", None)
        original = getattr(state, "_update_references", None)
        if hasattr(original, "argus_exporter"):
            msg = "an argus_exporter is attached to this client already"
            raise RuntimeError(msg)
        if not callable(original):
            _log.warning("discord.py %s has no _update_references: counting events by the public way", discord.__version__)
            return
        self._hook(state, original)
        self.guilds.open(state)

    def _hook(self, state: object, original: Callable[[DiscordWebSocket], object]) -> None:
        def update_references(ws: DiscordWebSocket) -> object:
            result = original(ws)
            if self.hooked:
                self.guard("gateway", self._adopt, ws)
            return result

        update_references.argus_exporter = True  # type: ignore[attr-defined]  # pyright: ignore[reportFunctionMemberAccess]
        self._patches.set(state, "_update_references", update_references)
        self.hooked = True
        for ws in self._open_sockets():
            self.guard("gateway", self._adopt, ws, ready=ws.session_id is not None and ws.sequence is not None)

    def park(self) -> None:
        """Begin what needs the client's loop. Call it on that loop, after login."""
        if not self.hooked:
            _Fallback(self).start()

    async def close(self) -> None:
        """Give everything back. Websockets go on as if we had never been there."""
        self.hooked = False
        self.guilds.close()
        self._patches.close()
        for socket in self._sockets.values():
            socket.patches.close()
        self._sockets.clear()
        await self._unpark()

    def on(self, event: str, callback: Callable[..., object]) -> None:
        """Call back at each dispatch of an event, inside the dispatch and without a Task for each.

        The public ``wait_for`` calls its check synchronously; one that never says yes is a listener for free. One
        Task an event name is parked on it until :meth:`close`.
        """

        def check(*arguments: object) -> bool:
            self.guard("gateway", callback, *arguments)
            return False

        waiting: Coroutine[Any, Any, Any] = self.client.wait_for(event, check=check)  # type: ignore[call-overload]
        task = asyncio.get_running_loop().create_task(waiting, name=f"argus_exporter:{event}")
        self._parked.append((event, check, task))

    async def _unpark(self) -> None:
        parked, self._parked = self._parked, []
        waiters: dict[str, list[tuple[object, object]]] = getattr(self.client, "_listeners", {})
        for event, check, task in parked:
            task.cancel()
            left = [waiter for waiter in waiters.get(event, []) if waiter[1] is not check]
            if left:
                waiters[event] = left
            else:
                waiters.pop(event, None)
        await asyncio.gather(*(task for _, _, task in parked), return_exceptions=True)

    def guard(self, noun: str, call: Callable[..., object], *arguments: object, **named: object) -> None:
        """Call, and tell of what it raises instead of raising it."""
        try:
            call(*arguments, **named)
        except Exception as error:  # noqa: BLE001 - nothing of ours may raise into the bot
            self._errors(noun, error)

    # ------------------------------------------------------------------------------------- websockets

    def _adopt(self, ws: DiscordWebSocket, *, ready: bool = False) -> None:
        socket = _Socket(ws)
        before = self._sockets.get(socket.shard_id)
        if before is not None:
            self._close(before, left=not before.ws.socket.closed)
            before.patches.close()
        self._sockets[socket.shard_id] = socket
        socket.patches.set(ws, "_dispatch", self._counting(ws, socket.shard_id))
        self._watch(socket)
        resuming = ws.session_id is not None
        self._tell(lambda listener: listener.opened(socket.shard_id, resuming=resuming, ready=ready))

    def _watch(self, socket: _Socket) -> None:
        for target, name, wrap in (
            (socket.ws.socket, "close", self._closing),
            (socket.ws, "identify", self._identifying),
            (socket.ws, "resume", self._resuming),
            (socket.ws, "request_chunks", self._requesting),
        ):
            # an aiohttp or discord.py that does not let it be replaced costs that number only
            with contextlib.suppress(AttributeError):
                socket.patches.set(target, name, wrap(socket, getattr(target, name)))

    def _closing(self, socket: _Socket, original: Callable[..., Any]) -> Callable[..., Any]:
        async def close(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
            self.guard("gateway", self._close, socket, code=named.get("code"))
            return await original(*arguments, **named)

        return close

    def _identifying(self, socket: _Socket, original: Callable[[], Any]) -> Callable[[], Any]:
        async def identify() -> None:
            socket.keep_alive = socket.ws._keep_alive
            began = time.perf_counter()
            await original()
            waited = time.perf_counter() - began
            self._tell(lambda listener: listener.identified(socket.shard_id, waited))

        return identify

    def _resuming(self, socket: _Socket, original: Callable[[], Any]) -> Callable[[], Any]:
        async def resume() -> None:
            socket.keep_alive = socket.ws._keep_alive
            await original()

        return resume

    def _requesting(self, socket: _Socket, original: Callable[..., Any]) -> Callable[..., Any]:
        def request_chunks(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
            self._tell(lambda listener: listener.chunks_requested(socket.shard_id))
            return original(*arguments, **named)

        return request_chunks

    def _close(self, socket: _Socket, code: int | None = None, *, left: bool = False) -> None:
        """Tell of a close once: at its first sign, or when the shard has another websocket already (``left``)."""
        if socket.closed:
            return
        socket.closed = True
        reason = ("none", "client") if left else socket.close_reason(code or CLOSE_CODE, closing=self.closing)
        self._tell(lambda listener: listener.closed(socket.shard_id, *reason))

    def _tell(self, tell: Callable[[GatewayListener], object]) -> None:
        for listener in self.listeners:
            self.guard("gateway", tell, listener)

    # ------------------------------------------------------------------------------------- the hot path

    def _counting(self, ws: DiscordWebSocket, shard_id: int) -> Callable[..., Any]:
        """The closure that counts: a lookup, two adds, and the call through or not."""
        call = ws._dispatch
        events, shard, rare = self.events, self._cell_of(shard_id), self._rare
        if self._short_circuit and self._may_skip(call):
            return self._skipping(call, shard_id)

        def dispatch(name: str, event: Any, *more: Any) -> Any:  # noqa: ANN401
            if name == "socket_event_type":
                try:
                    events[event].value += 1
                except Exception:  # noqa: BLE001
                    rare(shard_id, event)
                shard.value += 1
            return call(name, event, *more)

        return dispatch

    def _skipping(self, call: Callable[..., Any], shard_id: int) -> Callable[..., Any]:
        client: Any = self.client
        events, shard, rare = self.events, self._cell_of(shard_id), self._rare
        waiters: Mapping[str, object] = client._listeners
        listeners: Mapping[str, object] = getattr(client, "extra_events", {})
        is_logged = logging.getLogger("discord.client").isEnabledFor
        base, plain = discord.Client, discord.Client.dispatch

        def dispatch(name: str, event: Any, *more: Any) -> Any:  # noqa: ANN401
            if name == "socket_event_type":
                try:
                    events[event].value += 1
                except Exception:  # noqa: BLE001
                    rare(shard_id, event)
                shard.value += 1
                if not (
                    name in waiters
                    or listeners.get("on_socket_event_type")
                    or hasattr(client, "on_socket_event_type")
                    or is_logged(10)
                    or base.dispatch is not plain
                ):
                    return None
            return call(name, event, *more)

        return dispatch

    def _may_skip(self, call: Callable[..., Any]) -> bool:
        """Whether ``call`` is discord.py's own dispatch of a version that we know, which does nothing unheard."""
        kind = type(self.client)
        ours = {discord.Client, commands.bot.BotBase}
        return (
            is_known_version()
            and getattr(call, "__self__", None) is self.client
            and hasattr(self.client, "_listeners")
            and "dispatch" not in vars(self.client)
            and {base for base in kind.__mro__ if "dispatch" in vars(base)} <= ours
            and all(_is_of_discord(base.dispatch) for base in ours)
            and not any("__getattr__" in vars(base) for base in kind.__mro__)
            and kind.__getattribute__ is object.__getattribute__
        )

    def _cell_of(self, shard_id: int) -> CounterCell:
        if self.shard_cell is not None:
            return self.shard_cell(shard_id)
        from argus_exporter.instruments import CounterCell  # noqa: PLC0415

        return CounterCell()

    def _rare(self, shard_id: int, event: object) -> None:
        self._tell(lambda listener: listener.counted(event))
        kind = _SESSIONS.get(event) if isinstance(event, str) else None
        if kind is not None:
            self._tell(lambda listener: listener.began(shard_id, kind))

    # ------------------------------------------------------------------------------------- what is the case now

    @property
    def closing(self) -> bool:
        """Whether the client is closing or closed."""
        return self.client.is_closed()

    @property
    def is_sharded(self) -> bool:
        """Whether the client runs its shards itself (AutoShardedClient, AutoShardedBot)."""
        return isinstance(self.client, discord.AutoShardedClient)

    def shard_count(self) -> int | None:
        """Shards of the whole bot; None while they are not known."""
        if isinstance(self.client, discord.AutoShardedClient):
            return self.client.shard_count
        return self.client.shard_count or 1

    def shard_ids(self) -> Iterable[int]:
        """Shards of this process; empty while they are not known."""
        client = self.client
        if not isinstance(client, discord.AutoShardedClient):
            return (client.shard_id or 0,)
        return client.shard_ids or range(client.shard_count or 0)

    def hearts(self) -> dict[int, Heart]:
        """What can be read of each shard's websocket, O(shards)."""
        if self.hooked:
            for socket in self._sockets.values():
                if not socket.closed and socket.ws.socket.closed:
                    self.guard("gateway", self._close, socket)
            return {shard_id: _heart_of(socket.ws, closed=socket.closed) for shard_id, socket in self._sockets.items()}
        return {getattr(ws, "shard_id", None) or 0: _heart_of(ws, closed=False) for ws in self._open_sockets()}

    def _open_sockets(self) -> list[DiscordWebSocket]:
        client: Any = self.client
        if isinstance(client, discord.AutoShardedClient):
            shards: dict[int, Any] | None = getattr(client, "_AutoShardedClient__shards", None)
            parents = [info._parent for info in client.shards.values()] if shards is None else list(shards.values())
            sockets = [parent.ws for parent in parents]
        else:
            sockets = [client.ws]
        return [ws for ws in sockets if ws is not None and ws.open]

    def reconnect_queue(self) -> int | None:
        """Shards that wait to be reconnected; None where there is no such queue."""
        queue: asyncio.Queue[object] | None = getattr(self.client, "_AutoShardedClient__queue", None)
        return None if queue is None else queue.qsize()

    def name(self) -> str | None:
        """The bot's own name; None before login."""
        return None if self.client.user is None else self.client.user.name

    def user_id(self) -> int | None:
        """The bot's own id; None before login."""
        return None if self.client.user is None else self.client.user.id

    async def session_start_limit(self) -> SessionStartLimit:
        """Ask ``/gateway/bot``, by the client's own HTTP and rate limits, in every version and kind of client.

        :raises discord.HTTPException: and what else the request may raise.
        """
        route = discord.http.Route("GET", "/gateway/bot")
        answer: Any = await self.client.http.request(route)
        limit = answer["session_start_limit"]
        return SessionStartLimit(
            int(limit["total"]), int(limit["remaining"]), limit["reset_after"] / 1000, int(limit["max_concurrency"])
        )


def is_known_version() -> bool:
    """Whether this discord.py's gateway is one that was read and tested."""
    return (discord.version_info.major, discord.version_info.minor) in KNOWN_VERSIONS


def is_fatal(code: str) -> bool:
    """Whether a close code ends the client."""
    return code.isdigit() and int(code) in FATAL_CLOSE_CODES


def _is_of_discord(function: object) -> bool:
    """Whether a function stands in discord.py's own source, and was not patched by somebody."""
    code = getattr(function, "__code__", None)
    own = {discord.client.__file__, commands.bot.__file__}
    return code is not None and code.co_filename in own and not hasattr(function, "__wrapped__")


def _heart_of(ws: DiscordWebSocket, *, closed: bool) -> Heart:
    beats: Any = getattr(ws, "_keep_alive", None)
    heart = Heart(open=ws.open and not closed, rate_limited=ws.is_ratelimited(), sequence=ws.sequence)
    if beats is not None:
        heart.interval, heart.last_beat = beats.interval, beats._last_send
        if math.isfinite(beats.latency):
            heart.latency, heart.last_ack = beats.latency, beats._last_ack
            heart.answered = beats._last_ack - beats.latency
        else:
            # discord.py sets the time of the last ACK when it makes the handler, and sends the first heartbeat then
            heart.answered = beats._last_ack - (beats.interval or 0.0)
    return heart


class GuildLedger:
    """Guilds by shard, kept from READY, GUILD_CREATE and GUILD_DELETE as discord.py's own cache takes them in.

    :ivar total: guilds in the cache by shard, unavailable ones included.
    :ivar unavailable: those of them that are unavailable.
    :ivar expected: guilds that READY of a shard's last new session named, less those that were left since.
    :ivar pending: those of them that have not become available yet; empties as the shard starts.
    """

    def __init__(self, client: discord.Client, guard: Callable[..., None]) -> None:
        self.total: dict[int, int] = {}
        self.unavailable: dict[int, int] = {}
        self.expected: dict[int, int] = {}
        self.pending: dict[int, set[int]] = {}
        self._client = client
        self._guard = guard
        self._guilds: Mapping[int, discord.Guild] = {}
        self._parsers: dict[str, Callable[[Any], None]] = {}
        self._wrapped: dict[str, tuple[Callable[[Any], None], Callable[[Any], None]]] = {}
        self._active = False
        self._counted_at = -math.inf

    def open(self, state: Any) -> None:  # noqa: ANN401 - discord.py's ConnectionState, or what stands in its place
        """Count once, then follow the three dispatches that change the cache."""
        self._guilds, self._parsers = getattr(state, "_guilds", None) or {}, getattr(state, "parsers", {})
        self._active = True
        self._count()
        for event, note in (("READY", self._ready), ("GUILD_CREATE", self._changed), ("GUILD_DELETE", self._changed)):
            parser = self._parsers.get(event)
            if parser is not None:
                self._parsers[event] = wrapper = self._following(parser, note)
                self._wrapped[event] = (wrapper, parser)

    def close(self) -> None:
        """Give the parsers back."""
        self._active = False
        for event, (wrapper, parser) in self._wrapped.items():
            if self._parsers.get(event) is wrapper:
                self._parsers[event] = parser
        self._wrapped.clear()

    def count(self) -> int:
        """Guilds in discord.py's cache."""
        guilds = self._cache()
        return len(guilds)

    def check(self) -> None:
        """Count anew where the cache has changed behind our back, at most once a minute; O(1) otherwise."""
        if sum(self.total.values()) != self.count() or not self._wrapped:
            now = time.perf_counter()
            if now - self._counted_at >= _RECOUNT_SECONDS:
                self._count()

    def _cache(self) -> Mapping[int, discord.Guild]:
        state = getattr(self._client, "_connection", None)
        guilds: Mapping[int, discord.Guild] | None = getattr(state, "_guilds", None)
        return {guild.id: guild for guild in self._client.guilds} if guilds is None else guilds

    def shard_of(self, guild_id: int) -> int:
        """The shard of a guild in this client."""
        if isinstance(self._client, discord.AutoShardedClient):
            return (guild_id >> 22) % (self._client.shard_count or 1)
        return self._client.shard_id or 0

    def _count(self) -> None:
        self._counted_at = time.perf_counter()
        self.total, self.unavailable = {}, {}
        for guild_id, guild in self._cache().items():
            self._add(guild_id, 1, int(bool(guild.unavailable)))

    def _add(self, guild_id: int, present: int, unavailable: int) -> None:
        shard_id = self.shard_of(guild_id)
        self.total[shard_id] = self.total.get(shard_id, 0) + present
        self.unavailable[shard_id] = self.unavailable.get(shard_id, 0) + unavailable

    def _state(self, guild_id: int) -> tuple[int, int]:
        guild = self._cache().get(guild_id)
        return (0, 0) if guild is None else (1, int(bool(guild.unavailable)))

    def _following(
        self, parser: Callable[[Any], None], note: Callable[[Any, dict[int, tuple[int, int]]], None]
    ) -> Callable[[Any], None]:
        def parse(data: Any) -> None:  # noqa: ANN401
            before: dict[int, tuple[int, int]] = {}
            if self._active:
                self._guard("shards", lambda: before.update({each: self._state(each) for each in _guild_ids(data)}))
            try:
                parser(data)
            finally:
                if self._active:
                    self._guard("shards", note, data, before)

        return parse

    def _ready(self, data: Any, before: dict[int, tuple[int, int]]) -> None:  # noqa: ANN401
        if isinstance(self._client, discord.AutoShardedClient):
            self._changed(data, before)
            shard_id = int(data["shard"][0])
        else:
            self._count()  # a plain client has emptied its cache
            shard_id = self._client.shard_id or 0
        self.expected[shard_id] = len(before)
        self.pending[shard_id] = {each for each in before if self._state(each)[1]}

    def _changed(self, data: Any, before: dict[int, tuple[int, int]]) -> None:  # noqa: ANN401, ARG002
        for guild_id, (present, unavailable) in before.items():
            now_present, now_unavailable = self._state(guild_id)
            self._add(guild_id, now_present - present, now_unavailable - unavailable)
            pending = self.pending.get(self.shard_of(guild_id), set())
            if guild_id in pending and not (now_present and now_unavailable):
                pending.discard(guild_id)
                self.expected[self.shard_of(guild_id)] -= 1 - now_present


def _guild_ids(data: Any) -> list[int]:  # noqa: ANN401
    """The guilds that a READY, GUILD_CREATE or GUILD_DELETE is about."""
    return [int(guild["id"]) for guild in data["guilds"]] if "guilds" in data else [int(data["id"])]


class _Fallback:
    """What the public API alone can tell of the gateway, for a discord.py whose inside is not as we know it."""

    def __init__(self, view: ClientView) -> None:
        self._view = view

    def start(self) -> None:
        """Park on the events that stand for the gateway's."""
        view = self._view
        view.on("socket_event_type", self._count)
        if isinstance(view.client, discord.AutoShardedClient):
            view.on("shard_connect", self._connected)
            view.on("shard_resumed", self._resumed)
            view.on("shard_disconnect", self._disconnected)
        else:
            own = view.client.shard_id or 0
            view.on("connect", lambda: self._connected(own))
            view.on("resumed", lambda: self._resumed(own))
            view.on("disconnect", lambda: self._disconnected(own))
        for ws in view._open_sockets():
            ready = ws.sequence is not None
            view._tell(lambda each, ws=ws, ready=ready: each.opened(ws.shard_id or 0, resuming=False, ready=ready))

    def _count(self, event: str) -> None:
        cell = self._view.events.get(event)
        if cell is not None:
            cell.value += 1
        else:
            self._view._tell(lambda listener: listener.counted(event))

    def _connected(self, shard_id: int) -> None:
        self._view._tell(lambda listener: listener.opened(shard_id, resuming=False, ready=False))
        self._view._tell(lambda listener: listener.began(shard_id, "identify"))

    def _resumed(self, shard_id: int) -> None:
        self._view._tell(lambda listener: listener.opened(shard_id, resuming=True, ready=False))
        self._view._tell(lambda listener: listener.began(shard_id, "resume"))

    def _disconnected(self, shard_id: int) -> None:
        self._view._tell(lambda listener: listener.closed(shard_id, None, None))
