"""The guilds, people and channels that exist, made from a seed and changed by events and REST calls."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from . import payloads, snowflakes
from .snowflakes import Clock, Snowflakes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .payloads import Json

_USER, _CHANNEL, _ROLE, _DM, _APPLICATION = range(5)
_ROLES = ("Member", "Moderator", "Admin")
_PER_GUILD = 4_096


class World:
    """Everything the simulated Discord knows. Guilds are made when first looked at, so that many cost little."""

    def __init__(self, *, guilds: int, members: int, channels: int, seed: int, clock: Clock) -> None:
        self.seed = seed
        self.members = members
        self.channels = channels
        self.clock = clock
        self.ids = Snowflakes(clock)
        self.application_id = self.fixed(_APPLICATION, 0)
        self.bot = payloads.user(self.fixed(_USER, 0), "simulated_bot", bot=True)
        self.bot_id = int(self.bot["id"])
        self.guilds: dict[int, Guild] = {}
        self.dms: dict[int, Json] = {}
        self.channel_guild: dict[int, Guild] = {}
        self._made = 0
        self._indexed = 0
        for _ in range(guilds):
            self.add_guild()

    def fixed(self, kind: int, number: int) -> int:
        """The id of the `number`-th thing of a kind."""
        return snowflakes.fixed(self.seed, number * 8 + kind)

    def add_guild(self) -> Guild:
        """One more guild, with the next index."""
        guild = Guild(self, self._made)
        self._made += 1
        self.guilds[guild.id] = guild
        return guild

    def guild(self, where: int) -> Guild:
        """A guild by its index or its id. Raises LookupError."""
        if where in self.guilds:
            return self.guilds[where]
        if 0 <= where < self._made and snowflakes.guild(self.seed, where) in self.guilds:
            return self.guilds[snowflakes.guild(self.seed, where)]
        raise LookupError(f"no guild {where}: there are {len(self.guilds)}")

    def user(self, number: int) -> Json:
        """The `number`-th person, counted from 0; the bot is none of them."""
        return _person(self.fixed(_USER, number + 1), number)

    def find_user(self, user_id: int) -> Json | None:
        """The user with this id, in any guild that has been looked at."""
        if user_id == self.bot_id:
            return self.bot
        found = (guild.members.get(user_id) for guild in self.guilds.values() if guild.populated)
        return next((member["user"] for member in found if member), None) or self._among_first(user_id)

    def _among_first(self, user_id: int) -> Json | None:
        people = (self.user(number) for number in range(self.members))
        return next((user for user in people if user["id"] == str(user_id)), None)

    def dm(self, user: Json) -> Json:
        """The direct-message channel with a user, made if need be."""
        channel_id = int(user["id"]) ^ 1 << 30
        return self.dms.setdefault(channel_id, payloads.dm_channel(channel_id, user))

    def find_channel(self, channel_id: int) -> Json | None:
        """A guild channel, thread or direct-message channel by its id."""
        if channel_id in self.dms:
            return self.dms[channel_id]
        guild = self.guild_of(channel_id)
        if guild is None:
            return None
        return guild.channels.get(channel_id) or guild.threads.get(channel_id)

    def guild_of(self, channel_id: int) -> Guild | None:
        """The guild that a channel or thread is in."""
        if channel_id not in self.channel_guild:
            for guild in self.guilds.values():
                if guild.index >= self._indexed:
                    self.channel_guild.update(dict.fromkeys(guild.channels, guild))
            self._indexed = self._made
        return self.channel_guild.get(channel_id)

    def settings(self) -> Mapping[str, int]:
        """How many there are of each."""
        return {"guilds": len(self.guilds), "members": self.members, "channels": self.channels, "seed": self.seed}


class Guild:
    """One guild: `members` people and the bot; a category, `channels` text channels, a voice channel; four roles."""

    def __init__(self, world: World, index: int) -> None:
        self.world = world
        self.index = index
        self.id = snowflakes.guild(world.seed, index)
        self.name = f"Guild {index}"
        self.unavailable = False
        self.voice_states: dict[int, Json] = {}
        self.threads: dict[int, Json] = {}
        self.bans: dict[int, Json] = {}
        self.emojis: list[Json] = []
        self._added = 0

    @property
    def populated(self) -> bool:
        """Whether the members have been made yet."""
        return "members" in self.__dict__

    @property
    def member_count(self) -> int:
        """People and the bot."""
        return len(self.members) if self.populated else self.world.members + 1

    @cached_property
    def members(self) -> dict[int, Json]:
        """Members by user id, the bot first."""
        first = self.index * max(self.world.members // 2, 1)
        people = [self._member(self.world.user(first + number)) for number in range(self.world.members)]
        return {int(member["user"]["id"]): member for member in (self.me, *people)}

    @cached_property
    def me(self) -> Json:
        """The bot's own member."""
        return self._member(self.world.bot) | {"roles": [str(self._fixed_role(3))]}

    @cached_property
    def roles(self) -> dict[int, Json]:
        """Roles by id, `@everyone` first."""
        named = {
            self._fixed_role(number): payloads.role(self._fixed_role(number), name, number)
            for number, name in enumerate(_ROLES, 1)
        }
        named[self._fixed_role(3)]["permissions"] = payloads.EVERYTHING
        return {self.id: payloads.role(self.id, "@everyone", 0)} | named

    @cached_property
    def channels(self) -> dict[int, Json]:
        """Channels by id: the category, the text channels, the voice channel."""
        category = self._fixed_channel(0)
        made = [payloads.channel(category, self.id, "Text", 4)]
        for number in range(1, self.world.channels + 1):
            channel_id = self._fixed_channel(number)
            made.append(payloads.channel(channel_id, self.id, f"text-{number - 1}", position=number, parent=category))
        voice = self._fixed_channel(self.world.channels + 1)
        made.append(payloads.channel(voice, self.id, "Voice", 2, position=self.world.channels + 1))
        return {int(channel["id"]): channel for channel in made}

    @cached_property
    def owner_id(self) -> int:
        """The first person's id; the bot's where there is nobody else."""
        return int(self.member(0)["user"]["id"])

    def member(self, number: int) -> Json:
        """The `number`-th person of this guild (it wraps round), or a member by user id."""
        if number in self.members:
            return self.members[number]
        everyone = list(self.members.values())
        return everyone[1 + number % (len(everyone) - 1)] if len(everyone) > 1 else everyone[0]

    def channel(self, number: int, kind: int = 0) -> Json:
        """The `number`-th channel of a kind (it wraps round), or a channel or thread by its id. Raises LookupError."""
        known = self.channels.get(number) or self.threads.get(number)
        if known:
            return known
        of_kind = [channel for channel in self.channels.values() if channel["type"] == kind]
        if not of_kind:
            raise LookupError(f"{self.name} has no channel of type {kind}")
        return of_kind[number % len(of_kind)]

    def role(self, number: int) -> Json:
        """The `number`-th role after `@everyone` (it wraps round), or a role by its id."""
        if number in self.roles:
            return self.roles[number]
        named = [role for role_id, role in self.roles.items() if role_id != self.id]
        return named[number % len(named)]

    def stranger(self) -> Json:
        """A member who is not in the guild yet."""
        self._added += 1
        return self._member(self.world.user(1_000_000 + self.index * 1_000 + self._added))

    def create(self, *, full: bool) -> Json:
        """The GUILD_CREATE payload. `full`: with every member and presence, else with the bot's own member only."""
        members = list(self.members.values()) if full else [self.me]
        if not full:
            members += [self.members[user] for user in self.voice_states if user in self.members]
        return self.payload() | {
            "joined_at": snowflakes.iso(self.id),
            "large": self.member_count > 250,
            "unavailable": False,
            "member_count": self.member_count,
            "members": members,
            "channels": list(self.channels.values()),
            "threads": list(self.threads.values()),
            "presences": self.presences() if full else [],
            "voice_states": [_without(state, "guild_id") for state in self.voice_states.values()],
            "stage_instances": [],
            "guild_scheduled_events": [],
            "soundboard_sounds": [],
        }

    def payload(self) -> Json:
        """The guild as REST answers it."""
        return {
            "id": str(self.id),
            "name": self.name,
            "icon": None,
            "splash": None,
            "discovery_splash": None,
            "banner": None,
            "description": None,
            "owner_id": str(self.owner_id),
            "region": "deprecated",
            "afk_channel_id": None,
            "afk_timeout": 300,
            "widget_enabled": False,
            "verification_level": 0,
            "default_message_notifications": 1,
            "explicit_content_filter": 0,
            "roles": list(self.roles.values()),
            "emojis": self.emojis,
            "stickers": [],
            "features": ["COMMUNITY"],
            "mfa_level": 0,
            "nsfw_level": 0,
            "application_id": None,
            "system_channel_id": None,
            "system_channel_flags": 0,
            "rules_channel_id": None,
            "public_updates_channel_id": None,
            "vanity_url_code": None,
            "premium_tier": 0,
            "premium_subscription_count": 0,
            "preferred_locale": "en-US",
            "max_members": 500_000,
            "max_presences": None,
            "max_video_channel_users": 25,
            "incidents_data": None,
        }

    def presences(self) -> list[Json]:
        """Everyone's presence; about a quarter each is online, idle, dnd and offline (which is left out)."""
        statuses = ((user, payloads.STATUSES[number % 4]) for number, user in enumerate(self.members))
        return [payloads.presence(user, self.id, status) for user, status in statuses if status != "offline"]

    def _member(self, user: Json) -> Json:
        return payloads.member(user, [str(self._fixed_role(1))], snowflakes.iso(max(self.id, int(user["id"]))))

    def _fixed_channel(self, number: int) -> int:
        return self.world.fixed(_CHANNEL, self.index * _PER_GUILD + number)

    def _fixed_role(self, number: int) -> int:
        return self.world.fixed(_ROLE, self.index * _PER_GUILD + number)


@lru_cache(maxsize=65_536)
def _person(user_id: int, number: int) -> Json:
    return payloads.user(user_id, f"person_{number}")


def _without(payload: Json, key: str) -> Json:
    return {name: value for name, value in payload.items() if name != key}
