"""A bot with metrics of its own: `DISCORD_TOKEN=... python custom_metrics.py`."""

import asyncio
import os
import random
from typing import Literal

import discord
from discord import app_commands
from discord.ext import commands, tasks

import argus_exporter

ITEMS = ("sword", "shield")


class Shop(commands.Cog):
    """Sells two things, and counts what it does."""

    def __init__(self, exporter: argus_exporter.ArgusExporter) -> None:
        # each label says its values, or how many there may be: what is beyond that is counted as "other"
        self.purchases = exporter.counter("shop_purchases_total", "Purchases.", {"item": ITEMS})
        self.stock = exporter.gauge("shop_stock", "Things in stock.", {"item": ITEMS})
        self.pricing = exporter.timed("shop_pricing_seconds", "How long a price took.")
        self.exporter = exporter

    async def cog_load(self) -> None:
        """Begin to look at the stock."""
        self.count_stock.start()

    async def cog_unload(self) -> None:
        """Stop that."""
        self.count_stock.cancel()

    @app_commands.command()
    async def buy(self, interaction: discord.Interaction, item: Literal["sword", "shield"]) -> None:
        """Buy something."""
        with self.pricing:
            price = await self.price(item)
        self.purchases.labels(item).inc()
        await interaction.response.send_message(f"{item}: {price} coins")

    async def price(self, item: str) -> int:
        """What it costs."""
        await asyncio.sleep(0.05)
        return len(item) * random.randint(5, 9)

    @tasks.loop(seconds=30)
    async def count_stock(self) -> None:
        """Handles work in any thread."""
        await asyncio.to_thread(self._count_stock)

    def _count_stock(self) -> None:
        for item in ITEMS:
            self.stock.labels(item=item).set(random.randint(0, 100))


class Bot(commands.Bot):
    """Adds the exporter before what uses it."""

    async def setup_hook(self) -> None:
        """Runs once, before the bot connects."""
        exporter = argus_exporter.ArgusExporter(self)
        await self.add_cog(exporter)
        await self.add_cog(Shop(exporter))


Bot("!", intents=discord.Intents.default()).run(os.environ["DISCORD_TOKEN"])
