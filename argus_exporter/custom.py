"""The user's own metrics: the same bounds as ours, the same page, from any thread.

What is wrong in a declaration raises at once, in one line. What is wrong at run time never does: it is left out or
folded into ``other``, counted, and logged once.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import math
import re
import sys
import threading
import time
import types
import typing
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, Final, Generic, ParamSpec, Self, TypeVar

from argus_exporter import catalogue
from argus_exporter.catalogue import LONGEST_VALUE, OTHER, Label
from argus_exporter.instruments import Cell, CounterCell, Family, GaugeCell, HistogramCell

if typing.TYPE_CHECKING:
    from collections.abc import Callable

    from argus_exporter.instruments import Instruments, Key
    from argus_exporter.threads import Ledger

P = ParamSpec("P")
R = TypeVar("R")

Labels = Mapping[str, int | Sequence[str]]
"""Each label's bound: how many values it may have, or all of them."""

NOUN: Final = "custom"

EDGES: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""The buckets of a histogram that is declared without any: seconds, from a cache hit to a slow request."""

MOST_METRICS: Final = 500
"""So many metrics a process may declare: names that are made up at run time explode as labels do."""

OURS: Final = ("discord_", "argus_exporter_", "process_")
"""How names begin that a bot may not give."""

_CONSTANT: Final = ("bot", "cluster")
_IDENTITIES: Final = (
    *("id", "ids", "uuid", "snowflake", "guild", "user", "username", "member", "author", "channel", "message"),
    *("token", "email", "ip"),
)
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SNOWFLAKE: Final = re.compile(r"(?<!\d)\d{15,20}(?!\d)")
_LEAST_ID: Final = 10**14
_PLAIN: Final = 2**53
"""An int below this is a number without further question."""
_PRIVATE: Final = (
    ("an id of Discord's (15 to 20 digits)", _SNOWFLAKE),
    ("a mention", re.compile(r"<(?:@[!&]?|#|a?:\w+:)\d+>")),
    ("a UUID", re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")),
    ("a token", re.compile(r"[\w-]{23,28}\.[\w-]{6,7}\.[\w-]{27,}|\beyJ[\w-]{8,}\.|[0-9a-fA-F]{32,}")),
    ("an e-mail address", re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")),
    ("an IP address", re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")),
)

_log: Final = logging.getLogger(__name__)


def private(value: str) -> str:
    """What identity a value seems to be, in words; "" where it is none. So long a text is what a user has typed."""
    if len(value) > LONGEST_VALUE:
        return f"longer than {LONGEST_VALUE} characters"
    return next((what for what, pattern in _PRIVATE if pattern.search(value)), "")


def is_identity(label: str) -> bool:
    """Whether a label of this name would hold identities."""
    word = _HUMP.sub("_", label).lower()
    return word in _IDENTITIES or word.endswith(("_id", "_ids"))


def unfit(value: object) -> str:
    """Why a value can be no label's, in words; "" where it can."""
    if not isinstance(value, str | int | float):
        return "neither text nor number"
    if isinstance(value, int) and abs(value) >= _LEAST_ID:
        return "an id of Discord's"
    return private(text_of(value))


def text_of(value: object) -> str:
    """A value as a label has it: of an Enum that is text, what it is worth."""
    return str.__str__(value) if isinstance(value, str) else str(value)


# ---------------------------------------------------------------------------------------------- declarations


def _label(metric: str, name: str, bound: object) -> Label:
    if is_identity(name):
        _refuse(metric, f"label {name!r} would hold identities; a label is a kind of thing, such as a shop's item")
    if name in _CONSTANT:
        _refuse(metric, f"label {name!r} is the setting ARGUS_{name.upper()}; take another name")
    if isinstance(bound, int) and not isinstance(bound, bool):
        return _made(metric, name, bound)
    if isinstance(bound, bool | str) or not bound or not isinstance(bound, Sequence):
        _refuse(metric, f"label {name!r} needs a bound: {{{name!r}: 50}} for at most 50 values, or all of them")
    return _closed(metric, name, tuple(typing.cast("Sequence[object]", bound)))


def _closed(metric: str, name: str, values: tuple[object, ...]) -> Label:
    for value in values:
        if why := private(value) if isinstance(value, str) else "what is no text":
            _refuse(metric, f"label {name!r} lists {why}")
    return _made(metric, name, len(values), typing.cast("tuple[str, ...]", values))


def _made(metric: str, name: str, bound: int, values: tuple[str, ...] = ()) -> Label:
    try:
        return Label(name, bound, "declared by the bot", values)
    except ValueError as error:
        _refuse(metric, str(error))


def _declared(kind: Callable[..., R], name: str, documentation: str, labels: object, series: int, **more: object) -> R:
    """The declaration of a metric.

    :raises ValueError: if it is not allowed, in one line that says what is.
    """
    if name.startswith(OURS):
        _refuse(name, f"names that begin with {', '.join(OURS)} are taken; begin with your bot's name")
    if _SNOWFLAKE.search(name):
        _refuse(name, "has an id in its name; one metric with a label of few values does it")
    if labels is not None and not isinstance(labels, Mapping):
        _refuse(name, "each label needs a bound: labels={'item': 50}, or labels={'item': ('sword', 'shield')}")
    given = typing.cast("Labels", labels or {})
    bounded = tuple(_label(name, label, bound) for label, bound in given.items())
    return kind(name, documentation, NOUN, bounded, series, **more)


def _refuse(name: str, reason: str) -> typing.NoReturn:
    msg = f"metric {name!r}: {reason}"
    raise ValueError(msg)


# ---------------------------------------------------------------------------------------------- handles


class Handle(Generic[Cell]):
    """A series, or a metric whose series :meth:`labels` finds. Any thread may use it, before the start too."""

    __slots__ = ("_cell", "_custom", "_family", "_found", "_key")

    def __init__(
        self, custom: Custom, family: Family[Cell], key: Key | None = None, found: dict[Any, Any] | None = None
    ) -> None:
        self._custom = custom
        self._family = family
        self._key = key if family.metric.labels else ()
        self._cell: Cell | None = None
        self._found: dict[Any, Self] = {} if found is None else found

    def labels(self, *values: object, **named: object) -> Self:
        """Find the series of these label values, by position or by name.

        A value beyond the bound, an identity, and what is neither text nor number become ``other``, counted.

        :raises ValueError: if the labels are not those of the declaration.
        """
        names = self._family.metric.label_names
        wanted = values or tuple([named.get(name) for name in names])
        if len(values) + len(named) != len(names) or (named and named.keys() != {*names}):
            _refuse(self._family.metric.name, f"takes the labels {names}, not {(*values, *named)}")
        try:
            return self._found[wanted]
        except (KeyError, TypeError):  # a value may be a list
            return self._find(wanted)

    def _find(self, wanted: tuple[object, ...]) -> Self:
        family, key = self._family, self._custom.key(self._family, wanted)
        series = type(self)(self._custom, family, key, self._found)
        if series._own() is None:  # noqa: SLF001 - one of its own kind
            self._custom.ledger.write(family, key, _exist)
        return self._found.setdefault(key, series) if key in family.cells else series

    def series(self) -> Key:
        """Return the label values of the series that this is.

        :raises ValueError: if it has labels, and :meth:`labels` was not called.
        """
        if self._key is None:
            _refuse(self._family.metric.name, f"has the labels {self._family.metric.label_names}: call .labels() first")
        return self._key

    def _own(self) -> Cell | None:
        """The cell, on the thread that owns it."""
        if not self._custom.ledger.is_mine():
            return None
        if self._cell is None:
            self._cell = self._family.labels(*self.series())
        return self._cell

    def _write(self, do: Callable[[Cell], object]) -> None:
        self._custom.ledger.write(self._family, self.series(), do)

    def _number(self, value: object, least: float = -sys.float_info.max) -> float | None:
        """The number, if it is a finite one and not below the least; otherwise that is counted, and logged once."""
        number = _as_number(value)
        if number is not None and least <= number < math.inf:
            return number
        said = f"below {least:g}" if number is not None and math.isfinite(number) else "no finite number"
        self._custom.leave_out(self._family.metric.name, said)
        return None


def _exist(_: object) -> None:
    """Do nothing to a series but make it: a counter that is there at 0 shows its first increment."""


def _as_number(value: object) -> float | None:
    """The number that a value is, nan too; text is none, nor is an int beyond all floats."""
    try:
        number = float(typing.cast("float", value))
    except Exception:  # noqa: BLE001 - whatever a user's own type raises
        return None
    return None if isinstance(value, str | bytes) else value if type(value) is int else number


class CounterHandle(Handle[CounterCell]):
    """A counter, or one series of it."""

    __slots__ = ()

    def inc(self, amount: float = 1) -> None:
        """Add an amount. What is negative or no finite number is left out, counted, and logged once.

        :raises ValueError: if the metric has labels, and this is none of its series.
        """
        number = amount if type(amount) is int and 0 <= amount < _PLAIN else self._number(amount, 0)
        if number is None:
            return
        if (cell := self._own()) is None:
            self._write(lambda cell: cell.inc(number))
        else:
            cell.value += number


class GaugeHandle(Handle[GaugeCell]):
    """A gauge, or one series of it; absent from the page until it has a value."""

    __slots__ = ()

    def set(self, value: float | None) -> None:
        """Set the value. None and nan, which are not known, take it off the page.

        So does what is infinite or no number, which is counted, and logged once: the value before it is past.

        :raises ValueError: if the metric has labels, and this is none of its series.
        """
        given = _as_number(value)
        unknown = value is None or given != given  # noqa: PLR0124 - nan
        number = None if unknown else self._number(value)
        self._write(lambda cell: cell.set(number))

    def inc(self, amount: float = 1) -> None:
        """Add an amount to the value, or to 0 where there is none.

        :raises ValueError: if the metric has labels, and this is none of its series.
        """
        if (number := self._number(amount)) is not None:
            self._write(lambda cell: cell.inc(number))

    def dec(self, amount: float = 1) -> None:
        """Take an amount off; as :meth:`inc`."""
        if (number := self._number(amount)) is not None:
            self._write(lambda cell: cell.inc(-number))


class HistogramHandle(Handle[HistogramCell]):
    """A histogram, or one series of it."""

    __slots__ = ()

    def observe(self, value: float, trace: str = "") -> None:
        """Count a value in its bucket. What is negative or no finite number is left out, counted, and logged once.

        :param trace: the id of the trace it belongs to, where its span has ended already; the active one if not given.
        :raises ValueError: if the metric has labels, and this is none of its series.
        """
        number = value if type(value) is float and 0 <= value < math.inf else self._number(value, 0)
        if number is None:
            return
        if (cell := self._own()) is None:
            self._write(lambda cell: cell.observe(number, trace))
        else:
            cell.observe(number, trace)


class Timer:
    """Observes how long something takes, in seconds, whether it succeeds, fails or is cancelled.

    A decorator for functions and coroutine functions, and a context manager for ``with`` and ``async with``. One timer
    may be open many times at once.
    """

    def __init__(self, handle: HistogramHandle) -> None:
        handle.series()
        self._handle = handle
        self._began: weakref.WeakKeyDictionary[object, list[float]] = weakref.WeakKeyDictionary()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Time every call.

        :raises TypeError: if it is no function (put it below a command's decorator), or a generator's.
        """
        inner = function
        while isinstance(inner, functools.partial):
            inner = inner.func
        if not isinstance(inner, types.FunctionType | types.MethodType | types.BuiltinFunctionType):
            msg = f"timed() takes a function or coroutine function, not {type(inner).__name__}: put it below decorators"
            raise TypeError(msg)
        if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
            msg = f"timed() takes no generator: a call of {inner.__name__} only begins its work"
            raise TypeError(msg)
        return self._timed_coroutine(function) if inspect.iscoroutinefunction(inner) else self._timed(function)

    def _timed(self, function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def timed(*arguments: P.args, **named: P.kwargs) -> R:
            began = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self._handle.observe(time.perf_counter() - began)

        return timed

    def _timed_coroutine(self, function: Callable[P, Any]) -> Any:
        @functools.wraps(function)
        async def timed(*arguments: P.args, **named: P.kwargs) -> Any:
            began = time.perf_counter()
            try:
                return await function(*arguments, **named)
            finally:
                self._handle.observe(time.perf_counter() - began)

        return timed

    def __enter__(self) -> Self:
        self._began.setdefault(_running(), []).append(time.perf_counter())
        return self

    def __exit__(self, *_: object) -> None:
        running = _running()
        if began := self._began.get(running):
            self._handle.observe(time.perf_counter() - began.pop())
            if not began:
                del self._began[running]

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.__exit__()


def _running() -> object:
    """The task that runs here, or the thread where none does: what never leaves its block is forgotten with it."""
    try:
        return asyncio.current_task() or threading.current_thread()
    except RuntimeError:
        return threading.current_thread()


# ---------------------------------------------------------------------------------------------- what holds them


AnyHandle = TypeVar("AnyHandle", CounterHandle, GaugeHandle, HistogramHandle)


class Custom:
    """The handles of an exporter, and what is said of their misuse."""

    def __init__(self, instruments: Instruments, ledger: Ledger) -> None:
        self.instruments: Final = instruments
        self.ledger: Final = ledger
        self._handles: dict[str, Any] = {}
        self._left_out = instruments.counter(catalogue.LEFT_OUT_TOTAL)
        self._told: set[tuple[str, str]] = set()

    def declare(self, kind: type[AnyHandle], make: Callable[[], Family[Any]], name: str) -> AnyHandle:
        """The handle of a metric: the same at each call with the same declaration."""
        with self.ledger.lock:
            if name not in self._handles and len(self._handles) >= MOST_METRICS:
                _refuse(name, f"is one more than the {MOST_METRICS} metrics that a bot may declare")
            family = make()
            if name not in self._handles:
                self._handles[name] = kind(self, family)
                if not family.metric.labels:
                    self.ledger.write(family, (), _exist)
            return typing.cast("AnyHandle", self._handles[name])

    def key(self, family: Family[Any], values: tuple[object, ...]) -> Key:
        """The label values of a series, without identities."""
        names = family.metric.label_names
        return tuple(self._admit(family.metric.name, *each) for each in zip(names, values, strict=True))

    def _admit(self, metric: str, label: str, value: object) -> str:
        return self.fold(metric, label, why) if (why := unfit(value)) else text_of(value)

    def fold(self, metric: str, label: str, why: str) -> str:
        """Count a label's value as ``other``, which is returned; log the first of its kind."""
        self.ledger.write(self.instruments.overflow, (metric,), CounterCell.inc)
        if self._is_new(metric, f"{label}: {why}"):
            _log.error(
                "%s: a value of label %r is %s, so it is counted as 'other' (not logged again)", metric, label, why
            )
        return OTHER

    def leave_out(self, metric: str, why: str) -> None:
        """Count something that cannot be recorded; log the first of its kind."""
        self.ledger.write(self._left_out, (metric,), CounterCell.inc)
        if self._is_new(metric, why):
            _log.error("%s: left out what is %s (not logged again)", metric, why)

    def _is_new(self, metric: str, why: str) -> bool:
        with self.ledger.lock:
            known = (metric, why) in self._told
            self._told.add((metric, why))
            return not known


class CustomMethods:
    """What an exporter offers for metrics of the bot's own, by any of its names."""

    custom: Custom

    def counter(self, name: str, documentation: str, labels: Labels | None = None, *, series: int = 0) -> CounterHandle:
        """Declare a counter, or find it.

        ::

            purchases = exporter.counter("shop_purchases_total", "Purchases.", {"item": ("sword", "shield")})
            purchases.labels(item="sword").inc()

        :param name: ends in ``_total``.
        :param labels: each label with its bound: how many values there may be, or all of them. What is beyond it is
            counted as ``other``.
        :param series: how many sets of label values there may be; the product of the bounds if not given.
        :raises ValueError: if the declaration is not allowed, or another one has this name.
        """
        metric = _declared(catalogue.Counter, name, documentation, labels, series)
        return self.custom.declare(CounterHandle, lambda: self.custom.instruments.counter(metric), name)

    def gauge(self, name: str, documentation: str, labels: Labels | None = None, *, series: int = 0) -> GaugeHandle:
        """Declare a gauge, or find it; as :meth:`counter`. It is absent until it is set."""
        metric = _declared(catalogue.Gauge, name, documentation, labels, series)
        return self.custom.declare(GaugeHandle, lambda: self.custom.instruments.gauge(metric), name)

    def histogram(
        self,
        name: str,
        documentation: str,
        labels: Labels | None = None,
        *,
        edges: Sequence[float] = EDGES,
        series: int = 0,
    ) -> HistogramHandle:
        """Declare a histogram, or find it; as :meth:`counter`.

        :param edges: the buckets' upper edges, ascending; none below zero.
        """
        metric = _declared(catalogue.Histogram, name, documentation, labels, series, edges=tuple(edges))
        return self.custom.declare(HistogramHandle, lambda: self.custom.instruments.histogram(metric), name)

    def timed(self, metric: HistogramHandle | str, documentation: str = "", *, edges: Sequence[float] = EDGES) -> Timer:
        """Time functions, coroutine functions and blocks: see :class:`Timer`.

        ::

            @exporter.timed("shop_checkout_seconds", "Checkouts.")
            async def checkout() -> None: ...

            with exporter.timed(queries.labels(table="items")): ...

        :param metric: one series of a histogram; or the name of one without labels, which is declared as in
            :meth:`histogram`.
        :raises ValueError: if the declaration is not allowed, or the histogram has labels that are not given.
        """
        return Timer(self.histogram(metric, documentation, edges=edges) if isinstance(metric, str) else metric)
