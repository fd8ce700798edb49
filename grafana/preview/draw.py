"""A board as a picture: every panel on its grid, from what its queries found."""

from __future__ import annotations

from typing import Final

from grafana.preview.board import ALL, Board, Panel, View, repeated
from grafana.preview.canvas import BORDER, FAINT, PANEL, Box, Canvas, fitting
from grafana.preview.fields import COLOURS
from grafana.preview.panels import DRAWN
from grafana.preview.prometheus import Refused, Server
from grafana.preview.shown import Shown

WIDTH: Final = 1600
_COLUMN: Final = WIDTH / 24
_ROW: Final = 38
_GAP: Final = 8
_HEAD: Final = 76
_TITLE: Final = 30
_MARK: Final = "Preview drawn from the board's JSON and real query results. This is not Grafana."


async def look(board: Board, server: Server, view: View, *, unfold: bool = False, rows: int = 1000) -> list[Shown]:
    """Ask all that a board asks in its first rows of the grid; what is folded stays so unless it is unfolded."""
    placed = repeated(_laid_out(board, unfold=unfold), view)
    return [await _looked(panel, server, view.within(panel)) for panel in placed if panel.y + panel.h <= rows]


def _laid_out(board: Board, *, unfold: bool) -> list[Panel]:
    """The panels as they are placed; what is in a collapsed row has places as if it were open."""
    panels: list[Panel] = []
    down = 0
    for raw in board.raw["panels"]:
        inner = [Panel.read(one) for one in raw.get("panels", ())] if unfold else []
        outer = Panel.read(raw | {"collapsed": False} if unfold else raw)
        panels.append(_moved(outer, down))
        panels += [_moved(one, down) for one in inner]
        down += max((one.y + one.h - outer.y - outer.h for one in inner), default=0)
    return panels


def _moved(panel: Panel, down: int) -> Panel:
    return Panel(panel.raw, panel.x, panel.y + down, panel.w, panel.h)


async def _looked(panel: Panel, server: Server, view: View) -> Shown:
    try:
        return Shown(panel, view, [(target, await server.ask(target, view)) for target in panel.targets])
    except Refused as problem:
        return Shown(panel, view, refused=str(problem))


def picture(board: Board, shown: list[Shown], view: View) -> Canvas:
    """Draw it."""
    rows = max(one.panel.y + one.panel.h for one in shown)
    canvas = Canvas(WIDTH + _GAP, _HEAD + rows * _ROW + _GAP)
    _draw_head(canvas, board, view)
    for one in shown:
        panel = one.panel
        box = Box(_GAP + panel.x * _COLUMN, _HEAD + panel.y * _ROW, panel.w * _COLUMN - _GAP, panel.h * _ROW - _GAP)
        _draw_panel(canvas, box, one)
    return canvas


def _draw_head(canvas: Canvas, board: Board, view: View) -> None:
    canvas.text(_GAP, 22, board.title, 20, bold=True)
    canvas.text(canvas.width - _GAP, 22, _MARK, 13, "#FF9830", at="right", bold=True)
    shown = [raw for raw in board.variables if raw["type"] != "datasource" and raw.get("hide", 0) == 0]
    words = [f"{raw.get('label') or raw['name']}: {_chosen(view, raw['name'])}" for raw in shown]
    canvas.text(_GAP, 52, fitting("     ".join(words), 13, canvas.width), 13, FAINT)


def _chosen(view: View, name: str) -> str:
    return ", ".join("All" if one == ALL else one for one in view.variables[name].chosen) or "none"


def _draw_panel(canvas: Canvas, box: Box, one: Shown) -> None:
    title = one.view.fill(one.panel.title, "text")
    if one.panel.type == "row":
        mark = "▸" if one.raw.get("collapsed") else "▾"
        canvas.text(box.x, box.y + box.h / 2, f"{mark} {title}", 15, bold=True)
        return
    canvas.fill(box, PANEL, BORDER)
    canvas.text(box.x + _GAP, box.y + 15, fitting(title, 13, box.w - 2 * _GAP), 13, bold=True)
    inner = box.inside(_GAP, _TITLE, _GAP, _GAP)
    draw = DRAWN[one.panel.type]
    if not any(series.points for _, answer in one.answers for series in answer):
        said, ink = (one.refused, COLOURS["red"]) if one.refused else (one.nothing, FAINT)
        canvas.text(inner.x + inner.w / 2, inner.y + inner.h / 2, fitting(said, 13, inner.w), 13, ink, at="center")
    else:
        draw(canvas, inner, one)
