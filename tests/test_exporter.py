"""The exporter alone: manual mode, the collectors' life, and what happens when one of them fails."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import threading
import typing
from pathlib import Path
from typing import Any

import aiohttp
import prometheus_client
import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

import argus_exporter
from argus_exporter import Exporter, SettingError, Settings, catalogue
from argus_exporter.collectors import CLIENT_COLLECTORS, COLLECTORS, PROCESS_COLLECTORS
from tests.clients import value, values

if typing.TYPE_CHECKING:
    from collections.abc import Callable


ROOT = Path(__file__).parents[1]


def quiet(**options: Any) -> Settings:
    return Settings(**{"port": 0, "state_dir": "off", "user_registry": False, **options})


async def scrape(exporter: Exporter) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{exporter.port}/metrics") as response:
        assert response.status == 200
        return await response.text()


async def test_manual_mode_serves_the_process_and_the_loop_without_any_bot() -> None:
    async with Exporter(quiet(bot="worker", cluster="b")) as exporter:
        page = await scrape(exporter)
        names = {family.name for family in text_string_to_metric_families(page)}
        assert {"process_resident_memory_bytes", "discord_event_loop_lag_seconds", "argus_exporter_info"} <= names
        assert 'process_threads{bot="worker",cluster="b"}' in page
        assert "discord_shard" not in page
        assert list(values(exporter.instruments, "argus_exporter_info").values()) == [1]
    assert exporter.port is None


async def test_it_can_start_again_after_it_was_closed_and_twice_is_once() -> None:
    exporter = Exporter(quiet())
    for _ in range(2):
        await exporter.start()
        port = exporter.port
        running = list(exporter._running)
        await exporter.start()
        assert exporter.port == port
        assert exporter._running == running
        assert "argus_exporter_info" in await scrape(exporter)
        await exporter.close()
        await exporter.close()


async def test_closed_while_it_starts_it_stays_closed() -> None:
    exporter = Exporter(quiet())
    starting = asyncio.create_task(exporter.start())
    await asyncio.sleep(0)
    await exporter.close()
    await starting
    assert exporter._running == []
    assert exporter.port is None


async def test_a_server_that_cannot_start_is_counted_and_the_collectors_run() -> None:
    async def failing() -> None:
        raise OSError("no")

    exporter = Exporter(quiet())
    exporter._site.start = failing  # type: ignore[method-assign]
    async with exporter:
        assert value(exporter.instruments, "argus_exporter_collector_errors_total", "exporter") == 1
        assert [type(collector) for collector in exporter._running] == list(PROCESS_COLLECTORS)
    assert exporter._running == []


async def test_a_push_that_cannot_start_or_end_is_counted_and_the_page_is_served() -> None:
    async def failing() -> None:
        raise OSError("no")

    exporter = Exporter(quiet(statsd_url="udp://127.0.0.1:1"))
    push: Any = exporter._push
    push.start = push.close = failing
    async with exporter:
        assert 'argus_exporter_collector_errors_total{collector="statsd"} 1' in await scrape(exporter)
    assert value(exporter.instruments, "argus_exporter_collector_errors_total", "statsd") == 2
    assert exporter._running == []


async def test_stats_are_there_though_statsd_is_off_and_they_are_on_the_page() -> None:
    async with Exporter(quiet()) as exporter:
        exporter.stats.incr("jobs.done", 3)
        assert "jobs_done_total 3" in await scrape(exporter)


async def test_the_thread_of_the_user_s_registry_ends_with_the_exporter() -> None:
    before = set(threading.enumerate())
    own = prometheus_client.Counter("own_of_this_test", "Theirs.")
    try:
        async with Exporter(quiet(user_registry=True)) as exporter:
            await scrape(exporter)
            threads = set(threading.enumerate()) - before
    finally:
        prometheus_client.REGISTRY.unregister(own)
    assert {thread.name for thread in threads} >= {"argus_exporter.pulse", "argus_exporter registry"}
    for thread in threads:
        await asyncio.to_thread(thread.join, 5)
        assert not thread.is_alive()


async def test_settings_and_single_options_exclude_each_other() -> None:
    with pytest.raises(TypeError, match="either settings or single options"):
        Exporter(quiet(), port=1)
    assert Exporter(port="off").settings.port is None
    with pytest.raises(SettingError, match="ARGUS_PORT=-1"):
        Exporter(port=-1)


async def test_one_failing_close_does_not_keep_the_rest_open(caplog: pytest.LogCaptureFixture) -> None:
    exporter = Exporter(quiet())
    await exporter.start()
    closed: list[str] = []

    def closing(collector: Any) -> Callable[[], Any]:
        original = collector.close

        async def close() -> None:
            closed.append(collector.noun)
            await original()
            raise OSError("stuck")

        return close

    for collector in exporter._collectors:
        collector.close = closing(collector)  # type: ignore[method-assign]
    port = exporter.port
    await exporter.close()
    assert sorted(closed) == sorted(kind.noun for kind in PROCESS_COLLECTORS)
    with pytest.raises(aiohttp.ClientConnectorError):
        async with aiohttp.ClientSession() as session:
            await session.get(f"http://127.0.0.1:{port}/metrics")
    assert value(exporter.instruments, "argus_exporter_collector_errors_total", "loop") == 1


async def test_a_collector_that_fails_at_a_sample_is_down_until_it_works_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Exporter(quiet()) as exporter:
        (process,) = [collector for collector in exporter._collectors if collector.noun == "process"]
        original = process.sample

        def failing() -> None:
            raise RuntimeError("no")

        process.sample = failing  # type: ignore[method-assign]
        with caplog.at_level(logging.ERROR, "argus_exporter"):
            for count in (1, 2, 3):
                page = await scrape(exporter)
                assert f'argus_exporter_collector_errors_total{{collector="process"}} {count}' in page
        assert 'argus_exporter_collector_up{collector="process"} 0' in page
        assert 'argus_exporter_collector_up{collector="loop"} 1' in page
        assert len(caplog.records) == 1
        assert caplog.records[0].exc_info is not None
        process.sample = original  # type: ignore[method-assign]
        assert 'argus_exporter_collector_up{collector="process"} 1' in await scrape(exporter)


async def test_the_log_is_not_flooded_by_many_kinds_of_failures(caplog: pytest.LogCaptureFixture) -> None:
    exporter = Exporter(quiet())
    for number in range(300):
        exporter.note_error("loop", type(f"Error{number}", (Exception,), {})())
    assert len(caplog.records) == 100
    assert value(exporter.instruments, "argus_exporter_collector_errors_total", "loop") == 300


async def test_the_handler_serves_in_an_application_of_ones_own() -> None:
    async with Exporter(quiet(port="off")) as exporter:
        assert exporter.port is None
        app = web.Application()
        app.router.add_get("/internal/metrics", exporter.handler)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{host}:{port}/internal/metrics") as response,
        ):
            assert "process_threads" in await response.text()
        await runner.cleanup()


async def test_what_is_closed_serves_nothing_that_is_no_longer_true() -> None:
    exporter = Exporter(quiet(port=0))
    registry = prometheus_client.CollectorRegistry()
    registry.register(exporter.collector)
    app = web.Application()
    app.router.add_get("/metrics", exporter.handler)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = "http://{}:{}/metrics".format(*runner.addresses[0][:2])
    async with aiohttp.ClientSession() as session:
        for running in (False, True, False, True):
            await (exporter.start() if running else exporter.close())
            async with session.get(url) as response:
                text = await response.text()
                assert running or text == "503: the exporter is not running\n"
                assert (response.status, "process_threads" in text) == (
                    200 if running else 503,
                    running,
                )
            assert running is (registry.get_sample_value("process_threads") is not None)
    await exporter.close()
    assert registry.get_sample_value("process_threads") is None
    await runner.cleanup()


async def test_a_registry_in_a_thread_gets_fresh_values_from_an_exporter_made_before_the_loop() -> None:
    exporter = await asyncio.to_thread(Exporter, quiet(port="off"))
    registry = prometheus_client.CollectorRegistry()
    registry.register(exporter.collector)
    async with exporter:
        assert await asyncio.to_thread(registry.get_sample_value, "process_threads")


async def test_the_collector_serves_in_a_registry_of_ones_own() -> None:
    async with Exporter(quiet(port="off")) as exporter:
        registry = prometheus_client.CollectorRegistry()
        registry.register(exporter.collector)
        threads = registry.get_sample_value("process_threads")
        assert threads is not None
        assert threads >= 1
        page = await asyncio.to_thread(prometheus_client.generate_latest, registry)
        assert b"process_threads" in page


async def test_each_sampled_collector_says_how_long_it_took_and_the_page_how_many_series_it_has() -> None:
    async with Exporter(quiet()) as exporter:
        await scrape(exporter)
        page = await scrape(exporter)
        lines = [line for line in page.splitlines() if not line.startswith("#")]
        assert f"argus_exporter_series {len(lines)}" in lines
        for kind in PROCESS_COLLECTORS:
            took = value(exporter.instruments, "argus_exporter_sample_seconds", kind.noun)
            assert took is not None
            assert 0 < took < 1


def test_each_collector_is_in_the_list_under_its_own_noun() -> None:
    nouns = [kind.noun for kind in COLLECTORS]
    assert len(set(nouns)) == len(nouns)
    assert set(nouns) | {"statsd", "analytics", "exporter", "registry"} == set(catalogue.COLLECTORS)
    assert set(COLLECTORS) == set(CLIENT_COLLECTORS) | set(PROCESS_COLLECTORS)
    for kind in COLLECTORS:
        assert kind.__module__ == f"argus_exporter.collectors.{kind.noun}"
        assert any(metric.noun == kind.noun for metric in catalogue.METRICS)


# ------------------------------------------------------------------------------------------- what is imported when

SERVER, REGISTRY, PROCESS = "aiohttp.web_server", "prometheus_client", "psutil"
PUSH, DISCOVERY = "argus_exporter.statsd.push", "argus_exporter.discovery"
LATE = {SERVER, REGISTRY, PROCESS, PUSH, DISCOVERY, "aiohttp.web", "argus_exporter.analytics", "argus_exporter.doctor"}
"""What no import of ours has to wait for."""

HERE = "a directory"

LOADS = """
import argus_exporter, asyncio, discord, json, sys
from discord.ext import commands

async def load(options):
    imported = set(sys.modules)
    bot = commands.Bot("!", intents=discord.Intents.none())
    await bot.add_cog(argus_exporter.ArgusExporter(bot, port=0, state_dir="off", **options))
    loaded = set(sys.modules)
    for _ in range(2):
        reader, writer = await asyncio.open_connection("127.0.0.1", bot.get_cog("ArgusExporter").port)
        writer.write(b"GET /metrics HTTP/1.1\\r\\nHost: bot\\r\\nConnection: close\\r\\n\\r\\n")
        assert b"argus_exporter_info" in await reader.read()
        writer.close()
    late = {name for name in set(sys.modules) - loaded if not name.startswith("encodings.")}  # Python's own codecs
    print(json.dumps([*map(sorted, (imported, loaded, late))]))
    await bot.remove_cog("ArgusExporter")

asyncio.run(load(json.loads(sys.argv[1])))
"""


@pytest.mark.parametrize(
    ("options", "needed"),
    [
        ({}, {SERVER, REGISTRY, PROCESS}),
        ({"user_registry": "off", "disable": "process"}, {SERVER}),
        ({"user_registry": "off", "disable": "process", "statsd_url": "udp://127.0.0.1:9"}, {SERVER, PUSH}),
        ({"user_registry": "off", "disable": "process", "file_sd_dir": HERE}, {SERVER, DISCOVERY, PROCESS}),
    ],
    ids=["as it comes", "without", "with StatsD", "with discovery"],
)
def test_what_a_setting_switches_on_is_imported_with_it_and_nothing_once_it_serves(
    options: dict[str, str], needed: set[str], tmp_path: Path
) -> None:
    options = {name: str(tmp_path) if value == HERE else value for name, value in options.items()}
    command = [sys.executable, "-W", "ignore", "-c", LOADS, json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    imported, loaded, served = json.loads(done.stdout)
    assert LATE.isdisjoint(imported)
    assert LATE & set(loaded) == needed
    assert served == []


def test_every_public_name_is_there() -> None:
    assert [name for name in argus_exporter.__all__ if not callable(getattr(argus_exporter, name))] == []
