"""Work on the event loop in turns, so that the bot is never kept waiting for long."""

from __future__ import annotations

import asyncio
import time
import typing
from collections import deque
from typing import Final

if typing.TYPE_CHECKING:
    from collections.abc import Callable

TURN: Final = 0.001
"""Seconds of work after which the event loop is handed back."""


class Turns:
    """A stopwatch for one piece of work, which hands the loop back when a turn is over.

    :param turn: seconds; 0 hands it back at every rest.
    """

    def __init__(self, turn: float = TURN) -> None:
        self._turn: Final = turn
        self._over = 0.0
        self._began = time.perf_counter()

    async def rest(self) -> None:
        """Hand the loop back if the turn is over."""
        now = time.perf_counter()
        if now - self._began >= self._turn:
            self._over += now - self._began
            await asyncio.sleep(0)
            self._began = time.perf_counter()

    def seconds(self) -> float:
        """How long the loop was held in all turns, the waiting between them not counted."""
        return self._over + time.perf_counter() - self._began


class Turnstile:
    """Lets calls through in their order, one a turn of the event loop, however many come at once."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    def enter(self, call: Callable[[], None]) -> None:
        """Have it called, when it is its turn."""
        self._waiting.append(call)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._let_in)

    async def quiet(self) -> None:
        """Wait until nobody waits, for a turn at least."""
        await asyncio.sleep(0)
        while self._waiting:  # noqa: ASYNC110 - they are let in a turn each
            await asyncio.sleep(0)

    def _let_in(self) -> None:
        try:
            self._waiting[0]()
        finally:
            self._waiting.popleft()
            if self._waiting:
                asyncio.get_running_loop().call_soon(self._let_in)
