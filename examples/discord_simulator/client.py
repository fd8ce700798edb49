"""Point discord.py at a simulator, and back. The only module here that knows discord.py, and only while it is used."""

from __future__ import annotations

from typing import Any, Self


class Pointing:
    """What `point_at` changed; `undo` puts it back. Also a context manager."""

    def __init__(self, changed: list[tuple[Any, str, Any]]) -> None:
        self._changed = changed

    def undo(self) -> None:
        """Put discord.py's own addresses back; a second call does nothing."""
        while self._changed:
            owner, name, value = self._changed.pop()
            setattr(owner, name, value)

    close = undo

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.undo()


def point_at(url: str) -> Pointing:
    """Make every discord.py client of this process use the simulator at `url` (`http://host:port`) from now on.

    Changes `Route.BASE` (REST), `DiscordWebSocket.DEFAULT_GATEWAY` and `Asset.BASE` (CDN); nothing else of discord.py.
    """
    import discord  # noqa: PLC0415  the server itself must run where discord.py is not installed
    import yarl  # noqa: PLC0415
    from discord.gateway import DiscordWebSocket  # noqa: PLC0415
    from discord.http import Route  # noqa: PLC0415

    base = url.rstrip("/")
    wanted: list[tuple[Any, str, Any]] = [
        (Route, "BASE", f"{base}/api/v10"),
        (DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(base.replace("http", "ws", 1) + "/gateway")),
        (discord.Asset, "BASE", f"{base}/cdn"),
    ]
    changed: list[tuple[Any, str, Any]] = []
    for owner, name, value in wanted:
        changed.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)
    return Pointing(changed)
