"""Real StatsD servers that a test needs, each started for it alone on this machine, awaited, and ended."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import dataclasses
import getpass
import os
import re
import shutil
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from tests.integration.programs import free_port, program

PUSH = Path(__file__).parents[2] / "examples" / "push"
Values = dict[str, float]
T = TypeVar("T")
Ready = Callable[[], Awaitable[object]]


@contextlib.asynccontextmanager
async def daemon(
    log: Path, ready: Callable[[], Awaitable[object]], *command: str, **environ: str
) -> AsyncIterator[None]:
    """Run a program until the block ends; the block begins when it is ready. What it says is in a file."""
    with log.open("ab") as said:
        process = await asyncio.create_subprocess_exec(
            program(command[0]), *command[1:], stdout=said, stderr=said, env={**os.environ, **environ}
        )
    try:
        async with asyncio.timeout(60):
            while not await ready():
                assert process.returncode is None, _said(log)
                await asyncio.sleep(0.05)
        yield process
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask a process to end, and see to it that it does."""
    for ask in (process.terminate, process.kill):
        with contextlib.suppress(ProcessLookupError):
            ask()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 10)
            return


def _said(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")


async def _run(log: Path, *command: str, **environ: str) -> None:
    with log.open("ab") as said:
        process = await asyncio.create_subprocess_exec(
            program(command[0]), *command[1:], stdout=said, stderr=said, env={**os.environ, **environ}
        )
    assert await process.wait() == 0, _said(log)


async def fetched(url: str, **params: str) -> Any:
    """The JSON behind a URL; None while nobody answers."""
    try:
        async with aiohttp.ClientSession() as http, http.get(url, params=params) as response:
            return await response.json(content_type=None) if response.status == 200 else None
    except aiohttp.ClientError:
        return None


async def eventually(ask: Callable[[], Awaitable[T]], expected: T, seconds: float = 60.0) -> None:
    """Wait until something is as expected, and say how it is if it does not become so."""
    found = await ask()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while found != expected:
                await asyncio.sleep(0.1)
                found = await ask()
    assert found == expected, found


# ------------------------------------------------------------------------------------------------- npm statsd


@dataclass(frozen=True)
class Statsd:
    """A running npm statsd: where it listens, and what it says of itself."""

    port: int
    management: int
    process: asyncio.subprocess.Process | None = None

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Let it do nothing for a while."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    async def ask(self, command: str) -> str:
        """What its management port answers to ``stats``, ``counters``, ``gauges``; "" while it is away."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.management, limit=1 << 24)
        except OSError:
            return ""
        writer.write(f"{command}\n".encode())
        answer = await reader.readuntil(b"END\n\n")
        writer.close()
        await writer.wait_closed()
        return answer.decode()

    async def bad_lines(self) -> int:
        """How many lines it could not read."""
        return int(re.findall(r"bad_lines_seen: (\d+)", await self.ask("stats"))[0])

    async def values(self, group: str) -> Values:
        """Its ``counters`` since its last flush, or its ``gauges``."""
        found = re.findall(r"""^  '?(.+?)'?: (-?[\d.e+]+),?$""", await self.ask(group), re.MULTILINE)
        return {name: float(value) for name, value in found}


@contextlib.asynccontextmanager
async def statsd(
    folder: Path, graphite_port: int | None = None, *, host: str = "127.0.0.1", port: int | None = None
) -> AsyncIterator[Statsd]:
    """Run npm's statsd as the example does, but for its flush: once a second, or never where there is no Graphite."""
    server = Statsd(port or free_port(), free_port())
    environ = {
        "STATSD_ADDRESS": host,
        "STATSD_PORT": str(server.port),
        "STATSD_MANAGEMENT": str(server.management),
        "STATSD_FLUSH": "1000" if graphite_port else "3600000",
        "GRAPHITE_PORT": str(graphite_port or free_port()),
    }
    command = ("statsd", str(PUSH / "statsd.js"))
    async with daemon(folder / "statsd.log", lambda: server.ask("stats"), *command, **environ) as process:
        yield dataclasses.replace(server, process=process)


# ------------------------------------------------------------------------------------------------- Graphite

_CARBON = """
[cache]
STORAGE_DIR = {folder}/storage
LOCAL_DATA_DIR = {folder}/storage/whisper
CONF_DIR = {folder}
LOG_DIR = {folder}
PID_DIR = {folder}
USER =
MAX_CACHE_SIZE = inf
MAX_UPDATES_PER_SECOND = inf
MAX_CREATES_PER_MINUTE = inf
LINE_RECEIVER_INTERFACE = 127.0.0.1
LINE_RECEIVER_PORT = {line}
PICKLE_RECEIVER_INTERFACE = 127.0.0.1
PICKLE_RECEIVER_PORT = {pickle}
CACHE_QUERY_INTERFACE = 127.0.0.1
CACHE_QUERY_PORT = {query}
CARBON_METRIC_INTERVAL = 0
LOG_CREATES = False
ENABLE_TAGS = True
TAG_UPDATE_INTERVAL = 7
GRAPHITE_URL = http://127.0.0.1:{web}
"""
_SCHEMAS = "[all]\npattern = .*\nretentions = 1s:1m,5s:1h\n"
_WEB = """
from graphite.settings import *

SECRET_KEY = "tests"
STORAGE_DIR = LOG_DIR = {folder!r}
WHISPER_DIR = {folder!r} + "/storage/whisper"
STANDARD_DIRS = [WHISPER_DIR]
INDEX_FILE = {folder!r} + "/index"
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": {folder!r} + "/graphite.db"}}}}
CARBONLINK_HOSTS = ["127.0.0.1:{query}"]
TAGDB_CACHE_DURATION = FIND_CACHE_DURATION = 0
"""


@dataclass(frozen=True)
class Graphite:
    """A carbon-cache that stores a value a second, and the graphite-web that reads them."""

    port: int
    url: str
    began: int = field(default_factory=lambda: int(time.time()) - 1)

    async def render(self, target: str) -> dict[str, list[float]]:
        """The values of every series that a target finds, those left out that are not there."""
        asked = {"target": target, "format": "json", "noCache": "1", "from": str(self.began)}
        found = await fetched(f"{self.url}/render", **asked)
        return {each["target"]: [value for value, _ in each["datapoints"] if value is not None] for each in found or ()}

    async def sums(self, target: str) -> Values:
        """The sum of each series that a target finds: what a counter's counts amount to."""
        return {name: sum(values) for name, values in (await self.render(target)).items()}

    async def last(self, target: str) -> Values:
        """The newest value of each series that a target finds."""
        return {name: values[-1] for name, values in (await self.render(target)).items() if values}


@contextlib.asynccontextmanager
async def graphite(folder: Path) -> AsyncIterator[Graphite]:
    """Run Graphite, carbon-cache and graphite-web: the one stores, the other answers ``/render``."""
    line, pickle, query, web = (free_port() for _ in range(4))
    (folder / "storage" / "whisper").mkdir(parents=True)
    ports = {"line": line, "pickle": pickle, "query": query, "web": web}
    (folder / "carbon.conf").write_text(_CARBON.format(folder=folder, **ports), encoding="utf-8")
    (folder / "storage-schemas.conf").write_text(_SCHEMAS, encoding="utf-8")
    shutil.copy(PUSH / "storage-aggregation.conf", folder)
    (folder / "graphite_here.py").write_text(_WEB.format(folder=str(folder), **ports), encoding="utf-8")
    environ = {"PYTHONPATH": str(folder), "DJANGO_SETTINGS_MODULE": "graphite_here", "VIRTUAL_ENV": ""}
    django = ("/usr/bin/python3", "-W", "ignore", "-m", "django")
    server, log = Graphite(line, f"http://127.0.0.1:{web}"), folder / "graphite.log"

    async def answers() -> bool:
        return await fetched(f"{server.url}/render", target="x", format="json") is not None

    program("carbon-cache")
    await _run(log, *django, "migrate", "--run-syncdb", **environ)
    serve = ("runserver", "--noreload", f"127.0.0.1:{web}")
    carbon = ("carbon-cache", "--nodaemon", f"--config={folder / 'carbon.conf'}", "start")
    async with (
        daemon(log, answers, *django, *serve, **environ),
        daemon(folder / "carbon.log", lambda: _listens(line), *carbon, PYTHONPATH=""),
    ):
        yield server


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


# ------------------------------------------------------------------------------------------------- collectd

_COLLECTD = """
Hostname "here"
FQDNLookup false
BaseDir "{folder}"
PIDFile "{folder}/pid"
TypesDB "/usr/share/collectd/types.db"
Interval 1
LoadPlugin logfile
<Plugin logfile>
  LogLevel info
  File "{folder}/log"
</Plugin>
LoadPlugin statsd
<Plugin statsd>
  Host "127.0.0.1"
  Port "{port}"
</Plugin>
LoadPlugin csv
<Plugin csv>
  DataDir "{folder}/csv"
  StoreRates false
</Plugin>
"""


@dataclass(frozen=True)
class Collectd:
    """A running collectd that reads StatsD and writes files."""

    port: int
    folder: Path

    def values(self, kind: str) -> Values:
        """The newest value of each metric of a type: derive (a counter so far), gauge, latency, objects."""
        files = sorted((self.folder / "csv" / "here" / "statsd").glob(f"{kind}-*"))
        return {path.name.removeprefix(f"{kind}-")[: -len("-2000-01-01")]: _newest(path) for path in files}

    def refused(self) -> list[str]:
        """The lines that it could not read."""
        return re.findall(r'Unable to parse line: "(.*)"', (self.folder / "log").read_text(encoding="utf-8"))


def _newest(path: Path) -> float:
    return float([*csv.reader(path.read_text(encoding="utf-8").splitlines())][-1][1])


@contextlib.asynccontextmanager
async def collectd(folder: Path) -> AsyncIterator[Collectd]:
    """Run a collectd."""
    server = Collectd(free_port(), folder)
    config = folder / "collectd.conf"
    config.write_text(_COLLECTD.format(folder=folder, port=server.port), encoding="utf-8")

    async def ready() -> bool:
        return (folder / "log").exists() and "entering read-loop" in (folder / "log").read_text(encoding="utf-8")

    async with daemon(folder / "out", ready, "collectd", "-f", "-C", str(config)):
        yield server


# ------------------------------------------------------------------------------------------------- netdata

_NETDATA = """
[global]
  hostname = here
  run as user = {user}
[directories]
  lib = {folder}
  cache = {folder}
  log = {folder}
  config = {folder}
  stock config = {folder}
  home = {folder}
[db]
  mode = ram
  retention = 600
[cloud]
  enabled = no
[ml]
  enabled = no
[health]
  enabled = no
[web]
  bind to = 127.0.0.1:{web}
[plugins]
  enable running new plugins = no
  netdata monitoring = no
  {plugins}
[statsd]
  bind to = udp:127.0.0.1:{port}
  max private charts hard limit = 20000
"""
_PLUGINS = "timex proc diskspace cgroups tc idlejitter checks apps python.d charts.d go.d ebpf perf slabinfo"


@dataclass(frozen=True)
class Netdata:
    """A running netdata that reads StatsD."""

    port: int
    url: str
    log: Path

    async def sums(self, ending: str) -> Values:
        """The sum of the first dimension of each chart of an ending: _counter, _timer, _set. It has a value a second.

        Of a counter that is all that was counted. The first ``_`` or ``.`` of a name is a dot here.
        """
        found = await fetched(f"{self.url}/api/v1/charts") or {"charts": ()}
        return {
            name.removeprefix("statsd_").removesuffix(ending): await self._sum(name)
            for name in found["charts"]
            if name.endswith(ending)
        }

    async def _sum(self, chart: str) -> float:
        found = await fetched(f"{self.url}/api/v1/data", chart=chart, after="-500", format="json")
        return round(sum(row[1] or 0 for row in found["data"]), 2) if found else 0

    async def gauges(self) -> Values:
        """The gauges as they stand."""
        found = await fetched(f"{self.url}/api/v1/allmetrics", format="json") or {}
        return {
            re.sub(r"[._]gauge$", "", name.removeprefix("statsd_")): chart["dimensions"]["gauge"]["value"]
            for name, chart in found.items()
            if chart["family"] == "gauges"
        }

    def refused(self) -> list[str]:
        """What it said of lines that it could not read."""
        return re.findall(r"STATSD: (.*)", self.log.read_text(encoding="utf-8", errors="replace"))


@contextlib.asynccontextmanager
async def netdata(folder: Path) -> AsyncIterator[Netdata]:
    """Run a netdata of which nothing but the StatsD server is on."""
    port, web = free_port(), free_port()
    server = Netdata(port, f"http://127.0.0.1:{web}", folder / "error.log")
    plugins = "\n  ".join(f"{name} = no" for name in _PLUGINS.split())
    config = folder / "netdata.conf"
    user = getpass.getuser()
    text = _NETDATA.format(folder=folder, web=web, port=port, user=user, plugins=plugins)
    config.write_text(text, encoding="utf-8")

    async def answers() -> bool:
        return await fetched(f"{server.url}/api/v1/info") is not None

    async with daemon(folder / "out", answers, "netdata", "-D", "-c", str(config), "-P", str(folder / "pid")):
        yield server
