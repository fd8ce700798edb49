"""Talking to a running simulator, and letting things happen in it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from examples.demo.incidents import Planned

_TIMEOUT: Final = aiohttp.ClientTimeout(total=5)
_BETWEEN_GREETINGS: Final = 2.0
DISTANCE: Final = {"delay": 0.03}
"""As far away as Discord is. discord.py notes when it sent a heartbeat after it has: it must not be answered before."""


class Simulation:
    """A simulator behind its control endpoint."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.next: Planned | None = None
        """The incident that comes next, and when in `due` (monotonic)."""
        self.due = 0.0
        self._http = http

    async def ask(self, method: str, path: str, **body: Any) -> Any:
        """Ask it. Raises ValueError with what it says against it, aiohttp's ClientError where it does not answer."""
        url = f"{self.url}/control/{path}"
        async with self._http.request(method, url, json=body, timeout=_TIMEOUT) as response:
            answer: Any = await response.json()
        if response.status != 200:
            raise ValueError(answer["error"])
        return answer

    async def running(self) -> list[str]:
        """The incidents that go on."""
        status = await self.ask("GET", "status")
        return [_described(one) for one in status["incidents"] if one["parameters"] != DISTANCE]

    async def live(self, plan: Iterator[Planned], say: Callable[[str], object]) -> None:
        """Let every planned incident begin at its time; says which do not."""
        began = time.monotonic()
        for planned in plan:
            self.next, self.due = planned, began + planned.at
            await asyncio.sleep(self.due - time.monotonic())
            self.next = None
            try:
                await self.ask("POST", f"incidents/{planned.name}", **planned.parameters)
            except (ValueError, aiohttp.ClientError) as problem:
                say(f"incident {planned.name} does not start: {problem}")

    async def people(self, guilds: int) -> None:
        """Let someone greet the bot now and then, each time in another guild."""
        at = 0
        while guilds:
            await asyncio.sleep(_BETWEEN_GREETINGS)
            try:
                await self.ask("POST", "events/MESSAGE_CREATE", guild=at, content="!hello")
            except (ValueError, aiohttp.ClientError, TimeoutError):
                continue  # the guild is gone for the moment
            finally:
                at = (at + 1) % guilds


def _described(one: dict[str, Any]) -> str:
    return " ".join([one["name"], *(f"{name}={value}" for name, value in one["parameters"].items())])
