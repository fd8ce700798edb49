"""Processes of the demo: started on a leash, listened to line by line, ended whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT: Final = Path(__file__).parents[2]
_PATIENCE: Final = 1.4
"""Seconds that a process has for its own end."""
_LAST_LINES: Final = 200


class Ended(Exception):  # noqa: N818  it need not be an error
    """A process ended by itself; the message says which, how, and its last line."""


class Child:
    """A running process. What it says, stdout and stderr, goes line by line to `heard`."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, heard: Callable[[str], object]) -> None:
        self.name = name
        self.lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._process = process
        self._heard = heard
        self._said = asyncio.Condition()
        self._listening = asyncio.create_task(self._listen(), name=f"listen to the {name}")

    async def _listen(self) -> None:
        assert self._process.stdout is not None  # noqa: S101  it was asked for
        async for line in self._process.stdout:
            text = line.decode(errors="replace").rstrip()
            self._heard(text)
            async with self._said:
                self.lines.append(text)
                self._said.notify_all()
        await self._process.wait()
        async with self._said:
            self._said.notify_all()

    async def line(self, pattern: str) -> re.Match[str]:
        """Wait for a line that matches. Raises Ended."""
        async with self._said:
            while True:
                for line in self.lines:
                    if found := re.search(pattern, line):
                        return found
                self.check()
                await self._said.wait()

    def check(self) -> None:
        """Raise Ended if it has ended."""
        if self._process.returncode is not None:
            last = next((line for line in reversed(self.lines) if line), "it said nothing")
            raise Ended(f"the {self.name} has ended with code {self._process.returncode}: {last}")

    async def stop(self) -> None:
        """End it: by letting go of the leash, then harder. Returns when it is gone."""
        assert self._process.stdin is not None  # noqa: S101  it was asked for
        self._process.stdin.close()
        for harder in (self._process.terminate, self._process.kill):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._listening), _PATIENCE)
                break
            with contextlib.suppress(ProcessLookupError):
                harder()
        await self._listening


class Children:
    """All of them. The first one is ended last: the others talk to it."""

    def __init__(self) -> None:
        self._running: list[Child] = []

    async def start(
        self,
        name: str,
        *command: str,
        heard: Callable[[str], object],
        kind: str = "module",
        environment: Mapping[str, str] | None = None,
    ) -> Child:
        """Start a Python module, or with `kind="program"` a program."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "examples.demo.leash", kind, *command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", **(environment or {})},
            # Ctrl-C is the demo's: it ends the others in order.
            start_new_session=True,
            limit=2**20,
        )
        child = Child(name, process, heard)
        self._running.append(child)
        return child

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for wave in (self._running[1:], self._running[:1]):
            await asyncio.gather(*(child.stop() for child in wave))
