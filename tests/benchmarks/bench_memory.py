"""Memory of a series by tracemalloc, with the text that is kept between two pages and with the label values."""

from __future__ import annotations

import gc
import tracemalloc
import typing
from typing import Final

import prometheus_client
from prometheus_client import CollectorRegistry

from argus_exporter.exposition.encode import Encoder
from argus_exporter.instruments import Instruments
from tests.benchmarks import series
from tests.benchmarks.report import Bar, table

if typing.TYPE_CHECKING:
    from collections.abc import Callable

_SERIES: Final = 10_000
_QUICK_SERIES: Final = 2_000


def run(*, quick: bool) -> list[Bar]:
    """Measure."""
    count = _QUICK_SERIES if quick else _SERIES
    sizes = {name: _measured(make, count) for name, make in _MAKERS.items()}
    rows = [(name, f"{size:.0f}", f"{per_line:.0f}") for name, (size, per_line) in sizes.items()]
    table(f"bytes, {count} label sets", ("", "a label set", "a line"), rows)
    counter, histogram = sizes["ours: counter, three labels"][0], sizes["ours: histogram, one label, 14 buckets"][0]
    return [
        Bar("memory of a three-label counter", "<= 400 B", f"{counter:.0f} B", counter <= 400),
        Bar("memory of a 14-bucket histogram", "<= 1400 B", f"{histogram:.0f} B", histogram <= 1400),
    ]


def _measured(make: Callable[[int], tuple[object, int]], count: int) -> tuple[float, float]:
    make(10)  # what is made once is not a series'
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept, lines = make(count)
    gc.collect()
    size = (tracemalloc.get_traced_memory()[0] - before) / count
    tracemalloc.stop()
    del kept
    return size, size / lines


def _our_counters(count: int) -> tuple[object, int]:
    instruments = Instruments()
    family = series.counter_family(instruments, "bench_things_total", count)
    for number in range(count):
        family.labels(*series.keys_of(number)).value += number
    return _rendered(instruments), 1


def _our_histograms(count: int) -> tuple[object, int]:
    instruments = Instruments()
    family = series.histogram_family(instruments, "bench_seconds", count)
    for number in range(count):
        family.labels(series.keys_of(number)[0]).observe(0.7)
    return _rendered(instruments), series.LINES


def _rendered(instruments: Instruments) -> Encoder:
    encoder = Encoder(instruments)
    for _ in encoder.slices():
        pass
    return encoder


def _their_counters(count: int) -> tuple[object, int]:
    registry = CollectorRegistry()
    family = prometheus_client.Counter("bench_things", "Things.", series.LABELS, registry=registry)
    for number in range(count):
        family.labels(*series.keys_of(number)).inc(number)
    prometheus_client.generate_latest(registry)
    return registry, 1


def _their_histograms(count: int) -> tuple[object, int]:
    registry = CollectorRegistry()
    family = prometheus_client.Histogram(
        "bench_seconds", "Time.", series.LABELS[:1], buckets=series.EDGES, registry=registry
    )
    for number in range(count):
        family.labels(series.keys_of(number)[0]).observe(0.7)
    prometheus_client.generate_latest(registry)
    return registry, series.LINES


_MAKERS: Final[dict[str, Callable[[int], tuple[object, int]]]] = {
    "ours: counter, three labels": _our_counters,
    "prometheus_client: counter, three labels": _their_counters,
    "ours: histogram, one label, 14 buckets": _our_histograms,
    "prometheus_client: histogram, one label, 14 buckets": _their_histograms,
}
