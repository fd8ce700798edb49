"""What recording guild by guild costs a bot on its event loop, the database's own part left out."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import time
import typing
from typing import Any, Final

from argus_exporter import ArgusExporter, Settings
from argus_exporter.analytics import start
from argus_exporter.analytics.events import CommandRow, MessageRow, Row, Values
from argus_exporter.analytics.queue import Limits, Queue
from argus_exporter.instruments import Instruments
from argus_exporter.settings import Secret
from tests.benchmarks import driver, paired
from tests.benchmarks.report import Bar, p10, table
from tests.benchmarks.world import World

if typing.TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from argus_exporter.analytics.sink import Batch, Erased
    from tests.benchmarks.world import Frame

EVENTS: Final = 160
PUTS: Final = 50_000
_ROUNDS: Final = 200
_QUICK_ROUNDS: Final = 30
_LIMIT: Final = 3.0
_REFERENCE: Final = 7.0
"""What an empty listener costs, in microseconds, on the machine for which the bars were set."""

_URL: Final = "clickhouse://127.0.0.1:1/bots"
_KEY: Final = "a key of sixteen"


class Nowhere:
    """A database that has taken everything before it was asked."""

    def __init__(self) -> None:
        self.rows = 0

    async def open(self) -> None:
        """Be there."""

    async def check(self) -> str:
        """Be nowhere."""
        return "nowhere"

    async def write(self, batch: Batch) -> None:
        """Count."""
        self.rows += len(batch)

    async def close(self) -> None:
        """Go."""

    async def erase(self, *, guild_id: int | None = None, user_id: int | None = None) -> list[Erased]:
        """Have nothing."""
        return []


def _exporter(**options: Any) -> Callable[[driver.Bot], Awaitable[object]]:
    async def install(bot: driver.Bot) -> None:
        settings = Settings(port=0, state_dir=None, session_limit_interval=None, **options)
        await bot.add_cog(ArgusExporter(bot, settings))

    return install


def _recording(users: str) -> Callable[[driver.Bot], Awaitable[object]]:
    events = "interaction,command,message"
    return _exporter(analytics_url=_URL, analytics_events=events, analytics_users=users, analytics_key=_KEY)


VARIANTS: Final = {
    "bare": _exporter(),
    "off again (A/A)": _exporter(),
    "recording, no users": _recording("off"),
    "recording, users hashed": _recording("hash"),
    "no exporter": driver.bare,
    "no exporter, empty listener": driver.empty_listener,
}


def run(*, quick: bool) -> list[Bar]:
    """Measure bots that record beside bots that do not, then the queue alone."""
    start.sink_of = lambda settings, url: Nowhere()  # type: ignore[assignment]
    rounds = _QUICK_ROUNDS if quick else _ROUNDS
    return [*asyncio.run(_run(rounds)), *_puts(rounds)]


async def _run(rounds: int) -> list[Bar]:
    logging.getLogger("discord").setLevel(logging.WARNING)
    world = World()
    bots = {name: driver.Bot(world) for name in VARIANTS}
    for name, bot in bots.items():
        await bot.boot(VARIANTS[name])
        bot.answers = True
    gc.collect()
    gc.freeze()
    bars: list[Bar] = []
    for what, kind, turns, rows in (("a command", "INTERACTION_CREATE", 10, 2), ("a message", "MESSAGE_CREATE", 3, 1)):
        costs = await _measure(world, bots, kind, turns, rounds)
        limits = {name: rows * _LIMIT for name in VARIANTS if name.startswith("recording")}
        bars += paired.bars(f"{what}, {rows} rows,", _recorded(costs), limits, _slower(costs))
    _check(bots, rounds)
    return bars


async def _measure(
    world: World, bots: dict[str, driver.Bot], kind: str, turns: int, rounds: int
) -> dict[str, paired.Cost]:
    frames: list[Frame] = []

    def prepare() -> None:
        frames[:] = world.events(kind, EVENTS)

    async def play(name: str) -> float:
        return await driver.play(bots[name], frames, turns)

    title = f"{EVENTS} {kind} x {rounds} rounds; bare: the exporter with analytics off"
    return await paired.measure(bots, prepare, play, rounds=rounds, seed=kind, title=title, unit="an event")


def _recorded(costs: dict[str, paired.Cost]) -> dict[str, paired.Cost]:
    return {name: cost for name, cost in costs.items() if not name.startswith("no exporter")}


def _slower(costs: dict[str, paired.Cost]) -> float:
    """How much slower this machine is than the one for which the bars were set, by what an empty listener costs."""
    listener, nothing = (costs[name].paired[1] for name in ("no exporter, empty listener", "no exporter"))
    return max(1.0, (listener - nothing) / _REFERENCE)


def _check(bots: dict[str, driver.Bot], rounds: int) -> None:
    """A variant that does not record would be fast too."""
    ended = EVENTS * (rounds + paired.WARM_UP)
    expected = {("interactions",): ended, ("commands",): ended, ("messages",): ended}
    for name in [name for name in bots if name.startswith("recording")]:
        cog: Any = bots[name].get_cog("ArgusExporter")
        cog.exporter.sample()
        cells = cog.exporter.instruments.families["argus_exporter_analytics_queued_total"].cells
        if (got := {key: cell.value for key, cell in cells.items()}) != expected:
            msg = f"{name}: {got} rows instead of {expected}"
            raise AssertionError(msg)


# ------------------------------------------------------------------------------------------------- the queue


def _puts(rounds: int) -> list[Bar]:
    """Measure putting rows that are there, full batches included, and putting where there is no room."""
    message = MessageRow(5, 6, True, 0, 1, 2, 3, None, None)
    command = CommandRow(5, 6, "word", "slash", 0, 1, 2, 3, 0.5, "ok", "")
    taken: dict[str, list[float]] = {
        "messages": [],
        "messages, 256 at once": [],
        "messages and commands": [],
        "no room": [],
    }
    for _ in range(rounds // 3):
        for name in random.sample([*taken], len(taken)):
            mixed: list[Row] = [message, command if name == "messages and commands" else message]
            some = 256 if name == "messages, 256 at once" else 1
            puts = [(row.table, [row.values] * some) for row in mixed] * (PUTS // 2 // some)
            taken[name].append(_put_all(puts, 100 if name == "no room" else 10 * PUTS) / len(puts) / some * 1e9)
    least = {name: p10(values) for name, values in taken.items()}
    table(
        "ns a row, Queue.put and the loop around it", ("", "p10"), [(name, f"{ns:.0f}") for name, ns in least.items()]
    )
    worst = max(least.values())
    return [Bar("Queue.put", "< 1000 ns", f"{worst:.0f} ns", worst < 1000)]


def _put_all(puts: list[tuple[str, list[Values]]], room: int) -> float:
    limits = Limits(room, 2**40, 5000, 5.0)
    queue = Queue(Nowhere(), limits, Instruments(), Secret(_URL), ("messages", "commands"))
    put = queue.put
    gc.collect()
    began = time.process_time()
    for name, rows in puts:
        put(name, rows)
    return time.process_time() - began
