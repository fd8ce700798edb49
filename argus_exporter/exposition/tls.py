"""TLS for the server: certificates that may change."""

from __future__ import annotations

import ssl
import typing

from argus_exporter.exposition.files import Watched
from argus_exporter.settings import SettingError, variable_of

if typing.TYPE_CHECKING:
    from pathlib import Path


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
    if "PEM lib" in str(error):
        return "there is nothing in PEM in it that fits"
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or "an encrypted key"


def _error(name: str, file: Path, reason: str) -> SettingError:
    return SettingError(f"{variable_of(name)}={str(file)!r} is not allowed: {reason}")
