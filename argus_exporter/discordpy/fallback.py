"""What the public API alone can tell of the gateway."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import typing

from argus_exporter.discordpy.dispatch import checking

if typing.TYPE_CHECKING:
    from argus_exporter.discordpy.view import ClientView


class Fallback:
    """What the public API alone can tell of the gateway, for a discord.py whose inside is not as we know it."""

    def __init__(self, view: ClientView) -> None:
        self._view = view

    def start(self) -> None:
        """Park on the events that stand for the gateway's."""
        view = self._view
        view.on_check("socket_event_type", checking(view.events, self._rare))
        if view.is_sharded:
            view.on("shard_connect", self._connected)
            view.on("shard_resumed", self._resumed)
            view.on("shard_disconnect", self._disconnected)
        else:
            own = view.client.shard_id or 0
            view.on("connect", lambda: self._connected(own))
            view.on("resumed", lambda: self._resumed(own))
            view.on("disconnect", lambda: self._disconnected(own))
        for ws in view.held_sockets():
            shard_id = ws.shard_id or 0
            if ws.open:
                self._opened(shard_id, ready=ws.sequence is not None)
            else:
                view.lose(shard_id)

    def _rare(self, event: object) -> None:
        self._view.tell(lambda listener: listener.counted(event))

    def _opened(self, shard_id: int, *, ready: bool = False) -> None:
        self._view.tell(lambda listener: listener.opened(shard_id, resuming=False, ready=ready))

    def _connected(self, shard_id: int) -> None:
        self._opened(shard_id)
        self._view.tell(lambda listener: listener.began(shard_id, "identify"))

    def _resumed(self, shard_id: int) -> None:
        self._opened(shard_id)
        self._view.tell(lambda listener: listener.began(shard_id, "resume"))

    def _disconnected(self, shard_id: int) -> None:
        self._view.tell(lambda listener: listener.closed(shard_id, None))
