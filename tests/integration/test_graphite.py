"""A real bot pushes to npm's statsd, that to carbon-cache, and graphite-web gives back what the bot's page says.

``PUSH_SECONDS=60`` lets the bots work for a minute each.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import discord
import prometheus_client
import pytest
import pytest_asyncio
from discord import app_commands
from prometheus_client.parser import text_string_to_metric_families

from examples.discord_simulator import Simulator
from tests.clients import ShardedBot, logged_in
from tests.integration import daemons
from tests.integration.daemons import Graphite, Statsd, Values, eventually
from tests.integration.pushed import counters, in_graphite

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]

SECONDS = float(os.environ.get("PUSH_SECONDS", "4"))
SHARDS = 2
INTERVAL = 1.0
BOT = "my bot"
OWN = ("shop_visits", "shop_query")
NAMES = {
    "discord_gateway_events_total",
    "discord_shard_dispatches_total",
    "discord_commands_total",
    "discord_command_duration_seconds",
    "shop_things_total",
    "shop_sales_total",
}


class Bot(ShardedBot):
    """Loads the extension as a user does, and has counters of all kinds."""

    stats: Any

    async def setup_hook(self) -> None:
        self.tree.add_command(app_commands.Command(name="fine", description="Answers.", callback=_fine))
        self.tree.add_command(app_commands.Command(name="broken", description="Fails.", callback=_broken))
        await self.load_extension("argus_exporter")
        self.exporter: Any = self.get_cog("ArgusExporter")
        self.things = self.exporter.counter("shop_things_total", "Things.", {"kind": 5})
        self.exporter.gauge("shop_balance", "Balance.").set(-2.5)

    def work(self) -> None:
        """Count a bit of everything."""
        self.things.labels("a b/c").inc(0.5)
        self.stats.incr("shop.visits", 3)
        self.stats.timing("shop.query", 250)


async def _fine(interaction: discord.Interaction[Bot]) -> None:
    interaction.client.work()
    await interaction.response.send_message("fine")


async def _broken(interaction: discord.Interaction[Bot]) -> None:
    raise ZeroDivisionError


@dataclass(frozen=True)
class World:
    """The servers."""

    statsd: Statsd
    graphite: Graphite


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("graphite")
    async with daemons.graphite(folder) as graphite, daemons.statsd(folder, graphite.port) as statsd:
        yield World(statsd, graphite)


@pytest.fixture
def theirs() -> Iterator[prometheus_client.Counter]:
    """A counter of the bot's own on prometheus_client's registry."""
    counter = prometheus_client.Counter("shop_sales", "Sales.", ["item"])
    yield counter
    prometheus_client.REGISTRY.unregister(counter)


@contextlib.asynccontextmanager
async def pushing(world: World, flavour: str, folder: Path) -> AsyncIterator[tuple[Bot, Simulator]]:
    """A bot that is logged in, is scraped, and pushes under the name of the flavour."""
    settings = {
        "port": "0",
        "state_dir": str(folder),
        "bot": BOT,
        "statsd_url": f"udp://127.0.0.1:{world.statsd.port}",
        "statsd_flavour": flavour,
        "statsd_prefix": flavour,
        "statsd_interval": str(INTERVAL),
    }
    with pytest.MonkeyPatch.context() as environment:
        for name, value in settings.items():
            environment.setenv(f"ARGUS_{name.upper()}", value)
        async with (
            Simulator(guilds=6, members=5, channels=2, shards=SHARDS, heartbeat_interval=0.5) as sim,
            logged_in(bot := Bot(shard_count=SHARDS), sim, SHARDS),
        ):
            yield bot, sim


def counted(families: Iterable[prometheus_client.Metric], flavour: str) -> Values:
    """The counters of a page by their names in Graphite, without those that go out by the bot's own names for them."""
    ours = [family for family in families if not family.name.startswith(OWN)]
    return counters(ours, flavour, in_graphite, f"{flavour}.", {"bot": BOT})


async def page_of(bot: Bot) -> Iterable[prometheus_client.Metric]:
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{bot.exporter.port}/metrics") as response:
        return text_string_to_metric_families(await response.text())


@pytest.mark.parametrize("flavour", ["plain", "graphite", "dogstatsd"])
async def test_graphite_has_what_the_page_has(
    world: World, flavour: str, tmp_path: Path, theirs: prometheus_client.Counter
) -> None:
    async with pushing(world, flavour, tmp_path) as (bot, sim):
        await worked(bot, sim, theirs)
        still = await compared(world, bot, flavour)
        assert {name for name in NAMES if any(f".{name}" in key for key in still)} == NAMES
        assert await gauge(world, flavour, "shop_balance") == -2.5
        assert await gauge(world, flavour, "discord_guilds") == 6
        bot.work()
    # the last flush had something to tell, too
    left = counted(bot.exporter.exporter.instruments.collect(), flavour)
    left = {key: value for key, value in left.items() if any(f".{name}" in key for name in NAMES)}
    await eventually(lambda: differing(world, flavour, left), {})
    assert await total(world, f"stats.counters.{flavour}.shop.visits.count") == 6
    assert await total(world, f"stats.timers.{flavour}.shop.query.sum") == 500
    assert await world.statsd.bad_lines() == 0


async def worked(bot: Bot, sim: Simulator, theirs: prometheus_client.Counter) -> None:
    """Let the bot work for a while: events, commands, a reconnect, and what is not ours."""
    async with sim.traffic(rate=200):
        theirs.labels("shield").inc(7)
        await sim.reconnect(0)
        await sim.slash("fine")
        await sim.slash("broken")
        await asyncio.sleep(SECONDS)
    await sim.flush()


async def compared(world: World, bot: Bot, flavour: str) -> Values:
    """Wait until Graphite has each counter of the page that stands still; which those are."""
    before, still = counted(await page_of(bot), flavour), Values()

    async def differences() -> dict[str, tuple[float, float | None]]:
        after = counted(await page_of(bot), flavour)
        still.clear()
        still.update({name: value for name, value in before.items() if after[name] == value})
        return await differing(world, flavour, still)

    await eventually(differences, {})
    return still


async def differing(world: World, flavour: str, wanted: Values) -> dict[str, tuple[float, float | None]]:
    """What is wanted, and what Graphite has, where that is not the same."""
    found = await world.graphite.sums(f"seriesByTag('name=~^stats.counters.{flavour}..*.count$')")
    return {name: (value, found.get(name)) for name, value in wanted.items() if value != pytest.approx(found.get(name))}


async def total(world: World, name: str) -> float:
    """The sum of a series, whatever its tags."""
    (found,) = (await world.graphite.sums(f"seriesByTag('name={name}')")).values()
    return found


async def gauge(world: World, flavour: str, name: str) -> float:
    """The newest value of a gauge of one series."""
    (found,) = (await world.graphite.last(f"seriesByTag('name=~^stats.gauges.{flavour}.{name}($|[.])')")).values()
    return found
