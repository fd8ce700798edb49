"""The boxes at the top of a board, and what is marked in its graphs."""

from __future__ import annotations

from typing import Any, Final

from grafana.builder.model import PROMETHEUS, Json
from grafana.builder.promql import expand

ANCHOR: Final = "argus_exporter_info"
"""The series that each process of ours has, and nobody else."""

_ALPHABETIC: Final = 1
_NUMERIC: Final = 3


def query_variable(name: str, label: str, query: str, *, every: str | None = ".*", numeric: bool = False) -> Json:
    """A box whose choices a query finds.

    :param every: what All stands for; ``.*`` also finds series without the label. None: each of the choices.
    """
    more: Json = {} if every is None else {"allValue": every}
    return {
        **_common(name, label),
        **more,
        "type": "query",
        "datasource": PROMETHEUS.as_json(),
        "definition": query,
        "query": {"qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "options": [],
        "includeAll": True,
        "multi": True,
        "refresh": 2,
        "regex": "",
        "sort": _NUMERIC if numeric else _ALPHABETIC,
    }


def text_variable(name: str, label: str, value: str = "") -> Json:
    """A box to type into."""
    choice = {"selected": True, "text": value, "value": value}
    return {**_common(name, label), "type": "textbox", "query": value, "current": choice, "options": [choice]}


def choice_variable(name: str, label: str, *values: str) -> Json:
    """A box with fixed choices; the first is chosen."""
    options: list[Json] = [{"selected": not at, "text": value, "value": value} for at, value in enumerate(values)]
    return {
        **_common(name, label),
        "type": "custom",
        "query": ",".join(values),
        "current": options[0],
        "options": options,
        "includeAll": False,
        "multi": False,
    }


def _common(name: str, label: str) -> Json:
    return {"name": name, "label": label, "hide": 0, "skipUrlSync": False}


STANDARD: Final = (
    query_variable("job", "Job", f"label_values({ANCHOR}, job)"),
    query_variable("bot", "Bot", f'label_values({ANCHOR}{{job=~"$job"}}, bot)'),
    query_variable("cluster", "Cluster", f'label_values({ANCHOR}{{job=~"$job", bot=~"$bot"}}, cluster)', numeric=True),
    query_variable(
        "instance", "Instance", f'label_values({ANCHOR}{{job=~"$job", bot=~"$bot", cluster=~"$cluster"}}, instance)'
    ),
)


def _annotation(name: str, colour: str, query: str, title: str, **more: Any) -> Json:
    return {
        "name": name,
        "datasource": PROMETHEUS.as_json(),
        "enable": True,
        "hide": False,
        "iconColor": colour,
        "expr": expand(query),
        "titleFormat": title,
        "step": "60s",
        "useValueForTime": False,
        **more,
    }


ANNOTATIONS: Final = (
    _annotation(
        "Starts", "blue", "time() - process_start_time_seconds{*} < 60", "{{bot}} {{cluster}} {{instance}} started"
    ),
    _annotation(
        "Alerts",
        "red",
        'ALERTS{alertstate="firing", alertname=~"(Argus|Discord).+", job=~"$job"}',
        "{{alertname}} {{bot}} {{cluster}}",
        enable=False,
    ),
)
