"""CPU time of a REST request through ``HTTPClient.request``.

Without a network, because its noise is larger than what is measured: a request ends where aiohttp's session would send
it. Then over a real connection to a server in another process, which the public way needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import subprocess
import sys
import time
import typing
from email.utils import formatdate
from typing import Any, Final

import aiohttp
import discord
from discord.ext import commands
from discord.http import Route

import argus_exporter
from argus_exporter import ArgusExporter, Settings
from tests.benchmarks import driver, paired

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from tests.benchmarks.report import Bar

REQUESTS: Final = 20
_ROUNDS: Final = 300
_QUICK_ROUNDS: Final = 50
_DEFAULT: Final = 5.0
_PUBLIC: Final = 40.0
_USER: Final = {"id": "1", "username": "bot", "discriminator": "0", "global_name": None, "avatar": None, "bot": True}
_APPLICATION: Final = {"name": "bot", "description": "", "icon": None, "bot_public": True, "verify_key": "", "flags": 0}


class Bot(commands.Bot):
    """A bot that logs in and does no more.

    :ivar early: whether what is measured is to be installed before the login.
    :ivar network: whether requests go over the network once it is logged in.
    """

    network = True

    def __init__(
        self,
        install: Callable[[Any], Awaitable[object]],
        trace: aiohttp.TraceConfig | None = None,
        *,
        early: bool = False,
    ) -> None:
        super().__init__("!", intents=discord.Intents.none(), http_trace=trace)
        self.install = install
        self.early = early

    async def setup_hook(self) -> None:
        """Install what is to be measured, once logged in, as bots do with extensions."""
        if not self.network:
            session: Any = self.http._HTTPClient__session  # type: ignore[attr-defined]
            session._request = driver.Line()
        if not self.early:
            await self.install(self)


async def _ours(bot: Bot) -> None:
    await bot.add_cog(ArgusExporter(bot, Settings(port=0, state_dir=None, session_limit_interval=None)))


PUBLIC: Final = "ours, public API only (http_trace)"
VARIANTS: Final[dict[str, Callable[[], Bot]]] = {
    "bare": lambda: Bot(driver.bare),
    "bare again (A/A)": lambda: Bot(driver.bare),
    "ours": lambda: Bot(_ours),
    "argus-dpy": lambda: Bot(driver.argus_dpy, early=True),
}
NETWORKED: Final = {
    **VARIANTS,
    PUBLIC: lambda: Bot(_ours, argus_exporter.http_trace()),
    "an empty aiohttp.TraceConfig": lambda: Bot(driver.bare, aiohttp.TraceConfig()),
}


def run(*, quick: bool) -> list[Bar]:
    """Measure."""
    return asyncio.run(_run(_QUICK_ROUNDS if quick else _ROUNDS))


async def _run(rounds: int) -> list[Bar]:
    logging.getLogger("discord").setLevel(logging.WARNING)
    with _server() as Route.BASE:
        alone = await _measure(VARIANTS, "requests without a network", rounds, network=False)
        networked = await _measure(NETWORKED, "requests", rounds, network=True)
    return [
        *paired.bars("a REST request without a network", alone, {"ours": _DEFAULT}),
        *paired.bars("a REST request", networked, {PUBLIC: _PUBLIC}),
    ]


async def _measure(
    variants: Mapping[str, Callable[[], Bot]], what: str, rounds: int, *, network: bool
) -> dict[str, paired.Cost]:
    async with contextlib.AsyncExitStack() as stack:
        bots = {name: make() for name, make in variants.items()}
        for bot in bots.values():
            bot.network = network
            await stack.enter_async_context(_logged_in(bot))
        gc.collect()
        gc.freeze()

        async def play(name: str) -> float:
            return await _play(bots[name])

        title = f"{REQUESTS} {what} x {rounds} rounds"
        costs = await paired.measure(
            bots, lambda: None, play, rounds=rounds, seed="rest", title=title, unit="a request"
        )
        for name in bots.keys() & {"ours", PUBLIC}:
            _check(bots[name], REQUESTS * (rounds + paired.WARM_UP))
        return costs


@contextlib.asynccontextmanager
async def _logged_in(bot: Bot) -> AsyncIterator[Bot]:
    if bot.early:
        await bot.install(bot)
    await bot.login("token")
    try:
        yield bot
    finally:
        await bot.close()


async def _play(bot: Bot) -> float:
    request = bot.http.request
    await asyncio.sleep(0)
    began = time.process_time()
    for number in range(REQUESTS):
        await request(Route("GET", "/channels/{channel_id}/messages/{message_id}", channel_id=1, message_id=number))
    return (time.process_time() - began) / REQUESTS


def _check(bot: Bot, expected: int) -> None:
    """A variant that does not count would be fast too."""
    cog: Any = bot.get_cog("ArgusExporter")
    cog.exporter.sample()
    cells = cog.exporter.instruments.families["discord_http_requests_total"].cells
    got = cells["GET", "/channels/{channel_id}/messages/{message_id}", "200"].value
    if got != expected:
        msg = f"ours counted {got} requests instead of {expected}"
        raise AssertionError(msg)


# ------------------------------------------------------------------------------------------------- the server


@contextlib.contextmanager
def _server() -> typing.Iterator[str]:
    """Run a server in a process of its own; yield the API's base."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_rest"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/api/v10"
        finally:
            process.kill()


class _Answering(asyncio.Protocol):
    """Answers every request alike."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        self._transport = typing.cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer each request whose head ends here."""
        self._transport.write(_answer() * data.count(b"\r\n\r\n"))


def _answer() -> bytes:
    body = json.dumps({**_USER, **_APPLICATION, "bot_require_code_grant": False, "owner": _USER}).encode()
    headers = {
        "Content-Type": "application/json",
        "Content-Length": len(body),
        "Via": "1.1 google",
        "Date": formatdate(usegmt=True),
        "X-RateLimit-Limit": 1000,
        "X-RateLimit-Remaining": 999,
        "X-RateLimit-Reset": f"{time.time() + 1:.3f}",
        "X-RateLimit-Reset-After": "1.000",
        "X-RateLimit-Bucket": "bucket",
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + body


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Answering, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
