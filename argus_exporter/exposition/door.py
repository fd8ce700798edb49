"""What answers on the server's port while the event loop stands still."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
import typing
from typing import Any, Final

if typing.TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

READ_SECONDS: Final = 2.0
"""How long a client may take for its request."""

CONNECTIONS: Final = 64
"""At once, a thread each; more wait in the system's queue."""

_MOST_BYTES: Final = 16 * 1024
_ROUND_SECONDS: Final = 0.05


class Listening(typing.Protocol):
    """What is needed of a socket that listens; uvloop's are none of Python's own."""

    @property
    def family(self) -> int:
        """Of its address."""
        ...

    @property
    def type(self) -> int:
        """A stream."""
        ...

    def fileno(self) -> int:
        """Its number."""
        ...

    def getsockname(self) -> Any:
        """Its address."""
        ...


class Door:
    """Accepts from the sockets that the event loop listens on, and gives all who come one answer.

    The kernel gives a connection to whoever accepts it first. While the loop stands still that is us, with copies of
    its sockets; those are closed when it goes on. A second port would need a setting of its own, and every probe would
    have to know it.

    On Windows the system has promised the next connection to the loop already: that one gets no answer.

    :param listening: the sockets.
    :param context: for TLS, or None.
    """

    def __init__(
        self, listening: Callable[[], Sequence[Listening]], context: Callable[[], ssl.SSLContext | None]
    ) -> None:
        self._listening: Final = listening
        self._context: Final = context
        self._places: Final = threading.BoundedSemaphore(CONNECTIONS)

    def stand(self, still: Callable[[], bool], answer: Callable[[], bytes]) -> None:
        """Answer for as long as ``still`` says so; it is asked every few hundredths of a second.

        :param answer: what is said, an HTTP response.
        :raises OSError: if the system has no file to give.
        """
        with contextlib.ExitStack() as stack:
            selector = stack.enter_context(selectors.DefaultSelector())
            for each in self._listening():
                own = stack.enter_context(socket.fromfd(each.fileno(), each.family, each.type))
                own.settimeout(0)
                selector.register(own, selectors.EVENT_READ)
            while still():
                for key, _ in selector.select(_ROUND_SECONDS) or self._rest(selector):
                    if still():  # the loop may have begun to turn while we waited
                        self._admit(typing.cast("socket.socket", key.fileobj), answer)

    def _rest(self, selector: selectors.BaseSelector) -> list[tuple[selectors.SelectorKey, int]]:
        """Windows cannot wait for nothing."""
        if not selector.get_map():
            time.sleep(_ROUND_SECONDS)
        return []

    def _admit(self, listening: socket.socket, answer: Callable[[], bytes]) -> None:
        if not self._places.acquire(timeout=_ROUND_SECONDS):
            return
        try:
            client, _ = listening.accept()
        except OSError:  # it has gone, or the loop was quicker
            self._places.release()
            return
        try:
            threading.Thread(target=self._serve, args=(client, answer), name="argus_exporter.door", daemon=True).start()
        except RuntimeError:  # the system gives no thread
            client.close()
            self._places.release()

    def _serve(self, client: socket.socket, answer: Callable[[], bytes]) -> None:
        try:
            with client, contextlib.suppress(OSError, ValueError):
                client.settimeout(READ_SECONDS)
                context = self._context()
                with client if context is None else context.wrap_socket(client, server_side=True) as peer:
                    head = _read(peer, time.monotonic() + READ_SECONDS)
                    top, between, body = answer().partition(b"\r\n\r\n")
                    peer.sendall(top + between + (b"" if head.startswith(b"HEAD ") else body))
        finally:
            self._places.release()


def _read(peer: socket.socket, deadline: float) -> bytes:
    """Read a request to the end of its head: a client whose words were not read might not get the answer."""
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _MOST_BYTES and (left := deadline - time.monotonic()) > 0:
        peer.settimeout(left)
        piece = peer.recv(4096)
        if not piece:
            break
        head += piece
    return head
