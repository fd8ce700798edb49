"""Bringing the gauges up to date at 64 shards, with 0, 100,000 and 2,000,000 users in discord.py's cache."""

from __future__ import annotations

import asyncio
import gc
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
    world = World(shards=_SHARDS, guilds=_SHARDS * 4, members=1, channels=1)
    bot = driver.Bot(world)
    await bot.boot(driver.ours)
    cog: Any = bot.get_cog("ArgusExporter")
    kept: list[object] = []
    rows, least = [], []
    for count in counts:
        kept += _users(bot, len(kept), count)
        whole = _timed(cog.exporter.sample)
        least.append(p10(whole))
        shares = {each.noun: p10(_timed(each.sample)) for each in cog.exporter._running}
        parts = ", ".join(f"{noun} {share:.3f}" for noun, share in shares.items())
        rows.append((f"{len(bot._connection._users):,}", f"{statistics.median(whole):.3f}", f"{p10(whole):.3f}", parts))
    table(f"ms a sample, {_SHARDS} shards", ("users in the cache", "median", "p10", "of it"), rows)
    flat = max(least) / least[0]
    return [
        Bar(f"sampling, {_SHARDS} shards", f"<= {_LIMIT:g} ms", f"p10 {max(least):.3f} ms", max(least) <= _LIMIT),
        Bar(f"sampling, 0 to {counts[-1]:,} users", "flat", f"{flat:.2f} x", flat <= _FLAT),
    ]


def _users(bot: driver.Bot, have: int, want: int) -> list[object]:
    """Put users into the cache as discord.py itself does, and keep them: the cache holds them weakly."""
    data: Any = {"id": "0", "username": "name", "discriminator": "0", "global_name": None, "avatar": None}
    gc.disable()
    made: list[object] = [
        bot._connection.store_user({**data, "id": str((1 << 61) + (number << 22))}) for number in range(have, want)
    ]
    gc.enable()
    gc.collect()
    gc.freeze()
    return made


def _timed(call: Callable[[], object]) -> list[float]:
    taken: list[float] = []
    for _ in range(_ROUNDS):
        began = time.process_time()
        call()
        taken.append((time.process_time() - began) * 1e3)
    return taken
