"""A bot that nobody can reach, behind NAT say: it pushes its metrics, and counts by `bot.stats` besides.

`DISCORD_TOKEN=... ARGUS_STATSD_URL=udp://10.8.0.1:8125 python pushing_bot.py`; push/README.md has the servers for it.
"""

import os
from typing import TYPE_CHECKING

import discord
from discord.ext import commands

if TYPE_CHECKING:
    from argus_exporter.statsd import AsyncStatsClient


class Bot(commands.Bot):
    """Any bot that loads the extension has `stats`, whether it pushes or not."""

    stats: "AsyncStatsClient"

    async def setup_hook(self) -> None:
        """Load the extension; it reads `ARGUS_STATSD_URL` itself."""
        await self.load_extension("argus_exporter")
        self.tree.command()(roll)
        self.stats.incr("starts")


async def roll(interaction: discord.Interaction[Bot]) -> None:
    """Roll a die."""
    with interaction.client.stats.timer("roll"):
        await interaction.response.send_message("4")
    interaction.client.stats.incr("rolls", tags={"sides": 6})


if __name__ == "__main__":
    os.environ.setdefault("ARGUS_PORT", "off")  # no page: nobody could ask for it
    Bot("!", intents=discord.Intents.default()).run(os.environ["DISCORD_TOKEN"])
