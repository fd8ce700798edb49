"""Runs the tests on every supported discord.py, and on every supported Python that this machine has.

Each discord.py runs on the oldest Python it can, with the tests that have a client in them; each Python runs with the
newest discord.py, and with all tests but those that need no second run (linters, packaging, servers, examples). Two at
a time, each in a virtual environment of its own under .venvs/.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pythons

ROOT = Path(__file__).parents[1]
CONSTRAINTS = ROOT / ".ci" / "constraints.txt"
PYTHONS_OF = {
    "2.4": ("3.11", "3.12"),  # imports audioop, which Python 3.13 no longer has
    "2.5": pythons.SUPPORTED,
    "2.6": pythons.SUPPORTED,
    "2.7": pythons.SUPPORTED,
}
NEWEST = "2.7"
LEFT_OUT = (
    "tests/analytics/test_clickhouse.py",
    "tests/analytics/test_postgres_questions.py",
    "tests/benchmarks",
    "tests/examples",
    "tests/fuzz",
    "tests/grafana",
    "tests/integration",
    "tests/prometheus",
    "tests/rehearsal",
    "tests/scale",
    "tests/simulator",
    "tests/soak/test_endurance.py",
    "tests/test_house.py",
    "tests/test_packaging.py",
)
WITH_A_CLIENT = (
    "tests/analytics/test_names.py",
    "tests/analytics/test_record.py",
    "tests/analytics/test_start.py",
    "tests/collectors",
    "tests/discordpy",
    "tests/faults/test_bot.py",
    "tests/session",
    "tests/simulator",
    "tests/test_cog.py",
    "tests/test_peers.py",
    "tests/test_readme.py",
    "tests/test_sentry.py",
)
ON_UVLOOP = (
    "tests/collectors/test_gateway.py",
    "tests/collectors/test_loop.py",
    "tests/collectors/test_rest.py",
    "tests/collectors/test_shards.py",
    "tests/faults/test_bot.py",
    # it looks at the timers of asyncio's own loop
    "--deselect=tests/collectors/test_loop.py::test_a_scrape_that_accounts_for_a_stall_leaves_one_timer",
)
AT_A_TIME = 2


@dataclass(frozen=True, order=True)
class Cell:
    """One Python with one discord.py, both as ``major.minor``."""

    python: str
    discord_py: str
    loop: str = "asyncio"

    def __str__(self) -> str:
        return f"Python {self.python}, discord.py {self.discord_py}, {self.loop}"

    @property
    def folder(self) -> Path:
        """Its virtual environment."""
        loop = "" if self.loop == "asyncio" else f"-{self.loop}"
        return ROOT / ".venvs" / f"python{self.python}-discord.py{self.discord_py}{loop}"

    @property
    def own(self) -> str:
        """Its interpreter."""
        return str(self.folder / "bin" / "python")


def cells() -> list[Cell]:
    """What there is to run, without what `make test` runs anyway."""
    here = _here()
    oldest = {Cell(next(iter(able)), dpy) for dpy, able in _able(here).items() if able}
    newest = {Cell(python, NEWEST) for python in here}
    tested = Cell("{}.{}".format(*sys.version_info), NEWEST)
    uvloop = [Cell(here[0], NEWEST, "uvloop")] if here and sys.platform != "win32" else []
    return [*sorted((oldest | newest) - {tested}, reverse=True), *uvloop]  # the long ones first


def _here() -> list[str]:
    return [version for version in pythons.SUPPORTED if pythons.find(version)]


def _able(here: list[str]) -> dict[str, list[str]]:
    return {dpy: [python for python in able if python in here] for dpy, able in PYTHONS_OF.items()}


def absent() -> list[str]:
    """What cannot be run here, and why."""
    here = _here()
    unable = [dpy for dpy, able in _able(here).items() if not able]
    return [
        *(f"Python {version}: not on this machine" for version in pythons.SUPPORTED if version not in here),
        *(f"discord.py {dpy}: runs on Python {' and '.join(PYTHONS_OF[dpy])}" for dpy in unable),
    ]


def set_up(cell: Cell) -> None:
    """Make the virtual environment, unless it is there and still right."""
    pins = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    others = [line for line in pins if not line.startswith("discord.py==")]
    wanted = "\n".join([*others, f"discord.py=={cell.discord_py}.*", ""])
    state = hashlib.sha256((wanted + (ROOT / "pyproject.toml").read_text(encoding="utf-8")).encode()).hexdigest()
    stamp = cell.folder / ".ready"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == state:
        return
    subprocess.run([pythons.find(cell.python) or "", "-m", "venv", "--clear", "--without-pip", cell.folder], check=True)
    constraints = cell.folder / "constraints.txt"
    constraints.write_text(wanted, encoding="utf-8")
    install = [sys.executable, "-m", "pip", "--python", cell.own, "install", "-qq", "--constraint", str(constraints)]
    subprocess.run([*install, "hatchling", "editables"], check=True, cwd=ROOT)
    subprocess.run([*install, "--no-build-isolation", "--group", "test", "--editable", "."], check=True, cwd=ROOT)
    stamp.write_text(state, encoding="utf-8")


def tests_of(cell: Cell) -> list[str]:
    """What pytest is told to run."""
    if cell.loop == "uvloop":
        return list(ON_UVLOOP)
    return [f"--ignore={path}" for path in LEFT_OUT] if cell.discord_py == NEWEST else list(WITH_A_CLIENT)


def run(cell: Cell, arguments: list[str]) -> bool:
    """Run the tests, print one line, and everything where they failed."""
    began = time.monotonic()
    set_up(cell)
    ready = time.monotonic()
    command = [cell.own, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests_of(cell)]
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "TESTS_LOOP": cell.loop}
    done = subprocess.run([*command, *arguments], cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    last = (done.stdout.strip().splitlines() or ["no output"])[-1].strip("= ")
    shown = "" if done.returncode == 0 else f"\n{done.stdout}{done.stderr}"
    print(f"matrix: {cell}: {last}, set up in {ready - began:.0f}s{shown}", flush=True)
    return done.returncode == 0


def main() -> int:
    """Run them all; arguments are passed on to pytest."""
    for reason in absent():
        print(f"matrix: skipped, {reason}", flush=True)
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        results = list(pool.map(lambda cell: run(cell, sys.argv[1:]), cells()))
    return 0 if all(results) else 1


if __name__ == "__main__":
    raise SystemExit(main())
