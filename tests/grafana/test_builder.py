"""The builder writes what is committed, and lays panels out on Grafana's grid."""

from __future__ import annotations

from pathlib import Path

import pytest

from grafana.builder import __main__ as builder
from grafana.builder.boards import BOARDS
from grafana.builder.looks import rising
from grafana.builder.model import CLICKHOUSE, GRAPHITE, POSTGRES, Board, Query, Row
from grafana.builder.panels import POINTS, Column, counts, heat, lines, listing, matrix, ranking, stat, table
from grafana.builder.promql import counted, expand, placed, quantile, ratio

SAYS = "What it shows, and what to do about it."


def test_what_is_committed_is_what_would_be_built() -> None:
    assert builder.main(["--check"]) == 0, "run: make dashboards"


def test_an_old_board_fails_the_check_and_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    builder.write(tmp_path)
    (tmp_path / "dashboards" / "shards.json").write_text("{}", encoding="utf-8")
    (tmp_path / "guild_dashboards" / "gone.json").write_text("{}", encoding="utf-8")
    (tmp_path / "dashboards" / "rest.json").unlink()
    assert builder.main(["--check"], tmp_path) == 1
    named = "dashboards/rest.json, dashboards/shards.json, guild_dashboards/gone.json"
    assert capsys.readouterr().err == f"old: {named}; run: make dashboards\n"
    assert (tmp_path / "dashboards" / "shards.json").read_text(encoding="utf-8") == "{}"


def test_building_writes_every_board_and_takes_away_those_that_are_gone(tmp_path: Path) -> None:
    folder = tmp_path / "dashboards"
    folder.mkdir()
    (folder / "gone.json").write_text("{}", encoding="utf-8")
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    assert builder.main([], tmp_path) == 0
    written = {f"{path.parent.name}/{path.name}" for path in tmp_path.glob("*/*")}
    assert written == {f"{board.folder}/{board.noun}.json" for board in BOARDS} | {"dashboards/notes.txt"}
    assert builder.main(["--check"], tmp_path) == 0


def test_the_abbreviations_are_written_out() -> None:
    filters = 'job=~"$job", bot=~"$bot", cluster=~"$cluster", instance=~"$instance"'
    assert expand('rate(x{a="b", *}[*])') == f'rate(x{{a="b", {filters}}}[$__rate_interval])'


def test_panels_flow_from_left_to_right_and_start_a_line_below_the_deepest() -> None:
    board = Board(
        "x",
        "X",
        "",
        (),
        (
            Row("open", (_stat(10, 4), _stat(10, 8), _stat(10, 4))),
            Row("folded", (_stat(24, 6),), folded=True),
            Row("last", (_stat(24, 2),)),
        ),
    ).as_json()
    places = [(each["title"], *(each["gridPos"][key] for key in "xywh")) for each in board["panels"]]
    assert places == [
        ("open", 0, 0, 24, 1),
        ("s", 0, 1, 10, 4),
        ("s", 10, 1, 10, 8),
        ("s", 0, 9, 10, 4),
        ("folded", 0, 13, 24, 1),
        ("last", 0, 14, 24, 1),
        ("s", 0, 15, 24, 2),
    ]
    assert [inner["gridPos"] for inner in board["panels"][4]["panels"]] == [{"x": 0, "y": 14, "w": 24, "h": 6}]
    assert [each["id"] for each in board["panels"]] == [1, 2, 3, 4, 5, 7, 8]


def _stat(width: int, height: int) -> object:
    return stat("s", "none", "discord_guilds{*}", says=SAYS, width=width, height=height)


def test_numbers_of_now_are_asked_for_once_and_lines_over_a_range() -> None:
    now, over_time = Query("x", shape="now").as_json(0, GRAPHITE), lines("l", "s", "x", "y", says=SAYS)
    assert (now["target"], now["datasource"]) == ("x", {"type": "graphite", "uid": "${graphite}"})
    asked = _built(over_time)["targets"]
    assert [(each["refId"], each["instant"], each["range"]) for each in asked] == [
        ("A", False, True),
        ("B", False, True),
    ]
    (asked,) = _built(stat("s", "s", "x", says=SAYS))["targets"]
    assert (asked["instant"], asked["range"], asked["format"]) == (True, False, "time_series")


def test_sql_is_sent_as_its_source_wants_it() -> None:
    now, graph = (Query("SELECT 1", shape=shape) for shape in ("table", "range"))
    asked = now.as_json(0, POSTGRES)
    assert asked["datasource"] == {"type": "grafana-postgresql-datasource", "uid": "${postgres}"}
    assert (asked["rawSql"], asked["format"], asked["rawQuery"]) == ("SELECT 1", "table", True)
    assert graph.as_json(0, POSTGRES)["format"] == "time_series"
    asked = now.as_json(0, CLICKHOUSE)
    assert (asked["rawSql"], asked["editorType"], asked["queryType"], asked["format"]) == (
        "SELECT 1",
        "sql",
        "table",
        1,
    )
    asked = graph.as_json(0, CLICKHOUSE)
    assert (asked["queryType"], asked["format"]) == ("timeseries", 0)


def test_counts_are_stacked_bars_that_a_label_may_name() -> None:
    plain, named = (_built(counts("c", Query("x"), says=SAYS, each=each)) for each in ("", "type"))
    look = plain["fieldConfig"]["defaults"]["custom"]
    assert (look["drawStyle"], look["stacking"]["mode"], plain["interval"]) == ("bars", "normal", "1m")
    assert "displayName" not in plain["fieldConfig"]["defaults"]
    assert named["fieldConfig"]["defaults"]["displayName"] == "${__field.labels.type}"


def test_a_ranking_has_a_bar_for_each_row_lying_or_upright() -> None:
    lying, upright = (_built(ranking("r", Query("x"), says=SAYS, across=across))["options"] for across in (False, True))
    assert (lying["reduceOptions"]["values"], lying["orientation"]) == (True, "horizontal")
    assert upright["orientation"] == "vertical"


def test_a_listing_gives_its_columns_units() -> None:
    (override,) = _built(listing("l", Query("x"), says=SAYS, units={"p95": "s"}))["fieldConfig"]["overrides"]
    assert (override["matcher"]["options"], override["properties"]) == ("p95", [{"id": "unit", "value": "s"}])


def test_a_costly_panel_asks_for_few_points() -> None:
    assert _built(lines("l", "s", "x", says=SAYS, points=7))["maxDataPoints"] == 7
    assert "maxDataPoints" not in _built(lines("l", "s", "x", says=SAYS))
    assert _built(lines("l", "s", "x", says=SAYS, apart="5m"))["interval"] == "5m"
    assert _built(heat("h", "s", "x", says=SAYS))["maxDataPoints"] == POINTS


def test_a_share_is_nothing_where_there_is_no_part_and_looks_at_the_whole_once_if_it_can() -> None:
    assert ratio("sum(a)", "sum(b)") == "(sum(a) or vector(0)) / (sum(b) > 0)"
    assert ratio("sum by (x) (a)", "sum by (x) (b)") == "(sum by (x) (a) or 0 * sum by (x) (b)) / (sum by (x) (b) > 0)"


def _built(panel: object) -> dict[str, object]:
    return Board("x", "X", "", (), (Row("row", (panel,)),)).as_json()["panels"][1]


def test_the_columns_of_a_table_have_their_own_names_units_and_colours() -> None:
    built = _built(table("t", Column("Up", "s", "x"), Column("Lag", "s", "y", rising(1, 2)), says=SAYS, sort="Lag"))
    merge, organize = built["transformations"]
    assert merge["id"] == "merge"
    assert organize["options"]["renameByName"] == {"Value #A": "Up", "Value #B": "Lag"}
    looks = [(each["matcher"]["options"], each["properties"][0]["id"]) for each in built["fieldConfig"]["overrides"]]
    assert looks == [("Up", "unit"), ("Lag", "unit"), ("Lag", "thresholds"), ("Lag", "custom.cellOptions")]
    (organize,) = _built(table("t", Column("Times", "short", "x"), says=SAYS))["transformations"]
    assert organize["options"]["renameByName"] == {"Value": "Times"}


def test_the_cells_of_a_matrix_are_coloured_whatever_its_columns_are_called() -> None:
    defaults = _built(matrix("m", "x", says=SAYS, height=4))["fieldConfig"]["defaults"]
    assert defaults["custom"]["cellOptions"]["type"] == "color-background"
    assert {"3", "13"} < defaults["mappings"][0]["options"].keys()


def test_what_may_be_empty_says_why_where_the_data_would_be_and_in_the_description() -> None:
    built = _built(lines("l", "s", "x", says=SAYS, empty="nobody came"))
    assert built["fieldConfig"]["defaults"]["noValue"] == "Nobody came"
    assert built["description"] == f"{SAYS} Empty is fine: nobody came."
    assert "noValue" not in _built(lines("l", "s", "x", says=SAYS))["fieldConfig"]["defaults"]


def test_helpers_group_by_what_they_are_told() -> None:
    assert quantile(0.5, "h", "type", 'a="b", ', "5m") == (
        'histogram_quantile(0.5, sum by (le, type) (rate(h_bucket{a="b", *}[5m]))) >= 0'
    )
    assert counted("x{*}", "error", "6h") == (
        "round(sum by (error) (x{*} unless x{*} offset 6h or increase(x{*}[6h]))) > 0"
    )
    assert placed("x").count("label_replace") == 9
