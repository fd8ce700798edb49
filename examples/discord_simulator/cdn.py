"""The CDN: an image for every avatar, and the files that were uploaded."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from aiohttp import web

from .rest import Request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .rest import Rest


def _png(side: int = 16) -> bytes:
    """A square of one colour, as PNG."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\x00" + b"\x58\x65\xf2" * side) * side
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")


IMAGE = _png()


class Cdn:
    """Serves `/cdn/…`, which `Asset.BASE` is pointed at."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def add_to(self, app: web.Application) -> None:
        """Add its routes to an application."""
        app.router.add_get("/cdn/attachments/{channel_id}/{file_id}/{name}", self._noted(self.upload))
        app.router.add_get("/cdn/{path:.*}", self._noted(self.image))

    def _noted(self, read: Callable[[web.Request], web.Response]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            response = read(request)
            self._rest.requests.append(Request("GET", request.path, "GET /cdn/{path}", response.status))
            return response

        return handle

    def upload(self, request: web.Request) -> web.Response:
        """A file that the bot uploaded."""
        name, content = self._rest.uploads.get(int(request.match_info["file_id"]), ("", b""))
        if name != request.match_info["name"]:
            return web.Response(status=404)
        return web.Response(body=content, content_type="application/octet-stream")

    def image(self, _: web.Request) -> web.Response:
        """An image, whatever is asked for."""
        return web.Response(body=IMAGE, content_type="image/png")
