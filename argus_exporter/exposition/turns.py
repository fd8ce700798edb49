"""Work on the event loop in turns, so that the bot is never kept waiting for long."""

from __future__ import annotations

import asyncio
import time
from typing import Final

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
