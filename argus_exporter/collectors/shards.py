"""The shards of this process: state, latency, dispatches, outages, guilds, start-up."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import time
import typing
from typing import ClassVar, Final

from argus_exporter import catalogue
from argus_exporter.collectors.base import Collector, Context
from argus_exporter.discordpy import GatewayListener, Heart

if typing.TYPE_CHECKING:
    from argus_exporter.discordpy import ClientView
    from argus_exporter.instruments import CounterCell, GaugeCell, Instruments

UNKNOWN, UNHEALTHY, OFFLINE, ONLINE, STARTING, STOPPING, RESUMING = range(len(catalogue.SHARD_STATUSES))
"""Glance's states of a shard, the values of ``discord_shard_status``."""

TICK_SECONDS: Final = 5.0
"""How often each shard is looked at between scrapes, so that the time of its last dispatch is right within this."""

ACK_GRACE_SECONDS: Final = 10.0
"""A shard is unhealthy when no ACK came this long after its second unanswered heartbeat."""

SILENCE_SECONDS: Final = 120.0
"""A shard with ACKs is unhealthy when it had no dispatch for this long while siblings go on receiving."""

SIBLINGS: Final = 2
"""How many siblings must go on receiving before a shard's silence means anything."""

RECEIVING_SECONDS: Final = 30.0
"""A shard goes on receiving when it had a dispatch within this time."""


class ShardCells(typing.NamedTuple):
    """The handles of one shard, bound once: a sample of 64 shards must not look up a thousand labels."""

    dispatches: CounterCell
    identifies: CounterCell
    resumes: CounterCell
    outages: CounterCell
    downtime: CounterCell
    status: GaugeCell
    latency: GaugeCell
    last_ack: GaugeCell
    last_dispatch: GaugeCell
    guilds: GaugeCell
    guilds_unavailable: GaugeCell
    send_rate_limited: GaugeCell
    ready_seconds: GaugeCell
    identify_wait: GaugeCell
    guilds_expected: GaugeCell
    guilds_available: GaugeCell

    @classmethod
    def of(cls, instruments: Instruments, shard_id: int) -> ShardCells:
        """The handles of a shard; its counters exist at 0 from now on, so that the first event moves ``rate()``."""
        counter, gauge, name = instruments.counter, instruments.gauge, str(shard_id)
        return cls(
            dispatches=counter(catalogue.SHARD_DISPATCHES_TOTAL).labels(name),
            identifies=counter(catalogue.SHARD_CONNECTIONS_TOTAL).labels(name, "identify"),
            resumes=counter(catalogue.SHARD_CONNECTIONS_TOTAL).labels(name, "resume"),
            outages=counter(catalogue.SHARD_OUTAGES_TOTAL).labels(name),
            downtime=counter(catalogue.SHARD_DOWNTIME_SECONDS_TOTAL).labels(name),
            status=gauge(catalogue.SHARD_STATUS).labels(name),
            latency=gauge(catalogue.SHARD_LATENCY_SECONDS).labels(name),
            last_ack=gauge(catalogue.SHARD_LAST_ACK_TIMESTAMP_SECONDS).labels(name),
            last_dispatch=gauge(catalogue.SHARD_LAST_DISPATCH_TIMESTAMP_SECONDS).labels(name),
            guilds=gauge(catalogue.SHARD_GUILDS).labels(name),
            guilds_unavailable=gauge(catalogue.SHARD_GUILDS_UNAVAILABLE).labels(name),
            send_rate_limited=gauge(catalogue.SHARD_SEND_RATE_LIMITED).labels(name),
            ready_seconds=gauge(catalogue.SHARD_READY_SECONDS).labels(name),
            identify_wait=gauge(catalogue.SHARD_IDENTIFY_WAIT_SECONDS).labels(name),
            guilds_expected=gauge(catalogue.STARTUP_GUILDS_EXPECTED).labels(name),
            guilds_available=gauge(catalogue.STARTUP_GUILDS_AVAILABLE).labels(name),
        )


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class Shard:
    """What is remembered of a shard. Times are those of ``time.perf_counter``, in seconds."""

    cells: ShardCells
    launched: bool = False
    connected: bool = False
    resuming: bool = False
    ready: bool = False
    opened_at: float = 0.0
    seen_to_open: bool = False
    down_since: float | None = None
    last_ack: float | None = None
    last_dispatch: float = -math.inf
    seen_dispatches: float = 0
    sequence: int = 0

    def add_downtime(self, now: float) -> None:
        """Count the outage that is running, up to now."""
        if self.down_since is not None:
            self.cells.downtime.value += now - self.down_since
            self.down_since = now


def status_of(shard: Shard, heart: Heart, now: float, *, closing: bool, receiving: int) -> int:
    """The state of a shard, the first that fits.

    :param now: of ``time.perf_counter``.
    :param receiving: how many shards of this process had a dispatch lately.
    """
    if closing:
        return STOPPING
    if not shard.launched:
        return UNKNOWN
    if not (shard.connected and heart.open):
        return OFFLINE
    if not shard.ready:
        return RESUMING if shard.resuming else STARTING
    unhealthy = misses_acks(heart, now) or is_mute(shard, heart, now, receiving)
    return UNHEALTHY if unhealthy else ONLINE


def misses_acks(heart: Heart, now: float) -> bool:
    """Whether no ACK came until 10 s after the second unanswered heartbeat."""
    if heart.interval is None or heart.answered is None or heart.last_beat is None:
        return False
    second = heart.answered + 2 * heart.interval
    # that beat must have been sent: a loop that stands still sends none, and that is not Discord's silence
    return heart.last_beat >= second - 0.5 * heart.interval and now >= second + ACK_GRACE_SECONDS


def is_mute(shard: Shard, heart: Heart, now: float, receiving: int) -> bool:
    """Whether ACKs come but no dispatches, while siblings receive. A quiet bot is never unhealthy for silence alone."""
    if heart.last_ack is None or receiving < SIBLINGS:
        return False
    since = max(shard.opened_at, shard.last_dispatch)
    return now - since >= SILENCE_SECONDS


class ShardsCollector(Collector, GatewayListener):
    """Follows each shard of this process."""

    noun: ClassVar[str] = "shards"

    def __init__(self, context: Context) -> None:
        assert context.client is not None  # noqa: S101 - collectors of the client are made with one
        self._view: ClientView = context.client
        self._instruments = context.instruments
        self._shards: dict[int, Shard] = {}
        self._total = context.instruments.gauge(catalogue.SHARDS).labels()
        self._guilds = context.instruments.gauge(catalogue.GUILDS).labels()
        self._queue = context.instruments.gauge(catalogue.SHARD_RECONNECT_QUEUE).labels()
        self._timer: asyncio.TimerHandle | None = None
        self._view.shard_cell = lambda shard_id: self._shard(shard_id).cells.dispatches
        self._view.listeners.append(self)

    @property
    def degraded(self) -> bool:
        """Whether the gateway is watched by the public way only."""
        return not self._view.hooked

    def start(self) -> None:
        """Look at the shards every few seconds, and hear when they are ready."""
        event = "shard_ready" if self._view.is_sharded else "ready"
        self._view.on(event, self._became_ready)
        self._tick()

    async def close(self) -> None:
        """Stop looking."""
        if self._timer is not None:
            self._timer.cancel()

    def sample(self) -> None:
        """Bring the gauges up to date: O(shards)."""
        self._total.set(self._view.shard_count())
        self._queue.set(self._view.reconnect_queue())
        self._view.guilds.check()
        self._guilds.set(self._view.guilds.count())
        self._sample_shards(self._look())

    # ------------------------------------------------------------------------------------- what the gateway tells

    def opened(self, shard_id: int, *, resuming: bool, ready: bool) -> None:
        """A websocket is there; an outage goes on until its session begins."""
        shard = self._shard(shard_id)
        shard.launched = shard.connected = True
        shard.resuming, shard.ready, shard.opened_at = resuming, ready, time.perf_counter()
        shard.seen_to_open = not ready

    def lost(self, shard_id: int) -> None:
        """The shard was launched, and is offline. When its outage began is not known: it is not counted."""
        self._shard(shard_id).launched = True

    def began(self, shard_id: int, kind: str) -> None:
        """A session began: the outage, if there was one, is over."""
        shard = self._shard(shard_id)
        shard.add_downtime(time.perf_counter())
        shard.ready, shard.down_since = True, None
        sessions = shard.cells.resumes if kind == "resume" else shard.cells.identifies
        sessions.value += 1

    def closed(self, shard_id: int, reason: tuple[str, str] | None) -> None:  # noqa: ARG002
        """A websocket closes. If its session was running, that is an outage; a failed attempt is not another."""
        shard = self._shard(shard_id)
        if shard.ready and not self._view.closing:
            shard.down_since = time.perf_counter()
            shard.cells.outages.value += 1
        shard.connected = shard.ready = False

    def identified(self, shard_id: int, waited: float) -> None:
        """Keep how long the IDENTIFY waited for its turn."""
        self._shard(shard_id).cells.identify_wait.set(waited)

    def _became_ready(self, shard_id: int | None = None) -> None:
        shard = self._shard(next(iter(self._view.shard_ids())) if shard_id is None else shard_id)
        if shard.seen_to_open:
            shard.cells.ready_seconds.set(time.perf_counter() - shard.opened_at)

    # ------------------------------------------------------------------------------------- looking

    def _shard(self, shard_id: int) -> Shard:
        shard = self._shards.get(shard_id)
        if shard is None:
            shard = self._shards[shard_id] = Shard(ShardCells.of(self._instruments, shard_id))
        return shard

    def _tick(self) -> None:
        self._view.guard(self.noun, self._look)
        self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)

    def _look(self) -> dict[int, Heart]:
        """See which shards had a dispatch since the last look."""
        hearts, now = self._view.hearts(), time.perf_counter()
        for shard_id in self._view.shard_ids():
            self._look_at(self._shard(shard_id), hearts.get(shard_id), now)
        return hearts

    def _look_at(self, shard: Shard, heart: Heart | None, now: float) -> None:
        if not self._view.hooked and heart is not None and heart.sequence is not None:
            self._count_by_sequence(shard, heart.sequence)
        dispatches = shard.cells.dispatches.value
        if dispatches != shard.seen_dispatches:
            shard.seen_dispatches, shard.last_dispatch = dispatches, now
            shard.cells.last_dispatch.set(round(time.time(), 3))

    def _count_by_sequence(self, shard: Shard, sequence: int) -> None:
        """The sequence counts dispatches exactly within a session; a new session starts it again."""
        new = sequence - shard.sequence if sequence >= shard.sequence else sequence
        shard.sequence = sequence
        shard.cells.dispatches.value += new

    def _sample_shards(self, hearts: dict[int, Heart]) -> None:
        now, closing, guilds = time.perf_counter(), self._view.closing, self._view.guilds
        lately = now - RECEIVING_SECONDS
        receiving = sum(shard.last_dispatch >= lately for shard in self._shards.values())
        for shard_id, shard in self._shards.items():
            heart, cells = hearts.get(shard_id, _NO_HEART), shard.cells
            cells.status.value = status_of(shard, heart, now, closing=closing, receiving=receiving)
            _sample_heart(shard, heart, now)
            cells.guilds.value = guilds.total.get(shard_id, 0)
            cells.guilds_unavailable.value = guilds.unavailable.get(shard_id, 0)
            expected = guilds.expected.get(shard_id)
            cells.guilds_expected.value = expected
            cells.guilds_available.value = None if expected is None else expected - len(guilds.pending[shard_id])


_NO_HEART: Final = Heart()


def _sample_heart(shard: Shard, heart: Heart, now: float) -> None:
    shard.add_downtime(now)
    shard.cells.latency.value = heart.latency
    shard.cells.send_rate_limited.value = int(heart.rate_limited) if heart.open else None
    if heart.last_ack is not None and heart.last_ack != shard.last_ack:
        shard.last_ack = heart.last_ack
        shard.cells.last_ack.value = round(time.time() - (now - heart.last_ack), 3)
