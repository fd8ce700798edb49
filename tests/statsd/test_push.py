"""The push at work: on real sockets, beside the page or alone, in good times and bad."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import threading
import time
import typing
from typing import Any

import prometheus_client
import pytest

from argus_exporter import Exporter
from argus_exporter.catalogue import STATSD_DROPS, Counter, Label
from argus_exporter.statsd import push
from argus_exporter.statsd.transport import Transport
from tests.clients import until, value
from tests.statsd.reader import Reader
from tests.statsd.wires import Names, answer, listening, received, url_of

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

LAST, AGE = "argus_exporter_statsd_last_flush_timestamp_seconds", "argus_exporter_statsd_address_age_seconds"
DROPPED, ERRORS = "argus_exporter_statsd_dropped_total", "argus_exporter_statsd_errors_total"
QUIET = {"port": "off", "user_registry": False, "disable": "process,loop,tasks,errors,logs"}


def exporter(url: str, **options: Any) -> Exporter:
    return Exporter(**{**QUIET, "statsd_url": url, "statsd_interval": 0.1, **options})


def lines_in(receiver: socket.socket, name: str = "") -> list[str]:
    """What has come and not been read yet."""
    found: list[str] = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found += receiver.recv(70_000).decode().split("\n")
    return [line for line in found if line.startswith(name)]


def sum_of(lines: list[str]) -> float:
    return sum(float(line.partition(":")[2].partition("|")[0]) for line in lines)


async def flushed(one: Exporter) -> None:
    """Wait until a flush has begun and ended from now on."""
    for _ in range(2):
        before = value(one.instruments, LAST)
        await until(lambda before=before: value(one.instruments, LAST) != before)  # type: ignore[misc]


# ------------------------------------------------------------------------------------------------ life


async def test_it_pushes_every_interval_and_once_more_at_the_end() -> None:
    with listening() as receiver:
        async with exporter(url_of(receiver)) as one:
            sold = one.counter("shop_sold_total", "Sold.")
            sold.inc(2)
            await flushed(one)
            sold.inc(3)
            await flushed(one)
            sold.inc(4)
        assert lines_in(receiver, "shop") == ["shop_sold_total:2|c", "shop_sold_total:3|c", "shop_sold_total:4|c"]


async def test_what_was_told_is_remembered_over_a_restart_and_the_counters_of_the_push_go_on() -> None:
    with listening() as receiver:
        one = exporter(url_of(receiver))
        sold = one.counter("shop_sold_total", "Sold.")
        sent: list[float | None] = []
        for _ in range(3):
            sold.inc()
            await one.start()
            await one.start()
            await one.close()
            await one.close()
            sent.append(value(one.instruments, "argus_exporter_statsd_datagrams_total"))
        assert lines_in(receiver, "shop") == ["shop_sold_total:1|c"] * 3
        assert sent == [1, 2, 3]


async def test_nothing_is_left_open_and_nothing_runs_after_the_close() -> None:
    with listening() as receiver:
        before = asyncio.all_tasks()
        async with exporter(url_of(receiver)) as one:
            assert {task.get_name() for task in asyncio.all_tasks() - before} >= {"argus_exporter:statsd push"}
            transport = one._push._transport  # type: ignore[union-attr]
        assert asyncio.all_tasks() == before
        assert transport is not None
        assert not transport.ready
        assert value(one.instruments, AGE) is None


async def test_without_the_setting_nothing_is_pushed_and_no_series_tells_of_it() -> None:
    async with Exporter(**QUIET) as one:
        one.sample()
        one.stats.incr("still.there")
        one.sample()
        assert not [name for name in one.instruments.families if name.startswith("argus_exporter_statsd")]
        assert value(one.instruments, "still_there_total") == 1


async def test_the_end_is_bounded_though_the_user_s_registry_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stuck:
        def collect(self) -> Iterator[Any]:
            time.sleep(1)
            yield from ()

    stuck: Any = Stuck()
    monkeypatch.setattr(push, "GRACE", 0.05)
    prometheus_client.REGISTRY.register(stuck)
    try:
        with listening() as receiver:
            one = exporter(url_of(receiver), user_registry=True)
            one.counter("shop_sold_total", "Sold.").inc(2)
            await one.start()
            began = time.monotonic()
            await one.close()
            assert time.monotonic() - began < 1
            assert lines_in(receiver, "shop") == ["shop_sold_total:2|c"]
    finally:
        prometheus_client.REGISTRY.unregister(stuck)


async def test_a_close_that_is_cancelled_while_it_flushes_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening() as receiver:
        before = asyncio.all_tasks()
        one = exporter(url_of(receiver), port=0, statsd_interval=60)
        flushing = asyncio.Event()

        async def stuck(_: object) -> None:
            flushing.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(one._push, "_flush", stuck)
        await one.start()
        closing = asyncio.create_task(one.close())
        await flushing.wait()
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)
        assert one.port is None
        await until(lambda: asyncio.all_tasks() == before)


async def test_a_close_during_a_flush_lets_it_end_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push, "BURST", 1000)
    monkeypatch.setattr(push, "LONGEST_REST", 0.4)  # three of them are longer than GRACE
    with listening() as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        one = exporter(url_of(receiver), statsd_interval=60, statsd_refresh="off", statsd_max_bytes=300)
        sold = one.counter("shop_sold_total", "Sold.", {"item": 500})
        for item in range(500):
            sold.labels(str(item)).inc(3)
        monkeypatch.setattr(push, "_FIRST", 0.01)
        await one.start()
        first = await received(receiver)
        sold.labels("0").inc()
        await one.close()
        lines = [*first.decode().split("\n"), *lines_in(receiver)]
        shop = [line for line in lines if line.startswith("shop")]
        assert len(shop) == 501
        assert sum_of(shop) == 1501


# ------------------------------------------------------------------------------------------------ one truth


@pytest.mark.parametrize("port", [0, "off"])
async def test_pull_and_push_run_together_or_alone(port: object) -> None:
    with listening() as receiver:
        async with exporter(url_of(receiver), port=port, statsd_prefix="bots.") as one:
            await flushed(one)
            assert (one.port is None) == (port == "off")
        assert "bots.argus_exporter_scrapes_total:0|c" in lines_in(receiver)


async def test_the_bots_own_stats_go_out_once_under_their_own_names() -> None:
    with listening() as receiver:
        async with exporter(url_of(receiver), statsd_prefix="bots") as one:
            one.stats.incr("commands.help")
            await flushed(one)
            one.stats.incr("commands.help", 2)
            one.stats.gauge("level", -3)
            await flushed(one)
            assert value(one.instruments, "commands_help_total") == 3
        assert lines_in(receiver, "bots.commands") == ["bots.commands.help:1|c", "bots.commands.help:2|c"]
        assert not lines_in(receiver, "bots.commands_help")


async def test_the_users_registry_goes_out_unless_it_is_left_out() -> None:
    own = prometheus_client.Counter("own_things_total", "x")
    own.inc(5)
    try:
        for wanted in (True, False):
            with listening() as receiver:
                before = set(threading.enumerate())
                async with exporter(url_of(receiver), user_registry=wanted) as one:
                    await flushed(one)
                    own.inc()
                    threads = {each for each in set(threading.enumerate()) - before if each.name.endswith("registry")}
                    assert bool(threads) == wanted
                assert sum_of(lines_in(receiver, "own_")) == (own._value.get() if wanted else 0)
                for thread in threads:
                    await asyncio.to_thread(thread.join, 5)
                    assert not thread.is_alive()
    finally:
        prometheus_client.REGISTRY.unregister(own)


async def test_a_gauge_that_stays_the_same_and_a_counter_at_rest_are_told_again_at_the_slower_pace() -> None:
    for refresh in (1, "off"):
        with listening() as receiver:
            async with exporter(url_of(receiver), statsd_interval=0.25, statsd_refresh=refresh) as one:
                one.gauge("shop_level", "x").set(5)
                one.counter("shop_sold_total", "x").inc()
                await flushed(one)
                before = lines_in(receiver, "shop")
                flushes = one._push._flushes  # type: ignore[union-attr]
                await until(lambda one=one, flushes=flushes: one._push._flushes >= flushes + 8)  # type: ignore[misc, union-attr]
                again = lines_in(receiver, "shop")
            assert sorted(before) == ["shop_level:5|g", "shop_sold_total:1|c"]
            assert set(again) == ({"shop_level:5|g", "shop_sold_total:0|c"} if refresh == 1 else set())
            assert len(again) in ({4, 5} if refresh == 1 else {0})


# ------------------------------------------------------------------------------------------------ bad times


def fill(path: Path) -> tuple[socket.socket, socket.socket]:
    """A unix socket whose reader does not read, and has no room left."""
    reader, writer = (socket.socket(getattr(socket, "AF_UNIX"), socket.SOCK_DGRAM) for _ in range(2))  # noqa: B009
    reader.bind(str(path))
    reader.setblocking(False)
    writer.setblocking(False)
    writer.connect(str(path))
    with contextlib.suppress(BlockingIOError, OSError):
        while True:
            writer.send(b"")
    return reader, writer


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no unix datagrams")
async def test_what_a_full_buffer_refuses_is_counted_and_goes_out_later(tmp_path: Path) -> None:
    reader, writer = fill(tmp_path / "s")
    with reader, writer:
        one = exporter(f"unixgram://{tmp_path / 's'}")
        sold = one.counter("shop_sold_total", "Sold.")
        sold.inc(2)
        one.stats.incr("mine", 5)
        async with one:
            flushes = one._push._flushes  # type: ignore[union-attr]
            await until(lambda: one._push._flushes > flushes + 2)  # type: ignore[union-attr]
            one.sample()
            assert value(one.instruments, DROPPED, "buffer")
            assert value(one.instruments, LAST) is None
            sold.inc(3)
            assert not lines_in(reader, "shop")
            await flushed(one)
        lines = lines_in(reader)
        assert "shop_sold_total:5|c" in lines
        assert "mine:5|c" in lines
        assert [line for line in lines if line.startswith("shop")] == ["shop_sold_total:5|c"]


async def test_while_there_is_no_address_nothing_is_said_nothing_lost_and_one_line_logged(
    names: Names, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("argus_exporter.statsd.transport.Transport.retry", 0.01)
    with listening() as receiver:
        one = exporter("udp://statsd.example:8125")
        one.counter("shop_sold_total", "Sold.").inc(2)
        async with one:
            await until(lambda: names.asked > 3)
            one.sample()
            assert value(one.instruments, AGE) is None
            errors = value(one.instruments, ERRORS)
            assert errors is not None
            assert errors >= 3
            names.answer = answer(receiver)
            await flushed(one)
            assert value(one.instruments, AGE) is not None
            assert sum(value(one.instruments, DROPPED, reason) or 0 for reason in STATSD_DROPS) == 0
        assert lines_in(receiver, "shop") == ["shop_sold_total:2|c"]
    said = [record.getMessage() for record in caplog.records if "StatsD" in record.getMessage()]
    assert said == ["StatsD: OSError: no name server (counted from now on, not logged again)"]


async def test_nobody_listening_is_noticed_and_stops_nothing() -> None:
    with listening() as receiver:
        url = url_of(receiver)
    async with exporter(url) as one:
        one.counter("shop_sold_total", "Sold.").inc()
        await until(lambda: (one.sample(), value(one.instruments, DROPPED, "refused"))[1])
        assert value(one.instruments, ERRORS)


async def test_labels_that_no_datagram_holds_and_values_that_are_none_are_left_out_and_counted() -> None:
    with listening() as receiver:
        async with exporter(url_of(receiver), statsd_max_bytes=256) as one:
            labels = Label("n", 9, "x"), Label("m", 9, "x")
            family = one.instruments.counter(Counter("odd_total", "x", "custom", labels))
            for label, number in (("x" * 128, 1), ("inf", float("inf")), ("good", 2)):
                family.labels(label, label).value = number
            one.stats.incr("y" * 500)
            await flushed(one)
            one.sample()
            flushes = one._push._flushes  # type: ignore[union-attr]
            assert value(one.instruments, DROPPED, "value") == flushes
            assert value(one.instruments, DROPPED, "too_long") == flushes + 1
        assert lines_in(receiver, "odd") == ["odd_total:2|c|#n:good,m:good"]


async def test_a_loop_that_was_blocked_makes_up_for_no_flush_that_it_has_missed() -> None:
    with listening() as receiver:
        async with exporter(url_of(receiver)) as one:
            await flushed(one)
            time.sleep(2)  # noqa: ASYNC251 - what the test is about
            began, flushes = time.monotonic(), one._push._flushes  # type: ignore[union-attr]
            await flushed(one)
            assert one._push._flushes - flushes <= 2 + (time.monotonic() - began) / 0.1  # type: ignore[union-attr]


async def test_a_family_that_cannot_be_read_costs_no_other_and_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    with listening() as receiver:
        async with exporter(url_of(receiver)) as one:
            family: Any = one.instruments.counter(Counter("odd_total", "x", "custom"))
            family.labels().value = "text"
            one.counter("shop_sold_total", "Sold.").inc()
            await flushed(one)
            assert value(one.instruments, "argus_exporter_collector_errors_total", "statsd")
        assert "shop_sold_total:1|c" in lines_in(receiver)


async def test_a_flush_that_fails_is_counted_and_the_next_one_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening() as receiver:
        one = exporter(url_of(receiver))
        original, failed = one.stats.drain, 0

        def drain(*arguments: Any) -> Any:
            nonlocal failed
            failed += 1
            if failed < 3:
                raise RuntimeError("no")
            return original(*arguments)

        monkeypatch.setattr(one.stats, "drain", drain)
        async with one:
            one.stats.incr("mine")
            await flushed(one)
            assert value(one.instruments, "argus_exporter_collector_errors_total", "statsd") == 2
        assert "mine:1|c" in lines_in(receiver)


# ------------------------------------------------------------------------------------------------ pace


@contextlib.asynccontextmanager
async def many(receiver: socket.socket, series: int, **options: Any) -> AsyncIterator[tuple[Exporter, list[Any]]]:
    one = exporter(url_of(receiver), **options)
    family = one.instruments.counter(Counter("many_total", "x", "custom", (Label("n", series, "x"),)))
    cells = [family.labels(str(number)) for number in range(series)]
    async with one:
        yield one, cells


async def test_a_default_receiver_that_is_slow_loses_nothing_of_many_series() -> None:
    reader = Reader()
    with listening() as receiver:
        stop = asyncio.Event()

        async def read() -> None:
            while not stop.is_set():
                await asyncio.sleep(0.005)  # the receiver's own work
                with contextlib.suppress(BlockingIOError):
                    for _ in range(20):
                        reader.feed(receiver.recv(70_000))

        reading = asyncio.create_task(read())
        async with many(receiver, 20_000, statsd_interval=2, statsd_max_bytes=1432) as (one, cells):
            for cell in cells:
                cell.value = 3
            await flushed(one)
            total = sum(count for (name, _), count in reader.counters.items() if name == "many_total")
            assert total == 60_000
        stop.set()
        await reading


async def test_the_loop_has_its_turn_all_the_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push, "TURN", 0.0)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    with listening() as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        async with many(receiver, 3000, statsd_interval=60) as (one, _):
            transport: Any = one._push._transport  # type: ignore[union-attr]
            counting = asyncio.create_task(count())
            await asyncio.sleep(0)
            await one._push._flush(transport)  # type: ignore[union-attr]
            assert turns > 3000
            turns = 0
            await one._push._flush(transport)  # type: ignore[union-attr]
            assert turns > 12
            counting.cancel()


@pytest.mark.parametrize(
    ("flavour", "most", "biggest"),
    [("plain", None, 4096), ("dogstatsd", None, 8192), ("plain", 9000, 9000), ("dogstatsd", 500, 500)],
)
async def test_datagrams_are_as_long_as_the_receivers_of_a_flavour_read(
    flavour: str, most: int | None, biggest: int
) -> None:
    with listening() as receiver:
        async with many(receiver, 1000, statsd_interval=60, statsd_flavour=flavour, statsd_max_bytes=most):
            pass
        sizes: list[int] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                sizes.append(len(receiver.recv(70_000)))
        assert biggest - 50 < max(sizes) <= biggest


def test_the_reasons_in_the_catalogue_are_the_transports_and_one_more() -> None:
    assert (*Transport("udp://127.0.0.1").dropped, "value") == STATSD_DROPS
