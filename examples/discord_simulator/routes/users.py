"""Who the bot is, how to connect, and other users."""

from __future__ import annotations

from examples.discord_simulator import payloads
from examples.discord_simulator.rest import Answer, Call, route, unknown


@route("GET", "/users/@me")
def me(call: Call) -> Answer:
    """The bot's own user: what `login` asks for."""
    return call.world.bot | {"verified": True, "mfa_enabled": True, "email": None, "locale": "en-US"}


@route("PATCH", "/users/@me")
def edit_me(call: Call) -> Answer:
    """Change the bot's name."""
    if "username" in call.json:
        call.world.bot["username"] = call.json["username"]
    return me(call)


@route("GET", "/oauth2/applications/@me")
@route("GET", "/applications/@me")
def application(call: Call) -> Answer:
    """The bot's application."""
    return payloads.application(call.world.application_id, call.world.user(0))


@route("GET", "/gateway", auth=False)
def gateway(call: Call) -> Answer:
    """Where the gateway is."""
    return {"url": call.api.gateway.url}


@route("GET", "/gateway/bot")
def gateway_bot(call: Call) -> Answer:
    """Where the gateway is, how many shards are advised, and how many sessions may be started."""
    gate = call.api.gateway
    return {"url": gate.url, "shards": gate.advised_shards, "session_start_limit": gate.budget.as_json()}


@route("GET", "/users/{user_id}")
def user(call: Call) -> Answer:
    """A user."""
    found = call.world.find_user(call.id("user_id"))
    if found is None:
        raise unknown(10013, "User")
    return found


@route("POST", "/users/@me/channels")
def open_dm(call: Call) -> Answer:
    """The direct-message channel with a user."""
    found = call.world.find_user(int(call.json.get("recipient_id", 0)))
    if found is None:
        raise unknown(10013, "User")
    return call.world.dm(found)


@route("GET", "/users/@me/guilds")
def my_guilds(call: Call) -> Answer:
    """The guilds that the bot is in, by id, `limit` at most."""
    after, limit = int(call.query("after", "0")), int(call.query("limit", "200"))
    found = [call.world.guilds[guild] for guild in sorted(call.world.guilds) if guild > after][:limit]
    fixed: payloads.Json = {"icon": None, "owner": False, "features": [], "permissions": payloads.EVERYTHING}
    return [{"id": str(guild.id), "name": guild.name} | fixed for guild in found]


@route("DELETE", "/users/@me/guilds/{guild_id}")
def leave(call: Call) -> None:
    """Leave a guild."""
    guild = call.id("guild_id")
    call.emit("GUILD_DELETE", call.stage.place(guild), {})
