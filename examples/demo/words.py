"""Numbers as people read them, and the lines of the plain display. Everything is ASCII."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from examples.demo.summary import Summary

UNKNOWN: Final = "-"


def seconds(value: float | None) -> str:
    """A duration: `0.4 ms`, `12 ms`, `1.50 s`."""
    if value is None:
        return UNKNOWN
    if value < 0.01:
        return f"{value * 1e3:.1f} ms"
    return f"{value * 1e3:.0f} ms" if value < 1 else f"{value:.2f} s"


def edge(value: float | None) -> str:
    """The edge of a bucket: what lies in it is not more than that."""
    if value is None:
        return UNKNOWN
    return "> 10 s" if math.isinf(value) else f"<= {value * 1e3:g} ms" if value < 1 else f"<= {value:g} s"


def count(value: float | None) -> str:
    """A number of things."""
    return UNKNOWN if value is None else f"{value:,.0f}"


def rate(value: float | None) -> str:
    """Things per second."""
    return UNKNOWN if value is None else f"{value:,.1f}"


def size(value: float | None) -> str:
    """Bytes: `45 kB`, `60 MB`."""
    if value is None:
        return UNKNOWN
    return f"{value / 1e6:.0f} MB" if value >= 1e6 else f"{value / 1e3:.0f} kB"


def percent(value: float | None) -> str:
    """A share: `4.2 %`."""
    return UNKNOWN if value is None else f"{value * 100:.1f} %"


def clock(value: float | None) -> str:
    """A longer duration: `1:07`, `2:00:05`."""
    if value is None:
        return UNKNOWN
    minutes, left = divmod(int(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def shards(summary: Summary) -> str:
    """How many are in which state: `3/4 online, 1 offline`."""
    others = Counter(shard.word for shard in summary.shards if shard.word != "online")
    return ", ".join([f"{summary.online}/{len(summary.shards)} online", *(f"{n} {word}" for word, n in others.items())])


def status_line(summary: Summary) -> str:
    """Everything that matters in one line."""
    parts = (
        f"shards {shards(summary)}",
        f"{rate(summary.rate)} events/s",
        f"latency {seconds(summary.latency)}",
        f"loop lag p99 {edge(summary.lag_p99)}",
        f"memory {size(summary.memory)}",
        f"cpu {percent(summary.cpu)}",
        f"{count(summary.series)} series",
        f"scrape {seconds(summary.scrape)}",
    )
    return " | ".join(parts)
