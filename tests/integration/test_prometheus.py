"""A real bot, its real page, and a real Prometheus that scrapes it in both formats."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import discord
import pytest
import pytest_asyncio
from aiohttp import web
from discord import app_commands
from discord.ext import commands, tasks
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

import argus_exporter
from argus_exporter import catalogue
from examples.discord_simulator import Simulator
from tests.clients import ShardedBot, logged_in, sent_by_event, sent_by_shard, until
from tests.integration.programs import Prometheus, filtered, program, prometheus

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

SHARDS = 2
TEXT = "text/plain;version=0.0.4"
LABELS = {"bot": "integration", "cluster": "one"}

Series = frozenset[tuple[str, str]]


class Bot(ShardedBot):
    """Loads the extension as a user does, and has a bit of everything that is measured."""

    async def setup_hook(self) -> None:
        self.tree.add_command(app_commands.Command(name="fine", description="Answers.", callback=_fine))
        self.tree.add_command(app_commands.Command(name="broken", description="Fails.", callback=_broken))
        await self.load_extension("argus_exporter")
        self.looping.start()

    @tasks.loop(hours=1)
    async def looping(self) -> None:
        """Runs once."""


async def _fine(interaction: discord.Interaction[Bot]) -> None:
    await interaction.response.send_message("fine")


async def _broken(interaction: discord.Interaction[Bot]) -> None:
    raise ZeroDivisionError


class Relay:
    """Hands a scraper our page in the text format, and from ``freeze`` on always the same one.

    A Prometheus of 2.42 wants OpenMetrics wherever it can have it: only this way it reads the text.
    """

    def __init__(self, page: str) -> None:
        self.page = page
        self.frozen: bytes | None = None
        self.port = 0

    async def fetch(self) -> bytes:
        async with aiohttp.ClientSession() as http, http.get(self.page, headers={"Accept": TEXT}) as response:
            assert response.headers["Content-Type"].startswith("text/plain")
            return await response.read()

    async def freeze(self) -> bytes:
        self.frozen = await self.fetch()
        return self.frozen

    async def _answer(self, _: web.Request) -> web.Response:
        body = self.frozen or await self.fetch()
        return web.Response(body=body, headers={"Content-Type": f"{TEXT}; charset=utf-8"})

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Relay]:
        app = web.Application()
        app.router.add_get("/metrics", self._answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.port = runner.addresses[0][1]
            yield self
        finally:
            await runner.cleanup()


@dataclass(frozen=True)
class World:
    """Everything that runs."""

    sim: Simulator
    prometheus: Prometheus
    relay: Relay


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A bot with the extension loaded, scraped directly (job `bot`) and as text (job `text`), and one without a bot."""
    program("prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    with pytest.MonkeyPatch.context() as environment, socket.socket(type=socket.SOCK_DGRAM) as statsd:
        statsd.bind(("127.0.0.1", 0))  # takes it all, and reads nothing
        pushing = {"statsd_url": f"udp://127.0.0.1:{statsd.getsockname()[1]}", "file_sd_dir": str(folder)}
        for name, value in {**LABELS, **own_settings(folder), **pushing}.items():
            environment.setenv(f"ARGUS_{name.upper()}", value)
        async with (
            Simulator(guilds=6, members=5, channels=2, shards=SHARDS, heartbeat_interval=0.5) as sim,
            argus_exporter.Exporter() as alone,
            logged_in(bot := Bot(shard_count=SHARDS), sim, SHARDS),
            Relay(f"http://127.0.0.1:{port_of(bot)}/metrics").running() as relay,
            prometheus(folder, {"bot": port_of(bot), "text": relay.port, "alone": alone.port or 0}) as server,
        ):
            yield World(sim, server, relay)


def own_settings(folder: Path) -> dict[str, str]:
    return {"port": "0", "state_dir": str(folder / "state"), "error_log": str(folder / "errors.jsonl")}


def port_of(bot: commands.AutoShardedBot) -> int:
    cog = bot.get_cog("ArgusExporter")
    assert isinstance(cog, argus_exporter.ArgusExporter)
    assert cog.port
    return cog.port


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def settled(world: World) -> World:
    """Traffic, a reconnect and a close have come and gone, and Prometheus has stored what came of them."""
    sim = world.sim
    await sim.burst(2000)
    await sim.reconnect(0)
    await until(lambda: sim.gateway.sessions.by_shard[0].resumes == 1)
    await sim.close_shard(1, code=4000)
    await until(lambda: sim.gateway.sessions.by_shard[1].resumes == 1)
    await sim.slash("fine")
    await sim.slash("broken")
    await sim.flush()
    for job in ("bot", "text"):
        await world.prometheus.until(f'sum(discord_commands_total{{job="{job}"}})', 2)
        await world.prometheus.until(
            f'sum(discord_gateway_events_total{{job="{job}"}})', sum(sent_by_event(sim).values())
        )
        # the first page does not know how long it took
        await world.prometheus.until(f'count_over_time(up{{job="{job}"}}[1m]) > bool 2', 1)
    return world


def families(page: bytes) -> dict[str, Metric]:
    """The families on a page of the text format; the parser takes ``_total`` off a counter's name."""
    return {family.name: family for family in text_string_to_metric_families(page.decode())}


def samples(page: bytes) -> Iterator[tuple[Series, float]]:
    """Every sample of a page, as Prometheus knows its series."""
    for family in families(page).values():
        for sample in family.samples:
            labels = {name: value for name, value in sample.labels.items() if value}
            yield frozenset({"__name__": sample.name, **labels}.items()), sample.value


async def stored(world: World, job: str) -> dict[Series, float]:
    """What Prometheus has from the last scrape of a job, without the labels that it adds and the series it makes."""
    found = await world.prometheus.query(f'{{job="{job}"}}')
    plain = {frozenset((k, v) for k, v in key if k not in {"job", "instance"}): value for key, value in found.items()}
    return {key: value for key, value in plain.items() if not dict(key)["__name__"].startswith(("up", "scrape_"))}


async def test_every_target_is_up_and_no_sample_is_refused(settled: World) -> None:
    for job in ("bot", "text", "alone"):
        await settled.prometheus.until(f'up{{job="{job}"}}', 1)
        took = await settled.prometheus.value(f'scrape_samples_scraped{{job="{job}"}}')
        kept = await settled.prometheus.value(f'scrape_samples_post_metric_relabeling{{job="{job}"}}')
        assert took == kept
        assert took


async def test_every_series_of_the_page_is_stored_and_nothing_else(settled: World) -> None:
    page = await settled.relay.fetch()
    wanted = {key for key, _ in samples(page)}
    assert set(await stored(settled, "bot")) == wanted
    assert set(await stored(settled, "text")) == wanted


async def test_every_family_that_the_catalogue_says_is_always_there_can_be_asked_for(settled: World) -> None:
    names = {dict(key)["__name__"] for key in await stored(settled, "bot")}
    missing = {metric.name for metric in catalogue.METRICS if not _lines_of(metric) & names}
    # the simulator hurries: nobody has been before us, nothing has run over, no response was refused
    assert missing <= {
        *(metric.name for metric in catalogue.METRICS if metric.noun == "analytics"),
        "argus_exporter_label_overflow_total",
        "argus_exporter_left_out_total",
        "discord_interaction_ack_failures_total",
        "discord_last_exit_info",
        "process_max_fds",
    }


def _lines_of(metric: catalogue.Metric) -> set[str]:
    return {f"{metric.name}_count"} if isinstance(metric, catalogue.Histogram) else {metric.name}


async def test_openmetrics_is_negotiated_and_the_types_are_known(settled: World) -> None:
    known = await settled.prometheus.get("targets/metadata", match_target='{job="bot"}')
    types = {found["metric"]: found["type"] for found in known}
    helps = {found["metric"]: found["help"] for found in known}
    for metric in catalogue.METRICS:
        if metric.family in types:
            assert types[metric.family] == metric.kind, metric.name
            assert helps[metric.family] == metric.help, metric.name
    # only in OpenMetrics does a counter's family go without _total
    assert {"discord_gateway_events", "discord_event_loop_lag_seconds", "process_cpu_seconds"} <= set(types)
    assert "discord_gateway_events_total" not in types


async def test_the_text_format_gives_the_same_types(settled: World) -> None:
    known = await settled.prometheus.get("targets/metadata", match_target='{job="text"}')
    types = {found["metric"]: found["type"] for found in known}
    for metric in catalogue.METRICS:
        if metric.name in types:
            assert types[metric.name] == metric.kind, metric.name
    assert {"discord_gateway_events_total", "discord_event_loop_lag_seconds"} <= set(types)


async def test_what_prometheus_stores_is_what_the_simulator_sent(settled: World) -> None:
    events = await settled.prometheus.query('sum by (event) (discord_gateway_events_total{job="bot"}) > 0')
    assert {(dict(key)["event"],): value for key, value in events.items()} == sent_by_event(settled.sim)
    shards = await settled.prometheus.query('sum by (shard) (discord_shard_dispatches_total{job="bot"})')
    assert {(dict(key)["shard"],): value for key, value in shards.items()} == sent_by_shard(settled.sim)
    closes = await settled.prometheus.query('sum by (initiator) (discord_gateway_closes_total{job="bot"})')
    assert closes[frozenset({("initiator", "server")})] == 2
    assert await settled.prometheus.value('sum(discord_guilds{job="bot"})') == 6


async def test_every_stored_value_is_the_one_on_the_page(settled: World) -> None:
    page = await settled.relay.freeze()
    wanted = dict(samples(page))
    marker = next(value for key, value in wanted.items() if ("__name__", "argus_exporter_scrapes_total") in key)
    await settled.prometheus.until('argus_exporter_scrapes_total{job="text"}', marker)
    assert await stored(settled, "text") == wanted
    settled.relay.frozen = None


async def test_what_stands_still_is_the_same_in_both_formats(settled: World) -> None:
    before = dict(samples(await settled.relay.fetch()))
    scrapes = await settled.prometheus.value('argus_exporter_scrapes_total{job="bot"}')
    assert scrapes is not None
    await _scraped_again(settled, scrapes)
    kept = await stored(settled, "bot")
    after = dict(samples(await settled.relay.fetch()))
    still = {key for key, value in before.items() if after[key] == value and _of_the_gateway(key)}
    assert {key: kept[key] for key in still} == {key: before[key] for key in still}
    assert any(("__name__", "discord_gateway_events_total") in key for key in still)
    assert any(("__name__", "discord_shard_status") in key for key in still)


def _of_the_gateway(key: Series) -> bool:
    """Whether a series changes only with the simulator: open files and tasks come and go with each scrape."""
    return dict(key)["__name__"].startswith(("discord_gateway_", "discord_shard", "discord_guilds"))


async def _scraped_again(world: World, scrapes: float) -> None:
    query = f'argus_exporter_scrapes_total{{job="bot"}} > bool {scrapes + 2}'
    await world.prometheus.until(query, 1)


async def test_a_stored_histogram_adds_up(settled: World) -> None:
    ask = settled.prometheus.value
    await settled.prometheus.until('discord_event_loop_lag_seconds_count{job="bot"} > bool 4', 1)
    lines = await settled.prometheus.query('{__name__=~"discord_event_loop_lag_seconds_.*", job="bot"}')
    by_name: dict[str, list[tuple[dict[str, str], float]]] = {}
    for key, value in lines.items():
        by_name.setdefault(dict(key)["__name__"], []).append((dict(key), value))
    (count,) = (value for _, value in by_name["discord_event_loop_lag_seconds_count"])
    (total,) = (value for _, value in by_name["discord_event_loop_lag_seconds_sum"])
    buckets = sorted((float(labels["le"]), value) for labels, value in by_name["discord_event_loop_lag_seconds_bucket"])
    counts = [value for _, value in buckets]
    assert counts == sorted(counts)
    assert counts[-1] == count
    assert len(buckets) == len(catalogue.EVENT_LOOP_LAG_SECONDS.edges) + 1
    assert 0 < total <= _most(buckets)
    median = await ask('histogram_quantile(0.5, discord_event_loop_lag_seconds_bucket{job="bot"})')
    assert median is not None
    assert 0 < median < 10


def _most(buckets: list[tuple[float, float]]) -> float:
    """What the sum can be at most: every observation at the upper edge of its bucket."""
    edges, counts = zip(*buckets, strict=True)
    return float(
        sum(
            edge * (count - below)
            for edge, count, below in zip(edges, counts, (0, *counts), strict=False)
            if count > below
        )
    )


async def test_every_series_carries_the_constant_labels(settled: World) -> None:
    ours = {name for metric in catalogue.METRICS for name in metric.reserved_names}
    found = [dict(key) for key in await stored(settled, "bot") if dict(key)["__name__"] in ours]
    assert found
    assert [
        labels for labels in found if labels["bot"] != LABELS["bot"] or labels["cluster"] != LABELS["cluster"]
    ] == []


async def test_an_exporter_without_a_bot_is_scraped_too(settled: World) -> None:
    assert await settled.prometheus.value('process_resident_memory_bytes{job="alone"} > bool 1e6') == 1
    assert await settled.prometheus.value('count({job="alone", __name__=~"discord_shard.*"})') is None


async def test_promtool_finds_nothing_to_say_about_the_page(settled: World) -> None:
    page = await settled.relay.fetch()
    assert await filtered("promtool", "check", "metrics", text=page) == (0, b"")


async def test_promtool_would_say_if_something_were_wrong(settled: World) -> None:
    page = re.sub(rb"(?m)^# HELP discord_guilds .*\n", b"", await settled.relay.fetch())
    code, said = await filtered("promtool", "check", "metrics", text=page)
    assert code
    assert b"discord_guilds" in said
