"""Every gateway event that can be sent by name, as a function that makes its payload.

Source: Discord's docs, events/gateway-events. To add one, write a function with `@event("NAME")`: it gets the scene
(the world, who and where, what the caller set) and returns the payload; the caller's fields are set on top of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import payloads
from .interactions import COMMAND, COMPONENT, Interactions, Place
from .payloads import Json

if TYPE_CHECKING:
    import random

    from .messages import Messages
    from .world import Guild, World


@dataclass(frozen=True)
class Stage:
    """What an event may be made of."""

    world: World
    messages: Messages
    interactions: Interactions
    rng: random.Random
    """Whatever is chosen is chosen with this, so that a seed repeats it."""

    def place(self, guild: int | None = 0, channel: int = 0, member: int = 0) -> Place:
        """Who and where, by indexes or ids; for `guild` None the direct messages of person `member`."""
        if guild is None:
            user = self.world.user(member) if member < 1 << 22 else self.world.find_user(member) or self.world.user(0)
            return Place(None, self.world.dm(user), {"user": user})
        found = self.world.guild(guild)
        return Place(found, found.channel(channel), found.member(member))


@dataclass(frozen=True)
class Scene:
    """What one event is made of: where it happens, and the fields that the caller set."""

    stage: Stage
    place: Place
    given: Json

    @property
    def world(self) -> World:
        """The world."""
        return self.stage.world

    @property
    def messages(self) -> Messages:
        """The messages of late."""
        return self.stage.messages

    @property
    def interactions(self) -> Interactions:
        """The interactions of late."""
        return self.stage.interactions

    @property
    def guild(self) -> Guild:
        """The guild. Raises LookupError in direct messages."""
        if self.place.guild is None:
            raise LookupError("this event happens in guilds only")
        return self.place.guild

    @property
    def in_guild(self) -> Json:
        """The `guild_id` field, where there is a guild."""
        return {"guild_id": str(self.place.guild.id)} if self.place.guild else {}

    @property
    def author(self) -> Json:
        """The fields that a guild message has beside its author."""
        member = {name: value for name, value in self.place.member.items() if name != "user"}
        return self.in_guild | ({"member": member} if self.place.guild else {})


Builder = Callable[[Scene], Json]
EVENTS: dict[str, Builder] = {}


def event(name: str) -> Callable[[Builder], Builder]:
    """Declare how the payload of an event is made."""

    def declare(builder: Builder) -> Builder:
        EVENTS[name] = builder
        return builder

    return declare


def build(stage: Stage, name: str, place: Place, given: Json) -> Json:
    """Make the payload of an event, with the caller's fields set on top. Raises LookupError for an unknown name."""
    if name not in EVENTS:
        raise LookupError(f"no event {name!r}; there are {', '.join(sorted(EVENTS))}")
    return EVENTS[name](Scene(stage, place, given)) | given


def _target(scene: Scene) -> Json:
    """Find the channel's newest message; make one if there is none."""
    place = scene.place
    channel_id = int(place.channel["id"])
    return scene.messages.latest(channel_id) or scene.messages.new(channel_id, place.user, "hello", scene.author)


@event("MESSAGE_CREATE")
def message_create(scene: Scene) -> Json:
    """Someone writes."""
    return scene.messages.new(int(scene.place.channel["id"]), scene.place.user, "hello", scene.author | scene.given)


@event("MESSAGE_UPDATE")
def message_update(scene: Scene) -> Json:
    """Someone edits the channel's newest message."""
    message = scene.messages.get(int(scene.given.get("id", 0))) or _target(scene)
    return message | {"content": "edited", "edited_timestamp": scene.world.clock.iso()} | scene.author


@event("MESSAGE_DELETE")
def message_delete(scene: Scene) -> Json:
    """Someone deletes the channel's newest message."""
    message_id = scene.given.get("id") or _target(scene)["id"]
    scene.messages.delete(int(message_id))
    return {"id": message_id, "channel_id": scene.place.channel["id"]} | scene.in_guild


@event("MESSAGE_DELETE_BULK")
def message_delete_bulk(scene: Scene) -> Json:
    """The channel's five newest messages are deleted at once."""
    ids = (
        scene.given.get("ids")
        or [message["id"] for message in scene.messages.of_channel(int(scene.place.channel["id"]))][:5]
    )
    for message_id in ids:
        scene.messages.delete(int(message_id))
    return {"ids": ids, "channel_id": scene.place.channel["id"]} | scene.in_guild


def _reaction(scene: Scene) -> Json:
    message = _target(scene)
    return {"message_id": message["id"], "channel_id": scene.place.channel["id"]} | scene.in_guild


@event("MESSAGE_REACTION_ADD")
def message_reaction_add(scene: Scene) -> Json:
    """Someone reacts."""
    who = {"user_id": scene.place.user["id"], "emoji": payloads.emoji("\N{THUMBS UP SIGN}"), "burst": False, "type": 0}
    return _reaction(scene) | who | ({"member": scene.place.member} if scene.place.guild else {})


@event("MESSAGE_REACTION_REMOVE")
def message_reaction_remove(scene: Scene) -> Json:
    """Someone takes a reaction back."""
    who = {"user_id": scene.place.user["id"], "emoji": payloads.emoji("\N{THUMBS UP SIGN}"), "burst": False, "type": 0}
    return _reaction(scene) | who


@event("MESSAGE_REACTION_REMOVE_ALL")
def message_reaction_remove_all(scene: Scene) -> Json:
    """All reactions of a message are removed."""
    return _reaction(scene)


@event("MESSAGE_REACTION_REMOVE_EMOJI")
def message_reaction_remove_emoji(scene: Scene) -> Json:
    """All reactions with one emoji are removed."""
    return _reaction(scene) | {"emoji": payloads.emoji("\N{THUMBS UP SIGN}")}


@event("TYPING_START")
def typing_start(scene: Scene) -> Json:
    """Someone types."""
    who = {
        "user_id": scene.place.user["id"],
        "timestamp": int(scene.world.clock.time()),
        "channel_id": scene.place.channel["id"],
    }
    return who | ({"member": scene.place.member} if scene.place.guild else {}) | scene.in_guild


@event("PRESENCE_UPDATE")
def presence_update(scene: Scene) -> Json:
    """Someone's status changes."""
    guild = scene.guild
    return payloads.presence(int(scene.place.user["id"]), guild.id, scene.stage.rng.choice(payloads.STATUSES), "Chess")


@event("VOICE_STATE_UPDATE")
def voice_state_update(scene: Scene) -> Json:
    """Someone joins the voice channel, or, with `channel_id` null, leaves it."""
    guild = scene.guild
    user_id = int(scene.place.user["id"])
    voice = scene.given["channel_id"] if "channel_id" in scene.given else guild.channel(0, 2)["id"]
    state = payloads.voice_state(user_id, guild.id, int(voice) if voice else None, f"{user_id:032x}")
    if voice:
        guild.voice_states[user_id] = state
    else:
        guild.voice_states.pop(user_id, None)
    return state | {"member": scene.place.member}


@event("GUILD_MEMBER_ADD")
def guild_member_add(scene: Scene) -> Json:
    """Someone new joins."""
    guild = scene.guild
    member = guild.stranger()
    guild.members[int(member["user"]["id"])] = member
    return member | scene.in_guild


@event("GUILD_MEMBER_UPDATE")
def guild_member_update(scene: Scene) -> Json:
    """Someone's nickname changes."""
    scene.place.member["nick"] = f"Nick {scene.world.ids.new() % 1000}"
    return scene.place.member | scene.in_guild


@event("GUILD_MEMBER_REMOVE")
def guild_member_remove(scene: Scene) -> Json:
    """Someone leaves."""
    user: Json = scene.given.get("user", scene.place.user)
    scene.guild.members.pop(int(user["id"]), None)
    return {"user": user} | scene.in_guild


@event("GUILD_BAN_ADD")
def guild_ban_add(scene: Scene) -> Json:
    """Someone is banned."""
    scene.guild.bans[int(scene.place.user["id"])] = {"user": scene.place.user, "reason": None}
    return {"user": scene.place.user} | scene.in_guild


@event("GUILD_BAN_REMOVE")
def guild_ban_remove(scene: Scene) -> Json:
    """Someone is unbanned."""
    scene.guild.bans.pop(int(scene.place.user["id"]), None)
    return {"user": scene.place.user} | scene.in_guild


@event("CHANNEL_CREATE")
def channel_create(scene: Scene) -> Json:
    """A channel is made."""
    guild = scene.guild
    channel = (
        payloads.channel(scene.world.ids.new(), guild.id, "new", scene.given.get("type", 0), position=99) | scene.given
    )
    guild.channels[int(channel["id"])] = channel
    scene.world.channel_guild[int(channel["id"])] = guild
    return channel


@event("CHANNEL_UPDATE")
def channel_update(scene: Scene) -> Json:
    """The channel is renamed."""
    scene.place.channel.update({"name": f"renamed-{scene.world.ids.new() % 1000}"} | scene.given)
    return scene.place.channel


@event("CHANNEL_DELETE")
def channel_delete(scene: Scene) -> Json:
    """The channel is deleted."""
    scene.guild.channels.pop(int(scene.place.channel["id"]), None)
    return scene.place.channel


@event("CHANNEL_PINS_UPDATE")
def channel_pins_update(scene: Scene) -> Json:
    """A message is pinned or unpinned."""
    return {"channel_id": scene.place.channel["id"], "last_pin_timestamp": scene.world.clock.iso()} | scene.in_guild


@event("THREAD_CREATE")
def thread_create(scene: Scene) -> Json:
    """A thread is opened in the channel."""
    guild = scene.guild
    parent, owner = int(scene.place.channel["id"]), int(scene.place.user["id"])
    thread = payloads.thread(scene.world.ids.new(), guild.id, parent, owner, "thread")
    guild.threads[int(thread["id"])] = thread
    scene.world.channel_guild[int(thread["id"])] = guild
    return thread | {"newly_created": True}


def _thread(scene: Scene) -> Json:
    known = scene.guild.threads
    return next(reversed(known.values()), None) or thread_create(scene)


@event("THREAD_UPDATE")
def thread_update(scene: Scene) -> Json:
    """The newest thread is renamed."""
    thread = _thread(scene)
    thread.update({"name": "renamed"} | scene.given)
    return thread


@event("THREAD_DELETE")
def thread_delete(scene: Scene) -> Json:
    """The newest thread is deleted."""
    thread = _thread(scene)
    scene.guild.threads.pop(int(thread["id"]), None)
    return {key: thread[key] for key in ("id", "guild_id", "parent_id", "type")}


@event("GUILD_ROLE_CREATE")
def guild_role_create(scene: Scene) -> Json:
    """A role is made."""
    guild = scene.guild
    role = payloads.role(scene.world.ids.new(), "new", len(guild.roles))
    guild.roles[int(role["id"])] = role
    return {"role": role} | scene.in_guild


@event("GUILD_ROLE_UPDATE")
def guild_role_update(scene: Scene) -> Json:
    """A role is renamed."""
    role = scene.guild.role(0)
    role["name"] = f"renamed {scene.world.ids.new() % 1000}"
    return {"role": role} | scene.in_guild


@event("GUILD_ROLE_DELETE")
def guild_role_delete(scene: Scene) -> Json:
    """A role is deleted."""
    guild = scene.guild
    role_id = int(str(scene.given.get("role_id") or guild.role(0)["id"]))
    guild.roles.pop(role_id, None)
    return {"role_id": str(role_id)} | scene.in_guild


@event("GUILD_CREATE")
def guild_create(scene: Scene) -> Json:
    """A guild that was unavailable comes back; for any other guild the bot has joined it."""
    guild = scene.guild
    made = guild.create(full=guild.member_count <= 250)
    if not guild.unavailable:
        del made["unavailable"]
    guild.unavailable = False
    return made


@event("GUILD_UPDATE")
def guild_update(scene: Scene) -> Json:
    """The guild is renamed."""
    guild = scene.guild
    guild.name = str(scene.given.get("name", f"Renamed {guild.index}"))
    return guild.payload()


@event("GUILD_DELETE")
def guild_delete(scene: Scene) -> Json:
    """The bot has left, or, with `unavailable` true, the guild has an outage."""
    guild = scene.guild
    if scene.given.get("unavailable"):
        guild.unavailable = True
    else:
        scene.world.guilds.pop(guild.id, None)
    return {"id": str(guild.id)}


@event("GUILD_EMOJIS_UPDATE")
def guild_emojis_update(scene: Scene) -> Json:
    """An emoji is added."""
    guild = scene.guild
    emoji: Json = {"id": str(scene.world.ids.new()), "name": "new", "roles": [], "require_colons": True}
    guild.emojis.append(emoji | {"managed": False, "animated": False, "available": True})
    return {"emojis": guild.emojis} | scene.in_guild


@event("INVITE_CREATE")
def invite_create(scene: Scene) -> Json:
    """Someone makes an invite."""
    return scene.in_guild | {
        "channel_id": scene.place.channel["id"],
        "code": f"{scene.world.ids.new():x}"[-8:],
        "created_at": scene.world.clock.iso(),
        "inviter": scene.place.user,
        "max_age": 86_400,
        "max_uses": 0,
        "temporary": False,
        "uses": 0,
        "expires_at": None,
    }


@event("INVITE_DELETE")
def invite_delete(scene: Scene) -> Json:
    """An invite is deleted."""
    return {"channel_id": scene.place.channel["id"], "code": "abcdefgh"} | scene.in_guild


@event("WEBHOOKS_UPDATE")
def webhooks_update(scene: Scene) -> Json:
    """The channel's webhooks change."""
    return {"channel_id": scene.place.channel["id"]} | scene.in_guild


@event("GUILD_INTEGRATIONS_UPDATE")
def guild_integrations_update(scene: Scene) -> Json:
    """The guild's integrations change."""
    return scene.in_guild


@event("USER_UPDATE")
def user_update(scene: Scene) -> Json:
    """The bot's own user changes."""
    return scene.world.bot | {"verified": True}


@event("RATE_LIMITED")
def rate_limited(scene: Scene) -> Json:
    """The bot asked for a guild's members too often."""
    return {"opcode": 8, "retry_after": 30.0, "meta": scene.in_guild}


@event("INTERACTION_CREATE")
def interaction_create(scene: Scene) -> Json:
    """Someone uses a synced slash command that needs no options; without one, clicks a button unknown to the bot."""
    names = _runnable(scene.interactions.commands, scene.place)
    path = str(scene.given.pop("command", "")) or (scene.stage.rng.choice(names) if names else "")
    if not path:
        click = {"custom_id": "simulated", "component_type": 2}
        return scene.interactions.make(COMPONENT, click, scene.place, _target(scene)).payload
    return scene.interactions.make(COMMAND, scene.interactions.slash(path, {}, scene.place), scene.place).payload


def _runnable(commands: dict[int | None, dict[str, Json]], place: Place) -> list[str]:
    known = [*commands.get(None, {}).values(), *commands.get(place.guild_id, {}).values()]
    return [path for command in known if command.get("type", 1) == 1 for path in _paths(command)]


def _paths(command: Json) -> list[str]:
    options: list[dict[str, Any]] = command.get("options", [])
    if any(option["type"] in (1, 2) for option in options):
        return [f"{command['name']} {path}" for option in options for path in _paths(option)]
    return [] if any(option.get("required") for option in options) else [command["name"]]
