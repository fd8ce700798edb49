"""A database in memory that does as it is told, and an event loop whose clock jumps to what is due next."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import typing
from typing import Any

from argus_exporter.analytics.events import TABLE_OF, TABLES, Kind, Row, Table
from argus_exporter.analytics.queue import Limits, Queue
from argus_exporter.analytics.sink import Batch, Erased, RefusedError
from argus_exporter.instruments import Instruments
from argus_exporter.settings import Secret

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

URL = Secret("clickhouse://me:s3cret@db/bots", "clickhouse://***@db/bots")
LIMITS = Limits(1000, 1_000_000, 10, 5.0)


class Memory:
    """A database. What a token brought once is not stored again.

    :ivar mode: ``well``; ``away``: refuses connections; ``hangs``: never answers; ``slow``: takes 3 s; ``mute``:
        stores, and its answer is lost; ``gone``: cancels what it is asked.
    :ivar stumbles: how many of the next questions fail, whatever the mode is.
    :ivar refused: ids of rows that it does not allow.
    """

    def __init__(self) -> None:
        self.mode = "well"
        self.stumbles = 0
        self.refused: set[int] = set()
        self.batches: dict[str, Batch] = {}
        self.calls: list[tuple[str, float]] = []
        self.error: Exception = ConnectionRefusedError("no me:s3cret at clickhouse://me:s3cret@db/bots")

    async def _meet(self, call: str) -> None:
        loop = asyncio.get_running_loop()
        self.calls.append((call, loop.time()))
        if self.stumbles or self.mode == "away":
            self.stumbles = max(0, self.stumbles - 1)
            raise self.error
        if self.mode == "gone":
            raise asyncio.CancelledError
        await asyncio.sleep({"hangs": 10**6, "slow": 3}.get(self.mode, 0))

    async def open(self) -> None:
        await self._meet("open")

    async def check(self) -> str:
        await self._meet("check")
        return "memory"

    async def write(self, batch: Batch) -> None:
        await self._meet("write")
        if any(getattr(row, "id", None) in self.refused for row in batch_rows(batch)):
            raise RefusedError("a value that me:s3cret may not write")
        self.batches.setdefault(batch.token, batch)
        if self.mode == "mute":
            raise ConnectionResetError

    async def close(self) -> None:
        await self._meet("close")

    async def erase(self, *, guild_id: int | None = None, user_id: int | None = None) -> list[Erased]:
        await self._meet("erase")
        return [Erased("commands", 1)]

    def stored(self, table: str | None = None) -> list[int]:
        """The ids of all rows that it has, in the order in which they came."""
        batches = self.batches.values()
        return [row.id for batch in batches for row in batch_rows(batch) if table in {None, row.table}]

    def asked(self, call: str) -> list[float]:
        """When it was asked for something."""
        return [when for name, when in self.calls if name == call]


def batch_rows(batch: Batch) -> list[Any]:
    return [TABLE_OF[table].row(*values) for table, rows in batch.rows.items() for values in rows]


class _Jumping(selectors.DefaultSelector):
    """Waits for nothing: what would have been waited for has gone by."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "nothing will ever happen"
        self.now += max(0, timeout)
        return super().select(0)


@contextlib.contextmanager
def jumping() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that needs no time for waiting."""
    selector = _Jumping()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now  # type: ignore[method-assign]
    try:
        yield loop
    finally:
        loop.close()


class World:
    """A queue before a database in memory.

    :ivar run: runs a coroutine on the loop whose clock jumps.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits = LIMITS, tables: Iterable[Table] = TABLES):
        self.sink = Memory()
        self.instruments = Instruments()
        self.loop = loop
        names = [table.name for table in tables]
        self.queue = Queue(self.sink, limits, self.instruments, URL, names, loop.time)
        self.run: Callable[[Any], Any] = loop.run_until_complete

    def start(self) -> None:
        async def start() -> None:
            self.queue.start()

        self.run(start())

    def wait(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    def close(self) -> None:
        self.run(self.queue.close())

    def put(self, *ids: int, table: str = "commands") -> None:
        self.queue.put(table, [row_of(table, number).values for number in ids])

    def count(self, name: str, *labels: str) -> float:
        """The sum of a metric's series that begin with these labels."""
        self.queue.sample()
        cells: dict[tuple[str, ...], Any] = dict(self.instruments.families[f"argus_exporter_analytics_{name}"].cells)
        return sum(cell.value or 0 for key, cell in cells.items() if key[: len(labels)] == labels)

    def lost(self, reason: str) -> float:
        cells: dict[tuple[str, ...], Any] = dict(self.instruments.families["argus_exporter_analytics_lost_total"].cells)
        return sum(cell.value for key, cell in cells.items() if key[1] == reason)


@contextlib.contextmanager
def world(limits: Limits = LIMITS, **options: Any) -> Iterator[World]:
    with jumping() as loop:
        made = World(loop, limits, **options)
        try:
            yield made
        finally:
            made.sink.mode = "well"
            made.close()


_VALUES: dict[Kind, Any] = {Kind.SECONDS: 0.5, Kind.FLAG: True, Kind.WORD: "word", Kind.TEXT: "text"}


def row_of(table: str, number: int, **values: Any) -> Row:
    """A row of a table; what it holds is of no account but for its id."""
    (kind,) = [each for each in TABLES if each.name == table]
    columns = {column.name: _VALUES.get(column.kind, number) for column in kind.columns}
    row: Any = kind.row
    return typing.cast("Row", row(**(columns | values)))
