"""TLS for the server: certificates that may change, and handshakes that nobody can draw out."""

from __future__ import annotations

import asyncio
import ssl
import typing
from typing import Final

from argus_exporter.exposition.files import Watched
from argus_exporter.settings import SettingError, variable_of

if typing.TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HANDSHAKE_SECONDS: Final = 5.0
"""In which a client has to come to terms with us."""


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
    made.set_alpn_protocols(["http/1.1"])
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


class Handshake(asyncio.Protocol):
    """A connection until its TLS handshake is over; then another protocol has it.

    asyncio's own way (``create_server(ssl=…)``) tells nobody of the handshakes that are under way: thousands of clients
    that do not go on with theirs would take all of the process' files.

    :param make: the protocol of a connection whose handshake is over.
    :param begun: is told of the beginning.
    :param ended: is told of the end, and whether it was a good one.
    """

    def __init__(
        self,
        certificates: Watched[ssl.SSLContext],
        make: Callable[[], asyncio.Protocol],
        begun: Callable[[Handshake], None],
        ended: Callable[[Handshake, bool], None],
    ) -> None:
        self._certificates: Final = certificates
        self._make: Final = make
        self._begun: Final = begun
        self._ended: Final = ended
        self._abort: Final[list[Callable[[], object]]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; what the client says meanwhile waits."""
        plain = typing.cast("asyncio.Transport", transport)
        plain.pause_reading()
        plain.set_write_buffer_limits(high=1)  # as Reply does, which has only that of TLS in its hands
        shaking = asyncio.get_running_loop().create_task(self._shake(plain), name="argus_exporter: TLS")
        shaking.add_done_callback(self._done)
        self._abort.extend((plain.abort, shaking.cancel))
        self._begun(self)

    def abort(self) -> None:
        """Give it up."""
        for abort in self._abort:
            abort()

    async def _shake(self, plain: asyncio.Transport) -> None:
        early = _Early()
        secure = await asyncio.get_running_loop().start_tls(
            plain,
            early,
            await self._certificates.fresh(),
            server_side=True,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
            ssl_shutdown_timeout=HANDSHAKE_SECONDS,
        )
        if secure is None:
            raise ConnectionAbortedError
        if not early.lost:
            early.hand_over(secure, self._make())

    def _done(self, shaking: asyncio.Task[None]) -> None:
        well = not shaking.cancelled() and shaking.exception() is None
        if not well:
            self.abort()
        self._ended(self, well)


class _Early(asyncio.Protocol):
    """Keeps what came right behind the handshake."""

    def __init__(self) -> None:
        self.lost = False
        self._data: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self._data.append(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.lost = True

    def hand_over(self, transport: asyncio.Transport, protocol: asyncio.Protocol) -> None:
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        for data in self._data:
            protocol.data_received(data)
