"""Bringing the gauges up to date at 64 shards, with 0, 100,000 and 2,000,000 users in discord.py's cache."""

from __future__ import annotations

import asyncio
import gc
import random
import statistics
import time
import typing
from typing import Any, Final

from tests.benchmarks import driver
from tests.benchmarks.report import Bar, p10, table
from tests.benchmarks.world import World

if typing.TYPE_CHECKING:
    from collections.abc import Callable

_SHARDS: Final = 64
_USERS: Final = (0, 100_000, 2_000_000)
_QUICK_USERS: Final = (0, 100_000)
_ROUNDS: Final = 500
_LIMIT: Final = 0.5
_FLAT: Final = 1.25


def run(*, quick: bool) -> list[Bar]:
    """Measure."""
    return asyncio.run(_run(_QUICK_USERS if quick else _USERS))


async def _run(counts: tuple[int, ...]) -> list[Bar]:
    """Measure bots with that many users each, in turns."""
    world = World(shards=_SHARDS, guilds=_SHARDS * 4, members=1, channels=1)
    bots = {count: driver.Bot(world) for count in counts}
    for bot in bots.values():
        await bot.boot(driver.ours)
    kept = [_users(bot, count) for count, bot in bots.items()]
    exporters: dict[int, Any] = {count: _exporter(bot) for count, bot in bots.items()}
    whole = _timed({count: exporter.sample for count, exporter in exporters.items()})
    least = {count: p10(taken) for count, taken in whole.items()}
    rows = [
        (
            f"{len(bot._connection._users):,}",
            f"{statistics.median(whole[count]):.3f}",
            f"{least[count]:.3f}",
            _shares(bot),
        )
        for count, bot in bots.items()
    ]
    table(f"CPU ms a sample, {_SHARDS} shards", ("users in the cache", "median", "p10", "p10 of its parts"), rows)
    most, flat = max(least.values()), least[counts[-1]] / least[0]
    del kept
    return [
        Bar(f"sampling, {_SHARDS} shards", f"<= {_LIMIT:g} ms", f"p10 {most:.3f} ms", most <= _LIMIT),
        Bar(f"sampling, {counts[-1]:,} users beside none", f"<= {_FLAT:g} x", f"{flat:.2f} x", flat <= _FLAT),
    ]


def _exporter(bot: driver.Bot) -> Any:
    cog: Any = bot.get_cog("ArgusExporter")
    return cog.exporter


def _shares(bot: driver.Bot) -> str:
    taken = _timed({each.noun: each.sample for each in _exporter(bot)._running})
    return ", ".join(f"{noun} {p10(times):.3f}" for noun, times in taken.items())


def _users(bot: driver.Bot, count: int) -> list[object]:
    """Put users into the cache as discord.py itself does, and keep them: the cache holds them weakly."""
    data: Any = {"id": "0", "username": "name", "discriminator": "0", "global_name": None, "avatar": None}
    store = bot._connection.store_user
    gc.disable()
    made: list[object] = [store({**data, "id": str((1 << 61) + (number << 22))}) for number in range(count)]
    gc.enable()
    gc.collect()
    gc.freeze()
    return made


def _timed(calls: dict[Any, Callable[[], object]]) -> dict[Any, list[float]]:
    taken: dict[Any, list[float]] = {name: [] for name in calls}
    order = [*calls.items()]
    for _ in range(_ROUNDS):
        random.shuffle(order)
        for name, call in order:
            began = time.process_time()
            call()
            taken[name].append((time.process_time() - began) * 1e3)
    return taken
