"""What a bot has told, between two flushes."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argus_exporter.custom import EDGES
from argus_exporter.instruments import HistogramCell
from argus_exporter.statsd import stats
from argus_exporter.statsd.stats import (
    MOST_KEPT,
    MOST_MEMBERS,
    MOST_SAMPLES,
    Book,
    Change,
    Count,
    Down,
    Gauge,
    Members,
    Timing,
    Wants,
    spelled,
)

NUMBERS = st.integers(-(10**100), 10**100) | st.floats(-1e100, 1e100)


class Pages(Book):
    """A book that remembers what was left out."""

    def __init__(self) -> None:
        self.said: list[str] = []
        super().__init__(self.said.append)

    def tell(self, kind: Any, *amounts: Any, name: str = "x") -> Any:
        for amount in amounts:
            self.add(kind, name, (), amount)
        stat = self.stats[kind, name, ()]
        stat.head = b"x:"
        return stat


@pytest.fixture
def book() -> Pages:
    return Pages()


def lines(stat: Any, wants: Wants = Wants()) -> list[bytes]:  # noqa: B008 - it is data
    return [line for line, _ in stat.take(wants)]


def change(value: float) -> Change:
    return Change(value, relative=True)


@given(NUMBERS)
def test_a_number_is_spelled_exactly_and_without_an_exponent(number: float) -> None:
    text = spelled(number).decode()
    assert re.fullmatch(r"-?\d+(\.\d+)?", text)
    assert (int(text) if isinstance(number, int) else float(text)) == number


# ------------------------------------------------------------------------------------------ counters


def test_a_count_gives_what_was_added_since_the_last_time(book: Pages) -> None:
    stat = book.tell(Count, 1, 2)
    assert lines(stat) == [b"x:3|c"]
    assert lines(stat) == []
    assert lines(book.tell(Count, 4)) == [b"x:4|c"]
    assert lines(book.tell(Count, 0)) == []
    assert lines(book.tell(Count, 0.25)) == [b"x:0.25|c"]
    assert lines(book.tell(Down, 5)) == [b"x:-5|c"]


def test_in_whole_numbers_what_is_left_over_goes_with_the_next(book: Pages) -> None:
    wants = Wants(whole=True)
    assert lines(book.tell(Count, 0.5), wants) == []
    assert lines(book.tell(Count, 1.25), wants) == [b"x:1|c"]
    assert lines(book.tell(Count, 0.25), wants) == [b"x:1|c"]
    assert lines(book.tell(Count), wants) == []


def test_a_count_that_could_not_be_sent_goes_with_the_next(book: Pages) -> None:
    ((_, amount),) = book.tell(Count, 3).take(Wants())
    stat = book.tell(Count, 2)
    stat.undo(amount)
    assert lines(stat) == [b"x:5|c"]
    assert lines(stat) == []


# ------------------------------------------------------------------------------------------ gauges


@pytest.mark.parametrize(
    ("told", "is_sent"),
    [
        ([Change(5)], [b"x:5|g"]),
        ([Change(5), Change(7.5)], [b"x:7.5|g"]),
        ([Change(0)], [b"x:0|g"]),
        ([Change(-5)], [b"x:0|g\nx:-5|g"]),
        ([change(4)], [b"x:+4|g"]),
        ([change(-4)], [b"x:-4|g"]),
        ([change(4), change(-1)], [b"x:+3|g"]),
        ([change(4), change(-4)], []),
        ([Change(5), change(-2)], [b"x:3|g"]),
        ([Change(5), change(-7)], [b"x:0|g\nx:-2|g"]),
        ([change(-7), Change(5)], [b"x:5|g"]),
    ],
)
def test_a_gauge_gives_its_value_or_else_its_change(book: Pages, told: list[Change], is_sent: list[bytes]) -> None:
    stat = book.tell(Gauge, *told)
    assert lines(stat) == is_sent
    assert lines(stat) == []


def test_after_a_value_that_was_sent_a_change_is_a_change(book: Pages) -> None:
    assert lines(book.tell(Gauge, Change(5))) == [b"x:5|g"]
    assert lines(book.tell(Gauge, change(2))) == [b"x:+2|g"]


def test_where_a_sign_means_no_change_the_value_is_sent(book: Pages) -> None:
    wants = Wants(absolute=True)
    assert lines(book.tell(Gauge, change(4)), wants) == [b"x:4|g"]
    assert lines(book.tell(Gauge, change(-6)), wants) == [b"x:0|g\nx:-2|g"]
    assert lines(book.tell(Gauge), wants) == []


def test_a_gauge_that_was_set_here_is_sent_again_and_no_other(book: Pages) -> None:
    again = Wants(again=True)
    assert lines(book.tell(Gauge, change(4)), again) == [b"x:+4|g"]
    assert lines(book.tell(Gauge), again) == []
    assert lines(book.tell(Gauge, Change(-5))) == [b"x:0|g\nx:-5|g"]
    assert lines(book.tell(Gauge)) == []
    assert lines(book.tell(Gauge), again) == [b"x:0|g\nx:-5|g"]
    assert lines(book.tell(Gauge, change(7)), again) == [b"x:2|g"]
    assert lines(book.tell(Gauge)) == []


def test_a_gauge_that_could_not_be_sent_is_sent_as_it_is_then(book: Pages) -> None:
    stat = book.tell(Gauge, Change(5))
    ((_, value),) = stat.take(Wants())
    stat.undo(value)
    assert lines(book.tell(Gauge, change(2))) == [b"x:7|g"]
    ((_, changed),) = book.tell(Gauge, change(3)).take(Wants())
    stat.undo(changed)
    assert lines(book.tell(Gauge, change(1))) == [b"x:+4|g"]


# ------------------------------------------------------------------------------------------ timings


def test_a_timing_gives_all_its_samples_while_they_are_few(book: Pages) -> None:
    stat = book.tell(Timing, 12.5, 3.0, 0.1234567, 3.0)
    assert lines(stat) == [b"x:12.5|ms", b"x:3|ms", b"x:0.123457|ms", b"x:3|ms"]
    assert lines(stat) == []


def test_of_many_samples_a_choice_goes_out_with_the_rate_that_makes_their_number_right(book: Pages) -> None:
    random.seed(4)
    told = [float(each) for each in range(5 * MOST_SAMPLES)]
    sent = [re.fullmatch(rb"x:(\d+)\|ms\|@(0\.\d+)", line) for line in lines(book.tell(Timing, *told))]
    assert len(sent) == MOST_SAMPLES
    chosen = [float(each[1]) for each in sent if each]
    assert sum(1 / float(each[2]) for each in sent if each) == pytest.approx(len(told))
    assert len(set(chosen)) == MOST_SAMPLES
    assert sum(chosen) / MOST_SAMPLES == pytest.approx(sum(told) / len(told), rel=0.1)
    assert lines(book.tell(Timing, 1.0)) == [b"x:1|ms"]


def test_the_page_has_every_timing_in_seconds(book: Pages) -> None:
    stat = book.tell(Timing, *[2000.0] * (MOST_SAMPLES + 5))
    stat.cell = HistogramCell(EDGES)
    for _ in range(2):
        stat.show()
        assert sum(stat.cell.counts) == MOST_SAMPLES + 5
        assert stat.cell.sum == 2 * (MOST_SAMPLES + 5)


def test_a_timing_below_zero_is_sent_but_not_on_the_page(book: Pages) -> None:
    stat = book.tell(Timing, -2.0)
    stat.cell = HistogramCell(EDGES)
    stat.show()
    assert not any(stat.cell.counts)
    assert book.said == ["a timing below zero from the page"]
    assert lines(stat) == [b"x:-2|ms"]


def test_all_timings_together_are_bounded_and_each_stat_has_one(book: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    book.room = 3
    for _ in range(4):
        book.tell(Timing, 1.0, name="a")
    assert book.room == 0
    stat = book.tell(Timing, 2.0, 2.0, name="b")
    assert lines(stat) == [b"x:2|ms|@0.5"]
    assert lines(book.stats[Timing, "a", ()]) == [b"x:1|ms|@0.75"] * 3
    assert book.room == 3


def test_a_choice_once_begun_stays_one_until_the_flush(book: Pages) -> None:
    book.room = 1
    book.tell(Timing, 1.0, 1.0)
    book.room = 5
    assert lines(book.tell(Timing, 1.0, 1.0)) == [b"x:1|ms|@0.25"]


# ------------------------------------------------------------------------------------------ sets


def test_a_set_gives_each_value_once(book: Pages) -> None:
    stat = book.tell(Members, "a", "b", "a")
    assert lines(stat) == [b"x:a|s", b"x:b|s"]
    assert stat.last == 2
    assert lines(stat) == []
    assert stat.last == 0
    assert book.room == MOST_KEPT


def test_a_set_is_bounded_and_so_are_all_of_them(book: Pages) -> None:
    assert len(lines(book.tell(Members, *map(str, range(MOST_MEMBERS + 3))))) == MOST_MEMBERS
    book.room = 1
    assert lines(book.tell(Members, "a", "b", "a")) == [b"x:a|s"]
    assert book.said == ["a value of a set that has too many between two flushes"] * 4


def test_a_value_that_could_not_be_sent_is_one_of_the_next(book: Pages) -> None:
    ((_, amount),) = book.tell(Members, "a").take(Wants())
    stat = book.tell(Members, "b")
    stat.undo(amount)
    assert lines(stat) == [b"x:b|s", b"x:a|s"]


@given(st.lists(st.text() | st.text("a|:\n@#,", max_size=300), unique=True, max_size=20))
def test_a_value_of_a_set_forges_nothing_and_is_like_no_other(values: list[str]) -> None:
    sent = lines(Pages().tell(Members, "x" * 500, *values))
    assert len(set(sent)) == 1 + len(values)
    assert all(re.fullmatch(rb"x:[\w.~%-]{1,200}\|s", line) for line in sent)


# ------------------------------------------------------------------------------------------ books


@pytest.mark.parametrize(
    ("kind", "mine", "theirs", "are_sent"),
    [
        (Count, [1], [2, 3], [b"x:6|c"]),
        (Down, [1], [2], [b"x:-3|c"]),
        (Gauge, [Change(5)], [Change(7), change(1)], [b"x:8|g"]),
        (Gauge, [Change(5)], [change(1)], [b"x:6|g"]),
        (Gauge, [change(5)], [change(1)], [b"x:+6|g"]),
        (Timing, [1.0], [2.0, 3.0], [b"x:1|ms", b"x:2|ms", b"x:3|ms"]),
        (Members, ["a"], ["a", "b"], [b"x:a|s", b"x:b|s"]),
    ],
)
def test_what_others_told_comes_after_what_is_there(
    book: Pages, kind: Any, mine: list[Any], theirs: list[Any], are_sent: list[bytes]
) -> None:
    others = Pages()
    book.tell(kind, *mine)
    others.tell(kind, *theirs)
    book.absorb(others)
    assert lines(book.tell(kind)) == are_sent
    assert book.room == MOST_KEPT


@pytest.mark.parametrize(("mine", "theirs"), [(3000, 1000), (1, 5000), (5000, 1), (600, 600)])
def test_of_many_samples_of_two_sides_a_fair_choice_goes_out(book: Pages, mine: int, theirs: int) -> None:
    random.seed(4)
    others = Pages()
    others.tell(Timing, *map(float, range(10_000, 10_000 + theirs)))
    book.tell(Timing, *[1.0] * mine).seconds = HistogramCell(EDGES)
    book.absorb(others)
    stat = book.tell(Timing)
    assert book.room == MOST_KEPT - len(stat.samples)
    assert sum(stat.seconds.counts) == theirs
    sent = lines(stat)
    assert len(sent) == pytest.approx(MOST_SAMPLES, abs=10)
    rate = float(sent[0].rpartition(b"@")[2])
    assert len(sent) / rate == pytest.approx(mine + theirs)
    assert sum(line.startswith(b"x:1|") for line in sent) / rate == pytest.approx(mine, abs=200)
    chosen = [float(line[2:].partition(b"|")[0]) - 10_000 for line in sent if not line.startswith(b"x:1|")]
    assert theirs == 1 or sum(chosen) / len(chosen) == pytest.approx(theirs / 2, rel=0.15)


def test_a_sample_of_many_weighs_as_many_as_it_stands_for(book: Pages) -> None:
    random.seed(4)
    book.room = 1
    others = Pages()
    others.tell(Timing, 2.0, 2.0)
    book.tell(Timing, *[1.0] * 998)
    book.absorb(others)
    assert lines(book.tell(Timing)) == [b"x:1|ms|@0.001"]


def test_stats_beyond_the_bound_are_left_out_and_those_within_go_on(
    book: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stats, "MOST_STATS", 2)
    others = Pages()
    others.tell(Count, 1, name="a")
    others.tell(Count, 1, name="b")
    book.tell(Count, 1, name="a")
    book.tell(Gauge, Change(1), name="a")
    book.add(Count, "c", (), 1)
    book.absorb(others)
    assert [key[:2] for key in book.stats] == [(Count, "a"), (Gauge, "a")]
    assert book.said == ["a stat beyond the first 2"] * 2
    assert lines(book.tell(Count, name="a")) == [b"x:2|c"]


def test_the_short_ways_lead_to_counters(book: Pages) -> None:
    book.add(Count, "a", (), 1)
    book.add(Count, "b", (("k", "v"),), 1)
    book.add(Down, "c", (), 1)
    assert book.counts == {"a": book.stats[Count, "a", ()]}
    assert book.tagged == {key[1:]: stat for key, stat in book.stats.items() if key[0] is Count}
