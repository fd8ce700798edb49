"""What an increment and an observation cost, beside prometheus_client."""

from __future__ import annotations

import random
import statistics
import time
import timeit
from typing import Any, Final

import prometheus_client

from argus_exporter.exporter import Exporter
from argus_exporter.instruments import Instruments
from tests.benchmarks import series
from tests.benchmarks.report import Bar, p10, table

_ROUNDS: Final = 200
_QUICK_ROUNDS: Final = 30
_NUMBER: Final = 3000
_VALUES: Final = 3

OPERATIONS: Final = {
    "empty loop": "for value in values: pass",
    "ours: cell.value += 1": "for value in values: ours.value += 1",
    "ours: cell.inc()": "for value in values: ours.inc()",
    "ours: family.labels(a, b, c).inc()": "for value in values: our_family.labels(*key).inc()",
    "a bot's own: handle.inc()": "for value in values: own.inc()",
    "a bot's own: counter.labels(a, b, c).inc()": "for value in values: own_counter.labels(*key).inc()",
    "prometheus_client: child.inc()": "for value in values: theirs.inc()",
    "prometheus_client: labels(a, b, c).inc()": "for value in values: their_family.labels(*key).inc()",
    "ours: cell.observe(v)": "for value in values: our_cell.observe(value)",
    "ours: family.labels(a).observe(v)": "for value in values: our_histograms.labels(*key[:1]).observe(value)",
    "a bot's own: handle.observe(v)": "for value in values: own_histogram.observe(value)",
    "prometheus_client: child.observe(v)": "for value in values: their_child.observe(value)",
    "prometheus_client: labels(a).observe(v)": "for value in values: their_histograms.labels(*key[:1]).observe(value)",
}
BESIDE: Final = {
    "ours: cell.value += 1": "prometheus_client: child.inc()",
    "ours: cell.inc()": "prometheus_client: child.inc()",
    "ours: family.labels(a, b, c).inc()": "prometheus_client: labels(a, b, c).inc()",
    "a bot's own: handle.inc()": "prometheus_client: child.inc()",
    "a bot's own: counter.labels(a, b, c).inc()": "prometheus_client: labels(a, b, c).inc()",
    "a bot's own: handle.observe(v)": "prometheus_client: child.observe(v)",
    "ours: cell.observe(v)": "prometheus_client: child.observe(v)",
    "ours: family.labels(a).observe(v)": "prometheus_client: labels(a).observe(v)",
}


def run(*, quick: bool) -> list[Bar]:
    """Measure."""
    timers = {name: timeit.Timer(code, timer=time.process_time, globals=_names()) for name, code in OPERATIONS.items()}
    taken: dict[str, list[float]] = {name: [] for name in timers}
    order = [*timers.items()]
    for _ in range(_QUICK_ROUNDS if quick else _ROUNDS):
        random.shuffle(order)
        for name, timer in order:
            taken[name].append(timer.timeit(_NUMBER) / (_NUMBER * _VALUES) * 1e9)
    least = {name: p10(values) - p10(taken["empty loop"]) for name, values in taken.items()}
    middle = {
        name: statistics.median(values) - statistics.median(taken["empty loop"]) for name, values in taken.items()
    }
    rows = [(name, f"{middle[name]:.0f}", f"{least[name]:.0f}", _ratio(name, least)) for name in OPERATIONS]
    table("ns each, without the loop", ("", "median", "p10", "x prometheus_client"), rows)
    observe = least["ours: cell.observe(v)"] / least["prometheus_client: child.observe(v)"]
    return [Bar("observe, beside prometheus_client", "<= 0.2 x", f"{observe:.2f} x", observe <= 0.2)]


def _ratio(name: str, least: dict[str, float]) -> str:
    return f"{least[name] / least[BESIDE[name]]:.2f}" if name in BESIDE else ""


def _names() -> dict[str, Any]:
    instruments, key = Instruments(), series.keys_of(1)
    exporter = Exporter(port="off", exemplars="off")
    exporter.ledger.adopt()  # as a running exporter's thread has
    own_counter = exporter.counter("own_things_total", "Things.", dict.fromkeys(series.LABELS, 10))
    our_family = series.counter_family(instruments, "bench_things_total", 10)
    our_histograms = series.histogram_family(instruments, "bench_seconds", 10)
    their_family = prometheus_client.Counter("bench_things", "Things.", series.LABELS, registry=None)
    their_histograms = prometheus_client.Histogram(
        "bench_seconds", "Time.", series.LABELS[:1], buckets=series.EDGES, registry=None
    )
    return {
        "values": (0.003, 0.7, 42.0),
        "key": key,
        "ours": our_family.labels(*key),
        "our_family": our_family,
        "own": own_counter.labels(*key),
        "own_counter": own_counter,
        "own_histogram": exporter.histogram("own_seconds", "Time.", edges=series.EDGES),
        "theirs": their_family.labels(*key),
        "their_family": their_family,
        "our_cell": our_histograms.labels(*key[:1]),
        "our_histograms": our_histograms,
        "their_child": their_histograms.labels(*key[:1]),
        "their_histograms": their_histograms,
    }
