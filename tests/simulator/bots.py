"""Real discord.py clients that note what they are told."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import discord
from discord import app_commands

from examples.discord_simulator import Simulator, point_at


class Bot(discord.AutoShardedClient):
    """An AutoShardedClient that starts its shards at once and keeps every dispatch."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("intents", discord.Intents.all())
        super().__init__(guild_ready_timeout=0.05, **options)
        self.tree = app_commands.CommandTree(self)
        self.events: Counter[str] = Counter()
        self.told: dict[str, list[tuple[Any, ...]]] = {}

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Do not wait the five seconds that discord.py waits for each shard."""

    def dispatch(self, event: str, /, *args: Any) -> None:
        if event == "socket_event_type":
            self.events[args[0]] += 1
        self.told.setdefault(event, []).append(args)
        super().dispatch(event, *args)

    async def on_error(self, event_method: str, /, *args: Any, **kwargs: Any) -> None:
        raise  # noqa: PLE0704  discord.py calls this while the exception is handled

    def last(self, event: str) -> Any:
        """What the newest dispatch of an event carried: its only argument, or all of them."""
        args = self.told[event][-1]
        return args[0] if len(args) == 1 else args


@asynccontextmanager
async def connected(sim: Simulator, *, ready: bool = True, **options: Any) -> AsyncIterator[Bot]:
    """A bot that is logged in and ready; it is closed at the end, whatever happened to it."""
    bot = Bot(**options)
    with point_at(sim.url):
        task = asyncio.create_task(bot.start(sim.token))
        try:
            if ready:
                await until(lambda: bot.is_ready() or task.done(), sim)
                if task.done():
                    task.result()
                await sim.flush()
            yield bot
        finally:
            await bot.close()
            # While a shard cannot be launched discord.py tries for ever, even after close.
            await asyncio.wait([task], timeout=2)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until(condition: Any, sim: Simulator, timeout: float = 10.0) -> None:  # noqa: ASYNC109  as asyncio.wait_for names it
    await sim.wait_for(condition, timeout)


async def settled(sim: Simulator, bot: Bot) -> None:
    """Wait until the bot has got everything that was written."""
    await sim.flush()
    await sim.wait_for(lambda: bot.events == by_event(sim))


def by_event(sim: Simulator) -> Counter[str]:
    """The simulator's counts over all shards."""
    counts: Counter[str] = Counter()
    for (_, event), count in sim.dispatched.items():
        counts[event] += count
    return counts
