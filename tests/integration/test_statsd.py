"""What becomes of a push when the real server that it goes to dies, moves, or has no address yet."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

import argus_exporter
from tests.clients import until
from tests.integration import daemons
from tests.integration.daemons import Statsd, eventually
from tests.integration.programs import free_port
from tests.statsd.wires import Names

pytestmark = pytest.mark.integration


@pytest.fixture
async def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """A name server that is away."""
    found = Names()
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found.getaddrinfo)
    return found


def at(address: str, port: int) -> Any:
    return [(socket.AF_INET, socket.SOCK_DGRAM, 0, "", (address, port))]


class Pushing(argus_exporter.Exporter):
    """Pushes often, to a name."""

    def __init__(self, port: int) -> None:
        url = f"udp://statsd.test:{port}"
        super().__init__(port="off", state_dir="off", statsd_url=url, statsd_interval=0.1, statsd_refresh=1)
        self.things = self.counter("shop_things_total", "Things.")
        self.gauge("shop_stock", "Stock.").set(7)

    def said(self, name: str, *labels: str) -> float | None:
        """One of the metrics of the push, as on the page."""
        self.sample()
        cells: Any = self.instruments.families[f"argus_exporter_statsd_{name}"].cells
        found: float | None = cells[labels].value
        return found


async def received(server: Statsd, total: int) -> None:
    """Wait until it has counted so many things."""

    async def things() -> float | None:
        return (await server.values("counters")).get("shop_things_total")

    await eventually(things, total)


async def stocked(server: Statsd) -> None:
    """Wait until it has the gauge, which stays the same."""

    async def stock() -> float | None:
        return (await server.values("gauges")).get("shop_stock")

    await eventually(stock, 7)


async def test_a_server_that_moves_is_found_again_and_the_page_tells_of_it(
    tmp_path: Path, names: Names, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    names.answer = at("127.0.0.2", port)
    async with AsyncExitStack() as life, AsyncExitStack() as push:
        first = await life.enter_async_context(daemons.statsd(tmp_path, host="127.0.0.2", port=port))
        exporter = await push.enter_async_context(Pushing(port))
        exporter.things.inc(5)
        await received(first, 5)
        assert (exporter.said("errors_total"), exporter.said("dropped_total", "refused")) == (0, 0)
        await life.aclose()
        exporter.things.inc(3)
        await until(lambda: exporter.said("dropped_total", "refused"))
        assert exporter.said("errors_total")
        names.answer = at("127.0.0.3", port)
        second = await life.enter_async_context(daemons.statsd(tmp_path, host="127.0.0.3", port=port))
        await stocked(second)
        flushed, errors = exporter.said("last_flush_timestamp_seconds"), exporter.said("errors_total")
        exporter.things.inc(2)
        await received(second, 2)
        assert exporter.said("last_flush_timestamp_seconds") != flushed
        assert exporter.said("errors_total") == errors
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert ["refused" in text for text in said] == [True]


async def test_a_name_server_that_is_away_at_the_start_costs_nothing_but_time(tmp_path: Path, names: Names) -> None:
    async with daemons.statsd(tmp_path) as server, Pushing(server.port) as exporter:
        exporter.things.inc(5)
        exporter.stats.incr("shop.visits", 4)
        await until(lambda: exporter.said("errors_total"))
        assert exporter.said("address_age_seconds") is None
        assert exporter.said("last_flush_timestamp_seconds") is None
        names.answer = at("127.0.0.1", server.port)
        await received(server, 5)
        assert (await server.values("counters"))["shop.visits"] == 4
        assert (await server.values("gauges"))["shop_stock"] == 7
        assert exporter.said("address_age_seconds") is not None
        assert exporter.said("last_flush_timestamp_seconds") is not None
        assert await server.bad_lines() == 0


async def test_a_server_that_is_restarted_has_the_gauges_again(tmp_path: Path, names: Names) -> None:
    port = free_port()
    names.answer = at("127.0.0.1", port)
    async with Pushing(port):
        for _ in range(2):
            async with daemons.statsd(tmp_path, port=port) as server:
                await stocked(server)


async def test_what_a_server_had_no_room_for_is_what_its_count_of_datagrams_lacks(tmp_path: Path, names: Names) -> None:
    async with daemons.statsd(tmp_path) as server:
        names.answer = at("127.0.0.1", server.port)

        async def lost() -> float:
            read = (await server.values("counters"))["statsd.packets_received"]
            return (exporter.said("datagrams_total") or 0) - read

        async with Pushing(server.port) as exporter:
            many = exporter.counter("shop_sales_total", "Sales.", {"item": 5000})
            await received(server, 0)
            await eventually(lost, 0)
            with server.stopped():
                begun = exporter.said("bytes_total") or 0
                while (exporter.said("bytes_total") or 0) < begun + 2_000_000:  # more than any socket's usual buffer
                    for number in range(5000):
                        many.labels(str(number)).inc()
                    await asyncio.sleep(0.05)
            exporter.things.inc(5)
            await received(server, 5)
            assert exporter.said("errors_total") == 0
        assert await lost() > 10
