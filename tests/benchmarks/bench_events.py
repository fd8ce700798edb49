"""CPU time of a gateway event through the real ``DiscordWebSocket.received_message``."""

from __future__ import annotations

import asyncio
import gc
import logging
import typing
from typing import Final

from tests.benchmarks import driver, paired
from tests.benchmarks.world import MIX, World

if typing.TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.benchmarks.report import Bar
    from tests.benchmarks.world import Frame

VARIANTS: Final[dict[str, Callable[[driver.Bot], Awaitable[object]]]] = {
    "bare": driver.bare,
    "bare again (A/A)": driver.bare,
    "ours": driver.ours,
    "ours, calling through": driver.calling_through,
    "ours, public API only": driver.fallback,
    "empty listener": driver.empty_listener,
    "argus-dpy": driver.argus_dpy,
    "discord-ext-prometheus": driver.promext,
}
KINDS: Final = (*MIX, "MIX")
EVENTS: Final = 160
_ROUNDS: Final = 150
_QUICK_ROUNDS: Final = 30
_REFERENCE: Final = 7.0
"""What an empty listener costs, in microseconds, on the machine for which the bars were set."""


def run(*, quick: bool) -> list[Bar]:
    """Measure all variants."""
    return asyncio.run(_run(_QUICK_ROUNDS if quick else _ROUNDS))


async def _run(rounds: int) -> list[Bar]:
    logging.getLogger("discord").setLevel(logging.WARNING)
    world = World()
    bots = {name: driver.Bot(world) for name in VARIANTS}
    for name, bot in bots.items():
        await bot.boot(VARIANTS[name])
    gc.collect()
    gc.freeze()
    # the bars are held against the mix: it comes last, when the caches are full, and has twice the rounds
    costs = {kind: await _measure(world, bots, kind, rounds * (1 + (kind == "MIX"))) for kind in KINDS}
    _check(bots["ours"], EVENTS * (len(KINDS) * (rounds + paired.WARM_UP) + rounds))
    return _bars(costs["MIX"])


async def _measure(world: World, bots: dict[str, driver.Bot], kind: str, rounds: int) -> dict[str, paired.Cost]:
    frames: list[Frame] = []

    def prepare() -> None:
        frames[:] = world.events(kind, EVENTS)

    async def play(name: str) -> float:
        return await driver.play(bots[name], frames)

    title = f"{kind}: {EVENTS} events x {rounds} rounds"
    return await paired.measure(bots, prepare, play, rounds=rounds, seed=kind, title=title, unit="an event")


def _check(bot: driver.Bot, expected: int) -> None:
    """A variant that does not count would be fast too."""
    counted = {key: cell.value for key, cell in _events_of(bot).items()}
    got = sum(value for (name,), value in counted.items() if name in MIX)
    if got != expected:
        msg = f"ours counted {got} events instead of {expected}"
        raise AssertionError(msg)


def _events_of(bot: driver.Bot) -> dict[tuple[str, ...], typing.Any]:
    cog: typing.Any = bot.get_cog("ArgusExporter")
    cells: dict[tuple[str, ...], typing.Any] = cog.exporter.instruments.families["discord_gateway_events_total"].cells
    return cells


def _bars(costs: dict[str, paired.Cost]) -> list[Bar]:
    """Judge; on a machine on which an empty listener costs more than 7 us, more is allowed in proportion."""
    slower = max(1.0, costs["empty listener"].paired[1] / _REFERENCE)
    limits = {"ours, calling through": 0.9, "ours": 0.0, "ours, public API only": 2.0}
    return paired.bars("a gateway event", costs, limits, slower)
