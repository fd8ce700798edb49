"""A process without a discord.py client, a bot on another library say: `python manual_mode.py`."""

import asyncio
import random

import argus_exporter


async def work(exporter: argus_exporter.Exporter) -> None:
    """Stand in for your bot's commands."""
    jobs = exporter.counter("my_jobs_done_total", "Jobs done.")
    while True:
        seconds = random.uniform(0.1, 0.5)
        await asyncio.sleep(seconds)
        jobs.inc()
        exporter.record_command("shop buy", seconds)
        exporter.record_component(seconds / 2)
        if seconds > 0.45:
            exporter.record_command("shop sell", seconds, error=LookupError("no such item"))
            exporter.record_rate_limit("shared")


async def main() -> None:
    """Work, with the exporter around it."""
    async with argus_exporter.Exporter(bot="my-worker") as exporter:
        exporter.on_latency(lambda: {0: 0.04, 1: 0.05})
        exporter.on_guilds(lambda: 42)
        print(f"http://127.0.0.1:{exporter.port}/metrics", flush=True)
        await work(exporter)


asyncio.run(main())
