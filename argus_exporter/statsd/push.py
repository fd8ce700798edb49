"""From cells to datagrams: every interval, what has changed since the last flush.

The hot path knows nothing of it: what a receiver was told last is kept beside each series, and compared. It moves on
only with datagrams that the operating system took. What UDP loses after that is lost, and never told twice; what is
refused here goes out with the next flush.

A flush is spread: it hands the loop back three times in a millisecond, and rests after each :data:`BURST`, because a
receiver with the usual 208 KB of buffer holds about 90 full datagrams.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import typing
from itertools import islice
from typing import Any, Final, NamedTuple, Protocol

from argus_exporter import catalogue
from argus_exporter.statsd.deltas import Batch, BucketRun, CounterRun, GaugeRun, QuantileRun, Round, Spelling
from argus_exporter.statsd.pack import packed
from argus_exporter.statsd.strangers import Strangers
from argus_exporter.statsd.transport import Transport

if typing.TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from argus_exporter.instruments import AnyFamily, CounterCell, Instruments, Reading
    from argus_exporter.statsd.deltas import Labels, Parts, Run
    from argus_exporter.statsd.encode import Flavour

BURST: Final = 16 * 1024
"""Bytes after which a flush rests, at the end of a slice."""

TURN: Final = 0.0003
"""Seconds of work after which the event loop is handed back."""

LONGEST_REST: Final = 0.05
"""Seconds between two bursts at most; less where a flush would take more than half of its interval."""

GRACE: Final = 1.0
"""Seconds that the last flush may take."""

_FIRST: Final = 1.0
_BYTES_A_LINE: Final = 80
_ENOUGH: Final = 200
"""Lines that are worth packing."""

_log: Final = logging.getLogger(__name__)


class Client(Protocol):
    """The bot's own stats, which have their lines themselves."""

    @property
    def families(self) -> AbstractSet[str]:
        """Names of the families that are theirs."""
        ...

    def drain(self, flavour: Flavour, prefix: str) -> Iterator[bytes]:
        """The lines of this flush."""
        ...

    def undo(self, datagram: bytes) -> None:
        """Say again what was in a datagram."""
        ...


class Wire(NamedTuple):
    """Where, how and how often to push.

    :param limit: bytes in a datagram; None for what suits the place.
    :param interval: seconds between two flushes.
    :param refresh: seconds in which every series is told once, changed or not; None where never.
    """

    url: str
    limit: int | None
    flavour: Flavour
    prefix: str
    interval: float
    refresh: float | None


class Push:
    """Sends all that is on the page, every interval. What was told is remembered over a close and the next start.

    :param client: the bot's own stats; the families of its names are left to it.
    :param sample: brings the cells up to date: the page's.
    :param errors: is told the noun and the exception of what was caught.
    :param readings: what the bot has on a registry of prometheus_client, if that is wanted.
    """

    def __init__(
        self,
        wire: Wire,
        instruments: Instruments,
        client: Client,
        sample: Callable[[], None],
        errors: Callable[[str, BaseException], None],
        readings: Callable[[], Awaitable[Sequence[Reading]]] | None = None,
    ) -> None:
        self._wire: Final = wire
        self._instruments: Final = instruments
        self._client: Final = client
        self._sample: Final = sample
        self._errors: Final = errors
        self._readings: Final = readings
        self._cells: Final = _Cells(instruments)
        self._spelling: Final = Spelling(self._parts, wire.flavour.whole)
        constant = tuple(instruments.constant.items())
        self._strangers: Final = Strangers(self._spelling, constant, buckets=wire.flavour.buckets)
        self._runs: Final[dict[str, list[Run[Any]]]] = {}
        self._rounds: Final = 0 if wire.refresh is None else max(1, round(wire.refresh / wire.interval))
        self._flushes = self._numbered = 0
        self._noted: Final[set[type[BaseException]]] = set()
        self._closing = asyncio.Event()
        self._transport: Transport | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to push. Returns at once; a second start does nothing."""
        if self._transport is None:
            self._transport = transport = Transport(self._wire.url, limit=self._wire.limit, note=self._note)
            self._cells.follow(transport)
            self._closing = asyncio.Event()
            await transport.start()
            self._task = asyncio.create_task(self._run(transport), name="argus_exporter:statsd push")

    async def close(self) -> None:
        """Flush once more, within :data:`GRACE`, and give everything back."""
        transport, self._transport = self._transport, None
        if transport is None or self._task is None:
            return
        self._closing.set()
        try:
            await asyncio.wait({self._task}, timeout=GRACE)
        finally:
            self._task.cancel()
            await asyncio.wait({self._task})
            await transport.close()
            self._cells.sample()

    def sample(self) -> None:
        """Bring the cells that tell of the push up to date."""
        self._cells.sample()

    # ------------------------------------------------------------------------------------- at work

    async def _run(self, transport: Transport) -> None:
        loop = asyncio.get_running_loop()
        turn = loop.time() + min(_FIRST, self._wire.interval)
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(turn):
                    await self._closing.wait()
            last = self._closing.is_set()
            try:
                await self._flush(transport)
            except Exception as error:  # noqa: BLE001 - the next flush says what this one has not
                self._errors("statsd", error)
            if last:
                return
            turn = max(turn + self._wire.interval, loop.time())

    async def _flush(self, transport: Transport) -> None:
        """Say what has changed. While there is no address nothing is said, and nothing lost."""
        if not transport.ready:
            return
        self._flushes += 1
        when = Round(self._flushes, self._rounds)
        self._sample()
        bursts = 1 + self._instruments.count_series() * _BYTES_A_LINE // BURST
        limit = self._wire.limit or min(transport.limit, self._wire.flavour.most)
        sender = Sender(transport, limit, min(LONGEST_REST, self._wire.interval / 2 / bursts), self._closing.is_set)
        await sender.say(self._tell(sender.batch, when))
        await sender.repeat(self._client, self._wire.flavour, self._wire.prefix)
        if self._readings is not None:
            await sender.say(self._strangers.tell(await self._readings(), sender.batch, when))
        self._cells.flushed(sender)

    def _tell(self, batch: Batch, when: Round) -> Iterator[None]:
        """Put the lines of our own families into the batch, in turns."""
        for name, family in list(self._instruments.families.items()):
            if name in self._client.families:
                continue
            runs = self._runs.setdefault(name, [])
            yield from self._take_new(family, runs)
            for run in runs:
                try:
                    run.tell(batch, due=when.is_due(run.number))
                except Exception as error:  # noqa: BLE001 - what one family has in its cells costs no other
                    self._errors("statsd", error)
                yield

    def _take_new(self, family: AnyFamily, runs: list[Run[Any]]) -> Iterator[None]:
        """Put the series that are new into runs, in turns: cells are only ever added, at the end."""
        seen = sum([len(run.cells) for run in runs])
        for key, cell in list(islice(family.cells.items(), seen, None)):
            if not runs or len(runs[-1].cells) >= runs[-1].size:
                runs.append(self._new_run(family))
            runs[-1].add(family.pairs(key), cell)
            yield

    def _new_run(self, family: AnyFamily) -> Run[Any]:
        self._numbered += 1
        kinds: dict[str, type[Run[Any]]] = {
            "counter": CounterRun,
            "gauge": GaugeRun,
            "histogram": BucketRun if self._wire.flavour.buckets else QuantileRun,
        }
        return kinds[family.metric.kind](family.metric.name, self._spelling, self._numbered)

    def _parts(self, name: str, labels: Labels) -> Parts:
        prefix = self._wire.prefix
        return self._wire.flavour.parts(f"{prefix}.{name}" if prefix else name, labels)

    def _note(self, error: BaseException) -> None:
        if type(error) not in self._noted:
            self._noted.add(type(error))
            _log.warning("StatsD: %s: %s (counted from now on, not logged again)", type(error).__name__, error)


class Sender:
    """Gives the lines of one flush to the transport, a burst at a time.

    :param limit: bytes in a datagram.
    :param rest: seconds between two bursts.
    :param hurry: whether to do without them.
    :ivar refused: samples that the transport did not take.
    """

    def __init__(self, transport: Transport, limit: int, rest: float, hurry: Callable[[], bool]) -> None:
        self.batch: Final = Batch(limit)
        self.refused = 0
        self._transport: Final = transport
        self._limit: Final = limit
        self._rest: Final = rest
        self._hurry: Final = hurry
        self._burst = 0
        self._began = time.perf_counter()

    async def say(self, turns: Iterator[None]) -> None:
        """Send what each turn puts into the batch."""
        for _ in turns:
            if len(self.batch.lines) >= _ENOUGH:
                self._send(all_=False)
            await self._pause()
        self._send(all_=True)

    async def repeat(self, client: Client, flavour: Flavour, prefix: str) -> None:
        """Send the bot's own stats."""
        for datagram, lines in packed(client.drain(flavour, prefix), self._limit, self._count_too_long):
            if not self._give(datagram, lines):
                client.undo(datagram)
            await self._pause()

    def _send(self, *, all_: bool) -> None:
        """Send the batch, but for its last lines while more may come, which fill their datagram up."""
        for datagram, lines in self.batch.datagrams(everything=all_):
            self.batch.note(lines, gone=self._give(datagram, lines))

    def _give(self, datagram: bytes, lines: int) -> bool:
        self._burst += len(datagram)
        gone = self._transport.send(datagram, lines)
        self.refused += 0 if gone else lines
        return gone

    def _count_too_long(self, _: bytes) -> None:
        self.batch.too_long += 1

    async def _pause(self) -> None:
        if self._burst >= BURST and not self._hurry():
            self._burst = 0
            await asyncio.sleep(self._rest)
        elif time.perf_counter() - self._began >= TURN:
            await asyncio.sleep(0)
        else:
            return
        self._began = time.perf_counter()


class _Cells:
    """What the page says of the push. A transport counts for itself; the cells go on where the last one ended."""

    def __init__(self, instruments: Instruments) -> None:
        self._transport: Transport | None = None
        self._totals: Final = [
            (name, instruments.counter(metric).labels())
            for name, metric in (
                ("datagrams", catalogue.STATSD_DATAGRAMS_TOTAL),
                ("bytes", catalogue.STATSD_BYTES_TOTAL),
                ("errors", catalogue.STATSD_ERRORS_TOTAL),
            )
        ]
        dropped = instruments.counter(catalogue.STATSD_DROPPED_TOTAL)
        self._dropped: Final = {reason: dropped.labels(reason) for reason in catalogue.STATSD_DROPS}
        self._last: Final = instruments.gauge(catalogue.STATSD_LAST_FLUSH_TIMESTAMP_SECONDS).labels()
        self._age: Final = instruments.gauge(catalogue.STATSD_ADDRESS_AGE_SECONDS).labels()
        self._seen: dict[CounterCell, int] = {}

    def follow(self, transport: Transport) -> None:
        self._transport, self._seen = transport, {}

    def sample(self) -> None:
        transport = self._transport
        if transport is not None:
            for name, cell in self._totals:
                self._count(cell, getattr(transport, name))
            for reason, number in transport.dropped.items():
                self._count(self._dropped[reason], number)
            self._age.set(transport.address_age)

    def _count(self, cell: CounterCell, total: int) -> None:
        cell.value += total - self._seen.get(cell, 0)
        self._seen[cell] = total

    def flushed(self, sender: Sender) -> None:
        self._dropped["too_long"].value += sender.batch.too_long
        self._dropped["value"].value += sender.batch.odd
        if not sender.refused:
            self._last.set(time.time())
