"""Past one Prometheus: what is passed on is what was scraped, and the boards find the same in it.

VictoriaMetrics means something else by `rate` and `increase`, so their answers differ from Prometheus' at every point.
They are held against what they are meant to be: by how much a counter has grown since it was at the beginning of the
window, which Prometheus can be asked for too.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import yaml

from grafana.preview.board import Board, Target, View, boards, repeated
from grafana.preview.fleet import Fleet, Options
from grafana.preview.prometheus import Prometheus, Series, resolve
from tests.integration.daemons import eventually, fetched
from tests.integration.programs import configured_prometheus, program, prometheus_agent
from tests.integration.victoria import VictoriaMetrics, victoria_metrics, vmalert
from tests.prometheus.rules import FOLDER, alerts, records

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

AGENT, FEDERATION = (
    yaml.safe_load((FOLDER / "large" / f"{name}.yml").read_text("utf-8")) for name in ("agent", "federation")
)
SHARDS = 4
WATCHED, SHOWN, SCRAPE = 65.0, 25.0, 5.0
"""Seconds that the bots are scraped, that a board shows of them, and between two scrapes as the data source says."""
WINDOW = f"{4 * SCRAPE:.0f}s"
EXACT, GROWN, TIMES = 1e-9, 1e-6, 1e-5
"""What may be lost of a value and of a rate, relatively, and of a time, in seconds: Prometheus tells the time of a
sample as a float, good to a quarter of a microsecond; VictoriaMetrics keeps numbers as decimals, good to one."""

LATE = 2.5
"""Seconds after which a sample is not the last one of a scrape every second."""

GROWTH = re.compile(r"\b(?P<how>rate|increase)\((?P<of>\w*\{[^}]*\})\[(?P<window>\w+)\](?P<when> @ end\(\))?\)")
INNER = re.compile(r"\[\w+:\w+\]")
ALERTING = re.compile(r"ALERTS\{[^}]*\}")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

Points = dict[float, float]
Answer = dict[frozenset[tuple[str, str]], Points]


@dataclass(frozen=True)
class World:
    """Bots and those who tell of them. They are asked about a moment that all know of.

    :ivar scraping: the Prometheus that scrapes the bots, and passes it on to `store`.
    :ivar remote: what an agent has passed on, and the rules of a vmalert have made of it; `rules` is its URL.
    :ivar regions: those that scrape one process each, by their region; `above` is federated from them.
    """

    scraping: Prometheus
    store: VictoriaMetrics
    remote: VictoriaMetrics
    rules: str
    regions: Mapping[str, Prometheus]
    above: Prometheus
    at: float

    async def raw(self, server: Prometheus, selector: str, seconds: float) -> Answer:
        """Each sample that a server has of the last seconds."""
        found = await server.get("query", query=f"{selector}[{seconds:.0f}s]", time=f"{self.at:.3f}")
        return answer(
            Series(each["metric"], tuple((float(at), float(value)) for at, value in each["values"]))
            for each in found["result"]
        )

    async def lacking(self) -> list[str]:
        """What the store has not, or not so: rules are evaluated, and sent, later than it says in their samples."""
        everything = '{__name__=~".+"}'
        sent, found = [await self.raw(server, everything, WATCHED) for server in (self.scraping, self.store)]
        assert len(sent) > 1000
        return list(differences(sent, found))

    async def asked(self, board: Board) -> list[tuple[str, Target, View]]:
        """Every query of a board, of its panels and annotations, with variables that both servers know alike."""
        whole = View(self.at - SHOWN, self.at, scrape=SCRAPE)
        view, other = [await resolve(board, server, whole, {"guild_id": "1"}) for server in (self.scraping, self.store)]
        assert view == other
        looks = [
            (copy.title, each, view.within(copy)) for copy in repeated([*board.panels()], view) for each in copy.targets
        ]
        looks += [(name, Target("A", expr), view) for name, expr in board.annotations]
        return [(title, replace(each, expr=in_short(seen.query(each.expr))), seen) for title, each, seen in looks]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    for name in ("prometheus", "victoria-metrics", "vmalert"):
        program(name)
    folders = {name: tmp_path_factory.mktemp(name) for name in ("store", "remote", "eu", "us", "above")}
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        store, remote = [await enter(victoria_metrics(folders[name])) for name in ("store", "remote")]
        passing = passed_on(store.url)
        del passing["scrape_configs"]
        fleet = await enter(Fleet(Options(SHARDS, clusters=2, trouble=1.0, rules=FOLDER / "rules", more=passing)))
        jobs = [{"job_name": "bot", "honor_labels": True, "scrape_interval": "1s", "static_configs": fleet.targets}]
        await enter(prometheus_agent(folders["remote"], passed_on(remote.url) | {"scrape_configs": jobs}))
        rules = await enter(vmalert(folders["remote"], remote))
        urls = [
            (await enter(configured_prometheus(folders[region], regional(region, target)))).url
            for region, target in zip(("eu", "us"), fleet.targets, strict=True)
        ]
        above = await enter(configured_prometheus(folders["above"], federated(urls)))
        await asyncio.sleep(WATCHED)
        await fleet.break_off(0)
        http = await enter(aiohttp.ClientSession())
        regions = {name: Prometheus(url, http) for name, url in zip(("eu", "us"), urls, strict=True)}
        at = float(int(time.time()))
        known = World(fleet.server, store, remote, rules, regions, Prometheus(above.url, http), at)
        await eventually(known.lacking, expected=[])
        yield known


def passed_on(url: str) -> dict[str, Any]:
    """The configuration in prometheus/large, of which one engine is kept and moved here."""
    (found,) = (each for each in AGENT["remote_write"] if each["name"] == "victoriametrics")
    kept = {key: found[key] for key in found.keys() - {"authorization"}}
    here = kept | {"url": f"{url}/api/v1/write", "queue_config": {"batch_send_deadline": "1s"}}
    return AGENT | {"remote_write": [here]}


def regional(region: str, target: Any) -> dict[str, Any]:
    """A Prometheus that knows one process of the bots, and has the rules."""
    job = {"job_name": "discord", "honor_labels": True, "scrape_interval": "1s", "static_configs": [target]}
    told = {"global": {"external_labels": {"region": region}}, "rule_files": [str(FOLDER / "rules" / "*.yml")]}
    return told | {"scrape_configs": [job]}


def federated(urls: Iterable[str]) -> dict[str, Any]:
    (job,) = FEDERATION["scrape_configs"]
    targets = [{"targets": [url.removeprefix("http://") for url in urls]}]
    moved = {"scrape_interval": "1s", "static_configs": targets}
    return {"scrape_configs": [{key: job[key] for key in job.keys() - {"basic_auth"}} | moved]}


# ------------------------------------------------------------------------------------------------- what they answer


def answer(found: Iterable[Series]) -> Answer:
    """What a server has found, without the region: nobody knows that of himself."""
    known: Answer = {}
    for series in found:
        points = {at: value for at, value in series.points if not math.isnan(value)}
        if points:
            known[frozenset((name, value) for name, value in series.labels.items() if name != "region")] = points
    return known


def differences(wanted: Answer, found: Answer, but: AbstractSet[float] = frozenset(), **near: float) -> Iterator[str]:
    """Each point that only one has, or that both do not have alike."""
    for labels in wanted.keys() | found.keys():
        here, there = wanted.get(labels, {}), found.get(labels, {})
        for at in (here.keys() | there.keys()) - but:
            both = at in here and at in there
            if not both or not math.isclose(here[at], there[at], **{"rel_tol": EXACT, **near}):
                yield f"{dict(labels)} at {at}: {here.get(at)}, {there.get(at)}"


def in_short(query: str) -> str:
    """The query with windows in which the bots have been there all the time."""
    query = INNER.sub(f"[{WINDOW}:{SCRAPE:.0f}s]", query)
    return GROWTH.sub(
        lambda it: it[0].replace(f"[{it['window']}]", f"[{WINDOW}]") if seconds(it["window"]) > SHOWN else it[0], query
    )


def grown(query: str) -> str:
    """The query with that for `rate` and `increase` which VictoriaMetrics takes them for."""

    def instead(found: re.Match[str]) -> str:
        now, then = edges(found)
        took = str(seconds(found["window"])) if found["when"] else f"(timestamp({now}) - timestamp({then}))"
        return f"({now} - {then})" if found["how"] == "increase" else f"(({now} - {then}) / {took})"

    return GROWTH.sub(instead, query)


def edges(found: re.Match[str]) -> tuple[str, str]:
    """What a counter is at the end of the window, and what it was at the beginning."""
    when = found["when"] or ""
    return f"{found['of']}{when}", f"{found['of']} offset {found['window']}{when}"


def seconds(duration: str) -> int:
    return int(duration[:-1]) * SECONDS[duration[-1]]


async def unsure(world: World, target: Target, view: View) -> set[float]:
    """When a counter of a query is younger than what is asked of it, or was not scraped at the beginning of that.

    Where it began is what VictoriaMetrics has to guess, and what is too old for it is none of its business. An alert
    that has been evaluated only once it forgets after a step.
    """
    asked = [f"count({it[0]} unless {it[0]} offset 35s)" for it in ALERTING.finditer(target.expr)]
    for found in GROWTH.finditer(target.expr):
        now, then = edges(found)
        reach = seconds(found["window"]) * (2 if INNER.search(target.expr) else 1)
        before = then.replace(f"offset {found['window']}", f"offset {reach}s")
        asked.append(f"count({now} unless {before})")
        if not found["when"]:
            asked.append(f"count(time() - {seconds(found['window'])} - timestamp({then}) > {LATE})")
    answers = [await world.scraping.ask(replace(target, expr=each), view) for each in asked]
    return {at for series in answers for each in series for at, _ in each.points}


# ------------------------------------------------------------------------------------------------- the tests


async def test_every_sample_is_passed_on_as_it_is(world: World) -> None:
    assert await world.lacking() == []
    assert await world.store.instant('{region!="eu"} or {replica!=""}', world.at) == []


async def test_every_query_of_every_board_finds_the_same(world: World) -> None:
    differing: list[str] = []
    points = left_out = 0
    for board in (each for each in boards() if each.datasource == "prometheus"):
        for title, target, view in await world.asked(board):
            but = await unsure(world, target, view)
            near = {"rel_tol": GROWN} if "rate(" in target.expr else {}
            near |= {"abs_tol": TIMES} if "timestamp_seconds" in target.expr else {}
            wanted = answer(await world.scraping.ask(replace(target, expr=grown(target.expr)), view))
            found = answer(await world.store.ask(target, view))
            differing += [f"{title}: {each}" for each in differences(wanted, found, but, **near)]
            points += sum(map(len, wanted.values()))
            left_out += sum(len(each.keys() & but) for each in wanted.values())
    assert differing == [], "\n".join(differing)
    assert left_out < points / 4


async def test_an_agent_passes_on_what_is_scraped_and_keeps_nothing(world: World) -> None:
    ours = '{__name__=~"discord_.+|argus_.+"}'
    wanted = answer(await world.scraping.instant(ours, world.at))
    assert answer(await world.remote.instant(ours, world.at)).keys() == wanted.keys()


async def test_the_rules_are_evaluated_where_an_agent_writes_to(world: World) -> None:
    async def evaluated() -> set[str]:
        groups = (await fetched(f"{world.rules}/api/v1/rules"))["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert [rule["lastError"] for rule in rules if rule["lastError"]] == []
        return {rule["name"] for rule in rules if not rule["lastEvaluation"].startswith("0001")}

    await eventually(evaluated, {*alerts(), *records()})
    recorded = '{__name__=~"job_bot.+"}'
    wanted = answer(await world.scraping.instant(recorded, world.at))

    async def known() -> set[frozenset[tuple[str, str]]]:
        return set(answer(await world.remote.instant(recorded, time.time())))

    await eventually(known, set(wanted))
    assert [each.last for each in await world.remote.instant("job_bot:discord_shards:max", time.time())] == [SHARDS]


async def test_what_regions_record_is_known_above_them(world: World) -> None:
    recorded = '{__name__=~"job_bot.+"}'
    for region, server in world.regions.items():
        below = answer(await server.instant(recorded, world.at))
        above = await world.above.instant(recorded.replace("}", f', region="{region}"}}'), world.at)
        assert {name for labels in below for label, name in labels if label == "__name__"} > {
            "job_bot:discord_shards:max"
        }
        assert answer(above) == below
    assert {each.labels["region"] for each in await world.above.instant('up{job="discord"}', world.at)} == {
        *world.regions
    }


async def test_the_query_for_a_bot_of_several_regions_is_right_above_them(world: World) -> None:
    (query,) = re.findall(r"(?ms)^```promql\n(.*?)^```", (FOLDER / "large" / "README.md").read_text("utf-8"))
    missing = [(await each.instant(query, world.at))[0].last for each in (*world.regions.values(), world.above)]
    assert missing == [SHARDS / 2, SHARDS / 2, 0]
