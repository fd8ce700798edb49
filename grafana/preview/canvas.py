"""A sheet to draw on, measured in Grafana's pixels, the origin at the upper left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BACKGROUND: Final = "#111217"
PANEL: Final = "#181B1F"
BORDER: Final = "#2C3039"
TEXT: Final = "#CCCCDC"
FAINT: Final = "#8E8E9C"
_DPI: Final = 100
_POINTS: Final = 72 / _DPI
_WIDE: Final = 0.56
"""How wide a letter is on average, in heights of its font; a capital is wider."""
_WIDER: Final = 0.68


@dataclass(frozen=True)
class Box:
    """A rectangle on the sheet."""

    x: float
    y: float
    w: float
    h: float

    def inside(self, left: float, top: float, right: float, bottom: float) -> Box:
        """The same without a margin at each side."""
        return Box(self.x + left, self.y + top, max(self.w - left - right, 1), max(self.h - top - bottom, 1))


class Canvas:
    """A sheet of `width` to `height` pixels."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self._figure: Any = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor=BACKGROUND)
        self._sheet: Any = self._figure.add_axes((0, 0, 1, 1))
        self._sheet.set(xlim=(0, width), ylim=(height, 0))
        self._sheet.axis("off")

    def fill(self, box: Box, colour: str, border: str | None = None, opacity: float = 1.0) -> None:
        """Fill a rectangle."""
        patch = Rectangle((box.x, box.y), box.w, box.h, facecolor=colour, edgecolor=border or "none", alpha=opacity)
        patch.set_linewidth(1 if border else 0)
        self._sheet.add_patch(patch)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float = 12,
        colour: str = TEXT,
        *,
        at: str = "left",
        bold: bool = False,
    ) -> None:
        """Write a line, its middle at y; `size` in pixels."""
        self._sheet.text(
            *(x, y, text.replace("$", r"\$")),
            fontsize=size * _POINTS,
            color=colour,
            ha=at,
            va="center_baseline",
            weight="bold" if bold else "normal",
        )

    def line(self, xs: Sequence[float], ys: Sequence[float], colour: str) -> None:
        """Draw a thin line."""
        self._sheet.plot(xs, ys, color=colour, linewidth=1)

    def axes(self, box: Box) -> Any:
        """Axes of matplotlib's in a rectangle, with faint lines."""
        place = (box.x / self.width, 1 - (box.y + box.h) / self.height, box.w / self.width, box.h / self.height)
        axes = self._figure.add_axes(place, facecolor=PANEL)
        axes.tick_params(colors=FAINT, labelsize=10 * _POINTS, length=0)
        axes.grid(visible=True, color=BORDER, linewidth=0.6)
        axes.set_axisbelow(True)
        for spine in axes.spines.values():
            spine.set_visible(False)
        return axes

    def save(self, path: Path) -> None:
        """Write it as a PNG of few colours, which is small."""
        drawn: Any = FigureCanvasAgg(self._figure)
        drawn.draw()
        image = Image.frombuffer("RGBA", drawn.get_width_height(), drawn.buffer_rgba())
        image.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


def wide(text: str, size: float) -> float:
    """About how wide a text is."""
    return size * sum(_WIDER if letter.isupper() else _WIDE for letter in text)


def fitting(text: str, size: float, width: float) -> str:
    """The text, cut where it would be wider."""
    if wide(text, size) <= width:
        return text
    while text and wide(text, size) > width - size:
        text = text[:-1]
    return f"{text}…"
