"""Connections are accepted one by one; what TLS adds is in test_tls.py."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import typing

import pytest

from argus_exporter.exposition.gate import Gate
from tests.clients import until

if typing.TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

NAME = "argus_exporter.exposition.gate"


class Guest(asyncio.Protocol):
    """A connection that was let in."""

    def __init__(self, there: list[Guest]) -> None:
        there.append(self)
        self.transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport


@contextlib.asynccontextmanager
async def opened(
    make: Callable[[], asyncio.Protocol], rest: Callable[[], Awaitable[None]]
) -> AsyncGenerator[tuple[Gate, int]]:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        gate = Gate(None, make, rest, lambda: None)
        gate.open([bound])
        try:
            yield gate, bound.getsockname()[1]
        finally:
            await gate.close()


async def no_rest() -> None:
    await asyncio.sleep(0)


async def test_who_comes_is_let_in_one_by_one_when_there_was_a_rest() -> None:
    there, rested = list[Guest](), asyncio.Event()

    async def rest() -> None:
        await rested.wait()
        rested.clear()

    with contextlib.ExitStack() as stack:
        async with opened(lambda: Guest(there), rest) as (_, port):
            for _ in range(3):
                stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            for number in (1, 2, 3):
                await until(lambda number=number: len(there) == number)  # type: ignore[misc]
                await asyncio.sleep(0.02)
                assert len(there) == number
                rested.set()
        for guest in there:
            assert guest.transport is not None
            guest.transport.close()


async def test_a_failure_is_said_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    there = list[Guest]()
    failures = [OSError(24, "Too many open files"), RuntimeError("odd"), None, OSError(24, "Too many open files")]

    def make() -> asyncio.Protocol:
        failure = failures.pop(0) if failures else None
        if failure is not None:
            raise failure
        return Guest(there)

    async with opened(make, no_rest) as (_, port):
        with contextlib.ExitStack() as stack:
            for _ in range(5):
                stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            await until(lambda: len(there) == 2)
    said = [record.getMessage() for record in caplog.records if record.name == NAME]
    assert said == ["cannot accept a connection, goes on trying: [Errno 24] Too many open files"] * 2
    assert [record.levelno for record in caplog.records if record.name == NAME] == [logging.WARNING] * 2
    for guest in there:
        assert guest.transport is not None
        guest.transport.close()


async def test_after_the_end_nobody_is_let_in_and_nothing_is_left() -> None:
    there, before = list[Guest](), asyncio.all_tasks()
    async with opened(lambda: Guest(there), no_rest) as (gate, port):
        await gate.close()
        with socket.create_connection(("127.0.0.1", port)):
            await asyncio.sleep(0.05)
        assert there == []
        assert asyncio.all_tasks() == before


async def test_an_address_that_somebody_else_listens_on_is_an_error() -> None:
    with socket.socket() as first, socket.socket() as second:
        for each in (first, second):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        first.bind(("127.0.0.1", 0))
        second.bind(first.getsockname())
        first.listen()
        gate = Gate(None, asyncio.Protocol, no_rest, lambda: None)
        try:
            with pytest.raises(OSError, match="in use"):
                gate.open([second])
        finally:
            await gate.close()
