"""One process of several: `CLUSTERS=4 SHARDS=64 ARGUS_CLUSTER=0 DISCORD_TOKEN=... python cluster_bot.py`, 1, ..."""

import os
import signal

import discord
from discord.ext import commands

CLUSTER, CLUSTERS, SHARDS = (int(os.environ[name]) for name in ("ARGUS_CLUSTER", "CLUSTERS", "SHARDS"))


class Bot(commands.AutoShardedBot):
    """Any bot, with its share of the shards."""

    async def setup_hook(self) -> None:
        """Load the extension: this line is all."""
        await self.load_extension("argus_exporter")


def end(*_: object) -> None:
    """End as by Ctrl+C: Docker and Kubernetes ask for that by a signal which discord.py does not know."""
    signal.raise_signal(signal.SIGINT)


signal.signal(signal.SIGTERM, end)
mine = range(SHARDS * CLUSTER // CLUSTERS, SHARDS * (CLUSTER + 1) // CLUSTERS)
bot = Bot("!", intents=discord.Intents.default(), shard_ids=list(mine), shard_count=SHARDS)
bot.run(os.environ["DISCORD_TOKEN"])
