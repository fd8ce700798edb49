"""What a push has to tell of a page, worked out from the page alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import prometheus_client

from argus_exporter.statsd.encode import FLAVOURS
from tests.integration.daemons import Values

ENDINGS = {"_count": ".count", "_sum": ".sum"}
"""What a histogram counts where there are no buckets."""


def counters(
    families: Iterable[prometheus_client.Metric],
    flavour: str,
    key: Callable[[str], str],
    prefix: str = "",
    constant: Mapping[str, str] | None = None,
) -> Values:
    """Every counter of a page, and what a histogram counts, by the name that a server makes of its line.

    :param constant: labels that all have, those of others too.
    """
    found: Counter[str] = Counter()
    for family in families:
        for sample in family.samples:
            if name := _counted(family.type, sample.name, flavour):
                head, tail = FLAVOURS[flavour].parts(prefix + name, [*{**(constant or {}), **sample.labels}.items()])
                found[key((head + tail).decode())] += sample.value
    return found


def _counted(kind: str, name: str, flavour: str) -> str:
    """The name under which a sample is pushed as a counter; "" if it is not."""
    if kind == "histogram" and not FLAVOURS[flavour].buckets:
        ending = next((each for each in ENDINGS if name.endswith(each)), "")
        return name.removesuffix(ending) + ENDINGS[ending] if ending else ""
    return name if kind in {"counter", "histogram"} and not name.endswith("_created") else ""


def in_graphite(line: str) -> str:
    """What npm's statsd and carbon make of a line: tags of DogStatsD's, without what they do not know, in order."""
    name, _, rest = line.partition(":|#")
    tags = "".join(f";{tag.replace(':', '=', 1)}" for tag in rest.split(",") if tag)
    key = re.sub(r"\s+", "_", f"{name.removesuffix(':')}{tags}").replace("/", "-")
    path, *ordered = re.sub(r"[^a-zA-Z_\-0-9.;=]", "", key).split(";")
    return ";".join([f"stats.counters.{path}.count", *sorted(ordered)])


def in_a_path(line: str) -> str:
    """What a server without tags makes of it."""
    return line.removesuffix(":")
