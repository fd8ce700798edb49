"""The tables of :mod:`argus_exporter.analytics.events` in ClickHouse's words. Makes text, knows no connection."""

from __future__ import annotations

import dataclasses
import itertools
import typing
from typing import Final

from argus_exporter.analytics.events import OWNER, TABLE_OF, TABLES, Column, Kind, Role, Table

if typing.TYPE_CHECKING:
    from collections.abc import Iterator

TYPES: Final = {
    Kind.ID: "Int64",
    Kind.USER: "Int64",
    Kind.TIME: "DateTime64(3, 'UTC')",
    Kind.SECONDS: "Float64",
    Kind.NUMBER: "Int64",
    Kind.FLAG: "Bool",
    Kind.WORD: "LowCardinality(String)",
    Kind.TEXT: "String",
}

_ENGINES: Final = {
    Role.EVENT: "MergeTree",
    Role.MARKED: "AggregatingMergeTree",
    Role.DIMENSION: "ReplacingMergeTree(seen_at)",
}

_WINDOW: Final = 10_000
"""Insertions of which a table remembers that it has them: what a fleet writes in several minutes, 100 bytes each."""

_SETTINGS: Final = f"SETTINGS non_replicated_deduplication_window = {_WINDOW}"

VERSIONS: Final = "argus_schema"
"""The table that says which migrations have been made."""

_INDEXED: Final = ("guild_id", "user_id")
"""What is asked for where a table is not sorted by it."""

_QUANTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_LEVELS: Final = ", ".join(map(str, _QUANTILES.values()))


def columns(table: Table) -> tuple[Column, ...]:
    """The columns of a table as it is stored."""
    return (*OWNER, *table.columns) if table.dated else table.columns


def sorted_by(table: Table) -> tuple[str, ...]:
    """The columns by which a table is sorted; rows that are the same in them are merged where its role says so.

    Events are asked for by guild. What is marked is merged by its key alone: the time, which comes of the key, stands
    first so that a span of time is found.
    """
    if table.role is Role.EVENT:
        return ("guild_id", table.time)
    return (table.time, *table.key) if table.dated else table.key


def type_of(table: Table, column: Column) -> str:
    """The type of a column of a table."""
    plain = f"Nullable({TYPES[column.kind]})" if column.none else TYPES[column.kind]
    merged = table.role is Role.MARKED and column.name not in sorted_by(table)
    return f"SimpleAggregateFunction(max, {plain})" if merged else plain


def merged(table: Table) -> str:
    """A table as it is to be read: with rows of one key merged."""
    return table.name if table.role is Role.EVENT else f"{table.name} FINAL"


@dataclasses.dataclass(frozen=True, slots=True)
class Figure:
    """What is kept of a group of rows.

    :param kept: its column's type.
    :param made: what it is made of.
    :param told: what the view reads of it, with names.
    """

    name: str
    kept: str
    made: str
    told: str


def _count(name: str, of: str = "count()") -> Figure:
    return Figure(name, "SimpleAggregateFunction(sum, UInt64)", of, f"sum({name}) AS {name}")


@dataclasses.dataclass(frozen=True, slots=True)
class Rollup:
    """A table's rows by day and whatever else, kept up by ClickHouse as they come.

    :param by: columns of the table, after the day, bot and cluster.
    """

    source: str
    by: tuple[str, ...]
    figures: tuple[Figure, ...]

    @property
    def name(self) -> str:
        """Of the table; :attr:`view` is what is to be read."""
        return f"{self.source}_daily"

    @property
    def view(self) -> str:
        """Of the view that has a row per group, with its figures."""
        return f"{self.source}_by_day"

    @property
    def columns(self) -> dict[str, str]:
        """Its columns and their types, those of the group first."""
        types = {column.name: TYPES[column.kind] for column in columns(TABLE_OF[self.source])}
        group = {name: types[name] for name in ("bot", "cluster", *self.by)}
        return {"day": "Date", **group, **{figure.name: figure.kept for figure in self.figures}}

    @property
    def group(self) -> str:
        """The columns by which it is grouped."""
        return ", ".join(("guild_id", "day", "bot", "cluster", *(name for name in self.by if name != "guild_id")))


ROLLUPS: Final = (
    Rollup("interactions", ("guild_id", "type"), (_count("count"), _count("missed", "countIf(missed)"))),
    Rollup(
        "commands",
        ("guild_id", "command", "type"),
        (
            _count("count"),
            _count("errors", "countIf(outcome IN ('bot_error', 'discord_error'))"),
            _count("timed", "count(duration_seconds)"),
            Figure(
                "seconds",
                "SimpleAggregateFunction(sum, Float64)",
                "ifNull(sum(duration_seconds), 0.)",
                "sum(seconds) AS seconds",
            ),
            Figure(
                "quantiles",
                f"AggregateFunction(quantilesTDigestIf({_LEVELS}), Float64, UInt8)",
                f"quantilesTDigestIfState({_LEVELS})(ifNull(duration_seconds, 0.), duration_seconds IS NOT NULL)",
                ", ".join(
                    f"ifNotFinite(quantilesTDigestIfMerge({_LEVELS})(quantiles)[{place}], NULL) AS {name}"
                    for place, name in enumerate(_QUANTILES, 1)
                ),
            ),
        ),
    ),
    Rollup(
        "messages",
        ("guild_id", "channel_id"),
        (
            _count("count", "countIf(seen)"),
            _count("edits", "countIf(edited_at IS NOT NULL)"),
            _count("deletions", "countIf(deleted_at IS NOT NULL)"),
        ),
    ),
    Rollup(
        "member_events",
        ("guild_id",),
        (_count("joins", "countIf(event = 'join')"), _count("leaves", "countIf(event = 'leave')")),
    ),
)
"""What the boards ask of months. An edit is counted each time, where its message has the last one alone."""


@dataclasses.dataclass(frozen=True, slots=True)
class Made:
    """Something in the database, and the statement that makes it where it is not there."""

    name: str
    sql: str


def _table(table: Table) -> Made:
    lines = [f"{column.name} {type_of(table, column)}" for column in columns(table)]
    # what is sorted by time has to be searched for a guild or a user: a few bytes say where there is none
    lines += [
        f"INDEX {column.name}_index {column.name} TYPE bloom_filter GRANULARITY 4"
        for column in table.columns
        if table.dated and column.name in _INDEXED and column.name not in sorted_by(table)
    ]
    return Made(table.name, _create(table.name, lines, _ENGINES[table.role], table.time if table.dated else "", table))


def _create(name: str, lines: list[str], engine: str, time: str, by: Table | str) -> str:
    key = by if isinstance(by, str) else ", ".join(sorted_by(by))
    months = f" PARTITION BY toYYYYMM({time})" if time else ""
    return (
        f"CREATE TABLE IF NOT EXISTS {name} ({', '.join(lines)}) ENGINE = {engine}{months} ORDER BY ({key}) {_SETTINGS}"
    )


def _text_view(table: Table) -> Made:
    ids = {*table.columns_of(Kind.ID), *table.columns_of(Kind.USER)}
    names = (f"toString({each.name}) AS {each.name}" if each.name in ids else each.name for each in columns(table))
    view = f"{table.name}_text"
    return Made(view, f"CREATE OR REPLACE VIEW {view} AS SELECT {', '.join(names)} FROM {merged(table)}")


def _rollup(rollup: Rollup) -> Iterator[Made]:
    lines = [f"{name} {kept}" for name, kept in rollup.columns.items()]
    yield Made(rollup.name, _create(rollup.name, lines, "AggregatingMergeTree", "day", rollup.group))
    made = ", ".join(f"{figure.made} AS {figure.name}" for figure in rollup.figures)
    feed = f"{rollup.name}_feed"
    yield Made(
        feed,
        f"CREATE MATERIALIZED VIEW IF NOT EXISTS {feed} TO {rollup.name} AS"
        f" SELECT toDate(at) AS day, {rollup.group.replace('day, ', '')}, {made}"
        f" FROM {rollup.source} GROUP BY {rollup.group}",
    )
    told = ", ".join(figure.told for figure in rollup.figures)
    yield Made(
        rollup.view,
        f"CREATE OR REPLACE VIEW {rollup.view} AS"
        f" SELECT {rollup.group}, {told} FROM {rollup.name} GROUP BY {rollup.group}",
    )


MIGRATIONS: Final = (
    (
        Made(
            VERSIONS,
            f"CREATE TABLE IF NOT EXISTS {VERSIONS} (version UInt32, at DateTime DEFAULT now())"
            " ENGINE = MergeTree ORDER BY version",
        ),
        *map(_table, TABLES),
    ),
    tuple(itertools.chain.from_iterable(map(_rollup, ROLLUPS))),
    tuple(map(_text_view, TABLES)),
)
"""What makes each version of the schema of the one before it. Each can be made again, also by several at once.

A column that :mod:`argus_exporter.analytics.events` gets later is in the first already: add a migration for those who
are past it, with ``ALTER TABLE … ADD COLUMN IF NOT EXISTS`` and the views that are to show it, and nothing that takes
away what is there.
"""

AGING: Final = {
    **{table.name: f"toDateTime({table.time})" for table in TABLES if table.dated},
    **{rollup.name: "day" for rollup in ROLLUPS},
}
"""The tables whose rows are removed one day, and the time from which that counts."""


def aging(name: str, days: int | None) -> str:
    """The statement by which a table keeps its rows for some days, or for ever."""
    return f"ALTER TABLE {name} {f'MODIFY TTL {AGING[name]} + toIntervalDay({days})' if days else 'REMOVE TTL'}"


def script(days: int | None = 90) -> str:
    """All of the schema, to be looked at, changed and executed by hand: one statement a line."""
    made = [each.sql for migration in MIGRATIONS for each in migration]
    kept = [aging(name, days) for name in AGING] if days else []
    version = f"INSERT INTO {VERSIONS} (version) VALUES ({len(MIGRATIONS)})"
    return "".join(f"{statement};\n" for statement in (*made, *kept, version))
