"""Traffic: seeded, paced, counted."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import discord
import pytest

from examples.discord_simulator import Simulator
from examples.discord_simulator.traffic import MIX, Traffic
from tests.simulator.bots import by_event, connected, settled, until
from tests.simulator.sockets import Socket, socket

_ALL = 0b11_0011_0001_1111_1111_1111_1111


async def test_a_burst_sends_exactly_so_many_events(sim: Simulator) -> None:
    async with connected(sim, shard_count=2) as bot:
        before = by_event(sim)
        sent = await sim.burst(1_000)
        assert sent.total() == 1_000
        assert by_event(sim) - before == sent
        await settled(sim, bot)


async def test_the_mix_is_what_was_asked_for(sim: Simulator) -> None:
    async with connected(sim):
        sent = await sim.burst(4_000)
        assert sent == {name: 4_000 * share for name, share in MIX.items()}
        other = await sim.burst(100, mix={"MESSAGE_REACTION_ADD": 1, "TYPING_START": 3})
        assert set(other) == {"MESSAGE_REACTION_ADD", "TYPING_START"}


async def _events(seed: int) -> list[tuple[str, str | None, str | None]]:
    async with Simulator(guilds=4, members=5, channels=2) as sim, socket(sim) as ws:
        await ws.identify(sim, intents=_ALL)
        await sim.burst(200, seed=seed)
        return [await _next(ws) for _ in range(150)]


async def _next(ws: Socket) -> tuple[str, str | None, str | None]:
    event = await ws.receive()
    author = event["d"].get("author") or event["d"].get("user") or {}
    return event["t"], event["d"].get("guild_id"), author.get("id")


async def test_the_same_seed_gives_the_same_events_in_the_same_order() -> None:
    one, again, other = await _events(3), await _events(3), await _events(4)
    assert one == again
    assert one != other


async def test_every_message_of_the_traffic_is_a_new_one(sim: Simulator) -> None:
    async with connected(sim) as bot:
        await sim.burst(300, mix={"MESSAGE_CREATE": 1})
        await settled(sim, bot)
        messages: list[discord.Message] = [message for (message,) in bot.told["message"]]
        assert len({message.id for message in messages}) == 300
        assert len({message.content for message in messages}) > 20
        assert all(abs((discord.utils.utcnow() - message.created_at).total_seconds()) < 5 for message in messages)


async def test_events_nobody_wants_are_not_counted(sim: Simulator) -> None:
    async with connected(sim, intents=discord.Intents(guilds=True)):
        assert set(await sim.burst(500)) == {"INTERACTION_CREATE"}


async def test_the_rate_is_kept(sim: Simulator) -> None:
    async with connected(sim) as bot:
        async with sim.traffic(rate=1_000) as traffic:
            started = time.perf_counter()
            await until(lambda: traffic.offered >= 500, sim)
            rate = traffic.offered / (time.perf_counter() - started)
        assert 700 < rate < 1_100
        await settled(sim, bot)


async def test_new_traffic_takes_the_place_of_the_old(sim: Simulator) -> None:
    first = await sim.start_traffic(100)
    second = await sim.start_traffic(200)
    await until(lambda: second.offered > 0, sim)
    before = first.offered
    await asyncio.sleep(0.02)
    assert first.offered == before
    await sim.stop_traffic()
    assert sim.status()["traffic"] is None


@pytest.mark.parametrize("mix", [{"NOPE": 1.0}, {"TYPING_START": 0.0}, {"TYPING_START": -1.0}])
async def test_a_mix_that_cannot_be_sent_is_refused(sim: Simulator, mix: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a mix needs known events"):
        await sim.burst(1, mix=mix)


async def test_a_rate_of_zero_is_refused(sim: Simulator) -> None:
    with pytest.raises(ValueError, match="the rate must be above 0"):
        await sim.start_traffic(0)


async def test_traffic_in_an_empty_world_goes_to_direct_messages() -> None:
    async with Simulator(guilds=0) as sim, socket(sim) as ws:
        await ws.identify(sim, intents=_ALL)
        sent = await sim.burst(10, mix={"MESSAGE_CREATE": 1})
        assert sent == Counter(MESSAGE_CREATE=10)


async def test_traffic_uses_the_commands_that_the_bot_has_synced(sim: Simulator) -> None:
    async with connected(sim) as bot:
        for name in ("one", "two"):

            @bot.tree.command(name=name, description="-")
            async def _(interaction: discord.Interaction) -> None:
                await interaction.response.send_message("ok")

        await bot.tree.sync()
        await sim.burst(40, mix={"INTERACTION_CREATE": 1})
        table = sim.stage.interactions.by_token
        await until(lambda: all(one.response == 4 for one in table.values()), sim)
        assert {one.payload["data"]["name"] for one in table.values()} == {"one", "two"}


def test_a_pool_is_built_once_for_a_seed() -> None:
    sim = Simulator(guilds=2)
    one, two = (Traffic(sim.stage, sim.gateway, seed=5, pool=50) for _ in range(2))
    assert [template.body for template in one._pool] == [template.body for template in two._pool]
