"""How a panel shows a value: its unit, the text and the colour that its mappings and thresholds say."""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from grafana.preview.board import Json

COLOURS: Final = {
    "green": "#73BF69",
    "super-light-green": "#C8F2C2",
    "light-green": "#96D98D",
    "semi-dark-green": "#56A64B",
    "dark-green": "#37872D",
    "yellow": "#FADE2A",
    "super-light-yellow": "#FFF899",
    "light-yellow": "#FFEE52",
    "semi-dark-yellow": "#F2CC0C",
    "dark-yellow": "#E0B400",
    "red": "#F2495C",
    "super-light-red": "#FFA6B0",
    "light-red": "#FF7383",
    "semi-dark-red": "#E02F44",
    "dark-red": "#C4162A",
    "blue": "#5794F2",
    "super-light-blue": "#C0D8FF",
    "light-blue": "#8AB8FF",
    "semi-dark-blue": "#3274D9",
    "dark-blue": "#1F60C4",
    "orange": "#FF9830",
    "super-light-orange": "#FFCB7D",
    "light-orange": "#FFB357",
    "semi-dark-orange": "#FF780A",
    "dark-orange": "#FA6400",
    "purple": "#B877D9",
    "super-light-purple": "#DEB6F2",
    "light-purple": "#CA95E5",
    "semi-dark-purple": "#A352CC",
    "dark-purple": "#8F3BB8",
    "text": "#CCCCDC",
    "transparent": "#181B1F",
    "gray": "#808080",
    "white": "#FFFFFF",
    "black": "#000000",
}
"""Grafana's named colours, in its dark theme."""

PALETTE: Final = ("green", "yellow", "blue", "orange", "red", "light-blue", "purple", "dark-green", "semi-dark-yellow")
"""The first of the classic palette, in its order."""

_SCALES: Final[dict[str, tuple[tuple[float, str], ...]]] = {
    "s": (
        *((1e-9, " ns"), (1e-6, " µs"), (1e-3, " ms"), (1.0, " s"), (60.0, " mins"), (3600.0, " hours")),
        *((86400.0, " days"), (604800.0, " weeks"), (31536000.0, " years")),
    ),
    "ms": ((1.0, " ms"), (1e3, " s"), (6e4, " mins"), (3.6e6, " hours"), (8.64e7, " days")),
    "bytes": tuple((1024.0**n, f" {name}") for n, name in enumerate(("B", "KiB", "MiB", "GiB", "TiB"))),
    "short": ((1.0, ""), (1e3, " K"), (1e6, " Mil"), (1e9, " Bil"), (1e12, " Tri")),
}
_SUFFIXES: Final = {
    "reqps": " req/s",
    "ops": " ops/s",
    "cps": " c/s",
    "eps": " evt/s",
    "mps": " msg/s",
    "rps": " rd/s",
    "wps": " wr/s",
    "iops": " io/s",
    "cpm": " c/m",
    "opm": " ops/m",
}


def colour(name: str) -> str:
    """The colour of a name of Grafana's, or of a CSS colour."""
    return COLOURS.get(name, name)


def formatted(value: float, unit: str, decimals: int | None = None) -> str:
    """A value as Grafana writes it.

    :raises LookupError: if the unit is not known here.
    """
    if math.isnan(value):
        return "NaN"
    if unit in _SCALES:
        return _scaled(value, _SCALES[unit], decimals)
    if unit in _SUFFIXES:
        return _scaled(value, _SCALES["short"], decimals) + _SUFFIXES[unit]
    return _PLAIN[unit.partition(":")[0]](value, unit, decimals)


def _percent(value: float, unit: str, decimals: int | None) -> str:
    return f"{_number(value * (100 if unit == 'percentunit' else 1), decimals)}%"


_PLAIN: Final[dict[str, Callable[[float, str, int | None], str]]] = {
    "": lambda value, _, decimals: _number(value, decimals),
    "none": lambda value, _, decimals: _number(value, decimals),
    "suffix": lambda value, unit, decimals: _number(value, decimals) + unit.removeprefix("suffix:"),
    "percent": _percent,
    "percentunit": _percent,
    "dateTimeFromNow": lambda value, _unit, _decimals: _ago(value / 1000),
    "dateTimeAsIso": lambda value, _unit, _decimals: time.strftime("%F %T", time.localtime(value / 1000)),
}


def _scaled(value: float, scale: tuple[tuple[float, str], ...], decimals: int | None) -> str:
    fitting = [(size, name) for size, name in scale if abs(value) >= size]
    size, name = fitting[-1] if fitting else next((one for one in scale if one[0] == 1), scale[0])
    return _number(value / size, decimals) + name


def _number(value: float, decimals: int | None) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if decimals is None:
        wanted = _decimals(value)
        text = f"{value:.{wanted}f}"
        return text.rstrip("0").rstrip(".") if wanted else text
    return f"{value:.{decimals}f}"


def _decimals(value: float) -> int:
    """As `getDecimalsForValue` of @grafana/data: about three digits that count."""
    if value % 1 == 0:
        return 0
    decimals = max(-math.floor(math.log10(abs(value))) + 1, 0)
    return decimals + int(abs(value) * math.pow(10, decimals) > 2.25)  # noqa: PLR2004 - Grafana's number


def _ago(at: float) -> str:
    seconds = time.time() - at
    return f"{formatted(abs(seconds), 's', 0)} {'ago' if seconds >= 0 else 'ahead'}"


@dataclass(frozen=True)
class Field:
    """What a series or a column is shown as.

    :param labels: what a matcher or a name can ask for.
    :param ref: the query that it comes from.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    ref: str = "A"
    config: Json = field(default_factory=dict[str, Any])

    @classmethod
    def of(cls, panel: Json, name: str, labels: Mapping[str, str] | None = None, ref: str = "A") -> Field:
        """A field with the panel's defaults, and those overrides that match it."""
        wanted = panel.get("fieldConfig", {})
        config: Json = dict(wanted.get("defaults", {}))
        for one in wanted.get("overrides", ()):
            if _matches(one["matcher"], name, ref):
                config |= {each["id"]: each.get("value") for each in one["properties"]}
        return cls(name, labels or {}, ref, config)

    @property
    def title(self) -> str:
        """Its name as it is shown."""
        shown = self.config.get("displayName")
        if not shown:
            return self.name
        values = {f"__field.labels.{key}": value for key, value in self.labels.items()}
        return re.sub(r"\$\{([\w.]+)\}", lambda found: values.get(found[1], ""), str(shown)).strip() or self.name

    @property
    def steps(self) -> list[tuple[float, str]]:
        """The thresholds: from where on which colour."""
        steps: list[Json] = self._one("thresholds", {}).get("steps", [])
        return [(-math.inf if step["value"] is None else float(step["value"]), colour(step["color"])) for step in steps]

    def custom(self, name: str, default: Any = None) -> Any:
        """An option of the panel's kind; an override's name of it has dots."""
        return self.config.get(f"custom.{name}", self.config.get("custom", {}).get(name, default))

    def _one(self, name: str, default: Any) -> Any:
        return self.config.get(name) or default

    def colour(self, value: float, number: int = 0) -> str:
        """The colour of a value: of its mapping, else as the colour's mode says; `number` counts the series."""
        mapped = self.mapping(value)
        if mapped.get("color"):
            return colour(str(mapped["color"]))
        mode = self._one("color", {}).get("mode", "thresholds" if self.steps else "palette-classic")
        if mode == "fixed":
            return colour(self._one("color", {}).get("fixedColor", "green"))
        if mode == "thresholds":
            return next((shade for start, shade in reversed(self.steps) if value >= start), colour("text"))
        return colour(PALETTE[number % len(PALETTE)])

    def text(self, value: float) -> str:
        """The text of a value: of its mapping, else the number with its unit."""
        mapped = self.mapping(value).get("text")
        return str(mapped) if mapped else formatted(value, self.config.get("unit") or "", self.config.get("decimals"))

    def mapping(self, value: float) -> Json:
        """What the first mapping that fits says of a value; nothing where none does."""
        for one in cast("list[Json]", self._one("mappings", [])):
            if found := _MAPPINGS[one["type"]](one["options"], value):
                return found
        return {}


def _by_value(options: Json, value: float) -> Json:
    return dict(options.get(f"{value:g}", {}))


def _by_range(options: Json, value: float) -> Json:
    low, high = (-math.inf, math.inf)
    low = low if options.get("from") is None else float(options["from"])
    high = high if options.get("to") is None else float(options["to"])
    return options["result"] if low <= value <= high else {}


def _special(options: Json, value: float) -> Json:
    wanted = {"nan": math.isnan(value), "null+nan": math.isnan(value), "null": math.isnan(value)}
    return options["result"] if wanted.get(options["match"]) else {}


_MAPPINGS: Final[dict[str, Callable[[Json, float], Json]]] = {
    "value": _by_value,
    "range": _by_range,
    "special": _special,
}


def _matches(matcher: Json, name: str, ref: str) -> bool:
    wanted = matcher["options"]
    if matcher["id"] == "byFrameRefID":
        return bool(wanted == ref)
    if matcher["id"] == "byRegexp":
        return re.search(str(wanted).strip("/"), name) is not None
    return bool(matcher["id"] == "byName" and wanted == name)
