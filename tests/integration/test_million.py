"""Very many events of a real bot, in a real PostgreSQL and in ClickHouse's real engine, whatever happens to these."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import pytest

from argus_exporter.analytics import queue
from tests.analytics.proxy import before
from tests.clients import until
from tests.million.crowd import Crowd, Metrics, all_wrong, crowd, kept, told, twice
from tests.million.stores import STORES, Store, freeze, kill, running, slow, thaw

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

SOME = 1_000
"""Events, of which most make a row or more."""
SMALL = {"analytics_batch_rows": 500, "analytics_batch_seconds": 0.2}
LOST = "argus_exporter_analytics_lost_total"


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    log = logging.getLogger("discord")
    level = log.level
    log.setLevel(logging.CRITICAL)
    yield
    log.setLevel(level)


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    async with running(request.param) as found:
        yield found


async def written(people: Crowd, batches: float = 0) -> float:
    """Wait until more batches are written than that; how many."""
    took = people.exporter._analytics.queue._took
    await until(lambda: sum(took.counts) > batches, 60)
    return sum(took.counts)


async def failed(people: Crowd) -> None:
    """Wait until the database has been away for two attempts."""
    await until(lambda: people.exporter._analytics.queue._failures > 1, 60)


async def all_in(people: Crowd, store: Store) -> Metrics:
    """All is over and written, once, and as the books say."""
    people.end()
    metrics = await people.written()
    assert told(await all_wrong(people, store, metrics)) == ""
    return metrics


@pytest.mark.parametrize("users", ["plain", "hash"])
async def test_what_is_stored_of_very_many_events_is_what_the_books_say(store: Store, users: str) -> None:
    async with crowd(store.url, users=users, seed=len(users)) as people:
        await people.live(10_000)
        await all_in(people, store)


async def test_a_database_that_is_killed_again_and_again_has_each_row_once(store: Store) -> None:
    async with crowd(store.url, **SMALL) as people:
        batches = 0.0
        for _ in range(2):
            living = asyncio.create_task(people.live(SOME))
            batches = await written(people, batches)
            await kill(store)
            await living
            await failed(people)
            await store.start()
        await all_in(people, store)


async def test_a_database_that_is_down_at_boot_changes_nothing_and_gets_it_all_later(store: Store) -> None:
    await kill(store)
    async with crowd(store.url, **SMALL) as people:
        await people.live(SOME)
        await failed(people)
        people.end()
        metrics = await people.page()
        assert [*metrics.wrong(people), *people.counted_otherwise()] == []
        assert metrics.sum("queue_rows") == metrics.sum("queued_total") > SOME
        await store.start()
        await all_in(people, store)


async def test_what_was_given_up_while_the_database_hung_and_is_done_after_all_is_not_done_twice(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with crowd(store.url, **SMALL) as people:
        await people.live(SOME)
        await people.written()
        freeze(store)
        with monkeypatch.context() as impatient:
            impatient.setattr(queue, "ATTEMPT_SECONDS", 1.0)
            await people.live(SOME)
            await failed(people)
        people.end()
        assert (await people.page()).wrong(people) == []
        thaw(store)
        await all_in(people, store)


async def test_what_is_done_though_nobody_hears_of_it_is_not_done_twice(store: Store) -> None:
    port = urlsplit(store.url).port or 0
    async with before(port) as network:
        async with crowd(store.url.replace(f":{port}/", f":{network.port}/"), **SMALL) as people:
            await people.live(SOME)
            await written(people)
            for _ in range(3):
                network.lost.append(store.done)
                await people.live(SOME // 2)
                await until(lambda: not network.lost, 60)
            metrics = await all_in(people, store)
            assert metrics.sum("failures_total") > 0


async def test_a_slow_database_has_each_row_once(store: Store) -> None:
    async with crowd(store.url, **SMALL) as people:
        await people.live(SOME)
        await written(people)
        async with slow(store):
            await people.live(SOME)
            people.end()
            await people.written()
        await all_in(people, store)


async def test_what_a_full_queue_has_no_room_for_is_counted_and_all_else_is_written(store: Store) -> None:
    async with crowd(store.url, analytics_queue_rows=500, **SMALL) as people:
        await people.live(SOME // 10)
        await people.written()
        await kill(store)
        await people.live(SOME)
        people.end()
        metrics = await people.page()
        assert metrics.sum("queue_rows") == 500
        assert metrics.sum("lost_total") == metrics.sum("lost_total", ("reason", "rows")) > 0
        assert [*metrics.wrong(people), *people.sent(), *people.counted_otherwise()] == []
        await store.start()
        metrics = await people.written()
        there = await kept(store)
        assert [*metrics.wrong(people), *await twice(store)] == []
        for table in ("interactions", "commands", "member_events", "guild_events"):
            assert there[table] == metrics.sum("written_total", ("table", table)), table


async def test_what_the_close_could_not_write_is_counted(store: Store) -> None:
    async with crowd(store.url, analytics_batch_seconds=3600) as people:
        await people.live(SOME)
        exporter = people.exporter
        await kill(store)
        people.end()
        waiting = exporter._analytics.queue.rows
        await exporter.close()
        lost = exporter.instruments.families[LOST].cells
        assert sum(cell.value for (_, reason), cell in lost.items() if reason == "closing") == waiting > SOME
