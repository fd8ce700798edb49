"""The JSON of Discord's objects, from plain values. Field names and types: Discord's docs, resources/*."""

from __future__ import annotations

from typing import Any

from . import snowflakes

Json = dict[str, Any]

EVERYTHING = str((1 << 50) - 1)
"""Every permission, as Discord writes permissions: a decimal string."""
MEMBER_PERMISSIONS = "2248473465835073"
STATUSES = ("online", "idle", "dnd", "offline")


def user(user_id: int, name: str, *, bot: bool = False) -> Json:
    """A user; every user has an avatar, which the simulated CDN serves."""
    return {
        "id": str(user_id),
        "username": name,
        "discriminator": "0",
        "global_name": name.replace("_", " ").title(),
        "avatar": f"{user_id:032x}"[-32:],
        "bot": bot,
        "public_flags": 0,
        "flags": 0,
    }


def member(of: Json, roles: list[str], joined_at: str) -> Json:
    """A guild member, with its user."""
    return {
        "user": of,
        "nick": None,
        "avatar": None,
        "banner": None,
        "roles": roles,
        "joined_at": joined_at,
        "premium_since": None,
        "deaf": False,
        "mute": False,
        "flags": 0,
        "pending": False,
        "communication_disabled_until": None,
    }


def role(role_id: int, name: str, position: int, *, permissions: str = MEMBER_PERMISSIONS) -> Json:
    """A role; the one with the guild's own id is `@everyone`."""
    return {
        "id": str(role_id),
        "name": name,
        "color": 0x5865F2 if position else 0,
        "colors": {"primary_color": 0x5865F2 if position else 0, "secondary_color": None, "tertiary_color": None},
        "hoist": False,
        "icon": None,
        "unicode_emoji": None,
        "position": position,
        "permissions": permissions,
        "managed": False,
        "mentionable": True,
        "flags": 0,
    }


_KIND: dict[int, Json] = {
    0: {"topic": None, "last_message_id": None, "rate_limit_per_user": 0},
    2: {"bitrate": 64000, "user_limit": 0, "rtc_region": None, "last_message_id": None, "rate_limit_per_user": 0},
    4: {},
    5: {"topic": None, "last_message_id": None, "rate_limit_per_user": 0},
    13: {"bitrate": 64000, "user_limit": 0, "rtc_region": None, "topic": None},
    15: {
        "topic": None,
        "last_message_id": None,
        "rate_limit_per_user": 0,
        "available_tags": [],
        "default_reaction_emoji": None,
        "default_sort_order": None,
        "default_forum_layout": 0,
    },
}


def channel(channel_id: int, guild_id: int, name: str, kind: int = 0, *, position: int = 0, parent: int = 0) -> Json:
    """A guild channel: 0 text, 2 voice, 4 category, 5 news, 13 stage, 15 forum."""
    return {
        "id": str(channel_id),
        "guild_id": str(guild_id),
        "type": kind,
        "name": name,
        "position": position,
        "permission_overwrites": [],
        "nsfw": False,
        "parent_id": str(parent) if parent else None,
        "flags": 0,
        **_KIND.get(kind, {}),
    }


def thread(thread_id: int, guild_id: int, parent_id: int, owner_id: int, name: str, kind: int = 11) -> Json:
    """A thread: 10 in a news channel, 11 public, 12 private."""
    return {
        "id": str(thread_id),
        "guild_id": str(guild_id),
        "parent_id": str(parent_id),
        "owner_id": str(owner_id),
        "type": kind,
        "name": name,
        "last_message_id": None,
        "message_count": 0,
        "member_count": 1,
        "total_message_sent": 0,
        "rate_limit_per_user": 0,
        "flags": 0,
        "thread_metadata": {
            "archived": False,
            "auto_archive_duration": 1440,
            "archive_timestamp": snowflakes.iso(thread_id),
            "locked": False,
            "create_timestamp": snowflakes.iso(thread_id),
        },
    }


def dm_channel(channel_id: int, recipient: Json) -> Json:
    """A direct-message channel."""
    return {"id": str(channel_id), "type": 1, "last_message_id": None, "recipients": [recipient], "flags": 0}


def message(message_id: int, channel_id: int, author: Json, content: str) -> Json:
    """A message without the guild fields that only gateway events have."""
    return {
        "id": str(message_id),
        "channel_id": str(channel_id),
        "author": author,
        "content": content,
        "timestamp": snowflakes.iso(message_id),
        "edited_timestamp": None,
        "tts": False,
        "mention_everyone": False,
        "mentions": [],
        "mention_roles": [],
        "attachments": [],
        "embeds": [],
        "components": [],
        "pinned": False,
        "type": 0,
        "flags": 0,
    }


def presence(user_id: int, guild_id: int, status: str, game: str | None = None) -> Json:
    """A presence; `game` becomes a "playing" activity."""
    activities = [{"name": game, "type": 0, "id": "ec0b28a579ecb4bd", "created_at": 1_700_000_000_000}] if game else []
    clients = {} if status == "offline" else {"desktop": status}
    return {
        "user": {"id": str(user_id)},
        "guild_id": str(guild_id),
        "status": status,
        "activities": activities,
        "client_status": clients,
    }


def voice_state(user_id: int, guild_id: int, channel_id: int | None, session_id: str, **flags: bool) -> Json:
    """A voice state; `channel_id` None means that the user has left."""
    names = ("deaf", "mute", "self_deaf", "self_mute", "self_video", "suppress")
    return {
        "guild_id": str(guild_id),
        "channel_id": None if channel_id is None else str(channel_id),
        "user_id": str(user_id),
        "session_id": session_id,
        "request_to_speak_timestamp": None,
        **{name: flags.get(name, False) for name in names},
    }


def emoji(name: str) -> Json:
    """A Unicode emoji, as reactions carry it."""
    return {"id": None, "name": name, "animated": False}


def application(app_id: int, owner: Json) -> Json:
    """The bot's application."""
    return {
        "id": str(app_id),
        "name": "Simulated",
        "icon": None,
        "description": "",
        "summary": "",
        "bot_public": True,
        "bot_require_code_grant": False,
        "verify_key": "0" * 64,
        "owner": owner,
        "team": None,
        "flags": 565_248,
        "install_params": None,
        "rpc_origins": [],
        "tags": [],
        "approximate_guild_count": 0,
        "approximate_user_install_count": 0,
    }
