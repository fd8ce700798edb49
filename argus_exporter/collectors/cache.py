"""How much is remembered: members, and what discord.py's caches hold; what leaks shows here first."""

from __future__ import annotations

import typing
from typing import ClassVar

from argus_exporter.catalogue import CACHED_MESSAGES, CACHED_USERS, MEMBERS, MODALS, VIEWS
from argus_exporter.collectors.base import Collector, Context

if typing.TYPE_CHECKING:
    from argus_exporter.discordpy import ClientView


class CacheCollector(Collector):
    """Reads lengths; the members are kept from events. Nothing is walked over, however large the bot is."""

    noun: ClassVar[str] = "cache"

    def __init__(self, context: Context) -> None:
        assert context.client is not None  # noqa: S101 - collectors of the client are made with one
        self._view: ClientView = context.client
        self._view.guilds.follows_members = True
        gauge = context.instruments.gauge
        self._messages = gauge(CACHED_MESSAGES).labels()
        self._probed = [gauge(metric).labels() for metric in (MEMBERS, CACHED_USERS, VIEWS, MODALS)]

    @property
    def degraded(self) -> bool:
        """Whether one of them cannot be read in this version of discord.py."""
        return any(cell.value is None for cell in self._probed)

    def sample(self) -> None:
        """Bring the gauges up to date: O(1)."""
        guilds, caches = self._view.guilds, self._view.caches
        guilds.check()
        self._messages.set(caches.messages)
        for cell, value in zip(self._probed, (guilds.members, caches.users, caches.views, caches.modals), strict=True):
            cell.set(value)
