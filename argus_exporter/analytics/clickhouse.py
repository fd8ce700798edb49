"""ClickHouse: batches go over HTTP in its own format, Native, each exactly once however often it is tried.

The rows are encoded here, and not by clickhouse-connect's ``insert``: that does it in a thread, which takes the
interpreter away from the bot for longer than 2 ms. Its client does all the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import re
import struct
import typing
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.exceptions import DatabaseError

from argus_exporter.analytics import clickhouse_schema as schema
from argus_exporter.analytics.events import OWNER, TABLES, Kind, Role
from argus_exporter.analytics.sink import Erased, RefusedError, Sink

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from argus_exporter.analytics.events import Column, Table, Values
    from argus_exporter.analytics.sink import Batch, Place

_LIBRARY: Final[Any] = clickhouse_connect
importlib.import_module("clickhouse_connect.driver.asyncclient")  # it would be imported while the bot runs

_SLICE: Final = 256
"""Rows that are encoded at a stretch, in less than half a millisecond."""

_CLIENT_OPTIONS: Final = frozenset(
    {"ca_cert", "client_cert", "client_cert_key", "connect_timeout", "http_proxy", "https_proxy", "proxy_path"}
    | {"server_host_name", "tls_mode", "verify"}
)
"""Parameters of the URL that are clickhouse-connect's; all others are settings of ClickHouse."""

_PATIENCE: Final = 3600.0
"""Seconds without a byte of an answer. Who writes has a shorter limit; an erasure rewrites what may be terabytes."""

_FAREWELL: Final = 1.0
"""Seconds that a connection has to be given back."""

_ONCE: Final = {
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    # bulk deletions reach back for years
    "max_partitions_per_insert_block": 0,
    # an answer that has begun could no longer tell of an error
    "wait_end_of_query": 1,
    "send_progress_in_http_headers": 0,
}
_AT_ONCE: Final = {"async_insert": 0}
_COLLECTED: Final = {"async_insert": 1, "wait_for_async_insert": 1, "async_insert_deduplicate": 1}

_OLDEST: Final = {False: (24, 8), True: (26, 1)}
"""The versions from which on ClickHouse knows a batch again, for the roll-ups too, by ``async_insert``: its meaning of
``deduplicate_blocks_in_dependent_materialized_views`` is of 24.7, and of its pull request 89140."""

_REFUSED: Final = frozenset(
    {
        6,  # CANNOT_PARSE_TEXT
        69,  # ARGUMENT_OUT_OF_BOUND
        72,  # CANNOT_PARSE_NUMBER
        131,  # TOO_LARGE_STRING_SIZE
        248,  # INVALID_PARTITION_VALUE
        321,  # VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
        349,  # CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
        407,  # DECIMAL_OVERFLOW
        469,  # VIOLATED_CONSTRAINT
        691,  # UNKNOWN_ELEMENT_OF_ENUM
    }
)
"""Codes of exceptions that are about a value (ErrorCodes.cpp). Tables as they are made here have no reason for them:
somebody has changed a column, or has constrained it."""

_LOW_BITS: Final = 0x7F
_ERASING: Final = "SETTINGS mutations_sync = 2, allow_nondeterministic_mutations = 1"
_KEPT: Final = re.compile(r" TTL [\w()]+ \+ toIntervalDay\((\d+)\)")


class SchemaError(Exception):
    """The database is not what this version can work with."""


class _Client(Protocol):
    """What is used of clickhouse-connect's client, whose own types are partly unknown."""

    database: str | None
    server_version: str

    async def command(
        self, cmd: str, parameters: dict[str, str] | None = None, *, use_database: bool = True
    ) -> Any: ...
    async def query(self, query: str) -> Any: ...
    async def raw_insert(
        self, table: str, column_names: Sequence[str], insert_block: object, settings: dict[str, Any], fmt: str
    ) -> object: ...
    async def close(self) -> None: ...


# ------------------------------------------------------------------------------------------------- the format Native


def _length(number: int) -> bytes:
    out = bytearray()
    while number > _LOW_BITS:
        out.append(number & _LOW_BITS | ~_LOW_BITS & 0xFF)
        number >>= 7
    out.append(number)
    return bytes(out)


def _text(text: str) -> bytes:
    raw = str.encode(text)
    return _length(len(raw)) + raw


def _texts(values: Sequence[str]) -> bytes:
    known = {value: _text(value) for value in set(values)}
    return b"".join([known[value] for value in values])


def _integers(values: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(values)}q", *values)


def _floats(values: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(values)}d", *values)


_WRITERS: Final[dict[Kind, Callable[[Any], bytes]]] = {
    Kind.ID: _integers,
    Kind.USER: _integers,
    Kind.TIME: _integers,
    Kind.SECONDS: _floats,
    Kind.NUMBER: _integers,
    Kind.FLAG: bytes,
    Kind.WORD: _texts,
    Kind.TEXT: _texts,
}


def _or_none(write: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    def write_some(values: Sequence[Any]) -> bytes:
        return bytes([value is None for value in values]) + write([value or 0 for value in values])

    return write_some


class Form:
    """How the rows of a table are written.

    :param constants: the same of each row: bot and cluster, where the table has them.
    """

    def __init__(self, table: Table, constants: Sequence[str]) -> None:
        owned = tuple(zip(OWNER, map(_text, constants), strict=True)) if table.dated else ()
        self.names: Final = [column.name for column in schema.columns(table)]
        self._width: Final = _length(len(self.names))
        self._constants: Final = [(_head(column), text) for column, text in owned]
        self._columns: Final = [(_head(column), _writer(column)) for column in table.columns]

    def block(self, rows: Sequence[Values]) -> bytes:
        """Rows in the format Native; an insertion is any number of blocks.

        :raises struct.error, TypeError, ValueError: if a value is not what its column holds.
        """
        parts = [self._width, _length(len(rows))]
        for head, text in self._constants:
            parts += head, text * len(rows)
        for (head, write), values in zip(self._columns, zip(*rows, strict=True), strict=True):
            parts += head, write(values)
        return b"".join(parts)


def _head(column: Column) -> bytes:
    # a low-cardinality or merged column takes the plain type, too
    plain = "String" if column.kind is Kind.WORD else schema.TYPES[column.kind]
    return _text(column.name) + _text(f"Nullable({plain})" if column.none else plain)


def _writer(column: Column) -> Callable[[Any], bytes]:
    write = _WRITERS[column.kind]
    return _or_none(write) if column.none else write


# ------------------------------------------------------------------------------------------------- the database


class ClickHouse(Sink):
    """A ClickHouse of version 24.8 or newer; for asynchronous inserts, 26.1 or newer.

    :raises ValueError: if the URL is none; without saying more, since there is a password in it.
    """

    def __init__(self, place: Place) -> None:
        try:
            self._options: Final = _options(place.url)
        except ValueError:
            msg = "the URL of the database cannot be understood"
            raise ValueError(msg) from None
        self._database: Final = unquote(urlsplit(place.url).path.strip("/")) or "default"
        self._place: Final = place
        self._forms: Final = {table.name: Form(table, (place.bot, place.cluster)) for table in TABLES}
        self._client: _Client | None = None
        # what is stored of the batch that is being written, which may come again in parts
        self._part_of = ""
        self._stored: dict[int, Values] = {}

    async def open(self) -> None:
        """Connect, and bring the schema up to date.

        :raises SchemaError: if it is newer than this version, or the server older than it can be.
        """
        client = await self._connect()
        if not await self._exists(client):
            await client.command(f"CREATE DATABASE IF NOT EXISTS `{self._database}`", use_database=False)
        client.database = self._database
        there = await self._tables(client)
        version = await self._version(client, there)
        for number, migration in enumerate(schema.MIGRATIONS, 1):
            for made in migration:
                if number > version or made.name not in there:
                    await client.command(made.sql)
        if version < len(schema.MIGRATIONS):
            await client.command(f"INSERT INTO {schema.VERSIONS} (version) VALUES ({len(schema.MIGRATIONS)})")
        await self._keep(client)

    async def check(self) -> str:
        """Connect, change nothing, and say what is there."""
        client = await self._connect()
        known, server = len(schema.MIGRATIONS), f"ClickHouse {client.server_version}"
        if not await self._exists(client):
            return f"{server}, no database {self._database} yet"
        client.database = self._database
        version = await self._version(client, await self._tables(client))
        return f"{server}, schema {version} of {known}"

    async def _connect(self) -> _Client:
        await self.close()
        client: _Client = await _LIBRARY.get_async_client(**self._options)
        self._client = client
        oldest = _OLDEST[self._place.async_insert]
        if tuple(map(int, client.server_version.split(".")[:2])) < oldest:
            needed = ".".join(map(str, oldest))
            msg = f"ClickHouse {client.server_version} would count a batch that comes again: {needed} is needed"
            raise SchemaError(msg)
        return client

    async def _exists(self, client: _Client) -> bool:
        asked = "SELECT count() FROM system.databases WHERE name = {name:String}"
        return bool(await client.command(asked, parameters={"name": self._database}, use_database=False))

    async def _tables(self, client: _Client) -> dict[str, str]:
        """What is in the database, and the statements that would make it."""
        asked = "SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase()"
        return dict((await client.query(asked)).result_rows)

    async def _version(self, client: _Client, there: dict[str, str]) -> int:
        if schema.VERSIONS not in there:
            return 0
        version = int(await client.command(f"SELECT max(version) FROM {schema.VERSIONS}"))
        if version > len(schema.MIGRATIONS):
            msg = f"database {self._database} has schema {version}, this version knows up to {len(schema.MIGRATIONS)}"
            raise SchemaError(msg)
        return version

    async def _keep(self, client: _Client) -> None:
        """Let the tables keep their rows for as long as is set; not those that are only a way to others."""
        for name, made in (await self._tables(client)).items():
            if name in schema.AGING and "MergeTree" in made:
                kept = _KEPT.search(made)
                if (int(kept[1]) if kept else None) != self._place.retention_days:
                    await client.command(schema.aging(name, self._place.retention_days))

    async def close(self) -> None:
        """Give the connection back, within a second."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_FAREWELL):
                    await client.close()

    async def write(self, batch: Batch) -> None:
        """Store a batch exactly once. It is encoded before any of it is sent, so that what is no row stops all of it.

        :raises RefusedError: for a row that is none, or that the database does not allow.
        """
        rows = self._not_stored(batch)
        bodies = {name: await self._encode(name, some) for name, some in rows.items()}
        done: dict[int, Values] = {}
        for name, blocks in bodies.items():
            try:
                await self._insert(name, batch.token, blocks)
            except RefusedError:
                # it comes again in halves, and the tables before this one have their rows
                self._stored |= done
                raise
            done |= {id(row): row for row in rows[name]}

    def _not_stored(self, batch: Batch) -> dict[str, list[Values]]:
        """The rows of a batch without those that were stored of a larger one."""
        if not (self._part_of and batch.token.startswith(self._part_of)):
            self._part_of, self._stored = batch.token, {}
        rows = {name: [row for row in some if id(row) not in self._stored] for name, some in batch.rows.items()}
        return {name: some for name, some in rows.items() if some}

    async def _encode(self, name: str, rows: Sequence[Values]) -> list[bytes]:
        blocks: list[bytes] = []
        for start in range(0, len(rows), _SLICE):
            await asyncio.sleep(0)
            try:
                blocks.append(self._forms[name].block(rows[start : start + _SLICE]))
            except (struct.error, TypeError, ValueError) as error:
                msg = f"a value that {name} cannot hold: {type(error).__name__}"
                raise RefusedError(msg) from None
        return blocks

    async def _insert(self, name: str, token: str, blocks: Sequence[bytes]) -> None:
        how = _COLLECTED if self._place.async_insert else _AT_ONCE
        settings = {**_ONCE, **how, "insert_deduplication_token": token}
        try:
            await self._connected.raw_insert(
                name, self._forms[name].names, _stream(blocks), settings=settings, fmt="Native"
            )
        except DatabaseError as error:
            if error.code not in _REFUSED:
                raise
            # its text has the values in it
            msg = f"ClickHouse refuses rows of {name}: {error.name} ({error.code})"
            raise RefusedError(msg) from None

    async def erase(self, *, guild_id: int | None = None, user_id: int | None = None) -> list[Erased]:
        """Remove every row of a guild or of a user from the disk; tell how many each."""
        return [
            Erased(name, await self._erase(name, read, condition))
            for name, read, condition in _erasures(guild_id, user_id)
        ]

    async def _erase(self, name: str, read: str, condition: str) -> int:
        client = self._connected
        rows = int(await client.command(f"SELECT count() FROM {read} WHERE {condition}"))
        if rows:
            await client.command(f"ALTER TABLE {name} DELETE WHERE {condition} {_ERASING}")
        return rows

    @property
    def _connected(self) -> _Client:
        if self._client is None:
            msg = "not connected"
            raise ConnectionError(msg)
        return self._client


def _options(url: str) -> dict[str, Any]:
    """What clickhouse-connect is to be told."""
    parts = urlsplit(url)
    secure = parts.scheme == "clickhouses"
    given = dict(parse_qsl(parts.query))
    return {
        "host": parts.hostname or "localhost",
        "port": parts.port or (8443 if secure else 8123),
        "interface": "https" if secure else "http",
        "username": unquote(parts.username or "default"),
        "password": unquote(parts.password or ""),
        "send_receive_timeout": _PATIENCE,
        "settings": {name: value for name, value in given.items() if name not in _CLIENT_OPTIONS},
        **{name: value for name, value in given.items() if name in _CLIENT_OPTIONS},
    }


async def _stream(blocks: Sequence[bytes]) -> AsyncIterator[bytes]:
    for block in blocks:
        yield block
        await asyncio.sleep(0)


def _erasures(guild_id: int | None, user_id: int | None) -> Iterator[tuple[str, str, str]]:
    """Tables, how they are read, and which rows of them are a guild's or a user's."""
    if guild_id is not None:
        guild = int(guild_id)
        here, there = (f"(SELECT user_id FROM members WHERE guild_id {is_} {guild})" for is_ in ("=", "!="))
        yield "users", "users FINAL", f"id IN {here} AND id NOT IN {there}"
    for table in TABLES:
        for name in [table.guild] if guild_id is not None else table.columns_of(Kind.USER):
            if name:
                yield table.name, schema.merged(table), _condition(table, f"{name} = {int(guild_id or user_id or 0)}")
    if guild_id is not None:
        for rollup in schema.ROLLUPS:
            yield rollup.name, rollup.name, f"guild_id = {int(guild_id)}"


def _condition(table: Table, condition: str) -> str:
    if table.role is not Role.MARKED:
        return condition
    # marks need not say whose they are: their key does
    key = ", ".join(table.key)
    return f"({key}) IN (SELECT {key} FROM {table.name} WHERE {condition})"
