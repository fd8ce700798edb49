"""TLS for the server: certificates that may change, and handshakes that nobody can draw out."""

from __future__ import annotations

import asyncio
import socket
import ssl
import typing
from typing import Final

from argus_exporter.exposition.files import Watched
from argus_exporter.settings import SettingError, variable_of

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from argus_exporter.exposition.door import Listening

HANDSHAKES: Final = 64
"""At once. One more takes the place of the oldest."""

HANDSHAKE_SECONDS: Final = 5.0
"""In which a client has to come to terms with us."""

_BACKLOG: Final = 100
_RETRY_SECONDS: Final = 0.1


class Files(typing.Protocol):
    """What is read of the settings."""

    @property
    def tls_cert(self) -> Path | None:
        """The certificate chain; without it there is no TLS."""
        ...

    @property
    def tls_key(self) -> Path | None:
        """Its key, where it is not in the same file."""
        ...

    @property
    def tls_client_ca(self) -> Path | None:
        """Who signs clients' certificates."""
        ...


def certificates(settings: Files) -> Watched[ssl.SSLContext] | None:
    """The server's certificates, or None where it speaks plain HTTP.

    :raises SettingError: if they do not load, or the key does not fit.
    """
    cert, key, client_ca = settings.tls_cert, settings.tls_key, settings.tls_client_ca
    if cert is None:
        for name, file in (("tls_key", key), ("tls_client_ca", client_ca)):
            if file is not None:
                raise _error(name, file, f"{variable_of('tls_cert')} is not set")
        return None
    return Watched((cert, key, client_ca), lambda: context(cert, key, client_ca))


def context(cert: Path, key: Path | None, client_ca: Path | None) -> ssl.SSLContext:
    """What one handshake needs.

    A client without a certificate comes in, for the probes are for all: who wants the metrics is asked for it later.
    One with a certificate that nobody trusts does not.

    :raises SettingError: if the files do not load, or the key does not fit.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # no session is resumed: each is checked against the files as they are now
    made.options |= ssl.OP_NO_TICKET
    made.num_tickets = 0
    try:
        made.load_cert_chain(cert, key, password=lambda: "")  # without it, OpenSSL asks at the terminal, and waits
    except (OSError, ValueError) as error:
        name, file = ("tls_cert", cert) if key is None or not _is_certificate(cert) else ("tls_key", key)
        raise _error(name, file, _reason(error)) from None
    if client_ca is not None:
        made.verify_mode = ssl.CERT_OPTIONAL
        try:
            made.load_verify_locations(client_ca)
        except OSError as error:
            raise _error("tls_client_ca", client_ca, _reason(error)) from None
    return made


def _is_certificate(file: Path) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except OSError:
        return False
    return True


def _reason(error: Exception) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or "an encrypted key"


def _error(name: str, file: Path, reason: str) -> SettingError:
    return SettingError(f"{variable_of(name)}={str(file)!r} is not allowed: {reason}")


class Gate:
    """Accepts connections, and lets in those whose handshake succeeds.

    asyncio's own way (``create_server(ssl=…)``) tells nobody of the handshakes that are under way: thousands of clients
    that do not go on with theirs would take all of the process' files.

    :param make: the protocol of a connection whose handshake is over.
    :param failed: is told of each handshake that did not succeed.
    """

    def __init__(
        self,
        certificates: Watched[ssl.SSLContext],
        make: Callable[[], asyncio.Protocol],
        failed: Callable[[], None],
    ) -> None:
        self._certificates: Final = certificates
        self._make: Final = make
        self._failed: Final = failed
        self._shaking: Final[dict[asyncio.Task[object], None]] = {}
        self._accepting: list[asyncio.Task[None]] = []
        self._sockets: list[socket.socket] = []

    def open(self, sockets: Sequence[Listening]) -> None:
        """Listen on sockets that are bound.

        :raises OSError: if somebody else does.
        """
        for each in sockets:
            own = socket.fromfd(each.fileno(), each.family, each.type)
            self._sockets.append(own)
            own.settimeout(0)
            own.listen(_BACKLOG)
            accepting = asyncio.get_running_loop().create_task(self._accept(own), name="argus_exporter: TLS")
            self._accepting.append(accepting)

    async def close(self) -> None:
        """Accept no more, and give up what is not done yet."""
        for accepting in self._accepting:
            accepting.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        for each in self._sockets:
            each.close()
        self._accepting, self._sockets = [], []
        for shaking in self._shaking:
            shaking.cancel()
        await asyncio.gather(*self._shaking, return_exceptions=True)

    async def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                client, _ = await asyncio.get_running_loop().sock_accept(listening)
            except OSError:  # the client has gone, or the system has no file to give
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            try:
                context = await self._certificates.fresh()
            except BaseException:  # cancelled
                client.close()
                raise
            self._shake(client, context)
            # lets the handshake begin: one that is cancelled before would leave the socket to nobody
            await asyncio.sleep(0)

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
