"""States, outages, guilds and start-up of shards: the rules as a table, the rest on real clients."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import time
import types
from typing import Any

import pytest

from argus_exporter.cog import ClientExporter
from argus_exporter.collectors import shards
from argus_exporter.collectors.shards import Shard, ShardCells, status_of
from argus_exporter.discordpy import GatewayListener, Heart
from argus_exporter.instruments import Instruments
from examples.discord_simulator import Simulator
from tests.clients import KINDS, PlainBot, ShardedBot, logged_in, until, value, values
from tests.collectors.test_gateway import watched

STATUS = "discord_shard_status"


def shard(**facts: Any) -> Shard:
    return dataclasses.replace(Shard(ShardCells.of(Instruments(), 0)), **facts)


ONLINE: dict[str, Any] = {"launched": True, "connected": True, "ready": True}
BEATING: dict[str, Any] = {"open": True, "interval": 40.0, "last_beat": 1000.0, "answered": 1000.0, "last_ack": 1000.1}


@pytest.mark.parametrize(
    ("status", "facts", "heart", "now", "receiving", "closing"),
    [
        (5, ONLINE, BEATING, 1001, 0, True),
        (0, {}, {}, 1001, 0, False),
        (2, {**ONLINE, "connected": False}, BEATING, 1001, 0, False),
        (2, {"launched": True}, BEATING, 1001, 0, False),
        (4, {"launched": True, "connected": True}, BEATING, 1001, 0, False),
        (2, ONLINE, {**BEATING, "open": False}, 1001, 0, False),
        (6, {**ONLINE, "ready": False, "resuming": True}, BEATING, 1001, 0, False),
        (4, {**ONLINE, "ready": False}, BEATING, 1001, 0, False),
        (3, ONLINE, BEATING, 1001, 0, False),
        # the second unanswered beat is at 1080: unhealthy 10 s later, not before
        (3, ONLINE, {**BEATING, "last_beat": 1080.0}, 1089.9, 0, False),
        (1, ONLINE, {**BEATING, "last_beat": 1080.0}, 1090, 0, False),
        # and still when the third has gone out
        (1, ONLINE, {**BEATING, "last_beat": 1120.0}, 1121, 0, False),
        # where one of these is not known, nothing is missed
        (3, ONLINE, {**BEATING, "interval": None}, 2000, 0, False),
        (3, ONLINE, {**BEATING, "last_beat": None}, 2000, 0, False),
        (3, ONLINE, {**BEATING, "answered": None}, 2000, 0, False),
        # a loop that stood still has not sent that beat: it is one that went out no sooner than half an interval before
        (1, ONLINE, {**BEATING, "last_beat": 1060.0}, 1090, 0, False),
        (3, ONLINE, {**BEATING, "last_beat": 1059.9}, 1090, 0, False),
        (3, ONLINE, {**BEATING, "last_beat": 1040.0}, 1100, 0, False),
        # ACKs, but no dispatch for two minutes while two siblings receive
        (1, {**ONLINE, "last_dispatch": 880.0}, BEATING, 1000, 2, False),
        (3, {**ONLINE, "last_dispatch": 880.1}, BEATING, 1000, 2, False),
        (3, {**ONLINE, "last_dispatch": 880.0}, BEATING, 1000, 1, False),
        (3, {**ONLINE, "last_dispatch": 880.0}, {**BEATING, "last_ack": None}, 1000, 2, False),
        # a websocket that is young has had no time to receive
        (3, {**ONLINE, "last_dispatch": 500.0, "opened_at": 900.0}, BEATING, 1000, 2, False),
        (1, {**ONLINE, "opened_at": 880.0}, BEATING, 1000, 2, False),
    ],
)
def test_the_first_state_that_fits(
    status: int, facts: Any, heart: Any, now: float, receiving: int, closing: bool
) -> None:
    assert status_of(shard(**facts), Heart(**heart), now, closing=closing, receiving=receiving) == status


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
async def test_each_kind_of_client_has_its_own_shards_and_the_bots_total(kind: Any) -> None:
    async with Simulator(guilds=16, shards=kind.count, heartbeat_interval=0.1) as sim:
        client = kind.make()
        async with watched(client) as exporter, logged_in(client, sim, len(kind.shards)):
            metrics = exporter.instruments
            await until(lambda: all(heart.latency for heart in exporter._view.hearts().values()))
            exporter.sample()
            names = [(str(shard_id),) for shard_id in kind.shards]
            assert value(metrics, "discord_shards") == kind.count
            assert values(metrics, STATUS) == dict.fromkeys(names, 3)
            assert list(metrics.families["discord_shard_latency_seconds"].cells) == names
            latencies = values(metrics, "discord_shard_latency_seconds")
            assert list(latencies) == names
            assert all(0 < latency < 10 for latency in latencies.values())
            acks = values(metrics, "discord_shard_last_ack_timestamp_seconds")
            assert all(abs(time.time() - ack) < 10 for ack in acks.values())
            assert len(acks) == len(names)
            guilds = {
                (str(shard_id),): sum((guild.id >> 22) % kind.count == shard_id for guild in client.guilds)
                for shard_id in kind.shards
            }
            assert values(metrics, "discord_shard_guilds") == guilds
            assert values(metrics, "discord_startup_guilds_expected") == guilds
            assert values(metrics, "discord_startup_guilds_available") == guilds
            assert value(metrics, "discord_guilds") == len(client.guilds) == 16 * len(kind.shards) // kind.count
            assert value(metrics, "discord_shard_reconnect_queue") == (0 if len(names) > 1 else None)


async def test_latency_and_ack_are_absent_before_the_first_ack() -> None:
    async with Simulator(guilds=2, heartbeat_interval=60) as sim:
        bot = PlainBot()
        async with watched(bot) as exporter, logged_in(bot, sim):
            bot.ws._keep_alive.latency = float("inf")  # type: ignore[union-attr]
            exporter.sample()
            assert value(exporter.instruments, "discord_shard_latency_seconds", "0") is None
            assert value(exporter.instruments, "discord_shard_last_ack_timestamp_seconds", "0") is None
            assert value(exporter.instruments, STATUS, "0") == 3


def test_an_ack_has_its_own_time_and_keeps_it_until_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    one, now = shard(), 5000.0
    for clock, acked, time_of_ack in (
        (1e9, 4900.0, 1e9 - 100),
        (1e9 + 3600, 4900.0, 1e9 - 100),
        (1e9, 4990.0004, 1e9 - 10),
    ):
        monkeypatch.setattr(shards, "time", types.SimpleNamespace(time=lambda clock=clock: clock))
        shards._sample_heart(one, Heart(last_ack=acked), now)
        assert one.cells.last_ack.value == time_of_ack


async def test_a_shard_without_guilds_has_none() -> None:
    async with Simulator(guilds=1, shards=2) as sim:
        bot = ShardedBot(shard_count=2)
        async with watched(bot) as exporter, logged_in(bot, sim, 2):
            exporter.sample()
            ours = bot.guilds[0].shard_id
            for number in (0, 1):
                assert value(exporter.instruments, "discord_shard_guilds", str(number)) == (number == ours)
                assert value(exporter.instruments, "discord_shard_guilds_unavailable", str(number)) == 0


async def test_guilds_that_are_away_at_the_start_are_expected_and_not_there() -> None:
    async with Simulator(guilds=3) as sim:
        bot = PlainBot()
        await sim.incident("guild_outage", count=2, seconds=60)
        async with watched(bot) as exporter, logged_in(bot, sim):
            exporter.sample()
            assert value(exporter.instruments, "discord_startup_guilds_expected", "0") == 3
            assert value(exporter.instruments, "discord_startup_guilds_available", "0") == 1
            assert value(exporter.instruments, "discord_shard_guilds_unavailable", "0") == 2


async def test_an_outage_is_one_however_many_attempts_it_takes() -> None:
    async with Simulator(guilds=2, shards=2) as sim:
        bot = ShardedBot(shard_count=2)
        async with watched(bot) as exporter, logged_in(bot, sim, 2):
            metrics = exporter.instruments
            incident = await sim.incident("gateway_refuses", seconds=60)
            began = time.perf_counter()
            await sim.drop_shard(1)
            await until(lambda: value(metrics, "discord_shard_outages_total", "1"))
            exporter.sample()
            assert value(metrics, STATUS, "1") == 2
            assert value(metrics, STATUS, "0") == 3
            await asyncio.sleep(0.3)
            exporter.sample()
            running = value(metrics, "discord_shard_downtime_seconds_total", "1")
            assert running is not None
            assert 0.3 <= running <= time.perf_counter() - began
            await incident.stop()
            # after a failed attempt discord.py begins a new session
            await until(lambda: value(metrics, "discord_shard_connections_total", "1", "identify") == 2, 30)
            took = time.perf_counter() - began
            downtime = value(metrics, "discord_shard_downtime_seconds_total", "1")
            assert downtime is not None
            assert running < downtime <= took
            exporter.sample()
            assert value(metrics, "discord_shard_downtime_seconds_total", "1") == downtime
            assert value(metrics, STATUS, "1") == 3
            assert values(metrics, "discord_shard_outages_total") == {("1",): 1}


async def test_the_first_connect_is_no_reconnect_and_a_resume_is_no_identify() -> None:
    async with Simulator(guilds=2, shards=2) as sim:
        bot = ShardedBot(shard_count=2)
        async with watched(bot) as exporter, logged_in(bot, sim, 2):
            metrics = exporter.instruments
            sessions = "discord_shard_connections_total"
            assert values(metrics, sessions) == {("0", "identify"): 1, ("1", "identify"): 1}
            assert values(metrics, "discord_shard_outages_total") == {}
            await sim.reconnect(0)
            await until(lambda: value(metrics, sessions, "0", "resume"))
            await sim.invalidate(1, resumable=False)
            await until(lambda: value(metrics, sessions, "1", "identify") == 2)
            assert values(metrics, sessions) == {("0", "identify"): 1, ("0", "resume"): 1, ("1", "identify"): 2}


def looking_at(exporter: ClientExporter, happening: str) -> list[float | None]:
    """The states of shard 0 at each of such happenings."""
    seen: list[float | None] = []

    class Looking(GatewayListener):
        def __getattribute__(self, name: str) -> Any:
            return self.look if name == happening else super().__getattribute__(name)

        def look(self, *_: Any, **__: Any) -> None:
            exporter.sample()
            seen.append(value(exporter.instruments, STATUS, "0"))

    exporter._view.listeners.append(Looking())
    return seen


async def test_closing_the_bot_is_no_outage() -> None:
    async with Simulator(guilds=2) as sim:
        bot = PlainBot()
        async with watched(bot) as exporter:
            async with logged_in(bot, sim):
                seen = looking_at(exporter, "closed")
            assert seen == [5]
            assert values(exporter.instruments, "discord_shard_outages_total") == {}


async def test_a_shard_that_starts_is_starting_and_one_not_launched_is_unknown() -> None:
    """The second shard waits for its turn to IDENTIFY, the third is not launched at all."""
    turn = asyncio.Event()

    class Waiting(ShardedBot):
        async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
            if shard_id == 1:
                await turn.wait()

    async with Simulator(guilds=3, shards=3) as sim:
        bot = Waiting(shard_count=3)
        async with watched(bot) as exporter:

            async def look() -> None:
                await until(lambda: len(exporter._view.hearts()) == 2)
                exporter.sample()
                assert [value(exporter.instruments, STATUS, str(number)) for number in range(3)] == [3, 4, 0]
                bot.dispatch("shard_ready", 2)  # which nobody saw begin
                for name in ("discord_shard_last_dispatch_timestamp_seconds", "discord_shard_ready_seconds"):
                    assert value(exporter.instruments, name, "2") is None
                await asyncio.sleep(0.1)
                turn.set()

            looking = asyncio.create_task(look())
            async with logged_in(bot, sim, 3):
                await looking
                exporter.sample()
                assert [value(exporter.instruments, STATUS, str(number)) for number in range(3)] == [3, 3, 3]
                waited = values(exporter.instruments, "discord_shard_identify_wait_seconds")
                assert waited["1",] > 0.09


async def test_a_shard_that_resumes_is_resuming() -> None:
    async with Simulator(guilds=2) as sim:
        bot = PlainBot()
        async with watched(bot) as exporter, logged_in(bot, sim):
            seen = looking_at(exporter, "opened")
            await sim.reconnect(0)
            await until(lambda: 0 in sim.sessions and sim.sessions[0].resumes)
            assert seen == [6]


async def test_a_zombie_is_unhealthy_and_healthy_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "ACK_GRACE_SECONDS", 0.1)
    async with Simulator(guilds=2, heartbeat_interval=0.1) as sim:
        bot = PlainBot()
        async with watched(bot) as exporter, logged_in(bot, sim):

            def status() -> float | None:
                exporter.sample()
                return value(exporter.instruments, STATUS, "0")

            await until(lambda: status() == 3)
            incident = await sim.incident("zombie_no_ack", shard=0, seconds=60)
            await until(lambda: status() == 1)
            await incident.stop()
            await until(lambda: status() == 3)


async def test_acks_without_dispatches_are_unhealthy_while_siblings_receive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SILENCE_SECONDS", 0.5)
    monkeypatch.setattr(shards, "RECEIVING_SECONDS", 0.3)
    async with Simulator(guilds=6, shards=3, heartbeat_interval=0.1) as sim:
        bot = ShardedBot(shard_count=3)
        async with watched(bot) as exporter, logged_in(bot, sim, 3):

            def states() -> list[float | None]:
                exporter.sample()
                return [value(exporter.instruments, STATUS, str(number)) for number in range(3)]

            async with sim.traffic(rate=300):
                incident = await sim.incident("zombie_ack_only", shard=1, seconds=60)
                await until(lambda: states() == [3, 1, 3])
                await incident.stop()
                await until(lambda: states() == [3, 3, 3])
            # nobody receives any more: silence alone means nothing
            await asyncio.sleep(1)
            assert states() == [3, 3, 3]


async def test_the_time_of_the_last_dispatch_is_right_between_two_scrapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "TICK_SECONDS", 0.05)
    async with Simulator(guilds=2) as sim:
        bot = PlainBot()
        async with watched(bot) as exporter, logged_in(bot, sim):

            def last() -> float:
                return value(exporter.instruments, "discord_shard_last_dispatch_timestamp_seconds", "0") or 0.0

            await until(last)
            before = last()
            assert abs(time.time() - before) < 10
            await sim.message("hi", guild=0)
            await until(lambda: last() > before)
            after = last()
            await asyncio.sleep(0.15)
            assert last() == after == round(after, 3)


async def test_guilds_that_went_behind_our_back_are_gone_from_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("argus_exporter.discordpy.guilds.RECOUNT_SECONDS", 0.0)
    async with Simulator(guilds=3) as sim:
        bot = PlainBot()
        async with watched(bot) as exporter, logged_in(bot, sim):
            bot._connection._remove_guild(bot.guilds[0])
            exporter.sample()
            assert value(exporter.instruments, "discord_shard_guilds", "0") == 2
            assert value(exporter.instruments, "discord_guilds") == 2


async def test_a_collector_that_could_not_start_closes_all_the_same() -> None:
    class Odd(PlainBot):
        def wait_for(self, event: str, /, **options: Any) -> Any:
            if event == "ready":
                raise LookupError(event)
            return super().wait_for(event, **options)

    async with Simulator(guilds=2) as sim:
        bot = Odd()
        async with watched(bot) as exporter, logged_in(bot, sim):
            assert value(exporter.instruments, "argus_exporter_collector_up", "shards") == 0
        assert values(exporter.instruments, "argus_exporter_collector_errors_total") == {("shards",): 1}


async def test_guild_counts_never_drift_from_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long random history of joins, leaves, outages, returns and new sessions."""
    monkeypatch.setattr("argus_exporter.discordpy.guilds.RECOUNT_SECONDS", float("inf"))
    rng = random.Random(7)
    async with Simulator(guilds=12, members=2, channels=1, shards=3) as sim:
        bot = ShardedBot(shard_count=3, chunk_guilds_at_startup=False)
        async with watched(bot) as exporter, logged_in(bot, sim, 3):
            ledger = exporter._view.guilds
            for step in range(300):
                guild_id = rng.choice(list(sim.guild_ids))
                await rng.choice(
                    [
                        lambda each: sim.dispatch("GUILD_DELETE", {"id": str(each)}, guild=each),
                        lambda each: sim.dispatch("GUILD_DELETE", {"id": str(each), "unavailable": True}, guild=each),
                        lambda each: sim.dispatch("GUILD_CREATE", payload(each, unavailable=False), guild=each),
                        lambda each: sim.dispatch("GUILD_CREATE", payload(each, unavailable=True), guild=each),
                        lambda each: sim.dispatch("GUILD_CREATE", payload(each), guild=each),
                    ]
                )(guild_id)
                if step % 60 == 59:
                    before = sim.sessions[step % 3].identifies
                    await sim.invalidate(step % 3, resumable=False)
                    await until(
                        lambda step=step, before=before: (
                            step % 3 in sim.sessions and sim.sessions[step % 3].identifies > before
                        )
                    )
            await sim.flush()
            await asyncio.sleep(0.2)
            total: dict[int, int] = {}
            unavailable: dict[int, int] = {}
            for guild in bot._connection._guilds.values():
                total[guild.shard_id] = total.get(guild.shard_id, 0) + 1
                unavailable[guild.shard_id] = unavailable.get(guild.shard_id, 0) + bool(guild.unavailable)
            assert {key: count for key, count in ledger.total.items() if count} == total
            assert {key: count for key, count in ledger.unavailable.items() if count} == {
                key: count for key, count in unavailable.items() if count
            }
            assert unavailable


def payload(guild_id: int, **fields: Any) -> dict[str, Any]:
    """A GUILD_CREATE, as little as discord.py takes."""
    return {
        "id": str(guild_id),
        "name": "guild",
        "owner_id": "1",
        "member_count": 1,
        "members": [],
        "channels": [],
        "roles": [{"id": str(guild_id), "name": "@everyone", "permissions": "0", "position": 0}],
        "emojis": [],
        "features": [],
        "verification_level": 0,
        "default_message_notifications": 0,
        "explicit_content_filter": 0,
        "mfa_level": 0,
        "premium_tier": 0,
        "preferred_locale": "en-US",
        "nsfw_level": 0,
        "afk_timeout": 300,
        "system_channel_flags": 0,
        **fields,
    }


async def test_startup_tells_how_many_guilds_are_expected_and_there() -> None:
    async with Simulator(guilds=6, shards=2) as sim:
        bot = ShardedBot(shard_count=2)
        async with watched(bot) as exporter, logged_in(bot, sim, 2):
            exporter.sample()
            expected = {("0",): 3, ("1",): 3}
            assert values(exporter.instruments, "discord_startup_guilds_expected") == expected
            assert values(exporter.instruments, "discord_startup_guilds_available") == expected
            assert values(exporter.instruments, "discord_shard_guilds_unavailable") == {}


async def test_a_guild_outage_shows_and_ends() -> None:
    async with Simulator(guilds=6, shards=2) as sim:
        bot = ShardedBot(shard_count=2)
        async with watched(bot) as exporter, logged_in(bot, sim, 2):

            def unavailable() -> float:
                exporter.sample()
                return sum(values(exporter.instruments, "discord_shard_guilds_unavailable").values())

            incident = await sim.incident("guild_outage", seconds=60)
            await until(unavailable)
            assert value(exporter.instruments, "discord_guilds") == 6
            await incident.stop()
            await until(lambda: unavailable() == 0)


async def test_ready_seconds_span_from_the_websocket_to_ready() -> None:
    async with Simulator(guilds=2, shards=2) as sim:
        bot = ShardedBot(shard_count=2)
        async with watched(bot) as exporter:
            began = time.perf_counter()
            async with logged_in(bot, sim, 2):
                took = time.perf_counter() - began
                ready = values(exporter.instruments, "discord_shard_ready_seconds")
                assert set(ready) == {("0",), ("1",)}
                assert all(0.05 <= seconds <= took for seconds in ready.values())


async def test_the_send_budget_of_the_gateway_shows_when_it_is_used_up() -> None:
    async with Simulator(guilds=2) as sim:
        bot = PlainBot()
        async with watched(bot) as exporter, logged_in(bot, sim):
            exporter.sample()
            assert value(exporter.instruments, "discord_shard_send_rate_limited", "0") == 0
            for _ in range(120):
                if bot.is_ws_ratelimited():
                    break
                await bot.ws.send_as_json({"op": 1, "d": None})
            exporter.sample()
            assert value(exporter.instruments, "discord_shard_send_rate_limited", "0") == 1


async def test_loading_while_connected_finds_the_shards_online() -> None:
    async with Simulator(guilds=4, shards=2, heartbeat_interval=0.1) as sim:
        bot = ShardedBot(shard_count=2)
        async with logged_in(bot, sim, 2):
            await until(lambda: all(latency < 100 for _, latency in bot.latencies))
            async with watched(bot) as exporter:
                exporter.sample()
                assert values(exporter.instruments, STATUS) == {("0",): 3, ("1",): 3}
                assert values(exporter.instruments, "discord_shard_guilds") == {("0",): 2, ("1",): 2}
                assert values(exporter.instruments, "discord_shard_connections_total") == {}
