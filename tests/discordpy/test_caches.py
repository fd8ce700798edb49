"""What discord.py's caches hold, read by their lengths."""

from __future__ import annotations

import asyncio
import contextlib
import typing
from typing import Any

import discord
import pytest

from argus_exporter.discordpy import caches
from argus_exporter.discordpy.caches import Caches
from examples.discord_simulator import Simulator
from tests.clients import PlainBot, logged_in, until

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator


def view_of(*custom_ids: str, timeout: float | None = None) -> discord.ui.View:
    view = discord.ui.View(timeout=timeout)
    for custom_id in custom_ids:
        view.add_item(discord.ui.Button(label="b", custom_id=custom_id))
    return view


@contextlib.asynccontextmanager
async def online(**options: Any) -> AsyncIterator[tuple[Simulator, PlainBot, Caches]]:
    async with Simulator(guilds=2, members=4) as sim:
        bot = PlainBot(**options)
        async with logged_in(bot, sim):
            yield sim, bot, Caches(bot)


async def test_users_and_messages_are_as_many_as_discord_py_keeps() -> None:
    async with online() as (sim, bot, held):
        assert held.users == len(bot.users) > 4
        for text in ("one", "two"):
            await sim.message(text, guild=0)
        await until(lambda: len(bot.cached_messages) == 2)
        assert held.messages == 2


async def test_a_message_cache_that_is_turned_off_holds_none() -> None:
    async with online(max_messages=None) as (sim, bot, held):
        heard = asyncio.create_task(bot.wait_for("message", timeout=5))
        await asyncio.sleep(0)
        await sim.message("one", guild=0)
        await heard
        assert held.messages == 0


async def test_a_view_is_one_however_many_components_it_has_and_wherever_it_is() -> None:
    bot = PlainBot()
    held = Caches(bot)
    assert held.views == 0
    views = [view_of("a", "b", "c"), view_of("d", "e"), view_of("f", "g")]
    bot.add_view(views[0])
    assert held.views == 1
    bot.add_view(views[1])
    assert held.views == 2
    bot.add_view(views[2], message_id=77)
    assert held.views == 3
    for left, view in zip((2, 1, 0), views, strict=True):
        view.stop()
        assert held.views == left


async def test_a_view_that_is_sent_waits_until_its_timeout() -> None:
    async with online() as (_, bot, held):
        (channel, *_more) = bot.guilds[0].text_channels
        lasting, passing = view_of("a"), view_of("b", timeout=0.05)
        await channel.send("for ever", view=lasting)
        await channel.send("for a moment", view=passing)
        assert held.views == 2
        await passing.wait()
        assert held.views == 1


async def test_a_view_whose_message_is_gone_leaks_and_is_seen_to() -> None:
    async with online() as (_, bot, held):
        for number in range(3):
            message = await bot.guilds[0].text_channels[0].send("soon gone", view=view_of(f"custom {number}"))
            await message.delete()
        await until(lambda: not bot.cached_messages)
        assert held.views == 3


async def test_what_the_store_forgets_to_take_out_is_counted() -> None:
    """As in discord.py #10405: up to 2.6 a view without a component that answers stays for ever."""
    bot = PlainBot()
    view = discord.ui.View(timeout=None)
    view.add_item(discord.ui.Button(label="link", url="https://example.org"))
    bot._connection.store_view(view, 77)
    view.stop()
    assert Caches(bot).views == len(bot._connection._view_store._views) == (discord.version_info < (2, 7))


async def test_modals_wait_until_they_are_stopped() -> None:
    bot = PlainBot()
    held = Caches(bot)
    assert held.modals == 0
    modal = discord.ui.Modal(title="of mine", timeout=None)
    bot._connection.store_view(modal)
    assert (held.modals, held.views) == (1, 0)
    modal.stop()
    assert held.modals == 0


async def test_components_without_a_message_are_counted_the_more_seldom_the_more_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 5.0
    monkeypatch.setattr(caches.time, "perf_counter", lambda: now)
    monkeypatch.setattr(caches, "FREE_COMPONENTS", 2)
    monkeypatch.setattr(caches, "COMPONENTS_A_SECOND", 4)
    bot = PlainBot()
    held = Caches(bot)
    for count, after, told in ((1, 0.0, 1), (2, 0.0, 2), (3, 0.0, 2), (3, 0.25, 3), (4, 0.25, 3), (4, 0.25, 4)):
        if len(bot.persistent_views) < count:
            bot.add_view(view_of(f"custom {count}"))
        now += after
        assert held.views == told
    # the first time they are counted, however many there are and however short a time the machine is up
    now = 0.0
    assert Caches(bot).views == 4


@pytest.mark.parametrize("away", ["_users", "_view_store"])
async def test_what_is_not_as_we_know_it_is_not_told(away: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bot = PlainBot()
    held = Caches(bot)
    monkeypatch.delattr(bot._connection, away)
    assert (held.users is None) == (away == "_users")
    assert (held.views is None, held.modals is None) == (away == "_view_store",) * 2


@pytest.mark.parametrize("away", ["_views", "_modals"])
async def test_a_store_that_is_not_as_we_know_it_is_not_told_of(away: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bot = PlainBot()
    held = Caches(bot)
    monkeypatch.delattr(bot._connection._view_store, away)
    assert (held.views is None, held.modals is None) == (away == "_views", away == "_modals")
