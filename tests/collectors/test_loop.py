"""The loop's figures on real loops, asyncio's and uvloop's, with lazy tasks and eager ones."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import logging
import sys
import threading
import time
import typing
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from argus_exporter.collectors import loop as room
from argus_exporter.collectors.base import Context
from argus_exporter.collectors.loop import BEAT_SECONDS, LoopCollector, TaskCount
from argus_exporter.instruments import Instruments
from argus_exporter.settings import Settings

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

pytestmark = pytest.mark.flaky(reruns=2, only_rerun=["AssertionError", "TimeoutError"])
"""A machine that stands still by itself for a moment spoils one run; a mistake spoils them all."""

Run = typing.Callable[["Coroutine[Any, Any, None]"], None]
LOGGER = "argus_exporter.watchdog"


def uvloop_loop() -> asyncio.AbstractEventLoop:
    uvloop = pytest.importorskip("uvloop", reason="uvloop is not there on this platform")
    made: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return made


def eager_loop() -> asyncio.AbstractEventLoop:
    if sys.version_info < (3, 12):
        pytest.skip("eager tasks came with Python 3.12")
    made = asyncio.new_event_loop()
    made.set_task_factory(asyncio.eager_task_factory)
    return made


@pytest.fixture(params=[asyncio.new_event_loop, uvloop_loop, eager_loop], ids=["asyncio", "uvloop", "eager"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs a coroutine on a loop of each kind."""
    make: Callable[[], asyncio.AbstractEventLoop] = request.param
    loop = make()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        yield runner.run


class Page:
    """What a registry of prometheus_client reads from a collector."""

    def __init__(self, **options: Any) -> None:
        self.instruments = Instruments()
        self.collector = LoopCollector(Context(self.instruments, Settings(**options)))
        self._registry = CollectorRegistry()
        self._registry.register(self.instruments)

    def value(self, name: str, **labels: str) -> float:
        found = self._registry.get_sample_value(name, labels)
        assert found is not None
        return found

    @property
    def observations(self) -> float:
        return self.value("discord_event_loop_lag_seconds_count")

    @property
    def stalls(self) -> float:
        """Observations of more than half a second."""
        return self.observations - self.value("discord_event_loop_lag_seconds_bucket", le="0.5")

    @property
    def blocked(self) -> float:
        return self.value("discord_event_loop_blocked_seconds_total")

    @property
    def tasks(self) -> float:
        self.collector.sample()
        return self.value("discord_asyncio_tasks")

    @property
    def errors(self) -> float:
        return self.value("argus_exporter_collector_errors_total", collector="loop")


@contextlib.asynccontextmanager
async def started(**options: Any) -> AsyncIterator[Page]:
    page = Page(**{"stall_seconds": 3600, **options})
    page.collector.start()
    try:
        yield page
    finally:
        await page.collector.close()


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


async def more_observations(page: Page, number: int = 2) -> None:
    then = page.observations
    await until(lambda: page.observations >= then + number)


def block(seconds: float) -> float:
    """Stand still; how long it was."""
    began = time.monotonic()
    time.sleep(seconds)
    return time.monotonic() - began


def test_a_stall_right_before_a_scrape_shows_in_it_and_is_counted_once(run: Run) -> None:
    async def scenario() -> None:
        async with started() as page:
            await more_observations(page)
            assert page.stalls == page.blocked == 0
            length = block(0.7)
            page.collector.sample()
            assert page.stalls == 1
            assert length - BEAT_SECONDS - 0.01 <= page.blocked <= length + 0.2
            blocked = page.blocked
            page.collector.sample()
            await more_observations(page)
            assert (page.stalls, page.blocked) == (1, blocked)

    run(scenario())


def test_a_stall_between_two_scrapes_is_seen_by_the_timer_once(run: Run) -> None:
    async def scenario() -> None:
        async with started() as page:
            await more_observations(page)
            length = block(0.7)
            await until(lambda: page.stalls)
            assert length - BEAT_SECONDS - 0.01 <= page.blocked <= length + 0.2
            blocked = page.blocked
            page.collector.sample()
            await more_observations(page)
            assert (page.stalls, page.blocked) == (1, blocked)

    run(scenario())


async def test_a_stall_of_half_a_second_shows_wherever_between_two_beats_it_begins() -> None:
    async with started() as page:
        for step in range(4):
            await asyncio.sleep(BEAT_SECONDS * step / 4)
            before = page.blocked, page.value("discord_event_loop_lag_seconds_bucket", le="0.25"), page.observations
            block(0.5)
            page.collector.sample()
            assert page.blocked - before[0] >= 0.5 - BEAT_SECONDS
            late = page.observations - page.value("discord_event_loop_lag_seconds_bucket", le="0.25")
            assert late - (before[2] - before[1]) == 1


async def test_a_stall_before_the_first_observation_shows() -> None:
    async with started() as page:
        block(0.6)
        page.collector.sample()
        assert page.stalls == 1


async def test_a_block_shorter_than_a_stall_is_lag_and_left_to_the_timer() -> None:
    async with started() as page:
        await more_observations(page)
        then = page.observations
        block(0.3)
        page.collector.sample()
        assert page.observations == then
        await more_observations(page, 1)
        over = page.observations - page.value("discord_event_loop_lag_seconds_bucket", le="0.1")
        assert over >= 1
        assert page.blocked == 0


async def test_stalls_add_up() -> None:
    async with started() as page:
        length = block(0.6)
        await until(lambda: page.blocked)
        length += block(0.6)
        page.collector.sample()
        assert length - 2 * BEAT_SECONDS - 0.02 <= page.blocked <= length + 0.2
        assert page.stalls == 2
        assert page.value("discord_event_loop_lag_seconds_sum") >= page.blocked


def test_the_lag_is_observed_four_times_a_second(run: Run) -> None:
    async def scenario() -> None:
        async with started() as page:
            await more_observations(page, 1)
            times: list[float] = []
            for _ in range(4):
                await more_observations(page, 1)
                times.append(time.monotonic())
            assert times[-1] - times[0] >= 3 * 0.2
            assert page.value("discord_event_loop_lag_seconds_sum") >= 0

    run(scenario())


async def test_a_quiet_second_has_about_four_observations() -> None:
    shortest = []
    async with started() as page:
        await more_observations(page, 1)
        for _ in range(5):
            began = time.monotonic()
            await more_observations(page, 1)
            shortest.append(time.monotonic() - began)
    assert 0.2 <= min(shortest) <= 0.3


async def test_timers_that_ring_a_tick_too_soon_put_no_observation_off(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    async with started() as page:
        running = page.collector._running
        assert running is not None
        running.cancel()
        running.next_sample = now
        monkeypatch.setattr(room, "time", SimpleNamespace(monotonic=lambda: now))
        seen: list[float] = []
        for _ in range(7):
            page.collector._beat(running)
            running.cancel()
            seen.append(page.observations)
            now += BEAT_SECONDS - 0.005
    assert seen == [1, 1, 1, 2, 2, 2, 3]


async def test_a_scrape_that_accounts_for_a_stall_leaves_one_timer() -> None:
    loop = asyncio.get_running_loop()

    def timers() -> int:
        return len([handle for handle in vars(loop)["_scheduled"] if not handle.cancelled()])

    async with started() as page:
        assert timers() == 1
        block(0.6)
        page.collector.sample()
        assert page.blocked
        assert timers() == 1


async def test_the_beat_is_no_slower_than_stall_seconds() -> None:
    async with started(stall_seconds=0.05) as page:
        running = page.collector._running
        assert running is not None
        assert running._handle is not None
        assert running._handle.when() <= asyncio.get_running_loop().time() + 0.05


def test_the_stack_of_a_stall_is_logged(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    def block_the_whole_bot() -> None:
        time.sleep(0.7)

    async def scenario() -> None:
        async with started(stall_seconds=0.3):
            await asyncio.sleep(0.1)
            block_the_whole_bot()

    run(scenario())
    (record,) = [record for record in caplog.records if record.name == LOGGER and record.levelno == logging.WARNING]
    assert "in block_the_whole_bot" in record.getMessage()


class Broken(logging.Handler):
    def handle(self, record: logging.LogRecord) -> bool:
        raise OSError


async def test_an_exception_in_the_watchdog_is_counted_once() -> None:
    handler = Broken()
    logging.getLogger(LOGGER).addHandler(handler)
    try:
        async with started(stall_seconds=0.1) as page:
            block(0.5)
            page.collector.sample()
            page.collector.sample()
            assert page.errors == 1
            block(0.5)
        assert page.errors >= 2
    finally:
        logging.getLogger(LOGGER).removeHandler(handler)


# ---------------------------------------------------------------------------------------------- tasks


async def forever() -> None:
    await asyncio.Event().wait()


async def nothing() -> None: ...


def test_the_tasks_are_those_that_are_not_done(run: Run) -> None:
    async def scenario() -> None:
        async with started() as page:
            assert page.tasks == 1
            waiting = [asyncio.create_task(forever()) for _ in range(7)]
            done = [asyncio.create_task(nothing()) for _ in range(5)]
            await asyncio.gather(*done)
            assert page.tasks == 8
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            assert page.tasks == 1

    run(scenario())


def test_a_scrape_within_the_first_step_of_a_task_counts_that_task(run: Run) -> None:
    async def scenario() -> None:
        async with started() as page:

            async def scrape() -> float:
                return page.tasks

            assert await asyncio.create_task(scrape()) == 2

    run(scenario())


async def test_tasks_of_another_loop_are_not_counted() -> None:
    ready, end = threading.Event(), threading.Event()

    async def other() -> None:
        tasks = [asyncio.create_task(forever()) for _ in range(20)]
        await asyncio.sleep(0)
        ready.set()
        await asyncio.to_thread(end.wait, 20)
        for task in tasks:
            task.cancel()

    thread = threading.Thread(target=asyncio.run, args=(other(),))
    thread.start()
    try:
        await asyncio.to_thread(ready.wait, 20)
        async with started() as page:
            assert page.tasks == 1
    finally:
        end.set()
        await asyncio.to_thread(thread.join)


class Walks:
    """Counts how often asyncio is asked for all its tasks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.number = 0
        self._all_tasks = asyncio.all_tasks
        monkeypatch.setattr(asyncio, "all_tasks", self)

    def __call__(self, loop: asyncio.AbstractEventLoop) -> set[asyncio.Task[Any]]:
        self.number += 1
        return self._all_tasks(loop)


def test_many_tasks_are_walked_once_a_minute_and_followed_in_between(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        walks = Walks(monkeypatch)
        finished = [asyncio.create_task(nothing()) for _ in range(300)]
        await asyncio.gather(*finished)
        waiting = [asyncio.create_task(forever()) for _ in range(700)]
        await asyncio.sleep(0)
        gc.collect()
        count = TaskCount(asyncio.get_running_loop())
        assert [count.count(), count.count()] == [701, 701]
        waiting += [asyncio.create_task(forever()) for _ in range(50)]
        assert count.count() == 751
        assert walks.number == 1
        count._next_recount = time.monotonic()
        finished += [asyncio.create_task(nothing()) for _ in range(10)]
        await asyncio.gather(*finished)
        assert [count.count(), count.count()] == [751, 751]
        assert walks.number == 2
        for task in waiting:
            task.cancel()

    run(scenario())


async def test_a_recount_is_not_before_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "EXACT_TASKS", 0)
    count = TaskCount(asyncio.get_running_loop())
    count.count()
    assert 59 <= count._next_recount - time.monotonic() <= 60


async def test_very_many_tasks_are_never_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "EXACT_TASKS", 10)
    monkeypatch.setattr(room, "MOST_TASKS", 20)
    gc.collect()
    walks = Walks(monkeypatch)
    count = TaskCount(asyncio.get_running_loop())
    waiting = [asyncio.create_task(forever()) for _ in range(30)]
    assert count.count() >= 31
    assert walks.number == 0
    for task in waiting:
        task.cancel()


def sets_of_nothing() -> tuple[list[None], ...]:
    return ([],)


@pytest.mark.parametrize("sets", [tuple[()], sets_of_nothing], ids=["no sets", "sets that miss tasks"])
async def test_an_unknown_layout_of_asyncio_gives_exact_numbers(
    sets: Callable[[], tuple[list[None], ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_sets_of_tasks", sets)
    walks = Walks(monkeypatch)
    count = TaskCount(asyncio.get_running_loop())
    assert count.count() == 1
    waiting = [asyncio.create_task(forever()) for _ in range(room.EXACT_TASKS + 1)]
    assert count.count() == room.EXACT_TASKS + 2
    waiting += [asyncio.create_task(forever()) for _ in range(5)]
    assert count.count() == room.EXACT_TASKS + 2
    assert walks.number == 2
    monkeypatch.setattr(room, "MOST_TASKS", 1)
    count._next_recount = 0
    assert count.count() == room.EXACT_TASKS + 7
    for task in waiting:
        task.cancel()


def test_this_python_says_how_many_task_objects_there_are() -> None:
    if sys.version_info >= (3, 14):
        pytest.skip("Python 3.14 keeps its tasks in lists that have no length")
    assert len(room._sets_of_tasks()) == (2 if sys.version_info >= (3, 12) else 1)


def test_a_layout_is_only_used_where_all_of_it_is_there() -> None:
    assert room._sets_of_tasks(SimpleNamespace(_all_tasks={1})) == ({1},)
    assert room._sets_of_tasks(SimpleNamespace(_scheduled_tasks={1}, _eager_tasks={2})) == ({1}, {2})
    assert room._sets_of_tasks(SimpleNamespace(_eager_tasks={2})) == ()
    assert room._sets_of_tasks(SimpleNamespace(_scheduled_tasks=1, _eager_tasks={2})) == ()
    assert room._sets_of_tasks(SimpleNamespace()) == ()


# ---------------------------------------------------------------------------------------------- life


def test_close_leaves_nothing_after_a_thousand_starts(run: Run) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        threads = set(threading.enumerate())
        page = Page()
        for _ in range(1000):
            page.collector.start()
            await page.collector.close()
        assert set(threading.enumerate()) == threads
        await asyncio.sleep(2 * BEAT_SECONDS)
        assert not [handle for handle in getattr(loop, "_scheduled", []) if not handle.cancelled()]
        then = page.observations
        await asyncio.sleep(0.6)
        assert page.observations == then
        gone = weakref.ref(page.collector)
        del page
        gc.collect()
        assert gone() is None

    run(scenario())


async def test_a_collector_starts_again_after_it_was_closed() -> None:
    async with started() as page:
        block(0.6)
    page.collector.start()
    try:
        await more_observations(page)
        assert page.tasks == 1
    finally:
        await page.collector.close()


async def test_a_sample_without_a_start_and_after_a_close_does_nothing() -> None:
    page = Page()
    page.collector.sample()
    await page.collector.close()
    page.collector.start()
    await page.collector.close()
    block(0.6)
    page.collector.sample()
    assert page.observations == page.blocked == page.errors == 0


async def test_a_refused_thread_leaves_nothing_when_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        msg = "can't start new thread"
        raise RuntimeError(msg)

    page = Page()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            page.collector.start()
    await page.collector.close()
    await asyncio.sleep(0.6)
    assert page.observations == 0


class Held: ...


async def test_the_context_of_the_starter_is_not_kept_alive() -> None:
    variable: contextvars.ContextVar[Held] = contextvars.ContextVar("variable")
    page = Page()

    def start() -> weakref.ref[Held]:
        held = Held()
        variable.set(held)
        page.collector.start()
        return weakref.ref(held)

    held = contextvars.Context().run(start)
    await more_observations(page)
    gc.collect()
    assert held() is None
    await page.collector.close()
