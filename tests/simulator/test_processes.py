"""One bot spread over several operating-system processes, each with its own shards."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from examples.discord_simulator import Simulator

_ROOT = Path(__file__).parents[2]
_BOT = """
import sys
import discord
from examples.discord_simulator import point_at

class Bot(discord.AutoShardedClient):
    async def before_identify_hook(self, shard_id, *, initial=False): ...
    async def on_message(self, message):
        if not message.author.bot:
            await message.channel.send(f"{self.shard_ids} {message.content}")

point_at(sys.argv[1])
shards = [int(shard) for shard in sys.argv[2].split(",")]
Bot(intents=discord.Intents.all(), shard_count=4, shard_ids=shards, guild_ready_timeout=0.05).run(
    "simulator-token", log_handler=None
)
"""


async def _bot(sim: Simulator, shards: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", "-c", _BOT, sim.url, shards, cwd=_ROOT, stderr=asyncio.subprocess.PIPE
    )


async def test_two_processes_share_the_shards_of_one_bot() -> None:
    async with Simulator(guilds=4, members=2, channels=1) as sim:
        one, two = await _bot(sim, "0,1"), await _bot(sim, "2,3")
        try:
            await sim.wait_for_shards(4, timeout=30)
            await sim.message("hi", guild=1)
            await sim.message("ho", guild=2)
            sent = "POST /channels/{channel_id}/messages"
            await sim.wait_for(lambda: sum(request.route == sent for request in sim.requests) == 2)
            bodies = {request.json["content"] for request in sim.requests if request.route == sent}
            assert bodies == {"[0, 1] hi", "[2, 3] ho"}
            for shard in range(4):
                await sim.reconnect(shard)
            await sim.wait_for(lambda: sum(sim.gateway.sessions.resumes.values()) == 4)
        finally:
            for process in (one, two):
                process.kill()
                await process.communicate()
        await sim.wait_for(lambda: sim.sessions == {})
