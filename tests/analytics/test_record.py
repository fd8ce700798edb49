"""What a bot's events become: a row each, with the right ids and times."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from datetime import datetime
from typing import Any

import discord
import pytest

from argus_exporter.analytics.events import (
    TABLES,
    CommandRow,
    GuildEventRow,
    InteractionRow,
    MemberEventRow,
    MessageRow,
)
from argus_exporter.analytics.record import born
from argus_exporter.discordpy.interactions import MAX_AGE
from examples.discord_simulator import Simulator
from tests.analytics.recorded import recording
from tests.clients import PlainBot, ShardedBot, until
from tests.discordpy.command_bots import OddError, furnish_prefix, furnish_tree, raising, slash


def ids(sim: Simulator, guild: int = 0, channel: int = 0, member: int = 0) -> tuple[int, int, int]:
    place = sim.stage.place(guild, channel, member)
    assert place.guild is not None
    return place.guild.id, int(place.channel["id"]), int(place.guild.member(member)["user"]["id"])


async def answer(interaction: discord.Interaction[Any]) -> None:
    await interaction.response.send_message("yes")


async def nothing(_: discord.Interaction[Any]) -> None: ...


async def test_an_interaction_that_is_answered_and_has_ended_is_one_row() -> None:
    bot = PlainBot()
    slash(bot.tree, "hello", answer)
    async with Simulator() as sim, recording(bot, sim, "interaction") as rows:
        used = await sim.slash("hello", guild=1, channel=1, member=2)
        await until(lambda: rows.view.interactions.settle() == 0 and rows)
        row = rows.only(InteractionRow)
        assert (row.guild_id, row.channel_id, row.user_id) == ids(sim, 1, 1, 2)
        assert (row.id, row.at, row.type) == (int(used.payload["id"]), born(int(used.payload["id"])), "slash")
        assert (row.outcome, row.missed, row.shard_id) == ("ok", False, 0)
        assert row.ack_seconds is not None
        assert row.duration_seconds is not None
        assert 0 < row.ack_seconds < row.duration_seconds < 5
        assert row.delivery_seconds is not None
    assert len(rows) == 1


async def test_the_time_of_an_id_is_that_of_discords_clock() -> None:
    assert born(discord.utils.time_snowflake(discord.utils.utcnow())) == pytest.approx(time.time() * 1000, abs=1000)


async def test_one_that_is_never_answered_is_a_row_when_it_is_no_longer_followed_or_at_the_end() -> None:
    bot = PlainBot()
    slash(bot.tree, "silent", nothing)
    async with Simulator() as sim, recording(bot, sim, "interaction") as rows:
        await sim.slash("silent")
        await sim.slash("silent")
        await until(lambda: len(rows.view.interactions.followed()) == 2 and not rows.view.commands.runs)
        first, second = rows.view.interactions.followed()
        assert all(isinstance(each, int) for each in first.whose[:3])
        assert first.whose[3] is None  # nothing of a payload waits where no names are kept
        rows.view.interactions.now = lambda: (first.received + second.received) / 2 + MAX_AGE
        rows.view.interactions.settle()
        assert [row.id for row in rows.of(InteractionRow)] == [first.id]
        assert rows.of(InteractionRow)[0].missed is True
    assert [(row.id, row.ack_seconds) for row in rows.of(InteractionRow)] == [(first.id, None), (second.id, None)]


async def test_one_in_a_direct_message_has_no_guild() -> None:
    bot = PlainBot()
    slash(bot.tree, "hello", answer)
    async with Simulator() as sim, recording(bot, sim, "interaction") as rows:
        used = await sim.slash("hello", guild=None, member=3)
        await until(lambda: rows.view.interactions.settle() == 0 and rows)
        row = rows.only(InteractionRow)
        assert (row.guild_id, row.user_id) == (0, int(used.payload["user"]["id"]))
        assert row.channel_id == int(used.payload["channel_id"])


@pytest.mark.parametrize("at_once", [True, False])
async def test_commands_of_all_kinds_are_rows_with_their_outcomes(at_once: bool) -> None:
    bot = PlainBot()
    furnish_tree(bot.tree)
    furnish_prefix(bot)
    async with Simulator() as sim, recording(bot, sim, "command") as rows:
        rows.view.journal.hurry("tests", needed=at_once)
        used = await sim.slash("group sub command", guild=1, member=1)
        await sim.slash("broken", guild=0)
        message = await sim.message("!both", guild=1, channel=1, member=2)
        await sim.user_menu("Menu", guild=1)
        await until(
            lambda: not rows.view.commands.runs and rows.view.interactions.settle() is not None and len(rows) == 4
        )
        found = {(row.command, row.type, row.outcome, row.error): row for row in rows.of(CommandRow)}
        assert found.keys() == {
            ("group sub command", "slash", "ok", ""),
            ("broken", "slash", "bot_error", "OddError"),
            ("both", "prefix", "ok", ""),
            ("Menu", "user", "ok", ""),
        }
        app = found["group sub command", "slash", "ok", ""]
        assert (app.guild_id, app.channel_id, app.user_id) == ids(sim, 1, 0, 1)
        assert (app.id, app.at) == (int(used.payload["id"]), born(app.id))
        prefix = found["both", "prefix", "ok", ""]
        assert (prefix.guild_id, prefix.channel_id, prefix.user_id) == ids(sim, 1, 1, 2)
        assert (prefix.id, prefix.at) == (int(message["id"]), born(prefix.id))
        assert all(row.duration_seconds is not None and 0 < row.duration_seconds < 5 for row in found.values())


async def test_a_prefix_command_in_a_direct_message_has_no_guild() -> None:
    bot = PlainBot()
    furnish_prefix(bot)
    async with Simulator() as sim, recording(bot, sim, "command") as rows:
        await sim.message("!both", guild=None)
        await until(lambda: rows)
        assert rows.only(CommandRow).guild_id == 0


async def test_a_messages_life_is_told_and_what_it_says_is_not() -> None:
    async with Simulator() as sim, recording(PlainBot(), sim, "message") as rows:
        written = await sim.message("a secret", guild=1, channel=1, member=2)
        message_id = int(written["id"])
        given: dict[str, Any] = {"guild": 1, "channel": 1, "id": str(message_id)}
        edited = "2026-01-02T03:04:05.678000+00:00"
        await sim.event("MESSAGE_UPDATE", edited_timestamp=None, **given)
        await sim.event("MESSAGE_UPDATE", edited_timestamp=edited, **given)
        await sim.event("MESSAGE_DELETE", **given)
        await until(lambda: len(rows) == 3)
        first, second, third = rows.of(MessageRow)
        guild_id, channel_id, user_id = ids(sim, 1, 1, 2)
        assert first == MessageRow(message_id, born(message_id), True, 0, guild_id, channel_id, user_id, None, None)
        assert second == dataclasses.replace(first, seen=False, user_id=0, edited_at=1767323045678)
        assert third.deleted_at == pytest.approx(time.time() * 1000, abs=60_000)
        assert third == dataclasses.replace(second, edited_at=None, deleted_at=third.deleted_at)


async def test_messages_are_noted_and_made_rows_many_at_once() -> None:
    async with Simulator() as sim, recording(PlainBot(), sim, "message") as rows:
        noted = rows.recorder.desk.piles["messages"]
        rows.view.journal.hurry("tests", needed=False)
        sent = [int((await sim.message(guild=0))["id"]) for _ in range(3)]
        await until(lambda: len(noted) == 3)
        assert rows == []
        rows.view.journal.limit = 4
        sent.append(int((await sim.message(guild=0))["id"]))
        await until(lambda: rows)
        assert [row.id for row in rows.of(MessageRow)] == sent
        rows.view.journal.settle()
        sent.append(int((await sim.message(guild=0))["id"]))
        await until(lambda: noted)
        assert len(rows) == 4
    assert [row.id for row in rows.of(MessageRow)] == sent
    assert rows.view.journal.afterwards == []


async def test_many_messages_that_are_deleted_at_once_are_a_row_each() -> None:
    async with Simulator() as sim, recording(PlainBot(), sim, "message") as rows:
        sent = [int((await sim.message(guild=0))["id"]) for _ in range(3)]
        await sim.event("MESSAGE_DELETE_BULK", guild=0, ids=[str(each) for each in sent])
        await until(lambda: len(rows) == 6)
        assert {row.id for row in rows.of(MessageRow) if row.deleted_at} == set(sent)


async def test_members_who_come_and_go_are_rows() -> None:
    async with Simulator() as sim, recording(PlainBot(), sim, "member") as rows:
        before = rows.view.client.guilds[0].member_count or 0
        guild_id = rows.view.client.guilds[0].id
        came = await sim.event("GUILD_MEMBER_ADD", guild=guild_id)
        user_id = int(came["user"]["id"])
        await sim.event("GUILD_MEMBER_REMOVE", guild=guild_id, user=came["user"])
        await until(lambda: len(rows) == 2)
        join, leave = rows.of(MemberEventRow)
        assert (join.event, join.guild_id, join.user_id, join.members) == ("join", guild_id, user_id, before + 1)
        assert (leave.event, leave.guild_id, leave.user_id, leave.members) == ("leave", guild_id, user_id, before)
        assert leave.at == pytest.approx(time.time() * 1000, abs=60_000)
        assert join.at == int(datetime.fromisoformat(str(came["joined_at"])).timestamp() * 1000)


async def test_guilds_that_the_bot_joins_and_leaves_are_rows() -> None:
    async with Simulator() as sim, recording(PlainBot(), sim, "guild") as rows:
        guild_id = await sim.join_guild()
        await sim.event("GUILD_DELETE", guild=guild_id)
        await until(lambda: len(rows) == 2)
        told = [(row.event, row.guild_id, row.members > 0) for row in rows.of(GuildEventRow)]
        assert told == [("join", guild_id, True), ("leave", guild_id, True)]
        assert rows.of(GuildEventRow)[0].at == pytest.approx(time.time() * 1000, abs=60_000)


async def test_the_shard_is_that_of_the_guild() -> None:
    bot = ShardedBot(shard_count=3)
    async with Simulator(shards=3) as sim, recording(bot, sim, "message", shards=3) as rows:
        for guild_id in sim.guild_ids[:6]:
            await sim.message(guild=guild_id)
        await until(lambda: len(rows) == 6)
        assert [row.shard_id for row in rows.of(MessageRow)] == [
            guild.shard_id for row in rows.of(MessageRow) if (guild := bot.get_guild(row.guild_id))
        ]
        assert len({row.shard_id for row in rows.of(MessageRow)}) > 1


@pytest.mark.parametrize("users", ["off", "hash"])
async def test_a_users_id_is_let_through_only_where_it_may(users: str) -> None:
    bot = PlainBot()
    furnish_prefix(bot)
    slash(bot.tree, "hello", answer)
    words = ("interaction", "command", "message", "member")
    async with Simulator() as sim, recording(bot, sim, *words, users=users) as rows:
        await sim.slash("hello")
        await sim.message("!both")
        came = await sim.event("GUILD_MEMBER_ADD", guild=0)
        await sim.event("GUILD_MEMBER_REMOVE", guild=0, user=came["user"])
        await until(lambda: rows.view.interactions.settle() == 0 and len(rows) >= 6)
        told: list[Any] = list(rows)
        assert {row.user_id == 0 for row in told} == {users == "off"}
        assert not {row.user_id for row in told} & {ids(sim)[2], int(came["user"]["id"])}


@pytest.mark.parametrize("word", sorted({table.event for table in TABLES}))
async def test_only_what_is_asked_for_is_recorded(word: str) -> None:
    bot = PlainBot()
    furnish_prefix(bot)
    async with Simulator() as sim, recording(bot, sim, word) as rows:
        await sim.message("!both")
        await sim.slash("hello")
        await sim.event("GUILD_MEMBER_ADD", guild=0)
        guild_id = await sim.join_guild()
        await sim.event("GUILD_DELETE", guild=guild_id)
        await until(lambda: bot.get_guild(guild_id) is None)
    assert {table.event for row in rows for table in TABLES if table.name == row.table} == {word}


async def test_nothing_is_told_after_the_end_and_nothing_is_left() -> None:
    bot = PlainBot()
    words = sorted({table.event for table in TABLES})
    async with Simulator() as sim:
        async with recording(bot, sim, *words) as rows:
            rows.recorder.close()
            rows.recorder.close()
            told = len(rows)
            await sim.message()
            await sim.slash("hello")
            await asyncio.sleep(0.1)
            assert len(rows) == told
            listening: list[object] = [*rows.view.interactions.listeners, *rows.view.commands.listeners]
            assert [each for each in listening if type(each).__module__.startswith("argus_exporter.analytics")] == []


@pytest.mark.parametrize("odd", [{}, {"user": None}, {"user": {"id": "1"}, "guild_id": "none"}, {"user": {"id": "?"}}])
async def test_an_odd_payload_is_counted_as_an_interaction_and_has_no_origin(odd: dict[str, Any]) -> None:
    bot = PlainBot()
    slash(bot.tree, "hello", answer)
    async with Simulator() as sim, recording(bot, sim, "interaction") as rows:
        state: Any = bot._connection  # pyright: ignore[reportPrivateUsage]
        parse = state.parsers["INTERACTION_CREATE"]
        with pytest.raises((KeyError, TypeError, AttributeError, ValueError)):
            parse({"id": "5" * 18, "type": 2, "data": {"type": 1, "name": "hello"}, **odd})
    row = rows.only(InteractionRow)
    assert (row.id, row.guild_id, row.channel_id, row.user_id) == (int("5" * 18), 0, 0, 0)


async def test_an_error_of_the_command_is_told_by_its_class_alone() -> None:
    bot = PlainBot()
    slash(bot.tree, "odd", raising(OddError))
    async with Simulator() as sim, recording(bot, sim, "command") as rows:
        await sim.slash("odd")
        await until(lambda: rows)
        assert rows.only(CommandRow).error == "OddError"
