"""From cells to the text that Prometheus reads, in slices.

Both formats (text 0.0.4 and OpenMetrics 1.0) have the same sample lines here, only the headers and the end differ, and
the exemplars that OpenMetrics alone has. What does not change between two pages is kept: a ``%`` template for a run of
counters or gauges, the label text of each histogram. Measured: one ``%`` over a run of lines, and one ``join`` over a
run of histograms, are the fastest that CPython has; values are written with ``repr``, which is exact.

A slice is rendered in one go, and a histogram is never divided between two slices: the ``_count`` of a page always
equals its ``+Inf`` bucket.
"""

from __future__ import annotations

import abc
import math
import typing
from itertools import accumulate, islice
from typing import ClassVar, Final, Generic, TypeVar

from argus_exporter.instruments import (
    TRACE_ID,
    AnyCell,
    CounterCell,
    GaugeCell,
    HistogramCell,
    TracedCell,
    as_float,
    spelled,
)

if typing.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from argus_exporter.catalogue import Histogram, Metric
    from argus_exporter.instruments import AnyFamily, Exemplar, Family, Instruments, Key

SCALARS_A_SLICE: Final = 256
HISTOGRAMS_A_SLICE: Final = 16

_END_OF_OPENMETRICS: Final = b"# EOF\n"

_Cell = TypeVar("_Cell", bound=AnyCell)


class Encoder:
    """Renders the cells of an exporter; keeps the text that does not change."""

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._texts: dict[str, _Scalars | _Histograms] = {}

    def slices(self, *, openmetrics: bool = False) -> Iterator[bytes]:
        """Yield the page in slices of at most a few hundred lines, each whole lines; the end mark is not among them."""
        for name, family in list(self._instruments.families.items()):
            text = self._texts.get(name)
            if text is None:
                text = self._texts[name] = _text_of(family)
            yield from text.slices(openmetrics=openmetrics)

    def page(self, *, openmetrics: bool = False) -> bytes:
        """Render the page at once."""
        return b"".join(self.slices(openmetrics=openmetrics)) + end_of(openmetrics=openmetrics)


def end_of(*, openmetrics: bool) -> bytes:
    """Return what stands at the end of a page."""
    return _END_OF_OPENMETRICS if openmetrics else b""


def escape(value: str) -> str:
    """Spell a label value as both formats want it: backslash, newline and quote escaped."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _text_of(family: AnyFamily) -> _Scalars | _Histograms:
    if family.metric.kind == "histogram":
        return _Histograms(typing.cast("Family[HistogramCell]", family), typing.cast("Histogram", family.metric))
    return _Scalars(typing.cast("Family[CounterCell | GaugeCell]", family))


def _header(metric: Metric, *, openmetrics: bool) -> str:
    name = metric.family if openmetrics else metric.name
    text = escape(metric.help) if openmetrics else metric.help.replace("\\", r"\\")
    return f"# HELP {name} {text}\n# TYPE {name} {metric.kind}\n"


def _label_text(pairs: Iterable[tuple[str, str]]) -> str:
    return ",".join(f'{name}="{escape(value)}"' for name, value in pairs)


class _Run(Generic[_Cell]):
    """Series that are rendered in one go.

    :ivar texts: what of them does not change between two pages.
    :ivar new: series whose text is not among ``texts`` yet. It is made when the run is rendered, not when the series
        are found: ten thousand new ones would hold the event loop for 50 ms.
    """

    __slots__ = ("cells", "new", "texts")

    def __init__(self) -> None:
        self.cells: list[_Cell] = []
        self.texts: list[str] = []
        self.new: list[Key] = []

    def take_new(self) -> list[Key]:
        new, self.new = self.new, []
        return new


class _Text(abc.ABC, Generic[_Cell]):
    """The text of a family, in runs."""

    size: ClassVar[int]
    """How many series a run has at most."""

    def __init__(self, family: Family[_Cell]) -> None:
        self._family = family
        self._headers = {flag: _header(family.metric, openmetrics=flag) for flag in (False, True)}
        self._constant = [_label_text(family.constant)] if family.constant else []
        self._runs: list[_Run[_Cell]] = []
        self._seen = 0

    def slices(self, *, openmetrics: bool) -> Iterator[bytes]:
        if len(self._family.cells) != self._seen:
            self._find_new()
        header = self._headers[openmetrics]
        for run in self._runs:
            lines = self._render(run, openmetrics=openmetrics)
            if lines:
                yield (header + lines).encode()
                header = ""

    @abc.abstractmethod
    def _render(self, run: _Run[_Cell], *, openmetrics: bool) -> str:
        """Return the lines of a run, its new series included."""

    def _labels(self, key: Key) -> str:
        own = self._family.own_pairs(key)
        return ",".join([*self._constant, _label_text(own)] if own else self._constant)

    def _find_new(self) -> None:
        """Put the series that are new into runs: cells are only ever added, at the end."""
        keys = list(islice(self._family.cells, self._seen, None))
        cells = list(islice(self._family.cells.values(), self._seen, None))
        self._seen += len(keys)
        start = 0
        while start < len(keys):
            run = self._run_with_room()
            stop = start + self.size - len(run.cells)
            run.new += keys[start:stop]
            run.cells += cells[start:stop]
            start = stop

    def _run_with_room(self) -> _Run[_Cell]:
        if not self._runs or len(self._runs[-1].cells) >= self.size:
            self._runs.append(_Run())
        return self._runs[-1]


class _Scalars(_Text[CounterCell | GaugeCell]):
    """The text of a counter's or a gauge's family: one ``%`` template a run."""

    size = SCALARS_A_SLICE

    def _render(self, run: _Run[CounterCell | GaugeCell], *, openmetrics: bool) -> str:  # noqa: ARG002 - alike in both
        if run.new:
            run.texts = ["".join([*run.texts, *map(self._line, run.take_new())])]
        return _fill(run.texts[0], [cell.value for cell in run.cells])

    def _line(self, key: Key) -> str:
        labels = self._labels(key).replace("%", "%%")
        return f"{self._family.metric.name}{{{labels}}} %s\n" if labels else f"{self._family.metric.name} %s\n"


def _fill(template: str, values: list[float | None]) -> str:
    """Put the values into their lines; a line without a value is left out."""
    present = [value for value in values if value is not None] if None in values else typing.cast("list[float]", values)
    lines = template % tuple(values if _all_finite(present) else map(_readable, values))
    return lines if present is values else _without_absent(lines)


def _without_absent(lines: str) -> str:
    """Leave out the lines whose value is None. Label text cannot look like one: a ``}`` stands behind it."""
    return "".join([f"{line}\n" for line in lines.split("\n")[:-1] if not line.endswith(" None")])


def _all_finite(values: list[float]) -> bool:
    """Whether every value is finite, by one sum in floats; a sum that overflows says no and is only slower."""
    try:
        return math.isfinite(sum(values, 0.0))
    except OverflowError:  # an int beyond all floats
        return False


def _readable(value: float | None) -> float | str | None:
    """Spell what is not finite as Prometheus does (``+Inf``, ``-Inf``, ``NaN``), an int beyond all floats too."""
    if value is None or math.isfinite(as_float(value)):
        return value
    return spelled(as_float(value))


class _Histograms(_Text[HistogramCell]):
    """The text of a histogram's family: the fixed pieces once, and one label text a cell."""

    size = HISTOGRAMS_A_SLICE

    def __init__(self, family: Family[HistogramCell], metric: Histogram) -> None:
        super().__init__(family)
        self._lines = len(metric.edges) + 3
        self._pieces = _pieces(metric, labelled=bool(family.pairs(metric.label_names)))

    def _render(self, run: _Run[HistogramCell], *, openmetrics: bool) -> str:
        if run.new:
            run.texts += map(self._labels, run.take_new())
        spell = _values_with_exemplars if openmetrics and isinstance(run.cells[0], TracedCell) else _values
        pieces: list[str] = []
        for labels, cell in zip(run.texts, run.cells, strict=True):
            lines = self._pieces.copy()
            lines[1::4] = [labels] * self._lines
            lines[3::4] = spell(cell)
            pieces += lines
        pieces.append("\n")
        return "".join(pieces)[1:]


def _values(cell: HistogramCell) -> list[str]:
    """Spell the buckets, the count and the sum of a histogram, in prometheus_client's order."""
    counts = list(accumulate(cell.counts))
    total = float(cell.sum)  # what was observed may be of a float's subclass, with a repr of its own
    return [*map(repr, counts), repr(counts[-1]), repr(total) if math.isfinite(total) else spelled(total)]


def _values_with_exemplars(cell: HistogramCell) -> list[str]:
    values = _values(cell)
    if isinstance(cell, TracedCell):
        for place, exemplar in enumerate(cell.exemplars):
            values[place] += _suffix(exemplar) if exemplar else ""
    return values


def _suffix(exemplar: Exemplar) -> str:
    """Spell an exemplar as OpenMetrics has it behind a bucket's value."""
    return f' # {{{TRACE_ID}="{exemplar.trace}"}} {spelled(exemplar.value)} {exemplar.timestamp}'


def _pieces(metric: Histogram, *, labelled: bool) -> list[str]:
    """Return the fixed text of a histogram, four pieces a line: name, place for labels, edge, place for the value."""
    comma, left, right = (",", "{", "} ") if labelled else ("", "", " ")
    pieces: list[str] = []
    for edge in (*map(spelled, metric.edges), "+Inf"):
        pieces += (f"\n{metric.name}_bucket{{", "", f'{comma}le="{edge}"}} ', "")
    for suffix in ("_count", "_sum"):
        pieces += (f"\n{metric.name}{suffix}{left}", "", right, "")
    return pieces
