"""The schema of PostgreSQL, as text; what a server makes of it is in ``test_postgres.py``."""

from __future__ import annotations

import datetime as dt

import pytest

from argus_exporter.analytics import postgres_schema as schema
from argus_exporter.analytics.events import TABLE_OF, TABLES, Kind, Role, Table

HOUR = 3_600_000


def at(*moment: int) -> int:
    year, month, day, *rest = moment
    return int(dt.datetime(year, month, day, *rest, tzinfo=dt.UTC).timestamp() * 1000)


def test_a_month_is_a_number_and_the_next_one_follows() -> None:
    december, january = schema.month_of(at(2025, 12, 31, 23, 59, 59)), schema.month_of(at(2026, 1, 1))
    assert january == december + 1
    assert (schema.start_of(december), schema.start_of(january)) == (at(2025, 12, 1), at(2026, 1, 1))
    for month in range(schema.month_of(at(1999, 1, 1)), schema.month_of(at(2040, 1, 1))):
        first, last = schema.start_of(month), schema.start_of(month + 1) - 1
        assert schema.month_of(first) == schema.month_of(last) == month


def test_a_time_that_no_calendar_has_is_refused() -> None:
    for odd in (2**62, -(2**62)):
        with pytest.raises((OverflowError, ValueError)):
            schema.month_of(odd)


def test_a_partition_is_named_after_its_month_and_holds_all_of_it() -> None:
    messages, month = TABLE_OF["messages"], schema.month_of(at(2026, 2, 28, 12))
    assert schema.partition(messages, month) == "messages_2026_02"
    statement = schema.attach(messages, month)
    assert "FROM ('2026-02-01 00:00:00+00') TO ('2026-03-01 00:00:00+00')" in statement
    assert statement.count("argus.messages_2026_02") == 2
    assert schema.literal(at(2026, 2, 1) + HOUR + 5) == "'2026-02-01 01:00:00.005000+00'"


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_row_is_known_by_its_key_and_its_month(table: Table) -> None:
    assert set(schema.key(table)) == {*table.key} | ({table.time} if table.dated else set())
    names = [column.name for column in schema.columns(table)]
    owner = ["bot", "cluster"] if table.dated else []
    assert names == owner + [column.name for column in table.columns]
    if table.role is not Role.EVENT:
        merged = schema.merge(table)
        assert f"pg_temp.{schema.staging(table)}" in merged
        assert all(f"{name} = " in merged for name in names if name not in schema.key(table))


def test_the_temporary_tables_are_empty_after_each_batch() -> None:
    made = schema.stage([TABLE_OF["messages"], TABLE_OF["users"]])
    assert [line.split()[3] for line in made.split(";")] == ["argus_messages", "argus_users"]
    assert made.count("ON COMMIT DELETE ROWS") == 2


def test_a_guild_is_erased_wherever_it_is_named_and_its_users_first() -> None:
    (first, who), *others = schema.erase_guild()
    assert first == "users"
    assert "guild_id <> $1 AND in_guild" in who
    assert {table for table, _ in others} == {table.name for table in TABLES if table.guild}
    assert ("guilds", "DELETE FROM argus.guilds WHERE id = $1") in others
    assert ("messages", "DELETE FROM argus.messages WHERE guild_id = $1") in others


def test_a_user_is_erased_wherever_they_are_named() -> None:
    found = dict(schema.erase_user())
    assert found.keys() == {table.name for table in TABLES if table.columns_of(Kind.USER)}
    assert found["users"] == "DELETE FROM argus.users WHERE id = $1"
    assert found["messages"] == "DELETE FROM argus.messages WHERE user_id = $1"
