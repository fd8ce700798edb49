"""The kinds of panels, each with its house style."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any, Final

from grafana.builder.model import UID, Json, Panel, Query
from grafana.builder.promql import MARK

if typing.TYPE_CHECKING:
    from collections.abc import Sequence

Steps = tuple[tuple[float | None, str], ...]

GREEN, ORANGE, RED, NEUTRAL = "green", "orange", "red", "text"

STATES: Final = (
    ("unknown", "#6b6b6b", "?"),
    ("unhealthy", "#e5731a", "!"),
    ("offline", "#c4162a", "x"),
    ("online", "#2f8f3a", ""),
    ("starting", "#c9a50c", "^"),
    ("stopping", "#7d64b5", "-"),
    ("resuming", "#3274d9", "~"),
)
"""Glance's states by their numbers, with their colours and, where space is short, their signs."""

MARKED: Final = "#14c8d8"
"""The colour of the asked-for shard where it is online; in any other state its own colour matters more."""


def rising(warn: float, bad: float) -> Steps:
    """Good below the first, bad from the second."""
    return ((None, GREEN), (warn, ORANGE), (bad, RED))


def falling(bad: float, warn: float) -> Steps:
    """Bad below the first, good from the second."""
    return ((None, RED), (bad, ORANGE), (warn, GREEN))


NONE_IS_GOOD: Final[Steps] = ((None, GREEN), (1, RED))
SOME_IS_GOOD: Final[Steps] = ((None, RED), (1, GREEN))
COLOURED_OUTCOMES: Final = (("ok", "green"), ("bot_error", "red"), ("discord_error", "orange"))
NO_STEPS: Final[Steps] = ((None, NEUTRAL),)


def thresholds(steps: Steps) -> Json:
    """Thresholds as Grafana has them."""
    return {"mode": "absolute", "steps": [{"color": colour, "value": value} for value, colour in steps]}


def states(*, signs: bool = False) -> list[Json]:
    """How the numbers of the states read: as words, or as signs, and starred where they are marked."""
    options: Json = {}
    for number, (word, colour, sign) in enumerate(STATES):
        text, lit = (sign if signs else word), (MARKED if word == "online" else colour)
        options[str(number)] = {"text": text or " ", "color": colour, "index": number}
        options[str(number + MARK)] = {"text": f"★ {text}".strip(), "color": lit, "index": number + MARK}
    return [{"type": "value", "options": options}]


def link(noun: str) -> list[Json]:
    """A link to a board that keeps time and choices."""
    url = f"/d/{UID}{noun}?${{__url_time_range}}&${{__all_variables}}"
    return [{"title": f"Board: {noun}", "url": url, "targetBlank": False}]


def _queries(queries: Sequence[Query | str], shape: str) -> tuple[Query, ...]:
    given = (each if isinstance(each, Query) else Query(each) for each in queries)
    return tuple(dataclasses.replace(each, shape=shape) for each in given)


def stat(
    title: str,
    unit: str,
    *queries: Query | str,
    says: str,
    steps: Steps = NO_STEPS,
    width: int = 4,
    height: int = 4,
    decimals: int | None = None,
    text: str = "auto",
    mappings: Sequence[Json] = (),
    board: str = "",
    empty: str = "",
    shape: str = "now",
    more: Json | None = None,
) -> Panel:
    """One number, or a few with their names, as they are now. With thresholds the number is coloured."""
    return Panel(
        kind="stat",
        title=title,
        says=says,
        queries=_queries(queries, shape),
        width=width,
        height=height,
        empty=empty,
        defaults={
            "unit": unit,
            "color": {"mode": "thresholds"},
            "thresholds": thresholds(steps),
            "mappings": list(mappings),
            **({} if decimals is None else {"decimals": decimals}),
        },
        options={
            "colorMode": "background" if mappings else "value",
            "graphMode": "none",
            "justifyMode": "center",
            "orientation": "auto",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "textMode": text,
            "wideLayout": True,
        },
        more={**({"links": link(board)} if board else {}), **(more or {})},
    )


def tiles(title: str, query: Query, *, says: str, repeat: str, height: int = 12) -> Panel:
    """A coloured tile for each series of states, in the order of their labels, once for each value of a variable.

    The range is short: only a range comes sorted, and only its last value is shown.
    """
    more: Json = {"timeFrom": "1m", "hideTimeOverride": True, "interval": "15s", "repeat": repeat}
    return stat(
        title,
        "none",
        query,
        says=says,
        width=24,
        height=height,
        text="value_and_name",
        mappings=states(),
        shape="range",
        more=more | {"repeatDirection": "h", "maxPerRow": 4},
    )


def timeline(
    title: str, query: Query, *, says: str, mappings: Sequence[Json], width: int = 12, height: int = 8
) -> Panel:
    """Bars of states over time, one a series."""
    return Panel(
        kind="state-timeline",
        title=title,
        says=says,
        queries=_queries([query], "range"),
        width=width,
        height=height,
        defaults={
            "unit": "none",
            "color": {"mode": "thresholds"},
            "thresholds": thresholds(NO_STEPS),
            "mappings": list(mappings),
            "custom": {"lineWidth": 0, "fillOpacity": 80, "spanNulls": False},
        },
        options={
            "alignValue": "left",
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False},
            "mergeValues": True,
            "rowHeight": 0.9,
            "showValue": "never",
            "tooltip": {"mode": "single", "sort": "none"},
        },
    )


def lines(
    title: str,
    unit: str,
    *queries: Query | str,
    says: str,
    steps: Steps = (),
    width: int = 8,
    height: int = 8,
    stacked: bool = False,
    least: float | None = 0,
    colours: Sequence[tuple[str, str]] = (),
    empty: str = "",
) -> Panel:
    """Lines over time; thresholds are dashed. Stacked ones are areas."""
    custom: Json = {
        "drawStyle": "line",
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "fillOpacity": 30 if stacked else 8,
        "showPoints": "auto",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if steps else "off"},
    }
    return Panel(
        kind="timeseries",
        title=title,
        says=says,
        queries=_queries(queries, "range"),
        width=width,
        height=height,
        empty=empty,
        defaults={
            "unit": unit,
            "color": {"mode": "palette-classic"},
            "thresholds": thresholds(steps or NO_STEPS),
            "custom": custom,
            **({} if least is None else {"min": least}),
        },
        overrides=tuple((name, "color", {"mode": "fixed", "fixedColor": colour}) for name, colour in colours),
        options={
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    )


def heat(title: str, unit: str, query: str, *, says: str, width: int = 8, height: int = 8, empty: str = "") -> Panel:
    """A histogram over time, its buckets as rows."""
    return Panel(
        kind="heatmap",
        title=title,
        says=says,
        queries=(Query(query, "{{le}}", "heatmap"),),
        width=width,
        height=height,
        empty=empty,
        defaults={"unit": unit, "custom": {"scaleDistribution": {"type": "linear"}}},
        options={
            "calculate": False,
            "cellGap": 1,
            "cellValues": {"unit": "short"},
            "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "reverse": False, "exponent": 0.5},
            "filterValues": {"le": 1e-9},
            "legend": {"show": False},
            "rowsFrame": {"layout": "auto"},
            "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": False},
            "yAxis": {"axisPlacement": "left", "unit": unit, "reverse": False},
        },
    )


def bars(
    title: str,
    unit: str,
    query: Query,
    *,
    says: str,
    steps: Steps = ((None, "blue"),),
    width: int = 8,
    height: int = 8,
    most: float | None = None,
    empty: str = "",
) -> Panel:
    """Horizontal bars, as they are now."""
    return Panel(
        kind="bargauge",
        title=title,
        says=says,
        queries=_queries([query], "now"),
        width=width,
        height=height,
        empty=empty,
        defaults={
            "unit": unit,
            "color": {"mode": "thresholds"},
            "thresholds": thresholds(steps),
            "min": 0,
            **({} if most is None else {"max": most}),
        },
        options={
            "displayMode": "basic",
            "orientation": "horizontal",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "showUnfilled": True,
            "valueMode": "color",
            "namePlacement": "auto",
            "sizing": "auto",
            "minVizHeight": 16,
            "minVizWidth": 8,
            "maxVizHeight": 300,
        },
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: a query's value. With thresholds or words its cells are coloured."""

    name: str
    unit: str
    query: str
    steps: Steps = ()
    mappings: Sequence[Json] = ()

    def overrides(self) -> list[tuple[str, str, Any]]:
        """What sets it apart from the others."""
        look: list[tuple[str, str, Any]] = [(self.name, "unit", self.unit)]
        if self.steps:
            look.append((self.name, "thresholds", thresholds(self.steps)))
        if self.mappings:
            look.append((self.name, "mappings", list(self.mappings)))
        if self.steps or self.mappings:
            look.append((self.name, "custom.cellOptions", {"type": "color-background", "mode": "basic"}))
        return look


def table(
    title: str,
    *columns: Column,
    says: str,
    sort: str = "",
    width: int = 24,
    height: int = 8,
    empty: str = "",
) -> Panel:
    """A table of one row per label set, the labels first."""
    return Panel(
        kind="table",
        title=title,
        says=says,
        queries=tuple(Query(column.query, shape="table") for column in columns),
        width=width,
        height=height,
        empty=empty,
        defaults={
            "unit": "short",
            "color": {"mode": "thresholds"},
            "thresholds": thresholds(NO_STEPS),
            "custom": {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": True},
        },
        overrides=tuple(look for column in columns for look in column.overrides()),
        options={
            "cellHeight": "sm",
            "showHeader": True,
            "footer": {"show": False, "reducer": ["sum"], "fields": ""},
            "sortBy": [{"displayName": sort, "desc": True}] if sort else [],
        },
        more={"transformations": _merge(columns)},
    )


def _merge(columns: Sequence[Column]) -> list[Json]:
    values = ["Value"] if len(columns) == 1 else [f"Value #{chr(ord('A') + at)}" for at in range(len(columns))]
    organize: Json = {
        "excludeByName": {"Time": True},
        "indexByName": {},
        "renameByName": dict(zip(values, (column.name for column in columns), strict=True)),
    }
    merge: list[Json] = [{"id": "merge", "options": {}}] if len(columns) > 1 else []
    return [*merge, {"id": "organize", "options": organize}]


def matrix(title: str, query: str, *, says: str, height: int) -> Panel:
    """A narrow cell for each series of states, at its labels ``row`` and ``col``, in the order of its ``_n``.

    Overrides come after transformations, when the columns have the names of the values of ``col``.
    """
    fields = {"rowField": "row", "columnField": "col", "valueField": "Value", "emptyValue": "null"}
    cells: Json = {"type": "color-background", "mode": "basic"}
    panel = table(title, Column("Value", "none", query), says=says, height=height)
    return dataclasses.replace(
        panel,
        defaults=panel.defaults
        | {"unit": "none", "mappings": states(signs=True)}
        | {"custom": {"align": "center", "cellOptions": cells, "filterable": False, "minWidth": 24}},
        overrides=(("row\\col", "custom.cellOptions", {"type": "auto"}), ("row\\col", "custom.width", 90)),
        more={
            "transformations": [
                {"id": "sortBy", "options": {"fields": {}, "sort": [{"field": "_n"}]}},
                {"id": "groupingToMatrix", "options": fields},
            ]
        },
    )
