"""Real sockets that listen as a StatsD server does, and a name server that answers as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import typing
from typing import Any

if typing.TYPE_CHECKING:
    from collections.abc import Iterator

Answers = list[tuple[Any, ...]]


class Names:
    """A name server: what it answers, or raises, and how often it was asked."""

    def __init__(self) -> None:
        self.answer: Answers | Exception = OSError("no name server")
        self.asked = 0
        self.hangs = False

    async def getaddrinfo(self, host: str, port: int, **_: Any) -> Answers:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@contextlib.contextmanager
def listening(family: int = socket.AF_INET, address: Any = ("127.0.0.1", 0)) -> Iterator[socket.socket]:
    with socket.socket(family, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address)
        receiver.setblocking(False)
        yield receiver


def url_of(receiver: socket.socket) -> str:
    name = receiver.getsockname()
    if isinstance(name, str):
        return f"unixgram://{name}"
    return f"udp://{f'[{name[0]}]' if ':' in name[0] else name[0]}:{name[1]}"


def answer(*receivers: socket.socket) -> Answers:
    return [(each.family, socket.SOCK_DGRAM, 17, "", each.getsockname()) for each in receivers]


async def received(receiver: socket.socket) -> bytes:
    async with asyncio.timeout(10):
        return await asyncio.get_running_loop().sock_recv(receiver, 70_000)
