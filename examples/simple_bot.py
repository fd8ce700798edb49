"""The simplest way: a bot that loads the extension. `DISCORD_TOKEN=... python simple_bot.py`, then look at :9191."""

import os

import discord
from discord.ext import commands


class Bot(commands.Bot):
    """Any bot; a `commands.AutoShardedBot` just the same."""

    async def setup_hook(self) -> None:
        """Load the extension: this line is all."""
        await self.load_extension("argus_exporter")


Bot("!", intents=discord.Intents.default()).run(os.environ["DISCORD_TOKEN"])
