"""The gateway's rules, down to the payload (Discord's docs, events/gateway, topics/opcodes-and-status-codes)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from examples.discord_simulator import QUICK, Simulator
from tests.simulator.sockets import socket


async def test_ready_carries_what_a_client_needs(sim: Simulator) -> None:
    async with socket(sim) as ws:
        ready = await ws.identify(sim)
        assert (ready["t"], ready["s"], ready["op"]) == ("READY", 1, 0)
        data = ready["d"]
        assert data["v"] == 10
        assert data["shard"] == [0, 1]
        assert data["session_id"] == sim.sessions[0].session_id
        assert data["resume_gateway_url"].startswith("ws://127.0.0.1:")
        assert [guild["unavailable"] for guild in data["guilds"]] == [True] * 4
        created = [await ws.receive() for _ in range(4)]
        assert {event["t"] for event in created} == {"GUILD_CREATE"}
        assert [event["s"] for event in created] == [2, 3, 4, 5]


async def test_zlib_stream_is_one_context_per_connection(sim: Simulator) -> None:
    async with socket(sim, "v=10&encoding=json&compress=zlib-stream") as ws:
        assert (await ws.identify(sim))["t"] == "READY"
        assert (await ws.receive())["t"] == "GUILD_CREATE"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"token": "wrong"}, 4004),
        ({"shard": [1, 1]}, 4010),
        ({"shard": [-1, 2]}, 4010),
        ({"intents": 1 << 30}, 4013),
        ({"intents": 1 << 15}, 4014),
        ({"intents": "many"}, 4002),
    ],
)
async def test_a_wrong_identify_is_closed(fields: dict[str, Any], code: int) -> None:
    async with Simulator(disallowed_intents=["message_content"]) as sim, socket(sim) as ws:
        assert await ws.identify(sim, **fields) == {"close": code}


async def test_too_many_guilds_for_a_shard_are_closed_with_4011() -> None:
    async with Simulator(guilds=2501, members=1) as sim, socket(sim) as ws:
        assert await ws.identify(sim) == {"close": 4011}


async def test_another_api_version_is_closed_with_4012(sim: Simulator) -> None:
    async with socket(sim, "v=6&encoding=json") as ws:
        assert await ws.closed() == 4012


async def test_an_unknown_op_is_closed_with_4001(sim: Simulator) -> None:
    async with socket(sim) as ws:
        await ws.send(99, None)
        assert await ws.closed() == 4001


@pytest.mark.parametrize("text", ["{", "[]", '{"d": 1}', '{"op": 1, "d": "' + "x" * 4096 + '"}'])
async def test_what_cannot_be_decoded_is_closed_with_4002(sim: Simulator, text: str) -> None:
    async with socket(sim) as ws:
        await ws.ws.send_str(text)
        assert await ws.closed() == 4002


async def test_anything_before_identify_is_closed_with_4003(sim: Simulator) -> None:
    async with socket(sim) as ws:
        await ws.send(3, {"status": "online", "activities": []})
        assert await ws.closed() == 4003


async def test_a_second_identify_is_closed_with_4005(sim: Simulator) -> None:
    async with socket(sim) as ws:
        await ws.identify(sim)
        await ws.identify(sim)
        assert await ws.closed() == 4005


async def test_a_resume_from_the_future_is_closed_with_4007(sim: Simulator) -> None:
    async with socket(sim) as ws:
        ready = await ws.identify(sim)
        await ws.ws.close(code=4000)
    async with socket(sim) as ws:
        await ws.send(6, {"token": sim.token, "session_id": ready["d"]["session_id"], "seq": 999})
        assert await ws.closed() == 4007


async def test_a_resume_with_a_wrong_token_is_closed_with_4004(sim: Simulator) -> None:
    async with socket(sim) as ws:
        await ws.send(6, {"token": "wrong", "session_id": "?", "seq": 1})
        assert await ws.closed() == 4004


async def test_more_than_120_payloads_a_minute_are_closed_with_4008(sim: Simulator) -> None:
    async with socket(sim) as ws:
        await ws.identify(sim)
        for _ in range(119):
            await ws.send(3, {"status": "online", "activities": []})
        await ws.send(1, None)
        await ws.until("op", 11)
        await ws.send(3, {"status": "online", "activities": []})
        assert await ws.closed() == 4008


async def test_heartbeats_of_a_usual_interval_count_as_payloads() -> None:
    async with Simulator(limits=replace(QUICK, gateway_sends=3)) as sim, socket(sim) as ws:
        for _ in range(4):
            await ws.send(1, None)
        assert await ws.closed() == 4008


async def test_a_client_that_does_not_beat_is_closed_with_4009(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("examples.discord_simulator.gateway.BEAT_GRACE", 0.05)
    async with Simulator(heartbeat_interval=0.05) as sim, socket(sim) as ws:
        ready = await ws.identify(sim)
        assert await ws.closed() == 4009
        assert sim.gateway.sessions.resumable(ready["d"]["session_id"]) is None


async def test_heartbeats_are_acknowledged_before_and_after_identify(sim: Simulator) -> None:
    async with socket(sim) as ws:
        await ws.send(1, None)
        assert (await ws.receive())["op"] == 11
        await ws.identify(sim)
        await ws.send(1, 1)
        assert (await ws.until("op", 11))["d"] is None


async def test_a_resume_of_a_session_that_is_gone_is_invalid(sim: Simulator) -> None:
    async with socket(sim) as ws:
        await ws.send(6, {"token": sim.token, "session_id": "gone", "seq": 1})
        answer = await ws.receive()
        assert (answer["op"], answer["d"]) == (9, False)
        assert (await ws.identify(sim))["t"] == "READY"


async def test_a_session_that_was_closed_with_1000_cannot_be_resumed(sim: Simulator) -> None:
    async with socket(sim) as ws:
        ready = await ws.identify(sim)
        await ws.ws.close(code=1000)
    async with socket(sim) as ws:
        await ws.send(6, {"token": sim.token, "session_id": ready["d"]["session_id"], "seq": 1})
        assert (await ws.receive())["op"] == 9


async def test_a_session_outlives_its_connection_only_so_long() -> None:
    async with Simulator(limits=replace(QUICK, resume_window=0.0)) as sim:
        async with socket(sim) as ws:
            ready = await ws.identify(sim)
            await ws.ws.close(code=4000)
        async with socket(sim) as ws:
            await ws.send(6, {"token": sim.token, "session_id": ready["d"]["session_id"], "seq": 1})
            assert (await ws.receive())["op"] == 9


async def test_a_resume_beyond_what_is_kept_is_invalid() -> None:
    async with Simulator(guilds=1, limits=replace(QUICK, replay=3)) as sim:
        async with socket(sim) as ws:
            ready = await ws.identify(sim)
            await ws.receive()
            for _ in range(5):
                await sim.message()
            await ws.ws.close(code=4000)
        async with socket(sim) as ws:
            await ws.send(6, {"token": sim.token, "session_id": ready["d"]["session_id"], "seq": 1})
            assert (await ws.receive())["op"] == 9


async def test_only_max_concurrency_shards_identify_per_window() -> None:
    async with Simulator(max_concurrency=2, limits=replace(QUICK, identify_window=60.0)) as sim:
        answers = []
        for shard in range(3):
            async with socket(sim) as ws:
                answers.append((await ws.identify(sim, shard=[shard, 3]))["op"])
        assert answers == [0, 0, 9]


async def test_session_starts_are_counted_down() -> None:
    async with Simulator(session_start_limit=2) as sim, socket(sim) as ws:
        await ws.identify(sim)
        headers = {"Authorization": f"Bot {sim.token}"}
        async with aiohttp.request("GET", f"{sim.url}/api/v10/gateway/bot", headers=headers) as response:
            limit = (await response.json())["session_start_limit"]
        assert limit == {"total": 2, "remaining": 1, "reset_after": 86_400_000, "max_concurrency": 1}


async def test_past_the_session_starts_the_token_is_reset() -> None:
    async with Simulator(session_start_limit=1) as sim, socket(sim) as first, socket(sim) as second:
        await first.identify(sim)
        assert await second.identify(sim) == {"close": 4004}
        assert await first.closed() == 4004


@pytest.mark.parametrize(
    ("intents", "expected"),
    [
        (1, {"CHANNEL_UPDATE"}),
        (1 << 9, {"MESSAGE_CREATE"}),
        (1 << 8, {"PRESENCE_UPDATE"}),
        (1 << 11, {"TYPING_START"}),
        (1 << 1, {"GUILD_MEMBER_UPDATE"}),
        (1 << 12, set()),
    ],
)
async def test_only_the_events_of_the_intents_are_sent(sim: Simulator, intents: int, expected: set[str]) -> None:
    names = ("CHANNEL_UPDATE", "MESSAGE_CREATE", "PRESENCE_UPDATE", "TYPING_START", "GUILD_MEMBER_UPDATE")
    async with socket(sim) as ws:
        await ws.identify(sim, intents=intents)
        await sim.flush()
        before = sim.sessions[0].sent.copy()
        for name in names:
            await sim.event(name)
        assert set(sim.sessions[0].sent - before) == expected


async def test_messages_have_no_content_without_the_intent(sim: Simulator) -> None:
    async with socket(sim) as without, socket(sim) as having:
        await without.identify(sim, intents=512)
        await having.identify(sim, intents=512 | 1 << 15)
        await sim.message("secret")
        assert (await without.until("t", "MESSAGE_CREATE"))["d"]["content"] == ""
        assert (await having.until("t", "MESSAGE_CREATE"))["d"]["content"] == "secret"


async def test_a_client_that_does_not_read_is_closed_and_delays_nobody() -> None:
    limits = replace(QUICK, backlog=200)
    async with Simulator(guilds=2, members=2, limits=limits) as sim, socket(sim) as stuck, socket(sim) as quick:
        await stuck.identify(sim, shard=[0, 2])
        await quick.identify(sim, shard=[1, 2])
        await quick.until("t", "GUILD_CREATE")
        held = sim.gateway.sessions.by_shard[0].connection
        assert held is not None
        held.stall()
        for _ in range(300):
            await sim.message(guild=0)
        await sim.message(guild=1)
        assert (await quick.receive())["t"] == "MESSAGE_CREATE"
        assert await stuck.closed() == 4000


async def test_a_new_websocket_for_a_session_takes_it_over(sim: Simulator) -> None:
    async with socket(sim) as old, socket(sim) as new:
        ready = await old.identify(sim)
        await new.send(6, {"token": sim.token, "session_id": ready["d"]["session_id"], "seq": 5})
        assert (await new.receive())["t"] == "RESUMED"
        assert await old.closed() == 4000
        await asyncio.sleep(0)
        assert sim.sessions[0].live


async def test_a_client_that_never_reads_does_not_hold_the_simulator_up() -> None:
    sim = Simulator(guilds=2, members=200)
    await sim.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13"
    writer.write(
        f"GET /gateway HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{key}\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")
    writer.write(_masked(b'{"op":2,"d":{"token":"simulator-token","intents":513,"properties":{},"shard":[0,1]}}'))
    await sim.wait_for(lambda: bool(sim.sessions))
    reader._transport.pause_reading()  # type: ignore[attr-defined]
    for _ in range(200):
        sim.gateway.fan_out("MESSAGE_CREATE", '"' + "x" * 100_000 + '"', shard_id=0)
    async with asyncio.timeout(10):
        await sim.close()
    writer.close()


def _masked(payload: bytes) -> bytes:
    return bytes([0x81, 0x80 | len(payload), 0, 0, 0, 0]) + payload


async def test_a_session_that_is_lost_while_guilds_stream_gets_the_rest_when_it_resumes() -> None:
    async with Simulator(guilds=300, members=2) as sim:
        async with socket(sim) as ws:
            ready = await ws.identify(sim)
            ws.ws._response.connection.transport.abort()  # type: ignore[union-attr]
        session = sim.gateway.sessions.by_shard[0]
        await sim.wait_for(lambda: session.ready and not session.live)
        async with socket(sim) as ws:
            await ws.send(6, {"token": sim.token, "session_id": ready["d"]["session_id"], "seq": 1})
            events = [(await ws.receive())["t"] for _ in range(301)]
        assert events == ["GUILD_CREATE"] * 300 + ["RESUMED"]


async def test_a_message_that_concerns_the_bot_keeps_its_content_without_the_intent(sim: Simulator) -> None:
    async with socket(sim) as ws:
        await ws.identify(sim, intents=512)
        await sim.message("for you", mentions=[sim.world.bot])
        assert (await ws.until("t", "MESSAGE_CREATE"))["d"]["content"] == "for you"


async def test_ready_is_the_first_event_however_much_happens() -> None:
    async with Simulator(guilds=2, members=2) as sim, sim.traffic(rate=5_000, mix={"MESSAGE_CREATE": 1}):
        for _ in range(10):
            async with socket(sim) as ws:
                ready = await ws.identify(sim)
                assert (ready["t"], ready["s"]) == ("READY", 1)
