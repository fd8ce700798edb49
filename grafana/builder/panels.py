"""The kinds of panels, each with its house style."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any, Final, TypedDict, Unpack

from grafana.builder.looks import NO_STEPS, OPTIONS, Steps, given, states, thresholds
from grafana.builder.model import UID, Json, Panel, Query

if typing.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

POINTS: Final = 120
"""How many points a line has that costs a look at all shards, commands or routes for each."""


class Common(TypedDict, total=False):
    """What any panel may say: its place on the grid, and why it may be empty."""

    width: int
    height: int
    empty: str


def _panel(
    kind: str, title: str, says: str, queries: Sequence[Query | str], shape: str, steps: Steps, **common: Unpack[Common]
) -> Panel:
    asked = (each if isinstance(each, Query) else Query(each) for each in queries)
    return Panel(
        kind=kind,
        title=title,
        says=says,
        queries=tuple(dataclasses.replace(each, shape=shape) for each in asked),
        defaults={"color": {"mode": "thresholds"}, "thresholds": thresholds(steps)},
        options=OPTIONS[kind],
        **common,
    )


def _but(panel: Panel, defaults: Json, options: Json, **more: Any) -> Panel:
    """The panel with more of what it has, and with something else."""
    return dataclasses.replace(panel, defaults=panel.defaults | defaults, options=panel.options | options, **more)


def _link(noun: str) -> list[Json]:
    url = f"/d/{UID}{noun}?${{__url_time_range}}&${{__all_variables}}"
    return [{"title": f"Board: {noun}", "url": url, "targetBlank": False}]


def stat(
    title: str,
    unit: str,
    *queries: Query | str,
    says: str,
    steps: Steps = NO_STEPS,
    decimals: int | None = None,
    text: str = "auto",
    mappings: Sequence[Json] = (),
    board: str = "",
    **common: Unpack[Common],
) -> Panel:
    """One number, or a few with their names, as they are now.

    :param board: the board that a click leads to.
    """
    return _but(
        _panel("stat", title, says, queries, "now", steps, **(Common(width=4, height=4) | common)),
        given(unit=unit, mappings=list(mappings), decimals=decimals),
        {"textMode": text, "colorMode": "background" if mappings else "value"},
        more={"links": _link(board)} if board else {},
    )


def lately(panel: Panel, time: str, **more: Any) -> Panel:
    """The panel, asking for a short range whatever the board shows: only its last value is shown."""
    queries = tuple(dataclasses.replace(query, shape="range") for query in panel.queries)
    return dataclasses.replace(
        panel, queries=queries, more={**panel.more, "timeFrom": time, "hideTimeOverride": True, **more}
    )


def tiles(title: str, query: Query, *, says: str, repeat: str) -> Panel:
    """A coloured tile for each series of states, once for each value of a variable.

    A range comes sorted by its labels, what is asked for now does not.
    """
    panel = stat(title, "none", query, says=says, text="name", mappings=states(), width=24, height=12)
    return lately(panel, "1m", interval="15s", repeat=repeat, repeatDirection="h", maxPerRow=4)


def timeline(title: str, query: Query, *, says: str, **common: Unpack[Common]) -> Panel:
    """Bars of states over time, one a series."""
    look = {"lineWidth": 0, "fillOpacity": 80, "spanNulls": False}
    return _but(
        _panel("state-timeline", title, says, [query], "range", NO_STEPS, **common),
        {"unit": "none", "mappings": states(), "custom": look},
        {},
    )


def lines(
    title: str,
    unit: str,
    *queries: Query | str,
    says: str,
    steps: Steps = (),
    stacked: bool = False,
    least: float | None = 0,
    colours: Sequence[tuple[str, str]] = (),
    points: int | None = None,
    apart: str | None = None,
    **common: Unpack[Common],
) -> Panel:
    """Lines over time; thresholds are dashed. Stacked ones are areas.

    :param points: how many there are at most, where each costs a look at all shards; else as many as pixels.
    :param apart: the least time between two points, where each costs a look at a long time.
    """
    look = {
        "drawStyle": "line",
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "fillOpacity": 30 if stacked else 0,
        "showPoints": "auto",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if steps else "off"},
    }
    return _but(
        _panel("timeseries", title, says, queries, "range", steps or NO_STEPS, **common),
        given(unit=unit, color={"mode": "palette-classic"}, custom=look, min=least),
        {},
        overrides=tuple((name, "color", {"mode": "fixed", "fixedColor": colour}) for name, colour in colours),
        more=given(maxDataPoints=points, interval=apart),
    )


def heat(title: str, unit: str, query: str, *, says: str, **common: Unpack[Common]) -> Panel:
    """A histogram over time, its buckets as rows."""
    return _but(
        _panel("heatmap", title, says, [Query(query, "{{le}}")], "heatmap", NO_STEPS, **common),
        {"unit": unit, "custom": {"scaleDistribution": {"type": "linear"}}},
        {"yAxis": {"axisPlacement": "left", "unit": unit, "reverse": False}},
        more={"maxDataPoints": POINTS},
    )


def bars(
    title: str,
    unit: str,
    query: Query,
    *,
    says: str,
    steps: Steps = ((None, "blue"),),
    most: float | None = None,
    **common: Unpack[Common],
) -> Panel:
    """Horizontal bars, as they are now."""
    return _but(_panel("bargauge", title, says, [query], "now", steps, **common), given(unit=unit, min=0, max=most), {})


def counts(title: str, *queries: Query, says: str, each: str = "", **common: Unpack[Common]) -> Panel:
    """Stacked bars over time: how often things happened in each interval.

    :param each: the label of the answer that names a series, where it has one.
    """
    panel = lines(title, "short", *queries, says=says, stacked=True, least=None, **common)
    look = {**panel.defaults["custom"], "drawStyle": "bars", "fillOpacity": 80, "lineWidth": 0}
    named = f"${{__field.labels.{each}}}" if each else None
    return _but(panel, given(custom=look, displayName=named), {}, more={"interval": "1m"})


def ranking(title: str, query: Query, *, says: str, across: bool = False, **common: Unpack[Common]) -> Panel:
    """A bar for each row of a table: a name, and a number.

    :param across: upright bars, side by side.
    """
    panel = bars(title, "short", query, says=says, **common)
    reduce = {"calcs": ["lastNotNull"], "fields": "", "values": True, "limit": 50}
    options = {"reduceOptions": reduce, "showUnfilled": False}
    return _but(panel, {}, {**options, **({"orientation": "vertical"} if across else {})})


def listing(title: str, query: Query, *, says: str, units: Mapping[str, str], **common: Unpack[Common]) -> Panel:
    """The rows of a table as they come.

    :param units: of the columns that are no plain texts or numbers.
    """
    return _but(
        _panel("table", title, says, [query], "table", NO_STEPS, **(Common(width=24) | common)),
        {"unit": "short", "custom": {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": True}},
        {},
        overrides=tuple((name, "unit", unit) for name, unit in units.items()),
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


def table(title: str, *columns: Column, says: str, sort: str = "", **common: Unpack[Common]) -> Panel:
    """A table of one row per label set, the labels first."""
    values = ["Value"] if len(columns) == 1 else [f"Value #{chr(ord('A') + at)}" for at in range(len(columns))]
    organize: Json = {
        "excludeByName": {"Time": True},
        "indexByName": {},
        "renameByName": dict(zip(values, (column.name for column in columns), strict=True)),
    }
    merge: list[Json] = [{"id": "merge", "options": {}}] if len(columns) > 1 else []
    queries = [column.query for column in columns]
    return _but(
        _panel("table", title, says, queries, "table", NO_STEPS, **(Common(width=24) | common)),
        {"unit": "short", "custom": {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": True}},
        {"sortBy": [{"displayName": sort, "desc": True}] if sort else []},
        overrides=tuple(look for column in columns for look in column.overrides()),
        more={"transformations": [*merge, {"id": "organize", "options": organize}]},
    )


def matrix(title: str, query: str, *, says: str, height: int) -> Panel:
    """A narrow cell for each series of states, at its labels ``row`` and ``col``, in the order of its ``_n``.

    Overrides come after transformations, when the columns have the names of the values of ``col``.
    """
    fields = {"rowField": "row", "columnField": "col", "valueField": "Value", "emptyValue": "null"}
    cells: Json = {"type": "color-background", "mode": "basic"}
    look = {"align": "center", "cellOptions": cells, "filterable": False, "minWidth": 24}
    return _but(
        table(title, Column("Value", "none", query), says=says, height=height),
        {"unit": "none", "mappings": states(signs=True), "custom": look},
        {},
        overrides=(("row\\col", "custom.cellOptions", {"type": "auto"}), ("row\\col", "custom.width", 90)),
        more={
            "transformations": [
                {"id": "sortBy", "options": {"fields": {}, "sort": [{"field": "_n"}]}},
                {"id": "groupingToMatrix", "options": fields},
            ]
        },
    )
