"""What can go wrong, by name. An incident is one function: what comes before its `yield` breaks, what follows heals.

To add one, write an async generator function with `@incident()`. Its name is the incident's name, its docstring the
help, its parameters (int, float, str, bool; with defaults) are what users may set. Nothing else has to change: the
command line, the control endpoint and the README's table read the list.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

from .gateway import INVALID_SESSION, RECONNECT, Connection, Control
from .intents import PRIVILEGED
from .rest import UNAUTHORIZED, ApiError, Route, cloudflare, error, failure, too_many

if TYPE_CHECKING:
    from .simulator import Simulator

log = logging.getLogger(__name__)
_TYPES: dict[str, type[int | float | str]] = {"int": int, "float": float, "str": str, "bool": bool}
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@dataclass(frozen=True)
class Parameter:
    """One thing that may be set about an incident."""

    name: str
    kind: type[int | float | str]
    default: int | float | str

    def read(self, value: object) -> int | float | str:
        """A value as JSON or text gives it. Raises ValueError."""
        try:
            return _truth(value) if self.kind is bool else self.kind(str(value))
        except ValueError:
            raise ValueError(f"{self.name} must be of type {self.kind.__name__}, not {value!r}") from None


@dataclass(frozen=True)
class Incident:
    """One incident. `lasting`: it goes on until it is stopped; else it has happened once it is started."""

    name: str
    help: str
    parameters: tuple[Parameter, ...]
    lasting: bool
    run: Callable[..., AsyncGenerator[None, None]]

    def read(self, given: dict[str, Any]) -> dict[str, Any]:
        """Every parameter's value. Raises ValueError for one that does not exist or has the wrong type."""
        known = {parameter.name: parameter for parameter in self.parameters}
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise ValueError(f"{self.name} has no parameter {', '.join(unknown)}; it has {', '.join(known) or 'none'}")
        return {name: one.read(given[name]) if name in given else one.default for name, one in known.items()}


INCIDENTS: dict[str, Incident] = {}
Script = Callable[..., AsyncGenerator[None, None]]


def incident(*, lasting: bool = True) -> Callable[[Script], Script]:
    """Declare an incident."""

    def declare(run: Script) -> Script:
        wanted = list(inspect.signature(run).parameters.values())[1:]
        parameters = tuple(Parameter(one.name, _TYPES[str(one.annotation)], one.default) for one in wanted)
        INCIDENTS[run.__name__] = Incident(run.__name__, inspect.getdoc(run) or "", parameters, lasting, run)
        return run

    return declare


class Running:
    """An incident that goes on. `stop` heals it; a second stop does nothing."""

    def __init__(self, incident: Incident, parameters: dict[str, Any], seconds: float | None) -> None:
        self.incident = incident
        self.parameters = parameters
        self.seconds = seconds
        self.over = asyncio.Event()
        self._exits = AsyncExitStack()
        self._timer: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """The incident's name."""
        return self.incident.name

    async def start(self, sim: Simulator) -> None:
        """Let it happen."""
        scenario = asynccontextmanager(self.incident.run)
        await self._exits.enter_async_context(scenario(sim, **self.parameters))
        log.warning("incident %s has begun %s", self.name, self.parameters or "")
        if not self.incident.lasting:
            await self.stop()
        elif self.seconds:
            self._timer = asyncio.create_task(self._stop_later(self.seconds))

    async def stop(self) -> None:
        """Heal it."""
        if self.over.is_set():
            return
        self.over.set()
        if self._timer is not None and self._timer is not asyncio.current_task():
            self._timer.cancel()
        await self._exits.aclose()
        log.warning("incident %s is over", self.name)

    async def wait(self) -> None:
        """Wait until it is over."""
        await self.over.wait()

    async def _stop_later(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.stop()


class Incidents:
    """The incidents that go on at the moment."""

    def __init__(self, sim: Simulator) -> None:
        self._sim = sim
        self._started: list[Running] = []

    @property
    def running(self) -> list[Running]:
        """Those that are not over."""
        self._started = [one for one in self._started if not one.over.is_set()]
        return self._started

    async def start(self, name: str, *, seconds: float | None = None, **given: object) -> Running:
        """Start one; for `seconds`, or until it is stopped.

        Raises LookupError for an unknown name or a shard that is not there, ValueError for a bad parameter.
        """
        if name not in INCIDENTS:
            raise LookupError(f"no incident {name!r}; there are {', '.join(sorted(INCIDENTS))}")
        if seconds is not None and seconds < 0:
            raise ValueError(f"seconds must not be negative, not {seconds}")
        started = Running(INCIDENTS[name], INCIDENTS[name].read(given), seconds)
        await started.start(self._sim)
        self._started.append(started)
        return started

    async def stop(self, name: str | None = None) -> int:
        """Stop those of a name, or all; how many those were. The newest is healed first."""
        chosen = [one for one in self.running if name in (None, one.name)]
        for one in reversed(chosen):
            await one.stop()
        return len(chosen)


def _truth(value: object) -> bool:
    text = str(value).lower()
    if text not in (*_TRUE, *_FALSE):
        raise ValueError(text)
    return text in _TRUE


def _connections(sim: Simulator, shard: int) -> list[Connection]:
    """The connections of a shard, or of all for -1. Raises LookupError if there is none."""
    live = [session.connection for session in sim.sessions.values() if shard in (-1, session.shard_id)]
    found = [connection for connection in live if connection is not None]
    if not found:
        raise LookupError(f"shard {shard} is not connected; connected are {list(sim.sessions)}")
    return found


@asynccontextmanager
async def _again_and_again(every: float, work: Callable[[], Awaitable[object]]) -> AsyncGenerator[None, None]:
    async def repeat() -> None:
        while True:
            await work()
            await asyncio.sleep(every)

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def _answering(
    sim: Simulator, answer: Callable[[Route, web.Request], web.Response | None]
) -> AsyncGenerator[None, None]:
    sim.rest.faults.answers.append(answer)
    try:
        yield
    finally:
        sim.rest.faults.answers.remove(answer)


@incident()
async def zombie_no_ack(sim: Simulator, shard: int = 0) -> AsyncGenerator[None, None]:
    """A shard's connection (-1: all) goes silent: no ACKs and no events, but it stays open. A new one is well."""
    broken = _connections(sim, shard)
    for connection in broken:
        connection.acks = False
        connection.stall()
    yield
    for connection in broken:
        connection.acks = True
        connection.unstall()


@incident()
async def zombie_ack_only(sim: Simulator, shard: int = 0) -> AsyncGenerator[None, None]:
    """A shard's connection (-1: all) ACKs heartbeats but gets no events: discord.py takes it for healthy."""
    broken = _connections(sim, shard)
    for connection in broken:
        connection.stall()
    yield
    for connection in broken:
        connection.unstall()


@incident()
async def slow_acks(sim: Simulator, delay: float = 2.0) -> AsyncGenerator[None, None]:
    """Heartbeats are acknowledged `delay` seconds late: the bot's latency rises."""
    sim.gateway.ack_delay += delay
    yield
    sim.gateway.ack_delay -= delay


@incident()
async def silence(sim: Simulator) -> AsyncGenerator[None, None]:
    """Connections are well, but no event is sent, and none is sent later."""
    sim.gateway.silent = True
    yield
    sim.gateway.silent = False


@incident(lasting=False)
async def close(sim: Simulator, shard: int = 0, code: int = 4000) -> AsyncGenerator[None, None]:
    """A shard's connection (-1: all) is closed with a code, for instance 4000 or 4014."""
    await asyncio.gather(*(connection.close(code) for connection in _connections(sim, shard)))
    yield


@incident(lasting=False)
async def drop(sim: Simulator, shard: int = 0) -> AsyncGenerator[None, None]:
    """A shard's TCP connection (-1: all) is reset without a close frame; the bot sees 1006."""
    for connection in _connections(sim, shard):
        connection.drop()
    yield


@incident(lasting=False)
async def reconnect(sim: Simulator, shard: int = 0) -> AsyncGenerator[None, None]:
    """A shard (-1: all) is asked to reconnect and resume (op 7)."""
    for connection in _connections(sim, shard):
        connection.put(Control(RECONNECT, None))
    yield


@incident()
async def reconnect_storm(sim: Simulator, every: float = 5.0) -> AsyncGenerator[None, None]:
    """Every `every` seconds all shards are asked to reconnect (op 7)."""

    async def all_at_once() -> None:
        for session in sim.sessions.values():
            if session.connection is not None:
                session.connection.put(Control(RECONNECT, None))

    async with _again_and_again(every, all_at_once):
        yield


@incident(lasting=False)
async def invalid_session(sim: Simulator, shard: int = 0, resumable: bool = False) -> AsyncGenerator[None, None]:  # noqa: FBT001, FBT002
    """A shard (-1: all) is told that its session is invalid (op 9); unless `resumable` it has to identify anew."""
    for connection in _connections(sim, shard):
        if not resumable and connection.session is not None:
            sim.gateway.sessions.end(connection.session)
        connection.put(Control(INVALID_SESSION, resumable))
    yield


@incident()
async def resumes_fail(sim: Simulator) -> AsyncGenerator[None, None]:
    """Every RESUME is answered with INVALID_SESSION, so that each reconnect costs an IDENTIFY."""
    sim.gateway.resumes_fail = True
    yield
    sim.gateway.resumes_fail = False


@incident()
async def gateway_refuses(sim: Simulator, status: int = 503) -> AsyncGenerator[None, None]:
    """New gateway connections are refused with an HTTP status; with 0 the connection is cut without an answer."""

    def refuse(request: web.Request) -> web.StreamResponse | None:
        if status == 0 and request.transport is not None:
            request.transport.abort()
        return web.Response(status=status or 503)

    previous, sim.gateway.refusal = sim.gateway.refusal, refuse
    yield
    sim.gateway.refusal = previous


@incident()
async def guild_outage(sim: Simulator, guild: int = 0, count: int = 1) -> AsyncGenerator[None, None]:
    """`count` guilds from index `guild` on become unavailable; they come back when it is over."""
    chosen = [one for one in sim.world.guilds.values() if guild <= one.index < guild + count]
    if not chosen:
        raise LookupError(f"no guild {guild}: there are {len(sim.world.guilds)}")
    for one in chosen:
        await sim.event("GUILD_DELETE", guild=one.id, unavailable=True)
    yield
    for one in chosen:
        await sim.event("GUILD_CREATE", guild=one.id)


@incident()
async def identify_budget(
    sim: Simulator, remaining: int = 0, reset_after: float = 86_400.0
) -> AsyncGenerator[None, None]:
    """So many session starts are left, for so long; one IDENTIFY more resets the token and ends all sessions (4004)."""
    budget, token = sim.gateway.budget, sim.gateway.token
    before = dataclasses.replace(budget)
    budget.remaining, budget.reset_after = remaining, reset_after
    yield
    budget.remaining, budget.reset_after, sim.gateway.token = before.remaining, before.reset_after, token


@incident()
async def token_reset(sim: Simulator) -> AsyncGenerator[None, None]:
    """The token is worth nothing: every shard is closed with 4004, REST answers 401."""
    token = sim.gateway.token
    sim.gateway.reset_token()
    yield
    sim.gateway.token = token


@incident()
async def disallowed_intents(sim: Simulator, intent: str = "message_content") -> AsyncGenerator[None, None]:
    """IDENTIFY with a privileged intent (members, presences, message_content) is closed with 4014."""
    if intent not in PRIVILEGED:
        raise ValueError(f"intent must be one of {', '.join(PRIVILEGED)}, not {intent!r}")
    before = sim.gateway.disallowed
    sim.gateway.disallowed |= PRIVILEGED[intent]
    yield
    sim.gateway.disallowed = before


@incident(lasting=False)
async def rate_limited_dispatch(sim: Simulator, guild: int = 0) -> AsyncGenerator[None, None]:
    """The guild's shard gets a RATE_LIMITED event, as for asking for members too often."""
    await sim.event("RATE_LIMITED", guild=guild)
    yield


@incident()
async def late_interactions(sim: Simulator, late: float = 4.0) -> AsyncGenerator[None, None]:
    """Interactions arrive `late` seconds after they were made: past 3 s the bot's answer gets 10062."""
    sim.stage.interactions.late += late
    yield
    sim.stage.interactions.late -= late


@incident()
async def clock_skew(sim: Simulator, skew: float = 30.0) -> AsyncGenerator[None, None]:
    """Discord's clock is `skew` seconds ahead of the bot's: ids, timestamps and Date headers say so."""
    sim.clock.skew += skew
    yield
    sim.clock.skew -= skew


@incident()
async def traffic_surge(sim: Simulator, rate: float = 500.0) -> AsyncGenerator[None, None]:
    """`rate` more events per second."""
    async with sim.traffic(rate, seed=2):
        yield


@incident()
async def slow_rest(sim: Simulator, delay: float = 2.0) -> AsyncGenerator[None, None]:
    """REST answers `delay` seconds late."""
    sim.rest.faults.delay += delay
    yield
    sim.rest.faults.delay -= delay


@incident()
async def rest_5xx(sim: Simulator, status: int = 502, share: float = 1.0) -> AsyncGenerator[None, None]:
    """REST answers a share (0 to 1) of all requests with a server error; discord.py tries up to five times."""

    def fail(_: Route, __: web.Request) -> web.Response | None:
        if sim.stage.rng.random() >= share:
            return None
        return failure(status)

    async with _answering(sim, fail):
        yield


@incident()
async def global_429(sim: Simulator, retry_after: float = 2.0) -> AsyncGenerator[None, None]:
    """Every REST request outside interactions hits the global limit, to be tried again after `retry_after` seconds."""

    def refuse(route: Route, _: web.Request) -> web.Response | None:
        return None if route.exempt else too_many(retry_after, scope="global")

    async with _answering(sim, refuse):
        yield


@incident()
async def user_429(sim: Simulator, retry_after: float = 1.0) -> AsyncGenerator[None, None]:
    """Every REST request outside interactions hits its own bucket's limit."""

    def refuse(route: Route, _: web.Request) -> web.Response | None:
        return None if route.exempt else too_many(retry_after, scope="user")

    async with _answering(sim, refuse):
        yield


@incident()
async def shared_429(sim: Simulator, retry_after: float = 1.0) -> AsyncGenerator[None, None]:
    """Every request about a channel hits a limit shared with others: no invalid request, not the bot's fault."""

    def refuse(route: Route, _: web.Request) -> web.Response | None:
        return too_many(retry_after, scope="shared") if route.path.startswith("/channels") else None

    async with _answering(sim, refuse):
        yield


@incident()
async def cloudflare_ban(sim: Simulator) -> AsyncGenerator[None, None]:
    """Cloudflare bans the address: 429 with an HTML page and no `Via`, for every REST request."""

    def refuse(_: Route, __: web.Request) -> web.Response | None:
        return cloudflare()

    async with _answering(sim, refuse):
        yield
    sim.rest.limits.banned_until = 0.0


@incident()
async def invalid_requests(sim: Simulator, status: int = 403) -> AsyncGenerator[None, None]:
    """Requests outside interactions get 401, 403 (50013 Missing Permissions) or 404: 10,000 in ten minutes ban."""
    answers = {
        401: UNAUTHORIZED,
        403: ApiError(403, 50013, "Missing Permissions"),
        404: ApiError(404, 10003, "Unknown Channel"),
    }
    if status not in answers:
        raise ValueError(f"status must be one of {', '.join(map(str, answers))}, not {status}")

    def refuse(route: Route, _: web.Request) -> web.Response | None:
        return None if route.exempt else error(answers[status])

    async with _answering(sim, refuse):
        yield
