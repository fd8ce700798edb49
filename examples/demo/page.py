"""A page of metrics as Prometheus would read it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

Labels = Mapping[str, str]
LAG: Final = "discord_event_loop_lag_seconds_bucket"


@dataclass(frozen=True)
class Page:
    """The samples of one scrape: by name, then by the labels; `at` (monotonic) and `took` are seconds, `size` bytes."""

    at: float
    took: float
    size: int
    samples: Mapping[str, list[tuple[Labels, float]]]

    @classmethod
    def read(cls, text: str, at: float = 0.0, took: float = 0.0) -> Page:
        """Read the text format. Raises ValueError for a page that breaks its rules."""
        samples: dict[str, list[tuple[Labels, float]]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                samples.setdefault(sample.name, []).append((sample.labels, sample.value))
        return cls(at, took, len(text.encode()), samples)

    def value(self, name: str) -> float | None:
        """The sum of a name's series; None where there is none."""
        found = self.samples.get(name)
        return None if not found else math.fsum(value for _, value in found)

    def by(self, name: str, label: str) -> dict[str, float]:
        """The sums of a name's series by a label."""
        sums: dict[str, float] = {}
        for labels, value in self.samples.get(name, ()):
            if label in labels:
                sums[labels[label]] = sums.get(labels[label], 0.0) + value
        return sums


def increase(before: float | None, after: float | None) -> float | None:
    """How much a counter has grown; from 0 where it is new or was reset. None where it is not on the page."""
    if after is None:
        return None
    return after - before if before is not None and before <= after else after


def increases(before: Page, after: Page, name: str, label: str) -> dict[str, float]:
    """How much each of a name's counters has grown between two pages, by a label."""
    old = before.by(name, label)
    return {key: increase(old.get(key), value) or 0.0 for key, value in after.by(name, label).items()}


def quantile_edge(before: Page, after: Page, name: str, share: float) -> float | None:
    """The edge of the bucket below which a share of what came between two pages lies; None where nothing came."""
    buckets = sorted((float(le), count) for le, count in increases(before, after, name, "le").items())
    total = buckets[-1][1] if buckets else 0.0
    if total <= 0:
        return None
    return next(_edges(buckets, share * total), math.inf)


def _edges(buckets: list[tuple[float, float]], wanted: float) -> Iterator[float]:
    return (edge for edge, count in buckets if count >= wanted)
