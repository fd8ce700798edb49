"""The grid of 1,000 shards, and the guild that is searched for in it, on a real Prometheus that knows the last hour."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace

import aiohttp
import pytest
import pytest_asyncio

from argus_exporter import Exporter, catalogue
from grafana.preview.board import Panel, Variable, View, boards, repeated
from grafana.preview.prometheus import Prometheus, resolve
from tests.integration.programs import configured_prometheus, program

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

SHARDS, CLUSTERS = 1000, 4
COUNTS = (1, 2, 3, 16, 63, 64, 1021, 4096)
"""Shards of further bots, each of which finds another shard for the same guild."""
GUILD = 777 + SHARDS * 123_456_789 << 22
"""A guild of shard 777, which is offline."""
HOUR, EVERY = 3600, 15
BAR = 1.0
"""Seconds that a query of the grid may take."""

BOARD = next(board for board in boards() if board.uid == "argus-exporter-shards")
GRIDS = [panel for panel in BOARD.panels() if panel.title.startswith(("Cluster", "All shards"))]
SAMPLE = re.compile(r"(discord_shards|discord_shard_status|argus_exporter_info)\{(.*)\} (.*)")


async def process(stack: AsyncExitStack, bot: str, cluster: str, shards: range, count: int) -> Exporter:
    """A process of a bot that has nothing but shards."""
    exporter = await stack.enter_async_context(Exporter(port=0, bot=bot, cluster=cluster))
    exporter.instruments.gauge(catalogue.SHARDS).labels().set(count)
    status = exporter.instruments.gauge(catalogue.SHARD_STATUS)
    for shard in shards:
        status.labels(str(shard)).set(2 if shard == 777 else 3)
    return exporter


async def page(exporter: Exporter) -> str:
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{exporter.port}/metrics") as response:
        return await response.text()


def history(pages: dict[int, str], end: float) -> Iterator[str]:
    """The lines of the pages as Prometheus would have got them in the last hour."""
    found = [(port, *match.groups()) for port, text in pages.items() for match in SAMPLE.finditer(text)]
    for name in sorted({one[1] for one in found}):
        yield f"# TYPE {name} gauge\n"
        for port, _, labels, value in (one for one in found if one[1] == name):
            series = f'{name}{{job="bot",instance="127.0.0.1:{port}",{labels}}} {value}'
            yield "".join(f"{series} {at}\n" for at in range(int(end) - HOUR, int(end) - EVERY, EVERY))
    yield "# EOF\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Prometheus]:
    folder = tmp_path_factory.mktemp("grid")
    size = SHARDS // CLUSTERS
    async with AsyncExitStack() as stack:
        fleet = [
            await process(stack, "fleet", str(n), range(n * size, (n + 1) * size), SHARDS) for n in range(CLUSTERS)
        ]
        others = [await process(stack, f"bot{count}", "0", range(1), count) for count in COUNTS]
        pages = {one.port or 0: await page(one) for one in (*fleet, *others)}
        (folder / "history").write_text("".join(history(pages, time.time())), encoding="utf-8")
        await promtool("tsdb", "create-blocks-from", "openmetrics", str(folder / "history"), str(folder / "data"))
        targets = [{"targets": [f"127.0.0.1:{port}" for port in pages]}]
        job = {"job_name": "bot", "honor_labels": True, "scrape_interval": "1s", "static_configs": targets}
        asked = await stack.enter_async_context(configured_prometheus(folder, {"scrape_configs": [job]}))
        await asked.until("sum(up)", len(pages))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        yield Prometheus(asked.url, http)


async def promtool(*arguments: str) -> None:
    quiet = asyncio.subprocess.DEVNULL
    running = await asyncio.create_subprocess_exec(program("promtool"), *arguments, stdout=quiet)
    assert await running.wait() == 0


async def looking(server: Prometheus, **given: str) -> View:
    now = time.time()
    return await resolve(BOARD, server, View(now - HOUR, now), {"bot": "fleet", **given})


@pytest.mark.parametrize("panel", GRIDS, ids=lambda panel: panel.title)
async def test_a_grid_of_a_thousand_shards_is_there_within_a_second(server: Prometheus, panel: Panel) -> None:
    view = await looking(server, guild_id=str(GUILD))
    took: list[float] = []
    for _ in range(5):
        began = time.perf_counter()
        found = await server.ask(panel.targets[0], view.within(panel))  # all clusters in one
        took.append(time.perf_counter() - began)
        assert len(found) == SHARDS
    assert min(took) < BAR, took


@pytest.mark.parametrize(
    ("typed", "codes"),
    [(str(GUILD), {777: 12}), (f" {GUILD + (1 << 22)} ", {777: 2, 778: 13}), ("", {777: 2}), ("junk", {777: 2})],
    ids=["offline", "online", "nothing", "junk"],
)
async def test_each_cluster_has_its_own_tiles_in_order_and_one_has_the_star(
    server: Prometheus, typed: str, codes: dict[int, float]
) -> None:
    view = await looking(server, guild_id=typed)
    panel = next(one for one in GRIDS if one.raw.get("repeat") == "cluster")
    shown: list[list[tuple[int, float]]] = []
    for copy in repeated([panel], view):
        answer = await server.ask(panel.targets[0], view.within(copy))
        shown.append([(int(series.labels["shard"]), series.last) for series in answer])
    assert [shard for tiles in shown for shard, _ in tiles] == list(range(SHARDS))
    assert [len(tiles) for tiles in shown] == [SHARDS // CLUSTERS] * CLUSTERS
    assert {shard: code for tiles in shown for shard, code in tiles if code != 3} == codes


def ids() -> list[int]:
    """Ids of guilds: as they are made, and such that a float would have its trouble with them."""
    rng = random.Random(7)
    made = [rng.randrange(1 << 47, 1 << 62) for _ in range(200)]
    edges = [(1 << bit) + off for bit in range(34, 63) for off in (-1, 0, 1)]
    carried = [(rng.randrange(1 << 40) << 22) + (1 << 22) - ulp for _ in range(30) for ulp in (1, 2, 64, 128, 129)]
    digits = [10**n - 1 for n in range(11, 19)] + [10**n for n in range(10, 19)]
    return [*made, *edges, *carried, *digits, 81384788765712384, (1 << 63) - 1]


async def test_the_shard_of_a_guild_is_exact(server: Prometheus) -> None:
    panel = next(panel for panel in BOARD.panels() if panel.title == "Shard of the guild")
    view = await looking(server, bot="$__all")
    for guild in ids():
        typed = view.variables | {"guild_id": Variable("guild_id", (), (str(guild),))}
        answer = await server.ask(panel.targets[0], replace(view, variables=typed))
        assert {series.labels["bot"]: series.last for series in answer} == {
            "fleet": (guild >> 22) % SHARDS,
            **{f"bot{count}": (guild >> 22) % count for count in COUNTS},
        }, guild
