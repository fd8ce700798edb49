"""Answers as tables, and what a panel's transformations make of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from grafana.preview.board import Json, Target
    from grafana.preview.prometheus import Series

Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """Columns in their order; a row has no key where it has no value."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


class Rows(list["Series"]):
    """What was found as a table already, beside the series that can be made of it.

    :ivar table: the rows.
    """

    def __init__(self, table: Table) -> None:
        super().__init__()
        self.table = table


def tables(answers: Iterable[tuple[Target, list[Series]]]) -> list[Table]:
    """What the queries of a table found, one table each; the values are called by the query where there are several."""
    given = list(answers)
    if given and isinstance(given[0][1], Rows):
        return [found.table for _, found in given if isinstance(found, Rows)]
    return [_table(found, f"Value #{target.ref}" if len(given) > 1 else "Value") for target, found in given]


def _table(found: list[Series], value: str) -> Table:
    labels = sorted({name for series in found for name in series.labels})
    rows = [{"Time": at * 1000, **series.labels, value: number} for series in found for at, number in series.points]
    return Table(("Time", *labels, value) if found else (), tuple(rows))


def transformed(given: list[Table], steps: Iterable[Json]) -> list[Table]:
    """The tables after the panel's transformations.

    :raises LookupError: if one is not known here.
    """
    for step in steps:
        given = _STEPS[step["id"]](given, step["options"])
    return given


def _merge(given: list[Table], _: Json) -> list[Table]:
    """One table; rows of different tables are one where all that they share is equal, times left out of it."""
    columns = tuple(dict.fromkeys(name for table in given for name in table.columns))
    merged: list[Row] = []
    for table in given:
        for row in table.rows:
            into = next((one for one in merged if _fits(one, row)), None)
            if into is None:
                merged.append(dict(row))
            else:
                into.update(row)
    return [Table(columns, tuple(merged))]


def _fits(one: Row, other: Row) -> bool:
    return all(one[name] == other[name] for name in one.keys() & other.keys() - {"Time"})


def _organize(given: list[Table], options: Json) -> list[Table]:
    """Columns left out, put in order, called otherwise."""
    return [_renamed(_ordered(table, options), options.get("renameByName", {})) for table in given]


def _ordered(table: Table, options: Json) -> Table:
    out, order = options.get("excludeByName", {}), options.get("indexByName", {})
    columns = sorted(
        (name for name in table.columns if not out.get(name)), key=lambda name: order.get(name, len(order))
    )
    return Table(tuple(columns), table.rows)


def _renamed(table: Table, names: dict[str, str]) -> Table:
    new = {name: names.get(name) or name for name in table.columns}
    rows = tuple({new.get(name, name): value for name, value in row.items()} for row in table.rows)
    return Table(tuple(new.values()), rows)


def _sort(given: list[Table], options: Json) -> list[Table]:
    for one in options["sort"]:
        given = [ordered_by(table, one["field"], falling=bool(one.get("desc"))) for table in given]
    return given


def ordered_by(table: Table, column: str, *, falling: bool) -> Table:
    """The rows by a column; rows without it are last, words that are numbers go by their size."""
    having = [row for row in table.rows if column in row]
    having.sort(key=lambda row: _sortable(row[column]), reverse=falling)
    return Table(table.columns, (*having, *(row for row in table.rows if column not in row)))


def _sortable(value: Any) -> tuple[int, float, str]:
    if isinstance(value, str):
        return (0, float(value), "") if value.isdecimal() else (1, 0, value)
    return (0, float(value), "")


def _matrix(given: list[Table], options: Json) -> list[Table]:
    """A row for each value of one column, a column for each of another."""
    row_of, column_of, value_of = options["rowField"], options["columnField"], options["valueField"]
    head = f"{row_of}\\{column_of}"
    found: dict[str, Row] = {}
    for row in (row for table in given for row in table.rows):
        found.setdefault(row[row_of], {head: row[row_of]})[str(row[column_of])] = row[value_of]
    columns = tuple(dict.fromkeys(name for row in found.values() for name in row))
    return [Table(columns, tuple(found.values()))]


_STEPS: Final[dict[str, Callable[[list[Table], Json], list[Table]]]] = {
    "merge": _merge,
    "organize": _organize,
    "sortBy": _sort,
    "groupingToMatrix": _matrix,
}
