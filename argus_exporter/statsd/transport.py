"""Datagrams to a StatsD server, over UDP (IPv4, IPv6) or a unix socket: never waits or raises, counts what is lost."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import math
import socket
import sys
import time
import typing
from typing import ClassVar, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from argus_exporter.catalogue import TRANSPORT_DROPS

if typing.TYPE_CHECKING:
    from collections.abc import Callable

PORT: Final = 8125
"""Where StatsD servers listen, if the URL does not say."""

PATH_LIMIT: Final = 1432
"""Bytes that pass every usual path in one piece: an Ethernet frame of 1,500 less IPv6's and UDP's headers, and a
tunnel's."""

LOCAL_LIMIT: Final = 8192
"""Bytes of a datagram that does not leave the machine."""

_UNIX_LIMIT: Final = 2048 if sys.platform == "darwin" else LOCAL_LIMIT  # macOS: net.local.dgram.maxdgram
_FULL: Final = (errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS)  # the last is what the BSDs say of a full queue
_OWN_FAULTS: Final = (*_FULL, errno.EMSGSIZE)


class _Place(NamedTuple):
    """Where datagrams go: what a socket is made of, and connected to."""

    family: int
    address: tuple[str | int | bytes, ...] | str


class Transport:
    """A socket that follows the address of a StatsD server.

    A name is resolved in the background: at the start, every ``refresh`` seconds, and after errors, first after
    ``retry`` seconds and then ever more slowly. Where a name has several addresses, the next one is tried when nobody
    listens. All of it belongs to the thread of the event loop that :meth:`start` runs on.

    :param url: ``udp://host:8125``, ``udp://[::1]:8125`` or ``unixgram:///path``.
    :param limit: bytes of payload that a datagram may have; :data:`PATH_LIMIT` if not given, :data:`LOCAL_LIMIT` where
        the server is on this machine.
    :param note: is told of each error of the network, which is counted anyway.
    :raises ValueError: if the URL is none of these.
    :ivar datagrams: how many were given to the operating system.
    :ivar bytes: how many those had.
    :ivar errors: failures of the network and of name resolution.
    :ivar dropped: samples that were lost, by reason, as far as the operating system tells.
    """

    refresh: ClassVar[float] = 60.0
    retry: ClassVar[float] = 1.0

    def __init__(
        self, url: str, *, limit: int | None = None, note: Callable[[BaseException], object] | None = None
    ) -> None:
        self._host, self._port, self._path = parsed(url)
        self._limit = limit
        self._note = note
        self._socket: socket.socket | None = None
        self._place: _Place | None = None
        self._resolved = math.nan
        self._refusals = 0
        self._last = 0
        self._closed = False
        self._trouble = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self.datagrams = self.bytes = self.errors = 0
        self.dropped: Final[dict[str, int]] = dict.fromkeys(TRANSPORT_DROPS, 0)

    @property
    def ready(self) -> bool:
        """Whether there is an address to send to."""
        return self._socket is not None

    @property
    def limit(self) -> int:
        """Bytes of payload that a datagram may have."""
        return self._limit or (_UNIX_LIMIT if self._path else LOCAL_LIMIT if self._is_local() else PATH_LIMIT)

    def _is_local(self) -> bool:
        return self._place is not None and ipaddress.ip_address(str(self._place.address[0])).is_loopback

    @property
    def address_age(self) -> float | None:
        """Seconds since the address was last confirmed; None while there is none."""
        return None if self._socket is None else time.monotonic() - self._resolved

    # ------------------------------------------------------------------------------------- life

    async def start(self) -> None:
        """Begin to follow the address, and return at once. An address that needs no name server is there already."""
        if self._following is None and not self._closed:
            with contextlib.suppress(OSError):
                self._connect(self._literal())
            self._following = asyncio.create_task(self._follow(), name="argus_exporter:statsd address")

    def shut(self) -> asyncio.Task[None] | None:
        """Close at once; what is returned ends a moment later."""
        self._closed = True
        self._disconnect()
        if self._following is not None:
            self._following.cancel()
        return self._following

    async def close(self) -> None:
        """Give back the socket and the task; a lookup that hangs is not waited for."""
        if (following := self.shut()) is not None:
            await asyncio.gather(following, return_exceptions=True)

    # ------------------------------------------------------------------------------------- the address

    async def _follow(self) -> None:
        failed = 0
        while True:
            failed = 0 if await self._find() else failed + 1
            await asyncio.sleep(self.retry)
            pause = self.retry * 2 ** min(failed, 10) if failed else self.refresh
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(pause, self.refresh)):
                    await self._trouble.wait()

    async def _find(self) -> bool:
        """Look the name up, and connect. Whether there is an address now."""
        try:
            self._connect(await self._places())
        except Exception as error:  # noqa: BLE001 - a name may be no name at all: UnicodeError
            self._failed(error)
            return False
        return True

    async def _places(self) -> list[_Place]:
        """All addresses of the server; a name is looked up even if it has been before.

        :raises OSError: if the name is not known.
        """
        try:
            return self._literal()
        except OSError:
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)
            return [_Place(each[0], each[4]) for each in found]

    def _literal(self) -> list[_Place]:
        """The address that the URL itself is.

        :raises OSError: if it is a name.
        """
        if self._path:
            return [_Place(socket.AF_UNIX, self._path)]
        found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)
        return [_Place(each[0], each[4]) for each in found]

    def _connect(self, places: list[_Place]) -> None:
        """Connect to the first place that can be reached, or stay where all is well.

        :raises OSError: if there is none.
        """
        if self._socket is None or self._place not in places or self._trouble.is_set():
            turn = self._refusals % len(places)
            self._connect_anew([*places[turn:], *places[:turn]])
        self._trouble.clear()
        self._resolved = time.monotonic()

    def _connect_anew(self, places: list[_Place]) -> None:
        self._disconnect()
        for place in places:
            try:
                self._socket, self._place, self._last = _connected(place), place, 0
            except OSError:
                if place is places[-1]:
                    raise
            else:
                return

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    # ------------------------------------------------------------------------------------- datagrams

    def send(self, datagram: bytes, samples: int = 1) -> bool:
        """Send a datagram now or never. Never waits, never raises; False if it was dropped, which is counted.

        :param samples: how many go lost with it.
        """
        if self._socket is None:
            return self._drop("closed" if self._closed else "unresolved", samples)
        try:
            self._give(self._socket, datagram)
        except OSError as error:
            return self._drop(self._why(error), samples)
        self.datagrams += 1
        self.bytes += len(datagram)
        self._last = samples
        return True

    def _give(self, to: socket.socket, datagram: bytes) -> None:
        """Give a datagram to the operating system.

        :raises OSError: if it does not take it.
        """
        try:
            to.send(datagram)
        except OSError as error:
            if self._path or error.errno in _OWN_FAULTS:
                raise
            # it speaks of a datagram before, whose ICMP message has come meanwhile
            self._note_trouble(error)
            self.dropped["refused"] += self._last
            self._last = 0
            to.send(datagram)

    def _why(self, error: OSError) -> str:
        if error.errno in _FULL:
            return "buffer"
        if error.errno == errno.EMSGSIZE:
            return "too_long"
        self._note_trouble(error)
        return "refused" if isinstance(error, ConnectionError) else "error"

    def _drop(self, reason: str, samples: int) -> bool:
        self.dropped[reason] += samples
        return False

    def _note_trouble(self, error: OSError) -> None:
        """See to it that the address is looked for anew, and the next one taken where there are several."""
        self._refusals += 1
        self._trouble.set()
        self._failed(error)

    def _failed(self, error: BaseException) -> None:
        self.errors += 1
        if self._note is not None:
            with contextlib.suppress(Exception):
                self._note(error)


def _connected(place: _Place) -> socket.socket:
    made = socket.socket(place.family, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)  # noqa: FBT003 - the socket's own signature
        made.connect(place.address)
    except OSError:
        made.close()
        raise
    return made


def parsed(url: str) -> tuple[str, int, str]:
    """Host and port, or the path of a unix socket.

    :raises ValueError: if it is neither.
    """
    with contextlib.suppress(ValueError):  # what urlsplit says of brackets and ports
        parts = urlsplit(url)
        port = PORT if parts.port is None else parts.port
        odd = parts.query or parts.fragment or parts.username is not None
        if parts.scheme == "udp" and parts.hostname and port and not (odd or parts.path.strip("/")):
            return unquote(parts.hostname), port, ""
        if (
            parts.scheme == "unixgram"
            and len(parts.path) > 1
            and not (odd or parts.netloc)
            and hasattr(socket, "AF_UNIX")
        ):
            return "", 0, unquote(parts.path)
    msg = f"{url!r} is no StatsD server: udp://host:{PORT}, udp://[::1]:{PORT}, or, except on Windows, unixgram:///path"
    raise ValueError(msg)
