"""Guilds by shard where the parsers cannot be followed, or the cache changes behind our back."""

from __future__ import annotations

import time
import types
from typing import Any

import pytest

from argus_exporter.discordpy import guilds
from argus_exporter.discordpy.guilds import GuildLedger
from examples.discord_simulator import Simulator
from tests.clients import PlainBot, ShardedBot, logged_in


def unguarded(_: str, call: Any, *arguments: Any) -> None:
    call(*arguments)


def truth(bot: Any) -> dict[int, int]:
    total: dict[int, int] = {}
    for guild in bot.guilds:
        total[guild.shard_id] = total.get(guild.shard_id, 0) + 1
    return total


async def test_without_parsers_the_guilds_are_counted_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Simulator(guilds=6, shards=3) as sim:
        bot = ShardedBot(shard_count=3)
        async with logged_in(bot, sim, 3):
            state: Any = bot._connection
            followed = state.parsers
            monkeypatch.setattr(state, "parsers", {})
            ledger = GuildLedger(bot, unguarded)
            ledger.open(state)
            state.parsers = followed
            assert ledger.total == truth(bot)
            bot._connection._remove_guild(bot.guilds[0])
            ledger.check()
            assert ledger.total != truth(bot)
            monkeypatch.setattr(guilds, "RECOUNT_SECONDS", 0.0)
            ledger.check()
            assert ledger.total == truth(bot)
            bot.guilds[0].unavailable = True
            ledger.check()
            assert sum(ledger.unavailable.values()) == 1


async def test_the_guilds_are_counted_anew_once_a_minute_at_most() -> None:
    async with Simulator(guilds=3) as sim:
        bot = PlainBot()
        async with logged_in(bot, sim):
            ledger = GuildLedger(bot, unguarded)
            assert (ledger.total, ledger.unavailable) == ({}, {})
            ledger.check()
            assert (ledger.total, ledger.unavailable) == ({0: 3}, {0: 0})
            bot._connection._remove_guild(bot.guilds[0])
            ledger._counted_at = time.perf_counter() - 50
            ledger.check()
            assert ledger.total == {0: 3}
            ledger._counted_at = time.perf_counter() - 60
            ledger.check()
            assert ledger.total == {0: 2}


async def test_a_cache_that_changed_behind_our_back_is_counted_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guilds, "RECOUNT_SECONDS", 0.0)
    async with Simulator(guilds=3) as sim:
        bot = PlainBot()
        async with logged_in(bot, sim):
            ledger = GuildLedger(bot, unguarded)
            ledger.open(bot._connection)
            bot._connection._remove_guild(bot.guilds[0])
            ledger.check()
            assert ledger.total == {0: 2}
            assert ledger.count() == 2
            ledger.close()


async def test_the_cache_is_looked_into_and_not_copied_where_it_can_be() -> None:
    async with Simulator(guilds=3) as sim:
        bot = PlainBot()
        async with logged_in(bot, sim):
            ledger = GuildLedger(bot, unguarded)
            assert ledger._cache() is bot._connection._guilds
            one = types.SimpleNamespace(id=1, unavailable=False)
            ledger = GuildLedger(types.SimpleNamespace(_connection=None, guilds=[one], shard_id=3), unguarded)  # type: ignore[arg-type]
            ledger.check()
            assert (ledger.count(), ledger.total, ledger.unavailable) == (1, {3: 1}, {3: 0})


async def test_guilds_that_are_available_at_ready_are_not_waited_for() -> None:
    async with Simulator(guilds=3) as sim:
        bot = PlainBot()
        async with logged_in(bot, sim):
            ledger = GuildLedger(bot, unguarded)
            bot.guilds[0].unavailable = True
            ledger._ready({}, {guild.id: (0, 0) for guild in bot.guilds})
            assert (ledger.expected, ledger.pending) == ({0: 3}, {0: {bot.guilds[0].id}})
            assert (ledger.total, ledger.unavailable) == ({0: 3}, {0: 1})


def test_before_the_shards_are_counted_there_is_one() -> None:
    assert GuildLedger(ShardedBot(), unguarded).shard_of(123 << 22) == 0


async def test_following_is_not_disturbed_by_a_parser_that_fails() -> None:
    async with Simulator(guilds=2) as sim:
        bot = PlainBot()
        async with logged_in(bot, sim):
            state: Any = bot._connection

            def failing(data: Any) -> None:
                raise KeyError(data["id"])

            original = state.parsers["GUILD_CREATE"]
            state.parsers["GUILD_CREATE"] = failing
            ledger = GuildLedger(bot, unguarded)
            ledger.open(state)
            with pytest.raises(KeyError, match="77"):
                state.parsers["GUILD_CREATE"]({"id": "77"})
            assert ledger.total == {0: 2}
            ledger.close()
            assert state.parsers["GUILD_CREATE"] is failing
            state.parsers["GUILD_CREATE"] = original


async def test_a_parser_that_somebody_wrapped_is_not_followed_after_the_close() -> None:
    async with Simulator(guilds=2) as sim:
        bot = PlainBot()
        async with logged_in(bot, sim):
            state: Any = bot._connection
            ledger = GuildLedger(bot, unguarded)
            ledger.open(state)
            ours = state.parsers["GUILD_DELETE"]
            state.parsers["GUILD_DELETE"] = lambda data: ours(data)  # noqa: PLW0108
            ledger.close()
            state.parsers["GUILD_DELETE"]({"id": str(bot.guilds[0].id)})
            assert len(bot.guilds) == 1
            assert ledger.total == {0: 2}


async def test_a_guild_that_is_left_while_starting_is_expected_no_more() -> None:
    async with Simulator(guilds=3) as sim:
        bot = PlainBot()
        async with logged_in(bot, sim):
            ledger = GuildLedger(bot, unguarded)
            ledger.open(bot._connection)
            one, two, three = (guild.id for guild in bot.guilds)
            ledger.expected, ledger.pending = {0: 3}, {0: {one, two}}
            for guild_id in (one, two):
                bot._connection.parsers["GUILD_DELETE"]({"id": str(guild_id), "unavailable": guild_id == two})
            assert (ledger.expected, ledger.pending) == ({0: 2}, {0: {two}})
            assert (ledger.total, ledger.unavailable) == ({0: 2}, {0: 1})
            bot._connection.parsers["GUILD_DELETE"]({"id": str(three)})
            assert ledger.total == {0: 1}
            ledger.close()
