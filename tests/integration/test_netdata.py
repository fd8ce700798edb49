"""A real netdata reads what we say: counters, gauges, timings and sets."""

from __future__ import annotations

from pathlib import Path

import pytest

import argus_exporter
from argus_exporter.statsd import AsyncStatsClient
from tests.integration import daemons
from tests.integration.daemons import Values, eventually

pytestmark = pytest.mark.integration


async def test_netdata_has_what_a_client_was_told(tmp_path: Path) -> None:
    async with daemons.netdata(tmp_path) as server:
        client = AsyncStatsClient(port=server.port, prefix="bot", interval=0.2)
        await client.create_socket()
        client.incr("shop.visits", 4)
        client.decr("shop.visits")
        client.gauge("shop.balance", -2.5)
        client.gauge("shop.stock", 7)
        client.gauge("shop.stock", -3, delta=True)
        client.timing("shop.query", 250)
        for author in ("a b|#", "b", "b"):
            client.set("shop.authors", author)

        async def counted() -> Values:
            return await server.sums("_counter")

        await eventually(counted, {"bot.shop.visits": 3})
        assert await server.gauges() == {"bot.shop.balance": -2.5, "bot.shop.stock": 4}
        assert await server.sums("_timer") == {"bot.shop.query": 250}
        assert await server.sums("_set") == {"bot.shop.authors": 2}
        assert server.refused() == []
        await client.close()


async def test_netdata_has_the_whole_counters_of_the_page(tmp_path: Path) -> None:
    async with daemons.netdata(tmp_path) as server:
        url = f"udp://127.0.0.1:{server.port}"
        plain = {"statsd_flavour": "plain", "statsd_interval": 0.2}
        async with argus_exporter.Exporter(port="off", state_dir="off", statsd_url=url, **plain) as exporter:
            exporter.counter("shop_things_total", "Things.", {"kind": 5}).labels("sword").inc(3)
            exporter.gauge("shop_balance", "Balance.").set(-2.5)
            exporter.record_command("shop buy", 0.25)
            exporter.record_command("sell", 0.25, error=LookupError())
            wanted = {
                "shop.things_total.sword": 3,
                "discord.commands_total.shop-20buy.slash.ok": 1,
                "discord.commands_total.sell.slash.bot_error": 1,
                "discord.command_duration_seconds.count.slash": 2,
            }

            async def counted() -> Values:
                found = await server.sums("_counter")
                return {name: found.get(name, -1) for name in wanted}

            await eventually(counted, wanted)
            assert (await server.gauges())["shop.balance"] == -2.5
