"""How late the event loop runs, how long it stood still, and how many tasks it has."""

from __future__ import annotations

import asyncio
import contextvars
import time
import typing
from collections.abc import Sized
from typing import ClassVar, Final

from argus_exporter.catalogue import (
    ASYNCIO_TASKS,
    COLLECTOR_ERRORS_TOTAL,
    EVENT_LOOP_BLOCKED_SECONDS_TOTAL,
    EVENT_LOOP_LAG_SECONDS,
)
from argus_exporter.collectors.base import Collector
from argus_exporter.collectors.watchdog import Watchdog

if typing.TYPE_CHECKING:
    from argus_exporter.collectors.base import Context

SAMPLE_SECONDS: Final = 0.25
"""Between two observations of the lag."""

BEAT_SECONDS: Final = SAMPLE_SECONDS / 3
"""Between two beats of the timer: what a stall may be longer than it is measured."""

STALL_SECONDS: Final = 0.5
"""What counts as a stall."""

EXACT_TASKS: Final = 500
"""So many tasks are counted one by one at every sample (measured: 0.2 ms)."""

MOST_TASKS: Final = 10_000
"""So many are counted one by one once in ``RECOUNT_SECONDS`` (measured: 4 ms); more never."""

RECOUNT_SECONDS: Final = 60.0


class LoopCollector(Collector):
    """A chain of timers on the loop, no task, and a thread that logs what blocks it (:class:`Watchdog`).

    The timer beats every ``BEAT_SECONDS``, or ``stall_seconds`` if that is shorter. Every third beat observes by how
    much it was late, and so does each beat that was late by ``SAMPLE_SECONDS``: every stall is one observation. A stall
    begins somewhere between two beats, so it is measured from 0 to ``BEAT_SECONDS`` shorter than it was, never longer.
    What was measured as ``STALL_SECONDS`` less that error counts as a stall: one of half a second always does, one
    shorter than 0.42 s never.

    A stall right before a sample is in that sample, though its timer has not run yet. Suspended machines: see
    :class:`Watchdog`.
    """

    noun: ClassVar[str] = "loop"

    def __init__(self, context: Context) -> None:
        self._lag = context.instruments.histogram(EVENT_LOOP_LAG_SECONDS).labels()
        self._blocked = context.instruments.counter(EVENT_LOOP_BLOCKED_SECONDS_TOTAL).labels()
        self._tasks = context.instruments.gauge(ASYNCIO_TASKS).labels()
        self._errors = context.instruments.counter(COLLECTOR_ERRORS_TOTAL).labels(self.noun)
        self._stall_seconds = context.settings.stall_seconds
        self._period = min(BEAT_SECONDS, self._stall_seconds)
        self._running: _Running | None = None

    def start(self) -> None:
        """Start the timer and the watchdog's thread.

        :raises RuntimeError: if the system gives no thread.
        """
        loop = asyncio.get_running_loop()
        self._running = _Running(loop, Watchdog(loop, self._stall_seconds))
        self._beat(self._running)
        self._running.watchdog.start()

    def sample(self) -> None:
        """Account for a stall whose timer has not run yet, and count the tasks."""
        running = self._running
        if running is None:
            return
        if self._is_stall(running.watchdog.late(time.monotonic())):
            running.cancel()
            self._beat(running)
        self._errors.value += running.new_errors()
        self._tasks.set(running.tasks.count())

    async def close(self) -> None:
        """End the timer and the thread."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await running.watchdog.close()
            self._errors.value += running.new_errors()

    def _beat(self, running: _Running) -> None:
        now = time.monotonic()
        late = running.watchdog.beat(now, now + self._period)
        running.call_later(self._period, self._beat)
        if self._is_stall(late):
            self._blocked.value += late
        if now >= running.next_sample:
            self._lag.observe(late)
            # half a period early, or a timer that rings a clock tick too soon would put it off to the next beat
            running.next_sample = now + SAMPLE_SECONDS - self._period / 2

    def _is_stall(self, late: float) -> bool:
        return late >= STALL_SECONDS - self._period


class _Running:
    """What is there from start to close."""

    def __init__(self, loop: asyncio.AbstractEventLoop, watchdog: Watchdog) -> None:
        self.watchdog = watchdog
        self.tasks = TaskCount(loop)
        self.next_sample = time.monotonic() + SAMPLE_SECONDS / 2
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None
        self._errors_told = 0
        # An empty one: the timer would otherwise keep alive for ever what the starter's context holds.
        self._context = contextvars.Context()

    def call_later(self, seconds: float, beat: typing.Callable[[_Running], None]) -> None:
        self._handle = self._loop.call_later(seconds, beat, self, context=self._context)

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def new_errors(self) -> int:
        errors = self.watchdog.errors
        new, self._errors_told = errors - self._errors_told, errors
        return new


class TaskCount:
    """How many tasks of a loop are not done, at a bounded cost.

    ``asyncio.all_tasks`` is exact and takes 0.4 ms for 1,000 tasks. Up to ``EXACT_TASKS`` it is asked at every count,
    up to ``MOST_TASKS`` once in ``RECOUNT_SECONDS``. In between, and above, the last exact number is moved by the
    change in the number of task objects, which asyncio knows at once: tasks that are done but still referenced (or
    another loop's) and that came or went since the last exact count are then taken for running ones.

    Where asyncio does not say how many task objects there are (other layouts than those of Python 3.11 to 3.13), the
    last exact number stands until the next one.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._sets = _sets_of_tasks()
        self._exact = self._objects_then = 0
        self._next_recount = 0.0

    def count(self) -> int:
        """The number of tasks; on the loop's thread."""
        objects = self._objects()
        if self._is_due(objects):
            self._recount(objects)
            return self._exact
        return max(0, self._exact + objects - self._objects_then)

    def _objects(self) -> int:
        return sum(map(len, self._sets)) if self._sets else self._exact

    def _is_due(self, objects: int) -> bool:
        if objects <= EXACT_TASKS:
            return True
        return time.monotonic() >= self._next_recount and (objects <= MOST_TASKS or not self._sets)

    def _recount(self, objects: int) -> None:
        self._exact = self._objects_then = len(asyncio.all_tasks(self._loop))
        self._next_recount = time.monotonic() + RECOUNT_SECONDS
        if self._sets and objects >= self._exact:
            self._objects_then = objects
        else:
            self._sets = ()


def _sets_of_tasks(where: object = asyncio.tasks) -> tuple[Sized, ...]:
    """Where asyncio keeps its task objects: Python 3.12 and 3.13, 3.11; nothing where it is neither."""
    names = ("_scheduled_tasks", "_eager_tasks") if hasattr(where, "_eager_tasks") else ("_all_tasks",)
    found: tuple[object, ...] = tuple(getattr(where, name, None) for name in names)
    sets = tuple(each for each in found if isinstance(each, Sized))
    return sets if len(sets) == len(found) else ()
