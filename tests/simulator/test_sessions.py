"""Losing a connection and coming back, as discord.py does it."""

from __future__ import annotations

from typing import Any

import discord
import pytest

from examples.discord_simulator import Simulator
from tests.simulator.bots import connected, settled, until


async def test_a_resumed_session_replays_exactly_what_was_missed(sim: Simulator) -> None:
    async with connected(sim, shard_count=1) as bot:
        await sim.message("before")
        await settled(sim, bot)
        session = sim.sessions[0]
        await sim.reconnect(0)
        for number in range(5):
            await sim.message(f"missed {number}")
        await until(lambda: session.resumes == 1, sim)
        await settled(sim, bot)
        seen = [message.content for (message,) in bot.told["message"]]
        assert seen == ["before", *(f"missed {number}" for number in range(5))]
        assert sim.sessions[0] is session
        assert bot.events["RESUMED"] == sim.dispatched[0, "RESUMED"] == 1
        assert bot.events["READY"] == 1


async def test_a_dropped_tcp_connection_is_resumed(sim: Simulator) -> None:
    async with connected(sim, shard_count=1) as bot:
        session = sim.sessions[0]
        await sim.drop_shard(0)
        await sim.message("while away")
        await until(lambda: session.resumes == 1, sim)
        await settled(sim, bot)
        assert bot.last("message").content == "while away"
        assert len(bot.told["shard_disconnect"]) == 1


@pytest.mark.parametrize("code", [1000, 4000, 4001, 4002, 4003, 4005, 4008])
async def test_after_these_close_codes_the_client_comes_back(sim: Simulator, code: int) -> None:
    async with connected(sim, shard_count=1) as bot:
        await sim.close_shard(0, code)
        await until(lambda: bot.events["READY"] + bot.events["RESUMED"] == 2, sim)
        assert bot.events["RESUMED"] == (0 if code == 1000 else 1)


@pytest.mark.parametrize("code", [4007, 4009])
async def test_after_these_close_codes_the_client_identifies_anew(sim: Simulator, code: int) -> None:
    async with connected(sim, shard_count=1) as bot:
        await sim.close_shard(0, code)
        await until(lambda: bot.events["READY"] == 2, sim)
        await sim.wait_for_shards(1)
        assert sim.sessions[0].identifies == 2
        assert sim.sessions[0].resumes == 0


@pytest.mark.parametrize("code", [4004, 4010, 4011, 4012, 4013])
async def test_these_close_codes_end_the_client(sim: Simulator, code: int) -> None:
    async with connected(sim, shard_count=1) as bot:
        await sim.close_shard(0, code)
        await until(bot.is_closed, sim)


async def test_disallowed_intents_end_the_client_with_their_own_error() -> None:
    async with Simulator(disallowed_intents=["presences"]) as sim:
        with pytest.raises(discord.PrivilegedIntentsRequired):
            async with connected(sim, shard_count=1):
                pass


async def test_an_invalid_session_that_is_resumable_is_resumed(sim: Simulator) -> None:
    async with connected(sim, shard_count=1) as bot:
        session = sim.sessions[0]
        await sim.invalidate(0, resumable=True)
        await until(lambda: bot.events["RESUMED"] == 1, sim)
        assert sim.sessions[0] is session


async def test_an_invalid_session_that_is_over_is_identified_anew(sim: Simulator) -> None:
    async with connected(sim, shard_count=2) as bot:
        old = sim.sessions[1]
        await sim.invalidate(1)
        await until(lambda: sim.dispatched[1, "READY"] == 2, sim)
        await settled(sim, bot)
        assert sim.sessions[1] is not old
        assert sim.sessions[1].identifies == 2
        assert sim.sessions[0].identifies == 1
        assert bot.events["RESUMED"] == 0


async def test_a_requested_heartbeat_is_sent_at_once() -> None:
    async with Simulator(guilds=1) as sim, connected(sim, shard_count=1):
        session = sim.sessions[0]
        before = sum(payload["op"] == 1 for payload in session.received)
        await sim.beat(0)
        await until(lambda: sum(payload["op"] == 1 for payload in session.received) == before + 1, sim)


async def test_latency_is_measured_from_real_acks(sim: Simulator) -> None:
    async with connected(sim, shard_count=2) as bot:
        await until(lambda: all(0 < latency < 1 for _, latency in bot.latencies), sim)


async def test_counts_equal_what_the_client_got_after_everything_at_once() -> None:
    async with Simulator(guilds=6, members=3, channels=2, heartbeat_interval=0.2) as sim:
        async with connected(sim, shard_count=3) as bot:
            losses = [lose for lose in (sim.reconnect, sim.drop_shard, sim.close_shard) for _ in range(3)]
            async with sim.traffic(rate=1_000):
                for number, lose in enumerate(losses, 1):
                    await lose(number % 3)
                    # The next one only when discord.py is back: cut while it still sends, it would identify anew.
                    await until(lambda number=number: bot.events["RESUMED"] == number, sim)
            await settled(sim, bot)
            assert sim.gateway.sessions.resumes == {0: 3, 1: 3, 2: 3}
            assert bot.events["MESSAGE_CREATE"] > 0


async def test_every_shard_survives_losing_all_of_them(sim: Simulator) -> None:
    async with connected(sim, shard_count=4) as bot:
        for shard in range(4):
            await sim.reconnect(shard)
        await until(lambda: bot.events["RESUMED"] == 4, sim)
        await settled(sim, bot)


async def test_where_two_clients_have_the_same_shard_the_one_that_stays_is_known(sim: Simulator) -> None:
    async with connected(sim, shard_count=1):
        first = sim.sessions[0]
        async with connected(sim, shard_count=1):
            assert sim.sessions[0] is not first
        await until(lambda: sim.sessions.get(0) is first, sim)


async def test_a_shard_that_is_not_connected_cannot_be_closed(sim: Simulator) -> None:
    with pytest.raises(LookupError, match="shard 3 is not connected"):
        await sim.close_shard(3)


@pytest.mark.parametrize("over", [False, True], ids=["its resume is refused", "it was over before"])
async def test_events_that_were_lost_with_a_session_are_not_counted(sim: Simulator, over: bool) -> None:
    async with connected(sim, shard_count=1) as bot, sim.during("resumes_fail"):
        session = sim.sessions[0]
        connection: Any = session.connection
        await sim.message("heard")
        await settled(sim, bot)
        # what is written now is lost on its way
        connection.socket.send_bytes = connection.socket.send_str = _nowhere
        await sim.message("not heard")
        assert sim.dispatched[0, "MESSAGE_CREATE"] == 2
        if over:
            sim.gateway.sessions.end(session)
        connection.drop()
        await until(lambda: bot.events["READY"] == 2, sim)
        await settled(sim, bot)
        assert sim.dispatched[0, "MESSAGE_CREATE"] == bot.events["MESSAGE_CREATE"] == 1


async def _nowhere(data: object) -> None:
    pass


async def test_events_that_arrived_and_were_not_counted_in_time_are_counted(sim: Simulator) -> None:
    async with connected(sim, shard_count=1) as bot:
        session = sim.sessions[0]
        await settled(sim, bot)
        # as where the task that writes is ended between writing and counting
        session.written -= 1
        sim.gateway.written[0, "GUILD_CREATE"] -= 1
        await sim.reconnect(0)
        await until(lambda: session.resumes == 1, sim)
        await settled(sim, bot)


async def test_the_books_tell_of_each_end_of_a_connection_who_began_it(sim: Simulator) -> None:
    async with connected(sim, shard_count=1) as bot:
        session = sim.sessions[0]
        await sim.reconnect(0)
        await until(lambda: session.resumes == 1, sim)
        await settled(sim, bot)
        await sim.close_shard(0, 4009)
        await until(lambda: bot.events["READY"] == 2, sim)
        await sim.drop_shard(0)
        await until(lambda: bot.events["RESUMED"] == 2, sim)
    await until(lambda: not sim.gateway.connections, sim)
    server = {("4000", "server"): 1, ("4009", "server"): 1, ("1000", "server"): 1, ("1006", "server"): 1}
    assert sim.gateway.closes == server | {("1000", "client"): 1}
    assert sim.gateway.outages == {0: 4}


async def test_a_session_that_the_client_has_not_heard_the_beginning_of_is_no_outage(sim: Simulator) -> None:
    async with connected(sim, shard_count=1) as bot:
        session = sim.sessions[0]
        await settled(sim, bot)
        await sim.drop_shard(0)
        await until(lambda: session.resumes == 1, sim)
        await settled(sim, bot)
        assert sim.gateway.outages == {0: 1}
        # as where the frame that tells of it was lost
        session.began = session.sequence + 1
        await sim.drop_shard(0)
        await until(lambda: session.resumes == 2, sim)
        await settled(sim, bot)
        assert sim.gateway.outages == {0: 1}
