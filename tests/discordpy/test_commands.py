"""Commands seen from their receipt to their end, and what is left of it after the close."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

import pytest

from argus_exporter.discordpy import ClientView
from examples.discord_simulator import Simulator
from tests.clients import PlainBot, logged_in, until
from tests.discordpy.command_bots import (
    HYBRIDS,
    Context,
    Interaction,
    Told,
    following,
    furnish_hybrids,
    furnish_prefix,
    furnish_tree,
    reraise,
    shape,
)

EAGER = pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="came with Python 3.12")


@pytest.mark.parametrize("eager", [False, pytest.param(True, marks=EAGER)], ids=["lazy", "eager"])
async def test_a_command_that_blocks_the_loop_for_800_ms_took_800_ms(eager: bool) -> None:
    bot = PlainBot()
    if eager:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]

    @bot.hybrid_command(description="-")
    async def blocking(ctx: Context) -> None:
        time.sleep(0.8)  # noqa: ASYNC251

    async with Simulator() as sim, following(bot, sim) as told:
        await sim.message("!blocking")
        await until(lambda: told.ends)
        assert (await told.one()).seconds >= 0.8
        await sim.slash("blocking")
        end = await told.one()
        assert end.seconds >= 0.8
        assert end.receipt is not None
        assert end.seconds <= time.perf_counter() - end.receipt.received


def own(target: Any) -> dict[str, Any]:
    return dict(vars(target))


async def test_closing_gives_back_exactly_what_is_the_users() -> None:
    bot = PlainBot()
    furnish_tree(bot.tree)
    tree, parsers = own(bot.tree), dict(bot._connection.parsers)
    async with Simulator() as sim:
        async with following(bot, sim) as told:
            assert bot.tree._call is not bot.tree.__class__._call
            await sim.slash("broken")
            await told.one()
            await sim.message("!unheard")
            await told.one()
        assert own(bot.tree) == tree
        assert "invoke" not in own(bot)
        assert bot._connection.parsers == parsers
    bot = PlainBot()
    bot.tree.on_error = before = reraise  # type: ignore[method-assign]
    async with Simulator() as sim:
        async with following(bot, sim):
            pass
        assert bot.tree.on_error is before


async def test_what_somebody_has_wrapped_over_ours_stays_and_tells_nobody_after_the_close() -> None:
    bot = PlainBot()
    furnish_tree(bot.tree)
    async with Simulator() as sim:
        told = Told()
        view = ClientView(bot, lambda _, error: told.errors.append(error))
        view.commands.listeners.append(told)
        view.journal.hurry("tests", needed=True)
        view.open()
        async with logged_in(bot, sim):
            view.park()
            await sim.slash("fine")
            assert (await told.one()).receipt is not None
            wrapped: list[str] = []
            over(bot.tree, "_call", wrapped)
            over(bot, "invoke", wrapped)
            parsers = bot._connection.parsers
            parsers["MESSAGE_CREATE"] = parser = parsers["MESSAGE_CREATE"].__call__
            await view.close()
            assert parsers["MESSAGE_CREATE"] is parser
            for use in (sim.slash("fine"), sim.slash("broken"), sim.message("!unheard"), sim.message("plain")):
                await use
            await sim.autocomplete("complete", "value", {"value": "x"})
            await until(lambda: len(wrapped) == 5)
            assert (told.ends, told.errors) == ([], [])
            assert "on_error" not in own(bot.tree)


def over(target: Any, name: str, calls: list[str]) -> None:
    original = getattr(target, name)

    async def wrapper(*arguments: Any) -> Any:
        calls.append(name)
        return await original(*arguments)

    setattr(target, name, wrapper)


async def test_a_command_that_began_before_all_could_be_seen_is_not_told_of() -> None:
    bot = PlainBot()
    furnish_tree(bot.tree)
    furnish_prefix(bot)
    async with Simulator() as sim, logged_in(bot, sim):
        told = Told()
        view = ClientView(bot, lambda _, error: told.errors.append(error))
        view.commands.listeners.append(told)
        view.journal.hurry("tests", needed=True)
        view.open()
        for use in (sim.slash("both_broken"), sim.message("!plain")):
            await use
        await asyncio.sleep(0.05)
        view.park()
        await sim.slash("fine")
        assert (await told.one()).command == "fine"
        assert told.errors == []
        await view.close()


async def test_a_command_that_runs_over_the_close_is_told_of_no_more() -> None:
    bot = PlainBot()
    released, done = asyncio.Event(), asyncio.Event()

    @bot.tree.command(description="-")
    async def slow(interaction: Interaction) -> None:
        await released.wait()
        done.set()

    async with Simulator() as sim:
        told = Told()
        view = ClientView(bot, lambda _, error: told.errors.append(error))
        view.commands.listeners.append(told)
        view.journal.hurry("tests", needed=True)
        view.open()
        async with logged_in(bot, sim):
            view.park()
            await sim.slash("slow")
            await until(lambda: view.commands.runs)
            await view.close()
            released.set()
            await done.wait()
            await asyncio.sleep(0)
            assert (told.ends, told.errors) == ([], [])


async def test_a_hybrid_that_is_used_as_a_slash_command_is_one() -> None:
    bot = PlainBot()
    furnish_hybrids(bot)
    async with Simulator() as sim, following(bot, sim) as told:
        for name, outcome, error in HYBRIDS:
            await sim.slash(name)
            assert shape(await told.one()) == (name, "slash", outcome, error)
            assert told.handled.pop() == ("slash", outcome)
        assert told.handled == []
        gc.collect()
