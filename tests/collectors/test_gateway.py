"""Dispatches, closes and budgets, counted on real clients over a real websocket."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import typing
from typing import Any

import discord
import pytest

from argus_exporter.cog import ClientExporter, attach
from argus_exporter.collectors import GatewayCollector
from argus_exporter.discordpy import SessionStartLimit
from argus_exporter.settings import Settings
from examples.discord_simulator import Simulator
from tests.clients import (
    KINDS,
    PlainBot,
    ShardedBot,
    all_sent,
    counter_total,
    logged_in,
    sent_by_event,
    sent_by_shard,
    until,
    value,
    values,
)

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

EVENTS, DISPATCHES = "discord_gateway_events_total", "discord_shard_dispatches_total"
CLOSES = "discord_gateway_closes_total"

CLOSED = {"port": "off", "state_dir": "off"}


@contextlib.asynccontextmanager
async def watched(client: discord.Client, **options: Any) -> AsyncIterator[ClientExporter]:
    """An exporter attached before login, without a server."""
    exporter = attach(client, Settings(**{**CLOSED, **options}))
    try:
        await until(lambda: exporter._watching or client.user is None)
        yield exporter
    finally:
        await exporter.close()


@contextlib.asynccontextmanager
async def by_the_public_way(client: discord.Client, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ClientExporter]:
    """An exporter that meets a discord.py whose inside is not as we know it."""
    with monkeypatch.context() as patch:
        patch.setattr(type(client._connection), "_update_references", None)
        exporter = attach(client, Settings(**CLOSED))
    try:
        yield exporter
    finally:
        await exporter.close()


async def trouble(sim: Simulator, shard: int) -> None:
    """Everything that can happen to a session, with traffic between."""
    await sim.burst(200)
    await sim.reconnect(shard)
    await until(lambda: sim.sessions.get(shard) and sim.sessions[shard].resumes == 1)
    await sim.burst(200)
    await sim.invalidate(shard, resumable=False)
    await until(lambda: sim.sessions.get(shard) and sim.sessions[shard].identifies == 2)
    await sim.burst(200)
    await sim.close_shard(shard, code=4000)
    await until(lambda: sim.sessions.get(shard) and sim.sessions[shard].resumes == 2)
    await sim.burst(200)


@pytest.mark.parametrize("short_circuit", [True, False], ids=["skipping", "calling through"])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
async def test_every_dispatch_is_counted_exactly_by_type_and_by_shard(kind: Any, short_circuit: bool) -> None:
    async with Simulator(guilds=8, shards=kind.count, heartbeat_interval=5) as sim:
        client = kind.make()
        async with watched(client, short_circuit=short_circuit) as exporter, logged_in(client, sim, len(kind.shards)):
            await trouble(sim, kind.shards[-1])
            await until(lambda: counter_total(exporter.instruments, EVENTS) == all_sent(sim))
            exporter.sample()
            assert values(exporter.instruments, EVENTS) == sent_by_event(sim)
            assert values(exporter.instruments, DISPATCHES) == sent_by_shard(sim)
            assert counter_total(exporter.instruments, "argus_exporter_collector_errors_total") == 0


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
async def test_the_public_way_counts_the_same(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Simulator(guilds=8, shards=kind.count, heartbeat_interval=5) as sim:
        client = kind.make()
        async with by_the_public_way(client, monkeypatch) as exporter, logged_in(client, sim, len(kind.shards)):
            exporter.sample()
            assert value(exporter.instruments, "argus_exporter_collector_up", "gateway") == 0
            assert value(exporter.instruments, "argus_exporter_collector_up", "shards") == 0
            await sim.burst(300)
            await until(lambda: counter_total(exporter.instruments, EVENTS) == all_sent(sim))
            exporter.sample()
            exporter.sample()
            assert values(exporter.instruments, EVENTS) == sent_by_event(sim)
            assert values(exporter.instruments, DISPATCHES) == sent_by_shard(sim)
            assert all(value(exporter.instruments, "discord_shard_status", str(shard)) == 3 for shard in kind.shards)


async def test_dispatches_equal_the_sequence_within_each_session() -> None:
    async with Simulator(guilds=4, shards=2) as sim:
        bot = ShardedBot(shard_count=2)
        async with watched(bot) as exporter, logged_in(bot, sim, 2):
            await sim.burst(500)
            await until(lambda: counter_total(exporter.instruments, EVENTS) == all_sent(sim))
            sequences = {(str(shard_id),): session.sequence for shard_id, session in sim.sessions.items()}
            assert values(exporter.instruments, DISPATCHES) == sequences


@pytest.mark.parametrize(
    ("happening", "code", "initiator"),
    [
        (lambda sim: sim.reconnect(0), "4000", "server"),
        (lambda sim: sim.invalidate(0, resumable=True), "4000", "server"),
        (lambda sim: sim.invalidate(0, resumable=False), "1000", "server"),
        (lambda sim: sim.close_shard(0, code=4000), "4000", "server"),
        (lambda sim: sim.close_shard(0, code=1001), "1001", "server"),
        (lambda sim: sim.close_shard(0, code=4009), "4009", "server"),
        (lambda sim: sim.drop_shard(0), "1006", "server"),
    ],
    ids=["op 7", "op 9 resumable", "op 9", "4000", "1001", "4009", "dropped"],
)
@pytest.mark.parametrize("make", [PlainBot, lambda: ShardedBot(shard_count=1)], ids=["Bot", "AutoShardedBot"])
async def test_a_close_is_counted_once_with_its_code_and_initiator(
    make: Any, happening: Any, code: str, initiator: str
) -> None:
    async with Simulator(guilds=2) as sim:
        bot = make()
        async with watched(bot) as exporter, logged_in(bot, sim):
            await happening(sim)
            await until(lambda: values(exporter.instruments, CLOSES))
            await until(lambda: 0 in sim.sessions and sim.sessions[0].identifies + sim.sessions[0].resumes == 2)
            # 1001 and 4009 end the session too: Discord answers the attempt to resume it with op 9
            gone = {("1000", "server"): 1} if code in {"1001", "4009"} else {}
            assert values(exporter.instruments, CLOSES) == {(code, initiator): 1, **gone}
            assert values(exporter.instruments, "discord_shard_outages_total") == {("0",): 1}


async def test_a_missed_ack_is_a_close_by_the_client() -> None:
    async with Simulator(guilds=2, heartbeat_interval=0.1) as sim:
        bot = ShardedBot(shard_count=1, heartbeat_timeout=0.5)
        async with watched(bot) as exporter, logged_in(bot, sim):
            incident = await sim.incident("zombie_no_ack", shard=0, seconds=30)
            await until(lambda: values(exporter.instruments, CLOSES))
            await incident.stop()
            ((code, initiator),) = values(exporter.instruments, CLOSES)
            # before 2.7 discord.py leaves the websocket without a close when it is its read that times out first
            assert (code, initiator) in {("4000", "client"), ("none", "client")}
            assert counter_total(exporter.instruments, CLOSES) == 1


async def test_our_own_close_is_the_clients() -> None:
    async with Simulator(guilds=2) as sim:
        bot = ShardedBot(shard_count=1)
        async with watched(bot) as exporter:
            async with logged_in(bot, sim):
                pass
            assert values(exporter.instruments, CLOSES) == {("1000", "client"): 1}


async def test_a_shard_that_the_user_disconnects_is_closed_by_the_client() -> None:
    async with Simulator(guilds=2) as sim:
        bot = ShardedBot(shard_count=1)
        async with watched(bot) as exporter, logged_in(bot, sim):
            shard = bot.get_shard(0)
            assert shard is not None
            await shard.disconnect()
            assert values(exporter.instruments, CLOSES) == {("1000", "client"): 1}


@pytest.mark.parametrize("code", [4004, 4014])
async def test_a_fatal_close_is_told_by_the_next_process(code: int, tmp_path: Path) -> None:
    async with Simulator(guilds=2) as sim:
        bot = PlainBot()
        async with watched(bot, state_dir=tmp_path), logged_in(bot, sim) as running:
            await sim.close_shard(0, code=code)
            with pytest.raises(discord.ClientException):
                await running
        async with watched(PlainBot(), state_dir=tmp_path) as later, logged_in(later.client, sim):
            assert values(later.instruments, "discord_last_exit_info") == {("fatal_close", str(code)): 1}


async def test_raw_frames_of_debug_events_are_not_counted(caplog: pytest.LogCaptureFixture) -> None:
    async with Simulator(guilds=2) as sim:
        bot = PlainBot(enable_debug_events=True)
        seen: list[object] = []

        @bot.event
        async def on_socket_raw_receive(frame: object) -> None:
            seen.append(frame)

        async with watched(bot) as exporter, logged_in(bot, sim):
            await sim.burst(50)
            await until(lambda: counter_total(exporter.instruments, EVENTS) == all_sent(sim))
            assert values(exporter.instruments, EVENTS) == sent_by_event(sim)
            await until(lambda: len(seen) > 50)


@pytest.mark.parametrize("name", ["NOT_A_NAME_OF_2026", "x" * 5000, "ünbekannt %s {}"])
async def test_a_dispatch_of_an_unknown_name_is_other(name: Any) -> None:
    async with Simulator(guilds=2) as sim:
        bot = PlainBot()
        async with watched(bot) as exporter, logged_in(bot, sim):
            await sim.dispatch(name, {}, shard_id=0)
            await until(lambda: value(exporter.instruments, EVENTS, "other"))
            assert value(exporter.instruments, EVENTS, "other") == 1
            assert value(exporter.instruments, "argus_exporter_label_overflow_total", EVENTS) == 1
            assert counter_total(exporter.instruments, "argus_exporter_collector_errors_total") == 0


@pytest.mark.parametrize("name", [["a", "list"], {"a": 1}, 7, True])
async def test_a_name_that_is_none_does_not_raise_into_the_bot(name: Any) -> None:
    async with Simulator(guilds=2) as sim:
        bot = PlainBot()
        async with watched(bot) as exporter, logged_in(bot, sim):
            bot.ws._dispatch("socket_event_type", name)
            assert value(exporter.instruments, EVENTS, "other") == 1


class TestWhoListens:
    """The dispatch is skipped only while nobody would hear it."""

    async def hears(self, sim: Simulator, bot: Any, heard: list[str]) -> None:
        await sim.message("hi", guild=0)
        await until(lambda: "MESSAGE_CREATE" in heard)

    @pytest.mark.parametrize("short_circuit", [True, False])
    async def test_it_is_skipped_unless_that_is_turned_off(self, short_circuit: bool) -> None:
        async with Simulator(guilds=2) as sim:
            bot = PlainBot()
            async with watched(bot, short_circuit=short_circuit), logged_in(bot, sim):
                hook: Any = bot.ws._dispatch
                assert hook.__qualname__.partition(".")[0] == ("skipping" if short_circuit else "counting")

    async def test_a_listener_added_later_hears_at_once(self) -> None:
        async with Simulator(guilds=2) as sim:
            bot, heard = PlainBot(), list[str]()
            async with watched(bot), logged_in(bot, sim):

                async def listener(event: str) -> None:
                    heard.append(event)

                bot.add_listener(listener, "on_socket_event_type")
                await self.hears(sim, bot, heard)

    async def test_an_event_set_later_hears_at_once(self) -> None:
        async with Simulator(guilds=2) as sim:
            bot, heard = PlainBot(), list[str]()
            async with watched(bot), logged_in(bot, sim):

                @bot.event
                async def on_socket_event_type(event: str) -> None:
                    heard.append(event)

                await self.hears(sim, bot, heard)

    async def test_a_waiter_hears(self) -> None:
        async with Simulator(guilds=2) as sim:
            bot = PlainBot()
            async with watched(bot), logged_in(bot, sim):
                waiting = asyncio.create_task(bot.wait_for("socket_event_type", timeout=5))
                await asyncio.sleep(0)
                await sim.message("hi", guild=0)
                assert await waiting == "MESSAGE_CREATE"

    async def test_a_method_of_the_class_hears(self) -> None:
        heard: list[str] = []

        class Listening(PlainBot):
            async def on_socket_event_type(self, event: str) -> None:
                heard.append(event)

        async with Simulator(guilds=2) as sim:
            bot = Listening()
            async with watched(bot), logged_in(bot, sim):
                await self.hears(sim, bot, heard)

    async def test_dispatch_overridden_in_the_class_is_called(self) -> None:
        heard: list[str] = []

        class Dispatching(PlainBot):
            def dispatch(self, event: str, /, *args: Any, **kwargs: Any) -> None:
                heard.extend(args[:1] if event == "socket_event_type" else ())
                super().dispatch(event, *args, **kwargs)

        async with Simulator(guilds=2) as sim:
            bot = Dispatching()
            async with watched(bot), logged_in(bot, sim):
                await self.hears(sim, bot, heard)

    async def test_dispatch_replaced_on_the_instance_is_called(self) -> None:
        async with Simulator(guilds=2) as sim:
            bot, heard = PlainBot(), list[str]()
            original = bot.dispatch

            def dispatch(event: str, /, *args: Any, **kwargs: Any) -> None:
                heard.extend(args[:1] if event == "socket_event_type" else ())
                original(event, *args, **kwargs)

            bot.dispatch = dispatch  # type: ignore[method-assign]
            async with watched(bot), logged_in(bot, sim):
                await self.hears(sim, bot, heard)

    async def test_a_client_that_answers_for_any_attribute_is_called(self) -> None:
        heard: list[str] = []

        class Answering(PlainBot):
            def __getattr__(self, name: str) -> Any:
                if name != "on_socket_event_type":
                    raise AttributeError(name)

                async def listener(event: str) -> None:
                    heard.append(event)

                return listener

        async with Simulator(guilds=2) as sim:
            bot = Answering()
            async with watched(bot), logged_in(bot, sim):
                await self.hears(sim, bot, heard)

    async def test_dispatch_patched_in_discord_py_is_called(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async with Simulator(guilds=2) as sim:
            bot, heard = PlainBot(), list[str]()
            original = discord.Client.dispatch
            async with watched(bot), logged_in(bot, sim):

                def dispatch(self: Any, event: str, /, *args: Any, **kwargs: Any) -> None:
                    heard.extend(args[:1] if event == "socket_event_type" else ())
                    original(self, event, *args, **kwargs)

                monkeypatch.setattr(discord.Client, "dispatch", dispatch)
                await self.hears(sim, bot, heard)

    async def test_the_debug_log_still_has_every_dispatch(self, caplog: pytest.LogCaptureFixture) -> None:
        async with Simulator(guilds=2) as sim:
            bot = PlainBot()
            async with watched(bot), logged_in(bot, sim):
                with caplog.at_level(logging.DEBUG, "discord.client"):
                    await sim.message("hi", guild=0)
                    await until(lambda: "Dispatching event socket_event_type" in caplog.messages)

    async def test_nobody_listens_and_nothing_is_dispatched(self, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[str] = []
        original = discord.Client.dispatch

        async with Simulator(guilds=2) as sim:
            bot = PlainBot()
            async with watched(bot), logged_in(bot, sim):
                bot.ws._dispatch.__closure__  # noqa: B018 - it is ours
                hook: Any = bot.ws._dispatch
                cells = dict(zip(hook.__code__.co_freevars, hook.__closure__, strict=True))
                cells["call"].cell_contents = lambda name, *_: calls.append(name)
                await sim.message("hi", guild=0)
                await sim.flush()
                await asyncio.sleep(0.05)
                assert calls == []
                assert discord.Client.dispatch is original


async def test_the_session_start_limit_is_asked_for_and_counted_down() -> None:
    async with Simulator(guilds=2, session_start_limit=500, max_concurrency=16) as sim:
        bot = ShardedBot(shard_count=1)
        async with watched(bot) as exporter, logged_in(bot, sim):
            await until(lambda: value(exporter.instruments, "discord_session_start_limit_remaining") is not None)
            assert value(exporter.instruments, "discord_session_start_limit") == 500
            assert value(exporter.instruments, "discord_session_start_limit_remaining") == 499
            assert value(exporter.instruments, "discord_session_start_limit_max_concurrency") == 16
            reset = value(exporter.instruments, "discord_session_start_limit_reset_timestamp_seconds")
            assert reset is not None
            assert 0 < reset - time.time() <= 86400
            await sim.invalidate(0, resumable=False)
            await until(lambda: value(exporter.instruments, "discord_session_start_limit_remaining") == 498)
            await exporter.close()
            assert not [task for task in asyncio.all_tasks() if task.get_name() == "argus_exporter:limit"]


@pytest.mark.parametrize("late", [1, 9])
async def test_an_answer_that_an_identify_has_overtaken_is_asked_for_again(late: int) -> None:
    async with Simulator(guilds=2, session_start_limit=500) as sim:
        bot = ShardedBot(shard_count=1)
        async with watched(bot) as exporter:
            ask, asked = exporter._view.session_start_limit, 0

            async def answer() -> SessionStartLimit:
                nonlocal asked
                asked += 1
                if asked <= late:  # told before the IDENTIFY, heard after it
                    exporter._view.tell(lambda listener: listener.identified(0, 0.0))
                    return SessionStartLimit(500, 500, 1.0, 1)
                return await ask()

            exporter._view.session_start_limit = answer  # type: ignore[method-assign]
            async with logged_in(bot, sim):
                await until(lambda: value(exporter.instruments, "discord_session_start_limit_remaining") is not None)
                # the bot's own IDENTIFY may have overtaken one more
                assert min(late + 1, 5) <= asked <= min(late + 2, 5)
                if late == 1:
                    remaining = value(exporter.instruments, "discord_session_start_limit_remaining")
                    assert remaining == sim.gateway.budget.remaining


async def test_an_answer_that_does_not_come_is_said_once_and_asked_for_again(caplog: pytest.LogCaptureFixture) -> None:
    exporter = ClientExporter(PlainBot(), Settings(**CLOSED))
    answers: list[SessionStartLimit | Exception] = [OSError("one"), OSError("two"), SessionStartLimit(9, 8, 7.0, 1)]
    answers += [OSError("three"), OSError("four")]
    asked: list[int] = []

    async def answer() -> SessionStartLimit:
        asked.append(len(caplog.messages))
        given = answers.pop(0) if answers else OSError("five")
        if isinstance(given, Exception):
            raise given
        return given

    exporter._view.session_start_limit = answer  # type: ignore[method-assign]
    (gateway,) = [each for each in exporter._watchers if isinstance(each, GatewayCollector)]
    polling = asyncio.create_task(gateway._poll(0.01))
    await until(lambda: len(asked) == 6)
    polling.cancel()
    await asyncio.gather(polling, return_exceptions=True)
    assert asked == [0, 1, 1, 1, 2, 2]
    assert value(exporter.instruments, "discord_session_start_limit") == 9


async def test_who_it_is_is_not_said_before_the_login() -> None:
    exporter = ClientExporter(PlainBot(), Settings(**CLOSED))
    (gateway,) = [each for each in exporter._watchers if isinstance(each, GatewayCollector)]
    gateway.sample()
    assert values(exporter.instruments, "discord_bot_info") == {}


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


async def test_a_bot_that_ended_in_order_is_told_so_by_the_next_process(tmp_path: Path) -> None:
    async with Simulator(guilds=2) as sim:
        for told in ({}, {("closed", "none"): 1}):
            bot = ShardedBot()
            async with watched(bot, state_dir=tmp_path) as exporter, logged_in(bot, sim):
                exporter.sample()
                assert values(exporter.instruments, "discord_last_exit_info") == told
                assert bot.user is not None
                assert names(tmp_path) == [f"last-exit-{bot.user.id}-shard0.json"]


async def test_the_session_start_limit_is_never_asked_for_when_off() -> None:
    async with Simulator(guilds=2) as sim:
        bot = PlainBot()
        async with watched(bot, session_limit_interval="off") as exporter, logged_in(bot, sim):
            await asyncio.sleep(0.1)
            assert value(exporter.instruments, "discord_session_start_limit") is None
            assert not [request for request in sim.requests if request.path.endswith("/gateway/bot")]
        assert counter_total(exporter.instruments, "argus_exporter_collector_errors_total") == 0


async def test_members_asked_for_are_counted() -> None:
    async with Simulator(guilds=2, members=5) as sim:
        bot = PlainBot(chunk_guilds_at_startup=False)
        async with watched(bot) as exporter, logged_in(bot, sim):
            await bot.guilds[0].chunk()
            assert value(exporter.instruments, "discord_member_chunk_requests_total") == 1


async def test_a_rate_limited_dispatch_is_counted() -> None:
    async with Simulator(guilds=2) as sim:
        bot = PlainBot()
        async with watched(bot) as exporter, logged_in(bot, sim):
            await sim.dispatch("RATE_LIMITED", {"opcode": 8, "retry_after": 3.0, "meta": {}}, shard_id=0)
            await until(lambda: value(exporter.instruments, "discord_gateway_rate_limited_total"))
            assert value(exporter.instruments, "discord_gateway_rate_limited_total") == 1
            assert value(exporter.instruments, EVENTS, "RATE_LIMITED") == 1


async def test_the_bot_says_who_it_is() -> None:
    async with Simulator(guilds=2) as sim:
        bot = PlainBot()
        async with watched(bot) as exporter, logged_in(bot, sim):
            exporter.sample()
            exporter.sample()
            ((labels, one),) = values(exporter.instruments, "discord_bot_info").items()
            assert one == 1
            assert bot.user is not None
            assert labels[:2] == (bot.user.name, discord.__version__)
            # a second series would take the first one's place in no join
            bot.user.name = "renamed"
            exporter.sample()
            assert list(values(exporter.instruments, "discord_bot_info")) == [labels]
            assert counter_total(exporter.instruments, "argus_exporter_label_overflow_total") == 0
