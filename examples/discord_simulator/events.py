"""Every gateway event that can be sent by name, as a function that makes its payload (Discord's docs, events/gateway-events).

To add one: write a function with `@event("NAME")`. It gets the stage, the place (who and where) and what the caller set,
and returns the payload; the caller's fields are set on top of it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import payloads
from .interactions import COMMAND, Interactions, Place
from .messages import Messages
from .payloads import Json
from .world import Guild, World


@dataclass(frozen=True)
class Stage:
    """What an event may be made of."""

    world: World
    messages: Messages
    interactions: Interactions

    def place(self, guild: int | None = 0, channel: int = 0, member: int = 0) -> Place:
        """Who and where, by indexes or ids; for `guild` None the direct messages of person `member`."""
        if guild is None:
            user = self.world.user(member) if member < 1 << 22 else self.world.find_user(member) or self.world.user(0)
            return Place(None, self.world.dm(user), {"user": user})
        found = self.world.guild(guild)
        return Place(found, found.channel(channel), found.member(member))


Builder = Callable[[Stage, Place, Json], Json]
EVENTS: dict[str, Builder] = {}


def event(name: str) -> Callable[[Builder], Builder]:
    """Declare how the payload of an event is made."""

    def declare(builder: Builder) -> Builder:
        EVENTS[name] = builder
        return builder

    return declare


def build(stage: Stage, name: str, place: Place, given: Json) -> Json:
    """The payload of an event, with the caller's fields set on top. Raises LookupError for an unknown name."""
    if name not in EVENTS:
        raise LookupError(f"no event {name!r}; there are {', '.join(sorted(EVENTS))}")
    return EVENTS[name](stage, place, given) | given


def _guild(place: Place) -> Guild:
    if place.guild is None:
        raise LookupError("this event happens in guilds only")
    return place.guild


def _in_guild(place: Place) -> Json:
    return {"guild_id": str(place.guild.id)} if place.guild else {}


def _author(place: Place) -> Json:
    member = {name: value for name, value in place.member.items() if name != "user"}
    return _in_guild(place) | ({"member": member} if place.guild else {})


def _target(stage: Stage, place: Place) -> Json:
    """The channel's newest message, made if there is none."""
    channel_id = int(place.channel["id"])
    return stage.messages.latest(channel_id) or stage.messages.new(channel_id, place.user, "hello", _author(place))


@event("MESSAGE_CREATE")
def message_create(stage: Stage, place: Place, given: Json) -> Json:
    """Someone writes."""
    return stage.messages.new(int(place.channel["id"]), place.user, "hello", _author(place) | given)


@event("MESSAGE_UPDATE")
def message_update(stage: Stage, place: Place, given: Json) -> Json:
    """Someone edits the channel's newest message."""
    message = stage.messages.get(int(given.get("id", 0))) or _target(stage, place)
    return message | {"content": "edited", "edited_timestamp": stage.world.clock.iso()} | _author(place)


@event("MESSAGE_DELETE")
def message_delete(stage: Stage, place: Place, given: Json) -> Json:
    """Someone deletes the channel's newest message."""
    message_id = given.get("id") or _target(stage, place)["id"]
    stage.messages.delete(int(message_id))
    return {"id": message_id, "channel_id": place.channel["id"]} | _in_guild(place)


@event("MESSAGE_DELETE_BULK")
def message_delete_bulk(stage: Stage, place: Place, given: Json) -> Json:
    """The channel's five newest messages are deleted at once."""
    ids = given.get("ids") or [message["id"] for message in stage.messages.of_channel(int(place.channel["id"]))][:5]
    for message_id in ids:
        stage.messages.delete(int(message_id))
    return {"ids": ids, "channel_id": place.channel["id"]} | _in_guild(place)


def _reaction(stage: Stage, place: Place) -> Json:
    message = _target(stage, place)
    return {"message_id": message["id"], "channel_id": place.channel["id"]} | _in_guild(place)


@event("MESSAGE_REACTION_ADD")
def message_reaction_add(stage: Stage, place: Place, given: Json) -> Json:
    """Someone reacts."""
    who = {"user_id": place.user["id"], "emoji": payloads.emoji("\N{THUMBS UP SIGN}"), "burst": False, "type": 0}
    return _reaction(stage, place) | who | ({"member": place.member} if place.guild else {})


@event("MESSAGE_REACTION_REMOVE")
def message_reaction_remove(stage: Stage, place: Place, given: Json) -> Json:
    """Someone takes a reaction back."""
    who = {"user_id": place.user["id"], "emoji": payloads.emoji("\N{THUMBS UP SIGN}"), "burst": False, "type": 0}
    return _reaction(stage, place) | who


@event("MESSAGE_REACTION_REMOVE_ALL")
def message_reaction_remove_all(stage: Stage, place: Place, given: Json) -> Json:
    """All reactions of a message are removed."""
    return _reaction(stage, place)


@event("MESSAGE_REACTION_REMOVE_EMOJI")
def message_reaction_remove_emoji(stage: Stage, place: Place, given: Json) -> Json:
    """All reactions with one emoji are removed."""
    return _reaction(stage, place) | {"emoji": payloads.emoji("\N{THUMBS UP SIGN}")}


@event("TYPING_START")
def typing_start(stage: Stage, place: Place, given: Json) -> Json:
    """Someone types."""
    who = {"user_id": place.user["id"], "timestamp": int(stage.world.clock.time()), "channel_id": place.channel["id"]}
    return who | ({"member": place.member} if place.guild else {}) | _in_guild(place)


@event("PRESENCE_UPDATE")
def presence_update(stage: Stage, place: Place, given: Json) -> Json:
    """Someone's status changes."""
    guild = _guild(place)
    return payloads.presence(int(place.user["id"]), guild.id, random.choice(payloads.STATUSES), "Chess")


@event("VOICE_STATE_UPDATE")
def voice_state_update(stage: Stage, place: Place, given: Json) -> Json:
    """Someone joins the voice channel, or, with `channel_id` null, leaves it."""
    guild = _guild(place)
    user_id = int(place.user["id"])
    voice = given["channel_id"] if "channel_id" in given else guild.channel(0, 2)["id"]
    state = payloads.voice_state(user_id, guild.id, int(voice) if voice else None, f"{user_id:032x}")
    if voice:
        guild.voice_states[user_id] = state
    else:
        guild.voice_states.pop(user_id, None)
    return state | {"member": place.member}


@event("GUILD_MEMBER_ADD")
def guild_member_add(stage: Stage, place: Place, given: Json) -> Json:
    """Someone new joins."""
    guild = _guild(place)
    member = guild.stranger()
    guild.members[int(member["user"]["id"])] = member
    return member | _in_guild(place)


@event("GUILD_MEMBER_UPDATE")
def guild_member_update(stage: Stage, place: Place, given: Json) -> Json:
    """Someone's nickname changes."""
    place.member["nick"] = f"Nick {stage.world.ids.new() % 1000}"
    return place.member | _in_guild(place)


@event("GUILD_MEMBER_REMOVE")
def guild_member_remove(stage: Stage, place: Place, given: Json) -> Json:
    """Someone leaves."""
    user: Json = given.get("user", place.user)
    _guild(place).members.pop(int(user["id"]), None)
    return {"user": user} | _in_guild(place)


@event("GUILD_BAN_ADD")
def guild_ban_add(stage: Stage, place: Place, given: Json) -> Json:
    """Someone is banned."""
    _guild(place).bans[int(place.user["id"])] = {"user": place.user, "reason": None}
    return {"user": place.user} | _in_guild(place)


@event("GUILD_BAN_REMOVE")
def guild_ban_remove(stage: Stage, place: Place, given: Json) -> Json:
    """Someone is unbanned."""
    _guild(place).bans.pop(int(place.user["id"]), None)
    return {"user": place.user} | _in_guild(place)


@event("CHANNEL_CREATE")
def channel_create(stage: Stage, place: Place, given: Json) -> Json:
    """A channel is made."""
    guild = _guild(place)
    channel = payloads.channel(stage.world.ids.new(), guild.id, "new", given.get("type", 0), position=99) | given
    guild.channels[int(channel["id"])] = channel
    stage.world.channel_guild[int(channel["id"])] = guild
    return channel


@event("CHANNEL_UPDATE")
def channel_update(stage: Stage, place: Place, given: Json) -> Json:
    """The channel is renamed."""
    place.channel.update({"name": f"renamed-{stage.world.ids.new() % 1000}"} | given)
    return place.channel


@event("CHANNEL_DELETE")
def channel_delete(stage: Stage, place: Place, given: Json) -> Json:
    """The channel is deleted."""
    _guild(place).channels.pop(int(place.channel["id"]), None)
    return place.channel


@event("CHANNEL_PINS_UPDATE")
def channel_pins_update(stage: Stage, place: Place, given: Json) -> Json:
    """A message is pinned or unpinned."""
    return {"channel_id": place.channel["id"], "last_pin_timestamp": stage.world.clock.iso()} | _in_guild(place)


@event("THREAD_CREATE")
def thread_create(stage: Stage, place: Place, given: Json) -> Json:
    """A thread is opened in the channel."""
    guild = _guild(place)
    parent, owner = int(place.channel["id"]), int(place.user["id"])
    thread = payloads.thread(stage.world.ids.new(), guild.id, parent, owner, "thread")
    guild.threads[int(thread["id"])] = thread
    stage.world.channel_guild[int(thread["id"])] = guild
    return thread | {"newly_created": True}


def _thread(stage: Stage, place: Place) -> Json:
    known = _guild(place).threads
    return next(reversed(known.values()), None) or thread_create(stage, place, {})


@event("THREAD_UPDATE")
def thread_update(stage: Stage, place: Place, given: Json) -> Json:
    """The newest thread is renamed."""
    thread = _thread(stage, place)
    thread.update({"name": "renamed"} | given)
    return thread


@event("THREAD_DELETE")
def thread_delete(stage: Stage, place: Place, given: Json) -> Json:
    """The newest thread is deleted."""
    thread = _thread(stage, place)
    _guild(place).threads.pop(int(thread["id"]), None)
    return {key: thread[key] for key in ("id", "guild_id", "parent_id", "type")}


@event("GUILD_ROLE_CREATE")
def guild_role_create(stage: Stage, place: Place, given: Json) -> Json:
    """A role is made."""
    guild = _guild(place)
    role = payloads.role(stage.world.ids.new(), "new", len(guild.roles))
    guild.roles[int(role["id"])] = role
    return {"role": role} | _in_guild(place)


@event("GUILD_ROLE_UPDATE")
def guild_role_update(stage: Stage, place: Place, given: Json) -> Json:
    """A role is renamed."""
    role = _guild(place).role(0)
    role["name"] = f"renamed {stage.world.ids.new() % 1000}"
    return {"role": role} | _in_guild(place)


@event("GUILD_ROLE_DELETE")
def guild_role_delete(stage: Stage, place: Place, given: Json) -> Json:
    """A role is deleted."""
    guild = _guild(place)
    role_id = int(given.get("role_id", guild.role(0)["id"]))
    guild.roles.pop(role_id, None)
    return {"role_id": str(role_id)} | _in_guild(place)


@event("GUILD_CREATE")
def guild_create(stage: Stage, place: Place, given: Json) -> Json:
    """A guild becomes available, or the bot has joined it."""
    guild = _guild(place)
    guild.unavailable = False
    return guild.create(full=guild.member_count <= 250)


@event("GUILD_UPDATE")
def guild_update(stage: Stage, place: Place, given: Json) -> Json:
    """The guild is renamed."""
    guild = _guild(place)
    guild.name = str(given.get("name", f"Renamed {guild.index}"))
    return guild.payload()


@event("GUILD_DELETE")
def guild_delete(stage: Stage, place: Place, given: Json) -> Json:
    """The bot has left, or, with `unavailable` true, the guild has an outage."""
    guild = _guild(place)
    if given.get("unavailable"):
        guild.unavailable = True
    else:
        stage.world.guilds.pop(guild.id, None)
    return {"id": str(guild.id)}


@event("GUILD_EMOJIS_UPDATE")
def guild_emojis_update(stage: Stage, place: Place, given: Json) -> Json:
    """An emoji is added."""
    guild = _guild(place)
    emoji = {"id": str(stage.world.ids.new()), "name": "new", "roles": [], "require_colons": True, "managed": False}
    guild.emojis.append(emoji | {"animated": False, "available": True})
    return {"emojis": guild.emojis} | _in_guild(place)


@event("INVITE_CREATE")
def invite_create(stage: Stage, place: Place, given: Json) -> Json:
    """Someone makes an invite."""
    return _in_guild(place) | {
        "channel_id": place.channel["id"],
        "code": f"{stage.world.ids.new():x}"[-8:],
        "created_at": stage.world.clock.iso(),
        "inviter": place.user,
        "max_age": 86_400,
        "max_uses": 0,
        "temporary": False,
        "uses": 0,
        "expires_at": None,
    }


@event("INVITE_DELETE")
def invite_delete(stage: Stage, place: Place, given: Json) -> Json:
    """An invite is deleted."""
    return {"channel_id": place.channel["id"], "code": "abcdefgh"} | _in_guild(place)


@event("WEBHOOKS_UPDATE")
def webhooks_update(stage: Stage, place: Place, given: Json) -> Json:
    """The channel's webhooks change."""
    return {"channel_id": place.channel["id"]} | _in_guild(place)


@event("GUILD_INTEGRATIONS_UPDATE")
def guild_integrations_update(stage: Stage, place: Place, given: Json) -> Json:
    """The guild's integrations change."""
    return _in_guild(place)


@event("USER_UPDATE")
def user_update(stage: Stage, place: Place, given: Json) -> Json:
    """The bot's own user changes."""
    return stage.world.bot | {"verified": True}


@event("RATE_LIMITED")
def rate_limited(stage: Stage, place: Place, given: Json) -> Json:
    """The bot asked for a guild's members too often."""
    return {"opcode": 8, "retry_after": 30.0, "meta": _in_guild(place)}


@event("INTERACTION_CREATE")
def interaction_create(stage: Stage, place: Place, given: Json) -> Json:
    """Someone uses one of the bot's slash commands that need no options, or `/ping` if it has synced none."""
    names = _runnable(stage.interactions.commands, place)
    path = str(given.pop("command", "")) or (random.choice(names) if names else "ping")
    return stage.interactions.make(COMMAND, stage.interactions.slash(path, {}, place), place).payload


def _runnable(commands: dict[int | None, dict[str, Json]], place: Place) -> list[str]:
    known = [*commands.get(None, {}).values(), *commands.get(place.guild_id, {}).values()]
    return [path for command in known if command.get("type", 1) == 1 for path in _paths(command)]


def _paths(command: Json) -> list[str]:
    options: list[dict[str, Any]] = command.get("options", [])
    if any(option["type"] in (1, 2) for option in options):
        return [f"{command['name']} {path}" for option in options for path in _paths(option)]
    return [] if any(option.get("required") for option in options) else [command["name"]]
