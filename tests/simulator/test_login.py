"""Logging in, shards, and pointing discord.py here and back."""

from __future__ import annotations

import asyncio

import discord
import pytest
from discord.gateway import DiscordWebSocket
from discord.http import Route

from examples.discord_simulator import Simulator, point_at
from tests.simulator.bots import Bot, by_event, connected, settled, until


async def test_an_unmodified_client_becomes_ready_and_sees_the_whole_world(sim: Simulator) -> None:
    async with connected(sim) as bot:
        assert bot.user is not None
        assert bot.user.id == sim.world.bot_id
        assert bot.application_id == sim.world.application_id
        assert sorted(guild.id for guild in bot.guilds) == sorted(sim.guild_ids)
        guild = bot.get_guild(sim.guild_ids[0])
        assert guild is not None
        assert guild.member_count == len(guild.members) == 6
        assert len(guild.text_channels) == 2
        assert len(guild.voice_channels) == len(guild.categories) == 1
        assert [role.name for role in guild.roles] == ["@everyone", "Member", "Moderator", "Admin"]
        assert guild.me.guild_permissions.administrator


async def test_a_plain_client_without_shards_works_too(sim: Simulator) -> None:
    client = discord.Client(intents=discord.Intents.default())
    with point_at(sim.url):
        task = asyncio.create_task(client.start(sim.token))
        await sim.wait_for_shards(1)
        await until(lambda: len(client.guilds) == 4, sim)
        assert sim.sessions[0].shard_count == 1
        await client.close()
        await task


async def test_a_wrong_token_fails_the_login(sim: Simulator) -> None:
    client = discord.Client(intents=discord.Intents.default())
    with point_at(sim.url), pytest.raises(discord.LoginFailure):
        await client.login("wrong")
    await client.close()


async def test_guild_number_i_lives_on_shard_i_modulo_the_shards() -> None:
    async with Simulator(guilds=8, members=1, channels=1) as sim, connected(sim, shard_count=4) as bot:
        assert {guild.id: guild.shard_id for guild in bot.guilds} == {
            guild: number % 4 for number, guild in enumerate(sim.guild_ids)
        }
        await settled(sim, bot)
        assert sim.dispatched[3, "GUILD_CREATE"] == 2


async def test_the_advised_number_of_shards_is_used() -> None:
    async with Simulator(guilds=2, members=1, channels=1, shards=3) as sim, connected(sim) as bot:
        assert bot.shard_count == 3
        assert set(sim.sessions) == {0, 1, 2}


async def test_a_hundred_shards_log_in() -> None:
    async with Simulator(guilds=200, members=1, channels=1, shards=100) as sim, connected(sim) as bot:
        await settled(sim, bot)
        assert len(sim.sessions) == 100
        assert by_event(sim)["GUILD_CREATE"] == 200


async def test_one_bot_may_be_spread_over_several_clients() -> None:
    async with Simulator(guilds=8, members=1, channels=1) as sim:
        async with (
            connected(sim, shard_count=4, shard_ids=[0, 1]) as one,
            connected(sim, shard_count=4, shard_ids=[2, 3]) as two,
        ):
            assert {guild.shard_id for guild in one.guilds} == {0, 1}
            assert {guild.shard_id for guild in two.guilds} == {2, 3}
            await sim.message(guild=2)
            await until(lambda: two.events["MESSAGE_CREATE"] == 1, sim)
            assert one.events["MESSAGE_CREATE"] == 0


async def test_direct_messages_come_on_shard_zero(sim: Simulator) -> None:
    async with connected(sim, shard_count=2) as bot:
        await sim.message("psst", guild=None, member=3)
        await until(lambda: "message" in bot.told, sim)
        message = bot.last("message")
        assert isinstance(message.channel, discord.DMChannel)
        assert message.author.id == int(sim.world.user(3)["id"])
        assert sim.dispatched[0, "MESSAGE_CREATE"] == 1


async def test_guilds_that_are_out_stay_unavailable(sim: Simulator) -> None:
    sim.world.guild(1).unavailable = True
    async with connected(sim) as bot:
        assert [guild.unavailable for guild in bot.guilds].count(True) == 1
        await sim.event("GUILD_CREATE", guild=1)
        await until(lambda: "guild_available" in bot.told and bot.told["guild_available"][-1][0].member_count == 6, sim)


async def test_pointing_here_can_be_undone() -> None:
    before = (Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY, discord.Asset.BASE)
    pointing = point_at("http://127.0.0.1:1")
    assert Route.BASE == "http://127.0.0.1:1/api/v10"
    assert str(DiscordWebSocket.DEFAULT_GATEWAY) == "ws://127.0.0.1:1/gateway"
    pointing.undo()
    pointing.undo()
    assert before == (Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY, discord.Asset.BASE)


async def test_the_same_seed_makes_the_same_world() -> None:
    one, two, other = Simulator(seed=7), Simulator(seed=7), Simulator(seed=8)
    assert one.guild_ids == two.guild_ids != other.guild_ids
    assert one.world.guild(1).create(full=True) == two.world.guild(1).create(full=True)


async def test_no_two_ids_of_a_world_share_a_millisecond() -> None:
    sim = Simulator(guilds=100, members=100, channels=10)
    members = {user for guild in sim.world.guilds.values() for user in guild.members}
    channels = {channel for guild in sim.world.guilds.values() for channel in guild.channels}
    for ids in (set(sim.guild_ids), members, channels):
        assert len({snowflake >> 22 for snowflake in ids}) == len(ids)


async def test_a_busy_port_is_an_error(sim: Simulator) -> None:
    other = Simulator(port=sim.port)
    with pytest.raises(OSError, match="in use"):
        await other.start()


async def test_closing_the_simulator_frees_its_port() -> None:
    sim = Simulator()
    await sim.start()
    port = sim.port
    await sim.close()
    again = Simulator(port=port)
    await again.start()
    await again.close()


async def test_the_bots_application_can_be_fetched(sim: Simulator) -> None:
    async with connected(sim) as bot:
        info = await bot.application_info()
        assert info.id == sim.world.application_id
        assert isinstance(bot, Bot)
