"""Addresses of REST requests: whatever they are, one of a few words stands for them."""

from __future__ import annotations

import re

from argus_exporter.catalogue import OTHER
from argus_exporter.discordpy.routes import API, CDN, TEMPLATES, template
from tests.fuzz.source import Source
from tests.fuzz.target import Target, always

Filled = tuple[str, str, tuple[str, ...], str]

KNOWN = frozenset({*TEMPLATES, CDN, OTHER})
BASES = (
    *("", API, "https://discord.com/api", "https://discord.com/api/v9", "https://canary.discord.com/api/v٣"),
    "https://",
    *("https://cdn.discordapp.com", "http://[::1", "https://u:p@discord.com:443/api/v10", "https://discord.com", "//"),
)
WORDS = (
    *("1234567890123456789", "/", "@me", "aW50ZXJhY3Rpb24.token-_", "%F0%9F%91%8D", "👍", "blob:123456789012345678"),
    *("?", "#"),
    *("..", "%2F", "{guild_id}", "\0", "\n", " ", "://", "@", ":", ";"),
    *sorted({segment for path in TEMPLATES for segment in path.split("/")}),
)
_PARAMETER = re.compile(r"{\w+}")


def read(source: Source) -> Filled:
    """A template's parameters filled in; or, for the empty one, any text."""
    path = source.choice(("", *TEMPLATES))
    parameters = _PARAMETER.findall(path)
    values = tuple([source.text(WORDS, 3) for _ in parameters])
    return source.choice(BASES), path, values, source.text(WORDS, 6) if source.flag() or not path else ""


def check(given: Filled) -> None:
    base, path, values, more = given
    left = iter(values)
    filled = _PARAMETER.sub(lambda _: next(left), path)
    url = f"{base}{filled}{more}"
    found = template(url)
    assert found in KNOWN
    assert found == CDN or template(found) == found
    if found in TEMPLATES:
        assert fits(url, found)
    if base in {"", API} and path and not more and all(value.isascii() and value.isdigit() for value in values):
        assert found == path


def fits(url: str, path: str) -> bool:
    """Whether the end of an address has the words of a template at their places, and something at each parameter's."""
    literals = path.split("/")[1:]
    segments = url.partition("?")[0].split("/")[-len(literals) :]
    return len(segments) == len(literals) and all(
        segment == literal or (segment != "" and literal.startswith("{"))
        for segment, literal in zip(segments, literals, strict=True)
    )


ROUTES = Target("routes", "one of the templates, cdn or other, and the one that fits", read, always(check))
