"""Programs that a test needs, and a Prometheus of its own for it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest


def program(name: str) -> str:
    """The path of a program. Skips where it is absent, and fails where the services are required."""
    found = shutil.which(name)
    if found is None:
        reason = f"{name} is not installed"
        (pytest.fail if os.environ.get("ARGUS_REQUIRE_SERVICES") == "1" else pytest.skip)(reason)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus, asked over its HTTP API."""

    url: str
    http: aiohttp.ClientSession

    async def get(self, path: str, **params: str) -> Any:
        """What the API answers, without its envelope."""
        async with self.http.get(f"{self.url}/api/v1/{path}", params=params) as response:
            answer = await response.json()
        assert answer["status"] == "success", answer
        return answer["data"]

    async def query(self, promql: str) -> dict[frozenset[tuple[str, str]], float]:
        """The value of every series that a query finds now, by its labels."""
        data = await self.get("query", query=promql)
        return {frozenset(found["metric"].items()): float(found["value"][1]) for found in data["result"]}

    async def value(self, promql: str) -> float | None:
        """The value of a query that finds one series; None where it finds none."""
        values = list((await self.query(promql)).values())
        assert len(values) <= 1, f"{promql} finds {len(values)} series"
        return values[0] if values else None

    async def until(self, promql: str, expected: float) -> None:
        """Wait until a query has a value."""
        found = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(40):
                while (found := await self.value(promql)) != expected:
                    await asyncio.sleep(0.1)
        assert found == expected, promql


@contextlib.asynccontextmanager
async def prometheus(folder: Path, targets: Mapping[str, int], *options: str) -> AsyncIterator[Prometheus]:
    """Run a Prometheus that scrapes ports of this machine every second, each as the job of its name."""
    jobs = [{"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{at}"]}]} for job, at in targets.items()]
    config = {"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}
    async with configured_prometheus(folder, config, *options) as server:
        yield server


@contextlib.asynccontextmanager
async def configured_prometheus(folder: Path, config: Any, *options: str) -> AsyncIterator[Prometheus]:
    """Run a Prometheus that is configured so."""
    file, port = folder / "prometheus.yml", free_port()
    file.write_text(json.dumps(config), encoding="utf-8")
    own = (f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}")
    async with _ready("prometheus", port, *own, *options) as http:
        yield Prometheus(f"http://127.0.0.1:{port}", http)


@contextlib.asynccontextmanager
async def prometheus_agent(folder: Path, config: Any) -> AsyncIterator[None]:
    """Run a Prometheus that keeps nothing, configured so."""
    file, port = folder / "agent.yml", free_port()
    file.write_text(json.dumps(config), encoding="utf-8")
    own = ("--enable-feature=agent", f"--config.file={file}", f"--storage.agent.path={folder / 'agent'}")
    async with _ready("prometheus", port, *own, f"--web.listen-address=127.0.0.1:{port}"):
        yield


@contextlib.asynccontextmanager
async def alertmanager(folder: Path, config: Any) -> AsyncIterator[int]:
    """Run an Alertmanager that is configured so; its port."""
    file, port = folder / "alertmanager.yml", free_port()
    file.write_text(json.dumps(config), encoding="utf-8")
    own = (f"--config.file={file}", f"--storage.path={folder / 'alerts'}", f"--web.listen-address=127.0.0.1:{port}")
    async with _ready("prometheus-alertmanager", port, *own, "--cluster.listen-address="):
        yield port


@contextlib.asynccontextmanager
async def _ready(name: str, port: int, *arguments: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Run a server until the end of the block, which begins when it says that it is ready."""
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(program(name), *arguments, stdout=quiet, stderr=quiet)

    async def ready(http: aiohttp.ClientSession) -> bool:
        assert process.returncode is None, f"{name} ended with {process.returncode}"
        try:
            async with http.get(f"http://127.0.0.1:{port}/-/ready") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    try:
        async with aiohttp.ClientSession() as http:
            async with asyncio.timeout(30):
                while not await ready(http):
                    await asyncio.sleep(0.05)
            yield http
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def filtered(command: str, *arguments: str, text: bytes) -> tuple[int | None, bytes]:
    """The exit code of a program that reads text, and all that it wrote to stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        program(command),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate(text)
    return process.returncode, said
