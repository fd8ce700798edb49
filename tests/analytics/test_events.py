"""What is declared of rows and tables holds together: schemas, boards and erasure are made of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from argus_exporter.analytics import events
from argus_exporter.analytics.events import TABLE_OF, TABLES, Kind, Role, Row, Table

ROWS: list[type[Row]] = [each for each in vars(events).values() if isinstance(each, type) and Row in each.__bases__]


def test_each_row_has_its_table_and_each_table_its_row() -> None:
    assert [table.row for table in TABLES] == ROWS
    assert [table.row.table for table in TABLES] == [table.name for table in TABLES] == list(TABLE_OF)


@pytest.mark.parametrize("table", TABLES, ids=[table.name for table in TABLES])
def test_a_table_is_known_and_ages_by_columns_that_it_has(table: Table) -> None:
    columns = {column.name: column for column in table.columns}
    fields: Any = dataclasses.fields(table.row)  # type: ignore[arg-type]
    assert list(columns) == [field.name for field in fields]
    assert set(table.key) <= set(columns)
    assert all(columns[name].kind in {Kind.ID, Kind.USER} and not columns[name].none for name in table.key)
    assert columns[table.time].kind is Kind.TIME
    assert not columns[table.time].none
    assert table.dated == (table.role is not Role.DIMENSION)
    assert not table.guild or columns[table.guild].kind is Kind.ID


@pytest.mark.parametrize("table", TABLES, ids=[table.name for table in TABLES])
def test_a_row_takes_no_attribute_that_is_no_column(table: Table) -> None:
    make: Any = table.row
    row = make(*[None] * len(table.columns))
    with pytest.raises(AttributeError):
        row.content = "what somebody wrote"


def test_whoever_is_named_can_be_erased_and_every_place_too() -> None:
    for table in TABLES:
        names = {column.name for column in table.columns}
        assert "user_id" not in names or "user_id" in table.columns_of(Kind.USER)
        assert "guild_id" not in names or table.guild == "guild_id"
