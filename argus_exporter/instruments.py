"""The cells that hold the numbers, and the families that hand them out.

A handle is asked for once (``family.labels("READY")``) and kept; from then on an increment is ``cell.value += 1``: an
attribute, an int, no lock, no task. Cells belong to the thread of the event loop.

The cells also speak prometheus_client's collector protocol (``describe`` and ``collect``), so that any registry and any
exposition of a user's can serve them.
"""

from __future__ import annotations

import math
import re
import time
import typing
from bisect import bisect_left, bisect_right
from itertools import accumulate
from typing import Final, Generic, NamedTuple, TypeVar

from argus_exporter.catalogue import (
    LABEL_OVERFLOW_TOTAL,
    LONGEST_VALUE,
    OTHER,
    Counter,
    Gauge,
    Histogram,
    Label,
    Metric,
)

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterator, KeysView, Mapping

    import prometheus_client
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
    from prometheus_client.samples import Exemplar as TheirExemplar

    Described = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily

Key = tuple[str, ...]

TRACE_ID: Final = "trace_id"
"""The label of an exemplar, by OpenMetrics' convention."""

_TRACE: Final = re.compile(rf"[\w.:+/=-]{{1,{128 - len(TRACE_ID)}}}", re.ASCII)
"""A trace's id as OpenMetrics carries it (128 characters with its label's name), and as every parser reads it."""

_NO_NUMBERS: Final = {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}
_PLAIN_DIGITS: Final = 6


def spelled(value: float) -> str:
    """A number as prometheus_client spells it: as Go does where it is the edge of a bucket (``1e+06``)."""
    text = repr(float(value))
    whole, dot, rest = text.partition(".")
    if value > 0 and dot and len(whole) > _PLAIN_DIGITS:
        return f"{f'{whole[0]}.{whole[1:]}{rest}'.rstrip('0.')}e+{len(whole) - 1:02d}"
    return _NO_NUMBERS.get(text, text)


class CounterCell:
    """One series of a counter. ``value`` only ever goes up; the hot path adds to it directly."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def inc(self, amount: float = 1) -> None:
        """Add an amount, which is not checked: it must not be negative."""
        self.value += amount


class GaugeCell:
    """One series of a gauge. While ``value`` is None the series is absent from every page.

    ``value`` may be assigned an int, a float or None; :meth:`set` takes a bool too, which has no spelling of its own.
    """

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float | None = None

    def set(self, value: float | None) -> None:
        """Set the value; None takes the series off the page, True and False become 1 and 0."""
        self.value = value if value is None else +value

    def inc(self, amount: float = 1) -> None:
        """Add an amount, which may be negative, to the value, or to 0 where there is none."""
        self.value = amount + (self.value or 0)


class HistogramCell:
    """One label set of a histogram: a count for each bucket (not cumulative, ``+Inf`` last) and the sum."""

    __slots__ = ("counts", "edges", "sum")

    def __init__(self, edges: tuple[float, ...]) -> None:
        self.edges = edges
        self.counts = [0] * (len(edges) + 1)
        self.sum: float = 0.0

    def observe(self, value: float, _trace: str = "", /) -> None:
        """Count a value in its bucket. An edge belongs to the bucket below it (``le``).

        nan is left out, of the sum too: it is in no bucket, and one of it would make the sum nan for good. The id of a
        trace is taken where exemplars are: see :class:`TracedCell`.
        """
        if value != value:  # noqa: PLR0124 - a third of what math.isnan costs
            return
        bucket = bisect_left(self.edges, value)
        self.sum += value  # before the count: what cannot be added is not counted either
        self.counts[bucket] += 1

    def observe_all(self, values: list[float]) -> None:
        """Count many values, which takes a fifth of the time of one by one; the list is sorted for it."""
        total = sum(values)
        if total != total:  # noqa: PLR0124 - a nan is among them, or infinities of both signs
            for value in values:
                self.observe(value)
            return
        values.sort()
        self.sum += total
        counts, done = self.counts, 0
        for bucket, edge in enumerate(self.edges):
            upto = bisect_right(values, edge, done)
            counts[bucket] += upto - done
            done = upto
        counts[-1] += len(values) - done

    def merge(self, other: HistogramCell) -> None:
        """Add what another cell of the same edges has observed; a reader in another thread sees all counts or none."""
        self.sum += other.sum
        self.counts = [mine + others for mine, others in zip(self.counts, other.counts, strict=True)]


class Pile:
    """Observations of one cell that wait to be counted together.

    :ivar values: whoever appends to it has :meth:`settle` called before long, and before anybody reads the cell.
    """

    __slots__ = ("cell", "values")

    def __init__(self, cell: HistogramCell) -> None:
        self.cell = cell
        self.values: list[float] = []

    def settle(self) -> None:
        """Count them."""
        if self.values:
            values, self.values = self.values, []
            self.cell.observe_all(values)


class Exemplar(NamedTuple):
    """An observation that belongs to a trace: the trace's id, what was observed, and when (epoch seconds)."""

    trace: str
    value: float
    timestamp: float


class TracedCell(HistogramCell):
    """A histogram's cell that keeps the newest exemplar of each bucket.

    :param active: tells the id of the trace that is active where an observation is made, "" where none is.
    """

    __slots__ = ("_active", "exemplars")

    def __init__(self, edges: tuple[float, ...], active: Callable[[], str]) -> None:
        super().__init__(edges)
        self.exemplars: list[Exemplar | None] = [None] * len(self.counts)
        self._active = active

    def observe(self, value: float, trace: str = "", /) -> None:
        """Count a value; its exemplar is of the given trace, or else of the active one.

        An id of other characters than letters, digits and ``. _ : + / = -``, or of more than 120, is left out.
        """
        super().observe(value)
        trace = trace or self._active()
        if trace and value == value and _TRACE.fullmatch(trace):  # noqa: PLR0124 - nan
            self.exemplars[bisect_left(self.edges, value)] = Exemplar(trace, float(value), time.time())

    def observe_all(self, values: list[float]) -> None:
        """Count many values, one by one, each in the trace that is active now."""
        for value in values:
            self.observe(value)

    def merge(self, other: HistogramCell) -> None:
        """Take over the other's exemplars too, those that are newer."""
        super().merge(other)
        if isinstance(other, TracedCell):
            self.exemplars = [_newer(*both) for both in zip(self.exemplars, other.exemplars, strict=True)]


def _newer(one: Exemplar | None, other: Exemplar | None) -> Exemplar | None:
    return other if one is None or (other is not None and other.timestamp >= one.timestamp) else one


class Reading(NamedTuple):
    """A sample of a metric that is not ours, with the name and the type of its family in prometheus_client's words."""

    family: str
    type: str
    name: str
    labels: tuple[tuple[str, str], ...]
    value: float


AnyCell = CounterCell | GaugeCell | HistogramCell
Cell = TypeVar("Cell", bound=AnyCell)


class Family(Generic[Cell]):
    """All series of one metric.

    :ivar cells: the series by their label values, in the order in which they came; none is ever taken out.
    :ivar make: makes a cell that belongs to no series.
    """

    __slots__ = ("_known", "_names", "_overflow", "_shadowed", "cells", "constant", "make", "metric")

    def __init__(
        self, metric: Metric, make: Callable[[], Cell], constant: Mapping[str, str], overflow: Callable[[str], None]
    ) -> None:
        self.metric = metric
        self.constant = tuple(constant.items())
        self.cells: dict[Key, Cell] = {}
        self.make: Callable[[], Cell] = make
        self._names = metric.label_names
        self._overflow = overflow
        # dicts, because a set of a few thousand strings takes three times the memory of a dict of them
        self._known: tuple[dict[str, str], ...] = tuple({name: name for name in each.values} for each in metric.labels)
        self._shadowed = {i: constant[name] for i, name in enumerate(metric.label_names) if name in constant}

    def labels(self, *values: str) -> Cell:
        """Find the cell of these label values, or make it if it is new.

        What is beyond a label's bound, too long, or not among its known values, folds into ``other``; in a label set
        beyond the bound of the family, so do all labels but the closed ones. ``argus_exporter_label_overflow_total``
        counts it at each call. What Prometheus could not read (NUL, lone surrogates) is replaced. A label that is also
        a constant label has the value of that.

        :raises ValueError: if the number of values is not that of the metric's labels.
        """
        cell = self.cells.get(values)
        return cell if cell is not None else self._cell(values)

    def pairs(self, key: Key) -> list[tuple[str, str]]:
        """Names and values of a series' labels, the constant ones first. They win over labels of the same name."""
        return [*self.constant, *self.own_pairs(key)]

    def own_pairs(self, key: Key) -> list[tuple[str, str]]:
        """Names and values of the labels that are a series' own, those which a constant label hides left out."""
        pairs: list[tuple[str, str]] = list(zip(self._names, key, strict=True))
        return (
            [pair for position, pair in enumerate(pairs) if position not in self._shadowed] if self._shadowed else pairs
        )

    def _cell(self, values: Key) -> Cell:
        if len(values) != len(self.metric.labels):
            msg = f"{self.metric.name}: takes the labels {self.metric.label_names}, not {values!r}"
            raise ValueError(msg)
        wanted = tuple(self._shadowed.get(position) or _printable(value) for position, value in enumerate(values))
        key = self._fold(wanted)
        if key != wanted:
            self._overflow(self.metric.name)
        cell = self.cells.get(key)
        if cell is None:
            cell = self.cells[key] = self.make()
        return cell

    def _fold(self, values: Key) -> Key:
        if values in self.cells:
            return values
        key = tuple(self._admit(position, value) for position, value in enumerate(values))
        if key in self.cells or len(self.cells) < self.metric.series:
            return key
        return self.beyond(key)

    def beyond(self, values: Key) -> Key:
        """Fold every value but those of closed labels: a failure beyond the bound is still seen to be one."""
        return tuple(
            value if position in self._shadowed or self.metric.labels[position].values else OTHER
            for position, value in enumerate(values)
        )

    def _admit(self, position: int, value: str) -> str:
        label, known = self.metric.labels[position], self._known[position]
        if value == OTHER or position in self._shadowed:
            return value
        if value not in known:
            if label.values or len(known) >= label.bound or len(value) > LONGEST_VALUE:
                return OTHER
            known[value] = value
        return known[value]  # one string for all series: it would be a quarter of a series' memory


def _printable(value: str) -> str:
    r"""Make the value one that can be read: lone surrogates have no UTF-8, and Prometheus' lexer ends a page at NUL.

    Source of the latter: prometheus/prometheus, model/textparse/promlex.l (``\0 return tEOF``).
    """
    value = value.replace("\0", "\ufffd")
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


CounterFamily = Family[CounterCell]
GaugeFamily = Family[GaugeCell]
HistogramFamily = Family[HistogramCell]
AnyFamily = CounterFamily | GaugeFamily | HistogramFamily


class Instruments:
    """The families of one exporter.

    :param constant: labels that every series carries, empty values left out.
    :param active_trace: makes histograms carry exemplars: see :class:`TracedCell`.
    :raises ValueError: if a constant label's name is not one of Prometheus.
    """

    def __init__(
        self, constant: Mapping[str, str] | None = None, active_trace: Callable[[], str] | None = None
    ) -> None:
        self.active_trace: Final = active_trace
        self.constant: Final = {
            Label(name, 1, "constant").name: _printable(value) for name, value in (constant or {}).items() if value
        }
        self.families: dict[str, AnyFamily] = {}
        self._reserved: dict[str, str] = {}
        self.overflow: Final = self.counter(LABEL_OVERFLOW_TOTAL)

    def counter(self, metric: Counter) -> CounterFamily:
        """Find the family of a counter, or make it at the first call.

        :raises ValueError: if another metric is there whose name, or whose samples' names, are the same.
        """
        return self._family(metric, CounterCell)

    def gauge(self, metric: Gauge) -> GaugeFamily:
        """Find the family of a gauge, or make it; as for :meth:`counter`."""
        return self._family(metric, GaugeCell)

    def histogram(self, metric: Histogram) -> HistogramFamily:
        """Find the family of a histogram, or make it; as for :meth:`counter`."""
        edges, active = metric.edges, self.active_trace
        return self._family(metric, lambda: HistogramCell(edges) if active is None else TracedCell(edges, active))

    def _family(self, metric: Metric, make: Callable[[], Cell]) -> Family[Cell]:
        family = self.families.get(metric.name)
        if family is None:
            self._reserve(metric)
            made = Family(metric, make, self.constant, self._overflowed)
            family = self.families[metric.name] = typing.cast("AnyFamily", made)
        if family.metric != metric:
            msg = f"metric {metric.name!r} is declared twice, and not alike"
            raise ValueError(msg)
        return typing.cast("Family[Cell]", family)

    def _reserve(self, metric: Metric) -> None:
        for name in metric.reserved_names:
            if name in self._reserved:
                msg = f"metric {metric.name!r} clashes with {self._reserved[name]!r}: both have the name {name!r}"
                raise ValueError(msg)
        self._reserved.update(dict.fromkeys(metric.reserved_names, metric.name))

    def _overflowed(self, name: str) -> None:
        if name != LABEL_OVERFLOW_TOTAL.name:
            self.overflow.labels(name).value += 1

    @property
    def names(self) -> KeysView[str]:
        """The names that the families and their samples have or could have, of both formats."""
        return self._reserved.keys()

    def count_series(self) -> int:
        """How many lines of samples a page has: O(families), but for gauges, whose absent series are not counted."""
        return sum(map(_count_series, list(self.families.values())))

    def describe(self) -> Iterator[prometheus_client.Metric]:
        """Yield the families without their samples, for the registration in a registry of prometheus_client."""
        for family in list(self.families.values()):
            yield _described(family)

    def collect(self) -> Iterator[prometheus_client.Metric]:
        """Yield the families with their samples, for a registry of prometheus_client; empty families are left out."""
        for family in list(self.families.values()):
            collected = _described(family)
            cells = typing.cast("dict[Key, AnyCell]", family.cells)
            for key, cell in list(cells.items()):
                _add(collected, [value for _, value in family.pairs(key)], cell)
            if collected.samples:
                yield collected


def _count_series(family: AnyFamily) -> int:
    metric = family.metric
    if metric.kind == "gauge":
        gauges = typing.cast("GaugeFamily", family).cells.values()
        return len([1 for cell in gauges if cell.value is not None])  # twice as fast as a sum of bools
    return len(family.cells) * (len(metric.edges) + 3 if isinstance(metric, Histogram) else 1)


def _described(family: AnyFamily) -> Described:
    from prometheus_client import core  # noqa: PLC0415 - whoever asks has imported it, and nobody else needs it

    metric = family.metric
    names = [name for name, _ in family.pairs(metric.label_names)]
    kinds: dict[str, type[Described]] = {
        "counter": core.CounterMetricFamily,
        "gauge": core.GaugeMetricFamily,
        "histogram": core.HistogramMetricFamily,
    }
    return kinds[metric.kind](metric.name, metric.help, labels=names)


def _add(collected: Described, labels: list[str], cell: AnyCell) -> None:
    if isinstance(cell, HistogramCell):
        buckets = _with_exemplars(cell) if isinstance(cell, TracedCell) else buckets_of(cell)
        typing.cast("HistogramMetricFamily", collected).add_metric(labels, buckets, cell.sum)
        return
    value = cell.value  # read once: a registry may collect on another thread
    if value is not None:
        typing.cast("GaugeMetricFamily", collected).add_metric(labels, as_float(value))


def buckets_of(cell: HistogramCell) -> list[tuple[str, float]]:
    """Return the buckets as Prometheus has them: the upper edge as text, and how many observations were at or below."""
    edges = [*map(spelled, cell.edges), "+Inf"]
    return list(zip(edges, accumulate(cell.counts.copy()), strict=True))


def _with_exemplars(cell: TracedCell) -> list[tuple[str, float] | tuple[str, float, TheirExemplar]]:
    from prometheus_client.samples import Exemplar as Theirs  # noqa: PLC0415 - as above

    found = [each and Theirs({TRACE_ID: each.trace}, each.value, each.timestamp) for each in cell.exemplars]
    buckets = zip(buckets_of(cell), found, strict=True)
    return [(*bucket, exemplar) if exemplar else bucket for bucket, exemplar in buckets]


def as_float(value: float) -> float:
    """Round to the nearest float, which for an int beyond all floats is infinity (Prometheus' parser refuses it)."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
