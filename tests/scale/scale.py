"""A Prometheus that knows hours of a bot that is not there, evaluates every rule on it and answers every board."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web

from examples.demo.children import Children
from examples.demo.prometheus import free_port
from grafana.preview.board import View, boards, repeated
from grafana.preview.fleet import program
from grafana.preview.prometheus import Prometheus, resolve
from tests.prometheus.rules import FOLDER, alerts, documents, rules_of
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
    hours: float = 1.0
    hurry: int = 30
    live: float = 75.0


@dataclass
class Figures:
    """What was measured.

    :ivar busy: share of a core that Prometheus takes for scrapes and rules.
    :ivar groups: seconds that the longest evaluation of a group of rules took.
    :ivar rules: CPU seconds of Prometheus for all rules of a group, once.
    :ivar queries: the same for a query, by board, panel and the letter of the query. It is what the query takes on a
        machine that has nothing else to do, or more.
    :ivar empty: queries that found nothing.
    :ivar firing: alerts that fire.
    """

    series: int = 0
    samples: int = 0
    memory: float = 0.0
    missed: float = 0.0
    scrape: float = 0.0
    busy: float = 0.0
    groups: dict[str, float] = field(default_factory=dict[str, float])
    rules: dict[str, float] = field(default_factory=dict[str, float])
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


def configuration(address: str, own: str, size: Size, every: float) -> dict[str, Any]:
    """Of Prometheus: with the rules only where it scrapes as prometheus/prometheus.yml says."""
    targets = [{"targets": [f"{address}/{number}" for number in range(size.processes)]}]
    bots = {"job_name": "discord", "honor_labels": True, "static_configs": targets, "relabel_configs": _INSTANCE}
    itself = {"job_name": "prometheus", "static_configs": [{"targets": [own]}]}
    return {
        "global": dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), f"{every}s"),
        "rule_files": [str(FOLDER / "rules" / "*.yml")] if every == STEP else [],
        "scrape_configs": [bots, itself],
    }


async def measured(size: Size, folder: Path, say: Say) -> Figures:
    """Let Prometheus live through it, and measure."""
    server, own, config = Server(size), f"127.0.0.1:{free_port()}", folder / "prometheus.yml"
    async with server.running() as address, Children() as children, aiohttp.ClientSession() as http:

        async def scraping(every: int) -> None:
            config.write_text(json.dumps(configuration(address, own, size, every)), "utf-8")
            async with http.post(f"http://{own}/-/reload") as response:
                assert response.status == 200, await response.text()

        config.write_text(json.dumps(configuration(address, own, size, size.hurry)), "utf-8")
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
        await scraping(STEP)
        await asyncio.sleep(size.live)
        asked = Asked(own, http)
        found = await _lived(asked, size)
        await scraping(3600)  # from now on there is nothing to do but answer
        await _ask(asked, View(time.time() - size.hours * 3600 - STEP, time.time()), found, say)
    return found


class Asked(Prometheus):
    """A Prometheus that says what its answers cost."""

    def __init__(self, address: str, http: aiohttp.ClientSession) -> None:
        super().__init__(f"http://{address}", http)
        self._own = f"http://{address}/metrics", http

    async def spent(self) -> float:
        """CPU seconds until now."""
        url, http = self._own
        async with http.get(url) as response:
            (found,) = re.findall(r"(?m)^process_cpu_seconds_total (\S+)", await response.text())
        return float(found)

    async def cost(self, ask: Callable[[], Awaitable[list[Any]]]) -> tuple[float, list[Any]]:
        """The least of some times, in CPU seconds or in seconds; and the answer."""
        took: list[float] = []
        answer: list[Any] = []
        for _ in range(_TIMES):
            spent, began = await self.spent(), time.perf_counter()
            answer = await ask()
            wall = time.perf_counter() - began
            took.append(min(wall, await self.spent() - spent))
        return min(took), answer


async def _lived(server: Asked, size: Size) -> Figures:
    """What there is after a while of scrapes and rules."""
    now, span = time.time(), f"[{size.live:.0f}s]"

    async def one(expr: str) -> float:
        return (await server.instant(expr, now))[0].last

    groups = await server.instant(f"max_over_time(prometheus_rule_group_last_duration_seconds{span})", now)
    return Figures(
        series=int(await one("prometheus_tsdb_head_series")),
        samples=int(await one("prometheus_tsdb_head_samples_appended_total{type='float'}")),
        memory=await one(f"max_over_time(process_resident_memory_bytes{{job='prometheus'}}{span})"),
        missed=await one("sum(prometheus_rule_group_iterations_missed_total)"),
        scrape=await one("max(scrape_duration_seconds{job='discord'})"),
        busy=await one(f"rate(process_cpu_seconds_total{{job='prometheus'}}{span})"),
        groups={each.labels["rule_group"].rpartition(";")[2]: each.last for each in groups},
        firing={each.labels["alertname"] for each in await server.instant('ALERTS{alertstate="firing"}', now)},
    )


async def _ask(server: Asked, view: View, found: Figures, say: Say) -> None:
    """Ask for everything that rules and boards ask for."""
    for noun, document in documents().items():
        say(f"rules: {noun}")
        costs = [await server.cost(partial(server.instant, rule["expr"], view.end)) for rule in rules_of(document)]
        found.rules[noun] = sum(cost for cost, _ in costs)
    for board in (each for each in boards() if each.datasource == "prometheus"):
        say(board.title)
        seen = await resolve(board, server, view, {"guild_id": "81384788765712384"})
        for panel in {each.raw["id"]: each for each in repeated([*board.panels()], seen)}.values():
            for target in panel.targets:
                name = f"{board.title}: {panel.title} {target.ref}"
                found.queries[name], answer = await server.cost(partial(server.ask, target, seen.within(panel)))
                found.empty += [] if answer else [name]


def report(size: Size, found: Figures) -> str:
    """The figures, for people."""
    slowest = sorted(found.queries.items(), key=lambda each: -each[1])[:10]
    lines = [
        f"{size.shards} shards in {size.processes} processes, {size.hours:g} hours of history",
        f"{found.series} series, {found.samples / 1e6:.0f} million samples",
        f"memory of Prometheus: {found.memory / 1e6:.0f} MB, {found.memory / found.series / 1000:.1f} KB a series",
        f"longest scrape {found.scrape * 1000:.0f} ms; {found.busy:.2f} cores for scrapes and rules",
        f"{len(found.firing)} of {len(alerts())} alerts fire: {', '.join(sorted(found.firing))}",
        f"rules: {found.missed:.0f} evaluations missed, the longest took {max(found.groups.values()):.2f} s of {STEP}",
        "\nCPU seconds of all rules of a group:",
        *(f"{took:8.3f}  {name}" for name, took in sorted(found.rules.items(), key=lambda each: -each[1])),
        f"\nCPU seconds of the slowest of {len(found.queries)} queries of boards ({len(found.empty)} find nothing):",
        *(f"{took:8.3f}  {name}" for name, took in slowest),
    ]
    return "\n".join(lines)
