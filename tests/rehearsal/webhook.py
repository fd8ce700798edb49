"""What Alertmanager tells: which alerts fire, which are over."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import web

Labels = dict[str, str]


class Webhook:
    """Records notifications. A subject is the bot that an alert is about: its label, or whose ``instance`` it is."""

    def __init__(self, subject_of: Callable[[Labels], str]) -> None:
        self._subject_of = subject_of
        self.told: dict[str, set[str]] = {}
        """The names of all alerts that were told of, by subject."""
        self.firing: dict[str, dict[frozenset[tuple[str, str]], str]] = {}
        """The name of each alert that is not over, by subject and labels."""
        self.changed = asyncio.Event()
        self.url = ""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Webhook]:
        """Listen on a free port of this machine."""
        app = web.Application()
        app.router.add_post("/", self._hear)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
            yield self
        finally:
            await runner.cleanup()

    async def _hear(self, request: web.Request) -> web.Response:
        for alert in (await request.json())["alerts"]:
            self._note(alert)
        self.changed.set()
        return web.Response()

    def _note(self, alert: Any) -> None:
        labels: Labels = alert["labels"]
        subject, identity = self._subject_of(labels), frozenset(labels.items())
        if alert["status"] == "resolved":
            self.firing.get(subject, {}).pop(identity, None)
        else:
            self.told.setdefault(subject, set()).add(labels["alertname"])
            self.firing.setdefault(subject, {})[identity] = labels["alertname"]
