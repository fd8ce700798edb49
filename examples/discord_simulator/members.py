"""What the gateway answers about members: GUILD_CREATE's lists, op 8 (request members), op 4 (voice state)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from . import payloads
from .intents import GUILD_MEMBERS, GUILD_PRESENCES

if TYPE_CHECKING:
    from .gateway import Gateway
    from .payloads import Json
    from .sessions import Session
    from .world import Guild

_CHUNK = 1_000


def guild_create(guild: Guild, intents: int, large: int) -> Json:
    """A GUILD_CREATE for a session: all members only with the presences intent and at most `large` of them."""
    full = bool(intents & GUILD_PRESENCES) and guild.member_count <= large
    return guild.create(full=full)


async def answer(gateway: Gateway, session: Session, data: Json) -> None:
    """Answer op 8 with GUILD_MEMBERS_CHUNK events of a thousand members each, or with RATE_LIMITED."""
    guild_id = _ids(data["guild_id"])[0]
    whole = not data.get("user_ids") and data.get("query") == "" and not data.get("limit")
    wait = gateway.members_wait(guild_id) if whole else 0.0
    if wait:
        session.emit("RATE_LIMITED", json.dumps(rate_limited(guild_id, wait, data.get("nonce"))))
        return
    guild = gateway.world.guilds.get(guild_id)
    if guild is None or not session.owns(guild_id) or (whole and not session.intents & GUILD_MEMBERS):
        return
    for chunk in _chunks(guild, _found(guild, data), data):
        session.emit("GUILD_MEMBERS_CHUNK", json.dumps(chunk))
        if session.connection is not None:
            await session.connection.drained()


def rate_limited(guild_id: int, wait: float, nonce: str | None) -> Json:
    """The RATE_LIMITED event that answers an op 8 too many."""
    meta: Json = {"guild_id": str(guild_id)} | ({"nonce": nonce} if nonce else {})
    return {"opcode": 8, "retry_after": round(wait, 3), "meta": meta}


def _found(guild: Guild, data: Json) -> list[Json]:
    wanted = _ids(data.get("user_ids"))
    if wanted:
        return [guild.members[user] for user in wanted if user in guild.members]
    start = str(data.get("query", "")).lower()
    found = [member for member in guild.members.values() if member["user"]["username"].lower().startswith(start)]
    return found[: data.get("limit") or None]


def _ids(given: object) -> list[int]:
    """Read one id, a list of them, or None."""
    if isinstance(given, list):
        return [int(one) for one in cast("list[str]", given)]
    return [] if given is None else [int(str(given))]


def _chunks(guild: Guild, found: list[Json], data: Json) -> list[Json]:
    parts = [found[start : start + _CHUNK] for start in range(0, len(found), _CHUNK)] or [[]]
    presences = {presence["user"]["id"]: presence for presence in guild.presences()} if data.get("presences") else {}
    return [_chunk(guild, part, number, len(parts), data, presences) for number, part in enumerate(parts)]


def _chunk(guild: Guild, part: list[Json], number: int, count: int, data: Json, presences: dict[str, Any]) -> Json:
    known = {member["user"]["id"] for member in part}
    missing = [str(user) for user in _ids(data.get("user_ids")) if str(user) not in known]
    return {
        "guild_id": str(guild.id),
        "members": part,
        "chunk_index": number,
        "chunk_count": count,
        **({"not_found": missing} if missing else {}),
        **({"presences": [presences[user] for user in known if user in presences]} if presences else {}),
        **({"nonce": data["nonce"]} if data.get("nonce") else {}),
    }


def join_voice(gateway: Gateway, session: Session, data: Json) -> None:
    """Answer op 4: the bot's own voice state, and which voice server to use when it joins."""
    guild = gateway.world.guilds.get(int(data["guild_id"]))
    if guild is None:
        return
    channel = int(data["channel_id"]) if data["channel_id"] else None
    flags = {"self_mute": bool(data.get("self_mute")), "self_deaf": bool(data.get("self_deaf"))}
    state = payloads.voice_state(gateway.world.bot_id, guild.id, channel, session.session_id, **flags)
    if channel is None:
        guild.voice_states.pop(gateway.world.bot_id, None)
    else:
        guild.voice_states[gateway.world.bot_id] = state
    session.emit("VOICE_STATE_UPDATE", json.dumps(state | {"member": guild.me}))
    if channel is not None:
        server = {"token": "simulated-voice", "guild_id": str(guild.id), "endpoint": "127.0.0.1:1"}
        session.emit("VOICE_SERVER_UPDATE", json.dumps(server))
