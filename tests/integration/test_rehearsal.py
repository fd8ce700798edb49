"""Incidents fire their alerts and no others, through a real Prometheus and a real Alertmanager."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from tests.integration.programs import program
from tests.rehearsal.__main__ import FACTOR, PARALLEL, rehearse
from tests.rehearsal.rehearsal import report
from tests.rehearsal.table import ROWS

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.environ.get("ARGUS_REQUIRE_SERVICES") != "1", reason="takes minutes: make integration"),
]


async def test_incidents_fire_exactly_their_alerts_and_these_are_over_afterwards(tmp_path: Path) -> None:
    """Those of the table that are quick; `make rehearse` has them all."""
    for name in ("prometheus", "promtool", "prometheus-alertmanager"):
        program(name)
    logging.getLogger("examples.discord_simulator").setLevel(logging.ERROR)  # it tells of each incident
    rows = [row for row in ROWS if row.quick]
    results = await rehearse(rows, FACTOR, PARALLEL, tmp_path)
    assert all(each.well for each in results), report(results)
