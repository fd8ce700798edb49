"""Prometheus metrics for discord.py bots.

``await bot.load_extension("argus_exporter")`` in ``setup_hook`` is all that most bots need: the page is
http://127.0.0.1:9191/metrics. :class:`ArgusExporter` is the Cog behind it, for settings as arguments; :func:`attach` is
for a client without Cogs, :class:`Exporter` for a process without a client. Each of them has ``counter``, ``gauge``,
``histogram`` and ``timed`` for metrics of your own, and ``capture_error`` for the error log. :func:`http_trace` sees
REST requests by the public way. A setting that is not allowed raises :class:`SettingError`, whose line says what is.
"""

from __future__ import annotations

import typing

from argus_exporter.cog import ArgusExporter, ClientExporter, attach, cog_for
from argus_exporter.discordpy import http_trace
from argus_exporter.exporter import Exporter
from argus_exporter.settings import SettingError, Settings
from argus_exporter.version import VERSION

if typing.TYPE_CHECKING:
    from discord.ext import commands

__version__ = VERSION

__all__ = (
    "ArgusExporter",
    "ClientExporter",
    "Exporter",
    "SettingError",
    "Settings",
    "attach",
    "http_trace",
    "setup",
)


async def setup(bot: commands.Bot | commands.AutoShardedBot) -> None:
    """Add the Cog: the entry point of ``load_extension``."""
    await bot.add_cog(cog_for(bot))
