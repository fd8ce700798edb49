"""The tables of :mod:`argus_exporter.analytics.events` in PostgreSQL's words. Makes text, knows no connection."""

from __future__ import annotations

import datetime as dt
import re
import typing
from typing import Final

from argus_exporter import catalogue
from argus_exporter.analytics.events import OWNER, TABLES, Column, Kind, Role, Table

if typing.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SCHEMA: Final = "argus"

LOCK: Final = 0x61726775735F6578
"""Of the advisory lock under which the schema is changed: one process at a time."""

DAY: Final = 86_400_000
"""Milliseconds."""

_TYPES: Final = {
    Kind.ID: "bigint",
    Kind.USER: "bigint",
    Kind.TIME: "timestamptz(3)",
    Kind.SECONDS: "double precision",
    Kind.NUMBER: "bigint",
    Kind.FLAG: "boolean",
    Kind.WORD: "text",
    Kind.TEXT: "text",
}

_ABOUT: Final = {
    Kind.ID: "Discord's id; 0 is none.",
    Kind.USER: "A user's id, as the bot's settings let it through; 0 is none.",
    Kind.TIME: "UTC, to the millisecond.",
    Kind.SECONDS: "Seconds.",
}

_ID: Final = f"""\
CREATE FUNCTION {SCHEMA}.id(text) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN $1 ~ '^-?[0-9]{{1,19}}$' THEN
        CASE WHEN $1::numeric BETWEEN -9223372036854775808 AND 9223372036854775807 THEN $1::bigint END
    END
$$;
COMMENT ON FUNCTION {SCHEMA}.id(text) IS 'The id that a text is; NULL, which is nobody''s, where it is none.'"""

INDEXED: Final = {"guild_id": "", "user_id": " WHERE user_id <> 0"}
"""What the questions begin with; the time comes second. Where users are not kept their index is empty."""


def columns(table: Table) -> tuple[Column, ...]:
    """The columns of a table as it is stored."""
    return (*OWNER, *table.columns) if table.dated else table.columns


def key(table: Table) -> tuple[str, ...]:
    """The columns of a table's primary key: of a partitioned table the time has to be one."""
    return (*table.key, table.time) if table.dated else table.key


# ------------------------------------------------------------------------------------------------- tables


def _create(table: Table) -> Iterator[str]:
    lines = [f"{each.name} {_TYPES[each.kind]}{'' if each.none else ' NOT NULL'}" for each in columns(table)]
    if table.role is not Role.EVENT:
        lines.append(f"PRIMARY KEY ({', '.join(key(table))})")
    parts = f" PARTITION BY RANGE ({table.time})" if table.dated else ""
    yield f"CREATE TABLE {SCHEMA}.{table.name} ({', '.join(lines)}){parts}"
    yield from _indexes(table) if table.dated else ()
    yield from _comments(table)
    yield _view(table)


def _indexes(table: Table) -> Iterator[str]:
    for name, which in INDEXED.items():
        if any(each.name == name for each in table.columns):
            yield f"CREATE INDEX {table.name}_{name} ON {SCHEMA}.{table.name} ({name}, {table.time}){which}"
    # a few pages, for what is asked of all guilds, and for the retention
    yield f"CREATE INDEX {table.name}_time ON {SCHEMA}.{table.name} USING brin ({table.time})"


def _view(table: Table) -> str:
    ids = {*table.columns_of(Kind.ID), *table.columns_of(Kind.USER)}
    names = (f"{each.name}::text AS {each.name}" if each.name in ids else each.name for each in columns(table))
    return f"CREATE VIEW {SCHEMA}.{table.name}_text AS SELECT {', '.join(names)} FROM {SCHEMA}.{table.name}"


def _comments(table: Table) -> Iterator[str]:
    said = _plain(table.row.__doc__ or "")
    yield f"COMMENT ON TABLE {SCHEMA}.{table.name} IS {_literal(said.partition(' :param ')[0])}"
    about = dict(re.findall(r":param (\w+): (.+?)(?= :param |$)", said))
    for each in columns(table):
        if text := about.get(each.name, _ABOUT.get(each.kind, "")):
            yield f"COMMENT ON COLUMN {SCHEMA}.{table.name}.{each.name} IS {_literal(text)}"


def _plain(docstring: str) -> str:
    """A docstring in one line, without its markup; in place of the catalogue's names what they stand for."""
    return re.sub(r":data:`[\w.]+?(\w+)`|``(.*?)``", _named, " ".join(docstring.split()))


def _named(found: re.Match[str]) -> str:
    return found[2] or ", ".join(getattr(catalogue, found[1]))


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


MIGRATIONS: Final = ((_ID, *(statement for table in TABLES for statement in _create(table))),)
"""What makes each version of the schema of the one before it; the first makes what there is of nothing.

A column that :mod:`argus_exporter.analytics.events` gets later is in the first already: add a migration for those who
are past it, with ``ADD COLUMN IF NOT EXISTS``, and nothing that takes away what is there.
"""

BOOKS: Final = f"""\
CREATE TABLE IF NOT EXISTS {SCHEMA}.migrations
    (version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS {SCHEMA}.batches
    (token text PRIMARY KEY, at timestamptz NOT NULL DEFAULT now());
COMMENT ON TABLE {SCHEMA}.migrations IS 'The versions of this schema, the newest counts.';
COMMENT ON TABLE {SCHEMA}.batches IS 'What was written lately, so that nothing is written twice.'"""


# ------------------------------------------------------------------------------------------------- months


def month_of(at: int) -> int:
    """The month of a time in milliseconds, as a number: those that follow each other do so here.

    :raises ValueError: or :class:`OverflowError` for a time that no calendar has.
    """
    date = dt.date(1970, 1, 1) + dt.timedelta(milliseconds=at)
    return date.year * 12 + date.month - 1


def start_of(month: int) -> int:
    """When a month begins, in milliseconds."""
    return (dt.date(month // 12, month % 12 + 1, 1) - dt.date(1970, 1, 1)).days * DAY


def partition(table: Table, month: int) -> str:
    """The name of the partition that holds a month of a table."""
    return f"{table.name}_{month // 12:04}_{month % 12 + 1:02}"


def attach(table: Table, month: int) -> str:
    """The statements that give a table a month.

    ``CREATE TABLE … PARTITION OF`` would lock out who reads; this waits for nobody but its like.
    """
    name, bounds = f"{SCHEMA}.{partition(table, month)}", (literal(start_of(month)), literal(start_of(month + 1)))
    return (
        f"CREATE TABLE IF NOT EXISTS {name} (LIKE {SCHEMA}.{table.name} INCLUDING ALL); "
        f"ALTER TABLE {SCHEMA}.{table.name} ATTACH PARTITION {name} FOR VALUES FROM ({bounds[0]}) TO ({bounds[1]})"
    )


def literal(at: int) -> str:
    """A time in milliseconds as SQL has it."""
    return f"'{dt.datetime(1970, 1, 1) + dt.timedelta(milliseconds=at)}+00'"  # noqa: DTZ001 - it says +00


MONTHS: Final = f"""\
SELECT parent.relname AS parent, child.relname AS child FROM pg_class parent
LEFT JOIN pg_inherits ON inhparent = parent.oid LEFT JOIN pg_class child ON child.oid = inhrelid
WHERE parent.relnamespace = to_regnamespace('{SCHEMA}') AND parent.relkind = 'p'"""
"""The names of all partitions, and of the tables that have any: one that somebody has made a hypertable has none."""


# ------------------------------------------------------------------------------------------------- rows


def staging(table: Table) -> str:
    """The name of the temporary table in which rows wait until they are merged."""
    return f"{SCHEMA}_{table.name}"


def stage(tables: Iterable[Table]) -> str:
    """The statements that make the temporary tables."""
    return ";".join(
        f"CREATE TEMPORARY TABLE {staging(each)} (LIKE {SCHEMA}.{each.name}) ON COMMIT DELETE ROWS" for each in tables
    )


def merge(table: Table) -> str:
    """The statement that takes rows from their temporary table to where they belong."""
    return (_mark if table.role is Role.MARKED else _renew)(table, ", ".join(key(table)))


def _mark(table: Table, keys: str) -> str:
    names = [each.name for each in columns(table)]
    rest = [each for each in columns(table) if each.name not in key(table)]
    largest = {each.name: f"{'bool_or' if each.kind is Kind.FLAG else 'max'}({each.name})" for each in rest}
    return (
        f"INSERT INTO {SCHEMA}.{table.name} AS kept ({', '.join(names)}) "
        f"SELECT {', '.join(largest.get(name, name) for name in names)} FROM pg_temp.{staging(table)} "
        # in order, so that two processes that mark the same rows wait for each other and not both
        f"GROUP BY {keys} ORDER BY {keys} ON CONFLICT ({keys}) DO UPDATE SET "
        + ", ".join(f"{each.name} = greatest(kept.{each.name}, excluded.{each.name})" for each in rest)
    )


def _renew(table: Table, keys: str) -> str:
    names = [each.name for each in columns(table)]
    return (
        f"INSERT INTO {SCHEMA}.{table.name} AS kept ({', '.join(names)}) "
        f"SELECT DISTINCT ON ({keys}) {', '.join(names)} FROM pg_temp.{staging(table)} "
        # rows lie there in their order, by which the later of one millisecond is the newer
        f"ORDER BY {keys}, {table.time} DESC, ctid DESC ON CONFLICT ({keys}) DO UPDATE SET "
        + ", ".join(f"{name} = excluded.{name}" for name in names if name not in key(table))
        + f" WHERE kept.{table.time} <= excluded.{table.time}"
    )


# ------------------------------------------------------------------------------------------------- erasure


def erase_guild() -> Iterator[tuple[str, str]]:
    """The statements that remove a guild, each with its table: first the names of those who are in no other."""
    known = [(each.name, name) for each in TABLES for name in each.columns_of(Kind.USER) if each.guild == "guild_id"]
    seen = " UNION ".join(f"SELECT {name} FROM {SCHEMA}.{table} WHERE guild_id = $1" for table, name in known)
    other = f"SELECT FROM {SCHEMA}.members WHERE user_id = users.id AND guild_id <> $1 AND in_guild"
    yield "users", f"DELETE FROM {SCHEMA}.users WHERE id IN ({seen}) AND NOT EXISTS ({other})"
    yield from (
        (each.name, f"DELETE FROM {SCHEMA}.{each.name} WHERE {each.guild} = $1") for each in TABLES if each.guild
    )


def erase_user() -> Iterator[tuple[str, str]]:
    """The statements that remove a user, each with its table."""
    for table in TABLES:
        for name in table.columns_of(Kind.USER):
            yield table.name, f"DELETE FROM {SCHEMA}.{table.name} WHERE {name} = $1"
