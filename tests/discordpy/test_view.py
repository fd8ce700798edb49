"""What the view finds when it comes late, and that nothing it does reaches the bot."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from discord.gateway import DiscordWebSocket

from argus_exporter.cog import ClientExporter, attach
from argus_exporter.discordpy import ClientView, GatewayListener
from argus_exporter.settings import Settings
from examples.discord_simulator import Simulator
from tests.clients import (
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
from tests.collectors.test_gateway import CLOSED, watched

EVENTS, DISPATCHES = "discord_gateway_events_total", "discord_shard_dispatches_total"
SESSIONS, STATUS = "discord_shard_connections_total", "discord_shard_status"


class Turns:
    """Lets no IDENTIFY of the last shard go out before it is told to."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.waiting, self.turn = asyncio.Event(), asyncio.Event()

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        if shard_id in {None, 1}:
            self.waiting.set()
            await self.turn.wait()


class WaitingBot(Turns, PlainBot): ...


class WaitingShardedBot(Turns, ShardedBot): ...


KINDS: dict[str, tuple[type[WaitingBot | WaitingShardedBot], dict[str, Any], int]] = {
    "Bot": (WaitingBot, {}, 1),
    "AutoShardedBot": (WaitingShardedBot, {"shard_count": 2}, 2),
}


@pytest.mark.parametrize(("make", "options", "count"), KINDS.values(), ids=KINDS.keys())
async def test_a_shard_that_waits_to_identify_at_the_load_is_counted_from_its_ready_on(
    make: Any, options: Any, count: int
) -> None:
    async with Simulator(guilds=4, shards=count) as sim:
        bot = make(**options)

        async def load() -> ClientExporter:
            await bot.waiting.wait()
            await until(lambda: len(sim.sessions) == count - 1)
            exporter = attach(bot, Settings(**CLOSED))
            await until(lambda: exporter._watching)
            bot.turn.set()
            return exporter

        loading = asyncio.create_task(load())
        async with logged_in(bot, sim, count):
            exporter = await loading
            metrics, last = exporter.instruments, str(count - 1)
            await sim.burst(100)
            sent = sent_by_shard(sim)[last,]
            await until(lambda: value(metrics, DISPATCHES, last) == sent)
            exporter.sample()
            assert values(metrics, STATUS) == {(str(shard),): 3 for shard in range(count)}
            assert values(metrics, SESSIONS) == {(last, "identify"): 1}
            assert value(metrics, EVENTS, "READY") == 1
            assert values(metrics, "discord_shard_outages_total") == {}
            # when its websocket came is not known
            assert values(metrics, "discord_shard_ready_seconds") == {}
            # once found, it is not found again
            await sim.invalidate(count - 1, resumable=False)
            await until(lambda: value(metrics, SESSIONS, last, "identify") == 2)
            await until(lambda: value(metrics, DISPATCHES, last) == sent_by_shard(sim)[last,])
            assert value(metrics, EVENTS, "READY") == 2


@pytest.mark.parametrize("make", [PlainBot, lambda: ShardedBot(shard_count=1)], ids=["Bot", "AutoShardedBot"])
async def test_a_shard_that_is_about_to_resume_at_the_load_is_counted_from_its_resumed_on(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    resuming, turn, original = asyncio.Event(), asyncio.Event(), DiscordWebSocket.resume

    async def resume(ws: DiscordWebSocket) -> None:
        resuming.set()
        await turn.wait()
        await original(ws)

    monkeypatch.setattr(DiscordWebSocket, "resume", resume)
    async with Simulator(guilds=2) as sim:
        bot = make()
        async with logged_in(bot, sim):
            await sim.reconnect(0)
            await resuming.wait()
            before = all_sent(sim)
            async with watched(bot) as exporter:
                turn.set()
                await until(lambda: value(exporter.instruments, SESSIONS, "0", "resume"))
                await sim.burst(50)
                await until(lambda: counter_total(exporter.instruments, EVENTS) == all_sent(sim) - before)
                exporter.sample()
                assert value(exporter.instruments, STATUS, "0") == 3
                assert value(exporter.instruments, EVENTS, "RESUMED") == 1


async def test_a_session_that_begins_while_the_server_opens_is_found() -> None:
    async with Simulator(guilds=2) as sim:
        bot = WaitingBot()

        async def load() -> ClientExporter:
            await bot.waiting.wait()
            exporter = ClientExporter(bot, Settings(**CLOSED))
            exporter.open()
            bot.turn.set()
            await bot.wait_until_ready()
            await exporter.start()
            await exporter.watch_client()
            return exporter

        loading = asyncio.create_task(load())
        async with logged_in(bot, sim):
            exporter = await loading
            before = all_sent(sim)
            await sim.burst(50)
            await until(lambda: counter_total(exporter.instruments, EVENTS) == all_sent(sim) - before)
            exporter.sample()
            assert value(exporter.instruments, STATUS, "0") == 3
            await exporter.close()


@pytest.mark.parametrize("make", [PlainBot, lambda: ShardedBot(shard_count=1)], ids=["Bot", "AutoShardedBot"])
async def test_a_shard_that_is_down_at_the_load_is_offline_and_comes_back(make: Any) -> None:
    async with Simulator(guilds=2) as sim:
        bot = make()
        async with logged_in(bot, sim):
            incident = await sim.incident("gateway_refuses", seconds=60)
            cut_off = asyncio.create_task(bot.wait_for("disconnect"))
            await asyncio.sleep(0)
            await sim.drop_shard(0)
            await cut_off
            async with watched(bot) as exporter:
                exporter.sample()
                assert value(exporter.instruments, STATUS, "0") == 2
                await incident.stop()
                await until(lambda: counter_total(exporter.instruments, SESSIONS), 30)
                exporter.sample()
                assert value(exporter.instruments, STATUS, "0") == 3
                # it began before us: neither it nor how long it lasted is known
                assert values(exporter.instruments, "discord_shard_outages_total") == {}
                assert values(exporter.instruments, "discord_shard_downtime_seconds_total") == {}
                assert values(exporter.instruments, "discord_gateway_closes_total") == {}


async def test_how_long_a_shard_took_to_be_ready_is_absent_where_its_beginning_was_not_seen() -> None:
    async with Simulator(guilds=2) as sim:
        bot, exporters = PlainBot(), list[ClientExporter]()

        @bot.event
        async def on_connect() -> None:
            if not exporters:
                exporters.append(attach(bot, Settings(**CLOSED)))

        async with logged_in(bot, sim):
            (exporter,) = exporters
            await until(lambda: exporter._watching)
            assert values(exporter.instruments, "discord_shard_ready_seconds") == {}
            await sim.invalidate(0, resumable=False)
            await until(lambda: values(exporter.instruments, "discord_shard_ready_seconds"))


async def test_what_parking_raises_does_not_reach_the_login() -> None:
    class Odd(PlainBot):
        def wait_for(self, event: str, /, **options: Any) -> Any:
            if event == "disconnect":
                raise LookupError(event)
            return super().wait_for(event, **options)

    async with Simulator(guilds=2) as sim:
        bot = Odd()
        async with watched(bot) as exporter, logged_in(bot, sim):
            exporter.sample()
            assert value(exporter.instruments, STATUS, "0") == 3
            assert value(exporter.instruments, "argus_exporter_collector_errors_total", "gateway") == 1
            assert values(exporter.instruments, EVENTS) == sent_by_event(sim)


@pytest.mark.parametrize("without", [(), ("gateway",)], ids=["all collectors", "without the gateway's"])
async def test_only_what_a_shard_needs_takes_the_slow_way(without: tuple[str, ...]) -> None:
    async with Simulator(guilds=2) as sim:
        bot, slow = PlainBot(), list[object]()

        class Hearing(GatewayListener):
            def counted(self, event: object) -> None:
                slow.append(event)

        async with watched(bot, disable=without) as exporter:
            exporter._view.listeners.append(Hearing())
            async with logged_in(bot, sim):
                await sim.burst(50)
                await until(lambda: counter_total(exporter.instruments, DISPATCHES) == all_sent(sim))
                assert slow == ["READY"]


@pytest.mark.parametrize("at_the_disconnect", [True, False], ids=["at the disconnect", "at a sample"])
@pytest.mark.parametrize("make", [PlainBot, lambda: ShardedBot(shard_count=1)], ids=["Bot", "AutoShardedBot"])
async def test_a_close_by_discord_is_seen_where_discord_py_closes_nothing_itself(
    make: Any, at_the_disconnect: bool
) -> None:
    async with Simulator(guilds=2) as sim:
        bot = make()
        async with watched(bot) as exporter, logged_in(bot, sim):
            metrics, socket = exporter.instruments, exporter._view.open_sockets()[0].socket

            def disconnected() -> dict[tuple[str, ...], float]:
                for event, arguments in (("disconnect", ()), ("shard_disconnect", (0,)), ("shard_disconnect", (7,))):
                    bot.dispatch(event, *arguments)
                return values(metrics, "discord_gateway_closes_total")

            assert disconnected() == {}
            socket._close_code = 4009  # type: ignore[attr-defined]
            if at_the_disconnect:
                assert disconnected() == disconnected() == {("4009", "server"): 1}
            else:
                exporter.sample()
                exporter.sample()
                assert values(metrics, "discord_gateway_closes_total") == {("4009", "server"): 1}
            assert values(metrics, "discord_shard_outages_total") == {("0",): 1}
            assert counter_total(metrics, "argus_exporter_collector_errors_total") == 0


async def test_what_was_hooked_before_us_is_called() -> None:
    async with Simulator(guilds=2) as sim:
        bot, seen = PlainBot(), list[object]()
        bot._connection._update_references = seen.append  # type: ignore[method-assign]
        async with watched(bot), logged_in(bot, sim):
            assert seen == [bot.ws]
        assert bot._connection._update_references == seen.append


async def test_a_hook_that_somebody_wrapped_does_nothing_after_the_close() -> None:
    async with Simulator(guilds=2) as sim:
        bot = PlainBot()
        async with logged_in(bot, sim):
            async with watched(bot) as exporter:
                state: Any = bot._connection
                ours, seen = state._update_references, list[object]()
                state._update_references = lambda ws: (seen.append(ws), ours(ws))
            await sim.reconnect(0)
            await until(lambda: sim.sessions.get(0) and sim.sessions[0].resumes)
            assert len(seen) == 1
            assert exporter._view._sockets == {}


async def test_what_a_parked_callback_raises_is_counted_and_the_bot_does_not_notice() -> None:
    def broken() -> None:
        raise ZeroDivisionError

    async with Simulator(guilds=2) as sim:
        bot = PlainBot()
        async with watched(bot) as exporter, logged_in(bot, sim):
            exporter._view.on("message_edit_of_nobody", broken)
            for count in (1, 2):
                bot.dispatch("message_edit_of_nobody")
                assert values(exporter.instruments, "argus_exporter_collector_errors_total") == {("gateway",): count}


async def test_unloading_while_a_shard_waits_to_identify_leaves_it_to_go_on() -> None:
    async with Simulator(guilds=2) as sim:
        bot = WaitingBot()
        async with watched(bot) as exporter:

            async def unload() -> None:
                await bot.waiting.wait()
                await exporter.close()
                assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("argus_exporter")]
                bot.turn.set()

            unloading = asyncio.create_task(unload())
            async with logged_in(bot, sim):
                await unloading
                assert not {"identify", "resume", "request_chunks"} & set(vars(bot.ws))
                assert bot.ws._dispatch == bot.dispatch
                assert counter_total(exporter.instruments, EVENTS) == 0


async def test_a_websocket_that_is_left_for_another_is_closed_by_the_client_once_and_let_go() -> None:
    async with Simulator(guilds=2) as sim:
        bot = ShardedBot(shard_count=1)
        async with watched(bot) as exporter, logged_in(bot, sim):
            shard = bot.get_shard(0)
            assert shard is not None
            left = shard._parent.ws
            await shard._parent.reconnect()
            assert values(exporter.instruments, "discord_gateway_closes_total") == {("none", "client"): 1}
            assert values(exporter.instruments, "discord_shard_outages_total") == {("0",): 1}
            assert left._dispatch == bot.dispatch
            await left.close()
            assert values(exporter.instruments, "discord_gateway_closes_total") == {("none", "client"): 1}


async def test_the_heartbeats_are_kept_for_a_new_session_and_for_a_resumed_one() -> None:
    async with Simulator(guilds=2) as sim:
        bot = PlainBot()
        async with watched(bot) as exporter, logged_in(bot, sim):
            new = exporter._view._sockets[0].keep_alive
            assert new is bot.ws._keep_alive is not None
            await sim.reconnect(0)
            await until(lambda: value(exporter.instruments, SESSIONS, "0", "resume"))
            resumed = exporter._view._sockets[0].keep_alive
            assert resumed is bot.ws._keep_alive is not None
            assert resumed is not new


async def test_only_the_shard_whose_session_began_is_found_and_only_where_it_is_not_known() -> None:
    async with Simulator(guilds=2, shards=2) as sim:
        bot = ShardedBot(shard_count=2)
        async with watched(bot) as exporter, logged_in(bot, sim, 2):
            known, ready = exporter._view._sockets, value(exporter.instruments, EVENTS, "READY")
            first, second = known[0], known.pop(1)
            bot.dispatch("shard_connect", 0)
            assert known == {0: first}
            bot.dispatch("shard_connect", 1)
            assert known[1].ws is second.ws
            assert value(exporter.instruments, EVENTS, "READY") == ready + 1  # type: ignore[operator]
            known[0] = second
            bot.dispatch("shard_resumed", 0)
            assert known[0].ws is first.ws


async def test_somebody_else_who_waits_for_the_same_goes_on_waiting_after_the_close() -> None:
    async with Simulator(guilds=2) as sim:
        bot = PlainBot()
        async with logged_in(bot, sim):
            async with watched(bot):
                waiting = asyncio.create_task(bot.wait_for("disconnect", timeout=5))
                await asyncio.sleep(0)
                assert len(bot._listeners["disconnect"]) == 2
            bot.dispatch("disconnect")
            await waiting
            assert not bot._listeners


def test_shards_are_not_known_before_they_are_counted() -> None:
    view = ClientView(ShardedBot(), lambda *_: None)
    assert (view.shard_count(), list(view.shard_ids()), view.held_sockets()) == (None, [], [])


async def test_parsers_that_are_not_as_we_know_them_do_not_reach_the_bot() -> None:
    bot, caught = PlainBot(), list[str]()
    bot._connection.parsers = None  # type: ignore[assignment]
    view = ClientView(bot, lambda noun, _: caught.append(noun))
    view.open()
    assert caught == ["shards"]
    await view.close()
