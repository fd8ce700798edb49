"""Every dashboard keeps every rule, and every metric is shown, alerted on, or left out for a reason."""

from __future__ import annotations

import re

import pytest

from argus_exporter import catalogue
from grafana.builder import boards as builder
from tests.grafana import promql
from tests.grafana.boards import ROOT, RULES, Rule, committed, queries

BOARDS = committed()
UNSHOWN: dict[str, str] = {}
"""Metrics that no board shows and no rule asks for, each with the reason."""


@pytest.mark.parametrize("noun", BOARDS)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_board_keeps_a_rule(noun: str, rule: Rule) -> None:
    assert list(rule(BOARDS[noun])) == []


def test_every_metric_is_shown_or_alerted_on_or_left_out_for_a_reason() -> None:
    asked = [query for board in BOARDS.values() for query in queries(board)]
    rules = [path.read_text(encoding="utf-8") for path in (ROOT / "prometheus" / "rules").glob("*.yml")]
    shown = {name for query in [*asked, *rules] for name in promql.names(query)}
    assert {metric.name for metric in catalogue.METRICS} - shown == set(UNSHOWN)


def test_the_readme_lists_the_boards_in_their_order() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Dashboards\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE)
    assert rows[2:] == [board.title for board in builder.BOARDS]
