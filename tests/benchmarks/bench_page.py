"""A page of a thousand commands, all used with mixed outcomes: ours beside argus-dpy's, at the same load."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import random
import time
import typing
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest

from argus_exporter import ArgusExporter, Settings
from examples.discord_simulator import Simulator
from tests.benchmarks import driver
from tests.benchmarks.report import Bar, p10, quartiles, table
from tests.clients import logged_in
from tests.soak.soak import ENDINGS, SHARDS, Bot, Soak, Source

if typing.TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_COMMANDS: Final = 1_000
_ROUNDS: Final = 60
_QUICK_ROUNDS: Final = 15
_FASTER: Final = 20
_MOST_SERIES: Final = 3_000
OURS, SAMPLED, ARGUS = "ours, the page", "ours, sampling before it included", "argus-dpy, its registry's page"


def run(*, quick: bool) -> list[Bar]:
    """Measure."""
    logging.getLogger("discord").setLevel(logging.CRITICAL)
    logging.getLogger("argus").setLevel(logging.CRITICAL)
    return asyncio.run(_run(_QUICK_ROUNDS if quick else _ROUNDS))


async def _run(rounds: int) -> list[Bar]:
    async with contextlib.AsyncExitStack() as stack:
        bots = Bot(_COMMANDS), Bot(_COMMANDS)
        cog = ArgusExporter(bots[0], Settings(port="off", state_dir="off", user_registry=False))
        bots[0].before_connecting = lambda: bots[0].add_cog(cog)
        await driver.argus_dpy(bots[1])
        for bot in bots:
            sim = await stack.enter_async_context(Simulator(guilds=2, members=5, shards=SHARDS))
            await stack.enter_async_context(logged_in(bot, sim, SHARDS))
            await _use(sim, bot, cog)
        gc.collect()
        registry = _largest_registry()
        gc.freeze()  # what is frozen could not be found
        taken = await _measure(cog, registry, rounds)
        return _bars(taken, cog.exporter.instruments.count_series())


async def _use(sim: Simulator, bot: Bot, cog: ArgusExporter) -> None:
    await asyncio.sleep(0.2)
    soak = Soak(bot, cog, Source(sim, bot))
    await soak.send(soak.source.slash(number, ending) for number in range(_COMMANDS) for ending in ENDINGS)


async def _measure(cog: ArgusExporter, registry: CollectorRegistry, rounds: int) -> dict[str, list[float]]:
    page = cog.exporter._page

    async def ours() -> bytes:
        return b"".join(await page.render(openmetrics=False, compress=False))

    async def sampled() -> bytes:
        cog.exporter.sample()
        return await ours()

    async def argus() -> bytes:
        return generate_latest(registry)

    variants: dict[str, Callable[[], Awaitable[bytes]]] = {OURS: ours, SAMPLED: sampled, ARGUS: argus}
    taken: dict[str, list[float]] = {name: [] for name in variants}
    sizes: dict[str, bytes] = {}
    order = [*variants.items()]
    for number in range(rounds + 3):
        random.shuffle(order)
        _change(cog)
        for name, render in order:
            began = time.process_time()
            sizes[name] = await render()
            taken[name] += [(time.process_time() - began) * 1e3] if number >= 3 else []
    rows = [_row(name, taken[name], sizes[name], p10(taken[ARGUS])) for name in variants]
    head = ("CPU ms a page", "series", "median", "IQR", "p10", "argus-dpy takes")
    table(f"{_COMMANDS} commands, each used with {len(ENDINGS)} outcomes, {rounds} rounds", head, rows)
    return taken


def _largest_registry() -> CollectorRegistry:
    """Find argus-dpy's own: it does not register its metrics on prometheus_client's."""
    found = [each for each in gc.get_objects() if isinstance(each, CollectorRegistry)]
    return max(found, key=lambda registry: len(generate_latest(registry)))


def _change(cog: ArgusExporter) -> None:
    """Let every number be another one than on the page before."""
    families: Any = cog.exporter.instruments.families
    for cell in families["discord_commands_total"].cells.values():
        cell.value += 1
    for cell in families["discord_command_duration_by_command_seconds"].cells.values():
        cell.observe(0.3)


def _row(name: str, taken: list[float], page: bytes, argus: float) -> tuple[str, ...]:
    lower, middle, upper = quartiles(taken)
    lines = sum(not line.startswith(b"#") for line in page.splitlines())
    return (
        name, f"{lines}", f"{middle:.2f}", f"{lower:.2f}..{upper:.2f}", f"{p10(taken):.2f}",
        f"x {argus / p10(taken):.1f}",
    )  # fmt: skip


def _bars(taken: dict[str, list[float]], series: int) -> list[Bar]:
    factor = p10(taken[ARGUS]) / p10(taken[SAMPLED])
    what = f"{_COMMANDS} commands used"
    return [
        Bar(f"{what}: series", f"<= {_MOST_SERIES}", f"{series}", series <= _MOST_SERIES),
        Bar(f"{what}: page beside argus-dpy's", f">= {_FASTER} x", f"{factor:.1f} x", factor >= _FASTER),
    ]
