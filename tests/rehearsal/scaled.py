"""Rules and routes in which time runs faster: every duration in them is divided by a factor.

With a factor of 30 an alert that waits ten minutes waits 20 seconds, and a window of an hour is two minutes. Scaled are

* in rules: ``for``, ``keep_firing_for``, the ``interval`` of groups, ranges (``[5m]``, ``[1h:1m]``), offsets, and
  seconds that ages are compared with;
* in Alertmanager's configuration: ``group_wait``, ``group_interval``, ``repeat_interval``;
* Prometheus' own times: :func:`options`.

Not scaled are the three seconds that Discord gives for an answer, latencies, the event loop's lag, and counts: in a
window that is 30 times shorter as many things must happen, so the rehearsal's bots are as much busier.
"""

from __future__ import annotations

import copy
import re
from typing import Any, Final

_UNITS: Final = {
    "ms": 1,
    "s": 1000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
    "y": 31_536_000_000,
}
_DURATION: Final = r"(?:\d+(?:ms|[smhdw]))+"
_IN_EXPRESSION: Final = re.compile(rf"(?<=\[){_DURATION}|(?<=:){_DURATION}(?=\])|(?<=offset )-?{_DURATION}")
_NUMBER: Final = r"(\d+(?:\.\d+)?)\b"
_SECONDS: Final = tuple(
    re.compile(pattern + _NUMBER)
    for pattern in (
        r"(?:\btime\(\)|\btimestamp\(\w+\))\s*-\s*\w+\s*[<>]\s*(?:\d+ \* \w+ \+ )?",  # an age and its limit
        r"_age_seconds(?::\w+)?\s*[<>]\s*",  # a recorded age
        r"\bpredict_linear\(\w+\[\w+\], ",  # how far ahead
    )
)
"""Where seconds are plain numbers."""

COUNTS: Final = {"DiscordInvalidRequestsHigh": 10, "DiscordBanImminent": 10}
"""Alerts whose counts are divided too: no small machine sends 10,000 requests in a window of seconds."""
_COUNT: Final = re.compile(r"(?<=> )(\d+)\b")
_TIMES: Final = {"for", "keep_firing_for", "interval", "group_wait", "group_interval", "repeat_interval"}
_LEAST: Final = 1
"""Milliseconds: no duration may vanish."""


def seconds(text: str) -> float:
    """The seconds of a duration as Prometheus writes them."""
    parts = re.findall(r"(\d+)(ms|[smhdw])", text)
    return sum(int(number) * _UNITS[unit] for number, unit in parts) / 1000


def duration(text: str, factor: float) -> str:
    """A duration divided by the factor, in whole milliseconds; ``0m`` stays nothing."""
    milliseconds = round(seconds(text) * 1000 / factor)
    return f"{max(milliseconds, _LEAST)}ms" if seconds(text) else "0s"


def expression(promql: str, factor: float) -> str:
    """A query whose ranges, offsets and seconds are divided by the factor."""
    promql = _IN_EXPRESSION.sub(lambda found: duration(found[0], factor), promql)
    for pattern in _SECONDS:
        promql = pattern.sub(lambda found: _divided(found, factor), promql)
    return promql


def _divided(found: re.Match[str], factor: float) -> str:
    """What was found, with its last group divided."""
    number = found[found.re.groups]
    return f"{found[0].removesuffix(number)}{float(number) / factor:.12g}"


def rules(given: Any, factor: float) -> Any:
    """A document of rules in which time runs faster, and some counts are smaller: :data:`COUNTS`."""
    scaled = document(given, factor)
    for group in scaled["groups"]:
        for rule in group["rules"]:
            if (fewer := COUNTS.get(rule.get("alert"))) is not None:
                rule["expr"] = _COUNT.sub(lambda found, by=fewer: _divided(found, by), rule["expr"])
    return scaled


def document(given: Any, factor: float) -> Any:
    """A YAML document (rules, or Alertmanager's configuration) in which time runs faster."""
    if isinstance(given, list):
        return [document(each, factor) for each in given]
    if not isinstance(given, dict):
        return copy.copy(given)
    return {key: _value(key, value, factor) for key, value in given.items()}


def _value(key: str, value: Any, factor: float) -> Any:
    if key in _TIMES:
        return duration(str(value), factor)
    return expression(value, factor) if key == "expr" else document(value, factor)


def options(factor: float) -> tuple[str, ...]:
    """Prometheus' own times: how long a sample is the newest, and how often an alert is told of again."""
    return (
        f"--query.lookback-delta={duration('5m', factor)}",
        f"--rules.alert.resend-delay={duration('1m', factor)}",
    )
