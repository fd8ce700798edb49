"""Writing rows into PostgreSQL and into ClickHouse's engine: how many, how long it holds the loop, how much memory.

The process and all of the database's have one core of the machine, and no other. Rows go in at ``Queue.put`` and are
counted in the database at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import random
import statistics
import time
import typing
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, Final

import psutil

from argus_exporter.analytics import clickhouse, postgres
from argus_exporter.analytics.events import CommandRow, InteractionRow, MessageRow, Row, Values
from argus_exporter.analytics.queue import Limits, Queue
from argus_exporter.analytics.sink import Place
from argus_exporter.instruments import Instruments
from argus_exporter.settings import Secret, Settings
from tests.benchmarks.bench_analytics import Nowhere
from tests.benchmarks.bench_render import Steps
from tests.benchmarks.report import Bar, p10, table
from tests.million.stores import STORES, Store, family, running

if typing.TYPE_CHECKING:
    from collections.abc import Callable

    from argus_exporter.analytics.sink import Sink

_ROUNDS: Final = 20
_QUICK_ROUNDS: Final = 4
_ROWS: Final = 20_000
"""A round, of which half are messages, a quarter interactions and a quarter commands."""
_TURN: Final = 100
"""Rows between two turns of the event loop."""
_FAST: Final = 20_000
_HELD: Final = 2.0
_MORE: Final = 4.0
"""MB beside the rows: lists, and what the process does for other reasons."""
_MB: Final = 1 << 20
_SINKS: Final[dict[str, Callable[[Place], Sink]]] = {"postgres": postgres.Postgres, "clickhouse": clickhouse.ClickHouse}
_DEFAULTS: Final = Settings()
_LIMITS: Final = Limits(
    _DEFAULTS.analytics_queue_rows,
    _DEFAULTS.analytics_queue_bytes,
    _DEFAULTS.analytics_batch_rows,
    _DEFAULTS.analytics_batch_seconds,
)


_TABLES: Final = ("messages", "interactions", "commands")

Turn = dict[str, list[Values]]


class Rows:
    """Makes rows as a busy bot would: of a thousand guilds, a hundred commands, within the last minute."""

    def __init__(self) -> None:
        self._rng = random.Random(7)
        self._number = 0
        self._guilds = [self._id() for _ in range(1000)]
        self._commands = [f"group-{number % 10} command-{number}" for number in range(100)]

    def _id(self) -> int:
        self._number += 1
        return (int(time.time() * 1000) - 1_420_070_400_000 << 22) + self._number

    def make(self, count: int) -> list[Turn]:
        """Rows by turns of the event loop, in each as many of a table at once as a bot's are."""
        return [self._turn() for _ in range(count // _TURN)]

    def _turn(self) -> Turn:
        kinds = (self.message, self.message, self.interaction, self.command)
        made = [kinds[number % 4]() for number in range(_TURN)]
        return {table: [row.values for row in made if row.table == table] for table in _TABLES}

    def message(self) -> Row:
        number = self._id()
        guild = self._rng.choice(self._guilds)
        return MessageRow(number, (number >> 22) + 1_420_070_400_000, True, 3, guild, guild + 1, guild + 2, None, None)

    def interaction(self) -> Row:
        number, guild, seconds = self._id(), self._rng.choice(self._guilds), self._rng.random()
        at = (number >> 22) + 1_420_070_400_000
        return InteractionRow(
            number, at, "slash", 3, guild, guild + 1, guild + 2, seconds, seconds / 2, seconds * 2, "ok", False
        )

    def command(self) -> Row:
        number, guild, seconds = self._id(), self._rng.choice(self._guilds), self._rng.random()
        at, command = (number >> 22) + 1_420_070_400_000, self._rng.choice(self._commands)
        return CommandRow(number, at, command, "slash", 3, guild, guild + 1, guild + 2, seconds, "ok", "")


def run(*, quick: bool) -> list[Bar]:
    """Measure."""
    logging.getLogger("argus_exporter").setLevel(logging.ERROR)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    rounds = _QUICK_ROUNDS if quick else _ROUNDS
    return [bar for name in STORES for bar in asyncio.run(_run(name, rounds))] + _memory()


# ------------------------------------------------------------------------------------------------- how many


async def _run(name: str, rounds: int) -> list[Bar]:
    async with running(name) as store, _queue(name, store) as queue:
        rows = Rows()
        await _write(queue, rows.make(_ROWS))
        gc.collect()
        gc.freeze()
        spent = [await _round(queue, store, rows) for _ in range(rounds)]
        steps = [await _steps(queue, rows) for _ in range(rounds)]
        gc.unfreeze()
        stored = [await store.rows(f"SELECT count(*) FROM {each}_text") for each in _TABLES]  # noqa: S608
    if (found := sum(int(count) for ((count,),) in stored)) != (
        put := _ROWS * (1 + rounds) + _LIMITS.batch_rows * rounds
    ):
        msg = f"{found} rows are in {name} of {put}"
        raise AssertionError(msg)
    return _tell(name, spent, steps)


@contextlib.asynccontextmanager
async def _queue(name: str, store: Store) -> typing.AsyncGenerator[Queue]:
    sink = _SINKS[name](Place(store.url, "bench", "here"))
    queue = Queue(sink, _LIMITS, Instruments(), Secret(store.url), _TABLES)
    queue.start()
    yield queue
    await queue.close()


async def _write(queue: Queue, turns: list[Turn]) -> None:
    """Put rows, the loop having its turn in between, and wait until they are stored."""
    for turn in turns:
        _put(queue, turn)
        await asyncio.sleep(0)
    queue._seal()
    while queue.rows:
        await asyncio.sleep(0.001)


def _put(queue: Queue, turn: Turn) -> None:
    for name, rows in turn.items():
        queue.put(name, rows)


class Spent(typing.NamedTuple):
    """Seconds: wall time, CPU time of this process, and of the database."""

    wall: float
    ours: float
    theirs: float


async def _round(queue: Queue, store: Store, rows: Rows) -> Spent:
    made = rows.make(_ROWS)
    wall, ours, theirs = time.perf_counter(), time.process_time(), _used(store)
    await _write(queue, made)
    return Spent(time.perf_counter() - wall, time.process_time() - ours, _used(store) - theirs)


def _used(store: Store) -> float:
    times: Any = [process.cpu_times() for process in family(store)]
    return sum(each.user + each.system for each in times)


async def _steps(queue: Queue, rows: Rows) -> Steps:
    """Write a batch that nobody else holds, and note the longest step of the loop."""
    steps = Steps()
    for turn in rows.make(_LIMITS.batch_rows):
        _put(queue, turn)
    gc.collect(0)  # a bot's rows come with much else, and are looked at long before they are this many
    with steps.watched():
        while queue.rows:
            await asyncio.sleep(0.001)
    return steps


def _tell(name: str, spent: list[Spent], steps: list[Steps]) -> list[Bar]:
    rates = [_ROWS / (each.ours + each.theirs) for each in spent]
    figures = {
        "rows a second, by the CPU time of both": rates,
        "rows a second, by the clock": [_ROWS / each.wall for each in spent],
        "CPU us a row, this process": [each.ours / _ROWS * 1e6 for each in spent],
        "CPU us a row, the database": [each.theirs / _ROWS * 1e6 for each in spent],
        "longest step of a batch, CPU ms": [each.cpu for each in steps],
        "longest step of a batch, wall ms": [each.wall for each in steps],
    }
    rows = [
        (what, *(f"{number:.2f}" for number in (statistics.median(found), p10(found), max(found))))
        for what, found in figures.items()
    ]
    table(f"{name}, one core for both, {len(spent)} rounds of {_ROWS} rows", ("", "median", "p10", "most"), rows)
    rate, held = statistics.median(rates), statistics.median([each.cpu for each in steps])
    return [
        Bar(f"rows a second into {name}, of one core", f">= {_FAST}", f"{rate:.0f}", rate >= _FAST),
        Bar(f"loop held by a batch into {name}", f"<= {_HELD:g} ms", f"CPU {held:.2f} ms", held <= _HELD),
    ]


# ------------------------------------------------------------------------------------------------- how much


def _memory() -> list[Bar]:
    """Fill a queue whose database is away, each time in a process of its own."""
    kinds = ("message", "interaction", "command")
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        found = [*pool.map(_grown, kinds)]
    limit = _LIMITS.bytes / _MB
    rows = [(kind, f"{held}", f"{mb:.1f}", f"{weighed:.1f}") for kind, held, mb, weighed in found]
    table(
        f"a full queue, of at most {_LIMITS.rows} rows and {limit:.0f} MB", ("", "rows", "RSS MB", "counted as"), rows
    )
    return [
        Bar(f"memory of a queue full of {kind}s", f"<= {limit:g} + {_MORE:g} MB", f"{mb:.1f} MB", mb <= limit + _MORE)
        for kind, _, mb, _ in found
    ]


def _grown(kind: str) -> tuple[str, int, float, float]:
    """How many rows a queue holds, MB by which the process has grown, and MB of which the queue knows."""
    queue = Queue(Nowhere(), _LIMITS, Instruments(), Secret("-"), _TABLES)
    make = getattr(Rows(), kind)
    gc.collect()
    before = psutil.Process().memory_info().rss
    for _ in range(_LIMITS.rows + 1):
        row = make()
        queue.put(row.table, [row.values])
    return kind, queue.rows, (psutil.Process().memory_info().rss - before) / _MB, queue.bytes / _MB
