"""The bot of the endurance run: the scripted session's, in a process of its own, with the extension loaded.

It is told what to do over a TCP connection, a line of JSON each way: see :class:`Reports`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import logging
import random
import signal
import time
import typing
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from typing import Any, Final

import psutil
from discord.backoff import ExponentialBackoff

from examples.discord_simulator import point_at
from tests.session import bot as session
from tests.session.bot import Asker, post_boards
from tests.session.play import is_handler
from tests.session.records import Records

CHORES: Final = tuple(
    getattr(Asker, name)
    for name in (
        *("send", "upload", "history", "edit_and_delete", "react", "pin", "type", "roles", "threads", "own_commands"),
        *("cdn", "hook", "user", "nobody", "nothing"),
    )
)
"""What the bot asks of Discord by itself; a member's chunk may be lost with a session, and is not asked for."""
PAUSE: Final = 0.05
"""Seconds between two of them."""
PATIENCE: Final = 300.0
"""Seconds that a modal waits."""
LONGEST: Final = 2.0
"""Seconds that discord.py waits between two attempts to connect."""
_LONG_AGO: Final = 61.0
"""Seconds after which nothing is known of an interaction any more."""
_MB: Final = 1 << 20


class Hanging(list["asyncio.Task[Any]"]):
    """Handlers that wait to be cancelled are cancelled."""

    def append(self, task: asyncio.Task[Any], /) -> None:
        asyncio.get_running_loop().call_later(0.01, task.cancel)


class Bot(session.Bot):
    """Counts by itself what no simulator can see.

    :ivar failed: listeners that raised, by event.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.hanging = Hanging()
        self.patience = PATIENCE
        self.failed: Counter[str] = Counter()
        self.chores: asyncio.Task[None] | None = None

    async def on_error(self, event_method: str, /, *args: Any, **kwargs: Any) -> None:
        self.failed[event_method.removeprefix("on_")] += 1
        await super().on_error(event_method, *args, **kwargs)

    async def ask(self, seed: int) -> None:
        """Ask for all kinds of things, one after the other, whatever comes back, until ``chores`` is None."""
        asker, rng = Asker(self), random.Random(seed)
        while self.chores is not None:
            with contextlib.suppress(Exception):
                await rng.choice(CHORES)(asker)
            await asyncio.sleep(PAUSE)


class Reports:
    """Does what it is told, and answers: each message is ``{"do": name, ...}``, the answer is JSON."""

    def __init__(self, bot: Bot, records: Records) -> None:
        self.bot = bot
        self.records = records
        self.over = asyncio.Event()

    @property
    def exporter(self) -> Any:
        cog: Any = self.bot.get_cog("ArgusExporter")
        return cog.exporter

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            asked = json.loads(line)
            answer = await getattr(self, f"do_{asked.pop('do')}")(**asked)
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        self.over.set()

    async def do_begin(self, seed: int, barred: list[int], cursed: list[int]) -> dict[str, Any]:
        """Go to work; tells the port of the page, and the messages that have the components."""
        self.bot.barred |= set(barred)
        self.bot.cursed |= set(cursed)
        boards = await post_boards(self.bot)
        self.bot.chores = asyncio.create_task(self.bot.ask(seed))
        return {"port": self.exporter.port, "boards": boards}

    async def do_measure(self) -> dict[str, float]:
        """What may not grow: MB of memory, and numbers of things."""
        process, loop = psutil.Process(), typing.cast("Any", asyncio.get_running_loop())
        count_files = getattr(process, "num_fds", None) or process.num_handles  # type: ignore[attr-defined]
        return {
            "memory": process.memory_info().rss / _MB,
            "tasks": len(asyncio.all_tasks()),
            "files": count_files(),
            "threads": process.num_threads(),
            "timers": sum(not timer.cancelled() for timer in loop._scheduled),
            **sizes(self.exporter),
        }

    async def do_finish(self) -> None:
        """Ask for nothing more, wait for no modal, and wait until no handler runs."""
        chores, self.bot.chores = self.bot.chores, None
        if chores is not None:
            await chores
        while any(map(is_handler, asyncio.all_tasks())):
            await asyncio.sleep(0.05)
        for modal in [*self.bot._connection._view_store._modals.values()]:
            modal.stop()

    async def do_age(self) -> dict[str, Any]:
        """Let all interactions be long ago, and tell what only the bot can know."""
        self.exporter._view.interactions.now = lambda: time.perf_counter() + _LONG_AGO
        gc.collect()  # asyncio tells of exceptions that nobody has retrieved when their tasks go
        await asyncio.sleep(0.1)
        return await self.do_witness()

    async def do_witness(self) -> dict[str, Any]:
        """What only the bot can know, now."""
        bot, state = self.bot, self.bot._connection
        return {
            "ran": bot.ran,
            "failed": bot.failed,
            "records": [[*key, count] for key, count in self.records.counts.items()],
            "users": len(state._users),
            "messages": len(bot.cached_messages),
            "members": sum(len(guild.members) for guild in bot.guilds),
            "buckets": len(bot.http._buckets),
        }


def sizes(root: object) -> Mapping[str, int]:
    """How much is in all the containers that are reached from here, by the class and the attribute that hold them."""
    found: Counter[str] = Counter()
    seen: set[int] = set()
    todo: list[tuple[str, Any]] = [("", root)]
    while todo:
        name, thing = todo.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, _CONTAINERS):
            found[name] += len(thing)
            inside = thing.values() if isinstance(thing, dict) else thing
            todo += [(name, each) for each in list(inside) if _is_ours(each) or isinstance(each, _CONTAINERS)]
        elif _is_ours(thing):
            todo += [(f"{type(thing).__name__}.{name}", value) for name, value in _attributes(thing)]
    return found


_CONTAINERS: Final = (dict, list, set, deque)


def _is_ours(thing: object) -> bool:
    return type(thing).__module__.startswith("argus_exporter")


def _attributes(thing: object) -> Iterator[tuple[str, object]]:
    slots = {name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())}
    yield from getattr(thing, "__dict__", {}).items()
    yield from ((name, getattr(thing, name)) for name in slots - {"__dict__", "__weakref__"} if hasattr(thing, name))


async def run(url: str, token: str, shards: int, report_to: int) -> None:
    """Be a bot until whoever started it hangs up."""
    records = Records()
    logging.getLogger().addHandler(records)
    reader, writer = await asyncio.open_connection("127.0.0.1", report_to)
    bot = Bot(shard_count=shards, heartbeat_timeout=20.0)
    reports = Reports(bot, records)

    async def load() -> None:
        """From here on all is counted; the simulator must know."""
        records.counts.clear()
        writer.write(b"loading\n")
        assert await reader.readline() == b"go on\n"
        await bot.load_extension("argus_exporter")

    bot.before_connecting = load
    with point_at(url):
        running = asyncio.create_task(bot.start(token))
        await bot_is_ready(bot, running)
        writer.write(b"ready\n")
        await reports.serve(reader, writer)
        await bot.close()
        await asyncio.gather(running, return_exceptions=True)


async def bot_is_ready(bot: Bot, running: asyncio.Task[None]) -> None:
    """Wait until it is, or raise what keeps it from that."""
    while not bot.is_ready():
        if running.done():
            running.result()
        await asyncio.sleep(0.05)


def hurry() -> None:
    """Let discord.py come back soon: by its hundredth attempt in an hour it would wait for up to 17 minutes."""
    unhurried = ExponentialBackoff.delay
    ExponentialBackoff.delay = lambda self: min(unhurried(self), LONGEST)  # type: ignore[method-assign]


def main() -> None:
    """Run it; a Ctrl-C is for the process that has started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    hurry()
    parser = argparse.ArgumentParser()
    for name, kind in (("--discord", str), ("--token", str), ("--shards", int), ("--report", int)):
        parser.add_argument(name, type=kind, required=True)
    given = parser.parse_args()
    asyncio.run(run(given.discord, given.token, given.shards, given.report))


if __name__ == "__main__":
    main()
