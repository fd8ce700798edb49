"""A real collectd, whose StatsD reader is strict, takes every line of the plain flavour."""

from __future__ import annotations

from pathlib import Path

import pytest

import argus_exporter
from tests.integration import daemons
from tests.integration.daemons import Values, eventually
from tests.integration.pushed import counters, in_a_path

pytestmark = pytest.mark.integration


def exporter(port: int, flavour: str) -> argus_exporter.Exporter:
    return argus_exporter.Exporter(
        port="off",
        state_dir="off",
        bot="my bot",
        disable="loop,process",  # which never stand still
        user_registry="off",
        statsd_url=f"udp://127.0.0.1:{port}",
        statsd_flavour=flavour,
        statsd_interval=0.5,
    )


async def test_collectd_has_every_counter_of_the_page(tmp_path: Path) -> None:
    async with daemons.collectd(tmp_path) as server, exporter(server.port, "plain") as ours:
        ours.counter("shop_things_total", "Things.", {"kind": 5}).labels("a b/c:1|g\n").inc(3)
        ours.record_command("shop buy", 0.75)
        ours.record_command("shop sell", 2.25, error=LookupError())

        async def differing() -> dict[str, tuple[float, float | None]]:
            wanted = counters(ours.instruments.collect(), "plain", in_a_path)
            found = server.values("derive")
            # collectd's counters are whole
            return {
                name: (value, found.get(name))
                for name, value in wanted.items()
                if "_statsd_" not in name and abs(value - found.get(name, -9)) > 0.5
            }

        await eventually(differing, {})
        found = server.values("derive")
    assert found["shop_things_total.my-20bot.a-20b-2Fc-3A1-7Cg-0A"] == 3
    assert found["discord_commands_total.my-20bot.shop-20sell.slash.bot_error"] == 1
    assert found["discord_command_duration_seconds.count.my-20bot.slash"] == 2
    assert found["discord_command_duration_seconds.sum.my-20bot.slash"] == 3
    assert server.refused() == []


async def test_collectd_has_gauges_and_the_bot_s_own_stats(tmp_path: Path) -> None:
    async with daemons.collectd(tmp_path) as server, exporter(server.port, "plain") as ours:
        ours.gauge("shop_balance", "Balance.").set(-2.5)
        ours.stats.incr("shop.visits", 4, tags={"place": "a b"})
        ours.stats.gauge("shop.stock", 7)
        ours.stats.set("shop.authors", "someone: |#")

        async def found() -> Values:
            there = {**server.values("derive"), **server.values("gauge")}
            return {name: there.get(name, -1) for name in ("shop_balance.my-20bot", "shop.visits.a-20b", "shop.stock")}

        await eventually(found, {"shop_balance.my-20bot": -2.5, "shop.visits.a-20b": 4, "shop.stock": 7})
        assert set(server.values("objects")) == {"shop.authors"}
    assert server.refused() == []


async def test_collectd_would_refuse_tags(tmp_path: Path) -> None:
    async with daemons.collectd(tmp_path) as server, exporter(server.port, "dogstatsd") as ours:
        ours.counter("shop_things_total", "Things.", {"kind": 5}).labels("sword").inc(3)

        async def refused() -> bool:
            return "shop_things_total:3|c|#bot:my bot,kind:sword" in server.refused()

        await eventually(refused, expected=True)
