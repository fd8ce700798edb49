"""The page of metrics: rendered in slices on the event loop, and the handler that serves it."""

from __future__ import annotations

import asyncio
import typing
import zlib
from typing import Final

from argus_exporter.catalogue import RENDER_SECONDS, REQUESTS_REFUSED_TOTAL, SCRAPES_TOTAL
from argus_exporter.exposition.encode import Encoder, end_of
from argus_exporter.exposition.negotiate import OPENMETRICS, TEXT, wants_gzip, wants_openmetrics
from argus_exporter.exposition.reply import METHODS, Reply
from argus_exporter.exposition.turns import TURN, Turns

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiohttp.web_request import BaseRequest
    from aiohttp.web_response import StreamResponse

    from argus_exporter.exposition.registry import UserRegistry
    from argus_exporter.instruments import Instruments

ADMITTED: Final = 65
"""Requests that may be served or waiting at the same time; what is beyond is answered 503."""

_CHUNK: Final = 32 * 1024
_GZIP: Final = 31
"""zlib's window bits for a gzip stream with the largest window."""


class Page:
    """What ``/metrics`` serves.

    One page is rendered at a time: several at once would each hold the event loop for a turn, one right after the
    other, and none of them would come sooner. Waiting for the user's registry and for clients is done side by side.

    :param sample: brings the gauges up to date before each page, on the event loop.
    :param errors: is told the noun and the exception of what was caught; must not raise.
    :param registry: whose metrics are on the page too.
    :param turn: seconds of work after which the event loop is handed back.
    """

    def __init__(
        self,
        instruments: Instruments,
        *,
        sample: Callable[[], None],
        errors: Callable[[str, BaseException], None],
        registry: UserRegistry | None = None,
        turn: float = TURN,
    ) -> None:
        self._encoder: Final = Encoder(instruments)
        self._sample: Final = sample
        self._registry: Final = registry
        self._errors: Final = errors
        self._turn: Final = turn
        self._rendering: Final = asyncio.Lock()
        self._admitted = 0
        self._render_seconds: Final = instruments.gauge(RENDER_SECONDS).labels()
        self._scrapes: Final = instruments.counter(SCRAPES_TOTAL).labels()
        self._refused: Final = instruments.counter(REQUESTS_REFUSED_TOTAL).labels("busy")

    async def handler(self, request: BaseRequest) -> StreamResponse:
        """Serve the page: a handler for any aiohttp application or server.

        GET, and HEAD, which renders nothing and says no length. 503 with ``Retry-After`` beyond :data:`ADMITTED`
        requests at once, 500 where something of ours fails.
        """
        if self._admitted >= ADMITTED:
            self._refused.value += 1
            reply = Reply.text(f"503: {ADMITTED} scrapes at once already", status=503, headers={"Retry-After": "5"})
            await reply.send(request)
            return reply
        self._admitted += 1
        try:
            return await self._serve(request)
        finally:
            self._admitted -= 1

    async def render(self, *, openmetrics: bool, compress: bool) -> list[bytes]:
        """A page in chunks of about 32 KB, gzipped or not. The event loop is handed back about every millisecond."""
        theirs = await self._registry.render(openmetrics=openmetrics) if self._registry is not None else []
        async with self._rendering:
            self._sample()
            await asyncio.sleep(0)
            # whoever asks at the same time has the loop do more in each of its rounds
            turns = Turns(self._turn if self._admitted <= 1 else self._turn / 4)
            pack = _Gzipped() if compress else _Plain()
            for piece in self._pieces(theirs, openmetrics=openmetrics):
                pack.add(piece)
                await turns.rest()
            chunks = pack.finish()
            self._render_seconds.set(turns.seconds())
        return chunks

    def close(self) -> None:
        """Let the thread of the user's registry end, if there is one. A page that is asked for still comes."""
        if self._registry is not None:
            self._registry.close()

    def _pieces(self, theirs: list[bytes], *, openmetrics: bool) -> Iterator[bytes]:
        yield from self._encoder.slices(openmetrics=openmetrics)
        yield from theirs
        yield end_of(openmetrics=openmetrics)

    async def _serve(self, request: BaseRequest) -> StreamResponse:
        try:
            reply = await self._answer(request)
        except Exception as error:  # noqa: BLE001 - an answer, and not a broken connection
            self._errors("exporter", error)
            reply = Reply.text("500: the exporter failed; the bot's log says why", status=500)
        if await reply.send(request) and reply.status == 200 and request.method == "GET":  # noqa: PLR2004
            self._scrapes.value += 1
        return reply

    async def _answer(self, request: BaseRequest) -> Reply:
        if request.method not in METHODS:
            return Reply.not_allowed()
        openmetrics = wants_openmetrics(_header(request, "Accept"))
        compress = wants_gzip(_header(request, "Accept-Encoding"))
        headers = {"Content-Type": OPENMETRICS if openmetrics else TEXT, "Vary": "Accept, Accept-Encoding"}
        if compress:
            headers["Content-Encoding"] = "gzip"
        chunks = await self.render(openmetrics=openmetrics, compress=compress) if request.method == "GET" else None
        return Reply(chunks, headers=headers)


def _header(request: BaseRequest, name: str) -> str:
    return ",".join(request.headers.getall(name, ()))


class _Plain:
    """Puts small pieces together; each write of its own would be a call of the system."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size >= _CHUNK:
            self._cut()

    def finish(self) -> list[bytes]:
        """The chunks, at least one."""
        self._cut()
        return self._chunks

    def _cut(self) -> None:
        self._chunks.append(b"".join(self._pieces))
        self._pieces, self._size = [], 0


class _Gzipped:
    """Compresses piece by piece, because a thread for all of it costs more than it takes off the loop."""

    def __init__(self) -> None:
        self._zlib = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
        self._plain = _Plain()

    def add(self, piece: bytes) -> None:
        self._plain.add(self._zlib.compress(piece))

    def finish(self) -> list[bytes]:
        self._plain.add(self._zlib.flush())
        return self._plain.finish()
