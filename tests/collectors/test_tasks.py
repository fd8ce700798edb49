"""Health of discord.ext.tasks loops, on real loops: nobody else shows it."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import time
import typing
from typing import Any

import discord
import pytest
from discord.ext import commands, tasks

from argus_exporter import ArgusExporter, Exporter
from argus_exporter.cog import ClientExporter
from argus_exporter.settings import Settings
from tests.clients import PlainBot, PlainClient, until, value

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CLOSED = {"port": "off", "state_dir": "off"}
PREFIX = "discord_task_loop_"


@contextlib.asynccontextmanager
async def exported(client: discord.Client) -> AsyncIterator[ClientExporter]:
    """An exporter of a client that needs no login: loops do not either."""
    exporter = ClientExporter(client, Settings(**CLOSED))
    exporter.open()
    await exporter.start()
    try:
        yield exporter
    finally:
        await exporter.close()


def told(exporter: Exporter, loop: str) -> dict[str, float | None]:
    """What the page says of a loop."""
    exporter.sample()
    names = [name for name in exporter.instruments.families if name.startswith(PREFIX)]
    return {name.removeprefix(PREFIX): value(exporter.instruments, name, loop) for name in names}


def counted(exporter: Exporter, loop: str) -> tuple[float | None, ...]:
    """Iterations and failures, without a sample."""
    return tuple(value(exporter.instruments, f"{PREFIX}{name}_total", loop) for name in ("iterations", "failures"))


def overruns(exporter: Exporter, loop: str) -> float | None:
    return value(exporter.instruments, "discord_task_loop_overruns_total", loop)


class Refreshing(commands.Cog):
    """Its loop does what the test tells it to."""

    def __init__(self, *outcomes: BaseException | None) -> None:
        self.outcomes = list(outcomes)

    @tasks.loop(seconds=0.01)
    async def refresh(self) -> None:
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if outcome is not None:
            raise outcome

    async def cog_unload(self) -> None:
        self.refresh.cancel()


async def over(loop: tasks.Loop[Any]) -> None:
    """Wait for a loop's end, however it ends."""
    task = loop.get_task()
    assert task is not None
    await asyncio.gather(task, return_exceptions=True)


async def test_a_loop_of_a_cog_counts_from_its_first_iteration_to_its_last() -> None:
    bot = PlainBot()
    async with exported(bot) as exporter:
        cog = Refreshing()
        await bot.add_cog(cog)
        assert counted(exporter, "Refreshing.refresh") == (0, 0)
        assert overruns(exporter, "Refreshing.refresh") == 0
        cog.refresh.count = 3
        cog.refresh.start()
        began = time.time()
        assert told(exporter, "Refreshing.refresh")["last_success_timestamp_seconds"] is None
        await over(cog.refresh)
        facts = told(exporter, "Refreshing.refresh")
        del facts["overruns_total"]  # on a machine that stands still it may be any
        assert began - 1 < (facts.pop("last_success_timestamp_seconds") or 0) < time.time() + 1
        assert facts == {
            "running": 0,
            "dead": 0,
            "retrying": 0,
            "interval_seconds": 0.01,
            "iterations_total": 3,
            "failures_total": 0,
        }


async def test_a_loop_that_begins_while_its_cog_is_made_is_counted_from_the_first_iteration() -> None:
    class Eager(Refreshing):
        def __init__(self) -> None:
            super().__init__(ValueError("at once"))
            self.refresh.start()

        async def cog_load(self) -> None:
            await over(self.refresh)

    bot = PlainBot()
    async with exported(bot) as exporter:
        await bot.add_cog(Eager())
        assert counted(exporter, "Eager.refresh") == (1, 1)
        assert told(exporter, "Eager.refresh")["dead"] == 1


async def test_a_loop_that_begins_before_the_exporter_is_counted_from_its_next_iteration() -> None:
    bot, cog = PlainBot(), Refreshing()
    await bot.add_cog(cog)
    cog.refresh.start()
    async with exported(bot) as exporter:
        assert told(exporter, "Refreshing.refresh")["running"] == 1
        await until(lambda: (counted(exporter, "Refreshing.refresh")[0] or 0) > 2)
    cog.refresh.cancel()


class Response:
    """As much of aiohttp's as discord.HTTPException needs."""

    status, reason = 504, "Gateway Timeout"


async def test_a_loop_that_an_http_error_has_ended_is_dead_until_it_is_started_again() -> None:
    """As in discord.py #10450: one 504 ends it for good, with one line in the log."""
    bot, cog = PlainBot(), Refreshing(None, discord.HTTPException(Response(), "504"))  # type: ignore[arg-type]
    async with exported(bot) as exporter:
        await bot.add_cog(cog)
        cog.refresh.start()
        await over(cog.refresh)
        facts = told(exporter, "Refreshing.refresh")
        assert (facts["running"], facts["dead"], facts["retrying"]) == (0, 1, 0)
        assert counted(exporter, "Refreshing.refresh") == (2, 1)
        assert facts["last_success_timestamp_seconds"] is not None
        cog.refresh.start()
        facts = told(exporter, "Refreshing.refresh")
        assert (facts["running"], facts["dead"], facts["retrying"]) == (1, 0, 0)


@pytest.mark.parametrize("when", ["before_loop", "after_loop"])
async def test_a_loop_that_its_before_or_after_loop_has_ended_is_dead(when: str) -> None:
    class Failing(Refreshing):
        @tasks.loop(seconds=0.01, count=1)
        async def refresh(self) -> None: ...

        async def fail(self) -> None:
            raise LookupError(when)

        getattr(refresh, when)(fail)

    bot, cog = PlainBot(), Failing()
    async with exported(bot) as exporter:
        await bot.add_cog(cog)
        task = cog.refresh.start()
        await asyncio.wait([task])
        facts = told(exporter, "Failing.refresh")
        assert (facts["running"], facts["dead"]) == (0, 1)
        # asyncio still logs that nobody asked for the exception
        assert task._log_traceback  # type: ignore[attr-defined]
        task.exception()


async def test_a_loop_that_tries_for_ever_is_retrying_until_it_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks.ExponentialBackoff, "delay", lambda _: 0.01)
    bot, cog = PlainBot(), Refreshing(*[ConnectionResetError("by peer")] * 5)
    cog.outcomes += [None] * 10_000
    async with exported(bot) as exporter:
        await bot.add_cog(cog)
        cog.refresh.start()
        await until(lambda: counted(exporter, "Refreshing.refresh")[1] == 3)
        facts = told(exporter, "Refreshing.refresh")
        assert (facts["running"], facts["dead"], facts["retrying"]) == (1, 0, 1)
        assert facts["last_success_timestamp_seconds"] is None
        await until(lambda: (counted(exporter, "Refreshing.refresh")[0] or 0) > 5)
        facts = told(exporter, "Refreshing.refresh")
        assert (facts["running"], facts["dead"], facts["retrying"], facts["failures_total"]) == (1, 0, 0, 5)
        cog.refresh.cancel()


async def test_a_loop_that_was_retrying_and_is_started_anew_has_not_failed_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks.ExponentialBackoff, "delay", lambda _: 60)
    bot, cog = PlainBot(), Refreshing(OSError("once"))
    async with exported(bot) as exporter:
        await bot.add_cog(cog)
        cog.refresh.start()
        await until(lambda: counted(exporter, "Refreshing.refresh")[1] == 1)
        cog.refresh.cancel()
        await over(cog.refresh)
        facts = told(exporter, "Refreshing.refresh")
        assert (facts["running"], facts["dead"], facts["retrying"]) == (0, 0, 0)
        cog.refresh.start()
        assert told(exporter, "Refreshing.refresh")["retrying"] == 0


@pytest.mark.parametrize("how", ["stop", "cancel"])
async def test_a_loop_that_somebody_ends_is_not_dead_and_its_last_body_no_failure(how: str) -> None:
    waiting, bot = asyncio.Event(), PlainBot()

    class Waiting(commands.Cog):
        @tasks.loop(seconds=0.01)
        async def refresh(self) -> None:
            waiting.set()
            await asyncio.sleep(0.05)

    cog = Waiting()
    async with exported(bot) as exporter:
        await bot.add_cog(cog)
        cog.refresh.start()
        await waiting.wait()
        getattr(cog.refresh, how)()
        await over(cog.refresh)
        facts = told(exporter, "Waiting.refresh")
        assert (facts["running"], facts["dead"]) == (0, 0)
        # the body that was cancelled did not end; the one that was let end was longer than its interval
        ended = how == "stop"
        assert counted(exporter, "Waiting.refresh") == (ended, 0)
        assert overruns(exporter, "Waiting.refresh") == ended


@pytest.mark.parametrize("hours", [0, 1])
async def test_a_loop_without_a_pause_or_with_time_to_spare_overruns_nothing(hours: int) -> None:
    class Quick(commands.Cog):
        @tasks.loop(hours=hours, count=1)
        async def refresh(self) -> None:
            await asyncio.sleep(0.001)

    bot, cog = PlainBot(), Quick()
    async with exported(bot) as exporter:
        await bot.add_cog(cog)
        cog.refresh.start()
        await until(lambda: counted(exporter, "Quick.refresh") == (1, 0))
        assert overruns(exporter, "Quick.refresh") == 0
        assert told(exporter, "Quick.refresh")["interval_seconds"] == 3600 * hours
        cog.refresh.cancel()


async def test_the_body_called_by_hand_is_no_iteration() -> None:
    bot, cog = PlainBot(), Refreshing(None, KeyError("mine"))
    async with exported(bot) as exporter:
        await bot.add_cog(cog)
        await cog.refresh()
        with pytest.raises(KeyError, match="mine"):
            await cog.refresh()
        assert counted(exporter, "Refreshing.refresh") == (0, 0)
        assert told(exporter, "Refreshing.refresh")["last_success_timestamp_seconds"] is None


async def test_an_interval_that_is_changed_is_followed() -> None:
    bot, cog = PlainBot(), Refreshing()
    async with exported(bot) as exporter:
        await bot.add_cog(cog)
        cog.refresh.change_interval(hours=1, minutes=2, seconds=3)
        assert told(exporter, "Refreshing.refresh")["interval_seconds"] == 3723


async def test_the_interval_between_times_of_day_is_known_once_one_has_come() -> None:
    bot, cog = PlainBot(), Refreshing()
    async with exported(bot) as exporter:
        await bot.add_cog(cog)
        soon = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)
        cog.refresh.change_interval(time=[(soon + dt.timedelta(hours=hours)).timetz() for hours in (0, 1)])
        cog.refresh.start()
        assert told(exporter, "Refreshing.refresh")["interval_seconds"] is None
        await until(lambda: counted(exporter, "Refreshing.refresh") == (1, 0))
        assert told(exporter, "Refreshing.refresh")["interval_seconds"] == 3600
        # a time of day before a break says nothing
        cog.refresh._last_iteration -= dt.timedelta(days=2)
        assert told(exporter, "Refreshing.refresh")["interval_seconds"] is None
        cog.refresh.cancel()
        await over(cog.refresh)
        assert told(exporter, "Refreshing.refresh")["interval_seconds"] is None


async def test_a_loop_that_was_retrying_before_us_is_seen_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks.ExponentialBackoff, "delay", lambda _: 1.0)
    bot, cog = PlainBot(), Refreshing(OSError("once"))
    await bot.add_cog(cog)
    cog.refresh.start()
    await until(lambda: not cog.outcomes)
    async with exported(bot) as exporter:
        assert told(exporter, "Refreshing.refresh")["retrying"] == 1
        await until(lambda: counted(exporter, "Refreshing.refresh")[0])
        assert told(exporter, "Refreshing.refresh")["retrying"] == 0
    async with exported(bot) as exporter:
        assert told(exporter, "Refreshing.refresh")["retrying"] == 0
    cog.refresh.cancel()


async def test_one_of_two_that_is_retrying_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks.ExponentialBackoff, "delay", lambda _: 60)
    bot, well, ill = PlainBot(), Refreshing(), Refreshing(OSError("once"))
    ill.__cog_name__ = "another"
    async with exported(bot) as exporter:
        for cog in (ill, well):
            await bot.add_cog(cog)
            cog.refresh.start()
        await until(lambda: counted(exporter, "Refreshing.refresh")[1] == 1)
        facts = told(exporter, "Refreshing.refresh")
        assert (facts["running"], facts["dead"], facts["retrying"]) == (1, 0, 1)
        ill.refresh.cancel()
        well.refresh.cancel()


async def test_the_gauges_of_an_unloaded_cog_go_and_its_counters_stay() -> None:
    bot = PlainBot()
    async with exported(bot) as exporter:
        for iterations in (2, 4):
            cog = Refreshing()
            cog.refresh.count = 2
            await bot.add_cog(cog)
            cog.refresh.start()
            await over(cog.refresh)
            assert told(exporter, "Refreshing.refresh")["interval_seconds"] == 0.01
            await bot.remove_cog("Refreshing")
            facts = told(exporter, "Refreshing.refresh")
            assert (facts.pop("iterations_total"), facts.pop("failures_total")) == (iterations, 0)
            del facts["overruns_total"]
            assert set(facts.values()) == {None}


async def test_loops_of_one_name_add_up_and_show_the_worst_of_them() -> None:
    bot, well, ill = PlainBot(), Refreshing(), Refreshing(LookupError("dead"))
    ill.__cog_name__ = "another"
    async with exported(bot) as exporter:
        for cog in (well, ill):
            await bot.add_cog(cog)
        well.refresh.change_interval(seconds=0.02)
        well.refresh.start()
        await until(lambda: (counted(exporter, "Refreshing.refresh")[0] or 0) > 2)
        ill.refresh.start()
        await over(ill.refresh)
        facts = told(exporter, "Refreshing.refresh")
        assert (facts["running"], facts["dead"], facts["interval_seconds"]) == (0, 1, 0.02)
        assert facts["failures_total"] == 1
        assert (facts["iterations_total"] or 0) >= 4
        ill.refresh.count = 1
        ill.refresh.start()
        await over(ill.refresh)
        ended, before = time.time(), counted(exporter, "Refreshing.refresh")[0] or 0
        await until(lambda: time.time() > ended and (counted(exporter, "Refreshing.refresh")[0] or 0) > before + 1)
        oldest = told(exporter, "Refreshing.refresh")["last_success_timestamp_seconds"]
        assert oldest is not None
        assert oldest <= ended
        well.refresh.cancel()


async def test_loops_beyond_the_bound_share_one_series() -> None:
    async def refresh() -> None: ...

    loops = [tasks.loop(seconds=number + 1)(refresh) for number in range(103)]
    async with Exporter(**CLOSED) as exporter:
        for number, loop in enumerate(loops):
            exporter.watch(loop, f"loop {number}")
        assert told(exporter, "other")["interval_seconds"] == 103
        assert told(exporter, "loop 99")["interval_seconds"] == 100
        assert len(exporter.instruments.families["discord_task_loop_running"].cells) == 101
        overflow = value(exporter.instruments, "argus_exporter_label_overflow_total", "discord_task_loop_running")
        exporter.sample()
        assert overflow == 3
        assert overflow == value(
            exporter.instruments, "argus_exporter_label_overflow_total", "discord_task_loop_running"
        )


@pytest.mark.parametrize("started", [True, False])
async def test_a_loop_that_cannot_be_found_is_watched_without_a_bot(started: bool) -> None:
    @tasks.loop(seconds=0.01, count=2)
    async def hidden() -> None: ...

    exporter = Exporter(**CLOSED)
    if not started:
        exporter.watch(hidden)
    async with exporter:
        if started:
            exporter.watch(hidden)
        name = f"{__name__}.hidden"
        assert counted(exporter, name) == (0, 0)
        hidden.start()
        await over(hidden)
        assert counted(exporter, name) == (2, 0)
        exporter.watch(hidden, "by another name")
        facts = told(exporter, name)
        assert (facts["iterations_total"], facts["running"]) == (2, None)
        assert told(exporter, "by another name")["running"] == 0


async def test_what_an_iteration_raises_is_in_the_error_log(tmp_path: Path) -> None:
    cog = Refreshing(None, LookupError("no such row"))
    async with Exporter(**CLOSED, error_log=tmp_path / "log") as exporter:
        exporter.watch(cog.refresh, "rows")
        cog.refresh.start()
        await over(cog.refresh)
    (line,) = (json.loads(line) for line in (tmp_path / "log").read_text(encoding="utf-8").splitlines())
    assert (line["source"], line["loop"], line["message"]) == ("loop", "rows", "no such row")
    assert "in refresh" in line["traceback"]


async def test_what_is_no_loop_cannot_be_watched() -> None:
    async def body() -> None: ...

    with pytest.raises(TypeError, match=r"takes a loop of discord\.ext\.tasks, not function"):
        Exporter(**CLOSED).watch(body)


async def test_a_loop_is_watched_by_way_of_the_cog() -> None:
    @tasks.loop(seconds=5)
    async def hidden() -> None: ...

    cog = ArgusExporter(PlainBot(), **CLOSED)
    cog.watch(hidden, "mine")
    await cog.exporter.start()
    assert told(cog.exporter, "mine")["interval_seconds"] == 5
    await cog.exporter.close()


async def test_without_the_collector_nothing_is_touched() -> None:
    @tasks.loop(seconds=5)
    async def hidden() -> None: ...

    body = hidden.coro
    async with Exporter(**CLOSED, disable="tasks") as exporter:
        exporter.watch(hidden)
        exporter.sample()
        assert hidden.coro is body
        assert not [name for name in exporter.instruments.families if name.startswith(PREFIX)]


async def test_a_loop_whose_body_cannot_be_seen_is_followed_from_outside() -> None:
    class Closed(tasks.Loop[Any]):
        closed = False

        def __setattr__(self, name: str, value: object) -> None:
            if self.closed and name == "coro":
                raise AttributeError(name)
            super().__setattr__(name, value)

    async def body() -> None:
        raise LookupError

    closed = Closed(body, 5, 0, 0, discord.utils.MISSING, None, reconnect=True, name=None)
    closed.closed = True
    async with Exporter(**CLOSED) as exporter:
        exporter.watch(closed, "closed")
        closed.start()
        await over(closed)
        facts = told(exporter, "closed")
        assert (facts["dead"], facts["interval_seconds"], facts["iterations_total"]) == (1, 5, 0)
        assert value(exporter.instruments, "argus_exporter_collector_up", "tasks") == 0
        assert value(exporter.instruments, "argus_exporter_collector_errors_total", "tasks") == 1


async def test_a_client_that_has_no_cogs_has_loops_too() -> None:
    class Own(PlainClient):
        @tasks.loop(seconds=0.01, count=2)
        async def refresh(self) -> None: ...

    client = Own()
    async with exported(client) as exporter:
        assert told(exporter, "Own.refresh")["running"] == 0
        client.refresh.start()
        exporter.sample()
        await over(client.refresh)
        assert counted(exporter, "Own.refresh") == (2, 0)
        assert value(exporter.instruments, "argus_exporter_collector_up", "tasks") == 1
