"""A made-up Discord: guilds with members and channels, and the zlib-streams of what happens there."""

from __future__ import annotations

import dataclasses
import json
import random
import time
import typing
import zlib
from typing import Any, Final

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Json = dict[str, Any]
Frame = tuple[int, bytes]

MIX: Final = {"PRESENCE_UPDATE": 55, "MESSAGE_CREATE": 25, "TYPING_START": 18, "INTERACTION_CREATE": 2}
"""Dispatches in a hundred. Assumed, not measured from a live bot."""
COMMANDS: Final = 100
_SHARDS: Final = 16
_DISCORD_EPOCH: Final = 1_420_070_400_000
_HELLO, _ACK = 10, 11
_JOINED: Final = "2024-01-01T00:00:00+00:00"
_EVERYTHING: Final = str((1 << 50) - 1)
_STATUSES: Final = ("online", "idle", "dnd", "offline")

# what does not differ from one object to the next; the rest is filled in
_USER: Final[Json] = {"discriminator": "0", "avatar": None, "bot": False, "public_flags": 0}
_MEMBER: Final[Json] = {
    **dict.fromkeys(("nick", "avatar", "premium_since", "communication_disabled_until")),
    "roles": [],
    "joined_at": _JOINED,
    "deaf": False,
    "mute": False,
    "flags": 0,
    "pending": False,
}
_CHANNEL: Final[Json] = {
    "type": 0,
    "permission_overwrites": [],
    "nsfw": False,
    "parent_id": None,
    "topic": None,
    "rate_limit_per_user": 0,
}
_ROLE: Final[Json] = {
    "name": "@everyone",
    "color": 0,
    "hoist": False,
    "position": 0,
    "permissions": "1071698660929",
    "managed": False,
    "mentionable": False,
    "flags": 0,
}
_GUILD: Final[Json] = {
    **dict.fromkeys(("icon", "splash", "afk_channel_id", "system_channel_id", "rules_channel_id", "vanity_url_code")),
    **dict.fromkeys(("description", "banner")),
    **dict.fromkeys(("explicit_content_filter", "mfa_level", "system_channel_flags", "premium_tier", "nsfw_level"), 0),
    "verification_level": 1,
    "default_message_notifications": 1,
    "afk_timeout": 300,
    "preferred_locale": "en-US",
    "premium_subscription_count": 0,
    "premium_progress_bar_enabled": False,
    "large": False,
    "unavailable": False,
    "emojis": [],
    "stickers": [],
    "features": [],
    "voice_states": [],
    "threads": [],
    "stage_instances": [],
    "guild_scheduled_events": [],
    "joined_at": _JOINED,
}
_MESSAGE: Final[Json] = {
    "mentions": [],
    "mention_roles": [],
    "attachments": [],
    "embeds": [],
    "components": [],
    "nonce": "1",
    "timestamp": _JOINED,
    "edited_timestamp": None,
    "tts": False,
    "mention_everyone": False,
    "pinned": False,
    "type": 0,
    "flags": 0,
}
_INTERACTION: Final[Json] = {
    "type": 2,
    "token": "token",
    "version": 1,
    "locale": "en-US",
    "guild_locale": "en-US",
    "context": 0,
    "app_permissions": _EVERYTHING,
    "entitlements": [],
    "authorizing_integration_owners": {},
    "attachment_size_limit": 10_485_760,
}


class Snowflakes:
    """Ids with a millisecond each: discord.py hashes models by it, and ids that share one collide."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._millisecond = 1 << 39
        self._increment = 0

    def next(self, shard: int | None = None, shards: int = 1) -> str:
        """Make an id, which for a guild is of the shard."""
        self._millisecond += self._rng.randint(1, 5000)
        if shard is not None:
            self._millisecond += (shard - self._millisecond) % shards
        return str(self._millisecond << 22)

    def present(self) -> str:
        """Make an id of the present time, as Discord does: what an interaction's age is told by."""
        self._increment = (self._increment + 1) & 0xFFF
        return str(int(time.time() * 1000) - _DISCORD_EPOCH << 22 | self._increment)


class Stream:
    """The frames of one bot's shards, in the order in which they must be fed."""

    def __init__(self, shards: int) -> None:
        self._compressors = [zlib.compressobj() for _ in range(shards)]
        self._sequences = [0] * shards

    def control(self, shard: int, op: int, data: object = None) -> Frame:
        """Make a frame that is no dispatch."""
        return self._frame(shard, {"op": op, "d": data, "s": None, "t": None})

    def dispatch(self, shard: int, name: str, data: Json) -> Frame:
        """Make a dispatch, the next of its shard."""
        self._sequences[shard] += 1
        return self._frame(shard, {"t": name, "s": self._sequences[shard], "op": 0, "d": data})

    def _frame(self, shard: int, payload: Json) -> Frame:
        compressor = self._compressors[shard]
        text = json.dumps(payload, separators=(",", ":")).encode()
        return shard, compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH)


@dataclasses.dataclass
class Guild:
    """What of a guild is needed to make its events."""

    id: str
    shard: int
    channels: list[Json]
    members: list[Json]


class World:
    """A made-up Discord: guilds with members and channels, and the stream of what happens there."""

    def __init__(self, shards: int = _SHARDS, guilds: int = 32, members: int = 100, channels: int = 50) -> None:
        self.shards = shards
        self._rng = random.Random(7)
        self._ids = Snowflakes(self._rng)
        self.bot = self._user("bot")
        self._stream = Stream(shards)
        self._guilds = [self._guild(index % shards, members, channels) for index in range(guilds)]
        self.hellos = [
            self._stream.control(shard, _HELLO, {"heartbeat_interval": 1_000_000_000}) for shard in range(shards)
        ]
        self.boot = [frame for shard in range(shards) for frame in self._boot(shard)]

    def events(self, kind: str, count: int) -> list[Frame]:
        """Make the next events: of one name, or ``MIX``."""
        names = [name for name, share in MIX.items() for _ in range(round(count * share / 100))]
        self._rng.shuffle(names)
        return [self._event(name) for name in (names if kind == "MIX" else [kind] * count)]

    def _event(self, name: str) -> Frame:
        guild = self._rng.choice(self._guilds)
        member, channel = self._rng.choice(guild.members), self._rng.choice(guild.channels)
        return self._stream.dispatch(guild.shard, name, _PAYLOADS[name](self, guild, member, channel))

    def _user(self, name: str) -> Json:
        user_id = self._ids.next()
        return {**_USER, "id": user_id, "username": name, "global_name": name.title()}

    def _guild(self, shard: int, members: int, channels: int) -> Guild:
        guild_id = self._ids.next(shard, self.shards)
        made = [{"user": self._user(f"user_{index}"), **_MEMBER} for index in range(members)]
        return Guild(guild_id, shard, [self._channel(guild_id, index) for index in range(channels)], made)

    def _channel(self, guild_id: str, position: int) -> Json:
        name = f"channel-{position}"
        return {**_CHANNEL, "id": self._ids.next(), "guild_id": guild_id, "name": name, "position": position}

    def _boot(self, shard: int) -> Iterator[Frame]:
        own = [guild for guild in self._guilds if guild.shard == shard]
        yield self._stream.control(shard, _ACK)
        ready = {
            "v": 10,
            "user": self.bot,
            "session_id": f"session-{shard}",
            "resume_gateway_url": "wss://resume.invalid",
            "shard": [shard, self.shards],
            "application": {"id": self.bot["id"], "flags": 0},
            "guilds": [{"id": guild.id, "unavailable": True} for guild in own],
        }
        yield self._stream.dispatch(shard, "READY", ready)
        for guild in own:
            yield self._stream.dispatch(shard, "GUILD_CREATE", self._guild_create(guild))

    def _guild_create(self, guild: Guild) -> Json:
        return {
            **_GUILD,
            "id": guild.id,
            "name": f"guild {guild.id}",
            "owner_id": guild.members[0]["user"]["id"],
            "roles": [{**_ROLE, "id": guild.id}],
            "member_count": len(guild.members),
            "members": guild.members,
            "channels": guild.channels,
            "presences": [self.presence(guild, member, {}) for member in guild.members],
        }

    def presence(self, guild: Guild, member: Json, _channel: Json) -> Json:
        """Make a PRESENCE_UPDATE."""
        status, name = self._rng.choice(_STATUSES), f"game {self._rng.randint(0, 500)}"
        activity = {"name": name, "type": 0, "created_at": 1_700_000_000_000, "id": "ec0b28a579ecb4bd"}
        return {
            "user": {"id": member["user"]["id"]},
            "guild_id": guild.id,
            "status": status,
            "activities": [activity],
            "client_status": {"desktop": status},
        }

    def message(self, guild: Guild, member: Json, channel: Json) -> Json:
        """Make a MESSAGE_CREATE."""
        return {
            **_MESSAGE,
            "id": self._ids.next(),
            "channel_id": channel["id"],
            "guild_id": guild.id,
            "author": member["user"],
            "member": _MEMBER,
            "content": "word " * self._rng.randint(2, 20),
        }

    def typing(self, guild: Guild, member: Json, channel: Json) -> Json:
        """Make a TYPING_START."""
        return {
            "channel_id": channel["id"],
            "guild_id": guild.id,
            "user_id": member["user"]["id"],
            "timestamp": 1_700_000_000,
            "member": member,
        }

    def interaction(self, guild: Guild, member: Json, channel: Json) -> Json:
        """Make an INTERACTION_CREATE: one of the slash commands."""
        return {
            **_INTERACTION,
            "id": self._ids.present(),
            "application_id": self.bot["id"],
            "guild_id": guild.id,
            "channel_id": channel["id"],
            "channel": channel,
            "member": {**member, "permissions": _EVERYTHING},
            "data": {"id": "1", "name": f"command-{self._rng.randrange(COMMANDS)}", "type": 1},
        }


_PAYLOADS: Final[dict[str, Callable[[World, Guild, Json, Json], Json]]] = {
    "PRESENCE_UPDATE": World.presence,
    "MESSAGE_CREATE": World.message,
    "TYPING_START": World.typing,
    "INTERACTION_CREATE": World.interaction,
}
