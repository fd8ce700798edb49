"""What promtool and amtool say: of the rules, their cases, the configurations, the queries of the runbook."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.integration.programs import program
from tests.prometheus.rules import FOLDER, NEWER, alerts, queries

pytestmark = pytest.mark.integration

CASES = sorted(file.stem for file in (FOLDER / "tests").glob("*.yml"))
RULES = sorted(map(str, (FOLDER / "rules").glob("*.yml")))


@pytest.fixture(params=["supported minimum", "Prometheus 3"])
def promtool(request: pytest.FixtureRequest) -> str:
    """Each of the promtools. The newer one is there after ``bash .ci/prometheus3``."""
    if request.param == "supported minimum":
        return program("promtool")
    if not (NEWER / "promtool").exists():
        pytest.skip("no Prometheus 3: bash .ci/prometheus3 unpacks one")
    return str(NEWER / "promtool")


def said(*command: str) -> str:
    """What a program says; it has to succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=FOLDER)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("case", CASES)
def test_an_alert_fires_and_stays_silent_on_its_near_miss(promtool: str, case: str) -> None:
    assert "SUCCESS" in said(promtool, "test", "rules", f"tests/{case}.yml")


def test_the_rules_are_loaded_without_a_complaint(promtool: str) -> None:
    assert said(promtool, "check", "rules", "--lint=all", "--lint-fatal", *RULES).count("SUCCESS") == len(RULES)


def test_the_configuration_of_prometheus_is_right(promtool: str) -> None:
    assert "SUCCESS" in said(promtool, "check", "config", "prometheus.yml")


@pytest.mark.parametrize("how", [("agent", "--agent"), ("agent",), ("federation",)], ids=" ".join)
def test_the_configurations_for_more_than_one_prometheus_are_right(promtool: str, how: tuple[str, ...]) -> None:
    name, *flags = how
    assert "SUCCESS" in said(promtool, "check", "config", *flags, f"large/{name}.yml")


def test_the_example_of_a_target_file_can_be_read(promtool: str, tmp_path: Path) -> None:
    found = {"job_name": "discord", "file_sd_configs": [{"files": [str(FOLDER / "file_sd.example.yml")]}]}
    file = tmp_path / "prometheus.yml"
    file.write_text(json.dumps({"scrape_configs": [found]}), "utf-8")
    assert "SUCCESS" in said(promtool, "check", "config", str(file))


def test_every_query_of_the_runbook_parses(promtool: str, tmp_path: Path) -> None:
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries())]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "runbook", "rules": rules}]}), "utf-8")
    assert f"{len(rules)} rules found" in said(promtool, "check", "rules", "--lint=none", str(file))
    assert len(rules) > len(alerts())


def test_the_configuration_of_alertmanager_is_right() -> None:
    assert "SUCCESS" in said(program("amtool"), "check-config", "alertmanager.yml")
