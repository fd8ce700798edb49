"""The lines of metrics that are not ours: what the bot has on ``prometheus_client.REGISTRY``.

Nothing about them is bounded or promised: series go and come back, counters begin anew.
"""

from __future__ import annotations

import dataclasses
import typing
from typing import Final

from argus_exporter.instruments import HistogramCell
from argus_exporter.statsd.deltas import Counters, Gauges, QuantileRun

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from argus_exporter.instruments import Reading
    from argus_exporter.statsd.deltas import Batch, Round, Spelling

Labels = tuple[tuple[str, str], ...]

_RISING: Final = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_count", "_sum"),
    "summary": ("_count", "_sum"),
}
"""Samples that only go up, by the type of their family."""

REMEMBERED: Final = 100
"""Flushes for which series that are gone are remembered, where they are more than those that are there."""

_SPARE: Final = 1000
_A_TURN: Final = 128


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class _Known:
    """A series that was seen, its number, and the flush that saw it last."""

    what: Counters | Gauges | QuantileRun
    number: int
    seen: int = 0


class Strangers:
    """The series of others.

    :param constant: labels that each of them carries, except where it has one of that name.
    :param buckets: whether histograms go out as their buckets.
    """

    def __init__(self, spelling: Spelling, constant: Labels, *, buckets: bool) -> None:
        self._spelling = spelling
        self._constant = constant
        self._buckets = buckets
        self._known: dict[tuple[object, ...], _Known] = {}

    def tell(self, readings: Sequence[Reading], batch: Batch, when: Round) -> Iterator[None]:
        """Put lines into the batch for what has changed, in turns.

        What is gone is remembered for when it comes back (a collector may fail for a while): :data:`REMEMBERED`.
        """
        histograms: dict[tuple[str, Labels], list[Reading]] = {}
        for number, reading in enumerate(readings):
            if reading.type == "histogram" and not self._buckets:
                own = tuple([label for label in reading.labels if label[0] != "le"])
                histograms.setdefault((reading.family, own), []).append(reading)
            else:
                self._tell(reading, batch, when)
            if number % _A_TURN == 0:
                yield
        for (family, labels), parts in histograms.items():
            try:
                self._tell_quantiles(family, labels, parts, batch, when)
            except (LookupError, ValueError):  # the user's own collectors may call anything a histogram
                batch.odd += len(parts)
            yield
        if len(self._known) > 2 * len(readings) + _SPARE:
            since = when.flush - REMEMBERED
            self._known = {key: known for key, known in self._known.items() if known.seen > since}

    def _tell(self, reading: Reading, batch: Batch, when: Round) -> None:
        rises = reading.name.endswith(_RISING.get(reading.type, ()))
        known = self._find(
            (rises, reading.name, reading.labels), lambda: self._block(reading, Counters if rises else Gauges), when
        )
        if isinstance(known.what, Counters):  # a sum that falls has taken in negative values, and did not begin anew
            known.what.restart([reading.value], None if reading.name.endswith("_sum") else 0)
            known.what.tell([reading.value], batch, due=when.is_due(known.number), whole=self._spelling.whole)
        elif isinstance(known.what, Gauges):
            known.what.tell([reading.value], batch, due=when.is_due(known.number))

    def _block(self, reading: Reading, kind: type[Counters | Gauges]) -> Counters | Gauges:
        block = kind()
        block.add(self._spelling.parts(reading.name, self._labelled(reading.labels)))
        return block

    def _tell_quantiles(self, family: str, labels: Labels, parts: list[Reading], batch: Batch, when: Round) -> None:
        edges, counts, total = _histogram(family, parts)
        known = self._find((family, labels, edges), lambda: self._run(family, labels, edges), when)
        if isinstance(known.what, QuantileRun):
            (cell,) = known.what.cells
            cell.counts, cell.sum = counts, total
            known.what.restart()
            known.what.tell(batch, due=when.is_due(known.number))

    def _run(self, family: str, labels: Labels, edges: tuple[float, ...]) -> QuantileRun:
        run = QuantileRun(family, self._spelling)
        run.add(self._labelled(labels), HistogramCell(edges))
        return run

    def _find(
        self, key: tuple[object, ...], make: Callable[[], Counters | Gauges | QuantileRun], when: Round
    ) -> _Known:
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = _Known(make(), len(self._known))
        known.seen = when.flush
        return known

    def _labelled(self, labels: Labels) -> Labels:
        own = {name for name, _ in labels}
        return (*[label for label in self._constant if label[0] not in own], *labels)


def _histogram(family: str, parts: list[Reading]) -> tuple[tuple[float, ...], list[int], float]:
    """The finite edges, the counts (not cumulative) and the sum that a histogram's samples tell of."""
    below = {float(dict(part.labels)["le"]): int(part.value) for part in parts if part.name == f"{family}_bucket"}
    edges = sorted(below)
    counts = [below[edge] - (below[edges[place - 1]] if place else 0) for place, edge in enumerate(edges)]
    total = sum([part.value for part in parts if part.name == f"{family}_sum"])
    return tuple(edges[:-1]), counts, total
