"""A bot with jishaku: ``python -m tests.integration.jishaku_bot URL TOKEN OWNER EXTENSION ...``, in order."""

import sys

import discord
from discord.ext import commands

from examples.discord_simulator import point_at


class Bot(commands.Bot):
    async def setup_hook(self) -> None:
        for extension in extensions:
            await self.load_extension(extension)

    async def on_ready(self) -> None:
        print("ready", flush=True)  # noqa: T201 - the test waits for it


if __name__ == "__main__":
    _, url, token, owner, *extensions = sys.argv
    point_at(url)
    Bot("!", owner_id=int(owner), intents=discord.Intents.all()).run(token)
