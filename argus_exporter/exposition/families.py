"""A family of prometheus_client as text that cannot spoil a page.

prometheus_client renders it; what it renders is looked at line by line before it goes on the page, because a custom
collector may hand out anything, and one wrong line costs Prometheus the whole scrape.
"""

from __future__ import annotations

import copy
import re
import typing
from typing import Any, Final

import prometheus_client
from prometheus_client.core import UnknownMetricFamily
from prometheus_client.openmetrics import exposition as openmetrics_exposition

from argus_exporter.instruments import Reading

if typing.TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric
    from prometheus_client.samples import Sample

_SAMPLES_A_PIECE: Final = 128

_TEXT_SUFFIXES: Final = {"counter": "_total", "info": "_info"}
"""What the text format adds to a family's name (prometheus_client's generate_latest)."""

_SUFFIXES: Final = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_sum", "_count"),
    "gaugehistogram": ("_bucket", "_gsum", "_gcount"),
    "summary": ("", "_sum", "_count"),
    "info": ("_info",),
    "stateset": ("",),
    "unknown": ("",),
}
"""Which samples a family of a type may have: OpenMetrics 1.0, section 5, ``_created`` left out."""

_NAME: Final = r"[a-zA-Z_:][a-zA-Z0-9_:]*+"
_LABEL: Final = r'[a-zA-Z_][a-zA-Z0-9_]*+="(?:[^"\\\n\0]|\\[\\"n])*+"'
_LABELS: Final = rf"\{{(?:{_LABEL}(?:,{_LABEL})*+)?\}}"
_NUMBER: Final = r"(?:[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?|[+-]Inf|NaN)"
_LINE: Final = re.compile(
    rf"# (?:HELP {_NAME} [^\0]*|TYPE {_NAME} [a-z]+|UNIT {_NAME} [a-zA-Z0-9_:]+)"
    rf"|{_NAME}(?:{_LABELS})? {_NUMBER}(?: {_NUMBER})?(?: # {_LABELS} {_NUMBER}(?: {_NUMBER})?)?"
)
"""What prometheus_client writes when it is given something that can be written."""


class RefusedError(ValueError):
    """A family has no text that a page can carry."""


class _Alone:
    """A registry of one family, for prometheus_client's encoders."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> list[Metric]:
        return [self._family]


def names_of(family: Metric) -> set[str]:
    """Every name that a family takes on a page of either format."""
    header = family.name + _TEXT_SUFFIXES.get(family.type, "")
    return {family.name, header, *(sample.name for sample in family.samples)}


def without_created(family: Metric) -> Metric:
    """The family without its ``_created`` series, a copy if it has any: the user's own object is left as it is."""
    created = f"{family.name}_created"
    samples = [sample for sample in family.samples if sample.name != created]
    return family if len(samples) == len(family.samples) else _with(family, samples)


def readings_of(family: Metric) -> Iterator[Reading]:
    """The samples of a family that a page can carry.

    :raises RefusedError: at any sample, if it cannot; as :func:`render`.
    """
    for _ in render(family, openmetrics=False):
        pass
    for sample in family.samples:
        yield Reading(family.name, family.type, sample.name, tuple(sample.labels.items()), float(sample.value))


def render(family: Metric, *, openmetrics: bool) -> Iterator[bytes]:
    """The text of a family in pieces of about 10 KB, of whole lines, without an end mark.

    :raises RefusedError: at any piece; none of them belongs on a page then. What prometheus_client raises comes too.
    """
    for part in _conforming(family) if openmetrics else (family,):
        for number, piece in enumerate(_divided(part)):
            yield _checked(_text(piece, openmetrics=openmetrics, header=not number))


def _conforming(family: Metric) -> list[Metric]:
    """What OpenMetrics allows: where the samples do not fit the family's type, each name is one without a type."""
    allowed = {family.name + suffix for suffix in _SUFFIXES[family.type]}
    fits = all(sample.name in allowed for sample in family.samples)
    if fits and (not family.unit or family.name.endswith(f"_{family.unit}")):
        return [family]
    parts: dict[str, Metric] = {}
    for sample in family.samples:
        part = parts.setdefault(sample.name, UnknownMetricFamily(sample.name, family.documentation))
        part.samples.append(sample._replace(exemplar=None))
    return list(parts.values())


def _divided(family: Metric) -> Iterator[Metric]:
    """The family in parts of some samples each; types that the text format writes as several families stay whole."""
    if family.type == "gaugehistogram" or len(family.samples) <= _SAMPLES_A_PIECE:
        yield family
        return
    for start in range(0, len(family.samples), _SAMPLES_A_PIECE):
        yield _with(family, family.samples[start : start + _SAMPLES_A_PIECE])


def _with(family: Metric, samples: list[Sample]) -> Metric:
    part = copy.copy(family)
    part.samples = samples
    return part


def _text(family: Metric, *, openmetrics: bool, header: bool) -> str:
    text = _encode(family, openmetrics=openmetrics).decode().removesuffix("# EOF\n")
    return text if header else "".join(line for line in re.findall(r".*\n", text) if not line.startswith("# "))


def _encode(family: Metric, *, openmetrics: bool) -> bytes:
    module: Any = openmetrics_exposition if openmetrics else prometheus_client  # one of them has no types
    page: bytes = module.generate_latest(_Alone(family))
    return page


def _checked(text: str) -> bytes:
    """The text as it is sent, if each of its lines can be read."""
    for line in text.split("\n")[:-1]:
        if not _LINE.fullmatch(line):
            msg = f"a line that Prometheus could not read: {line[:200]!r}"
            raise RefusedError(msg)
    return text.encode()
