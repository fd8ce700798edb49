"""Every query of every board, on a real Prometheus that has scraped real bots for a while."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio

from grafana.preview.board import Board, Panel, Target, View, boards, repeated
from grafana.preview.fleet import Fleet, Options
from grafana.preview.prometheus import Series, resolve, variable_values
from tests.analytics.server import postgresql
from tests.integration.programs import program

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[3]
WATCHED = 60.0
"""Seconds that the bots are scraped before anything is asked."""

FLEETS = {
    "fleet": Options(shards=4, clusters=2, trouble=1.5),
    "single": Options(guilds=8, rate=30, uses=4),
}
"""Two processes with the labels bot and cluster to which things happen and which record what happens, and one healthy
plain Bot without labels."""

UNLABELLED = {"bot", "cluster"}
"""Variables that a single bot has no values of: it has neither label, and `.*` matches that."""

_PULL, _NO_FILES, _OFF = "the bot pushes no StatsD", "no target file is written", "nothing is recorded guild by guild"

GOOD_NEWS = {
    ("overview", "Errors of commands"): "no command has failed",
    ("shards", "Closes by code"): "no connection was closed",
    ("shards", "Not online"): "every shard is online",
    ("shards", "Waiting to reconnect"): "a bot of one shard has nobody to wait for",
    ("shards", "Why the last process ended"): "the process is the first on its machine",
    ("commands", "Why it was missed"): "every interaction was answered",
    ("commands", "Exceptions"): "no command has failed",
    ("commands", "Exceptions by command"): "no command has failed",
    ("rest", "Ban at this pace in"): "no request was invalid",
    ("rest", "Refused by route"): "Discord has refused nothing",
    ("tasks", "Log records"): "nothing was warned of",
    ("tasks", "Error log"): "no error log is set",
    ("tasks", "Errors by listener and source"): "no listener has failed",
    ("exporter", "Overflow and left out, by metric"): "no label has overflown",
    ("exporter", "Last push ago"): _PULL,
    ("exporter", "Sent"): _PULL,
    ("exporter", "Bytes"): _PULL,
    ("exporter", "Dropped"): _PULL,
    ("exporter", "Age of the target file"): _NO_FILES,
    ("exporter", "Target files that failed"): _NO_FILES,
    ("exporter", "Last write ago"): _OFF,
    ("exporter", "Room taken in the queue"): _OFF,
    ("exporter", "Rows queued and written"): _OFF,
    ("exporter", "Rows lost"): _OFF,
    ("exporter", "Attempts that failed"): _OFF,
    ("exporter", "Writing a batch takes"): _OFF,
}
"""Panels, by board and title, that are empty for the single bot, and why that is the good news. The fleet has none."""

YOUNG = {"> 3600": "> 10", "h:5m]": "h:5s]"}
"""What is asked only of processes that are older than an hour is asked of those older than ten seconds; what is made of
five minutes each, of five seconds."""

BOARDS = {board.uid.removeprefix("argus-exporter-"): board for board in boards() if board.datasource == "prometheus"}
PANELS = [
    pytest.param(board, panel, id=f"{name}: {panel.title}")
    for name, board in BOARDS.items()
    for panel in board.panels()
]


@dataclass(frozen=True)
class Watched:
    """A fleet and what one looks at: all of its time, and a guild that is searched for."""

    fleet: Fleet
    view: View

    async def looking_at(self, board: Board, **given: str) -> View:
        searched = {"guild_id": str(self.fleet.sim.guild_ids[3])}
        return await resolve(board, self.fleet.server, self.view, searched | given)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watched() -> AsyncIterator[dict[str, Watched]]:
    program("prometheus")
    async with AsyncExitStack() as stack:
        database = await asyncio.to_thread(stack.enter_context, postgresql())
        recorded = {"fleet": {"analytics_url": database.url("postgres")}}
        running = {
            name: await stack.enter_async_context(Fleet(replace(options, settings=recorded.get(name, {}))))
            for name, options in FLEETS.items()
        }
        await asyncio.sleep(WATCHED)
        await running["fleet"].break_off(0)
        end = time.time()
        # what a data source with a scrape interval of 5 s shows: rates over 20 s
        yield {name: Watched(fleet, View(end - WATCHED, end, scrape=5)) for name, fleet in running.items()}


async def found(one: Watched, board: Board, panel: Panel, target: Target) -> list[Series]:
    view = await one.looking_at(board)
    for old, young in YOUNG.items():
        target = replace(target, expr=target.expr.replace(old, young))
    # a panel whose points lie five minutes apart would have none in most of these minutes
    views = [replace(view.within(copy), least=view.least) for copy in repeated([panel], view)]
    return [series for each in views for series in await one.fleet.server.ask(target, each)]


def says_something(answer: list[Series]) -> bool:
    return any(not math.isnan(value) for series in answer for _, value in series.points)


@pytest.mark.parametrize("world", FLEETS)
@pytest.mark.parametrize(("board", "panel"), PANELS)
async def test_a_panel_shows_something(watched: dict[str, Watched], world: str, board: Board, panel: Panel) -> None:
    answers = {target.ref: await found(watched[world], board, panel, target) for target in panel.targets}
    silent = [ref for ref, answer in answers.items() if not says_something(answer)]
    fine = world == "single" and (board.uid.removeprefix("argus-exporter-"), panel.title) in GOOD_NEWS
    assert fine or silent == []


@pytest.mark.parametrize("world", FLEETS)
@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
async def test_variables_and_annotations_can_be_asked_for(
    watched: dict[str, Watched], world: str, board: Board
) -> None:
    view = await watched[world].looking_at(board)
    server = watched[world].fleet.server
    empty = {one["name"] for one in board.variables if not await variable_values(one, server, view)}
    assert empty == (UNLABELLED & {one["name"] for one in board.variables} if world == "single" else set())
    for _, expr in board.annotations:
        await server.range(view.query(expr), view.start, view.end, view.step)


@pytest.mark.parametrize("typed", ["", "junk", "0", "017", "99999999999999999999", "-5", "1e18", " 1 "])
@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
async def test_no_words_in_the_box_for_a_guild_break_a_panel(
    watched: dict[str, Watched], board: Board, typed: str
) -> None:
    one = watched["fleet"]
    view = await one.looking_at(board, guild_id=typed)
    for panel in board.panels():
        for target in panel.targets:
            if "guild_id" in target.expr:
                await one.fleet.server.ask(target, view.within(panel))


async def test_the_preview_draws_what_a_prometheus_knows(watched: dict[str, Watched], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    asked = ("overview", "shards", "--prometheus", watched["fleet"].fleet.url, "--minutes", "1", "--var", "job=bot")
    command = (sys.executable, "-m", "grafana.preview", *asked, "--out", str(tmp_path / "pictures"))
    running = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    said, _ = await running.communicate()
    found = sorted((tmp_path / "pictures").iterdir())
    assert running.returncode == 0
    assert said.decode().split() == [str(path) for path in found]
    assert [path.name for path in found] == ["overview.png", "shards.png"]
    assert [path for path in found if not 20_000 < path.stat().st_size < 200_000] == []


async def test_what_may_be_empty_exists_and_tells_the_viewer_so() -> None:
    panels = {(name, panel.title): panel for name, board in BOARDS.items() for panel in board.panels()}
    assert [key for key in GOOD_NEWS if key not in panels] == []
    assert [key for key in GOOD_NEWS if not panels[key].raw["fieldConfig"]["defaults"].get("noValue")] == []
