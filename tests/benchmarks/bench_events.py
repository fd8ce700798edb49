"""CPU time of a gateway event through the real ``DiscordWebSocket.received_message``."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import logging
import random
import typing
from typing import Final

from tests.benchmarks import driver
from tests.benchmarks.report import Bar, p10, quartiles, table
from tests.benchmarks.world import MIX, World

if typing.TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

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
_WARM_UP: Final = 10
_REFERENCE: Final = 7.0
"""What an empty listener costs, in microseconds, on the machine for which the bars were set."""


@dataclasses.dataclass(frozen=True)
class Cost:
    """A variant's cost beside bare, in microseconds an event.

    :ivar calm: the half of the rounds in which all variants together took least: others used the machine in the rest.
    """

    rounds: list[float]
    bare: list[float]
    calm: list[int]

    @property
    def least(self) -> float:
        """Difference of the 10th percentiles."""
        return p10(self.rounds) - p10(self.bare)

    @property
    def paired(self) -> tuple[float, float, float]:
        """Quartiles of the differences to bare within the same round, of the calm rounds."""
        return quartiles(self.rounds[number] - self.bare[number] for number in self.calm)

    def row(self, name: str) -> tuple[str, ...]:
        """Return the variant's row."""
        lower, middle, upper = quartiles(self.rounds)
        below, paired, above = self.paired
        ratio = middle / quartiles(self.bare)[1]
        return (
            name, f"{middle:.2f}", f"{lower:.1f}..{upper:.1f}", f"{p10(self.rounds):.2f}", f"{self.least:+.2f}",
            f"{paired:+.2f}", f"{below:+.1f}..{above:+.1f}", f"x{ratio:.3f}",
        )  # fmt: skip


HEAD: Final = ("us an event", "median", "IQR", "p10", "p10 diff", "paired diff", "IQR", "ratio")


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
    _check(bots["ours"], EVENTS * (len(KINDS) * (rounds + _WARM_UP) + rounds))
    return _bars(costs["MIX"])


async def _measure(world: World, bots: dict[str, driver.Bot], kind: str, rounds: int) -> dict[str, Cost]:
    measured: dict[str, list[float]] = {name: [] for name in bots}
    order, rng = [*bots.items()], random.Random(kind)
    for number in range(_WARM_UP + rounds):
        frames = world.events(kind, EVENTS)
        rng.shuffle(order)
        for name, bot in order:
            took = await driver.play(bot, frames)
            measured[name] += [took * 1e6] if number >= _WARM_UP else []
    totals = [sum(taken) for taken in zip(*measured.values(), strict=True)]
    calm = sorted(range(rounds), key=totals.__getitem__)[: rounds // 2]
    costs = {name: Cost(taken, measured["bare"], calm) for name, taken in measured.items()}
    table(f"{kind}: {EVENTS} events x {rounds} rounds", HEAD, [cost.row(name) for name, cost in costs.items()])
    return costs


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


def _bars(costs: dict[str, Cost]) -> list[Bar]:
    slower = max(1.0, costs["empty listener"].paired[1] / _REFERENCE)
    limits = {"ours, calling through": 0.9, "ours": 0.0, "ours, public API only": 2.0}
    return [
        _bar(name, cost, limits[name], slower) if name in limits else Bar(_what(name), "-", _both(cost), met=True)
        for name, cost in costs.items()
        if name != "bare"
    ]


def _bar(name: str, cost: Cost, limit: float, slower: float) -> Bar:
    return Bar(_what(name), _limit(limit, slower), _both(cost), cost.paired[1] <= limit * slower)


def _what(name: str) -> str:
    return f"a gateway event over bare, {name}"


def _limit(limit: float, slower: float) -> str:
    """Spell a bar; on a machine on which an empty listener costs more than 7 us, more is allowed in proportion."""
    return f"<= {limit:g} us" + (f" x {slower:.2f}" if limit and slower > 1 else "")


def _both(cost: Cost) -> str:
    return f"paired {cost.paired[1]:+.2f} us, p10 {cost.least:+.2f} us"
