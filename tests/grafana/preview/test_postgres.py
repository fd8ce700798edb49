"""A board of SQL is drawn from what a real PostgreSQL answers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from grafana.preview.board import Target, View
from grafana.preview.postgres import postgres
from grafana.preview.prometheus import Refused, Series
from grafana.preview.tables import Rows
from tests.analytics.server import Server, postgresql
from tests.grafana.boards import ROOT
from tests.grafana.test_analytics import ANN, Postgres, fill

pytestmark = pytest.mark.integration

VIEW = View(3600, 7200, scrape=60)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgresql() as running:
        yield running


async def asked(server: Server, sql: str, shape: str = "time_series") -> list[Series]:
    async with postgres(server.url("postgres")) as source:
        return await source.ask(Target("A", sql, format=shape), VIEW)


async def test_columns_of_numbers_are_series_and_so_are_texts_beside_one(server: Server) -> None:
    wide = await asked(server, "SELECT to_timestamp(60) AS time, 1 AS a, NULL::int AS b UNION ALL SELECT now(), 2, 3")
    assert [(one.labels, one.points[0][1]) for one in wide] == [({"series": "a"}, 1), ({"series": "b"}, 3)]
    assert wide[0].points[0] == (60, 1)
    long = await asked(server, "SELECT 60.0 AS time, type, n FROM (VALUES ('x', 1), ('y', 2)) AS found (type, n)")
    assert long == [Series({"series": "x"}, ((60, 1),)), Series({"series": "y"}, ((60, 2),))]


async def test_rows_are_a_table_and_bars(server: Server) -> None:
    found = await asked(server, "SELECT 'play' AS command, 2 AS uses, NULL AS p50, to_timestamp(60) AS latest", "table")
    assert isinstance(found, Rows)
    assert found.table.columns == ("command", "uses", "p50", "latest")
    assert found.table.rows == ({"command": "play", "uses": 2.0, "latest": "1970-01-01 00:01"},)
    assert found == [Series({"name": "play"}, ((7200, 2),))]
    assert await asked(server, "SELECT 5 AS found", "table") == [Series({}, ((7200, 5),))]
    assert await asked(server, "SELECT NULL::int AS found", "table") == []


async def test_what_the_server_says_against_a_statement_is_said(server: Server) -> None:
    with pytest.raises(Refused, match="syntax"):
        await asked(server, "SELEKT")


async def test_the_board_is_drawn(server: Server, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    server.psql("CREATE DATABASE filled")
    url = server.url("filled")
    await fill(Postgres, url)
    command = ("-m", "grafana.preview", "--postgres", url, "--var", f"guild_id={ANN}", "--out", str(tmp_path))
    years = ("--minutes", "6000000", "--unfold")
    running = await asyncio.create_subprocess_exec(sys.executable, *command, *years, cwd=ROOT)
    assert await running.wait() == 0
    assert 60_000 < (tmp_path / "analytics-postgres.png").stat().st_size < 300_000
