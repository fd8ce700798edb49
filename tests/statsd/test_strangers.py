"""Metrics of others: their series come and go, and their counters begin anew."""

from __future__ import annotations

import pytest

from argus_exporter.instruments import Reading
from argus_exporter.statsd.deltas import Batch, Round, Spelling
from argus_exporter.statsd.encode import FLAVOURS
from argus_exporter.statsd.strangers import REMEMBERED, Strangers

CONSTANT = (("bot", "b"), ("cluster", "c"))


def strangers(flavour: str = "dogstatsd", constant: tuple[tuple[str, str], ...] = ()) -> Strangers:
    chosen = FLAVOURS[flavour]
    return Strangers(Spelling(chosen.parts, chosen.whole), constant, buckets=chosen.buckets)


def sent(them: Strangers, *readings: Reading, flush: int = 1, rounds: int = 0, odd: int = 0) -> list[str]:
    batch = Batch(1000)
    for _ in them.tell(readings, batch, Round(flush, rounds)):
        pass
    lines: list[str] = []
    for datagram, number in batch.datagrams(everything=True):
        batch.note(number, gone=True)
        lines += datagram.decode().split("\n")
    assert batch.odd == odd
    return lines


def of(type_: str, name: str, value: float, **labels: str) -> Reading:
    family = next(
        (name.removesuffix(end) for end in ("_total", "_bucket", "_count", "_sum") if name.endswith(end)), name
    )
    return Reading(family, type_, name, tuple(labels.items()), value)


def histogram(*below: float, total: float, edges: tuple[str, ...] = ("1.0", "2.0", "+Inf")) -> list[Reading]:
    buckets = [of("histogram", "h_bucket", count, le=edge) for edge, count in zip(edges, below, strict=True)]
    return [*buckets, of("histogram", "h_count", below[-1]), of("histogram", "h_sum", total)]


@pytest.mark.parametrize(
    ("type_", "name", "kind"),
    [
        ("counter", "x_total", "c"),
        ("histogram", "x_bucket", "c"),
        ("histogram", "x_count", "c"),
        ("summary", "x_sum", "c"),
        ("summary", "x", "g"),
        ("gauge", "x_total", "g"),
        ("gaugehistogram", "x_bucket", "g"),
        ("unknown", "x_count", "g"),
        ("info", "x_info", "g"),
    ],
)
def test_what_only_goes_up_is_a_counter_and_everything_else_a_gauge(type_: str, name: str, kind: str) -> None:
    them = strangers()
    assert sent(them, of(type_, name, 5)) == [f"{name}:5|{kind}"]
    assert sent(them, of(type_, name, 5)) == []
    assert sent(them, of(type_, name, 7.5)) == [f"{name}:{2.5 if kind == 'c' else 7.5}|{kind}"]


def test_a_counter_that_falls_has_begun_anew() -> None:
    them = strangers()
    assert sent(them, of("counter", "x_total", 5)) == ["x_total:5|c"]
    assert sent(them, of("counter", "x_total", 2)) == ["x_total:2|c"]
    assert sent(them, of("counter", "x_total", 3)) == ["x_total:1|c"]


def test_a_sum_that_falls_has_taken_in_negative_values_and_goes_on_from_there() -> None:
    them = strangers()
    assert sent(them, of("summary", "x_sum", 5)) == ["x_sum:5|c"]
    assert sent(them, of("summary", "x_sum", 2)) == []
    assert sent(them, of("summary", "x_sum", 3)) == ["x_sum:1|c"]


def test_series_that_were_away_go_on_where_they_were_and_many_that_are_gone_are_forgotten() -> None:
    them = strangers()
    stays = of("counter", "x_total", 5, n="stays")
    sent(them, stays, *[of("counter", "x_total", 5, n=str(n)) for n in range(1100)])
    assert sent(them, flush=2) == []
    assert sent(them, stays, of("counter", "x_total", 6, n="7"), flush=3) == ["x_total:1|c|#n:7"]
    sent(them, stays, flush=REMEMBERED)
    assert len(them._known) == 1101
    sent(them, stays, flush=REMEMBERED + 1)
    assert len(them._known) == 2
    assert sent(them, stays, of("counter", "x_total", 9, n="8"), flush=REMEMBERED + 2) == ["x_total:9|c|#n:8"]


def test_each_series_is_due_once_in_so_many_flushes() -> None:
    them = strangers()
    readings = [of("counter", "x_total", 5, n="0"), of("gauge", "y", 3)]
    sent(them, *readings, rounds=2)
    lines = [line for flush in (2, 3) for line in sent(them, *readings, flush=flush, rounds=2)]
    assert sorted(lines) == ["x_total:0|c|#n:0", "y:3|g"]


def test_constant_labels_come_first_except_where_a_series_has_its_own() -> None:
    them = strangers("plain", CONSTANT)
    assert sent(them, of("gauge", "y", 3, n="1"), of("gauge", "z", 3, bot="mine")) == ["y.b.c.1:3|g", "z.c.mine:3|g"]
    assert sent(strangers("plain", CONSTANT), *histogram(0, 0, 0, total=0))[0] == "h.count.b.c:0|c"


def test_in_the_untagged_flavours_a_histogram_is_count_sum_and_quantiles() -> None:
    them = strangers("plain")
    assert sent(them, *histogram(0, 0, 0, total=0)) == ["h.count:0|c", "h.sum:0|c"]
    told = ["h.p50:1.5|g", "h.p95:1.95|g", "h.p99:1.99|g", "h.count:4|c", "h.sum:6|c"]
    assert sent(them, *histogram(0, 4, 4, total=6)) == told
    assert sent(them, *histogram(0, 4, 4, total=6)) == []
    assert sent(them, *histogram(1, 1, 1, total=0.5)) == ["h.count:1|c", "h.sum:0.5|c"]  # it has begun anew
    assert sent(them, *histogram(3, 3, 3, total=1.5))[0] == "h.p50:0.5|g"


@pytest.mark.parametrize("edges", [("x",), ("+Inf",)])
def test_a_histogram_that_is_none_is_counted_and_costs_the_others_nothing(edges: tuple[str, ...]) -> None:
    readings = [*histogram(3, total=1, edges=edges), of("gauge", "y", 3)]
    assert sent(strangers("graphite"), *readings, odd=3) == ["y:3|g"]
