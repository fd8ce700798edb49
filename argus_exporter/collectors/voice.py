"""The voice clients of this process, and how many of them play."""

from __future__ import annotations

import typing
from typing import ClassVar

from argus_exporter.catalogue import VOICE_CONNECTIONS, VOICE_PLAYING
from argus_exporter.collectors.base import Collector, Context

if typing.TYPE_CHECKING:
    from argus_exporter.discordpy import ClientView


class VoiceCollector(Collector):
    """Asks each voice client, by the public way: there is one a guild at most."""

    noun: ClassVar[str] = "voice"

    def __init__(self, context: Context) -> None:
        assert context.client is not None  # noqa: S101 - collectors of the client are made with one
        self._view: ClientView = context.client
        self._connections = context.instruments.gauge(VOICE_CONNECTIONS).labels()
        self._playing = context.instruments.gauge(VOICE_PLAYING).labels()

    def sample(self) -> None:
        """Bring the gauges up to date: O(voice clients)."""
        clients = self._view.client.voice_clients
        self._connections.set(len(clients))
        self._playing.set(None)  # while one of them raises
        playing = [is_playing(client) for client in clients]
        self._playing.set(None if None in playing else playing.count(True))


def is_playing(client: object) -> bool | None:
    """Whether a voice client plays; None where it does not say.

    discord.py's own has ``is_playing()``; those of Lavalink libraries have that, or a property of that name, or
    ``playing``.
    """
    told = getattr(client, "is_playing", getattr(client, "playing", None))
    playing = told() if callable(told) else told
    return playing if isinstance(playing, bool) else None
