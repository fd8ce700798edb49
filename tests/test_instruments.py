"""The cells, the families with their bounds, and the collector protocol of prometheus_client."""

from __future__ import annotations

import math
import time
from fractions import Fraction

import prometheus_client
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client.core import CollectorRegistry
from prometheus_client.utils import floatToGoString

from argus_exporter.catalogue import LABEL_OVERFLOW_TOTAL, Counter, Gauge, Histogram, Label, closed
from argus_exporter.instruments import (
    CounterCell,
    Exemplar,
    GaugeCell,
    HistogramCell,
    Instruments,
    Pile,
    TracedCell,
    as_float,
    buckets_of,
    spelled,
)

FREE = Label("free", 3, "three")
CLOSED = closed("closed", ("red", "green"), "two")
COUNTED = Counter("test_counted_total", "Counted.", "gateway", (FREE,))
COLOURED = Counter("test_coloured_total", "Coloured.", "gateway", (CLOSED,))
PAIRED = Counter("test_paired_total", "Paired.", "gateway", (FREE, Label("other_free", 3, "three")), series=4)
LEVEL = Gauge("test_level", "Level.", "gateway", (FREE,))
PLAIN = Gauge("test_plain", "Plain.", "gateway")
TIMED = Histogram("test_timed_seconds", "Timed.", "gateway", (FREE,), edges=(0.0, 0.5, 1, 2.5))
OVERFLOW = "argus_exporter_label_overflow_total"


def overflows(instruments: Instruments) -> dict[tuple[str, ...], float]:
    return {key: cell.value for key, cell in instruments.counter(LABEL_OVERFLOW_TOTAL).cells.items()}


def registry_of(instruments: Instruments) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(instruments)
    return registry


# ------------------------------------------------------------------------------------------------ cells


def test_a_counter_starts_at_zero_and_adds() -> None:
    cell = CounterCell()
    assert cell.value == 0
    cell.inc()
    cell.inc(2.5)
    cell.value += 1
    assert cell.value == 4.5


def test_a_gauge_is_absent_until_it_is_set_and_when_it_is_taken_back() -> None:
    cell = GaugeCell()
    assert cell.value is None
    cell.set(-3)
    assert cell.value == -3
    cell.set(None)
    assert cell.value is None


@pytest.mark.parametrize(("flag", "number"), [(True, 1), (False, 0)])
def test_a_gauge_holds_a_truth_as_a_number(*, flag: bool, number: int) -> None:
    cell = GaugeCell()
    cell.set(flag)
    assert cell.value == number
    assert type(cell.value) is int


@pytest.mark.parametrize(
    ("value", "bucket"),
    [
        *((-math.inf, 0), (-5, 0), (0, 0), (-0.0, 0), (5e-324, 1), (0.5, 1), (0.5000001, 2), (1, 2), (1.0, 2)),
        *((math.nextafter(1, 2), 3), (2.5, 3), (2.5000001, 4), (1e300, 4), (math.inf, 4), (10**300, 4)),
    ],
)
def test_an_edge_belongs_to_the_bucket_below_it(value: float, bucket: int) -> None:
    cell = HistogramCell(TIMED.edges)
    cell.observe(value)
    assert cell.counts == [int(place == bucket) for place in range(5)]
    assert cell.sum == float(value)


def test_an_observation_that_is_not_a_number_is_left_out_altogether() -> None:
    cell = HistogramCell(TIMED.edges)
    cell.observe(0.25)
    cell.observe(math.nan)
    assert (cell.counts, cell.sum) == ([0, 1, 0, 0, 0], 0.25)


@pytest.mark.parametrize("value", ["1", None, 1j, 10**400])
def test_what_cannot_be_added_leaves_no_trace(value: float) -> None:
    cell = HistogramCell(TIMED.edges)
    with pytest.raises((TypeError, OverflowError)):
        cell.observe(value)
    assert (cell.counts, cell.sum) == ([0, 0, 0, 0, 0], 0.0)


def test_a_gauge_goes_up_and_down_from_what_it_is() -> None:
    cell = GaugeCell()
    cell.inc(-2)
    assert cell.value == -2
    cell.inc()
    cell.inc(1.5)
    assert cell.value == 0.5


def test_a_cell_takes_over_what_another_has_observed() -> None:
    one, other = HistogramCell(TIMED.edges), HistogramCell(TIMED.edges)
    for value in (0.25, 9):
        one.observe(value)
        other.observe(value + 1, "ignored")
    before = one.counts
    one.merge(other)
    assert (one.counts, one.sum) == ([0, 1, 0, 1, 2], 20.5)
    assert before == [0, 1, 0, 0, 1]


def kept(cell: TracedCell) -> list[tuple[str, float] | None]:
    return [each and (each.trace, each.value) for each in cell.exemplars]


def test_each_bucket_keeps_its_newest_exemplar() -> None:
    active = "one"
    cell = TracedCell(TIMED.edges, lambda: active)
    cell.observe(0.25)
    cell.observe(1)
    active = "two"
    before = time.time()
    cell.observe(0.5)
    cell.observe(2**60, "given")
    active = ""
    cell.observe(0.75)
    cell.observe(math.nan, "nothing")
    assert kept(cell) == [None, ("two", 0.5), ("one", 1), None, ("given", 2.0**60)]
    newest = cell.exemplars[1]
    assert newest is not None
    assert before <= newest.timestamp <= time.time()
    assert (cell.counts, sum(cell.counts)) == ([0, 2, 2, 0, 1], 5)


@pytest.mark.parametrize("trace", ["", "x" * 121, "é", "a\n", "\0", "\ud800", 'a"', "a\\", "a b", "{", "#"])
def test_a_trace_that_no_page_could_carry_is_left_out(trace: str) -> None:
    cell = TracedCell(TIMED.edges, str)
    cell.observe(0.25, trace)
    assert (cell.counts, kept(cell)) == ([0, 1, 0, 0, 0], [None] * 5)
    for good in ("x" * 120, "0af7651916cd43dd8448eb211c80319c", "1-5759e988-bd862e3fe1be46a994272793", "a_b.c:+/="):
        cell.observe(0.25, good)
        assert kept(cell)[1] == (good, 0.25)


def test_what_cannot_be_added_leaves_no_exemplar() -> None:
    cell = TracedCell(TIMED.edges, lambda: "one")
    with pytest.raises(OverflowError):
        cell.observe(10**400)
    assert kept(cell) == [None] * 5


def test_of_two_cells_the_newer_exemplar_stays() -> None:
    one, other = TracedCell((1.0, 2.0, 3.0), str), TracedCell((1.0, 2.0, 3.0), str)
    one.exemplars = [Exemplar("a", 0, 1.0), Exemplar("a", 0, 3.0), Exemplar("a", 0, 1.0), None]
    other.exemplars = [Exemplar("b", 0, 1.0), Exemplar("b", 0, 2.0), None, Exemplar("b", 0, 1.0)]
    one.merge(other)
    assert [each and each.trace for each in one.exemplars] == ["b", "a", "a", "b"]
    one.merge(HistogramCell(one.edges))
    assert [each and each.trace for each in one.exemplars] == ["b", "a", "a", "b"]


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=True) | st.integers(-(10**20), 10**20)))
def test_the_buckets_agree_with_a_count_by_hand(values: list[float]) -> None:
    cell = HistogramCell(TIMED.edges)
    for value in values:
        cell.observe(value)
    numbers = [value for value in values if not math.isnan(value)]
    by_hand = [(str(float(edge)), sum(value <= edge for value in numbers)) for edge in TIMED.edges]
    assert buckets_of(cell) == [*by_hand, ("+Inf", len(numbers))]


@pytest.mark.parametrize("traced", [False, True])
@given(st.lists(st.floats(allow_nan=True)))
def test_many_are_counted_as_they_are_one_by_one(traced: bool, values: list[float]) -> None:
    make = (lambda: TracedCell(TIMED.edges, lambda: "a")) if traced else lambda: HistogramCell(TIMED.edges)
    one, all_ = make(), Pile(make())
    for value in values:
        one.observe(value)
        all_.values.append(value)
    all_.settle()
    all_.settle()
    assert all_.cell.counts == one.counts
    assert all_.cell.sum == pytest.approx(one.sum, nan_ok=True)


def test_edges_are_spelled_as_prometheus_does() -> None:
    assert [edge for edge, _ in buckets_of(HistogramCell((0.001, 1, 1e6, 12345678.9)))] == [
        *("0.001", "1.0", "1e+06", "1.23456789e+07", "+Inf")
    ]


@given(st.floats())
@example(1e22)
@example(999999.5)
@example(1e6)
def test_a_number_is_spelled_as_prometheus_client_does(value: float) -> None:
    assert spelled(value) == floatToGoString(value)


@pytest.mark.parametrize(
    ("value", "number"),
    [(1, 1.0), (0.5, 0.5), (10**400, math.inf), (-(10**400), -math.inf), (Fraction(1, 2), 0.5), (2**53 + 1, 2.0**53)],
)
def test_an_int_beyond_all_floats_becomes_infinity(value: float, number: float) -> None:
    assert as_float(value) == number


# ------------------------------------------------------------------------------------------------ families


def test_a_handle_is_the_same_at_each_call() -> None:
    family = Instruments().counter(COUNTED)
    assert family.labels("a") is family.labels("a")
    assert family.labels("a") is not family.labels("b")


def test_a_family_is_the_same_at_each_call() -> None:
    instruments = Instruments()
    assert instruments.counter(COUNTED) is instruments.counter(COUNTED)
    assert instruments.gauge(LEVEL) is instruments.gauge(LEVEL)
    assert instruments.histogram(TIMED) is instruments.histogram(TIMED)
    assert instruments.histogram(TIMED).labels("a").edges == TIMED.edges


@pytest.mark.parametrize("values", [(), ("a", "b")])
def test_a_wrong_number_of_label_values_is_refused(values: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="test_counted_total: takes the labels"):
        Instruments().counter(COUNTED).labels(*values)


def test_values_beyond_the_bound_fold_into_other_and_are_counted_each_time() -> None:
    instruments = Instruments()
    family = instruments.counter(COUNTED)
    for value in ("a", "b", "c", "d", "e", "d", "a"):
        family.labels(value).value += 1
    assert {key: cell.value for key, cell in family.cells.items()} == {("a",): 2, ("b",): 1, ("c",): 1, ("other",): 3}
    assert overflows(instruments) == {("test_counted_total",): 3}


def test_a_value_that_is_other_of_itself_is_no_overflow_and_takes_no_place() -> None:
    instruments = Instruments()
    family = instruments.counter(COUNTED)
    for value in ("other", "a", "b", "c"):
        family.labels(value)
    assert list(family.cells) == [("other",), ("a",), ("b",), ("c",)]
    assert overflows(instruments) == {}


def test_a_closed_label_takes_its_own_values_and_no_other() -> None:
    instruments = Instruments()
    family = instruments.counter(COLOURED)
    assert family.labels("blue") is family.labels("other")
    for value in ("red", "green", "red"):
        family.labels(value)
    assert list(family.cells) == [("other",), ("red",), ("green",)]
    assert overflows(instruments) == {("test_coloured_total",): 1}


def test_a_label_with_known_values_and_room_for_more_stays_closed() -> None:
    metric = Counter("test_half_total", "Half.", "gateway", (Label("half", 5, "five", ("red",)),))
    family = Instruments().counter(metric)
    family.labels("blue")
    assert list(family.cells) == [("other",)]


def test_a_value_that_is_too_long_is_other_counted_and_takes_no_place() -> None:
    instruments = Instruments()
    family = instruments.counter(COUNTED)
    assert family.labels("x" * 129) is family.labels("\U0001d54f" * 5_000) is family.labels("other")
    assert overflows(instruments) == {("test_counted_total",): 2}
    for longest in ("x", "\U0001d54f", "\ud800"):
        family.labels(longest * 128)
    assert len(family.cells) == 4


def test_series_share_the_strings_of_their_label_values() -> None:
    family = Instruments().counter(PAIRED)
    for second in "xyz":
        family.labels(str(1000), second)
    assert len({id(first) for first, _ in family.cells}) == 1


def test_only_the_label_that_overflows_folds() -> None:
    metric = Counter("test_mixed_total", "Mixed.", "gateway", (FREE, CLOSED))
    family = Instruments().counter(metric)
    family.labels("a", "blue")
    assert list(family.cells) == [("a", "other")]


def test_a_family_is_bound_as_a_whole_too() -> None:
    instruments = Instruments()
    family = instruments.counter(PAIRED)
    for first in "abc":
        for second in "xyz":
            family.labels(first, second).value += 1
    assert list(family.cells) == [("a", "x"), ("a", "y"), ("a", "z"), ("b", "x"), ("other", "other")]
    assert family.cells["other", "other"].value == 5
    assert overflows(instruments) == {("test_paired_total",): 5}
    assert family.labels("b", "x") is family.cells["b", "x"]


def test_a_folded_set_that_is_there_takes_no_further_place() -> None:
    metric = Counter("test_folded_total", "Folded.", "gateway", (Label("one", 1, "one"), CLOSED), series=2)
    family = Instruments().counter(metric)
    family.labels("a", "red")
    family.labels("b", "red")
    family.labels("c", "red")
    assert list(family.cells) == [("a", "red"), ("other", "red")]


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), max_size=60))
def test_no_values_whatever_bring_a_family_above_its_bound_or_lose_a_count(values: list[tuple[str, str]]) -> None:
    instruments = Instruments()
    family = instruments.counter(PAIRED)
    for pair in values:
        family.labels(*pair).value += 1
    assert len(family.cells) <= PAIRED.series + 1
    assert sum(cell.value for cell in family.cells.values()) == len(values)


def test_the_overflow_metric_folds_without_counting_itself() -> None:
    instruments = Instruments()
    labels = LABEL_OVERFLOW_TOTAL.labels
    assert [label.name for label in labels] == ["metric"]
    for number in range(labels[0].bound + 5):
        family = instruments.counter(Counter(f"test_{number}_total", "Many.", "gateway", (CLOSED,)))
        family.labels("blue")
    counted = overflows(instruments)
    assert len(counted) == labels[0].bound + 1
    assert counted["other",] == 5
    assert (OVERFLOW,) not in counted


@pytest.mark.parametrize(
    ("text", "readable"),
    [("a\ud800b", "a?b"), ("a\0b", "a\ufffdb"), ("é\0", "é\ufffd"), ("né\U0001f600", "né\U0001f600")],
)
def test_text_that_could_not_be_read_is_replaced(text: str, readable: str) -> None:
    instruments = Instruments({"bot": text})
    family = instruments.counter(COUNTED)
    assert family.labels(text) is family.labels(readable)
    assert family.pairs((readable,)) == [("bot", readable), ("free", readable)]
    assert overflows(instruments) == {}


def test_constant_labels_stand_first_and_empty_ones_are_left_out() -> None:
    instruments = Instruments({"cluster": "2", "bot": "", "region": "eu"})
    assert instruments.constant == {"cluster": "2", "region": "eu"}
    assert instruments.counter(COUNTED).pairs(("a",)) == [("cluster", "2"), ("region", "eu"), ("free", "a")]


@pytest.mark.parametrize("name", ["le", "0", "a-b", "__name__", ""])
def test_a_constant_label_that_prometheus_would_refuse_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a label name"):
        Instruments({name: "x"})


def test_a_label_hidden_by_a_constant_one_makes_no_second_series() -> None:
    instruments = Instruments({"free": "fixed"})
    family = instruments.counter(PAIRED)
    assert family.labels("a", "x") is family.labels("b", "x")
    for value in "abcdef":
        family.labels(value, value)
    written = [tuple(family.pairs(key)) for key in family.cells]
    assert len(set(written)) == len(written)
    assert written[0] == (("free", "fixed"), ("other_free", "x"))
    assert written[-1] == (("free", "fixed"), ("other_free", "other"))


def test_a_full_family_with_a_hidden_label_folds_into_the_series_that_is_there() -> None:
    metric = Counter("test_full_total", "Full.", "gateway", (FREE, Label("b", 1, "one")), series=2)
    instruments = Instruments({"free": "fixed"})
    family = instruments.counter(metric)
    for value in "xyz":
        family.labels("a", value)
    assert list(family.cells) == [("fixed", "x"), ("fixed", "other")]
    assert overflows(instruments) == {("test_full_total",): 2}
    single = Instruments({"free": "fixed"}).counter(
        Counter("test_one_total", "One.", "gateway", metric.labels, series=1)
    )
    for value in "xyz":
        single.labels("a", value)
    assert list(single.cells) == [("fixed", "x"), ("fixed", "other")]


def test_series_of_one_label_value_share_its_text() -> None:
    family = Instruments().counter(PAIRED)
    for second in "xyz":
        family.labels("first {}".format("value"), second)
    assert len({id(key[0]) for key in family.cells}) == 1


# ------------------------------------------------------------------------------------------------ instruments


def test_two_declarations_of_one_name_that_differ_are_refused() -> None:
    instruments = Instruments()
    instruments.counter(COUNTED)
    with pytest.raises(ValueError, match="'test_counted_total' is declared twice, and not alike"):
        instruments.counter(Counter("test_counted_total", "Something else.", "gateway", (FREE,)))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Counter("x_total", "Help.", "gateway"), Gauge("x", "Help.", "gateway")),
        (Gauge("x", "Help.", "gateway"), Counter("x_total", "Help.", "gateway")),
        (Histogram("x", "Help.", "gateway", edges=(1.0,)), Counter("x_total", "Help.", "gateway")),
        (Counter("x_count_total", "Help.", "gateway"), Histogram("x", "Help.", "gateway", edges=(1.0,))),
    ],
)
def test_metrics_whose_samples_would_clash_are_refused(first: Counter, second: Gauge) -> None:
    instruments = Instruments()
    ask = {"counter": instruments.counter, "gauge": instruments.gauge, "histogram": instruments.histogram}
    ask[first.kind](first)  # type: ignore[operator]
    with pytest.raises(ValueError, match=f"'{second.name}' clashes with '{first.name}'"):
        ask[second.kind](second)  # type: ignore[operator]
    assert second.name not in instruments.families


def test_all_lines_of_a_page_are_counted_but_those_of_absent_gauges() -> None:
    instruments = Instruments()
    assert instruments.count_series() == 0
    instruments.counter(COUNTED).labels("a")
    instruments.gauge(LEVEL).labels("a").set(0)
    instruments.gauge(LEVEL).labels("b")
    instruments.histogram(TIMED).labels("a")
    instruments.histogram(TIMED).labels("b")
    assert instruments.count_series() == 1 + 1 + 2 * 7


# ------------------------------------------------------------------------------------------------ collector protocol


def test_a_registry_of_prometheus_client_reads_the_cells() -> None:
    instruments = Instruments({"bot": "b"})
    instruments.counter(COUNTED).labels("a").value += 2
    instruments.gauge(LEVEL).labels("a").set(-1.5)
    instruments.gauge(PLAIN).labels().set(True)
    instruments.histogram(TIMED).labels("a").observe(0.7)
    registry = registry_of(instruments)
    labels = {"bot": "b", "free": "a"}
    assert registry.get_sample_value("test_counted_total", labels) == 2
    assert registry.get_sample_value("test_level", labels) == -1.5
    assert registry.get_sample_value("test_plain", {"bot": "b"}) == 1
    assert [registry.get_sample_value("test_timed_seconds_bucket", {**labels, "le": le}) for le in ("0.5", "1.0")] == [
        0,
        1,
    ]
    assert registry.get_sample_value("test_timed_seconds_bucket", {**labels, "le": "+Inf"}) == 1
    assert registry.get_sample_value("test_timed_seconds_count", labels) == 1
    assert registry.get_sample_value("test_timed_seconds_sum", labels) == 0.7


def test_a_registry_sees_neither_empty_families_nor_absent_gauges_nor_times_of_creation() -> None:
    instruments = Instruments()
    instruments.counter(COUNTED)
    instruments.gauge(LEVEL).labels("a")
    assert list(instruments.collect()) == []
    instruments.counter(COUNTED).labels("a")
    instruments.histogram(TIMED).labels("a")
    names = {sample.name for family in instruments.collect() for sample in family.samples}
    assert names == {
        *("test_counted_total", "test_timed_seconds_bucket", "test_timed_seconds_count", "test_timed_seconds_sum")
    }


def test_a_registry_refuses_a_second_collector_of_the_same_names() -> None:
    instruments = Instruments()
    for family in (instruments.counter(COUNTED), instruments.gauge(LEVEL), instruments.histogram(TIMED)):
        registry = registry_of(instruments)
        taken = family.metric.name.removesuffix("_total")
        with pytest.raises(ValueError, match="Duplicated timeseries"):
            prometheus_client.Gauge(taken, "Taken.", registry=registry)


def test_the_description_has_names_types_help_and_labels_but_no_samples() -> None:
    instruments = Instruments({"bot": "b"})
    instruments.counter(COUNTED).labels("a")
    instruments.gauge(LEVEL).labels("a").set(1)
    instruments.histogram(TIMED).labels("a")
    described = {family.name: family for family in instruments.describe()}
    assert {name: (family.type, family.documentation) for name, family in described.items()} == {
        "argus_exporter_label_overflow": ("counter", LABEL_OVERFLOW_TOTAL.help),
        "test_counted": ("counter", "Counted."),
        "test_level": ("gauge", "Level."),
        "test_timed_seconds": ("histogram", "Timed."),
    }
    assert not any(family.samples for family in described.values())


def test_a_user_page_survives_an_int_beyond_all_floats() -> None:
    instruments = Instruments()
    instruments.gauge(PLAIN).labels().set(10**400)
    assert b"test_plain +Inf\n" in prometheus_client.generate_latest(registry_of(instruments))


def test_the_names_that_are_taken_are_those_of_families_and_samples() -> None:
    instruments = Instruments()
    instruments.histogram(TIMED)
    timed = {f"test_timed_seconds{suffix}" for suffix in ("", "_bucket", "_count", "_sum", "_created")}
    overflow = {OVERFLOW, "argus_exporter_label_overflow", "argus_exporter_label_overflow_created"}
    assert set(instruments.names) == timed | overflow
