"""The demo's bot: an ordinary bot of several shards, but for the Discord that it logs in to."""

from __future__ import annotations

import argparse
import asyncio
import logging
import random

import discord
from discord import app_commands
from discord.ext import commands

from argus_exporter import ArgusExporter
from examples.discord_simulator import point_at


class Vote(discord.ui.View):
    """A question with a button."""

    @discord.ui.button(label="Yes", style=discord.ButtonStyle.green)
    async def yes(self, interaction: discord.Interaction, _: discord.ui.Button[Vote]) -> None:
        """Count a vote."""
        await interaction.response.send_message("Counted.", ephemeral=True)


class Fun(commands.Cog):
    """What people use the bot for."""

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

    @commands.command()
    async def hello(self, ctx: commands.Context[Bot]) -> None:
        """Greet, when someone writes `!hello`."""
        await ctx.send("Hello!")


class Bot(commands.AutoShardedBot):
    """A bot that loads the extension; the rest is its own business."""

    async def setup_hook(self) -> None:
        """Load what there is."""
        await self.load_extension("argus_exporter")
        await self.add_cog(Fun())
        await self._say_where()
        await self.tree.sync()

    async def _say_where(self) -> None:
        exporter = self.get_cog("ArgusExporter")
        assert isinstance(exporter, ArgusExporter)  # noqa: S101  it was loaded
        while exporter.port is None:  # someone else has it; the exporter goes on trying
            await asyncio.sleep(0.1)
        print(f"metrics: http://127.0.0.1:{exporter.port}/metrics", flush=True)

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Leave out the five seconds that Discord wants between two shards; the simulator does not want them."""


def main() -> None:
    """Run it until it is interrupted."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--discord", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--shards", type=int, required=True)
    options = parser.parse_args()
    point_at(options.discord)
    plain = logging.Formatter("[%(levelname)s] %(name)s: %(message)s")
    bot = Bot("!", intents=discord.Intents.all(), shard_count=options.shards)
    bot.run(options.token, log_formatter=plain, root_logger=True)


if __name__ == "__main__":
    main()
