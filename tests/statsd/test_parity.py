"""Who is pushed and who is scraped sees the same: real bots on the simulator, told both ways."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import typing
from typing import Any

import aiohttp
import prometheus_client
import pytest
from discord import app_commands

from argus_exporter import attach
from argus_exporter.statsd.encode import FLAVOURS
from examples.discord_simulator import Simulator
from tests.clients import ShardedBot, logged_in, until, value
from tests.statsd.reader import Reader, Series, scraped
from tests.statsd.wires import listening, url_of

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from argus_exporter.cog import ClientExporter

WAVERING = {"discord_asyncio_tasks", "process_open_fds", "process_threads"}
"""What a scrape itself changes, and leaves as it was before."""

LAST = "argus_exporter_statsd_last_flush_timestamp_seconds"


class Shop(ShardedBot):
    """Has commands that succeed and fail, metrics of its own in both ways, and stats."""

    def __init__(self) -> None:
        super().__init__(shard_count=2)

        @self.tree.command(description="Buys.")
        async def buy(interaction: Any) -> None:
            await interaction.response.send_message("bought")

        @self.tree.command(description="Fails.")
        async def fail(interaction: Any) -> None:
            raise ZeroDivisionError

        @self.tree.error
        async def on_error(interaction: Any, error: app_commands.AppCommandError) -> None: ...


@contextlib.asynccontextmanager
async def pushed(receiver: socket.socket, **options: Any) -> AsyncIterator[tuple[Simulator, ClientExporter]]:
    """A bot in traffic that is pushed and scraped."""
    settings: dict[str, Any] = {
        "port": 0,
        "state_dir": "off",
        "session_limit_interval": "off",
        "statsd_url": url_of(receiver),
        "statsd_interval": 0.2,
        **options,
    }
    async with Simulator(guilds=4, shards=2) as sim:
        bot = Shop()
        exporter = attach(bot, **settings)
        async with logged_in(bot, sim, 2):
            yield sim, exporter


async def page_of(exporter: ClientExporter) -> dict[Series, float]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{exporter.port}/metrics") as response:
        return scraped(await response.text())


@contextlib.asynccontextmanager
async def reading(receiver: socket.socket, reader: Reader) -> AsyncIterator[None]:
    async def read() -> None:
        while True:
            reader.feed(await asyncio.get_running_loop().sock_recv(receiver, 70_000))

    task = asyncio.create_task(read())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def two_flushes(exporter: ClientExporter) -> None:
    """Wait until a flush has begun and ended from now on."""
    for _ in range(2):
        before = value(exporter.instruments, LAST)
        await until(lambda before=before: value(exporter.instruments, LAST) != before)  # type: ignore[misc]


async def use(sim: Simulator, exporter: ClientExporter) -> None:
    """Let everything happen that has series of its own."""
    odd = exporter.counter("shop_odd_total", "Odd values.", {"thing": 10})
    for thing in ("Käse: 1€/kg {x} [y] #z @a=b;", 'back\\slash "quoted"', " "):
        odd.labels(thing).inc(2.5)
    exporter.gauge("shop_balance", "May be below 0.").set(-12.25)
    took = exporter.histogram("shop_took_seconds", "In buckets.", {"what": ("a", "b")}, edges=(0.1, 1, 2.5))
    for seconds in (0.05, 0.1, 1.5, 99):
        took.labels("a").observe(seconds)
    exporter.stats.incr("commands.help", 3)
    exporter.stats.gauge("queue.length", -4)
    exporter.stats.timing("query", 250, tags={"table": "items"})
    for _ in range(3):
        await sim.slash("buy")
        await sim.slash("fail")
    await sim.burst(300)
    await sim.flush()


@pytest.fixture
def registry() -> typing.Iterator[None]:
    """Metrics on prometheus_client's REGISTRY, of each of its types."""
    made: list[Any] = [
        prometheus_client.Counter("own_things", "x", ["kind"]),
        prometheus_client.Gauge("own_level", "x"),
        prometheus_client.Histogram("own_seconds", "x", ["kind"], buckets=(0.1, 1)),
        prometheus_client.Summary("own_bytes", "x"),
        prometheus_client.Info("own_build", "x"),
        prometheus_client.Enum("own_state", "x", states=["on", "off"]),
    ]
    made[0].labels("a").inc(2)
    made[1].set(-1.5)
    made[2].labels("a").observe(0.5)
    made[3].observe(100)
    made[4].info({"version": "1.2"})
    made[5].state("off")
    yield
    for each in made:
        prometheus_client.REGISTRY.unregister(each)


@pytest.mark.usefixtures("registry")
async def test_behind_statsd_exporter_a_pushed_bot_has_the_series_and_the_values_of_a_scraped_one() -> None:
    reader = Reader()
    with listening() as receiver:
        async with reading(receiver, reader), pushed(receiver) as (sim, exporter):
            await use(sim, exporter)
            await two_flushes(exporter)  # so that there are deltas of deltas
            exporter.counter("shop_odd_total", "Odd values.", {"thing": 10}).labels(" ").inc()
            for _ in range(2):
                before = await page_of(exporter)
                await two_flushes(exporter)
                await until(lambda before=before: len(reader.series) >= len(before))  # type: ignore[misc]
                told = dict(reader.series)
                after = await page_of(exporter)
    assert before.keys() & after.keys() <= told.keys() <= before.keys() | after.keys()
    same = {series for series, number in before.items() if after.get(series) == number and series[0] not in WAVERING}
    assert len(same) > 0.7 * len(before)
    for series, number in told.items():
        if series in same:
            assert number == pytest.approx(before[series], rel=1e-12), series
        elif series in reader.counters:
            assert before[series] - 1e-9 <= number <= after[series] + 1e-9, series
    names = {name for name, _ in told}
    assert {
        *("discord_commands_total", "discord_gateway_events_total", "discord_command_duration_seconds_bucket"),
        *("own_things_total", "own_seconds_bucket", "own_bytes_sum", "own_build_info", "own_state"),
        *("commands_help_total", "queue_length", "process_cpu_seconds_total", "shop_balance"),
    } <= names


async def test_the_constant_labels_are_on_every_line_of_every_flavour() -> None:
    for flavour in FLAVOURS:
        with listening() as receiver:
            async with pushed(receiver, bot="b 1", cluster="c", statsd_flavour=flavour) as (_, exporter):
                await until(lambda exporter=exporter: value(exporter.instruments, LAST))  # type: ignore[misc]
            lines = receiver.recv(70_000).decode().split("\n")
        expected = {
            "plain": r".b-201.c",
            "graphite": ";bot=b=201;cluster=c",
            "dogstatsd": "|#bot:b 1,cluster:c",
            "influx": ",bot=b 1,cluster=c",
        }[flavour]
        assert lines
        assert all(expected in line for line in lines), flavour
