"""What an increment costs that goes out over StatsD, sending it included, beside the other clients.

Every client sends to a UDP socket of another process, which counts what it gets: what is lost is seen. Then how much of
a million increments arrives where that socket's buffer is the usual one, and how long a flush of 10,000 series takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import random
import statistics
import time
import typing
from collections import Counter, defaultdict
from typing import Any, Final

import aiodogstatsd
from datadog.dogstatsd.base import DogStatsd
from pydis_core.async_stats import AsyncStatsClient as PydisStatsClient
from pydis_core.utils import scheduling

import statsd
from argus_exporter.catalogue import Counter as Metric
from argus_exporter.catalogue import Label
from argus_exporter.exporter import Exporter
from argus_exporter.exposition.encode import Encoder
from argus_exporter.settings import DISABLEABLE
from argus_exporter.statsd import AsyncStatsClient
from argus_exporter.statsd.encode import FLAVOURS
from argus_exporter.statsd.push import Push, Wire
from tests.benchmarks import receiver, series
from tests.benchmarks.bench_render import Steps
from tests.benchmarks.report import Bar, p10, quartiles, table

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from argus_exporter.instruments import CounterFamily

    Play = Callable[[], Awaitable[object]]

SERIES: Final = 200
FLUSH: Final = 10_000
"""Increments between two flushes, of the clients that aggregate."""
TURN: Final = 100
"""Increments between two turns of the event loop, for the clients that send from its tasks."""
_ROUNDS: Final = 25
_QUICK_ROUNDS: Final = 7
_FAST, _SLOW = 5 * FLUSH, FLUSH // 2
_MILLION: Final = 1_000_000
_PATH: Final = 1432
"""Bytes of a datagram that goes to another machine."""
_NEVER: Final = 3600

OURS: Final = "ours: client.incr(name)"
CELL: Final = "ours: cell.value += 1, pushed"
FLOOR: Final = "a method that adds to a dict"
PEERS: Final = {
    "statsd.StatsClient": 40,
    "datadog, aggregated": 7,
    "pydis_core's AsyncStatsClient": 100,
    "aiodogstatsd": 100,
}
"""How many times less than these ours is to cost."""


# ------------------------------------------------------------------------------------------------- clients


@contextlib.asynccontextmanager
async def _ours(port: int, load: Sequence[str]) -> AsyncIterator[Play]:
    client: Any = AsyncStatsClient(port=port, interval=_NEVER)
    await client.create_socket()

    async def play() -> None:
        incr = client.incr
        for start in range(0, len(load), FLUSH):
            for name in load[start : start + FLUSH]:
                incr(name)
            await client._flush(client._wire)

    yield play
    await client.close()


@contextlib.asynccontextmanager
async def _cells(port: int, load: Sequence[str]) -> AsyncIterator[Play]:
    async with _exporter(port, _NEVER) as exporter:
        family, push = _family(exporter, SERIES), typing.cast("Any", exporter)._push
        push._task.cancel()  # who flushes is the benchmark
        held = [family.labels(name) for name in load]

        async def play() -> None:
            for start in range(0, len(held), FLUSH):
                for cell in held[start : start + FLUSH]:
                    cell.value += 1
                await push._flush(push._transport)

        yield play


class _Floor:
    """As little as a method of that signature can do in Python."""

    def __init__(self) -> None:
        self.counts: dict[str, float] = defaultdict(int)

    def incr(self, stat: str, count: float = 1, rate: float = 1, tags: object = None) -> None:
        """Add."""
        self.counts[stat] += count


@contextlib.asynccontextmanager
async def _floor(_port: int, load: Sequence[str]) -> AsyncIterator[Play]:
    async def play() -> None:
        incr = _Floor().incr
        for name in load:
            incr(name)

    yield play


@contextlib.asynccontextmanager
async def _statsd(port: int, load: Sequence[str]) -> AsyncIterator[Play]:
    with contextlib.closing(statsd.StatsClient("127.0.0.1", port)) as client:

        async def play() -> None:
            for name in load:
                client.incr(name)

        yield play


@contextlib.asynccontextmanager
async def _pipeline(port: int, load: Sequence[str]) -> AsyncIterator[Play]:
    with contextlib.closing(statsd.StatsClient("127.0.0.1", port, maxudpsize=_PATH)) as client:

        async def play() -> None:
            for start in range(0, len(load), 1000):
                with client.pipeline() as pipeline:
                    for name in load[start : start + 1000]:
                        pipeline.incr(name)

        yield play


@contextlib.asynccontextmanager
async def _datadog(port: int, load: Sequence[str]) -> AsyncIterator[Play]:
    client = DogStatsd(
        "127.0.0.1",
        port,
        flush_interval=_NEVER,
        disable_aggregation=False,
        disable_buffering=False,
        disable_telemetry=True,
        origin_detection_enabled=False,
    )

    async def play() -> None:
        for start in range(0, len(load), FLUSH):
            for name in load[start : start + FLUSH]:
                client.increment(name)
            client.flush_aggregated_metrics()
            client.flush()

    yield play
    client.stop()


@contextlib.asynccontextmanager
async def _pydis(port: int, load: Sequence[str]) -> AsyncIterator[Play]:
    client: Any = PydisStatsClient(asyncio.get_running_loop(), "127.0.0.1", port)
    await client.create_socket()

    async def play() -> None:
        for start in range(0, len(load), TURN):
            for name in load[start : start + TURN]:
                client.incr(name)
            while scheduling._background_tasks:
                await asyncio.sleep(0)

    yield play
    client._transport.close()


@contextlib.asynccontextmanager
async def _aiodogstatsd(port: int, load: Sequence[str]) -> AsyncIterator[Play]:
    async with aiodogstatsd.Client(host="127.0.0.1", port=port) as client:

        async def play() -> None:
            for start in range(0, len(load), TURN):
                for name in load[start : start + TURN]:
                    client.increment(name)
                while not client._pending_queue.empty():
                    await asyncio.sleep(0)

        yield play


CLIENTS: Final = {
    OURS: (_ours, _FAST),
    "ours again (A/A)": (_ours, _FAST),
    CELL: (_cells, _FAST),
    FLOOR: (_floor, _FAST),
    "statsd.StatsClient": (_statsd, _SLOW),
    "statsd.StatsClient.pipeline of 1,000": (_pipeline, _FAST),
    "datadog, aggregated": (_datadog, _FAST),
    "pydis_core's AsyncStatsClient": (_pydis, _SLOW),
    "aiodogstatsd": (_aiodogstatsd, _SLOW),
}


def _exporter(port: int, interval: float) -> Exporter:
    """Nothing but a push: what the collectors cost is in other benchmarks."""
    return Exporter(
        port="off",
        state_dir="off",
        disable=",".join(DISABLEABLE),
        user_registry="off",
        statsd_url=f"udp://127.0.0.1:{port}",
        statsd_interval=interval,
        statsd_max_bytes=_PATH,
    )


def _family(exporter: Exporter, number: int) -> CounterFamily:
    label = Label("command", number, "a benchmark")
    return exporter.instruments.counter(Metric("bench_things_total", "Things.", "exporter", (label,)))


# ------------------------------------------------------------------------------------------------- measuring


def run(*, quick: bool) -> list[Bar]:
    """Measure."""
    return asyncio.run(_run(_QUICK_ROUNDS if quick else _ROUNDS))


async def _run(rounds: int) -> list[Bar]:
    with receiver.running(receiver.LARGE) as there:
        increments = await _increments(there, rounds)
    with receiver.running() as there:
        return [*increments, *await _losses(there), *await _flushes(there, rounds)]


async def _increments(there: receiver.Receiver, rounds: int) -> list[Bar]:
    taken: dict[str, list[float]] = {name: [] for name in CLIENTS}
    got: dict[str, Counter[str]] = {name: Counter() for name in CLIENTS}
    load = random.Random(7).choices([f"bench.commands.command_{number}.ok" for number in range(SERIES)], k=_FAST)
    async with contextlib.AsyncExitStack() as stack:
        plays = {
            name: await stack.enter_async_context(make(there.port, load[:number]))
            for name, (make, number) in CLIENTS.items()
        }
        gc.collect()
        gc.freeze()
        order = [*CLIENTS]
        for number in range(rounds + 1):
            random.shuffle(order)
            for name in order:
                increments = CLIENTS[name][1]
                began = time.process_time()
                await plays[name]()
                taken[name] += [(time.process_time() - began) / increments * 1e6] if number else []
                got[name].update(await there.take(), sent=increments)
        gc.unfreeze()
    _show(taken, got, rounds)
    return [
        _bar(ours, name, factor if ours == OURS else None, taken)
        for ours in (OURS, CELL)
        for name, factor in PEERS.items()
    ]


def _show(taken: dict[str, list[float]], got: dict[str, Counter[str]], rounds: int) -> None:
    ours = statistics.median(taken[OURS])
    rows = []
    for name, times in taken.items():
        lower, middle, upper = quartiles(times)
        counts = got[name]
        lost = "" if name == FLOOR else f"{100 * (1 - counts['sum'] / counts['sent']):.2f}"
        rows.append(
            (name, f"{middle:.3f}", f"{lower:.3f}..{upper:.3f}", f"{p10(times):.3f}", f"x {middle / ours:.1f}",
             f"{counts['datagrams'] / counts['sent'] * 1e3:.1f}", lost)
        )  # fmt: skip
    head = ("CPU us an increment", "median", "IQR", "p10", "beside ours", "datagrams/1,000", "lost %")
    table(f"{SERIES} series, flushed every {FLUSH} increments, {rounds} rounds", head, rows)


def _bar(ours: str, name: str, factor: int | None, taken: dict[str, list[float]]) -> Bar:
    found = statistics.median(taken[name]) / statistics.median(taken[ours])
    least = p10(taken[name]) / p10(taken[ours])
    what = f"{ours}, beside {name}"
    limit = f">= {factor} x less" if factor else "-"
    return Bar(what, limit, f"{found:.1f} x less (p10 {least:.1f})", not factor or found >= factor)


# ------------------------------------------------------------------------------------------------- a million


async def _losses(there: receiver.Receiver) -> list[Bar]:
    """Send a million increments over 1,000 series, the usual way, to a socket with the usual buffer."""
    names = [f"bench.commands.command_{number}.ok" for number in range(1000)]
    bars = []
    client = AsyncStatsClient(port=there.port, interval=0.1, max_bytes=_PATH)
    await client.create_socket()
    await _count_a_million([functools.partial(client.incr, name) for name in names])
    await client.close()
    bars.append(_loss(OURS, await there.take()))
    async with _exporter(there.port, 0.1) as exporter:
        family = _family(exporter, len(names))
        await _count_a_million([family.labels(name).inc for name in names])
    return [*bars, _loss(CELL, await there.take())]


async def _count_a_million(increments: Sequence[Callable[[], object]]) -> None:
    for number in range(_MILLION // len(increments)):
        for increment in increments:
            increment()
        if number % 10 == 0:
            await asyncio.sleep(0.001)


def _loss(what: str, got: dict[str, float]) -> Bar:
    lost = _MILLION - got["sum"]
    measured = f"{lost:.0f} in {got['datagrams']:.0f} datagrams"
    return Bar(f"lost of a million increments over 1,000 series, {what}", "0", measured, lost == 0)


# ------------------------------------------------------------------------------------------------- a flush


class _Nobody:
    """A bot that has no stats of its own."""

    families: frozenset[str] = frozenset()

    def drain(self, *_: object) -> tuple[bytes, ...]:
        """Nothing."""
        return ()

    def undo(self, _: bytes) -> None:
        """Never."""


async def _flushes(there: receiver.Receiver, rounds: int) -> list[Bar]:
    """Flush 10,000 series of which every value has changed: all CPU time, and the longest step of the event loop."""
    data = series.Both(10_000)
    wire = Wire(f"udp://127.0.0.1:{there.port}", _PATH, FLAVOURS["dogstatsd"], "", _NEVER, None)
    push: Any = Push(wire, data.ours, typing.cast("Any", _Nobody()), lambda: None, _raise)
    await push.start()
    push._task.cancel()  # who flushes is the benchmark
    gc.collect()
    gc.freeze()
    first, encoder = await _flush(push, data), Encoder(data.ours)
    _page(encoder)
    push._closing.set()  # no rests
    total, pages = [], []
    for _ in range(rounds):
        total.append(await _flush(push, data))
        pages.append(_page(encoder))
    push._closing.clear()
    paced = [await _flush(push, data) for _ in range(rounds // 2)]  # two seconds each
    steps = [await _held(push, data) for _ in range(rounds // 2)]
    gc.unfreeze()
    await push.close()
    head = ("ms", "median", "p10", "worst")
    rows = [
        (name, *(f"{figure:.2f}" for figure in (statistics.median(times), p10(times), max(times))))
        for name, times in {
            "all, CPU, without the rests, as at the close": total,
            "all, CPU, with rests of 50 ms, after which caches are cold": paced,
            "for comparison, a page of the same series, CPU": pages,
            "longest step, CPU": [step.cpu for step in steps],
            "longest step, wall": [step.wall for step in steps],
        }.items()
    ]
    title = f"flush of {data.lines} series, {rounds} rounds, every value changed; the first one, CPU: {first:.1f} ms"
    table(title, head, rows)
    return [_at_most("all of it", 10, total), _at_most("longest step", 1, [step.cpu for step in steps])]


async def _flush(push: Any, data: series.Both) -> float:
    """Flush, and say how much CPU time it took, in milliseconds."""
    data.change()
    began = time.process_time()
    await push._flush(push._transport)
    return (time.process_time() - began) * 1e3


def _page(encoder: Encoder) -> float:
    began = time.process_time()
    sum(map(len, encoder.slices()))
    return (time.process_time() - began) * 1e3


async def _held(push: Any, data: series.Both) -> Steps:
    data.change()
    steps = Steps()
    with steps.watched():
        await asyncio.create_task(push._flush(push._transport))
    return steps


def _at_most(what: str, limit: float, times: list[float]) -> Bar:
    middle = statistics.median(times)
    measured = f"CPU {middle:.2f} ms (p10 {p10(times):.2f})"
    return Bar(f"flush of 10,000 series, {what}", f"<= {limit} ms", measured, middle <= limit)


def _raise(_: str, error: BaseException) -> None:
    raise error
