"""Log records, by who logs them."""

from __future__ import annotations

import logging
import typing
from typing import Any, ClassVar, Final

from argus_exporter.catalogue import LOG_RECORDS_TOTAL
from argus_exporter.collectors.base import Collector, word
from argus_exporter.hooks import Hook

if typing.TYPE_CHECKING:
    from collections.abc import Callable

    from argus_exporter.collectors.base import Context

LEVELS: Final = ((logging.CRITICAL, "CRITICAL"), (logging.ERROR, "ERROR"), (logging.WARNING, "WARNING"))
"""From which number on a level is called what."""


class LogsCollector(Collector):
    """Counts records as they are made, by any thread, by ``logging.setLogRecordFactory``.

    A handler on the root logger would not see loggers that do not propagate, would keep ``logging.basicConfig`` from
    doing anything, and would silence what Python itself prints for a program that has set up no logging. Records that
    a filter drops later are counted too.
    """

    noun: ClassVar[str] = "logs"

    def __init__(self, context: Context) -> None:
        self._records = context.instruments.counter(LOG_RECORDS_TOTAL)
        self._count = context.add
        self._errors = context.errors
        self._hook = Hook(logging.getLogRecordFactory, logging.setLogRecordFactory, self._around, logging.LogRecord)

    def start(self) -> None:
        """Begin to count."""
        self._hook.keep()

    def sample(self) -> None:
        """Go on where somebody has set a factory of their own."""
        self._hook.keep()

    async def close(self) -> None:
        """Give the factory back."""
        self._hook.close()

    def _around(self, through: Callable[..., Any]) -> Callable[..., Any]:
        def factory(*arguments: Any, **named: Any) -> Any:
            record = through(*arguments, **named)
            # makeLogRecord has no level yet; what it copies was counted where it was made
            if isinstance(record.levelno, int) and record.levelno >= logging.WARNING:
                try:
                    self._note(record)
                except Exception as error:  # noqa: BLE001 - nothing of ours may raise into the bot
                    self._errors(self.noun, error)
            return record

        return factory

    def _note(self, record: logging.LogRecord) -> None:
        level = next(name for least, name in LEVELS if record.levelno >= least)
        self._count(self._records, (word(record.name.partition(".")[0]), level))
