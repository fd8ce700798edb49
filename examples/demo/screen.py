"""The live display. The only module that needs rich."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from examples.demo import words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from examples.demo.summary import Shard, Summary
    from examples.demo.view import View

COLOURS: Final = {
    "online": "green",
    "starting": "yellow",
    "resuming": "yellow",
    "stopping": "yellow",
    "unhealthy": "bold red",
    "offline": "bold red",
    "unknown": "dim",
}
WIDEST: Final = 110
_TOP_EVENTS: Final = 8
_OTHER_LINES: Final = 15
"""Lines of the screen that are neither header nor shards nor notes."""
_FEWEST_NOTES: Final = 2
_BAR: Final = 10


class Screen:
    """Takes the whole terminal while it is open, and gives it back as it was."""

    def __init__(self) -> None:
        self._console = Console()
        self._live = Live(console=self._console, screen=True, auto_refresh=False)

    @property
    def usable(self) -> bool:
        """Whether the terminal can do it."""
        return self._console.is_terminal and not self._console.is_dumb_terminal

    def open(self) -> None:
        """Take the terminal."""
        self._live.start()

    def close(self) -> None:
        """Give it back."""
        self._live.stop()

    def show(self, view: View) -> None:
        """Show how things are."""
        self._live.update(render(view, self._console.width, self._console.height), refresh=True)


def render(view: View, width: int, height: int) -> RenderableType:
    """The whole screen, of so many columns and lines."""
    width = min(width, WIDEST)
    header = _header(view)
    if view.summary is None:
        return Group(*header, Text(""), Text(view.trouble or "waiting for the first page ...", "yellow"))
    room = height - _OTHER_LINES - len(header)
    table = _shards(view.summary.shards, max(room - _FEWEST_NOTES, 1), width)
    footer = _footer(view, max(room - table.row_count, 0))
    return Group(*header, Text(""), table, Text(""), _middle(view.summary, width), Text(""), *footer)


def _line(*parts: tuple[str, str] | str) -> Text:
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def _header(view: View) -> list[Text]:
    up = words.clock(view.summary.uptime if view.summary else None)
    asked = f"{view.shards} shards, {view.guilds} guilds, {view.rate:g} events/s asked for; up {up}"
    lines = [_line(("metrics     ", "dim"), (view.url, "bold cyan")), _line(("bot         ", "dim"), asked)]
    if view.prometheus:
        lines.append(_line(("Prometheus  ", "dim"), view.prometheus))
    if view.trouble and view.summary:
        lines.append(_line((f"trouble     {view.trouble}", "bold red")))
    return lines


def _columns(*names: str, left: int = 1) -> Table:
    """A table without lines; the first columns are left-aligned, the others right."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    for index, name in enumerate(names):
        table.add_column(name, justify="left" if index < left else "right", no_wrap=True)
    return table


def _shards(shards: tuple[Shard, ...], rows: int, width: int) -> Table:
    table = _columns("shard", "status", "latency", "events/s", "guilds", "unavailable", "outages", left=2)
    table.width = width
    shown = shards if len(shards) <= rows else _worst(shards, rows - 1)
    for shard in shown:
        table.add_row(*_cells(shard))
    if len(shown) < len(shards):
        table.add_row("...", Text(_hidden(shards, shown), "dim"))
    return table


def _hidden(shards: Iterable[Shard], shown: list[Shard] | tuple[Shard, ...]) -> str:
    counts = Counter(shard.word for shard in shards if shard not in shown)
    return ", ".join(f"{count} {word}" for word, count in counts.items())


def _worst(shards: Iterable[Shard], rows: int) -> list[Shard]:
    """Those to show when there are too many: what is not online first, in the order of their numbers."""
    chosen = sorted(shards, key=lambda shard: (shard.word == "online", shard.number))[:rows]
    return sorted(chosen, key=lambda shard: shard.number)


def _cells(shard: Shard) -> tuple[str | Text, ...]:
    return (
        str(shard.number),
        Text(shard.word, COLOURS[shard.word]),
        words.seconds(shard.latency),
        words.rate(shard.rate),
        words.count(shard.guilds),
        _alarming(shard.unavailable),
        _alarming(shard.outages),
    )


def _alarming(value: float) -> Text:
    return Text(words.count(value), "yellow" if value else "dim")


def _middle(summary: Summary, width: int) -> Table:
    """Events on the left, the process on the right."""
    table = Table.grid(expand=True, padding=(0, 3, 0, 0))
    table.width = width
    table.add_column(ratio=1)
    table.add_column()
    table.add_row(_events(summary), _process(summary))
    return table


def _events(summary: Summary) -> Table:
    table = _columns("event", "per second")
    table.add_column()
    most = max((rate for _, rate in summary.events), default=0.0)
    for name, rate in summary.events[:_TOP_EVENTS]:
        table.add_row(name, words.rate(rate), Text("\N{BLACK RECTANGLE}" * round(_BAR * rate / most), "blue"))
    return table


def _process(summary: Summary) -> Table:
    table = _columns("the bot's process", "")
    for name, text in (
        ("loop lag p99, 1 min", words.edge(summary.lag_p99)),
        ("loop lag worst, 1 min", words.edge(summary.lag_worst)),
        ("loop blocked, in all", words.seconds(summary.blocked)),
        ("memory", words.size(summary.memory)),
        ("cpu", words.percent(summary.cpu)),
        ("asyncio tasks", words.count(summary.tasks)),
        ("series, page", f"{words.count(summary.series)}, {words.size(summary.size)}"),
        ("scrape, rendering", f"{words.seconds(summary.scrape)}, {words.seconds(summary.render)}"),
    ):
        table.add_row(name, text)
    return table


def _footer(view: View, notes: int) -> list[Text]:
    style = "bold yellow" if view.incidents else "dim"
    last = list(view.notes)[-notes:] if notes else []
    return [
        _line(("incident    ", "dim"), (view.happening, style)),
        *(_line((note, "dim")) for note in last),
        _line(("Ctrl-C stops it", "dim")),
    ]
