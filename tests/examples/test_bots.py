"""The bots to copy, each run as it stands."""

from __future__ import annotations

import asyncio
import signal
import sys

import aiohttp
import pytest

from examples.demo.page import Page
from examples.demo.prometheus import free_port
from examples.discord_simulator import Simulator
from tests.examples.programs import ROOT, STRICT, page, running

HERE = "import runpy, sys; from examples.discord_simulator import point_at; point_at(sys.argv[1])\n"
"""Runs a program on the simulator; nothing of it is changed."""


async def _page(url: str, name: str) -> Page:
    """The page, when it has a series."""
    async with asyncio.timeout(30):
        while True:
            try:
                if name in (found := await page(url)).samples:
                    return found
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("simple_bot", "ARGUS_PORT"),
        ("bare_client", "ARGUS_PORT"),
        ("own_aiohttp_app", "PORT"),
        ("custom_metrics", "ARGUS_PORT"),
    ],
)
async def test_a_bot_to_copy_serves_its_page(name: str, variable: str) -> None:
    port = free_port()
    program = HERE + f"runpy.run_path({str(ROOT / 'examples' / f'{name}.py')!r}, run_name='__main__')"
    environment = {variable: str(port), "DISCORD_TOKEN": "simulator-token", "ARGUS_STATE_DIR": "off", **STRICT}
    async with (
        Simulator(guilds=2, members=3, channels=1) as sim,
        running("-c", program, sim.url, **environment) as bot,
    ):
        await sim.wait_for_shards(1, 30)
        found = await _page(f"http://127.0.0.1:{port}/metrics", "discord_shard_ready_seconds")
        assert found.by("discord_shard_status", "shard") == {"0": 3.0}
        assert found.by("discord_gateway_events_total", "event")["GUILD_CREATE"] == 2.0
        if sys.platform != "win32":
            bot.process.send_signal(signal.SIGINT)
            code, lines = await bot.end()
            assert code == 0
            assert not [line for line in lines if "Traceback" in line or "Warning" in line]


async def test_a_bot_s_own_metrics_are_on_its_page() -> None:
    port = free_port()
    program = HERE + f"runpy.run_path({str(ROOT / 'examples' / 'custom_metrics.py')!r}, run_name='__main__')"
    environment = {"ARGUS_PORT": str(port), "DISCORD_TOKEN": "simulator-token", "ARGUS_STATE_DIR": "off", **STRICT}
    async with (
        Simulator(guilds=2, members=3, channels=1) as sim,
        running("-c", program, sim.url, **environment),
    ):
        found = await _page(f"http://127.0.0.1:{port}/metrics", "shop_stock")
        assert found.by("shop_stock", "item").keys() == {"sword", "shield"}
        assert found.value("shop_pricing_seconds_count") == 0


async def test_a_process_without_a_bot_says_itself_what_it_does() -> None:
    async with running("examples/manual_mode.py", ARGUS_PORT="0", **STRICT) as program:
        url = (await program.line(r"^(http://127\.0\.0\.1:\d+/metrics)$"))[1]
        found = await _page(url, "discord_commands_total")
        assert found.by("my_jobs_done_total", "bot").keys() == {"my-worker"}
        assert found.by("process_resident_memory_bytes", "bot").keys() == {"my-worker"}
        assert found.by("discord_commands_total", "command")["shop buy"] >= 1
        assert found.by("discord_shard_latency_seconds", "shard") == {"0": 0.04, "1": 0.05}
        assert found.value("discord_guilds") == 42
        assert "discord_shards" not in found.samples


def test_every_example_is_in_the_index() -> None:
    index = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    names = {path.name for path in (ROOT / "examples").iterdir() if not path.name.startswith(("_", "README"))}
    assert {"simple_bot.py", "compose.yaml", "demo"} <= names
    assert sorted(name for name in names if f"]({name}" not in index) == []
