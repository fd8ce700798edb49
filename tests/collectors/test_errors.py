"""What listeners raise, how long they take, and what nothing handled: on a real client, loop, thread, interpreter."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import re
import subprocess
import sys
import threading
import typing
from typing import Any

import discord
import pytest
from discord.ext import commands
from opentelemetry.sdk.trace import TracerProvider

from argus_exporter.cog import ArgusExporter, attach
from argus_exporter.exporter import Exporter
from argus_exporter.settings import Settings
from examples.discord_simulator import Simulator
from tests.clients import PlainBot, ShardedBot, logged_in, until, value, values

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from argus_exporter.cog import ClientExporter

ERRORS, SECONDS = "discord_event_errors_total", "discord_event_listener_seconds"
UNHANDLED = "discord_unhandled_errors_total"
CLOSED = {"port": "off", "state_dir": "off"}


@contextlib.asynccontextmanager
async def running(
    client: discord.Client, guilds: int = 1, shards: int = 1, **options: Any
) -> AsyncIterator[ClientExporter]:
    async with Simulator(guilds=guilds, shards=shards) as sim:
        exporter = attach(client, Settings(**{**CLOSED, **options}))
        async with logged_in(client, sim, shards):
            yield exporter


def durations(exporter: Exporter, event: str) -> int:
    cell = exporter.instruments.families[SECONDS].cells.get((event,))
    return sum(getattr(cell, "counts", []))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# ---------------------------------------------------------------------------------------------- listeners


async def test_what_listeners_raise_is_counted_by_event_and_handled_as_ever() -> None:
    bot, handled = PlainBot(), []

    @bot.event
    async def on_poke(number: int) -> None:
        raise LookupError(number)

    @bot.event
    async def on_error(event: str, *arguments: object) -> None:
        handled.append((event, arguments, repr(sys.exc_info()[1])))

    class Shop(commands.Cog):
        @commands.Cog.listener("on_poke")
        async def of_a_cog(self, number: int) -> None:
            raise KeyError(number)

    await bot.add_cog(Shop())
    async with running(bot) as exporter:
        bot.dispatch("poke", 7)
        await until(lambda: len(handled) == 2)
        assert handled == [("on_poke", (7,), "LookupError(7)"), ("on_poke", (7,), "KeyError(7)")]
        assert value(exporter.instruments, ERRORS, "poke") == 2


async def test_bot_on_error_defined_after_loading_does_not_end_the_counting() -> None:
    bot, handled = PlainBot(), []

    @bot.listen()
    async def on_poke() -> None:
        raise LookupError

    async with running(bot) as exporter:

        @bot.event
        async def on_error(event: str, *_: object) -> None:
            handled.append(event)

        bot.dispatch("poke")
        await until(lambda: handled == ["on_poke"])
        assert value(exporter.instruments, ERRORS, "poke") == 1


async def test_we_add_no_listener_that_would_silence_the_default_error_log(caplog: pytest.LogCaptureFixture) -> None:
    bot = PlainBot()

    @bot.command()
    async def broken(ctx: commands.Context[Any]) -> None:
        raise LookupError("of the command")

    async with Simulator(guilds=1) as sim:
        attach(bot, Settings(**CLOSED))
        async with logged_in(bot, sim):
            await sim.message("!broken")
            await until(lambda: "Ignoring exception in command broken" in caplog.text)
            assert not bot.extra_events


async def test_a_listener_that_is_cancelled_has_no_error_but_a_duration() -> None:
    bot = PlainBot()

    @bot.listen()
    async def on_poke() -> None:
        raise asyncio.CancelledError

    @bot.listen()
    async def on_stroke() -> str:
        return "purr"

    async with running(bot) as exporter:
        bot.dispatch("poke")
        bot.dispatch("stroke")
        await until(lambda: durations(exporter, "poke") and durations(exporter, "stroke"))
        assert values(exporter.instruments, ERRORS) == {}


async def test_a_listener_lasts_from_its_first_step_to_its_end() -> None:
    bot, go = PlainBot(), asyncio.Event()

    @bot.listen()
    async def on_poke() -> None:
        await go.wait()

    async with running(bot) as exporter:
        bot.dispatch("poke")
        await asyncio.sleep(0.02)
        assert durations(exporter, "poke") == 0
        go.set()
        await until(lambda: durations(exporter, "poke") == 1)
        cell: Any = exporter.instruments.families[SECONDS].cells["poke",]
        assert 0.01 < cell.sum < 10
        assert value(exporter.instruments, ERRORS, "poke") == 0
        bot.dispatch("poke")
        await until(lambda: durations(exporter, "poke") == 2)
        assert cell.sum < 10


async def test_events_that_are_named_after_ids_are_other_and_their_number_is_bounded() -> None:
    bot = PlainBot()
    names = [f"kind_{number}" for number in range(120)]
    for name in ("guild_12345", *names, *names[::-1]):

        async def listener() -> None:
            raise LookupError

        bot.add_listener(listener, f"on_{name}")
    async with running(bot) as exporter:
        for name in ("guild_12345", *names):
            bot.dispatch(name)
        await until(lambda: sum(values(exporter.instruments, ERRORS).values()) == 241)
        counted = values(exporter.instruments, ERRORS)
        assert counted["other",] >= 41
        assert len(counted) == len(exporter.instruments.families[SECONDS].cells) == 101
        assert not any("guild" in event for (event,) in counted)
        assert len(exporter._view.event_listeners.durations) == 100


async def test_an_error_of_a_listener_is_in_the_error_log_with_its_event_shard_and_outcome(tmp_path: Path) -> None:
    log = tmp_path / "errors.jsonl"
    bot = ShardedBot(shard_count=2)

    @bot.listen()
    async def on_poke(where: object) -> None:
        raise commands.NotOwner("not you")

    async with running(bot, guilds=4, shards=2, error_log=log):
        guild = next(guild for guild in bot.guilds if guild.shard_id == 1)
        bot.dispatch("poke", guild)
        await until(lambda: log.exists() and lines(log))
        (line,) = lines(log)
        told = {key: line[key] for key in ("source", "event", "outcome", "shard", "error", "message")}
        assert told == {
            "source": "listener",
            "event": "poke",
            "outcome": "rejected",
            "shard": "1",
            "error": "discord.ext.commands.errors.NotOwner",
            "message": "not you",
        }
        assert "in on_poke" in line["traceback"]


async def test_a_command_s_fault_is_in_the_error_log_with_its_shard_and_trace(tmp_path: Path) -> None:
    log, provider = tmp_path / "errors.jsonl", TracerProvider()
    bot = ShardedBot(shard_count=2)

    @bot.tree.command(description="-")
    async def broken(interaction: discord.Interaction) -> None:
        with provider.get_tracer("bot").start_as_current_span("broken"):
            await interaction.response.defer()
        raise LookupError("no such item")

    async with Simulator(guilds=4, shards=2) as sim:
        exporter = attach(bot, Settings(**CLOSED, error_log=log))
        async with logged_in(bot, sim, 2):
            await sim.slash("broken", guild=next(guild.id for guild in bot.guilds if guild.shard_id == 1))
            await until(lambda: log.exists() and lines(log))
        await exporter.close()
    (line,) = lines(log)
    assert (line["source"], line["command"], line["type"], line["shard"]) == ("command", "broken", "slash", "1")
    assert re.fullmatch("[0-9a-f]{32}", line["trace_id"])
    assert line["error"] == "builtins.LookupError"


async def test_outcomes_of_listeners_follow_the_setting(tmp_path: Path) -> None:
    log, bot = tmp_path / "errors.jsonl", PlainBot()

    @bot.listen()
    async def on_poke() -> None:
        raise LookupError

    async with running(bot, error_log=log, outcomes={LookupError: "user_error"}):
        bot.dispatch("poke")
        await until(lambda: log.exists() and lines(log))
    assert [line["outcome"] for line in lines(log)] == ["user_error"]


async def test_without_run_event_the_collector_is_down_and_counts_by_on_error(monkeypatch: pytest.MonkeyPatch) -> None:
    bot, handled = PlainBot(), []
    with monkeypatch.context() as patch:
        patch.setattr(PlainBot, "_run_event", None)
        exporter = attach(bot, Settings(**CLOSED))

    @bot.listen()
    async def on_poke() -> None:
        raise LookupError

    async with Simulator(guilds=1) as sim, logged_in(bot, sim):
        bot.dispatch("poke")
        await until(lambda: value(exporter.instruments, ERRORS, "poke") == 1)

        @bot.event
        async def on_error(event: str, *_: object) -> None:
            handled.append(event)

        exporter.sample()
        assert value(exporter.instruments, "argus_exporter_collector_up", "errors") == 0
        bot.dispatch("poke")
        await until(lambda: value(exporter.instruments, ERRORS, "poke") == 2)
        assert handled == ["on_poke"]


async def test_after_unloading_nothing_of_ours_is_left() -> None:
    bot, go = PlainBot(), asyncio.Event()

    @bot.listen()
    async def on_poke() -> None:
        await go.wait()
        raise LookupError

    hooks = [sys.excepthook, threading.excepthook, asyncio.get_running_loop().get_exception_handler()]
    async with Simulator(guilds=1) as sim, logged_in(bot, sim):
        for _ in range(3):
            cog = ArgusExporter(bot, **CLOSED)
            await bot.add_cog(cog)
            bot.dispatch("poke")
            await asyncio.sleep(0)
            await bot.remove_cog("ArgusExporter")
        go.set()
        await asyncio.sleep(0.01)
        assert "_run_event" not in vars(bot)
        assert hooks == [sys.excepthook, threading.excepthook, asyncio.get_running_loop().get_exception_handler()]
        assert values(cog.exporter.instruments, ERRORS) == {}


# ---------------------------------------------------------------------------------------------- what nothing handled


@pytest.fixture
async def exporter(tmp_path: Path) -> AsyncIterator[Exporter]:
    async with Exporter(**CLOSED, error_log=tmp_path / "errors.jsonl") as made:
        yield made


async def fail() -> None:
    raise LookupError("nobody looks")


async def leave_to_itself(name: str | None = None) -> None:
    task = asyncio.create_task(fail(), name=name)
    await asyncio.wait([task])
    del task
    gc.collect()


@pytest.fixture
def told() -> list[dict[str, Any]]:
    return []


async def test_a_task_s_exception_that_nobody_takes_is_counted_and_told_as_ever(
    exporter: Exporter, caplog: pytest.LogCaptureFixture
) -> None:
    await leave_to_itself()
    assert values(exporter.instruments, UNHANDLED) == {("task",): 1}
    assert "Task exception was never retrieved" in caplog.text


async def test_what_the_loop_tells_without_an_exception_or_of_a_cancellation_is_no_error(exporter: Exporter) -> None:
    loop = asyncio.get_running_loop()
    loop.call_exception_handler({"message": "something else"})
    loop.call_exception_handler({"message": "cancelled", "exception": asyncio.CancelledError()})
    assert values(exporter.instruments, UNHANDLED) == {}
    loop.call_soon(lambda: 1 // 0)
    await asyncio.sleep(0)
    assert values(exporter.instruments, UNHANDLED) == {("task",): 1}


async def test_what_our_own_tasks_and_threads_raise_is_none_of_the_bot_s(
    monkeypatch: pytest.MonkeyPatch, told: list[Any]
) -> None:
    monkeypatch.setattr(threading, "excepthook", told.append)
    async with Exporter(**CLOSED) as exporter:
        await leave_to_itself("argus_exporter:limit")
        thread = threading.Thread(target=lambda: 1 // 0, name="argus_exporter.watchdog")
        thread.start()
        thread.join()
        exporter.sample()
        assert values(exporter.instruments, UNHANDLED) == {}
        assert value(exporter.instruments, "argus_exporter_collector_errors_total", "errors") == 2
        assert len(told) == 1


@pytest.mark.parametrize("when", ["before", "later"])
async def test_the_loop_s_handler_of_the_user_is_called_and_stays(when: str, told: list[Any]) -> None:
    loop = asyncio.get_running_loop()

    def theirs(_: object, context: dict[str, Any]) -> None:
        told.append(context["message"])

    if when == "before":
        loop.set_exception_handler(theirs)
    async with Exporter(**CLOSED) as exporter:
        if when == "later":
            loop.set_exception_handler(theirs)
            loop.call_exception_handler({"message": "0", "exception": ValueError()})
            exporter.sample()
            told.clear()
        loop.call_exception_handler({"message": "1", "exception": ValueError()})
        assert values(exporter.instruments, UNHANDLED) == {("task",): 1}
    assert loop.get_exception_handler() is theirs
    loop.call_exception_handler({"message": "2", "exception": ValueError()})
    assert told == ["1", "2"]
    loop.set_exception_handler(None)


async def test_a_handler_around_ours_is_not_taken_away_and_counts_once(exporter: Exporter, told: list[Any]) -> None:
    loop = asyncio.get_running_loop()
    ours: Any = loop.get_exception_handler()

    def theirs(of: Any, context: dict[str, Any]) -> None:
        told.append(context)
        ours(of, context)

    loop.set_exception_handler(theirs)
    for _ in range(3):
        exporter.sample()
    loop.call_exception_handler({"message": "1", "exception": ValueError()})
    assert values(exporter.instruments, UNHANDLED) == {("task",): 1}
    await exporter.close()
    assert loop.get_exception_handler() is theirs
    loop.call_exception_handler({"message": "2", "exception": ValueError()})
    assert len(told) == 2
    assert values(exporter.instruments, UNHANDLED) == {("task",): 1}
    loop.set_exception_handler(None)


async def test_threads_lose_nothing_and_their_hook_is_called(
    monkeypatch: pytest.MonkeyPatch, told: list[Any], tmp_path: Path
) -> None:
    monkeypatch.setattr(threading, "excepthook", told.append)
    async with Exporter(**CLOSED) as exporter:
        threads = [threading.Thread(target=lambda: 1 // 0) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        leaving = threading.Thread(target=sys.exit)
        leaving.start()
        leaving.join()
        exporter.sample()
        assert values(exporter.instruments, UNHANDLED) == {("thread",): 50}
        assert len(told) == 51
        assert told[0].exc_type is ZeroDivisionError
    assert threading.excepthook == told.append


async def test_the_interpreter_s_hook_counts_and_ctrl_c_is_no_error(
    monkeypatch: pytest.MonkeyPatch, told: list[Any]
) -> None:
    monkeypatch.setattr(sys, "excepthook", lambda *arguments: told.append(arguments))
    async with Exporter(**CLOSED) as exporter:
        error = LookupError()
        sys.excepthook(LookupError, error, None)
        sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
        assert values(exporter.instruments, UNHANDLED) == {("excepthook",): 1}
    assert told[0] == (LookupError, error, None)
    assert len(told) == 2


async def test_the_sources_exist_at_0_and_what_is_unhandled_is_in_the_error_log(
    exporter: Exporter, tmp_path: Path
) -> None:
    assert value(exporter.instruments, UNHANDLED, "thread") == 0
    await leave_to_itself()
    await exporter.close()
    (line,) = lines(tmp_path / "errors.jsonl")
    assert (line["source"], line["error"], line["message"]) == ("task", "builtins.LookupError", "nobody looks")


async def test_an_odd_call_of_a_hook_is_counted_as_our_own_and_called_through(
    monkeypatch: pytest.MonkeyPatch, told: list[Any]
) -> None:
    monkeypatch.setattr(threading, "excepthook", told.append)
    async with Exporter(**CLOSED) as exporter:
        threading.excepthook(typing.cast("Any", "odd"))
        assert told == ["odd"]
        assert value(exporter.instruments, "argus_exporter_collector_errors_total", "errors") == 1


DYING = """
import asyncio, sys, threading
from argus_exporter import Exporter
def serve():
    async def main():
        async with Exporter(port="off", state_dir="off", error_log=sys.argv[1]):
            ready.set()
            await asyncio.sleep(60)
    asyncio.run(main())
ready = threading.Event()
threading.Thread(target=serve, daemon=True).start()
ready.wait()
raise LookupError("the end")
"""


def test_what_ends_the_interpreter_is_written_before_it_ends(tmp_path: Path) -> None:
    log = tmp_path / "errors.jsonl"
    done = subprocess.run([sys.executable, "-c", DYING, log], capture_output=True, text=True, check=False)
    assert "LookupError: the end" in done.stderr
    (line,) = lines(log)
    assert (line["source"], line["message"]) == ("excepthook", "the end")
