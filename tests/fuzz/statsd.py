"""Lines of StatsD: each is one metric by its flavour's grammar, and says what was told."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import re
import string
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from argus_exporter.catalogue import OTHER
from argus_exporter.custom import Custom, is_identity, text_of, unfit
from argus_exporter.exposition.encode import Encoder
from argus_exporter.instruments import Instruments
from argus_exporter.settings import Settings
from argus_exporter.statsd import AsyncStatsClient
from argus_exporter.statsd.deltas import Batch, Counters, Gauges
from argus_exporter.statsd.encode import FLAVOURS
from argus_exporter.statsd.pack import packed
from argus_exporter.threads import Ledger
from tests.fuzz.pages import NUMBERS, ODD_NUMBERS, any_value, check_identities, parsed
from tests.fuzz.source import Source
from tests.fuzz.target import Target, always, check_line

Labels = tuple[tuple[str, Any], ...]

WORDS = (
    *(".", "-", "_", "=", "%", ":", "|", "#", "@", ",", ";", "\n", "\r", "\0", " ", "\t", "|c", ":1|c\nx:2|c", "|#a:b"),
    *("%2C", "-2E", "=3A", "a", "b", "name", "é", "\u2028", "\x85", "\ud800", "\U0001f600", "[", "]", "{", "}", "~"),
    *("/", "\\", '"', "C", "2D"),
)

# ------------------------------------------------------------------------------------------ reading lines


@dataclasses.dataclass(frozen=True)
class Line:
    """What a line says; the labels of plain are in its name."""

    name: str
    labels: Labels
    value: str
    type: str


@dataclasses.dataclass(frozen=True)
class Grammar:
    """A flavour, as its server reads it.

    :param marks: what stands before two hexadecimal digits: in a name, a label's name, a label's value.
    """

    pattern: re.Pattern[str]
    marks: tuple[str, str, str]
    between: str
    equals: str

    def read(self, line: str) -> Line:
        match = self.pattern.fullmatch(line)
        assert match is not None, line
        assert line.isprintable(), line
        assert match["type"] == "s" or _NUMBER.fullmatch(match["value"]), line
        tags = [tag.partition(self.equals) for tag in (match["tags"] or "").split(self.between) if tag]
        labels = [
            (unescaped(self.marks[1], _KEYS.get(key, key)), unescaped(self.marks[2], value)) for key, _, value in tags
        ]
        return Line(unescaped(self.marks[0], match["name"]), tuple(labels), match["value"], match["type"])


def unescaped(mark: str, text: str) -> str:
    """What was written as bytes in hex, each after a mark; the mark alone is nothing."""
    if not mark or mark not in text:
        return text
    pairs = re.compile(re.escape(mark.encode()) + rb"([0-9A-F]{2})")
    raw = b"" if text == mark else pairs.sub(lambda pair: bytes.fromhex(pair[1].decode()), text.encode())
    return raw.decode("utf-8", "surrogatepass")


def escaped(mark: str, kept: str, text: str) -> str:
    """The other way, for what cannot be read back: plain's path."""
    spelled = [
        f"{mark}{byte:02X}" if chr(byte) not in kept else chr(byte) for byte in text.encode("utf-8", "surrogatepass")
    ]
    return "".join(spelled) or mark


_KEYS = {"name-": "name"}
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_WORD = string.ascii_letters + string.digits + "_"
_WORTH = r"(?P<value>[A-Za-z0-9_.~%+-]+)\|(?P<type>c|g|ms|s)(?:\|@0\.[0-9]+)?"
_NAME = r"(?P<name>(?:[A-Za-z0-9_.-]|{0}[0-9A-F]{{2}})+|{0})"
_KEY = r"(?:(?:[A-Za-z0-9_]|{0}[0-9A-F]{{2}})+|{0})"
_DOG = r"(?:(?:[^,|%]|%[0-9A-F]{2})+|%)"
_INFLUX = r"(?:(?:[^,=:|%#\[\]]|%[0-9A-F]{2})+|%)"
_GRAPHITE = r"(?:(?:[A-Za-z0-9_.-]|=[0-9A-F]{2})+|=)"
GRAMMARS = {
    "plain": Grammar(re.compile(rf"(?P<name>[A-Za-z0-9_.=-]+)(?P<tags>):{_WORTH}"), ("", "", ""), " ", " "),
    "graphite": Grammar(
        re.compile(rf"{_NAME.format('=')}(?P<tags>(?:;(?:{_KEY.format('-')}|name-)={_GRAPHITE})*):{_WORTH}"),
        *(("=", "-", "="), ";", "="),
    ),
    "dogstatsd": Grammar(
        re.compile(
            rf"{_NAME.format('%')}:{_WORTH}(?:\|#(?P<tags>{_KEY.format('%')}:{_DOG}(?:,{_KEY.format('%')}:{_DOG})*))?"
        ),
        *(("%", "%", "%"), ",", ":"),
    ),
    "influx": Grammar(
        re.compile(rf"{_NAME.format('%')}(?P<tags>(?:,{_KEY.format('%')}={_INFLUX})*):{_WORTH}"),
        *(("%", "%", "%"), ",", "="),
    ),
}


def identity(flavour: str, name: str, labels: Labels) -> tuple[str, Labels]:
    """What is to be read of a name and labels."""
    if flavour == "plain":
        path = [escaped("=", f"{_WORD}.-", name), *[escaped("-", _WORD, value) for _, value in labels]]
        return ".".join(path), ()
    return name, tuple([label for label in labels if label[1]])


# ------------------------------------------------------------------------------------------ series of the page

Series = tuple[str, Labels, float]
Flush = tuple[str, str, int, tuple[Series, ...]]

AMOUNTS = (0, 1, 2.5, 2**53, 1e308, 5e-324, 10**400, math.inf, math.nan, -3, -0.5)


def read_flush(source: Source) -> Flush:
    def series() -> Series:
        labels = source.many(lambda: (source.text(WORDS, 3), source.text(WORDS)), 3)
        return source.text(WORDS), labels, source.choice(AMOUNTS)

    flavour, kind = source.choice(tuple(FLAVOURS)), source.choice(("c", "g"))
    return flavour, kind, source.choice((100, 300, 65_507)), source.many(series, 4, 1)


def check_flush(given: Flush) -> None:
    flavour, kind, limit, series = given
    block, batch = Counters() if kind == "c" else Gauges(), Batch(limit)
    for name, labels, _ in series:
        block.add(FLAVOURS[flavour].parts(name, labels))
    values = [abs(value) if kind == "c" else value for _, _, value in series]
    block.tell(values, batch, due=False, whole=FLAVOURS[flavour].whole)
    datagrams = list(batch.datagrams(everything=True))
    assert all(len(datagram) <= limit for datagram, _ in datagrams)
    lines = [GRAMMARS[flavour].read(line) for datagram, _ in datagrams for line in datagram.decode().split("\n")]
    said = [each for place, value in enumerate(values) for each in wanted(flavour, kind, series[place], value)]
    told = [(line.name, line.labels, float(line.value)) for line in lines]
    assert {line.type for line in lines} <= {kind}
    assert batch.odd == sum(not abs(value) <= sys.float_info.max for value in values)
    assert told == said if not batch.too_long else len(told) < len(said) and all(each in said for each in told)


def wanted(flavour: str, kind: str, series: Series, value: float) -> Iterator[tuple[str, Labels, float]]:
    """The lines of a series; a gauge below zero is set to 0 first."""
    if not abs(value) <= sys.float_info.max:
        return
    whole = kind == "c" and FLAVOURS[flavour].whole
    for number in (0.0, value) if value < 0 else (value,):
        yield *identity(flavour, series[0], series[1]), float(int(number) if whole else number)


# ------------------------------------------------------------------------------------------ the bot's own stats

Call = tuple[str, str, Any, Any, Any]
Calls = tuple[str, str, str, int, tuple[Call, ...]]
Key = tuple[str, str, Labels]

METHODS = ("incr", "decr", "gauge", "change", "set", "timing")
ODD_RATES: tuple[Any, ...] = (0, 2, math.nan, "x", None, 10**400)


def read_calls(source: Source) -> Calls:
    def tags() -> Any:
        if source.flag():
            return source.mostly((None,), ("none", dict.fromkeys(range(20)), {str(each): "a" for each in range(20)}))
        return dict(source.many(lambda: (key(), any_value(source)), 3))

    def key() -> str:
        return source.choice(("k", "")) + source.text((*WORDS, "id", "user_id", "le", "__"), 2)

    def call() -> Call:
        number = any_value(source) if source.seldom() else source.mostly(NUMBERS, ODD_NUMBERS)
        name = f"{source.choice(('', 'n'))}{source.text(WORDS)}"
        return source.choice(METHODS), name, number, source.mostly((1, 1.0, 0.5), ODD_RATES), tags()

    how, limit = source.choice(("alone", "alone", "in a pipeline", "on a page")), source.choice((100, 300, 65_507))
    return source.choice(tuple(FLAVOURS)), source.text(WORDS, 2), how, limit, source.many(call, 5, 1)


class Shown:
    """What a client in an exporter knows of it."""

    settings = Settings()

    def __init__(self) -> None:
        self.instruments = Instruments()
        self.ledger = Ledger(self.instruments.overflow)
        self.custom = Custom(self.instruments, self.ledger)


def check_calls(given: Calls) -> None:
    flavour, prefix, how, limit, calls = given
    shown = Shown() if how == "on a page" else None
    client = AsyncStatsClient(exporter=shown)
    with client.pipeline() if how == "in a pipeline" else contextlib.nullcontext(client) as told:
        accepted = [call for call in calls if is_taken(told, call)]
    lines = list(client.drain(FLAVOURS[flavour], prefix))
    read = [GRAMMARS[flavour].read(part) for line in lines for part in line.decode().split("\n")]
    check_read(flavour, read, sums(prefix, accepted))
    check_packed(lines, limit)
    if shown is not None:
        client.fold()
        check_identities(parsed(Encoder(shown.instruments).page()))


def check_packed(lines: list[bytes], limit: int) -> None:
    """Every line is in one datagram, whole, unless none is so large."""
    long: list[bytes] = []
    datagrams = list(packed(lines, limit, long.append))
    assert all(len(datagram) <= limit for datagram, _ in datagrams)
    assert b"\n".join(datagram for datagram, _ in datagrams) == b"\n".join(line for line in lines if line not in long)
    assert sum(number for _, number in datagrams) + len(long) == len(lines)
    assert all(len(line) > limit for line in long)


def is_taken(client: Any, call: Call) -> bool:
    """Whether the client takes it; if not, it says why in a line."""
    method, name, value, rate, tags = call
    more = {"delta": True} if method == "change" else {}
    try:
        getattr(client, "gauge" if more else method)(name, value, rate, tags=tags, **more)
    except (TypeError, ValueError) as error:
        check_line(error)
        return False
    return True


def sums(prefix: str, calls: Iterable[Call]) -> dict[Key, float]:
    """What was told of each stat; those that are one in a line (an empty tag is none) are not put together yet."""
    stats: dict[Key, float] = {}
    for method, name, value, _, tags in calls:
        pairs = (tags or {}).items()
        labels = [(key, OTHER if is_identity(key) or unfit(each) else text_of(each)) for key, each in pairs]
        kind = {"incr": "c", "decr": "c", "timing": "ms", "set": "s"}.get(method, "g")
        number = -value if method == "decr" else value if kind == "c" else 1
        stat = f"-{kind}" if number < 0 else kind, f"{prefix}.{name}" if prefix else name, tuple(sorted(labels))
        stats[stat] = stats.get(stat, 0) + number
    return stats


def check_read(flavour: str, lines: list[Line], stats: dict[Key, float]) -> None:
    """Counters have their sums; of all else there is something, and of nothing else is anything."""
    told: dict[Key, float] = {}
    for (kind, name, labels), number in stats.items():
        key = kind, *identity(flavour, name, labels)
        whole = FLAVOURS[flavour].whole and kind.endswith("c")
        told[key] = told.get(key, 0) + (int(number) if whole else number)
    found: dict[Key, float] = {}
    for line in lines:
        key = f"-{line.type}" if line.type == "c" and line.value[0] == "-" else line.type, line.name, line.labels
        found[key] = found.get(key, 0) + (float(line.value) if line.type == "c" else 1)
    assert found.keys() <= told.keys()
    for key, number in told.items():
        if key[0].endswith("c"):
            assert math.isclose(found.get(key, 0), number, rel_tol=1e-12), key
        else:
            assert key in found or key[0] == "g", key


LINES = Target("lines", "of a series, what was told can be read back", read_flush, always(check_flush))
STATS = Target(
    "stats", "what a bot tells is refused in a line, or sent as it was told", read_calls, always(check_calls)
)
