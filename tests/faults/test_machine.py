"""What goes wrong on the machine: no descriptors are left, and too many come at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import statistics
import sys
import time
import typing
from pathlib import Path
from typing import Any

import pytest

from tests.clients import until, value, values
from tests.faults.bots import EVENTS, bot_with_us, scraped

if typing.TYPE_CHECKING:
    from collections.abc import Container, Iterator

ROOT = Path(__file__).parents[2]
CLIENTS, PERIOD = 200, 5.0
"""Prometheus asks every 15 s; these three times as often."""

HARMLESS = 0.0025
"""Seconds of lag from which on a ratio says something."""


@contextlib.contextmanager
def no_file_left() -> Iterator[None]:
    """Take every descriptor that the process may have."""
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = [os.open(os.devnull, os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken[0] + 20, limits[1]))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for each in taken:
            os.close(each)


async def test_no_descriptor_is_left(caplog: pytest.LogCaptureFixture) -> None:
    async with bot_with_us() as (sim, bot, exporter):
        with socket.socket() as client:
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            with no_file_left():
                await loop.sock_connect(client, ("127.0.0.1", exporter.port))
                await loop.sock_sendall(client, b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                await until(lambda: "cannot accept a connection" in caplog.text)
                exporter.sample()
                await sim.message("hi", guild=0)
                await until(lambda: value(exporter.instruments, EVENTS, "MESSAGE_CREATE") == 1)
            async with asyncio.timeout(20):
                assert (await loop.sock_recv(client, 12)) == b"HTTP/1.1 200"
        await scraped(exporter)
        assert set(values(exporter.instruments, "argus_exporter_collector_errors_total")) <= {("process",)}
        assert value(exporter.instruments, "argus_exporter_collector_up", "process") == 1
        assert bot.is_ready()


async def test_two_hundred_clients_scrape() -> None:
    """Each again and again, as soon as it is answered; beside one that does the same."""
    async with bot_with_us() as (_, _, exporter):
        one, many = [], []
        for _ in range(5):
            one.append(await lag_under(1, exporter.port, 0))
            many.append(await lag_under(CLIENTS, exporter.port, 0))
        assert statistics.median(many) <= 2 * max(statistics.median(one), HARMLESS)


async def test_two_hundred_clients_that_scrape_now_and_then_are_all_served() -> None:
    async with bot_with_us() as (_, _, exporter):
        assert await lag_under(CLIENTS, exporter.port, PERIOD, only={"200"}) < 2 * HARMLESS
        assert values(exporter.instruments, "argus_exporter_requests_refused_total") == {}


async def lag_under(clients: int, port: int, period: float, only: Container[str] | None = None) -> float:
    """The p99 of how late the loop wakes, in seconds, while so many clients scrape.

    :param only: the statuses that they may be answered with; all if None.
    """
    command = ("-m", "tests.faults.storm", str(port), str(clients), "3", str(period))
    storm = await asyncio.create_subprocess_exec(sys.executable, *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert storm.stdout is not None
    assert await storm.stdout.readline() == b"begins\n"
    lags = sorted([await lag() for _ in range(300)])
    said, _ = await storm.communicate()
    answers: dict[str, Any] = dict(each.split("=") for each in said.decode().split())
    assert only is None or all(status in only for status in answers), answers
    return lags[len(lags) * 99 // 100]


async def lag(pause: float = 0.005) -> float:
    """How late the loop wakes by its own work: not because other processes have the processor."""
    began, worked = time.perf_counter(), time.thread_time()
    await asyncio.sleep(pause)
    return min(time.perf_counter() - began - pause, time.thread_time() - worked)
