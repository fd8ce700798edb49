"""From cells to the text that Prometheus reads, in slices.

Both formats (text 0.0.4 and OpenMetrics 1.0) have the same sample lines here, only the headers and the end differ. What
does not change between two pages is kept: a ``%`` template for a run of counters or gauges, the label text of each
histogram. Measured: one ``%`` over a run of lines, and one ``join`` over a run of histograms, are the fastest that
CPython has; values are written with ``repr``, which is exact.

A slice is rendered in one go, and a histogram is never divided between two slices: the ``_count`` of a page always
equals its ``+Inf`` bucket.
"""

from __future__ import annotations

import math
import typing
from itertools import accumulate, islice
from typing import Final

from prometheus_client.utils import floatToGoString

from argus_exporter.catalogue import Histogram, Metric

if typing.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from argus_exporter.instruments import (
        AnyFamily,
        CounterCell,
        CounterFamily,
        GaugeCell,
        GaugeFamily,
        HistogramCell,
        HistogramFamily,
        Instruments,
        Key,
    )

SCALARS_A_SLICE: Final = 256
HISTOGRAMS_A_SLICE: Final = 16

_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})
_END_OF_OPENMETRICS: Final = b"# EOF\n"


class Encoder:
    """Renders the cells of an exporter; keeps the text that does not change."""

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._texts: dict[str, _Scalars | _Histograms] = {}

    def slices(self, *, openmetrics: bool = False) -> Iterator[bytes]:
        """The page in slices of at most a few hundred lines, each whole lines; the end mark is not among them."""
        for name, family in list(self._instruments.families.items()):
            text = self._texts.get(name)
            if text is None:
                text = self._texts[name] = _text_of(family)
            yield from text.slices(openmetrics=openmetrics)

    def page(self, *, openmetrics: bool = False) -> bytes:
        """The page at once."""
        return b"".join(self.slices(openmetrics=openmetrics)) + end_of(openmetrics=openmetrics)


def end_of(*, openmetrics: bool) -> bytes:
    """What stands at the end of a page."""
    return _END_OF_OPENMETRICS if openmetrics else b""


def escape(value: str) -> str:
    """A label value as both formats want it: backslash, newline and quote escaped."""
    return value.translate(_ESCAPES)


def _text_of(family: AnyFamily) -> _Scalars | _Histograms:
    if isinstance(family.metric, Histogram):
        return _Histograms(typing.cast("HistogramFamily", family), family.metric)
    return _Scalars(typing.cast("CounterFamily | GaugeFamily", family))


def _header(metric: Metric, *, openmetrics: bool) -> str:
    name = metric.name.removesuffix("_total") if openmetrics and metric.kind == "counter" else metric.name
    text = metric.help.translate(_ESCAPES if openmetrics else _HELP_ESCAPES)
    return f"# HELP {name} {text}\n# TYPE {name} {metric.kind}\n"


def _label_text(pairs: Iterable[tuple[str, str]]) -> str:
    return ",".join(f'{name}="{escape(value)}"' for name, value in pairs)


class _Scalars:
    """The text of a counter's or a gauge's family."""

    def __init__(self, family: CounterFamily | GaugeFamily) -> None:
        self._family = family
        self._headers = {flag: _header(family.metric, openmetrics=flag) for flag in (False, True)}
        self._runs: list[tuple[str, list[CounterCell | GaugeCell]]] = []
        self._seen = 0

    def slices(self, *, openmetrics: bool) -> Iterator[bytes]:
        self._catch_up()
        header = self._headers[openmetrics]
        for template, cells in self._runs:
            lines = _fill(template, [cell.value for cell in cells])
            if lines:
                yield (header + lines).encode()
                header = ""

    def _catch_up(self) -> None:
        """Take in the series that are new: cells are only ever added, at the end."""
        new = list(islice(self._family.cells.items(), self._seen, None))
        self._seen += len(new)
        while new:
            template, cells = self._last_run()
            taken, new = new[: SCALARS_A_SLICE - len(cells)], new[SCALARS_A_SLICE - len(cells) :]
            template += "".join(self._line(key) for key, _ in taken)
            self._runs[-1] = (template, [*cells, *(cell for _, cell in taken)])

    def _last_run(self) -> tuple[str, list[CounterCell | GaugeCell]]:
        if not self._runs or len(self._runs[-1][1]) >= SCALARS_A_SLICE:
            self._runs.append(("", []))
        return self._runs[-1]

    def _line(self, key: Key) -> str:
        labels = _label_text(self._family.pairs(key)).replace("%", "%%")
        return f"{self._family.metric.name}{{{labels}}} %s\n" if labels else f"{self._family.metric.name} %s\n"


def _fill(template: str, values: list[float | None]) -> str:
    """The lines with their values; a line without a value is left out."""
    if None in values:
        lines = template.split("\n")
        kept = [(line, value) for line, value in zip(lines, values, strict=False) if value is not None]
        template, present = "".join(f"{line}\n" for line, _ in kept), [value for _, value in kept]
    else:
        present = typing.cast("list[float]", values)
    return template % tuple(present if _all_finite(present) else map(_spelled, present))


def _all_finite(values: list[float]) -> bool:
    """Whether no value is inf or nan, by one sum; a sum that overflows says no and is only slower."""
    try:
        return math.isfinite(sum(values))
    except OverflowError:
        return False


def _spelled(value: float) -> object:
    """A value as Prometheus spells it: ``+Inf``, ``-Inf``, ``NaN``; what is finite as it is."""
    return value if isinstance(value, int) or math.isfinite(value) else floatToGoString(value)


class _Histograms:
    """The text of a histogram's family: the fixed pieces once, and one label text a cell."""

    def __init__(self, family: HistogramFamily, metric: Histogram) -> None:
        self._family = family
        self._headers = {flag: _header(metric, openmetrics=flag) for flag in (False, True)}
        self._lines = len(metric.edges) + 3
        self._pieces = _pieces(metric, labelled=bool(family.pairs(metric.label_names)))
        self._runs: list[list[tuple[str, HistogramCell]]] = []
        self._seen = 0

    def slices(self, *, openmetrics: bool) -> Iterator[bytes]:
        self._catch_up()
        header = self._headers[openmetrics]
        for run in self._runs:
            yield (header + self._render(run)).encode()
            header = ""

    def _render(self, run: list[tuple[str, HistogramCell]]) -> str:
        pieces: list[str] = []
        for labels, cell in run:
            lines = self._pieces.copy()
            values: list[float] = list(accumulate(cell.counts))
            values += (cell.sum, values[-1])
            lines[1::4] = [labels] * self._lines
            lines[3::4] = map(repr if math.isfinite(cell.sum) else _text, values)
            pieces += lines
        pieces.append("\n")
        return "".join(pieces)[1:]

    def _catch_up(self) -> None:
        new = list(islice(self._family.cells.items(), self._seen, None))
        self._seen += len(new)
        for key, cell in new:
            if not self._runs or len(self._runs[-1]) >= HISTOGRAMS_A_SLICE:
                self._runs.append([])
            self._runs[-1].append((_label_text(self._family.pairs(key)), cell))


def _pieces(metric: Histogram, *, labelled: bool) -> list[str]:
    """The fixed text of one histogram, four pieces a line: name, place for labels, edge, place for the value."""
    comma, left, right = (",", "{", "} ") if labelled else ("", "", " ")
    pieces: list[str] = []
    for edge in (*map(floatToGoString, metric.edges), "+Inf"):
        pieces += (f"\n{metric.name}_bucket{{", "", f'{comma}le="{edge}"}} ', "")
    for suffix in ("_sum", "_count"):
        pieces += (f"\n{metric.name}{suffix}{left}", "", right, "")
    return pieces


def _text(value: float) -> str:
    return str(_spelled(value))
