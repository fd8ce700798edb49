"""Guilds, members, roles and channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from examples.discord_simulator.interactions import Place
from examples.discord_simulator.rest import Answer, Call, route, unknown

from .messages import channel_of

if TYPE_CHECKING:
    from examples.discord_simulator.payloads import Json
    from examples.discord_simulator.world import Guild

_GUILD = "/guilds/{guild_id}"
_MEMBER = _GUILD + "/members/{user_id}"
_CHANNEL = "/channels/{channel_id}"


def _guild(call: Call) -> Guild:
    found = call.world.guilds.get(call.id("guild_id"))
    if found is None:
        raise unknown(10004, "Guild")
    return found


def _member(call: Call) -> Place:
    guild = _guild(call)
    found = guild.me if call.text("user_id") == "@me" else guild.members.get(call.id("user_id"))
    if found is None:
        raise unknown(10007, "Member")
    return Place(guild, guild.channel(0), found)


def _place(guild: Guild, channel: Json) -> Place:
    return Place(guild, channel, guild.me)


@route("GET", _GUILD)
def fetch(call: Call) -> Answer:
    """A guild."""
    guild = _guild(call)
    counts = {"approximate_member_count": guild.member_count, "approximate_presence_count": guild.member_count // 2}
    return guild.payload() | (counts if call.query("with_counts").lower() in ("1", "true") else {})


@route("PATCH", _GUILD)
def edit(call: Call) -> Answer:
    """Change a guild."""
    guild = _guild(call)
    return call.emit("GUILD_UPDATE", _place(guild, {}), call.json)


@route("GET", _GUILD + "/channels")
def channels(call: Call) -> Answer:
    """A guild's channels."""
    return list(_guild(call).channels.values())


@route("POST", _GUILD + "/channels")
def create_channel(call: Call) -> Answer:
    """Make a channel."""
    return 201, call.emit("CHANNEL_CREATE", _place(_guild(call), {}), call.json)


@route("GET", _CHANNEL)
def channel(call: Call) -> Answer:
    """A channel, thread or direct-message channel."""
    return channel_of(call)


@route("PATCH", _CHANNEL)
def edit_channel(call: Call) -> Answer:
    """Change a channel or thread."""
    found, guild = channel_of(call), call.world.guild_of(call.id("channel_id"))
    if guild is None:
        return found
    if found["type"] in (10, 11, 12):
        found.update(call.json)
        call.dispatch("THREAD_UPDATE", found, guild.id)
        return found
    return call.emit("CHANNEL_UPDATE", _place(guild, found), call.json)


@route("DELETE", _CHANNEL)
def delete_channel(call: Call) -> Answer:
    """Delete a channel or thread."""
    found, guild = channel_of(call), call.world.guild_of(call.id("channel_id"))
    if guild is not None:
        thread = guild.threads.pop(int(found["id"]), None)
        guild.channels.pop(int(found["id"]), None)
        call.world.channel_guild.pop(int(found["id"]), None)
        call.dispatch("THREAD_DELETE" if thread else "CHANNEL_DELETE", found, guild.id)
    return found


@route("POST", _CHANNEL + "/threads")
@route("POST", _CHANNEL + "/messages/{message_id}/threads")
def create_thread(call: Call) -> Answer:
    """Open a thread."""
    found, guild = channel_of(call), call.world.guild_of(call.id("channel_id"))
    if guild is None:
        raise unknown(10003, "Channel")
    given = {key: call.json[key] for key in ("name", "type") if call.json.get(key) is not None}
    made = call.emit("THREAD_CREATE", _place(guild, found), given)
    guild.threads[int(made["id"])].update(given)
    return 201, made


@route("GET", _GUILD + "/members")
def members(call: Call) -> Answer:
    """A guild's members by id, `limit` at most, after `after`."""
    after, limit = int(call.query("after", "0")), int(call.query("limit", "1"))
    found = sorted(user for user in _guild(call).members if user > after)[:limit]
    return [_guild(call).members[user] for user in found]


@route("GET", _MEMBER)
def member(call: Call) -> Answer:
    """A member."""
    return _member(call).member


@route("PATCH", _MEMBER)
def edit_member(call: Call) -> Answer:
    """Change a member: nickname, roles, timeout, mute, voice channel."""
    place = _member(call)
    known = ("nick", "roles", "mute", "deaf", "communication_disabled_until", "flags")
    place.member.update({key: call.json[key] for key in known if key in call.json})
    call.dispatch("GUILD_MEMBER_UPDATE", place.member | {"guild_id": call.text("guild_id")}, place.guild_id)
    return place.member


@route("DELETE", _MEMBER)
def kick(call: Call) -> None:
    """Kick a member."""
    call.emit("GUILD_MEMBER_REMOVE", _member(call), {})


@route("PUT", _MEMBER + "/roles/{role_id}")
def add_role(call: Call) -> None:
    """Give a member a role."""
    place, role = _member(call), call.text("role_id")
    if role not in place.member["roles"]:
        place.member["roles"].append(role)
    call.dispatch("GUILD_MEMBER_UPDATE", place.member | {"guild_id": call.text("guild_id")}, place.guild_id)


@route("DELETE", _MEMBER + "/roles/{role_id}")
def remove_role(call: Call) -> None:
    """Take a role from a member."""
    place, role = _member(call), call.text("role_id")
    if role in place.member["roles"]:
        place.member["roles"].remove(role)
    call.dispatch("GUILD_MEMBER_UPDATE", place.member | {"guild_id": call.text("guild_id")}, place.guild_id)


@route("GET", _GUILD + "/bans")
def bans(call: Call) -> Answer:
    """A guild's bans."""
    return list(_guild(call).bans.values())


@route("GET", _GUILD + "/bans/{user_id}")
def ban_of(call: Call) -> Answer:
    """One ban."""
    found = _guild(call).bans.get(call.id("user_id"))
    if found is None:
        raise unknown(10026, "Ban")
    return found


@route("PUT", _GUILD + "/bans/{user_id}")
def ban(call: Call) -> None:
    """Ban a user, who is then no member any more."""
    guild, user_id = _guild(call), call.id("user_id")
    user = call.world.find_user(user_id)
    if user is None:
        raise unknown(10013, "User")
    place = Place(guild, {}, {"user": user})
    call.emit("GUILD_BAN_ADD", place, {})
    if user_id in guild.members:
        call.emit("GUILD_MEMBER_REMOVE", place, {})


@route("DELETE", _GUILD + "/bans/{user_id}")
def unban(call: Call) -> None:
    """Lift a ban."""
    guild = _guild(call)
    ban_of(call)
    user = guild.bans[call.id("user_id")]["user"]
    call.emit("GUILD_BAN_REMOVE", Place(guild, {}, {"user": user}), {})


@route("GET", _GUILD + "/roles")
def roles(call: Call) -> Answer:
    """A guild's roles."""
    return list(_guild(call).roles.values())


@route("POST", _GUILD + "/roles")
def create_role(call: Call) -> Answer:
    """Make a role."""
    guild = _guild(call)
    made = call.emit("GUILD_ROLE_CREATE", _place(guild, {}), {})["role"]
    made.update(call.json)
    return made


@route("PATCH", _GUILD + "/roles/{role_id}")
def edit_role(call: Call) -> Answer:
    """Change a role."""
    guild = _guild(call)
    found = guild.roles.get(call.id("role_id"))
    if found is None:
        raise unknown(10011, "Role")
    found.update(call.json)
    call.dispatch("GUILD_ROLE_UPDATE", {"guild_id": str(guild.id), "role": found}, guild.id)
    return found


@route("DELETE", _GUILD + "/roles/{role_id}")
def delete_role(call: Call) -> None:
    """Delete a role."""
    call.emit("GUILD_ROLE_DELETE", _place(_guild(call), {}), {"role_id": call.text("role_id")})
