"""A bare gateway client, for what discord.py never does."""

from __future__ import annotations

import json
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from examples.discord_simulator import Simulator


class Socket:
    """One websocket to the gateway."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.inflate = zlib.decompressobj()

    async def send(self, op: int, data: object) -> None:
        await self.ws.send_str(json.dumps({"op": op, "d": data}))

    async def receive(self) -> dict[str, Any]:
        """The next payload; for a close `{"close": code}`."""
        message = await self.ws.receive(timeout=5)
        if message.type is aiohttp.WSMsgType.TEXT:
            return json.loads(message.data)
        if message.type is aiohttp.WSMsgType.BINARY:
            return json.loads(self.inflate.decompress(message.data))
        return {"close": self.ws.close_code}

    async def until(self, key: str, value: object) -> dict[str, Any]:
        """The next payload whose `key` is `value`."""
        while (payload := await self.receive()).get(key) != value:
            assert "close" not in payload, payload
        return payload

    async def closed(self) -> int:
        """The code that the server closes with."""
        while "close" not in (payload := await self.receive()):
            pass
        return payload["close"]

    async def identify(self, sim: Simulator, **fields: Any) -> dict[str, Any]:
        """IDENTIFY, and the answer: READY, INVALID_SESSION or a close."""
        await self.send(2, {"token": sim.token, "intents": 513, "properties": {}, "shard": [0, 1]} | fields)
        return await self.receive()


@asynccontextmanager
async def socket(sim: Simulator, query: str = "v=10&encoding=json") -> AsyncIterator[Socket]:
    """A connection that has got its HELLO."""
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{sim.gateway.url}?{query}") as ws:
        made = Socket(ws)
        hello = await made.receive()
        assert hello["op"] == 10
        yield made
