"""The file that tells Prometheus where a process is, with real processes that come and go."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from argus_exporter import Exporter, discovery
from argus_exporter.discovery import Discovery, Owner
from argus_exporter.instruments import Instruments
from tests.clients import until, value

ERRORS = "argus_exporter_file_sd_errors_total"
REFRESHED = "argus_exporter_file_sd_last_refresh_timestamp_seconds"
HERE = Owner.this()
META = "__meta_argus_exporter_"
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of POSIX")


@dataclasses.dataclass
class Place:
    file_sd_dir: Path | None
    host: str = "127.0.0.1"
    metrics_path: str = "/metrics"
    tls_cert: Path | None = None
    file_sd_host: str | None = None


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(discovery, "REFRESH_SECONDS", 0.02)
    monkeypatch.setattr(discovery, "RETRY_SECONDS", 0.02)
    caplog.set_level(logging.INFO, "argus_exporter.discovery")


@contextlib.asynccontextmanager
async def kept(place: Place, port: int | None = 9191, **constant: str) -> AsyncIterator[Instruments]:
    """A file that is kept, without an exporter around."""
    instruments = Instruments(constant)
    discovery = Discovery(place, instruments, lambda: port)
    discovery.start()
    try:
        if port is not None:
            await until(lambda: value(instruments, REFRESHED))
        yield instruments
    finally:
        await discovery.close()


def said(folder: Path) -> list[tuple[str, dict[str, str]]]:
    """The targets in a folder and their labels, those left out that say whose file it is."""
    groups = [group for path in sorted(folder.glob("*.json")) for group in json.loads(path.read_text("utf-8"))]
    for group in groups:
        group["labels"] = {name: text for name, text in group["labels"].items() if not name.startswith(META)}
    return [(target, group["labels"]) for group in groups for target in group["targets"]]


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def left(folder: Path, name: str, owner: Owner | None, age: float = 0.0) -> Path:
    """A file that a process has left."""
    path = folder / f"argus_exporter-{name}"
    labels = {} if owner is None else owner.labels
    path.write_text(json.dumps([{"targets": ["a:1"], "labels": labels}]), "utf-8")
    os.utime(path, (path.stat().st_atime - age, path.stat().st_mtime - age))
    return path


def gone() -> str:
    """The number of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return str(child.pid)


# ------------------------------------------------------------------------------------------------ what it says


async def test_a_process_says_where_it_is_while_it_runs(tmp_path: Path) -> None:
    async with Exporter(port=0, bot="my-bot", cluster="3", file_sd_dir=tmp_path) as exporter:
        await until(lambda: value(exporter.instruments, REFRESHED))
        assert said(tmp_path) == [(f"127.0.0.1:{exporter.port}", {"bot": "my-bot", "cluster": "3"})]
        assert [path.name for path in files(tmp_path)] == [
            f"argus_exporter-{socket.gethostname()}-127.0.0.1-{exporter.port}.json"
        ]
    assert files(tmp_path) == []
    assert value(exporter.instruments, REFRESHED) is None


async def test_an_exporter_that_is_started_again_says_so_again(tmp_path: Path) -> None:
    exporter = Exporter(port=0, file_sd_dir=tmp_path)
    for _ in range(2):
        left(tmp_path, f"{HERE.host}-a-1.json", HERE._replace(start="1"))
        async with exporter:
            await until(lambda: said(tmp_path) and "a:1" not in dict(said(tmp_path)))
            assert said(tmp_path) == [(f"127.0.0.1:{exporter.port}", {})]
    assert files(tmp_path) == []


async def test_without_a_port_or_a_folder_nobody_writes(tmp_path: Path) -> None:
    for options in ({"port": None, "file_sd_dir": tmp_path}, {"port": 0}):
        async with Exporter(**options) as exporter:
            assert ERRORS not in exporter.instruments.families
            assert not any(thread.name == "argus_exporter.discovery" for thread in threading.enumerate())


async def test_a_path_of_its_own_and_tls_are_said(tmp_path: Path) -> None:
    async with kept(Place(tmp_path, metrics_path="/bot", tls_cert=Path(__file__)), bot="b"):
        assert said(tmp_path) == [("127.0.0.1:9191", {"bot": "b", "__metrics_path__": "/bot", "__scheme__": "https"})]


@pytest.mark.parametrize(
    ("host", "given", "target"),
    [
        ("127.0.0.1", None, "127.0.0.1:9191"),
        ("localhost", None, "localhost:9191"),
        ("::1", None, "[::1]:9191"),
        ("0.0.0.0", None, f"{socket.gethostname()}:9191"),  # noqa: S104
        ("::", None, f"{socket.gethostname()}:9191"),
        ("0.0.0.0", "bot-1.example", "bot-1.example:9191"),  # noqa: S104
        ("127.0.0.1", "fd00::7", "[fd00::7]:9191"),
    ],
)
async def test_the_target_is_what_prometheus_can_reach(
    host: str, given: str | None, target: str, tmp_path: Path
) -> None:
    async with kept(Place(tmp_path, host=host, file_sd_host=given)):
        assert said(tmp_path) == [(target, {})]
        assert re.fullmatch(r"[\w.-]+", files(tmp_path)[0].name)


async def test_a_file_waits_for_the_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with Exporter(port=port, file_sd_dir=tmp_path) as exporter:
            assert files(tmp_path) == []
            taken.close()
            await until(lambda: said(tmp_path))
            assert exporter.port == port
            assert value(exporter.instruments, ERRORS) == 0


async def test_exporters_of_one_process_have_a_file_each(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for cluster in range(3):
            await stack.enter_async_context(Exporter(port=0, bot="b", cluster=cluster, file_sd_dir=tmp_path))
        await until(lambda: len(said(tmp_path)) == 3)
        assert {labels["cluster"] for _, labels in said(tmp_path)} == {"0", "1", "2"}
    assert files(tmp_path) == []


# ------------------------------------------------------------------------------------------------ it stays right


async def test_a_file_that_changes_under_it_is_made_right_again(tmp_path: Path) -> None:
    async with kept(Place(tmp_path)):
        (path,) = files(tmp_path)
        right = path.read_bytes()
        os.utime(path, (0, 0))
        await until(lambda: path.stat().st_mtime > 0)
        for damage in (lambda: path.write_text("[{"), path.unlink):
            damage()
            await until(lambda: path.exists() and path.read_bytes() == right)


async def test_a_file_that_is_right_is_not_written_again(tmp_path: Path) -> None:
    async with kept(Place(tmp_path)):
        (path,) = files(tmp_path)
        number = path.stat().st_ino
        for _ in range(2):
            os.utime(path, (0, 0))
            await until(lambda: path.stat().st_mtime > 0)
        assert path.stat().st_ino == number


async def test_a_file_that_somebody_has_taken_over_is_left_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "REFRESH_SECONDS", 3600)
    async with kept(Place(tmp_path)):
        (path,) = files(tmp_path)
        path.write_text("[]", "utf-8")
    assert path.read_text("utf-8") == "[]"


async def test_nobody_s_link_is_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("kept", "utf-8")
    async with kept(Place(tmp_path)):
        (path,) = (each for each in files(tmp_path) if each.suffix == ".json")
    path.with_name(f"{path.name}.tmp").symlink_to(victim)
    async with kept(Place(tmp_path)):
        assert said(tmp_path) == [("127.0.0.1:9191", {})]
    assert victim.read_text("utf-8") == "kept"


# ------------------------------------------------------------------------------------------------ what others left

PROGRAM = """
import asyncio, logging, os, signal, sys
from argus_exporter import Exporter, discovery

discovery.RETRY_SECONDS = discovery.REFRESH_SECONDS = 0.02
logging.basicConfig(format="%(message)s", level=logging.INFO)

async def main():
    async with Exporter(file_sd_dir=sys.argv[1], state_dir=None) as exporter:
        {does}
        await asyncio.Event().wait()

asyncio.run(main())
"""


@contextlib.contextmanager
def process(folder: Path, port: int, does: str = "", **environ: str) -> Iterator[subprocess.Popen[str]]:
    """A process with an exporter, which does something first."""
    command = [sys.executable, "-c", PROGRAM.replace("{does}", does), str(folder)]
    env = {**os.environ, "ARGUS_PORT": str(port), **environ}
    child = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


async def test_the_file_of_a_process_that_was_killed_is_removed_by_the_next_that_starts(
    tmp_path: Path, unused_tcp_port_factory: Any
) -> None:
    killed, going_on = unused_tcp_port_factory(), unused_tcp_port_factory()
    with process(tmp_path, killed) as child, process(tmp_path, going_on):
        await until(lambda: len(said(tmp_path)) == 2)
        child.kill()
        child.wait()
        await looked_at(tmp_path, going_on)
        assert len(said(tmp_path)) == 2
        async with kept(Place(tmp_path), 1):
            await until(lambda: len(said(tmp_path)) == 2)
            assert [target for target, _ in said(tmp_path)] == ["127.0.0.1:1", f"127.0.0.1:{going_on}"]


async def looked_at(folder: Path, port: int) -> None:
    """Wait until the process of a port has looked at all that is in a folder."""
    (path,) = (each for each in files(folder) if each.name.endswith(f"-{port}.json"))
    for _ in range(2):  # of which the second is of a look that begins later
        os.utime(path, (0, 0))
        await until(lambda: path.stat().st_mtime > 0)


async def swept(folder: Path) -> list[str]:
    """What is left in a folder when a process has come and gone."""
    async with kept(Place(folder)):
        await looked_at(folder, 9191)
    return [path.name for path in files(folder)]


async def test_what_nobody_has_refreshed_for_long_is_removed_later_too(tmp_path: Path) -> None:
    async with kept(Place(tmp_path)):
        await looked_at(tmp_path, 9191)
        left(tmp_path, f"{HERE.host}-a-1.json", HERE._replace(start="1"), discovery.LEASE_SECONDS - 60)
        await looked_at(tmp_path, 9191)
        left(tmp_path, f"{HERE.host}-a-2.json", HERE._replace(start="1"), discovery.LEASE_SECONDS + 60)
        await until(lambda: len(files(tmp_path)) == 2)
        assert files(tmp_path)[1].name.endswith("-a-1.json")


@pytest.mark.parametrize(
    ("owner", "age"),
    [
        (HERE._replace(start="1"), 0.0),
        (HERE._replace(scope="before", pid="1"), discovery.LEASE_SECONDS + 60),
    ],
    ids=["another process has its number now", "of this machine, and nobody has refreshed it for long"],
)
async def test_a_file_whose_process_is_gone_is_removed(
    owner: Owner, age: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = left(tmp_path, f"{HERE.host}-0.0.0.0-9300.json", owner, age)
    assert await swept(tmp_path) == []
    assert f"removed {path}: its process is gone" in caplog.text


@pytest.mark.parametrize(
    ("name", "owner", "age"),
    [
        ("{host}-a-9300.json", HERE, 1e6),
        ("{host}-a-9300.json", HERE._replace(scope="before"), discovery.LEASE_SECONDS - 60),
        ("{host}-a-9300.json", HERE._replace(host="elsewhere", pid="1"), 1e6),
        ("{host}-a-9300.json", None, 1e6),
        ("{host}-a-9300.json", HERE._replace(pid="0"), 1e6),
        ("{host}-a-9300.json", HERE._replace(pid="9" * 30), 1e6),
        ("{host}-a-9300.json", HERE._replace(pid="x"), 1e6),
        ("elsewhere-a-9300.json", HERE._replace(start="1"), 1e6),
        ("{host}-a-9300.yml", HERE._replace(start="1"), 1e6),
        ("{host}-a-9300.json.tmp", None, discovery.LEASE_SECONDS - 60),
    ],
)
async def test_a_file_that_may_be_somebody_else_s_stays(
    name: str, owner: Owner | None, age: float, tmp_path: Path
) -> None:
    path = left(tmp_path, name.format(host=HERE.host), owner, age)
    assert await swept(tmp_path) == [path.name]


async def test_half_a_file_that_somebody_left_long_ago_is_removed(tmp_path: Path) -> None:
    left(tmp_path, f"{HERE.host}-a-9300.json.tmp", None, discovery.LEASE_SECONDS + 60)
    assert await swept(tmp_path) == []


def test_of_a_process_that_may_not_be_looked_at_nobody_says_that_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "_start_of", lambda _: "?")
    assert not HERE._replace(start="1").is_gone()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_a_process_that_proc_hides_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert discovery._start_of(os.getpid()) == HERE.start
    assert discovery._start_of(int(gone())) == "?"


def test_a_process_is_known_while_it_runs_and_not_when_it_is_a_zombie() -> None:
    assert HERE.start not in {"", "?"}
    assert HERE.scope
    assert not HERE.is_gone()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    begun = discovery._start_of(child.pid)
    assert begun not in {"", "?"}
    assert int(discovery._start_by_psutil(os.getpid()).partition(".")[0]) > 1e9
    child.kill()
    if sys.platform == "linux":
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert discovery._start_of(child.pid) == ""
    child.communicate()
    assert discovery._start_of(child.pid) == discovery._start_by_psutil(child.pid) == ""


# ------------------------------------------------------------------------------------------------ the world refuses


async def test_a_folder_that_is_not_there_is_said_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "targets"
    async with Exporter(port=0, file_sd_dir=folder) as exporter:
        await until(lambda: (value(exporter.instruments, ERRORS) or 0) > 3)
        assert exporter.port is not None
        assert value(exporter.instruments, REFRESHED) is None
        assert caplog.text.count(f"{folder}: cannot keep the file for Prometheus, goes on trying: ") == 1
        folder.mkdir()
        await until(lambda: said(folder))
        await until(lambda: f"{folder}: the file for Prometheus is kept again" in caplog.text)
        shutil.rmtree(folder)
        await until(lambda: caplog.text.count("goes on trying") == 2)
    assert caplog.text.count("is kept again") == 1


@pytest.mark.parametrize("step", ["utime", "stat"])
async def test_a_file_that_is_removed_while_it_is_looked_at_is_written_anew_and_no_error(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Exporter(port=0, file_sd_dir=tmp_path) as exporter:
        await until(lambda: said(tmp_path))
        (path,) = files(tmp_path)
        removed: list[Path] = []

        def removing(original: Callable[..., object]) -> Callable[..., object]:
            def remove_once(target: Path, *more: object, **named: object) -> object:
                if target == path and not removed:
                    removed.append(target)
                    path.unlink()
                return original(target, *more, **named)

            return remove_once

        where = os if step == "utime" else Path
        monkeypatch.setattr(where, step, removing(getattr(where, step)))
        await until(lambda: removed and said(tmp_path))
        assert not value(exporter.instruments, ERRORS)


async def test_a_file_that_stands_in_the_way_is_an_error_and_nothing_more(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("", "utf-8")
    async with Exporter(port=0, file_sd_dir=in_the_way) as exporter:
        await until(lambda: value(exporter.instruments, ERRORS))


LIMITED = """import resource; from tests.clients import until, value
        await until(lambda: value(exporter.instruments, {refreshed!r}))
        path = os.path.join(sys.argv[1], *os.listdir(sys.argv[1]))
        before = resource.getrlimit({limit})
        resource.setrlimit({limit}, (3, before[1]))
        os.unlink(path)
        await until(lambda: value(exporter.instruments, {errors!r}) > 2)
        print("there:", os.path.exists(path), file=sys.stderr)
        resource.setrlimit({limit}, before)
        await until(lambda: os.path.exists(path))
        os.kill(os.getpid(), signal.SIGINT)"""
"""Both limits refuse as the world does: the one no file at all, the other the rest of one, as a full disk would."""


@posix
@pytest.mark.parametrize(
    ("limit", "complaint"),
    [("resource.RLIMIT_FSIZE", "File too large"), ("resource.RLIMIT_NOFILE", "Too many open files")],
)
async def test_a_full_disk_or_no_file_to_open_stops_nothing(
    limit: str, complaint: str, tmp_path: Path, unused_tcp_port: int
) -> None:
    does = LIMITED.format(refreshed=REFRESHED, errors=ERRORS, limit=limit)
    with process(tmp_path, unused_tcp_port, does) as child:
        _, log = await asyncio.to_thread(child.communicate, timeout=60)
    assert log.count("goes on trying") == 1, log
    assert complaint in log
    assert "\nthere: False\n" in log
    assert files(tmp_path) == []


@posix
async def test_a_process_that_is_killed_while_it_writes_leaves_nothing_that_prometheus_reads(
    tmp_path: Path, unused_tcp_port: int
) -> None:
    kills_itself = "os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)\nasync def main():"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "PROGRAM", PROGRAM.replace("async def main():", kills_itself))
        with process(tmp_path, unused_tcp_port) as child:
            assert await asyncio.to_thread(child.wait, 60) == -signal.SIGKILL
    (half,) = files(tmp_path)
    assert half.suffix == ".tmp"
    with process(tmp_path, unused_tcp_port):
        await until(lambda: said(tmp_path))
        assert [path.suffix for path in files(tmp_path)] == [".json"]


async def test_a_write_that_fails_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    async with Exporter(port=0, file_sd_dir=tmp_path) as exporter:
        await until(lambda: value(exporter.instruments, ERRORS))
    assert files(tmp_path) == []


async def test_a_disk_that_hangs_does_not_hold_the_close(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "_CLOSE_SECONDS", 0.05)
    hangs, reached = threading.Event(), threading.Event()
    monkeypatch.setattr(os, "fsync", lambda _: (reached.set(), hangs.wait()))
    async with Exporter(port=0, file_sd_dir=tmp_path):
        await until(reached.is_set)
    hangs.set()
    await until(lambda: not any(thread.name == "argus_exporter.discovery" for thread in threading.enumerate()))
    assert files(tmp_path) == []


async def test_a_system_without_threads_still_serves_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Discovery) -> None:
        raise RuntimeError

    monkeypatch.setattr(Discovery, "start", refuse)
    async with Exporter(port=0, file_sd_dir=tmp_path) as exporter:
        assert exporter.port is not None
        assert value(exporter.instruments, "argus_exporter_collector_errors_total", "exporter") == 1
