"""Writing to cells from any thread: nothing is lost, nothing is torn, and the event loop's thread takes no lock for it.

Cells belong to one thread, the owner's, which adds to them as they are. What other threads write is put aside under a
lock, and the owner takes it over at each sample. While nobody owns them (the exporter is not running) everybody writes
under the lock.
"""

from __future__ import annotations

import threading
import typing
from typing import Final

from argus_exporter.catalogue import Gauge
from argus_exporter.instruments import AnyCell, CounterCell, Family, GaugeCell, HistogramCell

if typing.TYPE_CHECKING:
    from collections.abc import Callable

    from argus_exporter.instruments import AnyFamily, Cell, CounterFamily, Key


class _Change(GaugeCell):
    """What other threads have done to a gauge: it was set, or an amount was added to whatever it is."""

    __slots__ = ("is_set",)

    def __init__(self) -> None:
        super().__init__()
        self.is_set = False

    def set(self, value: float | None) -> None:
        self.is_set = True
        super().set(value)

    def apply(self, cell: GaugeCell) -> None:
        if self.is_set:
            cell.set(self.value)
        elif self.value is not None:
            cell.inc(self.value)


class Ledger:
    """What keeps threads apart.

    What is put aside is bounded as the families are: a family beyond its bound folds into ``other``, counted.

    :param overflow: counts what was folded, by metric.
    :ivar lock: held for a few steps at a time. Reentrant: a finalizer may write while its thread does.
    """

    def __init__(self, overflow: CounterFamily) -> None:
        self.lock: Final = threading.RLock()
        self._overflow = overflow
        self._owner: int | None = None
        self._aside: dict[AnyFamily, dict[Key, AnyCell]] = {}

    def adopt(self) -> None:
        """Make the calling thread the owner."""
        with self.lock:
            self._owner = threading.get_ident()

    def release(self) -> None:
        """Take over what is aside; nobody owns the cells from now on."""
        with self.lock:
            self._take_over()
            self._owner = None

    def is_mine(self) -> bool:
        """Whether the calling thread is the owner."""
        return threading.get_ident() == self._owner

    def absorb(self) -> None:
        """Take over what other threads have written since the last time; nothing where the caller is not the owner."""
        if self._aside and self.is_mine():
            with self.lock:
                self._take_over()

    def write(self, family: Family[Cell], key: Key, do: Callable[[Cell], object]) -> None:
        """Do something to a series' cell, or to one that is merged into it later.

        :param key: may be new; has a value for each label.
        """
        if self.is_mine():
            if self._aside and isinstance(family.metric, Gauge):
                self.absorb()  # what was set before this must not come after it
            do(family.labels(*key))
            return
        with self.lock:
            do(family.labels(*key) if self._owner is None else self._side(family, key))

    def _side(self, family: Family[Cell], key: Key) -> Cell:
        sides = self._aside.setdefault(typing.cast("AnyFamily", family), {})
        if key not in sides and len(sides) > family.metric.series:
            key = family.beyond(key)
            if family is not self._overflow:
                self._side(self._overflow, (family.metric.name,)).inc()
        if key not in sides:
            sides[key] = _Change() if isinstance(family.metric, Gauge) else typing.cast("AnyCell", family.make())
        return typing.cast("Cell", sides[key])

    def _take_over(self) -> None:
        aside, self._aside = self._aside, {}
        for family, sides in aside.items():
            for key, side in sides.items():
                _merge(family.labels(*key), side)


def _merge(cell: AnyCell, side: AnyCell) -> None:
    if isinstance(side, _Change) and isinstance(cell, GaugeCell):
        side.apply(cell)
    elif isinstance(side, HistogramCell) and isinstance(cell, HistogramCell):
        cell.merge(side)
    elif isinstance(side, CounterCell) and isinstance(cell, CounterCell):
        cell.inc(side.value)
