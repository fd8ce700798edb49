from __future__ import annotations

import asyncio
import threading
import time
import urllib.request

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry

from argus_exporter import catalogue
from argus_exporter.exposition import collector as collector_module
from argus_exporter.exposition.collector import RegistryCollector
from argus_exporter.exposition.registry import UserRegistry
from argus_exporter.instruments import Instruments


class Ours:
    """Instruments with a gauge that a sample sets to the number of samples."""

    def __init__(self) -> None:
        self.instruments = Instruments({"bot": "b"})
        self.guilds = self.instruments.gauge(catalogue.GUILDS).labels()
        self.instruments.counter(catalogue.PROCESS_CPU_SECONDS_TOTAL).labels()
        self.instruments.gauge(catalogue.PROCESS_OPEN_FDS).labels().set(3)
        self.sampled_on: list[int] = []

    def sample(self) -> None:
        self.sampled_on.append(threading.get_ident())
        self.guilds.set(len(self.sampled_on))


def value(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("discord_guilds", {"bot": "b"})


async def test_a_collect_on_the_loop_samples_first() -> None:
    ours, registry = Ours(), CollectorRegistry()
    registry.register(RegistryCollector(ours.instruments, ours.sample))
    assert [value(registry), value(registry)] == [1, 2]


async def test_a_collect_in_another_thread_samples_on_the_loop_first() -> None:
    ours, registry = Ours(), CollectorRegistry()
    registry.register(RegistryCollector(ours.instruments, ours.sample))
    assert await asyncio.to_thread(value, registry) == 1
    assert ours.sampled_on == [threading.get_ident()]


async def test_a_scrape_of_prometheus_clients_own_server_has_fresh_values() -> None:
    ours, registry = Ours(), CollectorRegistry()
    registry.register(RegistryCollector(ours.instruments, ours.sample, process=True))
    server, thread = prometheus_client.start_http_server(0, "127.0.0.1", registry)
    url = f"http://127.0.0.1:{server.server_port}/"

    def scrape() -> str:
        with urllib.request.urlopen(url) as response:
            return str(response.read(), "utf-8")

    try:
        pages = [await asyncio.to_thread(scrape) for _ in range(2)]
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        thread.join()
    assert 'discord_guilds{bot="b"} 1.0\n' in pages[0]
    assert 'discord_guilds{bot="b"} 2.0\n' in pages[1]
    assert 'process_open_fds{bot="b"} 3.0\n' in pages[1]


async def test_on_the_default_registry_it_can_be_registered_and_our_page_leaves_it_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ours, errors = Ours(), list[object]()
    collector = RegistryCollector(ours.instruments, ours.sample)
    prometheus_client.REGISTRY.register(collector)
    try:
        page = prometheus_client.generate_latest().decode()
        assert page.count("# TYPE discord_guilds gauge") == 1
        assert page.count("# TYPE process_open_fds gauge") <= 1
        ours.sampled_on.clear()
        user = UserRegistry(ours.instruments, lambda *error: errors.append(error))
        text = b"".join(await user.render(openmetrics=False)).decode()
        assert "discord_guilds" not in text
        assert "process_open_fds" not in text
        assert "python_info" in text
        user.close()
    finally:
        prometheus_client.REGISTRY.unregister(collector)
    assert ours.sampled_on == errors == caplog.records == []


@pytest.mark.parametrize("process", [False, True])
def test_process_metrics_are_described_and_served_only_where_asked_for(*, process: bool) -> None:
    collector = RegistryCollector(Ours().instruments, lambda: None, process=process)
    for families in (collector.describe(), collector.collect()):
        names = {family.name for family in families}
        assert ("process_cpu_seconds" in names) is process
        assert ("process_open_fds" in names) is process


async def test_while_the_loop_is_stuck_a_scrape_has_the_last_values_and_asks_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(collector_module, "FRESH_WITHIN", 0.05)
    ours, registry = Ours(), CollectorRegistry()
    registry.register(RegistryCollector(ours.instruments, ours.sample))
    ours.sample()
    values: list[float | None] = []
    threads = [threading.Thread(target=lambda: values.append(value(registry))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()  # the loop stands still meanwhile
    assert values == [1, 1, 1]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(ours.sampled_on) == 2


def test_a_loop_that_is_closed_or_was_never_there_is_not_waited_for() -> None:
    ours, registry = Ours(), CollectorRegistry()

    async def make() -> RegistryCollector:
        return RegistryCollector(ours.instruments, ours.sample)

    registry.register(asyncio.run(make()))
    ours.guilds.set(7)
    began = time.monotonic()
    assert value(registry) == 7
    assert [family.name for family in RegistryCollector(ours.instruments, ours.sample).collect()] == ["discord_guilds"]
    assert time.monotonic() - began < collector_module.FRESH_WITHIN
    assert ours.sampled_on == []


async def test_a_collector_that_was_made_before_the_loop_ran_samples_once_it_is_told() -> None:
    ours = Ours()
    collector = await asyncio.to_thread(RegistryCollector, ours.instruments, ours.sample)
    list(collector.collect())
    assert ours.sampled_on == []
    collector.start()
    await asyncio.to_thread(collector.start)
    list(collector.collect())
    assert len(ours.sampled_on) == 1


@pytest.mark.parametrize("in_thread", [False, True])
async def test_nothing_of_ours_raises_into_the_users_scrape(
    caplog: pytest.LogCaptureFixture, *, in_thread: bool
) -> None:
    def fails() -> None:
        msg = "ours"
        raise RuntimeError(msg)

    ours, registry = Ours(), CollectorRegistry()
    ours.guilds.set(5)
    registry.register(RegistryCollector(ours.instruments, fails))
    for _ in range(2):
        assert (await asyncio.to_thread(value, registry) if in_thread else value(registry)) == 5
    assert len(caplog.records) == 1


async def test_a_collect_that_fails_gives_an_empty_page_and_one_line_in_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = Ours()
    monkeypatch.setattr(ours.instruments, "collect", lambda: 1 / 0)
    assert list(RegistryCollector(ours.instruments, ours.sample).collect()) == []
    assert "ZeroDivisionError" in caplog.text


async def test_a_histogram_is_served_whole_by_another_registry() -> None:
    ours, registry = Ours(), CollectorRegistry()
    ours.instruments.histogram(catalogue.EVENT_LOOP_LAG_SECONDS).labels().observe(0.3)
    registry.register(RegistryCollector(ours.instruments, ours.sample))
    assert registry.get_sample_value("discord_event_loop_lag_seconds_count", {"bot": "b"}) == 1
