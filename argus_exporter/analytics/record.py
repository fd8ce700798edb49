"""From a bot's events to rows: what has ended, what was written, who came and went."""

from __future__ import annotations

import contextlib
import math
import time
import typing
from datetime import datetime
from typing import Any, ClassVar, Final

from argus_exporter.analytics.events import CommandRow, GuildEventRow, InteractionRow, MemberEventRow, MessageRow
from argus_exporter.analytics.names import Names, clean, milliseconds
from argus_exporter.discordpy import CommandListener, InteractionListener

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from argus_exporter.analytics.events import Row
    from argus_exporter.analytics.privacy import Users
    from argus_exporter.discordpy import ClientView, Exchange, Receipt, Run

_DISCORD_EPOCH: Final = 1_420_070_400_000
"""In milliseconds since 1970 (reference#snowflakes)."""

_NOWHERE: Final = (None, None, None)

Callback = typing.Callable[[Any], None] | typing.Callable[[Any, Any], None]


class Recorder:
    """Makes rows of the events that are asked for.

    :param words: of :data:`argus_exporter.analytics.events.TABLES`, by which tables are asked for.
    :param users: lets ids of users through, or what stands for them; their names only where the ids are plain.
    :param emit: takes each row.
    """

    def __init__(self, view: ClientView, words: frozenset[str], users: Users, emit: Callable[[Row], None]) -> None:
        self._view: Final = view
        names = Names(view.client, emit, people=users.plain) if "names" in words else None
        self.desk: Final = Desk(view, users, emit, names)
        self._interactions: Final = InteractionRows(self.desk) if "interaction" in words else None
        # one that hears nothing wants the ends of commands to be seen, which are those of their interactions
        commands = CommandRows(self.desk) if "command" in words else CommandListener()
        self._commands: Final = commands if words & {"interaction", "command"} else None
        self._messages: Final = MessageRows(self.desk)
        events = _events(self.desk, self._messages)
        self._events: Final = [each for word, each in events.items() if word in words]
        self._active = False

    def open(self) -> None:
        """Listen to interactions and commands. Before the view opens."""
        self._active = True
        if self._interactions is not None:
            self._view.interactions.listeners.append(self._interactions)
        if self._commands is not None:
            self._view.interactions.whose = _whose
            self._view.commands.listeners.append(self._commands)

    def park(self) -> None:
        """Listen to the client's events. On its loop, after login."""
        self._view.journal.afterwards.append((self._messages.settle,))
        for events in self._events:
            for event, callback in events.items():
                self._view.on_check(event, self._guarded(callback))

    def close(self) -> None:
        """Make rows of the interactions that are still followed, and listen no more."""
        if not self._active:
            return
        self._active = False
        followed = self._view.interactions.followed()
        self._messages.settle()
        with contextlib.suppress(ValueError):  # closed before it was parked
            self._view.journal.afterwards.remove((self._messages.settle,))
        if self._interactions is not None:
            for receipt in followed:
                self._interactions.left(receipt)
            self._view.interactions.listeners.remove(self._interactions)
        if self._commands is not None:
            self._view.commands.listeners.remove(self._commands)

    def _guarded(self, callback: Callback) -> Callable[..., bool]:
        call: Callable[..., None] = callback

        def check(*arguments: object) -> bool:
            if self._active:
                try:
                    call(*arguments)
                except Exception as error:  # noqa: BLE001 - nothing of ours may raise into the bot
                    self._view.note_error("analytics", error)
            return False

        return check


class Desk:
    """What all rows are made with.

    :ivar user: lets an id of a user through, or what stands for it.
    :ivar emit: takes a row.
    """

    def __init__(self, view: ClientView, users: Users, emit: Callable[[Row], None], names: Names | None = None) -> None:
        self.client: Final = view.client
        self.user: Final = users.let_through
        self.emit: Final = emit
        self.names: Final = names
        self.clock: Callable[[], float] = time.time
        self.journal: Final = view.journal
        self._count: Final = view.shard_count
        self._shards: int | None = None

    def shard(self, guild_id: int) -> int:
        """Over which a guild's events come (gateway#sharding); 0 for direct messages."""
        if self._shards is None:
            self._shards = self._count()
        return (guild_id >> 22) % (self._shards or 1)

    def now(self) -> int:
        """The time."""
        return int(self.clock() * 1000)

    def meet(self, guild_id: int, channel_id: int, user: Any) -> None:
        """An event came from there, and from them."""
        if self.names is not None:
            self.names.place(guild_id, channel_id)
            self.names.person(guild_id, user)


def born(snowflake: int) -> int:
    """When something was created, by Discord's clock."""
    return (snowflake >> 22) + _DISCORD_EPOCH


class InteractionRows(InteractionListener):
    """A row for each interaction that is no longer followed."""

    def __init__(self, desk: Desk) -> None:
        self._desk: Final = desk

    def answered(self, receipt: Receipt, exchange: Exchange) -> None:
        """Discord has accepted the first response."""
        receipt.acked = exchange.sent + exchange.seconds - receipt.received

    def ended(self, receipt: Receipt, outcome: str) -> None:
        """Its handler has ended."""
        receipt.outcome = outcome

    def left(self, receipt: Receipt) -> None:
        """All is known of it that will be."""
        desk = self._desk
        guild, channel, user = receipt.whose or _NOWHERE
        guild_id, channel_id = int(guild or 0), int(channel or 0)
        row = InteractionRow(
            receipt.id,
            born(receipt.id),
            receipt.type,
            desk.shard(guild_id),
            guild_id,
            channel_id,
            desk.user(int(user["id"])) if user else 0,
            receipt.delivery,
            receipt.acked,
            None if receipt.ended is None else receipt.ended - receipt.received,
            receipt.outcome,
            receipt.missed,
        )
        desk.emit(row)
        desk.meet(guild_id, channel_id, user)


class CommandRows(CommandListener):
    """A row for each command that has ended."""

    def __init__(self, desk: Desk) -> None:
        self._desk: Final = desk

    def ended(self, run: Run) -> None:
        """It ended, however it did."""
        desk = self._desk
        called_by, guild_id, channel_id, user_id, user = self._prefix(run) if run.type == "prefix" else _app(run)
        row = CommandRow(
            called_by,
            born(called_by),
            clean(run.command),
            run.type,
            desk.shard(guild_id),
            guild_id,
            channel_id,
            desk.user(user_id) if user_id else 0,
            None if math.isnan(run.seconds) else run.seconds,
            run.outcome,
            "" if run.error is None else clean(type(run.error).__name__),
        )
        desk.emit(row)
        desk.meet(guild_id, channel_id, user)

    @staticmethod
    def _prefix(run: Run) -> tuple[int, int, int, int, Any]:
        message = run.subject.message
        guild_id = message.guild.id if message.guild else 0
        return message.id, guild_id, message.channel.id, message.author.id, message.author


def _app(run: Run) -> tuple[int, int, int, int, Any]:
    """The ids of an interaction, its guild, channel and user."""
    guild, channel, user = (run.receipt and run.receipt.whose) or _NOWHERE
    return run.key, int(guild or 0), int(channel or 0), int(user["id"]) if user else 0, user


def _whose(data: Any) -> tuple[Any, Any, Any] | None:
    """An interaction's guild, channel and user, as the gateway tells them."""
    try:
        user = data["member"]["user"] if "member" in data else data["user"]
        return data.get("guild_id"), data.get("channel_id"), user
    except (AttributeError, LookupError, TypeError):
        return None


class MessageRows:
    """A row for each message, and for each edit and deletion."""

    noun: ClassVar[str] = "analytics"

    def __init__(self, desk: Desk) -> None:
        self._desk: Final = desk
        self._noted: Final[list[tuple[int, int, int, int, Any]]] = []

    def written(self, message: Any) -> None:
        """Somebody has written. It is noted, and made a row with many others, in half the time of one alone."""
        desk, noted, guild, author = self._desk, self._noted, message.guild, message.author
        known = None if desk.names is None else author
        noted.append((message.id, guild.id if guild else 0, message.channel.id, author.id, known))
        if len(noted) >= desk.journal.limit:
            desk.journal.settle()

    def settle(self) -> None:
        """Make rows of what is noted."""
        desk, noted = self._desk, self._noted[:]
        self._noted.clear()
        emit, shard, user = desk.emit, desk.shard, desk.user
        for message_id, guild_id, channel_id, user_id, _ in noted:
            at = (message_id >> 22) + _DISCORD_EPOCH
            emit(MessageRow(message_id, at, True, shard(guild_id), guild_id, channel_id, user(user_id), None, None))  # noqa: FBT003 - by place is twice as fast
        if desk.names is not None:
            for _, guild_id, channel_id, _, author in noted:
                desk.meet(guild_id, channel_id, author)

    def edited(self, payload: Any) -> None:
        """Somebody has edited a message, or Discord has added an embed, which is no edit."""
        edited = payload.data.get("edited_timestamp")
        if edited:
            self._mark(payload, payload.message_id, edited=milliseconds(datetime.fromisoformat(edited)))

    def deleted(self, payload: Any) -> None:
        """A message is gone."""
        self._mark(payload, payload.message_id, deleted=self._desk.now())

    def all_deleted(self, payload: Any) -> None:
        """Many are, at once."""
        now = self._desk.now()
        for message_id in typing.cast("Iterable[int]", payload.message_ids):
            self._mark(payload, message_id, deleted=now)

    def _mark(self, payload: Any, message_id: int, edited: int | None = None, deleted: int | None = None) -> None:
        guild_id, at = payload.guild_id or 0, born(message_id)
        shard = self._desk.shard(guild_id)
        row = MessageRow(message_id, at, False, shard, guild_id, payload.channel_id, 0, edited, deleted)  # noqa: FBT003
        self._desk.emit(row)


class MemberRows:
    """A row for each member who comes or goes."""

    def __init__(self, desk: Desk) -> None:
        self._desk: Final = desk

    def joined(self, member: Any) -> None:
        """Somebody came."""
        self._tell("join", milliseconds(member.joined_at) or self._desk.now(), member.guild.id, member.id, member.guild)
        self._desk.meet(member.guild.id, 0, member)

    def removed(self, payload: Any) -> None:
        """Somebody has left, or was removed."""
        guild = self._desk.client.get_guild(payload.guild_id)
        self._tell("leave", self._desk.now(), payload.guild_id, payload.user.id, guild)

    def _tell(self, event: str, at: int, guild_id: int, user_id: int, guild: Any) -> None:
        members = 0 if guild is None else guild.member_count or 0
        desk = self._desk
        desk.emit(MemberEventRow(at, event, desk.shard(guild_id), guild_id, desk.user(user_id), members))


class GuildRows:
    """A row for each guild that the bot joins or leaves."""

    def __init__(self, desk: Desk) -> None:
        self._desk: Final = desk

    def joined(self, guild: Any) -> None:
        """The bot is there."""
        self._tell("join", guild)
        self._desk.meet(guild.id, 0, None)

    def removed(self, guild: Any) -> None:
        """It is there no longer, or the guild is none any more."""
        self._tell("leave", guild)

    def _tell(self, event: str, guild: Any) -> None:
        desk = self._desk
        desk.emit(GuildEventRow(desk.now(), event, desk.shard(guild.id), guild.id, guild.member_count or 0))


def _events(desk: Desk, messages: MessageRows) -> dict[str, Mapping[str, Callback]]:
    """The client's events that are listened to, by the words that ask for them."""
    members, guilds = MemberRows(desk), GuildRows(desk)
    return {
        "message": {
            "message": messages.written,
            "raw_message_edit": messages.edited,
            "raw_message_delete": messages.deleted,
            "raw_bulk_message_delete": messages.all_deleted,
        },
        "member": {"member_join": members.joined, "raw_member_remove": members.removed},
        "guild": {"guild_join": guilds.joined, "guild_remove": guilds.removed},
        "names": {} if desk.names is None else desk.names.events(),
    }
