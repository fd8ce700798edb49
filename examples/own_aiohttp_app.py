"""Metrics in your own aiohttp application, on your port: `DISCORD_TOKEN=... python own_aiohttp_app.py`."""

import os

import discord
from aiohttp import web

import argus_exporter


class Client(discord.Client):
    """A bot that has a web server already."""

    async def setup_hook(self) -> None:
        """Open the web server, with one more route."""
        app = web.Application()
        app.router.add_get("/metrics", exporter.handler)
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", int(os.environ.get("PORT", "8080"))).start()

    async def close(self) -> None:
        """Close it with the bot."""
        await super().close()
        if hasattr(self, "runner"):
            await self.runner.cleanup()


client = Client(intents=discord.Intents.default())
exporter = argus_exporter.attach(client, port="off")
client.run(os.environ["DISCORD_TOKEN"])
