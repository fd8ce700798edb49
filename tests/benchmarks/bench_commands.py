"""CPU time of a slash command, from its compressed frame to the end of every task that it causes."""

from __future__ import annotations

import asyncio
import gc
import logging
import typing
from typing import Any, Final

from tests.benchmarks import driver, paired
from tests.benchmarks.world import World

if typing.TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.benchmarks.report import Bar
    from tests.benchmarks.world import Frame

VARIANTS: Final[dict[str, Callable[[driver.Bot], Awaitable[object]]]] = {
    "bare": driver.bare,
    "bare again (A/A)": driver.bare,
    "ours": driver.ours,
    "ours, calling through": driver.calling_through,
    "argus-dpy": driver.argus_dpy,
    "discord-ext-prometheus": driver.promext,
}
COMMANDS: Final = 160
_TURNS: Final = 10
_ROUNDS: Final = 300
_QUICK_ROUNDS: Final = 40
_LIMIT: Final = 10.0
_OF_A_REQUEST: Final = 5.0
"""What a request may cost, which an answering command makes."""


def run(*, quick: bool) -> list[Bar]:
    """Measure commands that do nothing, and commands that answer."""
    return asyncio.run(_run(_QUICK_ROUNDS if quick else _ROUNDS))


async def _run(rounds: int) -> list[Bar]:
    logging.getLogger("discord").setLevel(logging.WARNING)
    silent = await _measure_bots("slash commands that do nothing", rounds, answers=False)
    answering = await _measure_bots("slash commands that answer", rounds, answers=True)
    return [
        *paired.bars("a slash command that does nothing", silent, {"ours": _LIMIT}),
        *paired.bars("a slash command that answers", answering, {"ours": _LIMIT + _OF_A_REQUEST}),
    ]


async def _measure_bots(what: str, rounds: int, *, answers: bool) -> dict[str, paired.Cost]:
    """Measure with bots of their own: ten thousand interactions that nobody answered would be in the way of others."""
    world = World()
    bots = {name: driver.Bot(world) for name in VARIANTS}
    for name, bot in bots.items():
        await bot.boot(VARIANTS[name])
        bot.answers = answers
    gc.collect()
    gc.freeze()
    costs = await _measure(world, bots, what, rounds)
    ended = COMMANDS * (rounds + paired.WARM_UP)
    _check(bots["ours"], ended, ended * answers)
    return costs


async def _measure(world: World, bots: dict[str, driver.Bot], what: str, rounds: int) -> dict[str, paired.Cost]:
    frames: list[Frame] = []

    def prepare() -> None:
        frames[:] = world.events("INTERACTION_CREATE", COMMANDS)

    async def play(name: str) -> float:
        return await driver.play(bots[name], frames, _TURNS)

    title = f"{COMMANDS} {what} x {rounds} rounds"
    return await paired.measure(bots, prepare, play, rounds=rounds, seed=what, title=title, unit="a command")


def _check(bot: driver.Bot, ended: int, answered: int) -> None:
    """A variant that does not count would be fast too."""
    cog: Any = bot.get_cog("ArgusExporter")
    cog.exporter.sample()
    families = cog.exporter.instruments.families
    got = sum(cell.value for cell in families["discord_commands_total"].cells.values())
    acks = sum(sum(cell.counts) for cell in families["discord_interaction_ack_seconds"].cells.values())
    if (got, acks) != (ended, answered):
        msg = f"ours counted {got} commands and {acks} answers instead of {ended} and {answered}"
        raise AssertionError(msg)
