"""Red-DiscordBot as it comes from PyPI: with its own aiohttp and discord.py, and its own way to load a package."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.integration.environments import ROOT, interpreter, running

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform == "win32", reason="it is ended by SIGTERM"),
]
PINGS = {"command": "ping", "type": "prefix", "outcome": "ok"}


async def test_red_loads_it_reloads_it_and_goes_on(tmp_path: Path) -> None:
    python = await asyncio.to_thread(interpreter, "red", "3.11", "Red-DiscordBot==3.5.24")
    async with running(python, "tests.integration.red_bot", tmp_path, "--cog-path", str(ROOT)) as red:
        await red.logs("Invite URL")
        await red.hears("!load argus_exporter", "Loaded `argus_exporter`")
        await red.hears("!ping", "Pong")
        page = await red.counts(1, "discord_commands_total", **PINGS)
        assert page.of("discord_shard_status", shard="0") == 3
        await red.hears("!reload argus_exporter", "Reloaded `argus_exporter`")
        await red.hears("!ping", "Pong")
        await red.counts(1, "discord_commands_total", **PINGS)
        await red.hears("!unload argus_exporter", "was unloaded: `argus_exporter`")
        with pytest.raises(aiohttp.ClientConnectionError):
            await red.page()
        await red.hears("!ping", "Pong")
        red.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(red.process.wait(), 30) == 0
    assert "Traceback" not in red.logged()
