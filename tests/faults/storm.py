"""Clients that scrape, in a process of their own: ``python -m tests.faults.storm PORT CLIENTS SECONDS PERIOD``."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
from collections import Counter

REQUEST = b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n"


async def client(port: int, period: float, answers: Counter[str]) -> None:
    await asyncio.sleep(random.uniform(0, period))
    while True:
        began = time.monotonic()
        answers[await scrape(port)] += 1
        await asyncio.sleep(max(0.0, began + period - time.monotonic()))


async def scrape(port: int) -> str:
    """The status that is answered; "" where there is no answer, for a full house takes no one in."""
    with contextlib.suppress(OSError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.closing(writer):
            writer.write(REQUEST)
            answer = await reader.read()
            return answer[9:12].decode()
    return ""


async def main(port: int, clients: int, seconds: float, period: float) -> None:
    """Scrape, and print how often which status came."""
    print("begins", flush=True)  # noqa: T201 - the test waits for it
    answers: Counter[str] = Counter()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*[client(port, period, answers) for _ in range(clients)])
    print(" ".join(f"{status or 'none'}={count}" for status, count in sorted(answers.items())))  # noqa: T201 - its result


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:3]), *map(float, sys.argv[3:])))
