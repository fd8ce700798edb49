"""The mutants are what they should be, and a sample of them dies; all of them: ``make mutants``."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.integration.programs import program
from tests.prometheus import mutate
from tests.prometheus.rules import alerts, records

SAMPLE = 20


def changes(expr: str) -> list[str]:
    return [new for _, new in mutate.changed_expressions(expr)]


def test_comparisons_are_turned_round_and_numbers_doubled_and_halved() -> None:
    assert changes("a > 4") == ["a <= 4", "a > 8", "a > 2"]
    assert changes("a != 0.5") == ["a == 0.5", "a != 1", "a != 0.25"]


def test_a_threshold_of_nothing_is_moved_to_both_sides_and_another_0_is_left() -> None:
    assert changes("a > 0") == ["a <= 0", "a > 1.5", "a > -1"]
    assert changes("clamp_min(a, 0)") == []


def test_and_becomes_unless_and_unless_and() -> None:
    assert changes("a and b unless on (job) c") == ["a unless b unless on (job) c", "a and b and on (job) c"]


def test_ranges_offsets_matchers_names_and_lists_of_labels_stay() -> None:
    assert changes('sum by (and, le) (rate(rate5m:x2_total{le="0.5", code=~"4.."}[10m] offset 1m))') == []


def test_an_alert_is_deleted_and_loses_its_for() -> None:
    rule = {"alert": "A", "expr": "a", "for": "5m"}
    assert list(mutate.changed_rules(rule)) == [("deleted", None), ("without for", {"alert": "A", "expr": "a"})]
    assert list(mutate.changed_rules({"alert": "A", "expr": "a"})) == [("deleted", None)]


def test_every_rule_has_mutants_each_of_a_file_with_one_thing_changed() -> None:
    found = list(mutate.mutants())
    assert {mutant.rule for mutant in found} == {*alerts(), *records()}
    assert len({str(mutant.document) for mutant in found}) > 0.98 * len(found)  # half of 6 * 0.005 is 6 * half of 0.005


def test_the_table_says_which_mutants_live() -> None:
    one, two, *_ = mutate.chosen(["DiscordShardDown"], None)
    assert mutate.table([one, two], [two]).splitlines()[1].split() == [
        "DiscordShardDown",
        "1",
        "of",
        "2",
        *two.change.split(),
    ]


@pytest.mark.integration
def test_a_rule_that_is_as_it_should_be_lives_and_so_does_one_that_would_not_load() -> None:
    program("promtool")
    mutant = mutate.chosen(["DiscordShardDown"], 1)[0]
    document = mutate.documents()[mutant.noun]
    broken = {"groups": [{"name": "x", "rules": [{"alert": "DiscordShardDown", "expr": "a >"}]}]}
    recorded = mutate.chosen(["job_bot:discord_shards:max"], 1)[0]
    living = [
        replace(mutant, document=document),
        replace(mutant, document=broken),
        replace(recorded, document=mutate.documents()[recorded.noun]),
    ]
    assert mutate.survivors([*living, mutant, recorded]) == living


@pytest.mark.integration
def test_a_sample_of_the_mutants_dies() -> None:
    program("promtool")
    assert mutate.survivors(mutate.chosen([], SAMPLE)) == []
