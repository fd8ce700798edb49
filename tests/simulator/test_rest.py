"""REST calls of a real client: messages, members, channels, webhooks, files, the CDN."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import discord
import pytest

from examples.discord_simulator import Simulator
from examples.discord_simulator.cdn import IMAGE
from tests.simulator.bots import Bot, connected, until


@pytest.fixture
async def bot(sim: Simulator) -> AsyncIterator[Bot]:
    async with connected(sim) as bot:
        yield bot


@pytest.fixture
def guild(sim: Simulator, bot: Bot) -> discord.Guild:
    guild = bot.get_guild(sim.guild_ids[0])
    assert guild is not None
    return guild


@pytest.fixture
def channel(guild: discord.Guild) -> discord.TextChannel:
    return guild.text_channels[0]


async def test_a_message_is_sent_fetched_edited_and_deleted(
    bot: Bot, channel: discord.TextChannel, sim: Simulator
) -> None:
    sent = await channel.send("one", embed=discord.Embed(title="t"))
    assert (await channel.fetch_message(sent.id)).embeds[0].title == "t"
    await sent.edit(content="two")
    assert (await channel.fetch_message(sent.id)).content == "two"
    await sent.delete()
    with pytest.raises(discord.NotFound) as missing:
        await channel.fetch_message(sent.id)
    assert missing.value.code == 10008
    await until(lambda: {"MESSAGE_CREATE", "MESSAGE_UPDATE", "MESSAGE_DELETE"} <= set(bot.events), sim)
    assert bot.last("message").author == channel.guild.me


async def test_an_empty_message_is_refused(channel: discord.TextChannel) -> None:
    with pytest.raises(discord.HTTPException) as refused:
        await channel.send("")
    assert (refused.value.status, refused.value.code) == (400, 50006)


async def test_another_users_message_cannot_be_edited(bot: Bot, channel: discord.TextChannel, sim: Simulator) -> None:
    data = await sim.message("mine", channel=channel.id)
    with pytest.raises(discord.Forbidden) as refused:
        await channel.get_partial_message(int(data["id"])).edit(content="yours")
    assert refused.value.code == 50005


async def test_the_history_is_newest_first_and_pages(channel: discord.TextChannel) -> None:
    sent = [await channel.send(str(number)) for number in range(5)]
    assert [message.content async for message in channel.history()] == ["4", "3", "2", "1", "0"]
    assert [message.content async for message in channel.history(before=sent[2])] == ["1", "0"]
    assert [message.content async for message in channel.history(after=sent[2], oldest_first=True)] == ["3", "4"]


async def test_messages_are_deleted_in_bulk(bot: Bot, channel: discord.TextChannel, sim: Simulator) -> None:
    sent = [await channel.send(str(number)) for number in range(3)]
    await channel.delete_messages(sent)
    await until(lambda: "raw_bulk_message_delete" in bot.told, sim)
    assert [message async for message in channel.history()] == []


async def test_a_reply_knows_what_it_answers(channel: discord.TextChannel) -> None:
    first = await channel.send("first")
    reply = await first.reply("second")
    assert reply.type is discord.MessageType.reply
    assert isinstance(reply.reference.resolved, discord.Message)  # type: ignore[union-attr]
    assert reply.reference.resolved.id == first.id  # type: ignore[union-attr]


async def test_reactions_come_back_as_events(bot: Bot, channel: discord.TextChannel, sim: Simulator) -> None:
    sent = await channel.send("react")
    await sent.add_reaction("👍")
    await sent.remove_reaction("👍", channel.guild.me)
    await sent.clear_reaction("👍")
    await sent.clear_reactions()
    await until(lambda: "raw_reaction_clear" in bot.told, sim)
    assert str(bot.last("raw_reaction_add").emoji) == "👍"
    assert bot.events["MESSAGE_REACTION_REMOVE"] == 1


async def test_typing_pinning_and_unpinning(channel: discord.TextChannel, sim: Simulator) -> None:
    async with channel.typing():
        sent = await channel.send("pin me")
    await sent.pin()
    assert sim.stage.messages.get(sent.id)["pinned"]  # type: ignore[index]
    await sent.unpin()
    assert not sim.stage.messages.get(sent.id)["pinned"]  # type: ignore[index]


async def test_files_are_uploaded_and_read_back_from_the_cdn(channel: discord.TextChannel) -> None:
    sent = await channel.send("file", file=discord.File(io.BytesIO(b"hello"), "a.txt"))
    [attachment] = sent.attachments
    assert (attachment.filename, attachment.size) == ("a.txt", 5)
    assert await attachment.read() == b"hello"


async def test_an_avatar_is_read_from_the_cdn(bot: Bot, sim: Simulator) -> None:
    assert bot.user is not None
    assert await bot.user.display_avatar.read() == IMAGE
    assert (sim.requests[-1].route, sim.requests[-1].status) == ("GET /cdn/{path}", 200)


async def test_members_are_fetched_edited_kicked_and_banned(bot: Bot, guild: discord.Guild, sim: Simulator) -> None:
    one, two = guild.members[1], guild.members[2]
    assert (await guild.fetch_member(one.id)).id == one.id
    await one.edit(nick="New")
    role = guild.roles[2]
    await one.add_roles(role)
    await until(lambda: role in one.roles and one.nick == "New", sim)
    await one.remove_roles(role)
    await until(lambda: role not in one.roles, sim)
    await one.kick()
    await guild.ban(two, delete_message_seconds=0)
    await until(lambda: len(bot.told.get("member_remove", ())) == 2, sim)
    assert [entry.user.id async for entry in guild.bans()] == [two.id]
    await guild.unban(two)
    with pytest.raises(discord.NotFound):
        await guild.fetch_ban(two)
    left = {member.id for member in guild.members} - {one.id, two.id}
    assert {member.id async for member in guild.fetch_members()} == left


async def test_a_stranger_is_no_member(guild: discord.Guild) -> None:
    with pytest.raises(discord.NotFound) as missing:
        await guild.fetch_member(1)
    assert missing.value.code == 10007


async def test_channels_and_threads_are_made_changed_and_deleted(
    bot: Bot, guild: discord.Guild, sim: Simulator
) -> None:
    made = await guild.create_text_channel("made")
    assert (await bot.fetch_channel(made.id)).name == "made"  # type: ignore[union-attr]
    await made.edit(name="changed")
    await until(lambda: guild.get_channel(made.id) is not None and "guild_channel_update" in bot.told, sim)
    thread = await made.create_thread(name="thread", type=discord.ChannelType.public_thread)
    await thread.edit(name="still a thread")
    await thread.delete()
    await made.delete()
    await until(lambda: "guild_channel_delete" in bot.told and "thread_delete" in bot.told, sim)
    with pytest.raises(discord.NotFound):
        await bot.fetch_channel(made.id)


async def test_roles_are_made_changed_and_deleted(bot: Bot, guild: discord.Guild, sim: Simulator) -> None:
    role = await guild.create_role(name="made")
    assert role.name == "made"
    await role.edit(name="changed")
    await role.delete()
    await until(lambda: "guild_role_delete" in bot.told, sim)
    assert len(await guild.fetch_roles()) == 4


async def test_guilds_and_users_are_fetched_and_left(bot: Bot, guild: discord.Guild, sim: Simulator) -> None:
    assert (await bot.fetch_guild(guild.id)).approximate_member_count == 6
    assert len([one async for one in bot.fetch_guilds()]) == 4
    someone = guild.members[3]
    assert (await bot.fetch_user(someone.id)).name == someone.name
    assert (await someone.create_dm()).recipient == someone._user
    assert (await someone.send("hi")).content == "hi"
    await guild.leave()
    await until(lambda: "guild_remove" in bot.told, sim)
    with pytest.raises(discord.NotFound):
        await bot.fetch_guild(guild.id)


async def test_webhooks_are_made_executed_and_deleted(channel: discord.TextChannel) -> None:
    hook = await channel.create_webhook(name="hook")
    assert [one.id for one in await channel.webhooks()] == [hook.id]
    sent = await hook.send("from a hook", wait=True, username="Somebody")
    assert (sent.author.name, sent.webhook_id) == ("Somebody", hook.id)
    await sent.edit(content="edited")
    assert (await hook.fetch_message(sent.id)).content == "edited"
    await sent.delete()
    assert (await hook.edit(name="renamed")).name == "renamed"
    await hook.delete()
    with pytest.raises(discord.NotFound):
        await hook.send("gone")


async def test_an_unknown_path_is_404(bot: Bot) -> None:
    with pytest.raises(discord.NotFound):
        await bot.http.request(discord.http.Route("GET", "/nothing/here"))


async def test_requests_are_noted_with_route_status_and_body(channel: discord.TextChannel, sim: Simulator) -> None:
    await channel.send("note me")
    seen = sim.requests[-1]
    assert (seen.method, seen.route, seen.status) == ("POST", "POST /channels/{channel_id}/messages", 200)
    assert seen.path == f"/api/v10/channels/{channel.id}/messages"
    assert seen.json["content"] == "note me"
    assert 0 < seen.duration < 5


async def test_answers_carry_the_headers_discord_py_reads(sim: Simulator) -> None:
    headers = {"Authorization": f"Bot {sim.token}"}
    async with aiohttp.request("GET", f"{sim.url}/api/v10/users/@me", headers=headers) as response:
        got: Any = response.headers
    assert got["Via"] == "1.1 google"
    assert got["Content-Type"] == "application/json"
    assert int(got["X-RateLimit-Limit"]) > int(got["X-RateLimit-Remaining"]) >= 0
    assert float(got["X-RateLimit-Reset-After"]) > 0
    assert float(got["X-RateLimit-Reset"]) > 1.6e9
    assert len(got["X-RateLimit-Bucket"]) == 32
    assert got["Date"].endswith("GMT")


async def test_a_request_without_a_token_is_401(sim: Simulator) -> None:
    async with aiohttp.request("GET", f"{sim.url}/api/v10/users/@me") as response:
        assert response.status == 401
        assert await response.json() == {"message": "401: Unauthorized", "code": 0}
    assert sim.rest.limits.invalid_requests == 1
