"""The gateway: one websocket per shard (Discord's docs, events/gateway and topics/opcodes-and-status-codes)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
import zlib
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from aiohttp import WSMsgType, web

from . import members
from .intents import KNOWN, MESSAGE_CONTENT
from .sessions import Event, Session, Sessions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable

    from .limits import Limits
    from .payloads import Json
    from .world import Guild, World

log = logging.getLogger(__name__)

DISPATCH, HEARTBEAT, IDENTIFY, PRESENCE, VOICE_STATE = 0, 1, 2, 3, 4
RESUME, RECONNECT, REQUEST_MEMBERS, INVALID_SESSION, HELLO, HEARTBEAT_ACK = 6, 7, 8, 9, 10, 11
SOUNDBOARD = 31

ENDING = frozenset({1000, 1001, 4004, 4007, 4009, 4010, 4011, 4012, 4013, 4014})
"""Close codes after which a session cannot be resumed."""
CLOSE_REASONS = {
    4000: "Unknown error.",
    4001: "Unknown opcode.",
    4002: "Error while decoding payload.",
    4003: "Not authenticated.",
    4004: "Authentication failed.",
    4005: "Already authenticated.",
    4007: "Invalid seq.",
    4008: "Rate limited.",
    4009: "Session timed out.",
    4010: "Invalid shard.",
    4011: "Sharding required.",
    4012: "Invalid API version.",
    4013: "Invalid intents.",
    4014: "Disallowed intents.",
}
_HANDLERS = {
    HEARTBEAT: "_on_heartbeat",
    IDENTIFY: "_on_identify",
    RESUME: "_on_resume",
    PRESENCE: "_on_presence",
    VOICE_STATE: "_on_voice_state",
    REQUEST_MEMBERS: "_on_members",
    SOUNDBOARD: "_on_soundboard",
}
_MAX_PAYLOAD = 4_096
_GUILDS_PER_SHARD = 2_500
_LONG_BEAT = 5.0
BEAT_GRACE = 10.0
"""Seconds beyond its interval that a heartbeat may take, so that a bot whose loop is blocked is not cut at once."""


class Closing(Exception):  # noqa: N818  it is a way out, not an error
    """Close this connection with `code`."""

    def __init__(self, code: int) -> None:
        super().__init__(CLOSE_REASONS.get(code, ""))
        self.code = code


class Control(NamedTuple):
    """A payload that is no dispatch."""

    op: int
    data: object

    def encode(self) -> str:
        """The whole payload as JSON."""
        return f'{{"t":null,"s":null,"op":{self.op},"d":{json.dumps(self.data)}}}'


@dataclass
class Budget:
    """How many sessions may still be started, over all shards (`session_start_limit`)."""

    total: int
    remaining: int
    max_concurrency: int
    reset_after: float = 86_400.0

    def as_json(self) -> Json:
        """As `/gateway/bot` answers it; times in milliseconds."""
        return {
            "total": self.total,
            "remaining": self.remaining,
            "reset_after": int(self.reset_after * 1000),
            "max_concurrency": self.max_concurrency,
        }


class Gateway:
    """All connections, and what they have in common."""

    def __init__(
        self, world: World, limits: Limits, *, token: str, heartbeat_interval: float, budget: Budget, disallowed: int
    ) -> None:
        self.world = world
        self.limits = limits
        self.token = token
        self.heartbeat_interval = heartbeat_interval
        self.budget = budget
        self.disallowed = disallowed
        self.url = ""
        self.advised_shards = 1
        self.sessions = Sessions(limits)
        self.connections: set[Connection] = set()
        self.written: Counter[tuple[int, str]] = Counter()
        self.replayed: Counter[tuple[int, str]] = Counter()
        self.closes: Counter[tuple[str, str]] = Counter()
        """Connections that have ended, by (close code, who began it); what op 7 and op 9 lead to is the server's."""
        self.outages: Counter[int] = Counter()
        """Those of them on which the client was told that its session began, by shard."""
        self.changed = asyncio.Event()
        self.silent = False
        """While set, events are lost instead of sent."""
        self.ack_delay = 0.0
        """Seconds that heartbeats wait for their ACK."""
        self.resumes_fail = False
        self.refusal: Callable[[web.Request], web.StreamResponse | None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._identified: dict[int, deque[float]] = {}
        self._members_asked: dict[int, float] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a websocket upgrade and stay until it ends."""
        refused = self.refusal(request) if self.refusal else None
        if refused is not None:
            return refused
        socket = web.WebSocketResponse(timeout=self.limits.closing / 2, compress=False, max_msg_size=0)
        await socket.prepare(request)
        connection = Connection(self, request, socket)
        self.connections.add(connection)
        try:
            await connection.run()
        finally:
            self.connections.discard(connection)
            self.notify()
        return socket

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that outlives the connection it began on; `close` ends it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Close every connection with 1001, and end what goes on in the background."""
        await asyncio.gather(*(one.close(1001) for one in list(self.connections)), return_exceptions=True)
        await _end(list(self._tasks))

    def notify(self) -> None:
        """Wake whoever waits for sessions to change."""
        self.changed.set()
        self.changed = asyncio.Event()

    def fan_out(
        self, name: str, body: str, guild_id: int | None = None, *, shard_id: int | None = None, slim: str | None = None
    ) -> int:
        """Send an event to every session that is due it; how many those were.

        Without `shard_id` the guild's shard gets it, and for no guild (direct messages) shard 0. `slim` is the body for
        sessions without the MESSAGE_CONTENT intent.
        """
        if self.silent:
            return 0
        due = self.sessions.owners(guild_id) if shard_id is None else self.sessions.of_shard(shard_id)
        dm = guild_id is None and shard_id is None
        took = [session for session in due if session.wants(name, dm=dm)]
        for session in took:
            session.emit(name, body if slim is None or session.intents & MESSAGE_CONTENT else slim)
        return len(took)

    async def drained(self) -> None:
        """Wait until every connection has written what it was given."""
        for connection in list(self.connections):
            await connection.drained()

    def reset_token(self) -> None:
        """Make the token worthless and end every session, as Discord does to a bot that identifies too often."""
        self.token = ""
        log.warning("the token is reset")
        for connection in list(self.connections):
            connection.abandon(4004)

    def let_identify(self, shard_id: int) -> bool:
        """Whether `max_concurrency` lets this shard start a session now."""
        window = self.limits.identify_window
        if not window:
            return True
        recent = self._identified.setdefault(shard_id % self.budget.max_concurrency, deque(maxlen=1))
        if recent and time.monotonic() - recent[0] < window:
            return False
        recent.append(time.monotonic())
        return True

    def members_wait(self, guild_id: int) -> float:
        """How many seconds a guild's whole member list may not be asked for yet; 0 counts as asking."""
        wait = self._members_asked.get(guild_id, -1e9) + self.limits.members_window - time.monotonic()
        if wait <= 0:
            self._members_asked[guild_id] = time.monotonic()
        return max(wait, 0.0)

    def guilds_of(self, session: Session) -> list[Guild]:
        """The guilds of a session's shard."""
        return [guild for guild in self.world.guilds.values() if session.owns(guild.id)]

    def acknowledge(self, session: Session, sequence: int) -> list[Event] | None:
        """What a resuming client misses. Events that it never got are taken out of the counts again.

        What it got although the connection ended before that was counted is put in.
        """
        if sequence < session.began:
            self.outages[session.shard_id] -= 1
            session.began = 0
        missed = session.missed(sequence)
        for event in session.missed(session.written) or ():
            if event.sequence <= sequence:
                self.written[session.shard_id, event.name] += 1
                session.sent[event.name] += 1
        for event in missed or ():
            if event.sequence <= session.written:
                self.written[session.shard_id, event.name] -= 1
                self.replayed[session.shard_id, event.name] += 1
                session.sent[event.name] -= 1
        session.written = sequence
        return missed


class Connection:
    """One websocket. What is put is written by one task, in order; a slow or stalled client delays nobody else."""

    def __init__(self, gateway: Gateway, request: web.Request, socket: web.WebSocketResponse) -> None:
        self.gateway = gateway
        self.socket = socket
        self.session: Session | None = None
        self.acks = True
        self.close_code: int | None = None
        self.closed_by: str | None = None
        self._request = request
        self._outbox: deque[Event | Control] = deque()
        self._gone = False
        self._sent_away = False
        self._held: deque[Event | Control] | None = None
        self._wake = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._deflate = zlib.compressobj(1) if request.query.get("compress") == "zlib-stream" else None
        self._beat_at = time.monotonic()
        self._window = (time.monotonic(), 0)
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def behind(self) -> int:
        """How many payloads are not written yet."""
        return len(self._outbox) + len(self._held or ())

    @property
    def stalled(self) -> bool:
        """Whether dispatches are held back."""
        return self._held is not None

    def stall(self) -> None:
        """Hold dispatches back from now on; control payloads still go out."""
        if self._held is None:
            self._held = deque()

    def unstall(self) -> None:
        """Send what was held back, and go on."""
        held, self._held = self._held, None
        for payload in held or ():
            self.put(payload)

    def put(self, payload: Event | Control) -> None:
        """Write a payload as soon as the client takes it."""
        if self._held is not None and isinstance(payload, Event):
            self._held.append(payload)
            return
        if self._gone:
            return
        self._outbox.append(payload)
        self._drained.clear()
        self._wake.set()

    async def drained(self) -> None:
        """Wait until everything put so far that is not held back is written, or the connection is gone."""
        await self._drained.wait()

    async def run(self) -> None:
        """Serve the client until either side closes."""
        tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._watch_beats())]
        try:
            self.put(Control(HELLO, {"heartbeat_interval": max(round(self.gateway.heartbeat_interval * 1000), 1)}))
            await self._read()
        except Closing as closing:
            await self.close(closing.code)
        finally:
            await _end([*tasks, *self._tasks])
            self._detach()

    async def close(self, code: int, reason: str = "") -> None:
        """Close with a code, after what has been put is written."""
        if self.closed_by is None:
            self.close_code, self.closed_by = code, "server"
        if self.session is not None and code in ENDING:
            self.gateway.sessions.end(self.session)
        await _within(0.5, self.drained())
        text = (reason or CLOSE_REASONS.get(code, "")).encode()
        await _within(self.gateway.limits.closing, self.socket.close(code=code, message=text))
        if not self.socket.closed:
            self.drop()

    def abandon(self, code: int, reason: str = "") -> None:
        """Close without waiting."""
        self._background(self.close(code, reason))

    def drop(self) -> None:
        """Cut the TCP connection; the client sees 1006."""
        if self.closed_by is None:
            self.close_code, self.closed_by = 1006, "server"
        if self._request.transport is not None:
            self._request.transport.abort()

    def _background(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _detach(self) -> None:
        self._leave()
        if self.closed_by is None:
            self.close_code, self.closed_by = self.socket.close_code or 1006, "client"
        session = self.session
        self.gateway.closes[str(self.close_code), "server" if self._sent_away else self.closed_by] += 1
        if session is not None:
            self.gateway.outages[session.shard_id] += 1
        log.info("shard %s: closed by the %s with %s", session and session.shard_id, self.closed_by, self.close_code)
        if session is None or session.connection is not self:
            return
        session.lost()
        if self.close_code in ENDING:
            self.gateway.sessions.end(session)

    async def _write(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._outbox:
                    await self._send(self._outbox.popleft())
                self._drained.set()
        except (ConnectionError, RuntimeError):
            self._leave()

    def _leave(self) -> None:
        """Nothing can be written any more; whoever waits for that need not."""
        self._gone = True
        self._outbox.clear()
        self._drained.set()

    async def _send(self, payload: Event | Control) -> None:
        text = payload.encode()
        if self._deflate is None:
            await self.socket.send_str(text)
        else:
            data = self._deflate.compress(text.encode()) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
            await self.socket.send_bytes(data)
        if isinstance(payload, Control):
            self._sent_away |= payload.op in (RECONNECT, INVALID_SESSION)
        elif self.session is not None and self.session.connection is self:
            self.session.written = payload.sequence
            self.session.sent[payload.name] += 1
            self.gateway.written[self.session.shard_id, payload.name] += 1

    async def _watch_beats(self) -> None:
        interval = self.gateway.heartbeat_interval
        patience = max(interval * 2, interval + BEAT_GRACE)
        while (left := self._beat_at + patience - time.monotonic()) > 0:
            await asyncio.sleep(left)
        self.abandon(4009)

    async def _read(self) -> None:
        self._check_version()
        async for message in self.socket:
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                continue
            payload = _decode(message.data)
            self._count(payload)
            if self.session is not None:
                self.session.received.append(payload)
            await self._handle(payload)

    def _check_version(self) -> None:
        if self._request.query.get("v", "10") not in ("9", "10"):
            raise Closing(4012)

    def _count(self, payload: Json) -> None:
        limits = self.gateway.limits
        # A test's heartbeats of some milliseconds would use the limit up; Discord's of 41 s count.
        if payload["op"] == HEARTBEAT and self.gateway.heartbeat_interval < _LONG_BEAT:
            return
        since, count = self._window
        fresh = time.monotonic() - since > limits.gateway_window
        self._window = (time.monotonic(), 1) if fresh else (since, count + 1)
        if self._window[1] > limits.gateway_sends:
            raise Closing(4008)

    async def _handle(self, payload: Json) -> None:
        if payload["op"] not in _HANDLERS:
            raise Closing(4001)
        if self.session is None and payload["op"] not in (HEARTBEAT, IDENTIFY, RESUME):
            raise Closing(4003)
        try:
            await getattr(self, _HANDLERS[payload["op"]])(payload.get("d"))
        except (KeyError, TypeError, ValueError):
            raise Closing(4002) from None

    async def _on_heartbeat(self, _: object) -> None:
        self._beat_at = time.monotonic()
        if self.acks and self.gateway.ack_delay:
            self._background(self._ack_later(self.gateway.ack_delay))
        elif self.acks:
            self.put(Control(HEARTBEAT_ACK, None))

    async def _ack_later(self, delay: float) -> None:
        await asyncio.sleep(delay)
        self.put(Control(HEARTBEAT_ACK, None))

    async def _on_identify(self, data: Json) -> None:
        if self.session is not None:
            raise Closing(4005)
        shard_id, shard_count = _checked(self.gateway, data)
        if not self.gateway.let_identify(shard_id):
            log.info("shard %s identifies too soon", shard_id)
            self.put(Control(INVALID_SESSION, data=False))
            return
        self.gateway.budget.remaining -= 1
        session = self.gateway.sessions.open(shard_id, shard_count, int(data["intents"]))
        log.info("shard %s of %s identifies; %s starts left", shard_id, shard_count, self.gateway.budget.remaining)
        session.identify = data
        session.received.append({"op": IDENTIFY, "d": data})
        session.presence = data.get("presence") or {}
        self._attach(session)
        guilds = self.gateway.guilds_of(session)
        session.began = session.emit("READY", json.dumps(_ready(self.gateway, session, guilds))).sequence
        self.gateway.background(_greet(self.gateway, session, guilds))

    async def _on_resume(self, data: Json) -> None:
        if self.session is not None:
            raise Closing(4005)
        if data["token"] != self.gateway.token:
            raise Closing(4004)
        session = self.gateway.sessions.resumable(data["session_id"])
        if session is None or self.gateway.resumes_fail:
            log.info("a resume is refused: its session is over")
            past = session or self.gateway.sessions.past(data["session_id"])
            if past is not None and data["seq"] is not None:
                self.gateway.acknowledge(past, data["seq"])
            self.put(Control(INVALID_SESSION, data=False))
            return
        if data["seq"] is not None and data["seq"] > session.sequence:
            self.gateway.sessions.end(session)
            raise Closing(4007)
        self._resume(session, data["seq"] or 0)

    def _resume(self, session: Session, sequence: int) -> None:
        missed = self.gateway.acknowledge(session, sequence)
        if missed is None:
            self.gateway.sessions.end(session)
            self.put(Control(INVALID_SESSION, data=False))
            return
        self.gateway.sessions.resumes[session.shard_id] += 1
        log.info("shard %s resumes and gets %s events again", session.shard_id, len(missed))
        session.resumes = self.gateway.sessions.resumes[session.shard_id]
        self._attach(session)
        for event in missed:
            self.put(event)
        session.began = session.emit("RESUMED", json.dumps({"_trace": ["simulator"]})).sequence
        self.gateway.notify()

    def _attach(self, session: Session) -> None:
        if session.connection is not None:
            session.connection.abandon(4000, "the session is resumed elsewhere")
        self.session = session
        session.connection = self

    async def _on_presence(self, data: Json) -> None:
        if self.session is not None:
            self.session.presence = {"status": data["status"], "activities": data["activities"]}

    async def _on_voice_state(self, data: Json) -> None:
        if self.session is not None:
            members.join_voice(self.gateway, self.session, data)

    async def _on_members(self, data: Json) -> None:
        if self.session is not None:
            await members.answer(self.gateway, self.session, data)

    async def _on_soundboard(self, data: Json) -> None:
        for guild_id in data["guild_ids"]:
            if self.session is not None:
                body = json.dumps({"guild_id": guild_id, "soundboard_sounds": []})
                self.session.emit("SOUNDBOARD_SOUNDS", body)


def _decode(data: str | bytes) -> Json:
    try:
        payload: object = json.loads(data) if len(data) <= _MAX_PAYLOAD else None
    except ValueError:
        payload = None
    if not isinstance(payload, dict) or not isinstance(cast("Json", payload).get("op"), int):
        raise Closing(4002)
    return cast("Json", payload)


def _checked(gateway: Gateway, data: Json) -> tuple[int, int]:
    """The shard that an IDENTIFY is for, or the close code that it earns."""
    if data["token"] != gateway.token:
        raise Closing(4004)
    if gateway.budget.remaining <= 0:
        gateway.reset_token()
        raise Closing(4004)
    shard_id, shard_count = data.get("shard") or (0, 1)
    if not 0 <= shard_id < shard_count:
        raise Closing(4010)
    if len(gateway.world.guilds) / shard_count > _GUILDS_PER_SHARD:
        raise Closing(4011)
    if data["intents"] & ~KNOWN:
        raise Closing(4013)
    if data["intents"] & gateway.disallowed:
        raise Closing(4014)
    return int(shard_id), int(shard_count)


async def _greet(gateway: Gateway, session: Session, guilds: list[Guild]) -> None:
    """Send the guilds after READY; the client may lose its connection meanwhile, and resume."""
    large = min(int(session.identify.get("large_threshold", 50)), 250)
    for guild in guilds:
        if not guild.unavailable:
            session.emit("GUILD_CREATE", json.dumps(members.guild_create(guild, session.intents, large)))
        if session.connection is not None and session.connection.behind > 50:
            await session.connection.drained()
    session.ready = True
    gateway.notify()


def _ready(gateway: Gateway, session: Session, guilds: Iterable[Guild]) -> Json:
    return {
        "v": 10,
        "user": gateway.world.bot | {"verified": True, "mfa_enabled": True, "email": None},
        "guilds": [{"id": str(guild.id), "unavailable": True} for guild in guilds],
        "session_id": session.session_id,
        "resume_gateway_url": f"{gateway.url}/resume",
        "shard": [session.shard_id, session.shard_count],
        "application": {"id": str(gateway.world.application_id), "flags": 565_248},
        "private_channels": [],
        "presences": [],
        "relationships": [],
        "user_settings": {},
        "_trace": ["simulator"],
    }


async def _within(seconds: float, work: Awaitable[object]) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(work, seconds)


async def _end(tasks: list[asyncio.Task[Any]]) -> None:
    current = asyncio.current_task()
    mine = [task for task in tasks if task is not current]
    for task in mine:
        task.cancel()
    await asyncio.gather(*mine, return_exceptions=True)
