"""Messages, reactions and typing in channels."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from examples.discord_simulator import payloads
from examples.discord_simulator.ratelimits import Limit
from examples.discord_simulator.rest import Answer, ApiError, Call, route, unknown

if TYPE_CHECKING:
    from examples.discord_simulator.payloads import Json
    from examples.discord_simulator.world import Guild

_CHANNEL = "/channels/{channel_id}"
_MESSAGES = _CHANNEL + "/messages"
_MESSAGE = _MESSAGES + "/{message_id}"
_REACTION = _MESSAGE + "/reactions/{emoji}"
_SET = ("content", "embeds", "components", "flags", "nonce", "tts", "poll", "allowed_mentions", "sticker_ids")


def channel_of(call: Call) -> Json:
    """The channel that the path names. Raises 10003."""
    found = call.world.find_channel(call.id("channel_id"))
    if found is None:
        raise unknown(10003, "Channel")
    return found


def message_of(call: Call) -> Json:
    """The message that the path names. Raises 10008."""
    found = call.stage.messages.get(call.id("message_id"))
    if found is None or found["channel_id"] != str(call.id("channel_id")):
        raise unknown(10008, "Message")
    return found


def fields_of(call: Call, given: Json, channel_id: str) -> Json:
    """What a message takes over from a request: text, embeds, components, uploads, the message it answers."""
    fields = {key: given[key] for key in _SET if given.get(key) is not None and key != "allowed_mentions"}
    files = call.api.store(call.seen, channel_id)
    if files:
        fields["attachments"] = files
    if given.get("message_reference"):
        fields |= {"message_reference": given["message_reference"], "type": 19}
        referenced = call.stage.messages.get(int(given["message_reference"].get("message_id", 0)))
        fields["referenced_message"] = referenced
    if "components" in fields:
        fields["components"] = numbered(fields["components"])
    return fields


def numbered(components: list[Json], start: int = 1) -> list[Json]:
    """Components with the ids that Discord gives those that have none."""
    result: list[Json] = []
    for offset, component in enumerate(components, start):
        copy = dict(component)
        copy.setdefault("id", offset)
        if isinstance(copy.get("components"), list):
            copy["components"] = numbered(copy["components"], offset * 100)
        result.append(copy)
    return result


def guild_fields(guild: Guild | None) -> Json:
    """What a gateway message has beyond a REST one, for messages of the bot."""
    if guild is None:
        return {}
    member = {name: value for name, value in guild.me.items() if name != "user"}
    return {"guild_id": str(guild.id), "member": member}


def sent(call: Call, message: Json) -> Json:
    """Tell the gateway that the bot wrote a message."""
    guild = call.world.guild_of(int(message["channel_id"]))
    call.dispatch("MESSAGE_CREATE", message | guild_fields(guild), guild.id if guild else None)
    return message


def edited(call: Call, message: Json) -> Json:
    """Tell the gateway that the bot edited a message."""
    guild = call.world.guild_of(int(message["channel_id"]))
    call.dispatch("MESSAGE_UPDATE", message | guild_fields(guild), guild.id if guild else None)
    return message


def deleted(call: Call, message: Json) -> None:
    """Forget a message and tell the gateway."""
    guild = call.world.guild_of(int(message["channel_id"]))
    call.stage.messages.delete(int(message["id"]))
    gone: Json = {"id": message["id"], "channel_id": message["channel_id"]}
    gone |= {"guild_id": str(guild.id)} if guild else {}
    call.dispatch("MESSAGE_DELETE", gone, guild.id if guild else None)


def empty(given: Json, fields: Json) -> bool:
    """Whether there is nothing to send in it."""
    kinds = ("content", "embeds", "components", "attachments", "sticker_ids", "poll")
    return not any(fields.get(kind) or given.get(kind) for kind in kinds)


@route("POST", _MESSAGES, limit=Limit(5, 5.0))
def send(call: Call) -> Answer:
    """Send a message; an empty one is refused with 50006."""
    channel = channel_of(call)
    fields = fields_of(call, call.json, channel["id"])
    if empty(call.json, fields):
        raise ApiError(400, 50006, "Cannot send an empty message")
    return sent(call, call.stage.messages.new(int(channel["id"]), call.world.bot, "", fields))


@route("GET", _MESSAGES)
def history(call: Call) -> Answer:
    """A channel's messages, newest first; `before`, `after`, `around`, `limit`."""
    channel = channel_of(call)
    before, after = int(call.query("before", str(1 << 63))), int(call.query("after", "0"))
    every = call.stage.messages.of_channel(int(channel["id"]))
    found = [message for message in every if after < int(message["id"]) < before]
    limit = int(call.query("limit", "50"))
    return found[-limit:] if after else found[:limit]


@route("GET", _MESSAGE)
def fetch(call: Call) -> Answer:
    """One message."""
    return message_of(call)


@route("PATCH", _MESSAGE, limit=Limit(5, 5.0))
def edit(call: Call) -> Answer:
    """Edit one of the bot's messages; another's is refused with 50005."""
    message = message_of(call)
    if message["author"]["id"] != call.world.bot["id"]:
        raise ApiError(403, 50005, "Cannot edit a message authored by another user")
    call.stage.messages.edit(int(message["id"]), fields_of(call, call.json, message["channel_id"]))
    return edited(call, message)


@route("DELETE", _MESSAGE, limit=Limit(5, 1.0))
def delete(call: Call) -> None:
    """Delete a message."""
    deleted(call, message_of(call))


@route("POST", _MESSAGES + "/bulk-delete")
def bulk_delete(call: Call) -> None:
    """Delete 2 to 100 messages at once."""
    channel, ids = channel_of(call), call.json.get("messages", [])
    if not 2 <= len(ids) <= 100:
        raise ApiError(400, 50016, "Provided too few or too many messages to delete.")
    for message_id in ids:
        call.stage.messages.delete(int(message_id))
    guild = call.world.guild_of(int(channel["id"]))
    gone = {"ids": ids, "channel_id": channel["id"]} | ({"guild_id": str(guild.id)} if guild else {})
    call.dispatch("MESSAGE_DELETE_BULK", gone, guild.id if guild else None)


@route("POST", _CHANNEL + "/typing")
def typing(call: Call) -> None:
    """Show that the bot types."""
    channel = channel_of(call)
    guild = call.world.guild_of(int(channel["id"]))
    shown: Json = {"channel_id": channel["id"], "user_id": call.world.bot["id"]}
    shown["timestamp"] = int(call.world.clock.time())
    shown |= {"guild_id": str(guild.id), "member": guild.me} if guild else {}
    call.dispatch("TYPING_START", shown, guild.id if guild else None)


def _emoji(call: Call) -> Json:
    name, _, emoji_id = unquote(call.text("emoji")).partition(":")
    return {"id": emoji_id, "name": name} if emoji_id else payloads.emoji(name)


def _reaction(call: Call, event: str) -> None:
    message = message_of(call)
    guild = call.world.guild_of(int(message["channel_id"]))
    data: Json = {"user_id": call.world.bot["id"], "message_id": message["id"], "channel_id": message["channel_id"]}
    if "emoji" in call.request.match_info:
        data |= {"emoji": _emoji(call), "burst": False, "type": 0}
    data |= {"guild_id": str(guild.id)} if guild else {}
    data |= {"member": guild.me} if guild and event.endswith("ADD") else {}
    call.dispatch(event, data, guild.id if guild else None)


@route("PUT", _REACTION + "/@me", limit=Limit(1, 0.25))
def react(call: Call) -> None:
    """Add a reaction."""
    _reaction(call, "MESSAGE_REACTION_ADD")


@route("DELETE", _REACTION + "/{user}", limit=Limit(1, 0.25))
def unreact(call: Call) -> None:
    """Remove a reaction."""
    _reaction(call, "MESSAGE_REACTION_REMOVE")


@route("GET", _REACTION)
def reactors(call: Call) -> Answer:
    """Who reacted; the simulator does not keep that, so nobody."""
    message_of(call)
    return []


@route("DELETE", _MESSAGE + "/reactions")
def clear_reactions(call: Call) -> None:
    """Remove all reactions."""
    _reaction(call, "MESSAGE_REACTION_REMOVE_ALL")


@route("DELETE", _REACTION)
def clear_reaction(call: Call) -> None:
    """Remove all reactions with one emoji."""
    _reaction(call, "MESSAGE_REACTION_REMOVE_EMOJI")


@route("PUT", _CHANNEL + "/pins/{message_id}")
@route("PUT", _MESSAGES + "/pins/{message_id}")
def pin(call: Call) -> None:
    """Pin a message."""
    message_of(call)["pinned"] = True


@route("DELETE", _CHANNEL + "/pins/{message_id}")
@route("DELETE", _MESSAGES + "/pins/{message_id}")
def unpin(call: Call) -> None:
    """Unpin a message."""
    message_of(call)["pinned"] = False
