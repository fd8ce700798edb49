"""Every target of the board for bots that push, on a real Graphite that got what real bots pushed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import aiohttp
import pytest
import pytest_asyncio

from grafana.preview.board import Panel, View, boards
from grafana.preview.fleet import Fleet, Options
from grafana.preview.graphite import Graphite
from grafana.preview.prometheus import Refused, resolve, variable_values
from tests.integration import daemons
from tests.integration.programs import program

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

WATCHED = 20.0
TAGGED = 60.0
"""Seconds that carbon may take until a series that it stores can be found by its tags."""
FLEETS = {"fleet": Options(shards=4, clusters=2, trouble=1.5), "single": Options(guilds=8, rate=30, uses=4)}
"""As in test_boards.py. The single bot's names have a prefix, so that the same Graphite keeps the two apart."""

GOOD_NEWS = {"Exceptions of commands": "no command has failed"}
"""Panels that are empty for the single bot."""

(BOARD,) = (board for board in boards() if board.datasource == "graphite")
PANELS = list(BOARD.panels())


@dataclass(frozen=True)
class Watched:
    server: Graphite
    prefix: str

    async def looking(self) -> View:
        """What one sees now of the time that was watched."""
        end = time.time()
        return await resolve(BOARD, self.server, View(end - WATCHED, end, scrape=1), {"prefix": self.prefix})

    async def silent(self, panel: Panel) -> list[str]:
        """Those of a panel's targets that find nothing."""
        view = (await self.looking()).within(panel)
        return [target.ref for target in panel.targets if not await self.server.ask(target, view)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watched(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, Watched]]:
    program("prometheus")
    folder = tmp_path_factory.mktemp("graphite")
    async with AsyncExitStack() as stack:
        graphite = await stack.enter_async_context(daemons.graphite(folder))
        statsd = await stack.enter_async_context(daemons.statsd(folder, graphite.port))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        url = f"udp://127.0.0.1:{statsd.port}"
        pushed = {"statsd_url": url, "statsd_flavour": "graphite", "statsd_interval": "1"}
        for name, options in FLEETS.items():
            settings = pushed | ({"statsd_prefix": name} if name == "single" else {})
            await stack.enter_async_context(Fleet(replace(options, settings=settings)))
        await asyncio.sleep(WATCHED)
        server = Graphite(graphite.url, http)
        yield {name: Watched(server, "single." if name == "single" else "") for name in FLEETS}


@pytest.mark.parametrize("world", FLEETS)
@pytest.mark.parametrize("panel", PANELS, ids=[panel.title for panel in PANELS])
async def test_a_panel_shows_something(watched: dict[str, Watched], world: str, panel: Panel) -> None:
    fine = world == "single" and panel.title in GOOD_NEWS
    assert fine or await silent_at_last(watched[world], panel) == []


async def silent_at_last(one: Watched, panel: Panel) -> list[str]:
    """The targets of a panel that find nothing however long one waits."""
    deadline = time.monotonic() + TAGGED
    while True:
        try:
            silent = await one.silent(panel)
        except Refused:  # its database is locked while it writes down tags
            if time.monotonic() > deadline:
                raise
        else:
            if not silent or time.monotonic() > deadline:
                return silent
        await asyncio.sleep(1)


@pytest.mark.flaky(reruns=2, reruns_delay=5, only_rerun=["Refused"])
async def test_variables_know_the_bots_and_their_clusters(watched: dict[str, Watched]) -> None:
    fleet, single = watched["fleet"], watched["single"]
    by_name = {raw["name"]: raw for raw in BOARD.variables}
    view = await fleet.looking()
    assert await variable_values(by_name["bot"], fleet.server, view) == ["preview"]
    assert await variable_values(by_name["cluster"], fleet.server, view) == ["0", "1"]
    assert await variable_values(by_name["bot"], single.server, await single.looking()) == []


async def test_what_may_be_empty_exists_and_tells_the_viewer_so() -> None:
    panels = {panel.title: panel for panel in PANELS}
    assert [title for title in GOOD_NEWS if not panels[title].raw["fieldConfig"]["defaults"].get("noValue")] == []
