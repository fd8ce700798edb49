"""Who comes in: connections are accepted one by one, and TLS handshakes cannot be drawn out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import typing
from typing import Final

if typing.TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Sequence

    from argus_exporter.exposition.door import Listening
    from argus_exporter.exposition.files import Watched

HANDSHAKES: Final = 64
"""At once. One more takes the place of the oldest."""

HANDSHAKE_SECONDS: Final = 5.0
"""In which a client has to come to terms with us."""

_BACKLOG: Final = 100
_RETRY_SECONDS: Final = 0.1
_ROUNDS: Final = 5
"""Of the loop, until asyncio has let go of a connection: it is accepted, made, aborted and lost in a round each."""

_log: Final = logging.getLogger(__name__)


class Gate:
    """Accepts connections.

    asyncio's own way (``create_server``) accepts a hundred in one go, for which it holds the loop for longer than a bot
    can spare; and it tells nobody of the TLS handshakes that are under way: thousands of clients that do not go on with
    theirs would take all of the process' files.

    :param certificates: for TLS; None for none.
    :param make: the protocol of a connection; where there is TLS, of one whose handshake is over.
    :param rest: is awaited before each; what comes meanwhile waits in the system's queue.
    :param failed: is told of each handshake that did not succeed.
    """

    def __init__(
        self,
        certificates: Watched[ssl.SSLContext] | None,
        make: Callable[[], asyncio.Protocol],
        rest: Callable[[], Awaitable[None]],
        failed: Callable[[], None],
    ) -> None:
        self._certificates: Final = certificates
        self._make: Final = make
        self._rest: Final = rest
        self._failed: Final = failed
        self._shaking: Final[dict[asyncio.Task[object], None]] = {}
        self._accepting: list[asyncio.Task[None]] = []
        self._sockets: list[socket.socket] = []
        self._failing = False

    def open(self, sockets: Sequence[Listening]) -> None:
        """Listen on sockets that are bound.

        :raises OSError: if somebody else does.
        """
        for each in sockets:
            own = socket.fromfd(each.fileno(), each.family, each.type)
            self._sockets.append(own)
            own.settimeout(0)
            own.listen(_BACKLOG)
            accepting = asyncio.get_running_loop().create_task(self._accept(own), name="argus_exporter: accept")
            self._accepting.append(accepting)

    async def close(self) -> None:
        """Accept no more, and give up what is not done yet."""
        sockets, self._sockets = self._sockets, []
        with contextlib.suppress(NotImplementedError):  # Windows' proactor, which has no readers
            for each in sockets:
                asyncio.get_running_loop().remove_reader(each.fileno())
        await rounds()  # a connection that is accepted right now would be lost with the task
        for accepting in self._accepting:
            accepting.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        self._accepting.clear()
        for each in sockets:
            each.close()
        for shaking in self._shaking:
            shaking.cancel()
        await asyncio.gather(*self._shaking, return_exceptions=True)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while listening in self._sockets:
            try:
                client, _ = await loop.sock_accept(listening)
                await self._let_in(client)
            except ConnectionError:
                continue  # the client has gone
            except Exception as error:  # noqa: BLE001 - mostly an OSError: the system has no file to give
                if not self._failing:
                    _log.warning("cannot accept a connection, goes on trying: %s", error)
                self._failing = True
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                self._failing = False
                await self._rest()

    async def _let_in(self, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            if self._certificates is None:
                await loop.connect_accepted_socket(self._make, client)
            else:
                self._shake(client, await self._certificates.fresh())
                # lets the handshake begin: one that is cancelled before would leave the socket to nobody
                await asyncio.sleep(0)
        except BaseException:
            client.close()
            raise

    def _shake(self, client: socket.socket, context: ssl.SSLContext) -> None:
        if len(self._shaking) >= HANDSHAKES:
            oldest = next(iter(self._shaking))
            del self._shaking[oldest]
            oldest.cancel()
        loop = asyncio.get_running_loop()
        coming_to_terms = loop.connect_accepted_socket(
            self._make,
            client,
            ssl=context,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
            ssl_shutdown_timeout=HANDSHAKE_SECONDS,
        )
        shaking: asyncio.Task[object] = loop.create_task(coming_to_terms, name="argus_exporter: handshake")
        self._shaking[shaking] = None
        shaking.add_done_callback(self._done)

    def _done(self, shaking: asyncio.Task[object]) -> None:
        self._shaking.pop(shaking, None)
        if shaking.cancelled() or shaking.exception() is not None:
            self._failed()


async def rounds() -> None:
    """Let asyncio do what it has begun."""
    for _ in range(_ROUNDS):
        await asyncio.sleep(0)
