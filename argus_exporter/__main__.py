"""The command line: ``python -m argus_exporter``. It needs no bot and starts none."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import http.client
import json
import os
import re
import sys
import typing
import urllib.error
import urllib.request
from typing import Any, Final

from argus_exporter import catalogue
from argus_exporter.catalogue import METRICS, Histogram, Label, Metric
from argus_exporter.exposition.tls import certificates
from argus_exporter.settings import HIDDEN, UNSET, SettingError, Settings, variable_of
from argus_exporter.version import VERSION

if typing.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

PROGRAM: Final = "python -m argus_exporter"
LARGEST_PAGE: Final = 256 * 1024 * 1024
STATUSES: Final = ("unknown", "unhealthy", "offline", "online", "starting", "stopping", "resuming")
"""What the values of ``discord_shard_status`` mean."""

_EPILOG: Final = """exit codes:
  0  all is well
  1  a setting is not allowed, or the page is not what it should be
  2  the command line was wrong
"""
_PREFIX: Final = variable_of("")
_SERVICE_LINK_VARIABLE: Final = re.compile(r"ARGUS_(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)\Z")
_SAMPLE: Final = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})? (\S+)(?: \S+)?\Z')
_PAIR: Final = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


class UsageError(Exception):
    """Something the user can mend; the message is shown alone, without a traceback."""


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """One line of a page."""

    name: str
    labels: dict[str, str]
    value: float


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
    return {**data, "allowed": allowed, "error": _error_of(field.name)}


def _setting_row(setting: dict[str, str | None]) -> tuple[str, ...]:
    now = UNSET if setting["value"] is None else _printable(setting["value"])
    wrong = " (not allowed)" if setting["error"] else ""
    return str(setting["variable"]), str(setting["default"]), now + wrong, str(setting["help"])


def _error_of(name: str) -> str | None:
    """Say what is wrong with a setting's variable, if anything is."""
    variable = variable_of(name)
    try:
        Settings.load({variable: os.environ.get(variable, "")})
    except SettingError as error:
        return str(error)
    return None


# ---------------------------------------------------------------------------------------------- check


def check(options: argparse.Namespace) -> int:
    """Check the settings, and the page where a URL is given."""
    sound = _check_settings()
    return 0 if (_check_page(options.url, options.timeout) if options.url else True) and sound else 1


def _check_settings() -> bool:
    errors = [error for field in dataclasses.fields(Settings) if (error := _error_of(field.name))]
    errors += [] if errors else _errors_between()
    for line in (*errors, *_unknown_variables()):
        _print(line)
    if not errors:
        _print("settings: every ARGUS_ variable that is known has a value that is allowed")
    return not errors


def _errors_between() -> list[str]:
    """Say what is wrong with settings that are right one by one: files that do not belong together."""
    try:
        certificates(Settings.load())
    except SettingError as error:
        return [str(error)]
    return []


def _unknown_variables() -> Iterator[str]:
    """Name the variables that look like settings and are none: another program's, or misspelt."""
    known = {variable_of(field.name).removeprefix(_PREFIX) for field in dataclasses.fields(Settings)}
    for name in sorted(os.environ):
        own = name.removeprefix(_PREFIX)
        if own not in {name, *known} and not _SERVICE_LINK_VARIABLE.match(name):
            alike = difflib.get_close_matches(own, known, n=1)
            yield f"{_printable(name)} is not a setting{f': did you mean {_PREFIX}{alike[0]}?' if alike else ''}"


def _check_page(url: str, timeout: float) -> bool:
    samples = list(_samples(_fetch(url, timeout)))
    if not any(sample.name == catalogue.EXPORTER_INFO.name for sample in samples):
        _print(f"{url}: answers, but is not the page of argus_exporter: {catalogue.EXPORTER_INFO.name} is not there")
        return False
    families = {metric.name for metric in METRICS} & {_family(sample.name) for sample in samples}
    _print(f"{url}: alive, {len(samples)} series, {len(families)} of the {len(METRICS)} metrics of argus_exporter")
    return all([_check_shards(samples), _check_collectors(samples)])


def _family(name: str) -> str:
    return re.sub(r"_(bucket|sum|count)\Z", "", name)


def _check_shards(samples: Sequence[Sample]) -> bool:
    name = catalogue.SHARD_STATUS.name
    shards = {sample.labels.get("shard", ""): sample.value for sample in samples if sample.name == name}
    if not shards:
        _print(f"{name}: is not there. Is the extension loaded, and shards not in ARGUS_DISABLE?")
        return False
    tally: dict[str, list[str]] = {}
    for shard, value in shards.items():
        tally.setdefault(_status(value), []).append(shard)
    _print(f"{name}: {', '.join(f'{len(tally[status])} {status}' for status in tally)}")
    for status in tally.keys() - {"online"}:
        _print(f"  {status}: {', '.join(tally[status])}")
    return True


def _status(value: float) -> str:
    return STATUSES[int(value)] if value in range(len(STATUSES)) else f"{value:g}, which means nothing"


def _check_collectors(samples: Sequence[Sample]) -> bool:
    name = catalogue.COLLECTOR_UP.name
    down = [sample.labels.get("collector", "") for sample in samples if sample.name == name and sample.value == 0]
    for collector in down:
        _print(f"collector {collector}: does not see all that it should, the bot's log says why")
    return not down


def _fetch(url: str, timeout: float) -> str:
    """Fetch a page, without any proxy.

    :raises UsageError: if that is not possible.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=timeout) as answer:
            page: bytes = answer.read(LARGEST_PAGE)
    except urllib.error.HTTPError as error:
        with error:
            msg = f"{url}: answers with {error.code} {error.reason}"
        raise UsageError(msg) from None
    except (OSError, ValueError, OverflowError, http.client.HTTPException) as error:
        msg = f"{url}: not reachable: {getattr(error, 'reason', error) or type(error).__name__}"
        raise UsageError(msg) from None
    return page.decode(errors="replace")


def _samples(page: str) -> Iterator[Sample]:
    for line in page.split("\n"):
        match = None if line.startswith("#") else _SAMPLE.match(line)
        if match:
            yield Sample(match[1], dict(_PAIR.findall(match[2] or "")), _number(match[3]))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


# ---------------------------------------------------------------------------------------------- the command line


def _url(text: str) -> str:
    if not re.match(r"https?://[^/\s]+", text):
        msg = f"{text!r} is not a URL such as http://127.0.0.1:9191/metrics"
        raise argparse.ArgumentTypeError(msg)
    return text


def _timeout(text: str) -> float:
    seconds = _number(text)
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
    command.add_argument("--url", type=_url, help="the page of an exporter, such as http://127.0.0.1:9191/metrics")
    command.add_argument("--timeout", type=_timeout, default=5.0, metavar="SECONDS", help="for the page (default: 5)")


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
        "check the ARGUS_ variables of this environment, and a running exporter",
        _check_options,
    ),
)


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return the exit code."""
    options = parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except UsageError as error:
        _print(str(error))
        return 1
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


def _printable(text: str) -> str:
    return text if text.isprintable() else repr(text)


if __name__ == "__main__":
    sys.exit(main())
