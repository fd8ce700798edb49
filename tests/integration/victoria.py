"""A real VictoriaMetrics, and a real vmalert that evaluates the rules on it. Both are of one package."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from grafana.preview.prometheus import Prometheus
from tests.integration.daemons import daemon, fetched
from tests.integration.programs import free_port
from tests.prometheus.rules import FOLDER


class VictoriaMetrics(Prometheus):
    """One that runs: asked as a Prometheus is, but not for what it has kept of former answers."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        super().__init__(url, http)
        self.url = url

    async def get(self, path: str, **params: str) -> Any:
        return await super().get(path, nocache="1", **params)


@contextlib.asynccontextmanager
async def victoria_metrics(folder: Path) -> AsyncIterator[VictoriaMetrics]:
    """Run one that shows what it has got at once, not only after 30 s."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    own = (f"-storageDataPath={folder / 'victoria'}", f"-httpListenAddr=127.0.0.1:{port}", "-search.latencyOffset=1s")

    async def ready() -> object:
        return await fetched(f"{url}/api/v1/query", query="1")

    async with (
        aiohttp.ClientSession() as http,
        daemon(folder / "victoria.log", ready, "victoria-metrics", *own, "-retentionPeriod=1d"),
    ):
        yield VictoriaMetrics(url, http)


@contextlib.asynccontextmanager
async def vmalert(folder: Path, server: VictoriaMetrics) -> AsyncIterator[str]:
    """Run a vmalert with the options of prometheus/large/README.md; its URL."""
    port, nobody = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    store = ("datasource", "remoteWrite", "remoteRead")
    own = (
        f"-rule={FOLDER / 'rules' / '*.yml'}",
        "-disableAlertgroupLabel",
        *(f"-{name}.url={server.url}" for name in store),
    )
    at = (
        f"-notifier.url=http://127.0.0.1:{nobody}",
        f"-httpListenAddr=127.0.0.1:{port}",
        "-remoteWrite.flushInterval=1s",
    )
    async with daemon(folder / "vmalert.log", lambda: fetched(f"{url}/api/v1/rules"), "vmalert", *own, *at):
        yield url
