"""A Prometheus that knows hours of a bot that is not there, evaluates every rule on it and answers every board."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web

from examples.demo.children import Children
from examples.demo.prometheus import free_port
from grafana.preview.board import View, boards, repeated
from grafana.preview.fleet import program
from grafana.preview.prometheus import Prometheus, resolve
from tests.prometheus.rules import FOLDER, alerts
from tests.scale.pages import STEP, Process

AT_ONCE: Final = 60
"""Steps of the past that a page has."""
_TIMES: Final = 3
"""How often a query is asked."""
_INSTANCE: Final = [
    {"source_labels": ["__address__"], "regex": "(.+)/(.+)", "target_label": "__metrics_path__", "replacement": "/$2"},
    {"source_labels": ["__address__"], "regex": ".+/(.+)", "target_label": "instance", "replacement": "bot-$1:9191"},
    {"source_labels": ["__address__"], "regex": "(.+)/.+", "target_label": "__address__", "replacement": "$1"},
]
"""All targets are one server's, by their paths; they look like 64."""

Say = Callable[[str], object]


@dataclass(frozen=True)
class Size:
    """How large it is.

    :param hours: of history.
    :param hurry: seconds between two scrapes of the past, in which all pages of :data:`AT_ONCE` steps have to be made.
    :param live: seconds that it is scraped every 15 s before anybody asks, and that rules are evaluated.
    """

    shards: int = 1000
    processes: int = 64
    hours: float = 6.0
    hurry: int = 40
    live: float = 75.0


@dataclass
class Figures:
    """What was measured.

    :ivar groups: seconds that the longest evaluation of a group of rules took.
    :ivar queries: seconds that a query took at least, by board, panel and the letter of the query: what a busy machine
        adds is none of it.
    :ivar empty: queries that found nothing.
    :ivar firing: alerts that fire.
    """

    series: int = 0
    samples: int = 0
    memory: float = 0.0
    missed: float = 0.0
    scrape: float = 0.0
    groups: dict[str, float] = field(default_factory=dict[str, float])
    queries: dict[str, float] = field(default_factory=dict[str, float])
    empty: list[str] = field(default_factory=list[str])
    firing: set[str] = field(default_factory=set[str])


class Server:
    """Serves the pages of all processes: their past first, some steps at a time, then what is now."""

    def __init__(self, size: Size) -> None:
        self._turn: Final = asyncio.Lock()
        began = time.time() - size.hours * 3600
        edges = [size.shards * number // size.processes for number in range(size.processes + 1)]
        self.processes: Final = [
            Process(number, range(first, last), size.shards, began + number * STEP / size.processes)
            for number, (first, last) in enumerate(itertools.pairwise(edges))
        ]

    @property
    def behind(self) -> float:
        """Seconds of history that nobody has asked for yet."""
        return time.time() - min(process.at for process in self.processes)

    async def _answer(self, request: web.Request) -> web.Response:
        process = self.processes[int(request.match_info["number"])]
        async with self._turn:
            await asyncio.sleep(0)  # whoever has given up waiting is seen to be gone
            if request.transport is None:
                return web.Response(status=503)
            steps = min(AT_ONCE, int((time.time() - process.at) / STEP))
            body = process.history(steps) if steps > 1 else process.page()
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4"})

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Serve, at an address."""
        app = web.Application()
        app.router.add_get("/{number}", self._answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


def configuration(address: str, own: str, size: Size, *, live: bool) -> dict[str, Any]:
    """Of Prometheus: in a hurry and without rules first, then as prometheus/prometheus.yml has it."""
    every = f"{STEP if live else size.hurry}s"
    targets = [{"targets": [f"{address}/{number}" for number in range(size.processes)]}]
    bots = {"job_name": "discord", "honor_labels": True, "static_configs": targets, "relabel_configs": _INSTANCE}
    itself = {"job_name": "prometheus", "static_configs": [{"targets": [own]}]}
    return {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": f"{STEP}s"},
        "rule_files": [str(FOLDER / "rules" / "*.yml")] if live else [],
        "scrape_configs": [bots, itself],
    }


async def measured(size: Size, folder: Path, say: Say) -> Figures:
    """Let Prometheus live through it, and measure."""
    server, own, config = Server(size), f"127.0.0.1:{free_port()}", folder / "prometheus.yml"
    async with server.running() as address, Children() as children, aiohttp.ClientSession() as http:
        config.write_text(json.dumps(configuration(address, own, size, live=False)), "utf-8")
        flags = (f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={own}")
        # takes what is older than the half of a block only as long as nothing is newer
        past = f"--storage.tsdb.min-block-duration={2 * int(size.hours) + 4}h"
        child = await children.start(
            "Prometheus", program(), *flags, past, "--web.enable-lifecycle", kind="program", heard=lambda _: None
        )
        await child.line("ready to receive web requests")
        while (behind := server.behind) > size.hurry + 2 * STEP:
            say(f"{behind / 60:.0f} minutes of the past to come")
            await asyncio.sleep(min(20, behind / 10))
        config.write_text(json.dumps(configuration(address, own, size, live=True)), "utf-8")
        async with http.post(f"http://{own}/-/reload") as response:
            assert response.status == 200, await response.text()
        await asyncio.sleep(size.live)
        return await _figures(Prometheus(f"http://{own}", http), size)


async def _figures(server: Prometheus, size: Size) -> Figures:
    now = time.time()

    async def one(expr: str) -> float:
        return (await server.instant(expr, now))[0].last

    groups = await server.instant(f"max_over_time(prometheus_rule_group_last_duration_seconds[{size.live:.0f}s])", now)
    found = Figures(
        series=int(await one("prometheus_tsdb_head_series")),
        samples=int(await one("prometheus_tsdb_head_samples_appended_total")),
        memory=await one(f"max_over_time(process_resident_memory_bytes{{job='prometheus'}}[{size.live:.0f}s])"),
        missed=await one("sum(prometheus_rule_group_iterations_missed_total)"),
        scrape=await one("max(scrape_duration_seconds{job='discord'})"),
        groups={each.labels["rule_group"].rpartition(";")[2]: each.last for each in groups},
        firing={each.labels["alertname"] for each in await server.instant('ALERTS{alertstate="firing"}', now)},
    )
    await _ask(server, View(now - size.hours * 3600, now), found)
    return found


async def _ask(server: Prometheus, view: View, found: Figures) -> None:
    """Ask every query of every board some times."""
    for board in (each for each in boards() if each.datasource == "prometheus"):
        seen = await resolve(board, server, view, {"guild_id": "81384788765712384"})
        for panel in repeated([*board.panels()], seen):
            for target in panel.targets:
                took: list[float] = []
                answer: list[Any] = []
                for _ in range(_TIMES):
                    began = time.perf_counter()
                    answer = await server.ask(target, seen.within(panel))
                    took.append(time.perf_counter() - began)
                name = f"{board.title}: {panel.title} {target.ref}"
                found.queries[name] = max(found.queries.get(name, 0.0), min(took))
                found.empty += [] if answer else [name]


def report(size: Size, found: Figures) -> str:
    """The figures, for people."""
    slowest = sorted(found.queries.items(), key=lambda each: -each[1])[:10]
    lines = [
        f"{size.shards} shards in {size.processes} processes, {size.hours:g} hours of history",
        f"{found.series} series, {found.samples / 1e6:.0f} million samples",
        f"memory of Prometheus: {found.memory / 1e6:.0f} MB, {found.memory / found.series / 1000:.1f} KB a series",
        f"longest scrape {found.scrape * 1000:.0f} ms, evaluations of rules missed: {found.missed:.0f}",
        f"{len(found.firing)} of {len(alerts())} alerts fire: {', '.join(sorted(found.firing))}",
        f"\nseconds of a group of rules, of {STEP}, at most:",
        *(f"{took:8.3f}  {name}" for name, took in sorted(found.groups.items(), key=lambda each: -each[1])),
        f"\nseconds of the slowest of {len(found.queries)} queries of the boards ({len(found.empty)} find nothing):",
        *(f"{took:8.3f}  {name}" for name, took in slowest),
    ]
    return "\n".join(lines)
