"""No id, token, code or emoji ever comes through: what comes out is a template, `cdn` or `other`."""

from __future__ import annotations

import ast
import re
import string
from pathlib import Path
from urllib.parse import quote

import discord
import pytest
from discord.http import Route
from hypothesis import example, given, settings
from hypothesis import strategies as st

from argus_exporter.catalogue import OTHER, ROUTE
from argus_exporter.discordpy.routes import API, CDN, TEMPLATES, template

KNOWN = {*TEMPLATES, CDN, OTHER}
SNOWFLAKE = "1234567890123456789"

snowflakes = st.integers(0, 2**64 - 1).map(str)
tokens = st.text(string.ascii_letters + string.digits + "-_.", min_size=1)
emojis = st.one_of(
    st.sampled_from(["👍", "🏳️\u200d🌈", "1️⃣"]),
    st.builds("{}:{}".format, st.from_regex(r"\A\w{2,32}\Z"), snowflakes),
).map(lambda emoji: quote(emoji, safe=""))
VALUES = {"emoji": emojis, "webhook_token": tokens, "code": tokens, "invite_id": tokens}


def routes_of_discord_py() -> set[str]:
    """The path of every `Route(...)` in the installed discord.py's source; an f-string's parts become parameters."""
    paths: set[str] = set()
    for source in Path(discord.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Route"):
                paths.add(path_of(node.args[1]))
    return paths


def path_of(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(path_of(part) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return "{" + ast.unparse(node.value) + "}"
    assert isinstance(node, ast.Constant), ast.unparse(node)
    return str(node.value)


def shape(path: str) -> str:
    return re.sub(r"{\w+}", "{}", path)


ROUTES = sorted(routes_of_discord_py())


def test_the_source_has_been_read() -> None:
    assert len(ROUTES) > 90
    assert "/webhooks/{webhook_id}/{webhook_token}/messages/{message_id}" in ROUTES


@pytest.mark.parametrize("path", ROUTES)
@settings(max_examples=20)
@given(data=st.data())
def test_every_route_of_discord_py_is_known_whatever_its_parameters_are(path: str, data: st.DataObject) -> None:
    values = {name: data.draw(VALUES.get(name, snowflakes)) for name in re.findall(r"{(\w+)}", path)}
    found = template(API + path.format_map(values))
    assert found in TEMPLATES
    literals = {*values.values()} & {*path.split("/")}
    assert shape(found) == shape(path) or literals  # `/guilds/templates/…` is that, whatever the code is


@pytest.mark.parametrize("path", TEMPLATES)
def test_a_template_is_its_own(path: str) -> None:
    assert template(path) == path
    filled = re.sub(r"{\w+}", SNOWFLAKE, path)
    assert template(filled) == template(API + filled) == template(f"{API}{filled}?limit={SNOWFLAKE}") == path
    assert template(filled + "/") == template(filled.replace("/", "//", 1)) == OTHER


def test_the_route_that_discord_py_makes_is_known() -> None:
    route = Route(
        "PUT",
        "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}/@me",
        channel_id=1,
        message_id=2,
        emoji="blob:3",
    )
    assert template(route.url) == "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}/@me"


def test_the_labels_bound_holds_them_all() -> None:
    assert len(KNOWN - {OTHER}) <= ROUTE.bound
    assert len({shape(path) for path in TEMPLATES}) == len(TEMPLATES)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://cdn.discordapp.com/avatars/1/a.png", CDN),
        ("https://CDN.discordapp.com:443/emojis/1.png?size=64", CDN),
        ("https://media.discordapp.net/attachments/1/2/a.png", CDN),
        ("https://user:password@images-ext-1.discordapp.net/external/x", CDN),
        ("https://example.org/channels/1", OTHER),
        ("https://cdn.discordapp.com.example.org/avatars/1", OTHER),
        ("https://discordapp.net", OTHER),
        ("https://discord.com/api/v9/channels/1", "/channels/{channel_id}"),
        ("https://discordapp.com/api/webhooks/1/token", "/webhooks/{webhook_id}/{webhook_token}"),
        ("https://canary.discord.com/api/v10/users/@me", "/users/@me"),
        ("https://discord.com/channels/1", OTHER),
        ("https://discord.com/api/vanity/channels/1", OTHER),
        ("https://discord.com/api/v10", OTHER),
        ("https://discord.com/api/v100/channels/1", "/channels/{channel_id}"),
        ("https://example.org/?https://discord.com/api/v10/channels/1", OTHER),
        ("wss://gateway.discord.gg/?v=10", OTHER),
        ("http://[", OTHER),
        ("/channels", OTHER),
        ("channels/1", OTHER),
        ("", OTHER),
    ],
)
def test_an_address_is_told_by_its_host(url: str, expected: str) -> None:
    assert template(url) == expected


def test_the_bases_in_use_are_the_callers() -> None:
    api, cdn = "http://127.0.0.1:8765/api/v10", "http://127.0.0.1:8765/cdn"
    assert template(api + "/channels/1", api, cdn) == "/channels/{channel_id}"
    assert template(cdn + "/avatars/1", api, cdn) == CDN
    assert template(cdn + "-not/avatars/1", api, cdn) == template(api + "-not/channels/1", api, cdn) == OTHER


literals = sorted({segment for path in TEMPLATES for segment in path.split("/")})
segments = st.one_of(st.sampled_from(literals), snowflakes, tokens, st.text())
hostile = st.one_of(
    st.text(),
    st.lists(segments).map("/".join),
    st.builds(
        "{}{}".format,
        st.sampled_from([API, API + "/", "https://discord.com/api", "//", "https://cdn.discordapp.com", "http://[::1"]),
        st.lists(segments).map("/".join),
    ),
)


@given(hostile)
@example("/guilds/{}/{guild_id}")
@example("https://discord.com/api/v\N{ARABIC-INDIC DIGIT ONE}/channels/1")
def test_nothing_of_an_address_comes_through(url: str) -> None:
    assert template(url) in KNOWN
