"""The display for what is no terminal: lines, written at once."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Final

from examples.demo import words

if TYPE_CHECKING:
    from examples.demo.view import View

EVERY: Final = 3.0
"""Seconds between two lines."""


class Plain:
    """One line every three seconds, and one for each thing that happens."""

    def __init__(self) -> None:
        self._due = 0.0

    def open(self) -> None:
        """There is nothing to take."""

    def close(self) -> None:
        """There is nothing to give back."""

    def show(self, view: View) -> None:
        """Write the notes, and the status when it is time."""
        while view.notes:
            say(view.notes.popleft())
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + EVERY
        say(f"{time.strftime('%H:%M:%S')} {_status(view)}")


def _status(view: View) -> str:
    if view.trouble or view.summary is None:
        return view.trouble or "no page yet"
    return words.status_line(view.summary)


def say(text: str) -> None:
    """Write a line. Raises BrokenPipeError once where nobody reads any more; then nothing is written."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise
