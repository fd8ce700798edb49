"""From rows to batches, and from batches to the database: bounded, and never in the bot's way.

Every row that is put here is in exactly one of three states: it waits, or it is written, or it is lost. Rows are put
into the batch they will be written with at once, so that nothing has to be sorted later. The batch that is tried stays
in the queue until the database has it, whatever happens to the attempt.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import time
import typing
import uuid
from collections import Counter, defaultdict, deque
from typing import Final, NamedTuple

from argus_exporter import catalogue
from argus_exporter.analytics.events import TABLE_OF
from argus_exporter.analytics.privacy import told
from argus_exporter.analytics.sink import Batch, RefusedError

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    from argus_exporter.analytics.events import Values
    from argus_exporter.analytics.sink import Sink
    from argus_exporter.instruments import CounterCell, Instruments
    from argus_exporter.settings import Secret

ATTEMPT_SECONDS: Final = 30.0
"""After which an attempt has failed."""

FLUSH_SECONDS: Final = 4.0
"""For writing what waits when the exporter is closed."""

LEAVE_SECONDS: Final = 0.5
"""For ending an attempt then, and again for leaving the database: with the flush, 5 s in all."""

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 60.0
"""Seconds between two attempts at most; what it really is, is left to chance."""

LAST_CHANCES: Final = 2
"""How often writing may fail while the exporter closes: a connection that has died in the quiet is mended by a second
attempt, a database that is away by none."""

QUIET_SECONDS: Final = 60.0
"""Between two log lines that say the same, however often the database comes and goes, and whatever it refuses."""

_log: Final = logging.getLogger(__name__)


class Limits(NamedTuple):
    """How much may wait, and how much is written at once.

    :param bytes: of memory, by the rows' weights.
    :param batch_seconds: after which rows are written though they are fewer than ``batch_rows``.
    """

    rows: int
    bytes: int
    batch_rows: int
    batch_seconds: float


class _Book:
    """What became of a table's rows, and what one weighs."""

    __slots__ = ("lost", "queued", "weight", "written")

    def __init__(self, instruments: Instruments, table: str) -> None:
        self.weight = TABLE_OF[table].row.weight
        self.queued: CounterCell = instruments.counter(catalogue.ANALYTICS_QUEUED_TOTAL).labels(table)
        self.written: CounterCell = instruments.counter(catalogue.ANALYTICS_WRITTEN_TOTAL).labels(table)
        lost = instruments.counter(catalogue.ANALYTICS_LOST_TOTAL)
        self.lost = {reason: lost.labels(table, reason) for reason in catalogue.ANALYTICS_LOSSES}


class Queue:
    """Takes rows, and has a task that writes them.

    :param url: of the database, for the log, which shows of it what is no secret.
    :param tables: whose rows are kept; others are let go.
    :param clock: seconds, as the event loop counts them.
    :ivar rows: how many wait, those of the attempt that runs included.
    :ivar bytes: of memory that they take at most.
    """

    def __init__(
        self,
        sink: Sink,
        limits: Limits,
        instruments: Instruments,
        url: Secret,
        tables: Iterable[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sink: Final = sink
        self._most_rows, self._most_bytes, self._full, self._patience = limits
        self._url: Final = url
        self._clock: Final = clock
        self._books: Final = {table: _Book(instruments, table) for table in tables}
        self._declare(instruments)
        self.rows = self.bytes = 0
        self._open: defaultdict[str, list[Values]] = defaultdict(list)
        self._filling = 0
        self._since = 0.0
        self._sealed: deque[Batch] = deque()
        self._changed, self._closing = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_open = False
        self._failures = 0
        self._said: dict[str, float] = {}
        self._away = False

    def _declare(self, instruments: Instruments) -> None:
        self._rows_cell = instruments.gauge(catalogue.ANALYTICS_QUEUE_ROWS).labels()
        self._bytes_cell = instruments.gauge(catalogue.ANALYTICS_QUEUE_BYTES).labels()
        instruments.gauge(catalogue.ANALYTICS_QUEUE_ROWS_LIMIT).labels().set(self._most_rows)
        instruments.gauge(catalogue.ANALYTICS_QUEUE_BYTES_LIMIT).labels().set(self._most_bytes)
        self._took = instruments.histogram(catalogue.ANALYTICS_WRITE_SECONDS).labels()
        self._failed = instruments.counter(catalogue.ANALYTICS_FAILURES_TOTAL).labels()
        self._last = instruments.gauge(catalogue.ANALYTICS_LAST_WRITE_TIMESTAMP_SECONDS).labels()

    # ------------------------------------------------------------------------------------- rows

    def put(self, table: str, rows: Sequence[Values]) -> None:
        """Take rows of a table, and count as lost those that find no room. Never waits; on the event loop's thread."""
        book = self._books.get(table)
        if book is None:
            return
        book.queued.value += len(rows)
        room, light = self._most_rows - self.rows, (self._most_bytes - self.bytes) // book.weight
        if len(rows) > min(room, light):
            taken = rows[: min(room, light)]
            book.lost["rows" if room <= light else "bytes"].value += len(rows) - len(taken)
            rows = taken
        self.rows += len(rows)
        self.bytes += len(rows) * book.weight
        while rows:
            rows = self._fill(table, rows)

    def _fill(self, table: str, rows: Sequence[Values]) -> Sequence[Values]:
        """Put as many into the batch as it has room for; give those that are left."""
        if not self._filling:
            self._since = self._clock()
            self._changed.set()
        space = self._full - self._filling
        some = rows[:space]
        self._open[table] += some
        self._filling += len(some)
        if self._filling >= self._full:
            self._seal()
        return rows[space:]

    def _seal(self) -> None:
        """Let the batch that is being filled be written."""
        if self._filling:
            self._sealed.append(Batch(uuid.uuid4().hex, dict(self._open)))
            self._open, self._filling = defaultdict(list), 0
            self._changed.set()

    def _settle(self, reason: str | None = None) -> Batch:
        """Take out the oldest batch: it is written, or lost for a reason."""
        batch = self._sealed.popleft()
        for table, rows in batch.rows.items():
            book = self._books[table]
            (book.lost[reason] if reason else book.written).value += len(rows)
            self.rows -= len(rows)
            self.bytes -= len(rows) * book.weight
        return batch

    def sample(self) -> None:
        """Bring the gauges up to date."""
        self._rows_cell.set(self.rows)
        self._bytes_cell.set(self.bytes)

    # ------------------------------------------------------------------------------------- life

    def start(self) -> None:
        """Begin to write, on the running loop. Returns at once; a second start does nothing."""
        if self._task is None:
            self._changed, self._closing = asyncio.Event(), asyncio.Event()
            self._task = asyncio.get_running_loop().create_task(self._run(), name="argus_exporter:analytics")

    async def close(self) -> None:
        """Write what waits, within 5 s, and leave the database. What was not written is lost, and said in the log.

        A batch whose answer did not come in time counts as lost, and may be there all the same.
        """
        task, self._task = self._task, None
        if task is None:
            return
        self._seal()
        self._failures = 0
        self._closing.set()
        self._changed.set()
        try:
            await asyncio.wait({task}, timeout=FLUSH_SECONDS)
        finally:
            task.cancel()
            await asyncio.wait({task}, timeout=LEAVE_SECONDS)
            self._give_up()
            self._is_open = False
            await self._tried(self._sink.close(), LEAVE_SECONDS)

    def _give_up(self) -> None:
        self._seal()
        lost: Counter[str] = Counter()
        while self._sealed:
            lost += Counter({table: len(rows) for table, rows in self._settle("closing").rows.items()})
        if lost:
            named = ", ".join(f"{count} of {table}" for table, count in lost.items())
            _log.warning("closed before %s had all rows: lost are %s", self._url, named)

    # ------------------------------------------------------------------------------------- the writer

    async def _run(self) -> None:
        while await self._has_work():
            error = await self._step()
            if error is None:
                continue
            self._failures += 1
            self._say_away(error)
            if self._closing.is_set():
                if self._failures >= LAST_CHANCES:
                    return
            else:
                await self._rest()

    async def _has_work(self) -> bool:
        """Wait until there is something to do: the database to be opened, or a batch that is full or old enough."""
        while self._is_open and not self._sealed and not self._closing.is_set():
            self._changed.clear()
            age = self._clock() - self._since
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._patience - age if self._filling else None):
                    await self._changed.wait()
                    continue
            self._seal()
        return bool(self._sealed) or not self._closing.is_set()

    async def _rest(self) -> None:
        """Wait before the next attempt: twice as long as before, at random within that ("full jitter")."""
        most = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._failures - 1, 10))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(random.uniform(0, most)):  # noqa: S311 - no secret
                await self._closing.wait()

    async def _step(self) -> Exception | None:
        """Open the database where it is not, else write the oldest batch; say what went wrong."""
        if not self._is_open:
            error = await self._tried(self._sink.open(), ATTEMPT_SECONDS)
            self._is_open = error is None
            if self._is_open and not self._sealed:
                self._say_back()
            return error
        began = self._clock()
        error = await self._tried(self._sink.write(self._sealed[0]), ATTEMPT_SECONDS)
        if isinstance(error, RefusedError):
            self._part(error)
            return None
        self._is_open = error is None
        if error is None:
            self._settle()
            self._took.observe(self._clock() - began)
            self._last.set(time.time())
            self._say_back()
        return error

    def _part(self, error: RefusedError) -> None:
        """Part the batch that was refused in two, that what can be written is; a row alone is lost."""
        if len(self._sealed[0]) > 1:
            self._sealed.extendleft(reversed(_halves(self._sealed.popleft())))
            return
        (table,) = self._settle("refused").rows
        if self._may_say("refused"):
            _log.warning("%s does not allow a row of %s, which is lost: %s", self._url, table, self._told(error))

    async def _tried(self, work: Coroutine[None, None, None], seconds: float) -> Exception | None:
        """Run an attempt within its time; give what it raised instead of raising it."""
        error: Exception
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                await work
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            error = ConnectionError("given up from within")
        except Exception as failure:  # noqa: BLE001 - the world's trouble never stops the bot
            error = TimeoutError(f"no answer within {seconds:g} s") if limit.expired() else failure
        else:
            return None
        self._failed.value += 1
        return error

    # ------------------------------------------------------------------------------------- the log

    def _told(self, error: Exception) -> str:
        return told(error, self._url.reveal())

    def _may_say(self, what: str) -> bool:
        now = self._clock()
        if now - self._said.get(what, -math.inf) < QUIET_SECONDS:
            return False
        self._said[what] = now
        return True

    def _say_away(self, error: Exception) -> None:
        if not self._away and self._may_say("away"):
            self._away = True
            _log.warning("cannot write to %s, trying on, %d rows wait: %s", self._url, self.rows, self._told(error))

    def _say_back(self) -> None:
        self._failures = 0
        if self._away:
            self._away = False
            _log.warning("writing to %s works again, %d rows wait", self._url, self.rows)


def _halves(batch: Batch) -> list[Batch]:
    """The two halves of a batch, in order, each with a token of its own that is the same at every attempt."""
    halves: tuple[dict[str, Sequence[Values]], ...] = ({}, {})
    room = len(batch) // 2
    for table, rows in batch.rows.items():
        halves[0][table], halves[1][table] = rows[:room], rows[room:]
        room = max(0, room - len(rows))
    parts = [{table: rows for table, rows in half.items() if rows} for half in halves]
    return [Batch(f"{batch.token}-{number}", part) for number, part in enumerate(parts)]
