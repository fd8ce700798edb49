"""Webhooks; an interaction's token is one too, for follow-ups and the original response."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from examples.discord_simulator.ratelimits import Limit
from examples.discord_simulator.rest import Answer, Call, route, unknown

from . import interactions
from .messages import channel_of, deleted, edited, fields_of, sent

if TYPE_CHECKING:
    from examples.discord_simulator.payloads import Json

_HOOK = "/webhooks/{webhook_id}"
_TOKEN = _HOOK + "/{token}"
_MESSAGE = _TOKEN + "/messages/{message_id}"
_LIMIT = Limit(5, 2.0)


def _hook(call: Call) -> Json:
    found = call.api.webhooks.get(call.id("webhook_id"))
    token = call.request.match_info.get("token")
    if found is None or (token is not None and token != found["token"]):
        raise unknown(10015, "Webhook")
    return found


@route("POST", "/channels/{channel_id}/webhooks")
def create(call: Call) -> Answer:
    """Make a webhook in a channel."""
    channel = channel_of(call)
    hook: Json = {
        "id": str(call.world.ids.new()),
        "type": 1,
        "guild_id": channel.get("guild_id"),
        "channel_id": channel["id"],
        "name": call.json.get("name"),
        "avatar": None,
        "token": secrets.token_urlsafe(48),
        "application_id": None,
        "user": call.world.bot,
    }
    call.api.webhooks[int(hook["id"])] = hook
    return hook


@route("GET", "/channels/{channel_id}/webhooks")
def of_channel(call: Call) -> Answer:
    """A channel's webhooks."""
    return [hook for hook in call.api.webhooks.values() if hook["channel_id"] == call.text("channel_id")]


@route("GET", "/guilds/{guild_id}/webhooks")
def of_guild(call: Call) -> Answer:
    """A guild's webhooks."""
    return [hook for hook in call.api.webhooks.values() if hook["guild_id"] == call.text("guild_id")]


@route("GET", _HOOK)
def fetch(call: Call) -> Answer:
    """A webhook."""
    return _hook(call)


@route("GET", _TOKEN, auth=False)
def fetch_with_token(call: Call) -> Answer:
    """A webhook, by its token."""
    return _hook(call)


@route("PATCH", _HOOK)
def edit(call: Call) -> Answer:
    """Rename a webhook, or move it."""
    hook = _hook(call)
    hook.update({key: call.json[key] for key in ("name", "channel_id") if key in call.json})
    return hook


@route("PATCH", _TOKEN, auth=False)
def edit_with_token(call: Call) -> Answer:
    """Rename a webhook, by its token."""
    return edit(call)


@route("DELETE", _HOOK)
def delete(call: Call) -> None:
    """Delete a webhook."""
    del call.api.webhooks[int(_hook(call)["id"])]


@route("DELETE", _TOKEN, auth=False)
def delete_with_token(call: Call) -> None:
    """Delete a webhook, by its token."""
    del call.api.webhooks[int(_hook(call)["id"])]


@route("POST", _TOKEN, auth=False, exempt=True, limit=_LIMIT)
def execute(call: Call) -> Answer:
    """Send through a webhook, or follow an interaction up."""
    found = interactions.alive(call, call.text("token"))
    if found is not None:
        return interactions.follow_up(call, found)
    hook = _hook(call)
    author = call.world.bot | {"id": hook["id"], "username": call.json.get("username") or hook["name"], "bot": True}
    fields = fields_of(call, call.json, hook["channel_id"]) | {"webhook_id": hook["id"]}
    message = sent(call, call.stage.messages.new(int(hook["channel_id"]), author, "", fields))
    return message if call.query("wait").lower() in ("1", "true") else None


def _message(call: Call) -> Json:
    found = interactions.alive(call, call.text("token"))
    if found is not None and call.text("message_id") == "@original":
        return interactions.original_of(call, found)
    if found is None:
        _hook(call)
    message = call.stage.messages.get(call.id("message_id"))
    if message is None:
        raise unknown(10008, "Message")
    return message


@route("GET", _MESSAGE, auth=False, exempt=True, limit=_LIMIT)
def fetch_message(call: Call) -> Answer:
    """A message of a webhook; `@original` is an interaction's first response."""
    return _message(call)


@route("PATCH", _MESSAGE, auth=False, exempt=True, limit=_LIMIT)
def edit_message(call: Call) -> Answer:
    """Edit a message of a webhook; that also ends an interaction's "thinking"."""
    message = _message(call)
    changes = fields_of(call, call.json, message["channel_id"]) | {"flags": message["flags"] & ~(1 << 7)}
    call.stage.messages.edit(int(message["id"]), changes)
    return edited(call, message)


@route("DELETE", _MESSAGE, auth=False, exempt=True, limit=_LIMIT)
def delete_message(call: Call) -> None:
    """Delete a message of a webhook."""
    deleted(call, _message(call))
