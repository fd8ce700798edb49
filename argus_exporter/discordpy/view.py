"""A discord.py client, seen without disturbing it."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import typing
from typing import Any, Final

import discord
from discord.http import Route

from argus_exporter.catalogue import GATEWAY_EVENTS
from argus_exporter.discordpy.caches import Caches
from argus_exporter.discordpy.clock import Clock
from argus_exporter.discordpy.commands import Commands
from argus_exporter.discordpy.dispatch import counting, may_skip, skipping
from argus_exporter.discordpy.fallback import Fallback
from argus_exporter.discordpy.guilds import GuildLedger
from argus_exporter.discordpy.interactions import Interactions
from argus_exporter.discordpy.journal import Journal
from argus_exporter.discordpy.listeners import Listeners
from argus_exporter.discordpy.patches import Patches
from argus_exporter.discordpy.sockets import CLOSE_CODE, Heart, Socket, heart_of
from argus_exporter.discordpy.wire import Wire
from argus_exporter.instruments import CounterCell

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from discord.gateway import DiscordWebSocket

    from argus_exporter.discordpy.parts import Part

_SESSIONS: Final = {"READY": "identify", "RESUMED": "resume"}

_log: Final = logging.getLogger(__name__)


class GatewayListener:
    """Who wants to hear of a shard's websockets overrides what it wants. What it raises is caught and counted."""

    def opened(self, shard_id: int, *, resuming: bool, ready: bool) -> None:
        """A websocket is there. ``ready``: it was, before we came, and its session is running."""

    def lost(self, shard_id: int) -> None:
        """A shard has no open websocket; it lost its own before we came."""

    def began(self, shard_id: int, kind: str) -> None:
        """A session began: ``identify`` at READY, ``resume`` at RESUMED."""

    def counted(self, event: object) -> None:
        """A dispatch came whose name is not among :attr:`ClientView.events`."""

    def closed(self, shard_id: int, reason: tuple[str, str] | None) -> None:
        """The websocket is closing, or was left; once each, with code and initiator, or None where they are unknown."""

    def identified(self, shard_id: int, waited: float) -> None:
        """An IDENTIFY was sent, after so many seconds of waiting for its turn."""

    def chunks_requested(self, shard_id: int) -> None:
        """Guild members were asked for over the gateway."""


class SessionStartLimit(typing.NamedTuple):
    """The answer of ``/gateway/bot``; ``reset_after`` in seconds."""

    total: int
    remaining: int
    reset_after: float
    max_concurrency: int


class ClientView:
    """A discord.py client, seen without disturbing it.

    :param errors: is told of each exception that was caught here: a collector's noun, and the exception.
    :param short_circuit: whether to skip dispatches of ``socket_event_type`` that nobody listens to.
    :ivar events: the cells of dispatch names; a name that is not here goes to the listeners.
    :ivar shard_cell: gives the cell in which a shard's dispatches are counted.
    :ivar journal: what was noted and is not accounted for yet; a sample settles it first.
    :ivar hooked: whether websockets are watched; False where the public fallback counts.
    """

    def __init__(
        self, client: discord.Client, errors: Callable[[str, BaseException], None], *, short_circuit: bool = True
    ) -> None:
        self.client = client
        self.hooked = False
        self.listeners: list[GatewayListener] = []
        # without the gateway collector too, the names that need nothing but an int keep to the quick way
        self.events: dict[str, CounterCell] = {name: CounterCell() for name in GATEWAY_EVENTS if name not in _SESSIONS}
        self.shard_cell: Callable[[int], CounterCell] | None = None
        self.guilds = GuildLedger(client, self.guard)
        self.caches = Caches(client)
        self.clock = Clock()
        self.journal = Journal(errors)
        self.wire = Wire(self)
        self.interactions = Interactions(self)
        self.commands = Commands(self)
        self.event_listeners = Listeners(self)
        self.parts: tuple[Part[Any], ...] = (self.commands, self.interactions, self.wire, self.event_listeners)
        self.note_error: Final = errors
        self._short_circuit = short_circuit
        self._patches = Patches()
        self._sockets: dict[int, Socket] = {}
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
            _log.warning(
                "discord.py %s has no _update_references: counting events by the public way", discord.__version__
            )
        else:
            self._hook(state, original)
            self.guard("shards", self.guilds.open, state)
        for part in self.parts:  # one that opens may begin to listen to one after it
            if part.wanted:
                self.guard(part.noun, part.open, state)

    def _wanted(self) -> list[Part[Any]]:
        return [part for part in self.parts if part.wanted]

    def _hook(self, state: object, original: Callable[[DiscordWebSocket], object]) -> None:
        def update_references(ws: DiscordWebSocket) -> None:
            original(ws)
            if self.hooked:
                self.guard("gateway", self._adopt, ws)

        update_references.argus_exporter = True  # type: ignore[attr-defined]
        self._patches.set(state, "_update_references", update_references)
        self.hooked = True
        self.guard("gateway", self._find)

    def park(self) -> None:
        """Begin what needs the client's loop. Call it on that loop, after login."""
        for part in self._wanted():
            self.guard(part.noun, part.park)
        if not self.hooked:
            Fallback(self).start()
            return
        kind = "shard_" if self.is_sharded else ""
        self.on(f"{kind}disconnect", self._disconnected)
        self.on(f"{kind}connect", lambda *shard_id: self._begun("READY", *shard_id))
        self.on(f"{kind}resumed", lambda *shard_id: self._begun("RESUMED", *shard_id))
        self._find()

    async def close(self) -> None:
        """Give everything back. Websockets go on as if we had never been there."""
        self.hooked = False
        self.journal.settle()
        for part in reversed(self._wanted()):
            self.guard(part.noun, part.close)
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

        self.on_check(event, check)

    def on_check(self, event: str, check: Callable[..., bool]) -> None:
        """As :meth:`on`, for a check of one's own, which must not raise and never says yes."""
        waiting: Coroutine[Any, Any, Any] = self.client.wait_for(event, check=check)
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
            self.note_error(noun, error)

    # ------------------------------------------------------------------------------------- websockets

    def _find(self) -> None:
        """Adopt the websockets that were there before us; a shard whose own has ended is told of as well."""
        for ws in self.held_sockets():
            shard_id = ws.shard_id or 0
            if shard_id in self._sockets:
                continue  # what we were told of is newer
            if Socket(ws).is_over:
                self.lose(shard_id)
            else:
                self._adopt(ws, ready=ws.session_id is not None)

    def lose(self, shard_id: int) -> None:
        """Tell that a shard has lost its websocket before we came."""
        self.tell(lambda listener: listener.lost(shard_id))

    def _begun(self, event: str, shard_id: int | None = None) -> None:
        """A session began, perhaps on a websocket that was connecting when we came, which nobody told us of."""
        for ws in self.open_sockets():
            own = ws.shard_id or 0
            known = self._sockets.get(own)
            if shard_id in {None, own} and (known is None or known.ws is not ws):
                self._adopt(ws, ready=True)
                self._cell(own).value += 1
                self._rare(own, event)

    def _adopt(self, ws: DiscordWebSocket, *, ready: bool = False) -> None:
        socket = Socket(ws)
        before = self._sockets.get(socket.shard_id)
        if before is not None:
            self._close(before)
            before.patches.close()
        self._sockets[socket.shard_id] = socket
        socket.patches.set(ws, "_dispatch", self._counting(ws, socket.shard_id))
        self._watch(socket)
        resuming = ws.session_id is not None
        self.tell(lambda listener: listener.opened(socket.shard_id, resuming=resuming, ready=ready))

    def _watch(self, socket: Socket) -> None:
        for target, name, wrap in (
            (socket.ws.socket, "close", self._closing),
            (socket.ws, "identify", self._identifying),
            (socket.ws, "resume", self._resuming),
            (socket.ws, "request_chunks", self._requesting),
        ):
            # an aiohttp or discord.py that does not let it be replaced costs that number only
            with contextlib.suppress(AttributeError):
                socket.patches.set(target, name, wrap(socket, getattr(target, name)))

    def _closing(self, socket: Socket, original: Callable[..., Any]) -> Callable[..., Any]:
        async def close(*arguments: Any, **named: Any) -> Any:
            self.guard("gateway", self._close, socket, code=named.get("code", CLOSE_CODE))
            return await original(*arguments, **named)

        return close

    def _identifying(self, socket: Socket, original: Callable[[], Any]) -> Callable[[], Any]:
        async def identify() -> None:
            socket.keep_beats()
            began = time.perf_counter()
            await original()
            waited = time.perf_counter() - began
            self.tell(lambda listener: listener.identified(socket.shard_id, waited))

        return identify

    def _resuming(self, socket: Socket, original: Callable[[], Any]) -> Callable[[], Any]:
        async def resume() -> None:
            socket.keep_beats()
            await original()

        return resume

    def _requesting(self, socket: Socket, original: Callable[..., Any]) -> Callable[..., Any]:
        def request_chunks(*arguments: Any, **named: Any) -> Any:
            self.tell(lambda listener: listener.chunks_requested(socket.shard_id))
            return original(*arguments, **named)

        return request_chunks

    def _close(self, socket: Socket, code: int | None = None) -> None:
        """Tell of a close once: at its first sign, or when the shard has another websocket already."""
        if socket.closed:
            return
        socket.closed = True
        reason = socket.close_reason(code, closing=self.closing)
        self.tell(lambda listener: listener.closed(socket.shard_id, reason))

    def _disconnected(self, shard_id: int | None = None) -> None:
        """discord.py says so: the first sign of a close by Discord in versions before 2.7."""
        socket = self._sockets.get(next(iter(self.shard_ids())) if shard_id is None else shard_id)
        if socket is not None and socket.is_over:
            self._close(socket)

    def tell(self, tell: Callable[[GatewayListener], object]) -> None:
        """Tell every listener; what one of them raises the others do not notice."""
        for listener in self.listeners:
            self.guard("gateway", tell, listener)

    def _counting(self, ws: DiscordWebSocket, shard_id: int) -> Callable[..., Any]:
        call: Callable[..., Any] = ws._dispatch
        shard = self._cell(shard_id)

        def rare(event: object) -> None:
            self._rare(shard_id, event)

        if self._short_circuit and may_skip(self.client, call):
            return skipping(self.client, call, self.events, shard, rare)
        return counting(call, self.events, shard, rare)

    def _cell(self, shard_id: int) -> CounterCell:
        return CounterCell() if self.shard_cell is None else self.shard_cell(shard_id)

    def _rare(self, shard_id: int, event: object) -> None:
        self.tell(lambda listener: listener.counted(event))
        kind = _SESSIONS.get(event) if isinstance(event, str) else None
        if kind is not None:
            self.tell(lambda listener: listener.began(shard_id, kind))

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
        if not self.hooked:
            return {getattr(ws, "shard_id", None) or 0: heart_of(ws, is_open=True) for ws in self.open_sockets()}
        hearts: dict[int, Heart] = {}
        for shard_id, socket in self._sockets.items():
            if not socket.closed and socket.is_over:
                self.guard("gateway", self._close, socket)
            hearts[shard_id] = heart_of(socket.ws, is_open=not socket.closed)
        return hearts

    def open_sockets(self) -> list[DiscordWebSocket]:
        """The websockets that discord.py itself holds and that are open."""
        return [ws for ws in self.held_sockets() if ws.open]

    def held_sockets(self) -> list[DiscordWebSocket]:
        """The last websocket of each shard that was launched, open or not."""
        client: Any = self.client
        if self.is_sharded:
            return [info._parent.ws for info in client.shards.values()]
        return [] if client.ws is None else [client.ws]

    def reconnect_queue(self) -> int | None:
        """Shards that wait to be reconnected; None where there is no such queue."""
        queue: asyncio.Queue[object] | None = getattr(self.client, "_AutoShardedClient__queue", None)
        return None if queue is None else queue.qsize()

    @property
    def user(self) -> discord.ClientUser | None:
        """The bot itself; None before login."""
        return self.client.user

    async def session_start_limit(self) -> SessionStartLimit:
        """Ask ``/gateway/bot``, by the client's own HTTP and rate limits, in every version and kind of client.

        :raises discord.HTTPException: and what else the request may raise.
        """
        route = Route("GET", "/gateway/bot")
        answer: Any = await self.client.http.request(route)
        limit = answer["session_start_limit"]
        return SessionStartLimit(
            int(limit["total"]), int(limit["remaining"]), limit["reset_after"] / 1000, int(limit["max_concurrency"])
        )
