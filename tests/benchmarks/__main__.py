"""``python -m tests.benchmarks [name ...] [--quick] [--strict]``: run the benchmarks and sum them up."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.benchmarks import peers, report

NAMES: Final = {
    "events": "CPU time of a gateway event, with and without us and the peers",
    "commands": "CPU time of a slash command, with and without us and the peers",
    "rest": "CPU time of a REST request, with and without us",
    "cells": "an increment and an observation",
    "memory": "memory of a series",
    "render": "rendering a page, and how long that holds the event loop",
    "page": "a page of a thousand commands, beside argus-dpy's at the same load",
    "sample": "bringing the gauges up to date",
    "scrape": "a scrape over HTTP, beside the peers",
    "import": "importing and installing it, over discord.py's own",
    "analytics": "what recording guild by guild costs on the event loop",
    "stores": "writing what is recorded into PostgreSQL and into ClickHouse's engine",
    "statsd": "an increment that goes out over StatsD, beside other clients",
    "sizing": "series of a process, and what a real Prometheus keeps of them on disk",
}

_OF_THE_TESTS: Final = frozenset({"stores"})
"""Those that need no peer, but what the tests have."""


def main() -> int:
    """Run each benchmark in a process of its own, one after the other."""
    arguments = _arguments()
    if arguments.bars is not None:
        _run(arguments.names[0], Path(arguments.bars), quick=arguments.quick)
        return 0
    bars: list[report.Bar] = []
    failed: list[str] = []
    for name in arguments.names or NAMES:
        found = _spawn(name, quick=arguments.quick)
        bars += found or []
        failed += [name] if found is None else []
    return _verdict(bars, failed, strict=arguments.strict)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=(*NAMES, []), metavar="name", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="a short run: the same tables, less exact")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a bar is missed")
    parser.add_argument("--bars", help=argparse.SUPPRESS)
    return parser.parse_args()


def _spawn(name: str, *, quick: bool) -> list[report.Bar] | None:
    print(f"\n==== {name}: {NAMES[name]}", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        bars = Path(directory) / "bars.json"
        python = sys.executable if name in _OF_THE_TESTS else str(peers.interpreter())
        command = [python, "-m", "tests.benchmarks", name, "--bars", str(bars)]
        done = subprocess.run(
            [*command, *(["--quick"] if quick else [])], cwd=peers.ROOT, env=_environment(), check=False
        )
        return report.read(bars) if not done.returncode and bars.exists() else None


def _environment() -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("ARGUS_", "PYTHON"))}
    return {**ours, "PYTHONHASHSEED": "0"}


def _run(name: str, bars: Path, *, quick: bool) -> None:
    logging.getLogger("argus_exporter").setLevel(logging.CRITICAL)  # the benchmarks block the loop, and it says so
    report.write(bars, importlib.import_module(f"tests.benchmarks.bench_{name}").run(quick=quick))


def _verdict(bars: list[report.Bar], failed: list[str], *, strict: bool) -> int:
    report.summary(bars)
    missed = [bar for bar in bars if not bar.met]
    if missed:
        print("\nA bar that is missed on a busy machine says nothing: look at the A/A row, and run it again alone.")
    if failed:
        print(f"\ndid not run: {', '.join(failed)}")
    return 1 if failed or (strict and missed) else 0


if __name__ == "__main__":
    sys.exit(main())
