"""Figures, tables and bars: how a benchmark tells what it has measured."""

from __future__ import annotations

import dataclasses
import json
import statistics
import typing

if typing.TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Bar:
    """What was promised, and what was measured."""

    what: str
    limit: str
    measured: str
    met: bool


def p10(values: Iterable[float]) -> float:
    """Return the 10th percentile: the least disturbed of many rounds."""
    ordered = sorted(values)
    return ordered[len(ordered) // 10]


def quartiles(values: Iterable[float]) -> tuple[float, float, float]:
    """Return the lower quartile, the median and the upper quartile."""
    lower, middle, upper = statistics.quantiles(values, n=4, method="inclusive")
    return lower, middle, upper


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table: the first column to the left, the numbers to the right."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    print(f"\n{title}")
    for line in lines:
        first, *rest = [
            cell.ljust(w) if not i else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join([first, *rest]), flush=True)


def write(path: Path, bars: Sequence[Bar]) -> None:
    """Leave the bars for the process that sums them up."""
    path.write_text(json.dumps([dataclasses.asdict(bar) for bar in bars]))


def read(path: Path) -> list[Bar]:
    """Read what :func:`write` left."""
    return [Bar(**bar) for bar in json.loads(path.read_text())]


def summary(bars: Sequence[Bar]) -> None:
    """Print what was promised and what was measured."""
    rows = [(bar.what, bar.limit, bar.measured, "met" if bar.met else "MISSED") for bar in bars]
    table("SUMMARY", ("", "bar", "measured", ""), rows)
