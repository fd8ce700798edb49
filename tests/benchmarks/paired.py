"""Variants that take turns: each round in random order, all of them, so that their differences can be told."""

from __future__ import annotations

import dataclasses
import random
import typing
from typing import Final

from tests.benchmarks.report import Bar, p10, quartiles, table

if typing.TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    Prepare = Callable[[], object]
    Play = Callable[[str], Awaitable[float]]

BARE: Final = "bare"
WARM_UP: Final = 10


@dataclasses.dataclass(frozen=True)
class Cost:
    """A variant's cost beside bare, in microseconds.

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

    def __str__(self) -> str:
        return f"paired {self.paired[1]:+.2f} us, p10 {self.least:+.2f} us"


async def measure(
    names: typing.Iterable[str], prepare: Prepare, play: Play, *, rounds: int, seed: str, title: str, unit: str
) -> dict[str, Cost]:
    """Let the variants take turns, and print the table.

    :param prepare: is called before each round.
    :param play: lets a variant do a round's work, and says how long one unit of it took, in seconds of CPU time.
    """
    order, rng = [*names], random.Random(seed)
    measured: dict[str, list[float]] = {name: [] for name in order}
    rows = [*order]
    for number in range(WARM_UP + rounds):
        prepare()
        rng.shuffle(order)
        for name in order:
            took = await play(name)
            measured[name] += [took * 1e6] if number >= WARM_UP else []
    totals = [sum(taken) for taken in zip(*measured.values(), strict=True)]
    calm = sorted(range(rounds), key=totals.__getitem__)[: rounds // 2]
    costs = {name: Cost(measured[name], measured[BARE], calm) for name in rows}
    head = (f"us {unit}", "median", "IQR", "p10", "p10 diff", "paired diff", "IQR", "ratio")
    table(title, head, [cost.row(name) for name, cost in costs.items()])
    return costs


def bars(what: str, costs: Mapping[str, Cost], limits: Mapping[str, float], factor: float = 1.0) -> list[Bar]:
    """Hold the variants against their limits in microseconds, which are wider by a factor where a machine is slower."""
    return [
        Bar(
            f"{what} over bare, {name}",
            _limit(limits[name], factor) if name in limits else "-",
            str(cost),
            name not in limits or cost.paired[1] <= limits[name] * factor,
        )
        for name, cost in costs.items()
        if name != BARE
    ]


def _limit(limit: float, factor: float) -> str:
    return f"<= {limit:g} us" + (f" x {factor:.2f}" if limit and factor > 1 else "")
