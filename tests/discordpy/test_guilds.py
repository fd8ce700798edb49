"""Guilds by shard where the parsers cannot be followed, or the cache changes behind our back."""

from __future__ import annotations

import copy
import random
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
            one = types.SimpleNamespace(id=1, unavailable=False, member_count=None)
            ledger = GuildLedger(types.SimpleNamespace(_connection=None, guilds=[one], shard_id=3), unguarded)  # type: ignore[arg-type]
            ledger.check()
            assert (ledger.count(), ledger.total, ledger.unavailable) == (1, {3: 1}, {3: 0})


async def test_guilds_that_are_available_at_ready_are_not_waited_for() -> None:
    async with Simulator(guilds=3) as sim:
        bot = PlainBot()
        async with logged_in(bot, sim):
            ledger = GuildLedger(bot, unguarded)
            bot.guilds[0].unavailable = True
            ledger._ready({}, {guild.id: (0, 0, 0) for guild in bot.guilds})
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


def members(bot: Any) -> int:
    """The truth, by the walk that the ledger spares."""
    return sum(guild.member_count or 0 for guild in bot.guilds)


class History:
    """Dispatches as Discord sends them, and as it should not: twice, late, of guilds that nobody knows."""

    def __init__(self, sim: Simulator, bot: Any, seed: int) -> None:
        self.bot, self.random = bot, random.Random(seed)
        self.world: Any = sim.world
        self.parsers = bot._connection.parsers

    def guild(self) -> Any:
        return self.random.choice(list(self.world.guilds.values()))

    def guild_id(self) -> str:
        return str(self.random.choice([*self.world.guilds, 1]))

    def person(self) -> Any:
        return self.world.user(self.random.randrange(20))

    def member_add(self) -> tuple[str, Any]:
        member = {"user": self.person(), "roles": [], "joined_at": "2026-01-01T00:00:00+00:00", "flags": 0}
        return "GUILD_MEMBER_ADD", member | {"deaf": False, "mute": False, "guild_id": self.guild_id()}

    def member_remove(self) -> tuple[str, Any]:
        return "GUILD_MEMBER_REMOVE", {"user": self.person(), "guild_id": self.guild_id()}

    def guild_create(self) -> tuple[str, Any]:
        given = self.guild().create(full=self.random.random() < 0.5)
        return "GUILD_CREATE", given | {"unavailable": self.random.choice([False, False, True])}

    def guild_update(self) -> tuple[str, Any]:
        counted = {"member_count": self.random.randrange(9)} if self.random.random() < 0.5 else {}
        return "GUILD_UPDATE", self.guild().payload() | counted

    def guild_delete(self) -> tuple[str, Any]:
        return "GUILD_DELETE", {"id": self.guild_id(), "unavailable": self.random.random() < 0.5}

    def ready(self) -> tuple[str, Any]:
        shard = [self.random.randrange(2), 2] if isinstance(self.bot, ShardedBot) else [0, 1]
        named = [{"id": str(guild), "unavailable": True} for guild in self.world.guilds]
        return "READY", {"user": self.world.bot, "guilds": named, "shard": shard}

    def resumed(self) -> tuple[str, Any]:
        return "RESUMED", {"__shard_id__": 0}

    def odd(self) -> tuple[str, Any]:
        return self.random.choice(["GUILD_MEMBER_ADD", "GUILD_MEMBER_REMOVE", "GUILD_CREATE"]), {
            "guild_id": "no number"
        }

    def happens(self) -> None:
        kinds = {
            self.member_add: 30,
            self.member_remove: 60,
            self.guild_create: 12,
            self.guild_update: 4,
            self.guild_delete: 6,
            self.ready: 0.5,
            self.resumed: 1,
            self.odd: 1,
        }
        (kind,) = self.random.choices(list(kinds), list(kinds.values()))
        event, data = kind()
        for _ in range(self.random.choice([1, 1, 1, 2])):
            try:
                self.parsers[event](copy.deepcopy(data))
            except (KeyError, ValueError):
                assert kind == self.odd


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("make", [PlainBot, lambda **options: ShardedBot(shard_count=2, **options)])
async def test_members_never_drift_from_the_truth_and_never_below_zero(make: Any, seed: int) -> None:
    """Elsewhere the gauge is counted down by one for each that leaves, until it is far below zero."""
    async with Simulator(guilds=6, shards=2 if make is not PlainBot else 1, members=4) as sim:
        bot = make(chunk_guilds_at_startup=False)
        ledger = GuildLedger(bot, unguarded)
        ledger.follows_members = True
        ledger.open(bot._connection)
        shards = 2 if isinstance(bot, ShardedBot) else 1
        async with logged_in(bot, sim, shards):
            assert ledger.members == members(bot) == 30
            history, seen = History(sim, bot, seed), set[int]()
            for _ in range(300):
                for _ in range(10):
                    history.happens()
                assert (ledger._members, ledger.members) == (members(bot), max(members(bot), 0))
                seen.add(members(bot))
                assert sum(ledger.total.values()) == len(bot.guilds)
                assert sum(ledger.unavailable.values()) == sum(guild.unavailable for guild in bot.guilds)
            assert min(seen) < 0 < max(seen)
            ledger.close()


@pytest.mark.parametrize("event", ["GUILD_MEMBER_ADD", "GUILD_MEMBER_REMOVE"])
async def test_members_that_cannot_be_followed_are_not_told(event: str) -> None:
    bot = PlainBot()
    state: Any = bot._connection
    del state.parsers[event]
    ledger = GuildLedger(bot, unguarded)
    ledger.follows_members = True
    ledger.open(state)
    assert ledger.members is None
    ledger.close()


async def test_where_nobody_asks_for_members_they_are_not_followed() -> None:
    bot = PlainBot()
    state: Any = bot._connection
    before = dict(state.parsers)
    ledger = GuildLedger(bot, unguarded)
    ledger.open(state)
    assert ledger.members is None
    assert state.parsers["GUILD_MEMBER_ADD"] is before["GUILD_MEMBER_ADD"]
    ledger.close()
    ledger.follows_members = True
    ledger.open(state)
    assert state.parsers["GUILD_MEMBER_ADD"] is not before["GUILD_MEMBER_ADD"]
    ledger.close()
    assert state.parsers == before


async def test_members_are_followed_without_a_look_at_any_other_guild() -> None:
    """Elsewhere each join makes a set of all members of all guilds: 126 ms at a million."""

    class Unwalkable(dict[int, Any]):
        def walk(self, *_: object) -> Any:
            raise AssertionError("walked over")

        __iter__ = items = keys = values = walk

    async with Simulator(guilds=3, members=4) as sim:
        bot = PlainBot()
        async with logged_in(bot, sim):
            state: Any = bot._connection
            ledger = GuildLedger(bot, unguarded)
            ledger.follows_members = True
            ledger.open(state)
            state._guilds = Unwalkable(state._guilds)
            history = History(sim, bot, 1)
            one = str(next(iter(sim.world.guilds)))
            for kind in (history.member_add, history.member_remove) * 5:
                event, data = kind()
                state.parsers[event](data | {"guild_id": one})
            state.parsers["GUILD_DELETE"]({"id": one, "unavailable": True})
            ledger.check()
            assert (ledger.members, ledger.count(), ledger.unavailable) == (ledger.members, 3, {0: 1})
            state._guilds = dict(dict.items(state._guilds))
            assert ledger.members == members(bot)
            ledger.close()


async def test_a_cache_that_was_emptied_behind_our_back_has_no_members(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guilds, "RECOUNT_SECONDS", 0.0)
    async with Simulator(guilds=3, members=4) as sim:
        bot = PlainBot()
        async with logged_in(bot, sim):
            ledger = GuildLedger(bot, unguarded)
            ledger.follows_members = True
            ledger.open(bot._connection)
            bot._connection._remove_guild(bot.guilds[0])
            assert ledger.members == 15
            ledger.check()
            assert ledger.members == 10
            ledger.close()
