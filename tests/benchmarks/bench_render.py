"""Rendering a page of 1,000, 10,000 and 50,000 series, and how long that holds the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import random
import statistics
import time
import typing
from asyncio import events
from typing import Any, Final

from prometheus_client import CollectorRegistry, disable_created_metrics, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from argus_exporter.exposition.encode import Encoder
from argus_exporter.exposition.page import Page
from tests.benchmarks import driver, series
from tests.benchmarks.report import Bar, p10, quartiles, table
from tests.benchmarks.world import World

if typing.TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

_ROUNDS: Final = {1_000: 100, 10_000: 40, 50_000: 15}
_QUICK_ROUNDS: Final = {1_000: 20, 10_000: 8, 50_000: 4}
_FASTER: Final = 30
_HELD: Final = {10_000: 2.0, 50_000: 5.0}
_GZIP_LEVEL: Final = 1
OURS, WHOLE, ZIPPED, NATIVE = "ours: slices", "ours: whole page", "ours: whole page, gzip", "generate_latest"


class Steps:
    """How long each step of the event loop took, in milliseconds: wall time, and CPU time of its thread."""

    def __init__(self) -> None:
        self.wall = 0.0
        self.cpu = 0.0

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Note the longest step."""
        plain: Any = events.Handle._run

        def run(handle: events.Handle) -> None:
            cpu, wall = time.thread_time(), time.perf_counter()
            plain(handle)
            if events.Handle._run is run:  # not the step in which the watch has ended
                self.wall = max(self.wall, (time.perf_counter() - wall) * 1e3)
                self.cpu = max(self.cpu, (time.thread_time() - cpu) * 1e3)

        events.Handle._run = run  # type: ignore[method-assign]
        try:
            yield
        finally:
            events.Handle._run = plain  # type: ignore[method-assign]


class Rendering:
    """The ways to render the same data."""

    def __init__(self, lines: int, sample: Callable[[], None]) -> None:
        self.data = series.Both(lines)
        self._sample = sample
        self._encoder = Encoder(self.data.ours)
        self._page = self._new_page()
        self._protocol = CollectorRegistry()
        self._protocol.register(typing.cast("Any", self.data.ours))
        self.variants: dict[str, Callable[[], Awaitable[object]]] = {
            OURS: self._slices,
            WHOLE: lambda: self._page.render(openmetrics=False, compress=False),
            ZIPPED: lambda: self._page.render(openmetrics=False, compress=True),
            NATIVE: self._native,
            f"{NATIVE} + gzip {_GZIP_LEVEL}": self._native_zipped,
            f"{NATIVE} over our cells": self._over_ours,
            "sampling, a bot of 16 shards": self._sampling,
        }

    async def _slices(self) -> int:
        return sum(map(len, self._encoder.slices()))

    async def _native(self) -> bytes:
        return generate_latest(self.data.theirs)

    async def _native_zipped(self) -> bytes:
        return gzip.compress(generate_latest(self.data.theirs), _GZIP_LEVEL)

    async def _over_ours(self) -> bytes:
        return generate_latest(self._protocol)

    async def _sampling(self) -> None:
        self._sample()

    def _new_page(self) -> Page:
        return Page(self.data.ours, sample=lambda: None, errors=_raise)

    async def held(self, *, compress: bool, first: bool = False) -> Steps:
        """Render a page, for the first time or not, and see how long the loop was held at most."""
        page = self._new_page() if first else self._page
        steps = Steps()
        with steps.watched():
            await asyncio.create_task(page.render(openmetrics=False, compress=compress))
        return steps

    async def check(self) -> None:
        """Both must say the same."""
        page = b"".join(await self._page.render(openmetrics=False, compress=False))
        mine, theirs = _samples(page), _samples(generate_latest(self.data.theirs))
        if not theirs.items() <= mine.items():
            msg = "the pages differ"
            raise AssertionError(msg)


def run(*, quick: bool) -> list[Bar]:
    """Measure."""
    disable_created_metrics()
    return asyncio.run(_run(_QUICK_ROUNDS if quick else _ROUNDS))


async def _run(rounds: dict[int, int]) -> list[Bar]:
    world = World()
    bot = driver.Bot(world)
    await bot.boot(driver.ours)
    cog: Any = bot.get_cog("ArgusExporter")
    bars: list[Bar] = []
    for lines, number in rounds.items():
        rendering = Rendering(lines, cog.exporter.sample)
        await rendering.check()
        gc.collect()
        gc.freeze()
        bars += [*await _rates(rendering, number), *await _holds(rendering, lines, number)]
        gc.unfreeze()
    return bars


async def _rates(rendering: Rendering, rounds: int) -> list[Bar]:
    taken: dict[str, list[float]] = {name: [] for name in rendering.variants}
    order = [*rendering.variants.items()]
    for number in range(rounds + 1):
        random.shuffle(order)
        rendering.data.change()
        for name, render in order:
            began = time.process_time()
            await render()
            taken[name] += [(time.process_time() - began) * 1e3] if number else []
    native = statistics.median(taken[NATIVE]), p10(taken[NATIVE])
    rows = [_row(name, times, native, rendering.data.lines) for name, times in taken.items()]
    head = ("CPU ms", "median", "IQR", "p10", "us a line", "generate_latest is", "at p10")
    table(f"{rendering.data.lines} series, {rounds} rounds, every value changed", head, rows)
    factor = p10(taken[NATIVE]) / p10(taken[OURS])
    whole = p10(taken[NATIVE]) / p10(taken[WHOLE])
    measured = f"{factor:.1f} x; the whole page {whole:.1f} x"
    lines = round(rendering.data.lines, -3)
    what = f"rendering {lines} series, beside generate_latest"
    judged = lines == 10_000
    return [Bar(what, f">= {_FASTER} x" if judged else "-", measured, not judged or factor >= _FASTER)]


def _row(name: str, times: list[float], native: tuple[float, float], lines: int) -> tuple[str, ...]:
    lower, middle, upper = quartiles(times)
    least = p10(times)
    return (
        name, f"{middle:.2f}", f"{lower:.2f}..{upper:.2f}", f"{least:.2f}", f"{least / lines * 1e3:.2f}",
        f"x {native[0] / middle:.1f}", f"x {native[1] / least:.1f}",
    )  # fmt: skip


async def _holds(rendering: Rendering, lines: int, rounds: int) -> list[Bar]:
    rows, bars = [], []
    for name, how in {"plain": {}, "gzip": {"compress": True}, "plain, all series new": {"first": True}}.items():
        steps = []
        for _ in range(rounds):
            rendering.data.change()
            steps.append(await rendering.held(**{"compress": False, **how}))
        wall, cpu = [step.wall for step in steps], [step.cpu for step in steps]
        figures = (statistics.median(cpu), p10(cpu), statistics.median(wall), p10(wall), max(wall))
        rows.append((name, *(f"{figure:.2f}" for figure in figures)))
        bars.append(
            _held_bar(f"loop held by {lines} series, {name}", None if "first" in how else _HELD.get(lines), cpu, wall)
        )
    head = ("loop held, longest step of a page, ms", "CPU", "p10", "wall", "p10", "worst page")
    table(f"{lines} series, {rounds} pages each", head, rows)
    return bars


def _held_bar(what: str, limit: float | None, cpu: list[float], wall: list[float]) -> Bar:
    """Judge by CPU time: what other processes take from a step is not the exporter's."""
    measured = f"CPU {statistics.median(cpu):.2f} ms, wall {statistics.median(wall):.2f} ms (p10 {p10(wall):.2f})"
    return Bar(what, f"<= {limit:g} ms" if limit else "-", measured, limit is None or statistics.median(cpu) <= limit)


def _samples(page: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    samples = [sample for family in text_string_to_metric_families(page.decode()) for sample in family.samples]
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}


def _raise(noun: str, error: BaseException) -> None:
    raise error
