"""REST requests of real clients, counted by both ways and held against what the simulator has seen."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import io
import logging
import re
import typing
from collections import Counter
from typing import Any

import aiohttp
import discord
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from discord.http import Route

import argus_exporter
from argus_exporter.catalogue import SCOPE
from argus_exporter.cog import ClientExporter, attach
from argus_exporter.settings import Settings
from examples.discord_simulator import QUICK, Simulator
from examples.discord_simulator.rest import Cut, cloudflare, failure, too_many
from tests.clients import PlainBot, PlainClient, ShardedBot, counter_total, logged_in, until, value, values

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

REQUESTS, DURATIONS = "discord_http_requests_total", "discord_http_request_duration_seconds"
LIMITED, INVALID = "discord_http_rate_limited_total", "discord_http_invalid_requests_total"
MESSAGES = "/channels/{channel_id}/messages"
SEND = f"POST {MESSAGES}"

WAYS: dict[str, Callable[[], dict[str, Any]]] = {
    "default way": dict,
    "public way": lambda: {"http_trace": argus_exporter.http_trace()},
}


@pytest.fixture(params=WAYS.values(), ids=WAYS.keys())
def way(request: pytest.FixtureRequest) -> Any:
    """What the bot is made with; both ways say the same."""
    return request.param


@contextlib.asynccontextmanager
async def running(
    sim: Simulator, way: Callable[[], dict[str, Any]] = dict, make: Any = PlainBot, **options: Any
) -> AsyncIterator[tuple[Any, ClientExporter]]:
    """A client that is logged in, with an exporter from before the login."""
    bot = make(**way())
    exporter = attach(bot, Settings(**{"port": "off", "state_dir": "off", "session_limit_interval": "off", **options}))
    try:
        async with logged_in(bot, sim):
            yield bot, exporter
        assert counter_total(exporter.instruments, "argus_exporter_collector_errors_total") == 0
        assert counter_total(exporter.instruments, "argus_exporter_label_overflow_total") == 0
    finally:
        await exporter.close()


def channel_of(bot: discord.Client) -> discord.TextChannel:
    return bot.guilds[0].text_channels[0]


def anonymous(route: str) -> str:
    """A template without the parameters' names; the simulator takes `@original` for one of them."""
    return re.sub(r"{[^/]+}", "{}", route.replace("@original", "{}"))


def seen(sim: Simulator) -> dict[tuple[str, str, str], float]:
    """What the simulator has answered; status 0 is none."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for request in sim.requests:
        route = request.route.partition(" ")[2].replace("/{rest:.*}", "other")
        route = "cdn" if route.startswith("/cdn") else anonymous(route)
        counts[request.method, route, str(request.status or "error")] += 1
    return dict(counts)


def counted(exporter: ClientExporter) -> dict[tuple[str, str, str], float]:
    counts: Counter[tuple[str, str, str]] = Counter()
    for (method, route, status), count in values(exporter.instruments, REQUESTS).items():
        counts[method, anonymous(route), status] += int(count)
    return dict(counts)


def waits(exporter: ClientExporter, reason: str) -> tuple[int, float]:
    """How many observations, and their sum in seconds."""
    exporter.sample()
    cell: Any = exporter.instruments.families["discord_http_wait_seconds"].cells[reason,]
    return sum(cell.counts), cell.sum


async def a_bit_of_everything(bot: Any, sim: Simulator) -> None:
    """Messages, reactions with every kind of emoji, uploads, webhooks, interactions, the CDN, what is not there."""
    channel = channel_of(bot)
    message = await channel.send("x", file=discord.File(io.BytesIO(b"y" * 10_000), "y.bin"))
    await message.add_reaction("👍")
    await message.add_reaction(discord.PartialEmoji(name="blob", id=1234567890123456789))
    await message.edit(content="z")
    assert await message.attachments[0].read() == b"y" * 10_000
    await bot.user.display_avatar.read()
    with pytest.raises(discord.NotFound):
        await channel.fetch_message(1)
    with pytest.raises(discord.HTTPException):
        await bot.http.request(Route("GET", "/not/{what}/of/discord", what="1234567890123456789"))
    webhook = await channel.create_webhook(name="hook")
    sent = await webhook.send("x", wait=True, file=discord.File(io.BytesIO(b"z"), "z.bin"))
    await webhook.edit_message(sent.id, content="edited")
    by_url = discord.Webhook.from_url(f"https://discord.com/api/webhooks/{webhook.id}/{webhook.token}", client=bot)
    await by_url.send("once")
    await sent.delete()


async def use(bot: Any, sim: Simulator) -> None:
    """A command that answers, follows up, and edits what it has answered."""

    @bot.tree.command()
    async def ping(interaction: discord.Interaction) -> None:
        await interaction.response.send_message("pong")
        await interaction.followup.send("more")
        await interaction.edit_original_response(content="changed")

    await bot.tree.sync()
    used = await sim.slash("ping")
    await sim.wait_for(lambda: any(request.path.endswith("/@original") for request in sim.requests))
    assert used.response is not None


@pytest.mark.parametrize("make", [PlainBot, ShardedBot])
async def test_every_attempt_is_counted_exactly_by_method_route_and_status(way: Any, make: Any) -> None:
    async with Simulator(guilds=2) as sim, running(sim, way, make) as (bot, exporter):
        await a_bit_of_everything(bot, sim)
        await use(bot, sim)
        await until(lambda: counted(exporter) == seen(sim))
        assert counted(exporter)["GET", "cdn", "200"] == 2
        durations: Any = exporter.instruments.families[DURATIONS].cells
        assert sum(sum(cell.counts) for cell in durations.values()) == len(sim.requests)
        exporter.sample()
        assert value(exporter.instruments, "discord_http_requests_in_flight") == 0


async def test_a_bot_that_is_logged_in_already_is_seen_from_now_on(way: Any) -> None:
    async with Simulator(guilds=2) as sim:
        bot = PlainBot(**way())
        async with logged_in(bot, sim):
            before = Counter(seen(sim))
            await bot.load_extension("argus_exporter")
            exporter = bot.get_cog("ArgusExporter").exporter  # type: ignore[union-attr]
            await a_bit_of_everything(bot, sim)
            assert counted(exporter) == Counter(seen(sim)) - before


async def test_a_reload_counts_anew_and_nothing_twice(way: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, setting in (("PORT", "off"), ("STATE_DIR", "off"), ("SESSION_LIMIT_INTERVAL", "off")):
        monkeypatch.setenv(f"ARGUS_{name}", setting)
    async with Simulator(guilds=2) as sim:
        bot = PlainBot(**way())
        async with logged_in(bot, sim):
            await bot.load_extension("argus_exporter")
            await bot.reload_extension("argus_exporter")
            exporter: Any = bot.get_cog("ArgusExporter").exporter  # type: ignore[union-attr]
            await channel_of(bot).send("x")
            assert values(exporter.instruments, REQUESTS) == {("POST", MESSAGES, "200"): 1}
            await bot.unload_extension("argus_exporter")
            await channel_of(bot).send("x")
            assert values(exporter.instruments, REQUESTS) == {("POST", MESSAGES, "200"): 1}


async def test_each_of_two_clients_counts_its_own() -> None:
    shared = argus_exporter.http_trace()
    async with Simulator(guilds=2) as sim, running(sim, lambda: {"http_trace": shared}) as (one, first):
        before = len(sim.requests)
        other = PlainClient(http_trace=shared)
        second = attach(other, Settings(port="off", state_dir="off", session_limit_interval="off"))
        await other.login(sim.token)
        assert counter_total(second.instruments, REQUESTS) == len(sim.requests) - before > 0
        assert counter_total(first.instruments, REQUESTS) == before
        await channel_of(one).send("x")
        assert value(first.instruments, REQUESTS, "POST", MESSAGES, "200") == 1
        assert value(second.instruments, REQUESTS, "POST", MESSAGES, "200") is None
        await other.close()
        assert shared.argus_exporter is first._view.wire  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------------- what goes wrong


@pytest.fixture
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """discord.py tries again at once after a 5xx."""
    sleep = asyncio.sleep
    monkeypatch.setattr("discord.http.asyncio", _Hasty(sleep))


class _Hasty:
    """asyncio with a sleep that does not, for whole seconds."""

    def __init__(self, sleep: Any) -> None:
        self._sleep = sleep

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float, *result: Any) -> None:
        await self._sleep(0 if seconds in {1, 3, 5, 7} else seconds, *result)


@pytest.mark.usefixtures("no_backoff")
async def test_each_try_of_an_upload_is_an_attempt(way: Any) -> None:
    async with Simulator(guilds=2) as sim, running(sim, way) as (bot, exporter):
        sim.answer_next(SEND, failure(502), failure(500), too_many(0.01, scope="user"))
        message = await channel_of(bot).send(file=discord.File(io.BytesIO(b"y" * 10_000), "y.bin"))
        assert await message.attachments[0].read() == b"y" * 10_000
        found = {key[2]: count for key, count in counted(exporter).items() if key[0] == "POST"}
        assert found == {"502": 1, "500": 1, "429": 1, "200": 1}
        assert counted(exporter) == seen(sim)
        assert waits(exporter, "bucket")[1] < 0.005  # neither a 429 nor a backoff is a bucket's


@pytest.mark.parametrize("scope", ["user", "global", "shared"])
async def test_a_429_is_counted_once_by_its_scope(way: Any, scope: str) -> None:
    async with Simulator(guilds=2) as sim, running(sim, way) as (bot, exporter):
        assert [value(exporter.instruments, LIMITED, name) for name in SCOPE.values] == [0, 0, 0, 0]
        assert value(exporter.instruments, INVALID) == 0
        sim.answer_next(SEND, too_many(0.01, scope=scope), too_many(0.01, scope=scope))
        await channel_of(bot).send("x")
        assert values(exporter.instruments, LIMITED) == {(scope,): 2}
        assert value(exporter.instruments, INVALID) == (0 if scope == "shared" else 2)
        assert sim.rest.limits.invalid_requests == value(exporter.instruments, INVALID)


async def test_cloudflares_429_is_told_apart(way: Any) -> None:
    async with Simulator(guilds=2) as sim, running(sim, way) as (bot, exporter):
        page = too_many(0.01, scope="user")
        page.content_type = "text/html"
        bare = too_many(0.01, scope="user")
        del bare.headers["Via"]
        sim.answer_next(SEND, cloudflare(), page, bare)
        for _ in range(3):
            with pytest.raises(discord.HTTPException):
                await channel_of(bot).send("x")
        assert values(exporter.instruments, LIMITED) == {("cloudflare",): 3}
        assert value(exporter.instruments, INVALID) == 3


async def test_a_webhooks_429_is_counted(way: Any) -> None:
    async with Simulator(guilds=2) as sim, running(sim, way) as (bot, exporter):
        webhook = await channel_of(bot).create_webhook(name="hook")
        sim.answer_next(
            "POST /webhooks/{webhook_id}/{token}", too_many(0.01, scope="user"), too_many(0.01, scope="odd")
        )
        await webhook.send("x")
        assert values(exporter.instruments, LIMITED) == {("user",): 2}


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_invalid_requests_are_counted_as_discord_does(way: Any, status: int) -> None:
    async with Simulator(guilds=2) as sim, running(sim, way) as (bot, exporter):
        async with sim.during("invalid_requests", status=status):
            with pytest.raises(discord.HTTPException):
                await channel_of(bot).send("x")
        assert value(exporter.instruments, INVALID) == sim.rest.limits.invalid_requests == (status != 404)
        assert counted(exporter) == seen(sim)


async def test_a_refusal_by_others_is_no_invalid_request(way: Any) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=403)

    app = web.Application()
    app.router.add_get("/file", refuse)
    async with Simulator(guilds=2) as sim, running(sim, way) as (bot, exporter), TestServer(app) as other:
        with pytest.raises(discord.Forbidden):
            await bot.http.get_from_cdn(str(other.make_url("/file")))
        assert values(exporter.instruments, REQUESTS)["GET", "other", "403"] == 1
        assert value(exporter.instruments, INVALID) == 0


async def test_an_attempt_without_an_answer_is_an_error(way: Any) -> None:
    async with Simulator(guilds=2) as sim, running(sim, way) as (bot, exporter):
        sim.answer_next(SEND, Cut())
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await channel_of(bot).send("x")
        assert value(exporter.instruments, REQUESTS, "POST", MESSAGES, "error") == 1
        exporter.sample()
        assert value(exporter.instruments, "discord_http_requests_in_flight") == 0


async def test_what_is_cancelled_under_way_is_an_error_and_not_in_flight(way: Any) -> None:
    async with Simulator(guilds=2) as sim, running(sim, way) as (bot, exporter):
        async with sim.during("slow_rest", delay=30):
            sending = asyncio.create_task(channel_of(bot).send("x"))
            await until(lambda: in_flight(exporter) == 1)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
        assert in_flight(exporter) == 0
        assert value(exporter.instruments, REQUESTS, "POST", MESSAGES, "error") == 1


def in_flight(exporter: ClientExporter) -> float | None:
    exporter.sample()
    return value(exporter.instruments, "discord_http_requests_in_flight")


async def test_a_method_of_nobodys_is_other_and_said_to_be_each_time(way: Any) -> None:
    async with Simulator(guilds=2) as sim:
        bot = PlainBot(**way())
        async with logged_in(bot, sim):
            exporter = attach(bot, Settings(port="off", state_dir="off", session_limit_interval="off"))
            for _ in range(3):
                with pytest.raises(discord.HTTPException):
                    await bot.http.request(Route("BREW", "/users/@me"))
            (((method, route, _), count),) = values(exporter.instruments, REQUESTS).items()
            assert (method, route, count) == ("other", "/users/@me", 3)
            assert value(exporter.instruments, "argus_exporter_label_overflow_total", REQUESTS) == 3


async def test_a_duration_is_that_of_the_attempt(way: Any) -> None:
    async with Simulator(guilds=2) as sim, running(sim, way) as (bot, exporter):
        async with sim.during("slow_rest", delay=0.3):
            await channel_of(bot).send("x")
        cell: Any = exporter.instruments.families[DURATIONS].cells["POST", MESSAGES]
        assert cell.sum >= 0.3
        assert sum(cell.counts) == 1


# ------------------------------------------------------------------------------------- waiting


async def test_waiting_for_the_global_limit_is_told(way: Any) -> None:
    async with Simulator(guilds=2) as sim, running(sim, way) as (bot, exporter):
        sim.answer_next(SEND, too_many(0.3, scope="global"))
        first = asyncio.create_task(channel_of(bot).send("x"))
        await until(lambda: values(exporter.instruments, LIMITED))
        exporter.sample()
        assert value(exporter.instruments, "discord_http_global_rate_limited") == 1
        others = [asyncio.create_task(bot.fetch_user(bot.user.id)) for _ in range(2)]
        await asyncio.gather(first, *others)
        count, seconds = waits(exporter, "global")
        assert count == 2
        assert 0 < seconds < 2 * 5
        assert value(exporter.instruments, "discord_http_global_rate_limited") == 0
        assert values(exporter.instruments, LIMITED) == {("global",): 1}
        # what held them back was not their bucket, and the first one's 429 is none either
        assert waits(exporter, "bucket") == (len(sim.requests) - 1, pytest.approx(0, abs=0.1))


@pytest.mark.parametrize("concurrent", [False, True])
async def test_waiting_for_a_bucket_is_told(way: Any, concurrent: bool) -> None:
    limits = dataclasses.replace(QUICK, buckets=True)
    async with Simulator(guilds=2, limits=limits) as sim, running(sim, way) as (bot, exporter):
        message = await channel_of(bot).send("x")
        before = waits(exporter, "bucket")
        began = asyncio.get_running_loop().time()
        if concurrent:
            await asyncio.gather(*map(message.add_reaction, "👍👎👏"))
        else:
            for emoji in "👍👎👏":
                await message.add_reaction(emoji)
        took = asyncio.get_running_loop().time() - began
        count, seconds = waits(exporter, "bucket")
        assert count - before[0] == 3
        waited = seconds - before[1]
        # one request each quarter of a second: discord.py sleeps after each, inside the request
        assert 0.4 < waited < (3 * took if concurrent else took)
        assert counter_total(exporter.instruments, LIMITED) == 0
        assert value(exporter.instruments, "discord_http_buckets") == len(bot.http._buckets)


async def test_a_request_that_is_not_held_back_has_waited_for_nothing(way: Any) -> None:
    async with Simulator(guilds=2) as sim, running(sim, way) as (bot, exporter):
        for _ in range(20):
            await channel_of(bot).send("x")
        count, _ = waits(exporter, "bucket")
        assert count == len(sim.requests)
        assert waits(exporter, "bucket")[0] == count
        cell: Any = exporter.instruments.families["discord_http_wait_seconds"].cells["bucket",]
        assert cell.counts[0] > count / 2


# ------------------------------------------------------------------------------------- the clock


async def test_the_skew_is_known_from_the_first_response_on(way: Any) -> None:
    exporter = ClientExporter(PlainBot(), Settings(port="off", state_dir="off"))
    exporter.sample()
    async with Simulator(guilds=2) as sim, running(sim, way) as (bot, exporter):
        exporter.sample()
        assert value(exporter.instruments, "discord_api_clock_skew_seconds") == 0
        async with sim.during("clock_skew", skew=30):
            while value(exporter.instruments, "discord_api_clock_skew_seconds") == 0:  # not each response is looked at
                await channel_of(bot).send("x")
                exporter.sample()
            assert value(exporter.instruments, "discord_api_clock_skew_seconds") == pytest.approx(-30, abs=1.5)
            # the CDN's Date is not the API's: here it is the right one
            exporter._view.wire._clock_due = 0
            await bot.user.display_avatar.read()
            exporter.sample()
            assert value(exporter.instruments, "discord_api_clock_skew_seconds") == pytest.approx(-30, abs=1.5)


# ------------------------------------------------------------------------------------- without it


async def test_without_either_way_the_collector_is_down_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("argus_exporter.discordpy.wire._SESSION", "_no_session")
    async with Simulator(guilds=2) as sim, running(sim) as (bot, exporter):
        await channel_of(bot).send("x")
        exporter.sample()
        exporter.sample()
        assert value(exporter.instruments, "argus_exporter_collector_up", "rest") == 0
        assert values(exporter.instruments, REQUESTS) == {}
        assert value(exporter.instruments, "discord_http_requests_in_flight") is None
        assert value(exporter.instruments, "discord_api_clock_skew_seconds") is None
        assert value(exporter.instruments, "discord_http_buckets")
        (line,) = [record.getMessage() for record in caplog.records if "http_trace" in record.getMessage()]
        assert "discord.py" in line
        assert caplog.records[-1].levelno >= logging.DEBUG


async def test_with_a_trace_nothing_private_is_needed_for_the_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("argus_exporter.discordpy.wire._SESSION", "_no_session")
    async with Simulator(guilds=2) as sim, running(sim, WAYS["public way"]) as (bot, exporter):
        await a_bit_of_everything(bot, sim)
        assert counted(exporter) == seen(sim)
        exporter.sample()
        assert value(exporter.instruments, "argus_exporter_collector_up", "rest") == 1
