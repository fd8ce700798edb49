"""What users, guilds, channels and threads are called: kept of those that events refer to, and of what changes.

So it costs a look into a bounded table per event, and never a walk over a guild. Everything is read from discord.py's
caches by its public methods; what is not cached is not told.
"""

from __future__ import annotations

import functools
import time
import typing
from collections import OrderedDict
from typing import Any, Final

import discord

from argus_exporter.analytics.events import (
    TEXT_LENGTH,
    CategoryRow,
    ChannelRow,
    GuildRow,
    MemberRow,
    ThreadRow,
    UserRow,
)

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from argus_exporter.analytics.events import Row

REMEMBERED: Final = 50_000
"""Of how many guilds, channels and users it is known that their rows were told; others are told again."""

AGAIN_SECONDS: Final = 86_400.0
"""After which the rows of what events refer to are told again."""

_WORDS: Final = 4096

_PERSON: Final = (discord.User, discord.Member)  # a union would be made at each look


@functools.lru_cache(_WORDS)
def clean(text: str) -> str:
    """Return a text as every database takes it: in UTF-8, without NUL, of :data:`TEXT_LENGTH` characters at most."""
    return text[:TEXT_LENGTH].encode("utf-8", "replace").decode().replace("\0", "")


def milliseconds(moment: datetime | None) -> int | None:
    """Return a time with a time zone as milliseconds since 1970."""
    return None if moment is None else int(moment.timestamp() * 1000)


class Names:
    """Tells the rows of what events refer to, each at most once in :data:`AGAIN_SECONDS`, and of what changes.

    :param people: whether users and members may be told of, too.
    """

    def __init__(self, client: discord.Client, emit: Callable[[Row], None], *, people: bool) -> None:
        self._client: Final = client
        self._emit: Final = emit
        self._people: Final = people
        self._told: OrderedDict[tuple[int, int], float] = OrderedDict()
        self.now: Callable[[], float] = time.time

    # ------------------------------------------------------------------------------------- what events refer to

    def place(self, guild_id: int, channel_id: int) -> None:
        """An event came from there."""
        guild = self._client.get_guild(guild_id) if guild_id else None
        if guild is None:
            return
        if self._is_new(guild_id, 0):
            self.guild(guild)
        if channel_id and self._is_new(guild_id, channel_id):
            channel = guild.get_channel_or_thread(channel_id)
            if channel is not None:
                self.channel(channel)

    def person(self, guild_id: int, user: discord.User | discord.Member | Mapping[str, Any] | None) -> None:
        """An event came from them.

        :param user: discord.py's, or what the gateway tells of them.
        """
        if not self._people or user is None:
            return
        user_id = user.id if isinstance(user, _PERSON) else int(user["id"])
        if self._is_new(0, user_id):
            self._emit(self._row_of(user))
        if guild_id and self._is_new(-guild_id, user_id):
            member = user if isinstance(user, discord.Member) else self._cached(guild_id, user_id)
            if member is not None:
                self.member(member)

    def _cached(self, guild_id: int, user_id: int) -> discord.Member | None:
        guild = self._client.get_guild(guild_id)
        return None if guild is None else guild.get_member(user_id)

    def _is_new(self, kind: int, subject: int) -> bool:
        now, key = self.now(), (kind, subject)
        if now - self._told.get(key, 0.0) < AGAIN_SECONDS:
            return False
        self._told[key] = now
        self._told.move_to_end(key)
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        return True

    @property
    def _moment(self) -> int:
        return int(self.now() * 1000)

    # ------------------------------------------------------------------------------------- what is known of something

    def user(self, user: discord.User | discord.Member) -> None:
        """Tell of a user."""
        if self._people:
            self._emit(self._row_of(user))

    def _row_of(self, user: discord.User | discord.Member | Mapping[str, Any]) -> UserRow:
        if isinstance(user, _PERSON):
            return UserRow(user.id, self._moment, clean(user.name), user.bot, user.public_flags.value)
        name, flags = clean(str(user.get("username", ""))), int(user.get("public_flags") or 0)
        return UserRow(int(user["id"]), self._moment, name, bool(user.get("bot")), flags)

    def member(self, member: discord.Member, *, here: bool = True) -> None:
        """Tell of a user in a guild."""
        if self._people:
            joined, flags = milliseconds(member.joined_at), member.flags.value
            row = MemberRow(member.guild.id, member.id, self._moment, joined, here, member.pending, flags)
            self._emit(row)

    def gone(self, guild_id: int, user: discord.User | discord.Member) -> None:
        """Tell that a user is in a guild no longer."""
        if isinstance(user, discord.Member):
            self.member(user, here=False)
        elif self._people:
            self._emit(MemberRow(guild_id, user.id, self._moment, None, False, False, 0))  # noqa: FBT003
        self._told.pop((-guild_id, user.id), None)

    def guild(self, guild: discord.Guild, *, here: bool = True) -> None:
        """Tell of a guild."""
        self._emit(GuildRow(guild.id, self._moment, clean(guild.name or ""), here))

    def channel(self, channel: Any, *, here: bool = True) -> None:
        """Tell of a channel, a category or a thread, and of what that is in."""
        if isinstance(channel, discord.Thread):
            self._emit(_thread(channel, self._moment, here=here))
            self.place(channel.guild.id, channel.parent_id)
        elif isinstance(channel, discord.CategoryChannel):
            name = clean(channel.name)
            self._emit(CategoryRow(channel.id, self._moment, channel.guild.id, name, here))
        else:
            self._emit(_channel(channel, self._moment, here=here))
            self.place(channel.guild.id, channel.category_id or 0)

    # ------------------------------------------------------------------------------------- what changes

    def events(self) -> dict[str, Callable[[Any], None]]:
        """The client's events by which a name changes, or something goes; with what their last argument is told to."""
        return {
            "user_update": self.user,
            "member_join": self.member,
            "member_update": self.member,
            "raw_member_remove": lambda payload: self.gone(payload.guild_id, payload.user),
            "guild_join": self.guild,
            "guild_update": self.guild,
            "guild_remove": lambda guild: self.guild(guild, here=False),
            "guild_channel_create": self.channel,
            "guild_channel_update": self.channel,
            "guild_channel_delete": lambda channel: self.channel(channel, here=False),
            "thread_create": self.channel,
            "thread_update": self.channel,
            "thread_delete": lambda thread: self.channel(thread, here=False),
        }


def _channel(channel: Any, now: int, *, here: bool) -> ChannelRow:
    category, nsfw = channel.category_id or 0, bool(getattr(channel, "nsfw", False))
    return ChannelRow(
        channel.id, now, channel.guild.id, category, clean(channel.name), clean(channel.type.name), nsfw, here
    )


def _thread(thread: discord.Thread, now: int, *, here: bool) -> ThreadRow:
    return ThreadRow(
        thread.id,
        now,
        thread.guild.id,
        thread.parent_id,
        clean(thread.name),
        clean(thread.type.name),
        thread.archived,
        thread.locked,
        thread.auto_archive_duration,
        here,
    )
