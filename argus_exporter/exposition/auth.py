"""Who may have the metrics."""

from __future__ import annotations

import base64
import binascii
import typing
from typing import Final

from argus_exporter.exposition.files import Watched
from argus_exporter.exposition.reply import Reply
from argus_exporter.settings import SettingError, Tokens, read_tokens, variable_of

if typing.TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from aiohttp.web_request import BaseRequest
    from aiohttp.web_response import StreamResponse

    Handler = Callable[[BaseRequest], Awaitable[StreamResponse]]

_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="argus_exporter", Basic realm="argus_exporter", charset="UTF-8"'}


class Access(typing.Protocol):
    """What is read of the settings."""

    @property
    def token(self) -> Tokens:
        """Secrets."""
        ...

    @property
    def token_file(self) -> Path | None:
        """More of them."""
        ...

    @property
    def tls_client_ca(self) -> Path | None:
        """Whether a client needs a certificate: the TLS handshake has checked the one that it has."""
        ...


class Guard:
    """Lets those in who have a token, and a certificate: whatever of these is set.

    A token is right as ``Authorization: Bearer TOKEN``, and as the password of basic auth with any user name.
    A token ``name:password`` is right for that name too. All are compared as bytes, in constant time.

    :param refused: is told of each request that was refused.
    :raises SettingError: if the file of tokens cannot be read.
    """

    def __init__(self, settings: Access, refused: Callable[[], None]) -> None:
        self._given: Final = settings.token
        self._file: Final = settings.token_file
        self._certificate: Final = settings.tls_client_ca is not None
        self._refused: Final = refused
        self._tokens: Final = Watched([self._file], self._read)

    @property
    def asks(self) -> bool:
        """Whether anything is asked of a client at all."""
        return self._certificate or bool(self._tokens.current)

    def guarded(self, handler: Handler) -> Handler:
        """A handler that answers 401 to those who may not have what ``handler`` has."""

        async def guard(request: BaseRequest) -> StreamResponse:
            if await self._admits(request):
                return await handler(request)
            self._refused()
            reply = Reply.text("401: a token or certificate is missing", status=401, headers=_CHALLENGE)
            await reply.send(request)
            return reply

        return guard

    def close(self) -> None:
        """Let the thread that reads the file end."""
        self._tokens.close()

    def _read(self) -> Tokens:
        if self._file is None:
            return self._given
        try:
            return self._given | read_tokens(self._file)
        except (OSError, ValueError):
            msg = f"{variable_of('token_file')}={str(self._file)!r} is not allowed: no text file with a token in it"
            raise SettingError(msg) from None

    async def _admits(self, request: BaseRequest) -> bool:
        transport = request.transport
        if self._certificate and not (transport is not None and transport.get_extra_info("peercert")):
            return False
        tokens = await self._tokens.fresh()
        secrets = _secrets(request.headers.get("Authorization", ""))
        return not tokens or any([tokens.admit(secret) for secret in secrets])  # noqa: C419 - each takes its time


def _secrets(header: str) -> Iterator[bytes]:
    """What a header offers, as it was on the wire: aiohttp keeps bytes that are no UTF-8 as surrogates."""
    scheme, _, rest = header.partition(" ")
    secret = rest.strip().encode(errors="surrogateescape")
    if scheme.lower() == "bearer":
        yield secret
    elif scheme.lower() == "basic":
        try:
            pair = base64.b64decode(secret)
        except binascii.Error:
            return
        yield pair
        yield pair.partition(b":")[2]
