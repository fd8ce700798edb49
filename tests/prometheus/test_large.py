"""The configurations for more than one Prometheus pass everything on, and say no secret."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from argus_exporter import catalogue
from tests.prometheus.rules import FOLDER, alerts, documents, records, rules_of

AGENT, FEDERATION = (
    yaml.safe_load((FOLDER / "large" / f"{name}.yml").read_text("utf-8")) for name in ("agent", "federation")
)
OURS = {"job", "instance", "bot", "cluster", *(label for each in catalogue.METRICS for label in each.label_names)}


def entries(document: Any) -> Iterator[tuple[str, Any]]:
    """Every key of a configuration, and what it is set to."""
    for key, value in document.items() if isinstance(document, dict) else enumerate(document):
        yield str(key), value
        if isinstance(value, dict | list):
            yield from entries(value)


def test_every_secret_is_in_a_file() -> None:
    words = re.compile("password|credentials|secret|token|key")
    said = [(key, value) for each in (AGENT, FEDERATION) for key, value in entries(each) if words.search(key)]
    assert len(said) >= 4
    assert [(key, value) for key, value in said if not (key.endswith("_file") and value.startswith("secrets/"))] == []


def test_what_is_said_of_a_prometheus_is_none_of_our_labels() -> None:
    assert OURS.isdisjoint(AGENT["global"]["external_labels"])


def test_every_engine_gets_every_series_and_every_label_of_ours() -> None:
    assert len(AGENT["remote_write"]) == 3
    for engine in AGENT["remote_write"]:
        for relabel in engine.get("write_relabel_configs", ()):
            assert relabel["action"] == "labeldrop"
            assert [label for label in OURS if re.fullmatch(relabel["regex"], label)] == []


def test_every_recorded_series_and_every_alert_is_federated() -> None:
    (job,) = FEDERATION["scrape_configs"]
    recorded, fired, _ = [re.search('=~"(.+)"', match)[1] for match in job["params"]["match[]"]]
    assert [name for name in records() if not re.fullmatch(recorded, name)] == []
    assert [name for name in alerts() if not re.fullmatch(fired, name)] == []
    assert [name for each in catalogue.METRICS for name in each.reserved_names if re.fullmatch(recorded, name)] == []


def test_the_rules_are_not_more_than_mimir_takes_by_itself() -> None:
    """-ruler.max-rules-per-rule-group is 20, -ruler.max-rule-groups-per-tenant is 70."""
    assert max(len(rules_of(document)) for document in documents().values()) <= 20
    assert len(documents()) <= 70
