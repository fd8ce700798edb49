"""What an installation and an import of ours add to those of discord.py."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import typing
from importlib import metadata
from pathlib import Path
from typing import Final

from tests.benchmarks.peers import ROOT
from tests.benchmarks.report import Bar, p10, table

if typing.TYPE_CHECKING:
    from collections.abc import Iterable

_ROUNDS: Final = 40
_QUICK_ROUNDS: Final = 10
_MOST: Final = 50.0
_OURS: Final = ("prometheus_client", "psutil", "statsd")
"""What is imported with us, and not with discord.py."""

_PROGRAM: Final = """
import time
marks = [time.process_time()]
import discord.ext.commands, discord.ext.tasks
marks.append(time.process_time())
import {more}
marks.append(time.process_time())
print(*[1e3 * (after - before) for before, after in zip(marks, marks[1:])])
"""


def run(*, quick: bool) -> list[Bar]:
    """Measure."""
    rounds = range(_QUICK_ROUNDS if quick else _ROUNDS)
    variants = {"argus_exporter": [], "what it needs beside discord.py": [], "nothing (A/A)": []}
    programs = dict(zip(variants, ("argus_exporter", ", ".join(("aiohttp.web", *_OURS)), "sys"), strict=True))
    theirs = []
    for _ in rounds:
        for name, more in programs.items():
            discord, ours = _imported(more)
            theirs.append(discord)
            variants[name].append(ours)
    lines = [("discord.py, for comparison", theirs), *variants.items()]
    rows = [(name, f"{p10(each):.1f}", f"{statistics.median(each):.1f}") for name, each in lines]
    table("CPU time of an import in a new process, ms", ("", "p10", "median"), rows)
    sizes = _sizes()
    table("installed, KB", ("", "KB"), [(name, f"{size / 1024:.0f}") for name, size in sizes.items()])
    taken = p10(variants["argus_exporter"])
    return [Bar("import, over discord.py's own", f"< {_MOST:.0f} ms", f"{taken:.1f} ms", taken < _MOST)]


def _imported(more: str) -> tuple[float, float]:
    """Milliseconds that discord.py took, and then the others."""
    command = [sys.executable, "-c", _PROGRAM.format(more=more)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    discord, others = map(float, said.split())
    return discord, others


def _sizes() -> dict[str, int]:
    """Bytes on disk without compiled files: of ours, of what comes with it, of discord.py and what comes with that."""
    discord = _closure(["discord.py"])
    own = _closure(_OURS) - discord
    ours = sum(path.stat().st_size for path in (ROOT / "argus_exporter").rglob("*") if path.suffix in {".py", ".typed"})
    return {"argus_exporter": ours, **{name: _size(name) for name in sorted(own)}, "discord.py": _total(discord)}


def _closure(names: Iterable[str]) -> set[str]:
    """These distributions and what they always need, whoever else needs it too."""
    found, open_ = set[str](), [name.replace("_", "-") for name in names]
    while open_:
        name = metadata.distribution(open_.pop()).metadata["Name"].lower().replace("_", "-")
        if name not in found:
            found.add(name)
            open_ += [re.split(r"[^\w.-]", text)[0] for text in metadata.requires(name) or [] if ";" not in text]
    return found


def _size(name: str) -> int:
    files = metadata.files(name) or []
    paths = [Path(str(file.locate())) for file in files if "__pycache__" not in file.parts]
    return sum(path.stat().st_size for path in paths if path.exists())


def _total(names: Iterable[str]) -> int:
    return sum(map(_size, names))
