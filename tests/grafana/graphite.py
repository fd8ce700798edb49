"""What the catalogue says of a Graphite target, and of the tags and functions in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from argus_exporter import catalogue
from tests.grafana.promql import OF_TARGETS

FUNCTIONS: Final = {
    *("alias", "aliasByTags", "averageSeries", "constantLine", "countSeries", "diffSeries", "fallbackSeries"),
    *("filterSeries", "groupByTags", "highest", "keepLastValue", "limit", "maxSeries", "minSeries", "movingSum"),
    *("removeAboveValue", "seriesByTag", "sortByName", "sumSeries", "timeFunction"),
}
"""Those of graphite-web 1.1 that the boards use; each was asked of a real one."""

ENDINGS: Final = {
    ("counter", "counters"): {".rate", ".count"},
    ("gauge", "gauges"): {""},
    ("histogram", "gauges"): {".p50", ".p95", ".p99"},
    ("histogram", "counters"): {".count.rate", ".count.count", ".sum.rate", ".sum.count"},
}
"""What npm's statsd makes of our names: argus_exporter/statsd/encode.py."""

METRICS: Final = {metric.name: metric for metric in catalogue.METRICS}
_NAME: Final = re.compile(r"name=\$\{root:raw\}\.(\w+)\.\$\{prefix:raw\}(\w+)([.\w]*)")
_TOKEN: Final = re.compile(r"(?P<call>\w+)\(|'(?P<text>[^']*)'|(?P<end>\))")


def calls(target: str) -> Iterator[tuple[str, list[str]]]:
    """Each function of a target with the texts that it is given.

    :raises ValueError: where the brackets do not match.
    """
    open_calls: list[tuple[str, list[str]]] = []
    for token in _TOKEN.finditer(target):
        if token["call"]:
            open_calls.append((token["call"], []))
        elif not open_calls:
            break
        elif token["end"]:
            yield open_calls.pop()
        else:
            open_calls[-1][1].append(token["text"])
    if open_calls or target.count("(") != target.count(")"):
        msg = f"brackets do not match: {target}"
        raise ValueError(msg)


def problems(target: str) -> Iterator[str]:
    """What is wrong with a target."""
    try:
        found = list(calls(target))
    except ValueError as problem:
        yield str(problem)
        return
    yield from (f"no function {name}" for name, _ in found if name not in FUNCTIONS)
    known = set(OF_TARGETS)
    for name, texts in found:
        if name == "seriesByTag":
            known.update(*(METRICS[each].label_names for _, each, _ in _NAME.findall(texts[0]) if each in METRICS))
            yield from _wrong_series(texts)
        tags = {"aliasByTags": texts, "groupByTags": texts[1:]}.get(name, ())
        yield from (f"no tag {tag}" for tag in tags if tag not in known)


def _wrong_series(texts: list[str]) -> Iterator[str]:
    for root, name, ending in _NAME.findall(texts[0]) or [("", texts[0], "")]:
        kind = METRICS[name].kind if name in METRICS else ""
        if ending not in ENDINGS.get((kind, root), ()):
            yield f"there is no {root}.{name}{ending}"
    if {text.partition("=")[0] for text in texts[1:]} != {"bot", "cluster"}:
        yield "does not heed bot and cluster"
