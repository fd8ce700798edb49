"""A client without Cogs: `attach` takes any. `DISCORD_TOKEN=... python bare_client.py`."""

import os

import discord

import argus_exporter

client = discord.AutoShardedClient(intents=discord.Intents.default())
argus_exporter.attach(client, bot="my-bot")
client.run(os.environ["DISCORD_TOKEN"])
