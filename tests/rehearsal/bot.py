"""A bot of the rehearsal: an ordinary bot with the extension, which misbehaves when somebody in the chat asks for it.

Its users' commands are in :class:`Commands`. A message ``!word argument`` lets it do ``do_word``: no command, because
commands are counted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import discord
import prometheus_client
from discord import app_commands, backoff
from discord.ext import commands, tasks

from argus_exporter import discovery
from argus_exporter.analytics import queue
from argus_exporter.collectors import shards, watchdog
from argus_exporter.discordpy import interactions
from examples.discord_simulator import point_at

LOOP_SECONDS: Final = 60.0
"""How often the bot's task loop runs, before it is scaled."""
_DESCRIPTORS: Final = 400
_LATE: Final = 3.3
"""Seconds after which Discord takes no first response any more, and a bit."""
_FORGOTTEN: Final = 5.0
"""Seconds after which an interaction is unanswered at the earliest: more than it takes to answer too late."""


def hurry(factor: float) -> None:
    """Scale what the exporter and discord.py wait for of themselves, as the rules are scaled.

    The three seconds for an answer stay: they are Discord's.
    """
    for name in ("TICK_SECONDS", "ACK_GRACE_SECONDS", "SILENCE_SECONDS"):
        setattr(shards, name, getattr(shards, name) / factor)
    watchdog.PAUSE_SECONDS /= factor  # type: ignore[misc]
    discovery.REFRESH_SECONDS /= factor  # type: ignore[misc]
    queue.LONGEST_PAUSE /= factor  # type: ignore[misc]
    interactions.MAX_AGE = max(interactions.MAX_AGE / factor, _FORGOTTEN)  # type: ignore[misc]
    unhurried = backoff.ExponentialBackoff.delay
    backoff.ExponentialBackoff.delay = lambda self: unhurried(self) / factor  # type: ignore[method-assign]


class Commands(commands.Cog):
    """What people use the bot for."""

    @app_commands.command()
    async def ping(self, interaction: discord.Interaction) -> None:
        """Answer."""
        await interaction.response.send_message("pong")

    @app_commands.command()
    async def fail(self, interaction: discord.Interaction) -> None:
        """Answer, and break."""
        await interaction.response.send_message("well")
        raise ZeroDivisionError

    @app_commands.command()
    async def refuse(self, interaction: discord.Interaction) -> None:
        """Answer, and say no."""
        await interaction.response.send_message("no")
        raise app_commands.CheckFailure

    @app_commands.command()
    async def dawdle(self, interaction: discord.Interaction) -> None:
        """Answer when it is too late."""
        await asyncio.sleep(_LATE)
        with contextlib.suppress(discord.HTTPException):
            await interaction.response.send_message("sorry")

    @app_commands.command()
    async def ignore(self, interaction: discord.Interaction) -> None:
        """Never answer."""


class Broken(prometheus_client.registry.Collector):
    """Metrics of the bot's own that cannot be collected."""

    def describe(self) -> Iterator[Any]:
        return iter(())

    def collect(self) -> Iterator[Any]:
        raise ZeroDivisionError


class Bot(commands.AutoShardedBot):
    """Does what it is told."""

    def __init__(self, factor: float, **options: Any) -> None:
        super().__init__("!", intents=discord.Intents.all(), guild_ready_timeout=0.1, **options)
        self._chores = tasks.loop(seconds=LOOP_SECONDS / factor)(self._chore)
        self._obstacle = ""
        self._stumbling = False
        self._kept: list[Any] = []

    async def setup_hook(self) -> None:
        await self.load_extension("argus_exporter")
        await self.add_cog(Commands())
        self._chores.start()

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None: ...

    async def on_message(self, message: discord.Message, /) -> None:
        word, _, argument = message.content.partition(" ")
        if word.startswith("!"):
            await getattr(self, f"do_{word[1:]}")(message, argument)
        if self._stumbling:
            raise ZeroDivisionError

    async def _chore(self) -> None:
        if self._obstacle == "broken":
            raise ZeroDivisionError
        if self._obstacle == "retried":
            raise OSError
        if self._obstacle == "stuck":
            await asyncio.Event().wait()

    async def do_post(self, message: discord.Message, times: str) -> None:
        """Send messages, whatever Discord says to that."""
        for _ in range(int(times)):
            with contextlib.suppress(discord.HTTPException):
                await message.channel.send("spam")

    async def do_hold(self, message: discord.Message, seconds: str) -> None:
        """Hold the event loop up."""
        time.sleep(float(seconds))  # noqa: ASYNC251  that is the point

    async def do_obstruct(self, message: discord.Message, how: str) -> None:
        """Let the task loop end by an exception (broken), fail again and again (retried), or get stuck."""
        self._obstacle = how

    async def do_restart_chores(self, message: discord.Message, _: str) -> None:
        """Let the task loop run again."""
        self._obstacle = ""
        self._chores.restart() if self._chores.is_running() else self._chores.start()

    async def do_open(self, message: discord.Message, share: str) -> None:
        """Keep a share of all file descriptors open that the process may have."""
        import resource  # not on Windows

        resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        self._kept = [os.open(os.devnull, os.O_RDONLY) for _ in range(int(float(share) * _DESCRIPTORS))]

    async def do_close(self, message: discord.Message, _: str) -> None:
        """Close them."""
        while self._kept:
            os.close(self._kept.pop())

    async def do_leak(self, message: discord.Message, megabytes: str) -> None:
        """Take memory, and keep it."""
        self._kept.append(b"x" * (int(megabytes) << 20))

    async def do_chatter(self, message: discord.Message, names: str) -> None:
        """Warn by loggers of many names."""
        for name in range(int(names)):
            logging.getLogger(f"library{name}").warning("Hm.")

    async def do_register(self, message: discord.Message, _: str) -> None:
        """Have metrics of its own that cannot be collected."""
        self._kept.append(Broken())
        prometheus_client.REGISTRY.register(self._kept[-1])

    async def do_unregister(self, message: discord.Message, _: str) -> None:
        """Have them no more."""
        prometheus_client.REGISTRY.unregister(self._kept.pop())

    async def do_misrecord(self, message: discord.Message, _: str) -> None:
        """Count backwards in a metric of its own."""
        exporter: Any = self.get_cog("ArgusExporter")
        exporter.counter("rehearsal_total", "What is counted.").inc(-1)

    async def do_stumble(self, message: discord.Message, _: str) -> None:
        """Fail in a listener, at each message from now on."""
        self._stumbling = True

    async def do_rise(self, message: discord.Message, _: str) -> None:
        """Fail no more."""
        self._stumbling = False


def _wait_at(gate: Path) -> None:
    gate.write_text("here", encoding="utf-8")
    while gate.exists():
        time.sleep(0.02)


def main() -> None:
    """Run it until it is interrupted."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--discord", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--shards", required=True, help="ids with commas between")
    parser.add_argument("--of", type=int, required=True)
    parser.add_argument("--factor", type=float, required=True)
    parser.add_argument("--patience", type=float, required=True, help="seconds of silence that discord.py bears")
    parser.add_argument("--gate", type=Path, required=True, help="a file: has text when reached, is gone when open")
    given = parser.parse_args()
    _wait_at(given.gate)
    point_at(given.discord)
    hurry(given.factor)
    ids = [int(text) for text in given.shards.split(",")]
    bot = Bot(given.factor, shard_ids=ids, shard_count=given.of, heartbeat_timeout=given.patience)
    bot.run(given.token, log_level=logging.WARNING, root_logger=True)


if __name__ == "__main__":
    main()
