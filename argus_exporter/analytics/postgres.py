"""PostgreSQL as the place for rows, by COPY. Needs asyncpg: ``argus_exporter[postgres]``."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import operator
import re
import time
import typing
from typing import Any, Final, Protocol

import asyncpg  # pyright: ignore[reportMissingTypeStubs]

from argus_exporter.analytics import postgres_schema as schema
from argus_exporter.analytics.events import TABLES, Column, Kind, Role, Table, Values
from argus_exporter.analytics.sink import Batch, Erased, Place, RefusedError, Sink

if typing.TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence

_log: Final = logging.getLogger(__name__)

_SLICE: Final = 200
"""Rows that are encoded before the loop has its turn again: well under a millisecond."""

_COPY: Final = 1000
"""Rows of a COPY: asyncpg sends half a megabyte at once otherwise, which takes the system 2 ms."""

_CHUNK: Final = 5000
"""Old rows that are removed at once."""

_PATIENCE: Final = 1.0
"""Seconds that a write may spend on what is old."""

_HOUR: Final = 3600.0

_EPOCH: Final = 946_684_800_000
"""2000 in milliseconds since 1970: PostgreSQL counts microseconds from there."""

_TOKENS: Final = f"DELETE FROM {schema.SCHEMA}.batches WHERE at < now() - interval '7 days'"
"""Nobody tries to write a batch for that long."""

_MERGED: Final = tuple(table for table in TABLES if table.role is not Role.EVENT)
_DATED: Final = tuple(table for table in TABLES if table.dated)

_SESSION: Final = """\
SET idle_in_transaction_session_timeout = '60s';
SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3"""
"""Who is cut off in the middle holds its token no longer than a minute, and with it the batch's next attempt."""

_STATE: Final = f"""\
SELECT current_setting('server_version') AS server, current_user AS role, current_database() AS database,
    to_regnamespace('{schema.SCHEMA}') IS NOT NULL AS made,
    has_database_privilege(current_database(), 'TEMPORARY') AS stages,
    CASE WHEN to_regnamespace('{schema.SCHEMA}') IS NULL THEN has_database_privilege(current_database(), 'CREATE')
        ELSE has_schema_privilege('{schema.SCHEMA}', 'CREATE') AND has_schema_privilege('{schema.SCHEMA}', 'USAGE')
    END AS creates"""

_LACKS: Final = {
    "creates": f"CREATE SCHEMA {schema.SCHEMA} AUTHORIZATION {{role}}, or make it the owner of the one that is there",
    "stages": "GRANT TEMPORARY ON DATABASE {database} TO {role}",
}
"""What to do about a right that is not there."""


class SetUpError(Exception):
    """Somebody has to change something before rows can be written: what, in one line."""


class _Connection(Protocol):
    """What of asyncpg's is used here."""

    async def execute(self, query: str, *args: object) -> str: ...
    async def fetch(self, query: str, *args: object) -> list[Any]: ...
    async def fetchrow(self, query: str, *args: object) -> Any: ...
    async def fetchval(self, query: str, *args: object) -> Any: ...
    async def copy_records_to_table(
        self, table_name: str, *, schema_name: str, columns: Sequence[str], records: AsyncIterator[Values]
    ) -> str: ...
    async def set_builtin_type_codec(self, typename: str, *, schema: str, codec_name: str) -> None: ...
    def is_closed(self) -> bool: ...
    def terminate(self) -> None: ...


_connect: Callable[..., Awaitable[_Connection]] = getattr(asyncpg, "connect")  # noqa: B009 - it has no types


class Postgres(Sink):
    """A schema of its own in a database, over one connection.

    A batch is a transaction, and its token one of its rows: it is there with all its rows, or not at all. A row that is
    older than the retention's month is not stored: it would be removed the same day.

    :param place: which database. What else its URL may say: asyncpg's ``connect``.
    :param migrations: of the schema, from nothing.
    """

    def __init__(self, place: Place, migrations: Sequence[Iterable[str]] = schema.MIGRATIONS) -> None:
        self._place: Final = place
        self._migrations: Final = migrations
        self._connection: _Connection | None = None
        self._partitions: frozenset[str] = frozenset()
        self._due = 0.0

    # --------------------------------------------------------------------------------------------- life

    async def open(self) -> None:
        """Connect, and bring the schema up to date.

        :raises SetUpError: if that is not for this user, or not for this version, to do.
        """
        self._drop()
        self._partitions = frozenset()
        connection = await self._connected()
        try:
            await self._entitled(connection)
            await connection.execute(_SESSION)
            await self._migrate(connection)
            await connection.execute(schema.stage(_MERGED))
            # microseconds, as they go over the wire: exact, and no object for each
            await connection.set_builtin_type_codec("timestamptz", schema="pg_catalog", codec_name="int8")
            await self._partition(connection, set())
            await self._retire(connection)
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection

    async def check(self) -> str:
        """Connect, change nothing, and say what is there.

        :raises SetUpError: if :meth:`open` could not go on from there.
        """
        connection = await self._connected()
        try:
            server = await self._entitled(connection)
            version = await self._version(connection)
        finally:
            connection.terminate()
        state = f"of version {version}" if version else "not made yet"
        return f"PostgreSQL {server}, schema {schema.SCHEMA} {state}"

    async def close(self) -> None:
        """Give the connection back, at once."""
        self._drop()

    @contextlib.asynccontextmanager
    async def _using(self) -> AsyncGenerator[_Connection]:
        """The connection, made anew if there is none; whatever fails ends it, and what was begun with it."""
        if self._connection is None or self._connection.is_closed():
            await self.open()
        try:
            yield typing.cast("_Connection", self._connection)
        except BaseException:
            self._drop()
            raise

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _connected(self) -> _Connection:
        try:
            return await _connect(self._place.url, server_settings={"application_name": "argus_exporter"})
        except asyncpg.ClientConfigurationError:
            raise
        except ValueError:  # its text may hold what stands for a port, such as half of a password
            msg = "its URL cannot be read: postgresql://user:password@host:5432/database, a / in the password is %2F"
            raise SetUpError(msg) from None

    async def _entitled(self, connection: _Connection) -> str:
        """The server's version, if this user may do here what it has to."""
        state = await connection.fetchrow(_STATE)
        for right, remedy in _LACKS.items():
            if not state[right]:
                msg = f"{state['role']} has too few rights in database {state['database']}: "
                raise SetUpError(msg + remedy.format(role=state["role"], database=state["database"]))
        return str(state["server"])

    # --------------------------------------------------------------------------------------------- schema

    async def _version(self, connection: _Connection) -> int:
        if not await connection.fetchval(f"SELECT to_regclass('{schema.SCHEMA}.migrations') IS NOT NULL"):
            return 0
        version: int = await connection.fetchval(f"SELECT coalesce(max(version), 0) FROM {schema.SCHEMA}.migrations")
        if version > len(self._migrations):
            known = f"this argus_exporter knows {len(self._migrations)}: update it"
            raise SetUpError(f"schema {schema.SCHEMA} is of version {version}, and {known}")
        return version

    async def _migrate(self, connection: _Connection) -> None:
        if await self._version(connection) == len(self._migrations):
            return
        await self._begin(connection)
        # to_regnamespace() would not know yet what another process has made while this one waited for the lock
        if not await connection.fetchval("SELECT count(*) FROM pg_namespace WHERE nspname = $1", schema.SCHEMA):
            await connection.execute(f"CREATE SCHEMA {schema.SCHEMA}")
        await connection.execute(schema.BOOKS)
        done = await self._version(connection)
        for version, statements in enumerate(self._migrations[done:], done + 1):
            await connection.execute(";".join(statements))
            await connection.execute(f"INSERT INTO {schema.SCHEMA}.migrations (version) VALUES ($1)", version)
        await connection.execute("COMMIT")

    async def _begin(self, connection: _Connection) -> None:
        """Begin what only one process may do at a time. Whatever fails ends the connection, and with it this."""
        await connection.execute(f"BEGIN; SELECT pg_advisory_xact_lock({schema.LOCK})")

    async def _partition(self, connection: _Connection, months: set[tuple[Table, int]]) -> None:
        """See to it that these months have their partitions, and this month and the next one.

        There is no default partition: what falls into one keeps its month from ever getting one of its own.
        """
        now = schema.month_of(_now())
        needed = {schema.partition(*each): each for each in months | {*itertools.product(_DATED, (now, now + 1))}}
        if self._partitions >= needed.keys():
            return
        await self._begin(connection)
        found = await connection.fetch(schema.MONTHS)
        parents, there = {row["parent"] for row in found}, {row["child"] for row in found}
        for name in sorted(needed.keys() - there):
            if needed[name][0].name in parents:
                await connection.execute(schema.attach(*needed[name]))
        await connection.execute("COMMIT")
        self._partitions = frozenset(there | needed.keys())

    # --------------------------------------------------------------------------------------------- rows

    async def write(self, batch: Batch) -> None:
        """Store a batch exactly once.

        :raises RefusedError: if a value is not of its column's kind.
        """
        async with self._using() as connection:
            try:
                await self._store(connection, batch)
            except Exception as error:
                if _refused(error):
                    # the first line alone: what follows may hold the row
                    raise RefusedError(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}") from None
                raise
            await self._retire(connection)

    async def _store(self, connection: _Connection, batch: Batch) -> None:
        rows = {table: await self._kept(table, batch.rows.get(table.name, ())) for table in TABLES}
        await self._partition(connection, {(table, month) for table, (_, months) in rows.items() for month in months})
        await connection.execute("BEGIN")
        new = f"INSERT INTO {schema.SCHEMA}.batches (token) VALUES ($1) ON CONFLICT DO NOTHING RETURNING true"
        if await connection.fetchval(new, batch.token):
            for table, (kept, _) in rows.items():
                if kept:
                    await self._copy(connection, table, kept)
        await connection.execute("COMMIT")

    async def _kept(self, table: Table, rows: Sequence[Values]) -> tuple[Sequence[Values], set[int]]:
        """The rows that are not too old, and their months."""
        if not table.dated:
            return rows, set()
        time_of = operator.itemgetter([column.name for column in table.columns].index(table.time))
        days = set[int]()
        async for part in _slices(rows):
            days |= {at // schema.DAY for at in map(time_of, part)}
        months = {schema.month_of(day * schema.DAY) for day in days}
        oldest = schema.month_of(self._cutoff())
        if all(month >= oldest for month in months):
            return rows, months
        start = schema.start_of(oldest)
        kept = [row async for part in _slices(rows) for row in part if time_of(row) >= start]
        return kept, {month for month in months if month >= oldest}

    async def _copy(self, connection: _Connection, table: Table, rows: Sequence[Values]) -> None:
        event = table.role is Role.EVENT
        for start in range(0, len(rows), _COPY):
            await connection.copy_records_to_table(
                table.name if event else schema.staging(table),
                schema_name=schema.SCHEMA if event else "pg_temp",
                columns=[column.name for column in schema.columns(table)],
                records=self._records(table, rows[start : start + _COPY]),
            )
        if not event:
            await connection.execute(schema.merge(table))

    async def _records(self, table: Table, rows: Sequence[Values]) -> AsyncIterator[Values]:
        owner, columns = (self._place.bot, self._place.cluster) if table.dated else (), table.columns
        async for part in _slices(rows):
            for record in zip(*map(itertools.repeat, owner), *_values(columns, part), strict=False):
                yield record

    # --------------------------------------------------------------------------------------------- age

    def _cutoff(self) -> int:
        """From when on rows are kept, in milliseconds."""
        return 0 if (days := self._place.retention_days) is None else _now() - days * schema.DAY

    async def _retire(self, connection: _Connection) -> None:
        """Remove some of what is old, if it is time: what is left at the next write, what gets old in a day."""
        if time.monotonic() < self._due:
            return
        try:
            limit = f"{_PATIENCE * 1000:.0f}"
            await connection.execute(f"SET statement_timeout = {limit}; SET lock_timeout = {limit}")
            done = await self._retired(connection, time.monotonic() + _PATIENCE)
            self._due = time.monotonic() + 24 * _HOUR if done else 0.0
        except asyncpg.PostgresError as error:
            # somebody else's lock, a slow disk: it does not keep a batch up
            self._due = time.monotonic() + _HOUR
            _log.warning("What is old could not be removed, the next attempt is in an hour: %s", error)
        await connection.execute("RESET statement_timeout; RESET lock_timeout")

    async def _retired(self, connection: _Connection, until: float) -> bool:
        """Remove what is old, until then; whether that was all."""
        cutoff = self._cutoff()
        there = {row["child"] for row in await connection.fetch(schema.MONTHS)} - {None}
        removals = (*_drops(there, schema.month_of(cutoff)), *_deletions(there, cutoff))
        for statement, values in (*removals, (_TOKENS, ())):
            removed = _CHUNK
            while removed == _CHUNK:
                if time.monotonic() > until:
                    return False
                removed = _count(await connection.execute(statement, *values))
        return True

    # --------------------------------------------------------------------------------------------- erasure

    async def erase(self, *, guild_id: int | None = None, user_id: int | None = None) -> list[Erased]:
        """Remove every row of a guild or of a user, in every table; tell how many each.

        Of a guild's users those are forgotten who are in no other. What was erased when it fails stays so.

        :raises ValueError: without an id: 0 is that of many.
        """
        if not (guild_id or user_id):
            raise ValueError("whose rows?")
        erased = dict.fromkeys((table.name for table in TABLES), 0)
        async with self._using() as connection:
            for id_, statements in ((guild_id, schema.erase_guild()), (user_id, schema.erase_user())):
                for table, statement in statements if id_ else ():
                    erased[table] += _count(await connection.execute(statement, id_))
        return [Erased(table, rows) for table, rows in erased.items()]


async def _slices(rows: Sequence[Values]) -> AsyncIterator[Sequence[Values]]:
    """The rows, a few at a time; the loop has its turn in between."""
    for start in range(0, len(rows), _SLICE):
        yield rows[start : start + _SLICE]
        await asyncio.sleep(0)


def _values(columns: Iterable[Column], rows: Sequence[Values]) -> Iterator[Iterable[object]]:
    """The values of each column."""
    for column, values in zip(columns, zip(*rows, strict=True), strict=True):
        times = column.kind is Kind.TIME
        yield [None if at is None else (at - _EPOCH) * 1000 for at in values] if times else values


def _drops(partitions: Iterable[str], oldest: int) -> Iterator[tuple[str, tuple[object, ...]]]:
    """What removes the partitions of the months before the oldest one."""
    for table, name in itertools.product(_DATED, sorted(partitions)):
        found = re.fullmatch(rf"{table.name}_(\d+)_(\d+)", name)
        if found and int(found[1]) * 12 + int(found[2]) - 1 < oldest:
            yield f"DROP TABLE IF EXISTS {schema.SCHEMA}.{name}", ()


def _deletions(partitions: set[str], cutoff: int) -> Iterator[tuple[str, tuple[object, ...]]]:
    """What removes the rows before the cutoff from its month, a chunk at a time."""
    for table in _DATED:
        name = schema.partition(table, schema.month_of(cutoff))
        if name in partitions:
            part = f"{schema.SCHEMA}.{name}"
            # those that another process is at are left to it
            old = f"SELECT ctid FROM {part} WHERE {table.time} < $1 LIMIT {_CHUNK} FOR UPDATE SKIP LOCKED"
            yield f"DELETE FROM {part} WHERE ctid = ANY (ARRAY ({old}))", ((cutoff - _EPOCH) * 1000,)


def _refused(error: Exception) -> bool:
    """Whether it is the rows' fault: a data exception, a violated constraint; what cannot even be sent."""
    state = getattr(error, "sqlstate", None)
    if state is None:
        return isinstance(error, (TypeError, ValueError, OverflowError))
    # a check that fails is that of a partition, which has gone in the meantime: it can be made anew
    return state[:2] in {"22", "23"} and state != asyncpg.CheckViolationError.sqlstate


def _count(status: str) -> int:
    """How many rows, of what a server says it has done: ``DELETE 3``."""
    last = status.rpartition(" ")[2]
    return int(last) if last.isdigit() else 0


def _now() -> int:
    return time.time_ns() // 1_000_000
