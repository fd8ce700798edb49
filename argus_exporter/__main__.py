"""The command line: ``python -m argus_exporter``. It needs no bot and starts none."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import importlib
import json
import os
import re
import sys
import typing
from typing import Any, Final

from argus_exporter.catalogue import METRICS, Histogram, Label, Metric
from argus_exporter.doctor import OK, WARNING, WRONG, Finding, error_of, examine, number, printable
from argus_exporter.settings import HIDDEN, UNSET, SettingError, Settings, variable_of
from argus_exporter.version import VERSION

if typing.TYPE_CHECKING:
    from collections.abc import Iterable

PROGRAM: Final = "python -m argus_exporter"
_COLOURS: Final = {OK: 32, WARNING: 33, WRONG: 31}
_EPILOG: Final = """exit codes:
  0  all is well
  1  something is wrong: a setting, what a bot would start in, the page, or the database
  2  the command line was wrong, or nobody was there to confirm
"""

# ---------------------------------------------------------------------------------------------- metrics


def show_metrics(options: argparse.Namespace) -> int:
    """Print the catalogue."""
    if options.json:
        return _print_json([_metric_as_data(metric) for metric in METRICS])
    rows = [(metric.name, metric.kind, ", ".join(map(_label_text, metric.labels)), metric.help) for metric in METRICS]
    return _print_table(("METRIC", "TYPE", "LABELS (AT MOST)", "MEANING"), rows)


def _label_text(label: Label) -> str:
    return f"{label.name} ({label.bound})"


def _metric_as_data(metric: Metric) -> dict[str, object]:
    return {
        "name": metric.name,
        "type": metric.kind,
        "noun": metric.noun,
        "help": metric.help,
        "series": metric.series,
        "labels": [dataclasses.asdict(label) for label in metric.labels],
        "edges": metric.edges if isinstance(metric, Histogram) else None,
    }


# ---------------------------------------------------------------------------------------------- settings


def show_settings(options: argparse.Namespace) -> int:
    """Print every setting, with what the environment says of it."""
    settings = [_setting_as_data(field) for field in dataclasses.fields(Settings)]
    if options.json:
        return _print_json(settings)
    return _print_table(("VARIABLE", "DEFAULT", "NOW", "MEANING"), [_setting_row(setting) for setting in settings])


def _setting_as_data(field: dataclasses.Field[Any]) -> dict[str, str | None]:
    variable = variable_of(field.name)
    default, meaning, allowed = (field.metadata[key] for key in ("shown", "help", "allowed"))
    value = os.environ.get(variable, "").strip() or None
    value = HIDDEN if value and field.metadata["secret"] else value
    data = {"variable": variable, "argument": field.name, "default": default, "value": value, "help": meaning}
    return {**data, "allowed": allowed, "error": error_of(field.name, os.environ)}


def _setting_row(setting: dict[str, str | None]) -> tuple[str, ...]:
    now = UNSET if setting["value"] is None else printable(setting["value"])
    wrong = " (not allowed)" if setting["error"] else ""
    return str(setting["variable"]), str(setting["default"]), now + wrong, str(setting["help"])


# ---------------------------------------------------------------------------------------------- check


def check(options: argparse.Namespace) -> int:
    """Look at what a bot would start in, and at the page where a URL is given."""
    findings: list[Finding] = []
    for finding in examine(os.environ, options.url, options.timeout):
        findings.append(finding)
        if not options.json:
            _print(f"{_painted(finding.status)} {finding.name}: {finding.text}")
    well = all(finding.status != WRONG for finding in findings)
    if options.json:
        _print_json({"ok": well, "checks": [dataclasses.asdict(finding) for finding in findings]})
    return 0 if well else 1


def _painted(status: str) -> str:
    """A status in as many characters as the longest has, in colour where somebody sees it (https://no-color.org)."""
    colourful = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    padded = status.ljust(len(WARNING))
    return f"\x1b[{_COLOURS[status]}m{padded}\x1b[0m" if colourful else padded


# ---------------------------------------------------------------------------------------------- erase


def erase(options: argparse.Namespace) -> int:
    """Erase what is recorded of a guild or of a user."""
    what = f"user {options.user}" if options.guild is None else f"guild {options.guild}"
    try:
        erasure = importlib.import_module("argus_exporter.analytics.erase").Erasure(
            Settings.load(), options.guild, options.user
        )
    except SettingError as error:
        return _complain(str(error), 1)
    if not options.yes and not sys.stdin.isatty():
        return _complain("nobody is there to confirm: --yes erases without asking", 2)
    if not options.yes and not _confirmed(f"Erase every row of {what} in {erasure.url}? [y/N] "):
        return _complain("nothing was erased", 1)
    return _erase(erasure, what, as_json=options.json)


def _erase(erasure: Any, what: str, *, as_json: bool) -> int:
    told = importlib.import_module("argus_exporter.analytics.privacy").told

    def progress(seconds: float) -> None:
        _complain(f"erasing {what} for {seconds:.0f} s", 0)

    try:
        found = asyncio.run(erasure.run(progress))
    except Exception as error:  # noqa: BLE001 - whatever the database says is one line
        return _complain(f"{erasure.url}: {told(error, erasure.url.reveal())}", 1)
    rows = {each.table: each.rows for each in found}
    if as_json:
        return _print_json({"database": repr(erasure.url), "erased": what, "tables": rows, "rows": sum(rows.values())})
    lines = [*rows.items(), ("all", sum(rows.values()))]
    return _print_table(("TABLE", "ROWS ERASED"), [(table, str(count)) for table, count in lines])


def _confirmed(question: str) -> bool:
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _complain(line: str, code: int) -> int:
    sys.stderr.write(f"{line}\n")
    return code


# ---------------------------------------------------------------------------------------------- the command line


def _id(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,19}", text) or not 0 < int(text) < 2**63:
        msg = f"{text!r} is not an id of Discord"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _url(text: str) -> str:
    if not re.match(r"https?://[^/\s]+", text):
        msg = f"{text!r} is not a URL such as http://127.0.0.1:9191/metrics"
        raise argparse.ArgumentTypeError(msg)
    if "@" in text.split("/")[2]:
        msg = f"no secret in a URL: it is asked for with {variable_of('token')}"
        raise argparse.ArgumentTypeError(msg)
    return text


def _timeout(text: str) -> float:
    seconds = number(text)
    if not 0 < seconds <= 3600:  # noqa: PLR2004 - an hour
        msg = f"{text!r} is not a number of seconds"
        raise argparse.ArgumentTypeError(msg)
    return seconds


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Shows the metrics and settings of argus_exporter, and checks an exporter that runs.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"argus_exporter {VERSION}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, run, text, add_options in _COMMANDS:
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        command.set_defaults(run=run)
        add_options(command)
    return top


def _json_option(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON")


def _check_options(command: argparse.ArgumentParser) -> None:
    _json_option(command)
    command.add_argument("--url", type=_url, help="the page of an exporter, such as http://127.0.0.1:9191/metrics")
    command.add_argument("--timeout", type=_timeout, default=5.0, metavar="SECONDS", help="for the page (default: 5)")


def _erase_options(command: argparse.ArgumentParser) -> None:
    _json_option(command)
    whose = command.add_mutually_exclusive_group(required=True)
    whose.add_argument("--guild", type=_id, metavar="ID", help="erase every row of this guild")
    whose.add_argument("--user", type=_id, metavar="ID", help="erase every row of this user, in every guild")
    command.add_argument("--yes", action="store_true", help="do not ask")


_COMMANDS: Final = (
    (
        "metrics",
        show_metrics,
        "print every metric with its type, labels and meaning",
        _json_option,
    ),
    (
        "settings",
        show_settings,
        "print every setting with its default and what the environment says",
        _json_option,
    ),
    (
        "check",
        check,
        "check the ARGUS_ variables of this environment, what a bot would start in, and a running exporter",
        _check_options,
    ),
    (
        "erase",
        erase,
        "erase all that the database of ARGUS_ANALYTICS_URL has of a guild or of a user",
        _erase_options,
    ),
)


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return the exit code."""
    options = parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except BrokenPipeError:  # the reader has gone: "metrics | head"
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _print(line: str) -> None:
    """Print a line in what the terminal can show."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(line.encode(encoding, "replace").decode(encoding) + "\n")
    sys.stdout.flush()


def _print_json(data: object) -> int:
    _print(json.dumps(data, indent=2))
    return 0


def _print_table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> int:
    table = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        _print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


if __name__ == "__main__":
    sys.exit(main())
