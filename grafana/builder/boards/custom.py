"""The bot's own metrics, one panel each."""

from __future__ import annotations

import dataclasses
from typing import Final

from grafana.builder.model import Board, Json, Panel, Query, Row
from grafana.builder.panels import lines
from grafana.builder.variables import ANNOTATIONS, STANDARD, query_variable, text_variable

OTHERS: Final = "(discord|argus_exporter|process|python|scrape)_.+|up|ALERTS.*|.+:.+"
"""Names that are on the page, or that Prometheus adds, and are not the bot's own."""

PARTS: Final = ".+_(bucket|sum|count|created|info)"
NONE_YET: Final = "the bot has no such metric of its own (README, Your own metrics)"

_FILTERS: Final = f'__name__!~"{OTHERS}", job=~"$job", bot=~"$bot", cluster=~"$cluster", instance=~"$instance"'


def _names(pattern: str, more: str = "") -> str:
    return f'label_values({{__name__=~"${{prefix}}{pattern}", {more}{_FILTERS}}}, __name__)'


def _histograms(name: str, label: str, pattern: str) -> Json:
    return {**query_variable(name, label, _names(".*_bucket"), every=None), "regex": pattern}


def _precise(variable: Json) -> Json:
    """A box whose All are its choices: another program's metrics are not the bot's own."""
    return {
        key: value for key, value in variable.items() if key != "allValue" or variable["name"] in {"bot", "cluster"}
    }


def _repeated(variable: str, panel: Panel) -> Panel:
    return dataclasses.replace(panel, more={"repeat": variable, "repeatDirection": "h", "maxPerRow": 3})


def _quantiles(variable: str, unit: str) -> Panel:
    buckets = f'{{__name__=~"${{{variable}}}_bucket", *}}'
    panel = lines(
        f"${variable}",
        unit,
        *(
            Query(f"histogram_quantile({rank}, sum by (le) (rate({buckets}[*]))) >= 0", name)
            for rank, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
        ),
        says="Quantiles of a histogram that the bot's code declares, over all its labels. What is bad the code knows: "
        "its help text stands on the bot's page.",
        width=24,
        least=None,
        empty=NONE_YET,
    )
    return _repeated(variable, panel)


BOARD: Final = Board(
    "custom",
    "Custom metrics",
    "Whatever the bot's own code measures, without a word of configuration: a panel a metric, counters as rates.",
    (
        *(_precise(variable) for variable in STANDARD),
        text_variable("prefix", "Name begins with"),
        query_variable("metric", "Metric", _names(".*", f'__name__!~"{PARTS}", '), every=None),
        _histograms("duration", "Duration", "/(.*_seconds)_bucket/"),
        _histograms("histogram", "Histogram", "/^(?!.*_seconds_bucket$)(.*)_bucket/"),
    ),
    (
        Row(
            "Counters a second, and gauges",
            (
                _repeated(
                    "metric",
                    lines(
                        "$metric",
                        "short",
                        Query(
                            '{__name__=~"$metric", __name__!~".+_total", *} or '
                            'rate({__name__=~"$metric", __name__=~".+_total", *}[*])'
                        ),
                        says="A metric that the bot's code declares; counters (…_total) as their rate a second. What "
                        "is bad the code knows: its help text stands on the bot's page.",
                        width=24,
                        least=None,
                        empty=NONE_YET,
                    ),
                ),
            ),
        ),
        Row("Durations", (_quantiles("duration", "s"),)),
        Row("Other histograms", (_quantiles("histogram", "short"),)),
    ),
    ANNOTATIONS,
)
