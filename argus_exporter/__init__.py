"""Prometheus metrics for discord.py bots.

``await bot.load_extension("argus_exporter")`` is all that most bots need; :func:`attach` is for a client without Cogs,
:class:`Exporter` for a process without any.
"""

from __future__ import annotations

import typing

from argus_exporter.cog import ArgusExporter, ClientExporter, attach
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
    await bot.add_cog(ArgusExporter(bot))
