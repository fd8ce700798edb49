"""What probes and systemd are told: whether the loop turns, the shards are ready, the start is over."""

from __future__ import annotations

import json
import math
import time
import typing
from typing import Any, Final

from argus_exporter import catalogue
from argus_exporter.exposition.pulse import PERIOD, Pulse
from argus_exporter.exposition.reply import Reply
from argus_exporter.exposition.systemd import Notifier

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType

    from aiohttp.web_request import BaseRequest
    from aiohttp.web_response import StreamResponse

    from argus_exporter.catalogue import Gauge
    from argus_exporter.exposition.door import Door
    from argus_exporter.instruments import Instruments
    from argus_exporter.settings import Supervisor

    Frames = list[tuple[FrameType, int]]

ONLINE: Final = catalogue.SHARD_STATUSES.index("online")

FRESH_SECONDS: Final = 1.0
"""Probes need no token, so whoever asks more often than this gets what was found before."""

_MOST_REASONS: Final = 10
_MOST_FRAMES: Final = 8
_HEAD: Final = (
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n"
    "Retry-After: 5\r\nConnection: close\r\nContent-Length: {}\r\n\r\n"
)


class Limits(typing.Protocol):
    """What is read of the settings."""

    @property
    def live_seconds(self) -> float:
        """How long the loop may stand still."""
        ...

    @property
    def ready_guilds(self) -> float:
        """The share of guilds that has to be available."""
        ...


class Bot(typing.NamedTuple):
    """What a probe has to ask.

    :ivar sample: brings the shards' gauges up to date, on the loop.
    :ivar is_ready: whether the bot is ready, as its library says; without a bot, one that runs is.
    :ivar frames: where a thread is now, innermost first.
    """

    sample: Callable[[], None]
    is_ready: Callable[[], bool]
    frames: Callable[[int], Frames]


class State(typing.NamedTuple):
    """How the bot is.

    :ivar started: whether it was ready once, which a bot on its way through an outage still is.
    :ivar shards: the status of each of its shards; empty where nobody watches them.
    :ivar guilds: in this process, and how many of them are unavailable.
    """

    started: bool
    shards: Mapping[str, float]
    guilds: float
    unavailable: float

    @property
    def online(self) -> int:
        """Shards that are ready."""
        return sum(status == ONLINE for status in self.shards.values())

    def as_data(self) -> Mapping[str, object]:
        """What a probe shows of it; nothing of a process that has no shards, or does not know them yet."""
        return self.shards and {
            "shards": {"own": len(self.shards), "online": self.online},
            "guilds": {"own": int(self.guilds), "available": int(self.guilds - self.unavailable)},
        }

    def why_not_started(self) -> list[str]:
        """What the start still waits for."""
        if self.started:
            return []
        progress = f"{self.online} of {len(self.shards)} shards are online" if self.shards else "no shard is known yet"
        return [f"starting: {progress}", *self._off()]

    def why_not_ready(self, share: float) -> list[str]:
        """What a bot that serves all its guilds would not have."""
        reasons = self.why_not_started() or self._off()
        available = self.guilds - self.unavailable
        if available < share * self.guilds:
            reasons.append(f"{available:g} of {self.guilds:g} guilds are available, {share:.0%} should be")
        return reasons

    def _off(self) -> list[str]:
        off = [f"shard {shard} is {_status(status)}" for shard, status in self.shards.items() if status != ONLINE]
        return off if len(off) <= _MOST_REASONS else [*off[:_MOST_REASONS], f"and {len(off) - _MOST_REASONS} more"]


def _status(value: float) -> str:
    return catalogue.SHARD_STATUSES[int(value)]


class Health:
    """Answers ``/livez``, ``/readyz`` and ``/startupz``, with and without the event loop's help, and tells systemd.

    They say 200 or 503, and why, in JSON; nothing in it is a secret.

    :param door: gives the answer while the loop stands still.
    :param errors: is told what was caught, from any thread.
    """

    def __init__(
        self, limits: Limits, instruments: Instruments, bot: Bot, door: Door, errors: Callable[[BaseException], None]
    ) -> None:
        self._limits: Final = limits
        self._instruments: Final = instruments
        self._bot: Final = bot
        self._door: Final = door
        self._errors: Final = errors
        self.routes: Final = {"/livez": self._livez, "/readyz": self._readyz, "/startupz": self._startupz}
        self._notifier: Notifier | None = None
        self._pulse: Pulse | None = None
        self._started = self._told = False
        self._news: tuple[str, ...] = ()
        self._state: State | None = None
        self._found = 0.0

    def start(self, supervisor: Supervisor | None) -> None:
        """Begin to look whether the loop turns; on its thread.

        :raises OSError, RuntimeError: if the system gives no socket for systemd, or no thread.
        """
        self._told, self._news, period = False, (), PERIOD
        if supervisor is not None:
            self._notifier = Notifier(supervisor)
            period = min(period, (supervisor.watchdog or math.inf) / 3)
        self._pulse = Pulse(
            self._turned, self._alive, self._stuck, self._errors, limit=self._limits.live_seconds, period=period
        )
        self._pulse.start()

    async def close(self) -> None:
        """End the thread."""
        pulse, self._pulse = self._pulse, None
        if pulse is not None:
            await pulse.close()
        notifier, self._notifier = self._notifier, None
        if notifier is not None:
            notifier.close()

    def state(self) -> State:
        """How the bot is; found out at most once in :data:`FRESH_SECONDS`."""
        now = time.monotonic()
        if self._state is None or now - self._found >= FRESH_SECONDS:
            self._bot.sample()
            self._started = self._started or self._bot.is_ready()
            self._found = now
            self._state = State(
                self._started,
                {key[0]: value for key, value in self._values(catalogue.SHARD_STATUS).items()},
                sum(self._values(catalogue.SHARD_GUILDS).values()),
                sum(self._values(catalogue.SHARD_GUILDS_UNAVAILABLE).values()),
            )
        return self._state

    def _values(self, metric: Gauge) -> dict[tuple[str, ...], float]:
        family = self._instruments.families.get(metric.name)
        cells: dict[tuple[str, ...], Any] = dict(family.cells) if family is not None else {}
        return {key: cell.value for key, cell in cells.items() if cell.value is not None}

    # ------------------------------------------------------------------------------------- with the loop's help

    async def _livez(self, request: BaseRequest) -> StreamResponse:
        return await _reply(request, [], {})  # whoever answers this is the loop

    async def _readyz(self, request: BaseRequest) -> StreamResponse:
        state = self.state()
        return await _reply(request, state.why_not_ready(self._limits.ready_guilds), state.as_data())

    async def _startupz(self, request: BaseRequest) -> StreamResponse:
        state = self.state()
        return await _reply(request, state.why_not_started(), state.as_data())

    def _turned(self) -> None:
        if self._notifier is None or self._told:
            return
        try:
            state = self.state()
        except Exception as error:  # noqa: BLE001 - nothing of ours may raise into the bot
            self._errors(error)
            return
        self._news = ("READY=1", "STATUS=") if state.started else (f"STATUS={state.why_not_started()[0]}",)

    # ------------------------------------------------------------------------------------- in the thread

    def _alive(self) -> None:
        if self._notifier is not None:
            news = () if self._told else self._news
            self._notifier.tell("WATCHDOG=1", *news)
            self._told = self._told or "READY=1" in news

    def _stuck(self, still: Callable[[], bool]) -> None:
        self._door.stand(still, self._why_stuck)

    def _why_stuck(self) -> bytes:
        pulse = self._pulse
        seconds, thread = (0.0, 0) if pulse is None else (pulse.silence(), pulse.loop_thread)
        reason = f"the event loop has stood still for {seconds:.0f} s"
        body = _json(
            "failing", [reason], {"stack": [_place(*each) for each in self._bot.frames(thread)[:_MOST_FRAMES]]}
        )
        return _HEAD.format(len(body)).encode() + body


def _place(frame: FrameType, line: int) -> str:
    """Where a frame is, without the names of folders and without the source, which may hold what is not for all."""
    return f"{frame.f_globals.get('__name__', '?')}:{frame.f_code.co_name}:{line}"


def _json(status: str, reasons: list[str], data: Mapping[str, object]) -> bytes:
    return json.dumps({"status": status, "reasons": reasons, **data}, indent=1).encode() + b"\n"


async def _reply(request: BaseRequest, reasons: list[str], data: Mapping[str, object]) -> StreamResponse:
    body = _json("failing" if reasons else "ok", reasons, data)
    reply = Reply([body], status=503 if reasons else 200, headers={"Content-Type": "application/json"})
    await reply.send(request)
    return reply
