"""Log records, counted by a handler of the tests' own."""

from __future__ import annotations

import logging
from collections import Counter


class Records(logging.Handler):
    """Counts those of WARNING and above by logger and level."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.counts: Counter[tuple[str, str]] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        self.counts[record.name.partition(".")[0], record.levelname] += 1
