"""A real netdata reads what we say: counters, gauges, timings and sets."""

from __future__ import annotations

from pathlib import Path

import pytest

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
        client.incr("odd: name\n", 2)
        client.gauge("shop.balance", -2.5)
        client.gauge("shop.stock", 7)
        client.gauge("shop.stock", -3, delta=True)
        client.timing("shop.query", 250)
        for author in ("a b|#", "b", "b"):
            client.set("shop.authors", author)

        async def counted() -> Values:
            return await server.sums("_counter")

        await eventually(counted, {"bot.shop.visits": 3, "bot.odd-3A-20name-0A": 2})
        assert await server.gauges() == {"bot.shop.balance": -2.5, "bot.shop.stock": 4}
        assert await server.sums("_timer") == {"bot.shop.query": 250}
        assert await server.sums("_set") == {"bot.shop.authors": 2}
        await client.close()
    assert server.refused() == []
