"""Seeded traffic at a set rate: payloads are encoded once and sent many times with fresh ids and times."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from .events import EVENTS, Stage, build
from .intents import without_content

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .gateway import Gateway
    from .interactions import Place
    from .world import World

MIX: Mapping[str, float] = {
    "PRESENCE_UPDATE": 0.55,
    "MESSAGE_CREATE": 0.25,
    "TYPING_START": 0.18,
    "INTERACTION_CREATE": 0.02,
}
"""The share of each event: what a bot of mixed guilds sees when it has all intents."""
TICK = 0.005
"""Seconds between two sends."""
_POOL = 2_000
_ID, _TIME = "\x1aid\x1a", "\x1atime\x1a"
_TEMPLATED = ("PRESENCE_UPDATE", "MESSAGE_CREATE", "TYPING_START", "MESSAGE_REACTION_ADD")


@dataclass(frozen=True)
class Template:
    """One event ready to be sent: `body` with places for an id and a time; without a body it is made anew each time."""

    name: str
    place: Place
    body: str = ""
    slim: str | None = None

    def filled(self, body: str, message_id: str, now: str) -> str:
        """The body with a fresh id and time."""
        return body.replace(_ID, message_id).replace(_TIME, now) if "\x1a" in body else body


def check_mix(mix: Mapping[str, float]) -> None:
    """Raise ValueError for a mix that cannot be sent."""
    unknown = sorted(set(mix) - set(EVENTS))
    if unknown or not mix or sum(mix.values()) <= 0 or min(mix.values()) < 0:
        raise ValueError(f"a mix needs known events with shares above 0, not {dict(mix)!r}; unknown: {unknown}")


class Traffic:
    """An endless, repeatable stream of events. The same seed and world give the same events in the same order."""

    def __init__(
        self, stage: Stage, gateway: Gateway, *, mix: Mapping[str, float] = MIX, seed: int = 1, pool: int = _POOL
    ) -> None:
        check_mix(mix)
        self.sent: Counter[str] = Counter()
        self.offered = 0
        self.rate = 0.0
        self._stage = stage
        self._gateway = gateway
        self._pool = _pool_of(stage, mix, seed, pool)
        self._next = 0
        self._task: asyncio.Task[None] | None = None

    def start(self, rate: float) -> None:
        """Send `rate` events per second until `stop`."""
        if rate <= 0:
            raise ValueError(f"the rate must be above 0 events per second, not {rate}")
        self.rate = rate
        self._task = asyncio.create_task(self._run(rate), name="simulated traffic")

    async def stop(self) -> None:
        """Stop sending, and wait until what was sent is written."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self._gateway.drained()

    async def burst(self, count: int) -> Counter[str]:
        """Send exactly `count` events as fast as they are taken, and return when they are written."""
        before = self.sent.copy()
        for done in range(0, count, 200):
            self.send(min(200, count - done))
            await self._gateway.drained()
            await asyncio.sleep(0)
        return self.sent - before

    def send(self, count: int) -> None:
        """Send the next `count` events now."""
        clock = self._stage.world.clock
        now = clock.iso()
        for _ in range(count):
            template = self._pool[self._next % len(self._pool)]
            self._next += 1
            self.offered += 1
            if self._send(template, now):
                self.sent[template.name] += 1

    def _send(self, template: Template, now: str) -> int:
        if not template.body:
            payload = build(self._stage, template.name, template.place, {})
            return self._gateway.fan_out(template.name, json.dumps(payload), template.place.guild_id)
        fresh = str(self._stage.world.ids.new())
        body = template.filled(template.body, fresh, now)
        slim = None if template.slim is None else template.filled(template.slim, fresh, now)
        return self._gateway.fan_out(template.name, body, template.place.guild_id, slim=slim)

    async def _run(self, rate: float) -> None:
        start, sent = time.perf_counter(), 0
        while True:
            due = int((time.perf_counter() - start) * rate) - sent
            # After a pause of the whole process it goes on at its rate and does not make up for lost time at once.
            if due > rate:
                start, due = start + (due - rate) / rate, int(rate)
            self.send(due)
            sent += due
            await asyncio.sleep(TICK)


_POOLS: WeakKeyDictionary[World, dict[object, list[Template]]] = WeakKeyDictionary()


def _pool_of(stage: Stage, mix: Mapping[str, float], seed: int, size: int) -> list[Template]:
    """The templates for a seed; kept, because encoding them takes a tenth of a second."""
    kept = _POOLS.setdefault(stage.world, {})
    key = (tuple(mix.items()), seed, size, tuple(stage.world.guilds))
    if key not in kept:
        kept[key] = _templates(stage, mix, random.Random(seed), size)
    return kept[key]


def _templates(stage: Stage, mix: Mapping[str, float], rng: random.Random, size: int) -> list[Template]:
    names = [name for name in mix for _ in range(round(size * mix[name] / sum(mix.values())))]
    rng.shuffle(names)
    guilds = list(stage.world.guilds)
    return [_template(stage, name, rng, guilds) for name in names]


def _template(stage: Stage, name: str, rng: random.Random, guilds: list[int]) -> Template:
    guild = rng.choice(guilds) if guilds else None
    place = stage.place(guild, rng.randrange(1 << 16), rng.randrange(1 << 16))
    if name not in _TEMPLATED:
        return Template(name, place)
    payload = build(stage, name, place, _seeded(name, rng))
    if name != "MESSAGE_CREATE":
        return Template(name, place, json.dumps(payload))
    stage.messages.delete(int(payload["id"]))
    payload |= {"id": _ID, "timestamp": _TIME}
    slim = None if guild is None else _marked(json.dumps(without_content(payload)))
    return Template(name, place, _marked(json.dumps(payload)), slim)


def _seeded(name: str, rng: random.Random) -> dict[str, object]:
    if name == "MESSAGE_CREATE":
        return {
            "content": " ".join(rng.choices(("ok", "hello", "what", "now", "gg", "nice", "see"), k=rng.randint(1, 12)))
        }
    if name == "PRESENCE_UPDATE":
        return {"status": rng.choice(("online", "idle", "dnd", "offline")), "client_status": {"desktop": "online"}}
    return {}


def _marked(body: str) -> str:
    return body.replace("\\u001a", "\x1a")
