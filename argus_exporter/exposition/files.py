"""What is read from files, and read again when they change."""

from __future__ import annotations

import logging
import time
import typing
from typing import Final, Generic, TypeVar

from argus_exporter.exposition.worker import JobError, StuckError, Worker

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

T = TypeVar("T")

LOOK_SECONDS: Final = 1.0
"""How old what was read may be before somebody looks whether it has changed."""

_PATIENCE: Final = 2.0

_log: Final = logging.getLogger(__name__)


class Watched(Generic[T]):
    """What a function makes of some files. While they are gone or make no sense, what they last said holds.

    A thread reads them, so that a file system that hangs does not hold up the event loop.

    :param load: raises what it likes; the first time, that is the caller's.
    :ivar current: what the files say, as far as is known.
    """

    def __init__(self, files: Sequence[Path | None], load: Callable[[], T]) -> None:
        self._files: Final = [file for file in files if file is not None]
        self._load: Final = load
        self._worker: Final = Worker[None]("argus_exporter.files", _PATIENCE)
        self._stamp = self._look()
        self.current = load()
        self._next = time.monotonic() + LOOK_SECONDS
        self._trouble = ""

    async def fresh(self) -> T:
        """What the files say; looks at them at most once in :data:`LOOK_SECONDS`. Never raises."""
        if self._files and time.monotonic() >= self._next:
            self._next = time.monotonic() + LOOK_SECONDS
            try:
                await self._worker.ask("files", self._refresh)
                self._trouble = ""
            except (StuckError, JobError, RuntimeError) as error:
                self._tell(str(error))
        return self.current

    def close(self) -> None:
        """Let the thread end, if there is one."""
        self._worker.close()

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            _log.warning("%s: what was read before still holds: %s", self._names(), trouble)

    def _names(self) -> str:
        return ", ".join(map(str, self._files))

    def _look(self) -> list[tuple[int, ...]]:
        return [_stamp_of(file) for file in self._files]

    def _refresh(self) -> None:
        stamp = self._look()
        if stamp != self._stamp:
            self.current = self._load()
            # not before: files of which one was written and the other not yet are looked at again
            self._stamp = stamp
            _log.info("read again: %s", self._names())


def _stamp_of(file: Path) -> tuple[int, ...]:
    """What changes with a file; what is wrong with one that is not there, is for who reads it to say."""
    try:
        stat = file.stat()
    except OSError:
        return ()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
