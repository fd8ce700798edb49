"""What Grafana makes of a statement before it sends it: variables and macros, as its sources and docs have them.

PostgreSQL's macros: pkg/tsdb/grafana-postgresql-datasource/macros.go. ClickHouse's: pkg/macros/macros.go of the plugin.
Formats of variables: packages/grafana-data and @grafana/scenes, formatRegistry.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

ALL = "$__all"


@dataclass(frozen=True)
class View:
    """What one looks at.

    :param start: seconds since 1970, as is ``end``.
    :param interval: seconds of a point of a graph.
    :param every: what variables stand for where all their values are chosen (``allValue``).
    :param values: of the variables: a text, or several where there is a choice of several.
    """

    start: float
    end: float
    interval: int
    every: Mapping[str, str] = field(default_factory=dict[str, str])
    values: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict[str, str | tuple[str, ...]])

    def value(self, name: str, how: str) -> str:
        """A variable's text in a format. What stands for all is put in as it is, but for percents."""
        value = self.values[name]
        if value == ALL and how != "percentencode":
            return self.every[name]
        return _FORMATS[how](self.every[name] if value == ALL else value)


def _percents(value: str | tuple[str, ...]) -> str:
    return quote(value if isinstance(value, str) else "{" + ",".join(value) + "}", safe="")


def _sql(value: str | tuple[str, ...]) -> str:
    several = (value,) if isinstance(value, str) else value
    return ",".join("'" + each.replace("'", "''") + "'" for each in several)


_FORMATS: dict[str, Callable[[str | tuple[str, ...]], str]] = {"percentencode": _percents, "sqlstring": _sql}


def _zulu(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("'%Y-%m-%dT%H:%M:%SZ'")


def _day(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("toDate('%Y-%m-%d')")


def _between(column: str, view: View, text: Callable[[float], str]) -> str:
    return f"{column} >= {text(view.start)} AND {column} <= {text(view.end)}"


Macro = Callable[[View, str], str]
_MACROS: dict[str, dict[str, Macro]] = {
    "postgres": {
        "timeFilter": lambda view, at: f"{at} BETWEEN {_zulu(view.start)} AND {_zulu(view.end)}",
        "timeFrom": lambda view, _: _zulu(view.start),
        "timeTo": lambda view, _: _zulu(view.end),
        "timeGroup": lambda _, given: "floor(extract(epoch from {0})/{1})*{1}".format(*_arguments(given)),
    },
    "clickhouse": {
        "timeFilter": lambda view, at: _between(at, view, lambda seconds: f"toDateTime({seconds:.0f})"),
        "dateFilter": lambda view, day: _between(day, view, _day),
        "timeInterval": lambda view, at: f"toStartOfInterval(toDateTime({at}), INTERVAL {view.interval} second)",
    },
}


def _arguments(given: str) -> tuple[str, int]:
    column, interval = given.split(",")
    return column.strip(), int(interval.strip().removesuffix("s"))


def expanded(statement: str, noun: str, view: View) -> str:
    """A statement as the database gets it.

    :raises KeyError: for a variable, a format or a macro that is not known.
    """
    filled = statement.replace("$__interval", f"{view.interval}s")
    filled = re.sub(r"\$\{(\w+):(\w+)\}", lambda found: view.value(found[1], found[2]), filled)
    return re.sub(r"\$__(\w+)\(([^)]*)\)", lambda found: _MACROS[noun][found[1]](view, found[2]), filled)
