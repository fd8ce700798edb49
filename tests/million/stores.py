"""The databases, as those who break them and those who ask them see them."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import typing
from pathlib import Path
from subprocess import Popen
from typing import Any, Final, Protocol

import psutil

from tests.analytics.engine import Engine, engine
from tests.analytics.server import Server, postgresql
from tests.clients import until

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

DATABASE: Final = "bots"


class Store(Protocol):
    """A database that runs.

    :ivar url: what the settings take.
    :ivar milliseconds: how it is asked for a time in milliseconds, the column's name left out.
    :ivar done: what is in its answer where it has stored something.
    """

    url: str
    milliseconds: str
    done: bytes

    async def start(self) -> None:
        """Run it again, and wait until it answers."""

    async def rows(self, sql: str) -> list[tuple[str, ...]]:
        """What a statement finds, as text."""
        ...

    @property
    def process(self) -> Popen[bytes]:
        """Its first process."""
        ...


class PostgreSQL:
    milliseconds = "CAST(extract(epoch FROM {}) * 1000 AS bigint)"
    done = b"COMMIT"

    def __init__(self, server: Server) -> None:
        self._server = server
        self.url = server.url(DATABASE)
        server.psql(f"CREATE DATABASE {DATABASE}")

    async def start(self) -> None:
        await asyncio.to_thread(self._server.start)

    async def rows(self, sql: str) -> list[tuple[str, ...]]:
        found = await asyncio.to_thread(self._server.psql, f"SET search_path = argus; {sql}", DATABASE)
        return [tuple(line.split("|")) for line in found.splitlines()]

    @property
    def process(self) -> Popen[bytes]:
        assert self._server.process is not None
        return self._server.process


class ClickHouse:
    milliseconds = "toUnixTimestamp64Milli({})"
    done = b"X-ClickHouse-Summary"

    def __init__(self, server: Engine) -> None:
        self._server = server
        self.url = server.url(DATABASE)

    async def start(self) -> None:
        self._server.start()
        await self._server.ready()

    async def rows(self, sql: str) -> list[tuple[str, ...]]:
        return [tuple(map(str, row)) for row in await self._server.rows(sql, DATABASE)]

    @property
    def process(self) -> Popen[bytes]:
        assert self._server._process is not None
        return self._server._process


@contextlib.contextmanager
def _postgresql() -> Iterator[tuple[PostgreSQL, None]]:
    with postgresql() as server:
        yield PostgreSQL(server), None


@contextlib.contextmanager
def _clickhouse() -> Iterator[tuple[ClickHouse, Engine]]:
    with tempfile.TemporaryDirectory(prefix="clickhouse-") as folder, engine(Path(folder) / "data") as server:
        yield ClickHouse(server), server


STORES: Final[dict[str, Callable[[], Any]]] = {"postgres": _postgresql, "clickhouse": _clickhouse}


@contextlib.asynccontextmanager
async def running(name: str) -> AsyncIterator[Store]:
    """A database of its own, until the block ends."""
    with STORES[name]() as (store, server):
        if server is not None:
            await server.ready()
        try:
            yield store
        finally:
            thaw(store)


def family(store: Store) -> list[psutil.Process]:
    """All its processes, the first one last."""
    with contextlib.suppress(psutil.NoSuchProcess):
        first = psutil.Process(store.process.pid)
        return [*first.children(recursive=True), first]
    return []


async def kill(store: Store) -> None:
    """End it in the middle of whatever it does, with SIGKILL."""
    processes = family(store)
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    await until(lambda: all(map(_is_dead, processes)))
    store.process.wait()


def _is_dead(process: psutil.Process) -> bool:
    # one whose parent has gone before it may have nobody to bury it
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def freeze(store: Store) -> None:
    """Let it hang: connections stay, and nothing is answered."""
    for process in family(store):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.suspend()


def thaw(store: Store) -> None:
    """Let it go on."""
    for process in family(store):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()


@contextlib.asynccontextmanager
async def slow(store: Store) -> AsyncIterator[None]:
    """Let it stand still nine tenths of the time."""

    async def stutter() -> None:
        while True:
            freeze(store)
            await asyncio.sleep(0.09)
            thaw(store)
            await asyncio.sleep(0.01)

    task = asyncio.create_task(stutter(), name="stutter")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        thaw(store)
