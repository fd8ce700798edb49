"""``python -m tests.scale``: 1,000 shards in 64 processes on a real Prometheus: its rules, its memory, the boards.

The pages are written by the exporter's encoder; what they say is made up. Six hours of history, what a board shows at
first, take twenty minutes to be taken in and two GB. Seconds are CPU seconds of Prometheus, so that a busy machine does
not count. The exit code is 1 where a group of rules takes more than a fifth of its interval, or a query a second.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.scale.pages import STEP
from tests.scale.scale import Figures, Size, measured, report

QUERY: Final = 1.0
"""Seconds that a query of a board may take."""
RULES: Final = STEP / 5
"""Seconds that a group of rules may take."""


def well(found: Figures) -> bool:
    """Whether rules and boards are quick enough."""
    return bool(found.groups) and max(found.rules.values()) < RULES and max(found.queries.values()) < QUERY


def main() -> int:
    """Measure, tell."""
    whole = Size()
    parser = argparse.ArgumentParser(prog="python -m tests.scale", description=__doc__)
    parser.add_argument("--shards", type=int, default=whole.shards)
    parser.add_argument("--processes", type=int, default=whole.processes)
    parser.add_argument("--hours", type=float, default=whole.hours, help="of history (%(default)g)")
    given = parser.parse_args()
    size = Size(given.shards, given.processes, given.hours)
    with tempfile.TemporaryDirectory(prefix="argus-scale-") as folder:
        found = asyncio.run(measured(size, Path(folder), lambda text: sys.stderr.write(f"{text}\n")))
    sys.stdout.write(f"{report(size, found)}\n")
    return 0 if well(found) else 1


if __name__ == "__main__":
    sys.exit(main())
