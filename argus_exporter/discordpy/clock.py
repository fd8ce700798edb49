"""How far the own clock is from Discord's, from the ``Date`` of its responses."""

from __future__ import annotations

import calendar
import math
from typing import Final

WINDOW_SECONDS: Final = 300.0
"""A response is forgotten after one to two of these: clocks drift."""

RESOLUTION_SECONDS: Final = 0.005
"""A response that narrows it down by less is not worth its microsecond."""

_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), start=1
    )
}

_ANYTHING: Final = (-math.inf, math.inf)


class Clock:
    """The own clock minus Discord's.

    ``Date`` has a resolution of one second: a response that says D was made between D and D + 1 by Discord's clock, and
    between sending and receipt by the own one. So the difference lies between ``sent - D - 1`` and ``received - D``.
    What all responses of the last minutes agree on soon is no wider than the quickest of them took.

    :ivar skew: seconds by which the own clock is ahead; None before the first response. 0 where that is possible: a
        clock that is kept by NTP reads exactly 0, and not the noise of the method. Else the middle of what is possible,
        wrong by half a second and half of the response time at most. A 0 is wrong by no more than a second and the
        response time; both shrink to the response time as responses come.
    """

    def __init__(self) -> None:
        self._low, self._high = self._older_low, self._older_high = _ANYTHING
        self._since, self._until = math.inf, -math.inf
        self._date, self._epoch = "", math.nan
        self.skew: float | None = None

    def note(self, date: str | None, sent: float, received: float) -> None:
        """Take a response into account.

        :param date: its header; what is none, or none that HTTP allows, is left out.
        :param sent: when the request went out, in epoch seconds by the own clock.
        :param received: when its headers were there.
        """
        if date != self._date:
            self._date, self._epoch = date or "", _epoch(date or "")
        low, high = sent - self._epoch - 1, received - self._epoch
        if (
            low > self._low + RESOLUTION_SECONDS
            or high < self._high - RESOLUTION_SECONDS
            or not self._since <= received <= self._until
        ):
            self._add(low, high, received)

    def _add(self, low: float, high: float, now: float) -> None:
        if not self._since <= now <= self._until:  # the own clock may have been set back, too
            is_recent = self._until < now <= self._until + WINDOW_SECONDS
            self._older_low, self._older_high = (self._low, self._high) if is_recent else _ANYTHING
            (self._low, self._high), self._since, self._until = _ANYTHING, now, now + WINDOW_SECONDS
        # nan, where there was no date, wins none of these comparisons
        self._low, self._high = max(self._low, low), min(self._high, high)
        if max(self._low, self._older_low) > min(self._high, self._older_high):
            # responses contradict each other: a clock was set, and the old ones know nothing of it
            (self._low, self._high), (self._older_low, self._older_high) = (low, high), _ANYTHING
        self._conclude(max(self._low, self._older_low), min(self._high, self._older_high))

    def _conclude(self, low: float, high: float) -> None:
        if high == math.inf:
            self.skew = None
        else:
            self.skew = 0.0 if low <= 0 <= high else (low + high) / 2


def _epoch(date: str) -> float:
    """The time of ``Sun, 06 Nov 1994 08:49:37 GMT`` (RFC 9110, the only form that may be sent); nan for any other."""
    try:
        day, month, year = int(date[5:7]), _MONTHS[date[8:11]], int(date[12:16])
        return calendar.timegm((year, month, day, int(date[17:19]), int(date[20:22]), int(date[23:25])))
    except (ValueError, KeyError):
        return math.nan
