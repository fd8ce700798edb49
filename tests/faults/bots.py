"""A bot that is connected and has the extension loaded."""

from __future__ import annotations

import contextlib
import typing
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from argus_exporter import ArgusExporter, Settings
from examples.discord_simulator import Simulator
from tests.clients import PlainBot, logged_in

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator

EVENTS, ERRORS = "discord_gateway_events_total", "argus_exporter_collector_errors_total"
QUIET = {"port": 0, "state_dir": "off", "user_registry": False, "session_limit_interval": "off"}


@contextlib.asynccontextmanager
async def bot_with_us(**options: Any) -> AsyncIterator[tuple[Simulator, PlainBot, Any]]:
    """A bot that is ready, with the extension from its first event on."""
    async with Simulator(guilds=2, members=2, channels=1) as sim:
        bot = PlainBot()
        cog = ArgusExporter(bot, Settings(**{**QUIET, **options}))
        await bot.add_cog(cog)
        async with logged_in(bot, sim):
            await sim.flush()
            yield sim, bot, cog.exporter


async def scraped(exporter: Any) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """A page, as prometheus_client's parser has it."""
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{exporter.port}/metrics") as response:
        assert response.status == 200
        page = await response.text()
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}
