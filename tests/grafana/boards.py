"""The dashboards as they are committed, and the rules that they keep."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from tests.grafana import graphite, promql

ROOT: Final = Path(__file__).parents[2]
Json = dict[str, Any]
Rule = Callable[[Json], Iterator[str]]

UNITS: Final = {
    *("none", "short", "s", "percentunit", "bytes", "Bps", "reqps", "cps"),
    *("dateTimeFromNow", "dateTimeAsIso"),
}
KINDS: Final = {"stat", "timeseries", "table", "bargauge", "heatmap", "state-timeline", "row"}
MACROS: Final = {"__timeFilter", "__dateFilter", "__timeFrom", "__timeTo", "__timeGroup", "__timeInterval"}
GRAFANAS: Final = {
    *("__rate_interval", "__range", "__interval", "__url_time_range", "__all_variables", "__all", "__field"),
    *MACROS,
}
FILTERS: Final = ("job", "bot", "cluster", "instance")
WINDOWS: Final = {"$__rate_interval", "$__range", "2m", "5m", "10m", "30m", "1h", "6h", "1d"}
"""A window is the board's own, or one that means something: a ban's 10 minutes, the burn rates', a day's absence."""

FILLED_IN: Final = {
    "__rate_interval": "1m",
    "__range": "6h",
    "slo": "0.99",
}
_VARIABLE: Final = re.compile(r"\$(?:\{([a-z_]\w*)[^}]*\}|([a-z_]\w*))", re.IGNORECASE)
_LABEL_VALUES: Final = re.compile(r"label_values\((.+), (\w+)\)")


def committed() -> dict[str, Json]:
    """Every dashboard, by its noun."""
    files = sorted((ROOT / "grafana").glob("*dashboards/*.json"))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in files}


def panels(board: Json) -> list[Json]:
    """Every panel that shows data, those in folded rows too."""
    flat = [inner for panel in board["panels"] for inner in (panel, *panel.get("panels", []))]
    return [panel for panel in flat if panel["type"] != "row"]


def targets(board: Json) -> list[Json]:
    return [target for panel in panels(board) for target in panel["targets"] if "expr" in target]


def statements(board: Json) -> list[str]:
    """Every SQL of a board, of its panels."""
    return [target["rawSql"] for panel in panels(board) for target in panel["targets"] if "rawSql" in target]


def queries(board: Json) -> list[str]:
    """Every PromQL of a board, of its panels and annotations."""
    return [*(target["expr"] for target in targets(board)), *(each["expr"] for each in board["annotations"]["list"])]


def variables(board: Json) -> list[Json]:
    return list(board["templating"]["list"])


def filled(text: str) -> str:
    """A query with something in place of its variables."""
    return _VARIABLE.sub(lambda found: FILLED_IN.get(found[1] or found[2], ".+"), text)


def is_prometheus(board: Json) -> bool:
    return variables(board)[0]["query"] == "prometheus"


# ------------------------------------------------------------------------------------------------ rules


def every_query_is_right(board: Json) -> Iterator[str]:
    for query in queries(board):
        yield from (f"{problem}: {query}" for problem in promql.problems(filled(query)))


def every_list_is_of_a_known_label(board: Json) -> Iterator[str]:
    for variable in variables(board):
        if variable["type"] == "query" and is_prometheus(board):
            selector, label = _LABEL_VALUES.fullmatch(variable["definition"]).groups()
            (found,) = promql.selectors(filled(selector))
            known = {"__name__"} if found.name is None else promql.labels(found)
            if label not in known or variable["query"]["query"] != variable["definition"]:
                yield f"{variable['name']}: {variable['definition']}"


def every_query_heeds_the_filters(board: Json) -> Iterator[str]:
    for target in targets(board):
        for found in promql.selectors(filled(target["expr"])):
            ours = found.name not in promql.PROMETHEUS_OWN
            heeded = {matcher.name for matcher in found.matchers.matchers}
            if ours and not heeded.issuperset(FILTERS):
                yield f"{found.name} without {set(FILTERS) - heeded}: {target['expr']}"


def every_statement_heeds_the_filters(board: Json) -> Iterator[str]:
    for statement in statements(board):
        used = set(_VARIABLE.findall(statement))
        asked = {name or macro for name, macro in used}
        if not {"bot", "cluster"} <= asked or not asked & {"__timeFilter", "__dateFilter", "__timeFrom"}:
            yield f"without bot, cluster or time: {statement}"
        if "guild_id" in asked and "'${guild_id:percentencode}'" not in statement:
            yield f"a text that was typed could end: {statement}"


def every_graphite_target_is_right(board: Json) -> Iterator[str]:
    for panel in panels(board):
        for target in (each["target"] for each in panel["targets"] if "target" in each):
            yield from (f"{problem}: {target}" for problem in graphite.problems(target))


def every_window_is_one_that_is_meant(board: Json) -> Iterator[str]:
    for query in queries(board):
        for window in re.findall(r"(?:\[|offset )(\$\w+|\d+[a-z]+)", query):
            if window not in WINDOWS:
                yield f"window {window}: {query}"


def every_legend_names_labels_of_its_answer(board: Json) -> Iterator[str]:
    for target in targets(board):
        known = promql.labels(promql.promql.parse(filled(target["expr"])))
        for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
            if label not in known:
                yield f"{{{{{label}}}}} of {target['expr']}"


def every_panel_explains_itself(board: Json) -> Iterator[str]:
    for panel in panels(board):
        if not panel["title"] or len(panel["description"]) < 40 or not panel["description"].endswith("."):
            yield f"{panel['title']}: {panel['description']}"
        if ("noValue" in panel["fieldConfig"]["defaults"]) != ("Empty is fine: " in panel["description"]):
            yield f"{panel['title']}: what is said where it is empty, and that it may be, go together"


def every_panel_is_of_a_known_kind_and_unit(board: Json) -> Iterator[str]:
    for panel in panels(board):
        fields = panel["fieldConfig"]
        units = [each["value"] for over in fields["overrides"] for each in over["properties"] if each["id"] == "unit"]
        if panel["type"] not in KINDS or not {fields["defaults"].get("unit"), *units} <= UNITS:
            yield f"{panel['title']}: {panel['type']}, {fields['defaults'].get('unit')}, {units}"


def every_threshold_is_in_order(board: Json) -> Iterator[str]:
    for panel in panels(board):
        steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [{"value": None}])
        values = [step["value"] for step in steps]
        if values[0] is not None or values[1:] != sorted(set(values[1:])):
            yield f"{panel['title']}: {values}"


def every_id_is_its_own(board: Json) -> Iterator[str]:
    ids = [panel["id"] for panel in board["panels"]] + [panel["id"] for panel in _folded(board)]
    yield from (f"id {number} twice" for number in set(ids) if ids.count(number) > 1)
    for panel in panels(board):
        letters = [target["refId"] for target in panel["targets"]]
        if len(set(letters)) != len(letters) or not letters:
            yield f"{panel['title']}: {letters}"


def no_panel_lies_over_another(board: Json) -> Iterator[str]:
    for group in (board["panels"], *(row["panels"] for row in board["panels"] if row.get("collapsed"))):
        taken: dict[tuple[int, int], str] = {}
        for panel in group:
            at = panel["gridPos"]
            if at["x"] < 0 or at["x"] + at["w"] > 24:
                yield f"{panel['title']} leaves the grid"
            for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
                if taken.setdefault(cell, panel["title"]) != panel["title"]:
                    yield f"{panel['title']} lies over {taken[cell]}"
                    break


def every_link_leads_to_a_board(board: Json) -> Iterator[str]:
    uids = {each["uid"] for each in committed().values()}
    for panel in panels(board):
        for link in panel.get("links", []):
            if (found := re.match(r"/d/([\w-]+)\?", link["url"])) is None or found[1] not in uids:
                yield f"{panel['title']}: {link['url']}"
    if not any(set(link["tags"]) & set(board["tags"]) and link["type"] == "dashboards" for link in board["links"]):
        yield "no list of the other boards"


def every_variable_is_defined_and_used(board: Json) -> Iterator[str]:
    defined = [variable["name"] for variable in variables(board)]
    yield from (f"{name} is defined twice" for name in set(defined) if defined.count(name) > 1)
    used: set[str] = set()
    for text in _texts(board):
        used |= {found[1] or found[2] for found in _VARIABLE.finditer(text)}
    yield from (f"{name} is not defined" for name in sorted(used - set(defined) - GRAFANAS))
    yield from (f"{name} is not used" for name in defined if name not in used)


def every_source_is_chosen_by_the_reader(board: Json) -> Iterator[str]:
    chooser = variables(board)[0]
    wanted = {"type": chooser["query"], "uid": f"${{{chooser['name']}}}"}
    holders = [*panels(board), *(target for panel in panels(board) for target in panel["targets"])]
    holders += [*board["annotations"]["list"], *(each for each in variables(board) if each["type"] == "query")]
    yield from (f"{each['datasource']}" for each in holders if each.get("datasource") != wanted)


def it_loads_in_every_grafana(board: Json) -> Iterator[str]:
    wanted = {"schemaVersion": 39, "id": None, "editable": False, "tags": ["discord", "argus-exporter"]}
    yield from (f"{key}: {board.get(key)}" for key, value in wanted.items() if board.get(key) != value)
    if committed().get(board["uid"].removeprefix("argus-exporter-"), board)["uid"] != board["uid"]:
        yield f"uid {board['uid']} is not its file's"
    if not board["title"].startswith("Discord bot / ") or "__inputs" in board:
        yield board["title"]


def _folded(board: Json) -> list[Json]:
    return [panel for row in board["panels"] for panel in row.get("panels", [])]


def _texts(value: Any) -> Iterator[str]:
    """Every text in a board, what a variable refers to itself by left out."""
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(inner)
    if isinstance(value, dict) and value.get("repeat"):
        yield f"${value['repeat']}"


RULES: Final[tuple[Rule, ...]] = (
    every_query_is_right,
    every_list_is_of_a_known_label,
    every_query_heeds_the_filters,
    every_statement_heeds_the_filters,
    every_graphite_target_is_right,
    every_window_is_one_that_is_meant,
    every_legend_names_labels_of_its_answer,
    every_panel_explains_itself,
    every_panel_is_of_a_known_kind_and_unit,
    every_threshold_is_in_order,
    every_id_is_its_own,
    no_panel_lies_over_another,
    every_link_leads_to_a_board,
    every_variable_is_defined_and_used,
    every_source_is_chosen_by_the_reader,
    it_loads_in_every_grafana,
)
