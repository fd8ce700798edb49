"""Where a command or an event belongs: read from what discord.py hands over, and only when it is asked."""

from __future__ import annotations

import typing
from typing import Any

import discord

if typing.TYPE_CHECKING:
    from argus_exporter.discordpy.view import ClientView

_ABSENT = object()


def shard_of(view: ClientView, event: str, arguments: tuple[Any, ...]) -> str:
    """The shard that an event came over, by its guild; "" where it has none (the cache's own events, and the bot's).

    Events of the bot's own may have arguments of any kind, which may answer with anything, or raise.
    """
    try:
        return _shard_of(view, event, arguments)
    except Exception:  # noqa: BLE001 - the user's code
        return ""


def _shard_of(view: ClientView, event: str, arguments: tuple[Any, ...]) -> str:
    if not view.is_sharded:
        return str(view.client.shard_id or 0)
    if event.startswith("on_shard_") and isinstance(arguments[0], int):
        return str(arguments[0])
    for each in arguments:
        guild = each if isinstance(each, discord.Guild) else getattr(each, "guild", _ABSENT)
        guild_id: object = getattr(each, "guild_id", None) or getattr(guild, "id", None)
        if isinstance(guild_id, int):
            return str(view.guilds.shard_of(guild_id))
        if guild is None:
            return "0"  # direct messages come over the first shard
    return ""


def user_id_of(arguments: tuple[Any, ...]) -> str:
    """The id of the user who used the command or caused the event, as far as its arguments say; else ""."""
    for each in arguments:
        user = next((who for name in ("author", "user") if (who := getattr(each, name, None)) is not None), each)
        if isinstance(user, discord.abc.User):
            return str(user.id)
    return ""


def command_of(subject: Any) -> str:
    """The qualified name of the command of an interaction or a context; "" where there is none."""
    return str(getattr(subject.command, "qualified_name", ""))
