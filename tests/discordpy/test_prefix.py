"""Prefix commands, used by a real client: each told of once, from the receipt of its message to its end."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

import discord
import pytest

from argus_exporter.discordpy.prefix import STAMPS
from argus_exporter.instruments import HistogramCell, Pile
from examples.discord_simulator import Simulator
from tests.clients import PlainBot, ShardedBot, until
from tests.discordpy.command_bots import PREFIX_COMMANDS, Context, following, furnish_prefix, shape


@pytest.mark.parametrize("make", [PlainBot, lambda: ShardedBot(shard_count=1)], ids=["Bot", "AutoShardedBot"])
async def test_each_prefix_command_is_told_of_once_however_it_ends(make: Any) -> None:
    bot = make()
    furnish_prefix(bot)
    async with Simulator() as sim, following(bot, sim) as told:
        for text, name, outcome, error in PREFIX_COMMANDS:
            await sim.message("no command")
            await sim.message("!")
            await sim.message(f"!{text}")
            end = await told.one()
            assert shape(end) == (name, "prefix", outcome, error)
            assert end.receipt is None
            assert 0 < end.seconds < 10
        assert told.handled == []
        gc.collect()


async def test_a_prefix_command_is_told_of_at_once_and_nothing_of_it_waits() -> None:
    bot = PlainBot()
    furnish_prefix(bot)
    async with Simulator() as sim, following(bot, sim) as told:
        told.view.journal.hurry("tests", needed=False)
        pile = Pile(HistogramCell((1.0,)))
        told.view.journal.piles.append(pile)
        pile.values.append(0.5)
        await sim.message("!plain")
        end = await told.one()
        assert (end.command, end.subject.message.content) == ("plain", "!plain")
        assert (pile.cell.counts, told.view.journal.piles) == ([1, 0], [])


async def test_a_prefix_command_lasts_from_the_receipt_of_its_message() -> None:
    class SlowBot(PlainBot):
        async def get_context(self, *arguments: Any, **named: Any) -> Any:
            time.sleep(0.2)  # noqa: ASYNC251
            return await super().get_context(*arguments, **named)

    bot = SlowBot()
    furnish_prefix(bot)
    async with Simulator() as sim, following(bot, sim) as told:
        await sim.message("!plain")
        end = await told.one()
        assert end.seconds >= 0.2


async def test_an_edited_message_counts_from_its_edit() -> None:
    bot = PlainBot()
    furnish_prefix(bot)

    @bot.event
    async def on_message_edit(_: discord.Message, after: discord.Message) -> None:
        after.content = "!plain"
        await bot.process_commands(after)

    async with Simulator() as sim, following(bot, sim) as told:
        await sim.message("edited later")
        await asyncio.sleep(0.5)
        await sim.event("MESSAGE_UPDATE")
        assert (await told.one()).seconds < 0.5


async def test_a_message_that_came_long_ago_counts_from_its_invocation() -> None:
    bot = PlainBot()
    furnish_prefix(bot)
    kept: list[discord.Message] = []

    @bot.event
    async def on_message(message: discord.Message) -> None:
        kept.append(message)

    async with Simulator() as sim, following(bot, sim) as told:
        await sim.message("!plain")
        await sim.burst(STAMPS, mix={"MESSAGE_CREATE": 1})
        await until(lambda: len(kept) > STAMPS)
        before = time.perf_counter()
        await bot.process_commands(kept[0])
        assert (await told.one()).seconds <= time.perf_counter() - before


async def test_an_invoke_of_the_users_own_is_called_and_may_let_nobody_in() -> None:
    class Strict(PlainBot):
        async def invoke(self, ctx: Any, /) -> None:
            if ctx.message.content != "!both":
                await super().invoke(ctx)

    bot = Strict()
    furnish_prefix(bot)
    async with Simulator() as sim, following(bot, sim) as told:
        await sim.message("!both")
        assert shape(await told.one()) == ("both", "prefix", "rejected", None)
        await sim.message("!plain")
        assert shape(await told.one()) == ("plain", "prefix", "ok", None)


async def test_an_invoke_within_a_slash_command_is_no_command_of_its_own() -> None:
    bot = PlainBot()
    furnish_prefix(bot)

    @bot.hybrid_command(description="-")
    async def outermost(ctx: Context) -> None:
        ctx.command = bot.get_command("plain")
        await bot.invoke(ctx)

    async with Simulator() as sim, following(bot, sim) as told:
        await sim.slash("outermost")
        assert shape(await told.one()) == ("outermost", "slash", "ok", None)


async def test_a_prefix_command_that_is_cancelled_from_outside_is_cancelled() -> None:
    bot = PlainBot()
    furnish_prefix(bot)
    tasks: list[asyncio.Task[Any]] = []

    @bot.check_once
    async def wait(_: Context) -> bool:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        await asyncio.Event().wait()
        return True

    async with Simulator() as sim, following(bot, sim) as told:
        await sim.message("!plain")
        await until(lambda: tasks)
        tasks[0].cancel()
        assert shape(await told.one()) == ("plain", "prefix", "cancelled", "CancelledError")


async def test_a_message_that_discord_py_cannot_read_is_its_own_trouble() -> None:
    bot = PlainBot()
    async with Simulator() as sim, following(bot, sim):
        for data in ({}, None):
            with pytest.raises((KeyError, TypeError)):
                bot._connection.parsers["MESSAGE_CREATE"](data)


async def test_without_parsers_a_prefix_command_counts_from_its_invocation() -> None:
    bot = PlainBot()
    furnish_prefix(bot)
    parser = bot._connection.parsers.pop("MESSAGE_CREATE")
    async with Simulator() as sim, following(bot, sim) as told:
        bot._connection.parsers["MESSAGE_CREATE"] = parser
        await sim.message("!plain")
        assert shape(await told.one()) == ("plain", "prefix", "ok", None)
