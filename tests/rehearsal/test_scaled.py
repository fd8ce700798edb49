"""Rules in which time runs faster mean the same."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.rehearsal import scaled
from tests.rehearsal.rehearsal import ALERTMANAGER, RULES

FILES = sorted(RULES.glob("*.yml"))
GIVEN: dict[str, Any] = {file.name: yaml.safe_load(file.read_text(encoding="utf-8")) for file in FILES}
ALL_RULES: dict[str, Any] = {
    rule.get("alert") or rule["record"]: rule
    for given in GIVEN.values()
    for group in given["groups"]
    for rule in group["rules"]
}
LONG = re.compile(r"(?<![\w.\"|-])\d{2,}(?:\.\d+)?\b(?![smhdw])")

UNSCALED = {
    "DiscordIdentifyBudgetExhaustion": {"600"},  # of a rate, times seconds of which there are as many times more
    "DiscordShardGuildsHigh": {"2250"},  # guilds
    "DiscordRateLimitedOften": {"20"},  # responses
    "DiscordApiErrors": {"10"},  # responses
    "DiscordAckErrorBudgetBurn": {"14.4", "10"},  # times the budget; interactions
    "DiscordAckErrorBudgetBurnSlow": {"10"},
    "DiscordCommandErrorBudgetBurn": {"14.4", "10"},
    "DiscordCommandErrorBudgetBurnSlow": {"10"},
}
"""Plain numbers of two digits and more that are no seconds."""


@pytest.mark.parametrize(
    ("text", "factor", "expected"),
    [
        ("5m", 30, "10000ms"),
        ("1h30m", 60, "90000ms"),
        ("0m", 30, "0s"),
        ("0s", 30, "0s"),
        ("1ms", 30, "1ms"),
        ("3d", 8640, "30000ms"),
    ],
)
def test_a_duration_is_divided_and_does_not_vanish(text: str, factor: float, expected: str) -> None:
    assert scaled.duration(text, factor) == expected


@pytest.mark.parametrize(
    ("promql", "expected"),
    [
        ("rate(x_total[5m])", "rate(x_total[10000ms])"),
        ("max_over_time(rate(x[1m])[1h:15s])", "max_over_time(rate(x[2000ms])[120000ms:500ms])"),
        ("x offset 3m > 0", "x offset 6000ms > 0"),
        ("job_bot:x:rate5m > 0.5", "job_bot:x:rate5m > 0.5"),
        ("time() - x_seconds > 300", "time() - x_seconds > 10"),
        ("timestamp(x_seconds) - x_seconds > 75", "timestamp(x_seconds) - x_seconds > 2.5"),
        ("timestamp(x) - x\n  > 3 * y + 60", "timestamp(x) - x\n  > 3 * y + 2"),
        ("job:x_age_seconds:named > 75", "job:x_age_seconds:named > 2.5"),
        ("predict_linear(x[6h], 86400) > 2 * x", "predict_linear(x[720000ms], 2880) > 2 * x"),
        ("latency > 5", "latency > 5"),
        ("x / 600 * clamp_min(y - time(), 0)", "x / 600 * clamp_min(y - time(), 0)"),
    ],
)
def test_what_is_a_time_is_divided_and_nothing_else(promql: str, expected: str) -> None:
    assert scaled.expression(promql, 30) == expected


def test_every_time_of_a_rule_and_of_a_route_is_divided() -> None:
    rule = {"alert": "A", "expr": "x[1h] > 1", "for": "2m", "keep_firing_for": "10m", "labels": {"for": "2m"}}
    given = {"groups": [{"name": "g", "interval": "15s", "rules": [rule]}]}
    (group,) = scaled.rules(given, 30)["groups"]
    assert group["interval"] == "500ms"
    assert (group["rules"][0]["for"], group["rules"][0]["keep_firing_for"]) == ("4000ms", "20000ms")
    assert given["groups"][0]["rules"][0]["for"] == "2m"
    route = scaled.document(yaml.safe_load(ALERTMANAGER.read_text(encoding="utf-8")), 30)["route"]
    assert (route["group_wait"], route["routes"][0]["repeat_interval"]) == ("1000ms", "480000ms")


def test_only_counts_that_no_small_machine_reaches_are_divided_too() -> None:
    groups = [group for given in GIVEN.values() for group in scaled.rules(given, 1)["groups"]]
    by_name = {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"] if "alert" in rule}
    assert "> 250" in by_name["DiscordInvalidRequestsHigh"]
    assert re.findall(r"> (\d+)", by_name["DiscordBanImminent"]) == ["800", "100"]
    changed = {name for name, text in by_name.items() if text != scaled.expression(ALL_RULES[name]["expr"], 1)}
    assert changed == set(scaled.COUNTS)


@pytest.mark.parametrize("name", ALL_RULES)
def test_no_plain_number_of_a_rule_is_forgotten(name: str) -> None:
    """A number that stays is in the table above; one that is new fails here until somebody has thought of it."""
    before, after = ALL_RULES[name]["expr"], scaled.expression(ALL_RULES[name]["expr"], 7)
    kept = set(LONG.findall(before)) & set(LONG.findall(after))
    counts = {"2500", "8000", "10000", "1000"} if name in scaled.COUNTS else set()
    assert kept - counts == UNSCALED.get(name, set())
