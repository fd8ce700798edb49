"""A scrape over HTTP at 16 shards: ours, the peers, and an aiohttp handler that answers 64 bytes.

Each server is a process of its own with a bot of its own, so that none finds another's metrics on
``prometheus_client.REGISTRY``. It is scraped in two ways, each time over a new connection:

* by an aiohttp client on the bot's own event loop, the CPU time of the whole process counted. The bar was set so.
* by a bare socket in a thread whose own CPU time is taken off: what is left is the server alone.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import random
import re
import socket
import subprocess
import sys
import time
import typing
import zlib
from typing import Any, Final

import aiohttp
from aiohttp import web

from tests.benchmarks import driver
from tests.benchmarks.report import Bar, p10, quartiles, table
from tests.benchmarks.world import World

if typing.TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_ROUNDS: Final = 300
_QUICK_ROUNDS: Final = 40
_EVENTS: Final = 18_000
_LIMIT: Final = 2.5
FLOOR, OURS, ARGUS, PROMEXT = "empty aiohttp handler, 64 B", "ours", "argus-dpy", "discord-ext-prometheus"


WAYS: Final = {
    "aiohttp": "whole process, an aiohttp client in it",
    "identity": "the server alone",
    "gzip": "the server alone, gzip asked for",
}


def run(*, quick: bool) -> list[Bar]:
    """Measure all servers, in random order each round."""
    servers = {name: _Server(name) for name in INSTALL}
    try:
        bars = [bar for way in WAYS for bar in _measured(servers, way, _QUICK_ROUNDS if quick else _ROUNDS)]
    finally:
        for server in servers.values():
            server.close()
    return bars


def _measured(servers: dict[str, _Server], way: str, rounds: int) -> list[Bar]:
    answers: dict[str, list[Any]] = {name: [] for name in servers}
    order = [*servers.items()]
    for number in range(rounds + 10):  # the first ten warm up
        random.shuffle(order)
        for name, server in order:
            answer = server.scrape(way)
            answers[name] += [answer] if number >= 10 else []
    floor = {kind: p10(_times(answers[FLOOR], kind)) for kind in ("cpu", "wall")}
    rows = [_row(name, taken, floor) for name, taken in answers.items()]
    head = ("ms a scrape", "series", "bytes", "CPU", "IQR", "p10", "x floor", "wall", "p10", "x floor", "us a series")
    table(f"{WAYS[way]}, {rounds} rounds", head, rows)
    factors = {name: [p10(_times(taken, kind)) / floor[kind] for kind in floor] for name, taken in answers.items()}
    return [_bar(name, way, *factors[name]) for name in (OURS, ARGUS, PROMEXT)]


def _bar(name: str, way: str, cpu: float, wall: float) -> Bar:
    judged = name == OURS and way == "aiohttp"
    what = f"a scrape beside an empty handler, {name}, {WAYS[way]}"
    met = not judged or max(cpu, wall) <= _LIMIT
    return Bar(what, f"<= {_LIMIT:g} x" if judged else "-", f"CPU {cpu:.2f} x, wall {wall:.2f} x", met)


def _times(answers: list[Any], kind: str) -> list[float]:
    return [answer[kind] * 1e3 for answer in answers]


def _row(name: str, answers: list[Any], floor: dict[str, float]) -> tuple[str, ...]:
    cpu, wall, lines = _times(answers, "cpu"), _times(answers, "wall"), answers[-1]["lines"]
    lower, middle, upper = quartiles(cpu)
    return (
        name, f"{lines}", f"{answers[-1]['bytes']}", f"{middle:.2f}", f"{lower:.2f}..{upper:.2f}", f"{p10(cpu):.2f}",
        f"x {p10(cpu) / floor['cpu']:.2f}", f"{quartiles(wall)[1]:.2f}", f"{p10(wall):.2f}",
        f"x {p10(wall) / floor['wall']:.2f}", f"{p10(cpu) / lines * 1e3:.2f}" if lines else "",
    )  # fmt: skip


class _Server:
    """One of the processes."""

    def __init__(self, name: str) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.bench_scrape", name]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._read()  # it is ready

    def scrape(self, way: str) -> Any:
        """Let it be scraped once."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{way}\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            if line.startswith("{"):
                return json.loads(line)
        msg = "a server has ended"
        raise RuntimeError(msg)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


# ------------------------------------------------------------------------------------------- inside a server


async def _floor(bot: driver.Bot) -> int:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * 64)

    app = web.Application()
    app.router.add_get("/metrics", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    bot.keep = runner
    port: int = runner.addresses[0][1]
    return port


async def _ours(bot: driver.Bot) -> int:
    port = (await driver.ours(bot)).port
    assert port is not None
    return port


INSTALL: Final[dict[str, Callable[[driver.Bot], Awaitable[int]]]] = {
    FLOOR: _floor,
    OURS: _ours,
    ARGUS: driver.argus_dpy,
    PROMEXT: driver.promext,
}


async def _serve(name: str) -> None:
    world = World()
    bot = driver.Bot(world)
    ports: list[int] = []

    async def install(bot: driver.Bot) -> None:
        ports.append(await INSTALL[name](bot))

    await bot.boot(install)
    await driver.play(bot, world.events("MIX", _EVENTS))
    await asyncio.sleep(0.5)
    gc.collect()
    gc.freeze()
    print("{}", flush=True)
    loop = asyncio.get_running_loop()
    while way := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        print(json.dumps(await _answer(ports[0], way)), flush=True)


async def _answer(port: int, way: str) -> dict[str, float]:
    if way == "aiohttp":
        return await _whole(port)
    return await asyncio.get_running_loop().run_in_executor(None, _scrape, port, way)


async def _whole(port: int) -> dict[str, float]:
    async with aiohttp.ClientSession(headers={"Accept-Encoding": "identity"}) as session:
        await asyncio.sleep(0.002)
        cpu, wall = time.process_time(), time.perf_counter()
        async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            body = await answer.read()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"cpu": cpu, "wall": wall, "bytes": len(body), "lines": _series(body)}


def _scrape(port: int, encoding: str) -> dict[str, float]:
    request = f"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: {encoding}\r\nConnection: close\r\n\r\n"
    cpu, own, wall = time.process_time(), time.thread_time(), time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(request.encode())
        received = _received(connection)
    wall = time.perf_counter() - wall
    time.sleep(0.002)  # until the server has closed its side too
    cpu = time.process_time() - cpu - (time.thread_time() - own)
    head, _, body = received.partition(b"\r\n\r\n")
    return {"cpu": cpu, "wall": wall, "bytes": len(body), "lines": _series(_plain(head, body))}


def _series(page: bytes) -> int:
    return len(re.findall(rb"^[a-z].* .*$", page, re.MULTILINE))


def _received(connection: socket.socket) -> bytes:
    parts: list[bytes] = []
    while part := connection.recv(1 << 20):
        parts.append(part)
    return b"".join(parts)


def _plain(head: bytes, body: bytes) -> bytes:
    if b"content-encoding: gzip" not in head.lower():
        return body
    if b"transfer-encoding: chunked" in head.lower():
        body = re.sub(rb"(?:\r\n)?[0-9a-f]+\r\n", b"", body)
    return zlib.decompressobj(31).decompress(body)


if __name__ == "__main__":
    logging.disable(logging.ERROR)
    asyncio.run(_serve(sys.argv[1]))
