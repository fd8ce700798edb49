"""How a panel shows a value: its unit, the text and the colour that its mappings and thresholds say."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from grafana.preview.board import Json

COLOURS: Final = {
    "green": "#73BF69",
    "orange": "#FF9830",
    "red": "#F2495C",
    "blue": "#5794F2",
    "text": "#CCCCDC",
}
"""Grafana's colours in its dark theme, those that the boards name."""

PALETTE: Final = (
    *("#73BF69", "#F2CC0C", "#8AB8FF", "#FF780A", "#F2495C", "#5794F2", "#B877D9", "#705DA0", "#37872D", "#FADE2A"),
    *("#447EBC", "#C15C17"),
)
"""The first of the classic palette in its order: series are coloured by their number."""

_SIZES: Final[dict[str, tuple[tuple[float, str], ...]]] = {
    "none": ((1.0, ""),),
    "short": ((1.0, ""), (1e3, " K"), (1e6, " Mil"), (1e9, " Bil")),
    "percentunit": ((0.01, "%"),),
    "s": (
        *((1e-6, " µs"), (1e-3, " ms"), (1.0, " s"), (60.0, " mins"), (3600.0, " hours"), (86400.0, " days")),
        *((604800.0, " weeks"), (31536000.0, " years")),
    ),
    "bytes": tuple((1024.0**n, f" {name}") for n, name in enumerate(("B", "KiB", "MiB", "GiB", "TiB"))),
    "Bps": tuple((1000.0**n, f" {name}/s") for n, name in enumerate(("B", "kB", "MB", "GB"))),
    "reqps": ((1.0, " req/s"), (1e3, "K req/s")),
    "cps": ((1.0, " c/s"), (1e3, "K c/s")),
    # a table has texts for times
    "dateTimeFromNow": ((1.0, ""),),
    "dateTimeAsIso": ((1.0, ""),),
}
"""What one of a unit is called, from which size on."""


def formatted(value: float, unit: str, decimals: int | None = None) -> str:
    """A value as Grafana writes it.

    :raises LookupError: if the unit is not known here.
    """
    sizes = _SIZES[unit]
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    size, name = next(
        (one for one in reversed(sizes) if abs(value) >= one[0]), sizes[0] if value else (1.0, _of(sizes))
    )
    scaled = value / size
    if decimals is not None:
        return f"{scaled:.{decimals}f}{name}"
    text = f"{scaled:.{_decimals(scaled)}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + name


def _of(sizes: tuple[tuple[float, str], ...]) -> str:
    return next((name for size, name in sizes if size == 1), sizes[0][1])


def _decimals(value: float) -> int:
    """As `getDecimalsForValue` of @grafana/data: about three digits that count."""
    if value % 1 == 0:
        return 0
    decimals = max(-math.floor(math.log10(abs(value))) + 1, 0)
    return decimals + int(abs(value) * math.pow(10, decimals) > 2.25)  # noqa: PLR2004 - Grafana's number


def _shade(name: str) -> str:
    return COLOURS.get(name, name)


@dataclass(frozen=True)
class Field:
    """What a series or a column is shown as."""

    name: str
    config: Json = field(default_factory=dict[str, Any])

    @classmethod
    def of(cls, panel: Json, name: str) -> Field:
        """A field with the panel's defaults, and those overrides that match its name."""
        wanted = panel.get("fieldConfig", {})
        config: Json = dict(wanted.get("defaults", {}))
        for one in wanted.get("overrides", ()):
            if one["matcher"] == {"id": "byName", "options": name}:
                config |= {each["id"]: each["value"] for each in one["properties"]}
        return cls(name, config)

    @property
    def steps(self) -> list[tuple[float, str]]:
        """The thresholds: from where on which colour."""
        steps: list[Json] = self.config.get("thresholds", {}).get("steps", [])
        return [(-math.inf if one["value"] is None else float(one["value"]), _shade(one["color"])) for one in steps]

    def custom(self, name: str, default: Any = None) -> Any:
        """An option of the panel's kind; an override's name of it has a dot."""
        return self.config.get(f"custom.{name}", self.config.get("custom", {}).get(name, default))

    def colour(self, value: float, number: int = 0) -> str:
        """The colour of a value: of its mapping, else as the colour's mode says; `number` counts the series."""
        mode: Json = self.config.get("color", {"mode": "thresholds"})
        if named := self._mapped(value).get("color") or mode.get("fixedColor"):
            return _shade(named)
        if mode["mode"] == "thresholds":
            return next((shade for start, shade in reversed(self.steps) if value >= start), COLOURS["text"])
        return PALETTE[number % len(PALETTE)]

    def text(self, value: float) -> str:
        """The text of a value: of its mapping, else the number with its unit."""
        mapped = self._mapped(value).get("text")
        return str(mapped or formatted(value, self.config.get("unit", "short"), self.config.get("decimals")))

    def _mapped(self, value: float) -> Json:
        """What the mappings say of a value; all of them are of single values."""
        found: Json = {}
        for one in self.config.get("mappings", ()):
            found |= one["options"]
        return dict(found.get(f"{value:g}", {}))
