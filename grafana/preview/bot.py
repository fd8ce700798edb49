"""A bot with a bit of everything that the boards show. It is a process of the simulated fleet."""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands, tasks

from argus_exporter import ArgusExporter
from examples.discord_simulator import point_at

ITEMS = ("shield", "sword")


class Vote(discord.ui.View):
    """A question with a button."""

    @discord.ui.button(label="Yes", custom_id="yes")
    async def yes(self, interaction: discord.Interaction, _: discord.ui.Button[Vote]) -> None:
        """Count a vote."""
        await interaction.response.send_message("Counted.", ephemeral=True)


class Letter(discord.ui.Modal, title="Letter"):
    """A form with one field."""

    text: discord.ui.TextInput[Letter] = discord.ui.TextInput(label="Text", custom_id="text")

    async def on_submit(self, interaction: discord.Interaction, /) -> None:
        """Take it."""
        await interaction.response.send_message("Sent.")


class Shop(commands.Cog):
    """What people use the bot for."""

    def __init__(self, exporter: ArgusExporter) -> None:
        self.purchases = exporter.counter("shop_purchases_total", "Purchases.", {"item": ITEMS})
        self.stock = exporter.gauge("shop_stock", "Things in stock.", {"item": ITEMS})
        self.pricing = exporter.timed("shop_pricing_seconds", "How long a price took.")
        self.basket = exporter.histogram("shop_basket_coins", "What a purchase costs.", edges=(5, 10, 20, 50))

    async def cog_load(self) -> None:
        """Begin to look at the stock."""
        self.count_stock.start()

    async def cog_unload(self) -> None:
        """Stop that."""
        self.count_stock.cancel()

    @tasks.loop(seconds=1)
    async def count_stock(self) -> None:
        """Look what is there."""
        for item in ITEMS:
            self.stock.labels(item=item).set(random.randint(20, 60))

    @app_commands.command()
    async def buy(self, interaction: discord.Interaction, item: str = "sword") -> None:
        """Buy something."""
        with self.pricing:
            await asyncio.sleep(random.uniform(0.01, 0.08))
        self.purchases.labels(item).inc()
        self.basket.observe(random.randint(3, 40))
        await interaction.response.send_message(item)

    @buy.autocomplete("item")
    async def items(self, _: discord.Interaction, typed: str) -> list[app_commands.Choice[str]]:
        """What there is to buy."""
        return [app_commands.Choice(name=item, value=item) for item in ITEMS if item.startswith(typed)]

    @app_commands.command()
    async def ping(self, interaction: discord.Interaction) -> None:
        """Answer."""
        await interaction.response.send_message("pong")

    @app_commands.command()
    async def think(self, interaction: discord.Interaction) -> None:
        """Answer after some thought."""
        await interaction.response.defer(thinking=True)
        await asyncio.sleep(random.uniform(0.1, 1.0))
        await interaction.followup.send("42")

    @app_commands.command()
    async def vote(self, interaction: discord.Interaction) -> None:
        """Ask."""
        await interaction.response.send_message("Shall we?", view=Vote(timeout=30))

    @app_commands.command()
    async def letter(self, interaction: discord.Interaction) -> None:
        """Show a form."""
        await interaction.response.send_modal(Letter(timeout=30))

    @app_commands.command()
    async def broken(self, _: discord.Interaction, why: str) -> None:
        """Fail, for a reason."""
        raise {"key": KeyError, "value": ValueError}.get(why, ZeroDivisionError)

    @app_commands.command()
    @app_commands.check(lambda _: False)
    async def forbidden(self, _: discord.Interaction, why: str) -> None:
        """Is nobody's to use."""

    @commands.command()
    async def hello(self, ctx: commands.Context[Any]) -> None:
        """Greet, when someone writes `!hello`."""
        await ctx.send("Hello!")

    @commands.Cog.listener()
    async def on_message(self, message: discord.Message) -> None:
        """Mind what people say."""
        if message.content == "trip":
            logging.getLogger("shop").warning("somebody has tripped me")
            raise RuntimeError(message.content)


@app_commands.context_menu()
async def greet(interaction: discord.Interaction, member: discord.Member) -> None:
    """Greet a member."""
    await interaction.response.send_message(f"Hello {member.display_name}")


async def set_up(bot: commands.Bot | commands.AutoShardedBot) -> None:
    """Load what there is, as a user's `setup_hook` does."""
    exporter = ArgusExporter(bot)
    await bot.add_cog(exporter)
    await bot.add_cog(Shop(exporter))
    bot.tree.add_command(greet)
    await bot.tree.sync()
    while exporter.port is None:
        await asyncio.sleep(0.05)
    print(f"metrics: 127.0.0.1:{exporter.port}", flush=True)


class Unhurried:
    """Leaves out the five seconds that Discord wants between two shards; the simulator does not want them."""

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Do not wait."""


class Single(Unhurried, commands.Bot):
    """A bot of one shard."""

    async def setup_hook(self) -> None:
        """Load what there is."""
        await set_up(self)


class Sharded(Unhurried, commands.AutoShardedBot):
    """A bot of several shards, or a cluster of one."""

    async def setup_hook(self) -> None:
        """Load what there is."""
        await set_up(self)


def main() -> None:
    """Run it until it is interrupted."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--discord", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--shards", help="those of this process, with commas; without it, a bot that is not sharded")
    parser.add_argument("--count", type=int, help="those of the whole bot")
    given = parser.parse_args()
    point_at(given.discord)
    options: dict[str, Any] = {"intents": discord.Intents.all(), "guild_ready_timeout": 0.05}
    if given.shards:
        options |= {"shard_ids": [int(one) for one in given.shards.split(",")], "shard_count": given.count}
    bot = Sharded("!", **options) if given.shards else Single("!", **options)
    bot.run(given.token, log_level=logging.CRITICAL)


if __name__ == "__main__":
    main()
