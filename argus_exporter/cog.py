"""The Cog, and the way in for a client without Cogs."""

from __future__ import annotations

import asyncio
import logging
import sys
import types
import typing
from typing import Any, Final

from discord.ext import commands

from argus_exporter.collectors import CLIENT_COLLECTORS
from argus_exporter.custom import CustomMethods
from argus_exporter.discordpy import ClientView, Patches
from argus_exporter.exporter import Exporter
from argus_exporter.manual import ManualMethods

if typing.TYPE_CHECKING:
    from collections.abc import Mapping

    import discord

    from argus_exporter.analytics.start import Analytics
    from argus_exporter.settings import Secret, Settings
    from argus_exporter.statsd import AsyncStatsClient

_log: Final = logging.getLogger(__name__)


class ClientExporter(Exporter):
    """An exporter that watches a discord.py client.

    :param client: any kind of client.
    :raises SettingError: if a value is not allowed.
    """

    def __init__(self, client: discord.Client, settings: Settings | None = None, **options: Any) -> None:
        self.client: Final = client
        super().__init__(settings, **options)
        self.manual.attached = True
        self._watching = self._following = False
        self._patches = Patches()
        self._loops.client = client
        self._watchers = self._make(CLIENT_COLLECTORS, self._view)

    def _see(self) -> ClientView:
        self._view = ClientView(self.client, self.note_error, short_circuit=self.settings.short_circuit)
        self._view.commands.rules = self._rules
        return self._view

    def _make_analytics(self, url: Secret | None) -> Analytics | None:
        if url is None:
            return None
        from argus_exporter.analytics.start import Analytics  # noqa: PLC0415 - only where it is on

        return Analytics(self.settings, url, self.instruments, self._view)

    def _is_ready(self) -> bool:
        return self.client.is_ready()

    def open(self) -> None:
        """Watch the client's websockets from now on. Needs no running loop.

        :raises RuntimeError: if another exporter watches this client.
        """
        if self._analytics is not None:
            self._analytics.open()
        self._view.open()

    async def watch_client(self) -> None:
        """Start what needs the client's loop: now, or when the client has logged in. Call it on that loop.

        Needs :meth:`start` before it. Once is enough.
        """
        if self._stack is None or self._watching:
            return
        if self.client.user is None:
            self._follow_login()
            return
        self._watching = True
        self._view.guard("gateway", self._view.park)
        if self._analytics is not None:
            self._analytics.park()
        self._run(self._watchers)

    def _follow_login(self) -> None:
        """Follow the client by its ``login``, which is public, and whoever replaces setup_hook does not replace it."""
        if not self._following:
            self._following = True
            self._patches.set(self.client, "login", self._logging_in(self.client.login))

    def _logging_in(self, original: Any) -> Any:
        async def login(*arguments: Any, **named: Any) -> None:
            if self._following:
                await self.start()
            await original(*arguments, **named)
            await self.watch_client()

        return login

    async def close(self) -> None:
        """Give everything back; the client goes on as if we had never been there."""
        self._watching = self._following = False
        self._patches.close()
        try:
            await super().close()
        finally:
            await self._view.close()


class ArgusExporter(CustomMethods, ManualMethods, commands.Cog):
    """The Cog that ``load_extension("argus_exporter")`` adds.

    It can be added by hand too: ``await bot.add_cog(ArgusExporter(bot, settings=Settings(port=9300)))``. Counters
    start at 0 when it is loaded, and again at each reload, as after a restart of the process: Prometheus sees a reset.

    :param settings: where not given, they are read from the environment and from ``options``, which win.
    :raises SettingError: if a value is not allowed.
    """

    def __init__(
        self, bot: commands.Bot | commands.AutoShardedBot, /, settings: Settings | None = None, **options: Any
    ) -> None:
        super().__init__()
        self.exporter: Final = ClientExporter(bot, settings, **options)
        self.custom, self.manual = self.exporter.custom, self.exporter.manual
        self._had_stats = False

    @property
    def port(self) -> int | None:
        """The port that is bound; None while there is none."""
        return self.exporter.port

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.exporter.settings

    @property
    def stats(self) -> AsyncStatsClient:
        """A StatsD client for the bot's own stats, whether StatsD is on or off: they are on the page too."""
        return self.exporter.stats

    def watch(self, loop: object, name: str | None = None) -> None:
        """Follow a ``discord.ext.tasks`` loop that is not found by itself: see :meth:`Exporter.watch`.

        A Cog that is reloaded is another one, and is to be told again.
        """
        self.exporter.watch(loop, name)

    def capture_error(self, error: BaseException, context: Mapping[str, object] | None = None) -> None:
        """Write an exception to the error log: see :meth:`Exporter.capture_error`."""
        self.exporter.capture_error(error, context)

    async def cog_load(self) -> None:
        """Open everything; what the world refuses (a port in use) is tried again and does not fail the load."""
        self.exporter.open()
        try:
            await self.exporter.start()
            await self.exporter.watch_client()
        except BaseException:
            await self.exporter.close()
            raise
        self._lend_stats()

    async def cog_unload(self) -> None:
        """Leave nothing."""
        self._take_stats_back()
        await self.exporter.close()

    def _lend_stats(self) -> None:
        """Set ``bot.stats`` where the bot has none of its own, or None."""
        try:
            own = getattr(self.exporter.client, "stats", None)
        except Exception as error:  # noqa: BLE001 - a property of the bot's
            self.exporter.note_error("statsd", error)
            return
        if own is None:
            attributes = vars(self.exporter.client)
            self._had_stats = "stats" in attributes
            attributes["stats"] = self.stats

    def _take_stats_back(self) -> None:
        attributes = vars(self.exporter.client)
        if attributes.get("stats") is self.stats:
            del attributes["stats"]
            if self._had_stats:
                attributes["stats"] = None


def cog_for(bot: commands.Bot | commands.AutoShardedBot) -> ArgusExporter:
    """The Cog for this bot: Red-DiscordBot refuses those that do not inherit from its own ``Cog`` too."""
    own: Any = getattr(sys.modules.get("redbot.core.commands"), "Cog", None)
    if own is None or type(bot).__module__ != "redbot.core.bot":
        return ArgusExporter(bot)
    named: Any = {"__module__": __name__}  # by which it knows, at an unload, whose Cog it is
    both: Any = types.new_class("ArgusExporter", (ArgusExporter, own), {}, lambda space: space.update(named))
    cog: ArgusExporter = both(bot)
    return cog


def attach(client: discord.Client, settings: Settings | None = None, **options: Any) -> ClientExporter:
    """Export the metrics of any discord.py client: before ``run()``, or at any time after login.

    Returns at once. Before login the server opens when the client logs in, ahead of its ``setup_hook``; after login it
    opens in the background. The exporter closes with the client, or by ``await exporter.close()``.

    :raises SettingError: if a value is not allowed.
    :raises RuntimeError: if another exporter watches this client, or it is closed, or if it is logged in and this is
        not called on its event loop.
    """
    if client.is_closed():
        msg = "the client is closed: attach before it runs, or while it does"
        raise RuntimeError(msg)
    loop = None if client.user is None else asyncio.get_running_loop()  # before anything is replaced: it may raise
    exporter = _AttachedExporter(client, settings, **options)
    exporter.open()
    exporter.begin(loop)
    return exporter


class _AttachedExporter(ClientExporter):
    """Follows the client's life by its ``login`` and ``close``, which are public."""

    _starting: asyncio.Task[None] | None = None

    def begin(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._patches.set(self.client, "close", self._closing(self.client.close))
        if loop is None:
            self._follow_login()
        else:
            self._starting = loop.create_task(self._start_all(), name="argus_exporter:start")

    async def _start_all(self) -> None:
        await self.start()
        await self.watch_client()

    def _closing(self, original: Any) -> Any:
        async def close(*arguments: Any, **named: Any) -> None:
            try:
                await original(*arguments, **named)
            finally:
                await self.close()

        return close

    async def close(self) -> None:
        """Give everything back, the client's ``login`` and ``close`` too."""
        if self._starting is not None:
            await asyncio.gather(self._starting, return_exceptions=True)
        await super().close()
