"""Real bots, fed with the frames of a made-up Discord: no network, no fake of discord.py.

Every bot is a ``commands.AutoShardedBot`` whose websockets are real ``DiscordWebSocket`` objects made by
``DiscordWebSocket.from_client``. Only aiohttp's socket below them is a stub. Frames are zlib-streams, one compressor a
shard, made once and fed to all bots alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
import typing
from email.utils import formatdate
from typing import Any, Final

import aiohttp
import discord
from discord import app_commands
from discord.ext import commands
from discord.gateway import DiscordWebSocket
from discord.shard import Shard
from multidict import CIMultiDict

from argus_exporter import ArgusExporter, Settings
from tests.benchmarks.world import COMMANDS, Frame, World

if typing.TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

BURST: Final = 16


class StubSocket:
    """Stands where aiohttp's websocket does: says HELLO, swallows what is sent."""

    def __init__(self, hello: bytes) -> None:
        self._hello = hello
        self.closed = False
        self.close_code: int | None = None

    async def receive(self, timeout: float | None = None) -> aiohttp.WSMessage:  # noqa: ASYNC109
        """Return HELLO."""
        return aiohttp.WSMessage(aiohttp.WSMsgType.BINARY, self._hello, None)

    async def send_str(self, data: str) -> None:
        """Swallow."""

    async def close(self, *, code: int = 4000, message: bytes = b"") -> bool:
        """Be closed."""
        self.closed, self.close_code = True, code
        return True


class Line:
    """Stands where aiohttp's session sends: every request is well, at once."""

    def __init__(self) -> None:
        self._second = 0
        self._headers = CIMultiDict[str]()

    async def __call__(self, method: str, url: object, **named: object) -> Response:
        """Answer."""
        second = int(time.time())
        if second != self._second:
            self._second, date = second, formatdate(second, usegmt=True)
            self._headers = CIMultiDict({"Content-Type": "application/json", "Via": "1.1 google", "Date": date})
        return Response(self._headers)


class Response:
    """As much of aiohttp's response as discord.py asks for."""

    status = 200
    reason = "OK"

    def __init__(self, headers: CIMultiDict[str]) -> None:
        self.headers = headers

    async def text(self, encoding: str = "utf-8") -> str:
        """Return what answers the response to an interaction."""
        return '{"interaction": {"id": "1", "type": 2}}'

    async def __aenter__(self) -> typing.Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


class Bot(commands.AutoShardedBot):
    """A bot with a hundred slash commands that do nothing.

    :ivar answers: whether its commands answer.
    """

    answers = False

    def __init__(self, world: World) -> None:
        super().__init__(
            command_prefix="!", intents=discord.Intents.all(), shard_count=world.shards, chunk_guilds_at_startup=False
        )
        self._connection.guild_ready_timeout = 0.05
        self._world = world
        self.sockets: list[DiscordWebSocket] = []
        for index in range(COMMANDS):
            self.tree.add_command(app_commands.Command(name=f"command-{index}", description="-", callback=_command))

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Wait for nothing: nobody limits IDENTIFYs here."""

    async def boot(self, install: Callable[[Bot], Awaitable[object]]) -> None:
        """Do what ``start`` does, with stubs for sockets, and wait until the bot is ready."""
        await self._async_setup_hook()
        self.http.token = "token"
        self._reconnect = True
        self._connection.shard_ids = range(self._world.shards)
        self._connection.shard_count = self._world.shards
        self._connection.user = discord.ClientUser(state=self._connection, data=self._world.bot)
        session: Any = aiohttp.ClientSession()
        session._request = Line()
        self.http._HTTPClient__session = session
        await install(self)
        await self.setup_hook()
        for shard_id, hello in self._world.hellos:
            await self._connect(shard_id, hello)
        for shard_id, frame in self._world.boot:
            await self.sockets[shard_id].received_message(frame)
        await self.wait_until_ready()
        await asyncio.sleep(0.1)

    async def _connect(self, shard_id: int, hello: bytes) -> None:
        async def ws_connect(url: str, *, compress: int = 0) -> StubSocket:
            return StubSocket(hello)

        self.http.ws_connect = ws_connect  # type: ignore[method-assign,assignment]
        ws = await DiscordWebSocket.from_client(self, initial=shard_id == 0, shard_id=shard_id)
        self._AutoShardedClient__shards[shard_id] = Shard(ws, self, lambda _: None)
        self.sockets.append(ws)


async def _command(interaction: discord.Interaction[Bot]) -> None:
    if interaction.client.answers:
        await interaction.response.defer()


async def play(bot: Bot, frames: list[Frame], turns: int = 3) -> float:
    """Feed the frames in bursts, the loop running after each. Return CPU seconds an event, of the whole process.

    :param turns: of the loop after each burst, which the tasks of the bot and its listeners need to come to their end.
    """
    sockets, bursts = bot.sockets, [frames[start : start + BURST] for start in range(0, len(frames), BURST)]
    await asyncio.sleep(0)  # what is due (timers of other bots) comes before
    began = time.process_time()
    for burst in bursts:
        for shard_id, frame in burst:
            await sockets[shard_id].received_message(frame)
        for _ in range(turns):
            await asyncio.sleep(0)
    return (time.process_time() - began) / len(frames)


def free_port() -> int:
    """Find a port that is free."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        port: int = server.getsockname()[1]
        return port


# ------------------------------------------------------------------------------------------------- variants


async def bare(bot: Bot) -> None:
    """Nothing but discord.py."""


async def empty_listener(bot: Bot) -> None:
    """A coroutine that does nothing: what every listener costs."""

    async def on_socket_event_type(event: str) -> None:
        pass

    bot.add_listener(on_socket_event_type)


async def ours(bot: Bot, *, user_registry: bool = True) -> ArgusExporter:
    """The Cog, as ``load_extension`` adds it."""
    return await _add(bot, short_circuit=True, user_registry=user_registry)


async def calling_through(bot: Bot) -> ArgusExporter:
    """The Cog with ``ARGUS_SHORT_CIRCUIT=off``."""
    return await _add(bot, short_circuit=False, user_registry=True)


async def fallback(bot: Bot) -> ArgusExporter:
    """The Cog on a discord.py without ``_update_references``: the public API alone."""
    state: Any = bot._connection
    state._update_references = None
    cog = await _add(bot, short_circuit=True, user_registry=True)
    del state._update_references
    return cog


async def _add(bot: Bot, *, short_circuit: bool, user_registry: bool) -> ArgusExporter:
    settings = Settings(
        port=0, state_dir=None, session_limit_interval=None, short_circuit=short_circuit, user_registry=user_registry
    )
    cog = ArgusExporter(bot, settings)
    await bot.add_cog(cog)
    return cog


async def argus_dpy(bot: Any) -> int:
    """argus-dpy with its defaults, by its documented one line."""
    from argus import Argus

    port = free_port()
    Argus(bot, port=port, host="127.0.0.1")
    return port


async def promext(bot: Bot) -> int:
    """discord-ext-prometheus with its defaults."""
    from discord.ext.prometheus import PrometheusCog

    port = free_port()
    await bot.add_cog(PrometheusCog(bot, port=port))
    return port
