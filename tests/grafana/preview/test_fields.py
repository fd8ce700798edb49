"""Values are written and coloured as Grafana does it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from grafana.preview.board import boards
from grafana.preview.fields import COLOURS, PALETTE, Field, formatted


@pytest.mark.parametrize(
    ("value", "unit", "wanted"),
    [
        (0, "short", "0"),
        (3, "none", "3"),
        (12345, "none", "12345"),
        (1570, "short", "1.57 K"),
        (-2_500_000, "short", "-2.5 Mil"),
        (0.0312, "s", "31.2 ms"),
        (0.5, "s", "500 ms"),
        (0, "s", "0 s"),
        (90, "s", "1.5 mins"),
        (7200, "s", "2 hours"),
        (0.0000001, "s", "0.1 µs"),
        (0.9628, "percentunit", "96.3%"),
        (0, "percentunit", "0%"),
        (60_000_000, "bytes", "57.2 MiB"),
        (1500, "Bps", "1.5 kB/s"),
        (3.26, "reqps", "3.26 req/s"),
        (100, "cps", "100 c/s"),
        (math.nan, "s", "NaN"),
        (math.inf, "s", "∞"),
        (-math.inf, "s", "-∞"),
    ],
)
def test_a_value_has_three_digits_and_its_unit(value: float, unit: str, wanted: str) -> None:
    assert formatted(value, unit) == wanted


def test_decimals_that_are_set_are_kept() -> None:
    assert formatted(0.95381, "percentunit", 2) == "95.38%"
    assert formatted(4, "short", 1) == "4.0"


def test_a_unit_that_is_not_known_is_said() -> None:
    with pytest.raises(LookupError):
        formatted(1, "furlong")


def test_every_unit_of_the_boards_is_known() -> None:
    for board in boards():
        for panel in board.panels():
            defaults = panel.raw["fieldConfig"]["defaults"]
            formatted(1, defaults.get("unit", "short"))
            for override in panel.raw["fieldConfig"]["overrides"]:
                Field.of(panel.raw, override["matcher"]["options"]).text(1)


STEPS = {"steps": [{"value": None, "color": "green"}, {"value": 1, "color": "#123456"}]}
STATES = [{"type": "value", "options": {"3": {"text": "online", "color": "blue"}, "4": {"text": "starting"}}}]


def field(name: str = "x", overrides: tuple[Any, ...] = (), **defaults: Any) -> Field:
    return Field.of({"fieldConfig": {"defaults": defaults, "overrides": list(overrides)}}, name)


@pytest.mark.parametrize(("value", "wanted"), [(-5, COLOURS["green"]), (0.9, COLOURS["green"]), (1, "#123456")])
def test_a_threshold_begins_where_it_says(value: float, wanted: str) -> None:
    assert field(thresholds=STEPS, color={"mode": "thresholds"}).colour(value) == wanted


def test_a_mapping_has_its_text_and_its_colour() -> None:
    shown = field(mappings=STATES, thresholds=STEPS, unit="none")
    assert (shown.text(3), shown.colour(3)) == ("online", COLOURS["blue"])
    assert (shown.text(4), shown.colour(4)) == ("starting", "#123456")
    assert shown.text(5) == "5"


def test_without_any_threshold_the_colour_is_the_text_s() -> None:
    assert field(color={"mode": "thresholds"}).colour(1) == COLOURS["text"]


def test_series_are_coloured_by_their_number() -> None:
    shown = field(color={"mode": "palette-classic"}, thresholds=STEPS)
    assert [shown.colour(9, number) for number in (0, 1, len(PALETTE))] == [PALETTE[0], PALETTE[1], PALETTE[0]]


def test_overrides_are_of_the_field_that_they_name() -> None:
    red = {"id": "color", "value": {"mode": "fixed", "fixedColor": "red"}}
    wide = {"id": "custom.width", "value": 90}
    override = {"matcher": {"id": "byName", "options": "bad"}, "properties": [red, wide]}
    assert field("bad", (override,), color={"mode": "palette-classic"}).colour(1) == COLOURS["red"]
    assert field("bad", (override,)).custom("width") == 90
    assert field("good", (override,), custom={"width": 5}).custom("width") == 5
    assert field("good", (override,)).custom("width", 7) == 7
