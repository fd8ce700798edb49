"""The table of incidents is whole: every alert has one, or a reason for having none."""

from __future__ import annotations

import re
from collections import Counter

import yaml

from tests.rehearsal.rehearsal import RULES
from tests.rehearsal.table import ROWS, UNREHEARSED

ALERTS = {
    rule["alert"]
    for file in RULES.glob("*.yml")
    for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
    if "alert" in rule
}
REHEARSED = frozenset[str]().union(*(row.told | row.mutes for row in ROWS))


def test_every_alert_of_the_table_is_a_rule() -> None:
    assert not REHEARSED - ALERTS


def test_every_rule_is_rehearsed_or_has_a_reason_why_not() -> None:
    assert set(UNREHEARSED) == ALERTS - REHEARSED
    assert all(UNREHEARSED.values())


def test_there_are_incidents_enough_and_some_that_must_fire_nothing() -> None:
    assert len([row for row in ROWS if row.told]) >= 20
    assert len([row for row in ROWS if not row.told]) >= 5


def test_each_incident_has_a_name_of_its_own_and_says_what_it_is() -> None:
    assert [name for name, count in Counter(row.name for row in ROWS).items() if count > 1] == []
    assert all(re.fullmatch("[a-z_]+", row.name) and row.what.endswith(".") for row in ROWS)


def test_an_alert_is_told_of_or_muted_and_not_both() -> None:
    for row in ROWS:
        assert len(row.fires) + len(row.follows) + len(row.mutes) == len(row.told | row.mutes), row.name
        assert row.told or not row.mutes, row.name
