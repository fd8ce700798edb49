"""The file that tells Prometheus where this process is: an entry of its ``file_sd_configs``.

Source of what such a file may hold: prometheus/prometheus, discovery/targetgroup (JSON, no unknown keys). Labels that
begin with ``__meta_`` are there for relabelling, and are gone after it; by ours the next process of this machine sees
whose file it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import json
import logging
import os
import re
import socket
import sys
import threading
import time
import typing
import uuid
from pathlib import Path
from typing import Final, NamedTuple, Self

import psutil

from argus_exporter.catalogue import FILE_SD_ERRORS_TOTAL, FILE_SD_LAST_REFRESH_TIMESTAMP_SECONDS
from argus_exporter.settings import bracketed

if typing.TYPE_CHECKING:
    from collections.abc import Callable

    from argus_exporter.instruments import Instruments

REFRESH_SECONDS: Final = 30.0
"""Between two looks at the file; its time of change is what ``prometheus_sd_file_mtime_seconds`` shows."""

RETRY_SECONDS: Final = 2.0
"""Between two attempts while there is no port yet, or no file can be written."""

LEASE_SECONDS: Final = 3600.0
"""How long nobody may have refreshed a file before that alone says that its process is gone."""

_CLOSE_SECONDS: Final = 2.0
_PIDS: Final = 2**31
_PREFIX: Final = "argus_exporter"
_META: Final = "__meta_argus_exporter_"

_log: Final = logging.getLogger(__name__)


class Owner(NamedTuple):
    """The process that a file belongs to.

    :param host: the machine's name.
    :param scope: within which a process' number means something: the machine since its start, a container.
    :param start: what tells a process from a later one of the same number.
    """

    host: str
    scope: str
    pid: str
    start: str

    @classmethod
    def this(cls) -> Self:
        """Of the process that runs this."""
        return cls(socket.gethostname(), _scope(), str(os.getpid()), _start_of(os.getpid()))

    @classmethod
    def of(cls, path: Path) -> Self | None:
        """Whose file it is; None for one that is not ours to read, or none of this package."""
        try:
            labels = json.loads(path.read_bytes())[0]["labels"]
            owner = cls(*[str(labels[f"{_META}{field}"]) for field in cls._fields])
            return owner if 0 < int(owner.pid) < _PIDS else None
        except (OSError, ValueError, LookupError, TypeError):
            return None

    @property
    def labels(self) -> dict[str, str]:
        """As labels of a target."""
        return {f"{_META}{name}": value for name, value in self._asdict().items()}

    def is_gone(self) -> bool:
        """Whether it has ended; only to be asked within its own scope."""
        return _start_of(int(self.pid)) not in {self.start, "?"}


class Discovery:
    """Keeps the file of one exporter, in a thread of its own, for a disk may take its time or hang.

    It is written whole under another name, which Prometheus does not read, and then renamed. What processes of this
    machine have left that are gone is removed when the file is written first, for this may be the successor of one; or
    when nobody has refreshed it for :data:`LEASE_SECONDS`. Until then it stays a target that is down, which somebody
    should hear of. Whatever the world refuses is counted, said once, and tried again.

    :param port: tells the port that is bound, from any thread; None while there is none.
    """

    def __init__(self, settings: Place, instruments: Instruments, port: Callable[[], int | None]) -> None:
        self._settings: Final = settings
        self._constant: Final = instruments.constant
        self._port: Final = port
        self._errors: Final = instruments.counter(FILE_SD_ERRORS_TOTAL).labels()
        self._refreshed: Final = instruments.gauge(FILE_SD_LAST_REFRESH_TIMESTAMP_SECONDS).labels()
        self._failing = self._swept = False
        self._kept: tuple[Path, bytes] | None = None
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Write the file as soon as there is a port.

        :raises RuntimeError: if the system gives no thread.
        """
        self._swept, self._closed = False, threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(self._closed,), name="argus_exporter.discovery", daemon=True
        )
        self._thread.start()

    async def close(self) -> None:
        """Remove the file; a disk that hangs is not waited for."""
        thread, self._thread = self._thread, None
        self._closed.set()
        deadline = time.monotonic() + _CLOSE_SECONDS
        while thread is not None and thread.is_alive() and time.monotonic() < deadline:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.001)

    # ------------------------------------------------------------------------------------- in the thread

    def _run(self, closed: threading.Event) -> None:
        pause = 0.0
        while not closed.wait(pause):
            pause = REFRESH_SECONDS if self._attempt(self._refresh) else RETRY_SECONDS
        self._attempt(self._remove)

    def _attempt(self, act: Callable[[], bool]) -> bool:
        """Say whether the file is there, and right."""
        try:
            kept = act()
        except Exception as error:  # noqa: BLE001 - nearly always an OSError; nothing may end the thread
            self._errors.value += 1
            if not self._failing:
                _log.warning("%s: cannot keep the file for Prometheus, goes on trying: %s", self._folder, error)
            self._failing = True
            return False
        if self._failing and kept:
            self._failing = False
            _log.info("%s: the file for Prometheus is kept again", self._folder)
        return kept

    def _refresh(self) -> bool:
        port = self._port()
        if port is None:
            return False
        path, body = self._kept = self._file(port)
        if not _touched(path, body):
            _write(path, body)
        self._refreshed.value = time.time()
        with contextlib.suppress(FileNotFoundError):  # removed again already: the next look sees it
            self._sweep(path.stat().st_mtime)
        self._swept = True
        return True

    def _remove(self) -> bool:
        if self._kept is None:
            return False
        path, body = self._kept
        if _content(path) == body:  # or else somebody has taken over
            path.unlink(missing_ok=True)
        self._refreshed.value = None
        return False

    def _sweep(self, now: float) -> None:
        """Remove what processes of this machine have left that are gone.

        :param now: by the clock of the file system, which may be another machine's.
        """
        name = re.compile(re.escape(self._stem) + r"-.+-\d+\.json(?P<half>\.tmp)?\Z")
        for path in self._folder.glob(f"{self._stem}-*"):
            found = name.match(path.name)
            with contextlib.suppress(OSError):  # it is gone already, or not ours to remove
                if found and self._is_stale(path, half=bool(found["half"]), age=now - path.stat().st_mtime):
                    path.unlink()
                    _log.info("removed %s: its process is gone", path)

    def _is_stale(self, path: Path, *, half: bool, age: float) -> bool:
        if half:
            return age > LEASE_SECONDS
        owner = Owner.of(path)
        if owner is None or owner.host != self._owner.host:
            return False
        if owner.scope != self._owner.scope:
            return age > LEASE_SECONDS
        return owner.is_gone() and (age > LEASE_SECONDS or not self._swept)

    # ------------------------------------------------------------------------------------- what it says

    @functools.cached_property
    def _owner(self) -> Owner:
        """Asked for in the thread: some systems start a program to tell which machine this is."""
        return Owner.this()

    @property
    def _folder(self) -> Path:
        assert self._settings.file_sd_dir is not None  # noqa: S101 - made only where it is set
        return self._settings.file_sd_dir

    @property
    def _stem(self) -> str:
        return f"{_PREFIX}-{_safe(self._owner.host)}"

    def _file(self, port: int) -> tuple[Path, bytes]:
        target = {"targets": [f"{bracketed(_address(self._settings))}:{port}"], "labels": self._labels()}
        # by what is listened on, which only one of a machine's processes can have
        name = f"{self._stem}-{_safe(self._settings.host)}-{port}.json"
        return self._folder / name, json.dumps([target], indent=1).encode() + b"\n"

    def _labels(self) -> dict[str, str]:
        path, secure = self._settings.metrics_path, self._settings.tls_cert is not None
        special = {"__metrics_path__": path if path != "/metrics" else "", "__scheme__": "https" if secure else ""}
        return {**self._constant, **{name: value for name, value in special.items() if value}, **self._owner.labels}


class Place(typing.Protocol):
    """What is read of the settings."""

    @property
    def host(self) -> str:
        """What is listened on."""
        ...

    @property
    def metrics_path(self) -> str:
        """Where the metrics are."""
        ...

    @property
    def tls_cert(self) -> Path | None:
        """Whether it is https."""
        ...

    @property
    def file_sd_dir(self) -> Path | None:
        """Where the file is kept."""
        ...

    @property
    def file_sd_host(self) -> str | None:
        """How Prometheus reaches this machine; None where that is to be guessed."""
        ...


def _address(settings: Place) -> str:
    return settings.file_sd_host or (socket.gethostname() if _is_every(settings.host) else settings.host)


def _is_every(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "_", text)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _touched(path: Path, body: bytes) -> bool:
    """Whether the file is there and right; then its time says when that was seen."""
    try:
        if _content(path) != body:
            return False
        os.utime(path)
    except FileNotFoundError:  # somebody removes it right now
        return False
    return True


def _write(path: Path, body: bytes) -> None:
    beside = path.with_name(f"{path.name}.tmp")
    beside.unlink(missing_ok=True)
    try:
        # "x": in a folder that all may write to, nobody has put a link there
        with beside.open("xb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def _scope() -> str:
    """Linux: the kernel since its start, and the namespace in which processes have their numbers; else the machine."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return f"{uuid.getnode():x}"


def _start_of(pid: int) -> str:
    """When a process began, in whatever does not change while it runs; "" if it has ended, "?" if nobody may know."""
    if sys.platform != "linux":
        return _start_by_psutil(pid)
    try:
        os.kill(pid, 0)  # it knows of processes that /proc hides
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "?"
    state, *fields = text.rpartition(")")[2].split()
    return "" if state in "ZX" else fields[18]  # by the kernel's own clock, which nobody sets: see proc(5)


def _start_by_psutil(pid: int) -> str:
    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.NoSuchProcess:
        return ""
    except psutil.Error:
        return "?"
