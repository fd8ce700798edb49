"""The extension's life on real clients: load, unload, reload, attach, at any time and under traffic."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import socket
import sys
import threading
import typing
import warnings
from typing import Any

import aiohttp
import discord
import psutil
import pytest
from discord.ext import commands
from prometheus_client import CollectorRegistry

import argus_exporter
from argus_exporter import catalogue
from examples.discord_simulator import Simulator, point_at
from tests.clients import (
    KINDS,
    PlainBot,
    PlainClient,
    ShardedBot,
    ShardedClient,
    all_sent,
    counter_total,
    logged_in,
    sent_by_event,
    until,
    value,
    values,
)

if typing.TYPE_CHECKING:
    from pathlib import Path

EVENTS = "discord_gateway_events_total"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ARGUS_PORT", "0")
    monkeypatch.setenv("ARGUS_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("ARGUS_SESSION_LIMIT_INTERVAL", "off")


@pytest.fixture(autouse=True)
def modules() -> typing.Iterator[None]:
    """Reloading an extension imports its modules anew: later tests get back those that they have imported."""
    before = {name: module for name, module in sys.modules.items() if name.startswith("argus_exporter")}
    yield
    sys.modules.update(before)


async def scrape(port: int | None, path: str = "/metrics") -> str:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        assert response.status == 200
        return await response.text()


def exporter_of(bot: Any) -> Any:
    cog = bot.get_cog("ArgusExporter")
    assert cog is not None
    return cog.exporter


async def test_load_extension_from_setup_hook_serves_before_the_bot_is_ready() -> None:
    pages: list[str] = []

    class Loading(ShardedBot):
        async def setup_hook(self) -> None:
            await self.load_extension("argus_exporter")
            pages.append(await scrape(exporter_of(self).port))
            assert not self.is_ready()

    async with Simulator(guilds=4, shards=2) as sim:
        bot = Loading(shard_count=2)
        async with logged_in(bot, sim, 2):
            page = await scrape(exporter_of(bot).port)
            assert 'discord_shard_status{shard="1"} 0' in pages[0]
            assert 'discord_shard_status{shard="1"} 3' in page
            assert 'argus_exporter_collector_up{collector="gateway"} 1' in page
            assert bot.get_cog("ArgusExporter").settings.port == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("entered", [False, True], ids=["load, start", "async with bot: load, start"])
async def test_load_extension_before_login_serves_at_once_and_watches_from_the_login_on(
    entered: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ARGUS_SESSION_LIMIT_INTERVAL", "300")
    async with Simulator(guilds=2) as sim, contextlib.AsyncExitStack() as stack:
        bot = PlainBot()
        if entered:
            await stack.enter_async_context(bot)
        await bot.load_extension("argus_exporter")
        exporter = exporter_of(bot)
        assert "argus_exporter_info" in await scrape(exporter.port)
        async with logged_in(bot, sim):
            assert 'discord_shard_status{shard="0"} 3' in await scrape(exporter.port)
            assert values(exporter.instruments, EVENTS) == sent_by_event(sim)
            assert values(exporter.instruments, "discord_shard_ready_seconds")
            await until(lambda: value(exporter.instruments, "discord_session_start_limit"))
        assert not [record for record in caplog.records if record.name.startswith("argus_exporter")]
        assert "login" not in vars(bot)


async def test_unloading_before_login_leaves_the_login_as_it_was() -> None:
    bot = PlainBot()
    before = sorted(vars(bot)), sorted(vars(bot._connection))
    await bot.load_extension("argus_exporter")
    assert "login" in vars(bot)
    await bot.unload_extension("argus_exporter")
    assert (sorted(vars(bot)), sorted(vars(bot._connection))) == before


async def test_load_extension_while_connected_and_under_traffic_counts_from_then_on() -> None:
    async with Simulator(guilds=4, shards=2) as sim:
        bot = ShardedBot(shard_count=2)
        async with logged_in(bot, sim, 2), sim.traffic(rate=500) as traffic:
            await until(lambda: traffic.sent.total() > 50)
            await bot.load_extension("argus_exporter")
            exporter = exporter_of(bot)
            await until(lambda: counter_total(exporter.instruments, EVENTS) > 200)
            assert counter_total(exporter.instruments, EVENTS) < all_sent(sim)
            assert counter_total(exporter.instruments, "argus_exporter_collector_errors_total") == 0


async def test_reload_under_traffic_starts_the_counters_again_on_a_server_that_answers() -> None:
    async with Simulator(guilds=4, shards=2) as sim:
        bot = ShardedBot(shard_count=2)
        async with logged_in(bot, sim, 2), sim.traffic(rate=500):
            await bot.load_extension("argus_exporter")
            before = exporter_of(bot)
            await sim.event("WEBHOOKS_UPDATE", guild=0)  # of which the traffic has none
            await until(lambda: value(before.instruments, EVENTS, "WEBHOOKS_UPDATE") == 1)
            await until(lambda: counter_total(before.instruments, EVENTS) > 100)
            await bot.reload_extension("argus_exporter")
            after = exporter_of(bot)
            at_unload = counter_total(before.instruments, EVENTS)
            assert after is not before
            assert not value(after.instruments, EVENTS, "WEBHOOKS_UPDATE")
            await until(lambda: counter_total(after.instruments, EVENTS) > 100)
            assert counter_total(before.instruments, EVENTS) == at_unload
            assert "discord_gateway_events_total" in await scrape(after.port)
            assert before.port is None


async def test_the_cog_can_be_added_removed_and_added_again() -> None:
    async with Simulator(guilds=2) as sim:
        bot = PlainBot()
        async with logged_in(bot, sim):
            for _ in range(3):
                await bot.add_cog(
                    argus_exporter.ArgusExporter(bot, settings=argus_exporter.Settings.load(cluster="east"))
                )
                await sim.message("hi", guild=0)
                await until(lambda: value(exporter_of(bot).instruments, EVENTS, "MESSAGE_CREATE") == 1)
                assert 'discord_shards{cluster="east"} 1' in await scrape(exporter_of(bot).port)
                assert await bot.remove_cog("ArgusExporter") is not None


async def test_a_wrong_setting_fails_the_load_with_one_line_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARGUS_PORT", "ninety")
    async with Simulator(guilds=2) as sim:
        bot = PlainBot()
        async with logged_in(bot, sim):
            with pytest.raises(commands.ExtensionFailed) as failure:
                await bot.load_extension("argus_exporter")
            message = str(failure.value.original)
            assert "\n" not in message
            assert "ARGUS_PORT" in message
            assert "'ninety'" in message
            assert "65535" in message
            assert bot.get_cog("ArgusExporter") is None
            assert not hasattr(bot._connection._update_references, "argus_exporter")
            monkeypatch.setenv("ARGUS_PORT", "0")
            await bot.load_extension("argus_exporter")


async def test_a_port_in_use_is_said_once_and_bound_when_it_comes_free(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("ARGUS_PORT", str(port))
        async with Simulator(guilds=2) as sim:
            bot = PlainBot()
            async with logged_in(bot, sim):
                await bot.load_extension("argus_exporter")
                assert exporter_of(bot).port is None
                await asyncio.sleep(2.5)
                said = [record for record in caplog.records if str(port) in record.getMessage()]
                assert len(said) == 1
                taken.close()
                await until(lambda: exporter_of(bot).port == port)
                assert "discord_shards 1" in await scrape(port)


async def test_two_exporters_on_one_client_are_refused() -> None:
    async with Simulator(guilds=2) as sim:
        bot = PlainBot()
        async with logged_in(bot, sim):
            await bot.load_extension("argus_exporter")
            with pytest.raises(RuntimeError, match="attached to this client already"):
                argus_exporter.attach(bot)
            await sim.message("hi", guild=0)
            await until(lambda: value(exporter_of(bot).instruments, EVENTS, "MESSAGE_CREATE") == 1)


async def test_what_a_bot_has_imported_before_a_reload_goes_on_to_make_whole_exporters(tmp_path: Path) -> None:
    async with Simulator(guilds=2) as sim:
        bot = PlainBot()
        async with logged_in(bot, sim):
            await bot.load_extension("argus_exporter")
            await bot.unload_extension("argus_exporter")
            assert "argus_exporter.catalogue" not in sys.modules
            options = {"statsd_url": "udp://127.0.0.1:9", "statsd_interval": 0.1, "file_sd_dir": str(tmp_path)}
            await bot.add_cog(argus_exporter.ArgusExporter(bot, **options))
            exporter, registry = exporter_of(bot), CollectorRegistry()
            registry.register(exporter.collector)
            assert sys.modules["argus_exporter.catalogue"] is not catalogue
            await until(lambda: values(exporter.instruments, "argus_exporter_statsd_datagrams_total"))
            page = await scrape(exporter.port)
            assert "\ndiscord_shards 1\n" in page
            assert '\ndiscord_event_loop_lag_seconds_bucket{le="+Inf"} ' in page
            assert registry.get_sample_value("discord_event_loop_lag_seconds_count") is not None
            assert registry.get_sample_value("discord_shards") == 1
            assert values(exporter.instruments, "argus_exporter_collector_errors_total") == {}
            assert value(exporter.instruments, "argus_exporter_file_sd_last_refresh_timestamp_seconds") is not None


async def test_a_bot_that_takes_only_cogs_of_its_own_kind_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Cog(commands.Cog):
        def __init__(self) -> None:
            self.made = True

    class Red(PlainBot):
        async def add_cog(self, cog: commands.Cog, **options: Any) -> None:
            assert isinstance(cog, Cog)
            await super().add_cog(cog, **options)

    monkeypatch.setitem(sys.modules, "redbot.core.commands", typing.cast("Any", argparse.Namespace(Cog=Cog)))
    plain = PlainBot()
    await plain.load_extension("argus_exporter")
    assert not isinstance(plain.get_cog("ArgusExporter"), Cog)
    await plain.unload_extension("argus_exporter")
    monkeypatch.setattr(Red, "__module__", "redbot.core.bot")
    async with Simulator(guilds=2) as sim:
        bot = Red()
        async with logged_in(bot, sim):
            await bot.load_extension("argus_exporter")
            cog: Any = bot.get_cog("ArgusExporter")
            assert cog.made
            assert type(cog).__module__ == "argus_exporter.cog"
            assert "discord_shards 1" in await scrape(cog.port)
            await bot.unload_extension("argus_exporter")
            assert bot.get_cog("ArgusExporter") is None


def belongings(bot: discord.Client) -> dict[str, Any]:
    """What a load could leave behind."""
    loop = asyncio.get_running_loop()
    state: Any = bot._connection
    sockets: list[Any] = [bot.ws] if bot.ws is not None else [shard._parent.ws for shard in bot.shards.values()]  # type: ignore[attr-defined]
    return {
        "tasks": len(asyncio.all_tasks()),
        "threads": threading.active_count(),
        "connections": len(psutil.Process().net_connections()),
        "timers": len([each for each in loop._scheduled if not each.cancelled() and "argus_exporter" in repr(each)]),  # type: ignore[attr-defined]
        "root handlers": list(logging.root.handlers),
        "our handlers": list(logging.getLogger("argus_exporter").handlers),
        "client": sorted(vars(bot)),
        "state": sorted(vars(state)),
        "parsers": dict(state.parsers),
        "waiters": {name: len(waiters) for name, waiters in bot._listeners.items()},
        "listeners": {name: len(listeners) for name, listeners in getattr(bot, "extra_events", {}).items()},
        "sockets": [sorted(vars(ws)) for ws in sockets],
        "dispatches": [ws._dispatch for ws in sockets],
        "closes": [ws.socket.close for ws in sockets],
        "excepthooks": (sys.excepthook, threading.excepthook, loop.get_exception_handler()),
    }


async def rested(bot: discord.Client, before: dict[str, Any] | None = None) -> dict[str, Any]:
    """What is there once what was closed has gone, which takes the loop and the operating system a moment.

    That is when it is as it was before; or, where nothing is given, when two looks see the same.
    """
    gc.collect()
    last = None
    for _ in range(500):
        after = belongings(bot)
        if after == (last if before is None else before):
            break
        last = after
        await asyncio.sleep(0.01)
    return after


async def test_unloading_leaves_nothing_behind() -> None:
    async with Simulator(guilds=4, shards=2) as sim:
        bot = ShardedBot(shard_count=2)
        async with logged_in(bot, sim, 2):
            await bot.load_extension("argus_exporter")
            await bot.unload_extension("argus_exporter")
            before = await rested(bot)
            await bot.load_extension("argus_exporter")
            await scrape(exporter_of(bot).port)
            assert belongings(bot) != before
            await bot.unload_extension("argus_exporter")
            assert await rested(bot, before) == before
            await sim.reconnect(0)
            await until(lambda: 0 in sim.sessions and sim.sessions[0].resumes)


@pytest.mark.timeout(300)
async def test_a_thousand_loads_and_unloads_under_traffic_leave_everything_as_it_was() -> None:
    async with Simulator(guilds=2, shards=2) as sim:
        bot, heard = ShardedBot(shard_count=2), list[str]()
        async with logged_in(bot, sim, 2):
            await sim.flush()
            bot.add_listener(heard_by(heard), "on_socket_event_type")
            await bot.add_cog(argus_exporter.ArgusExporter(bot))
            await bot.remove_cog("ArgusExporter")
            before, sent = await rested(bot), all_sent(sim)
            async with sim.traffic(rate=100):
                for _ in range(1000):
                    await bot.add_cog(argus_exporter.ArgusExporter(bot))
                    await bot.remove_cog("ArgusExporter")
            await until(lambda: len(heard) == all_sent(sim) - sent)
            assert len(heard) > 100
            assert await rested(bot, before) == before


def heard_by(heard: list[str]) -> typing.Callable[[str], typing.Coroutine[Any, Any, None]]:
    async def on_socket_event_type(name: str) -> None:
        heard.append(name)

    return on_socket_event_type


async def test_reloading_the_modules_many_times_leaves_everything_as_it_was() -> None:
    async with Simulator(guilds=2) as sim:
        bot = PlainBot()
        async with logged_in(bot, sim):
            await bot.load_extension("argus_exporter")
            before = await rested(bot)
            keep = {
                "tasks",
                "threads",
                "connections",
                "timers",
                "root handlers",
                "client",
                "state",
                "waiters",
                "listeners",
            }
            for _ in range(20):
                await bot.reload_extension("argus_exporter")
            after = await rested(bot, before)
            assert {name: after[name] for name in keep} == {name: before[name] for name in keep}
            await bot.unload_extension("argus_exporter")


async def test_unloading_gives_back_only_what_is_ours() -> None:
    async with Simulator(guilds=2) as sim:
        bot = PlainBot()
        async with logged_in(bot, sim):
            await bot.load_extension("argus_exporter")
            ours = bot.ws._dispatch
            seen: list[str] = []

            def theirs(name: str, event: Any) -> None:
                seen.append(event)
                ours(name, event)

            bot.ws._dispatch = theirs
            parser = bot._connection.parsers["GUILD_CREATE"]
            bot._connection.parsers["GUILD_CREATE"] = lambda *data: parser(*data)  # noqa: PLW0108
            exporter = exporter_of(bot)
            await bot.unload_extension("argus_exporter")
            await sim.message("hi", guild=0)
            await until(lambda: "MESSAGE_CREATE" in seen)
            assert bot.ws._dispatch is theirs
            total = dict(exporter._view.guilds.total)
            await sim.event("GUILD_CREATE", guild=0)
            await sim.flush()
            assert exporter._view.guilds.total == total


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
async def test_attach_before_run_counts_everything_and_closes_with_the_client(kind: Any) -> None:
    async with Simulator(guilds=16, shards=kind.count) as sim:
        client = kind.make()
        before = sorted(vars(client)), sorted(vars(client._connection))
        exporter = argus_exporter.attach(client)
        assert exporter.port is None
        async with logged_in(client, sim, len(kind.shards)):
            await sim.burst(100)
            await until(lambda: counter_total(exporter.instruments, EVENTS) == all_sent(sim))
            page = await scrape(exporter.port)
            assert f"discord_shards {kind.count}" in page
            assert f'discord_shard_status{{shard="{kind.shards[0]}"}} 3' in page
        assert exporter.port is None
        added = (set(vars(client)) - set(before[0]), set(vars(client._connection)) - set(before[1]))
        assert "login" not in added[0]
        assert "close" not in added[0]
        assert "_update_references" not in added[1]


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_close_right_after_attaching_closes_what_was_opening(cancelled: bool) -> None:
    async with Simulator(guilds=2) as sim:
        client = PlainClient()
        async with logged_in(client, sim):
            before = await rested(client)
            exporter: Any = argus_exporter.attach(client)
            if cancelled:
                exporter._starting.cancel()
            await exporter.close()
            assert exporter.port is None
            assert await rested(client, before) == before


async def test_watching_twice_is_once_and_after_a_close_it_can_begin_again() -> None:
    async with Simulator(guilds=2) as sim:
        client = PlainClient()
        async with logged_in(client, sim):
            exporter = argus_exporter.ClientExporter(client)
            await exporter.watch_client()
            assert not client._listeners
            for count in (1, 2):
                exporter.open()
                await exporter.start()
                await exporter.watch_client()
                parked = {name: len(waiters) for name, waiters in client._listeners.items()}
                await exporter.watch_client()
                assert {name: len(waiters) for name, waiters in client._listeners.items()} == parked
                await sim.message("hi", guild=0)
                await until(lambda count=count: value(exporter.instruments, EVENTS, "MESSAGE_CREATE") == count)
                assert 'discord_shard_status{shard="0"} 3' in await scrape(exporter.port)
                await exporter.close()
                assert not client._listeners


async def test_watching_before_login_twice_follows_the_login_once() -> None:
    async with Simulator(guilds=2) as sim:
        client = PlainClient()
        exporter = argus_exporter.attach(client)
        followed = client.login
        await exporter.start()
        await exporter.watch_client()
        assert client.login is followed
        async with logged_in(client, sim):
            assert 'discord_shard_status{shard="0"} 3' in await scrape(exporter.port)


async def test_a_login_that_somebody_wrapped_opens_nothing_after_the_close() -> None:
    async with Simulator(guilds=2) as sim:
        client = PlainClient()
        exporter = argus_exporter.attach(client)
        ours = client.login
        client.login = lambda token: ours(token)  # type: ignore[method-assign]  # noqa: PLW0108
        await exporter.close()
        async with logged_in(client, sim):
            assert exporter.port is None
            assert not client._listeners


async def test_a_load_that_is_cancelled_leaves_nothing() -> None:
    async with Simulator(guilds=2) as sim:
        bot = PlainBot()
        async with logged_in(bot, sim):
            before = await rested(bot)
            cog = argus_exporter.ArgusExporter(bot)
            stuck = asyncio.Event()
            cog.exporter._site.start = stuck.wait  # type: ignore[assignment]
            loading = asyncio.create_task(bot.add_cog(cog))
            await until(lambda: cog.exporter._stack)
            loading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await loading
            assert await rested(bot, before) == before


async def test_attach_after_login_opens_in_the_background() -> None:
    async with Simulator(guilds=4, shards=2) as sim:
        client = ShardedClient(shard_count=2)
        async with logged_in(client, sim, 2):
            exporter = argus_exporter.attach(client)
            await until(lambda: exporter.port)
            await sim.message("hi", guild=0)
            await until(lambda: value(exporter.instruments, EVENTS, "MESSAGE_CREATE") == 1)
            assert values(exporter.instruments, "discord_shard_dispatches_total")
            await exporter.close()
            assert exporter.port is None
            await exporter.close()


async def test_setup_hook_defined_after_attaching_does_not_end_the_server() -> None:
    async with Simulator(guilds=2) as sim:
        client = PlainClient()
        exporter = argus_exporter.attach(client)
        ran: list[bool] = []

        @client.event
        async def setup_hook() -> None:
            ran.append(exporter.port is not None)

        async with logged_in(client, sim):
            assert ran == [True]
            assert "discord_shards 1" in await scrape(exporter.port)


async def test_attach_to_a_closed_client_is_refused() -> None:
    async with Simulator(guilds=2) as sim:
        client = PlainClient()
        async with logged_in(client, sim):
            pass
        with pytest.raises(RuntimeError, match="closed"):
            argus_exporter.attach(client)


async def test_attach_on_another_thread_is_refused_and_leaves_nothing() -> None:
    async with Simulator(guilds=2) as sim:
        client = PlainClient()
        async with logged_in(client, sim):
            before = sorted(vars(client)), sorted(vars(client._connection))
            with pytest.raises(RuntimeError, match="no running event loop"):
                await asyncio.to_thread(argus_exporter.attach, client)
            assert (sorted(vars(client)), sorted(vars(client._connection))) == before


async def test_a_login_that_fails_fails_as_ever_and_leaves_nothing() -> None:
    async with Simulator(guilds=2) as sim:
        client = PlainClient()
        exporter = argus_exporter.attach(client)
        with point_at(sim.url), pytest.raises(discord.LoginFailure):
            async with client:
                await client.start("a wrong token")
        assert exporter.port is None


async def test_the_bot_goes_on_when_a_collector_cannot_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise OSError("no such thing")

    async with Simulator(guilds=2) as sim:
        bot = PlainBot()
        async with logged_in(bot, sim):
            cog = argus_exporter.ArgusExporter(bot)
            (process,) = [collector for collector in cog.exporter._collectors if collector.noun == "process"]
            monkeypatch.setattr(process, "start", broken)
            await bot.add_cog(cog)
            page = await scrape(cog.port)
            assert 'argus_exporter_collector_up{collector="process"} 0' in page
            assert 'argus_exporter_collector_up{collector="gateway"} 1' in page
            assert 'argus_exporter_collector_errors_total{collector="process"} 1' in page
            assert len([record for record in caplog.records if record.exc_info and "process" in record.message]) == 1


async def test_a_listener_that_fails_is_counted_and_the_others_hear() -> None:
    async with Simulator(guilds=2) as sim:
        bot = PlainBot()
        cog = argus_exporter.ArgusExporter(bot)
        view = cog.exporter._view

        class Broken:
            def __getattr__(self, name: str) -> Any:
                raise ZeroDivisionError(name)

        view.listeners.insert(0, Broken())  # type: ignore[arg-type]
        await_ready = logged_in(bot, sim)
        cog.exporter.open()
        async with await_ready:
            assert value(cog.exporter.instruments, EVENTS, "READY") == 1
            assert counter_total(cog.exporter.instruments, "argus_exporter_collector_errors_total") > 0
        await cog.exporter.close()


async def test_disabled_collectors_are_left_out() -> None:
    async with Simulator(guilds=2) as sim:
        bot = PlainBot()
        async with logged_in(bot, sim):
            await bot.add_cog(argus_exporter.ArgusExporter(bot, disable="gateway,loop"))
            await sim.message("hi", guild=0)
            page = await scrape(exporter_of(bot).port)
            assert "discord_gateway_events_total" not in page
            assert "discord_event_loop_lag_seconds" not in page
            assert 'discord_shard_status{shard="0"} 3' in page
            await bot.remove_cog("ArgusExporter")
            await bot.add_cog(argus_exporter.ArgusExporter(bot, disable=["shards"]))
            await sim.message("hi", guild=0)
            await until(lambda: value(exporter_of(bot).instruments, EVENTS, "MESSAGE_CREATE") == 1)
            assert "discord_shard_status" not in await scrape(exporter_of(bot).port)


def test_the_whole_life_on_uvloop() -> None:
    uvloop = pytest.importorskip("uvloop", reason="uvloop has no build for this platform")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(whole_life())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_the_whole_life_with_eager_tasks() -> None:
    async def eager() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
        await whole_life()

    asyncio.run(eager())


async def whole_life() -> None:
    """Load, count exactly, reconnect, scrape, reload, unload."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        async with Simulator(guilds=4, shards=2) as sim:
            bot = ShardedBot(shard_count=2)

            async def setup_hook() -> None:
                await bot.load_extension("argus_exporter")

            bot.setup_hook = setup_hook  # type: ignore[method-assign]
            async with logged_in(bot, sim, 2):
                await sim.burst(200)
                await sim.reconnect(1)
                await until(lambda: 1 in sim.sessions and sim.sessions[1].resumes)
                await sim.burst(200)
                exporter = exporter_of(bot)
                await until(lambda: counter_total(exporter.instruments, EVENTS) == all_sent(sim))
                assert 'discord_shard_status{shard="1"} 3' in await scrape(exporter.port)
                await bot.reload_extension("argus_exporter")
                assert 'discord_shard_status{shard="1"} 3' in await scrape(exporter_of(bot).port)
                await bot.unload_extension("argus_exporter")


# ------------------------------------------------------------------------------------------------ stats


async def test_a_bot_without_stats_is_lent_some_and_they_are_on_the_page_though_statsd_is_off() -> None:
    bot: Any = PlainBot()
    await bot.load_extension("argus_exporter")
    bot.stats.incr("my_counter", 2)
    assert bot.stats is bot.get_cog("ArgusExporter").stats is exporter_of(bot).stats
    assert "my_counter_total 2" in await scrape(exporter_of(bot).port)
    await bot.unload_extension("argus_exporter")
    assert not hasattr(bot, "stats")


async def test_stats_of_the_bots_own_stay_and_none_is_given_back() -> None:
    bot: Any = PlainBot()
    own = bot.stats = object()
    await bot.load_extension("argus_exporter")
    assert bot.stats is own
    bot.get_cog("ArgusExporter").stats.incr("x")
    await bot.unload_extension("argus_exporter")
    assert bot.stats is own
    bot.stats = None  # as pydis_core's bots begin
    await bot.load_extension("argus_exporter")
    assert bot.stats is exporter_of(bot).stats
    await bot.unload_extension("argus_exporter")
    assert vars(bot)["stats"] is None


async def test_stats_that_the_bot_has_set_since_are_left_alone_at_the_unload() -> None:
    bot: Any = PlainBot()
    await bot.load_extension("argus_exporter")
    own = bot.stats = object()
    await bot.unload_extension("argus_exporter")
    assert bot.stats is own


async def test_stats_that_cannot_be_looked_at_are_counted_and_the_extension_loads() -> None:
    class Odd(PlainBot):
        @property
        def stats(self) -> object:
            raise RuntimeError("no")

    bot = Odd()
    await bot.load_extension("argus_exporter")
    assert value(exporter_of(bot).instruments, "argus_exporter_collector_errors_total", "statsd") == 1
    await bot.unload_extension("argus_exporter")


async def test_a_pushed_bot_says_at_the_unload_what_it_has_not_said_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARGUS_PORT", "off")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.setblocking(False)
        monkeypatch.setenv("ARGUS_STATSD_URL", f"udp://127.0.0.1:{receiver.getsockname()[1]}")
        monkeypatch.setenv("ARGUS_STATSD_INTERVAL", "3600")
        async with Simulator(guilds=3) as sim:
            bot: Any = PlainBot()
            async with logged_in(bot, sim):
                await bot.load_extension("argus_exporter")
                await sim.event("WEBHOOKS_UPDATE", guild=0)
                await until(lambda: value(exporter_of(bot).instruments, EVENTS, "WEBHOOKS_UPDATE") == 1)
                bot.stats.incr("mine")
                await bot.unload_extension("argus_exporter")
                datagrams = b""
                with contextlib.suppress(BlockingIOError):
                    while True:
                        datagrams += receiver.recv(70_000) + b"\n"
    lines = datagrams.decode().split("\n")
    assert {f"{EVENTS}:1|c|#event:WEBHOOKS_UPDATE", "discord_shard_guilds:3|g|#shard:0", "mine:1|c"} <= {*lines}
