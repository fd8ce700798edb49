"""The process's figures, held against prometheus_client's own and against the system."""

from __future__ import annotations

import logging
import os
import sys
import time
import typing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client import ProcessCollector as Theirs

from argus_exporter.collectors import process as room
from argus_exporter.collectors.base import Context
from argus_exporter.collectors.process import ProcessCollector
from argus_exporter.instruments import Instruments
from argus_exporter.settings import Settings

if typing.TYPE_CHECKING:
    from collections.abc import Callable

NAMES = [
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_virtual_memory_bytes",
    "process_start_time_seconds",
    "process_open_fds",
    "process_max_fds",
    "process_threads",
]


class Page:
    def __init__(self) -> None:
        instruments = Instruments()
        self.collector = ProcessCollector(Context(instruments, Settings()))
        self.registry = CollectorRegistry()
        self.registry.register(instruments)

    def value(self, name: str) -> float | None:
        self.collector.sample()
        return self.registry.get_sample_value(name)

    def values(self) -> dict[str, float | None]:
        self.collector.sample()
        return {name: self.registry.get_sample_value(name) for name in NAMES}


@pytest.fixture
def page() -> Page:
    page = Page()
    page.collector.start()
    return page


def absent(values: dict[str, float | None]) -> set[str]:
    return {name for name, value in values.items() if value is None}


@pytest.mark.skipif(sys.platform != "linux", reason="prometheus_client knows the process on Linux only")
def test_names_types_and_values_are_those_of_prometheus_client(page: Page) -> None:
    registry = CollectorRegistry()
    Theirs(registry=registry)
    ours = page.values()
    theirs = {name: registry.get_sample_value(name) for name in NAMES if name != "process_threads"}
    tolerance = {
        "process_cpu_seconds_total": 0.2,
        "process_resident_memory_bytes": 20_000_000,
        "process_virtual_memory_bytes": 20_000_000,
        "process_start_time_seconds": 1,
        "process_open_fds": 2,
        "process_max_fds": 0,
    }
    assert {name: ours[name] for name in theirs} == {
        name: pytest.approx(value, rel=0, abs=tolerance[name]) for name, value in theirs.items()
    }
    page.collector.sample()
    types = {family.name: family.type for family in page.registry.collect()}
    assert types.items() >= {family.name: family.type for family in registry.collect()}.items()


def test_every_name_is_there(page: Page) -> None:
    without = {"process_max_fds"} if sys.platform == "win32" else set[str]()
    assert absent(page.values()) == without


def test_the_threads_are_the_systems(page: Page) -> None:
    assert page.value("process_threads") == psutil.Process().num_threads()


def test_an_opened_file_is_seen(page: Page) -> None:
    before = page.value("process_open_fds")
    with Path(__file__).open(), Path(__file__).open():
        during = page.value("process_open_fds")
    assert before is not None
    assert during == before + 2


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_without_the_kernels_count_the_descriptors_are_walked(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = page.value("process_open_fds")
    monkeypatch.setattr(room, "_counted_by_the_kernel", lambda: 12345)
    assert page.value("process_open_fds") == 12345
    monkeypatch.setattr(room, "_counted_by_the_kernel", lambda: 0)
    walked = page.value("process_open_fds")
    assert quick is not None
    assert walked == pytest.approx(quick, abs=2)
    # psutil's walk opens a descriptor of its own, as prometheus_client's does
    assert walked == psutil.Process().num_fds()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_the_kernels_count_is_the_number_of_descriptors() -> None:
    counted = room._counted_by_the_kernel()
    release = tuple(int(part) for part in os.uname().release.split(".")[:2])
    walked = len(os.listdir("/proc/self/fd")) - 1  # noqa: PTH208 - the listing itself opens one
    assert counted == (walked if release >= (6, 2) else 0)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_no_limit_of_descriptors_is_no_number(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert page.value("process_max_fds") == soft
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert page.value("process_max_fds") is None


def test_the_cpu_time_rises_with_work_and_never_falls(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    before = page.value("process_cpu_seconds_total")
    assert before is not None
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass
    after = page.value("process_cpu_seconds_total")
    assert after is not None
    assert after >= before + 0.1
    monkeypatch.setattr(time, "process_time", lambda: 0.0)
    assert page.value("process_cpu_seconds_total") == after


REFUSALS: list[tuple[str, set[str]]] = [
    ("memory_info", {"process_resident_memory_bytes", "process_virtual_memory_bytes"}),
    ("num_threads", {"process_threads"}),
    ("num_handles" if sys.platform == "win32" else "num_fds", {"process_open_fds"}),
]


@pytest.mark.parametrize(("method", "names"), REFUSALS)
@pytest.mark.parametrize("error", [psutil.AccessDenied(1), FileNotFoundError("/proc"), NotImplementedError()])
def test_what_the_system_refuses_is_absent_and_the_rest_is_right(
    method: str,
    names: set[str],
    error: Exception,
    page: Page,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(process: psutil.Process) -> None:
        raise error

    monkeypatch.setattr(room, "_counted_by_the_kernel", lambda: 0)
    whole = absent(page.values())
    with monkeypatch.context() as patched:
        patched.setattr(psutil.Process, method, refuse)
        assert absent(page.values()) == names | whole
        page.collector.sample()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert all(name in record.getMessage() for name in names)
    assert type(error).__name__ in record.getMessage()
    assert absent(page.values()) == whole


def test_a_refused_start_time_is_absent_and_the_rest_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    page = Page()
    page.collector.start()
    whole = absent(page.values())
    refused = Page()

    def refuse(process: psutil.Process) -> float:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil.Process, "create_time", refuse)
    refused.collector.start()
    assert absent(refused.values()) == {"process_start_time_seconds"} | whole


def test_the_start_time_is_read_once(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    started = page.value("process_start_time_seconds")
    assert started is not None
    assert started <= time.time()
    monkeypatch.setattr(psutil.Process, "create_time", lambda _: 1.0)
    assert page.value("process_start_time_seconds") == started


def test_without_a_start_there_is_only_the_cpu_time() -> None:
    values = Page().values()
    assert values.pop("process_cpu_seconds_total")
    assert absent(values) == set(values)


async def test_a_close_gives_nothing_back_and_a_new_start_goes_on(page: Page) -> None:
    await page.collector.close()
    page.collector.start()
    assert page.value("process_threads")


WINDOWS: dict[str, Callable[[Any], room.Values]] = {"handles": room._open_fds, "limit": room._max_fds}


@pytest.mark.parametrize(("what", "expected"), [("handles", (77,)), ("limit", (None,))])
def test_on_windows_handles_are_counted_and_have_no_limit(
    what: str, expected: room.Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert WINDOWS[what](SimpleNamespace(num_handles=lambda: 77)) == expected


def test_a_sample_is_cheap(page: Page) -> None:
    fastest = min(_seconds(page.collector.sample) for _ in range(200))
    assert fastest < 0.001


def _seconds(call: Callable[[], None]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
