"""A process of a fleet: a bot with some of the shards, and the extension."""

from __future__ import annotations

import asyncio
import logging
import sys

from examples.discord_simulator import point_at
from tests.clients import ShardedBot


class Bot(ShardedBot):
    async def setup_hook(self) -> None:
        await self.load_extension("argus_exporter")


async def main(url: str, token: str, first: str, last: str, count: str) -> None:
    """Run the shards from the first to the last until killed."""
    point_at(url)
    async with Bot(shard_ids=list(range(int(first), int(last) + 1)), shard_count=int(count)) as bot:
        await bot.start(token)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(main(*sys.argv[1:]))
