"""How panels look: thresholds, states and their colours, and the options of each kind."""

from __future__ import annotations

import typing
from typing import Any, Final

from grafana.builder.promql import MARK

if typing.TYPE_CHECKING:
    from collections.abc import Mapping

    from grafana.builder.model import Json

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

COLOURED_OUTCOMES: Final = (("ok", GREEN), ("bot_error", RED), ("discord_error", ORANGE))
NO_STEPS: Final[Steps] = ((None, NEUTRAL),)
NONE_IS_GOOD: Final[Steps] = ((None, GREEN), (1, RED))
SOME_IS_GOOD: Final[Steps] = ((None, RED), (1, GREEN))


def rising(warn: float, bad: float) -> Steps:
    """Good below the first, bad from the second."""
    return ((None, GREEN), (warn, ORANGE), (bad, RED))


def falling(bad: float, warn: float) -> Steps:
    """Bad below the first, good from the second."""
    return ((None, RED), (bad, ORANGE), (warn, GREEN))


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


def given(**values: Any) -> Json:
    """Those of the values that are not None."""
    return {name: value for name, value in values.items() if value is not None}


_REDUCE: Final = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_LEGEND: Final[Json] = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}

OPTIONS: Final[Mapping[str, Json]] = {
    "stat": {
        "graphMode": "none",
        "justifyMode": "center",
        "orientation": "auto",
        "reduceOptions": _REDUCE,
        "wideLayout": True,
    },
    "timeseries": {"legend": _LEGEND, "tooltip": {"mode": "multi", "sort": "desc"}},
    "state-timeline": {
        "alignValue": "left",
        "legend": _LEGEND | {"showLegend": False},
        "mergeValues": True,
        "rowHeight": 0.9,
        "showValue": "never",
        "tooltip": {"mode": "single", "sort": "none"},
    },
    "heatmap": {
        "calculate": False,
        "cellGap": 1,
        "cellValues": {"unit": "short"},
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "reverse": False, "exponent": 0.5},
        "filterValues": {"le": 1e-9},
        "legend": {"show": False},
        "rowsFrame": {"layout": "auto"},
        "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": False},
    },
    "bargauge": {
        "displayMode": "basic",
        "orientation": "horizontal",
        "reduceOptions": _REDUCE,
        "showUnfilled": True,
        "valueMode": "color",
        "namePlacement": "auto",
        "sizing": "auto",
        "minVizHeight": 16,
        "minVizWidth": 8,
        "maxVizHeight": 300,
    },
    "table": {
        "cellHeight": "sm",
        "showHeader": True,
        "footer": {"show": False, "reducer": ["sum"], "fields": ""},
    },
}
"""What all panels of a kind have in common."""
