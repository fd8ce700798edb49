"""The rules say what they should, of metrics that there are, and each has its place in the runbook."""

from __future__ import annotations

import re

from argus_exporter import catalogue
from tests.prometheus.rules import FOLDER, TOKEN, alerts, documents, queries, records

OTHERS = {"ALERTS", "up", "scrape_duration_seconds"}
"""What Prometheus makes by itself."""

GIVEN = {"job", "instance", "bot", "cluster", "le", "alertname", "alertstate"}
"""Labels that are no metric's own."""

WORDS = {"and", "or", "unless", "on", "by", "group_left", "offset"}
FUNCTIONS = {
    *("abs", "absent", "avg_over_time", "changes", "clamp_min", "count", "group", "histogram_quantile", "increase"),
    *("last_over_time", "max", "max_over_time", "min", "min_over_time", "predict_linear", "quantile", "rate", "sum"),
    *("time", "timestamp", "topk"),
}
EXPRESSIONS = {name: rule["expr"] for name, rule in {**alerts(), **records()}.items()} | {
    query: query for query in queries()
}
LABELS_OF = {name: set(metric.label_names) for metric in catalogue.METRICS for name in metric.reserved_names}


def names(expr: str) -> set[str]:
    """The metrics that an expression asks for."""
    found = {match["name"] for match in TOKEN.finditer(expr) if match["name"]}
    return found - WORDS - FUNCTIONS


def test_every_metric_of_a_rule_and_of_the_runbook_is_there() -> None:
    known = {*LABELS_OF, *records(), *OTHERS}
    assert {name: names(expr) - known for name, expr in EXPRESSIONS.items() if names(expr) - known} == {}


def test_every_label_that_is_asked_for_is_one_of_its_metric() -> None:
    for name, expr in EXPRESSIONS.items():
        for metric, matchers in re.findall(r"(\w+)\{([^}]*)\}", expr):
            asked = set(re.findall(r"(\w+)\s*(?:=|!=|=~|!~)", matchers))
            assert asked - GIVEN <= LABELS_OF.get(metric, set()), (name, metric)


def test_every_label_that_is_kept_is_one_of_the_metrics() -> None:
    for name, expr in EXPRESSIONS.items():
        lists = re.findall(r"\b(?:by|on|group_left) \(([^)]*)\)", expr)
        kept = {label.strip() for found in lists for label in found.split(",")} - {""}
        recorded = {label for metric in names(expr) & set(records()) for label in metric.partition(":")[0].split("_")}
        own = set[str]().union(*(LABELS_OF.get(metric, set()) for metric in names(expr)))
        assert kept - GIVEN - recorded <= own, name


def test_every_recording_rule_is_used() -> None:
    used = set[str]().union(*(names(rule["expr"]) for rule in {**alerts(), **records()}.values()))
    assert set(records()) - used == set()


def test_a_counter_is_only_read_as_a_rate_or_an_increase_where_its_value_means_nothing() -> None:
    counters = {metric.name for metric in catalogue.METRICS if isinstance(metric, catalogue.Counter)}
    for name, rule in {**alerts(), **records()}.items():
        for metric in names(rule["expr"]) & counters:
            plain = re.sub(rf"(?:rate|increase)\({metric}(?:{{[^}}]*}})?\[", "", rule["expr"])
            seen_from_its_start = name in {"DiscordGatewayFatalClose", "DiscordUnauthorized"}
            assert seen_from_its_start or metric not in plain, name


def test_the_codes_of_the_fatal_close_are_those_of_discord() -> None:
    (pattern,) = re.findall(r'code=~"([^"]+)"', alerts()["DiscordGatewayFatalClose"]["expr"])
    assert {int(code) for code in catalogue.CLOSE_CODES if re.fullmatch(pattern, code)} == catalogue.FATAL_CLOSE_CODES


def test_a_file_is_a_noun_and_holds_one_group_of_its_name_that_is_evaluated_often() -> None:
    for noun, document in documents().items():
        assert noun in {*catalogue.COLLECTORS}
        assert [(group["name"], group["interval"]) for group in document["groups"]] == [
            (f"argus_exporter.{noun}", "15s")
        ]


def test_an_alert_says_how_urgent_it_is_what_happens_and_where_more_stands() -> None:
    for name, rule in alerts().items():
        assert rule["labels"] in [{"severity": severity} for severity in ("critical", "warning", "info")]
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        assert rule["annotations"]["runbook_url"] == f"prometheus/RUNBOOK.md#{name.lower()}"
        assert len(rule["annotations"]["summary"]) < 150


def test_the_runbook_has_one_heading_for_each_alert() -> None:
    text = (FOLDER / "RUNBOOK.md").read_text("utf-8")
    entries = re.split(r"(?m)^### ", text)[1:]
    assert sorted(entry.split("\n")[0] for entry in entries) == sorted(alerts())
    for entry in entries:
        assert all(word in entry for word in ("**Means:**", "**Confirm:**", "```promql", "**Do:**")), entry


def test_every_link_of_the_runbook_and_of_its_neighbours_leads_somewhere() -> None:
    for file in FOLDER.rglob("*.md"):
        text = file.read_text("utf-8")
        headings = {
            re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in re.findall(r"(?m)^#+ (.*)$", text)
        }
        links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("https://")]
        assert [link for link in links if link.startswith("#") and link[1:] not in headings] == []
        assert [link for link in links if not link.startswith("#") and not (file.parent / link).exists()] == []


def test_every_alert_has_its_cases_and_every_case_its_alert() -> None:
    assert {file.stem for file in (FOLDER / "tests").glob("*.yml")} == {
        *alerts(),
        "healthy",
        "recordings",
        "recordings-days",
    }


def test_what_every_recording_rule_says_has_a_case() -> None:
    cases = "".join(file.read_text("utf-8") for file in (FOLDER / "tests").glob("recordings*.yml"))
    asked = {match["name"] for expr in re.findall(r"expr: (.*)", cases) for match in TOKEN.finditer(expr)}
    assert set(records()) - asked == set()
