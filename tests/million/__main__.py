"""``python -m tests.million [--count N] [--store postgres|clickhouse|both]``: a million events, and what comes of them.

They go through a real bot that is logged in to the simulator into a real PostgreSQL and into ClickHouse's real engine,
and the totals in the database must be those of the books: by table, guild, channel, user, type, outcome and command.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import logging
import sys
import time
from collections import Counter
from typing import Any, Final

import psutil

from tests.clients import until
from tests.million.crowd import Crowd, Metrics, all_wrong, crowd, kept, told
from tests.million.stores import STORES, running

_MB: Final = 1 << 20
_SHARES: Final = 50


def main() -> int:
    """Run, and tell by the exit code whether all is well."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.million", description="Events into databases, and the books."
    )
    parser.add_argument("--count", type=int, default=1_000_000, help="how many events (%(default)s)")
    parser.add_argument("--store", choices=(*STORES, "both"), default="both", help="where to (%(default)s)")
    parser.add_argument("--users", choices=("off", "hash", "plain"), default="plain", help="their ids (%(default)s)")
    given = parser.parse_args()
    logging.getLogger("discord").setLevel(logging.CRITICAL)  # it would tell of every failure
    logging.getLogger("argus_exporter").setLevel(logging.ERROR)  # and the watchdog, of every stall of a busy machine
    names = [*STORES] if given.store == "both" else [given.store]
    return max([asyncio.run(_run(name, given.count, given.users)) for name in names])


async def _run(name: str, count: int, users: str) -> int:
    print(f"\n{name}, {count} events, users' ids: {users}", flush=True)
    async with running(name) as store, crowd(store.url, users=users) as people:
        began = time.perf_counter()
        for share in range(1, _SHARES + 1):
            await people.live(count * share // _SHARES - people.happened)
            # events come faster here than anywhere, and leave the loop no time
            await until(functools.partial(_has_room, people), 600)
            _progress(people, time.perf_counter() - began)
        people.end()
        metrics = await people.written()
        wrong = await all_wrong(people, store, metrics)
        _sums(people, metrics, await kept(store))
    print(f"{name}: {len(people.rows)} sums over {people.happened} events are {'NOT ' if wrong else ''}equal")
    print(told(wrong))
    return int(bool(wrong))


def _has_room(people: Crowd) -> bool:
    queue: Any = people.exporter._analytics.queue
    return bool(queue.rows < people.exporter.settings.analytics_queue_rows // 5)


def _progress(people: Crowd, seconds: float) -> None:
    queue: Any = people.exporter._analytics.queue
    rss = psutil.Process().memory_info().rss / _MB
    print(
        f"{people.happened:>9} events  {seconds:>6.0f} s  {people.happened / seconds:>6.0f}/s  "
        f"{sum(people.queued.values()):>9} rows  {queue.rows:>6} wait  RSS {rss:>6.1f} MB",
        flush=True,
    )


def _sums(people: Crowd, metrics: Metrics, stored: dict[str, int]) -> None:
    booked: Counter[str] = Counter()
    for (table, *_), rows in people.rows.items():
        booked[table] += rows
    head = ("table", "booked", "queued", "written", "lost", "in the database")
    print(f"\n{head[0]:16}" + "".join(f"{name:>18}" for name in head[1:]))
    for table, rows in booked.items():
        counts = [metrics.sum(f"{what}_total", ("table", table)) for what in ("queued", "written", "lost")]
        print(f"{table:16}" + "".join(f"{number:>18}" for number in (rows, *counts, stored[table])))


if __name__ == "__main__":
    sys.exit(main())
