"""REST rate limits: the simulator enforces them, and discord.py keeps to them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import aiohttp
import discord
import pytest

from examples.discord_simulator import DISCORD, QUICK, Simulator
from examples.discord_simulator.ratelimits import Bucket, Limit, RateLimits
from examples.discord_simulator.rest import Cut, failure, too_many
from tests.simulator.bots import connected


async def _get(sim: Simulator, path: str) -> tuple[int, Any, Any]:
    headers = {"Authorization": f"Bot {sim.token}"}
    async with aiohttp.request("GET", f"{sim.url}/api/v10{path}", headers=headers) as response:
        body = await (response.json() if response.content_type == "application/json" else response.text())
        return response.status, response.headers, body


async def test_a_full_bucket_answers_429_with_the_users_scope() -> None:
    async with Simulator(limits=DISCORD) as sim:
        answers = [await _get(sim, "/users/@me") for _ in range(11)]
        assert [status for status, _, _ in answers] == [200] * 10 + [429]
        _, headers, body = answers[-1]
        assert headers["X-RateLimit-Scope"] == "user"
        assert headers["X-RateLimit-Remaining"] == "0"
        assert int(headers["Retry-After"]) >= 1
        assert body["global"] is False
        assert 0 < body["retry_after"] <= 10
        assert sim.requests[-1].scope == "user"


async def test_buckets_are_separate_for_each_channel() -> None:
    async with Simulator(limits=DISCORD) as sim:
        one, two = (sim.world.guild(0).channel(number)["id"] for number in (0, 1))
        for _ in range(10):
            await _get(sim, f"/channels/{one}")
        assert (await _get(sim, f"/channels/{one}"))[0] == 429
        assert (await _get(sim, f"/channels/{two}"))[0] == 200


async def test_past_the_global_limit_every_route_answers_429() -> None:
    async with Simulator(limits=replace(QUICK, global_requests=5)) as sim:
        answers = await asyncio.gather(*(_get(sim, "/users/@me") for _ in range(6)))
        [refused] = [answer for answer in answers if answer[0] == 429]
        assert refused[1]["X-RateLimit-Scope"] == "global"
        assert refused[1]["X-RateLimit-Global"] == "true"
        assert refused[2]["global"] is True


async def test_interaction_endpoints_are_outside_the_global_limit() -> None:
    async with Simulator(limits=replace(QUICK, global_requests=1)) as sim:
        await _get(sim, "/users/@me")
        assert (await _get(sim, "/webhooks/1/token/messages/@original"))[0] == 404


async def test_discord_py_waits_for_the_bucket_and_is_never_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = Limit(3, 0.2)
    monkeypatch.setattr(RateLimits, "bucket", _one_size(limit))
    async with Simulator(guilds=1) as sim, connected(sim) as bot:
        channel = bot.guilds[0].text_channels[0]
        started = time.monotonic()
        for number in range(7):
            await channel.send(str(number))
        assert time.monotonic() - started > 0.3
        assert all(request.status == 200 for request in sim.requests)


def _one_size(limit: Limit) -> Any:
    made: dict[tuple[str, str], Bucket] = {}

    def bucket(self: RateLimits, route: str, major: str, _: Limit | None) -> Bucket:
        return made.setdefault((route, major), Bucket(f"{abs(hash(route)):032x}", limit))

    return bucket


async def test_too_many_invalid_requests_get_the_address_banned() -> None:
    async with Simulator(limits=replace(QUICK, invalid_requests=3)) as sim:
        for _ in range(3):
            async with aiohttp.request("GET", f"{sim.url}/api/v10/users/@me") as response:
                assert response.status == 401
        status, headers, body = await _get(sim, "/users/@me")
        assert status == 429
        assert "Via" not in headers
        assert "text/html" in headers["Content-Type"]
        assert "rate limited" in body


async def test_shared_429s_are_no_invalid_requests(sim: Simulator) -> None:
    channel = sim.world.guild(0).channel(0)["id"]
    await sim.incident("shared_429", retry_after=0.5)
    status, headers, body = await _get(sim, f"/channels/{channel}")
    assert (status, headers["X-RateLimit-Scope"], body["retry_after"]) == (429, "shared", 0.5)
    assert headers["X-RateLimit-Remaining"] == "0"
    assert len(headers["X-RateLimit-Bucket"]) == 32
    assert sim.rest.limits.invalid_requests == 0


async def test_discord_py_retries_after_a_user_429(sim: Simulator) -> None:
    async with connected(sim) as bot:
        await sim.incident("user_429", retry_after=0.05, seconds=0.1)
        assert await bot.fetch_guild(sim.guild_ids[0])
        statuses = [request.status for request in sim.requests if request.route == "GET /guilds/{guild_id}"]
        assert statuses[0] == 429
        assert statuses[-1] == 200


async def test_discord_py_gives_a_long_429_up_when_it_may(sim: Simulator) -> None:
    async with connected(sim, max_ratelimit_timeout=30) as bot:
        async with sim.during("user_429", retry_after=100.0):
            with pytest.raises(discord.RateLimited):
                await bot.fetch_guild(sim.guild_ids[0])


async def test_the_next_answers_of_a_route_can_be_planned(sim: Simulator) -> None:
    async with connected(sim) as bot:
        seen = len(sim.requests)
        sim.answer_next("GET /guilds/{guild_id}", too_many(0.01, scope="user"), failure(503))
        with pytest.raises(discord.DiscordServerError):
            await bot.fetch_guild(sim.guild_ids[0])
        assert await bot.fetch_guild(sim.guild_ids[0])
        answers = [(request.status, request.scope) for request in [*sim.requests][seen:]]
        assert answers == [(429, "user"), (503, None), (200, None)]


async def test_a_connection_can_be_cut_instead_of_an_answer(sim: Simulator) -> None:
    async with connected(sim) as bot:
        channel = bot.get_partial_messageable(next(iter(sim.world.guild(0).channels)))
        sim.answer_next("POST /channels/{channel_id}/messages", Cut())
        with pytest.raises(aiohttp.ClientError):
            await channel.send("lost")
        assert sim.requests[-1].status == 0


def test_only_routes_that_there_are_can_be_planned(sim: Simulator) -> None:
    with pytest.raises(LookupError, match="no route 'GET /nowhere'"):
        sim.answer_next("GET /nowhere", failure(500))
