"""Members on request, presence and voice state of the bot."""

from __future__ import annotations

from dataclasses import replace

import discord

from examples.discord_simulator import QUICK, Simulator
from tests.simulator.bots import connected, until

_NO_PRESENCES = discord.Intents(guilds=True, members=True, guild_messages=True)


async def test_members_are_chunked_at_startup_without_the_presences_intent() -> None:
    async with Simulator(guilds=2, members=2300, channels=1) as sim:
        async with connected(sim, intents=_NO_PRESENCES) as bot:
            assert [len(guild.members) for guild in bot.guilds] == [2301, 2301]
            assert sim.dispatched[0, "GUILD_MEMBERS_CHUNK"] == 6


async def test_members_can_be_queried_by_name_and_by_id(sim: Simulator) -> None:
    intents = discord.Intents(guilds=True)
    async with connected(sim, intents=intents, chunk_guilds_at_startup=False) as bot:
        guild = bot.get_guild(sim.guild_ids[0])
        assert guild is not None
        assert len(guild.members) == 1
        wanted = sim.world.guild(0).member(3)["user"]
        [by_name] = await guild.query_members(wanted["username"], cache=False)
        [by_id] = await guild.query_members(user_ids=[int(wanted["id"])], cache=False)
        assert by_name.id == by_id.id == int(wanted["id"])


async def test_presences_come_along_when_asked_for(sim: Simulator) -> None:
    async with connected(sim) as bot:
        guild = bot.guilds[0]
        members = await guild.query_members("person", limit=100, presences=True, cache=False)
        assert len(members) == 5
        assert any(member.status is not discord.Status.offline for member in members)


async def test_asking_for_all_members_too_often_is_answered_with_rate_limited() -> None:
    async with Simulator(guilds=1, members=3, limits=replace(QUICK, members_window=30.0)) as sim:
        async with connected(sim) as bot:
            ws = bot._connection._get_websocket(sim.guild_ids[0])
            await ws.request_chunks(sim.guild_ids[0], "", limit=0, nonce="one")
            await until(lambda: bot.events["GUILD_MEMBERS_CHUNK"] == 1, sim)
            await ws.request_chunks(sim.guild_ids[0], "", limit=0, nonce="two")
            await until(lambda: bot.events["RATE_LIMITED"] == 1, sim)
            assert bot.events["GUILD_MEMBERS_CHUNK"] == 1


async def test_the_bots_presence_is_taken_over(sim: Simulator) -> None:
    async with connected(sim) as bot:
        await bot.change_presence(activity=discord.Game("chess"), status=discord.Status.idle)
        await until(lambda: sim.sessions[0].presence.get("status") == "idle", sim)
        assert sim.sessions[0].presence["activities"][0]["name"] == "chess"


async def test_the_bots_voice_state_is_answered(sim: Simulator) -> None:
    async with connected(sim) as bot:
        guild = bot.guilds[0]
        await guild.change_voice_state(channel=guild.voice_channels[0], self_deaf=True)
        await until(lambda: bot.events["VOICE_SERVER_UPDATE"] == 1, sim)
        assert guild.me.voice is not None
        assert guild.me.voice.channel == guild.voice_channels[0]
        assert guild.me.voice.self_deaf
        await guild.change_voice_state(channel=None)
        await until(lambda: guild.me.voice is None, sim)
