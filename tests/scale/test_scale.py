"""A small one of what `make scale` measures, and its pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from argus_exporter import catalogue
from tests.integration.programs import program
from tests.scale.__main__ import well
from tests.scale.pages import STEP, Process
from tests.scale.scale import Size, measured, report

SHARDS, AT = range(3, 6), 1_000_000_000.0
SAMPLE = re.compile(rb"(?m)^(\w+\{.*\}) (\S+)(?: (\d+))?$")


def test_a_page_has_what_the_catalogue_has_of_a_bot_that_pushes_and_records_nothing() -> None:
    found = {each.name for each in text_string_to_metric_families(Process(0, SHARDS, 9, AT).page().decode())}
    wanted = {each.family for each in catalogue.METRICS if each.noun not in {"statsd", "analytics"}}
    assert wanted - found == {"argus_exporter_label_overflow", "argus_exporter_left_out"}
    assert found <= wanted


def test_a_past_has_every_step_with_its_time_and_the_page_goes_on_from_there() -> None:
    process = Process(0, SHARDS, 9, AT)
    past, page = SAMPLE.findall(process.history(3)), SAMPLE.findall(process.page())
    times = [b"%d" % ((AT + step * STEP) * 1000) for step in (1, 2, 3)]
    assert [when for series, _, when in past if series == page[0][0]] == times
    assert len(past) == 3 * len(page)
    assert {when for _, _, when in page} == {b""}


def test_counters_grow_and_nothing_looks_wrong() -> None:
    process = Process(0, SHARDS, 9, AT)
    first, *_, last = (dict(re.findall(rb"(?m)^(\w+)\{.*\} (\S+)$", process.page())) for _ in range(20))
    counters = [each.name.encode() for each in catalogue.METRICS if isinstance(each, catalogue.Counter)]
    grown = [float(last[name]) - float(first[name]) for name in counters if name in last]
    assert min(grown) >= 0
    assert max(grown) > 100
    assert (last[b"discord_shard_status"], last[b"discord_shards"]) == (b"3", b"9")


@pytest.mark.integration
@pytest.mark.timeout(170)
async def test_a_small_fleet_with_a_past_is_measured_and_quick(tmp_path: Path) -> None:
    program("prometheus")
    said: list[str] = []
    found = await measured(Size(8, 2, hours=0.05, hurry=5, live=32), tmp_path, said.append)
    assert well(found), report(Size(), found)
    assert found.samples > 2 * 1500 * 0.05 * 3600 / STEP
    assert found.firing == set()
    assert "queries of boards" in report(Size(), found)
