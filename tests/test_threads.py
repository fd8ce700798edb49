"""Writing from many threads: nothing is lost, nothing is torn, and only the owner touches the cells."""

from __future__ import annotations

import sys
import threading
import time
import typing
from collections.abc import Callable, Iterator

import pytest

from argus_exporter.catalogue import LABEL_OVERFLOW_TOTAL, Counter, Gauge, Histogram, Label, closed
from argus_exporter.instruments import CounterCell, Family, HistogramCell, Instruments
from argus_exporter.threads import Ledger

LABELS = (Label("free", 3, "three"), closed("closed", ("red",), "one"))
COUNTED = Counter("test_counted_total", "Counted.", "custom", LABELS)
LEVEL = Gauge("test_level", "Level.", "custom")
TIMED = Histogram("test_timed_seconds", "Timed.", "custom", edges=(1.0, 2.0))

THREADS, ROUNDS = 8, 2000


class House:
    def __init__(self) -> None:
        self.instruments = Instruments(active_trace=lambda: threading.current_thread().name)
        self.counted = self.instruments.counter(COUNTED)
        self.level = self.instruments.gauge(LEVEL)
        self.timed = self.instruments.histogram(TIMED)
        self.ledger = Ledger(self.instruments.overflow)

    def inc(self, free: str = "a", amount: float = 1) -> None:
        self.ledger.write(self.counted, (free, "red"), lambda cell: cell.inc(amount))

    def set(self, value: float | None) -> None:
        self.ledger.write(self.level, (), lambda cell: cell.set(value))

    def add(self, amount: float) -> None:
        self.ledger.write(self.level, (), lambda cell: cell.inc(amount))

    def observe(self, value: float) -> None:
        self.ledger.write(self.timed, (), lambda cell: cell.observe(value))

    def counts(self) -> dict[tuple[str, ...], float]:
        return {key: cell.value for key, cell in self.counted.cells.items()}


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def owned(house: House) -> House:
    house.ledger.adopt()
    return house


def elsewhere(*steps: Callable[[], object]) -> None:
    """Do something in another thread, and wait for its end."""
    thread = threading.Thread(target=lambda: [step() for step in steps])
    thread.start()
    thread.join()


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


class Slow(CounterCell):
    """A cell whose every addition gives other threads the time to spoil it, and that knows who added."""

    __slots__ = ("writers",)

    def __init__(self) -> None:
        super().__init__()
        self.writers: set[int] = set()

    def inc(self, amount: float = 1) -> None:
        before = self.value
        self.writers.add(threading.get_ident())
        time.sleep(0)
        self.value = before + amount


def by_many(work: Callable[[int], object], while_it_runs: Callable[[], object] = lambda: None) -> None:
    threads = [threading.Thread(target=lambda: [work(number) for number in range(ROUNDS)]) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        while_it_runs()


@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize("owner", [True, False])
def test_what_many_threads_write_is_all_there_and_whole(house: House, *, owner: bool) -> None:
    if owner:
        house.ledger.adopt()

    def work(number: int) -> None:
        house.inc(f"{number % 2}", 0.5)
        house.observe(number % 3 + 0.5)
        house.add(2)

    def meanwhile() -> None:
        house.inc("own")
        own.append(1)
        house.ledger.absorb()
        cell = house.timed.cells.get(())
        assert cell is None or not owner or sum(cell.counts) * 0.5 <= cell.sum <= sum(cell.counts) * 2.5

    own: list[int] = []
    by_many(work, meanwhile)
    house.ledger.absorb()
    each = THREADS * ROUNDS / 2
    assert house.counts() == {("0", "red"): each * 0.5, ("1", "red"): each * 0.5, ("own", "red"): len(own)}
    rounds = [number % 3 + 0.5 for number in range(ROUNDS)]
    assert house.timed.cells[()].counts == [THREADS * rounds.count(edge) for edge in (0.5, 1.5, 2.5)]
    assert house.timed.cells[()].sum == THREADS * sum(rounds)
    assert house.level.cells[()].value == THREADS * ROUNDS * 2


@pytest.mark.parametrize("owner", [True, False])
def test_only_the_owner_writes_to_a_cell_and_nobody_at_the_same_time(house: House, *, owner: bool) -> None:
    if owner:
        house.ledger.adopt()
    family = Family(Counter("test_slow_total", "Slow.", "custom"), Slow, {}, lambda _: None)
    threads = [
        threading.Thread(target=lambda: [house.ledger.write(family, (), lambda cell: cell.inc()) for _ in range(50)])
        for _ in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    if owner:
        for _ in range(50):
            house.ledger.write(family, (), lambda cell: cell.inc())
            house.ledger.absorb()
    for thread in threads:
        thread.join()
    house.ledger.absorb()
    assert family.cells[()].value == (THREADS + owner) * 50
    assert not owner or family.cells[()].writers == {threading.get_ident()}


def test_what_others_write_comes_with_the_next_sample(owned: House) -> None:
    owned.inc()
    elsewhere(owned.inc, lambda: owned.observe(1.5), lambda: owned.set(4))
    owned.inc()  # takes no lock to look at what is aside
    assert owned.counts() == {("a", "red"): 2}
    assert owned.timed.cells == {}
    owned.ledger.absorb()
    assert owned.counts() == {("a", "red"): 3}
    assert owned.timed.cells[()].counts == [0, 1, 0]
    assert owned.level.cells[()].value == 4
    owned.ledger.absorb()
    assert owned.counts() == {("a", "red"): 3}


def test_nobody_else_can_take_over_what_is_aside(owned: House) -> None:
    elsewhere(owned.inc, owned.ledger.absorb)
    assert owned.counts() == {}
    owned.ledger.absorb()
    assert owned.counts() == {("a", "red"): 1}


def test_without_an_owner_everybody_writes_at_once(house: House) -> None:
    elsewhere(house.inc)
    house.inc()
    assert house.counts() == {("a", "red"): 2}


def test_the_end_takes_over_what_is_aside_and_leaves_nobody_the_owner(owned: House) -> None:
    elsewhere(owned.inc, owned.ledger.release)
    assert owned.counts() == {("a", "red"): 1}
    elsewhere(owned.inc)
    assert owned.counts() == {("a", "red"): 2}
    assert not owned.ledger.is_mine()


def test_the_last_word_on_a_gauge_is_the_last_whoever_had_it(owned: House) -> None:
    elsewhere(lambda: owned.set(1))
    owned.set(2)
    owned.ledger.absorb()
    assert owned.level.cells[()].value == 2
    owned.set(3)
    elsewhere(lambda: owned.add(4), lambda: owned.set(5), lambda: owned.add(6))
    owned.add(7)
    assert owned.level.cells[()].value == 18
    elsewhere(lambda: owned.add(1))
    owned.ledger.absorb()
    assert owned.level.cells[()].value == 19
    elsewhere(lambda: owned.set(None))
    owned.ledger.absorb()
    assert owned.level.cells[()].value is None
    elsewhere(lambda: owned.ledger.write(owned.level, (), lambda _: None))
    owned.set(1)
    owned.ledger.absorb()
    assert owned.level.cells[()].value == 1


def test_what_is_put_aside_is_bounded_and_what_was_folded_is_counted(owned: House) -> None:
    elsewhere(*[lambda number=number: owned.inc(str(number)) for number in range(999)], lambda: owned.inc("0"))
    assert len(owned.ledger._aside[owned.counted]) <= COUNTED.series + 2
    owned.ledger.absorb()
    assert sum(owned.counts().values()) == 1000
    assert set(owned.counts()) == {("0", "red"), ("1", "red"), ("2", "red"), ("other", "red")}
    assert owned.counts()["0", "red"] == 2
    overflow = owned.instruments.counter(LABEL_OVERFLOW_TOTAL).cells["test_counted_total",]
    assert 1000 - COUNTED.series <= overflow.value <= 1000


def test_the_overflow_of_overflows_ends(owned: House) -> None:
    names = [(f"test_{number}_total",) for number in range(LABEL_OVERFLOW_TOTAL.series + 5)]
    overflow = owned.instruments.overflow
    elsewhere(*[lambda name=name: owned.ledger.write(overflow, name, CounterCell.inc) for name in names])
    owned.ledger.absorb()
    assert sum(cell.value for cell in overflow.cells.values()) >= len(names)


def test_a_finalizer_may_write_while_its_thread_writes(owned: House) -> None:
    def reentrant(cell: CounterCell) -> None:
        owned.inc("a")
        cell.inc()

    elsewhere(lambda: owned.ledger.write(owned.counted, ("a", "red"), reentrant))
    owned.ledger.absorb()
    assert owned.counts() == {("a", "red"): 2}


def test_exemplars_are_those_of_the_thread_that_observed_and_the_newest_stays(owned: House) -> None:
    owned.observe(0.5)
    owned.observe(1.5)
    thread = threading.Thread(target=lambda: owned.observe(0.6), name="other-thread")
    thread.start()
    thread.join()
    owned.observe(5.0)
    owned.ledger.absorb()
    cell = typing.cast("typing.Any", owned.timed.cells[()])
    me = threading.current_thread().name
    assert [(each.trace, each.value) for each in cell.exemplars] == [("other-thread", 0.6), (me, 1.5), (me, 5.0)]
    assert isinstance(cell, HistogramCell)
