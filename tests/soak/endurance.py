"""A long run: one process is Discord, its people, a Prometheus and a StatsD server; another is a bot with us in it.

What is looked at while it goes on is in :class:`Trend`, what must be equal in the end in :mod:`tests.soak.books`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import json
import math
import os
import random
import socket
import statistics
import sys
import tempfile
import threading
import time
import typing
from collections import Counter, deque
from pathlib import Path
from typing import Any, Final

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from examples.discord_simulator import Simulator
from examples.discord_simulator.limits import QUICK
from tests.clients import until
from tests.integration.pushed import counters
from tests.session.expectation import nameless, read
from tests.session.script import BARRED, CURSED, GUILDS, MEMBERS, SHARDS
from tests.soak.books import Books, booked, differences, expected
from tests.soak.people import Incidents, People, ask_for_heartbeats, healed, is_behind

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from tests.session.expectation import Expectation, Series

ROOT: Final = Path(__file__).parents[2]
LIMITS: Final = dataclasses.replace(QUICK, replay=60_000, invalid_requests=0, closing=60.0)
"""No address is banned but by an incident, no shard is away for longer than its events are kept, and none sees another
end of its connection than the one that was sent."""
BEAT: Final = 10.0
FIRST_MARK: Final = 5.0
LONG: Final = 600.0
"""Seconds of a run from which on each table's growth tells something."""
A_FEW: Final = 10
IN_FLIGHT: Final = ("Commands.runs", "Interactions._kept", "Interactions._open", "Wire.flying")
"""Tables in which there is nothing where nothing happens."""
EVENTS: Final = "discord_gateway_events_total"
RECENT: Final = 12
_ROOM: Final = 1 << 22


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a run is like.

    :ivar seconds: of traffic.
    :ivar rate: events a second, besides what people do, while the bot keeps up.
    :ivar growth: MB by which the memory may grow in the second half.
    :ivar pause: seconds between two incidents, at least and at most.
    """

    seconds: float = 3600.0
    rate: float = 2500.0
    seed: int = 1
    growth: float = 4.0
    scrape: float = 5.0
    mark: float = 10.0
    flush: float = 5.0
    pause: tuple[float, float] = (3.0, 12.0)


# ---------------------------------------------------------------------------------------------- the bot's process


class Child:
    """The bot's process, and the line to it."""

    def __init__(self, process: asyncio.subprocess.Process, reader: Any, writer: Any) -> None:
        self.process = process
        self._reader: asyncio.StreamReader = reader
        self._writer: asyncio.StreamWriter = writer
        self._turn = asyncio.Lock()

    async def hear(self, word: bytes) -> None:
        """Wait for a word."""
        heard = await self._reader.readline()
        assert heard == word + b"\n", heard

    def say(self, word: bytes) -> None:
        self._writer.write(word + b"\n")

    async def ask(self, do: str, **named: Any) -> Any:
        """Let it do something, and hear what came of it, also if nobody waits for that any more."""
        return await asyncio.shield(self._ask({"do": do, **named}))

    async def _ask(self, asked: dict[str, Any]) -> Any:
        async with self._turn:
            self.say(json.dumps(asked).encode())
            answer = await self._reader.readline()
        assert answer, f"the bot has ended with {self.process.returncode}"
        return json.loads(answer)

    async def close(self) -> None:
        """Hang up, and wait until it has ended."""
        self._writer.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.process.wait(), 20)
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


@contextlib.asynccontextmanager
async def child(sim: Simulator, **settings: object) -> AsyncIterator[Child]:
    """A bot's process that waits to be told that it may load the extension."""
    callers: asyncio.Queue[tuple[Any, Any]] = asyncio.Queue()
    server = await asyncio.start_server(lambda *caller: callers.put_nowait(caller), "127.0.0.1", 0, limit=1 << 24)
    port = server.sockets[0].getsockname()[1]
    ours = {f"ARGUS_{name.upper()}": str(value) for name, value in settings.items()}
    others = {name: value for name, value in os.environ.items() if not name.startswith("ARGUS_")}
    command = ["--discord", sim.url, "--token", sim.token, "--shards", str(SHARDS), "--report", str(port)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.soak.bot", *command, cwd=ROOT, env={**others, **ours}
    )
    async with server:
        try:
            reader, writer = await asyncio.wait_for(callers.get(), 60)
            bot = Child(process, reader, writer)
        except BaseException:
            process.kill()
            raise
        try:
            yield bot
        finally:
            await bot.close()


# ---------------------------------------------------------------------------------------------- a StatsD server


class Receiver:
    """A StatsD server that adds counters up, in a thread of its own, so that no datagram waits for the simulator.

    :ivar sums: by the line without its value.
    """

    def __init__(self) -> None:
        self.sums: Counter[str] = Counter()
        self.datagrams = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._receive, daemon=True)

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def __enter__(self) -> typing.Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()

    def _receive(self) -> None:
        while datagram := self._socket.recv(1 << 16):
            self.datagrams += 1
            for line in datagram.decode().split("\n"):
                name, _, rest = line.partition(":")
                value, kind, *tags = rest.split("|")
                if kind == "c":
                    self.sums["|".join([f"{name}:", *tags])] += float(value)  # type: ignore[assignment]

    def lacks(self, page: str) -> list[str]:
        """What is not as on the page, of what is counted for the bot."""
        told = counters(text_string_to_metric_families(page), "dogstatsd", str)
        return [
            f"{line} was told {self.sums[line]}, is {value}"
            for line, value in told.items()
            if line.startswith("discord_")
            and not line.startswith("discord_event_loop_")
            and not math.isclose(self.sums[line], value, rel_tol=1e-6, abs_tol=1e-3)
        ]


# ---------------------------------------------------------------------------------------------- what may not grow


@dataclasses.dataclass(frozen=True)
class Trend:
    """How something went in the second half of a run.

    :ivar slope: of the line through it, by the median of all pairs (Theil and Sen), a second.
    """

    name: str
    values: tuple[float, ...]
    slope: float
    seconds: float

    @classmethod
    def of(cls, name: str, times: Sequence[float], values: Sequence[float]) -> Trend:
        half = len(times) // 2
        points = list(zip(times[half:], values[half:], strict=True))
        slopes = [(w - v) / (t - s) for (s, v), (t, w) in itertools.combinations(points, 2)]
        return cls(name, tuple(values), statistics.median(slopes or [0.0]), points[-1][0] - points[0][0])

    @property
    def grown(self) -> float:
        return self.slope * self.seconds

    @property
    def over(self) -> float:
        """By how much its last quarter is above each of the others, which may have had less to do."""
        quarter = max(1, len(self.values) // 4)
        medians = [statistics.median(self.values[start:][:quarter]) for start in range(0, 4 * quarter, quarter)]
        return medians[-1] - max(medians[:-1])

    def allowed(self, memory: float) -> float:
        """How much it may have grown: a fifth, and a few where there are few."""
        half = self.values[len(self.values) // 2 :]
        return memory if self.name == "memory" else max(5.0, 0.2 * statistics.median(half))

    def is_growing(self, memory: float) -> bool:
        """Whether it has grown by more than that, and is not only back where it was."""
        allowed = self.allowed(memory)
        return self.grown > allowed and (self.name == "memory" or self.over > allowed / 2)

    def __str__(self) -> str:
        first, last = self.values[0], self.values[-1]
        return f"{self.name:60} {first:>9.1f} {max(self.values):>9.1f} {last:>9.1f} {self.slope * 3600:>+10.2f}/h"


# ---------------------------------------------------------------------------------------------- the run


class Run:
    """One run; what is wrong with it is in words.

    :ivar marks: seconds, and what was measured then.
    :ivar over: set, it ends before its time, and is looked at.
    :ivar rest: what was measured before all.
    :ivar page: the last page, and :ivar book: what it was held against.
    :ivar unheard: at the last pages, by how many events the simulator's books were ahead, which some always are: where
        the least of these is not about 0, the books are wrong, or the bot has lost something.
    """

    rest: dict[str, float]

    book: Expectation
    page: dict[Series, float]

    def __init__(self, plan: Plan, tell: Callable[[str], None]) -> None:
        self.plan = plan
        self.tell = tell
        self.marks: list[tuple[float, dict[str, float]]] = []
        self.over = asyncio.Event()
        self.wrong: list[str] = []
        self.scrapes = 0
        self.unheard: deque[float] = deque(maxlen=RECENT)
        self.rate = 0.0
        self.receiver = Receiver()
        self.sim = Simulator(
            guilds=GUILDS,
            members=MEMBERS,
            shards=SHARDS,
            heartbeat_interval=BEAT,
            session_start_limit=100_000,
            limits=LIMITS,
        )
        self.books = Books(self.sim)
        self.incidents = Incidents(self.sim, random.Random(plan.seed), plan.pause)
        self.page = {}
        self._began = 0.0

    async def run(self) -> None:
        """Do it all."""
        with tempfile.TemporaryDirectory() as directory:
            await self._run(directory)

    async def _run(self, directory: str) -> None:
        settings = {
            "port": 0,
            "state_dir": "off",
            "error_log": Path(directory, "errors.log"),
            "file_sd_dir": directory,
            "statsd_url": f"udp://127.0.0.1:{self.receiver.port}",
            "statsd_interval": self.plan.flush,
            "session_limit_interval": 15,
        }
        with self.receiver:
            async with self.sim, child(self.sim, **settings) as bot:
                await bot.hear(b"loading")
                self.books.open()
                bot.say(b"go on")
                await bot.hear(b"ready")
                self.rest = await bot.ask("measure")
                begun = await bot.ask(
                    "begin", seed=self.plan.seed, barred=self._those_of(BARRED), cursed=self._those_of(CURSED)
                )
                async with aiohttp.ClientSession(f"http://127.0.0.1:{begun['port']}") as http:
                    await self._live(bot, http, begun["boards"])
                    await self._compare(bot, http)

    def _those_of(self, member: int) -> list[int]:
        """A member of each guild."""
        return [int(guild.member(member)["user"]["id"]) for guild in self.sim.world.guilds.values()]

    # ------------------------------------------------------------------------------------- while it goes on

    async def _live(self, bot: Child, http: aiohttp.ClientSession, boards: dict[str, int]) -> None:
        people = People(self.books, boards, self.plan.seed)
        before, self._began = sum(self.sim.dispatched.values()), time.perf_counter()
        async with asyncio.TaskGroup() as group:
            healing = group.create_task(self.incidents.live())
            works = (people.live(self.plan.rate), self._scrape_often(http), self._mark_often(bot))
            working = [group.create_task(work) for work in works]
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.over.wait(), self.plan.seconds)
            self.incidents.stop()
            await healing
            for task in working:
                task.cancel()
        took = time.perf_counter() - self._began
        self.rate = (sum(self.sim.dispatched.values()) - before) / took
        self.tell(f"the bot was behind in {people.waited:.0f} of {took:.0f} s; nothing was sent meanwhile")

    async def _scrape_often(self, http: aiohttp.ClientSession) -> None:
        while True:
            await asyncio.sleep(self.plan.scrape)
            page = read(await self._scraped(http))
            sent = sum(self.sim.dispatched.values())
            self.unheard.append(sent - sum(value for (name, _), value in page.items() if name == EVENTS))
            self.wrong += fallen(self.page, page)
            self.page = page
            self.scrapes += 1

    async def _scraped(self, http: aiohttp.ClientSession) -> str:
        async with http.get("/metrics") as answer:
            assert answer.status == 200
            return await answer.text()

    async def _mark_often(self, bot: Child) -> None:
        await asyncio.sleep(FIRST_MARK)
        while True:
            measured = await bot.ask("measure")
            self.marks.append((time.perf_counter() - self._began, measured))
            self._tell(*self.marks[-1])
            await asyncio.sleep(self.plan.mark)

    def _tell(self, seconds: float, measured: dict[str, float]) -> None:
        sent, happened = sum(self.sim.dispatched.values()), self.incidents.happened
        held = sum(value for name, value in measured.items() if name not in _OF_THE_PROCESS)
        self.tell(
            f"{seconds:>6.0f} s {sent:>9} events {sent / seconds:>6.0f}/s  {measured['memory']:>6.1f} MB "
            + " ".join(f"{measured[name]:.0f} {name}" for name in _OF_THE_PROCESS[1:])
            + f" {held:.0f} held  {min(self.unheard, default=0):.0f} unheard  {self.scrapes} scrapes"
            f" {self.receiver.datagrams} datagrams"
            f"  {len(happened)} incidents, the last: {happened[-1] if happened else 'none'}"
        )

    # ------------------------------------------------------------------------------------- in the end

    async def _compare(self, bot: Child, http: aiohttp.ClientSession) -> None:
        """Let all come to rest, and compare; what is still on its way is waited for."""
        await healed(self.sim)
        await bot.ask("finish")
        await self._acknowledged()
        await bot.ask("finish")
        self.books.settle(0.0)
        await bot.ask("age")
        for _ in range(100):
            text = await self._scraped(http)
            self.book, self.page = expected(self.books, await bot.ask("witness")), nameless(read(text))
            found, missing = differences(self.book, self.page), self.receiver.lacks(text)
            left = left_over(self.rest, await bot.ask("measure"))
            if not (found or missing or left):
                break
            await asyncio.sleep(0.3)
        self.wrong += [*found, *missing, *left]
        counted, total = booked(self.book)
        self.tell(f"{counted} counters that add up to {total:.0f} are {'NOT ' if found else ''}as booked")
        self.tell(f"{len(self.receiver.sums)} lines of StatsD are {'NOT ' if missing else ''}as on the page")

    async def _acknowledged(self) -> None:
        """Ask each shard for a heartbeat, until it says that it has read all that there is."""
        ask_for_heartbeats(self.sim)
        await until(lambda: not is_behind(self.sim, 0), 180)

    def trends(self) -> list[Trend]:
        """How all that was measured went."""
        times = [seconds for seconds, _ in self.marks]
        names = sorted({name for _, measured in self.marks for name in measured})
        return [Trend.of(name, times, [measured.get(name, 0.0) for _, measured in self.marks]) for name in names]

    def grown(self) -> list[str]:
        """What has grown; in a short run of memory alone, the rest takes some minutes to be what it is in the mean."""
        looked_at = [trend for trend in self.trends() if trend.name == "memory" or self.plan.seconds >= LONG]
        found = [trend for trend in looked_at if trend.is_growing(self.plan.growth)]
        return [f"{trend.name} has grown by {trend.grown:.1f} in {trend.seconds:.0f} s" for trend in found]


def fallen(before: Mapping[Series, float], after: Mapping[Series, float]) -> list[str]:
    """What must not fall, and has."""
    return [
        f"{name}{dict(labels)} fell from {value} to {after.get((name, labels))}"
        for (name, labels), value in before.items()
        if name.endswith(("_total", "_count", "_bucket")) and after.get((name, labels), -1.0) < value
    ]


def left_over(before: Mapping[str, float], after: Mapping[str, float]) -> list[str]:
    """What there is after all has come to rest that was not there before."""
    more = [name for name in _OF_THE_PROCESS if name != "memory" and after[name] > before[name] + A_FEW]
    return [f"{after[name]:.0f} {name} are left" for name in (*more, *(name for name in IN_FLIGHT if after[name]))]


_OF_THE_PROCESS: Final = ("memory", "tasks", "files", "threads", "timers")
