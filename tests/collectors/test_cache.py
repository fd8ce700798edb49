"""Members and caches of real clients, without a walk over any of them."""

from __future__ import annotations

import contextlib
import typing
from typing import Any

import discord
import pytest

from argus_exporter.cog import ClientExporter, attach
from argus_exporter.collectors import CacheCollector
from argus_exporter.settings import Settings
from examples.discord_simulator import Simulator
from tests.clients import KINDS, PlainBot, ShardedBot, logged_in, until, value

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator

MEMBERS = "discord_members"
CLOSED = {"port": "off", "state_dir": "off"}


@contextlib.asynccontextmanager
async def exported(client: discord.Client) -> AsyncIterator[ClientExporter]:
    exporter = attach(client, Settings(**CLOSED))
    try:
        yield exporter
    finally:
        await exporter.close()


def members(exporter: ClientExporter) -> float | None:
    exporter.sample()
    return value(exporter.instruments, MEMBERS)


def truth(client: discord.Client) -> int:
    return sum(guild.member_count or 0 for guild in client.guilds)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
async def test_each_kind_of_client_has_the_members_of_its_guilds(kind: Any) -> None:
    async with Simulator(guilds=16, shards=kind.count, members=4) as sim:
        client = kind.make()
        async with exported(client) as exporter, logged_in(client, sim, len(kind.shards)):
            assert members(exporter) == truth(client) == 5 * len(client.guilds) > 0
            metrics = exporter.instruments
            assert value(metrics, "discord_cached_users") == len(client.users)
            for name in ("discord_cached_messages", "discord_views", "discord_modals"):
                assert value(metrics, name) == 0
            assert value(metrics, "argus_exporter_collector_up", "cache") == 1


async def test_members_are_right_through_joins_leaves_outages_and_reconnects() -> None:
    async with Simulator(guilds=4, shards=2, members=4) as sim:
        bot = ShardedBot(shard_count=2)
        async with exported(bot) as exporter, logged_in(bot, sim, 2):
            for _ in range(3):
                await sim.event("GUILD_MEMBER_ADD", guild=0)
            await until(lambda: members(exporter) == 23)
            await sim.event("GUILD_MEMBER_REMOVE", guild=1)
            await until(lambda: members(exporter) == 22)
            async with sim.during("guild_outage", guild=1, count=1):
                await until(lambda: any(guild.unavailable for guild in bot.guilds))
                assert members(exporter) == truth(bot) == 22
            await sim.reconnect(0)
            await until(lambda: sim.sessions.get(0) and sim.sessions[0].resumes == 1)
            await sim.event("GUILD_MEMBER_ADD", guild=0)
            await until(lambda: members(exporter) == 23)
            await sim.invalidate(1, resumable=False)
            await until(lambda: sim.sessions.get(1) and sim.sessions[1].identifies == 2)
            await until(lambda: truth(bot) == 23)
            assert members(exporter) == 23
            await sim.event("GUILD_DELETE", guild=0)
            await until(lambda: len(bot.guilds) == 3)
            assert members(exporter) == truth(bot) == 14


async def test_an_exporter_that_comes_later_knows_the_members() -> None:
    async with Simulator(guilds=3, members=4) as sim:
        bot = PlainBot()
        async with logged_in(bot, sim), exported(bot) as exporter:
            await until(lambda: exporter._watching)
            assert members(exporter) == 15


async def test_a_sample_walks_over_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    walked: list[str] = []

    def refuse(name: str) -> Any:
        return property(lambda _: walked.append(name) or [])

    async with Simulator(guilds=3, members=4) as sim:
        bot = PlainBot()
        async with exported(bot) as exporter, logged_in(bot, sim):
            exporter.sample()
            for owner, name in (
                (discord.Client, "users"),
                (discord.Client, "guilds"),
                (discord.Client, "get_all_members"),
                (discord.Client, "get_all_channels"),
                (discord.Client, "emojis"),
                (discord.Guild, "members"),
                (discord.Guild, "member_count"),
            ):
                monkeypatch.setattr(owner, name, refuse(f"{owner.__name__}.{name}"))
            (cache,) = [each for each in exporter._watchers if isinstance(each, CacheCollector)]
            cache.sample()
            assert walked == []


async def test_members_that_cannot_be_followed_are_absent_and_the_collector_is_down() -> None:
    async with Simulator(guilds=2, members=4) as sim:
        bot = PlainBot()
        async with logged_in(bot, sim):
            state: Any = bot._connection
            parser = state.parsers.pop("GUILD_MEMBER_REMOVE")
            async with exported(bot) as exporter:
                await until(lambda: exporter._watching)
                state.parsers["GUILD_MEMBER_REMOVE"] = parser
                assert members(exporter) is None
                assert value(exporter.instruments, "argus_exporter_collector_up", "cache") == 0
                assert value(exporter.instruments, "discord_cached_users") == len(bot.users)


@pytest.mark.parametrize(
    ("away", "absent"),
    [("_users", {"discord_cached_users"}), ("_view_store", {"discord_views", "discord_modals"})],
)
async def test_a_cache_that_is_not_as_we_know_it_is_absent(away: str, absent: set[str]) -> None:
    async with Simulator(guilds=2, members=4) as sim:
        bot = PlainBot()
        async with exported(bot) as exporter, logged_in(bot, sim):
            state: Any = bot._connection
            kept = getattr(state, away)
            delattr(state, away)
            exporter.sample()
            setattr(state, away, kept)
            names = {"discord_cached_users", "discord_cached_messages", "discord_views", "discord_modals", MEMBERS}
            assert {name for name in names if value(exporter.instruments, name) is None} == absent
            assert value(exporter.instruments, "argus_exporter_collector_up", "cache") == 0


async def test_views_that_leak_are_seen_to() -> None:
    async with Simulator(guilds=1, members=4) as sim:
        bot = PlainBot()
        async with exported(bot) as exporter, logged_in(bot, sim):
            channel = bot.guilds[0].text_channels[0]
            for count in (1, 2, 3):
                view = discord.ui.View(timeout=None)
                view.add_item(discord.ui.Button(label="press"))
                message = await channel.send("gone in a moment", view=view)
                await message.delete()
                exporter.sample()
                assert value(exporter.instruments, "discord_views") == count
