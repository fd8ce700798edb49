"""The gateway as a whole: dispatches, closes, the session start limit, who this is and how the last process ended."""

from __future__ import annotations

import asyncio
import logging
import platform
import time
import typing
from typing import ClassVar, Final

import discord

from argus_exporter import catalogue
from argus_exporter.collectors.base import Collector, Context
from argus_exporter.collectors.last_exit import LastExit
from argus_exporter.discordpy import GatewayListener, SessionStartLimit, is_fatal
from argus_exporter.version import VERSION

if typing.TYPE_CHECKING:
    from argus_exporter.discordpy import ClientView

RARE: Final = frozenset({"READY", "RESUMED", "RATE_LIMITED"})
"""Dispatches that mean something besides being counted; they take the slow way."""

_ASKED_AGAIN: Final = 4
"""How often an answer is thrown away at most, while one IDENTIFY follows upon the other."""

_log: Final = logging.getLogger(__name__)


class GatewayCollector(Collector, GatewayListener):
    """Counts dispatches by name, closes by code, and asks for the session start limit."""

    noun: ClassVar[str] = "gateway"

    def __init__(self, context: Context) -> None:
        instruments, view = context.instruments, context.client
        assert view is not None  # noqa: S101 - collectors of the client are made with one
        self._view: ClientView = view
        self._interval = context.settings.session_limit_interval
        self._events = instruments.counter(catalogue.GATEWAY_EVENTS_TOTAL)
        self._closes = instruments.counter(catalogue.GATEWAY_CLOSES_TOTAL)
        self._rate_limited = instruments.counter(catalogue.GATEWAY_RATE_LIMITED_TOTAL).labels()
        self._chunk_requests = instruments.counter(catalogue.MEMBER_CHUNK_REQUESTS_TOTAL).labels()
        self._info = instruments.gauge(catalogue.BOT_INFO)
        self._limit = instruments.gauge(catalogue.SESSION_START_LIMIT).labels()
        self._remaining = instruments.gauge(catalogue.SESSION_START_LIMIT_REMAINING).labels()
        self._reset = instruments.gauge(catalogue.SESSION_START_LIMIT_RESET_TIMESTAMP_SECONDS).labels()
        self._concurrency = instruments.gauge(catalogue.SESSION_START_LIMIT_MAX_CONCURRENCY).labels()
        self._last_exit = LastExit(instruments.gauge(catalogue.LAST_EXIT_INFO), context.settings)
        self._identifies = 0
        self._polling: asyncio.Task[None] | None = None
        # every name exists at 0, so that the first of its kind moves rate()
        cells = {name: self._events.labels(name) for name in catalogue.GATEWAY_EVENTS}
        view.events.clear()
        view.events.update({name: cell for name, cell in cells.items() if name not in RARE})
        view.listeners.append(self)

    @property
    def degraded(self) -> bool:
        """Whether the gateway is watched by the public way only."""
        return not self._view.hooked

    def start(self) -> None:
        """Say who this is, and begin to ask for the session start limit."""
        self.sample()
        if self._interval is not None:
            self._polling = asyncio.get_running_loop().create_task(
                self._poll(self._interval), name="argus_exporter:limit"
            )

    def sample(self) -> None:
        """Say who this is as soon as the client knows, and tell why the last process ended."""
        user = self._view.user
        if user is None:
            return
        if not self._info.cells:  # once: with the name after a renaming, there would be two
            self._info.labels(user.name, discord.__version__, platform.python_version(), VERSION).set(1)
        self._last_exit.open(user.id, next(iter(self._view.shard_ids()), 0))

    async def close(self) -> None:
        """Stop asking, and leave word that we end in order."""
        self._last_exit.close()
        polling, self._polling = self._polling, None
        if polling is not None:
            polling.cancel()
            await asyncio.gather(polling, return_exceptions=True)

    # ------------------------------------------------------------------------------------- what the gateway tells

    def counted(self, event: object) -> None:
        """Count a rare or unknown name; what is not a string is an unknown name too."""
        self._events.labels(event if isinstance(event, str) else "").value += 1
        if event == "RATE_LIMITED":
            self._rate_limited.value += 1

    def closed(self, shard_id: int, reason: tuple[str, str] | None) -> None:  # noqa: ARG002
        """Count a close; one that ends the client is written down at once, for the next process to tell."""
        if reason is None:
            return
        code, _ = reason
        self._closes.labels(*reason).value += 1
        if is_fatal(code):
            self._last_exit.note("fatal_close", code)

    def identified(self, shard_id: int, waited: float) -> None:  # noqa: ARG002
        """Count down between two polls."""
        self._identifies += 1
        if self._remaining.value:
            self._remaining.value -= 1

    def chunks_requested(self, shard_id: int) -> None:  # noqa: ARG002
        """Count a request for members."""
        self._chunk_requests.value += 1

    # ------------------------------------------------------------------------------------- the session start limit

    async def _poll(self, interval: float) -> None:
        failing = False
        while True:
            try:
                self._take(await self._ask())
                failing = False
            except Exception as error:  # noqa: BLE001 - Discord may be down for hours; the next poll asks again
                if not failing:
                    _log.warning("could not ask for the session start limit (will go on trying): %r", error)
                failing = True
            await asyncio.sleep(interval)

    async def _ask(self) -> SessionStartLimit:
        """Ask again where an IDENTIFY was sent meanwhile: nobody knows whether the answer has it."""
        for _ in range(_ASKED_AGAIN):
            before = self._identifies
            limit = await self._view.session_start_limit()
            if self._identifies == before:
                return limit
        return await self._view.session_start_limit()

    def _take(self, limit: SessionStartLimit) -> None:
        self._limit.set(limit.total)
        self._remaining.set(limit.remaining)
        self._reset.set(round(time.time() + limit.reset_after, 3))
        self._concurrency.set(limit.max_concurrency)
