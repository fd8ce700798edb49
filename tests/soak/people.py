"""What happens at the simulated Discord during a long run: people who use the bot, events of all kinds, incidents."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import itertools
import json
import random
import time
import typing
from collections.abc import Callable
from typing import Final

from examples.discord_simulator.events import build
from examples.discord_simulator.gateway import HEARTBEAT, Control
from examples.discord_simulator.interactions import AUTOCOMPLETE, COMMAND, COMPONENT, MODAL
from examples.discord_simulator.traffic import Traffic
from tests.clients import until
from tests.session.script import DIRECT, GUILDS, SHARDS, Use, blocks
from tests.soak.books import Entry

if typing.TYPE_CHECKING:
    from examples.discord_simulator import Simulator
    from examples.discord_simulator.interactions import Place
    from examples.discord_simulator.payloads import Json
    from examples.discord_simulator.sessions import Session
    from tests.soak.books import Books

MIX: Final = {"PRESENCE_UPDATE": 0.62, "MESSAGE_CREATE": 0.24, "MESSAGE_REACTION_ADD": 0.11, "TYPING_START": 0.03}
"""The share of each event in most of the traffic."""
USES: Final = 40.0
"""Uses of the bot a second."""
CYCLES: Final = 15.0
"""Times a second that something happens that is undone at once."""
SURGE: Final = (500.0, 5.0, 60.0)
"""So many more events a second, for so many seconds of so many."""
BEHIND: Final = 4_000
"""Events that a shard may be behind before all is held back: a machine that is too slow gets what it takes."""
ASKED: Final = 1.0
"""Seconds between two requests for a heartbeat, which says how far the bot has read."""
_TICK: Final = 0.02

UNDONE: Final = (
    ("CHANNEL_CREATE", "CHANNEL_UPDATE", "CHANNEL_PINS_UPDATE", "WEBHOOKS_UPDATE", "CHANNEL_DELETE"),
    ("THREAD_CREATE", "THREAD_UPDATE", "THREAD_DELETE"),
    ("GUILD_ROLE_CREATE", "GUILD_ROLE_UPDATE", "GUILD_ROLE_DELETE"),
    ("GUILD_MEMBER_ADD", "GUILD_MEMBER_UPDATE", "GUILD_MEMBER_REMOVE"),
    ("GUILD_BAN_ADD", "GUILD_BAN_REMOVE"),
    ("VOICE_STATE_UPDATE", "VOICE_STATE_UPDATE"),
    ("INVITE_CREATE", "INVITE_DELETE"),
    ("MESSAGE_CREATE", "MESSAGE_UPDATE", "MESSAGE_REACTION_ADD", "MESSAGE_REACTION_REMOVE", "MESSAGE_DELETE"),
    ("MESSAGE_CREATE", "MESSAGE_REACTION_REMOVE_EMOJI", "MESSAGE_REACTION_REMOVE_ALL", "MESSAGE_DELETE_BULK"),
    ("GUILD_EMOJIS_UPDATE", "GUILD_EMOJIS_UPDATE"),
    ("GUILD_UPDATE", "GUILD_INTEGRATIONS_UPDATE", "USER_UPDATE", "RATE_LIMITED"),
    ("GUILD_CREATE", "GUILD_DELETE"),
)
"""What follows upon each other at once, so that the world does not grow: what is made is what goes."""
_GONE: Final[dict[str, Callable[[Json], Json]]] = {
    "CHANNEL_DELETE": lambda made: {"channel": int(made["id"])},
    "GUILD_ROLE_DELETE": lambda made: {"role_id": made["role"]["id"]},
    "GUILD_MEMBER_REMOVE": lambda made: {"user": made["user"]},
    "GUILD_EMOJIS_UPDATE": lambda made: {"emojis": []},
    "VOICE_STATE_UPDATE": lambda made: {"channel_id": None},
}
"""What is to be said of the last step, that it may be what the first has made."""

_ANSWERING_ERRORS: Final = {"handled", "cogged", "in-cog", "permitted"}
"""Uses that do not end as the script says if the requests of an error's handler fail, or while a guild is away."""


def usual() -> list[list[Use]]:
    """The script's uses whose answers it does not plan: what answers the next request would hit another's."""
    found = [[step for step in block if isinstance(step, Use)] for block in blocks()]
    return [block for block in found if not any(use.plan or use.name in _ANSWERING_ERRORS for use in block)]


class People:
    """Use the bot, and let things happen.

    :param boards: ids of the messages that have the components, by custom id.
    :ivar waited: seconds in which the bot was behind.
    """

    def __init__(self, books: Books, boards: dict[str, int], seed: int) -> None:
        self.books = books
        self.sim: Simulator = books.sim
        self.waited = 0.0
        self._rng = random.Random(seed)
        self._traffic = Traffic(self.sim.stage, self.sim.gateway, mix=MIX, seed=seed)
        self._uses = usual()
        self._numbers = itertools.count()
        found = {name: self.sim.stage.messages.get(message_id) for name, message_id in boards.items()}
        self._boards = {name: message for name, message in found.items() if message is not None}

    async def live(self, rate: float) -> None:
        """Go on until cancelled, with so many events a second besides all else."""
        due, last = [0.0, 0.0, 0.0], time.perf_counter()
        ask = last
        while True:
            await asyncio.sleep(_TICK)
            now = time.perf_counter()
            passed, last = min(now - last, 1.0), now
            self.books.settle()
            if now > ask:
                ask = now + ASKED
                ask_for_heartbeats(self.sim)
            if is_behind(self.sim):
                self.waited += passed
                continue
            more, seconds, every = SURGE
            rates = rate + more * (now % every < seconds), USES, CYCLES
            due = [number % 1 + passed * each for number, each in zip(due, rates, strict=True)]
            self._do(*map(int, due))

    def _do(self, events: int, uses: int, cycles: int) -> None:
        self._traffic.send(events)
        for _ in range(uses):
            self.use(self._rng.choice(self._uses))
        for _ in range(cycles):
            self.happen(self._rng.choice(UNDONE))

    # ------------------------------------------------------------------------------------- uses

    def use(self, block: list[Use]) -> None:
        """Use something; of a modal, first that which shows it."""
        guild = self._rng.randrange(GUILDS)
        first, *rest = block
        number = f"#{next(self._numbers)}" if rest else ""
        entry = self._use(first, guild, number)
        for use in rest:
            entry.then = functools.partial(self._use, use, guild, number)

    def _use(self, use: Use, guild: int, number: str) -> Entry:
        where = None if use.guild == DIRECT else 0 if use.how == "component" else guild
        place = self.sim.stage.place(where, 0, use.member)
        if use.how == "prefix":
            message = build(self.sim.stage, "MESSAGE_CREATE", place, {"content": f"!{use.name}"})
            return self._enter(message["id"], Entry(use, self._send("MESSAGE_CREATE", message, place)))
        kind, data, message = self._interaction(use, place, number)
        interactions = self.sim.stage.interactions
        interactions.late += use.late
        made = interactions.make(kind, data, place, message)
        interactions.late -= use.late
        return self._enter(made.token, Entry(use, self._send("INTERACTION_CREATE", made.payload, place)))

    def _interaction(self, use: Use, place: Place, number: str) -> tuple[int, Json, Json | None]:
        interactions, options = self.sim.stage.interactions, dict(use.options)
        if use.how == "slash":
            modal = {"modal": options["modal"] + number} if "modal" in options else {}
            return COMMAND, interactions.slash(use.name, {**options, **modal}, place), None
        if use.how == "autocomplete":
            return AUTOCOMPLETE, interactions.slash(use.name, options, place, next(iter(options))), None
        if use.how == "user":
            return COMMAND, interactions.menu(use.name, place, 2, place.user), None
        if use.how == "message":
            return COMMAND, interactions.menu(use.name, place, 3, self._boards["answer"]), None
        if use.how == "modal":
            submitted = interactions.modal(use.name + number, {"text": "typed"}, place)
            interactions.modals.pop(use.name + number, None)
            return MODAL, submitted, None
        board = self._boards[use.name]
        return COMPONENT, interactions.component(board, use.name, options.get("values", ()), place), board

    def _enter(self, key: str, entry: Entry) -> Entry:
        self.books.entries[key] = entry
        return entry

    def _send(self, event: str, payload: Json, place: Place) -> tuple[tuple[Session, int], ...]:
        gateway, direct = self.sim.gateway, place.guild is None
        due = [] if gateway.silent else [*gateway.sessions.owners(place.guild_id)]
        body = json.dumps(payload)
        return tuple((each, each.emit(event, body).sequence) for each in due if each.wants(event, dm=direct))

    # ------------------------------------------------------------------------------------- events

    def happen(self, events: tuple[str, ...]) -> None:
        """Let one thing after the other happen, all at once: they are all lost, or none is."""
        guild = self.sim.world.add_guild().id if events[0] == "GUILD_CREATE" else self._rng.randrange(1, GUILDS)
        made: Json = {}
        for number, event in enumerate(events):
            last = number == len(events) - 1
            place = self.sim.stage.place(guild, 1)
            given = _GONE[event](made) if last and event in _GONE else {}
            if "channel" in given:
                place = self.sim.stage.place(guild, given.pop("channel"))
            payload = build(self.sim.stage, event, place, given)
            made = made or payload
            self.sim.gateway.fan_out(event, json.dumps(payload), place.guild_id)
        if "GUILD_EMOJIS_UPDATE" in events:
            self.sim.world.guild(guild).emojis.clear()


def ask_for_heartbeats(sim: Simulator) -> None:
    """Ask each shard how far it has read; what is silent because of an incident stays so."""
    for session in sim.sessions.values():
        connection = session.connection
        if connection is not None and connection.acks and not connection.stalled:
            connection.put(Control(HEARTBEAT, None))


def is_behind(sim: Simulator, most: int = BEHIND) -> bool:
    """Whether a shard that is connected has not read all but so many events, by its last heartbeat."""
    return any(
        session.sequence - _read(session) > most for session in sim.sessions.values() if not _is_stalled(session)
    )


def _read(session: Session) -> int:
    beats = (each["d"] for each in reversed(session.received) if each["op"] == HEARTBEAT)
    return next(beats, 0) or 0


def _is_stalled(session: Session) -> bool:
    return session.connection is not None and session.connection.stalled


# ---------------------------------------------------------------------------------------------- incidents


@dataclasses.dataclass(frozen=True)
class Kind:
    """An incident as it may happen.

    :ivar seconds: how long it goes on, at least and at most.
    :ivar choices: of each parameter, what it may be.
    :ivar also: an incident that happens in it, without which nobody would notice.
    """

    name: str
    seconds: tuple[float, float] = (0.0, 0.0)
    choices: tuple[tuple[str, tuple[object, ...]], ...] = ()
    also: str = ""

    def chosen(self, rng: random.Random) -> dict[str, object]:
        return {name: rng.choice(values) for name, values in self.choices}


_SHARD: Final = ("shard", (*range(SHARDS), -1))

GATEWAY: Final = (
    Kind("zombie_no_ack", (15, 30), (_SHARD,)),
    Kind("zombie_ack_only", (5, 15), (_SHARD,)),
    Kind("slow_acks", (5, 15), (("delay", (0.5, 1.5)),)),
    Kind("silence", (2, 5)),
    Kind("close", (0, 0), (_SHARD, ("code", (1000, 1001, 4000, 4001, 4002, 4003, 4005, 4007, 4008, 4009)))),
    Kind("drop", (0, 0), (_SHARD,)),
    Kind("reconnect", (0, 0), (_SHARD,)),
    Kind("reconnect_storm", (5, 15), (("every", (2.0, 4.0)),)),
    Kind("invalid_session", (0, 0), (_SHARD, ("resumable", (True, False)))),
    Kind("resumes_fail", (3, 8), (), "drop"),
    Kind("gateway_refuses", (2, 6), (("status", (503, 429, 0)),), "close"),
    Kind("guild_outage", (2, 8), (("guild", (0, 1, 2)), ("count", (1, 3)))),
    Kind("identify_budget", (2, 8), (("remaining", (500,)),), "invalid_session"),
    Kind("rate_limited_dispatch", (0, 0), (("guild", tuple(range(GUILDS))),)),
)
REST: Final = (
    Kind("slow_rest", (3, 12), (("delay", (0.2, 1.0)),)),
    Kind("rest_5xx", (3, 12), (("status", (500, 502, 503, 504, 520)), ("share", (0.1, 0.5, 1.0)))),
    Kind("global_429", (3, 10), (("retry_after", (0.3, 1.5)),)),
    Kind("user_429", (3, 10), (("retry_after", (0.2, 1.0)),)),
    Kind("shared_429", (3, 10), (("retry_after", (0.2, 1.0)),)),
    Kind("cloudflare_ban", (2, 8)),
    Kind("invalid_requests", (3, 10), (("status", (401, 403, 404)),)),
    Kind("late_interactions", (3, 10)),
    Kind("clock_skew", (3, 10), (("skew", (0.3, 0.5)),)),
)
LEFT_OUT: Final = {
    "token_reset": "ends the bot",
    "disallowed_intents": "ends the bot with its next IDENTIFY",
    "traffic_surge": "brings interactions that are in nobody's books; the run has a surge of its own",
}
"""Incidents that do not happen, and why."""


class Incidents:
    """Lets one incident after the other happen to the gateway, and at the same time one after the other to REST.

    :ivar happened: which, in words.
    """

    def __init__(self, sim: Simulator, rng: random.Random, pause: tuple[float, float]) -> None:
        self.sim = sim
        self.happened: list[str] = []
        self._rng = rng
        self._pause = pause
        self._over = asyncio.Event()

    async def live(self) -> None:
        """Go on until :meth:`stop`; returns when all is healed."""
        await asyncio.gather(self._lane(GATEWAY), self._lane(REST))

    def stop(self) -> None:
        """Let no other incident begin, and heal those that go on."""
        self._over.set()

    async def _lane(self, kinds: tuple[Kind, ...]) -> None:
        rng = random.Random(self._rng.random())
        waiting: list[Kind] = []
        while not await self._sleep(rng.uniform(*self._pause)):
            if not waiting:  # each has its turn
                waiting = rng.sample(kinds, len(kinds))
            await healed(self.sim)
            await self.happen(waiting.pop(), rng)

    async def happen(self, kind: Kind, rng: random.Random) -> None:
        """Let it happen, and heal it."""
        chosen, seconds = kind.chosen(rng), rng.uniform(*kind.seconds)
        said = " ".join(f"{name}={value}" for name, value in chosen.items())
        self.happened.append(f"{kind.name} {said} {seconds:.0f} s".strip())
        async with self.sim.during(kind.name, **chosen):
            if kind.also:
                await self.sim.incident(kind.also, shard=-1)
            await self._sleep(seconds)

    async def _sleep(self, seconds: float) -> bool:
        """Sleep; whether it is over."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)
        return self._over.is_set()


async def healed(sim: Simulator, seconds: float = 180.0) -> None:
    """Wait until all shards are connected."""
    await until(lambda: sum(each.ready for each in sim.sessions.values()) >= SHARDS, seconds)
