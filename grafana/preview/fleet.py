"""A simulated fleet: a local Discord, real bots that log in to it, people who use them, a real Prometheus."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import shutil
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import aiohttp

from examples.demo.children import Children
from examples.demo.prometheus import free_port
from examples.discord_simulator import Simulator
from grafana.preview.prometheus import Prometheus, Refused

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping

DISTANCE: Final = 0.03
"""Seconds that a heartbeat's answer takes, as from a Discord far away."""
_STARTING: Final = 120.0
_ALERT: Final = {
    "groups": [
        {"name": "preview", "rules": [{"alert": "DiscordPreview", "expr": "vector(1)", "labels": {"job": "bot"}}]}
    ]
}
"""An alert that always fires: panels of alerts show it."""


@dataclass(frozen=True)
class Options:
    """What kind of fleet.

    :param clusters: processes, each with an equal share of the shards; 0 is one plain Bot without any labels.
    :param rate: gateway events per second.
    :param uses: uses of commands, buttons and forms per second.
    :param trouble: seconds from one thing that goes wrong (errors, rate limits, reconnects) to the next; 0 is
        never. The bots push StatsD too then, write an error log and target files, and have been killed before.
    :param scrape: seconds between two scrapes.
    :param settings: more settings of the exporters.
    :param rules: a folder of rules for Prometheus; without it there is one alert, which always fires.
    :param more: what else Prometheus is configured with, and `flags` it is started with.
    """

    shards: int = 1
    clusters: int = 0
    guilds: int = 20
    rate: float = 100.0
    uses: float = 8.0
    trouble: float = 0.0
    scrape: float = 1.0
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    rules: Path | None = None
    more: Mapping[str, Any] = field(default_factory=dict[str, Any])
    flags: tuple[str, ...] = ()


class Fleet:
    """One that runs, for as long as the context.

    :ivar server: the Prometheus that scrapes it, at `url`.
    :ivar targets: what it scrapes, an entry for each process.
    """

    server: Prometheus
    url: str
    targets: list[dict[str, Any]]
    sim: Simulator

    def __init__(self, options: Options) -> None:
        self.options = options
        self._random = random.Random(1)
        self._broken = False
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(_STARTING):
                await self._start()
        except BaseException:
            await self._exits.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exits.aclose()

    async def _start(self) -> None:
        enter = self._exits.enter_async_context
        options = self.options
        folder = Path(self._exits.enter_context(tempfile.TemporaryDirectory(prefix="argus-preview-")))
        http = await enter(aiohttp.ClientSession())
        self.sim = await enter(
            Simulator(guilds=options.guilds, members=5, channels=2, shards=options.shards, heartbeat_interval=2.0)
        )
        await self.sim.incident("slow_acks", delay=DISTANCE)
        self._children = await enter(Children())
        self._sink = await self._listen()
        self.targets = [await self._start_bot(folder, *one) for one in self._processes()]
        self.url = await self._start_prometheus(folder)
        await self.sim.wait_for_shards(options.shards, _STARTING)
        self.server = Prometheus(self.url, http)
        await self._seen(f"count(discord_shard_status == 3) == {options.shards}")
        await self.sim.start_traffic(options.rate)
        await enter(_meanwhile([self._people(), *([self._go_wrong()] if options.trouble else [])]))

    def _processes(self) -> list[tuple[int, list[int] | None]]:
        """Number and shards of each process; a plain bot has none to choose."""
        size, clusters = self.options.shards, self.options.clusters
        if not clusters:
            return [(0, None)]
        return [(n, list(range(size * n // clusters, size * (n + 1) // clusters))) for n in range(clusters)]

    async def _start_bot(self, folder: Path, number: int, shards: list[int] | None) -> dict[str, Any]:
        arguments = ["--discord", self.sim.url, "--token", self.sim.token]
        labels = {} if shards is None else {"bot": "preview", "cluster": str(number)}
        if shards is not None:
            arguments += ["--shards", ",".join(map(str, shards)), "--count", str(self.options.shards)]
        settings = {**labels, "port": "0", "state_dir": str(folder), **self.options.settings}
        if self.options.trouble:
            written = {"error_log": str(folder / f"{number}.jsonl"), "file_sd_dir": str(folder)}
            settings = {"statsd_url": self._sink, "statsd_interval": "1", **written, **settings}
            left = folder / f"last-exit-{self.sim.world.bot_id}-{number}.json"
            left.write_text('{"reason": "killed", "code": "none"}', encoding="utf-8")
        environment = {f"ARGUS_{name.upper()}": value for name, value in settings.items()}
        child = await self._children.start(
            f"bot {number}", "grafana.preview.bot", *arguments, heard=lambda _: None, environment=environment
        )
        return {"targets": [(await child.line(r"^metrics: (\S+)"))[1]], "labels": labels}

    async def _start_prometheus(self, folder: Path) -> str:
        more = self.options.more
        every = dict.fromkeys(("scrape_interval", "evaluation_interval"), f"{self.options.scrape:g}s")
        alert, config = folder / "alert.yml", folder / "prometheus.yml"
        alert.write_text(json.dumps(_ALERT), encoding="utf-8")
        rules = self.options.rules / "*.yml" if self.options.rules else alert
        jobs = [{"job_name": "bot", "honor_labels": True, "static_configs": self.targets}]
        own = {"global": {**more.get("global", {}), **every}, "rule_files": [str(rules)], "scrape_configs": jobs}
        config.write_text(json.dumps({**more, **own}), encoding="utf-8")
        address = f"127.0.0.1:{free_port()}"
        child = await self._children.start(
            "Prometheus",
            program(),
            *(f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}"),
            *self.options.flags,
            kind="program",
            heard=lambda _: None,
        )
        await child.line("ready to receive web requests")
        return f"http://{address}"

    async def _listen(self) -> str:
        """Take what is pushed as StatsD, and throw it away."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
        self._exits.callback(transport.close)
        return f"udp://127.0.0.1:{transport.get_extra_info('sockname')[1]}"

    async def _seen(self, promql: str) -> None:
        """Wait until a query finds something."""
        while True:
            with contextlib.suppress(aiohttp.ClientError, Refused):
                if await self.server.instant(promql, time.time()):
                    return
            await asyncio.sleep(0.1)

    async def break_off(self, *shards: int) -> None:
        """Close shards and let none come back, and nothing else go wrong; returns when Prometheus knows."""
        self._broken = True
        await self.sim.incident("gateway_refuses")
        for shard in shards:
            await self.sim.close_shard(shard)
        await self._seen(f"count(discord_shard_status == 2) >= {len(shards)}")

    async def hang(self, shard: int) -> None:
        """Let a shard's connection go dead while it stays open; returns when Prometheus knows, after some beats."""
        await self.sim.incident("zombie_no_ack", shard=shard)
        await self._seen(f'discord_shard_status{{shard="{shard}"}} == 1')

    # ------------------------------------------------------------------------------------- what goes on

    async def _people(self) -> None:
        for number in itertools.count():
            await asyncio.sleep(1 / self.options.uses)
            with contextlib.suppress(LookupError, IndexError):  # a shard is away, a form is not open
                await self._use(number)

    async def _use(self, number: int) -> None:
        sim, guild = self.sim, self._random.randrange(self.options.guilds)
        uses: tuple[Callable[[], Coroutine[Any, Any, object]], ...] = (
            lambda: sim.slash(self._random.choice(("ping", "buy", "buy", "think")), guild=guild),
            lambda: sim.message("!hello", guild=guild),
            lambda: sim.autocomplete("buy", "item", {"item": "s"}, guild=guild),
            lambda: sim.user_menu("Greet", guild=guild),
            lambda: self._click(guild),
            lambda: self._write(guild),
        )
        await uses[number % len(uses)]()

    async def _click(self, guild: int) -> None:
        asked = await self._answered("vote", guild)
        if asked.original is not None:
            await self.sim.component(asked.original, "yes", guild=guild)

    async def _write(self, guild: int) -> None:
        await self._answered("letter", guild)
        forms = list(self.sim.stage.interactions.modals)
        await self.sim.modal(forms[-1], {"text": "Dear all"}, guild=guild)

    async def _answered(self, command: str, guild: int) -> Any:
        used = await self.sim.slash(command, guild=guild)
        with contextlib.suppress(TimeoutError):
            await self.sim.wait_for(lambda: used.response is not None, 2)
        return used

    async def _go_wrong(self) -> None:
        """One thing after another, again and again."""
        sim = self.sim
        things: tuple[Callable[[], Coroutine[Any, Any, object]], ...] = (
            lambda: sim.slash("broken", {"why": "key"}),
            lambda: sim.message("trip"),
            lambda: sim.incident("user_429", retry_after=0.3, seconds=1),
            lambda: sim.slash("forbidden", {"why": "rule"}),
            lambda: sim.incident("rest_5xx", share=0.5, seconds=1),
            lambda: sim.incident("reconnect", shard=self._random.randrange(self.options.shards)),
            lambda: sim.slash("broken", {"why": "value"}),
            lambda: sim.slash("buy", {"item": "moon"}),
            lambda: sim.incident("invalid_requests", status=403, seconds=3),
            lambda: sim.incident("close", shard=self._random.randrange(self.options.shards), code=4000),
            lambda: sim.incident("late_interactions", late=4.0, seconds=1),
            lambda: sim.incident("guild_outage", guild=self._random.randrange(self.options.guilds), seconds=2),
            lambda: sim.incident("shared_429", retry_after=0.3, seconds=1),
        )
        for happen in itertools.cycle(things):
            await asyncio.sleep(self.options.trouble)
            if self._broken:
                return
            with contextlib.suppress(LookupError):  # a shard is away
                await happen()


@contextlib.asynccontextmanager
async def _meanwhile(work: Iterable[Coroutine[Any, Any, None]]) -> AsyncGenerator[None]:
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def program() -> str:
    """Where Prometheus is.

    :raises FileNotFoundError: if it is not installed.
    """
    found = shutil.which("prometheus")
    if found is None:
        raise FileNotFoundError("there is no program `prometheus` on the PATH")
    return found
