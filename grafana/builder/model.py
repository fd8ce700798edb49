"""What a dashboard is made of, and how it becomes the JSON of Grafana's classic schema.

Schema 39 is what Grafana 10.4 writes: newer ones migrate it, older numbers are never refused.
"""

from __future__ import annotations

import dataclasses
import typing
from typing import Any, Final

from grafana.builder.promql import expand

if typing.TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

SCHEMA: Final = 39
TAGS: Final = ("discord", "argus-exporter")
WIDTH: Final = 24
UID: Final = "argus-exporter-"


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """A kind of data source, and the variable that chooses one of it."""

    kind: str
    variable: str

    def as_json(self) -> Json:
        """The reference in a panel, a query, a variable."""
        return {"type": self.kind, "uid": f"${{{self.variable}}}"}

    def chooser(self) -> Json:
        """The variable itself."""
        return {
            "name": self.variable,
            "label": "Data source",
            "type": "datasource",
            "query": self.kind,
            "current": {},
            "options": [],
            "refresh": 1,
            "regex": "",
            "hide": 0,
            "includeAll": False,
            "multi": False,
            "skipUrlSync": False,
        }


PROMETHEUS: Final = Source("prometheus", "datasource")
GRAPHITE: Final = Source("graphite", "graphite")
POSTGRES: Final = Source("grafana-postgresql-datasource", "postgres")
CLICKHOUSE: Final = Source("grafana-clickhouse-datasource", "clickhouse")

_TABLE: Final = 1
"""How ClickHouse's plugin numbers a table; 0 is a time series."""


@dataclasses.dataclass(frozen=True, slots=True)
class Query:
    """A query and its legend.

    :param shape: how Grafana is to read the answer: ``now`` (one value each), ``range``, ``table`` or ``heatmap``.
    """

    text: str
    legend: str = ""
    shape: str = "range"

    def as_json(self, number: int, source: Source) -> Json:
        """The target of a panel; its letter is A for number 0."""
        head: Json = {"refId": chr(ord("A") + number), "datasource": source.as_json()}
        if source is GRAPHITE:
            return head | {"target": self.text, "textEditor": True}
        if source in {POSTGRES, CLICKHOUSE}:
            return head | {"rawSql": self.text} | self._as_sql(source)
        instant = self.shape in {"now", "table"}
        return head | {
            "editorMode": "code",
            "expr": expand(self.text),
            "legendFormat": self.legend or "__auto",
            "format": {"now": "time_series", "range": "time_series"}.get(self.shape, self.shape),
            "instant": instant,
            "range": not instant,
        }

    def _as_sql(self, source: Source) -> Json:
        over_time = self.shape == "range"
        if source is POSTGRES:
            return {"format": "time_series" if over_time else "table", "rawQuery": True, "editorMode": "code"}
        kind = {"queryType": "timeseries" if over_time else "table", "format": 0 if over_time else _TABLE}
        return {"editorType": "sql", "pluginVersion": "4.0.0", **kind}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel.

    :param says: what it shows and what to do when it looks bad.
    :param empty: why it may be empty on a healthy bot; shown in place of the data, and told in the description.
    :param defaults: of all its fields: unit, thresholds, mappings.
    :param overrides: for the fields of one name: (name, property, value).
    :param more: keys of the panel itself, such as transformations.
    """

    kind: str
    title: str
    says: str
    queries: tuple[Query, ...]
    defaults: Json
    options: Json
    width: int = 8
    height: int = 8
    empty: str = ""
    overrides: tuple[tuple[str, str, Any], ...] = ()
    more: Json = dataclasses.field(default_factory=dict[str, Any])

    def as_json(self, number: int, left: int, top: int, source: Source) -> Json:
        """The panel at a place of the grid."""
        quiet: Json = {"noValue": self.empty[0].upper() + self.empty[1:]} if self.empty else {}
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": f"{self.says} Empty is fine: {self.empty}." if self.empty else self.says,
            "datasource": source.as_json(),
            "gridPos": {"x": left, "y": top, "w": self.width, "h": self.height},
            "targets": [query.as_json(index, source) for index, query in enumerate(self.queries)],
            "fieldConfig": {
                "defaults": self.defaults | quiet,
                "overrides": [_override(*each) for each in self.overrides],
            },
            "options": self.options,
            **self.more,
        }


def _override(name: str, key: str, value: object) -> Json:
    return {"matcher": {"id": "byName", "options": name}, "properties": [{"id": key, "value": value}]}


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A heading and its panels, which flow from left to right. What is folded asks nothing until it is opened."""

    title: str
    panels: tuple[Panel, ...]
    folded: bool = False

    def places(self, top: int) -> Iterator[tuple[Panel, int, int]]:
        """Each panel with its left and top."""
        left = deepest = 0
        for panel in self.panels:
            if left + panel.width > WIDTH:
                left, top, deepest = 0, top + deepest, 0
            yield panel, left, top
            left, deepest = left + panel.width, max(deepest, panel.height)

    def as_json(self, number: int, top: int, source: Source) -> list[Json]:
        """The row, then its panels; those of a folded one are inside it."""
        inside = [
            panel.as_json(number + index, left, at, source)
            for index, (panel, left, at) in enumerate(self.places(top + 1), start=1)
        ]
        row: Json = {
            "id": number,
            "type": "row",
            "title": self.title,
            "collapsed": self.folded,
            "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1},
            "panels": inside if self.folded else [],
        }
        return [row] if self.folded else [row, *inside]


@dataclasses.dataclass(frozen=True, slots=True)
class Board:
    """A dashboard.

    :param noun: its file and the end of its uid.
    :param variables: as JSON, after that of the data source.
    :param annotations: as JSON.
    :param folder: where it goes: boards that not everybody may see have a folder of their own.
    :param lately: the time that it shows at first.
    """

    noun: str
    title: str
    says: str
    variables: tuple[Json, ...]
    rows: tuple[Row, ...]
    annotations: tuple[Json, ...] = ()
    source: Source = PROMETHEUS
    folder: str = "dashboards"
    lately: str = "6h"
    refresh: str = "30s"

    def as_json(self) -> Json:
        """What Grafana loads."""
        return {
            "id": None,
            "uid": UID + self.noun,
            "title": f"Discord bot / {self.title}",
            "description": self.says,
            "tags": list(TAGS),
            "schemaVersion": SCHEMA,
            "version": 1,
            "editable": False,
            "graphTooltip": 1,
            "refresh": self.refresh,
            "time": {"from": f"now-{self.lately}", "to": "now"},
            "timezone": "",
            "timepicker": {},
            "links": [_dropdown()],
            "annotations": {"list": list(self.annotations)},
            "templating": {"list": [self.source.chooser(), *self.variables]},
            "panels": self._panels(),
        }

    def _panels(self) -> list[Json]:
        panels: list[Json] = []
        number, top = 1, 0
        for row in self.rows:
            panels += row.as_json(number, top, self.source)
            number += 1 + len(row.panels)
            top = max(each["gridPos"]["y"] + each["gridPos"]["h"] for each in panels)
        return panels


def _dropdown() -> Json:
    return {
        "title": "Boards",
        "type": "dashboards",
        "tags": [TAGS[1]],
        "asDropdown": True,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "icon": "external link",
        "tooltip": "The other boards of this bot",
        "url": "",
    }
