"""What can be recorded, guild by guild: every row and every table, as data.

A table stands here once: the databases' schemas, their COPY and INSERT, erasure and the tables in the docs are made of
it. Ids are Discord's, as 64-bit integers; 0 stands for none (a direct message, a user whose id is not kept). Times are
milliseconds since 1970 in UTC. Durations are seconds. No row holds what somebody wrote.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import Any, ClassVar, Final

TEXT_LENGTH: Final = 100
"""Characters of any text at most: Discord's own bound for most names; longer ones are cut."""


class Kind(enum.Enum):
    """What a column holds."""

    ID = "id"
    """64 bits, signed."""
    USER = "user"
    """The id of a user, as :mod:`argus_exporter.analytics.privacy` lets it through: 64 bits, signed."""
    TIME = "time"
    """Milliseconds since 1970, UTC."""
    SECONDS = "seconds"
    """A duration."""
    NUMBER = "number"
    """64 bits, signed."""
    FLAG = "flag"
    WORD = "word"
    """Text of few different values: a type, an outcome, the name of a command."""
    TEXT = "text"


class Role(enum.Enum):
    """What happens to a table's rows."""

    EVENT = "event"
    """It happened: rows are only ever added."""
    MARKED = "marked"
    """It happened, and marks may come later: rows of one key are one, with the largest of each column."""
    DIMENSION = "dimension"
    """What is known of something: of the rows of one key the one that was seen last counts."""


def _column(kind: Kind, *, none: bool = False, default: Any = dataclasses.MISSING) -> Any:
    return dataclasses.field(default=default, metadata={"kind": kind, "none": none})


Values = tuple[Any, ...]
"""A row on its way: the values of its columns in their order. What is recorded often is made as one at once: it takes a
tenth of the time of a :class:`Row`, and the garbage collector forgets it when it has seen it once."""


class Row:
    """Something to be stored."""

    __slots__: tuple[str, ...] = ()

    table: ClassVar[str]
    """Its table's name."""
    weight: ClassVar[int]
    """Bytes of memory that a row takes at most, its texts included."""

    @property
    def values(self) -> Values:
        """The row as it is stored."""
        return tuple([getattr(self, name) for name in self.__slots__])


@dataclasses.dataclass(slots=True)
class InteractionRow(Row):
    """An interaction, from its creation to its end.

    :param at: when it was created, by Discord's clock.
    :param type: one of :data:`argus_exporter.catalogue.INTERACTION_TYPES`.
    :param delivery_seconds: from creation to receipt; None while the clock skew was not known.
    :param ack_seconds: from receipt to the first response that Discord accepted; None where there was none.
    :param duration_seconds: from receipt to its handler's end; None where no end was seen.
    :param outcome: of its handler, one of :data:`argus_exporter.catalogue.OUTCOMES`; empty where no end was seen.
    :param missed: whether no response was accepted that had been sent within 3 s of its creation.
    """

    table: ClassVar[str] = "interactions"
    weight: ClassVar[int] = 1000

    id: int = _column(Kind.ID)
    at: int = _column(Kind.TIME)
    type: str = _column(Kind.WORD)
    shard_id: int = _column(Kind.NUMBER)
    guild_id: int = _column(Kind.ID)
    channel_id: int = _column(Kind.ID)
    user_id: int = _column(Kind.USER)
    delivery_seconds: float | None = _column(Kind.SECONDS, none=True)
    ack_seconds: float | None = _column(Kind.SECONDS, none=True)
    duration_seconds: float | None = _column(Kind.SECONDS, none=True)
    outcome: str = _column(Kind.WORD)
    missed: bool = _column(Kind.FLAG)


@dataclasses.dataclass(slots=True)
class CommandRow(Row):
    """A command that has ended, however it did.

    :param id: of its interaction, or of the message that called it.
    :param at: when that was created, by Discord's clock.
    :param command: its qualified name, such as ``group sub command``; ``other`` if there is no such command.
    :param type: one of :data:`argus_exporter.catalogue.COMMAND_TYPES`.
    :param duration_seconds: from receipt to end.
    :param outcome: one of :data:`argus_exporter.catalogue.OUTCOMES`.
    :param error: the class of the exception; empty where there was none.
    """

    table: ClassVar[str] = "commands"
    weight: ClassVar[int] = 1000

    id: int = _column(Kind.ID)
    at: int = _column(Kind.TIME)
    command: str = _column(Kind.WORD)
    type: str = _column(Kind.WORD)
    shard_id: int = _column(Kind.NUMBER)
    guild_id: int = _column(Kind.ID)
    channel_id: int = _column(Kind.ID)
    user_id: int = _column(Kind.USER)
    duration_seconds: float | None = _column(Kind.SECONDS, none=True)
    outcome: str = _column(Kind.WORD)
    error: str = _column(Kind.WORD)


@dataclasses.dataclass(slots=True)
class MessageRow(Row):
    """A message: that it was written, edited or deleted, and when. What of it is not known is 0 or None.

    :param at: when it was written, by Discord's clock, which the id tells.
    :param seen: whether it was seen when it came; not where only its edit or deletion was.
    """

    table: ClassVar[str] = "messages"
    weight: ClassVar[int] = 500

    id: int = _column(Kind.ID)
    at: int = _column(Kind.TIME)
    seen: bool = _column(Kind.FLAG)
    shard_id: int = _column(Kind.NUMBER)
    guild_id: int = _column(Kind.ID)
    channel_id: int = _column(Kind.ID)
    user_id: int = _column(Kind.USER)
    edited_at: int | None = _column(Kind.TIME, none=True)
    deleted_at: int | None = _column(Kind.TIME, none=True)


@dataclasses.dataclass(slots=True)
class MemberEventRow(Row):
    """A member joined a guild, or left it.

    :param event: ``join`` or ``leave``.
    :param members: of the guild afterwards, where discord.py knows it, or 0.
    """

    table: ClassVar[str] = "member_events"
    weight: ClassVar[int] = 500

    at: int = _column(Kind.TIME)
    event: str = _column(Kind.WORD)
    shard_id: int = _column(Kind.NUMBER)
    guild_id: int = _column(Kind.ID)
    user_id: int = _column(Kind.USER)
    members: int = _column(Kind.NUMBER)


@dataclasses.dataclass(slots=True)
class GuildEventRow(Row):
    """The bot joined a guild, or left it.

    :param event: ``join`` or ``leave``.
    :param members: of the guild, where discord.py knows it, or 0.
    """

    table: ClassVar[str] = "guild_events"
    weight: ClassVar[int] = 500

    at: int = _column(Kind.TIME)
    event: str = _column(Kind.WORD)
    shard_id: int = _column(Kind.NUMBER)
    guild_id: int = _column(Kind.ID)
    members: int = _column(Kind.NUMBER)


@dataclasses.dataclass(slots=True)
class UserRow(Row):
    """A user."""

    table: ClassVar[str] = "users"
    weight: ClassVar[int] = 1200

    id: int = _column(Kind.USER)
    seen_at: int = _column(Kind.TIME)
    name: str = _column(Kind.TEXT)
    bot: bool = _column(Kind.FLAG)
    public_flags: int = _column(Kind.NUMBER)


@dataclasses.dataclass(slots=True)
class MemberRow(Row):
    """A user in a guild.

    :param in_guild: whether they are there still.
    :param pending: whether they have not passed the guild's membership screening yet.
    """

    table: ClassVar[str] = "members"
    weight: ClassVar[int] = 500

    guild_id: int = _column(Kind.ID)
    user_id: int = _column(Kind.USER)
    seen_at: int = _column(Kind.TIME)
    joined_at: int | None = _column(Kind.TIME, none=True)
    in_guild: bool = _column(Kind.FLAG)
    pending: bool = _column(Kind.FLAG)
    flags: int = _column(Kind.NUMBER)


@dataclasses.dataclass(slots=True)
class GuildRow(Row):
    """A guild.

    :param in_guild: whether the bot is there still.
    """

    table: ClassVar[str] = "guilds"
    weight: ClassVar[int] = 1200

    id: int = _column(Kind.ID)
    seen_at: int = _column(Kind.TIME)
    name: str = _column(Kind.TEXT)
    in_guild: bool = _column(Kind.FLAG)


@dataclasses.dataclass(slots=True)
class CategoryRow(Row):
    """A category of channels.

    :param in_guild: whether it is there still.
    """

    table: ClassVar[str] = "categories"
    weight: ClassVar[int] = 1200

    id: int = _column(Kind.ID)
    seen_at: int = _column(Kind.TIME)
    guild_id: int = _column(Kind.ID)
    name: str = _column(Kind.TEXT)
    in_guild: bool = _column(Kind.FLAG)


@dataclasses.dataclass(slots=True)
class ChannelRow(Row):
    """A channel.

    :param type: discord.py's name of its type, such as ``text`` or ``voice``.
    :param in_guild: whether it is there still.
    """

    table: ClassVar[str] = "channels"
    weight: ClassVar[int] = 1200

    id: int = _column(Kind.ID)
    seen_at: int = _column(Kind.TIME)
    guild_id: int = _column(Kind.ID)
    category_id: int = _column(Kind.ID)
    name: str = _column(Kind.TEXT)
    type: str = _column(Kind.WORD)
    nsfw: bool = _column(Kind.FLAG)
    in_guild: bool = _column(Kind.FLAG)


@dataclasses.dataclass(slots=True)
class ThreadRow(Row):
    """A thread.

    :param type: discord.py's name of its type, such as ``public_thread``.
    :param auto_archive_minutes: without a message, after which it is archived.
    :param in_guild: whether it is there still.
    """

    table: ClassVar[str] = "threads"
    weight: ClassVar[int] = 1200

    id: int = _column(Kind.ID)
    seen_at: int = _column(Kind.TIME)
    guild_id: int = _column(Kind.ID)
    parent_id: int = _column(Kind.ID)
    name: str = _column(Kind.TEXT)
    type: str = _column(Kind.WORD)
    archived: bool = _column(Kind.FLAG)
    locked: bool = _column(Kind.FLAG)
    auto_archive_minutes: int = _column(Kind.NUMBER)
    in_guild: bool = _column(Kind.FLAG)


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """A column.

    :param none: whether it may be None.
    """

    name: str
    kind: Kind
    none: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """A table.

    :param event: the word by which ``ARGUS_ANALYTICS_EVENTS`` asks for it.
    :param key: the columns that a row is known by; for events they are no constraint.
    :param time: the column by which rows are kept in months, and after which they are removed one day.
    """

    name: str
    event: str
    row: type[Row]
    role: Role
    key: tuple[str, ...]
    time: str = "at"

    @property
    def columns(self) -> tuple[Column, ...]:
        """Its columns in order, without those that say which bot it was: ``bot`` and ``cluster``."""
        fields: Any = dataclasses.fields(self.row)  # type: ignore[arg-type]
        return tuple(Column(field.name, field.metadata["kind"], field.metadata["none"]) for field in fields)

    @property
    def dated(self) -> bool:
        """Whether its rows grow old: what is known of users and channels does not."""
        return self.role is not Role.DIMENSION

    @property
    def guild(self) -> str:
        """The name of the column that says which guild a row is of; empty where none does."""
        ids = self.columns_of(Kind.ID)
        return "guild_id" if "guild_id" in ids else "id" if self.row is GuildRow else ""

    def columns_of(self, kind: Kind) -> tuple[str, ...]:
        """The names of its columns of a kind."""
        return tuple(column.name for column in self.columns if column.kind is kind)


OWNER: Final = (Column("bot", Kind.WORD), Column("cluster", Kind.WORD))
"""Stand first in every table of events: the settings of the same names."""

TABLES: Final = (
    Table("interactions", "interaction", InteractionRow, Role.EVENT, ("id",)),
    Table("commands", "command", CommandRow, Role.EVENT, ("id",)),
    Table("messages", "message", MessageRow, Role.MARKED, ("id",)),
    Table("member_events", "member", MemberEventRow, Role.EVENT, ("guild_id", "user_id")),
    Table("guild_events", "guild", GuildEventRow, Role.EVENT, ("guild_id",)),
    Table("users", "names", UserRow, Role.DIMENSION, ("id",), "seen_at"),
    Table("members", "names", MemberRow, Role.DIMENSION, ("guild_id", "user_id"), "seen_at"),
    Table("guilds", "names", GuildRow, Role.DIMENSION, ("id",), "seen_at"),
    Table("categories", "names", CategoryRow, Role.DIMENSION, ("id",), "seen_at"),
    Table("channels", "names", ChannelRow, Role.DIMENSION, ("id",), "seen_at"),
    Table("threads", "names", ThreadRow, Role.DIMENSION, ("id",), "seen_at"),
)

TABLE_OF: Final = {table.name: table for table in TABLES}
