"""``python -m tests.rehearsal [incident ...] [--factor N] [--parallel N] [--quick]``: rehearse incidents, real alerts.

It needs Prometheus and Alertmanager (apt install prometheus prometheus-alertmanager). The exit code is 0 if each
incident has fired exactly the alerts of its row in ``table.py``, and all of them were over afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.rehearsal.rehearsal import Rehearsal, Result, report
from tests.rehearsal.table import ROWS, Row

FACTOR = 30.0
"""How much faster time runs than in the rules."""
PARALLEL = 10
"""How many bots there are at the same time."""


def main() -> int:
    """Rehearse, show what happens and then the table."""
    given = _parser().parse_args()
    logging.getLogger("examples.discord_simulator").setLevel(logging.ERROR)  # it tells of each incident
    rows = [row for row in ROWS if row.name in given.incident or not given.incident]
    rows = [row for row in rows if row.quick or not given.quick]
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # so that the servers are ended
    with tempfile.TemporaryDirectory() as folder:
        results = asyncio.run(rehearse(rows, given.factor, given.parallel, Path(folder)))
    sys.stdout.write(f"\n{report(results)}\n")
    return 0 if all(each.well for each in results) else 1


async def rehearse(rows: Sequence[Row], factor: float, parallel: int, folder: Path) -> list[Result]:
    """Rehearse rows, and tell what happens as it happens."""
    rehearsal = Rehearsal(factor, folder, _say)
    async with rehearsal.servers(rows):
        return await rehearsal.run(rows, parallel)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.rehearsal", description=__doc__)
    names = [row.name for row in ROWS]
    parser.add_argument("incident", nargs="*", help=f"which; without, all: {', '.join(names)}")
    parser.add_argument("--factor", type=float, default=FACTOR, help="how much faster time runs (%(default)g)")
    parser.add_argument("--parallel", type=int, default=PARALLEL, help="bots at the same time (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="only the incidents of CI, which take under five minutes")
    return parser


if __name__ == "__main__":
    sys.exit(main())
