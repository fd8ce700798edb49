"""Answers to interactions: callback, original response, follow-ups. The token in the path is the authority."""

from __future__ import annotations

from typing import TYPE_CHECKING

from examples.discord_simulator.ratelimits import Limit
from examples.discord_simulator.rest import Answer, ApiError, Call, route, unknown

from .messages import fields_of

if TYPE_CHECKING:
    from examples.discord_simulator.interactions import Interaction
    from examples.discord_simulator.payloads import Json

_CALLBACK = "/interactions/{interaction_id}/{token}/callback"
MESSAGE, DEFER, DEFER_UPDATE, UPDATE, AUTOCOMPLETE, MODAL, PREMIUM, ACTIVITY = 4, 5, 6, 7, 8, 9, 10, 12
_KINDS = {1, MESSAGE, DEFER, DEFER_UPDATE, UPDATE, AUTOCOMPLETE, MODAL, PREMIUM, ACTIVITY}
_EPHEMERAL, _LOADING = 1 << 6, 1 << 7


def alive(call: Call, token: str) -> Interaction | None:
    """The interaction of a token while the token lives."""
    found = call.stage.interactions.find(token)
    if found is None or found.elapsed > call.api.gateway.limits.interaction_lifetime:
        return None
    return found


@route("POST", _CALLBACK, auth=False, exempt=True, limit=Limit(1_000, 1.0))
def respond(call: Call) -> Answer:
    """The first response: 10062 after three seconds, 40060 the second time."""
    found = alive(call, call.text("token"))
    if found is None or found.interaction_id != call.id("interaction_id"):
        raise unknown(10062, "interaction")
    if found.response is not None:
        raise ApiError(400, 40060, "Interaction has already been acknowledged.")
    if found.elapsed > call.api.gateway.limits.interaction_deadline:
        raise unknown(10062, "interaction")
    kind = call.json.get("type")
    if kind not in _KINDS:
        raise ApiError(400, 50035, "Invalid Form Body")
    message = _apply(call, found, kind)
    if call.query("with_response").lower() in ("1", "true"):
        return _resource(found, kind, message)
    return None


def _apply(call: Call, found: Interaction, kind: int) -> Json | None:
    data: Json = call.json.get("data") or {}
    found.response, found.response_data, found.answered_after = kind, data, found.elapsed
    if kind in (MESSAGE, DEFER):
        message = _message(call, found, data, loading=kind == DEFER)
        found.original = int(message["id"])
        return message
    if kind == MODAL:
        call.stage.interactions.modals[data["custom_id"]] = data
    original: Json | None = found.payload.get("message")
    if kind in (DEFER_UPDATE, UPDATE) and original:
        found.original = int(original["id"])
        changes = fields_of(call, data, original["channel_id"]) if kind == UPDATE else {}
        return call.stage.messages.edit(found.original, changes) or original
    return None


def _message(call: Call, found: Interaction, data: Json, *, loading: bool = False) -> Json:
    channel_id = found.payload["channel_id"]
    fields = fields_of(call, data, channel_id)
    fields["flags"] = int(data.get("flags") or 0) | (_LOADING if loading else 0)
    fields |= {
        "type": 20,
        "application_id": found.payload["application_id"],
        "webhook_id": found.payload["application_id"],
    }
    user = found.payload.get("user") or found.payload["member"]["user"]
    fields["interaction_metadata"] = {
        "id": str(found.interaction_id),
        "type": found.kind,
        "user": user,
        "authorizing_integration_owners": found.payload["authorizing_integration_owners"],
    }
    message = call.stage.messages.new(int(channel_id), call.world.bot, "", fields)
    if not fields["flags"] & _EPHEMERAL:
        guild = call.world.guild_of(int(channel_id))
        call.dispatch(
            "MESSAGE_CREATE", message | ({"guild_id": str(guild.id)} if guild else {}), guild.id if guild else None
        )
    return message


def _resource(found: Interaction, kind: int, message: Json | None) -> Json:
    about: Json = {"id": str(found.interaction_id), "type": found.kind}
    if message is None:
        return {"interaction": about, "resource": {"type": kind}}
    about |= {
        "response_message_id": message["id"],
        "response_message_loading": kind == DEFER,
        "response_message_ephemeral": bool(message["flags"] & _EPHEMERAL),
    }
    return {"interaction": about, "resource": {"type": kind, "message": message}}


def follow_up(call: Call, found: Interaction) -> Json:
    """A follow-up message; after a deferred response the first one is the original."""
    if found.response is None:
        raise unknown(10015, "Webhook")
    message = _message(call, found, call.json)
    found.followups.append(int(message["id"]))
    return message


def original_of(call: Call, found: Interaction) -> Json:
    """The first response's message. Raises 10008."""
    message = call.stage.messages.get(found.original) if found.original else None
    if message is None:
        raise unknown(10008, "Message")
    return message
