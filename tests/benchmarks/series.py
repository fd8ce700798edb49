"""The same made-up metrics twice: in our cells, and in prometheus_client's own objects."""

from __future__ import annotations

import typing
from typing import Final

import prometheus_client
from prometheus_client import CollectorRegistry

from argus_exporter import catalogue
from argus_exporter.instruments import Instruments

if typing.TYPE_CHECKING:
    from collections.abc import Callable

EDGES: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
LINES: Final = len(EDGES) + 3
LABELS: Final = ("command", "shard", "outcome")
_COUNTERS_A_FAMILY: Final = 500
_HISTOGRAMS_A_FAMILY: Final = 50
_VALUES: Final = (0.003, 0.7, 42.0)


class Both:
    """Four in ten lines are counters with three labels, the others are histograms with 14 buckets and one label.

    A tenth of the label values need escaping; a fifth of the counters have fractions.
    """

    def __init__(self, lines: int) -> None:
        self.ours = Instruments()
        self.theirs = CollectorRegistry()
        counters, histograms = round(lines * 0.4), round(lines * 0.6 / LINES)
        self._adds = [self._counter(number) for number in range(counters)]
        self._observes = [self._histogram(number) for number in range(histograms)]
        self.lines = counters + histograms * LINES
        self.change()

    def change(self) -> None:
        """Change every value."""
        for number, (mine, their) in enumerate(self._adds):
            amount = 0.25 if number % 5 == 0 else 1 + number % 7
            mine(amount)
            their(amount)
        for mine, their in self._observes:
            for value in _VALUES:
                mine(value)
                their(value)

    def _counter(self, number: int) -> tuple[Callable[[float], None], Callable[[float], None]]:
        family, place = divmod(number, _COUNTERS_A_FAMILY)
        key = keys_of(place)
        if not place:
            self._counters = counter_family(self.ours, f"bench_{family}_things_total", _COUNTERS_A_FAMILY)
            self._their_counters = prometheus_client.Counter(
                f"bench_{family}_things", "Things.", LABELS, registry=self.theirs
            )
        return self._counters.labels(*key).inc, self._their_counters.labels(*key).inc

    def _histogram(self, number: int) -> tuple[Callable[[float], None], Callable[[float], None]]:
        family, place = divmod(number, _HISTOGRAMS_A_FAMILY)
        key = keys_of(place)[0]
        if not place:
            name = f"bench_{family}_seconds"
            self._histograms = histogram_family(self.ours, name, _HISTOGRAMS_A_FAMILY)
            self._their_histograms = prometheus_client.Histogram(
                name, "Time.", LABELS[:1], buckets=EDGES, registry=self.theirs
            )
        return self._histograms.labels(key).observe, self._their_histograms.labels(key).observe


def keys_of(number: int) -> tuple[str, str, str]:
    """Make three label values, new strings each time."""
    command = f'say "{number}"\\' if number % 10 == 0 else f"command-{number}"
    return command, f"{number % 16}", f"outcome-{number % 3}"


def counter_family(instruments: Instruments, name: str, series: int):
    """Make a counter with three labels."""
    labels = tuple(catalogue.Label(label, series, "a benchmark") for label in LABELS)
    return instruments.counter(catalogue.Counter(name, "Things.", "exporter", labels, series=series))


def histogram_family(instruments: Instruments, name: str, series: int):
    """Make a histogram with one label and 14 buckets."""
    label = catalogue.Label(LABELS[0], series, "a benchmark")
    return instruments.histogram(catalogue.Histogram(name, "Time.", "exporter", (label,), edges=EDGES))
