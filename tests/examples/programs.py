"""The examples as users run them: in a process of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import psutil

from examples.demo.page import Page

ROOT = Path(__file__).parents[2]
# discord.py's own; everything else that Python warns of is an error in each process
STRICT = {"PYTHONDEVMODE": "1", "PYTHONWARNINGS": "error,ignore:'audioop' is deprecated:DeprecationWarning"}
# asyncio's debug mode says what is slow, and a busy machine is
SLOW = re.compile(r"Executing <.* took .* seconds")


class Program:
    """A running Python program; `said` is what it wrote, stdout and stderr."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said: list[str] = []

    async def line(self, pattern: str) -> re.Match[str]:
        """The next line that matches."""
        assert self.process.stdout is not None
        async with asyncio.timeout(40):
            while line := (await self.process.stdout.readline()).decode():
                self.said.append(line)
                if found := re.search(pattern, line):
                    return found
        raise AssertionError(f"no line matches {pattern!r}: {''.join(self.said)}")

    async def end(self) -> tuple[int | None, list[str]]:
        """Its exit code and all its lines."""
        async with asyncio.timeout(40):
            out, _ = await self.process.communicate()
        self.said += out.decode().splitlines(keepends=True)
        return self.process.returncode, [line.rstrip("\n") for line in self.said if not SLOW.match(line)]

    def family(self) -> list[psutil.Process]:
        """The processes that it has started."""
        return psutil.Process(self.process.pid).children(recursive=True)


@contextlib.asynccontextmanager
async def running(*command: str, **environment: str) -> AsyncIterator[Program]:
    """Run `python COMMAND`; it is killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def page(url: str) -> Page:
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        assert response.status == 200
        return Page.read(await response.text())


async def gone(family: list[psutil.Process]) -> bool:
    """Whether all of them end within some seconds. One that has ended, and that nobody has waited for, is gone."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if not any(map(_is_alive, family)):
            return True
        await asyncio.sleep(0.05)
    return False


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
