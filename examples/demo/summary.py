"""What the last pages say, in the numbers that the demo shows."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Final

from argus_exporter.catalogue import SHARD_STATUSES
from examples.demo.page import LAG, Page, increase, increases, quantile_edge

ONLINE: Final = SHARD_STATUSES.index("online")
RATE_SECONDS: Final = 5.0
LAG_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Shard:
    """One row of the table; None is what the page does not say."""

    number: int
    status: int
    latency: float | None
    rate: float | None
    guilds: float | None
    unavailable: float
    outages: float

    @property
    def word(self) -> str:
        """The status in a word."""
        return SHARD_STATUSES[self.status]


@dataclass(frozen=True)
class Summary:
    """Rates are per second over the last 5 seconds; lags are edges of buckets, over the last minute; sizes in bytes."""

    shards: tuple[Shard, ...]
    events: tuple[tuple[str, float], ...]
    lag_p99: float | None
    lag_worst: float | None
    blocked: float | None
    memory: float | None
    cpu: float | None
    tasks: float | None
    series: float | None
    render: float | None
    uptime: float | None
    scrape: float
    size: int

    @property
    def online(self) -> int:
        """How many shards are online."""
        return sum(shard.status == ONLINE for shard in self.shards)

    @property
    def rate(self) -> float:
        """Events per second, all of them."""
        return sum(rate for _, rate in self.events)

    @property
    def latency(self) -> float | None:
        """The worst latency that is known."""
        return max((shard.latency for shard in self.shards if shard.latency is not None), default=None)


class History:
    """The pages of the last minute."""

    def __init__(self) -> None:
        self._pages: deque[Page] = deque()

    def add(self, page: Page) -> Summary:
        """Take one more page, and say what is known now."""
        self._pages.append(page)
        while len(self._pages) > 2 and page.at - self._pages[1].at >= LAG_SECONDS:
            self._pages.popleft()
        return summarise(self._since(page.at - RATE_SECONDS), self._pages[0], page)

    def _since(self, at: float) -> Page:
        """The youngest page that is old enough, else the oldest."""
        return next((page for page in reversed(self._pages) if page.at <= at), self._pages[0])


def summarise(recent: Page, oldest: Page, page: Page) -> Summary:
    """Make a summary: rates since `recent`, lags since `oldest`, the rest from `page`."""
    seconds = page.at - recent.at
    started = page.value("process_start_time_seconds")
    return Summary(
        shards=_shards(recent, page, seconds),
        events=_events(recent, page, seconds),
        lag_p99=quantile_edge(oldest, page, LAG, 0.99),
        lag_worst=quantile_edge(oldest, page, LAG, 1.0),
        blocked=page.value("discord_event_loop_blocked_seconds_total"),
        memory=page.value("process_resident_memory_bytes"),
        cpu=_rate(recent, page, "process_cpu_seconds_total", seconds),
        tasks=page.value("discord_asyncio_tasks"),
        series=page.value("argus_exporter_series"),
        render=page.value("argus_exporter_render_seconds"),
        uptime=None if started is None else time.time() - started,
        scrape=page.took,
        size=page.size,
    )


def _rate(before: Page, after: Page, name: str, seconds: float) -> float | None:
    grown = increase(before.value(name), after.value(name))
    return None if grown is None or seconds <= 0 else grown / seconds


def _events(before: Page, after: Page, seconds: float) -> tuple[tuple[str, float], ...]:
    if seconds <= 0:
        return ()
    grown = increases(before, after, "discord_gateway_events_total", "event")
    rates = [(event, count / seconds) for event, count in grown.items() if count]
    return tuple(sorted(rates, key=lambda pair: (-pair[1], pair[0])))


def _shards(before: Page, after: Page, seconds: float) -> tuple[Shard, ...]:
    latency = after.by("discord_shard_latency_seconds", "shard")
    grown = increases(before, after, "discord_shard_dispatches_total", "shard") if seconds > 0 else {}
    guilds = after.by("discord_shard_guilds", "shard")
    unavailable = after.by("discord_shard_guilds_unavailable", "shard")
    outages = after.by("discord_shard_outages_total", "shard")
    statuses = after.by("discord_shard_status", "shard")
    return tuple(
        Shard(
            number=int(name),
            status=int(statuses[name]),
            latency=latency.get(name),
            rate=grown[name] / seconds if name in grown else None,
            guilds=guilds.get(name),
            unavailable=unavailable.get(name, 0.0),
            outages=outages.get(name, 0.0),
        )
        for name in sorted(statuses, key=int)
    )
