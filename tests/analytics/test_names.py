"""What users, guilds, channels and threads are called: told once a day, and when it changes."""

from __future__ import annotations

import typing
from typing import Any

import pytest

from argus_exporter.analytics import names as module
from argus_exporter.analytics.events import (
    TEXT_LENGTH,
    CategoryRow,
    ChannelRow,
    GuildRow,
    MemberRow,
    ThreadRow,
    UserRow,
)
from argus_exporter.analytics.names import AGAIN_SECONDS, clean, milliseconds
from examples.discord_simulator import Simulator
from tests.analytics.recorded import Rows, recording
from tests.analytics.test_record import answer, ids
from tests.clients import PlainBot, until
from tests.discordpy.command_bots import slash

if typing.TYPE_CHECKING:
    from argus_exporter.analytics.names import Names


def names_of(rows: Rows) -> Names:
    names = rows.recorder.desk.names
    assert names is not None
    return names


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("general", "general"),
        ("x" * 1000, "x" * TEXT_LENGTH),
        ("a\0b", "ab"),
        ("\ud800!", "?!"),
        ("\N{PARTY POPPER}" * 200, "\N{PARTY POPPER}" * TEXT_LENGTH),
        ("", ""),
    ],
)
def test_a_text_is_kept_as_every_database_takes_it(text: str, kept: str) -> None:
    assert clean(text) == kept


def test_no_time_is_none() -> None:
    assert milliseconds(None) is None


async def test_what_a_message_refers_to_is_told_once_a_day() -> None:
    bot = PlainBot()
    async with Simulator() as sim, recording(bot, sim, "message", "names") as rows:
        guild_id, channel_id, user_id = ids(sim, 1, 1, 2)
        await sim.message(guild=1, channel=1, member=2)
        await sim.message(guild=1, channel=1, member=2)
        await until(lambda: len([row for row in rows if row.table == "messages"]) == 2)
        guild, channel = bot.get_guild(guild_id), bot.get_channel(channel_id)
        assert guild is not None
        told = rows.only(GuildRow)
        assert (told.id, told.name, told.in_guild) == (guild_id, guild.name, True)
        user = rows.only(UserRow)
        member = guild.get_member(user_id)
        assert member is not None
        assert (user.id, user.name, user.bot, user.public_flags) == (user_id, member.name, member.bot, 0)
        row = rows.only(MemberRow)
        assert (row.guild_id, row.user_id, row.in_guild, row.pending) == (guild_id, user_id, True, member.pending)
        assert row.joined_at == milliseconds(member.joined_at)
        found: Any = channel
        kept = next(each for each in rows.of(ChannelRow) if each.id == channel_id)
        assert (kept.name, kept.guild_id, kept.type) == (found.name, guild_id, found.type.name)
        assert kept.category_id == (found.category_id or 0)

        before, clock = len(rows), names_of(rows).now
        names_of(rows).now = lambda: clock() + AGAIN_SECONDS
        await sim.message(guild=1, channel=1, member=2)
        await until(lambda: len([row for row in rows if row.table == "messages"]) == 3)
        assert len(rows.of(GuildRow)) == len(rows.of(UserRow)) == len(rows.of(MemberRow)) == 2
        assert len(rows) == before * 2 - 1


async def test_who_used_a_command_is_told_too() -> None:
    bot = PlainBot()
    slash(bot.tree, "hello", answer)
    async with Simulator() as sim, recording(bot, sim, "interaction", "names") as rows:
        used = await sim.slash("hello", guild=1, channel=1, member=2)
        await until(lambda: rows.view.interactions.settle() == 0 and rows.of(UserRow))
        assert rows.only(UserRow).name == used.payload["member"]["user"]["username"]
        assert rows.only(UserRow).id == rows.only(MemberRow).user_id == ids(sim, 1, 1, 2)[2]
        assert rows.only(GuildRow).id == ids(sim, 1, 1, 2)[0]


@pytest.mark.parametrize("users", ["off", "hash"])
async def test_of_users_nothing_is_told_where_their_ids_are_not_kept_as_they_are(users: str) -> None:
    bot = PlainBot()
    async with Simulator() as sim, recording(bot, sim, "message", "member", "names", users=users) as rows:
        await sim.message()
        came = await sim.event("GUILD_MEMBER_ADD", guild=0)
        await sim.event("GUILD_MEMBER_UPDATE", guild=0, nick="x")
        await sim.event("GUILD_MEMBER_REMOVE", guild=0, user=came["user"])
        await until(lambda: len([row for row in rows if row.table == "member_events"]) == 2)
        assert rows.of(UserRow) == []
        assert rows.of(MemberRow) == []
        assert rows.of(GuildRow)


async def test_what_changes_is_told_and_what_goes_too() -> None:
    bot = PlainBot()
    async with Simulator() as sim, recording(bot, sim, "names") as rows:
        guild_id = bot.guilds[0].id
        await sim.event("GUILD_UPDATE", guild=guild_id, name="Renamed")
        await until(lambda: rows.of(GuildRow))
        assert rows.only(GuildRow).name == "Renamed"

        made = await sim.event("CHANNEL_CREATE", guild=guild_id, name="new")
        newer: dict[str, Any] = {**made, "name": "newer"}
        await sim.event("CHANNEL_UPDATE", guild=guild_id, **newer)
        await sim.event("CHANNEL_DELETE", guild=guild_id, **newer)
        await until(lambda: len([row for row in rows.of(ChannelRow) if row.id == int(made["id"])]) == 3)
        mine = [row for row in rows.of(ChannelRow) if row.id == int(made["id"])]
        assert [(row.name, row.in_guild) for row in mine] == [("new", True), ("newer", True), ("newer", False)]

        thread = await sim.event("THREAD_CREATE", guild=guild_id, name="talk")
        await until(lambda: rows.of(ThreadRow))
        kept = rows.of(ThreadRow)[0]
        assert (kept.id, kept.name, kept.parent_id) == (int(thread["id"]), "talk", int(thread["parent_id"]))
        assert (kept.archived, kept.locked, kept.in_guild) == (False, False, True)
        assert kept.auto_archive_minutes == thread["thread_metadata"]["auto_archive_duration"]
        await sim.event("THREAD_DELETE", guild=guild_id, id=thread["id"], parent_id=thread["parent_id"])
        await until(lambda: not rows.of(ThreadRow)[-1].in_guild)


async def test_a_category_is_a_row_of_its_own() -> None:
    bot = PlainBot()
    async with Simulator() as sim, recording(bot, sim, "names") as rows:
        made = await sim.event("CHANNEL_CREATE", guild=0, name="Talk", type=4)
        await until(lambda: rows.of(CategoryRow))
        row = rows.only(CategoryRow)
        assert (row.id, row.name, row.in_guild) == (int(made["id"]), "Talk", True)
        under = await sim.event("CHANNEL_CREATE", guild=0, name="under", parent_id=made["id"])
        await until(lambda: rows.of(ChannelRow))
        assert (rows.of(ChannelRow)[0].id, rows.of(ChannelRow)[0].category_id) == (int(under["id"]), row.id)


async def test_members_who_join_change_and_leave_are_told() -> None:
    bot = PlainBot()
    async with Simulator() as sim, recording(bot, sim, "names") as rows:
        guild_id = bot.guilds[0].id
        came = await sim.event("GUILD_MEMBER_ADD", guild=guild_id)
        changed: dict[str, Any] = {"guild": guild_id, "user": came["user"], "pending": True}
        await sim.event("GUILD_MEMBER_UPDATE", **changed)
        await until(lambda: len(rows.of(MemberRow)) == 2)
        await sim.event("GUILD_MEMBER_REMOVE", guild=guild_id, user=came["user"])
        await until(lambda: len(rows.of(MemberRow)) == 3)
        told = [(row.user_id, row.in_guild, row.pending) for row in rows.of(MemberRow)]
        user_id = int(came["user"]["id"])
        assert told == [(user_id, True, False), (user_id, True, True), (user_id, False, True)]


async def test_a_member_who_is_not_cached_has_left_all_the_same() -> None:
    bot = PlainBot()
    async with Simulator() as sim, recording(bot, sim, "names") as rows:
        stranger = {"id": "5" * 18, "username": "stranger", "discriminator": "0", "avatar": None}
        await sim.event("GUILD_MEMBER_REMOVE", guild=0, user=stranger)
        await until(lambda: rows)
        row = rows.only(MemberRow)
        assert (row.user_id, row.in_guild, row.joined_at) == (int("5" * 18), False, None)


async def test_a_user_who_is_renamed_is_told() -> None:
    bot = PlainBot()
    async with Simulator() as sim, recording(bot, sim, "names") as rows:
        place = sim.stage.place(0, 0, 1)
        assert place.guild is not None
        member = place.guild.member(1)
        renamed = {**member["user"], "username": "somebody_else"}
        await sim.event("GUILD_MEMBER_UPDATE", guild=0, member=1, user=renamed)
        await until(lambda: rows.of(UserRow))
        assert rows.only(UserRow).name == "somebody_else"


async def test_a_guild_that_the_bot_leaves_is_told() -> None:
    bot = PlainBot()
    async with Simulator() as sim, recording(bot, sim, "names") as rows:
        guild_id = await sim.join_guild()
        await sim.event("GUILD_DELETE", guild=guild_id)
        await until(lambda: len(rows.of(GuildRow)) == 2)
        assert [(row.id, row.in_guild) for row in rows.of(GuildRow)] == [(guild_id, True), (guild_id, False)]


async def test_of_direct_messages_and_unknown_places_no_place_is_told() -> None:
    bot = PlainBot()
    async with Simulator() as sim, recording(bot, sim, "message", "names") as rows:
        await sim.message(guild=None)
        names_of(rows).place(5, 6)
        names_of(rows).place(bot.guilds[0].id, 6)
        await until(lambda: rows.of(UserRow))
        assert rows.of(ChannelRow) == []
        assert rows.only(GuildRow).id == bot.guilds[0].id


async def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    bot = PlainBot()
    async with Simulator() as sim, recording(bot, sim, "names") as rows:
        first, second, third = [guild.id for guild in bot.guilds][:3]
        for guild_id in (first, second, third, third, second, first):
            names_of(rows).place(guild_id, 0)
        assert [row.id for row in rows.of(GuildRow)] == [first, second, third, first]
        told: Any = names_of(rows)
        assert len(told._told) == 2
