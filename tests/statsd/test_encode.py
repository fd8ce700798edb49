"""What a series is called on the wire: nothing collides, nothing is forged, and the layout is as documented."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argus_exporter.statsd import encode
from argus_exporter.statsd.encode import FLAVOURS

COMMAND = ("discord_commands_total", [("command", "shop buy"), ("type", "slash"), ("outcome", "ok")])

hostile = st.text(st.sampled_from("ab-=%.,:;|#@\n\0 é\u2028\ud800~[]{}/_2CName")) | st.text()
label_names = st.lists(hostile, max_size=3, unique=True)
a_series = st.tuples(hostile, st.lists(st.tuples(hostile, hostile), max_size=3))


@pytest.mark.parametrize(
    ("flavour", "line"),
    [
        ("plain", "discord_commands_total.shop-20buy.slash.ok:3|c"),
        ("graphite", "discord_commands_total;command=shop=20buy;type=slash;outcome=ok:3|c"),
        ("dogstatsd", "discord_commands_total:3|c|#command:shop buy,type:slash,outcome:ok"),
        ("influx", "discord_commands_total,command=shop buy,type=slash,outcome=ok:3|c"),
    ],
)
def test_each_flavour_has_its_documented_line(flavour: str, line: str) -> None:
    head, tail = FLAVOURS[flavour].parts(*COMMAND)
    assert (head + b"3|c" + tail).decode() == line
    assert encode.__doc__ is not None
    assert f"``bots.{line}``" in encode.__doc__


@pytest.mark.parametrize(
    ("flavour", "parts"),
    [
        ("plain", (b"x.-.-2D7_.a-2Eb-C3-A9-3D:", b"")),
        ("graphite", (b"x;two=-7_;three=a.b=C3=A9=3D:", b"")),
        ("dogstatsd", (b"x:", "|#two:-7_,three:a.bé=".encode())),
        ("influx", ("x,two=-7_,three=a.bé%3D:".encode(), b"")),
    ],
)
def test_an_empty_value_is_no_label_and_odd_characters_are_bytes_in_hex(
    flavour: str, parts: tuple[bytes, bytes]
) -> None:
    assert FLAVOURS[flavour].parts("x", [("one", ""), ("two", "-7_"), ("three", "a.bé=")]) == parts


def test_a_label_called_name_leaves_graphite_its_own_tag() -> None:
    assert FLAVOURS["graphite"].parts("x", [("name", "v"), ("name_", "w")]) == (b"x;name-=v;name_=w:", b"")
    assert FLAVOURS["dogstatsd"].parts("x", [("name", "v")]) == (b"x:", b"|#name:v")


def test_names_keep_their_dots_and_hyphens_and_labels_are_what_a_scrape_has() -> None:
    for flavour in FLAVOURS.values():
        assert flavour.parts("Bot.my-stat_1", []) == (b"Bot.my-stat_1:", b"")
    odd = "/channels/{channel_id}?a=b&c:d #[x]@\\"
    assert FLAVOURS["dogstatsd"].parts("x", [("route", odd)])[1] == f"|#route:{odd}".encode()


@pytest.mark.parametrize("flavour", FLAVOURS)
@given(st.data())
def test_two_series_of_the_same_labels_never_have_the_same_line(flavour: str, data: st.DataObject) -> None:
    names = data.draw(label_names)
    values = st.lists(hostile, min_size=len(names), max_size=len(names))
    dotless = hostile.map(lambda text: text.replace(".", ":"))
    one, other = (data.draw(dotless), data.draw(values)), (data.draw(dotless), data.draw(values))
    parts = FLAVOURS[flavour].parts
    alike = parts(one[0], list(zip(names, one[1], strict=True))) == parts(
        other[0], list(zip(names, other[1], strict=True))
    )
    assert alike == (one == other)


@pytest.mark.parametrize("flavour", [name for name in FLAVOURS if name != "plain"])
@given(a_series, a_series)
def test_where_labels_have_names_no_two_series_at_all_have_the_same_line(
    flavour: str,
    one: tuple[str, list[tuple[str, str]]],
    other: tuple[str, list[tuple[str, str]]],
) -> None:
    parts = FLAVOURS[flavour].parts
    known = [(name, [label for label in labels if label[1]]) for name, labels in (one, other)]
    assert (parts(*one) == parts(*other)) == (known[0] == known[1])


VALUE = r"[^,|\n\x00-\x1f]+"
WIRE = {
    "plain": r"[\w.=-]+:",
    "graphite": r"[\w.=-]+(;[\w-]+=[\w.=-]+)*:",
    "dogstatsd": rf"[\w.%-]+:(\|#[\w%]+:{VALUE}(,[\w%]+:{VALUE})*)?",
    "influx": r"[\w.%-]+(,[\w%]+=[^,=:|#\[\]\x00-\x1f]+)*:",
}


@pytest.mark.parametrize("flavour", FLAVOURS)
@given(a_series)
def test_no_name_and_no_label_forges_a_line_a_tag_a_value_or_a_type(
    flavour: str, series: tuple[str, list[tuple[str, str]]]
) -> None:
    whole = b"".join(FLAVOURS[flavour].parts(*series)).decode()
    assert re.fullmatch(WIRE[flavour], whole, re.ASCII)
    assert len(whole.splitlines()) == 1
    assert whole.isprintable()
    given_labels = [label for label in series[1] if label[1]]
    separators = {"graphite": ";", "dogstatsd": ",", "influx": ","}
    if flavour in separators:
        tags = whole.count(separators[flavour]) + (flavour == "dogstatsd" and bool(given_labels))
        assert tags == len(given_labels)
