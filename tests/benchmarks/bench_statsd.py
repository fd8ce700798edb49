"""What an increment costs that goes out over StatsD, sending it included, beside the other clients.

Every client sends to the same UDP socket of another process, which counts what it gets: what is lost is seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import statistics
import time
import typing
from collections import Counter
from typing import Any, Final

import aiodogstatsd
from datadog.dogstatsd.base import DogStatsd
from pydis_core.async_stats import AsyncStatsClient as PydisStatsClient
from pydis_core.utils import scheduling

import statsd
from argus_exporter.statsd import AsyncStatsClient
from tests.benchmarks import receiver
from tests.benchmarks.report import Bar, p10, quartiles, table

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    Play = Callable[[Sequence[str]], Awaitable[object]]

SERIES: Final = 200
FLUSH: Final = 10_000
"""Increments between two flushes, of the clients that aggregate."""
TURN: Final = 100
"""Increments between two turns of the event loop, for the clients that send from its tasks."""
_ROUNDS: Final = 25
_QUICK_ROUNDS: Final = 7
_FAST, _SLOW = 5 * FLUSH, FLUSH // 2

OURS: Final = "ours: client.incr(name)"
BARS: Final = {
    "statsd.StatsClient": 40,
    "datadog, aggregated": 7,
    "pydis_core's AsyncStatsClient": 100,
    "aiodogstatsd": 100,
}
"""How many times less ours is to cost."""


# ------------------------------------------------------------------------------------------------- clients


@contextlib.asynccontextmanager
async def _ours(port: int) -> AsyncIterator[Play]:
    client = AsyncStatsClient(host="127.0.0.1", port=port, interval=3600)
    await client.create_socket()

    async def play(names: Sequence[str]) -> None:
        incr = client.incr
        for start in range(0, len(names), FLUSH):
            for name in names[start : start + FLUSH]:
                incr(name)
            await _flush(client)

    yield play
    await client.close()


async def _flush(client: AsyncStatsClient) -> None:
    """Do what the client's own task does at each interval."""
    wire: Any = client._wire
    client._datagrams = client._pack(wire)
    while client._burst(wire):
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def _statsd(port: int) -> AsyncIterator[Play]:
    with contextlib.closing(statsd.StatsClient("127.0.0.1", port)) as client:

        async def play(names: Sequence[str]) -> None:
            for name in names:
                client.incr(name)

        yield play


@contextlib.asynccontextmanager
async def _pipeline(port: int) -> AsyncIterator[Play]:
    with contextlib.closing(statsd.StatsClient("127.0.0.1", port, maxudpsize=1432)) as client:

        async def play(names: Sequence[str]) -> None:
            for start in range(0, len(names), 1000):
                with client.pipeline() as pipeline:
                    for name in names[start : start + 1000]:
                        pipeline.incr(name)

        yield play


@contextlib.asynccontextmanager
async def _datadog(port: int) -> AsyncIterator[Play]:
    client = DogStatsd(
        "127.0.0.1",
        port,
        flush_interval=3600,
        disable_aggregation=False,
        disable_buffering=False,
        disable_telemetry=True,
        origin_detection_enabled=False,
    )

    async def play(names: Sequence[str]) -> None:
        for start in range(0, len(names), FLUSH):
            for name in names[start : start + FLUSH]:
                client.increment(name)
            client.flush_aggregated_metrics()
            client.flush()

    yield play
    client.stop()


@contextlib.asynccontextmanager
async def _pydis(port: int) -> AsyncIterator[Play]:
    client: Any = PydisStatsClient(asyncio.get_running_loop(), "127.0.0.1", port)
    await client.create_socket()

    async def play(names: Sequence[str]) -> None:
        for start in range(0, len(names), TURN):
            for name in names[start : start + TURN]:
                client.incr(name)
            while scheduling._background_tasks:
                await asyncio.sleep(0)

    yield play
    client._transport.close()


@contextlib.asynccontextmanager
async def _aiodogstatsd(port: int) -> AsyncIterator[Play]:
    async with aiodogstatsd.Client(host="127.0.0.1", port=port) as client:

        async def play(names: Sequence[str]) -> None:
            for start in range(0, len(names), TURN):
                for name in names[start : start + TURN]:
                    client.increment(name)
                while not client._pending_queue.empty():
                    await asyncio.sleep(0)

        yield play


CLIENTS: Final = {
    OURS: (_ours, _FAST),
    "ours again (A/A)": (_ours, _FAST),
    "statsd.StatsClient": (_statsd, _SLOW),
    "statsd.StatsClient.pipeline of 1,000": (_pipeline, _FAST),
    "datadog, aggregated": (_datadog, _FAST),
    "pydis_core's AsyncStatsClient": (_pydis, _SLOW),
    "aiodogstatsd": (_aiodogstatsd, _SLOW),
}


# ------------------------------------------------------------------------------------------------- measuring


def run(*, quick: bool) -> list[Bar]:
    """Measure."""
    return asyncio.run(_run(_QUICK_ROUNDS if quick else _ROUNDS))


async def _run(rounds: int) -> list[Bar]:
    with receiver.running(receiver.LARGE) as there:
        return await _increments(there, rounds)


async def _increments(there: receiver.Receiver, rounds: int) -> list[Bar]:
    taken: dict[str, list[float]] = {name: [] for name in CLIENTS}
    got: dict[str, Counter[str]] = {name: Counter() for name in CLIENTS}
    names = [f"bot.commands.command_{number}.ok" for number in range(SERIES)]
    load = random.Random(7).choices(names, k=_FAST)
    async with contextlib.AsyncExitStack() as stack:
        plays = {name: await stack.enter_async_context(make(there.port)) for name, (make, _) in CLIENTS.items()}
        gc.collect()
        gc.freeze()
        order = [*CLIENTS]
        for number in range(rounds + 1):
            random.shuffle(order)
            for name in order:
                mine = load[: CLIENTS[name][1]]
                began = time.process_time()
                await plays[name](mine)
                taken[name] += [(time.process_time() - began) / len(mine) * 1e6] if number else []
                got[name].update(await there.take(), sent=len(mine))
    return _judge(taken, got, rounds)


def _judge(taken: dict[str, list[float]], got: dict[str, Counter[str]], rounds: int) -> list[Bar]:
    ours = statistics.median(taken[OURS]), p10(taken[OURS])
    rows = []
    for name, times in taken.items():
        lower, middle, upper = quartiles(times)
        counts = got[name]
        lost = 100 * (1 - counts["sum"] / counts["sent"])
        rows.append(
            (name, f"{middle:.3f}", f"{lower:.3f}..{upper:.3f}", f"{p10(times):.3f}", f"x {middle / ours[0]:.1f}",
             f"x {p10(times) / ours[1]:.1f}", f"{counts['datagrams'] / counts['sent'] * 1e3:.1f}", f"{lost:.2f}")
        )  # fmt: skip
    head = ("CPU us an increment", "median", "IQR", "p10", "beside ours", "at p10", "datagrams/1,000", "lost %")
    table(f"{SERIES} series, flushed every {FLUSH} increments, {rounds} rounds", head, rows)
    return [_bar(name, factor, taken, ours[0]) for name, factor in BARS.items()]


def _bar(name: str, factor: int, taken: dict[str, list[float]], ours: float) -> Bar:
    found = statistics.median(taken[name]) / ours
    return Bar(f"an increment, beside {name}", f">= {factor} x less", f"{found:.1f} x less", found >= factor)
