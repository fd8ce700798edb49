"""The demo itself: a simulator, a bot, its page once a second, and a display."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import aiohttp

from examples.demo import prometheus
from examples.demo.incidents import Planned, schedule
from examples.demo.page import Page
from examples.demo.plain import say
from examples.demo.simulation import DISTANCE, Simulation
from examples.demo.summary import History
from examples.demo.view import View

if TYPE_CHECKING:
    from pathlib import Path

    from examples.demo.children import Child, Children

EVERY: Final = 1.0
"""Seconds between two scrapes."""
HEARTBEAT: Final = 5.0
"""Seconds between two heartbeats: Discord's are 41, nobody waits that long for a latency."""
TOKEN: Final = "simulator-token"  # noqa: S105  it opens nothing but the simulator
_STARTING: Final = 60.0
_TIMEOUT: Final = aiohttp.ClientTimeout(total=5)
_SERIOUS: Final = re.compile(r"^\[(WARNING|ERROR|CRITICAL)\] (.*)")
_INCIDENT: Final = re.compile(r"incident .*")


class Display(Protocol):
    """What shows a view: the terminal, or lines."""

    def open(self) -> None:
        """Take the terminal."""

    def close(self) -> None:
        """Give it back."""

    def show(self, view: View) -> None:
        """Show how things are."""


@dataclass(frozen=True)
class Options:
    """What the user wants. `port` 0 takes a free one; without `seconds` it runs until it is stopped."""

    shards: int = 4
    guilds: int = 40
    rate: float = 200.0
    port: int = 0
    seconds: float | None = None
    incidents: tuple[Planned, ...] = ()
    calm: bool = False
    prometheus: bool = False


class Demo:
    """One run. `run` returns after `seconds`; raises Ended when the simulator or the bot has ended by itself.

    `folder` is for what they write; it must outlive them.
    """

    def __init__(self, options: Options, display: Display, children: Children, folder: Path) -> None:
        self._options = options
        self._display = display
        self._children = children
        self._folder = folder
        self._history = History()
        self._up = asyncio.Event()
        self._view = View(shards=options.shards, guilds=options.guilds, rate=options.rate)

    async def run(self) -> None:
        """Start everything, and show it."""
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(aiohttp.ClientSession())
            async with asyncio.timeout(_STARTING):
                simulation = Simulation(await self._start_simulator(), http)
                bot = await self._start_bot(simulation.url)
            if self._options.prometheus:
                await self._start_prometheus(http)
            self._display.open()
            stack.callback(self._display.close)
            async with asyncio.TaskGroup() as group:
                tasks = self._life(simulation, group)
                await self._watch(simulation, bot, http)
                for task in tasks:
                    task.cancel()

    async def _start_simulator(self) -> str:
        options = self._options
        arguments = ("--quick", "--port", "0", "--token", TOKEN, "--heartbeat", f"{HEARTBEAT:g}")
        far = ("--incident", f"slow_acks:delay={DISTANCE['delay']}")
        numbers = ("--shards", options.shards, "--guilds", options.guilds, "--rate", options.rate)
        child = await self._children.start(
            "simulator", "examples.discord_simulator", *arguments, *far, *map(str, numbers), heard=self._heard_simulator
        )
        return (await child.line(r"http://[\d.]+:\d+"))[0]

    async def _start_bot(self, discord: str) -> Child:
        arguments = ("--discord", discord, "--token", TOKEN, "--shards", str(self._options.shards))
        environment = {"ARGUS_PORT": str(self._options.port), "ARGUS_STATE_DIR": str(self._folder / "state")}
        child = await self._children.start(
            "bot", "examples.demo.bot", *arguments, heard=self._heard_bot, environment=environment
        )
        self._view.url = (await child.line(r"^metrics: (\S+)"))[1]
        say(f"metrics: {self._view.url}")
        say(f"discord: {discord} (simulated: {self._options.shards} shards, {self._options.guilds} guilds)")
        return child

    async def _start_prometheus(self, http: aiohttp.ClientSession) -> None:
        target = self._view.url.split("/")[2]
        self._view.prometheus = await prometheus.start(self._children, target, self._folder, http)
        say(f"prometheus: {self._view.prometheus}")

    def _heard_simulator(self, line: str) -> None:
        if (found := _INCIDENT.search(line)) and not found[0].endswith(str(DISTANCE)):
            self._view.note(found[0])

    def _heard_bot(self, line: str) -> None:
        if found := _SERIOUS.search(line):
            self._view.note(f"bot, {found[1].lower()}: {found[2]}")

    def _life(self, simulation: Simulation, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """What goes on by itself."""
        tasks = [group.create_task(simulation.people(self._options.guilds))]
        if not self._options.calm:
            tasks.append(group.create_task(self._go_wrong(simulation)))
        return tasks

    async def _go_wrong(self, simulation: Simulation) -> None:
        await self._up.wait()
        await simulation.live(schedule(self._options.incidents, self._options.shards), self._view.note)

    async def _watch(self, simulation: Simulation, bot: Child, http: aiohttp.ClientSession) -> None:
        """Scrape and show once a second."""
        began = due = time.monotonic()
        last = None if self._options.seconds is None else began + self._options.seconds
        while last is None or due <= last:
            await asyncio.sleep(due - time.monotonic())
            bot.check()
            await self._scrape(http)
            await self._look(simulation)
            self._display.show(self._view)
            due = max(due + EVERY, time.monotonic())

    async def _scrape(self, http: aiohttp.ClientSession) -> None:
        began = time.monotonic()
        try:
            async with http.get(self._view.url, headers={"Accept": "text/plain"}, timeout=_TIMEOUT) as response:
                text = await response.text()
                response.raise_for_status()
        except (aiohttp.ClientError, TimeoutError) as problem:
            self._view.trouble = f"no page: {str(problem) or 'no answer in time'}"
            return
        self._view.trouble = ""
        summary = self._view.summary = self._history.add(Page.read(text, began, time.monotonic() - began))
        if summary.online >= self._options.shards:
            self._up.set()

    async def _look(self, simulation: Simulation) -> None:
        try:
            self._view.incidents = await simulation.running()
        except (aiohttp.ClientError, TimeoutError) as problem:
            self._view.trouble = f"no simulator: {problem}"
        wait = simulation.due - time.monotonic()
        self._view.coming = f"in {max(wait, 0):.0f} s: {simulation.next}" if simulation.next else ""
