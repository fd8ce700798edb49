"""From a bot's events to rows: what has ended, what was written, who came and went."""

from __future__ import annotations

import contextlib
import math
import time
import typing
from datetime import datetime
from typing import Any, ClassVar, Final

from argus_exporter.analytics.events import (
    TABLES,
    CommandRow,
    GuildEventRow,
    InteractionRow,
    MemberEventRow,
    MessageRow,
)
from argus_exporter.analytics.names import Names, clean, milliseconds
from argus_exporter.discordpy import CommandListener, InteractionListener

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from argus_exporter.analytics.events import Row, Values
    from argus_exporter.analytics.privacy import Users
    from argus_exporter.discordpy import ClientView, Exchange, Receipt, Run

    Emit = Callable[[str, Sequence[Values]], None]

_DISCORD_EPOCH: Final = 1_420_070_400_000
"""In milliseconds since 1970 (reference#snowflakes)."""

_NOWHERE: Final = (0, 0, 0, None)

Callback = typing.Callable[[Any], None]
"""Takes the last argument of an event: what something has become."""


class Recorder:
    """Makes rows of the events that are asked for.

    :param words: of :data:`argus_exporter.analytics.events.TABLES`, by which tables are asked for.
    :param users: lets ids of users through, or what stands for them; their names only where the ids are plain.
    :param emit: takes rows of a table.
    """

    def __init__(self, view: ClientView, words: frozenset[str], users: Users, emit: Emit) -> None:
        self._view: Final = view
        self.desk: Final = Desk(view, users, emit, names="names" in words)
        self._interactions: Final = InteractionRows(self.desk) if "interaction" in words else None
        # one that hears nothing wants the ends of commands to be seen, which are those of their interactions
        commands = CommandRows(self.desk) if "command" in words else CommandListener()
        self._commands: Final = commands if words & {"interaction", "command"} else None
        self._events: Final = [each for word, each in _events(self.desk).items() if word in words]
        self._active = False

    def open(self) -> None:
        """Listen to interactions and commands. Before the view opens."""
        self._active = True
        if self._interactions is not None:
            self._view.interactions.listeners.append(self._interactions)
        if self._commands is not None:
            self._view.interactions.whose = self.desk.whose
            self._view.commands.listeners.append(self._commands)

    def park(self) -> None:
        """Listen to the client's events. On its loop, after login."""
        self._view.journal.afterwards.append((self.desk.settle,))
        for events in self._events:
            for event, callback in events.items():
                self._view.on_check(event, self._guarded(callback))

    def close(self) -> None:
        """Make rows of the interactions that are still followed, and listen no more."""
        if not self._active:
            return
        self._active = False
        followed = self._view.interactions.followed()
        with contextlib.suppress(ValueError):  # closed before it was parked
            self._view.journal.afterwards.remove((self.desk.settle,))
        if self._interactions is not None:
            for receipt in followed:
                self._interactions.left(receipt)
            self._view.interactions.listeners.remove(self._interactions)
        if self._commands is not None:
            self._view.commands.listeners.remove(self._commands)
        self.desk.settle()

    def _guarded(self, callback: Callback) -> Callable[..., bool]:
        def check(*arguments: object) -> bool:
            if self._active:
                try:
                    callback(arguments[-1])
                except Exception as error:  # noqa: BLE001 - nothing of ours may raise into the bot
                    self._view.note_error("analytics", error)
            return False

        return check


class Desk:
    """What all rows are made with, and where they wait until they are many: one by one they would take twice the time.

    :ivar users: lets ids of users through, or what stands for them.
    :ivar shards: how many there are of the whole bot; 0 while that is not known.
    :ivar piles: by table, the rows that wait. Who makes one reach the journal's limit has all settled.
    :ivar makers: by table, what makes rows of what was noted where it happened, in little memory that is used again.
    """

    noun: ClassVar[str] = "analytics"

    def __init__(self, view: ClientView, users: Users, emit: Emit, *, names: bool = False) -> None:
        self.client: Final = view.client
        self.users: Final = users
        self.names: Final = Names(view.client, self._tell, people=users.plain) if names else None
        self.clock: Callable[[], float] = time.time
        self.journal: Final = view.journal
        self._emit: Final = emit
        self._count: Final = view.shard_count
        self.shards = 0
        self.piles: Final[dict[str, list[Values]]] = {table.name: [] for table in TABLES if table.dated}
        self.makers: Final[dict[str, Callable[[list[Values]], list[Values]]]] = {}
        self._met: Final[list[tuple[int, int, Any]]] = []

    def _tell(self, row: Row) -> None:
        self._emit(row.table, (row.values,))

    def recording(self, table: str) -> Callable[[Values], None]:
        """What takes a row of a table."""
        pile, journal, settle = self.piles[table], self.journal, self.settle

        def record(row: Values) -> None:
            pile.append(row)
            if len(pile) >= journal.limit:
                settle()

        return record

    def settle(self, _: object = None) -> None:
        """Give on all rows that wait, and tell of what they refer to."""
        for table, pile in self.piles.items():
            if pile:
                some = pile[:]
                pile.clear()
                make = self.makers.get(table)
                self._emit(table, some if make is None else make(some))
        if self.names is not None:
            met = self._met[:]
            self._met.clear()
            for guild_id, channel_id, user in met:
                self.names.place(guild_id, channel_id)
                self.names.person(guild_id, user)

    def count(self) -> int:
        """Look how many shards there are."""
        self.shards = self._count() or 0
        return self.shards or 1

    def shard(self, guild_id: int) -> int:
        """Over which a guild's events come (gateway#sharding); 0 for direct messages."""
        return (guild_id >> 22) % (self.shards or self.count())

    def now(self) -> int:
        """The time."""
        return int(self.clock() * 1000)

    def meet(self, guild_id: int, channel_id: int, user: Any) -> None:
        """An event came from there, and from them; said before it is recorded."""
        if self.names is not None:
            self._met.append((guild_id, channel_id, user))

    def whose(self, data: Any) -> tuple[int, int, int, Any] | None:
        """An interaction's guild, channel and user, as the gateway tells them, and who that is if names are kept."""
        try:
            user, users = data["member"]["user"] if "member" in data else data["user"], self.users
            user_id = users.let_through(int(user["id"])) if users.kept else 0
            known = None if self.names is None else user
            return int(data.get("guild_id") or 0), int(data.get("channel_id") or 0), user_id, known
        except (AttributeError, LookupError, TypeError, ValueError):
            return None


def born(snowflake: int) -> int:
    """When something was created, by Discord's clock."""
    return (snowflake >> 22) + _DISCORD_EPOCH


class InteractionRows(InteractionListener):
    """A row for each interaction that is no longer followed."""

    def __init__(self, desk: Desk) -> None:
        self._desk: Final = desk
        self._record: Final = desk.recording(InteractionRow.table)

    def answered(self, receipt: Receipt, exchange: Exchange) -> None:
        """Discord has accepted the first response."""
        receipt.acked = exchange.sent + exchange.seconds - receipt.received

    def ended(self, receipt: Receipt, outcome: str) -> None:
        """Its handler has ended."""
        receipt.outcome = outcome

    def left(self, receipt: Receipt) -> None:
        """All is known of it that will be."""
        desk, interaction_id, ended = self._desk, receipt.id, receipt.ended
        guild_id, channel_id, user_id, user = receipt.whose or _NOWHERE
        if user is not None:
            desk.meet(guild_id, channel_id, user)
        self._record(
            (
                interaction_id,
                (interaction_id >> 22) + _DISCORD_EPOCH,
                receipt.type,
                desk.shard(guild_id),
                guild_id,
                channel_id,
                user_id,
                receipt.delivery,
                receipt.acked,
                None if ended is None else ended - receipt.received,
                receipt.outcome,
                receipt.missed,
            )
        )


class CommandRows(CommandListener):
    """A row for each command that has ended."""

    def __init__(self, desk: Desk) -> None:
        self._desk: Final = desk
        self._record: Final = desk.recording(CommandRow.table)

    def ended(self, run: Run) -> None:
        """It ended, however it did."""
        desk, error, seconds = self._desk, run.error, run.seconds
        called_by, whose = self._called(run) if run.type == "prefix" else (run.key, run.receipt and run.receipt.whose)
        guild_id, channel_id, user_id, user = whose or _NOWHERE
        if user is not None:
            desk.meet(guild_id, channel_id, user)
        self._record(
            (
                called_by,
                (called_by >> 22) + _DISCORD_EPOCH,
                clean(run.command),
                run.type,
                desk.shard(guild_id),
                guild_id,
                channel_id,
                user_id,
                None if math.isnan(seconds) else seconds,
                run.outcome,
                "" if error is None else clean(type(error).__name__),
            )
        )

    def _called(self, run: Run) -> tuple[int, tuple[int, int, int, Any]]:
        message = run.subject.message
        guild_id, user_id = message.guild.id if message.guild else 0, self._desk.users.let_through(message.author.id)
        return message.id, (guild_id, message.channel.id, user_id, message.author)


class MessageRows:
    """A row for each message, and for each edit and deletion."""

    def __init__(self, desk: Desk) -> None:
        self._desk: Final = desk
        self._note: Final = desk.recording(MessageRow.table)
        desk.makers[MessageRow.table] = self._made

    def _made(self, noted: list[Values]) -> list[Values]:
        count, user = self._desk.shards or self._desk.count(), self._desk.users.let_through
        return [
            (
                id_,
                (id_ >> 22) + _DISCORD_EPOCH,
                seen,
                (guild >> 22) % count,
                guild,
                channel,
                user(user_id),
                edited,
                gone,
            )
            for id_, seen, guild, channel, user_id, edited, gone in noted
        ]

    def writing(self) -> Callback:
        """What is told that somebody has written: what happens most has its way paved."""
        desk, journal, pile = self._desk, self._desk.journal, self._desk.piles[MessageRow.table]
        kept, named = desk.users.kept, desk.names is not None

        def written(message: Any) -> None:
            guild, channel_id = message.guild, message.channel.id
            guild_id = guild.id if guild else 0
            if named:
                desk.meet(guild_id, channel_id, message.author)
            pile.append((message.id, True, guild_id, channel_id, message.author.id if kept else 0, None, None))
            if len(pile) >= journal.limit:
                desk.settle()

        return written

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
        self._note((message_id, False, payload.guild_id or 0, payload.channel_id, 0, edited, deleted))


class MemberRows:
    """A row for each member who comes or goes."""

    def __init__(self, desk: Desk) -> None:
        self._desk: Final = desk
        self._record: Final = desk.recording(MemberEventRow.table)

    def joined(self, member: Any) -> None:
        """Somebody came."""
        guild, at = member.guild, milliseconds(member.joined_at) or self._desk.now()
        self._desk.meet(guild.id, 0, member)
        self._tell("join", at, guild.id, member.id, guild)

    def removed(self, payload: Any) -> None:
        """Somebody has left, or was removed."""
        guild = self._desk.client.get_guild(payload.guild_id)
        self._tell("leave", self._desk.now(), payload.guild_id, payload.user.id, guild)

    def _tell(self, event: str, at: int, guild_id: int, user_id: int, guild: Any) -> None:
        members = 0 if guild is None else guild.member_count or 0
        desk = self._desk
        self._record((at, event, desk.shard(guild_id), guild_id, desk.users.let_through(user_id), members))


class GuildRows:
    """A row for each guild that the bot joins or leaves."""

    def __init__(self, desk: Desk) -> None:
        self._desk: Final = desk
        self._record: Final = desk.recording(GuildEventRow.table)

    def joined(self, guild: Any) -> None:
        """The bot is there."""
        self._desk.meet(guild.id, 0, None)
        self._tell("join", guild)

    def removed(self, guild: Any) -> None:
        """It is there no longer, or the guild is none any more."""
        self._tell("leave", guild)

    def _tell(self, event: str, guild: Any) -> None:
        desk = self._desk
        self._record((desk.now(), event, desk.shard(guild.id), guild.id, guild.member_count or 0))


def _events(desk: Desk) -> dict[str, Mapping[str, Callback]]:
    """The client's events that are listened to, by the words that ask for them."""
    messages, members, guilds = MessageRows(desk), MemberRows(desk), GuildRows(desk)
    return {
        "message": {
            "message": messages.writing(),
            "raw_message_edit": messages.edited,
            "raw_message_delete": messages.deleted,
            "raw_bulk_message_delete": messages.all_deleted,
        },
        "member": {"member_join": members.joined, "raw_member_remove": members.removed},
        "guild": {"guild_join": guilds.joined, "guild_remove": guilds.removed},
        "names": {} if desk.names is None else desk.names.events(),
    }
