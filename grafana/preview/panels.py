"""Each kind of panel, drawn into its box."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from matplotlib.colors import PowerNorm

from grafana.preview.canvas import BACKGROUND, BORDER, FAINT, TEXT, Box, Canvas, fitting, wide
from grafana.preview.fields import Field, formatted
from grafana.preview.tables import Table, ordered_by

if TYPE_CHECKING:
    from collections.abc import Callable

    from grafana.preview.shown import Line, Points, Shown

_GAP: Final = 8
_CELL: Final = {"sm": 30, "md": 38, "lg": 46}
_TIMES: Final = 5
_DAY: Final = 86_400
_LEGEND: Final = 2
"""Rows of a legend, at most."""

# ------------------------------------------------------------------------------------- tiles


def grid(box: Box, count: int) -> list[Box]:
    """As many boxes of equal size as fill it best, as `calculateGridDimensions` of @grafana/ui finds them."""
    side = max(_side(box.w, box.h, count), _side(box.h, box.w, count))
    across = max(min(int((box.w + _GAP) / (side + _GAP)), count), 1)
    down = math.ceil(count / across)
    across = math.ceil(count / down)
    w, h = (box.w - (across - 1) * _GAP) / across, (box.h - (down - 1) * _GAP) / down
    return [Box(box.x + i % across * (w + _GAP), box.y + i // across * (h + _GAP), w, h) for i in range(count)]


def _side(width: float, height: float, count: int) -> float:
    parts = math.ceil(math.sqrt(count * width / height))
    if math.floor(parts * height / width) * parts < count:
        return (height - (math.ceil(parts * height / width) - 1) * _GAP) / math.ceil(parts * height / width)
    return (width - (parts - 1) * _GAP) / parts


def _draw_stat(canvas: Canvas, box: Box, one: Shown) -> None:
    lines = one.lines()
    mode = one.options["textMode"]
    named = mode != "value" and (mode != "auto" or len(lines) > 1)
    for line, place in zip(lines, grid(box, len(lines)), strict=True):
        texts = [line.field.name] * named + [line.field.text(line.last)] * (mode != "name")
        _draw_tile(canvas, place, texts, line.colour, filled=one.options["colorMode"] == "background")


def _draw_tile(canvas: Canvas, box: Box, texts: list[str], shade: str, *, filled: bool) -> None:
    """Write a name and a value over each other, or one of them alone."""
    if filled:
        canvas.fill(box, shade)
    ink = "#FFFFFF" if filled else shade
    size = min(box.h * 0.62 / len(texts), 48, 1.5 * box.w / max(3, *map(len, texts)))
    for number, text in enumerate(texts):
        y = box.y + box.h / 2 + (number - (len(texts) - 1) / 2) * size * 1.3
        canvas.text(box.x + box.w / 2, y, fitting(text, size, box.w), size, ink, at="center")


def _draw_bars(canvas: Canvas, box: Box, one: Shown) -> None:
    """Bars that lie; the longest is the largest value, or `max` where that is set."""
    lines = one.lines()
    most = lines[0].field.config.get("max") or max(line.last for line in lines) or 1
    step = min(box.h / len(lines), 60)
    left = min(max(wide(line.field.name, 11) for line in lines) + _GAP, box.w * 0.4)
    room = box.w - left - 80
    for number, line in enumerate(lines):
        y = box.y + number * step
        canvas.text(box.x, y + step / 2, fitting(line.field.name, 11, left), min(11, step * 0.9))
        bar = Box(box.x + left, y + step * 0.15, room, step * 0.7)
        canvas.fill(bar, BORDER)
        canvas.fill(Box(bar.x, bar.y, room * min(max(line.last / most, 0), 1), bar.h), line.colour)
        canvas.text(bar.x + room + 4, y + step / 2, line.field.text(line.last), min(12, step * 0.9), line.colour)


# ------------------------------------------------------------------------------------- graphs


def _time_axes(canvas: Canvas, box: Box, one: Shown) -> Any:
    axes = canvas.axes(box)
    axes.set_xlim(one.view.start, one.view.end)
    between = (one.view.end - one.view.start) / _TIMES
    ticks = [one.view.start + between * (n + 0.5) for n in range(_TIMES)]
    form = "%H:%M:%S" if between < _DAY else "%d %b"
    axes.set_xticks(ticks, [datetime.fromtimestamp(at, UTC).strftime(form) for at in ticks])
    return axes


def _draw_graph(canvas: Canvas, box: Box, one: Shown) -> None:
    lines = [replace(line, points=_gapped(line.points, one.view.step)) for line in one.lines()]
    legend = _legend(box, lines) if one.options.get("legend", {}).get("showLegend", True) else []
    axes = _time_axes(canvas, box.inside(62, 2, 6, 24 + 18 * len(legend)), one)
    _draw_lines(axes, lines, one.view.step)
    _scale(axes, lines[0].field)
    for number, row in enumerate(legend):
        x, y = box.x + 4, box.y + box.h - 8 - 18 * (len(legend) - 1 - number)
        for line, name in row:
            canvas.fill(Box(x, y - 2, 12, 3), line.colour)
            canvas.text(x + 16, y, name, 11)
            x += 28 + wide(name, 11)


def _draw_lines(axes: Any, lines: list[Line], step: float) -> None:
    below: dict[tuple[float, bool], float] = {}
    for line in lines:
        stacked = line.field.custom("stacking", {}).get("mode") == "normal"
        base = [below.get((at, y < 0), 0.0) if stacked else 0.0 for at, y in line.points]
        ats = [at for at, _ in line.points]
        values = [value + under for (_, value), under in zip(line.points, base, strict=True)]
        if stacked:
            below |= {
                (at, y < 0): y + under for (at, y), under in zip(line.points, base, strict=True) if not math.isnan(y)
            }
        if line.field.custom("drawStyle") == "bars":
            axes.bar(ats, [y for _, y in line.points], step * 0.8, base, color=line.colour)
            continue
        axes.plot(
            ats,
            values,
            color=line.colour,
            linewidth=line.field.custom("lineWidth", 1),
            marker=".",
            markevery=_alone(values),
        )
        axes.fill_between(ats, values, base, color=line.colour, alpha=line.field.custom("fillOpacity", 0) / 100, lw=0)


def _alone(values: list[float]) -> list[int]:
    """The points that have no neighbours: no line would show them."""
    around = [math.nan, *values, math.nan]
    return [n for n in range(len(values)) if math.isnan(around[n]) and math.isnan(around[n + 2])]


def _scale(axes: Any, shown: Field) -> None:
    low, high = axes.get_ylim()
    axes.set_ylim(shown.config.get("min", low), shown.config.get("max", high if high > low else None))
    if axes.get_ylim()[0] == axes.get_ylim()[1]:
        axes.set_ylim(axes.get_ylim()[0], axes.get_ylim()[0] + 1)
    axes.locator_params(axis="y", nbins=5)
    axes.yaxis.set_major_formatter(_labelled(shown))
    if shown.custom("thresholdsStyle", {}).get("mode", "off") != "off":
        low, high = axes.get_ylim()
        for start, shade in shown.steps:
            if low < start < high:
                axes.axhline(start, color=shade, linestyle="--", linewidth=1)


def _labelled(shown: Field) -> Callable[[float, int | None], str]:
    return lambda value, _: shown.text(float(f"{value:.3g}"))


def _legend(box: Box, lines: list[Line]) -> list[list[tuple[Line, str]]]:
    """The names of the lines, in as many rows as they take, but not in more than two."""
    rows: list[list[tuple[Line, str]]] = [[]]
    used = 0.0
    for line in lines:
        name = fitting(line.field.name, 11, box.w - 30)
        if rows[-1] and used + 16 + wide(name, 11) > box.w:
            rows.append([])
            used = 0
        rows[-1].append((line, name))
        used += 28 + wide(name, 11)
    return rows[:_LEGEND]


def _gapped(points: Points, step: float) -> Points:
    """The points with a nan wherever some are missing: no line goes over it."""
    gapped: list[tuple[float, float]] = []
    for at, value in points:
        if gapped and at - gapped[-1][0] > 1.5 * step:
            gapped.append((gapped[-1][0] + step, math.nan))
        gapped.append((at, value))
    return tuple(gapped)


def _draw_heatmap(canvas: Canvas, box: Box, one: Shown) -> None:
    """Each bucket's own count, as Grafana takes them out of the cumulative ones."""
    found = sorted(
        ((float(series.labels["le"]), dict(series.points)) for _, answer in one.answers for series in answer),
        key=lambda bucket: bucket[0],
    )
    ats = sorted({at for _, points in found for at in points})
    own = [
        [points.get(at, 0) - (found[n - 1][1].get(at, 0) if n else 0) or math.nan for at in ats]
        for n, (_, points) in enumerate(found)
    ]
    axes = _time_axes(canvas, box.inside(62, 2, 6, 20), one)
    step = one.view.step
    axes.pcolormesh([ats[0] - step, *ats], range(len(found) + 1), own, norm=PowerNorm(0.5), cmap="Oranges_r")
    unit = one.options["yAxis"]["unit"]
    every = -(-len(found) // (box.h // 14))
    edges = [(n + 1, formatted(edge, unit)) for n, (edge, _) in enumerate(found[:-1]) if n % every == 0]
    axes.set_yticks([at for at, _ in edges], [text for _, text in edges])


def _draw_states(canvas: Canvas, box: Box, one: Shown) -> None:
    """A lane for each series, in the colours of its states."""
    lines = one.lines()
    axes = _time_axes(canvas, box.inside(90, 2, 6, 20), one)
    axes.grid(visible=False)
    for lane, line in enumerate(lines):
        step = one.view.step
        spans = [(at - step, step) for at, _ in line.points]
        axes.broken_barh(spans, (lane + 0.08, 0.84), color=[line.field.colour(value) for _, value in line.points])
    axes.set_ylim(len(lines), 0)
    axes.set_yticks([n + 0.5 for n in range(len(lines))], [fitting(line.field.name, 11, 84) for line in lines])


# ------------------------------------------------------------------------------------- tables, texts


def _draw_table(canvas: Canvas, box: Box, one: Shown) -> None:
    for table in one.tables()[:1]:
        for by in one.options.get("sortBy", ()):
            table = ordered_by(table, by["displayName"], falling=bool(by.get("desc")))  # noqa: PLW2901
        _draw_rows(canvas, box, one, table)


def _draw_rows(canvas: Canvas, box: Box, one: Shown, table: Table) -> None:
    fields = [Field.of(one.raw, name) for name in table.columns]
    widths = _widths(fields, box.w)
    step = _CELL[one.options.get("cellHeight", "sm")]
    header = one.options.get("showHeader", True)
    room = int(box.h / step) - header
    x = box.x
    for shown, w in zip(fields, widths, strict=True):
        if header:
            canvas.text(x + 6, box.y + step / 2, fitting(shown.name, 12, w - 8), 12, "#6E9FFF", bold=True)
        for number, row in enumerate(table.rows[:room]):
            cell = Box(x, box.y + (number + header) * step, w, step)
            _draw_cell(canvas, cell, shown, row.get(shown.name))
        x += w
    if len(table.rows) > room:
        canvas.text(box.x + box.w, box.y + box.h, f"{len(table.rows) - room} more rows", 11, FAINT, at="right")


def _widths(fields: list[Field], room: float) -> list[float]:
    """The widths that are set, and the rest shared out."""
    fixed = [shown.custom("width") for shown in fields]
    free = max(room - sum(w or 0 for w in fixed), 0) / max(fixed.count(None), 1)
    return [free if w is None else w for w in fixed]


def _draw_cell(canvas: Canvas, box: Box, shown: Field, value: Any) -> None:
    number = isinstance(value, float)
    kind = shown.custom("cellOptions", {}).get("type", "auto")
    text = "" if value is None else shown.text(value) if number else str(value)
    ink = TEXT
    if number and kind == "color-background":
        canvas.fill(box.inside(0, 1, 1, 0), shown.colour(value))
        ink = BACKGROUND
    elif number and kind == "color-text":
        ink = shown.colour(value)
    text = fitting(text, 12, box.w - 8)
    if number:
        canvas.text(box.x + box.w - 6, box.y + box.h / 2, text, 12, ink, at="right")
    else:
        canvas.text(box.x + 6, box.y + box.h / 2, text, 12, ink)


DRAWN: Final[dict[str, Callable[[Canvas, Box, Shown], None]]] = {
    "stat": _draw_stat,
    "bargauge": _draw_bars,
    "timeseries": _draw_graph,
    "heatmap": _draw_heatmap,
    "state-timeline": _draw_states,
    "table": _draw_table,
}
