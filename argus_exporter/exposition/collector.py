"""Our families, for a registry of prometheus_client. Whoever has one has imported that: nothing here does."""

from __future__ import annotations

import asyncio
import logging
import threading
import typing
from typing import Final

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client import Metric

    from argus_exporter.instruments import Instruments

FRESH_WITHIN: Final = 1.0
"""Seconds that a registry of prometheus_client waits for the event loop to bring the gauges up to date."""

PROCESS_NAMES: Final = frozenset(
    {
        "process_cpu_seconds_total",
        "process_max_fds",
        "process_open_fds",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "process_virtual_memory_bytes",
    }
)
"""What prometheus_client's own ProcessCollector serves. Every REGISTRY has one, so it is left out without a word."""

_log: Final = logging.getLogger(__name__)


class RegistryCollector:
    """Our families for any registry of prometheus_client: ``registry.register(exporter.collector)``.

    Each scrape first brings the gauges up to date, on the event loop's thread; a scrape from another thread waits at
    most :data:`FRESH_WITHIN` for that, and then has the last values. On ``REGISTRY`` it may be registered too: our own
    page leaves it out.

    :param sample: brings the gauges up to date; called on the event loop's thread only.
    :param process: also serve the ``process_*`` that prometheus_client's ProcessCollector has. Every ``REGISTRY`` has
        one (it serves nothing but on Linux), and a registry refuses names that it has already.
    """

    def __init__(self, instruments: Instruments, sample: Callable[[], None], *, process: bool = False) -> None:
        self.instruments: Final = instruments
        self._sample: Final = sample
        self._without: Final = frozenset[str]() if process else PROCESS_NAMES
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fresh: threading.Event | None = None
        self._told = False
        self._closed = False
        self.start()

    def start(self) -> None:
        """Remember the running event loop, where there is one: it is the one that samples."""
        self._loop = _running_loop() or self._loop
        self._closed = False

    def close(self) -> None:
        """Serve nothing until the next start: what was last known is no longer true."""
        self._closed = True

    def describe(self) -> Iterator[Metric]:
        """The families without samples, for the registry's check of names."""
        return (family for family in self.instruments.describe() if self._serves(family))

    def collect(self) -> Iterable[Metric]:
        """The families with their samples, for a registry. Never raises."""
        if self._closed:
            return []
        try:
            self._refresh()
            return [family for family in self.instruments.collect() if self._serves(family)]
        except Exception as error:  # noqa: BLE001 - nothing of ours may raise into the user's scrape
            self._tell(error)
            return []

    def _serves(self, family: Metric) -> bool:
        return family.name not in self._without and f"{family.name}_total" not in self._without

    def _refresh(self) -> None:
        loop = self._loop
        if loop is None or not loop.is_running():
            return
        if _running_loop() is loop:
            self._sample_now()
        else:
            self._ask(loop).wait(FRESH_WITHIN)

    def _ask(self, loop: asyncio.AbstractEventLoop) -> threading.Event:
        """The event of the next sample. While one is on its way there is no other: a stuck loop gathers no more."""
        fresh = self._fresh
        if fresh is None:
            fresh = self._fresh = threading.Event()
            loop.call_soon_threadsafe(self._sample_for, fresh)
        return fresh

    def _sample_for(self, fresh: threading.Event) -> None:
        self._fresh = None
        try:
            self._sample_now()
        finally:
            fresh.set()

    def _sample_now(self) -> None:
        try:
            self._sample()
        except Exception as error:  # noqa: BLE001 - nothing of ours may raise into the user's scrape
            self._tell(error)

    def _tell(self, error: Exception) -> None:
        if not self._told:
            self._told = True
            _log.error("our collector failed in a registry of prometheus_client (not logged again)", exc_info=error)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
