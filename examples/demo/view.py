"""All that the demo knows at a moment, for either display."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from examples.demo.summary import Summary


@dataclass
class View:
    """What is shown. `notes` are the last lines that somebody should see, each with its time of day."""

    url: str = ""
    shards: int = 0
    guilds: int = 0
    rate: float = 0.0
    prometheus: str = ""
    summary: Summary | None = None
    trouble: str = ""
    incidents: list[str] = field(default_factory=list[str])
    coming: str = ""
    notes: deque[str] = field(default_factory=lambda: deque[str](maxlen=20))

    _last: str = ""
    _again: int = 0

    def note(self, text: str) -> None:
        """Keep a line; one that comes again and again is kept once, with how often."""
        line, self._again = text, self._again + 1 if text == self._last and self.notes else 1
        if self._again > 1:
            self.notes.pop()
            line = f"{text} ({self._again} times)"
        self._last = text
        self.notes.append(f"{time.strftime('%H:%M:%S')} {line}")

    @property
    def happening(self) -> str:
        """What goes wrong now, or next."""
        return ", ".join(self.incidents) or (f"none; {self.coming}" if self.coming else "none")
