"""jishaku as it comes from PyPI, loaded before and after us."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

from tests.integration.environments import interpreter, running

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
OURS, THEIRS = "argus_exporter", "jishaku"
SUMS = {"command": "jishaku py", "type": "prefix", "outcome": "ok"}


@pytest.mark.parametrize("order", [(OURS, THEIRS), (THEIRS, OURS)], ids=["before", "after"])
async def test_jishaku_works_as_ever_and_reloads_us(order: tuple[str, str], tmp_path: Path) -> None:
    python = await asyncio.to_thread(interpreter, "jishaku", "3.11", "jishaku==2.7.5")
    async with running(python, "tests.integration.jishaku_bot", tmp_path, *order) as bot:
        await bot.logs("ready")
        await bot.hears("!jsk py return 6 * 7", "42")
        await bot.hears("!jsk", "Jishaku")
        await bot.counts(1, "discord_commands_total", **SUMS)
        await bot.hears(f"!jsk reload {OURS} {THEIRS}", OURS)
        await bot.hears("!jsk py return 6 * 7", "42")
        await bot.counts(1, "discord_commands_total", **SUMS)
        await bot.hears(f"!jsk unload {OURS}", OURS)
        with pytest.raises(aiohttp.ClientConnectionError):
            await bot.page()
        await bot.hears("!jsk py return 6 * 7", "42")
    assert "Traceback" not in bot.logged()
