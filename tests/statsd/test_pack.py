"""Lines in datagrams."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from argus_exporter.statsd.pack import packed

LINES = st.lists(st.binary(min_size=1, max_size=12).map(lambda line: line.replace(b"\n", b"_")), max_size=30)


@given(LINES, st.integers(1, 40))
def test_every_line_arrives_once_and_in_order_in_datagrams_within_the_limit(lines: list[bytes], limit: int) -> None:
    told: list[bytes] = []
    datagrams = list(packed(lines, limit, told.append))
    assert [line for datagram, _ in datagrams for line in datagram.split(b"\n")] == [
        line for line in lines if len(line) <= limit
    ]
    assert told == [line for line in lines if len(line) > limit]
    assert all(0 < len(datagram) <= limit for datagram, _ in datagrams)
    assert all(datagram.count(b"\n") + 1 == number for datagram, number in datagrams)


@given(LINES, st.integers(12, 40))
def test_no_line_waits_for_a_datagram_that_had_room_for_it(lines: list[bytes], limit: int) -> None:
    datagrams = [datagram for datagram, _ in packed(lines, limit)]
    for datagram, following in itertools.pairwise(datagrams):
        assert len(datagram) + 1 + len(following.split(b"\n")[0]) > limit


def test_lines_that_belong_together_stay_together() -> None:
    assert list(packed([b"a:1|c", b"b:0|g\nb:-5|g"], 13)) == [(b"a:1|c", 1), (b"b:0|g\nb:-5|g", 1)]
    assert list(packed([b"a:1|c", b"b:0|g\nb:-5|g"], 19)) == [(b"a:1|c\nb:0|g\nb:-5|g", 2)]


def test_a_line_that_is_too_long_is_left_out_even_if_nobody_asks() -> None:
    assert list(packed([b"a:1|c", b"b" * 70_000, b"c:1|c"], 1432)) == [(b"a:1|c\nc:1|c", 2)]


def test_a_datagram_is_made_when_it_is_asked_for() -> None:
    asked: list[bytes] = []
    datagrams = packed((asked.append(line) or line for line in [b"a:1|c", b"b:1|c", b"c:1|c"]), 5)  # type: ignore[func-returns-value]
    assert next(datagrams) == (b"a:1|c", 1)
    assert asked == [b"a:1|c", b"b:1|c"]
