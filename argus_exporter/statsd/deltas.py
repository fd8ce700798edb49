"""What has changed since it was told last, as lines.

What a receiver was told of a series is kept beside it, and moves on only when :meth:`Batch.note` says that a line is
gone.
"""

from __future__ import annotations

import abc
import operator
import sys
import typing
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import accumulate, compress
from typing import Any, ClassVar, Final, Generic, NamedTuple

from argus_exporter.instruments import Cell, CounterCell, GaugeCell, HistogramCell
from argus_exporter.instruments import spelled as as_in_go
from argus_exporter.statsd.stats import spelled

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Labels = Sequence[tuple[str, str]]
Values = Sequence[float | None]
Parts = tuple[bytes, bytes]

QUANTILES: Final = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))

_LARGEST: Final = sys.float_info.max


class Spelling(NamedTuple):
    """How lines are made.

    :param parts: head and tail of the lines of a name and its labels.
    :param whole: counters go out in whole numbers, and what is left over with the next.
    """

    parts: Callable[[str, Labels], Parts]
    whole: bool


class Round(NamedTuple):
    """Which flush it is, and in how many of them every series is told once, changed or not; 0 where never."""

    flush: int
    rounds: int

    def is_due(self, number: int) -> bool:
        """Whether it is the turn of a series or run of this number: so a part is due at each flush."""
        return self.rounds > 0 and (self.flush + number) % self.rounds == 0


class _Segment(NamedTuple):
    """Neighbouring lines: where it is noted that they are gone, at which places, and what then stands there."""

    told: list[float | None]
    places: Sequence[int]
    values: Sequence[float | None] | Mapping[int, float]


class Batch:
    """Lines on their way, of a character for each byte.

    :param limit: bytes that a datagram may have.
    :ivar too_long: lines that had more, and were left out.
    :ivar odd: values that no line can say (nan, infinite), which were left out.
    """

    def __init__(self, limit: int) -> None:
        self.lines: list[str] = []
        self.too_long = self.odd = 0
        self._limit = limit
        self._segments: deque[_Segment] = deque()

    def add(
        self,
        lines: list[str],
        told: list[float | None],
        places: list[int],
        values: Sequence[float | None] | Mapping[int, float],
    ) -> None:
        """Add a line for each place; ``told`` is given its value when the line is gone."""
        if lines and max(map(len, lines)) > self._limit:
            short = [len(line) <= self._limit for line in lines]
            self.too_long += short.count(False)
            lines, places = list(compress(lines, short)), list(compress(places, short))
        self.lines += lines
        self._segments.append(_Segment(told, places, values))

    def datagrams(self, *, everything: bool) -> Iterator[tuple[bytes, int]]:
        """Take the lines out, packed, with the number of lines in each datagram. After each, :meth:`note` it.

        Faster than :func:`~argus_exporter.statsd.pack.packed`, because it has the lines already.

        :param everything: the last ones too, which do not fill a datagram yet.
        """
        ends = [0, *accumulate([len(line) + 1 for line in self.lines])]
        start, stop = 0, _last(ends, 0, self._limit)
        while start < stop and (everything or stop < len(self.lines)):
            yield "\n".join(self.lines[start:stop]).encode("latin-1"), stop - start
            start, stop = stop, _last(ends, stop, self._limit)
        del self.lines[:start]

    def note(self, number: int, *, gone: bool) -> None:
        """Note that the first lines are gone; or that they were refused, and are to be said anew."""
        while number:
            told, places, values = self._segments.popleft()
            if gone:
                for place in places[:number]:
                    told[place] = values[place]
            if len(places) > number:
                self._segments.appendleft(_Segment(told, places[number:], values))
            number -= min(number, len(places))


def _last(ends: Sequence[int], start: int, limit: int) -> int:
    """Up to which line a datagram goes that begins with this one."""
    return bisect_right(ends, ends[start] + limit + 1) - 1


class Block(abc.ABC):
    """Some series of one type: how their lines begin and end, and what was told of each.

    The text is kept as latin-1, a character a byte: so it is put together fastest. The usual case, numbers that have
    grown, is one comprehension; everything else is looked at one by one.
    """

    __slots__ = ("_heads", "_tails", "told")

    type: ClassVar[str]

    def __init__(self) -> None:
        self._heads: list[str] = []
        self._tails: list[str] = []
        self.told: list[float | None] = []

    def add(self, parts: Parts) -> None:
        """Add a series of which nothing was told yet."""
        head, tail = parts
        self._heads.append(head.decode("latin-1"))
        self._tails.append(f"|{self.type}{tail.decode('latin-1')}")
        self.told.append(None)

    def tell(self, values: Values, batch: Batch, *, due: bool, whole: bool = False) -> None:
        """Put lines into the batch for what has changed, or for every series if they are due."""
        if due or values != self.told:
            places = range(len(values))
            changed = places if due else compress(places, map(operator.ne, values, self.told))
            self._tell([*changed], values, batch, due=due, whole=whole)

    @abc.abstractmethod
    def _tell(self, places: list[int], values: Values, batch: Batch, *, due: bool, whole: bool) -> None: ...

    def _lines(self, places: list[int], numbers: Sequence[float]) -> list[str]:
        heads, tails = self._heads, self._tails
        return [
            f"{heads[i]}{number if type(number) is int else _text(number)}{tails[i]}"
            for i, number in zip(places, numbers, strict=True)
        ]


def _text(number: float) -> str:
    return spelled(number).decode()


class Counters(Block):
    """Series that go out as what was added. A new one goes out at 0 too, so that a receiver shows its first step.

    What falls was rounded otherwise (CPU seconds): it waits until it is above what was told. Nothing of ours is reset.
    """

    __slots__ = ()

    type = "c"

    def _tell(self, places: list[int], values: Values, batch: Batch, *, due: bool, whole: bool) -> None:
        told = self.told
        if not (due or whole or None in told):
            new, old = typing.cast("Sequence[float]", values), typing.cast("list[float]", told)
            deltas = [new[i] - old[i] for i in places]
            if min(deltas) > 0 and sum(deltas) <= _LARGEST:
                batch.add(self._lines(places, deltas), told, places, values)
                return
        said = [(i, *self._step(values[i] or 0, told[i], whole=whole)) for i in places]
        batch.odd += sum([not delta <= _LARGEST for _, delta, _ in said])
        said = [each for each in said if 0 < each[1] <= _LARGEST or (each[1] == 0 and (due or told[each[0]] is None))]
        places = [i for i, _, _ in said]
        batch.add(self._lines(places, [delta for _, delta, _ in said]), told, places, {i: now for i, _, now in said})

    @staticmethod
    def _step(new: float, old: float | None, *, whole: bool) -> tuple[float, float]:
        """What is to be added, and what is told then."""
        was = old or 0
        delta = max(new - was, 0)
        if whole and delta <= _LARGEST:
            delta = int(delta)
        return delta, new if delta and not whole else was + delta

    def restart(self, values: Sequence[float], at: float | None = 0) -> None:
        """Begin anew, at 0 or where a series is now, what has fallen: only the counters of others do."""
        for place, (new, old) in enumerate(zip(values, self.told, strict=True)):
            if new < (old or 0):
                self.told[place] = new if at is None else at


class Gauges(Block):
    """Series that go out as they are. One that has no value is not mentioned: StatsD has no word for that."""

    __slots__ = ()

    type = "g"

    def _tell(self, places: list[int], values: Values, batch: Batch, **_: bool) -> None:
        for i in places:
            if values[i] is None:
                self.told[i] = None
        known = [(i, value) for i in places if (value := values[i]) is not None]
        said = [(i, value) for i, value in known if -_LARGEST <= value <= _LARGEST]
        batch.odd += len(known) - len(said)
        places = [i for i, _ in said]
        lines = self._lines(places, [value for _, value in said])
        if said and min([value for _, value in said]) < 0:
            lines = [self._signed(*each) for each in zip(places, lines, strict=True)]
        batch.add(lines, self.told, places, values)

    def _signed(self, place: int, line: str) -> str:
        """A line with 0 before it, if its number has a sign, which would be taken for a change."""
        head = self._heads[place]
        return f"{head}0{self._tails[place]}\n{line}" if line.startswith("-", len(head)) else line


def quantile(share: float, edges: Sequence[float], counts: Sequence[int]) -> float:
    """Estimate a quantile from buckets, as Prometheus' ``histogram_quantile`` does.

    :param counts: of each bucket (not cumulative), ``+Inf`` last; not all 0.
    """
    below = list(accumulate(counts))
    rank = share * below[-1]
    place = bisect_left(below, rank)
    if place >= len(edges):
        return edges[-1]
    lower = edges[place - 1] if place else 0.0
    return lower + (edges[place] - lower) * (rank - below[place] + counts[place]) / counts[place]


# ---------------------------------------------------------------------------------------------- runs


class Run(abc.ABC, Generic[Cell]):
    """Series of one family that are looked at in one go.

    :cvar size: how many cells those are at most.
    :ivar number: tells the runs of an exporter apart.
    """

    __slots__ = ("_counters", "_name", "_spelling", "cells", "number")

    size: ClassVar[int] = 256

    def __init__(self, name: str, spelling: Spelling, number: int = 0) -> None:
        self.number = number
        self.cells: list[Cell] = []
        self._name = name
        self._spelling = spelling
        self._counters = Counters()

    def add(self, labels: Labels, cell: Cell) -> None:
        """Take a series in."""
        self.cells.append(cell)
        self._name_lines(labels, cell)

    def tell(self, batch: Batch, *, due: bool) -> None:
        """Put lines into the batch for what has changed, or for every series if they are due."""
        self._counters.tell(self._values(), batch, due=due, whole=self._spelling.whole)

    @abc.abstractmethod
    def _name_lines(self, labels: Labels, cell: Cell) -> None: ...

    @abc.abstractmethod
    def _values(self) -> list[Any]: ...

    def _count(self, ending: str, labels: Labels) -> None:
        self._counters.add(self._spelling.parts(f"{self._name}{ending}", labels))


class CounterRun(Run[CounterCell]):
    """Counters."""

    __slots__ = ()

    def _name_lines(self, labels: Labels, cell: CounterCell) -> None:  # noqa: ARG002 - all alike
        self._count("", labels)

    def _values(self) -> list[float]:
        return [cell.value for cell in self.cells]


class GaugeRun(Run[GaugeCell]):
    """Gauges."""

    __slots__ = ("_gauges",)

    def __init__(self, name: str, spelling: Spelling, number: int = 0) -> None:
        super().__init__(name, spelling, number)
        self._gauges = Gauges()

    def tell(self, batch: Batch, *, due: bool) -> None:
        """Put lines into the batch for what has changed, or for every series if they are due."""
        self._gauges.tell(self._values(), batch, due=due)

    def _name_lines(self, labels: Labels, cell: GaugeCell) -> None:  # noqa: ARG002
        self._gauges.add(self._spelling.parts(self._name, labels))

    def _values(self) -> list[float | None]:
        return [cell.value for cell in self.cells]


class BucketRun(Run[HistogramCell]):
    """Histograms as a scrape has them: a counter for each bucket (cumulative), the count, and the sum."""

    __slots__ = ()

    size = 16

    def _name_lines(self, labels: Labels, cell: HistogramCell) -> None:
        for edge in (*map(as_in_go, cell.edges), "+Inf"):
            self._count("_bucket", [*labels, ("le", edge)])
        for ending in ("_count", "_sum"):
            self._count(ending, labels)

    def _values(self) -> list[float]:
        values: list[float] = []
        for cell in self.cells:
            values += accumulate(cell.counts)
            values += (values[-1], cell.sum)
        return values


class QuantileRun(Run[HistogramCell]):
    """Histograms for who has no use for buckets: the count, the sum, and quantiles since the last flush."""

    __slots__ = ("_gauges", "_seen")

    size = 64

    def __init__(self, name: str, spelling: Spelling, number: int = 0) -> None:
        super().__init__(name, spelling, number)
        self._gauges: list[Gauges] = []
        self._seen: list[list[int]] = []

    def tell(self, batch: Batch, *, due: bool) -> None:
        """Put lines into the batch for what has changed, or for every series if they are due, but for quantiles."""
        for place, cell in enumerate(self.cells):
            if cell.counts != self._seen[place]:
                self._tell_quantiles(place, cell, batch)
        super().tell(batch, due=due)

    def restart(self) -> None:
        """Begin anew where the cells have: only those of others do."""
        self._counters.restart(self._values())

    def _name_lines(self, labels: Labels, cell: HistogramCell) -> None:
        for ending in (".count", ".sum"):
            self._count(ending, labels)
        gauges = Gauges()
        for name, _ in QUANTILES:
            gauges.add(self._spelling.parts(f"{self._name}.{name}", labels))
        self._gauges.append(gauges)
        self._seen.append([0] * len(cell.counts))

    def _values(self) -> list[float]:
        return [value for cell in self.cells for value in (sum(cell.counts), cell.sum)]

    def _tell_quantiles(self, place: int, cell: HistogramCell, batch: Batch) -> None:
        since = [new - old for new, old in zip(cell.counts, self._seen[place], strict=True)]
        self._seen[place] = cell.counts.copy()
        if min(since) >= 0:
            found = [quantile(share, cell.edges, since) for _, share in QUANTILES]
            self._gauges[place].tell(found, batch, due=True)
