"""Boards become pictures: everything is on its place, and says that it is no Grafana."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from grafana.preview.board import ALL, Board, Target, Variable, View, boards
from grafana.preview.prometheus import Prometheus, Refused, Series

pytest.importorskip("matplotlib")  # of the group dev only

from matplotlib.patches import Rectangle
from PIL import Image

from grafana.preview.canvas import Box, Canvas, fitting, wide
from grafana.preview.draw import WIDTH, look, picture
from grafana.preview.panels import grid
from grafana.preview.shown import Shown

BOARDS = {board.uid: board for board in boards() if board.datasource == "prometheus"}
LABELS = {"le": "0.5", "shard": "1", "bot": "b", "row": "0000", "col": "00", "_n": "0001"}


class Answers(Prometheus):
    """Finds the same two series whatever is asked."""

    def __init__(self, *values: float) -> None:
        self.values = values or (3.0, 3.0, math.nan, 1.0, 3.0)

    async def ask(self, target: Target, view: View) -> list[Series]:
        points = tuple((view.end - 60 + 15 * n, value) for n, value in enumerate(self.values))
        both = (
            LABELS,
            {**LABELS, "le": "+Inf", "shard": "2", "bot": "b, and a name that is longer than any panel" * 9},
        )
        return [Series(labels, points[-1:] if target.instant else points) for labels in both]


class Nothing(Answers):
    async def ask(self, target: Target, view: View) -> list[Series]:
        return []


class Broken(Answers):
    async def ask(self, target: Target, view: View) -> list[Series]:
        raise Refused("parse error")


def view_of(board: Board) -> View:
    known = {raw["name"]: Variable(raw["name"], ("0", "1"), (ALL,), several=True) for raw in board.variables}
    return View(1000, 1600, variables=known)


async def drawn(board: Board, server: Prometheus, *, unfold: bool = True) -> tuple[Canvas, list[Shown]]:
    shown = await look(board, server, view_of(board), unfold=unfold)
    return picture(board, shown, view_of(board)), shown


def texts(canvas: Canvas) -> list[str]:
    sheet: Any = canvas._sheet
    return [text.get_text() for text in sheet.texts]


def one_of_each() -> Board:
    """A board with a panel of each kind."""
    found = {panel.type: panel.raw for board in BOARDS.values() for panel in board.panels()}
    placed = [raw | {"gridPos": {"x": n * 4, "y": 0, "w": 4, "h": 8}} for n, raw in enumerate(found.values())]
    return Board(BOARDS["argus-exporter-shards"].raw | {"panels": placed})


@pytest.mark.parametrize(
    "server", [Answers(0), Answers(math.nan), Nothing(), Broken()], ids=lambda one: type(one).__name__
)
async def test_every_kind_of_panel_is_drawn_whatever_is_found(server: Prometheus) -> None:
    board = one_of_each()
    assert len(list(board.panels())) == 6
    await drawn(board, server)


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
async def test_every_board_is_drawn_and_no_panel_lies_on_another(board: Board) -> None:
    canvas, shown = await drawn(board, Answers())
    said = [text.rstrip("…") for text in texts(canvas)]
    assert any("not Grafana" in text for text in said)
    assert board.title in said
    titles = {one.view.fill(one.panel.title, "text") for one in shown}
    assert [
        title for title in titles if not any(title in text or title.startswith(text or "\0") for text in said)
    ] == []
    sheet: Any = canvas._sheet
    boxes = [patch for patch in sheet.patches if isinstance(patch, Rectangle) and patch.get_linewidth()]
    assert len(boxes) == len([one for one in shown if one.panel.type != "row"])
    for n, one in enumerate(boxes):
        assert one.get_x() >= 0
        assert one.get_x() + one.get_width() <= canvas.width
        assert one.get_y() + one.get_height() <= canvas.height
        assert not any(one.get_bbox().overlaps(other.get_bbox()) for other in boxes[n + 1 :])


async def test_what_was_refused_or_not_found_is_said_in_the_panel() -> None:
    board = BOARDS["argus-exporter-overview"]
    assert "parse error" in texts((await drawn(board, Broken()))[0])
    assert "No data" in texts((await drawn(board, Nothing()))[0])


async def test_a_folded_row_is_a_line_until_it_is_unfolded() -> None:
    inner = {"type": "stat", "title": "inner", "gridPos": {"x": 0, "y": 1, "w": 6, "h": 4}, "targets": []}
    row = {"type": "row", "title": "Row", "collapsed": True, "gridPos": {"x": 0, "y": 0, "w": 24, "h": 1}}
    below = {**row, "title": "Below", "collapsed": False, "gridPos": {"x": 0, "y": 1, "w": 24, "h": 1}}
    board = Board({"title": "T", "panels": [row | {"panels": [inner]}, below]})
    folded, unfolded = await drawn(board, Nothing(), unfold=False), await drawn(board, Nothing())
    assert [text for text in texts(folded[0]) if "inner" in text or "▸" in text or "▾" in text] == ["▸ Row", "▾ Below"]
    assert [text for text in texts(unfolded[0]) if "inner" in text or "▾" in text] == ["▾ Row", "inner", "▾ Below"]
    assert [one.panel.y for one in unfolded[1]] == [0, 1, 5]


async def test_only_the_first_rows_are_drawn_where_that_is_wished() -> None:
    board = BOARDS["argus-exporter-overview"]
    whole, part = [await look(board, Nothing(), view_of(board), rows=rows) for rows in (1000, 9)]
    assert 0 < len(part) < len(whole)
    assert max(one.panel.y + one.panel.h for one in part) == 9
    assert picture(board, part, view_of(board)).height < picture(board, whole, view_of(board)).height


async def test_a_state_has_its_text_and_its_colour() -> None:
    raw = next(panel for panel in BOARDS["argus-exporter-shards"].panels() if panel.title == "State").raw
    board = Board(BOARDS["argus-exporter-shards"].raw | {"panels": [raw]})
    canvas, _ = await drawn(board, Answers(2.0))
    assert "offline" in texts(canvas)
    sheet: Any = canvas._sheet
    assert (0.769, 0.086, 0.165) in [
        tuple(round(part, 3) for part in patch.get_facecolor()[:3]) for patch in sheet.patches
    ]


@pytest.mark.parametrize("count", [1, 2, 7, 50, 200, 1000])
@pytest.mark.parametrize("box", [Box(0, 0, 1580, 400), Box(5, 7, 390, 400), Box(0, 0, 100, 900)])
def test_tiles_fill_a_box_and_do_not_overlap(box: Box, count: int) -> None:
    tiles = grid(box, count)
    assert len({(tile.x, tile.y) for tile in tiles}) == len(tiles) == count
    assert len({(tile.w, tile.h) for tile in tiles}) == 1
    assert max(tile.x + tile.w for tile in tiles) <= box.x + box.w + 1
    assert max(tile.y + tile.h for tile in tiles) <= box.y + box.h + 1
    assert min(tile.w for tile in tiles) > 0 < min(tile.h for tile in tiles)


def test_a_text_is_cut_where_it_does_not_fit() -> None:
    assert fitting("short", 10, 100) == "short"
    cut = fitting("something longer", 10, 60)
    assert cut.endswith("…")
    assert "something longer".startswith(cut[:-1])
    assert wide(cut, 10) <= 66
    assert wide("AAA", 10) > wide("aaa", 10)


async def test_a_picture_is_a_small_png_as_wide_as_the_board(tmp_path: Path) -> None:
    canvas, _ = await drawn(BOARDS["argus-exporter-overview"], Answers())
    canvas.save(tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as image:
        assert (image.format, image.width) == ("PNG", WIDTH + 8)
    assert (tmp_path / "x.png").stat().st_size < 200_000
