"""The control endpoint, as another program uses it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import aiohttp
import discord
import pytest

from examples.discord_simulator import Simulator
from examples.discord_simulator.incidents import INCIDENTS
from tests.simulator.bots import connected, until

Ask = Callable[..., Coroutine[Any, Any, tuple[int, Any]]]


@pytest.fixture
async def ask(sim: Simulator) -> AsyncIterator[Ask]:
    async with aiohttp.ClientSession(sim.url) as session:

        async def ask(method: str, path: str, /, **body: Any) -> tuple[int, Any]:
            async with session.request(method, f"/control/{path}", json=body or None) as response:
                return response.status, await response.json()

        yield ask


async def test_the_index_lists_paths_incidents_and_events(ask: Ask) -> None:
    status, index = await ask("GET", "")
    assert status == 200
    assert "POST /control/dispatch" in index["paths"]
    assert index["incidents"] == sorted(INCIDENTS)
    assert "MESSAGE_CREATE" in index["events"]


async def test_the_status_shows_sessions_traffic_and_incidents(sim: Simulator, ask: Ask) -> None:
    async with connected(sim, shard_count=2):
        await ask("POST", "traffic", rate=50)
        await ask("POST", "incidents/clock_skew", skew=5)
        _, status = await ask("GET", "status")
        assert [session["shard"] for session in status["sessions"]] == [0, 1]
        assert status["traffic"]["rate"] == 50
        assert status["incidents"] == [{"name": "clock_skew", "parameters": {"skew": 5.0}}]
        assert status["dispatched"]["READY"] == 2
        assert await ask("DELETE", "traffic") == (200, {"traffic": None})


async def test_incidents_are_listed_started_and_stopped(sim: Simulator, ask: Ask) -> None:
    _, listed = await ask("GET", "incidents")
    assert {one["name"]: one["parameters"] for one in listed}["slow_rest"] == {"delay": 2.0}
    status, started = await ask("POST", "incidents/slow_rest", delay=0.5, seconds=60)
    assert (status, started["parameters"]) == (200, {"delay": 0.5})
    assert sim.rest.faults.delay == 0.5
    assert await ask("DELETE", "incidents/slow_rest") == (200, {"stopped": 1})
    assert await ask("DELETE", "incidents/all") == (200, {"stopped": 0})
    assert sim.rest.faults.delay == 0


async def test_events_and_commands_are_sent(sim: Simulator, ask: Ask) -> None:
    async with connected(sim) as bot:
        _, sent = await ask("POST", "events/MESSAGE_CREATE", content="from outside", guild=1)
        await until(lambda: "message" in bot.told, sim)
        assert bot.last("message").id == int(sent["id"])
        assert await ask("POST", "dispatch", event="NEW", data={"a": 1}, shard=0) == (200, {"sessions": 1})
        await until(lambda: bot.events["NEW"] == 1, sim)


async def test_a_slash_command_is_used(sim: Simulator, ask: Ask) -> None:
    async with connected(sim) as bot:

        @bot.tree.command(name="echo", description="-")
        async def echo(interaction: discord.Interaction, text: str) -> None:
            await interaction.response.send_message(text)

        await bot.tree.sync()
        _, made = await ask("POST", "slash", path="echo", options={"text": "hi"}, guild=2)
        found = sim.stage.interactions.of_id(int(made["id"]))
        assert found is not None
        await until(lambda: found.response == 4, sim)
        assert found.response_data["content"] == "hi"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "error"),
    [
        ("POST", "incidents/nope", {}, 404, "no incident 'nope'"),
        ("DELETE", "incidents/nope", {}, 404, "no incident 'nope'"),
        ("POST", "incidents/close", {"shard": 5}, 404, "shard 5 is not connected"),
        ("POST", "incidents/slow_rest", {"delay": "x"}, 400, "delay must be of type float"),
        ("POST", "incidents/slow_rest", {"wait": 1}, 400, "has no parameter wait"),
        ("POST", "events/NOPE", {}, 404, "no event 'NOPE'"),
        ("POST", "events/MESSAGE_CREATE", {"guild": 77}, 404, "no guild 77"),
        ("POST", "dispatch", {"data": {}}, 400, "event is missing"),
        ("POST", "traffic", {"rate": 0}, 400, "the rate must be above 0"),
        ("POST", "traffic", {"rate": 5, "mix": {"NOPE": 1}}, 400, "a mix needs known events"),
        ("POST", "traffic", {"rate": 5, "colour": "red"}, 400, "colour"),
    ],
)
async def test_mistakes_are_answered_with_what_is_wrong(
    ask: Ask, method: str, path: str, body: dict[str, Any], status: int, error: str
) -> None:
    answered, text = await ask(method, path, **body)
    assert answered == status
    assert error in text["error"]


async def test_a_body_that_is_no_object_is_refused(sim: Simulator) -> None:
    for body in ("[]", "{"):
        async with aiohttp.request("POST", f"{sim.url}/control/dispatch", data=body) as response:
            assert response.status == 400
