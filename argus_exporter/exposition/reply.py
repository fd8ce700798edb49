"""Answers over HTTP that a slow or vanished client cannot hold up."""

from __future__ import annotations

import asyncio
import logging
import typing
from typing import Final

from aiohttp.web_response import StreamResponse

from argus_exporter.exposition.turns import Turns

if typing.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiohttp.web_request import BaseRequest

WRITE_SECONDS: Final = 30.0
"""Seconds in which a client has to take its answer, whatever the length; then its connection is dropped."""

METHODS: Final = ("GET", "HEAD")

_log: Final = logging.getLogger(__name__)


class Reply(StreamResponse):
    """An answer that is sent by :meth:`send`, under a time limit of its own.

    It is sent in chunks, as it comes: to join a page of a megabyte would cost the event loop more than to send it.

    :param chunks: the body; its length is sent as ``Content-Length``. None where it is not known (for a HEAD).
    """

    def __init__(self, chunks: Sequence[bytes] | None, *, status: int = 200, headers: Mapping[str, str]) -> None:
        super().__init__(status=status, headers={"Cache-Control": "no-store", **headers})
        self.content_length = None if chunks is None else sum(map(len, chunks))
        self._chunks = chunks or ()

    @classmethod
    def text(cls, text: str, *, status: int, headers: Mapping[str, str] | None = None) -> Reply:
        """A short answer of plain text."""
        plain = {"Content-Type": "text/plain; charset=utf-8", **(headers or {})}
        return cls([f"{text}\n".encode()], status=status, headers=plain)

    @classmethod
    def not_allowed(cls) -> Reply:
        """The answer to any method but GET and HEAD."""
        allowed = ", ".join(METHODS)
        return cls.text(f"405: only {allowed}", status=405, headers={"Allow": allowed})

    async def send(self, request: BaseRequest, *, within: float = WRITE_SECONDS) -> bool:
        """Send it, and say whether the client took all of it. One that does not is dropped; one that is gone, is gone.

        :param within: seconds for all of it.
        """
        transport = request.transport
        if transport is None:
            return False
        # with the usual limit, the last 64 KB would stay in the transport for a client that never reads them; with 0,
        # asyncio's TLS waits for a buffer that is emptier than empty
        transport.set_write_buffer_limits(high=1)
        try:
            async with asyncio.timeout(within):
                await self._send_all(request)
        except TimeoutError:
            _log.info("a client did not take its answer within %g s: dropped", within)
            transport.abort()
            return False
        except ConnectionError:
            return False
        finally:
            transport.set_write_buffer_limits()
        return True

    async def _send_all(self, request: BaseRequest) -> None:
        await self.prepare(request)
        turns = Turns()
        chunks = self._chunks if request.method != "HEAD" else ()
        for chunk in chunks[:-1]:
            await self.write(chunk)
            await turns.rest()
        await self.write_eof(*chunks[-1:])  # waits for the client, which write_eof() of nothing does not
