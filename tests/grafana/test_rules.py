"""Each rule of the dashboards finds what it is there to find."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.grafana import boards, promql
from tests.grafana.boards import RULES, Json, Rule, committed, panels, targets, variables

SHARDS = committed()["shards"]
GUILDS = "seriesByTag('name=${root:raw}.gauges.${prefix:raw}discord_guilds', 'bot=~x', 'cluster=~x')"
FILTERS = 'job=~"$job", bot=~"$bot", cluster=~"$cluster", instance=~"$instance"'


def asks(query: str, **more: Any) -> Callable[[Json], None]:
    """Replace a board's first query."""

    def change(board: Json) -> None:
        targets(board)[0].update(expr=query, **more)

    return change


def asks_graphite(target: str) -> Callable[[Json], None]:
    def change(board: Json) -> None:
        panels(board)[0]["targets"][0]["target"] = target

    return change


def asks_sql(statement: str) -> Callable[[Json], None]:
    def change(board: Json) -> None:
        panels(board)[0]["targets"][0]["rawSql"] = statement

    return change


def panel(path: str, value: Any) -> Callable[[Json], None]:
    """Set something in a board's second panel."""

    def change(board: Json) -> None:
        *way, last = path.split("/")
        here: Any = panels(board)[1]
        for step in way:
            here = here[int(step) if step.isdecimal() else step]
        here[int(last) if last.isdecimal() else last] = value

    return change


def variable(at: int, **more: Any) -> Callable[[Json], None]:
    def change(board: Json) -> None:
        variables(board)[at].update(more)

    return change


def board(**more: Any) -> Callable[[Json], None]:
    def change(board: Json) -> None:
        board.update(more)

    return change


def renamed(board: Json) -> None:
    variables(board)[-1]["name"] = "shard_number"


def twice(board: Json) -> None:
    board["templating"]["list"].append(variables(board)[-1])


def in_an_annotation(board: Json) -> None:
    board["annotations"]["list"][0]["expr"] = "process_start_time{}"


def in_a_folded_row(board: Json) -> None:
    inner = next(row for row in board["panels"] if row.get("collapsed"))["panels"]
    inner.append(copy.deepcopy(inner[0]))
    inner[-1].update(title="above", id=999)


def on_one_id(board: Json) -> None:
    inner = next(row for row in board["panels"] if row.get("collapsed"))["panels"]
    inner[0]["id"] = 1


def with_one_letter(board: Json) -> None:
    for target in next(each for each in panels(board) if len(each["targets"]) > 1)["targets"]:
        target["refId"] = "A"


def without_a_list_of_boards(board: Json) -> None:
    board["links"][0]["tags"] = ["elsewhere"]


def of_another_source(board: Json) -> None:
    targets(board)[3]["datasource"] = {"type": "prometheus", "uid": "mine"}


def with_a_unit_for_a_column(board: Json) -> None:
    each = next(each for each in panels(board) if each["fieldConfig"]["overrides"])
    each["fieldConfig"]["overrides"] = [
        {"matcher": {"id": "byName", "options": "x"}, "properties": [{"id": "unit", "value": "parsec"}]}
    ]


BREAKS: tuple[tuple[Rule, Callable[[Json], None]], ...] = (
    (boards.every_query_is_right, asks("sum(discord_guilds")),
    (boards.every_query_is_right, asks("sum(discord_guildz{})")),
    (boards.every_query_is_right, asks('sum(discord_guilds{shard="1"})')),
    (boards.every_query_is_right, asks("sum by (shard) (discord_guilds)")),
    (boards.every_query_is_right, asks("sum by (le) (histogram_quantile(1, discord_event_loop_lag_seconds_bucket))")),
    (boards.every_query_is_right, asks("discord_guilds * on (color) discord_shards")),
    (boards.every_query_is_right, asks("sum(discord_interactions_total)")),
    (boards.every_query_is_right, asks("discord_interactions_total unless discord_commands_total offset 5m")),
    (boards.every_query_is_right, asks("discord_interactions_total unless discord_interactions_total")),
    (boards.every_query_is_right, asks("discord_interactions_total and discord_interactions_total offset 5m")),
    (boards.every_query_is_right, asks("max_over_time(discord_interactions_total[5m])")),
    (boards.every_query_is_right, asks("rate(discord_command_duration_seconds[5m])")),
    (boards.every_query_is_right, asks("rate(discord_guilds[5m])")),
    (boards.every_query_is_right, in_an_annotation),
    (boards.every_list_is_of_a_known_label, variable(1, definition="label_values(argus_exporter_info, shard)")),
    (boards.every_list_is_of_a_known_label, variable(1, definition="label_values(argus_exporter_info, bot)")),
    (
        boards.every_query_heeds_the_filters,
        asks('sum(discord_guilds{job=~"$job", bot=~"$bot", instance=~"$instance"})'),
    ),
    (boards.every_graphite_target_is_right, asks_graphite(f"sumSeries({GUILDS}")),
    (boards.every_graphite_target_is_right, asks_graphite(f"sumOfSeries({GUILDS})")),
    (boards.every_graphite_target_is_right, asks_graphite("randomWalk('x')")),
    (boards.every_graphite_target_is_right, asks_graphite(GUILDS.replace("guilds", "guildz"))),
    (boards.every_graphite_target_is_right, asks_graphite(GUILDS.replace("gauges", "counters"))),
    (boards.every_graphite_target_is_right, asks_graphite(GUILDS.replace("guilds", "interactions_total.rate"))),
    (boards.every_graphite_target_is_right, asks_graphite(GUILDS.replace("guilds", "guilds.p95"))),
    (boards.every_graphite_target_is_right, asks_graphite(GUILDS.replace("bot=", "colour="))),
    (boards.every_graphite_target_is_right, asks_graphite(f"aliasByTags({GUILDS}, 'shard')")),
    (boards.every_statement_heeds_the_filters, asks_sql("SELECT 1 WHERE $__timeFilter(at) AND bot = '$bot'")),
    (boards.every_statement_heeds_the_filters, asks_sql("SELECT '$bot', '$cluster' WHERE $__interval")),
    (
        boards.every_statement_heeds_the_filters,
        asks_sql("SELECT ${guild_id:sqlstring} WHERE $__timeFilter(at) AND bot = '$bot' AND cluster = '$cluster'"),
    ),
    (boards.every_window_is_one_that_is_meant, asks("rate(discord_interactions_total[7m])")),
    (boards.every_window_is_one_that_is_meant, asks("discord_guilds offset 3h")),
    (boards.every_legend_names_labels_of_its_answer, asks("sum by (bot) (discord_guilds)", legendFormat="{{cluster}}")),
    (boards.every_panel_explains_itself, panel("description", "Nice.")),
    (boards.every_panel_explains_itself, panel("description", "A long text that says a lot about it, but no end")),
    (boards.every_panel_explains_itself, panel("title", "")),
    (boards.every_panel_explains_itself, panel("fieldConfig/defaults", {"unit": "s"})),
    (boards.every_panel_is_of_a_known_kind_and_unit, panel("type", "graph")),
    (boards.every_panel_is_of_a_known_kind_and_unit, panel("fieldConfig/defaults", {})),
    (boards.every_panel_is_of_a_known_kind_and_unit, panel("fieldConfig/defaults/unit", "seconds")),
    (boards.every_panel_is_of_a_known_kind_and_unit, with_a_unit_for_a_column),
    (boards.every_threshold_is_in_order, panel("fieldConfig/defaults/thresholds/steps/0", {"value": 3})),
    (
        boards.every_threshold_is_in_order,
        panel("fieldConfig/defaults/thresholds/steps", [{"value": None}, {"value": 2}, {"value": 1}]),
    ),
    (boards.every_id_is_its_own, panel("id", 1)),
    (boards.every_id_is_its_own, on_one_id),
    (boards.every_id_is_its_own, with_one_letter),
    (boards.every_id_is_its_own, panel("targets", [])),
    (boards.no_panel_lies_over_another, panel("gridPos/x", 0)),
    (boards.no_panel_lies_over_another, panel("gridPos/w", 25)),
    (boards.no_panel_lies_over_another, in_a_folded_row),
    (boards.every_link_leads_to_a_board, panel("links", [{"url": "/d/argus-exporter-gone?"}])),
    (boards.every_link_leads_to_a_board, panel("links", [{"url": "https://example.org"}])),
    (boards.every_link_leads_to_a_board, without_a_list_of_boards),
    (boards.every_variable_is_defined_and_used, panel("title", "$nothing")),
    (boards.every_variable_is_defined_and_used, panel("title", "${nothing:raw}")),
    (boards.every_variable_is_defined_and_used, panel("repeat", "nothing")),
    (boards.every_variable_is_defined_and_used, renamed),
    (boards.every_variable_is_defined_and_used, twice),
    (boards.every_source_is_chosen_by_the_reader, panel("datasource", {"type": "prometheus", "uid": "abc"})),
    (boards.every_source_is_chosen_by_the_reader, of_another_source),
    (boards.every_source_is_chosen_by_the_reader, variable(1, datasource=None)),
    (boards.it_loads_in_every_grafana, board(schemaVersion=42)),
    (boards.it_loads_in_every_grafana, board(editable=True)),
    (boards.it_loads_in_every_grafana, board(title="Shards")),
    (boards.it_loads_in_every_grafana, board(__inputs=[])),
    (boards.it_loads_in_every_grafana, board(uid="shards")),
)


@pytest.mark.parametrize(("rule", "change"), BREAKS)
def test_a_rule_finds_what_breaks_it(rule: Rule, change: Callable[[Json], None]) -> None:
    broken = copy.deepcopy(SHARDS)
    change(broken)
    assert list(rule(broken))


def test_every_rule_is_broken_once() -> None:
    assert {rule for rule, _ in BREAKS} == set(RULES)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("discord_shard_status", {"shard"}),
        ("sum(discord_guilds)", set()),
        ("topk by (bot) (3, discord_shard_guilds)", {"shard"}),
        ('count_values by (bot) ("version", discord_guilds)', {"version"}),
        ('label_replace(discord_guilds, "row", "$1", "bot", "(.*)")', {"row"}),
        ("discord_shard_status and on (bot) discord_gateway_events_total", {"shard"}),
        ("discord_shard_status or discord_bot_info", {"shard", "python", "discord_py", "exporter"}),
        ("sum by (event) (rate(discord_gateway_events_total[5m])) / on () group_left () vector(1)", {"event"}),
        ("vector(1) % on () group_right () max by (bot) (discord_shards)", set()),
        ("discord_shard_status / on (shard) discord_shard_guilds", {"shard"}),
    ],
)
def test_the_labels_of_an_answer_are_known(query: str, wanted: set[str]) -> None:
    assert promql.labels(promql.promql.parse(query)) - promql.OF_TARGETS == wanted
