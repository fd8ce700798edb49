"""Each kind of panel shows its numbers as Grafana would."""

from __future__ import annotations

import math
from typing import Any

import pytest

from grafana.preview.board import Panel, Target, View
from grafana.preview.prometheus import Series

pytest.importorskip("matplotlib")  # of the group dev only

from grafana.preview.canvas import Box, Canvas
from grafana.preview.panels import DRAWN
from grafana.preview.shown import Shown

VIEW = View(1000, 1060, scrape=15)
BOX = Box(0, 0, 600, 300)
HEAT = {"yAxis": {"unit": "s"}}


def drawn(kind: str, *found: Series, legend: str = "{{name}}", **raw: Any) -> tuple[Any, Any]:
    """What a panel has drawn: matplotlib's axes of the sheet, and its own where it has some."""
    raw = {"type": kind, "gridPos": {"x": 0, "y": 0, "w": 1, "h": 1}, "options": {}, **raw}
    canvas = Canvas(600, 300)
    DRAWN[kind](canvas, BOX, Shown(Panel.read(raw), VIEW, [(Target("A", "x", legend), list(found))]))
    figure: Any = canvas._figure
    return figure.axes[0], figure.axes[-1]


def series(*values: float, **labels: str) -> Series:
    return Series(labels, tuple((1000.0 + 15 * n, value) for n, value in enumerate(values)))


def config(**defaults: Any) -> dict[str, Any]:
    return {"defaults": {"color": {"mode": "palette-classic"}, **defaults}, "overrides": []}


def ys(line: Any) -> list[float]:
    return [float(y) for y in line.get_ydata()]


def test_stacked_bars_lie_on_each_other_and_what_is_less_than_nothing_below() -> None:
    look = {"drawStyle": "bars", "stacking": {"mode": "normal"}}
    found = series(1, math.nan, 3), series(10, 10, 10), series(-2, -2, -2)
    _, axes = drawn("timeseries", *found, fieldConfig=config(custom=look))
    bars = [(bar.get_y(), bar.get_height()) for bar in axes.patches if not math.isnan(bar.get_height())]
    assert bars == [(0, 1), (0, 3), (1, 10), (0, 10), (3, 10), (0, -2), (0, -2), (0, -2)]


def test_stacked_lines_lie_on_each_other_and_others_do_not() -> None:
    both = series(1, 2, 3), series(10, 10, 10)
    _, plain = drawn("timeseries", *both, fieldConfig=config())
    _, stacked = drawn("timeseries", *both, fieldConfig=config(custom={"stacking": {"mode": "normal"}}))
    assert [ys(line) for line in plain.lines] == [[1, 2, 3], [10, 10, 10]]
    assert [ys(line) for line in stacked.lines] == [[1, 2, 3], [11, 12, 13]]


def test_no_line_goes_over_points_that_are_missing() -> None:
    gap = Series({}, ((1000, 1), (1015, 2), (1060, 3)))
    _, axes = drawn("timeseries", gap, fieldConfig=config())
    (line,) = axes.lines
    assert [y if not math.isnan(y) else None for y in ys(line)] == [1, 2, None, 3]
    assert line.get_markevery() == [3]  # a point alone is a dot


def test_thresholds_are_lines_where_they_are_wished_and_in_sight() -> None:
    steps = {"steps": [{"value": None, "color": "green"}, {"value": 2, "color": "red"}, {"value": 99, "color": "red"}]}
    dashed = config(thresholds=steps, custom={"thresholdsStyle": {"mode": "dashed"}})
    assert [ys(line)[0] for line in drawn("timeseries", series(1, 3), fieldConfig=dashed)[1].lines] == [1, 2]
    assert len(drawn("timeseries", series(1, 3), fieldConfig=config(thresholds=steps))[1].lines) == 1


def test_an_axis_begins_and_ends_where_it_is_told() -> None:
    assert drawn("timeseries", series(5, 6), fieldConfig=config(min=0, max=1000))[1].get_ylim() == (0, 1000)
    _, high = drawn("timeseries", series(5, 6), fieldConfig=config())[1].get_ylim()
    assert 6 < high < 7


def test_a_legend_has_the_names_in_two_rows_at_most() -> None:
    many = [series(1, name=f"a name of some length {n}") for n in range(40)]
    sheet, _ = drawn("timeseries", *many, fieldConfig=config())
    assert sheet.texts[0].get_text() == "a name of some length 0"
    assert 2 < len(sheet.texts) < 10
    assert len({text.get_position()[1] for text in sheet.texts}) == 2
    nothing = drawn("timeseries", *many, fieldConfig=config(), options={"legend": {"showLegend": False}})
    assert len(nothing[0].texts) == 0


def test_a_bar_is_as_long_as_its_share_of_the_largest() -> None:
    sheet, _ = drawn("bargauge", series(1, name="a"), series(4, name="b"), fieldConfig=config(unit="none"))
    whole = [patch.get_width() for patch in sheet.patches[::2]]
    assert [round(patch.get_width() / whole[0], 2) for patch in sheet.patches[1::2]] == [0.25, 1]
    assert [text.get_text() for text in sheet.texts] == ["a", "1", "b", "4"]
    of_ten, _ = drawn("bargauge", series(1), fieldConfig=config(max=10))
    assert round(of_ten.patches[1].get_width() / of_ten.patches[0].get_width(), 2) == 0.1
    assert of_ten.patches[0].get_facecolor() != of_ten.patches[1].get_facecolor()


def test_a_heatmap_has_what_each_bucket_has_for_itself() -> None:
    found = series(9, 9, le="+Inf"), series(1, 2, le="0.1"), series(5, 2, le="0.25")
    _, axes = drawn("heatmap", *found, fieldConfig=config(), options=HEAT)
    counts = axes.collections[0].get_array()
    assert [[float(one) if one > 0 else 0 for one in row] for row in counts.filled(0)] == [[1, 2], [4, 0], [4, 7]]
    assert counts.mask.tolist() == [[False, False], [False, True], [False, False]]  # nothing has no colour
    assert [label.get_text() for label in axes.get_yticklabels()] == ["100 ms", "250 ms"]


def test_a_state_lasts_until_the_next_point() -> None:
    states = {"type": "value", "options": {"3": {"text": "online", "color": "#00ff00"}, "2": {"color": "#ff0000"}}}
    found = drawn(
        "state-timeline", series(3, 2, name="a"), series(3, 3, name="b"), fieldConfig=config(mappings=[states])
    )
    lanes = found[1].collections
    assert [[tuple(colour[:3]) for colour in lane.get_facecolor()] for lane in lanes] == [
        [(0, 1, 0), (1, 0, 0)],
        [(0, 1, 0), (0, 1, 0)],
    ]
    assert [label.get_text() for label in found[1].get_yticklabels()] == ["a", "b"]


def test_a_table_says_how_many_rows_it_has_no_room_for() -> None:
    rows = [series(float(n), n=str(n)) for n in range(30)]
    options = {"cellHeight": "sm", "showHeader": True, "sortBy": [{"displayName": "Value", "desc": True}]}
    width = {"id": "custom.width", "value": 100}
    fields = config(unit="none") | {"overrides": [{"matcher": {"id": "byName", "options": "n"}, "properties": [width]}]}
    organize = {"excludeByName": {"Time": True}, "indexByName": {}, "renameByName": {}}
    sheet, _ = drawn(
        "table", *rows, fieldConfig=fields, options=options, transformations=[{"id": "organize", "options": organize}]
    )
    said = [text.get_text() for text in sheet.texts]
    assert said[:3] == ["n", "29", "28"]
    assert said[-1] == "21 more rows"
    assert sheet.texts[10].get_text() == "Value"
    assert sheet.texts[10].get_position()[0] == 106  # after a column of 100 pixels


@pytest.mark.parametrize(
    ("mode", "count", "wanted"),
    [
        ("auto", 1, ["7"]),
        ("auto", 2, ["a", "7", "b", "8"]),
        ("value", 2, ["7", "8"]),
        ("name", 2, ["a", "b"]),
        ("value_and_name", 1, ["a", "7"]),
    ],
)
def test_a_tile_says_its_name_or_its_newest_value_or_both(mode: str, count: int, wanted: list[str]) -> None:
    found = [series(1, 7, math.nan, name="a"), series(8, name="b")][:count]
    options = {"textMode": mode, "colorMode": "value"}
    sheet, _ = drawn("stat", *found, fieldConfig=config(unit="none"), options=options)
    assert [text.get_text() for text in sheet.texts] == wanted


@pytest.mark.parametrize(
    ("labels", "legend", "wanted"),
    [
        ({"bot": "b"}, "__auto", "b"),
        ({"bot": "b", "job": "j"}, "__auto", '{bot="b", job="j"}'),
        ({"__name__": "up", "job": "j"}, "", 'up{job="j"}'),
        ({"__name__": "up"}, "__auto", "up"),
        ({}, "__auto", "Value"),
        ({"bot": "b"}, "{{bot}} {{cluster}} shard", "b  shard"),
    ],
)
def test_a_series_is_called_as_its_legend_says_or_by_its_labels(
    labels: dict[str, str], legend: str, wanted: str
) -> None:
    options = {"textMode": "name", "colorMode": "background"}
    sheet, _ = drawn("stat", series(1, **labels), legend=legend, fieldConfig=config(), options=options)
    assert [text.get_text() for text in sheet.texts] == [wanted]


def test_days_stand_below_a_time_of_days_and_hours_below_a_shorter_one() -> None:
    raw = {"type": "timeseries", "gridPos": {"x": 0, "y": 0, "w": 1, "h": 1}, "fieldConfig": config()}
    for days, wanted in ((1, "02:24:00"), (10, "02 Jan")):
        canvas, view = Canvas(600, 300), View(0, 86_400.0 * days)
        DRAWN["timeseries"](canvas, BOX, Shown(Panel.read(raw), view, [(Target("A", "x", "a"), [series(1, 2)])]))
        figure: Any = canvas._figure
        assert figure.axes[-1].get_xticklabels()[0].get_text() == wanted
