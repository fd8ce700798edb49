"""A panel with what its queries found."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from grafana.preview.fields import Field
from grafana.preview.tables import Table, tables, transformed

if TYPE_CHECKING:
    from grafana.preview.board import Json, Panel, Target, View
    from grafana.preview.prometheus import Series

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Line:
    """One series of a panel, with what it is called and how it is shown."""

    field: Field
    points: Points
    number: int

    @property
    def colour(self) -> str:
        """The colour of its newest value."""
        return self.field.colour(self.last, self.number)

    @property
    def last(self) -> float:
        """The newest value that is one."""
        return next((value for _, value in reversed(self.points) if not math.isnan(value)), math.nan)


@dataclass(frozen=True)
class Shown:
    """A panel with what was found for it; `refused` is what the server said against a query."""

    panel: Panel
    view: View
    answers: list[tuple[Target, list[Series]]] = field(default_factory=list[Any])
    refused: str = ""

    @property
    def raw(self) -> Json:
        """The panel's JSON."""
        return self.panel.raw

    @property
    def options(self) -> Json:
        """The panel's options."""
        return self.raw.get("options") or {}

    def lines(self) -> list[Line]:
        """All series, in the order of the queries."""
        found = [(target, series) for target, answer in self.answers for series in answer]
        return [
            Line(Field.of(self.raw, _name(target.legend, series)), series.points, number)
            for number, (target, series) in enumerate(found)
        ]

    def tables(self) -> list[Table]:
        """All answers as tables, transformed."""
        return transformed(tables(self.answers), self.raw.get("transformations") or ())

    @property
    def nothing(self) -> str:
        """What stands there where nothing was found."""
        return str(self.raw.get("fieldConfig", {}).get("defaults", {}).get("noValue") or "No data")


def _name(legend: str, series: Series) -> str:
    labels = {name: value for name, value in series.labels.items() if name != "__name__"}
    if legend not in {"", "__auto"}:
        return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: labels.get(found[1], ""), legend).strip()
    if len(labels) == 1 and legend:
        return next(iter(labels.values()))
    shown = ", ".join(f'{name}="{value}"' for name, value in labels.items())
    return f"{series.labels.get('__name__', '')}{{{shown}}}" if shown else series.labels.get("__name__", "Value")
