"""What systemd wants to hear of a service (sd_notify(3))."""

from __future__ import annotations

import contextlib
import socket
import typing
from typing import Final

if typing.TYPE_CHECKING:
    from argus_exporter.settings import Supervisor


class Notifier:
    """Sends it, from any thread; a socket that is away or full changes nothing.

    :raises OSError: if the system has no such sockets, or no file to give.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._watchdog: Final = supervisor.watchdog
        self._address: Final = supervisor.address
        self._socket: Final = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(0)
        if self._watchdog is not None:  # it was turned off by a close before
            self.tell(f"WATCHDOG_USEC={self._watchdog * 1e6:.0f}")

    def tell(self, *lines: str) -> None:
        """Send assignments such as ``READY=1`` in one datagram."""
        with contextlib.suppress(OSError):
            self._socket.sendto("\n".join(lines).encode(), self._address)

    def close(self) -> None:
        """Let it wait for nothing more: the exporter may be unloaded from a bot that goes on."""
        if self._watchdog is not None:
            self.tell("WATCHDOG_USEC=0")
        self._socket.close()
