"""Everything that needs no bot: the cells, the collectors' life, the page and the server."""

from __future__ import annotations

import asyncio
import functools
import logging
import platform
import time
import typing
from contextlib import AsyncExitStack
from typing import Any, Final, Self

from argus_exporter import catalogue
from argus_exporter.collectors import PROCESS_COLLECTORS
from argus_exporter.collectors.base import Collector, Context
from argus_exporter.collectors.commands import scaled
from argus_exporter.collectors.shards import ShardsCollector
from argus_exporter.collectors.watchdog import frames_of
from argus_exporter.custom import Custom, CustomMethods
from argus_exporter.discordpy import Loops
from argus_exporter.discordpy.outcomes import RULES, outcome_of
from argus_exporter.errors import ErrorLog
from argus_exporter.exemplars import active_trace
from argus_exporter.exposition.collector import RegistryCollector
from argus_exporter.instruments import CounterCell, Instruments
from argus_exporter.manual import Manual, ManualMethods
from argus_exporter.settings import Settings
from argus_exporter.statsd import AsyncStatsClient
from argus_exporter.statsd.encode import FLAVOURS
from argus_exporter.threads import Ledger
from argus_exporter.version import VERSION

if typing.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiohttp.web_request import BaseRequest
    from aiohttp.web_response import StreamResponse

    from argus_exporter.analytics.start import Analytics
    from argus_exporter.discordpy import ClientView
    from argus_exporter.discordpy.outcomes import Rules
    from argus_exporter.discovery import Discovery
    from argus_exporter.exposition.page import Page
    from argus_exporter.exposition.registry import UserRegistry
    from argus_exporter.exposition.site import Site
    from argus_exporter.instruments import CounterFamily, Key
    from argus_exporter.settings import Secret
    from argus_exporter.statsd.push import Push

_KINDS_LOGGED: Final = 100
"""Of how many kinds of caught exceptions the first is logged; the counter counts on."""

_log: Final = logging.getLogger(__name__)


class Exporter(CustomMethods, ManualMethods):
    """Metrics of this process, served to Prometheus; alone it is the manual mode, without any bot.

    ::

        async with Exporter(port=9191) as exporter:
            ...

    :param settings: where not given, they are read from the environment and from ``options``, which win.
    :raises SettingError: if a value is not allowed.
    """

    def __init__(self, settings: Settings | None = None, **options: Any) -> None:
        if settings is not None and options:
            msg = "give either settings or single options, not both"
            raise TypeError(msg)
        self.settings: Final = settings or Settings.load(**options)
        self.instruments: Final = Instruments(
            {"bot": self.settings.bot, "cluster": self.settings.cluster},
            active_trace(self.settings.exemplars, self.note_error),
        )
        self.ledger: Final = Ledger(self.instruments.overflow)
        self.custom = Custom(self.instruments, self.ledger)
        self._rules: Final[Rules] = {**RULES, **dict(self.settings.outcomes)}
        self.manual = Manual(
            self.custom,
            self.note_error,
            self.capture_error,
            lambda error: outcome_of(error, self._rules),
            scaled,
            self.settings.max_commands,
        )
        self.stats: Final = AsyncStatsClient(exporter=self)
        """A StatsD client for the bot's own stats, whether StatsD is on or off: they are on the page too."""
        self._error_log = ErrorLog(self.instruments, self.ledger, self.settings)
        self._declare()
        self._logged: set[tuple[str, type[BaseException]]] = set()
        self._running: list[Collector] = []
        self._stack: AsyncExitStack | None = None
        self._page = self._make_page()
        self._site = self._make_site()
        self._discovery = self._make_discovery()
        self._push_registry: UserRegistry | None = None
        self._push = self._make_push(self.settings.statsd_url)
        self.collector: Final = RegistryCollector(self.instruments, self.sample)
        """To register in any registry of prometheus_client: ``registry.register(exporter.collector)``."""
        self._loops = Loops(self.note_error)
        self._collectors = self._make(PROCESS_COLLECTORS, self._see())
        self._analytics = self._make_analytics(self.settings.database_url)

    def _declare(self) -> None:
        self._errors = self.instruments.counter(catalogue.COLLECTOR_ERRORS_TOTAL)
        self._up = self.instruments.gauge(catalogue.COLLECTOR_UP)
        self._sample_seconds = self.instruments.gauge(catalogue.SAMPLE_SECONDS)
        self._series = self.instruments.gauge(catalogue.SERIES).labels()
        self.instruments.gauge(catalogue.EXPORTER_INFO).labels(VERSION, platform.python_version()).set(1)

    # ------------------------------------------------------------------------------------- what users ask for

    @property
    def port(self) -> int | None:
        """The port that is bound; None while there is none."""
        return self._site.port

    async def handler(self, request: BaseRequest) -> StreamResponse:
        """Serve the page in an aiohttp application of your own: ``app.router.add_get("/metrics", exporter.handler)``.

        503 while the exporter is not running: what it last knew is no longer true. Asks for the token that
        is set.
        """
        if self._stack is None:
            return self._site.closed()
        return await self._site.metrics(request)

    async def probe(self, request: BaseRequest) -> StreamResponse:
        """Serve the probes in an application of your own, at paths that end in ``/livez``, ``/readyz``, ``/startupz``.

        There nobody answers while the loop stands still, as the exporter's own port does. 404 at other paths, 503 while
        the exporter is not running.
        """
        if self._stack is None:
            return self._site.closed()
        return await self._site.probe(request)

    def watch(self, loop: object, name: str | None = None) -> None:
        """Follow a ``discord.ext.tasks`` loop that is not found by itself, at any time, without a bot too.

        Found are those of Cogs, of the client, and of the modules of extensions, Cogs, the client and ``__main__``.
        The loop is held weakly: whoever runs it keeps it.

        :param name: as it stands in the label ``loop``; a programmer's word, never an id. ``Class.method`` or
            ``module.function`` where not given.
        :raises TypeError: if it is no loop of ``discord.ext.tasks``.
        """
        self._loops.watch(loop, name)

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()

    # ------------------------------------------------------------------------------------- life

    async def start(self) -> None:
        """Open the server and start the collectors. A second start does nothing."""
        if self._stack is not None:
            return
        self._stack = stack = AsyncExitStack()
        self.ledger.adopt()
        self._stack.callback(self.ledger.release)
        self._stack.push_async_callback(self._guarded_close, "errors", self._error_log)
        try:
            self._error_log.start()
        except Exception as error:  # noqa: BLE001 - the system gives no thread
            self.note_error("errors", error)
        self.collector.start()
        self._stack.callback(self.collector.close)
        self._stack.push_async_callback(self._guarded_close, "exporter", self._page)
        self._stack.push_async_callback(self._guarded_close, "exporter", self._site)
        try:
            await self._site.start()
        except Exception as error:  # noqa: BLE001 - the world's trouble never stops the bot
            self.note_error("exporter", error)
        if self._stack is stack:  # nobody has closed it meanwhile
            self._start_discovery(stack)
            self._run(self._collectors)
            await self._start_push()
            if self._analytics is not None:
                self._analytics.start()

    async def close(self) -> None:
        """Give everything back, in reverse; one failing close does not keep the rest open.

        Analytics comes first, while there is still something to be recorded, then StatsD, which tells how that went.
        """
        stack, self._stack = self._stack, None
        if stack is not None:
            if self._push_registry is not None:
                stack.callback(self._push_registry.close)
            if self._push is not None:
                stack.push_async_callback(self._guarded_close, "statsd", self._push)
            if self._analytics is not None:
                stack.push_async_callback(self._guarded_close, "analytics", self._analytics)
            await stack.aclose()

    def _user_registry(self) -> UserRegistry | None:
        if not self.settings.user_registry:
            return None
        from argus_exporter.exposition.registry import UserRegistry  # noqa: PLC0415 - only where it is on

        return UserRegistry(self.instruments, self.note_error)

    def _make_page(self) -> Page:
        from argus_exporter.exposition.page import Page  # noqa: PLC0415 - as for the site

        return Page(self.instruments, sample=self.sample, errors=self.note_error, registry=self._user_registry())

    def _make_site(self) -> Site:
        # with aiohttp's server, for which an import alone does not have to wait
        from argus_exporter.exposition.health import Bot  # noqa: PLC0415
        from argus_exporter.exposition.site import Site  # noqa: PLC0415

        errors = functools.partial(self.note_error, "exporter")
        bot = Bot(self._sample_shards, self._is_ready, frames_of)
        return Site(self.settings, self.instruments, self._page.handler, bot, errors)

    def _make_discovery(self) -> Discovery | None:
        if self.settings.file_sd_dir is None or self.settings.port is None:
            return None
        from argus_exporter.discovery import Discovery  # noqa: PLC0415 - only where it is on

        return Discovery(self.settings, self.instruments, lambda: self.port)

    def _start_discovery(self, stack: AsyncExitStack) -> None:
        if self._discovery is not None:
            stack.push_async_callback(self._guarded_close, "exporter", self._discovery)
            try:
                self._discovery.start()
            except Exception as error:  # noqa: BLE001 - the system gives no thread
                self.note_error("exporter", error)

    def _make_push(self, url: str | None) -> Push | None:
        if url is None:
            return None
        from argus_exporter.statsd.push import Push, Wire  # noqa: PLC0415 - only where it is on

        settings = self.settings
        wire = Wire(
            url,
            settings.statsd_max_bytes,
            FLAVOURS[settings.statsd_flavour],
            settings.statsd_prefix,
            settings.statsd_interval,
            settings.statsd_refresh,
        )
        self._push_registry = self._user_registry()
        readings = None if self._push_registry is None else self._push_registry.readings
        return Push(wire, self.instruments, self.stats, self.sample, self.note_error, readings)

    async def _start_push(self) -> None:
        if self._push is not None:
            try:
                await self._push.start()
            except Exception as error:  # noqa: BLE001 - the world's trouble never stops the bot
                self.note_error("statsd", error)

    def _make_analytics(self, url: Secret | None) -> Analytics | None:
        """What records guild by guild; without a client there is nothing to record."""
        if url is not None:
            _log.warning("nothing is recorded in %s: there is no client", url)
        return None

    def _see(self) -> ClientView | None:
        """The client that is watched, if one is."""
        return None

    def _make(self, kinds: Iterable[type[Collector]], client: ClientView | None = None) -> list[Collector]:
        context = Context(
            self.instruments,
            self.settings,
            client,
            self.capture_error,
            self._loops,
            self.note_error,
            self._add,
            self._rules,
        )
        return [kind(context) for kind in kinds if kind.noun not in self.settings.disable]

    def _run(self, collectors: Iterable[Collector]) -> None:
        """Start collectors, and see to it that they are closed."""
        for collector in collectors:
            assert self._stack is not None  # noqa: S101 - only called between start and close
            self._stack.push_async_callback(self._stop, collector)
            try:
                collector.start()
            except Exception as error:  # noqa: BLE001 - nothing of ours may raise into the bot
                self.note_error(collector.noun, error)
                self._up.labels(collector.noun).set(0)
            else:
                self._running.append(collector)

    async def _stop(self, collector: Collector) -> None:
        if collector in self._running:
            self._running.remove(collector)
        await self._guarded_close(collector.noun, collector)

    async def _guarded_close(
        self, noun: str, what: Analytics | Collector | Discovery | ErrorLog | Page | Push | Site
    ) -> None:
        try:
            closing = what.close()
            if asyncio.iscoroutine(closing):
                await closing
        except Exception as error:  # noqa: BLE001
            self.note_error(noun, error)

    # ------------------------------------------------------------------------------------- at work

    def capture_error(self, error: BaseException, context: Mapping[str, object] | None = None) -> None:
        """Write an exception to the error log, if the setting ``error_log`` names one. Never raises; from any thread.

        At most 30 a minute are written, the same one once a minute; the rest is counted in
        ``argus_exporter_error_log_suppressed_total``.

        :param context: what is known of where it came from: ``command``, ``event``, ``shard`` and the like, and up to
            20 words of your own. Values are cut at 200 characters.
        """
        try:
            self._error_log.write(error, context or {})
        except Exception as odd:  # noqa: BLE001 - nothing of ours may raise into the bot
            self.note_error("errors", odd)

    def _add(self, family: CounterFamily, key: Key) -> None:
        self.ledger.write(family, key, CounterCell.inc)

    def sample(self) -> None:
        """Bring every cell up to date: O(shards), on the event loop's thread. Never raises."""
        self.ledger.absorb()
        self.manual.sample()
        self.stats.fold()
        if self._push is not None:
            self._push.sample()
        if self._analytics is not None:
            self._analytics.sample()
        for collector in self._running:
            self._sample_one(collector)
        self._series.set(self.instruments.count_series())

    def _sample_one(self, collector: Collector) -> None:
        began = time.perf_counter()
        try:
            collector.sample()
        except Exception as error:  # noqa: BLE001 - nothing of ours may raise into the bot
            self.note_error(collector.noun, error)
            self._up.labels(collector.noun).set(0)
        else:
            self._up.labels(collector.noun).set(not collector.degraded)
        self._sample_seconds.labels(collector.noun).set(time.perf_counter() - began)

    def _sample_shards(self) -> None:
        for collector in self._running:
            if isinstance(collector, ShardsCollector):
                self._sample_one(collector)

    def _is_ready(self) -> bool:
        """Whether the bot is ready; without one there is nothing to wait for."""
        return True

    def note_error(self, noun: str, error: BaseException) -> None:
        """Count an exception that was caught; log the first of its kind, with its traceback."""
        self.ledger.write(self._errors, (noun,), CounterCell.inc)
        kind = (noun, type(error))
        if kind not in self._logged and len(self._logged) < _KINDS_LOGGED:
            self._logged.add(kind)
            _log.error("the %s collector failed (counted from now on, not logged again)", noun, exc_info=error)
