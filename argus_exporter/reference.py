"""The tables in README.md: metrics, settings, and what is read of discord.py's insides, generated from the source.

``python -m argus_exporter.reference`` writes them, with ``--check`` it says whether they are old.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import re
import sys
import typing
from pathlib import Path
from typing import Final

from argus_exporter.catalogue import METRICS, Label, Metric
from argus_exporter.settings import Settings, variable_of

if typing.TYPE_CHECKING:
    from collections.abc import Sequence

README: Final = Path(__file__).parent.parent / "README.md"
INSIDES: Final = Path(__file__).parent / "discordpy" / "__init__.py"
"""Read, not imported: the tables need no discord.py."""

COMMAND: Final = "python -m argus_exporter.reference"
SHORT_LIST: Final = 8
"""A closed label of up to so many values is shown with them, a longer one with their number."""


def metrics_text() -> str:
    """Return the tables of metrics, one for each noun, in the order of the catalogue."""
    nouns = dict.fromkeys(metric.noun for metric in METRICS)
    return "\n\n".join(f"### {noun}\n\n{_metrics_table(noun)}" for noun in nouns)


def settings_text() -> str:
    """Return the table of settings."""
    rows = [
        (f"`{variable_of(field.name)}`", field.metadata["shown"], field.metadata["help"])
        for field in dataclasses.fields(Settings)
    ]
    return _table(("variable", "default", "meaning"), rows)


def insides_text() -> str:
    """Return the table of discord.py's private attributes, from the docstring of the package that reads them."""
    text = ast.get_docstring(ast.parse(INSIDES.read_text(encoding="utf-8"))) or ""
    _, head, body, _ = re.split(r"^=+ +=+$", text, flags=re.MULTILINE)
    second = head.strip("\n").index("without")
    rows: list[tuple[str, str]] = []
    for line in body.strip("\n").split("\n"):
        cells = (line[:second].strip(), line[second:].strip())
        before = rows.pop() if line.startswith(" ") else ("", "")
        rows.append((f"{before[0]} {cells[0]}".strip(), f"{before[1]} {cells[1]}".strip()))
    return _table(("read or replaced", "without it"), rows).replace("``", "`")


def with_tables(text: str) -> str:
    """Put the tables between their markers; where there are none, at the end, with a heading.

    :raises ValueError: if a marker has no partner, or stands there twice.
    """
    tables = (("metrics", metrics_text()), ("settings", settings_text()), ("insides", insides_text()))
    for name, table in tables:
        text = _with_section(text, name, table)
    return text


def main(arguments: list[str] | None = None) -> int:
    """Write the tables, or check them; return the exit code: 1 if they are old or cannot be written."""
    options = _parser().parse_args(arguments)
    try:
        before = options.readme.read_text(encoding="utf-8")
        after = with_tables(before)
    except (OSError, ValueError) as error:
        return _fail(f"{options.readme}: {error}")
    if after == before:
        return 0
    if options.check:
        return _fail(f"The tables in {options.readme.name} are old. Write them anew with: {COMMAND}")
    options.readme.write_text(after, encoding="utf-8", newline="\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=COMMAND, description="Write the generated tables in README.md.")
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 if the tables are old")
    parser.add_argument(
        "readme", nargs="?", type=Path, default=README, help="the file, the project's README.md if left out"
    )
    return parser


def _fail(message: str) -> int:
    sys.stderr.write(f"{message}\n")
    return 1


def _with_section(text: str, name: str, table: str) -> str:
    start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    section = f"{start}\n{table}\n{end}"
    marks = (text.count(start), text.count(end))
    if marks == (0, 0):
        return f"{text.rstrip()}\n\n## {name.capitalize()}\n\n{section}\n"
    if marks != (1, 1) or text.index(start) > text.index(end):
        msg = f"needs {start} and {end} once each, in this order"
        raise ValueError(msg)
    return re.sub(f"{start}.*{end}", lambda _: section, text, flags=re.DOTALL)


def _metrics_table(noun: str) -> str:
    rows = [_metric_row(metric) for metric in METRICS if metric.noun == noun]
    return _table(("metric", "type", "labels", "meaning"), rows)


def _metric_row(metric: Metric) -> tuple[str, ...]:
    labels = ", ".join(map(_label_text, metric.labels))
    return f"`{metric.name}`", metric.kind, labels, metric.help


def _label_text(label: Label) -> str:
    if label.values and len(label.values) <= SHORT_LIST:
        return f"`{label.name}` ({', '.join(label.values)})"
    return f"`{label.name}` (at most {label.bound}: {label.why})"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    return "\n".join(map(_row, (head, ("---",) * len(head), *rows)))


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    sys.exit(main())
