"""Tables come out of answers, and transformations do with them what Grafana's do."""

from __future__ import annotations

from typing import Any

import pytest

from grafana.preview.board import Target
from grafana.preview.prometheus import Series
from grafana.preview.tables import Table, ordered_by, tables, transformed


def series(value: float, at: float = 1.0, **labels: str) -> Series:
    return Series(labels, ((at, value),))


UP = (Target("A", "a"), [series(1, bot="x", cluster="0"), series(2, bot="x", cluster="1")])
RAM = (Target("B", "b"), [series(30, 2.0, bot="x", cluster="1"), series(10, bot="y")])


def rows(found: list[Table]) -> list[dict[str, Any]]:
    """The rows of the only table, with what its columns show."""
    (table,) = found
    return [{name: row[name] for name in table.columns if name in row} for row in table.rows]


def test_labels_are_columns_in_order_and_times_are_milliseconds() -> None:
    (table,) = tables([UP])
    assert table.columns == ("Time", "bot", "cluster", "Value")
    assert table.rows[0] == {"Time": 1000, "bot": "x", "cluster": "0", "Value": 1}


def test_values_of_several_queries_are_called_by_them() -> None:
    assert [table.columns[-1] for table in tables([UP, RAM])] == ["Value #A", "Value #B"]


def test_nothing_found_has_no_columns() -> None:
    assert tables([(Target("A", "a"), [])]) == [Table((), ())]


def test_merging_makes_one_row_of_what_is_equal() -> None:
    merged = transformed(tables([UP, RAM]), [{"id": "merge", "options": {}}])
    plain = [{k: v for k, v in row.items() if k != "Time"} for row in rows(merged)]
    assert plain == [
        {"bot": "x", "cluster": "0", "Value #A": 1},
        {"bot": "x", "cluster": "1", "Value #A": 2, "Value #B": 30},
        {"bot": "y", "Value #B": 10},
    ]


def test_organizing_leaves_out_orders_and_renames() -> None:
    options = {"excludeByName": {"Time": True}, "indexByName": {"Value": 0}, "renameByName": {"Value": "Up", "bot": ""}}
    (table,) = transformed(tables([UP]), [{"id": "organize", "options": options}])
    assert table.columns == ("Up", "bot", "cluster")
    assert table.rows[0]["Up"] == 1


def test_rows_are_ordered_as_numbers_and_those_without_a_value_are_last() -> None:
    table = Table(("n",), ({"n": "10"}, {}, {"n": "9"}, {"n": "x"}))
    assert [row.get("n") for row in ordered_by(table, "n", falling=False).rows] == ["9", "10", "x", None]
    assert [row.get("n") for row in ordered_by(table, "n", falling=True).rows] == ["x", "10", "9", None]
    (sorted_,) = transformed([table], [{"id": "sortBy", "options": {"sort": [{"field": "n", "desc": True}]}}])
    assert [row.get("n") for row in sorted_.rows] == ["x", "10", "9", None]


def test_a_matrix_has_a_row_for_one_label_and_a_column_for_the_other() -> None:
    options = {"rowField": "bot", "columnField": "cluster", "valueField": "Value"}
    found = transformed(tables([UP]), [{"id": "groupingToMatrix", "options": options}])
    assert rows(found) == [{"bot\\cluster": "x", "0": 1, "1": 2}]


def test_a_transformation_that_is_not_known_is_said() -> None:
    with pytest.raises(LookupError):
        transformed([], [{"id": "magic", "options": {}}])
