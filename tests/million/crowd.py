"""What happens at the simulated Discord: people who use a bot, write, edit, delete, come and go. And the books of it.

Every event goes over the simulator's websockets to a real bot that has the extension loaded. What must be in the
database is booked where the event is made, by the columns that tell it apart.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import random
import typing
from collections import Counter, deque
from datetime import UTC, datetime
from typing import Any, Final
from unittest import mock

import aiohttp
from discord.ext import commands

from argus_exporter.analytics.events import TABLES
from argus_exporter.analytics.privacy import Users
from argus_exporter.analytics.record import born
from argus_exporter.settings import ANALYTICS_EVENTS
from examples.discord_simulator import Simulator
from examples.discord_simulator.events import build
from tests.clients import logged_in, sent_by_event, until
from tests.session.expectation import read
from tests.session.play import is_handler
from tests.soak import soak

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from examples.discord_simulator.interactions import Place
    from tests.million.stores import Store

GUILDS: Final = 6
MEMBERS: Final = 4
COMMANDS: Final = 8
"""As subcommands of groups."""
KEY: Final = "sixteen characters"
BATCH: Final = 200
PRIME: Final = 1_000_003
"""Sums of ids, and of times, are sums of what is left of them by it."""

HAPPENINGS: Final = {
    "write": 50,
    "use": 22,
    "edit": 9,
    "delete": 6,
    "call": 5,
    "come": 3,
    "go": 3,
    "bulk": 1,
    "stumble": 1,
}
"""What happens, and how many times in a hundred; beside it, in a thousand, the bot joins a guild, and leaves one."""
_NAMES, _SHARES = [*HAPPENINGS, "join", "leave"], [10 * share for share in HAPPENINGS.values()] + [1, 1]
_PREFIX: Final = {
    "ok": ("ok", ""),
    "crash": ("bot_error", "RuntimeError"),
    "nonsense": ("not_found", "CommandNotFound"),
}
_RECENT: Final = 2_000
"""Messages that can be edited and deleted."""
_CACHED: Final = 50
"""Messages that discord.py keeps: it searches them one by one for each that is edited or deleted."""
_LONG_AGO: Final = 40 * 86_400_000
"""Milliseconds."""

_YES: Final = "CASE WHEN {} THEN 1 ELSE 0 END"
_REPORTS: Final = {
    "interactions": ("guild_id", "channel_id", "user_id", "type", "outcome", _YES.format("ack_seconds IS NOT NULL")),
    "commands": ("guild_id", "channel_id", "user_id", "command", "type", "outcome", "error"),
    "messages": (
        *("guild_id", "channel_id", "user_id", _YES.format("seen")),
        *(_YES.format(f"{name} IS NOT NULL") for name in ("edited_at", "deleted_at")),
    ),
    "member_events": ("guild_id", "event"),
    "guild_events": ("guild_id", "event"),
    "users": (),
    "members": ("guild_id", _YES.format("in_guild")),
    "guilds": (_YES.format("in_guild"),),
    "channels": ("guild_id", _YES.format("in_guild")),
    "categories": ("guild_id",),
}
"""By which columns the rows of each table are counted."""
_ID: Final = f"CAST(id AS bigint) % {PRIME}"
_DATED: Final = f"sum({_ID} + {{at}} % {PRIME})"
_SUMS: Final = {
    "interactions": _DATED,
    "commands": _DATED,
    "messages": f"sum({_ID} + {{at}} % {PRIME} + coalesce({{edited_at}}, 0) % {PRIME})",
    "member_events": "sum(members)",
    "guild_events": "sum(members)",
    "members": f"sum(CAST(user_id AS bigint) % {PRIME})",
}
"""What else is added up; of other tables their ids."""


class Bot(soak.Bot):
    """A bot with prefix commands too."""

    def __init__(self) -> None:
        super().__init__(COMMANDS, max_messages=_CACHED)
        for name in ("ok", "crash"):
            self.add_command(commands.Command(_callback(name), name=name))

    async def on_command_error(self, *_: Any) -> None:
        """A million tracebacks are no help."""


def _callback(name: str) -> Callable[[commands.Context[Any]], typing.Awaitable[None]]:
    async def callback(ctx: commands.Context[Any]) -> None:
        if name == "crash":
            raise RuntimeError

    return callback


@dataclasses.dataclass(slots=True)
class Message:
    """What is known of a message.

    :ivar text: stays as it is: a command that is edited before the bot's handler has its turn is none any more.
    """

    id: int
    spot: Spot
    text: str = "hello"
    seen: bool = True
    edited: int = 0
    deleted: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Spot:
    """Where something happens, and by whom.

    :ivar user: as it is stored.
    :ivar message: a message as JSON, with places for its id and content.
    """

    place: Place
    source: soak.Source
    user: int
    message: str

    @property
    def guild(self) -> int:
        return self.place.guild_id or 0

    @property
    def channel(self) -> int:
        return int(self.place.channel["id"])

    @property
    def whose(self) -> tuple[int, int, int]:
        return self.guild, self.channel, self.user

    @property
    def fields(self) -> dict[str, str]:
        """What an event about a message says of where it is."""
        return {"channel_id": str(self.channel)} | ({"guild_id": str(self.guild)} if self.guild else {})


class Crowd:
    """Lets things happen, and books them.

    :ivar rows: how many rows of each table there must be, by the columns of its report.
    :ivar sums: what is added up of them.
    :ivar queued: how many rows of each table must have been recorded; of those that tell names it is not known.
    :ivar happened: how many events there were.
    """

    def __init__(self, sim: Simulator, bot: Bot, users: Users, seed: int = 1) -> None:
        self.sim, self.bot = sim, bot
        self.rows: Counter[tuple[Any, ...]] = Counter()
        self.sums: Counter[tuple[Any, ...]] = Counter()
        self.queued: Counter[str] = Counter()
        self.happened = 0
        self._users = users
        self._rng = random.Random(seed)
        self._recent: deque[Message] = deque()
        self._newcomers: deque[tuple[Place, dict[str, Any]]] = deque()
        self._joined: deque[int] = deque()
        self._people: set[int] = set()
        self._members: dict[tuple[int, int], bool] = {}
        self._guilds: dict[int, bool] = {}
        self._channels: set[tuple[int, int, int]] = set()
        self._spots = [self._spot(guild, number) for guild in (None, *range(GUILDS)) for number in range(2)]

    def _spot(self, guild: int | None, number: int) -> Spot:
        place = self.sim.stage.place(guild, number, number)
        message = build(self.sim.stage, "MESSAGE_CREATE", place, {}) | {"id": "<id>", "content": "<text>"}
        source = soak.Source(self.sim, self.bot, number, place)
        return Spot(place, source, self._users.let_through(int(place.user["id"])), json.dumps(message))

    # ------------------------------------------------------------------------------------- life

    async def live(self, count: int) -> None:
        """Let so many events happen, and wait until the bot has done what they make it do."""
        until_then = self.happened + count
        while self.happened < until_then:
            for name in self._rng.choices(_NAMES, _SHARES, k=min(BATCH, until_then - self.happened)):
                getattr(self, f"_{name}")()
            await self.quiet(BATCH // 2)
        await self.quiet()

    async def quiet(self, running: int = 0) -> None:
        """Wait until the bot has read all that was sent, and few of its handlers run."""
        await self.sim.flush()
        while not self._has_read() or sum(map(is_handler, asyncio.all_tasks())) > running:
            await asyncio.sleep(0)
            while self.bot.hanging:
                self.bot.hanging.pop().cancel()

    def _has_read(self) -> bool:
        return all(self.bot.ws_of(shard).sequence == session.sequence for shard, session in self.sim.sessions.items())

    def _send(self, event: str, payload: str, guild: int) -> None:
        self.happened += 1
        took = self.sim.gateway.fan_out(event, payload, guild or None)
        assert took == 1, f"{event} was sent to {took} shards"

    def _book(self, table: str, *key: object, add: int = 0, rows: int = 1) -> None:
        self.rows[table, *key] += rows
        self.sums[table, *key] += add

    def _meet(self, spot: Spot) -> None:
        """Their names are told."""
        user = int(spot.place.user["id"])
        self._people.add(user)
        if spot.guild:
            self._members[spot.guild, user] = True
            self._guilds[spot.guild] = True
            self._channels.add((spot.guild, spot.channel, int(spot.place.channel["parent_id"])))

    # ------------------------------------------------------------------------------------- what happens

    def _use(self) -> None:
        spot = self._rng.choice(self._spots)
        sort = spot.source.pick()
        number, payload = spot.source.make(sort)
        ending = soak.ENDINGS[sort.ending]
        self._note("interactions", spot, number, sort.kind, ending.outcome, int(ending.answer == soak.ACCEPTED))
        if sort.kind in {"slash", "user", "message"}:
            self._note("commands", spot, number, sort.command, sort.kind, ending.outcome, ending.error)
        self._send("INTERACTION_CREATE", payload, spot.guild)

    def _note(self, table: str, spot: Spot, number: int, *key: object) -> None:
        self.queued[table] += 1
        self._book(table, *spot.whose, *key, add=_checked(number))
        self._meet(spot)

    def _write(self, text: str = "hello") -> Message:
        spot = self._rng.choice(self._spots)
        message = self._message(Message(self.sim.world.ids.new(), spot, text))
        self.queued["messages"] += 1
        self._meet(spot)
        payload = spot.message.replace("<id>", str(message.id)).replace("<text>", text)
        self._send("MESSAGE_CREATE", payload, spot.guild)
        return message

    def _message(self, message: Message) -> Message:
        """One that can be edited and deleted from now on, at the cost of another one."""
        self._recent.append(message)
        if len(self._recent) > _RECENT:
            self._forget(self._recent.popleft())
        return message

    def _forget(self, message: Message) -> None:
        """All is known of it that will be."""
        guild, channel, user = message.spot.whose
        marks = int(message.seen), int(bool(message.edited)), int(message.deleted)
        if any(marks):
            add = _checked(message.id) + message.edited % PRIME
            self._book("messages", guild, channel, user if message.seen else 0, *marks, add=add)

    def _call(self) -> None:
        """Somebody writes what calls a prefix command, or none."""
        name = self._rng.choice([*_PREFIX])
        message = self._write(f"!{name}")
        command = "other" if name == "nonsense" else name
        self._note("commands", message.spot, message.id, command, "prefix", *_PREFIX[name])

    def _stumble(self) -> None:
        """Upon a message of long ago, which nobody has seen come."""
        number = self.sim.world.ids.new() - (self._rng.randrange(1, _LONG_AGO) << 22)
        self._message(Message(number, self._rng.choice(self._spots), seen=False))
        self._change(self._recent[-1])

    def _edit(self) -> None:
        self._change(self._any())

    def _any(self) -> Message:
        return self._rng.choice(self._recent) if self._recent else self._write()

    def _change(self, message: Message) -> None:
        """Somebody edits it; or Discord adds an embed, one time in four."""
        payload = json.loads(message.spot.message) | {"id": str(message.id), "content": message.text}
        if self._rng.randrange(4):
            now = datetime.now(UTC)
            payload["edited_timestamp"] = now.isoformat()
            message.edited = max(message.edited, int(now.timestamp() * 1000))
            self.queued["messages"] += 1
        self._send("MESSAGE_UPDATE", json.dumps(payload), message.spot.guild)

    def _delete(self) -> None:
        message = self._any()
        message.deleted = True
        self.queued["messages"] += 1
        self._send("MESSAGE_DELETE", json.dumps({"id": str(message.id)} | message.spot.fields), message.spot.guild)

    def _bulk(self) -> None:
        spot = self._any().spot
        there = [message for message in self._recent if message.spot is spot]
        some = self._rng.sample(there, min(len(there), self._rng.randint(2, 20)))
        for message in some:
            message.deleted = True
        self.queued["messages"] += len(some)
        ids = {"ids": [str(message.id) for message in some]}
        self._send("MESSAGE_DELETE_BULK", json.dumps(ids | spot.fields), spot.guild)

    def _come(self) -> None:
        place = self.sim.stage.place(self._rng.randrange(GUILDS), 0, 0)
        member = build(self.sim.stage, "GUILD_MEMBER_ADD", place, {})
        # in the guild's own world it was years ago
        member["joined_at"] = datetime.now(UTC).isoformat()
        self._newcomers.append((place, member["user"]))
        self._member(place, member["user"], "join")
        self._people.add(int(member["user"]["id"]))
        self._guilds[place.guild_id or 0] = True
        self._send("GUILD_MEMBER_ADD", json.dumps(member), place.guild_id or 0)

    def _member(self, place: Place, user: dict[str, Any], event: str) -> None:
        assert place.guild is not None
        self.queued["member_events"] += 1
        self._members[place.guild.id, int(user["id"])] = event == "join"
        self._book("member_events", place.guild.id, event, add=place.guild.member_count)

    def _go(self) -> None:
        if not self._newcomers:
            return self._come()
        place, user = self._newcomers.popleft()
        gone = build(self.sim.stage, "GUILD_MEMBER_REMOVE", place, {"user": user})
        self._member(place, user, "leave")
        return self._send("GUILD_MEMBER_REMOVE", json.dumps(gone), place.guild_id or 0)

    def _join(self) -> None:
        """The bot."""
        guild = self.sim.world.add_guild()
        self._joined.append(guild.id)
        self._guild(guild.id, "join", guild.member_count)
        made = build(self.sim.stage, "GUILD_CREATE", self.sim.stage.place(guild.id), {})
        self._send("GUILD_CREATE", json.dumps(made), guild.id)

    def _guild(self, guild: int, event: str, members: int) -> None:
        self.queued["guild_events"] += 1
        self._guilds[guild] = event == "join"
        self._book("guild_events", guild, event, add=members)

    def _leave(self) -> None:
        """The bot."""
        if not self._joined:
            return self._join()
        place = self.sim.stage.place(self._joined.popleft())
        assert place.guild is not None
        self._guild(place.guild.id, "leave", place.guild.member_count)
        gone = build(self.sim.stage, "GUILD_DELETE", place, {})
        return self._send("GUILD_DELETE", json.dumps(gone), place.guild.id)

    # ------------------------------------------------------------------------------------- what became of it

    @property
    def exporter(self) -> Any:
        cog: Any = self.bot.get_cog("ArgusExporter")
        return cog.exporter

    async def page(self) -> Metrics:
        """What ``/metrics`` says of the rows."""
        async with aiohttp.ClientSession() as http:
            async with http.get(f"http://127.0.0.1:{self.exporter.port}/metrics") as response:
                return Metrics(await response.text())

    def end(self) -> None:
        """All is over: what is followed is let go, and what is known of messages is booked."""
        interactions = self.exporter._view.interactions
        now = interactions.now
        interactions.now = lambda: now() + soak.LONG_AGO
        self.exporter.sample()
        interactions.now = now
        while self._recent:
            self._forget(self._recent.popleft())

    async def written(self) -> Metrics:
        """Wait until no row waits, and say how it stands then."""
        await until(lambda: not self.exporter._analytics.queue.rows, 100)
        return await self.page()

    def names(self) -> None:
        """Book what is known of names."""
        if self._users.plain:
            self._book("users", rows=len(self._people), add=sum(user % PRIME for user in self._people))
            for (guild, user), here in self._members.items():
                self._book("members", guild, int(here), add=user % PRIME)
        for guild, here in self._guilds.items():
            self._book("guilds", int(here), add=guild % PRIME)
        for guild, channel, _ in self._channels:
            self._book("channels", guild, 1, add=channel % PRIME)
        for guild, category in {(guild, category) for guild, _, category in self._channels}:
            self._book("categories", guild, add=category % PRIME)

    def counted_otherwise(self) -> list[str]:
        """What the bot's metrics say otherwise than the books, in words: whether its commands ended as ever."""
        book: Counter[tuple[str, tuple[str, ...]]] = Counter()
        for spot in self._spots:
            book += spot.source.book
        named = {"discord_interactions_total", "discord_interactions_handled_total", "discord_interaction_ack_seconds"}
        return soak.differences(
            {key: count for key, count in book.items() if key[0] in named}, self.exporter.instruments
        )

    def sent(self) -> list[str]:
        """What the simulator has sent otherwise than it is booked, in words."""
        sent = sent_by_event(self.sim)
        found = {
            "interactions": sent.get(("INTERACTION_CREATE",), 0),
            "member_events": sent.get(("GUILD_MEMBER_ADD",), 0) + sent.get(("GUILD_MEMBER_REMOVE",), 0),
            "guild_events": sent.get(("GUILD_CREATE",), 0) + sent.get(("GUILD_DELETE",), 0) - GUILDS,
        }
        return [
            f"{name} are {n} sent, {self.queued[name]} booked" for name, n in found.items() if n != self.queued[name]
        ]


def _checked(number: int) -> int:
    """What an id and its time add to a sum."""
    return number % PRIME + born(number) % PRIME


# ---------------------------------------------------------------------------------------------- what is to be equal


class Metrics:
    """What a page says of the rows."""

    def __init__(self, page: str) -> None:
        self.series = {(name, *sorted(labels)): value for (name, labels), value in read(page).items()}

    def sum(self, what: str, *labels: tuple[str, str]) -> int:
        name = f"argus_exporter_analytics_{what}"
        return int(sum(n for (found, *pairs), n in self.series.items() if found == name and {*labels} <= {*pairs}))

    def wrong(self, crowd: Crowd) -> list[str]:
        """What is neither written nor lost nor waits, and what was recorded otherwise than it is booked."""
        queued, told = self.sum("queued_total"), [self.sum(f"{each}_total") for each in ("written", "lost")]
        waiting = self.sum("queue_rows")
        found = [] if queued == sum(told) + waiting else [f"{queued} queued, {told} written and lost, {waiting} wait"]
        for table, booked in crowd.queued.items():
            counted = self.sum("queued_total", ("table", table))
            found += [] if counted == booked else [f"{counted} rows of {table} queued, not {booked}"]
        return found


async def stored_otherwise(crowd: Crowd, store: Store) -> list[str]:
    """What is in the database otherwise than it is booked, in words."""
    wrong = []
    for table in _REPORTS:
        wanted = {tuple(map(str, key[1:])): (n, crowd.sums[key]) for key, n in crowd.rows.items() if key[0] == table}
        found = {row[:-2]: (int(row[-2]), int(row[-1])) for row in await store.rows(_report(table, store))}
        wrong += [
            f"{table}{key} is {found.get(key)}, not {wanted.get(key)}"
            for key in sorted(wanted.keys() | found.keys())
            if wanted.get(key) != found.get(key)
        ]
    return wrong


def _report(table: str, store: Store) -> str:
    columns = _REPORTS[table]
    times = {name: store.milliseconds.format(name) for name in ("at", "edited_at")}
    added = _SUMS.get(table, f"sum({_ID})").format(**times)
    by = f"GROUP BY {', '.join(map(str, range(1, len(columns) + 1)))}" if columns else "HAVING count(*) > 0"
    return f"SELECT {', '.join((*columns, 'count(*)', added))} FROM {table}_text {by}"


async def twice(store: Store) -> list[str]:
    """Which tables have a row twice."""
    found = []
    for table in TABLES:
        if "id" in table.key:
            ((count, ids),) = await store.rows(f"SELECT count(*), count(DISTINCT id) FROM {table.name}_text")
            found += [] if count == ids else [f"{count} rows of {table.name} with {ids} ids"]
    return found


async def kept(store: Store) -> dict[str, int]:
    """How many rows there are of each table, those of one key being one."""
    return {name: int((await store.rows(f"SELECT count(*) FROM {name}_text"))[0][0]) for name in _REPORTS}


# ---------------------------------------------------------------------------------------------- the bot


@contextlib.asynccontextmanager
async def crowd(url: str, *, users: str = "plain", seed: int = 1, **settings: object) -> AsyncIterator[Crowd]:
    """A bot that is logged in to a simulator, with the extension loaded, and people.

    :param settings: of the exporter, beside those of analytics.
    """
    given = {
        "port": 0,
        "state_dir": "off",
        "analytics_url": url,
        "analytics_events": ",".join(ANALYTICS_EVENTS),
        "analytics_users": users,
        "analytics_key": KEY,
    }
    variables = {f"ARGUS_{name.upper()}": str(value) for name, value in (given | settings).items()}
    async with Simulator(guilds=GUILDS, members=MEMBERS, shards=soak.SHARDS) as sim:
        bot = Bot()
        bot.before_connecting = lambda: bot.load_extension("argus_exporter")
        with mock.patch.dict(os.environ, variables):
            async with logged_in(bot, sim, soak.SHARDS):
                await until(lambda: len(bot.guilds) == GUILDS)
                yield Crowd(sim, bot, Users(users, KEY), seed)


async def all_wrong(crowd: Crowd, store: Store, metrics: Metrics) -> list[str]:
    """What is not as the books say, where nothing was to be lost."""
    crowd.names()
    lost = metrics.sum("lost_total")
    return [
        *metrics.wrong(crowd),
        *([f"{lost} rows are lost"] if lost else []),
        *crowd.sent(),
        *crowd.counted_otherwise(),
        *await twice(store),
        *await stored_otherwise(crowd, store),
    ]


def told(problems: Iterable[str], most: int = 30) -> str:
    """The first of them, a line each."""
    return "\n".join([*problems][:most])
