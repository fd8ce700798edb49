"""A real Prometheus that stores exemplars gives back the traces of what was observed."""

from __future__ import annotations

import asyncio
import time
import typing
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider

import argus_exporter
from tests.integration.programs import Prometheus, prometheus

pytestmark = pytest.mark.integration


async def exemplars(server: Prometheus, metric: str, wanted: int) -> list[tuple[str, str, float, float]]:
    """Bucket, trace, value and time of each exemplar of a histogram, when so many are stored."""
    found: list[tuple[str, str, float, float]] = []
    async with asyncio.timeout(40):
        while len(found) < wanted:
            around = {"start": str(time.time() - 600), "end": str(time.time() + 600)}
            data: list[dict[str, typing.Any]] = await server.get("query_exemplars", query=f"{metric}_bucket", **around)
            found = [
                (series["seriesLabels"]["le"], each["labels"]["trace_id"], float(each["value"]), each["timestamp"])
                for series in data
                for each in series["exemplars"]
            ]
            await asyncio.sleep(0.1)
    return found


async def test_the_traces_of_observations_can_be_asked_for(tmp_path: Path) -> None:
    tracer = TracerProvider().get_tracer("tests")
    async with argus_exporter.Exporter(port=0, state_dir="off", bot="b") as exporter:
        seconds = exporter.histogram("shop_seconds", "Time.", {"item": 5}, edges=(0.5, 1.0))
        began = time.time()
        with tracer.start_as_current_span("buy") as span:
            seconds.labels("sword").observe(0.75)
            exporter.record_command("buy", 0.7)
        seconds.labels("sword").observe(3, "0af7651916cd43dd8448eb211c80319c")
        seconds.labels("sword").observe(0.25)
        trace = f"{span.get_span_context().trace_id:032x}"
        storing = "--enable-feature=exemplar-storage"
        async with prometheus(tmp_path, {"bot": exporter.port or 0}, storing) as server:
            found = sorted(await exemplars(server, "shop_seconds", 2))
            command = await exemplars(server, "discord_command_duration_seconds", 1)
    assert [each[:3] for each in found] == [
        ("+Inf", "0af7651916cd43dd8448eb211c80319c", 3),
        ("1.0", trace, 0.75),
    ]
    assert all(began - 0.01 <= at <= time.time() + 0.01 for *_, at in found)
    assert [each[1:3] for each in command] == [(trace, 0.7)]
