"""One daemon thread for what may block."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import typing
from typing import Final, Generic, NamedTuple, TypeVar

if typing.TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class StuckError(Exception):
    """The thread did not come back in time."""


class JobError(Exception):
    """A job raised; what, is the cause."""


class _Job(NamedTuple, Generic[T]):
    """A job that has not begun, and who waits for it."""

    run: Callable[[], T]
    askers: list[asyncio.Future[T]]


class Worker(Generic[T]):
    """Runs jobs one after another in a daemon thread, which the first of them starts.

    A daemon thread and not a pool, because the interpreter waits for a pool's threads at its exit, and a job may be
    stuck for ever. There is never a second thread: while a job is stuck, more are refused at once.

    :param name: the thread's.
    :param patience: seconds that an answer may take, the job before it included.
    """

    def __init__(self, name: str, patience: float) -> None:
        self._name: Final = name
        self._patience: Final = patience
        self._changed: Final = threading.Condition()
        self._jobs: Final[dict[object, _Job[T]]] = {}
        self._thread: threading.Thread | None = None
        self._began: float | None = None
        self._closed = False

    async def ask(self, key: object, run: Callable[[], T]) -> T:
        """What ``run`` returns. A job of the same key that waits for its turn is as good, and is shared.

        :raises StuckError: after ``patience``, or at once if the thread is stuck already. A job cannot be stopped.
        :raises JobError: if the job raised, whatever it was.
        :raises RuntimeError: if the system has no thread to give.
        """
        if self._began is not None and time.monotonic() - self._began > self._patience:
            raise StuckError(self._stuck())
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._put(key, run, answer)
        try:
            async with asyncio.timeout(self._patience):
                return await answer
        except TimeoutError:
            raise StuckError(self._stuck()) from None

    def close(self) -> None:
        """Let the thread end when it has no more to do; it is not waited for. A later question starts it again."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _stuck(self) -> str:
        return f"{self._name}: no answer within {self._patience:g} s"

    def _put(self, key: object, run: Callable[[], T], answer: asyncio.Future[T]) -> None:
        with self._changed:
            self._closed = False
            if self._thread is None:
                thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                thread.start()
                self._thread = thread
            self._jobs.setdefault(key, _Job(run, [])).askers.append(answer)
            self._changed.notify()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            _do(job)

    def _next(self) -> _Job[T] | None:
        with self._changed:
            self._began = None
            self._changed.wait_for(lambda: self._jobs or self._closed)
            if not self._jobs:
                self._thread = None
                return None
            self._began = time.monotonic()
            return self._jobs.pop(next(iter(self._jobs)))


def _do(job: _Job[T]) -> None:
    outcome = _outcome(job.run)
    for answer in job.askers:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            answer.get_loop().call_soon_threadsafe(_settle, answer, outcome)


def _outcome(run: Callable[[], T]) -> T | JobError:
    try:
        return run()
    except BaseException as caught:  # noqa: BLE001 - a SystemExit of a user's collector must not reach the bot's loop
        error = JobError(f"{type(caught).__name__}: {caught}")
        error.__cause__ = caught
        return error


def _settle(answer: asyncio.Future[T], outcome: T | JobError) -> None:
    if answer.done():
        return
    if isinstance(outcome, JobError):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)
