"""A bot of its own for each incident: a simulated Discord, the bot's processes, and the people who use it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import os
import signal
import socket
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp

from examples.discord_simulator import Simulator
from tests.analytics.server import Server, postgresql
from tests.integration.programs import free_port

ROOT: Final = Path(__file__).parents[2]
HEARTBEAT: Final = 41.25
"""Discord's heartbeat interval in seconds, before it is scaled."""
DISTANCE: Final = 0.1
"""Seconds to Discord and back. discord.py notes when it sent a heartbeat after it has: not to be answered before."""
LIMIT_INTERVAL: Final = 600.0
"""How often the exporter asks for the session start limit, before it is scaled; ten seconds is the least it takes."""
STATSD_INTERVAL: Final = 10.0
"""Seconds between two pushes, before they are scaled."""
PATIENCE: Final = 10.0
"""Seconds of silence after which discord.py leaves a connection; not scaled, or a busy machine would have outages."""
STARTING: Final = 120.0
"""Seconds in which a bot must be well."""
BEAT: Final = 0.25
"""Seconds between two moments at which people do something."""
CHAT: Final = 4.0
"""How often something happens on a shard, per second."""
PINGS: Final = 4.0
"""How often people use the bot when all is well, per second."""


@dataclasses.dataclass(frozen=True)
class Process:
    """A process of the bot: its shards, of how many, and its cluster."""

    shards: tuple[int, ...] = (0,)
    of: int = 1
    cluster: str = "0"


class Running:
    """A process of the bot that can be killed and started again at the same address."""

    def __init__(self, process: Process, command: tuple[str, ...], environment: dict[str, str]) -> None:
        self.process, self.port = process, free_port()
        self.log: Final = Path(environment["ARGUS_STATE_DIR"]) / "log"
        self._command = command
        self._environment = {**os.environ, **environment, "ARGUS_PORT": str(self.port), "PYTHONUNBUFFERED": "1"}
        self._gate = self.log.with_name("gate")
        self._child: asyncio.subprocess.Process | None = None
        self._successor: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, or let the successor begin."""
        if self._successor is None:
            await self.prepare()
        self._child, self._successor = self._successor, None
        self._gate.unlink()

    async def prepare(self) -> None:
        """Start a successor that waits at a gate, on a leash, so that it does not outlive the rehearsal.

        A start takes much longer than its share of a scaled minute: most of it is to be over when the gate is opened.
        """
        self._gate.touch()
        with self.log.open("ab") as log:
            self._successor = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "examples.demo.leash", "module", "tests.rehearsal.bot", *self._command),
                *("--gate", str(self._gate)),
                cwd=ROOT,
                env=self._environment,
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
            )
        while self._gate.stat().st_size == 0 and self._successor.returncode is None:
            await asyncio.sleep(0.05)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        with contextlib.suppress(ProcessLookupError):
            self._running.send_signal(number)

    async def ended(self) -> None:
        """Wait until it has ended."""
        await self._running.wait()

    async def kill(self) -> None:
        """End it at once, if it was started."""
        if self._child is not None:
            self.send(signal.SIGKILL)
            await self.ended()

    async def serves(self, http: aiohttp.ClientSession) -> None:
        """Wait until it serves its metrics."""
        while True:
            assert self._running.returncode is None, f"the bot has ended: {self.log.read_text()}"
            with contextlib.suppress(aiohttp.ClientError):
                async with http.get(f"http://127.0.0.1:{self.port}/metrics") as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.1)

    @property
    def _running(self) -> asyncio.subprocess.Process:
        assert self._child is not None
        return self._child


class Scene:
    """A bot in its Discord."""

    def __init__(
        self,
        name: str,
        fleet: tuple[Process, ...],
        factor: float,
        folder: Path,
        *,
        patience: float = PATIENCE,
        chat: float = CHAT,
        pings: float = PINGS,
        pushes: bool = False,
        records: Mapping[str, object] | None = None,
    ) -> None:
        self.name, self.factor = name, factor
        self.uses: defaultdict[str, float] = defaultdict(float, ping=pings)
        """What commands people use, and how often per second."""
        self.unlisted: set[Running] = set()
        """The processes that Prometheus is not told of."""
        count = max(process.of for process in fleet)
        self.sim: Final = Simulator(
            guilds=2 * count,
            members=3,
            shards=count,
            heartbeat_interval=HEARTBEAT / factor,
            session_start_limit=1000,
        )
        self.sim.gateway.ack_delay = DISTANCE
        self._folder = folder
        self._patience, self._chat, self._fleet = patience, chat, fleet
        self._statsd = folder / "statsd" if pushes else None
        self._listening: asyncio.DatagramTransport | None = None
        self._records: Final = records
        self.database: Server | None = None
        self.processes: list[Running] = []
        self._owed: defaultdict[str, float] = defaultdict(float)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Scene]:
        """Run it until the end of the block, which begins when every shard is online and every process serves."""
        await self.listen()
        async with self._recording(), self.sim:
            try:
                await asyncio.gather(*(self.join(process) for process in self._fleet))
                await self.up()
                people = asyncio.create_task(self._live())
                try:
                    yield self
                finally:
                    people.cancel()
                    await asyncio.gather(people, return_exceptions=True)
            finally:
                await asyncio.gather(*(process.kill() for process in self.processes))
                self.listen_no_more()

    @contextlib.asynccontextmanager
    async def _recording(self) -> AsyncIterator[None]:
        """Have the database that the bot records into, if it does."""
        with contextlib.ExitStack() as stack:
            if self._records is not None:
                self.database = await asyncio.to_thread(stack.enter_context, postgresql())
            yield

    async def join(self, process: Process) -> Running:
        """Start another process of the bot."""
        state = self._folder / str(len(self.processes))
        targets = self._folder / "targets"
        state.mkdir()
        targets.mkdir(exist_ok=True)
        arguments = {
            "discord": self.sim.url,
            "token": self.sim.token,
            "shards": ",".join(map(str, process.shards)),
            "of": process.of,
            "factor": self.factor,
            "patience": self._patience,
        }
        command = itertools.chain.from_iterable((f"--{name}", str(value)) for name, value in arguments.items())
        interval = max(LIMIT_INTERVAL / self.factor, 10)
        settings = {
            "BOT": self.name,
            "CLUSTER": process.cluster,
            "STATE_DIR": state,
            "FILE_SD_DIR": targets,
            "SESSION_LIMIT_INTERVAL": interval,
            "STATSD_URL": f"unixgram://{self._statsd}" if self._statsd else "off",
            "STATSD_INTERVAL": STATSD_INTERVAL / self.factor,
            "ANALYTICS_URL": self.database.url("postgres") if self.database else "off",
            **{f"ANALYTICS_{name.upper()}": value for name, value in (self._records or {}).items()},
        }
        environment = {f"ARGUS_{name}": str(value) for name, value in settings.items()}
        running = Running(process, tuple(command), environment)
        self.processes.append(running)
        await running.start()
        return running

    async def up(self) -> None:
        """Wait until it is well."""
        wanted = {shard for running in self.processes for shard in running.process.shards}
        async with asyncio.timeout(STARTING), aiohttp.ClientSession() as http:
            await asyncio.gather(*(running.serves(http) for running in self.processes))
            while not wanted <= {shard for shard, session in self.sim.sessions.items() if session.ready}:
                await asyncio.sleep(0.05)

    @contextlib.contextmanager
    def without_folder(self) -> Iterator[None]:
        """Let the folder be away in which the processes keep their target files."""
        folder, away = self._folder / "targets", self._folder / "away"
        folder.rename(away)
        yield
        away.rename(folder)

    def targets(self) -> list[dict[str, Any]]:
        """What Prometheus is told of the processes."""
        return [
            {
                "targets": [f"127.0.0.1:{running.port}"],
                "labels": {"bot": self.name, "cluster": running.process.cluster},
            }
            for running in self.processes
            if running not in self.unlisted
        ]

    async def listen(self) -> None:
        """Take what the bot pushes, if it does, and leave it."""
        if self._statsd is not None:
            loop = asyncio.get_running_loop()
            made = loop.create_datagram_endpoint(asyncio.DatagramProtocol, str(self._statsd), family=socket.AF_UNIX)
            self._listening, _ = await made

    def listen_no_more(self) -> None:
        """Be away for what the bot pushes."""
        if self._statsd is not None and self._listening is not None:
            self._listening.close()
            self._statsd.unlink(missing_ok=True)

    async def tell(self, word: str, argument: object = "") -> None:
        """Let somebody say to every process what the bot is to do."""
        for running in self.processes:
            await self._soon(self.sim.message(f"!{word} {argument}", guild=running.process.shards[0]))

    async def _live(self) -> None:
        """Let people chat on every shard, and use commands."""
        for turn in itertools.count():
            await asyncio.sleep(BEAT)
            for _ in range(self._due("chat", self._chat)):
                for guild in range(self.sim.gateway.advised_shards):
                    await self._soon(self.sim.event("TYPING_START", guild=guild))
            for command, rate in list(self.uses.items()):
                for _ in range(self._due(command, rate)):
                    await self._soon(self.sim.slash(command, guild=turn % len(self.sim.guild_ids)))

    def _due(self, what: str, rate: float) -> int:
        """How often to do something now that is done so often per second."""
        self._owed[what] += rate * BEAT
        due = int(self._owed[what])
        self._owed[what] -= due
        return due

    @staticmethod
    async def _soon(work: Coroutine[Any, Any, object]) -> None:
        """Do it, but do not wait for a bot that does not listen, nor mind a guild that is away."""
        with contextlib.suppress(TimeoutError, LookupError):
            async with asyncio.timeout(1):
                await work
