"""What goes wrong in the demo, and when."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from examples.discord_simulator.incidents import INCIDENTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True)
class Planned:
    """An incident of the simulator, `at` seconds after all shards are online."""

    name: str
    at: float
    parameters: dict[str, Any] = field(default_factory=dict[str, Any])

    def __str__(self) -> str:
        """As the simulator writes it: `zombie_no_ack shard=3 seconds=60`."""
        return " ".join([self.name, *(f"{name}={_shown(value)}" for name, value in self.parameters.items())])


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


TOUR: Final = (
    Planned("reconnect", 20, {"shard": 1}),
    Planned("slow_acks", 35, {"delay": 0.4, "seconds": 20}),
    Planned("gateway_refuses", 70, {"seconds": 12}),
    Planned("close", 71, {"shard": 2, "code": 4000}),
    Planned("guild_outage", 100, {"count": 10, "seconds": 20}),
    Planned("traffic_surge", 135, {"rate": 200, "seconds": 20}),
    Planned("zombie_no_ack", 170, {"shard": 3, "seconds": 80}),
)
"""What happens when nothing else is asked for, again and again."""
TOUR_SECONDS: Final = 270


def parse(text: str) -> Planned:
    """Read `NAME[:KEY=VALUE,...][@SECONDS]`. Raises ValueError with a line for the user."""
    rest, _, at = text.partition("@")
    name, _, given = rest.partition(":")
    if name not in INCIDENTS:
        raise ValueError(f"no incident {name!r}; there are {', '.join(sorted(INCIDENTS))}")
    pairs = [pair.partition("=") for pair in given.split(",") if pair]
    if wrong := [key for key, equals, _ in pairs if not equals]:
        raise ValueError(f"{wrong[0]!r} is not KEY=VALUE")
    parameters: dict[str, Any] = {key: value for key, _, value in pairs}
    duration = parameters.pop("seconds", None)
    read = INCIDENTS[name].read(parameters)
    parameters = {key: read[key] for key in parameters}
    if duration is not None:
        parameters["seconds"] = _seconds(duration)
    return Planned(name, _seconds(at or "0"), parameters)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ValueError(f"{text!r} is not a number of seconds")
    return value


def schedule(wanted: Iterable[Planned], shards: int) -> Iterator[Planned]:
    """What will happen, in order: what is wanted; or the tour without end, on the shards that there are."""
    chosen = sorted(wanted, key=lambda one: one.at)
    if chosen:
        yield from chosen
        return
    began = 0.0
    while True:
        yield from (_fitted(one, began, shards) for one in TOUR)
        began += TOUR_SECONDS


def _fitted(one: Planned, began: float, shards: int) -> Planned:
    given = dict(one.parameters)
    if "shard" in given:
        given["shard"] %= shards
    return dataclasses.replace(one, at=began + one.at, parameters=given)
