"""The command line."""

from __future__ import annotations

import argparse
import asyncio

from .limits import DISCORD
from .simulator import Simulator


def main(argv: list[str] | None = None) -> int:
    """Run a simulator until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m examples.discord_simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--guilds", type=int, default=8)
    parser.add_argument("--members", type=int, default=20)
    parser.add_argument("--channels", type=int, default=4)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=1)
    try:
        asyncio.run(_serve(parser.parse_args(argv)))
    except KeyboardInterrupt:
        print("Stopped.")
    return 0


async def _serve(options: argparse.Namespace) -> None:
    async with Simulator(
        port=options.port,
        shards=options.shards,
        guilds=options.guilds,
        members=options.members,
        channels=options.channels,
        seed=options.seed,
        limits=DISCORD,
    ) as sim:
        print(f"Discord simulator on {sim.url}, token {sim.token!r}. Ctrl-C stops it.", flush=True)
        if options.rate:
            await sim.start_traffic(options.rate, seed=options.seed)
        await asyncio.Event().wait()
