"""What an installation, an import and a load of ours add to those of discord.py."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
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
{more}
marks.append(time.process_time())
print(*[1e3 * (after - before) for before, after in zip(marks, marks[1:])])
"""
_COLLECTED: Final = """
import gc
gc.collect()
marks[-1] = time.process_time()
import argus_exporter
"""
_LOADED: Final = """
import argus_exporter, asyncio, discord
ours = time.process_time()
bot = discord.ext.commands.AutoShardedBot("!", intents=discord.Intents.none(), shard_count=1)
async def load():
    global ours
    await bot._async_setup_hook()  # as login does
    bot._connection.user = discord.ClientUser(
        state=bot._connection, data=dict(id="1", username="bot", discriminator="0", avatar=None)
    )
    marks[-1] += time.process_time() - ours  # the bot is not ours
    await bot.load_extension("argus_exporter")
    reader, writer = await asyncio.open_connection("127.0.0.1", bot.get_cog("ArgusExporter").port)
    writer.write(b"GET /metrics HTTP/1.1\\r\\nHost: bot\\r\\nConnection: close\\r\\n\\r\\n")
    assert b"argus_exporter_info" in await reader.read()
    ours = time.process_time()
    writer.close()
    await bot.remove_cog("ArgusExporter")
    marks[-1] += time.process_time() - ours
asyncio.run(load())
"""
_VARIANTS: Final = {
    "argus_exporter": "import argus_exporter",
    "the same, what discord.py leaves to the garbage collector done before": _COLLECTED,
    "import, load_extension and the first page": _LOADED,
    "what that needs beside discord.py": f"import aiohttp.web_server, {', '.join(_OURS)}",
    "nothing (A/A)": "import sys",
}


def run(*, quick: bool) -> list[Bar]:
    """Measure."""
    rounds = range(_QUICK_ROUNDS if quick else _ROUNDS)
    variants: dict[str, list[float]] = {name: [] for name in _VARIANTS}
    theirs = []
    with tempfile.TemporaryDirectory() as cache:
        for more in _VARIANTS.values():
            _imported(more, cache)  # compiles
        for _ in rounds:
            for name, more in _VARIANTS.items():
                discord, ours = _imported(more, cache)
                theirs.append(discord)
                variants[name].append(ours)
    lines = [("discord.py, for comparison", theirs), *variants.items()]
    rows = [(name, f"{p10(each):.1f}", f"{statistics.median(each):.1f}") for name, each in lines]
    table("CPU time in a new process, ms", ("", "p10", "median"), rows)
    sizes = _sizes()
    table("installed, KB", ("", "KB"), [(name, f"{size / 1024:.0f}") for name, size in sizes.items()])
    taken = p10(variants["argus_exporter"])
    return [Bar("import, over discord.py's own", f"< {_MOST:.0f} ms", f"{taken:.1f} ms", taken < _MOST)]


def _imported(more: str, cache: str) -> tuple[float, float]:
    """Milliseconds that discord.py took, and then the others.

    :param cache: where the compiled files are.
    """
    own = {"PYTHONPYCACHEPREFIX": cache, "PYTHONDONTWRITEBYTECODE": "", "ARGUS_PORT": "0", "ARGUS_STATE_DIR": "off"}
    command = [sys.executable, "-c", _PROGRAM.format(more=more)]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **own}, capture_output=True, text=True, check=True)
    said = done.stdout
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
