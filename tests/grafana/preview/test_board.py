"""Variables are put into queries as Grafana puts them in, and repeated panels stand where Grafana puts them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from grafana.preview.board import ALL, Board, Panel, Target, Variable, View, boards, repeated

JOB = Variable("job", ("a.b", "c"), (ALL,), several=True)
BOT = Variable("bot", (), (ALL,), several=True, every=".*")
BOX = Variable("box", (), ("a.b",))
IT = Variable("it", (), ("it's",))
VIEW = View(1000, 1600, scrape=15, variables={one.name: one for one in (JOB, BOT, BOX, IT)})


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{job=~"$job"}', r'{job=~"(a\\.b|c)"}'),
        ('{bot=~"$bot"}', '{bot=~".*"}'),
        ("$box ${box} [[box]]", "a.b a.b a.b"),
        ("${job:raw} [[job:raw]]", "a.b,c a.b,c"),
        ("${job:regex} ${bot:regex}", r"(a\.b|c) .*"),
        ("${job:text} ${box:text}", "All a.b"),
        ("${job:sqlstring} ${bot:sqlstring} ${it:sqlstring}", "'a.b','c' .* 'it''s'"),
        ("${job:percentencode} ${it:percentencode}", "%7Ba.b%2Cc%7D it%27s"),
        ("$__timeFilter(at)", "at BETWEEN '1970-01-01T00:16:40Z' AND '1970-01-01T00:26:40Z'"),
        ("$__timeFrom() $__timeTo()", "'1970-01-01T00:16:40Z' '1970-01-01T00:26:40Z'"),
        ("$__timeGroup(at, $__interval)", "floor(extract(epoch from at)/15)*15"),
        ("[$__rate_interval] [$__range] $__range_s $__range_ms", "[60s] [600s] 600 600000"),
        ("$__interval $__interval_ms", "15s 15000"),
        ('"$1" "${1}00"', '"$1" "${1}00"'),
    ],
)
def test_variables_become_what_grafana_makes_of_them(text: str, wanted: str) -> None:
    assert VIEW.query(text) == wanted


def test_one_value_of_several_has_no_brackets() -> None:
    chosen = replace(JOB, chosen=("a.b",))
    assert replace(VIEW, variables={"job": chosen}).query("$job") == r"a\\.b"


def test_titles_say_all_where_all_are_chosen() -> None:
    assert VIEW.fill("$job $bot $box $other", "text") == "All All a.b $other"


def test_a_backslash_is_escaped_for_the_string_and_for_the_expression() -> None:
    assert Variable("x", (), ("a\\b",), several=True).text() == r"a\\\\b"


@pytest.mark.parametrize("text", ["$other", "${other}", "${other:raw}"])
def test_a_variable_that_is_not_there_is_no_query(text: str) -> None:
    with pytest.raises(LookupError, match="other"):
        VIEW.query(text)


@pytest.mark.parametrize(
    ("view", "step", "rate"),
    [
        (View(0, 600, scrape=15), 15, "60s"),
        (View(0, 6000, scrape=15), 20, "60s"),
        (View(0, 60000, scrape=15), 200, "215s"),
        (View(0, 600, scrape=15, least=50), 50, "65s"),
    ],
)
def test_a_rate_spans_four_scrapes_and_one_more_than_a_step(view: View, step: float, rate: str) -> None:
    assert (view.step, view.query("$__rate_interval")) == (step, rate)


def panel(**raw: Any) -> Panel:
    return Panel.read({"type": "stat", "gridPos": {"x": 0, "y": 0, "w": 24, "h": 4}, **raw})


def test_a_panel_has_its_own_time_and_step() -> None:
    own = VIEW.within(panel(timeFrom="5m", interval="1m"))
    assert (own.start, own.end, own.step) == (1300, 1600, 60)
    assert VIEW.within(panel()) == VIEW


@pytest.mark.parametrize(("most", "points"), [(100, 100), (1000, 300)])
def test_a_panel_has_its_own_points_if_they_are_fewer(most: int, points: int) -> None:
    assert View(0, 30000, scrape=1).within(panel(maxDataPoints=most)).step == 30000 / points


def test_a_repeated_panel_sees_its_own_value() -> None:
    assert VIEW.within(replace(panel(), scope={"job": "c"})).query("$job") == "c"


def test_copies_stand_beside_each_other_and_push_down_what_is_below() -> None:
    three = Variable("cluster", ("0", "1", "2"), (ALL,), several=True)
    below = panel(gridPos={"x": 3, "y": 4, "w": 6, "h": 2})
    placed = repeated([below, panel(repeat="cluster", maxPerRow=2)], View(0, 1, variables={"cluster": three}))
    assert [(one.x, one.y, one.w, dict(one.scope)) for one in placed] == [
        (0, 0, 12, {"cluster": "0"}),
        (12, 0, 12, {"cluster": "1"}),
        (0, 4, 12, {"cluster": "2"}),
        (3, 8, 6, {}),
    ]


def test_only_chosen_values_have_a_copy() -> None:
    two = Variable("cluster", ("0", "1", "2"), ("0", "2"), several=True)
    placed = repeated([panel(repeat="cluster", maxPerRow=4)], View(0, 1, variables={"cluster": two}))
    assert [one.scope["cluster"] for one in placed] == ["0", "2"]


def test_a_panel_whose_variable_has_no_values_is_there_once() -> None:
    none = Variable("cluster", (), (ALL,), several=True, every=".*")
    placed = repeated([panel(repeat="cluster")], View(0, 1, variables={"cluster": none}))
    assert [dict(one.scope) for one in placed] == [{}]


def test_targets_of_both_data_sources_are_read_and_hidden_ones_are_not() -> None:
    found = panel(
        targets=[
            {"refId": "A", "expr": "up", "legendFormat": "x", "instant": True, "format": "table"},
            {"refId": "B", "target": "sumSeries(a)"},
            {"refId": "C", "expr": "down", "hide": True},
        ]
    ).targets
    assert found == [Target("A", "up", "x", True, "table"), Target("B", "sumSeries(a)")]


def test_panels_of_folded_rows_are_found() -> None:
    inner = {"type": "stat", "title": "inner", "gridPos": {"x": 0, "y": 0, "w": 1, "h": 1}, "targets": [{"expr": "up"}]}
    row = {"type": "row", "gridPos": {"x": 0, "y": 0, "w": 24, "h": 1}, "panels": [inner]}
    assert [one.title for one in Board({"panels": [row]}).panels()] == ["inner"]


def test_the_boards_of_the_repository_are_read() -> None:
    found = {board.uid: board.datasource for board in boards()}
    assert found["argus-exporter-overview"] == "prometheus"
    assert found["argus-exporter-graphite"] == "graphite"
    assert found["argus-exporter-analytics-postgres"] == "grafana-postgresql-datasource"
    assert all(board.title and board.variables for board in boards())
