"""What a database has to be able to do: the queue knows no more of it."""

from __future__ import annotations

import dataclasses
import typing
from typing import Protocol

if typing.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from argus_exporter.analytics.events import Values


class RefusedError(Exception):
    """The database will never take this batch as it is, however often it is tried: a value that it does not allow.

    Anything else that a sink raises is tried again.
    """


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """Rows that are written together, or not at all.

    :param token: the same at every attempt, and of no other batch: by it a database knows that it has the rows already.
    :param rows: by the names of their tables, in the order in which they happened.
    """

    token: str
    rows: Mapping[str, Sequence[Values]]

    def __len__(self) -> int:
        return sum(map(len, self.rows.values()))


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Which database, and what is to be kept in it.

    :param url: with user name and password, which no ``repr`` shows.
    :param bot: the settings of these names, which stand in each row of an event.
    :param retention_days: after which events are removed; None keeps them for ever.
    :param async_insert: ClickHouse only: let the server collect small batches.
    """

    url: str = dataclasses.field(repr=False)
    bot: str = ""
    cluster: str = ""
    retention_days: int | None = 90
    async_insert: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Erased:
    """How many rows of a table were erased."""

    table: str
    rows: int


class Sink(Protocol):
    """A database. Its methods are coroutines of the bot's event loop, and hold it for 2 ms at a stretch at most.

    Each may raise anything at any time, and is tried again: only :class:`RefusedError` says not to. Each may be
    cancelled at any await, because it takes too long; what it was then, :meth:`open` has to be able to mend. One call
    runs at a time.
    """

    async def open(self) -> None:
        """Connect, and bring the schema up to date; called again after any failure."""

    async def check(self) -> str:
        """Connect, change nothing, and say in a few words what is there: its version, and the state of the schema.

        :raises Exception: whatever :meth:`open` could not go on from, with what is wrong in one line.
        """
        ...

    async def write(self, batch: Batch) -> None:
        """Store a batch exactly once, however often it is given."""

    async def close(self) -> None:
        """Give the connection back, without waiting for what hangs."""

    async def erase(self, *, guild_id: int | None = None, user_id: int | None = None) -> list[Erased]:
        """Remove every row of a guild or of a user (as it is stored), in every table; tell how many each."""
        ...
