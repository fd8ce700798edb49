"""Series of a bot, and what a real Prometheus keeps of them on disk: bots of 16 and of 64 shards, simulated.

They are scraped every second, so that minutes hold as many samples as two hours do at 15 s, which is one of Prometheus'
blocks. What happens on a shard comes as often as on a busy one. See prometheus/large/README.md.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import time
import typing
from pathlib import Path
from typing import Any, Final

import aiohttp

from grafana.preview.fleet import Fleet, Options
from tests.benchmarks.report import Bar, table

if typing.TYPE_CHECKING:
    from collections.abc import Iterable

_SIZES: Final = (16, 64)
_SCRAPES: Final = 480
_QUICK_SCRAPES: Final = 60
_RATE: Final = 8.0
"""Gateway events a second on each shard."""
_USES: Final = 6.0
"""Uses of commands, buttons and forms a second, by all people."""
_INTERVAL: Final = 15
_DAY: Final = 86400
_KINDS: Final = {
    "shards": 'shard!=""',
    "routes of REST": 'route!=""',
    "commands": 'command!=""',
    "events and their listeners": 'event!=""',
    "everything else": 'shard="", route="", command="", event=""',
}
"""What series are of, by the label that says so."""


@dataclasses.dataclass(frozen=True)
class Found:
    """A process that has been scraped for a while.

    :ivar series: of one scrape, by what they are of.
    :ivar stored: what the block's meta.json counts.
    :ivar chunks: bytes of samples, `index` those of the index.
    """

    shards: int
    series: dict[str, float]
    stored: dict[str, int]
    chunks: int
    index: int

    @property
    def total(self) -> float:
        """Series of a scrape."""
        return sum(self.series.values())

    @property
    def sample(self) -> float:
        """Bytes of a sample, its share of the index included."""
        return (self.chunks + self.index) / self.stored["numSamples"]


def run(*, quick: bool) -> list[Bar]:
    """Measure."""
    logging.getLogger("examples.discord_simulator").setLevel(logging.ERROR)  # it tells of each incident
    found = asyncio.run(_both(_QUICK_SCRAPES if quick else _SCRAPES))
    _tell(found)
    small, large = found
    a_shard = (large.series["shards"] - small.series["shards"]) / (large.shards - small.shards)
    process = large.total - large.shards * a_shard
    rows = [
        _row("a shard", a_shard, large.sample),
        _row("a process without its shards", process, large.sample),
        _row("a cluster of 16 shards", process + 16 * a_shard, large.sample),
        _row("1,000 shards in 64 processes", 64 * process + 1000 * a_shard, large.sample),
    ]
    table(f"at a scrape every {_INTERVAL} s", ("", "series", "samples/s", "MB a day", "GB in 15 days"), rows)
    return [Bar("bytes of a sample on disk", "-", f"{large.sample:.2f} B", met=True)]


async def _both(scrapes: int) -> list[Found]:
    return [*await asyncio.gather(*(_watched(shards, scrapes) for shards in _SIZES))]


async def _watched(shards: int, scrapes: int) -> Found:
    options = Options(
        shards,
        clusters=1,
        guilds=4 * shards,
        rate=_RATE * shards,
        uses=_USES,
        trouble=5.0,
        flags=("--web.enable-admin-api",),
    )
    async with Fleet(options) as fleet, aiohttp.ClientSession() as http:
        await asyncio.sleep(scrapes)
        series = {name: await _count(fleet, matchers) for name, matchers in _KINDS.items()}
        async with http.post(f"{fleet.url}/api/v1/admin/tsdb/snapshot") as response:
            name = (await response.json())["data"]["name"]
        folder = Path((await fleet.server.get("status/flags"))["storage.tsdb.path"]) / "snapshots" / name
        return await asyncio.to_thread(_weighed, shards, series, folder)


async def _count(fleet: Fleet, matchers: str) -> float:
    found = await fleet.server.instant(f'count({{job="bot", {matchers}}})', time.time())
    return found[0].last


def _weighed(shards: int, series: dict[str, float], folder: Path) -> Found:
    """What a snapshot takes: one block, or two where it was taken at the change of an even hour."""
    stored = [json.loads(file.read_text("utf-8"))["stats"] for file in folder.rglob("meta.json")]
    total: dict[str, int] = {name: sum(each[name] for each in stored) for name in stored[0]}
    return Found(shards, series, total, _size(folder.rglob("chunks/*")), _size(folder.rglob("index")))


def _size(files: Iterable[Path]) -> int:
    return sum(file.stat().st_size for file in files)


def _tell(found: list[Found]) -> None:
    head = ("series of a process", *(f"{each.shards} shards" for each in found))
    rows = [(name, *(f"{each.series[name]:.0f}" for each in found)) for name in _KINDS]
    table("in Prometheus", head, [*rows, ("together", *(f"{each.total:.0f}" for each in found))])
    figures: dict[str, Any] = {
        "samples": lambda it: f"{it.stored['numSamples']}",
        "samples a series": lambda it: f"{it.stored['numSamples'] / it.stored['numSeries']:.0f}",
        "bytes of a sample in chunks": lambda it: f"{it.chunks / it.stored['numSamples']:.2f}",
        "bytes of index a series": lambda it: f"{it.index / it.stored['numSeries']:.0f}",
        "bytes of a sample with its index": lambda it: f"{it.sample:.2f}",
    }
    table("on its disk", head, [(name, *(figure(each) for each in found)) for name, figure in figures.items()])


def _row(what: str, series: float, sample: float) -> tuple[str, ...]:
    a_day = series * _DAY / _INTERVAL * sample
    return what, f"{series:.0f}", f"{series / _INTERVAL:.0f}", f"{a_day / 1e6:.1f}", f"{15 * a_day / 1e9:.2f}"
