"""Every incident: what the bot sees while it goes on, and that it is healed."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

import aiohttp
import discord
import pytest
from discord import app_commands

from examples.discord_simulator import Simulator
from examples.discord_simulator.incidents import INCIDENTS
from tests.simulator.bots import Bot, connected, settled, until


async def test_a_zombie_gets_neither_acks_nor_events_and_is_replaced(sim: Simulator) -> None:
    async with connected(sim, shard_count=1, heartbeat_timeout=0.5) as bot:
        session = sim.sessions[0]
        await sim.incident("zombie_no_ack", shard=0)
        await sim.message("into the void")
        assert bot.events["MESSAGE_CREATE"] == 0
        await until(lambda: session.resumes == 1, sim)
        await settled(sim, bot)
        assert bot.last("message").content == "into the void"


async def test_a_zombie_that_acks_looks_healthy_to_discord_py(sim: Simulator) -> None:
    async with connected(sim, shard_count=1, heartbeat_timeout=0.5) as bot:
        incident = await sim.incident("zombie_ack_only", shard=0)
        await sim.message("held back")
        beats = len(sim.sessions[0].received)
        await until(lambda: len(sim.sessions[0].received) >= beats + 4, sim)
        assert sim.sessions[0].resumes == 0
        assert bot.events["MESSAGE_CREATE"] == 0
        await incident.stop()
        await until(lambda: bot.events["MESSAGE_CREATE"] == 1, sim)


async def test_slow_acks_raise_the_latency(sim: Simulator) -> None:
    async with connected(sim, shard_count=1) as bot:
        async with sim.during("slow_acks", delay=0.15):
            await until(lambda: bot.latency > 0.15, sim)
        await until(lambda: bot.latency < 0.15, sim)


async def test_silence_loses_events(sim: Simulator) -> None:
    async with connected(sim) as bot:
        async with sim.during("silence"):
            await sim.message("lost")
        await sim.message("found")
        await settled(sim, bot)
        assert [message.content for (message,) in bot.told["message"]] == ["found"]


@pytest.mark.parametrize(
    ("name", "parameters", "event"),
    [
        ("close", {"code": 4000}, "RESUMED"),
        ("drop", {}, "RESUMED"),
        ("reconnect", {}, "RESUMED"),
        ("invalid_session", {"resumable": True}, "RESUMED"),
        ("invalid_session", {}, "READY"),
    ],
)
async def test_a_lost_connection_is_found_again(
    sim: Simulator, name: str, parameters: dict[str, int], event: str
) -> None:
    async with connected(sim, shard_count=2) as bot:
        before = bot.events[event]
        incident = await sim.incident(name, shard=1, **parameters)
        await incident.wait()
        await until(lambda: bot.events[event] == before + 1, sim)
        assert sim.gateway.sessions.resumes[0] == 0
        assert sim.incidents.running == []


async def test_all_shards_can_be_meant_at_once(sim: Simulator) -> None:
    async with connected(sim, shard_count=3) as bot:
        await sim.incident("close", shard=-1)
        await until(lambda: bot.events["RESUMED"] == 3, sim)


async def test_a_reconnect_storm_goes_on_until_it_is_stopped(sim: Simulator) -> None:
    async with connected(sim, shard_count=2) as bot:
        async with sim.during("reconnect_storm", every=0.1):
            await until(lambda: bot.events["RESUMED"] >= 6, sim)
        await sim.wait_for_shards(2)
        await settled(sim, bot)


async def test_failing_resumes_cost_identifies(sim: Simulator) -> None:
    async with connected(sim, shard_count=1) as bot, sim.during("resumes_fail"):
        await sim.reconnect(0)
        await until(lambda: bot.events["READY"] == 2, sim)
        assert bot.events["RESUMED"] == 0


@pytest.mark.parametrize("status", [503, 0])
async def test_a_gateway_that_refuses_keeps_the_bot_out(sim: Simulator, status: int) -> None:
    async with connected(sim, shard_count=1) as bot:
        refused = await sim.incident("gateway_refuses", status=status)
        await sim.drop_shard(0)
        await until(lambda: len(bot.told.get("shard_disconnect", ())) == 2, sim)
        assert sim.sessions == {}
        await refused.stop()


async def test_a_guild_outage_ends(sim: Simulator) -> None:
    async with connected(sim) as bot:
        async with sim.during("guild_outage", guild=1, count=2):
            await until(lambda: len(bot.told.get("guild_unavailable", ())) == 2, sim)
        await settled(sim, bot)
        assert not any(guild.unavailable for guild in bot.guilds)


async def test_the_budget_of_identifies_runs_out(sim: Simulator) -> None:
    async with connected(sim, shard_count=1) as bot:
        async with sim.during("identify_budget", remaining=0, reset_after=60):
            assert sim.gateway.budget.as_json()["reset_after"] == 60_000
            await sim.invalidate(0)
            await until(bot.is_closed, sim)
        assert (sim.gateway.budget.remaining, sim.gateway.budget.reset_after) == (999, 86_400)
        assert sim.gateway.token == sim.token


async def test_a_token_reset_ends_the_bot_and_rest(sim: Simulator) -> None:
    async with connected(sim, shard_count=2) as bot:
        async with sim.during("token_reset"):
            await until(bot.is_closed, sim)
            with pytest.raises(discord.LoginFailure):
                async with connected(sim):
                    pass
        async with connected(sim, shard_count=1):
            pass


async def test_disallowed_intents_refuse_the_next_identify(sim: Simulator) -> None:
    async with connected(sim, shard_count=1) as bot, sim.during("disallowed_intents", intent="members"):
        await sim.invalidate(0)
        await until(bot.is_closed, sim)


async def test_a_rate_limited_event_is_sent(sim: Simulator) -> None:
    async with connected(sim) as bot:
        await sim.incident("rate_limited_dispatch")
        await until(lambda: bot.events["RATE_LIMITED"] == 1, sim)


async def _answering_bot(sim: Simulator, bot: Bot) -> list[app_commands.AppCommandError]:
    errors: list[app_commands.AppCommandError] = []

    @bot.tree.command(name="ping", description="-")
    async def _(interaction: discord.Interaction) -> None:
        await interaction.response.send_message("pong")

    @bot.tree.error
    async def _(_: discord.Interaction, error: app_commands.AppCommandError) -> None:
        errors.append(error)

    await bot.tree.sync()
    return errors


async def test_late_interactions_are_unknown_by_the_time_of_the_answer(sim: Simulator) -> None:
    async with connected(sim) as bot:
        errors = await _answering_bot(sim, bot)
        async with sim.during("late_interactions", late=4.0):
            await sim.slash("ping")
            await until(lambda: errors, sim)
        assert errors[0].original.code == 10062  # type: ignore[attr-defined]
        age = (discord.utils.utcnow() - bot.last("interaction").created_at).total_seconds()
        assert 4 <= age < 5
        made = await sim.slash("ping")
        await until(lambda: made.response == 4, sim)


async def test_a_skewed_clock_shows_in_ids_and_dates_but_answers_are_taken(sim: Simulator) -> None:
    async with connected(sim) as bot:
        errors = await _answering_bot(sim, bot)
        async with sim.during("clock_skew", skew=60.0):
            made = await sim.slash("ping")
            await until(lambda: made.response == 4, sim)
            async with aiohttp.request("GET", f"{sim.url}/api/v10/gateway") as response:
                date = parsedate_to_datetime(response.headers["Date"])
        assert (date - discord.utils.utcnow()).total_seconds() > 50
        age = (discord.utils.utcnow() - bot.last("interaction").created_at).total_seconds()
        assert -61 < age < -58
        assert errors == []


async def test_more_traffic_can_be_an_incident(sim: Simulator) -> None:
    async with connected(sim) as bot, sim.during("traffic_surge", rate=500.0):
        await until(lambda: bot.events["PRESENCE_UPDATE"] > 10, sim)


async def test_slow_rest_is_slow(sim: Simulator) -> None:
    async with connected(sim) as bot, sim.during("slow_rest", delay=0.1):
        started = time.monotonic()
        await bot.fetch_guild(sim.guild_ids[0])
        assert time.monotonic() - started >= 0.1
        assert sim.requests[-1].duration >= 0.1


async def test_server_errors_are_retried_until_they_are_over(sim: Simulator) -> None:
    async with connected(sim) as bot:
        await sim.incident("rest_5xx", status=502, seconds=0.2)
        assert await bot.fetch_guild(sim.guild_ids[0])
        assert [request.status for request in list(sim.requests)[-2:]] == [502, 200]


async def test_a_global_429_holds_everything_up_and_ends(sim: Simulator) -> None:
    async with connected(sim) as bot:
        await sim.incident("global_429", retry_after=0.1, seconds=0.05)
        assert await bot.fetch_guild(sim.guild_ids[0])
        refused = next(request for request in sim.requests if request.status == 429)
        assert refused.scope == "global"


async def test_a_cloudflare_ban_raises_at_once(sim: Simulator) -> None:
    async with connected(sim) as bot:
        async with sim.during("cloudflare_ban"):
            with pytest.raises(discord.HTTPException) as banned:
                await bot.fetch_guild(sim.guild_ids[0])
            assert banned.value.status == 429
            assert "Via" not in banned.value.response.headers
        assert await bot.fetch_guild(sim.guild_ids[0])


@pytest.mark.parametrize(("status", "error"), [(403, discord.Forbidden), (404, discord.NotFound)])
async def test_invalid_requests_are_refused(sim: Simulator, status: int, error: type[discord.HTTPException]) -> None:
    async with connected(sim) as bot, sim.during("invalid_requests", status=status):
        with pytest.raises(error):
            await bot.fetch_guild(sim.guild_ids[0])
        assert sim.rest.limits.invalid_requests == (1 if status == 403 else 0)


async def test_an_incident_ends_after_its_seconds(sim: Simulator) -> None:
    incident = await sim.incident("slow_rest", delay=1.0, seconds=0.05)
    assert [one.name for one in sim.incidents.running] == ["slow_rest"]
    await incident.wait()
    assert sim.rest.faults.delay == 0
    assert sim.incidents.running == []


async def test_stopping_twice_heals_once(sim: Simulator) -> None:
    incident = await sim.incident("clock_skew", skew=10.0)
    await incident.stop()
    await incident.stop()
    assert sim.clock.skew == 0


async def test_incidents_of_one_kind_add_up_and_all_can_be_stopped(sim: Simulator) -> None:
    await sim.incident("slow_rest", delay=1.0)
    await sim.incident("slow_rest", delay=2.0)
    assert sim.rest.faults.delay == 3.0
    assert await sim.incidents.stop() == 2
    assert sim.rest.faults.delay == 0


async def test_mistakes_are_named(sim: Simulator) -> None:
    with pytest.raises(LookupError, match="no incident 'nope'; there are clock_skew, close"):
        await sim.incident("nope")
    with pytest.raises(ValueError, match="slow_rest has no parameter dealy; it has delay"):
        await sim.incident("slow_rest", dealy=1)
    with pytest.raises(ValueError, match="delay must be of type float, not 'x'"):
        await sim.incident("slow_rest", delay="x")
    with pytest.raises(ValueError, match="seconds must not be negative"):
        await sim.incident("slow_rest", seconds=-1)
    with pytest.raises(LookupError, match="shard 0 is not connected"):
        await sim.incident("close")
    with pytest.raises(ValueError, match="intent must be one of members"):
        await sim.incident("disallowed_intents", intent="guilds")
    with pytest.raises(ValueError, match="status must be one of 401"):
        await sim.incident("invalid_requests", status=200)
    with pytest.raises(LookupError, match="no guild 50"):
        await sim.incident("guild_outage", guild=50)
    assert sim.incidents.running == []


def test_every_incident_has_a_help_line_and_defaults() -> None:
    for incident in INCIDENTS.values():
        assert incident.help.endswith((".", "."))
        assert incident.read({}) == {one.name: one.default for one in incident.parameters}


async def test_closing_the_simulator_stops_its_incidents() -> None:
    sim = Simulator()
    await sim.start()
    incident = await sim.incident("slow_rest", delay=5.0)
    await sim.close()
    assert incident.over.is_set()
