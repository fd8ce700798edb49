"""Every event, parsed by discord.py into the right object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import discord
import pytest

from examples.discord_simulator import Simulator
from examples.discord_simulator.events import EVENTS
from tests.simulator.bots import Bot, connected, until

Check = Callable[[Any, dict[str, Any]], bool]


def _message(message: discord.Message, data: dict[str, Any]) -> bool:
    assert isinstance(message.author, discord.Member)
    assert isinstance(message.channel, discord.TextChannel)
    return message.id == int(data["id"]) and message.content == data["content"] and message.guild is not None


def _reaction(payload: discord.RawReactionActionEvent, data: dict[str, Any]) -> bool:
    return (payload.message_id, payload.user_id) == (int(data["message_id"]), int(data["user_id"]))


def _id(thing: Any, data: dict[str, Any]) -> bool:
    return thing.id == int(data["id"])


def _second_id(things: Any, data: dict[str, Any]) -> bool:
    return things[1].id == int(data["id"])


def _member(member: discord.Member, data: dict[str, Any]) -> bool:
    assert isinstance(member, discord.Member)
    return member.id == int(data["user"]["id"])


def _banned(things: Any, data: dict[str, Any]) -> bool:
    return things[1].id == int(data["user"]["id"]) and things[0].id == int(data["guild_id"])


EXPECTED: dict[str, tuple[str, Check]] = {
    "MESSAGE_CREATE": ("message", _message),
    "MESSAGE_UPDATE": ("raw_message_edit", lambda raw, data: raw.message_id == int(data["id"])),
    "MESSAGE_DELETE": ("raw_message_delete", lambda raw, data: raw.message_id == int(data["id"])),
    "MESSAGE_DELETE_BULK": ("raw_bulk_message_delete", lambda raw, data: raw.message_ids == set(map(int, data["ids"]))),
    "MESSAGE_REACTION_ADD": ("raw_reaction_add", lambda raw, data: _reaction(raw, data) and raw.member is not None),
    "MESSAGE_REACTION_REMOVE": ("raw_reaction_remove", _reaction),
    "MESSAGE_REACTION_REMOVE_ALL": ("raw_reaction_clear", lambda raw, data: raw.message_id == int(data["message_id"])),
    "MESSAGE_REACTION_REMOVE_EMOJI": ("raw_reaction_clear_emoji", lambda raw, _: raw.emoji.name == "👍"),
    "TYPING_START": ("typing", lambda args, data: isinstance(args[1], discord.Member)),
    "PRESENCE_UPDATE": ("presence_update", lambda args, data: str(args[1].raw_status) == data["status"]),
    "VOICE_STATE_UPDATE": ("voice_state_update", lambda args, data: args[2].channel.id == int(data["channel_id"])),
    "GUILD_MEMBER_ADD": ("member_join", _member),
    "GUILD_MEMBER_UPDATE": ("member_update", lambda args, data: args[1].nick == data["nick"]),
    "GUILD_MEMBER_REMOVE": ("member_remove", _member),
    "GUILD_BAN_ADD": ("member_ban", _banned),
    "GUILD_BAN_REMOVE": ("member_unban", _banned),
    "CHANNEL_CREATE": ("guild_channel_create", _id),
    "CHANNEL_UPDATE": ("guild_channel_update", lambda args, data: args[1].name == data["name"]),
    "CHANNEL_DELETE": ("guild_channel_delete", _id),
    "CHANNEL_PINS_UPDATE": ("guild_channel_pins_update", lambda args, data: args[0].id == int(data["channel_id"])),
    "THREAD_CREATE": ("thread_create", _id),
    "THREAD_UPDATE": ("thread_update", lambda args, data: args[1].name == "renamed"),
    "THREAD_DELETE": ("thread_delete", _id),
    "GUILD_ROLE_CREATE": ("guild_role_create", lambda role, data: role.id == int(data["role"]["id"])),
    "GUILD_ROLE_UPDATE": ("guild_role_update", lambda args, data: args[1].name == data["role"]["name"]),
    "GUILD_ROLE_DELETE": ("guild_role_delete", lambda role, data: role.id == int(data["role_id"])),
    "GUILD_CREATE": ("guild_join", _id),
    "GUILD_UPDATE": ("guild_update", lambda args, data: args[1].name == data["name"]),
    "GUILD_DELETE": ("guild_remove", _id),
    "GUILD_EMOJIS_UPDATE": ("guild_emojis_update", lambda args, data: len(args[2]) == 1),
    "INVITE_CREATE": ("invite_create", lambda invite, data: invite.code == data["code"]),
    "INVITE_DELETE": ("invite_delete", lambda invite, data: invite.code == data["code"]),
    "WEBHOOKS_UPDATE": ("webhooks_update", lambda channel, data: channel.id == int(data["channel_id"])),
    "GUILD_INTEGRATIONS_UPDATE": ("guild_integrations_update", lambda guild, data: guild.id == int(data["guild_id"])),
    "USER_UPDATE": ("socket_event_type", lambda name, _: name == "USER_UPDATE"),
    "RATE_LIMITED": ("socket_event_type", lambda name, _: name == "RATE_LIMITED"),
    "INTERACTION_CREATE": ("interaction", _id),
}


def test_every_event_has_an_expectation() -> None:
    assert set(EXPECTED) == set(EVENTS)


async def _prepared(sim: Simulator, name: str) -> int:
    """The guild to use: a new one that the bot joins, else one that has what the event needs."""
    if name == "GUILD_CREATE":
        return sim.world.add_guild().id
    if name in ("THREAD_UPDATE", "THREAD_DELETE"):
        await sim.event("THREAD_CREATE")
    if name == "MESSAGE_DELETE_BULK":
        for _ in range(3):
            await sim.message()
    return sim.guild_ids[0]


async def _quiet(bot: Bot, sim: Simulator, name: str) -> None:
    """discord.py logs an error for a command that the tree does not have; here it has one."""

    @bot.tree.command(name="ping", description="-")
    async def _(interaction: discord.Interaction) -> None:
        await interaction.response.send_message("pong")


@pytest.mark.parametrize("name", sorted(EXPECTED))
async def test_discord_py_parses_the_event_into_the_right_object(sim: Simulator, name: str) -> None:
    dispatched, check = EXPECTED[name]
    async with connected(sim) as bot:
        await _quiet(bot, sim, name)
        guild = await _prepared(sim, name)
        data = await sim.event(name, guild=guild, member=2)
        await until(lambda: bot.events[name] and dispatched in bot.told, sim)
        await sim.flush()
        assert check(bot.last(dispatched), data)


async def test_an_outage_and_its_end_are_told_apart_from_leaving(sim: Simulator) -> None:
    async with connected(sim) as bot:
        await sim.event("GUILD_DELETE", guild=0, unavailable=True)
        await until(lambda: "guild_unavailable" in bot.told, sim)
        assert "guild_remove" not in bot.told
        before = len(bot.told["guild_available"])
        await sim.event("GUILD_CREATE", guild=0)
        await until(lambda: len(bot.told["guild_available"]) == before + 1, sim)
        assert "guild_join" not in bot.told


async def test_leaving_the_voice_channel(sim: Simulator) -> None:
    async with connected(sim) as bot:
        await sim.event("VOICE_STATE_UPDATE", member=1)
        await sim.event("VOICE_STATE_UPDATE", member=1, channel_id=None)
        await until(lambda: len(bot.told.get("voice_state_update", ())) == 2, sim)
        _, before, after = bot.last("voice_state_update")
        assert before.channel is not None
        assert after.channel is None


async def test_a_cached_message_is_edited_and_deleted(sim: Simulator) -> None:
    async with connected(sim) as bot:
        message = await sim.message("first")
        await sim.event("MESSAGE_UPDATE", id=message["id"], content="second")
        await sim.event("MESSAGE_DELETE", id=message["id"])
        await until(lambda: "message_delete" in bot.told, sim)
        before, after = bot.last("message_edit")
        assert (before.content, after.content) == ("first", "second")
        assert bot.last("message_delete").id == int(message["id"])


async def test_a_raw_event_goes_to_one_shard_or_to_a_guilds_shard(sim: Simulator) -> None:
    async with connected(sim, shard_count=2) as bot:
        assert await sim.dispatch("SOMETHING_NEW", {"x": 1}, shard_id=1) == 1
        assert await sim.dispatch("SOMETHING_NEW", {"guild_id": str(sim.guild_ids[0])}) == 1
        assert await sim.dispatch("SOMETHING_NEW", {}, guild=1) == 1
        await until(lambda: bot.events["SOMETHING_NEW"] == 3, sim)
        assert sim.dispatched[1, "SOMETHING_NEW"] == 2


async def test_an_unknown_event_name_is_an_error(sim: Simulator) -> None:
    with pytest.raises(LookupError, match="no event 'NOPE'"):
        await sim.event("NOPE")
    with pytest.raises(LookupError, match="no guild 99"):
        await sim.message(guild=99)
