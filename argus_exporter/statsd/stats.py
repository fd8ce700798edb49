"""What a bot has told the client since the last flush: counts, gauges, timings, members of sets; all of it bounded."""

from __future__ import annotations

import abc
import hashlib
import random
import re
import typing
from typing import Any, ClassVar, Final, Generic, NamedTuple, TypeVar
from urllib.parse import quote

from argus_exporter import catalogue
from argus_exporter.custom import EDGES, NOUN, OURS, private
from argus_exporter.instruments import CounterCell, GaugeCell, HistogramCell

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from argus_exporter.instruments import Family, Instruments

MOST_STATS: Final = 10_000
"""So many stats, each name with each set of tags and each type, may there be; what is beyond is left out, counted."""

MOST_SAMPLES: Final = 1_000
"""So many timings of a stat go out with a flush; of more than that a random choice, with the rate that it is."""

MOST_MEMBERS: Final = 1_000
"""So many values of a set are told apart between two flushes; what is beyond is left out, counted."""

MOST_KEPT: Final = 50_000
"""So many timings and members are kept between two flushes in all; then each stat makes do with what it has."""

MOST_VALUES: Final = 100
"""So many values of a tag are on the page, and ten times as many sets of tags; what is beyond is ``other``."""

_LONGEST_MEMBER: Final = 200
_NOT_IN_A_NAME: Final = re.compile(r"[^a-zA-Z0-9_]")
_ENDING: Final = re.compile(r"_(total|created|bucket|count|sum)\Z")

Tags = tuple[tuple[str, str], ...]
Amount = TypeVar("Amount")


class Change(NamedTuple):
    """What is done to a gauge: it is set, or an amount is added to it."""

    value: float
    relative: bool = False


class Wants(NamedTuple):
    """What a flush wants.

    :param whole: counts in whole numbers, what is left over with the next flush.
    :param absolute: gauges' values instead of their changes.
    :param again: gauges that stay as they were set, too.
    """

    whole: bool = False
    absolute: bool = False
    again: bool = False


def spelled(value: float) -> bytes:
    """Spell a finite number without an exponent, which not every server reads."""
    if type(value) is int:
        return b"%d" % value
    if value == (whole := int(value)):
        return b"%d" % whole
    digits, _, exponent = repr(float(value)).partition("e")
    return f"{value:.{len(digits.partition('.')[2]) - int(exponent)}f}".encode() if exponent else digits.encode()


class Stat(abc.ABC, Generic[Amount]):
    """What is told of one name with one set of tags.

    :ivar cell: what the page shows of it; None where there is none.
    :ivar head: what its lines begin with, and with ``tail`` they end.
    :ivar speech: of what flavour and prefix head and tail are.
    """

    __slots__ = ("book", "cell", "head", "name", "speech", "tags", "tail")

    kind: ClassVar[type[catalogue.Counter | catalogue.Gauge | catalogue.Histogram]]
    ending: ClassVar[str]
    help: ClassVar[str]

    def __init__(self, name: str, tags: Tags, book: Book) -> None:
        self.name = name
        self.tags = tags
        self.book = book
        self.cell: Any = None
        self.speech: object = None
        self.head = self.tail = b""

    @abc.abstractmethod
    def add(self, amount: Amount, /) -> None:
        """Take in what is told."""

    @abc.abstractmethod
    def merge(self, other: Any, /) -> None:
        """Take in all that another of its class was told, as if it came now."""

    @abc.abstractmethod
    def take(self, wants: Wants, /) -> Iterable[tuple[bytes, Amount]]:
        """Give lines of what is new since the last time, each with what :meth:`undo` needs if it could not be sent."""

    def undo(self, amount: Amount, /) -> None:
        """Give it again the next time."""

    def turn(self, *, forget: bool) -> None:
        """End an interval that no flush has ended; forget what was kept for one, if there is to be none."""
        if forget:
            self.take(Wants())

    @abc.abstractmethod
    def show(self) -> None:
        """Bring the cell up to date."""


class Count(Stat[float]):
    """Increments; ``value``, an int or a float and of no class of its own, only ever goes up."""

    __slots__ = ("shown", "told", "value")

    kind, ending, help = catalogue.Counter, "_total", "StatsD counter"
    sign: ClassVar = b""

    def __init__(self, name: str, tags: Tags, book: Book) -> None:
        super().__init__(name, tags, book)
        self.value: float = 0
        self.told: float = 0
        self.shown: float = 0

    def add(self, amount: float, /) -> None:
        """Add an amount of 0 or more."""
        self.value += amount

    def merge(self, other: Any, /) -> None:
        """Add the other's sum."""
        self.value += other.value

    def take(self, wants: Wants, /) -> Iterable[tuple[bytes, float]]:
        """Give what was added."""
        value = self.value
        if value == self.told:
            return ()
        new = int(value - self.told) if wants.whole else value - self.told
        self.told = self.told + new if wants.whole else value
        return [(b"%b%b%b|c%b" % (self.head, self.sign, spelled(new), self.tail), new)] if new else ()

    def undo(self, amount: float, /) -> None:
        """Give it again with what is added until then."""
        self.told -= amount

    def show(self) -> None:
        """Add what is new to the cell, to which others may add too."""
        value = self.value
        if value != self.shown:
            self.cell.value += value - self.shown
            self.shown = value


class Down(Count):
    """Decrements: what is no counter to Prometheus is two of them."""

    __slots__ = ()

    ending, help = "_decrements_total", "Decrements of the StatsD counter"
    sign = b"-"


class Gauge(Stat[Change]):
    """A value; its changes are sent as such, because other processes may change the same gauge.

    :ivar is_ours: whether it was ever set here: then its value may be sent again.
    """

    __slots__ = ("added", "is_ours", "is_set", "value")

    kind, ending, help = catalogue.Gauge, "", "StatsD gauge"

    def __init__(self, name: str, tags: Tags, book: Book) -> None:
        super().__init__(name, tags, book)
        self.value: float = 0
        self.added: float = 0
        self.is_set = self.is_ours = False

    def add(self, amount: Change, /) -> None:
        """Set the value, or add to it."""
        if amount.relative:
            self.value += amount.value
            self.added += amount.value
        else:
            self.value, self.added, self.is_set, self.is_ours = amount.value, 0, True, True

    def merge(self, other: Any, /) -> None:
        """Set it as the other was set, or add what was added there."""
        self.add(Change(other.value) if other.is_set else Change(other.added, relative=True))

    def take(self, wants: Wants, /) -> Iterable[tuple[bytes, Change]]:
        """Give the value, if it was set, or else what was added to it. A sign means a change: first 0, then less."""
        is_set, added, value = self.is_set or (wants.again and self.is_ours), self.added, self.value
        if not (is_set or added):
            return ()
        self.is_set, self.added = False, 0
        if is_set or wants.absolute:
            begin = self._line(b"0") + b"\n" if value < 0 else b""
            return [(begin + self._line(spelled(value)), Change(value))]
        return [(self._line((b"+" if added > 0 else b"") + spelled(added)), Change(added, relative=True))]

    def _line(self, value: bytes) -> bytes:
        return b"%b%b|g%b" % (self.head, value, self.tail)

    def undo(self, amount: Change, /) -> None:
        """Give the change again, or the value that it has by then."""
        if amount.relative:
            self.added += amount.value
        else:
            self.is_set = True

    def show(self) -> None:
        """Set the cell."""
        self.cell.value = self.value


class Timing(Stat[float]):
    """Milliseconds: the page has all of them, and a flush all of them or a random choice."""

    __slots__ = ("count", "samples", "seconds")

    kind, ending, help = catalogue.Histogram, "_seconds", "StatsD timing, in seconds,"

    def __init__(self, name: str, tags: Tags, book: Book) -> None:
        super().__init__(name, tags, book)
        self.count = 0
        self.samples: list[float] = []
        self.seconds = HistogramCell(EDGES)

    def add(self, amount: float, /) -> None:
        """Take in milliseconds; those below zero, of a clock that was set back, are not for the page."""
        self.count += 1
        if amount < 0:
            self.book.leave_out("a timing below zero from the page")
        else:
            self.seconds.observe(amount / 1000)
        all_kept = len(self.samples) == self.count - 1
        if not self.samples or (all_kept and len(self.samples) < MOST_SAMPLES and self.book.room > 0):
            self.samples.append(amount)
            self.book.room -= 1
        elif (place := int(random.random() * self.count)) < len(self.samples):  # noqa: S311 - no secret
            self.samples[place] = amount

    def merge(self, other: Any, /) -> None:
        """Take in all for the page, and a choice of both for the flush."""
        self.seconds.merge(other.seconds)
        chosen = _chosen((self.samples, self.count), (other.samples, other.count))
        self.book.room -= len(chosen) - len(self.samples)
        self.samples, self.count = chosen, self.count + other.count

    def take(self, _: Wants, /) -> Iterable[tuple[bytes, float]]:
        """Give the samples; if they are not all, with the rate that makes their number right."""
        if not self.samples:
            return ()
        samples, count = self.samples, self.count
        self.samples, self.count = [], 0
        self.book.room += len(samples)
        tail = (b"|ms" if len(samples) == count else b"|ms|@" + spelled(len(samples) / count)) + self.tail
        return ((b"%b%b%b" % (self.head, spelled(round(each, 6)), tail), each) for each in samples)

    def show(self) -> None:
        """Bring what was observed into the cell."""
        if any(self.seconds.counts):
            self.cell.merge(self.seconds)
            self.seconds = HistogramCell(EDGES)


def _chosen(mine: tuple[list[float], int], theirs: tuple[list[float], int]) -> list[float]:
    """A random choice of two, as large as may be: each is a choice of as many as the number behind it says."""
    together = [*mine[0], *theirs[0]]
    if len(together) == mine[1] + theirs[1] <= MOST_SAMPLES:
        return together
    size = min(len(together), MOST_SAMPLES)
    share = mine[1] / (mine[1] + theirs[1])
    from_mine = sum([random.random() < share for _ in range(size)])  # noqa: S311
    of_mine = random.sample(mine[0], min(from_mine, len(mine[0])))
    return of_mine + random.sample(theirs[0], min(size - from_mine, len(theirs[0])))


class Members(Stat[str]):
    """A set: how many distinct values it was told between two flushes."""

    __slots__ = ("last", "members")

    kind, ending, help = catalogue.Gauge, "_distinct", "Distinct values, in the last interval, of the StatsD set"

    def __init__(self, name: str, tags: Tags, book: Book) -> None:
        super().__init__(name, tags, book)
        self.last = 0
        self.members: dict[str, None] = {}  # a third of what a set of them takes

    def add(self, amount: str, /) -> None:
        """Take in a value, unless there are too many."""
        if amount in self.members:
            return
        if len(self.members) >= MOST_MEMBERS or self.book.room <= 0:
            self.book.leave_out("a value of a set that has too many between two flushes")
        else:
            self.members[amount] = None
            self.book.room -= 1

    def merge(self, other: Any, /) -> None:
        """Take in the other's values."""
        for each in other.members:
            self.add(each)

    def take(self, _: Wants, /) -> Iterable[tuple[bytes, str]]:
        """Give each value once."""
        members, self.members = self.members, {}
        self.last = len(members)
        self.book.room += len(members)
        return [(b"%b%b|s%b" % (self.head, _member(each), self.tail), each) for each in members]

    def turn(self, *, forget: bool) -> None:
        """Show the values since the last flush."""
        self.last = len(self.members)
        super().turn(forget=forget)

    def undo(self, amount: str, /) -> None:
        """Give the value again."""
        self.add(amount)

    def show(self) -> None:
        """Set the cell to the number of the last interval."""
        self.cell.value = self.last


def _member(text: str) -> bytes:
    """A value of a set as it goes out: what else a line could be made of is escaped, and what is long is its hash."""
    escaped = quote(text, safe="", errors="surrogatepass").encode()
    if len(escaped) > _LONGEST_MEMBER:
        return hashlib.blake2b(escaped, digest_size=16).hexdigest().encode()
    return escaped or b"%"


AnyStat = Count | Gauge | Timing | Members
Kind = type[AnyStat]


class Book:
    """All stats that one side has told of: the thread that owns the client, or all others.

    :param leave_out: is told, in words, of what is beyond a bound.
    :param cell: finds what the page shows of a new stat.
    :ivar counts: the counters without tags by name, for the shortest way to them; ``tagged`` all counters.
    :ivar room: how many timings and members may still be kept.
    """

    def __init__(self, leave_out: Callable[[str], None], cell: Callable[[Stat[Any]], Any] | None = None) -> None:
        self.leave_out: Final = leave_out
        self._cell = cell
        self.counts: Final[dict[str, Count]] = {}
        self.tagged: Final[dict[tuple[str, Tags], Count]] = {}
        self.stats: Final[dict[tuple[Kind, str, Tags], Stat[Any]]] = {}
        self.room = MOST_KEPT

    def add(self, kind: Kind, name: str, tags: Tags, amount: Any) -> None:
        """Tell a stat, which may be new."""
        if (stat := self._find(kind, name, tags)) is not None:
            stat.add(amount)

    def absorb(self, other: Book) -> None:
        """Take in all that another was told."""
        for key, theirs in other.stats.items():
            if (mine := self._find(*key)) is not None:
                mine.merge(theirs)

    def _find(self, kind: Kind, name: str, tags: Tags) -> Stat[Any] | None:
        found = self.stats.get((kind, name, tags))
        if found is None:
            if len(self.stats) >= MOST_STATS:
                self.leave_out(f"a stat beyond the first {MOST_STATS}")
                return None
            found = self.stats[kind, name, tags] = kind(name, tags, self)
            if self._cell is not None:
                found.cell = self._cell(found)
            if type(found) is Count:
                self.tagged[name, tags] = found
            if type(found) is Count and not tags:
                self.counts[name] = found
        return found


# ---------------------------------------------------------------------------------------------- on the page


def metric_of(stat: Stat[Any]) -> catalogue.Counter | catalogue.Gauge | catalogue.Histogram:
    """Declare what the page shows of a stat.

    :raises ValueError: if there is an identity in its name, or a tag's name cannot be a label's.
    """
    if why := private(stat.name):
        msg = f"it has in its name what is {why}"
        raise ValueError(msg)
    labels = tuple(catalogue.Label(_name(key), MOST_VALUES, "told by the bot") for key, _ in stat.tags)
    keys = f" by {', '.join(ascii(key) for key, _ in stat.tags)}" if labels else ""
    more: dict[str, Any] = {"edges": EDGES} if stat.kind is catalogue.Histogram else {}
    series = MOST_VALUES * (10 if labels else 1)
    return stat.kind(_metric_name(stat), f"{stat.help} {stat.name!a}{keys}.", NOUN, labels, series, **more)


def _metric_name(stat: Stat[Any]) -> str:
    name = _name(stat.name)
    if name.startswith(OURS):
        name = f"statsd_{name}"
    if stat.ending:
        return (name.removesuffix(stat.ending) or name) + stat.ending
    return f"{name}_value" if _ENDING.search(name) else name


def _name(text: str) -> str:
    name = _NOT_IN_A_NAME.sub("_", text)
    return f"_{name}" if name[:1].isdigit() else name


def cell_of(stat: Stat[Any], metric: catalogue.Counter | catalogue.Gauge | catalogue.Histogram, on: Instruments) -> Any:
    """Find the stat's cell.

    :raises ValueError: if another metric has its name.
    """
    family: Family[Any]
    if isinstance(metric, catalogue.Counter):
        family = on.counter(metric)
    else:
        family = on.gauge(metric) if isinstance(metric, catalogue.Gauge) else on.histogram(metric)
    return family.labels(*[value for _, value in stat.tags])


def nowhere(stat: Stat[Any]) -> CounterCell | GaugeCell | HistogramCell:
    """Make a cell that is on no page."""
    if stat.kind is catalogue.Histogram:
        return HistogramCell(EDGES)
    return CounterCell() if stat.kind is catalogue.Counter else GaugeCell()
