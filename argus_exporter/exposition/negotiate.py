"""What a scraper wants, from its ``Accept`` and ``Accept-Encoding`` headers (RFC 9110, section 12.5).

Nothing here raises: a header that makes no sense is no wish, and who has no wish gets text, not compressed.
"""

from __future__ import annotations

import re
import typing
from typing import Final

if typing.TYPE_CHECKING:
    from collections.abc import Iterator

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_MOST: Final = 4096
"""Characters of a header that are read. Prometheus sends about 300."""

_QUALITY: Final = re.compile(r"[01]?(\.\d*)?")


class _Range(typing.NamedTuple):
    """One entry of a header: what it names, its parameters, and how much it is wanted."""

    name: str
    quality: float
    parameters: dict[str, str]


def wants_openmetrics(accept: str) -> bool:
    """Whether OpenMetrics 1.0.0 is wanted more than the text format 0.0.4.

    Text where both are wanted alike, unless OpenMetrics is named and text is not (``*/*``, as browsers and curl send),
    or is named first. Versions that are not served are no wish for those that are: an offer of OpenMetrics 0.0.1 alone
    gets text, as from prometheus_client; ``escaping=`` changes nothing, because all names here are plain ones.
    """
    ranges = list(_ranges(accept))
    openmetrics = _wish(ranges, "application", "openmetrics-text", ("", "1.0.0"))
    return openmetrics > _wish(ranges, "text", "plain", ("", "0.0.4")) and openmetrics[0] > 0


def wants_gzip(accept_encoding: str) -> bool:
    """Whether gzip is allowed, and not wanted less than no compression at all."""
    wishes = {wish.name: wish.quality for wish in _ranges(accept_encoding)}
    gzip = wishes.get("gzip", wishes.get("x-gzip", wishes.get("*", 0.0)))
    return gzip > 0 and gzip >= wishes.get("identity", 0.0)


def _ranges(header: str) -> Iterator[_Range]:
    for entry in header[:_MOST].lower().split(","):
        name, *rest = (part.strip() for part in entry.split(";"))
        pairs = (part.partition("=") for part in rest)
        parameters = {key.strip(): value.strip(' "') for key, _, value in pairs}
        yield _Range(name, _quality(parameters.pop("q", "1")), parameters)


def _quality(text: str) -> float:
    """The weight; what is none is 0, so that the entry is no wish."""
    return min(float(text), 1.0) if text.strip(".") and _QUALITY.fullmatch(text) else 0.0


def _wish(ranges: list[_Range], kind: str, subtype: str, versions: tuple[str, ...]) -> tuple[float, int, int]:
    """How much a format is wanted: the weight of the entry that names it best, how well that is, and how early."""
    names = ("*/*", f"{kind}/*", f"{kind}/{subtype}")
    found = [
        (names.index(wish.name), -position, wish.quality)
        for position, wish in enumerate(ranges)
        if wish.name in names and wish.parameters.get("version", "") in versions
    ]
    named, early, quality = max(found, default=(0, 0, 0.0))
    return quality, named, early
