"""A bot, a real database that is killed and comes back, and the command line: check, erase."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import typing
from typing import Any

import pytest

from tests.analytics.engine import engine
from tests.analytics.server import postgresql
from tests.analytics.test_start import QUEUED, WRITTEN, furnish
from tests.clients import counter_total, until, value
from tests.faults.bots import bot_with_us

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

KEY = "the key of a test"
COMMANDS = 20
ROWS, FAILURES = "argus_exporter_analytics_queue_rows", "argus_exporter_analytics_failures_total"


class Place(typing.NamedTuple):
    """A database that can be killed and started."""

    url: str
    kill: Callable[[], None]
    start: Callable[[], None]


@contextlib.contextmanager
def clickhouse(folder: Path) -> Iterator[Place]:
    with engine(folder) as found:
        yield Place(found.url("bots"), found.kill, found.start)


@contextlib.contextmanager
def postgres(_: Path) -> Iterator[Place]:
    with postgresql() as found:
        yield Place(found.url("postgres"), found.kill, found.start)


async def said(url: str, *arguments: str) -> tuple[int | None, str, str]:
    """What the command line says, in the bot's environment."""
    ours = {"ARGUS_ANALYTICS_URL": url, "ARGUS_ANALYTICS_USERS": "hash", "ARGUS_ANALYTICS_KEY": KEY}
    command = (sys.executable, "-m", "argus_exporter", *arguments)
    pipes: Any = {
        "stdin": asyncio.subprocess.DEVNULL,
        "stdout": asyncio.subprocess.PIPE,
        "stderr": asyncio.subprocess.PIPE,
    }
    process = await asyncio.create_subprocess_exec(*command, env={**os.environ, "ARGUS_PORT": "0", **ours}, **pipes)
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def erased(url: str, whose: str, number: int) -> dict[str, int]:
    """How many rows of which tables were erased."""
    code, out, err = await said(url, "erase", f"--{whose}", str(number), "--yes", "--json")
    assert (code, err) == (0, "")
    return {table: rows for table, rows in json.loads(out)["tables"].items() if rows}


@pytest.mark.parametrize("kind", [clickhouse, postgres])
async def test_a_bot_records_while_its_database_comes_and_goes_and_all_can_be_erased(
    kind: Callable[[Path], contextlib.AbstractContextManager[Place]], tmp_path: Path
) -> None:
    options = {"analytics_batch_seconds": 0.1, "analytics_users": "hash", "analytics_key": KEY}
    with kind(tmp_path / "data") as database:
        async with bot_with_us(analytics_url=database.url, **options) as (sim, bot, exporter):
            furnish(bot)
            instruments = exporter.instruments

            async def use(guild: int, member: int, rows: int) -> None:
                for _ in range(COMMANDS):
                    await sim.slash("hello", guild=guild, member=member)
                await until(lambda: exporter.sample() or counter_total(instruments, QUEUED) == rows)

            await use(0, 0, 2 * COMMANDS)
            await until(lambda: counter_total(instruments, WRITTEN) == 2 * COMMANDS, 30)
            await asyncio.to_thread(database.kill)
            await use(1, 1, 4 * COMMANDS)
            await until(lambda: value(instruments, FAILURES), 30)
            assert value(instruments, ROWS) == 2 * COMMANDS
            await asyncio.to_thread(database.start)
            await until(lambda: counter_total(instruments, WRITTEN) == 4 * COMMANDS, 60)
            assert counter_total(instruments, "argus_exporter_analytics_lost_total") == 0
        code, out, _ = await said(database.url, "check")
        (line,) = [line for line in out.splitlines() if " analytics: " in line]
        assert (code, line.split()[0]) == (0, "ok"), out
        guild, user = (sim.stage.place(0, 0, 0).guild, sim.stage.place(1, 0, 1).guild)
        assert guild is not None
        assert user is not None
        everything = {"commands": COMMANDS, "interactions": COMMANDS}
        found = await erased(database.url, "guild", guild.id)
        assert {table: found[table] for table in everything} == everything
        user_id = int(user.member(1)["user"]["id"])
        found = await erased(database.url, "user", user_id)
        assert {table: found[table] for table in everything} == everything
        assert await erased(database.url, "user", user_id) == {}
