"""A process without a bot, with a metric of its own: `python manual_mode.py`."""

import asyncio

import prometheus_client

import argus_exporter

JOBS = prometheus_client.Counter("my_jobs_done_total", "Jobs done.")


async def main() -> None:
    """Work, with the exporter around it."""
    async with argus_exporter.Exporter(bot="my-worker") as exporter:
        print(f"http://127.0.0.1:{exporter.port}/metrics", flush=True)
        while True:
            await asyncio.sleep(1)
            JOBS.inc()


asyncio.run(main())
