"""A network that misbehaves, between a client and a server."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator


class Proxy:
    """Hands bytes on.

    :ivar mode: ``well``; ``hangs``: what is sent to it stays with it; ``mute``: what the server answers is cut off.
    :ivar lost: answers that have this in them are cut off too, one for each.
    :ivar changes: what is replaced in the server's answers by something as long.
    :ivar asked: what came from clients.
    """

    def __init__(self, port: int) -> None:
        self.mode = "well"
        self.lost: list[bytes] = []
        self.changes: dict[bytes, bytes] = {}
        self.asked = bytearray()
        self.port = 0
        self._to = port

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._to)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._ask(reader, to_writer))
                group.create_task(self._answer(to_reader, writer))
        except* (OSError, EOFError):
            pass
        finally:
            writer.close()
            to_writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(2**16):
            self.asked += data
            while self.mode == "hangs":
                await asyncio.sleep(0.01)
            writer.write(data)
            await writer.drain()
        raise EOFError

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(2**16):
            if self.mode == "mute" or self._is_lost(data):
                break
            for old, new in self.changes.items():
                data = data.replace(old, new)
            writer.write(data)
            await writer.drain()
        raise EOFError

    def _is_lost(self, data: bytes) -> bool:
        return bool(self.lost and self.lost[-1] in data and self.lost.pop())


@contextlib.asynccontextmanager
async def before(port: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[Proxy]:
    """A proxy before a port of this machine, until the end of the block."""
    proxy = Proxy(port)
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.add(task := asyncio.ensure_future(proxy.serve(reader, writer)))
        task.add_done_callback(running.discard)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
