"""A real Prometheus comes in with a token over TLS, as README.md configures it, and not without."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from argus_exporter import Exporter, Settings
from tests.clients import value
from tests.exposition.test_tls import Paper
from tests.integration.programs import configured_prometheus

pytestmark = pytest.mark.integration

README = Path(__file__).parents[2] / "README.md"


def job_of_the_readme() -> dict[str, Any]:
    """The one job with a token."""
    blocks = re.findall(r"(?ms)^```yaml\n(scrape_configs:.*?)^```", README.read_text(encoding="utf-8"))
    jobs = [job for block in blocks for job in yaml.safe_load(block)["scrape_configs"]]
    (job,) = (job for job in jobs if "authorization" in job)
    return job


async def test_who_has_the_token_and_the_authority_has_the_metrics(tmp_path: Path) -> None:
    paper, token = Paper(tmp_path), tmp_path / "argus_token"
    token.write_text("schlüssel-1\nschlüssel-2\n", encoding="utf-8")
    scrapers = tmp_path / "scrapers_token"
    scrapers.write_text("schlüssel-2", encoding="utf-8")
    settings = Settings(**paper.settings, token_file=token, port=0, state_dir=None, user_registry=False)
    async with Exporter(settings) as exporter:
        target = [{"targets": [f"127.0.0.1:{exporter.port}"]}]
        right = job_of_the_readme() | {
            "job_name": "right",
            "authorization": {"credentials_file": str(scrapers)},
            "tls_config": {"ca_file": str(paper.authority)},
            "static_configs": target,
        }
        basic: dict[str, Any] = {"username": "prometheus", "password": "schlüssel-1"}
        jobs = [
            right,
            {**right, "job_name": "wrong", "authorization": {"credentials": "wrong"}},
            {key: right[key] for key in right if key != "authorization"} | {"job_name": "basic", "basic_auth": basic},
            {**right, "job_name": "untrusting", "tls_config": {}},
            {**right, "job_name": "plain", "scheme": "http"},
        ]
        config = {"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}
        async with configured_prometheus(tmp_path, config) as server:
            for job, up in (("right", 1), ("basic", 1), ("wrong", 0), ("untrusting", 0), ("plain", 0)):
                await server.until(f'up{{job="{job}"}}', up)
            for reason in ("unauthorized", "handshake"):
                async with asyncio.timeout(40):
                    while not value(exporter.instruments, "argus_exporter_requests_refused_total", reason):
                        await asyncio.sleep(0.1)
            paper.renew()
            token.write_text("schlüssel-2", encoding="utf-8")
            await server.until('up{job="basic"}', 0)
            await server.until('up{job="right"}', 1)
