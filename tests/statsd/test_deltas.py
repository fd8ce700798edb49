"""What has changed, as lines: exact, never negative, and noted only when it is gone."""

from __future__ import annotations

import math
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argus_exporter.instruments import CounterCell, GaugeCell, HistogramCell
from argus_exporter.statsd.deltas import (
    Batch,
    BucketRun,
    CounterRun,
    GaugeRun,
    QuantileRun,
    Round,
    Run,
    Spelling,
    quantile,
)
from argus_exporter.statsd.encode import FLAVOURS

DOG = Spelling(FLAVOURS["dogstatsd"].parts, False)
WHOLE = Spelling(FLAVOURS["influx"].parts, True)
PLAIN = Spelling(FLAVOURS["plain"].parts, False)


def sent(run: Run[typing.Any], *, due: bool = False, gone: bool = True, batch: Batch | None = None) -> list[str]:
    batch = batch or Batch(1000)
    run.tell(batch, due=due)
    lines: list[str] = []
    for datagram, number in batch.datagrams(everything=True):
        batch.note(number, gone=gone)
        lines += datagram.decode().split("\n")
    return lines


def counters(*values: float, spelling: Spelling = DOG) -> tuple[CounterRun, list[CounterCell]]:
    run, cells = CounterRun("c_total", spelling), [CounterCell() for _ in values]
    for number, (cell, value) in enumerate(zip(cells, values, strict=True)):
        cell.value = value
        run.add([("n", str(number))], cell)
    return run, cells


def gauges(*values: float | None) -> tuple[GaugeRun, list[GaugeCell]]:
    run, cells = GaugeRun("g", DOG), [GaugeCell() for _ in values]
    for cell, value in zip(cells, values, strict=True):
        cell.value = value
        run.add([], cell)
    return run, cells


# ------------------------------------------------------------------------------------------------ counters


def test_a_counter_goes_out_as_what_was_added_and_a_new_one_at_0_too() -> None:
    run, (one, other) = counters(3, 0)
    assert sent(run) == ["c_total:3|c|#n:0", "c_total:0|c|#n:1"]
    assert sent(run) == []
    one.value += 2**70
    assert sent(run) == [f"c_total:{2**70}|c|#n:0"]
    one.value += 1
    other.value += 0.25
    assert sent(run) == ["c_total:1|c|#n:0", "c_total:0.25|c|#n:1"]


def test_what_is_due_goes_out_unchanged_as_0() -> None:
    run, (one, _) = counters(3, 0)
    sent(run)
    one.value += 1
    assert sent(run, due=True) == ["c_total:1|c|#n:0", "c_total:0|c|#n:1"]
    assert sent(run) == []


def test_what_was_refused_goes_out_with_the_next_flush_and_nothing_is_said_twice() -> None:
    run, (one, other) = counters(3, 5)
    assert sent(run, gone=False) == ["c_total:3|c|#n:0", "c_total:5|c|#n:1"]
    one.value += 1
    assert sent(run, gone=False) == ["c_total:4|c|#n:0", "c_total:5|c|#n:1"]
    other.value += 1
    assert sent(run) == ["c_total:4|c|#n:0", "c_total:6|c|#n:1"]
    one.value += 1
    assert sent(run, gone=False) == ["c_total:1|c|#n:0"]
    assert sent(run) == ["c_total:1|c|#n:0"]
    assert sent(run) == []


def test_each_datagram_is_noted_by_itself() -> None:
    run, _ = counters(*range(1, 8))
    batch = Batch(len("c_total:1|c|#n:0") * 2 + 1)
    run.tell(batch, due=False)
    sizes: list[int] = []
    for count, (datagram, number) in enumerate(batch.datagrams(everything=True)):
        assert datagram.count(b"\n") == number - 1
        sizes.append(number)
        batch.note(number, gone=count % 2 == 0)
    assert sizes == [2, 2, 2, 1]
    assert sent(run) == ["c_total:3|c|#n:2", "c_total:4|c|#n:3", "c_total:7|c|#n:6"]


def test_a_datagram_that_is_not_full_waits_for_the_lines_of_the_next_run() -> None:
    one, other = counters(1, 2)[0], counters(3)[0]
    batch = Batch(len("c_total:1|c|#n:0") * 2 + 1)
    one.tell(batch, due=False)
    assert list(batch.datagrams(everything=False)) == []
    other.tell(batch, due=False)
    ((datagram, number),) = batch.datagrams(everything=False)
    assert (datagram, number) == (b"c_total:1|c|#n:0\nc_total:2|c|#n:1", 2)
    batch.note(number, gone=True)
    ((datagram, number),) = batch.datagrams(everything=True)
    batch.note(number, gone=True)
    assert datagram == b"c_total:3|c|#n:0"
    assert sent(one) == sent(other) == []


def test_what_falls_waits_until_it_is_above_what_was_told() -> None:
    run, (one, _) = counters(10.5, 1)
    sent(run)
    one.value = 10.25
    assert sent(run) == []
    assert sent(run, due=True) == ["c_total:0|c|#n:0", "c_total:0|c|#n:1"]
    one.value = 11
    assert sent(run) == ["c_total:0.5|c|#n:0"]


@pytest.mark.parametrize("odd", [math.nan, math.inf, 10**400])
def test_what_no_line_can_say_is_counted_and_holds_nothing_up(odd: float) -> None:
    run, (one, other) = counters(1, 1)
    level, (bad, good) = gauges(odd, 5)
    sent(run)
    one.value, other.value = odd, 4
    for due in (False, True):
        batch = Batch(1000)
        assert sent(run, batch=batch, due=due) == [["c_total:3|c|#n:1"], ["c_total:0|c|#n:1"]][due]
        assert batch.odd == 1
    assert sent(level, batch=batch) == ["g:5|g"]
    assert batch.odd == 2
    assert (bad.value, good.value) == pytest.approx((odd, 5), nan_ok=True)


def test_infinity_is_no_whole_number_either() -> None:
    run, (one, _) = counters(1, 1, spelling=WHOLE)
    sent(run)
    one.value, batch = math.inf, Batch(1000)
    assert sent(run, batch=batch) == []
    assert batch.odd == 1


def test_whole_numbers_go_out_and_what_is_left_over_follows() -> None:
    run, (one, _) = counters(0.75, 3, spelling=WHOLE)
    assert sent(run) == ["c_total,n=0:0|c", "c_total,n=1:3|c"]
    one.value = 1.5
    assert sent(run, gone=False) == ["c_total,n=0:1|c"]
    one.value = 2.25
    assert sent(run) == ["c_total,n=0:2|c"]
    one.value = 2.5
    assert sent(run) == []
    one.value = 3.125
    assert sent(run) == ["c_total,n=0:1|c"]


def test_a_line_longer_than_a_datagram_is_left_out_and_counted_and_the_others_go() -> None:
    run, cells = counters(1)
    short, cell = counters(5)[0], CounterCell()
    run.add([("n", "x" * 65_000)], cell)
    batch = Batch(1432)
    assert sent(run, batch=batch) == ["c_total:1|c|#n:0"]
    cells[0].value = cell.value = 7
    assert sent(run, batch=batch) == ["c_total:6|c|#n:0"]
    assert batch.too_long == 2
    assert sent(short, batch=batch) == ["c_total:5|c|#n:0"]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2**60) | st.floats(0, 1e9)), max_size=30),
    st.lists(st.booleans(), min_size=30, max_size=30),
    st.booleans(),
)
def test_the_sum_of_all_that_is_gone_and_of_one_last_flush_is_the_counter(
    adds: list[tuple[int, float]], gone: list[bool], due: bool
) -> None:
    run, cells = counters(0, 0, 0, 0)
    sums = dict.fromkeys(range(4), 0.0)

    def take(lines: list[str]) -> None:
        for line in lines:
            value, _, number = line.removeprefix("c_total:").partition("|c|#n:")
            assert float(value) >= 0
            sums[int(number)] += float(value)

    for (place, amount), taken in zip(adds, gone, strict=False):
        cells[place].value += amount
        lines = sent(run, gone=taken, due=due)
        take(lines if taken else [])
    take(sent(run))
    assert [sums[place] for place in range(4)] == pytest.approx([cell.value for cell in cells], rel=1e-9, abs=1e-9)


# ------------------------------------------------------------------------------------------------ gauges


def test_a_gauge_goes_out_as_it_is_when_it_has_changed_or_is_due() -> None:
    run, (one, other) = gauges(5, None)
    assert sent(run) == ["g:5|g"]
    assert sent(run) == []
    assert sent(run, due=True) == ["g:5|g"]
    one.value, other.value = 0.5, 2
    assert sent(run) == ["g:0.5|g", "g:2|g"]


def test_a_negative_gauge_is_set_to_0_before_in_the_same_datagram() -> None:
    run, (one, other) = gauges(-5, 3)
    batch = Batch(len("g:0|g\ng:-5|g"))
    run.tell(batch, due=False)
    assert list(batch.datagrams(everything=True)) == [(b"g:0|g\ng:-5|g", 1), (b"g:3|g", 1)]
    batch.note(2, gone=True)
    one.value, other.value = -0.0, -1e-7
    assert sent(run) == ["g:0|g", "g:0|g", "g:-0.0000001|g"]


def test_a_gauge_that_comes_back_is_told_at_once_though_it_is_what_it_was() -> None:
    run, (one, _) = gauges(5, 1)
    sent(run)
    one.value = None
    assert sent(run) == sent(run) == []
    one.value = 5
    assert sent(run) == ["g:5|g"]


@pytest.mark.parametrize(("value", "text"), [(1e22, "1" + "0" * 22), (1.5e-9, "0.0000000015"), (2**70, str(2**70))])
def test_no_number_has_an_exponent(value: float, text: str) -> None:
    assert sent(gauges(value)[0]) == [f"g:{text}|g"]
    assert sent(counters(value)[0]) == [f"c_total:{text}|c|#n:0"]


# ------------------------------------------------------------------------------------------------ histograms


def test_a_histogram_goes_out_as_the_deltas_of_a_scrapes_buckets() -> None:
    run, cell = BucketRun("h", DOG), HistogramCell((0.5, 1.0))
    run.add([("n", "1")], cell)
    first = ["h_bucket:0|c|#n:1,le:0.5", "h_bucket:0|c|#n:1,le:1.0", "h_bucket:0|c|#n:1,le:+Inf"]
    assert sent(run) == [*first, "h_count:0|c|#n:1", "h_sum:0|c|#n:1"]
    cell.observe(0.75)
    cell.observe(4)
    changed = ["h_bucket:1|c|#n:1,le:1.0", "h_bucket:2|c|#n:1,le:+Inf", "h_count:2|c|#n:1", "h_sum:4.75|c|#n:1"]
    assert sent(run, gone=False) == changed
    assert sent(run) == changed
    assert sent(run) == []
    cell.observe(0.5)
    assert sent(run)[0] == "h_bucket:1|c|#n:1,le:0.5"


def test_where_buckets_are_of_no_use_a_histogram_goes_out_as_count_sum_and_quantiles() -> None:
    run, cell, idle = QuantileRun("h", PLAIN), HistogramCell((1.0, 2.0)), HistogramCell((1.0, 2.0))
    run.add([("n", "a")], cell)
    run.add([("n", "b")], idle)
    for _ in range(100):
        cell.observe(1.5)
    counts = ["h.count.a:100|c", "h.sum.a:150|c"]
    assert sent(run) == [
        *("h.p50.a:1.5|g", "h.p95.a:1.95|g", "h.p99.a:1.99|g"),
        *(*counts, "h.count.b:0|c", "h.sum.b:0|c"),
    ]
    assert sent(run) == []
    assert [line for line in sent(run, due=True) if ".p" in line] == []
    cell.observe(0.5)
    assert sent(run, gone=False)[:3] == ["h.p50.a:0.5|g", "h.p95.a:0.95|g", "h.p99.a:0.99|g"]
    assert sent(run) == ["h.count.a:1|c", "h.sum.a:0.5|c"]


@pytest.mark.parametrize(
    ("share", "edges", "counts", "expected"),
    [  # as Prometheus' promql/quantile.go has it
        (0.5, (1.0, 2.0), (0, 10, 0), 1.5),
        (0.5, (1.0, 2.0), (10, 10, 0), 1.0),
        (0.9, (1.0, 2.0), (10, 0, 0), 0.9),
        (0.95, (1.0, 2.0), (1, 1, 98), 2.0),
        (0.75, (1.0, 2.0), (0, 4, 4), 2.0),
        (0.25, (0.0, 2.0), (4, 4, 0), 0.0),
    ],
)
def test_quantiles_are_those_of_histogram_quantile(
    share: float, edges: tuple[float, ...], counts: tuple[int, ...], expected: float
) -> None:
    assert quantile(share, edges, counts) == pytest.approx(expected)


def test_each_run_is_due_once_in_so_many_flushes_and_not_all_at_once() -> None:
    due = [[Round(flush, 3).is_due(number) for number in range(3)] for flush in range(6)]
    assert [sum(each) for each in due] == [1] * 6
    assert [sum(column) for column in zip(*due, strict=True)] == [2] * 3
    assert not any(Round(flush, 0).is_due(0) for flush in range(5))
