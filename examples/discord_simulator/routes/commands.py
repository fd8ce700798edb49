"""Application commands: what `CommandTree.sync` sends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from examples.discord_simulator.rest import Answer, ApiError, Call, route, unknown

if TYPE_CHECKING:
    from examples.discord_simulator.payloads import Json

_GLOBAL = "/applications/{application_id}/commands"
_GUILD = "/applications/{application_id}/guilds/{guild_id}/commands"
_MAX = {1: 100, 2: 15, 3: 15}


def _scope(call: Call) -> int | None:
    if call.id("application_id") != call.world.application_id:
        raise ApiError(403, 20012, "You are not authorized to perform this action on this application")
    return call.id("guild_id") if "guild_id" in call.request.match_info else None


def _known(call: Call) -> dict[str, Json]:
    return call.stage.interactions.commands.setdefault(_scope(call), {})


def _registered(call: Call, given: Json, command_id: str | None = None) -> Json:
    if not given.get("name"):
        raise ApiError(400, 50035, "Invalid Form Body")
    scope = _scope(call)
    fixed: Json = {
        "id": command_id or str(call.world.ids.new()),
        "application_id": str(call.world.application_id),
        "version": str(call.world.ids.new()),
    }
    usual: Json = {"type": 1, "description": "", "default_member_permissions": None, "nsfw": False}
    return usual | given | fixed | ({"guild_id": str(scope)} if scope else {})


def _key(command: Json) -> str:
    return f"{command.get('type', 1)}:{command['name']}"


def _find(call: Call) -> tuple[str, Json]:
    wanted = call.text("command_id")
    for key, command in _known(call).items():
        if command["id"] == wanted:
            return key, command
    raise unknown(10063, "application command")


@route("GET", _GLOBAL)
@route("GET", _GUILD)
def listed(call: Call) -> Answer:
    """Every command of a scope."""
    return list(_known(call).values())


@route("PUT", _GLOBAL)
@route("PUT", _GUILD)
def replace_all(call: Call) -> Answer:
    """Replace a scope's commands; one that keeps its name keeps its id."""
    kinds = [command.get("type", 1) for command in call.items]
    if any(kinds.count(kind) > most for kind, most in _MAX.items()):
        raise ApiError(400, 30032, "Maximum number of application commands reached (100)")
    known = _known(call)
    ids = {key: command["id"] for key, command in known.items()}
    fresh = {_key(command): _registered(call, command, ids.get(_key(command))) for command in call.items}
    known.clear()
    known.update(fresh)
    return list(known.values())


@route("POST", _GLOBAL)
@route("POST", _GUILD)
def create(call: Call) -> Answer:
    """Add a command, or replace the one of that name."""
    known = _known(call)
    old = known.get(_key(call.json)) if call.json.get("name") else None
    command = known[_key(call.json)] = _registered(call, call.json, old["id"] if old else None)
    return (200 if old else 201), command


@route("GET", _GLOBAL + "/{command_id}")
@route("GET", _GUILD + "/{command_id}")
def fetch(call: Call) -> Answer:
    """One command."""
    return _find(call)[1]


@route("PATCH", _GLOBAL + "/{command_id}")
@route("PATCH", _GUILD + "/{command_id}")
def edit(call: Call) -> Answer:
    """Change a command."""
    key, command = _find(call)
    known = _known(call)
    del known[key]
    changed = known[_key(command | call.json)] = _registered(call, command | call.json, command["id"])
    return changed


@route("DELETE", _GLOBAL + "/{command_id}")
@route("DELETE", _GUILD + "/{command_id}")
def delete(call: Call) -> None:
    """Remove a command."""
    del _known(call)[_find(call)[0]]
