"""What came is held against the table: nothing missing, nothing uncalled for, nothing left."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from tests.rehearsal.incidents import nothing
from tests.rehearsal.rehearsal import Result, report, shares
from tests.rehearsal.table import Row
from tests.rehearsal.webhook import Labels, Webhook

A, B, C = (frozenset({name}) for name in "ABC")


def row(**fields: Any) -> Row:
    return Row(name="incident", what="It happens.", incident=nothing, **fields)


@pytest.mark.parametrize(
    ("fields", "came", "missing", "uncalled"),
    [
        ({}, {}, "", ""),
        ({"fires": A}, {"notified": A}, "", ""),
        ({"fires": A, "follows": B}, {"notified": A | B}, "", ""),
        ({"fires": A, "mutes": B}, {"notified": A, "muted": B}, "", ""),
        ({"fires": A | B}, {"notified": A}, "B", ""),
        ({"follows": A}, {}, "A", ""),
        ({"fires": A, "mutes": B}, {"notified": A}, "B", ""),
        ({"fires": A, "mutes": B}, {"notified": A | B}, "B", "B"),
        ({"fires": A}, {"notified": A | B}, "", "B"),
        ({"fires": A}, {"notified": A, "muted": B}, "", "B"),
        ({"fires": A}, {"notified": A, "before": A}, "", "A"),
    ],
)
def test_what_came_is_held_against_the_row(
    fields: dict[str, Any], came: dict[str, Any], missing: str, uncalled: str
) -> None:
    result = Result(row(**fields), **came)
    assert (result.missing, result.uncalled) == (frozenset(missing), frozenset(uncalled))
    assert result.well == (not missing and not uncalled)


def test_what_is_not_over_or_could_not_be_played_is_not_well() -> None:
    assert not Result(row(fires=A), notified=A, left=A).well
    assert not Result(row(), trouble="TimeoutError").well


def test_precision_and_recall_are_those_of_the_alerts_of_all_rows() -> None:
    assert shares([]) == (1.0, 1.0)
    assert shares([Result(row(fires=A | B), notified=A | B), Result(row(), notified=C)]) == (2 / 3, 1.0)
    assert shares([Result(row(fires=A | B, mutes=C), notified=A)]) == (1.0, 1 / 3)


def test_the_report_names_what_is_wrong() -> None:
    results = [Result(row(fires=A), notified=B, muted=C, left=B, trouble="TimeoutError: 1"), Result(row())]
    text = report(results)
    for line in ("BAD incident", "MISSING: A", "UNCALLED FOR: B, C", "NOT RESOLVED: B", "TROUBLE: TimeoutError: 1"):
        assert line in text
    assert "ok  incident" in text
    assert text.endswith("1 of 2 rows are as the table says; precision 0.0%, recall 0.0%")


def alert(status: str, **labels: str) -> dict[str, object]:
    return {"status": status, "labels": labels}


async def test_the_webhook_knows_what_was_told_and_what_is_not_over() -> None:
    def subject_of(labels: Labels) -> str:
        return labels.get("bot", "nobody")

    async with Webhook(subject_of).running() as webhook, aiohttp.ClientSession() as http:
        for alerts in (
            [alert("firing", alertname="A", bot="x", shard="1"), alert("firing", alertname="A", bot="x", shard="2")],
            [alert("resolved", alertname="A", bot="x", shard="1"), alert("firing", alertname="B")],
            [alert("resolved", alertname="C", bot="x"), alert("resolved", alertname="B")],
        ):
            async with http.post(webhook.url, json={"alerts": alerts}) as response:
                assert response.status == 200
        assert webhook.told == {"x": {"A"}, "nobody": {"B"}}
        assert [list(firing.values()) for firing in webhook.firing.values()] == [["A"], []]
