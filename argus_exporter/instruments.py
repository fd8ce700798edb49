"""The cells that hold the numbers, and the families that hand them out.

A handle is asked for once (``family.labels("READY")``) and kept; from then on an increment is ``cell.value += 1``: an
attribute, an int, no lock, no task. Cells belong to the thread of the event loop.

The cells also speak prometheus_client's collector protocol (``describe`` and ``collect``), so that any registry and any
exposition of a user's can serve them.
"""

from __future__ import annotations

import typing
from bisect import bisect_left
from itertools import accumulate
from typing import Final, Generic, TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.utils import floatToGoString

from argus_exporter.catalogue import LABEL_OVERFLOW_TOTAL, OTHER, Counter, Gauge, Histogram, Metric

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import prometheus_client

Key = tuple[str, ...]


class CounterCell:
    """One series of a counter. ``value`` only ever goes up; the hot path adds to it directly."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def inc(self, amount: float = 1) -> None:
        """Add an amount, which is not checked: it must not be negative."""
        self.value += amount


class GaugeCell:
    """One series of a gauge. While ``value`` is None the series is absent from every page."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float | None = None

    def set(self, value: float | None) -> None:
        """Set the value; None takes the series off the page, True and False become 1 and 0."""
        self.value = value if value is None else +value


class HistogramCell:
    """One label set of a histogram: a count for each bucket (not cumulative, ``+Inf`` last) and the sum."""

    __slots__ = ("counts", "edges", "sum")

    def __init__(self, edges: tuple[float, ...]) -> None:
        self.edges = edges
        self.counts = [0] * (len(edges) + 1)
        self.sum: float = 0.0

    def observe(self, value: float) -> None:
        """Count a value in its bucket. An edge belongs to the bucket below it (``le``)."""
        self.counts[bisect_left(self.edges, value)] += 1
        self.sum += value


Cell = TypeVar("Cell", CounterCell, GaugeCell, HistogramCell)


class Family(Generic[Cell]):
    """All series of one metric.

    :ivar cells: the series by their label values, in the order in which they came; none is ever taken out.
    """

    __slots__ = ("_known", "_make", "_overflow", "cells", "constant", "metric")

    def __init__(
        self, metric: Metric, make: Callable[[], Cell], constant: Mapping[str, str], overflow: Callable[[str], None]
    ) -> None:
        self.metric = metric
        self.constant = tuple((name, value) for name, value in constant.items() if value)
        self.cells: dict[Key, Cell] = {}
        self._make = make
        self._overflow = overflow
        # dicts, because a set of a few thousand strings takes three times the memory of a dict of them
        self._known: tuple[dict[str, None], ...] = tuple(dict.fromkeys(label.values) for label in metric.labels)

    def labels(self, *values: str) -> Cell:
        """The cell of these label values, made if it is new.

        What is beyond a label's bound, or not among its known values, folds into ``other``, and so does a label set
        beyond the bound of the family; ``argus_exporter_label_overflow_total`` counts it.

        :raises ValueError: if the number of values is not that of the metric's labels.
        """
        cell = self.cells.get(values)
        return cell if cell is not None else self._cell(values)

    def pairs(self, key: Key) -> list[tuple[str, str]]:
        """Names and values of the labels of a series, the constant ones first. They win over labels of the same name."""
        taken = {name for name, _ in self.constant}
        own = zip(self.metric.label_names, key, strict=True)
        return [*self.constant, *((name, value) for name, value in own if name not in taken)]

    def _cell(self, values: Key) -> Cell:
        if len(values) != len(self.metric.labels):
            msg = f"{self.metric.name}: takes the labels {self.metric.label_names}, not {values!r}"
            raise ValueError(msg)
        printable = tuple(_printable(value) for value in values)
        key = self._fold(printable)
        if key != printable:
            self._overflow(self.metric.name)
        cell = self.cells.get(key)
        if cell is None:
            cell = self.cells[key] = self._make()
        return cell

    def _fold(self, values: Key) -> Key:
        if values in self.cells:
            return values
        key = tuple(self._admit(position, value) for position, value in enumerate(values))
        if key in self.cells or len(self.cells) < self.metric.series:
            return key
        return (OTHER,) * len(key)

    def _admit(self, position: int, value: str) -> str:
        label, known = self.metric.labels[position], self._known[position]
        if value in known or value == OTHER:
            return value
        if label.values or len(known) >= label.bound:
            return OTHER
        known[value] = None
        return value


def _printable(value: str) -> str:
    """The value as it can be written: lone surrogates have no UTF-8."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


CounterFamily = Family[CounterCell]
GaugeFamily = Family[GaugeCell]
HistogramFamily = Family[HistogramCell]
AnyFamily = CounterFamily | GaugeFamily | HistogramFamily


class Instruments:
    """The families of one exporter.

    :param constant: labels that every series carries, empty values left out.
    """

    def __init__(self, constant: Mapping[str, str] | None = None) -> None:
        self.constant: Final = dict(constant or {})
        self.families: dict[str, AnyFamily] = {}
        self._overflow = self.counter(LABEL_OVERFLOW_TOTAL)

    def counter(self, metric: Counter) -> CounterFamily:
        """The family of a counter, made at the first call.

        :raises ValueError: if another metric of the same name is there.
        """
        return self._family(metric, CounterCell)

    def gauge(self, metric: Gauge) -> GaugeFamily:
        """The family of a gauge, made at the first call."""
        return self._family(metric, GaugeCell)

    def histogram(self, metric: Histogram) -> HistogramFamily:
        """The family of a histogram, made at the first call."""
        edges = metric.edges
        return self._family(metric, lambda: HistogramCell(edges))

    def _family(self, metric: Metric, make: Callable[[], Cell]) -> Family[Cell]:
        family = self.families.get(metric.name)
        if family is None:
            family = self.families[metric.name] = Family(metric, make, self.constant, self._overflowed)
        if family.metric != metric:
            msg = f"metric {metric.name!r} is declared twice, and not alike"
            raise ValueError(msg)
        return typing.cast("Family[Cell]", family)

    def _overflowed(self, name: str) -> None:
        if name != LABEL_OVERFLOW_TOTAL.name:
            self._overflow.labels(name).value += 1

    def count_series(self) -> int:
        """How many lines of samples a page has: O(families), but for gauges, whose absent series are not counted."""
        return sum(map(_count_series, list(self.families.values())))

    def describe(self) -> Iterator[prometheus_client.Metric]:
        """The families without their samples, for the registration in a registry of prometheus_client."""
        for family in list(self.families.values()):
            yield _described(family)

    def collect(self) -> Iterator[prometheus_client.Metric]:
        """The families with their samples, for a registry of prometheus_client. Empty families are left out."""
        for family in list(self.families.values()):
            collected = _described(family)
            for key, cell in list(family.cells.items()):
                _add(collected, [value for _, value in family.pairs(key)], cell)
            if collected.samples:
                yield collected


def _count_series(family: AnyFamily) -> int:
    metric = family.metric
    if isinstance(metric, Gauge):
        return sum(cell.value is not None for cell in typing.cast("GaugeFamily", family).cells.values())
    return len(family.cells) * (len(metric.edges) + 3 if isinstance(metric, Histogram) else 1)


def _described(family: AnyFamily) -> CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily:
    metric = family.metric
    names = [name for name, _ in family.pairs(metric.label_names)]
    if isinstance(metric, Counter):
        return CounterMetricFamily(metric.name, metric.help, labels=names)
    if isinstance(metric, Gauge):
        return GaugeMetricFamily(metric.name, metric.help, labels=names)
    return HistogramMetricFamily(metric.name, metric.help, labels=names)


def _add(
    collected: CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily,
    labels: list[str],
    cell: CounterCell | GaugeCell | HistogramCell,
) -> None:
    if isinstance(collected, HistogramMetricFamily):
        assert isinstance(cell, HistogramCell)  # noqa: S101 - narrows for the type checkers
        collected.add_metric(labels, buckets_of(cell), cell.sum)
    elif cell.value is not None:  # type: ignore[union-attr]
        collected.add_metric(labels, cell.value)  # type: ignore[union-attr]


def buckets_of(cell: HistogramCell) -> list[tuple[str, float]]:
    """The buckets as Prometheus has them: the upper edge as text, and how many observations were at or below it."""
    edges = [*map(floatToGoString, cell.edges), "+Inf"]
    return list(zip(edges, accumulate(cell.counts.copy()), strict=True))
