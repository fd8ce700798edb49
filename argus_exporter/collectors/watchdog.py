"""The thread that sees what the event loop itself cannot see: that it stands still, and in whose code."""

from __future__ import annotations

import asyncio
import logging
import math
import sys
import threading
import time
import traceback
import typing
from itertools import islice
from typing import Final

if typing.TYPE_CHECKING:
    from types import FrameType

_log: Final = logging.getLogger("argus_exporter.watchdog")

FRAMES: Final = 20
"""Frames of a stack that are logged at most, the innermost ones."""

FRAME_CHARACTERS: Final = 400
"""Characters of one frame that are logged at most."""

PAUSE_SECONDS: Final = 60.0
"""A process that as a whole did not run for longer than this was suspended: no code of its own blocked the loop."""

CLOSE_SECONDS: Final = 2.0
"""What :meth:`Watchdog.close` waits at most for the thread, which only a logging handler can hold up."""

_LONGEST_WAIT: Final = 15.0
_IDLE_SHARE: Final = 0.01


class Watchdog:
    """Logs once a stall what blocks the event loop, and knows how late the loop's heartbeat is.

    The loop's thread says with :meth:`beat` that it runs and when it will say so again. The thread of the watchdog
    sleeps until that is overdue by ``stall_seconds``, so with a healthy loop it wakes about once in that time. A block
    of ``stall_seconds`` and one beat is always logged, one shorter than ``stall_seconds`` never.

    Time is the monotonic clock's, which no change of the wall clock moves, and which stands still while Linux or macOS
    sleep. Where it runs on (Windows asleep, SIGSTOP, a paused container), the watchdog was not woken either, for more
    than ``PAUSE_SECONDS``, and the process used no CPU time: that is no stall, and said once in the log. A shorter
    pause cannot be told from a stall and counts as one. What cannot be told from a pause is C code that waits for more
    than a minute, computes nothing and does not let the GIL go.

    :param stall_seconds: a longer block is logged.
    :ivar errors: exceptions in the thread so far; they come from logging handlers.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, stall_seconds: float) -> None:
        self.errors = 0
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._stall_seconds = stall_seconds
        # Each of these is written in one step, so that both threads may read it.
        self._due = math.inf
        self._resumed = -math.inf
        self._asleep: tuple[float, float] | None = None
        self._pause: float | None = None
        self._ended = (math.nan, 0.0)
        self._reported = math.nan
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="argus_exporter.watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch the thread that made this object.

        :raises RuntimeError: if the system gives no thread.
        """
        self._thread.start()

    async def close(self) -> None:
        """End the thread. Where a logging handler holds it up for ``CLOSE_SECONDS``, it ends after that."""
        self._stop.set()
        deadline = time.monotonic() + CLOSE_SECONDS
        while self._thread.is_alive() and time.monotonic() < deadline:  # noqa: ASYNC110 - its end sets no event
            await asyncio.sleep(0.001)

    def beat(self, now: float, due: float) -> float:
        """Say that the loop runs, and when it will say so again; on the loop's thread.

        :returns: by how many seconds this beat was late.
        """
        late = self.late(now)
        if late >= self._stall_seconds:
            self._ended = (self._due, late)
        self._due = due
        return late

    def late(self, now: float) -> float:
        """By how many seconds the loop's next beat is late by now: 0 if it is not, pauses of the process left out."""
        return self._late(now, self._due)

    def _late(self, now: float, due: float) -> float:
        if now - due >= PAUSE_SECONDS:
            self._look_for_a_pause(now)
        return max(0.0, now - max(due, self._resumed))

    def _look_for_a_pause(self, now: float) -> None:
        asleep = self._asleep
        if asleep is None:
            return
        until, cpu = asleep
        if now - until >= PAUSE_SECONDS and time.process_time() - cpu < _IDLE_SHARE * (now - until):
            self._resumed, self._pause = now, now - until

    # ------------------------------------------------------------------------------------------ its thread

    def _run(self) -> None:
        while not self._rest():
            try:
                self._look()
            except BaseException:  # noqa: BLE001 - a logging handler may raise anything, and the next stall counts too
                self.errors += 1

    def _rest(self) -> bool:
        """Sleep until there is something to look at; whether it is time to end."""
        seconds = self._seconds_to_rest()
        self._asleep = (time.monotonic() + seconds, time.process_time())
        return self._stop.wait(seconds) or self._loop.is_closed()

    def _seconds_to_rest(self) -> float:
        due = self._due
        if due == self._reported:
            return min(self._stall_seconds / 4, 1.0)
        seconds = max(due, self._resumed) + self._stall_seconds - time.monotonic()
        return min(max(seconds, 0.001), _LONGEST_WAIT)

    def _look(self) -> None:
        now = time.monotonic()
        due = self._due
        late = self._late(now, due)
        # From here on a handler may hold this thread up, which must not be taken for a pause of the process.
        self._asleep = None
        if not self._loop.is_running():
            self._resumed = now
        elif due != self._reported:
            self._tell(due, late)

    def _tell(self, due: float, late: float) -> None:
        reported, self._reported = self._reported, math.nan
        if self._ended[0] == reported:
            _log.info("The event loop runs again: it was blocked for %.2f s", self._ended[1])
        if self._pause is not None:
            pause, self._pause = self._pause, None
            _log.info(
                "This process did not run for %.0f s (suspended?): not counted as a stall of the event loop", pause
            )
        if late >= self._stall_seconds:
            self._tell_stall(due, late)

    def _tell_stall(self, due: float, late: float) -> None:
        frames = frames_of(self._loop_thread)
        # If the loop has moved on meanwhile, these are not the frames that blocked it.
        if self._due == due:
            self._reported = due
            stack = written(frames)
            _log.warning(
                "The event loop has been blocked for %.2f s so far. Innermost last, its thread is in:\n%s", late, stack
            )


Frames = list[tuple["FrameType", int]]


def frames_of(thread: int) -> Frames:
    """Where a thread is now: at most ``FRAMES`` frames with their lines, innermost first. Takes some microseconds.

    What blocked the loop with the GIL in its hands goes on as soon as it can, so nothing here may wait, nor read files.
    """
    # Documented despite its name, and the only way to see another thread.
    frame = sys._current_frames().get(thread)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    return list(islice(traceback.walk_stack(frame), FRAMES)) if frame else []


def written(frames: Frames) -> str:
    """The frames as a traceback has them, innermost last, each of at most ``FRAME_CHARACTERS`` characters."""
    entries = traceback.StackSummary.extract(iter(frames[::-1])).format()
    return "\n".join(entry.rstrip("\n")[:FRAME_CHARACTERS] for entry in entries)
