"""The skew is as right as a header of whole seconds can make it."""

from __future__ import annotations

import math
from email.utils import formatdate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from argus_exporter.discordpy.clock import RESOLUTION_SECONDS, WINDOW_SECONDS, Clock

START = 1_790_000_000.0
EPSILON = 1e-6  # what floats of this size can tell

skews = st.floats(-100, 100)
trips = st.floats(0, 2)
responses = st.lists(st.tuples(st.floats(0, WINDOW_SECONDS - 5), trips, trips), min_size=1).map(
    lambda several: sorted(several, key=lambda each: each[0] + each[2])  # in the order of their receipt
)


def answer(clock: Clock, at: float, skew: float, there: float = 0.05, back: float = 0.05) -> None:
    """A response that Discord makes at a time of its own."""
    clock.note(formatdate(math.floor(at), usegmt=True), at + skew - there, at + skew + back)


@given(skews, responses)
@example(0.6, [(0.99, 0.0, 0.0)])
def test_the_error_is_bounded(skew: float, sent: list[tuple[float, float, float]]) -> None:
    clock = Clock()
    for after, there, back in sent:
        answer(clock, START + after, skew, there, back)
    assert clock.skew is not None
    width = 1 + min(there + back for _, there, back in sent) + RESOLUTION_SECONDS
    bound = width if clock.skew == 0 else width / 2
    assert abs(clock.skew - skew) <= bound + EPSILON


@given(responses)
def test_a_clock_that_is_right_reads_zero(sent: list[tuple[float, float, float]]) -> None:
    clock = Clock()
    for after, there, back in sent:
        answer(clock, START + after, 0.0, there, back)
        assert clock.skew == 0


@given(skews)
def test_many_responses_narrow_it_down_to_how_long_they_took(skew: float) -> None:
    clock = Clock()
    for number in range(400):
        answer(clock, START + number * 0.37, skew)
    assert clock.skew == pytest.approx(skew, abs=0.1 + 0.01 + 2 * RESOLUTION_SECONDS)


@given(skews, st.floats(3, 1e6), st.sampled_from([-1, 1]))
def test_a_clock_that_was_set_is_believed_at_once(skew: float, jump: float, sign: int) -> None:
    clock = Clock()
    for number in range(20):
        answer(clock, START + number * WINDOW_SECONDS / 12, skew)
    answer(clock, START + 20 * WINDOW_SECONDS / 12, skew + sign * jump)
    assert clock.skew == pytest.approx(skew + sign * jump, abs=1.2)


def test_what_drifts_is_followed() -> None:
    clock = Clock()
    for number in range(100):
        answer(clock, START + number * 0.37, 0.0)
    for number in range(100):
        answer(clock, START + 2 * WINDOW_SECONDS + number * 0.37, 0.5)
    assert clock.skew == pytest.approx(0.5, abs=0.12)


def test_a_response_counts_beyond_its_window_and_not_beyond_the_next() -> None:
    clock = Clock()
    for number in range(100):
        answer(clock, START + number * 0.37, 5.0)
    narrow = clock.skew
    answer(clock, START + WINDOW_SECONDS + 1.5, 5.0, there=1, back=1.5)
    assert clock.skew == pytest.approx(narrow, abs=RESOLUTION_SECONDS)
    answer(clock, START + 2.2 * WINDOW_SECONDS + 0.5, 5.0, there=1, back=1.5)
    answer(clock, START + 3.4 * WINDOW_SECONDS + 0.5, 5.0, there=1, back=1.5)
    assert clock.skew == pytest.approx(5.25, abs=0.001)


def test_after_a_long_silence_the_old_responses_are_forgotten() -> None:
    clock = Clock()
    for number in range(100):
        answer(clock, START + number * 0.37, 5.0)
    answer(clock, START + 10 * WINDOW_SECONDS + 0.5, 5.0, there=1, back=1.5)
    assert clock.skew == pytest.approx(5.25, abs=0.001)


@pytest.mark.parametrize(
    "date",
    [None, "", "yesterday", "Sun, 06 Nov 1994", "Sun, 06 Xyz 1994 08:49:37 GMT", "Sun, 06 Nov 0000 08:49:37 GMT"],
)
def test_what_is_no_date_is_left_out(date: str | None) -> None:
    clock = Clock()
    clock.note(date, START, START)
    assert clock.skew is None
    answer(clock, START, 7.0)
    known = clock.skew
    clock.note(date, START, START + 1)
    assert clock.skew == known


@given(st.integers(0, 4_000_000_000))
def test_every_date_is_read(at: int) -> None:
    clock = Clock()
    clock.note(formatdate(at, usegmt=True), at + 101.0, at + 100.0)  # as if nothing had taken time
    assert clock.skew == 100
