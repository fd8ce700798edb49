"""The simulator as one object: what tests, demos and the command line use."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter, deque
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Self

from aiohttp import web

from . import routes
from .cdn import Cdn
from .control import ControlEndpoint
from .events import Stage, build
from .gateway import INVALID_SESSION, RECONNECT, Budget, Connection, Control, Gateway
from .incidents import Incidents, Running
from .intents import PRIVILEGED, without_content
from .interactions import AUTOCOMPLETE, COMMAND, COMPONENT, MODAL, Interaction, Interactions, Place
from .limits import QUICK, Limits
from .messages import Messages
from .rest import ROUTES, Request, Rest
from .snowflakes import Clock
from .traffic import MIX, Traffic
from .world import World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
    from types import TracebackType

    from .payloads import Json
    from .sessions import Session

__all__ = ["Simulator", "routes"]


class Simulator:
    """A local Discord on one loopback port. `start` and `close`, or `async with`.

    `guilds`, `members` (people per guild, the bot comes on top), `channels` (text channels per guild; a category and a
    voice channel come on top) and `seed` say what exists. `shards` is what `/gateway/bot` advises; a client may use any
    number. `heartbeat_interval` is in seconds. `disallowed_intents` names privileged intents that IDENTIFY is refused
    for: members, presences, message_content. `limits` are the numbers to enforce: `QUICK` (default) or `DISCORD`.
    """

    def __init__(
        self,
        *,
        guilds: int = 8,
        members: int = 20,
        channels: int = 4,
        shards: int = 1,
        seed: int = 1,
        host: str = "127.0.0.1",
        port: int = 0,
        heartbeat_interval: float = 41.25,
        max_concurrency: int = 1,
        session_start_limit: int = 1_000,
        token: str = "simulator-token",  # noqa: S107  it opens nothing but this simulator
        limits: Limits = QUICK,
        disallowed_intents: Iterable[str] = (),
    ) -> None:
        self.host = host
        self.port = port
        self.token = token
        self.clock = Clock()
        self.world = World(guilds=guilds, members=members, channels=channels, seed=seed, clock=self.clock)
        self.stage = Stage(self.world, Messages(self.world), Interactions(self.world), random.Random(seed))
        self.gateway = Gateway(
            self.world,
            limits,
            token=token,
            heartbeat_interval=heartbeat_interval,
            budget=Budget(session_start_limit, session_start_limit, max_concurrency),
            disallowed=sum(PRIVILEGED[name] for name in disallowed_intents),
        )
        self.gateway.advised_shards = shards
        self.rest = Rest(self.stage, self.gateway)
        self.incidents = Incidents(self)
        self._traffic: Traffic | None = None
        self._started_at = time.monotonic()
        self._exits = AsyncExitStack()

    async def start(self) -> None:
        """Listen. Raises OSError if the port is taken."""
        app = web.Application(client_max_size=32 * 1024 * 1024)
        self.rest.add_to(app)
        Cdn(self.rest).add_to(app)
        ControlEndpoint(self).add_to(app)
        app.router.add_get("/gateway{tail:.*}", self.gateway.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        self._exits.push_async_callback(runner.cleanup)
        try:
            await self._listen(runner)
        except OSError:
            await self._exits.aclose()
            raise
        self._exits.push_async_callback(self._leave)

    async def _listen(self, runner: web.AppRunner) -> None:
        await web.TCPSite(runner, self.host, self.port).start()
        self.port = int(runner.addresses[0][1])
        self.rest.url = self.url
        self.gateway.url = f"ws://{self.host}:{self.port}/gateway"

    async def close(self) -> None:
        """Stop traffic, close every connection, and stop listening."""
        await self._exits.aclose()

    async def _leave(self) -> None:
        await self.incidents.stop()
        await self.stop_traffic()
        await self.gateway.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{self.host}:{self.port}"

    @property
    def sessions(self) -> dict[int, Session]:
        """The live sessions, by shard id."""
        return {shard: session for shard, session in sorted(self.gateway.sessions.by_shard.items()) if session.live}

    @property
    def dispatched(self) -> Counter[tuple[int, str]]:
        """What was written to the websockets: how often, by (shard id, event).

        At a RESUME, granted or refused, what the client says it did not get is taken out again, so that these are the
        counts of a client that has kept up.
        """
        return +self.gateway.written

    @property
    def requests(self) -> deque[Request]:
        """The REST requests of late, oldest first."""
        return self.rest.requests

    def answer_next(self, route: str, *answers: web.Response) -> None:
        """Answer the next requests of a route so, one each: `sim.answer_next("GET /users/{user_id}", failure(502))`.

        `rest.py` has `too_many`, `cloudflare`, `failure`, `error`, and `Cut` for no answer at all. Raises LookupError
        for a route that is none.
        """
        if route not in {one.name for one in ROUTES}:
            raise LookupError(f"no route {route!r}")
        self.rest.faults.planned.setdefault(route, deque()).extend(answers)

    @property
    def guild_ids(self) -> list[int]:
        """The guilds' ids, by index."""
        return list(self.world.guilds)

    async def wait_for(self, condition: Callable[[], bool], timeout: float = 10.0) -> None:  # noqa: ASYNC109  as asyncio.wait_for names it
        """Wait until a condition holds. Raises TimeoutError after `timeout` seconds."""
        async with asyncio.timeout(timeout):
            while not condition():
                await asyncio.sleep(0.002)

    async def wait_for_shards(self, count: int = 1, timeout: float = 10.0) -> None:  # noqa: ASYNC109  as asyncio.wait_for names it
        """Wait until `count` shards have a live session and everything so far is written to them."""
        await self.wait_for(lambda: sum(session.ready for session in self.sessions.values()) >= count, timeout)
        await self.flush()

    async def flush(self) -> None:
        """Wait until everything that was sent is written."""
        await self.gateway.drained()

    async def dispatch(self, event: str, data: Json, *, shard_id: int | None = None, guild: int | None = None) -> int:
        """Send a raw event to a shard, or to the shard of a guild or of `data`'s guild; how many sessions took it."""
        guild_id = self.world.guild(guild).id if guild is not None else int(data.get("guild_id") or 0) or None
        slim = self._slim(event, data) if guild_id else None
        took = self.gateway.fan_out(event, json.dumps(data), guild_id, shard_id=shard_id, slim=slim)
        await self.flush()
        return took

    async def event(
        self, name: str, /, *, guild: int | None = 0, channel: int = 0, member: int = 0, **fields: object
    ) -> Json:
        """Let an event happen at a place (indexes or ids; `guild=None` is direct messages), and return its payload."""
        place = self.stage.place(guild, channel, member)
        payload = build(self.stage, name, place, dict(fields))
        slim = self._slim(name, payload) if place.guild else None
        self.gateway.fan_out(name, json.dumps(payload), place.guild_id, slim=slim)
        await self.flush()
        return payload

    def _slim(self, event: str, data: Json) -> str | None:
        """Encode a guild message for sessions without the MESSAGE_CONTENT intent, unless it concerns the bot."""
        concerned = [data.get("author"), *data.get("mentions", [])]
        if not event.startswith("MESSAGE_") or any(user and user["id"] == self.world.bot["id"] for user in concerned):
            return None
        return json.dumps(without_content(data))

    async def join_guild(self) -> int:
        """The bot joins a new guild; its id."""
        guild = self.world.add_guild()
        await self.event("GUILD_CREATE", guild=guild.id)
        return guild.id

    async def message(
        self, content: str = "hello", *, guild: int | None = 0, channel: int = 0, member: int = 0, **fields: object
    ) -> Json:
        """Someone writes a message."""
        return await self.event(
            "MESSAGE_CREATE", guild=guild, channel=channel, member=member, content=content, **fields
        )

    async def slash(
        self,
        path: str,
        options: Mapping[str, object] | None = None,
        *,
        guild: int | None = 0,
        channel: int = 0,
        member: int = 0,
    ) -> Interaction:
        """Someone uses a slash command; `path` is "name", "group sub" or "group subgroup sub".

        Option types come from the synced command, else from the Python type; users, channels, roles, mentionables and
        attachments are given by their ids.
        """
        place = self.stage.place(guild, channel, member)
        return await self._interact(COMMAND, self.stage.interactions.slash(path, options or {}, place), place)

    async def autocomplete(
        self,
        path: str,
        focused: str,
        options: Mapping[str, object],
        *,
        guild: int | None = 0,
        channel: int = 0,
        member: int = 0,
    ) -> Interaction:
        """Someone types into the option `focused` of a slash command."""
        place = self.stage.place(guild, channel, member)
        data = self.stage.interactions.slash(path, options, place, focused)
        return await self._interact(AUTOCOMPLETE, data, place)

    async def user_menu(
        self, name: str, target: int = 1, *, guild: int = 0, channel: int = 0, member: int = 0
    ) -> Interaction:
        """Someone uses a user menu on member `target` (index or id)."""
        place = self.stage.place(guild, channel, member)
        data = self.stage.interactions.menu(name, place, 2, self.world.guild(guild).member(target)["user"])
        return await self._interact(COMMAND, data, place)

    async def message_menu(
        self, name: str, message: Json | int, *, guild: int | None = 0, channel: int = 0, member: int = 0
    ) -> Interaction:
        """Someone uses a message menu on a message (its payload or id)."""
        place = self.stage.place(guild, channel, member)
        return await self._interact(
            COMMAND, self.stage.interactions.menu(name, place, 3, self._message(message)), place
        )

    async def component(
        self,
        message: Json | int,
        custom_id: str | None = None,
        values: Iterable[object] = (),
        *,
        guild: int | None = 0,
        channel: int = 0,
        member: int = 0,
    ) -> Interaction:
        """Someone clicks a button, or chooses `values` in a select, of a message (its payload or id).

        Without `custom_id` the message's first component is used.
        """
        place = self.stage.place(guild, channel, member)
        shown = self._message(message)
        data = self.stage.interactions.component(shown, custom_id, list(values), place)
        return await self._interact(COMPONENT, data, place, shown)

    async def modal(
        self,
        custom_id: str,
        fields: Mapping[str, object],
        *,
        guild: int | None = 0,
        channel: int = 0,
        member: int = 0,
    ) -> Interaction:
        """Someone submits the modal that the bot showed; `fields` are values by the inputs' custom ids."""
        place = self.stage.place(guild, channel, member)
        return await self._interact(MODAL, self.stage.interactions.modal(custom_id, fields, place), place)

    async def _interact(self, kind: int, data: Json, place: Place, message: Json | None = None) -> Interaction:
        made = self.stage.interactions.make(kind, data, place, message)
        self.gateway.fan_out("INTERACTION_CREATE", json.dumps(made.payload), place.guild_id)
        await self.flush()
        return made

    def _message(self, message: Json | int) -> Json:
        found = self.stage.messages.get(message) if isinstance(message, int) else message
        if found is None:
            raise LookupError(f"no message {message}")
        return found

    async def close_shard(self, shard_id: int, code: int = 4000) -> None:
        """Close a shard's connection with a close code."""
        await self._connection(shard_id).close(code)

    async def drop_shard(self, shard_id: int) -> None:
        """Cut a shard's TCP connection without a close frame."""
        connection = self._connection(shard_id)
        connection.drop()
        await self.wait_for(lambda: connection not in self.gateway.connections)

    async def reconnect(self, shard_id: int) -> None:
        """Ask a shard to reconnect and resume (op 7)."""
        await self._control(shard_id, Control(RECONNECT, None))

    async def invalidate(self, shard_id: int, *, resumable: bool = False) -> None:
        """Tell a shard that its session is invalid (op 9); unless `resumable` it is over."""
        connection = self._connection(shard_id)
        if not resumable and connection.session is not None:
            self.gateway.sessions.end(connection.session)
        connection.put(Control(INVALID_SESSION, resumable))
        await connection.drained()

    async def beat(self, shard_id: int) -> None:
        """Ask a shard for a heartbeat at once (op 1)."""
        await self._control(shard_id, Control(1, None))

    async def _control(self, shard_id: int, control: Control) -> None:
        connection = self._connection(shard_id)
        connection.put(control)
        await connection.drained()

    def _connection(self, shard_id: int) -> Connection:
        session = self.gateway.sessions.by_shard.get(shard_id)
        if session is None or session.connection is None:
            raise LookupError(f"shard {shard_id} is not connected; connected are {list(self.sessions)}")
        return session.connection

    async def incident(self, name: str, *, seconds: float | None = None, **parameters: object) -> Running:
        """Start an incident, for `seconds` or until its `stop` is called; see `incidents.py` for what there is.

        Raises LookupError for an unknown incident, shard or guild, ValueError for a bad parameter.
        """
        return await self.incidents.start(name, seconds=seconds, **parameters)

    @asynccontextmanager
    async def during(
        self, name: str, *, seconds: float | None = None, **parameters: object
    ) -> AsyncGenerator[Running, None]:
        """Let an incident last for the length of a block."""
        running = await self.incidents.start(name, seconds=seconds, **parameters)
        try:
            yield running
        finally:
            await running.stop()

    def status(self) -> Json:
        """What goes on, as JSON: for the control endpoint."""
        by_event: Counter[str] = Counter()
        for (_, event), count in self.dispatched.items():
            by_event[event] += count
        traffic = self._traffic
        return {
            "url": self.url,
            "uptime": round(time.monotonic() - self._started_at, 3),
            "world": dict(self.world.settings()),
            "sessions": [_described(session) for session in self.sessions.values()],
            "session_start_limit": self.gateway.budget.as_json(),
            "dispatched": dict(by_event),
            "traffic": traffic and {"rate": traffic.rate, "offered": traffic.offered, "sent": dict(traffic.sent)},
            "requests": len(self.requests),
            "invalid_requests": self.rest.limits.invalid_requests,
            "commands": [
                command["name"] for scope in self.stage.interactions.commands.values() for command in scope.values()
            ],
            "incidents": [{"name": one.name, "parameters": one.parameters} for one in self.incidents.running],
        }

    def _new_traffic(self, mix: Mapping[str, float] | None, seed: int) -> Traffic:
        return Traffic(self.stage, self.gateway, mix=mix or MIX, seed=seed)

    async def start_traffic(self, rate: float, *, mix: Mapping[str, float] | None = None, seed: int = 1) -> Traffic:
        """Send `rate` events per second from now on, instead of any traffic so far. Raises ValueError for a bad mix."""
        traffic = self._new_traffic(mix, seed)
        await self.stop_traffic()
        traffic.start(rate)
        self._traffic = traffic
        return traffic

    async def stop_traffic(self) -> None:
        """Stop the traffic, if there is any, once what was sent is written."""
        if self._traffic is not None:
            await self._traffic.stop()
            self._traffic = None

    @asynccontextmanager
    async def traffic(
        self, rate: float, *, mix: Mapping[str, float] | None = None, seed: int = 1
    ) -> AsyncGenerator[Traffic, None]:
        """Traffic for the length of a block."""
        traffic = self._new_traffic(mix, seed)
        traffic.start(rate)
        try:
            yield traffic
        finally:
            await traffic.stop()

    async def burst(self, count: int, *, mix: Mapping[str, float] | None = None, seed: int = 1) -> Counter[str]:
        """Send exactly `count` events as fast as the clients take them; returns when they are written, by name.

        Events that no session wants (intents, no shard for the guild) are not among the names returned.
        """
        return await self._new_traffic(mix, seed).burst(count)


def _described(session: Session) -> Json:
    return {
        "shard": session.shard_id,
        "of": session.shard_count,
        "session_id": session.session_id,
        "sequence": session.sequence,
        "intents": session.intents,
        "identifies": session.identifies,
        "resumes": session.resumes,
    }
