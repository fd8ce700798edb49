"""The client for a bot's own stats: what the ``statsd`` package has, but counted here and sent in few datagrams."""

from __future__ import annotations

import abc
import asyncio
import functools
import itertools
import logging
import math
import sys
import threading
import time
import types
import typing
from collections.abc import Iterable, Mapping
from datetime import timedelta
from threading import get_ident
from typing import Any, Final, NamedTuple, Protocol

from statsd.client.base import StatsClientBase  # pyright: ignore[reportMissingTypeStubs]
from statsd.client.timer import Timer  # pyright: ignore[reportMissingTypeStubs]

from argus_exporter.catalogue import LEFT_OUT_TOTAL, OTHER
from argus_exporter.custom import is_identity, text_of, unfit
from argus_exporter.instruments import CounterCell
from argus_exporter.statsd.encode import FLAVOURS
from argus_exporter.statsd.pack import packed
from argus_exporter.statsd.stats import (
    Book,
    Change,
    Count,
    Down,
    Gauge,
    Members,
    Timing,
    Wants,
    cell_of,
    metric_of,
    nowhere,
)
from argus_exporter.statsd.transport import PORT, Transport

if typing.TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterator

    from argus_exporter.custom import Custom
    from argus_exporter.instruments import Instruments
    from argus_exporter.settings import Settings
    from argus_exporter.statsd.encode import Flavour
    from argus_exporter.statsd.stats import Kind, Stat, Tags
    from argus_exporter.threads import Ledger

LONGEST_NAME: Final = 500
"""Characters of a stat's name; servers keep each in a file of that name, or give up before."""

MOST_TAGS: Final = 16
MOST_PIPED: Final = 10_000
"""What a pipeline collects before it sends by itself."""

_ONE: Final[float] = 1
_MOST: Final = 1e100
_SAID: Final = 50
_KNOWN: Final = 4096
_BURST: Final = 24 * 1024
_PAUSE: Final = 0.01
_SLICE: Final = 0.001
"""So many bytes, or seconds of the loop, at a stretch, and then a pause: a receiver with a usual buffer keeps up."""

_log: Final = logging.getLogger(__name__)


class Shown(Protocol):
    """The exporter, as far as the client knows it."""

    @property
    def settings(self) -> Settings:
        """Whether and how often somebody flushes."""
        ...

    @property
    def instruments(self) -> Instruments:
        """Where the cells are."""
        ...

    @property
    def ledger(self) -> Ledger:
        """Whose thread owns them."""
        ...

    @property
    def custom(self) -> Custom:
        """What counts the misuse of metrics."""
        ...


def _adds_in_one_step() -> bool:
    """Whether threads can add to an int in a slot without a lock; where not, all take the long way, which has one."""
    return sys.implementation.name == "cpython" and bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def _number(stat: object, value: object) -> float:
    """The number that a value is.

    :raises TypeError: if it is none.
    :raises ValueError: if it is not finite, or beyond all reason.
    """
    if (type(value) is int or type(value) is float) and -_MOST <= value <= _MOST:
        return value
    try:
        if isinstance(value, str | bytes | bytearray):
            raise TypeError  # noqa: TRY301
        number = +value if isinstance(value, int) else float(typing.cast("float", value))
    except OverflowError:
        number = math.inf
    except Exception:  # noqa: BLE001 - whatever a type of the user's raises
        msg = f"stat {stat!r:.100}: takes a number, not {type(value).__name__}"
        raise TypeError(msg) from None
    if not -_MOST <= number <= _MOST:
        msg = f"stat {stat!r:.100}: takes a finite number of at most {_MOST:g} either way"
        raise ValueError(msg)
    return number


class _Methods(abc.ABC, StatsClientBase):
    """The methods of ``statsd``, and their checks, which are made where they are called."""

    _known: dict[tuple[tuple[object, object], ...], Tags]
    """Tags that were found right, as they were given; those with an identity are not among them."""

    @abc.abstractmethod
    def _record(self, kind: Kind, name: str, tags: Tags, amount: Any) -> None:
        """Take in what has been found right."""

    @abc.abstractmethod
    def _fold(self, tag: str, why: str) -> str:
        """Count a tag's value that is an identity; what stands for it."""

    def incr(self, stat: str, count: float = 1, rate: float = 1, tags: Mapping[str, object] | None = None) -> None:
        """Add to a counter. A negative count is taken off, and a counter of its own on the page."""
        number = _number(stat, count)
        self._tell(Down if number < 0 else Count, stat, abs(number), rate, tags)

    def decr(self, stat: str, count: float = 1, rate: float = 1, tags: Mapping[str, object] | None = None) -> None:
        """Take off a counter."""
        self.incr(stat, -_number(stat, count), rate, tags)

    def gauge(
        self,
        stat: str,
        value: float,
        rate: float = 1,
        delta: bool = False,  # noqa: FBT001, FBT002 - as in statsd
        tags: Mapping[str, object] | None = None,
    ) -> None:
        """Set a gauge; or, with ``delta``, add to it, and take off if that is negative."""
        self._tell(Gauge, stat, Change(_number(stat, value), bool(delta)), rate, tags)

    def set(self, stat: str, value: object, rate: float = 1, tags: Mapping[str, object] | None = None) -> None:
        """Count the distinct values, as text, of each flush.

        :raises TypeError: if it is neither text nor number.
        """
        if not isinstance(value, str | int | float):
            msg = f"stat {stat!r:.100}: a set's values are text or numbers, not {type(value).__name__}"
            raise TypeError(msg)
        self._tell(Members, stat, text_of(value), rate, tags)

    def timing(
        self, stat: str, delta: float | timedelta, rate: float = 1, tags: Mapping[str, object] | None = None
    ) -> None:
        """Tell how long something took: milliseconds, or a timedelta."""
        took = delta.total_seconds() * 1000 if isinstance(delta, timedelta) else _number(stat, delta)
        self._tell(Timing, stat, float(took), rate, tags)

    def timer(self, stat: str, rate: float = 1, tags: Mapping[str, object] | None = None) -> Timer:
        """Time a function or a coroutine function as a decorator, or a block by ``with``; or ``start`` and ``stop``."""
        self._checked(stat, rate, tags)
        tagged = types.SimpleNamespace(timing=functools.partial(self.timing, tags=tags))
        make = typing.cast("Callable[..., Timer]", Timer)
        return make(self if tags is None else tagged, stat, rate)

    def pipeline(self) -> Pipeline:
        """Collect, and tell all of it at the end of a ``with`` block, or by its ``send()``."""
        return Pipeline(self)

    def _tell(self, kind: Kind, stat: str, amount: Any, rate: float, tags: Mapping[str, object] | None) -> None:
        self._record(kind, *self._checked(stat, rate, tags), amount)

    def _checked(self, stat: object, rate: object, tags: object) -> tuple[str, Tags]:
        """The name and the tags.

        :raises TypeError: if one of them is of another type.
        :raises ValueError: if one of them cannot be.
        """
        if not isinstance(stat, str):
            msg = f"a stat's name is text, not {type(stat).__name__}"
            raise TypeError(msg)
        if not 0 < len(stat) <= LONGEST_NAME:
            msg = f"stat {stat!r:.100}: a name has 1 to {LONGEST_NAME} characters"
            raise ValueError(msg)
        if rate is not _ONE and not 0 < _number(stat, rate) <= 1:
            msg = f"stat {stat!r:.100}: a rate is above 0 and at most 1, not {rate}"
            raise ValueError(msg)
        return str.__str__(stat), () if tags is None else self._tags(stat, tags)

    def _tags(self, stat: str, tags: object) -> Tags:
        try:
            return self._known[tuple(typing.cast("dict[str, str]", tags).items())]
        except (AttributeError, KeyError, TypeError):
            return self._new_tags(stat, tags)

    def _new_tags(self, stat: str, tags: object) -> Tags:
        given = typing.cast("Mapping[object, object]", tags if isinstance(tags, Mapping) else {0: 0})
        if not all(isinstance(key, str) and 0 < len(key) <= LONGEST_NAME for key in given):
            msg = f"stat {stat!r:.100}: tags are a dict of names, of 1 to {LONGEST_NAME} characters, and values"
            raise TypeError(msg)
        if len(given) > MOST_TAGS:
            msg = f"stat {stat!r:.100}: takes {MOST_TAGS} tags at most, not {len(given)}"
            raise ValueError(msg)
        found = tuple(sorted([(text_of(key), self._admit(text_of(key), value)) for key, value in given.items()]))
        if len(self._known) < _KNOWN and dict(found) == given:
            self._known[tuple(given.items())] = found
        return found

    def _admit(self, key: str, value: object) -> str:
        why = "an identity by its name" if is_identity(key) else unfit(value)
        return self._fold(key, why) if why else text_of(value)


class Pipeline(_Methods):
    """What :meth:`AsyncStatsClient.pipeline` returns."""

    def __init__(self, client: _Methods) -> None:
        self._client = client
        self._known = client._known  # noqa: SLF001
        self._calls: list[tuple[Any, ...]] = []

    def __enter__(self) -> typing.Self:
        """Collect from here."""
        return self

    def __exit__(self, *_: object) -> None:
        """Send, whatever has happened."""
        self.send()

    def send(self) -> None:
        """Tell the client all that has been collected."""
        calls, self._calls = self._calls, []
        for call in calls:
            self._client._record(*call)  # noqa: SLF001 - one of its own kind

    def _record(self, kind: Kind, name: str, tags: Tags, amount: Any) -> None:
        self._calls.append((kind, name, tags, amount))
        if len(self._calls) >= MOST_PIPED:
            self.send()

    def _fold(self, tag: str, why: str) -> str:
        return self._client._fold(tag, why)  # noqa: SLF001


class _Speech(NamedTuple):
    """How lines are spelled."""

    flavour: Flavour
    prefix: str


def _url(host: str, port: int) -> str:
    return f"udp://{f'[{host}]' if ':' in host else host}:{port}"


def _require(flavour: str, interval: float) -> None:
    if flavour not in FLAVOURS or not interval > 0:
        msg = f"flavour is one of {', '.join(FLAVOURS)}, interval above 0 seconds; not {flavour!r}, {interval!r}"
        raise ValueError(msg)


class _Closing:
    """To be awaited, or not."""

    def __init__(self, tasks: Iterable[asyncio.Task[None] | None]) -> None:
        self._tasks = [task for task in tasks if task is not None]

    def __await__(self) -> Generator[Any, None, None]:
        yield from asyncio.gather(*self._tasks, return_exceptions=True).__await__()


class AsyncStatsClient(_Methods):
    """A StatsD client that counts here, and sends what it has counted in few datagrams.

    Its methods are those of ``statsd``, with tags besides, and may be called from any thread. In an exporter
    (``bot.stats``, ``cog.stats``, ``exporter.stats``) all of it is on ``/metrics`` too, and what sends is the exporter.
    Alone it takes the place of pydis_core's client of this name::

        stats = AsyncStatsClient(host="statsd.example", prefix="bot")
        await stats.create_socket()
        stats.incr("commands.help")
        await stats.close()

    **Exactness.** Between two flushes increments are added up, a gauge has its last value, and a set its distinct
    values. So a ``rate`` is checked, and everything counted: what a server makes of it is the same, without the
    scatter. Of a timing at most :data:`~argus_exporter.statsd.stats.MOST_SAMPLES` samples are sent, with the rate that
    makes their number right.

    **Errors.** A name, number, rate or tag that cannot be is a TypeError or ValueError where it is told, in one line.
    The network raises nothing, nor does what is beyond a bound: it is counted in :attr:`left_out`, and logged once.

    **On the page**, ``commands.help`` is ``commands_help_total`` (and ``commands_help_decrements_total`` if it was
    decremented), a gauge ``guilds`` is ``guilds``, a timing ``query`` is the histogram ``query_seconds``, a set
    ``authors`` is ``authors_distinct``: how many it had in the last interval. What is no letter or digit becomes ``_``;
    names that begin as the exporter's own get ``statsd_`` before them, and a gauge ``guild.count``, which would be read
    as a part of another metric, is ``guild_count_value``. Tags are labels of at most 100 values; identities are
    ``other``, on the wire too. If two stats come to one name there (``a.b`` and ``a_b``), or one has sometimes these
    tags and sometimes those, the first has it; the other is sent as ever, but not shown, which is counted, and logged.
    So is a stat with an id in its name.

    :param loop: is accepted from users of pydis_core's; the loop is the one that :meth:`create_socket` runs on.
    :param prefix: before each name, with a dot between.
    :param flavour: plain, graphite, dogstatsd or influx; plain puts tags into the name.
    :param url: instead of host and port: ``unixgram:///path`` too.
    :param interval: seconds between two flushes.
    :param refresh: seconds after which a gauge that was set here is sent again, in case it was lost; None for never.
    :param max_bytes: of a datagram; if not given, what passes the network, and what receivers of the flavour read.
    :param exporter: on whose page all of it is, and which asks for the lines: :meth:`fold`, :meth:`drain`.
    :raises ValueError: if one of them cannot be.
    :ivar families: the names on the page of what was told here, which are not to be sent a second time.
    :ivar left_out: how much could not be recorded: too many stats, or values of a set; on the page, two of one name.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None = None,  # noqa: ARG002 - as in pydis_core
        host: str = "127.0.0.1",
        port: int = PORT,
        prefix: str | None = None,
        *,
        flavour: str = "plain",
        url: str | None = None,
        interval: float = 10.0,
        refresh: float | None = 60.0,
        max_bytes: int | None = None,
        exporter: Shown | None = None,
    ) -> None:
        _require(flavour, interval)
        self._flavour: Final = FLAVOURS[flavour]
        self._prefix, self._max_bytes = prefix or "", max_bytes
        if exporter is not None:
            interval, refresh = exporter.settings.statsd_interval, exporter.settings.statsd_refresh
        self._interval: Final = interval
        self._refresh: Final = math.inf if refresh is None else refresh
        self._forgets: Final = exporter is not None and exporter.settings.statsd_url is None
        self._exporter: Final = exporter
        self._wire: Final = None if exporter else Transport(url or _url(host, port), note=self._note)
        self._lock = threading.RLock() if exporter is None else exporter.ledger.lock
        self._owner: int | None = None
        self._known = {}
        self._said: set[str] = set()
        self._book, self._aside = Book(self._leave_out, self._cell if exporter else None), Book(self._leave_out)
        self._counts, self._tagged = (self._book.counts, self._book.tagged) if _adds_in_one_step() else ({}, {})
        self._told: dict[bytes, tuple[Stat[Any], Any]] = {}
        self._speech: _Speech | None = None
        now = time.monotonic()
        self._turn, self._again = now + self._interval, now + self._refresh
        self._datagrams: Iterator[tuple[bytes, int]] = iter(())
        self._flushing: asyncio.Task[None] | None = None
        self._closed = False
        self.families: Final[set[str]] = set()
        self.left_out = 0

    # ------------------------------------------------------------------------------------- what a bot tells

    def incr(self, stat: str, count: float = 1, rate: float = 1, tags: Mapping[str, object] | None = None) -> None:
        """Add to a counter. A negative count is taken off, and a counter of its own on the page."""
        # What a bot does most, in few steps. Any thread may: CPython switches at calls and jumps, and there are none
        # between the load and the store of `value`. A 1 that is another object than this one goes the long way.
        if rate is _ONE and (count is _ONE or (type(count) is int and 0 <= count < _MOST)):
            try:
                if tags is None:
                    self._counts[stat].value += count
                else:
                    self._tagged[stat, self._known[tuple(tags.items())]].value += count
            except (AttributeError, KeyError, TypeError):
                super().incr(stat, count, rate, tags)
        else:
            super().incr(stat, count, rate, tags)

    def _record(self, kind: Kind, name: str, tags: Tags, amount: Any) -> None:
        if get_ident() == self._owner:
            if kind is Gauge:
                self._absorb()  # what was set before this must not come after it
            self._book.add(kind, name, tags, amount)
            return
        with self._lock:
            if self._exporter is not None and self._exporter.ledger.is_mine():
                self._owner = get_ident()
            shared = self._owner is None or self._owner == get_ident()
            (self._book if shared else self._aside).add(kind, name, tags, amount)

    def _absorb(self) -> None:
        """Take in what other threads have told."""
        if self._aside.stats:
            with self._lock:
                aside, self._aside = self._aside, Book(self._leave_out)
            self._book.absorb(aside)

    def _fold(self, tag: str, why: str) -> str:
        if self._exporter is not None:
            return self._exporter.custom.fold("statsd", "tags", why)
        self._say(f"a value of tag {tag!r:.100} is {why}, so it is sent as {OTHER!r}")
        return OTHER

    def _leave_out(self, what: str) -> None:
        self.left_out += 1
        if self._exporter is not None:
            left_out = self._exporter.instruments.counter(LEFT_OUT_TOTAL)
            self._exporter.ledger.write(left_out, ("statsd",), CounterCell.inc)
        self._say(f"left out {what}")

    def _note(self, error: BaseException) -> None:
        self._say(f"{type(error).__name__}: {error}")

    def _say(self, what: str) -> None:
        if what not in self._said and len(self._said) < _SAID:
            self._said.add(what)
            _log.warning("StatsD: %s (not logged again)", what)

    # ------------------------------------------------------------------------------------- in an exporter

    def fold(self) -> None:
        """Bring what was told into the cells of the page, on the thread that owns them if one does. Never raises."""
        if self._exporter is not None and self._exporter.ledger.is_mine():
            self._adopt()
            self._show()
        else:
            with self._lock:  # while nobody owns the cells
                self._show()

    def _show(self) -> None:
        turn = time.monotonic() >= self._turn
        if turn:  # nobody has flushed for so long
            self._turn = time.monotonic() + self._interval
        for stat in list(self._book.stats.values()):
            if turn:
                stat.turn(forget=self._forgets)
            stat.show()

    def _adopt(self) -> None:
        """Own what there is on this thread from now on, with what other threads have told so far."""
        if self._owner != get_ident():
            with self._lock:
                self._owner = get_ident()
        self._absorb()

    def _cell(self, stat: Stat[Any]) -> Any:
        assert self._exporter is not None  # noqa: S101 - who has no exporter has no page
        try:
            metric = metric_of(stat)
            cell = cell_of(stat, metric, self._exporter.instruments)
        except ValueError as error:
            self._leave_out(f"{stat.name!r:.100} from the page: {error}")
            return nowhere(stat)
        self.families.add(metric.name)
        return cell

    def drain(self, flavour: Flavour, prefix: str | None = "") -> Iterator[bytes]:
        """Yield the lines of what is new since the last time, on the thread that owns it; names are the bot's own.

        Each is told as it is asked for: whoever stops in between loses none but the samples of one timing. A negative
        gauge is two lines in one, which belong into one datagram.

        :param prefix: before each name, with a dot between.
        """
        self._adopt()
        now = time.monotonic()
        self._turn = now + 2 * self._interval
        if again := now >= self._again:
            self._again = now + self._refresh
        self._told = told = {}
        speech = self._spoken(flavour, prefix or "")
        wants = Wants(flavour.whole, flavour is FLAVOURS["dogstatsd"], again)
        for stat in list(self._book.stats.values()):
            if stat.speech is not speech:
                self._spell(stat, speech)
            for line, amount in stat.take(wants):
                told[line] = stat, amount
                yield line

    def undo(self, datagram: bytes) -> None:
        """Tell again, the next time, what is in a datagram that could not be sent. Lines of others are none of it.

        Timings are not told again: a sample is one of many.
        """
        before = b""
        for line in datagram.split(b"\n"):
            told = self._told.pop(line, None) or self._told.pop(before + line, None)
            before = line + b"\n"
            if told is not None:
                stat, amount = told
                stat.undo(amount)

    def _spoken(self, flavour: Flavour, prefix: str) -> _Speech:
        """The same object as long as it is the same flavour and prefix."""
        speech = _Speech(flavour, prefix)
        known = self._speech
        if known is None or known != speech:
            known = self._speech = speech
        return known

    def _spell(self, stat: Stat[Any], speech: _Speech) -> None:
        constant = self._exporter.instruments.constant if self._exporter is not None and speech.flavour.key else {}
        name = f"{speech.prefix}.{stat.name}" if speech.prefix else stat.name
        stat.head, stat.tail = speech.flavour.parts(name, list({**dict(stat.tags), **constant}.items()))
        stat.speech = speech

    # ------------------------------------------------------------------------------------- alone

    async def create_socket(self) -> None:
        """Begin to send, from the running loop; returns at once. In an exporter there is nothing to do."""
        if self._wire is None or self._closed or self._flushing is not None:
            return
        self._adopt()
        await self._wire.start()
        self._flushing = asyncio.create_task(self._flush_often(self._wire), name="argus_exporter:statsd flush")

    def close(self) -> Awaitable[None]:
        """Send what is left, and close; await it, if the loop goes on, to see the end of it.

        In an exporter there is nothing to do: that closes what it has opened.
        """
        if self._wire is None:
            return _Closing([])
        return _Closing([self._finish(self._wire), self._stop()])

    def _stop(self) -> asyncio.Task[None] | None:
        if self._flushing is not None:
            self._flushing.cancel()
        return self._flushing

    async def _flush_often(self, wire: Transport) -> None:
        try:
            while True:
                await asyncio.sleep(self._interval)
                await self._flush(wire)
        finally:
            self._finish(wire)  # where nobody has closed it, the end of the loop does

    async def _flush(self, wire: Transport) -> None:
        try:
            self._datagrams = self._pack(wire)
            while self._burst(wire):  # noqa: ASYNC110 - waits for nothing
                await asyncio.sleep(_PAUSE)
        except Exception as error:  # noqa: BLE001 - the next flush may go well
            self._note(error)

    def _pack(self, wire: Transport) -> Iterator[tuple[bytes, int]]:
        """All datagrams of a flush, made as they are asked for; none where they had nowhere to go."""
        lines = self.drain(self._flavour, self._prefix) if wire.ready else ()
        limit = self._max_bytes or min(wire.limit, self._flavour.most)
        return packed(lines, limit, lambda _: self._leave_out("a line that is longer than a datagram"))

    def _burst(self, wire: Transport) -> bool:
        """Send as much as goes at a stretch. Whether there may be more."""
        left, until = _BURST, time.perf_counter() + _SLICE
        for datagram, lines in self._datagrams:
            self._send_or_keep(wire, datagram, lines)
            left -= len(datagram)
            if left <= 0 or time.perf_counter() >= until:
                return True
        return False

    def _send_or_keep(self, wire: Transport, datagram: bytes, lines: int) -> None:
        if not wire.send(datagram, lines):
            self.undo(datagram)

    def _finish(self, wire: Transport) -> asyncio.Task[None] | None:
        self._closed = True
        for datagram, lines in itertools.chain(self._datagrams, self._pack(wire)):
            self._send_or_keep(wire, datagram, lines)
        return wire.shut()
