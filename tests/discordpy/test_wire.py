"""The hooks of the wire: what they leave alone, what they give back, and what goes on without them."""

from __future__ import annotations

import asyncio
import typing
from types import SimpleNamespace
from typing import Any

import aiohttp
import discord
import pytest
from discord.http import Route

from argus_exporter.cog import ClientExporter, attach
from argus_exporter.discordpy import Exchange, HttpListener
from argus_exporter.discordpy.routes import CALLBACK
from argus_exporter.settings import Settings
from examples.discord_simulator import Simulator, point_at
from examples.discord_simulator.rest import too_many
from tests.clients import PlainBot, PlainClient, counter_total, logged_in, until

if typing.TYPE_CHECKING:
    from collections.abc import Callable

SESSION = "_HTTPClient__session"
ERRORS = "argus_exporter_collector_errors_total"
ME = "GET /users/@me"


class Ear(HttpListener):
    def __init__(self) -> None:
        self.out: list[Exchange] = []
        self.back: list[Exchange] = []
        self.waits: list[tuple[str, float]] = []

    def sent(self, exchange: Exchange) -> None:
        assert exchange.headers is None
        self.out.append(exchange)

    def done(self, exchange: Exchange) -> None:
        self.back.append(exchange)

    def waited(self, reason: str, seconds: float) -> None:
        self.waits.append((reason, seconds))


class Broken(HttpListener):
    """Raises at everything."""

    def sent(self, exchange: Exchange) -> None:
        raise ZeroDivisionError

    done = waited = sent  # type: ignore[assignment]


def listening(client: discord.Client, *ears: HttpListener) -> ClientExporter:
    exporter = attach(client, Settings(port="off", state_dir="off", session_limit_interval="off"))
    exporter._view.wire.listeners[:0] = ears
    return exporter


def me(client: discord.Client) -> Any:
    return client.http.request(Route("GET", "/users/@me"))


async def test_what_was_replaced_is_given_back() -> None:
    async with Simulator(guilds=1) as sim:
        client, ear = PlainClient(), Ear()
        async with logged_in(client, sim):
            session = getattr(client.http, SESSION)
            request, plain = client.http.request, dict(vars(session))
            exporter = listening(client, ear)
            # aiohttp would warn of a session whose attribute is set in asyncio's debug mode
            assert vars(session)["_request"] != plain.get("_request")
            assert vars(client.http)["request"] != request
            await exporter.close()
            assert vars(session) == plain
            assert "request" not in vars(client.http)
            await me(client)
            assert ear.out == []


async def test_what_somebody_wrapped_over_ours_stays_and_tells_nobody_any_more() -> None:
    async with Simulator(guilds=1) as sim:
        client, ear, calls = PlainClient(), Ear(), []

        def over(ours: Callable[..., Any]) -> Callable[..., Any]:
            async def theirs(*arguments: Any, **named: Any) -> Any:
                calls.append(arguments)
                return await ours(*arguments, **named)

            return theirs

        async with logged_in(client, sim):
            exporter = listening(client, ear)
            session = getattr(client.http, SESSION)
            session.__dict__["_request"] = wrapped = over(session._request)
            client.http.request = over(client.http.request)  # type: ignore[method-assign]
            await exporter.close()
            await me(client)
            assert len(calls) == 2
            assert session._request is wrapped
            assert ear.out == ear.waits == []
            assert exporter._view.wire.unheld == 0


async def test_a_new_login_has_a_new_session_which_is_seen_from_its_first_request_on() -> None:
    async with Simulator(guilds=1) as sim:
        client, ear = PlainClient(), Ear()
        exporter = listening(client, ear)
        with point_at(sim.url):
            await client.login(sim.token)
            old = getattr(client.http, SESSION)
            await client.http.close()
            client.http.connector = discord.utils.MISSING
            seen = len(sim.requests)
            assert len(ear.back) == seen > 0
            await client.http.static_login(sim.token)
            assert [(each.route, each.status) for each in ear.back[seen:]] == [("/users/@me", "200")]
            assert "_request" not in vars(old)
            await client.close()
        await exporter.close()


async def test_a_new_session_is_seen_at_a_sample_where_requests_cannot_be_followed() -> None:
    async with Simulator(guilds=1) as sim:
        client, ear = PlainClient(), Ear()
        client.http.request, real = None, client.http.request  # type: ignore[assignment, method-assign]
        exporter = listening(client, ear)
        client.http.request = real  # type: ignore[method-assign]
        async with logged_in(client, sim):
            await until(lambda: exporter._watching)
            session: aiohttp.ClientSession = getattr(client.http, SESSION)
            assert "_request" in vars(session)
            setattr(client.http, SESSION, aiohttp.ClientSession(connector=session.connector, connector_owner=False))
            exporter.sample()
            assert "_request" not in vars(session)
            before = len(ear.back)
            await me(client)
            assert len(ear.back) == before + 1
            await getattr(client.http, SESSION).close()
            setattr(client.http, SESSION, session)
            assert ear.waits == []
            assert exporter._view.wire.unheld == 0
        await exporter.close()


async def test_a_session_that_cannot_be_replaced_is_not_seen(caplog: pytest.LogCaptureFixture) -> None:
    class Slotted:
        __slots__ = ("real",)

        def __init__(self, real: aiohttp.ClientSession) -> None:
            self.real = real

        def _request(self, *arguments: Any, **named: Any) -> Any:
            return self.real._request(*arguments, **named)

        def __getattr__(self, name: str) -> Any:
            if name == "__dict__":
                raise AttributeError(name)
            return getattr(self.real, name)

    async with Simulator(guilds=1) as sim:
        client, ear = PlainClient(), Ear()
        async with logged_in(client, sim):
            setattr(client.http, SESSION, Slotted(getattr(client.http, SESSION)))
            exporter = listening(client, ear)
            await until(lambda: exporter._watching)
            await me(client)
            assert ear.back == []
            assert not exporter._view.wire.hooked
            assert counter_total(exporter.instruments, ERRORS) == 0
            assert "http_trace=argus_exporter.http_trace()" in caplog.text


async def test_what_a_listener_raises_is_counted_and_neither_the_bot_nor_the_next_one_notices() -> None:
    async with Simulator(guilds=1) as sim:
        client, ear = PlainClient(), Ear()
        async with logged_in(client, sim):
            exporter = listening(client, Broken(), ear)
            await until(lambda: exporter._watching)
            sim.answer_next(ME, too_many(0.05, scope="global"))
            first = asyncio.create_task(me(client))
            await until(lambda: ear.back)
            await me(client)
            await first
            assert [each.status for each in ear.back] == ["429", "200", "200"]
            assert ear.out == ear.back
            assert "global" in [reason for reason, _ in ear.waits]
            assert counter_total(exporter.instruments, ERRORS) == len(ear.out) + len(ear.back) + len(ear.waits)
            await exporter.close()


async def test_without_the_global_lock_requests_go_on_and_nothing_is_said_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("argus_exporter.discordpy.wire._GLOBAL", "_no_lock")
    async with Simulator(guilds=1) as sim:
        client, ear = PlainClient(), Ear()
        exporter = listening(client, ear)
        async with logged_in(client, sim):
            await me(client)
            assert exporter._view.wire.global_limited is None
            assert ear.back
            assert counter_total(exporter.instruments, ERRORS) == 0


async def test_without_buckets_their_number_is_not_known() -> None:
    client = PlainClient()
    exporter = listening(client)
    assert exporter._view.wire.buckets == 0
    del client.http._buckets
    assert exporter._view.wire.buckets is None
    await exporter.close()


async def test_an_interactions_first_response_is_known_by_its_id() -> None:
    async with Simulator(guilds=1) as sim:
        bot, ear = PlainBot(), Ear()
        exporter = listening(bot, ear)

        @bot.tree.command()
        async def ping(interaction: discord.Interaction) -> None:
            await interaction.response.send_message("pong")

        async with logged_in(bot, sim):
            await bot.tree.sync()
            used = await sim.slash("ping")
            await sim.wait_for(lambda: used.response is not None)
            await until(lambda: len(ear.back) == len(sim.requests))
            assert {each.interaction_id for each in ear.out} == {None, used.interaction_id}
            with pytest.raises(discord.HTTPException):
                await bot.http.request(Route("POST", CALLBACK, interaction_id=7, interaction_token="token"))
            assert ear.out[-1].interaction_id == 7
            for odd in ("x", "²", ""):
                with pytest.raises(discord.HTTPException):
                    await bot.http.request(Route("POST", f"/interactions/{odd}/token/callback"))
                assert ear.out[-1].interaction_id is None
            with pytest.raises(discord.HTTPException):
                await bot.http.request(Route("GET", "/interactions/1/token/callback"))
            assert ear.out[-1].interaction_id is None
        await exporter.close()


async def test_an_id_in_a_route_of_the_users_does_not_come_through() -> None:
    async with Simulator(guilds=1) as sim:
        client, ear = PlainClient(), Ear()
        exporter = listening(client, ear)
        async with logged_in(client, sim):
            assert client.user is not None
            await client.http.request(Route("GET", f"/users/{client.user.id}"))
            assert ear.out[-1].route == "/users/{user_id}"
            assert ear.out[-1].api
            # what a request leaves behind says nothing of the next one in the same task
            await client.http.get_from_cdn(f"{sim.url}/cdn/avatars/1.png")
            assert (ear.out[-1].route, ear.out[-1].api) == ("cdn", False)
        await exporter.close()


async def test_a_websocket_is_no_request() -> None:
    async with Simulator(guilds=1) as sim:
        client, ear = PlainClient(), Ear()
        exporter = listening(client, ear)
        async with logged_in(client, sim):
            assert sim.sessions
            assert len(ear.back) == len(sim.requests)
        await exporter.close()


async def test_an_address_that_is_none_fails_as_ever() -> None:
    async with Simulator(guilds=1) as sim:
        client, ear = PlainClient(), Ear()
        async with logged_in(client, sim):
            exporter = listening(client, ear)
            await until(lambda: exporter._watching)

            class Odd:
                def __str__(self) -> str:
                    raise ZeroDivisionError

            with pytest.raises((ZeroDivisionError, TypeError)):
                await getattr(client.http, SESSION).get(Odd())
            assert ear.out == []
            assert counter_total(exporter.instruments, ERRORS) == 1
            await exporter.close()


@pytest.mark.parametrize("ends", ["cancelled", "refused by discord.py"])
async def test_a_request_that_never_went_out_has_waited_until_its_end(ends: str) -> None:
    async with Simulator(guilds=1) as sim:
        client, ear = PlainClient(max_ratelimit_timeout=30), Ear()
        exporter = listening(client, ear)
        async with logged_in(client, sim):
            await me(client)
            for bucket in client.http._buckets.values():
                bucket.remaining, bucket.reset_after = 0, 9
                bucket.expires = asyncio.get_running_loop().time() + (9 if ends == "cancelled" else 31)
            seen, told = len(ear.out), len(ear.waits) + exporter._view.wire.unheld
            if ends == "cancelled":
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(me(client), 0.1)
                assert ear.waits[-1][0] == "bucket"
                assert 0.09 <= ear.waits[-1][1] < 5
            else:
                with pytest.raises(discord.RateLimited):
                    await me(client)
            assert len(ear.waits) + exporter._view.wire.unheld == told + 1
            assert len(ear.out) == seen
        await exporter.close()


def answering(client: discord.Client, status: int, headers: dict[str, str]) -> None:
    """A discord.py whose requests are answered so, and end a tenth of a second after the answer's headers."""

    async def answer(method: str, url: str) -> Any:
        return SimpleNamespace(status=status, headers=headers)

    async def request(route: Route) -> None:
        await getattr(client.http, SESSION)._request("GET", route.url)
        await asyncio.sleep(0.1)

    client.http.request = request  # type: ignore[method-assign, assignment]
    setattr(client.http, SESSION, SimpleNamespace(_request=answer))


@pytest.mark.parametrize(
    ("status", "remaining", "reset_after", "least", "most"),
    [
        (200, "0", "0.5", 0.09, 0.5),
        (200, "0", "0.05", 0.05, 0.05),
        (200, "1", "0.05", 0.05, 0.05),  # others under way have what remains
        (200, "1", "60", 0.0, 0.0),  # the body took its time
        (200, "0", None, 0.0, 0.0),
        (200, "0", "soon", 0.0, 0.0),
        (429, "0", "60", 0.0, 0.0),
        (503, "0", "60", 0.0, 0.0),
    ],
)
async def test_what_follows_the_last_response_is_a_wait_as_far_as_its_bucket_says_so(
    status: int, remaining: str, reset_after: str | None, least: float, most: float
) -> None:
    named = {"X-RateLimit-Remaining": remaining, "X-RateLimit-Reset-After": reset_after}
    client, ear = PlainClient(), Ear()
    answering(client, status, {name: text for name, text in named.items() if text is not None})
    exporter = listening(client, ear)
    await me(client)
    waited = sum(seconds for _, seconds in ear.waits)
    assert least <= waited <= most + 0.02  # what is in front of the attempt is work
    assert len(ear.waits) + exporter._view.wire.unheld == 1
    assert counter_total(exporter.instruments, ERRORS) == 0
    await exporter.close()
