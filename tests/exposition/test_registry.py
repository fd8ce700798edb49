from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from argus_exporter import catalogue
from argus_exporter.exposition import registry as registry_module
from argus_exporter.exposition.collector import PROCESS_NAMES, RegistryCollector
from argus_exporter.exposition.registry import UserRegistry
from argus_exporter.exposition.worker import StuckError
from argus_exporter.instruments import Instruments

Errors = list[tuple[str, BaseException]]


class Collects:
    """A collector of the user's, made of a function."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self.collect = collect

    def describe(self) -> list[Metric]:
        return []


def gauge(name: str, value: float = 1) -> Metric:
    return GaugeMetricFamily(name, "Help.", value=value)


def raises() -> Iterator[Metric]:
    yield gauge("before")
    msg = "the user's bug"
    raise LookupError(msg)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "argus_exporter registry"]


class House:
    """A user's registry beside our instruments, and what was reported."""

    def __init__(self, patience: float = 10) -> None:
        self.registry = CollectorRegistry()
        self.instruments = Instruments()
        self.errors: Errors = []
        self.user = UserRegistry(
            self.instruments, lambda *error: self.errors.append(error), registry=self.registry, patience=patience
        )

    def add(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self.registry.register(Collects(collect))

    async def text(self, *, openmetrics: bool = False) -> str:
        return b"".join(await self.user.render(openmetrics=openmetrics)).decode()

    async def names(self, *, openmetrics: bool = False) -> list[str]:
        text = await self.text(openmetrics=openmetrics)
        families = parse_openmetrics(f"{text}# EOF\n") if openmetrics else parse_text(text)
        return [family.name for family in families]


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    house.user.close()
    for thread in threads():
        thread.join(10)
    assert not threads()


@pytest.mark.parametrize("openmetrics", [False, True])
async def test_the_users_metrics_are_on_the_page_without_created_series(house: House, *, openmetrics: bool) -> None:
    counter = prometheus_client.Counter("orders", "Orders.", ["kind"], registry=house.registry)
    counter.labels("new").inc(3)
    prometheus_client.Histogram("wait_seconds", "Wait.", registry=house.registry).observe(0.3)
    prometheus_client.Info("build", "Build.", registry=house.registry).info({"commit": "abc"})
    text = await house.text(openmetrics=openmetrics)
    assert 'orders_total{kind="new"} 3.0\n' in text
    assert 'wait_seconds_bucket{le="+Inf"} 1.0\n' in text
    assert 'build_info{commit="abc"} 1.0\n' in text
    assert "_created" not in text
    assert "EOF" not in text
    assert house.errors == []


async def test_an_empty_registry_costs_no_thread_and_gives_nothing(house: House) -> None:
    assert await house.text() == ""
    assert threads() == []


async def test_what_prometheus_client_itself_has_on_its_registry_needs_no_thread() -> None:
    instruments, errors = Instruments(), list[object]()
    for metric in catalogue.METRICS:
        if metric.name in PROCESS_NAMES:
            (instruments.counter if metric.kind == "counter" else instruments.gauge)(metric)  # type: ignore[operator]
    user = UserRegistry(instruments, lambda *error: errors.append(error))
    text = b"".join(await user.render(openmetrics=False)).decode()
    assert "python_info{" in text
    assert "python_gc_objects_collected_total{" in text
    assert "process_" not in text
    assert threads() == errors == []


async def test_the_process_metrics_of_prometheus_client_are_served_where_ours_are_off() -> None:
    user = UserRegistry(Instruments(), lambda *_: None)
    if list(prometheus_client.PROCESS_COLLECTOR.collect()):
        assert b"process_open_fds " in b"".join(await user.render(openmetrics=False))
    user.close()
    for thread in threads():
        await asyncio.to_thread(thread.join, 10)


async def test_the_labels_of_the_registrys_target_are_on_the_page(house: House) -> None:
    house.registry.set_target_info({"service": "bot"})
    assert 'target_info{service="bot"} 1.0\n' in await house.text()
    assert 'target_info{service="bot"} 1.0\n' in await house.text(openmetrics=True)
    assert threads() == []


@pytest.mark.parametrize("openmetrics", [False, True])
async def test_a_family_whose_name_is_ours_is_left_out_and_that_is_said_once(
    house: House, caplog: pytest.LogCaptureFixture, *, openmetrics: bool
) -> None:
    house.instruments.gauge(catalogue.GUILDS)
    house.instruments.counter(catalogue.SHARD_OUTAGES_TOTAL)
    house.instruments.histogram(catalogue.EVENT_LOOP_LAG_SECONDS)
    house.add(
        lambda: [
            gauge("discord_guilds"),
            gauge("discord_shard_outages"),
            CounterMetricFamily("discord_shard_outages", "Help.", value=1),
            gauge("discord_event_loop_lag_seconds_count"),
            gauge("discord_guilds_seen"),
        ]
    )
    for _ in range(2):
        assert await house.names(openmetrics=openmetrics) == ["discord_guilds_seen"]
    said = [record.getMessage() for record in caplog.records]
    assert [message.split()[1] for message in said] == [
        "discord_guilds",
        "discord_shard_outages",
        "discord_event_loop_lag_seconds_count",
    ]
    assert house.errors == []


async def test_process_metrics_of_another_collector_are_left_out_without_a_word(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.instruments.counter(catalogue.PROCESS_CPU_SECONDS_TOTAL)
    house.add(lambda: [CounterMetricFamily("process_cpu_seconds", "Help.", value=1), gauge("other")])
    assert await house.names() == ["other"]
    assert caplog.records == []


async def test_a_process_collector_with_a_namespace_is_served(house: House) -> None:
    house.instruments.counter(catalogue.PROCESS_CPU_SECONDS_TOTAL)
    house.add(lambda: [CounterMetricFamily("mine_process_cpu_seconds", "Help.", value=1)])
    assert await house.names() == ["mine_process_cpu_seconds"]


@pytest.mark.parametrize("openmetrics", [False, True])
async def test_of_the_users_own_duplicates_the_first_is_served(
    house: House, caplog: pytest.LogCaptureFixture, *, openmetrics: bool
) -> None:
    house.add(lambda: [gauge("twice", 1), gauge("twice", 2)])
    house.add(lambda: [gauge("twice", 3), CounterMetricFamily("twice", "Help.", value=4), gauge("once")])
    assert "twice 1.0\n" in await house.text(openmetrics=openmetrics)
    assert await house.names(openmetrics=openmetrics) == ["twice", "once"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


async def test_names_that_change_at_every_scrape_do_not_fill_the_log(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.add(lambda: [gauge(f"n{index // 2}") for index in range(400)])
    assert len(await house.names()) == 200
    assert len(caplog.records) == 100


async def test_a_family_that_cannot_be_written_leaves_its_name_to_one_that_can(house: House) -> None:
    bad = GaugeMetricFamily("depth", "Help.", labels=["x"])
    for n in range(200):
        bad.add_metric([str(n)], 1)
    bad.add_metric(["last"], "deep")  # type: ignore[arg-type]
    house.add(lambda: [bad, gauge("depth", 7), gauge("after")])
    text = await house.text()
    assert "depth 7.0\n" in text
    assert "depth{" not in text, "half of a family is on the page"
    assert "after 1.0\n" in text
    assert [noun for noun, _ in house.errors] == ["registry"]


async def test_a_collector_that_raises_costs_no_other_its_families(house: House) -> None:
    house.add(raises)
    house.add(lambda: None)  # type: ignore[arg-type,return-value]
    house.add(lambda: [None, gauge("last")])  # type: ignore[list-item]
    assert await house.names() == ["before", "last"]
    assert [noun for noun, _ in house.errors] == ["registry"] * 3
    assert type(house.errors[0][1]) is LookupError


async def test_a_collector_that_wants_to_end_the_program_ends_nothing(house: House) -> None:
    def leaves() -> list[Metric]:
        raise SystemExit(2)

    house.add(leaves)
    assert await house.text() == ""
    assert [(noun, type(error)) for noun, error in house.errors] == [("registry", SystemExit)]


async def test_a_registry_of_another_making_is_collected_as_a_whole() -> None:
    errors: Errors = []
    own = Collects(lambda: [gauge("own")])
    user = UserRegistry(Instruments(), lambda *error: errors.append(error), registry=own)  # type: ignore[arg-type]
    assert b"own 1.0\n" in b"".join(await user.render(openmetrics=False))
    user.close()
    for thread in threads():
        await asyncio.to_thread(thread.join, 10)
    assert errors == []


async def test_a_collector_that_blocks_neither_holds_the_loop_nor_the_page_and_is_counted_each_time() -> None:
    house, go = House(patience=0.2), threading.Event()
    house.add(lambda: go.wait(60) and [gauge("late")])  # type: ignore[return-value]
    try:
        assert await house.text() == ""
        assert [type(error) for _, error in house.errors] == [StuckError]
        while (await house.text(), len(house.errors))[1] < 4:
            pass
        assert {type(error) for _, error in house.errors} == {StuckError}
        assert len(threads()) == 1
    finally:
        go.set()
    (thread,) = threads()
    while "late 1.0" not in await house.text():
        await asyncio.sleep(0.01)
    house.user.close()
    await asyncio.to_thread(thread.join, 10)
    assert not thread.is_alive()


async def test_a_user_who_registers_a_slow_collector_does_not_hold_the_loop(house: House) -> None:
    """auto_describe collects while the registry's lock is held."""
    begun, go = threading.Event(), threading.Event()
    house.registry._auto_describe = True

    class Slow:
        def collect(self) -> list[Metric]:
            begun.set()
            go.wait(60)
            return []

    registering = threading.Thread(target=house.registry.register, args=(Slow(),), daemon=True)
    registering.start()
    await asyncio.to_thread(begun.wait, 10)
    try:
        assert await asyncio.wait_for(house.text(), 5) == ""
    finally:
        go.set()
        await asyncio.to_thread(registering.join)


async def test_the_thread_gives_the_loop_its_turn_while_it_renders_a_large_registry(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    naps: list[float] = []
    real = time.sleep
    monkeypatch.setattr(registry_module.time, "sleep", lambda seconds: (naps.append(seconds), real(seconds)))
    big = prometheus_client.Gauge("big", "Help.", ["n"], registry=house.registry)
    for n in range(5000):
        big.labels(str(n)).set(n)
    assert (await house.text()).count("\n") == 5002
    assert len(naps) >= 5
    assert set(naps) == {registry_module._NAP}
    naps.clear()
    big.clear()
    await house.text()
    assert len(naps) <= 1


async def test_the_collector_of_another_bot_in_the_process_is_another_users(house: House) -> None:
    others = Instruments({"bot": "b"})
    others.gauge(catalogue.GUILDS).labels().set(1)
    house.registry.register(RegistryCollector(others, lambda: None))
    assert 'discord_guilds{bot="b"} 1.0\n' in await house.text()
