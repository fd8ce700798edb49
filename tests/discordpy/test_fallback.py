"""What the public way sees of sessions and outages, on a discord.py whose inside is not as we know it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from examples.discord_simulator import Simulator
from tests.clients import PlainBot, ShardedBot, logged_in, until, value, values
from tests.collectors.test_gateway import by_the_public_way


@pytest.mark.parametrize("make", [PlainBot, lambda: ShardedBot(shard_count=1)], ids=["Bot", "AutoShardedBot"])
async def test_sessions_and_outages_are_counted_by_the_public_way(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Simulator(guilds=2) as sim:
        bot = make()
        async with by_the_public_way(bot, monkeypatch) as exporter, logged_in(bot, sim):
            metrics = exporter.instruments
            sessions, outages = "discord_shard_connections_total", "discord_shard_outages_total"
            assert values(metrics, sessions) == {("0", "identify"): 1}
            assert values(metrics, outages) == {}
            await sim.reconnect(0)
            await until(lambda: value(metrics, sessions, "0", "resume"))
            assert values(metrics, outages) == {("0",): 1}
            exporter.sample()
            assert value(metrics, "discord_shard_status", "0") == 3
            await sim.invalidate(0, resumable=False)
            await until(lambda: value(metrics, sessions, "0", "identify") == 2)
            exporter.sample()
            assert value(metrics, "discord_shard_status", "0") == 3
            assert values(metrics, outages) == {("0",): 2}
            assert values(metrics, "discord_gateway_closes_total") == {}
            assert values(metrics, "argus_exporter_collector_errors_total") == {}


async def test_shards_that_are_online_at_the_load_are_online(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Simulator(guilds=8, shards=8) as sim:
        bot = ShardedBot(shard_ids=[2, 5], shard_count=8)
        async with logged_in(bot, sim, 2), by_the_public_way(bot, monkeypatch) as exporter:
            await until(lambda: exporter._watching)
            exporter.sample()
            assert values(exporter.instruments, "discord_shard_status") == {("2",): 3, ("5",): 3}
            assert values(exporter.instruments, "discord_shard_ready_seconds") == {}


async def test_a_shard_that_has_no_sequence_yet_has_no_dispatches(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Simulator(guilds=2) as sim:
        bot = PlainBot()
        async with logged_in(bot, sim):
            bot.ws.sequence = None
            async with by_the_public_way(bot, monkeypatch) as exporter:
                await until(lambda: exporter._watching)
                exporter.sample()
                assert value(exporter.instruments, "discord_shard_status", "0") == 4
                assert value(exporter.instruments, "discord_shard_dispatches_total", "0") == 0
                assert values(exporter.instruments, "argus_exporter_collector_errors_total") == {}


async def test_attempts_that_fail_are_the_same_outage_by_the_public_way_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Simulator(guilds=2) as sim:
        bot = PlainBot()
        async with by_the_public_way(bot, monkeypatch) as exporter, logged_in(bot, sim):
            bot.dispatch("disconnect")
            bot.dispatch("disconnect")
            exporter.sample()
            assert values(exporter.instruments, "discord_shard_outages_total") == {("0",): 1}
            assert value(exporter.instruments, "discord_shard_status", "0") == 2


async def test_it_says_once_that_it_falls_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with Simulator(guilds=2) as sim:
        bot = PlainBot()
        async with by_the_public_way(bot, monkeypatch) as exporter, logged_in(bot, sim):
            exporter.sample()
            exporter.sample()
            assert len([message for message in caplog.messages if "public way" in message]) == 1
        assert not bot._listeners


async def test_a_shard_that_is_down_at_the_load_is_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Simulator(guilds=2) as sim:
        bot = PlainBot()
        async with logged_in(bot, sim):
            incident = await sim.incident("gateway_refuses", seconds=60)
            cut_off = asyncio.create_task(bot.wait_for("disconnect"))
            await asyncio.sleep(0)
            await sim.drop_shard(0)
            await cut_off
            async with by_the_public_way(bot, monkeypatch) as exporter:
                await until(lambda: exporter._watching)
                exporter.sample()
                assert value(exporter.instruments, "discord_shard_status", "0") == 2
            await incident.stop()
