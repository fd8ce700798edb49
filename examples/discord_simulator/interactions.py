"""Interactions: their payloads, and what became of each (Discord's docs, interactions/receiving-and-responding)."""

from __future__ import annotations

import secrets
import time
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import payloads
from .snowflakes import created

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .payloads import Json
    from .world import Guild, World

COMMAND, COMPONENT, AUTOCOMPLETE, MODAL = 2, 3, 4, 5
SUBCOMMAND, GROUP, STRING, INTEGER, BOOLEAN, USER, CHANNEL, ROLE, MENTIONABLE, NUMBER, ATTACHMENT = range(1, 12)
_RESOLVED = {USER, CHANNEL, ROLE, MENTIONABLE, ATTACHMENT}
_SELECT_OF = {5: USER, 6: ROLE, 7: MENTIONABLE, 8: CHANNEL}
_KEPT = 20_000


@dataclass
class Interaction:
    """One interaction that was sent, and how the bot answered."""

    interaction_id: int
    token: str
    kind: int
    payload: Json
    sent_at: float = field(default_factory=time.monotonic)
    age: float = 0.0
    """Seconds that it is older than `sent_at` says, as the client's clock sees it."""
    response: int | None = None
    """The type of the first response; None until there is one."""
    response_data: Json = field(default_factory=dict[str, Any])
    answered_after: float | None = None
    original: int | None = None
    """The id of the message that is the first response."""
    followups: list[int] = field(default_factory=list[int])

    @property
    def elapsed(self) -> float:
        """Seconds since Discord made it."""
        return time.monotonic() - self.sent_at + self.age


class Interactions:
    """The interactions of late, by id and by token, and the commands that the bot has synced."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.late = 0.0
        """Seconds that new interactions are already old when they are sent."""
        self.by_token: dict[str, Interaction] = {}
        self.commands: dict[int | None, dict[str, Json]] = {}
        self.modals: dict[str, Json] = {}

    def find(self, token: str) -> Interaction | None:
        """The interaction of a token."""
        return self.by_token.get(token)

    def of_id(self, interaction_id: int) -> Interaction | None:
        """The interaction with this id."""
        return next((one for one in self.by_token.values() if one.interaction_id == interaction_id), None)

    def make(self, kind: int, data: Json, place: Place, message: Json | None = None) -> Interaction:
        """A new interaction of a user at a place."""
        interaction_id = self.world.ids.new() - (int(self.late * 1000) << 22)
        token = secrets.token_urlsafe(60)
        payload = self._payload(interaction_id, token, kind, data, place)
        if message is not None:
            payload["message"] = message
        made = Interaction(interaction_id, token, kind, payload, age=self.late)
        self._remember(made)
        return made

    def _remember(self, made: Interaction) -> None:
        self.by_token[made.token] = made
        if len(self.by_token) > _KEPT:
            del self.by_token[next(iter(self.by_token))]

    def _payload(self, interaction_id: int, token: str, kind: int, data: Json, place: Place) -> Json:
        return {
            "id": str(interaction_id),
            "application_id": str(self.world.application_id),
            "type": kind,
            "token": token,
            "version": 1,
            "data": data,
            "locale": "en-US",
            "entitlements": [],
            "entitlement_sku_ids": [],
            "app_permissions": payloads.EVERYTHING,
            "attachment_size_limit": 10_485_760,
            "channel_id": place.channel["id"],
            **place.fields(),
        }

    def command(self, name: str, guild: Guild | None, kind: int = 1) -> Json:
        """What the bot synced under this name, for the guild or globally; a made-up one if it did not."""
        for scope in (guild.id if guild else None, None):
            known = self.commands.get(scope, {}).get(f"{kind}:{name}")
            if known:
                return known
        return {"id": str(self.world.fixed(5, zlib.crc32(name.encode()) % 100_000)), "name": name, "type": kind}

    def slash(self, path: str, options: Mapping[str, object], place: Place, focused: str | None = None) -> Json:
        """The data of a slash command: `path` is "name", "group sub" or "group subgroup sub"."""
        name, *subs = path.split()
        command = self.command(name, place.guild)
        declared = _declared(command, subs)
        values, resolved = self._options(options, declared, place, focused)
        kinds = [GROUP] * (len(subs) - 1) + [SUBCOMMAND] if subs else []
        for sub, kind in zip(reversed(subs), reversed(kinds), strict=True):
            values = [{"name": sub, "type": kind, "options": values}]
        return _data(command) | {"options": values} | ({"resolved": resolved} if resolved else {})

    def menu(self, name: str, place: Place, kind: int, target: Json) -> Json:
        """The data of a user (2) or message (3) menu."""
        data = _data(self.command(name, place.guild, kind)) | {"target_id": target["id"]}
        resolved: Json = {"messages": {target["id"]: target}}
        if kind == 2:
            resolved = self.resolve([(USER, int(target["id"]))], place)
        return data | {"resolved": resolved}

    def component(self, message: Json, custom_id: str | None, values: Sequence[object], place: Place) -> Json:
        """The data of a click on a button or a choice in a select of a message."""
        items = [item for item in _flat(message.get("components", [])) if "custom_id" in item]
        item = next((item for item in items if custom_id in (None, item["custom_id"])), None)
        if item is None:
            raise LookupError(f"the message has no component {custom_id!r}: {[one['custom_id'] for one in items]}")
        data: Json = {"custom_id": item["custom_id"], "component_type": item["type"]}
        if item.get("id") is not None:
            data["id"] = item["id"]
        if item["type"] == 2:
            return data
        data["values"] = [str(value) for value in values]
        if item["type"] in _SELECT_OF:
            kind = _SELECT_OF[item["type"]]
            data["resolved"] = self.resolve([(kind, int(value)) for value in data["values"]], place)
        return data

    def modal(self, custom_id: str, fields: Mapping[str, object], place: Place) -> Json:
        """The data of a submitted modal, in the shape in which the bot sent it."""
        shown = self.modals.get(custom_id)
        rows: list[Json] = (
            shown["components"]
            if shown
            else [{"type": 1, "components": [{"type": 4, "custom_id": name}]} for name in fields]
        )
        wanted: list[tuple[int, int]] = []
        components = [_submitted(row, fields, wanted) for row in rows]
        resolved = self.resolve(wanted, place)
        return {"custom_id": custom_id, "components": components} | ({"resolved": resolved} if resolved else {})

    def resolve(self, wanted: Iterable[tuple[int, int]], place: Place) -> Json:
        """The `resolved` data of (option type, id) pairs."""
        resolved: Json = {}
        for kind, snowflake in wanted:
            for group, payload in self._resolved(kind, snowflake, place):
                resolved.setdefault(group, {})[str(snowflake)] = payload
        return resolved

    def _resolved(self, kind: int, snowflake: int, place: Place) -> list[tuple[str, Json]]:
        guild = place.guild
        if kind == ATTACHMENT:
            return [("attachments", attachment(snowflake, "file.txt", 5))]
        if kind == CHANNEL:
            found = self.world.find_channel(snowflake) or place.channel
            return [("channels", found | {"permissions": payloads.EVERYTHING})]
        if guild is not None and (kind == ROLE or (kind == MENTIONABLE and snowflake in guild.roles)):
            return [("roles", guild.role(snowflake))]
        user = self.world.find_user(snowflake) or place.member["user"]
        if guild is None or snowflake not in guild.members:
            return [("users", user)]
        return [("users", user), ("members", _partial(guild.members[snowflake]))]

    def _options(
        self, options: Mapping[str, object], declared: Mapping[str, int], place: Place, focused: str | None
    ) -> tuple[list[Json], Json]:
        values: list[Json] = []
        wanted: list[tuple[int, int]] = []
        for name, value in options.items():
            kind = declared.get(name, _kind_of(value))
            if kind in _RESOLVED:
                wanted.append((kind, int(str(value))))
            option: Json = {"name": name, "type": kind, "value": str(value) if kind in _RESOLVED else value}
            values.append(option | ({"focused": True} if name == focused else {}))
        return values, self.resolve(wanted, place)


@dataclass(frozen=True)
class Place:
    """Where and by whom something happens: a channel and a member of a guild, or a user's direct messages."""

    guild: Guild | None
    channel: Json
    member: Json

    @property
    def user(self) -> Json:
        """Who does it."""
        user: Json = self.member["user"]
        return user

    @property
    def guild_id(self) -> int | None:
        """The guild's id; None in direct messages."""
        return self.guild.id if self.guild else None

    def fields(self) -> Json:
        """The part of an interaction that says where and by whom."""
        channel = self.channel | {"permissions": payloads.EVERYTHING}
        if self.guild is None:
            return {"channel": channel, "user": self.user, "context": 1, "authorizing_integration_owners": {"0": "0"}}
        return {
            "channel": channel,
            "guild_id": str(self.guild.id),
            "guild": {"id": str(self.guild.id), "locale": "en-US", "features": ["COMMUNITY"]},
            "guild_locale": "en-US",
            "member": self.member | {"permissions": payloads.MEMBER_PERMISSIONS},
            "context": 0,
            "authorizing_integration_owners": {"0": str(self.guild.id)},
        }


def attachment(snowflake: int, name: str, size: int, url: str = "") -> Json:
    """An attachment."""
    where = url or f"http://127.0.0.1/cdn/attachments/{snowflake}/{name}"
    return {"id": str(snowflake), "filename": name, "size": size, "url": where, "proxy_url": where}


def age_of(snowflake: int) -> float:
    """Seconds since an id was made, by this machine's clock."""
    return time.time() - created(snowflake)


def _data(command: Json) -> Json:
    data: Json = {"id": command["id"], "name": command["name"], "type": command.get("type", 1)}
    return data | ({"guild_id": command["guild_id"]} if command.get("guild_id") else {})


def _declared(command: Json, subs: Sequence[str]) -> dict[str, int]:
    no_options: list[Json] = []
    options = _options_of(command)
    for sub in subs:
        options = next((_options_of(option) for option in options if option["name"] == sub), no_options)
    return {option["name"]: option["type"] for option in options}


def _options_of(command: Json) -> list[Json]:
    options: list[Json] = command.get("options", [])
    return options


def _kind_of(value: object) -> int:
    if isinstance(value, bool):
        return BOOLEAN
    return INTEGER if isinstance(value, int) else NUMBER if isinstance(value, float) else STRING


def _partial(member: Json) -> Json:
    kept = {name: value for name, value in member.items() if name not in ("user", "deaf", "mute")}
    return kept | {"permissions": payloads.MEMBER_PERMISSIONS}


def _flat(components: Iterable[Json]) -> Iterable[Json]:
    for component in components:
        yield component
        yield from _flat(component.get("components", []))
        if isinstance(component.get("accessory"), dict):
            yield component["accessory"]


def _submitted(row: Json, fields: Mapping[str, object], wanted: list[tuple[int, int]]) -> Json:
    """A modal's row as it comes back: an action row of text inputs, a label with one component, or plain text."""
    answer: Json = {"type": row["type"], **({"id": row["id"]} if row.get("id") is not None else {})}
    if "component" in row:
        return answer | {"component": _field(row["component"], fields, wanted)}
    if "components" in row:
        return answer | {"components": [_field(one, fields, wanted) for one in row["components"]]}
    return answer


def _field(item: Json, fields: Mapping[str, object], wanted: list[tuple[int, int]]) -> Json:
    value = fields.get(item["custom_id"], item.get("value", ""))
    answer: Json = {"type": item["type"], "custom_id": item["custom_id"]}
    if item.get("id") is not None:
        answer["id"] = item["id"]
    if item["type"] not in (3, 5, 6, 7, 8, 19, 22):
        return answer | {"value": value}
    values = [str(one) for one in (value if isinstance(value, (list, tuple)) else [value] if value else [])]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    kind = ATTACHMENT if item["type"] == 19 else _SELECT_OF.get(item["type"])
    if kind:
        wanted += [(kind, int(one)) for one in values]
    return answer | {"values": values}
