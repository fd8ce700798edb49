"""What the catalogue says of a query: unknown names, unknown labels, counters that are read raw."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any, Final

import promql_parser as promql

from argus_exporter import catalogue

OF_TARGETS: Final = frozenset({"job", "instance", "bot", "cluster"})
"""Labels that each series of ours may carry beside its own."""

PROMETHEUS_OWN: Final = {
    "up": frozenset[str](),
    "scrape_duration_seconds": frozenset[str](),
    "scrape_samples_scraped": frozenset[str](),
    "ALERTS": frozenset({"alertname", "alertstate", "severity"}),
}
_PARTS: Final = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
_OVER_TIME: Final = {"rate", "increase"}


@dataclasses.dataclass(frozen=True)
class Sample:
    """A name that can be selected."""

    metric: str
    labels: frozenset[str]
    counts: bool


def samples() -> dict[str, Sample]:
    """Everything that a page of ours can hold, by name."""
    found = {name: Sample(name, labels, counts=False) for name, labels in PROMETHEUS_OWN.items()}
    for metric in catalogue.METRICS:
        for part in _PARTS[metric.kind]:
            labels = {*metric.label_names, *(["le"] if part == "_bucket" else [])}
            found[metric.name + part] = Sample(metric.name, frozenset(labels), metric.kind != "gauge")
    return found


SAMPLES: Final = samples()


def children(node: Any) -> list[Any]:
    """What an expression is made of."""
    if isinstance(node, promql.Call):
        return list(node.args)
    named = (getattr(node, name, None) for name in ("lhs", "rhs", "expr", "param", "vector_selector"))
    return [child for child in named if child is not None]


def walk(node: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Each part of an expression, with those it is in, the nearest first."""
    yield node, above
    for child in children(node):
        yield from walk(child, (node, *above))


def selectors(query: str) -> list[Any]:
    """Each selector of a query."""
    return [node for node, _ in walk(promql.parse(query)) if isinstance(node, promql.VectorSelector)]


def problems(query: str) -> Iterator[str]:
    """What is wrong with a query whose variables are filled in."""
    try:
        tree = promql.parse(query)
    except ValueError as problem:
        yield f"does not parse: {problem}"
        return
    yield from _wrong_labels(tree)
    for node, above in walk(tree):
        if isinstance(node, promql.VectorSelector):
            yield from _wrong_selector(node, above)


def _wrong_selector(node: Any, above: tuple[Any, ...]) -> Iterator[str]:
    if node.name is None:  # the bot's own metrics, which no catalogue knows
        return
    if (sample := SAMPLES.get(node.name)) is None:
        yield f"{node.name} is not in the catalogue"
        return
    for matcher in node.matchers.matchers:
        if matcher.name not in sample.labels | OF_TARGETS:
            yield f"{node.name} has no label {matcher.name}"
    over_time = len(above) > 1 and isinstance(above[1], promql.Call) and above[1].func.name in _OVER_TIME
    if sample.counts and not over_time and not _is_first_of_its_kind(node, above):
        yield f"{node.name} counts: only rate and increase tell what it says"
    if not sample.counts and over_time:
        yield f"{node.name} is a gauge: its rate means nothing"


def _is_first_of_its_kind(node: Any, above: tuple[Any, ...]) -> bool:
    """Whether it is a side of ``x unless x offset 5m``, which finds series that rate has not seen begin."""
    parent = above[0] if above else None
    if not isinstance(parent, promql.BinaryExpr) or str(parent.op) != "unless":
        return False
    return parent.rhs.offset is not None and parent.lhs.name == parent.rhs.name == node.name


def _wrong_labels(tree: Any) -> Iterator[str]:
    for node, _ in walk(tree):
        if isinstance(node, promql.AggregateExpr) and node.modifier is not None:
            missing = set(node.modifier.labels) - labels(node.expr)
            yield from (f"there is no label {label} to aggregate by" for label in sorted(missing))
        if isinstance(node, promql.BinaryExpr) and node.modifier and node.modifier.matching:
            known = labels(node.lhs) | labels(node.rhs) | OF_TARGETS
            yield from (
                f"there is no label {label} to match" for label in node.modifier.matching.labels if label not in known
            )


def labels(node: Any) -> frozenset[str]:
    """The labels that the result of an expression can have."""
    if isinstance(node, promql.VectorSelector):
        own = SAMPLES[node.name].labels if node.name in SAMPLES else frozenset({"le"})
        return own | OF_TARGETS
    if isinstance(node, promql.AggregateExpr):
        return _aggregated(node)
    if isinstance(node, promql.BinaryExpr):
        return _combined(node)
    found = frozenset[str]().union(*(labels(child) for child in children(node)))
    if isinstance(node, promql.Call) and node.func.name in {"label_replace", "label_join"}:
        return found | {node.args[1].val}
    return found - {"le"} if isinstance(node, promql.Call) and node.func.name == "histogram_quantile" else found


def _aggregated(node: Any) -> frozenset[str]:
    kept = frozenset(node.modifier.labels if node.modifier else ()) & labels(node.expr)
    if str(node.op) in {"topk", "bottomk"}:
        return labels(node.expr)
    return kept | {node.param.val} if str(node.op) == "count_values" else kept


def _combined(node: Any) -> frozenset[str]:
    left, right = labels(node.lhs), labels(node.rhs)
    matching = node.modifier.matching if node.modifier else None
    if str(node.op) in {"and", "unless"}:
        return left
    if str(node.op) == "or" or matching is None:
        return left | right
    if node.modifier.card == promql.VectorMatchCardinality.ManyToOne:
        return left | set(node.modifier.group_labels)
    if node.modifier.card == promql.VectorMatchCardinality.OneToMany:
        return right | set(node.modifier.group_labels)
    return frozenset(matching.labels)


def names(query: str) -> set[str]:
    """The metrics that a query asks for, without those parts of it that do not parse."""
    known = re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", query)
    return {SAMPLES[name].metric for name in known if name in SAMPLES}
