"""A board as its JSON says: panels, queries, variables, and texts with the variables put in as Grafana does."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Json = dict[str, Any]

BOARDS: Final = Path(__file__).parents[1]
ALL: Final = "$__all"
_VARIABLE: Final = re.compile(r"\$(\w+)|\[\[(\w+?)(?::(\w+))?\]\]|\$\{(\w+)(?:\.[^:}]+)?(?::([^}]+))?\}")
_LEFT: Final = re.compile(r"\$\{?[A-Za-z_]\w*")
_MACRO: Final = re.compile(r"\$__(timeFilter|timeFrom|timeTo|timeGroup)\(([^)]*)\)")
_SPECIAL: Final = re.compile(r"[$^*{}\[\]'+?.()|]")


@dataclass(frozen=True)
class Target:
    """One query of a panel."""

    ref: str
    expr: str
    legend: str = ""
    instant: bool = False
    format: str = "time_series"

    @classmethod
    def read(cls, raw: Json) -> Target:
        """A target of any data source: Prometheus' has `expr`, Graphite's `target`, SQL's `rawSql`."""
        expr = raw.get("expr") or raw.get("target") or raw.get("rawSql") or ""
        shown = (
            raw.get("legendFormat", "__auto" if "rawSql" in raw else ""),
            bool(raw.get("instant")),
            raw.get("format", "time_series"),
        )
        return cls(raw.get("refId", "A"), expr, *shown)


@dataclass(frozen=True)
class Panel:
    """One panel, wherever it stands: also in a collapsed row."""

    raw: Json
    x: int
    y: int
    w: int
    h: int
    scope: Mapping[str, str] = field(default_factory=dict[str, str])
    """What a repeated panel or row puts in for its variable."""

    @classmethod
    def read(cls, raw: Json) -> Panel:
        """A panel at its place."""
        place = raw["gridPos"]
        return cls(raw, place["x"], place["y"], place["w"], place["h"])

    @property
    def type(self) -> str:
        """Its kind: stat, timeseries, row ..."""
        return str(self.raw["type"])

    @property
    def title(self) -> str:
        """Its title, with variables as they stand."""
        return str(self.raw.get("title", ""))

    @property
    def targets(self) -> list[Target]:
        """Its queries, hidden ones left out."""
        return [Target.read(one) for one in self.raw.get("targets", ()) if not one.get("hide")]


@dataclass(frozen=True)
class Board:
    """A board."""

    raw: Json

    @classmethod
    def load(cls, path: Path) -> Board:
        """Read a file."""
        return cls(json.loads(path.read_text(encoding="utf-8")))

    @property
    def uid(self) -> str:
        """What links name it by."""
        return str(self.raw["uid"])

    @property
    def title(self) -> str:
        """Its title."""
        return str(self.raw["title"])

    @property
    def variables(self) -> list[Json]:
        """Its variables, in their order."""
        return list(self.raw.get("templating", {}).get("list", ()))

    @property
    def annotations(self) -> list[tuple[str, str]]:
        """Name and query of its annotations; the built-in one has none."""
        found = self.raw.get("annotations", {}).get("list", ())
        return [(one["name"], one["expr"]) for one in found if one.get("expr")]

    @property
    def datasource(self) -> str:
        """The type of the data source that its variable asks for."""
        return next((str(one["query"]) for one in self.variables if one["type"] == "datasource"), "prometheus")

    def panels(self) -> Iterator[Panel]:
        """Every panel with queries, those of collapsed rows too."""
        for raw in self.raw["panels"]:
            yield from (Panel.read(one) for one in (raw, *raw.get("panels", ())) if one.get("targets"))


def boards(folder: Path = BOARDS) -> list[Board]:
    """Every board of the folders in a folder."""
    return [Board.load(path) for path in sorted(folder.glob("*dashboards/*.json"))]


@dataclass(frozen=True)
class Variable:
    """A variable, resolved: what it can be, and what it is."""

    name: str
    options: tuple[str, ...]
    chosen: tuple[str, ...]
    several: bool = False
    """Whether Grafana takes it for a regular expression: `multi` or `includeAll`."""
    every: str = ""
    """Stands for all values where all are chosen (`allValue`)."""

    def text(self, how: str = "") -> str:
        """What stands for it in a query."""
        if how == "text" and self.chosen == (ALL,):
            return "All"
        if self.chosen == (ALL,) and self.every:
            return self.every
        values = self.options if self.chosen == (ALL,) else self.chosen
        if how == "sqlstring":
            return ",".join("'" + value.replace("'", "''") + "'" for value in values)
        if how == "percentencode":
            return quote(f"{{{','.join(values)}}}" if self.several else values[0], safe="")
        if how in {"raw", "text"} or not self.several:
            return ",".join(values)
        escaped = [_SPECIAL.sub(r"\\\g<0>", value) if how == "regex" else _escaped(value) for value in values]
        return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def _escaped(value: str) -> str:
    return _SPECIAL.sub(r"\\\\\g<0>", value.replace("\\", "\\\\\\\\"))


@dataclass(frozen=True)
class View:
    """What one looks at: a time range, and the variables' values.

    :param start: epoch seconds, as is `end`.
    :param scrape: seconds between two scrapes, as the data source's settings say.
    :param points: how many points a panel shows at most, roughly its pixels.
    :param least: seconds between two points at least; no less than between two scrapes.
    """

    start: float
    end: float
    scrape: float = 15.0
    points: int = 300
    least: float = 0.0
    variables: Mapping[str, Variable] = field(default_factory=dict[str, Variable])

    @property
    def step(self) -> float:
        """Seconds between two points of a graph (`$__interval`)."""
        return max(self.scrape, self.least, float(math.ceil((self.end - self.start) / self.points)))

    @property
    def _builtin(self) -> dict[str, str]:
        span = self.end - self.start
        rate = max(self.step + self.scrape, 4 * self.scrape)
        return {
            "__interval": f"{self.step:.0f}s",
            "__interval_ms": f"{self.step * 1000:.0f}",
            "__rate_interval": f"{rate:.0f}s",
            "__range": f"{span:.0f}s",
            "__range_s": f"{span:.0f}",
            "__range_ms": f"{span * 1000:.0f}",
        }

    def within(self, panel: Panel) -> View:
        """What a panel looks at: its own time, step and points where it has them, its value where it is repeated."""
        known = {name: replace(self.variables[name], chosen=(value,)) for name, value in panel.scope.items()}
        back, least = panel.raw.get("timeFrom"), panel.raw.get("interval")
        points = panel.raw.get("maxDataPoints") or self.points
        return replace(
            self,
            start=self.end - _seconds(back) if back else self.start,
            least=max(self.least, _seconds(least)) if least else self.least,
            points=min(self.points, points),
            variables={**self.variables, **known},
        )

    def fill(self, text: str, how: str = "") -> str:
        """Put the variables in; what is no variable stays. `how` is "text" for what people read."""
        builtin = self._builtin

        def value(found: re.Match[str]) -> str:
            name = found[1] or found[2] or found[4]
            if name in builtin:
                return builtin[name]
            known = self.variables.get(name)
            return found[0] if known is None else known.text(found[3] or found[5] or how)

        return _VARIABLE.sub(value, text)

    def _expanded(self, macro: re.Match[str]) -> str:
        """What Grafana makes of a macro of PostgreSQL's: pkg/tsdb/grafana-postgresql-datasource/macros.go."""
        start, end = (f"'{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}'" for at in (self.start, self.end))
        column = macro[2].split(",")[0]
        return {
            "timeFilter": f"{column} BETWEEN {start} AND {end}",
            "timeFrom": start,
            "timeTo": end,
            "timeGroup": f"floor(extract(epoch from {column})/{self.step:.0f})*{self.step:.0f}",
        }[macro[1]]

    def query(self, text: str) -> str:
        """Put the variables into a query, and write macros out.

        :raises LookupError: if one is not known.
        """
        filled = self.fill(_MACRO.sub(self._expanded, text))
        if left := _LEFT.search(filled):
            raise LookupError(f"{left[0]} is no variable, in {text}")
        return filled


def _seconds(duration: str) -> float:
    """The seconds of a duration such as 15s, 1m or 6h."""
    return float(duration[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[duration[-1]]


def repeated(panels: Sequence[Panel], view: View) -> list[Panel]:
    """The panels on the grid, repeated ones as often as their variable has values; what is below moves down."""
    placed: list[Panel] = []
    down = 0
    for panel in sorted(panels, key=lambda one: (one.y, one.x)):
        copies = _copies(panel, view)
        placed += [replace(one, y=one.y + down) for one in copies]
        down += max(one.y + one.h for one in copies) - panel.y - panel.h
    return placed


def _copies(panel: Panel, view: View) -> list[Panel]:
    name = panel.raw.get("repeat")
    known = view.variables.get(name) if name else None
    if known is None:
        return [panel]
    values = known.options if known.chosen == (ALL,) else known.chosen
    if not values:
        return [panel]
    if panel.raw.get("repeatDirection") == "v":
        return [replace(panel, y=panel.y + i * panel.h, scope={known.name: one}) for i, one in enumerate(values)]
    across = min(len(values), panel.raw["maxPerRow"])
    w = 24 // across
    return [
        replace(panel, x=i % across * w, y=panel.y + i // across * panel.h, w=w, scope={known.name: one})
        for i, one in enumerate(values)
    ]
