"""A Prometheus that scrapes the demo."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
from typing import TYPE_CHECKING, Final

import aiohttp

from examples.demo.children import Child, Children, Ended

if TYPE_CHECKING:
    from pathlib import Path

QUERY: Final = "graph?g0.expr=discord_shard_status&g0.tab=0"
_TIMEOUT: Final = aiohttp.ClientTimeout(total=2)
_PATIENCE: Final = 20.0


async def start(children: Children, target: str, folder: Path, http: aiohttp.ClientSession) -> str:
    """Start one that scrapes `target` every five seconds; returns the address of a graph, or says why there is none."""
    program = shutil.which("prometheus")
    if program is None:
        return "not installed: there is no program `prometheus` on the PATH"
    url = f"http://127.0.0.1:{free_port()}"
    child = await _run(children, program, url.removeprefix("http://"), target, folder)
    try:
        async with asyncio.timeout(_PATIENCE):
            await _ready(child, url, http)
    except Ended as problem:
        return f"not running: {problem}"
    except TimeoutError:
        return f"not ready after {_PATIENCE:g} seconds, perhaps later: {url}"
    return f"{url}/{QUERY}"


async def _run(children: Children, program: str, address: str, target: str, folder: Path) -> Child:
    scrape = {"job_name": "demo", "static_configs": [{"targets": [target]}]}
    config = folder / "prometheus.yml"
    config.write_text(json.dumps({"global": {"scrape_interval": "5s"}, "scrape_configs": [scrape]}), encoding="utf-8")
    arguments = (
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address={address}",
    )
    return await children.start("Prometheus", program, *arguments, kind="program", heard=lambda _: None)


async def _ready(child: Child, url: str, http: aiohttp.ClientSession) -> None:
    while True:
        child.check()
        try:
            async with http.get(f"{url}/-/ready", timeout=_TIMEOUT) as response:
                if response.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.1)


def free_port() -> int:
    """A port that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
