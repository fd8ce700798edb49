"""The HTTP server on the bot's own event loop. The bot never stops for it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import html
import ipaddress
import logging
import typing
from types import MappingProxyType
from typing import Any, Final

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from aiohttp.web_server import Server as HttpServer

from argus_exporter.exposition.gate import Gate, rounds
from argus_exporter.exposition.reply import METHODS, Reply
from argus_exporter.exposition.turns import Turnstile
from argus_exporter.settings import bracketed
from argus_exporter.version import VERSION

if typing.TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from aiohttp.web_response import StreamResponse

    from argus_exporter.exposition.door import Listening
    from argus_exporter.exposition.files import Watched

    Handler = Callable[[BaseRequest], Awaitable[StreamResponse]]

RETRY_SECONDS: Final = 1.0
"""Between two attempts to listen."""

FIRST_SECONDS: Final = 1.0
"""How long :meth:`Server.start` waits for the first attempt; only the look-up of a host name takes any time."""

GRACE_SECONDS: Final = 0.5
"""How long :meth:`Server.close` lets an answer that is being sent go on; aiohttp takes it twice."""

CONNECTIONS: Final = 128
"""Connections at once. One more takes the place of one that asks nothing."""

ASK_SECONDS: Final = 10.0
"""How long a client may take for a request, or for the first one after it has connected."""

ASK_BYTES: Final = 256 * 1024
"""How much it may send for one, with what it sends while it is answered."""

_KEEP_ALIVE: Final = 300
_LINGER: Final = 1

_INDEX: Final = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>argus_exporter</title></head>
<body>
<h1>argus_exporter</h1>
<p>Prometheus metrics of a discord.py bot. Version {version}.</p>
<p><a href="{path}">Metrics</a></p>
</body>
</html>
"""

_log: Final = logging.getLogger(__name__)


class Address(typing.Protocol):
    """What the server reads of the settings."""

    @property
    def host(self) -> str:
        """An IP address or a host name."""
        ...

    @property
    def port(self) -> int | range | None:
        """0 for a free one, a range for the first in it that is free, None for no server."""
        ...

    @property
    def metrics_path(self) -> str:
        """Where the metrics are; at ``/`` they take the place of the index."""
        ...


class Server:
    """Serves a handler at ``metrics_path``, and a small page that leads there at ``/``.

    Where the address cannot be had (in use, not there, not allowed, a host name that is not found), that is logged
    once, and tried again every :data:`RETRY_SECONDS` until it can.

    :param probes: handlers of other paths.
    :param certificates: for TLS; without them it is plain HTTP.
    :param guarded: whether ``metrics`` lets in only some: if not, and if others than this machine reach the address,
        that is said in the log.
    :param refused: is told why a request was not served.
    """

    def __init__(
        self,
        settings: Address,
        metrics: Handler,
        *,
        probes: Mapping[str, Handler] = MappingProxyType({}),
        certificates: Watched[ssl.SSLContext] | None = None,
        guarded: bool = False,
        refused: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._settings: Final = settings
        self._routes: Final[dict[str, Handler]] = {"/": self._index, **probes, settings.metrics_path: metrics}
        self._guarded: Final = guarded
        self._refused: Final = refused
        self._turnstile: Final = Turnstile()
        self._gate: Final = Gate(certificates, self._connection, self._turnstile.quiet, lambda: refused("handshake"))
        self._scheme: Final = "http" if certificates is None else "https"
        self._http: HttpServer | None = None
        self._listener: asyncio.Server | None = None
        self._opening: asyncio.Task[None] | None = None

    @property
    def port(self) -> int | None:
        """The port that is bound; None while there is none."""
        sockets = self.sockets
        return sockets[0].getsockname()[1] if sockets else None

    @property
    def sockets(self) -> Sequence[Listening]:
        """Those that listen."""
        return self._listener.sockets if self._listener is not None else ()

    async def start(self) -> None:
        """Listen, or begin to try. A second start does nothing."""
        port = self._settings.port
        if port is None or self._opening is not None:
            return
        ports = port if isinstance(port, range) else range(port, port + 1)
        self._http = HttpServer(self._handle, request_factory=_request, handler_cancellation=True)
        tried = asyncio.Event()
        self._opening = asyncio.create_task(self._open(ports, tried), name="argus_exporter: listen")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(tried.wait(), FIRST_SECONDS)

    async def close(self) -> None:
        """Close everything within about two seconds. The port is free at once. A second close does nothing."""
        opening, self._opening = self._opening, None
        if opening is None:
            return
        opening.cancel()
        await asyncio.wait({opening})
        await self._gate.close()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        http, self._http = self._http, None
        if http is not None:
            await _hang_up(http)

    # ------------------------------------------------------------------------------------- listening

    async def _open(self, ports: range, tried: asyncio.Event) -> None:
        failed = False
        while True:
            try:
                await self._listen_on(ports)
                break
            except Exception as error:  # noqa: BLE001 - an OSError but for a host name that has no encoding
                if not failed:
                    _log.warning("cannot listen on %s:%s, goes on trying: %s", self._settings.host, _said(ports), error)
                failed = True
            tried.set()
            await asyncio.sleep(RETRY_SECONDS)
        host = bracketed(self._settings.host)
        _log.info("metrics at %s://%s:%s%s", self._scheme, host, self.port, self._settings.metrics_path)
        if not self._guarded and not all(map(_is_loopback, self.sockets)):
            _log.warning("%s:%s: whoever reaches it may read the metrics, for no token is set", host, self.port)
        tried.set()

    async def _listen_on(self, ports: range) -> None:
        """Listen on the first of these ports that can be had."""
        for port in ports:
            try:
                return await self._listen(port)
            except OSError:
                if port == ports[-1]:
                    raise
        return None

    async def _listen(self, port: int) -> None:
        """Bind and listen. A name with several addresses gets the same port on each of them, a free one too."""
        listener = await self._bind(port)
        ports = {socket.getsockname()[1] for socket in listener.sockets}
        if len(ports) > 1:
            listener.close()
            listener = await self._bind(ports.pop())
        self._listener = listener
        try:
            self._gate.open(listener.sockets)
        except OSError:
            await self._gate.close()
            self._listener = None
            listener.close()
            raise

    async def _bind(self, port: int) -> asyncio.Server:
        # not serving yet: a close in the middle of create_server would otherwise leave a socket that nobody knows;
        # SO_REUSEADDR is asyncio's default where it means what we want, which it does not on Windows
        loop = asyncio.get_running_loop()
        return await loop.create_server(self._connection, self._settings.host, port, start_serving=False)

    def _connection(self) -> asyncio.Protocol:
        """The protocol of a new connection. In a full house the oldest that asks nothing has to go."""
        if self._http is None:  # closed, and accepted right before
            return _Refused()
        there = [each for each in self._http.connections if each.transport is not None]
        if len(there) >= CONNECTIONS:
            self._refused("full")
            idle = next((each for each in there if isinstance(each, _Connection) and not each.busy), None)
            if idle is None or idle.transport is None:
                return _Refused()
            idle.transport.abort()
        return _Connection(self._http, self._turnstile, self._refused)

    # ------------------------------------------------------------------------------------- answering

    async def _handle(self, request: BaseRequest) -> StreamResponse:
        connection = typing.cast("_Connection", request.protocol)
        connection.begin()
        try:
            return await self._route(request)
        finally:
            connection.end()

    async def _route(self, request: BaseRequest) -> StreamResponse:
        handler = self._routes.get(request.path)
        if handler is not None and request.method in METHODS:
            return await handler(request)
        text = f"404: nothing here; the metrics are at {self._settings.metrics_path}"
        reply = Reply.text(text, status=404) if handler is None else Reply.not_allowed()
        await reply.send(request)
        return reply

    async def _index(self, request: BaseRequest) -> StreamResponse:
        page = _INDEX.format(version=html.escape(VERSION), path=html.escape(self._settings.metrics_path))
        reply = Reply([page.encode()], headers={"Content-Type": "text/html; charset=utf-8"})
        await reply.send(request)
        return reply


def _said(ports: range) -> str:
    return f"{ports[0]}-{ports[-1]}" if len(ports) > 1 else str(ports[0])


def _is_loopback(listening: Listening) -> bool:
    return ipaddress.ip_address(listening.getsockname()[0].partition("%")[0]).is_loopback


class _Connection(RequestHandler):
    """aiohttp's, with an end to its patience: it waits for a request, or for the rest of one, as long as it takes.

    :param turnstile: what comes takes its turn there.
    :ivar busy: whether a request is being answered.
    """

    def __init__(self, manager: HttpServer, turnstile: Turnstile, refused: Callable[[str], None]) -> None:
        options: dict[str, Any] = {"access_log": None, "logger": _Quiet(_log, {}), "lingering_time": _LINGER}
        options["auto_decompress"] = False  # no body is wanted, and a small one may unpack to hundreds of megabytes
        super().__init__(manager, loop=asyncio.get_running_loop(), keepalive_timeout=_KEEP_ALIVE, **options)
        self.busy = False
        self._turnstile = turnstile
        self._refused = refused
        self._received = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > ASK_BYTES:
            self._cut("large")
            return
        if self._timer is None and not self.busy:
            self._wait()
        self._turnstile.enter(functools.partial(self._take, data))

    def _take(self, data: bytes) -> None:
        if self.transport is not None:
            super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._wait_no_more()
        super().connection_lost(exc)

    def begin(self) -> None:
        """A request is there."""
        self.busy = True
        self._wait_no_more()

    def end(self) -> None:
        """It is answered."""
        self.busy = False
        self._received = 0

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(ASK_SECONDS, self._cut, "slow")

    def _wait_no_more(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _cut(self, reason: str) -> None:
        if self.transport is not None:
            self._refused(reason)
            self.transport.abort()


class _Request(BaseRequest):
    """A request whose answers do not say what software wrote them, those of aiohttp itself included."""

    async def _prepare_hook(self, response: StreamResponse) -> None:
        response.headers.pop("Server", None)


def _request(*parts: Any) -> BaseRequest:
    arguments: tuple[Any, ...] = (*parts, asyncio.get_running_loop())
    return _Request(*arguments)


class _Refused(asyncio.Protocol):
    """A connection for which there is no place."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        typing.cast("asyncio.Transport", transport).abort()


if typing.TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter


class _Quiet(_Adapter):
    """aiohttp logs the garbage of any port scanner as an error, with a traceback; here that is for debugging only."""

    def exception(self, msg: object, *args: object, exc_info: Any = True, **kwargs: Any) -> None:
        if isinstance(exc_info, HttpProcessingError):  # its text may have a header in it that is a secret
            self.debug("what came is no request: %s", type(exc_info).__name__)
        else:
            self.error(msg, *args, exc_info=exc_info, **kwargs)


async def _hang_up(http: HttpServer) -> None:
    """End every connection: the idle ones at once, the others after their grace."""
    transports = [each.transport for each in http.connections]
    http.pre_shutdown()
    await http.shutdown(GRACE_SECONDS)
    for transport in transports:
        if transport is not None:
            transport.abort()  # a closed transport waits for a client that may never read
    await rounds()
