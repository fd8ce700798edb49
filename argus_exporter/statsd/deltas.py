"""What has changed since it was told last, as lines.

What a receiver was told of a series is kept beside it, and moves on only when :meth:`Batch.told` says that a line went
out. Comparing a series costs about 30 ns, a line about 500.
"""

from __future__ import annotations

import abc
import sys
import typing
from bisect import bisect_left
from itertools import accumulate
from typing import Any, ClassVar, Final, Generic, NamedTuple

from argus_exporter.instruments import Cell, CounterCell, GaugeCell, HistogramCell
from argus_exporter.instruments import spelled as as_in_go
from argus_exporter.statsd.stats import spelled

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Labels = typing.Sequence[tuple[str, str]]
Values = typing.Sequence[float | None]
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


class Batch:
    """Lines on their way, with where each of them is noted when it is gone.

    :param limit: bytes that a line may have.
    :ivar too_long: lines that had more, and were left out.
    :ivar odd: values that no line can say (nan, infinite), which were left out.
    """

    def __init__(self, limit: int) -> None:
        self.lines: list[bytes] = []
        self.too_long = self.odd = 0
        self._limit = limit
        self._notes: list[tuple[list[float | None], int, float]] = []

    def add(self, line: str, told: list[float | None], place: int, value: float) -> None:
        """Add a line, of a character for each byte; ``told[place]`` becomes the value when it is gone."""
        if len(line) > self._limit:
            self.too_long += 1
            return
        self.lines.append(line.encode("latin-1"))
        self._notes.append((told, place, value))

    def remove(self, number: int, *, gone: bool) -> None:
        """Take the first lines off: they are gone, or were refused and will be said anew."""
        if gone:
            for told, place, value in self._notes[:number]:
                told[place] = value
        del self.lines[:number], self._notes[:number]


class Block(abc.ABC):
    """Some series of one type: how their lines begin and end, and what was told of each.

    The text is kept as latin-1, a character a byte: so it is put together fastest.
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
        told = self.told
        if due:
            self._tell(range(len(told)), values, batch, due=due, whole=whole)
        elif values != told:
            changed = [i for i, (new, old) in enumerate(zip(values, told, strict=True)) if new != old]
            self._tell(changed, values, batch, due=due, whole=whole)

    @abc.abstractmethod
    def _tell(self, places: Sequence[int], values: Values, batch: Batch, *, due: bool, whole: bool) -> None: ...


class Counters(Block):
    """Series that go out as what was added. A new one goes out at 0 too, so that a receiver shows its first step.

    What falls was rounded otherwise (CPU seconds): it waits until it is above what was told. Nothing of ours is reset.
    """

    __slots__ = ()

    type = "c"

    def _tell(self, places: Sequence[int], values: Values, batch: Batch, *, due: bool, whole: bool) -> None:
        for place in places:
            old = self.told[place]
            new, was = values[place] or 0, old or 0
            delta = max(new - was, 0)
            if not delta <= _LARGEST:
                batch.odd += 1
                continue
            if whole:
                delta = int(delta)
            if delta or due or old is None:
                text = delta if type(delta) is int else spelled(delta).decode()
                now = new if delta and not whole else was + delta
                batch.add(f"{self._heads[place]}{text}{self._tails[place]}", self.told, place, now)

    def restart(self, values: Sequence[float], at: float | None = 0) -> None:
        """Begin anew, at 0 or where a series is now, what has fallen: only the counters of others do."""
        for place, (new, old) in enumerate(zip(values, self.told, strict=True)):
            if new < (old or 0):
                self.told[place] = new if at is None else at


class Gauges(Block):
    """Series that go out as they are. One that has no value is not mentioned: StatsD has no word for that."""

    __slots__ = ()

    type = "g"

    def _tell(self, places: Sequence[int], values: Values, batch: Batch, **_: bool) -> None:
        for place in places:
            new = values[place]
            if new is None:
                self.told[place] = None
            elif -_LARGEST <= new <= _LARGEST:
                batch.add(self._line(place, new), self.told, place, new)
            else:
                batch.odd += 1

    def _line(self, place: int, value: float) -> str:
        head, tail = self._heads[place], self._tails[place]
        text = value if type(value) is int else spelled(value).decode()
        return f"{head}{text}{tail}" if value >= 0 else f"{head}0{tail}\n{head}{text}{tail}"


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
