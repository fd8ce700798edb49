"""A session of several hundred interactions, requests and troubles, and every series that it leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import typing
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from argus_exporter import ArgusExporter, Settings, catalogue, http_trace
from examples.discord_simulator import Simulator
from tests.clients import logged_in
from tests.session import expectation
from tests.session.bot import Bot
from tests.session.expectation import Expectation, Series, Session, nameless, read
from tests.session.play import Player
from tests.session.records import Records
from tests.session.script import GUILDS, MEMBERS, SHARDS, Use, script

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


NOT_EXPECTED: Final = {
    "discord_last_exit_info",
}
"""Told by a process that comes after another one."""


@contextlib.asynccontextmanager
async def played(**client: Any) -> AsyncIterator[tuple[Session, ArgusExporter]]:
    """The script, played to its end."""
    steps, records, began = script(), Records(), time.time()
    async with Simulator(guilds=GUILDS, members=MEMBERS, shards=SHARDS, heartbeat_interval=5) as sim:
        bot = Bot(shard_count=SHARDS, **client)
        cog = ArgusExporter(bot, Settings(port=0, state_dir="off"))
        seen_before: list[int] = []

        async def load() -> None:
            seen_before.append(len(sim.requests))
            logging.getLogger().addHandler(records)
            await bot.add_cog(cog)

        bot.before_connecting = load
        try:
            async with logged_in(bot, sim, SHARDS):
                player = Player(sim, bot)
                await player.play(steps)
                session = Session(sim, bot, steps, player, began, [], records.counts)
                session.requests = [*sim.requests][seen_before[0] :]
                yield session, cog
        finally:
            logging.getLogger().removeHandler(records)


async def scraped(cog: ArgusExporter) -> str:
    async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{cog.port}/metrics") as answer:
        return await answer.text()


async def differences(session: Session, cog: ArgusExporter) -> list[str]:
    """What is wrong with the page; what is still on its way is waited for."""
    found = ["not looked at"]
    for _ in range(50):
        page = nameless(read(await scraped(cog)))
        found = Expectation(session).differences(page)
        if not found:
            break
        await asyncio.sleep(0.1)
    return found


def test_the_script_has_several_hundred_interactions_of_all_types_and_outcomes() -> None:
    uses = [step for step in script() if isinstance(step, Use)]
    assert sum(use.how != "prefix" for use in uses) >= 250
    assert {use.how for use in uses} == {"slash", "user", "message", "component", "modal", "autocomplete", "prefix"}
    outcomes = {"ok", "user_error", "rejected", "bot_error", "discord_error", "cancelled", "not_found"}
    assert {use.outcome for use in uses if use.how == "slash"} == outcomes


def test_no_metric_is_forgotten() -> None:
    names = {metric.name for metric in catalogue.METRICS if metric.name.startswith("discord_")}
    source = Path(expectation.__file__).read_text(encoding="utf-8")
    assert {name for name in names if f'"{name}"' not in source} == NOT_EXPECTED


@pytest.mark.parametrize("client", [dict, lambda: {"http_trace": http_trace()}], ids=["default", "http_trace"])
async def test_a_scripted_session_ends_with_exactly_the_expected_value_in_every_series(
    client: Callable[[], dict[str, Any]],
) -> None:
    async with played(**client()) as (session, cog):
        view, now = cog.exporter._view, time.perf_counter
        # the tokens of what nobody answered live on for a while: let that while be over
        view.interactions.now = lambda: now() + 61
        found = await differences(session, cog)
        if found:
            pytest.fail("\n".join([f"{len(found)} series are not as expected", *found[:100]]), pytrace=False)
        page = nameless(read(await scraped(cog)))
        assert await differences(session, cog) == []
        assert len([name for name, _ in page if name.startswith("discord_") and not name.endswith("_bucket")]) > 600
        assert_that_it_would_be_noticed(Expectation(session), page)


def assert_that_it_would_be_noticed(expected: Expectation, page: dict[Series, float]) -> None:
    """A number that is one too many, a series too many, one that is missing, and an exception of ours."""
    series = (
        "discord_commands_total",
        frozenset({"command": "crash", "type": "slash", "outcome": "bot_error"}.items()),
    )
    more = ("discord_commands_total", frozenset({"command": "crash", "type": "slash", "outcome": "rejected"}.items()))
    odd = ("discord_commands_total", frozenset({"command": "1234", "type": "slash", "outcome": "ok"}.items()))
    ours = ("argus_exporter_collector_errors_total", frozenset({"collector": "commands"}.items()))
    without = {key: value for key, value in page.items() if key != series}
    for other in (
        page | {series: page[series] + 1},
        page | {more: 1.0},
        page | {odd: 0.0},
        without,
        page | {ours: 1.0},
    ):
        assert len(expected.differences(other)) == 1
