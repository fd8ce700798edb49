"""What the operating system says of the process: the standard ``process_*`` names, on every platform."""

from __future__ import annotations

import logging
import os
import sys
import time
import typing
from typing import ClassVar, Final

from argus_exporter.catalogue import (
    PROCESS_CPU_SECONDS_TOTAL,
    PROCESS_MAX_FDS,
    PROCESS_OPEN_FDS,
    PROCESS_RESIDENT_MEMORY_BYTES,
    PROCESS_START_TIME_SECONDS,
    PROCESS_THREADS,
    PROCESS_VIRTUAL_MEMORY_BYTES,
    Gauge,
)
from argus_exporter.collectors.base import Collector

if typing.TYPE_CHECKING:
    from collections.abc import Callable

    import psutil

    from argus_exporter.collectors.base import Context
    from argus_exporter.instruments import GaugeCell

if sys.platform != "win32":
    import resource

_log: Final = logging.getLogger(__name__)

Values = tuple[float | None, ...]


def _start_time(process: psutil.Process) -> Values:
    return (process.create_time(),)


def _memory(process: psutil.Process) -> Values:
    memory = process.memory_info()
    return memory.rss, memory.vms


def _open_fds(process: psutil.Process) -> Values:
    if sys.platform == "win32":
        return (process.num_handles(),)
    return (_counted_by_the_kernel() or process.num_fds(),)


def _counted_by_the_kernel() -> int:
    """Open descriptors without a walk over them: Linux 6.2 and later say it as the size of the directory, others 0."""
    return os.stat("/proc/self/fd").st_size if sys.platform == "linux" else 0  # noqa: PTH116 - a third of the time


def _max_fds(_: psutil.Process) -> Values:
    if sys.platform == "win32":
        return (None,)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return (None if limit == resource.RLIM_INFINITY else limit,)


def _threads(process: psutil.Process) -> Values:
    return (process.num_threads(),)


class Read(typing.NamedTuple):
    """What is read in one go, and the gauges that it fills."""

    gauges: tuple[Gauge, ...]
    read: Callable[[psutil.Process], Values]


AT_START: Final = (Read((PROCESS_START_TIME_SECONDS,), _start_time),)
AT_EACH_SAMPLE: Final = (
    Read((PROCESS_RESIDENT_MEMORY_BYTES, PROCESS_VIRTUAL_MEMORY_BYTES), _memory),
    Read((PROCESS_OPEN_FDS,), _open_fds),
    Read((PROCESS_MAX_FDS,), _max_fds),
    Read((PROCESS_THREADS,), _threads),
)


class ProcessCollector(Collector):
    """Reads the process's own figures, about 0.1 ms a sample.

    What the system refuses to tell (a sandbox, a missing ``/proc``) is said once in the log; its gauges are absent from
    the page until the system tells again. The CPU time is Python's ``process_time``, which has the same clock on every
    platform and a finer tick than psutil's.
    """

    noun: ClassVar[str] = "process"

    def __init__(self, context: Context) -> None:
        instruments = context.instruments
        self._cpu = instruments.counter(PROCESS_CPU_SECONDS_TOTAL).labels()
        self._gauges: dict[Read, tuple[GaugeCell, ...]] = {
            read: tuple(instruments.gauge(gauge).labels() for gauge in read.gauges)
            for read in (*AT_START, *AT_EACH_SAMPLE)
        }
        self._refused: set[Read] = set()
        self._process: psutil.Process | None = None

    def start(self) -> None:
        """Find the process and read what does not change.

        :raises psutil.Error: if the system does not let the process see itself at all.
        """
        import psutil  # noqa: PLC0415 - only where it is on

        self._process = psutil.Process()
        self._fill(AT_START, self._process)

    def sample(self) -> None:
        """Read the figures."""
        self._cpu.value = max(self._cpu.value, time.process_time())
        if self._process is not None:
            self._fill(AT_EACH_SAMPLE, self._process)

    def _fill(self, reads: tuple[Read, ...], process: psutil.Process) -> None:
        for read in reads:
            for cell, value in zip(self._gauges[read], self._ask(read, process), strict=True):
                cell.set(value)

    def _ask(self, read: Read, process: psutil.Process) -> Values:
        try:
            return read.read(process)
        except Exception as error:  # noqa: BLE001 - psutil lets through whatever a strange /proc makes it raise
            self._say_once(read, error)
            return (None,) * len(read.gauges)

    def _say_once(self, read: Read, error: Exception) -> None:
        if read not in self._refused:
            self._refused.add(read)
            names = ", ".join(gauge.name for gauge in read.gauges)
            _log.warning("%s: absent, the system does not tell: %s: %s", names, type(error).__name__, error)
