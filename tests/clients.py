"""Real discord.py clients of every kind, logged in to the simulator."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import typing
from collections import Counter
from typing import Any

import discord
from discord.ext import commands

from examples.discord_simulator import Simulator, point_at

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from argus_exporter.instruments import Instruments

INTENTS = discord.Intents.all()


class NoWait:
    """Leaves out the 5 s that discord.py sleeps between two IDENTIFYs."""

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None: ...


class PlainBot(NoWait, commands.Bot):
    def __init__(self, **options: Any) -> None:
        super().__init__("!", intents=INTENTS, guild_ready_timeout=0.05, **options)


class ShardedBot(NoWait, commands.AutoShardedBot):
    def __init__(self, **options: Any) -> None:
        super().__init__("!", intents=INTENTS, guild_ready_timeout=0.05, **options)


class PlainClient(NoWait, discord.Client):
    def __init__(self, **options: Any) -> None:
        super().__init__(intents=INTENTS, guild_ready_timeout=0.05, **options)


class ShardedClient(NoWait, discord.AutoShardedClient):
    def __init__(self, **options: Any) -> None:
        super().__init__(intents=INTENTS, guild_ready_timeout=0.05, **options)


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of client, with its own shards and the shards of the whole bot."""

    make: Callable[[], discord.Client]
    shards: tuple[int, ...]
    count: int


KINDS = {
    "Bot": Kind(PlainBot, (0,), 1),
    "Bot shard 3 of 16": Kind(lambda: PlainBot(shard_id=3, shard_count=16), (3,), 16),
    "AutoShardedBot": Kind(lambda: ShardedBot(shard_count=3), (0, 1, 2), 3),
    "AutoShardedBot shards 2, 5 of 8": Kind(lambda: ShardedBot(shard_ids=[2, 5], shard_count=8), (2, 5), 8),
    "Client": Kind(PlainClient, (0,), 1),
    "AutoShardedClient": Kind(lambda: ShardedClient(shard_count=2), (0, 1), 2),
}


@contextlib.asynccontextmanager
async def logged_in(client: discord.Client, sim: Simulator, shards: int = 1) -> AsyncIterator[asyncio.Task[None]]:
    """Run the client until it is ready, and close it at the end. What ``start`` raised is in the task."""
    with point_at(sim.url):
        running = asyncio.create_task(client.start(sim.token))
        try:
            await until(lambda: running.done() or len(sim.sessions) >= shards)
            if running.done():
                running.result()
            await asyncio.wait_for(client.wait_until_ready(), 10)
            yield running
        finally:
            await client.close()
            await asyncio.gather(running, return_exceptions=True)


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for a condition, looking often."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


def value(instruments: Instruments, name: str, *labels: str) -> float | None:
    """The value of a series as it would be on the page; None where it is absent."""
    cell: Any = instruments.families[name].cells.get(labels)
    return None if cell is None else cell.value


def values(instruments: Instruments, name: str) -> dict[tuple[str, ...], float]:
    """Every series of a family that is not 0 and not absent."""
    cells: dict[tuple[str, ...], Any] = dict(instruments.families[name].cells)
    return {key: cell.value for key, cell in cells.items() if cell.value}


def sent_by_event(sim: Simulator) -> dict[tuple[str, ...], int]:
    """What the simulator has written, by event."""
    counts: Counter[tuple[str, ...]] = Counter()
    for (_, event), count in sim.dispatched.items():
        counts[event,] += count
    return {key: count for key, count in counts.items() if count}


def sent_by_shard(sim: Simulator) -> dict[tuple[str, ...], int]:
    """What the simulator has written, by shard."""
    counts: Counter[tuple[str, ...]] = Counter()
    for (shard_id, _), count in sim.dispatched.items():
        counts[str(shard_id),] += count
    return {key: count for key, count in counts.items() if count}


def all_sent(sim: Simulator) -> int:
    """How many dispatches the simulator has written."""
    return sum(sim.dispatched.values())


def counter_total(instruments: Instruments, name: str) -> float:
    """The sum of a counter's series."""
    return sum(values(instruments, name).values())


serial = itertools.count()
