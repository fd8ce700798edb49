"""The error log: one JSON object a line, few lines a minute, written by a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import logging
import os
import sys
import threading
import time
import traceback
import typing
import weakref
from collections import OrderedDict, deque
from itertools import islice
from logging.handlers import RotatingFileHandler
from queue import SimpleQueue
from typing import Any, Final

from argus_exporter.catalogue import ERROR_LOG_SUPPRESSED_TOTAL, ERROR_LOG_WRITTEN_TOTAL
from argus_exporter.instruments import CounterCell
from argus_exporter.settings import STDERR

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from argus_exporter.instruments import Instruments
    from argus_exporter.settings import Settings
    from argus_exporter.threads import Ledger

MOST_A_MINUTE: Final = 30
MINUTE: Final = 60.0
"""The same error is told once in so many seconds."""

MOST_KNOWN: Final = 1000
"""So many different errors are remembered; the one that was seen longest ago is forgotten."""

MOST_WAITING: Final = 100
"""Lines that wait for the disk."""

MOST_BYTES: Final = 10_000_000
"""Of the file; then it becomes the old one (``.1``), of which there is one."""

CLOSE_SECONDS: Final = 5.0
"""How long the end waits for lines that are not written yet."""

FIELDS: Final = ("source", "command", "type", "outcome", "event", "loop", "shard", "trace_id")
"""What is known of an error, and stands in its line under its own name; the rest of a context is under ``context``."""

_SOURCES: Final = (("command", "command"), ("type", "interaction"))
"""What a context is about that does not say it, by what is in it."""

_MESSAGE, _TRACEBACK, _WORD = 500, 8000, 200  # characters
_HEAD: Final = 2000  # of a traceback that is cut, the rest is its end
_FRAMES: Final = -50  # the innermost
_MOST_OWN: Final = 20
_CUT: Final = "\N{HORIZONTAL ELLIPSIS}"

_log: Final = logging.getLogger(__name__)


class _Told:
    __slots__ = ("at", "left_out")

    def __init__(self, at: float) -> None:
        self.at = at
        self.left_out = 0


class Caps:
    """At most 30 errors a minute, the same one once a minute. From any thread.

    :param clock: in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.RLock()  # reentrant: a finalizer may report an error while its thread does
        self._recent: deque[float] = deque()
        self._told: OrderedDict[Hashable, _Told] = OrderedDict()

    def admit(self, error: Hashable) -> int | None:
        """Whether to tell of it: how many of the same were left out since the last one, or None if this one is."""
        with self._lock:
            now = self._clock()
            while self._recent and now - self._recent[0] >= MINUTE:
                self._recent.popleft()
            told = self._told.setdefault(error, _Told(now - MINUTE))
            self._told.move_to_end(error)
            if len(self._told) > MOST_KNOWN:
                self._told.popitem(last=False)
            if now - told.at < MINUTE or len(self._recent) >= MOST_A_MINUTE:
                told.left_out += 1
                return None
            self._recent.append(now)
            left_out, told.left_out, told.at = told.left_out, 0, now
            return left_out


def fingerprint(error: BaseException, *where: object) -> Hashable:
    """What makes two errors the same: their class, the lines of their innermost frames, and the command and event."""
    innermost = deque(traceback.walk_tb(error.__traceback__), maxlen=3)
    lines = tuple((frame.f_code.co_filename, line) for frame, line in innermost)
    return name_of(type(error)), *(_text(word, _WORD) for word in where), *lines


def name_of(kind: type) -> str:
    """The full name of a class."""
    return f"{kind.__module__}.{kind.__qualname__}"


class ErrorLog:
    """Takes exceptions from any thread, writes them as the setting ``error_log`` says; does nothing where it is off.

    What comes before :meth:`start` waits for it. A finalizer may write too: nothing here takes a lock that is not
    reentrant.
    """

    def __init__(self, instruments: Instruments, ledger: Ledger, settings: Settings) -> None:
        self._target = settings.error_log
        self._constant = instruments.constant
        self._active_trace = instruments.active_trace or str
        self._written = instruments.counter(ERROR_LOG_WRITTEN_TOTAL)
        self._suppressed = instruments.counter(ERROR_LOG_SUPPRESSED_TOTAL)
        self._ledger = ledger
        self._caps = Caps()
        self._writer = _Writer(self._target or "", self._count)

    def start(self) -> None:
        """Begin to write.

        :raises RuntimeError: if the system gives no thread.
        """
        if self._target is not None:
            self._written.labels()
            self._suppressed.labels()
            self._writer.start()

    async def close(self) -> None:
        """Write what is waiting, for at most ``CLOSE_SECONDS``, and close the file."""
        writer, self._writer = self._writer, _Writer(self._target or "", self._count)
        await writer.close()

    def write(self, error: BaseException, context: Mapping[str, object]) -> None:
        """Take an error, unless the caps leave it out, with what is known of where it came from.

        :raises Exception: whatever an odd error or context raises.
        """
        if self._target is None:
            return
        left_out = self._caps.admit(fingerprint(error, context.get("command"), context.get("event")))
        if left_out is None or self._writer.is_full():
            self._count(written=False)
            return
        self._writer.put(self._line(error, context, left_out))

    def _line(self, error: BaseException, context: Mapping[str, object], left_out: int) -> _Line:
        known = {
            "source": next((source for key, source in _SOURCES if key in context), "capture"),
            "trace_id": self._active_trace(),
            **context,
        }
        own = {_text(key, _WORD): _text(known[key], _WORD) for key in islice(known, _MOST_OWN) if key not in FIELDS}
        fields: dict[str, object] = {
            "time": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"),
            "error": name_of(type(error)),
            "message": _text(error, _MESSAGE),
            **{key: _text(known[key], _WORD) for key in FIELDS if known.get(key) not in (None, "")},
            **self._constant,
            **({"suppressed": left_out} if left_out else {}),
            **({"context": own} if own else {}),
        }
        # the source lines are read from disk when it is written, by the writer
        trace = traceback.TracebackException(type(error), error, error.__traceback__, limit=_FRAMES, lookup_lines=False)
        return _Line(fields, trace)

    def _count(self, *, written: bool) -> None:
        self._ledger.write(self._written if written else self._suppressed, (), CounterCell.inc)


class _Line(typing.NamedTuple):
    fields: dict[str, object]
    trace: traceback.TracebackException

    def text(self) -> str:
        trace = "".join(self.trace.format())
        if len(trace) > _TRACEBACK:
            trace = f"{trace[:_HEAD]}\n{_CUT}\n{trace[_HEAD - _TRACEBACK :]}"
        return json.dumps({**self.fields, "traceback": trace})


def _text(value: object, most: int) -> str:
    try:
        text = str(value)
    except Exception:  # noqa: BLE001 - the user's code
        text = f"<{name_of(type(value))}>"
    return text if len(text) <= most else f"{text[:most]}{_CUT}"


class _Writer:
    """A thread that writes lines, until it is closed. Where that fails, the lines are counted and it is logged once."""

    def __init__(self, target: str, count: Callable[..., None]) -> None:
        self._target = target
        self._count = count
        self._queue: SimpleQueue[_Line | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="argus_exporter.errors", daemon=True)
        self._handler: logging.Handler | None = None
        self._at_exit: weakref.finalize[..., threading.Thread] | None = None
        self._failing = False

    def start(self) -> None:
        self._thread.start()
        # as atexit, which would keep a little of each that was unregistered
        self._at_exit = weakref.finalize(self._thread, self._finish)

    def is_full(self) -> bool:
        return self._queue.qsize() >= MOST_WAITING

    def put(self, line: _Line) -> None:
        self._queue.put(line)

    async def close(self) -> None:
        if self._at_exit is not None:
            self._at_exit.detach()
        self._queue.put(None)
        deadline = time.monotonic() + CLOSE_SECONDS
        while self._thread.is_alive():
            if time.monotonic() >= deadline:
                _log.warning("the error log takes too long to write: its last lines may be missing")
                return
            await asyncio.sleep(0.001)

    def _finish(self) -> None:
        """What ended the interpreter is written too."""
        self._queue.put(None)
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        folder = os.path.dirname(os.path.abspath(self._target))  # noqa: PTH100, PTH120 - nothing more to import
        with contextlib.suppress(ValueError):  # a path that is none; the first line will say so
            if self._target != STDERR and not os.access(folder, os.W_OK):
                self._fail(f"{folder} is not there, or may not be written to")
        while (line := self._queue.get()) is not None:
            self._write(line)
        self._close()

    def _close(self) -> None:
        handler, self._handler = self._handler, None
        if handler is not None:
            with contextlib.suppress(Exception):
                handler.close()

    def _write(self, line: _Line) -> None:
        try:
            self._handler = self._handler or _handler(self._target)
            self._handler.handle(logging.LogRecord(__name__, logging.ERROR, "", 0, line.text(), None, None))
        except Exception as error:  # noqa: BLE001 - a full disk, a directory that is not there
            self._close()  # or what it could not write would be written with the next line
            self._fail(repr(error))
        else:
            self._failing = False
        self._count(written=not self._failing)

    def _fail(self, why: str) -> None:
        if not self._failing:
            _log.warning("cannot write the error log (will go on trying): %s", why)
        self._failing = True


class _Raising(logging.Handler):
    """Says that it failed."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - the name is logging's
        raise  # noqa: PLE0704 - called where an exception is handled


class _Stream(_Raising, logging.StreamHandler[Any]):
    """To a stream that is not ours to close."""


class _File(_Raising, RotatingFileHandler):
    """To a file that is made when it is needed, and becomes the old one when it is full."""


def _handler(target: str) -> logging.Handler:
    if target == STDERR:
        return _Stream(sys.stderr)
    return _File(target, maxBytes=MOST_BYTES, backupCount=1, encoding="utf-8", delay=True)
