"""One websocket of a shard: what can be read of it, and how it ended."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import math
import time
import typing
from typing import Any, Final

from argus_exporter.catalogue import FATAL_CLOSE_CODES
from argus_exporter.discordpy.patches import Patches

if typing.TYPE_CHECKING:
    from discord.gateway import DiscordWebSocket, KeepAliveHandler

CLOSE_CODE: Final = 4000
"""The code with which discord.py closes a websocket that it wants to resume."""


class Heart(typing.NamedTuple):
    """What can be read of a shard's websocket at a sample. Times are those of ``time.perf_counter``, in seconds.

    :ivar answered: when the last heartbeat that was answered was sent; before the first answer, one interval before
        the first heartbeat.
    """

    open: bool = False
    rate_limited: bool = False
    sequence: int | None = None
    interval: float | None = None
    last_beat: float | None = None
    latency: float | None = None
    last_ack: float | None = None
    answered: float | None = None


class Socket:
    """One websocket of a shard, and the patches on it."""

    __slots__ = ("closed", "keep_alive", "patches", "shard_id", "ws")

    def __init__(self, ws: DiscordWebSocket) -> None:
        self.ws = ws
        self.shard_id: int = getattr(ws, "shard_id", None) or 0
        self.closed = False
        self.keep_alive: KeepAliveHandler | None
        self.patches = Patches()
        self.keep_beats()

    def keep_beats(self) -> None:
        """Keep the heartbeats, which HELLO brings and a close takes away: they tell whose close it was."""
        self.keep_alive = getattr(self.ws, "_keep_alive", None)

    @property
    def is_over(self) -> bool:
        """Whether the websocket has ended. discord.py before 2.7 does not close one that Discord has closed."""
        socket = self.ws.socket
        return socket.closed or socket.close_code is not None

    def close_reason(self, code: int | None, *, closing: bool) -> tuple[str, str]:
        """The close code and who began it; ``code`` is the one with which it is being closed, if it is."""
        sent: int | None = getattr(self.ws, "_close_code", None)
        received = self.ws.socket.close_code
        if sent is not None:
            return str(sent), self._who_closed(sent, closing=closing)
        if received == 1000 and not getattr(self.ws.socket, "_closing", True):  # noqa: PLR2004
            return "1006", "server"  # aiohttp says 1000 for a connection that ended without a close frame
        if self.ws.socket.closed or received not in {None, 1006}:
            return str(received or "none"), "server"
        return str(code or "none"), "client"

    def _who_closed(self, sent: int, *, closing: bool) -> str:
        """discord.py closes with 4000 for op 7, op 9 and a missed ACK alike, and with 1000 for op 9 and for itself."""
        if closing:
            return "client"
        if sent == CLOSE_CODE:
            return "client" if self._is_silent() else "server"
        return "server" if self.ws.session_id is None else "client"

    def _is_silent(self) -> bool:
        beats = self.keep_alive
        return beats is not None and time.perf_counter() - beats._last_recv > 0.9 * beats.heartbeat_timeout


def is_fatal(code: str) -> bool:
    """Whether a close code ends the client."""
    return code in map(str, FATAL_CLOSE_CODES)


def heart_of(ws: DiscordWebSocket, *, is_open: bool) -> Heart:
    """Read a websocket; ``is_open`` is known to the caller. At a scrape, for each shard."""
    beats: Any = getattr(ws, "_keep_alive", None)
    if beats is None:
        return Heart(is_open, ws.is_ratelimited(), ws.sequence)
    latency, last_ack = beats.latency, beats._last_ack
    facts = (is_open, ws.is_ratelimited(), ws.sequence, beats.interval, beats._last_send)
    if math.isfinite(latency):
        # an ACK that is quicker than the thread which notes when the heartbeat went out is measured from the one before
        latency %= beats.interval or math.inf
        return Heart(*facts, latency, last_ack, last_ack - latency)
    # before the first ACK, discord.py's time of the last one is when it made the handler and sent the first heartbeat
    return Heart(*facts, None, None, last_ack - (beats.interval or 0.0))
