"""The thread that knows whether the event loop turns."""

from __future__ import annotations

import asyncio
import threading
import time
import typing
from typing import Final

if typing.TYPE_CHECKING:
    from collections.abc import Callable

PERIOD: Final = 1.0
"""Seconds between two looks."""

_CLOSE_SECONDS: Final = 3.0


class Pulse:
    """Asks the loop again and again for a sign of life.

    Only what the thread itself has seen of a silence counts, so a process that was suspended is not a loop that stood
    still; nor is a loop that is not running at all.

    :param turned: is called on the loop at each sign of life.
    :param alive: is called in the thread after each sign of life.
    :param stuck: is called in the thread when the loop has been silent for ``limit`` seconds; it returns when what it
        is given says False: the loop turns again, or this is closed.
    :param errors: is told what was caught; from the thread.
    :ivar loop_thread: the loop's thread.
    """

    def __init__(
        self,
        turned: Callable[[], None],
        alive: Callable[[], None],
        stuck: Callable[[Callable[[], bool]], None],
        errors: Callable[[BaseException], None],
        *,
        limit: float,
        period: float = PERIOD,
    ) -> None:
        self._turned: Final = turned
        self._alive: Final = alive
        self._stuck: Final = stuck
        self._errors: Final = errors
        self._limit: Final = limit
        self._period: Final = period
        self._loop: Final = asyncio.get_running_loop()
        self.loop_thread: Final = threading.get_ident()
        # each is written in one step, so that both threads may read it
        self._answered = True
        self._silent = 0.0
        self._looked = time.monotonic()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="argus_exporter.pulse", daemon=True)

    def start(self) -> None:
        """Begin.

        :raises RuntimeError: if the system gives no thread.
        """
        self._thread.start()

    async def close(self) -> None:
        """End the thread, and with it what it does while the loop is silent."""
        self._closed.set()
        deadline = time.monotonic() + _CLOSE_SECONDS
        while self._thread.is_alive() and time.monotonic() < deadline:  # noqa: ASYNC110 - its end sets no event
            await asyncio.sleep(0.001)

    def silence(self) -> float:
        """For how many seconds the loop has given no sign of life; within a period of the truth, 0.0 while it does."""
        return 0.0 if self._answered else self._silent + self._since_look()

    def _since_look(self) -> float:
        return min(time.monotonic() - self._looked, 2 * self._period)

    def _run(self) -> None:
        while not self._closed.wait(self._period) and not self._loop.is_closed():
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - a loop that is closed between two lines, a system without files
                self._errors(error)

    def _look(self) -> None:
        if self._answered:
            self._silent, self._looked = 0.0, time.monotonic()
            self._answered = False
            self._loop.call_soon_threadsafe(self._answer)
            self._alive()
        elif not self._loop.is_running():
            self._silent, self._looked = 0.0, time.monotonic()
        else:
            self._silent, self._looked = self.silence(), time.monotonic()
            if self._silent >= self._limit:
                self._stuck(self._is_silent)

    def _is_silent(self) -> bool:
        self._silent, self._looked = self._silent + self._since_look(), time.monotonic()
        return not (self._answered or self._closed.is_set())

    def _answer(self) -> None:
        self._answered = True
        self._turned()
