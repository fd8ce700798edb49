"""Bots of others, as they come from PyPI: in virtual environments of their own, at a simulator."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from examples.discord_simulator import Simulator
from tests.clients import until
from tests.integration.programs import free_port

ROOT = Path(__file__).parents[2]
MESSAGES = "POST /channels/{channel_id}/messages"


@dataclass(frozen=True)
class Other:
    """A running bot; ``!`` is its prefix, and the simulator's first member its owner."""

    sim: Simulator
    process: asyncio.subprocess.Process
    port: int
    log: Path

    def said(self) -> list[str]:
        """What it has written into channels."""
        return [str(request.json.get("content")) for request in self.sim.requests if request.route == MESSAGES]

    def logged(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    async def logs(self, text: str) -> None:
        """Wait for a text in its log."""
        await until(lambda: self.process.returncode is not None or text in self.logged(), 60)
        assert text in self.logged(), self.logged()

    async def hears(self, text: str, answer: str) -> None:
        """Say something as the owner, and wait for the answer."""
        before = len(self.said())
        await self.sim.message(text, guild=0)
        with contextlib.suppress(TimeoutError):
            await until(lambda: any(answer in each for each in self.said()[before:]), 20)
        assert any(answer in each for each in self.said()[before:]), (text, self.said()[before:], self.logged())

    async def page(self) -> Samples:
        """What it serves."""
        async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{self.port}/metrics") as response:
            assert response.status == 200
            page = await response.text()
        samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
        return Samples({(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples})

    async def counts(self, expected: float, name: str, **labels: str) -> Samples:
        """Wait until the page has this sum, for a command ends after its answer; nothing of ours has failed."""
        page = await self.page()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(20):
                while page.of(name, **labels) != expected:
                    await asyncio.sleep(0.05)
                    page = await self.page()
        assert page.of(name, **labels) == expected, sorted(str(key) for key in page if key[0] == name)
        page.assert_well()
        return page


class Samples(dict[tuple[str, frozenset[tuple[str, str]]], float]):
    """A page."""

    def of(self, name: str, **labels: str) -> float:
        """The sum of the series that have these labels."""
        return sum(value for key, value in self.items() if key[0] == name and labels.items() <= dict(key[1]).items())

    def assert_well(self) -> None:
        """Nothing of ours has failed, or had to fall back."""
        assert self.of("argus_exporter_collector_errors_total") == 0
        assert [key for key, up in self.items() if key[0] == "argus_exporter_collector_up" and not up] == []


@contextlib.asynccontextmanager
async def running(python: str, module: str, folder: Path, *arguments: str) -> AsyncIterator[Other]:
    """Run ``python -m MODULE URL TOKEN OWNER ARGUMENT ...`` with a simulator."""
    port, log = free_port(), folder / "log"
    environ = {**os.environ, "ARGUS_PORT": str(port), "ARGUS_STATE_DIR": "off", "HOME": str(folder)}
    async with Simulator(guilds=2, members=3, channels=1) as sim:
        member = sim.stage.place(0, 0, 0).member
        assert member is not None
        command = (python, "-m", module, sim.url, sim.token, str(member["user"]["id"]), *arguments)
        with log.open("wb") as file:
            process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environ, stdout=file, stderr=file)
        try:
            yield Other(sim, process, port, log)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


def interpreter(name: str, python: str, *requirements: str) -> str:
    """The interpreter of an environment that has this, and what we need.

    Skips without that Python, and without a package index unless the services are required.
    """
    base = shutil.which(f"python{python}")
    if base is None:
        pytest.skip(f"Python {python} is not on this machine")
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    folder = ROOT / ".venvs" / f"{name}-python{python}"
    stamp, wanted = folder / ".ready", "\n".join([*requirements, *ours])
    own = str(folder / "bin" / "python")
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        subprocess.run([base, "-m", "venv", "--clear", folder], check=True)
        _install(own, *requirements, *ours)
        stamp.write_text(wanted, encoding="utf-8")
    return own


def _install(python: str, *requirements: str) -> None:
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-qq", "--disable-pip-version-check"]
    done = subprocess.run([*pip, *requirements], capture_output=True, text=True, check=False)
    if done.returncode:
        required = os.environ.get("ARGUS_REQUIRE_SERVICES") == "1"
        (pytest.fail if required else pytest.skip)(f"{requirements[0]} cannot be installed: {done.stderr[-500:]}")
