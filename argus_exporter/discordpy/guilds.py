"""Guilds by shard and their members, without a walk over them."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import contextlib
import math
import time
import typing
from typing import Any, Final

import discord

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

RECOUNT_SECONDS: Final = 60.0
"""How often at most the guilds are counted anew where they cannot be followed."""


MEMBER_EVENTS: Final = ("GUILD_MEMBER_ADD", "GUILD_MEMBER_REMOVE")
"""Dispatches that change nothing but the number of a guild's members."""


class GuildLedger:
    """Guilds by shard, and their members, kept from the dispatches as discord.py's own cache takes them in.

    :ivar total: guilds in the cache by shard, unavailable ones included.
    :ivar unavailable: those of them that are unavailable.
    :ivar expected: guilds that READY of a shard's last new session named, less those that were left since.
    :ivar pending: those of them that have not become available yet; empties as the shard starts.
    :ivar follows_members: whether to keep :attr:`members`; to be set before it opens.
    """

    _parsers: dict[str, Callable[[Any], None]]
    _active: bool

    def __init__(self, client: discord.Client, guard: Callable[..., None]) -> None:
        self.total: dict[int, int] = {}
        self.unavailable: dict[int, int] = {}
        self.expected: dict[int, int] = {}
        self.pending: dict[int, set[int]] = {}
        self.follows_members = False
        self._members = 0
        self._client = client
        self._guard = guard
        self._wrapped: dict[str, tuple[Callable[[Any], None], Callable[[Any], None]]] = {}
        self._counted_at = -math.inf

    def open(self, state: Any) -> None:
        """Count once, then follow the dispatches that change the cache."""
        self._parsers = getattr(state, "parsers", {})
        self._active = True
        self._count()
        self._wrap("READY", lambda parser: self._following(parser, self._ready))
        for event in ("GUILD_CREATE", "GUILD_UPDATE", "GUILD_DELETE"):
            self._wrap(event, lambda parser: self._following(parser, self._changed))
        for event in MEMBER_EVENTS if self.follows_members else ():
            self._wrap(event, self._counting)

    def _wrap(self, event: str, wrap: Callable[[Callable[[Any], None]], Callable[[Any], None]]) -> None:
        parser = self._parsers.get(event)
        if parser is not None:
            self._parsers[event] = wrapper = wrap(parser)
            self._wrapped[event] = (wrapper, parser)

    def close(self) -> None:
        """Give the parsers back."""
        self._active = False
        for event, (wrapper, parser) in self._wrapped.items():
            if self._parsers.get(event) is wrapper:
                self._parsers[event] = parser

    @property
    def members(self) -> int | None:
        """The sum of the guilds' ``member_count``; None where they cannot be followed.

        discord.py's own count of a guild falls by one for each GUILD_MEMBER_REMOVE, also for one that comes twice: the
        sum is what it is, but never less than none.
        """
        return max(self._members, 0) if all(event in self._wrapped for event in MEMBER_EVENTS) else None

    def count(self) -> int:
        """Guilds in discord.py's cache."""
        guilds = self._cache()
        return len(guilds)

    def check(self) -> None:
        """Count anew where the cache has changed behind our back, at most once a minute; O(1) otherwise."""
        if sum(self.total.values()) != self.count() or not self._wrapped:
            now = time.perf_counter()
            if now - self._counted_at >= RECOUNT_SECONDS:
                self._count()

    def _cache(self) -> Mapping[int, discord.Guild]:
        state = getattr(self._client, "_connection", None)
        guilds: Mapping[int, discord.Guild] | None = getattr(state, "_guilds", None)
        return {guild.id: guild for guild in self._client.guilds} if guilds is None else guilds

    def shard_of(self, guild_id: int) -> int:
        """The shard of a guild in this client."""
        if isinstance(self._client, discord.AutoShardedClient):
            return (guild_id >> 22) % (self._client.shard_count or 1)
        return self._client.shard_id or 0

    def _count(self) -> None:
        self._counted_at = time.perf_counter()
        self.total, self.unavailable, self._members = {}, {}, 0
        for guild_id, guild in self._cache().items():
            self._add(guild_id, *_facts(guild))

    def _add(self, guild_id: int, present: int, unavailable: int, members: int) -> None:
        shard_id = self.shard_of(guild_id)
        self._members += members
        self.total[shard_id] = self.total.get(shard_id, 0) + present
        self.unavailable[shard_id] = self.unavailable.get(shard_id, 0) + unavailable

    def _state(self, guild_id: int) -> tuple[int, int, int]:
        guild = self._client.get_guild(guild_id)
        return (0, 0, 0) if guild is None else _facts(guild)

    def _following(
        self, parser: Callable[[Any], None], note: Callable[[Any, dict[int, tuple[int, int, int]]], None]
    ) -> Callable[[Any], None]:
        def parse(data: Any) -> None:
            before: dict[int, tuple[int, int, int]] = {}
            if self._active:
                self._guard("shards", lambda: before.update({each: self._state(each) for each in _guild_ids(data)}))
            try:
                parser(data)
            finally:
                if self._active:
                    self._guard("shards", note, data, before)

        return parse

    def _counting(self, parser: Callable[[Any], None]) -> Callable[[Any], None]:
        """As :meth:`_following`, in less time: when many join at once, there are many of these."""

        def parse(data: Any) -> None:
            guild, before = None, 0
            with contextlib.suppress(Exception):  # what is wrong with the frame is the parser's to say
                guild = self._client.get_guild(int(data["guild_id"]))
                before = 0 if guild is None else guild.member_count or 0
            try:
                parser(data)
            finally:
                if guild is not None:
                    self._members += (guild.member_count or 0) - before

        return parse

    def _ready(self, data: Any, before: dict[int, tuple[int, int, int]]) -> None:
        if isinstance(self._client, discord.AutoShardedClient):
            self._changed(data, before)
            shard_id = int(data["shard"][0])
        else:
            self._count()  # a plain client has emptied its cache
            shard_id = self._client.shard_id or 0
        self.expected[shard_id] = len(before)
        self.pending[shard_id] = {each for each in before if self._state(each)[1]}

    def _changed(self, data: Any, before: dict[int, tuple[int, int, int]]) -> None:  # noqa: ARG002
        for guild_id, (present, unavailable, members) in before.items():
            now_present, now_unavailable, now_members = self._state(guild_id)
            self._add(guild_id, now_present - present, now_unavailable - unavailable, now_members - members)
            pending = self.pending.get(self.shard_of(guild_id), set())
            if guild_id in pending and not now_unavailable:
                pending.discard(guild_id)
                self.expected[self.shard_of(guild_id)] -= 1 - now_present


def _facts(guild: discord.Guild) -> tuple[int, int, int]:
    """Whether it is there, whether it is unavailable, and how many members it has."""
    return 1, int(bool(guild.unavailable)), guild.member_count or 0


def _guild_ids(data: Any) -> list[int]:
    """The guilds that a READY, GUILD_CREATE, GUILD_UPDATE or GUILD_DELETE is about."""
    return [int(guild["id"]) for guild in data["guilds"]] if "guilds" in data else [int(data["id"])]
