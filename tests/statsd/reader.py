"""What prometheus/statsd_exporter makes of datagrams and of the mapping that is shipped, as its sources have it.

pkg/line/line.go reads a line, pkg/mapper/mapper.go finds its rule, pkg/exporter/exporter.go keeps what it says. What
they refuse, or only count as an error, fails here.
"""

from __future__ import annotations

import re
import typing
from pathlib import Path
from typing import Any

import yaml

MAPPING = Path(__file__).parents[2] / "prometheus" / "statsd_exporter.yml"
TYPES = {"c": "counter", "g": "gauge", "ms": "observer"}

Series = tuple[str, frozenset[tuple[str, str]]]


class Reader:
    """A statsd_exporter, and the Prometheus that scrapes it as the mapping's head says."""

    def __init__(self) -> None:
        text = MAPPING.read_text(encoding="utf-8")
        self.rules: list[dict[str, Any]] = yaml.safe_load(text)["mappings"]
        head = "\n".join(line.removeprefix("#   ") for line in text.splitlines() if line.startswith("#   "))
        (job,) = yaml.safe_load(head[head.index("- job_name") :])
        self.relabelling: list[dict[str, Any]] = job["metric_relabel_configs"]
        self.counters: dict[Series, float] = {}
        self.gauges: dict[Series, float] = {}
        self.observed: dict[Series, list[float]] = {}

    def feed(self, datagram: bytes) -> None:
        for line in datagram.decode("utf-8").split("\n"):
            name, _, rest = line.partition(":")
            assert re.fullmatch(r"[^#,\[\]]+", name), line
            value, kind, *more = rest.split("|")
            assert re.fullmatch(r"-?\d+(\.\d+)?", value), line
            labels = self._labels(more)
            self._keep(self._mapped(name, TYPES[kind], labels), kind, value)

    @staticmethod
    def _labels(sections: list[str]) -> frozenset[tuple[str, str]]:
        assert len(sections) <= 1
        pairs = [tag.partition(":")[::2] for section in sections for tag in section.removeprefix("#").split(",")]
        assert all(re.fullmatch(r"[a-zA-Z_]\w*", key, re.ASCII) and value for key, value in pairs)
        return frozenset(pairs)

    def _mapped(self, name: str, kind: str, labels: frozenset[tuple[str, str]]) -> Series:
        for rule in self.rules:
            found = re.search(rule["match"], name)
            if found and rule["match_metric_type"] == kind:
                template = re.sub(r"\$\{?(\d)\}?", r"\\\1", rule["name"])
                return self._relabelled(re.sub(r"[^a-zA-Z0-9_]", "_", found.expand(template))), labels
        raise AssertionError(name)

    def _relabelled(self, name: str) -> str:
        for rule in self.relabelling:
            if found := re.fullmatch(rule["regex"], name):
                assert rule.get("action") != "drop", name
                name = found.expand(rule["replacement"].replace("$", "\\"))
        return name

    def _keep(self, series: Series, kind: str, value: str) -> None:
        if kind == "c":
            assert series not in self.gauges
            assert float(value) >= 0
            self.counters[series] = self.counters.get(series, 0) + float(value)
        elif kind == "g":
            relative = value.startswith("-")
            self.gauges[series] = float(value) + (self.gauges.get(series, 0) if relative else 0)
        else:
            self.observed.setdefault(series, []).append(float(value) / 1000)

    @property
    def series(self) -> dict[Series, float]:
        """All that Prometheus would see."""
        (buckets,) = [rule["histogram_options"]["buckets"] for rule in self.rules if "histogram_options" in rule]
        seen = {**self.counters, **self.gauges}
        for (name, labels), values in self.observed.items():
            seen[f"{name}_count", labels], seen[f"{name}_sum", labels] = len(values), sum(values)
            for edge in (*buckets, float("inf")):
                le = "+Inf" if edge == float("inf") else str(edge)
                seen[f"{name}_bucket", labels | {("le", le)}] = sum(value <= edge for value in values)
        return seen


def scraped(page: str) -> dict[Series, float]:
    """The series of a page, labels that are empty left out, as Prometheus does."""
    from prometheus_client.parser import text_string_to_metric_families

    families = typing.cast("Any", text_string_to_metric_families)(page)
    return {
        (sample.name, frozenset((k, v) for k, v in sample.labels.items() if v)): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
