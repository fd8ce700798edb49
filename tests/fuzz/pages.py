"""Label values, and the metrics of a bot's own, on a page that prometheus_client reads back."""

from __future__ import annotations

import io
import math
import re
import sys
from collections import Counter as Tally
from collections.abc import Iterable
from typing import Any

from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from argus_exporter.catalogue import LONGEST_VALUE, OTHER, Counter, Gauge, Histogram, Label
from argus_exporter.custom import OURS, CounterHandle, Custom, CustomMethods, GaugeHandle
from argus_exporter.exposition.encode import Encoder
from argus_exporter.instruments import Instruments
from argus_exporter.threads import Ledger
from tests.fuzz.source import Source
from tests.fuzz.target import Target, always, check_line

Sample = tuple[str, frozenset[tuple[str, str]], float]

WORDS = (
    *('"', "\\", "\n", "\r\n", "\0", "\x85", "\u2028", "\ud800", "\U0001f600", "é", "%", "%s", "{}", "}", "} None"),
    *(",", '",x="', '\\"', "\\n", '"} 1\nfuzz_total{one="', "\n# EOF\n", "# HELP x", "None", "other", " ", "\t"),
    *("NaN", "x" * 127),
)
WIDE = (Label("one", 100, "many"), Label("two", 100, "many"))
COUNTED = Counter("fuzz_total", "Counted.", "custom", WIDE, series=100)
LEVEL = Gauge("fuzz_level", "Level.", "custom", WIDE, series=100)
TIMED = Histogram("fuzz_seconds", "Timed.", "custom", WIDE, series=100, edges=(1,))
AMOUNTS = (1, 0, 2.5, 2**70, 1e308, math.inf, 7)

_MOST = sys.float_info.max
_OPENMETRICS = 64
"""In one of so many inputs the page is read as OpenMetrics too: that takes ten times as long."""


def parsed(page: bytes, *, openmetrics: bool = False) -> list[Sample]:
    """What prometheus_client reads."""
    read = openmetrics_parser if openmetrics else parser
    families = read.text_fd_to_metric_families(io.StringIO(page.decode(), newline="\n"))
    return [(each.name, frozenset(each.labels.items()), each.value) for one in families for each in one.samples]


def comparable(samples: Iterable[Sample]) -> Tally[tuple[str, frozenset[tuple[str, str]], str]]:
    return Tally((name, labels, repr(float(value))) for name, labels, value in samples)


# ------------------------------------------------------------------------------------------ label values

Step = tuple[int, str, str, float]
Labels = tuple[str, int, tuple[Step, ...]]


def read_labels(source: Source) -> Labels:
    def step() -> Step:
        kind, amount = source.choice((0, 1, 0, 1, 2)), source.choice(AMOUNTS)
        return kind, source.text(WORDS), source.text(WORDS, 2), amount

    return source.text(WORDS, 3), source.number(_OPENMETRICS - 1), source.many(step, 2, 1)


def readable(value: str) -> str:
    """How a value has to come back."""
    return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def short(value: str) -> str:
    return OTHER if len(readable(value)) > LONGEST_VALUE else readable(value)


def check_labels(given: Labels) -> None:
    bot, kind_of_page, steps = given
    instruments = Instruments({"bot": bot})
    families = instruments.counter(COUNTED), instruments.gauge(LEVEL), instruments.histogram(TIMED)
    for kind, *values, amount in steps:
        cell: Any = families[kind].labels(*values)
        getattr(cell, ("inc", "set", "observe")[kind])(0.5 if kind == 2 else amount)
    encoder = Encoder(instruments)
    wanted = comparable(expected(bot, steps))
    assert comparable(parsed(encoder.page())) == wanted
    if kind_of_page == 0:
        assert comparable(parsed(encoder.page(openmetrics=True), openmetrics=True)) == wanted


def expected(bot: str, steps: Iterable[Step]) -> Iterable[Sample]:
    values: dict[tuple[str, str, str], float] = {}
    folded: Tally[str] = Tally()
    for kind, one, two, amount in steps:
        name = (COUNTED, LEVEL, TIMED)[kind].name
        key = name, short(one), short(two)
        values[key] = amount if kind == 1 else values.get(key, 0) + (amount if kind == 0 else 1)
        folded[name] += (one, two) != (one, two) or key[1:] != (readable(one), readable(two))
    constant = {("bot", readable(bot))} if bot else set()
    for (name, one, two), value in values.items():
        labels = {*constant, ("one", one), ("two", two)}
        yield from lines(name, frozenset(labels), value)
    for name, count in folded.items():
        if count:
            yield "argus_exporter_label_overflow_total", frozenset({*constant, ("metric", name)}), count


def lines(name: str, labels: frozenset[tuple[str, str]], value: float) -> Iterable[Sample]:
    if name == TIMED.name:
        yield from ((f"{name}_bucket", labels | {("le", edge)}, value) for edge in ("1.0", "+Inf"))
        yield from ((f"{name}_count", labels, value), (f"{name}_sum", labels, value / 2))
    else:
        yield name, labels, math.inf if value > _MOST else float(value)


# ------------------------------------------------------------------------------------------ a bot's own metrics

KINDS = ("counter", "gauge", "histogram")
USUAL_NAMES = ("shop_total", "shop", "shop_level", "a:b_total")
NAMES = (
    *("shop_", "total", "_total", "_count", "_bucket", "_created", "a", "level", "discord_", "process_"),
    "argus_exporter_",
    *(":", "é", "\n", " ", '"', "{", "123456789012345678", "\ud800", "_seconds", "x_", "bot", "cluster", "le"),
    *("__", "-"),
)
LABEL_NAMES = ("item", "kind", "place")
ODD_LABEL_NAMES = ("user_id", "guildIds", "bot", "le", "token", "é", "", "__x", "a b", "\n")
BOUNDS: tuple[Any, ...] = (2, 1, 5, ("a", "b"), ["a"])
ODD_BOUNDS: tuple[Any, ...] = (
    0,
    -1,
    10**9,
    True,
    None,
    1.5,
    "abc",
    (),
    ("a", 3),
    ["a", "x" * 129],
    [["a"]],
    ["10.0.0.1"],
)
TEXTS = (
    *("123456789012345678", "<@!123456789012345>", "a@b.cd", "10.0.0.1", "f" * 32, "x" * 129, "sword", "a", "b"),
    *("0af76519-16cd-43dd-8448-eb211c80319c", "item"),
)
VALUES: tuple[Any, ...] = (3, 1.5, True, None, b"a", [1], {}, math.nan, 10**14, -(10**14), 10**5000, *TEXTS)
NUMBERS: tuple[Any, ...] = (1, 2, 0.5, 3, 2**60)
ODD_NUMBERS: tuple[Any, ...] = (0, -1, math.nan, math.inf, -math.inf, None, "1", 10**400, True, b"", [], 1e308)

_IDENTITY = re.compile(
    r"(?<!\d)\d{15,20}(?!\d)|[0-9a-fA-F]{32,}|[^\s@]+@[^\s@]+\.[^\s@]+|(?<![\d.])(\d{1,3}\.){3}\d{1,3}(?![\d.])"
)
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_SNOWFLAKE = re.compile(r"(?<!\d)\d{15,20}(?!\d)")

Declaration = tuple[str, str, str, tuple[tuple[str, Any], ...], int]
Use = tuple[int, tuple[Any, ...], bool, Any]
Own = tuple[tuple[Declaration, ...], tuple[Use, ...]]


def read_own(source: Source) -> Own:
    def declaration() -> Declaration:
        kind, usual = source.choice(KINDS), source.choice(USUAL_NAMES)
        name = source.text(NAMES, 4) + source.choice(("", "_total")) if source.seldom() else usual
        labels = source.many(
            lambda: (source.mostly(LABEL_NAMES, ODD_LABEL_NAMES), source.mostly(BOUNDS, ODD_BOUNDS)), 2
        )
        return kind, name, source.text(WORDS, 2) if source.seldom() else "Help.", labels, source.number(3)

    def use() -> Use:
        values = source.many(lambda: any_value(source), 2, 2)
        return source.number(1), values, source.mostly((True,), (False,)), source.mostly(NUMBERS, ODD_NUMBERS)

    return source.many(declaration, 2, 1), source.many(use, 6)


def any_value(source: Source) -> Any:
    return source.choice(VALUES) if source.flag() else source.text((*WORDS, *TEXTS), 3)


class Bot(CustomMethods):
    def __init__(self) -> None:
        self.instruments = Instruments({"bot": "b"})
        self.custom = Custom(self.instruments, Ledger(self.instruments.overflow))


def check_own(given: Own) -> None:
    bot = Bot()
    handles = [handle for each in given[0] if (handle := declared(bot, *each)) is not None]
    sums: dict[str, float] = {}
    for which, values, fitting, number in given[1]:
        if which < len(handles) and used(handles[which], values, number, fitting=fitting):
            name = handles[which]._family.metric.name
            sums[name] = sums.get(name, 0) + (number if is_addable(number) else 0)
    samples = parsed(Encoder(bot.instruments).page())
    check_identities(samples)
    for name, total in sums.items():
        if bot.instruments.families[name].metric.kind == "counter":
            assert math.isclose(sum(value for each, _, value in samples if each == name), float(total), rel_tol=1e-9)


def check_identities(samples: Iterable[Sample]) -> None:
    """No label holds an identity; ``metric``, in what is said of metrics, holds the names that the bot gives them."""
    values = [value for name, labels, _ in samples if not name.startswith("argus_exporter_") for _, value in labels]
    assert not any(map(_IDENTITY.search, values)), values


def declared(bot: Bot, kind: str, name: str, text: str, labels: tuple[tuple[str, Any], ...], series: int) -> Any:
    """The handle, or None where the declaration was refused in a line."""
    try:
        handle = getattr(bot, kind)(name, text, dict(labels), series=series)
    except ValueError as error:
        check_line(error)
        return None
    assert _NAME.fullmatch(name)
    assert text.isprintable()
    assert not name.startswith(OURS)
    assert not _SNOWFLAKE.search(name)
    assert {label for label, _ in labels} <= {"item", "kind", "place"}
    return handle


def used(handle: Any, values: tuple[Any, ...], number: Any, *, fitting: bool) -> bool:
    """Whether a series was found; then it takes whatever the number is, and raises nothing."""
    labels = len(handle._family.metric.labels)
    values = values[:labels] if fitting else values
    try:
        series = handle.labels(*values)
    except ValueError:
        assert len(values) != labels
        return False
    (series.inc if isinstance(series, CounterHandle | GaugeHandle) else series.observe)(number)
    if isinstance(series, GaugeHandle):
        series.set(number)
    return True


def is_addable(number: Any) -> bool:
    return isinstance(number, int | float) and 0 <= number <= _MOST


LABELS = Target("labels", "what is read back is what went in, and nothing else", read_labels, always(check_labels))
OWN = Target("metrics", "what is refused is said in a line; what is taken has no identity", read_own, always(check_own))
