"""What goes wrong around a bot with the extension loaded: the bot goes on, and the numbers are right."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
import typing
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from discord.ext import commands, tasks

from argus_exporter import ArgusExporter, Settings
from argus_exporter.catalogue import LONGEST_VALUE
from argus_exporter.exposition import health
from argus_exporter.statsd import push
from examples.discord_simulator import Simulator
from tests.clients import PlainBot, all_sent, counter_total, logged_in, sent_by_event, until, value, values
from tests.faults.bots import ERRORS, EVENTS, QUIET, bot_with_us, scraped

if typing.TYPE_CHECKING:
    import discord

LOOPS = "discord_task_loop_iterations_total"
ATTEMPTS = "discord_http_requests_total"


# ------------------------------------------------------------------------------------------ the end of things


async def test_a_scrape_is_under_way_when_the_extension_is_unloaded() -> None:
    async with bot_with_us() as (sim, bot, exporter):
        begun, go = asyncio.Event(), asyncio.Event()
        render = exporter._page.render

        async def slow(**how: Any) -> list[bytes]:
            begun.set()
            await go.wait()
            return await render(**how)  # type: ignore[no-any-return]

        exporter._page.render = slow
        scrape = asyncio.create_task(scraped(exporter))
        await begun.wait()
        unload = asyncio.create_task(bot.remove_cog("ArgusExporter"))
        await until(lambda: exporter._stack is None)
        go.set()
        await unload
        done, _ = await asyncio.wait({scrape}, timeout=10)
        assert done
        if error := scrape.exception():  # whole, or cut; never half a page as if it were whole
            assert isinstance(error, aiohttp.ClientError)
        heard = asyncio.create_task(bot.wait_for("message", timeout=10))
        await asyncio.sleep(0)
        await sim.message("hi", guild=0)
        await heard


async def test_the_bot_is_closed_in_a_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind(("127.0.0.1", 0))
        sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        monkeypatch.setattr(push, "_FIRST", 0.3)
        monkeypatch.setattr(push, "BURST", 300)
        monkeypatch.setattr(push, "LONGEST_REST", 0.01)
        url = f"udp://127.0.0.1:{sink.getsockname()[1]}"
        options = {"statsd_url": url, "statsd_interval": 60, "statsd_refresh": "off", "statsd_max_bytes": 300}
        async with bot_with_us(**options) as (sim, bot, exporter):
            lines = await asyncio.to_thread(lambda: sink.recv(70_000).decode().split("\n"))
            assert exporter.instruments.count_series() > 2 * len(lines)
            total = all_sent(sim)
            await asyncio.wait_for(bot.close(), 10)
            assert counter_total(exporter.instruments, EVENTS) == total
            assert values(exporter.instruments, ERRORS) == {}
        told = [line for line in [*lines, *rest_of(sink)] if line.startswith(EVENTS)]
        assert sum(float(line.partition(":")[2].partition("|")[0]) for line in told) == total


def rest_of(sink: socket.socket) -> list[str]:
    lines: list[str] = []
    sink.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            lines += sink.recv(70_000).decode().split("\n")
    return lines


# ------------------------------------------------------------------------------------------ time


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0], ids=["forward", "back"])
async def test_the_clock_is_set_while_it_runs(jump: float, monkeypatch: pytest.MonkeyPatch) -> None:
    async with bot_with_us() as (sim, _, exporter):
        before = await scraped(exporter)
        clock = time.time
        monkeypatch.setattr(time, "time", lambda: clock() + jump)
        await sim.burst(200)
        await until(lambda: values(exporter.instruments, EVENTS) == sent_by_event(sim))
        after = await scraped(exporter)
        assert [key for key in before if after.get(key, 0) < before[key] and is_counter(key[0])] == []
        assert [key for key, number in after.items() if key[0].endswith("_sum") and not 0 <= number < 3600] == []
        assert value(exporter.instruments, "discord_shard_status", "0") == 3
        assert values(exporter.instruments, ERRORS) == {}


def is_counter(name: str) -> bool:
    return name.endswith(("_total", "_count", "_bucket"))


async def test_the_loop_stands_still_for_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "FRESH_SECONDS", 0.0)
    async with bot_with_us(live_seconds=1) as (sim, bot, exporter):
        asked = asyncio.create_task(asyncio.to_thread(ask_when_stuck, exporter.port))
        await asyncio.sleep(0.1)
        time.sleep(5)  # noqa: ASYNC251 - that is the fault
        status, said = await asked
        assert status == 503
        assert any("has stood still" in reason for reason in said["reasons"])
        page = await scraped(exporter)
        assert page["discord_event_loop_blocked_seconds_total", frozenset()] > 4.5
        assert page["discord_event_loop_lag_seconds_count", frozenset()] > 0
        await sim.message("hi", guild=0)
        await until(lambda: values(exporter.instruments, EVENTS) == sent_by_event(sim))
        assert bot.is_ready()
        assert values(exporter.instruments, ERRORS) == {}


def ask_when_stuck(port: int) -> tuple[int, Any]:
    """What /livez says once the loop has stood still for two seconds."""
    time.sleep(2.1)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(65_536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


# ------------------------------------------------------------------------------------------ names

HOSTILE = ('a"b', "back\\slash", "two\nlines", "nul\0", "\ud800", "\U0001d54f" * 5_000, "{x=1} 2 3", "", "é\r")


async def test_commands_and_loops_have_hostile_names() -> None:
    async with bot_with_us() as (sim, bot, exporter):
        cog = Named()
        for number, name in enumerate(HOSTILE):
            command = commands.Command(_nothing, name=name or "x")
            command.name = name
            bot.all_commands[f"hostile{number}"] = command
            cog.beats[number].coro.__qualname__ = f"Named.{name}" if number % 2 else name
        await bot.add_cog(cog)
        for number, loop in enumerate(cog.beats):
            exporter.watch(loop, HOSTILE[number] if number % 3 else None)
            loop.start()
        for number in range(len(HOSTILE)):
            await sim.message(f"!hostile{number}", guild=0)
        await until(lambda: counter_total(exporter.instruments, "discord_commands_total") == len(HOSTILE))
        await until(lambda: counter_total(exporter.instruments, LOOPS) == len(HOSTILE))
        page = await scraped(exporter)
        ran = [(labels, number) for (name, labels), number in page.items() if name == "discord_commands_total"]
        assert sum(number for _, number in ran) == len(HOSTILE)
        assert all(len(value) <= LONGEST_VALUE for _, labels in page for _, value in labels)
        assert values(exporter.instruments, ERRORS) == {}
        for loop in cog.beats:
            loop.cancel()


async def _nothing(ctx: commands.Context[Any]) -> None: ...


class Named(commands.Cog):
    def __init__(self) -> None:
        self.beats = [tasks.loop(seconds=60)(self._maker()) for _ in HOSTILE]

    def _maker(self) -> Any:
        async def beat() -> None: ...

        return beat


# ------------------------------------------------------------------------------------------ what Discord sends

ODD: tuple[tuple[str, Any], ...] = (
    ("NO_SUCH_EVENT", {}),
    ("X" * 10_000, {"guild_id": "x"}),
    ('A"\n{}', None),
    ("GUILD_CREATE", {"id": "no number"}),
    ("GUILD_DELETE", []),
    ("INTERACTION_CREATE", {"id": None, "type": "9"}),
    ("MESSAGE_CREATE", "text"),
    ("GUILD_MEMBERS_CHUNK", {"guild_id": "1", "members": 3}),
    ("VOICE_STATE_UPDATE", {"guild_id": {}}),
)


@pytest.mark.parametrize("frame", [json.dumps({"op": 0, "s": 1000, "t": t, "d": d}) for t, d in ODD])
async def test_a_frame_is_odd(frame: str, caplog: pytest.LogCaptureFixture) -> None:
    """discord.py may give up the connection over it, as it would without us; then it comes back."""
    async with bot_with_us() as (sim, bot, exporter):
        with contextlib.suppress(Exception):
            await bot.ws.received_message(frame)
        odd = counter_total(exporter.instruments, EVENTS) - all_sent(sim)
        assert odd == 1
        await sim.message("hi", guild=0)
        await until(lambda: counter_total(exporter.instruments, EVENTS) == all_sent(sim) + 1)
        await scraped(exporter)
        failed = counter_total(exporter.instruments, ERRORS)
    assert failed <= 1  # what follows the guilds cannot read one without an id, and says so
    assert len([record for record in caplog.records if record.name.startswith("argus_exporter")]) == failed


ODD_OPS = ({"op": 99, "d": {}, "s": None, "t": None}, {"op": None, "d": None}, {"op": 0, "d": {}, "t": 5, "s": 7})


@pytest.mark.parametrize("message", ODD_OPS, ids=str)
async def test_a_frame_of_no_known_kind_changes_nothing_but_its_own_count(message: Any) -> None:
    async with bot_with_us() as (sim, bot, exporter):
        with contextlib.suppress(Exception):
            await bot.ws.received_message(json.dumps(message))
        before = counter_total(exporter.instruments, EVENTS)
        assert before - all_sent(sim) == (message["op"] == 0)
        await sim.message("hi", guild=0)
        await until(lambda: counter_total(exporter.instruments, EVENTS) == before + 1)


ANSWERS = (
    web.Response(text="<html>Bad Gateway</html>", content_type="text/html"),
    web.Response(text="", content_type="application/json"),
    web.Response(text="{not json", content_type="application/json"),
    web.Response(text="[" * 2_000, content_type="application/json"),
    web.Response(body=b"\xff\xfe", content_type="text/plain"),
    web.Response(text="<html>", status=429, content_type="text/html"),
    web.Response(text="null", status=400, content_type="application/json"),
    web.Response(text="{}", headers={"X-RateLimit-Remaining": "many", "X-RateLimit-Reset-After": "soon"}),
)


@pytest.mark.parametrize("number", range(len(ANSWERS)))
async def test_an_answer_of_rest_is_no_json(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bot sees what discord.py makes of it without us; we count the attempt."""
    seen: list[tuple[type[BaseException] | None, Any]] = []
    for with_us in (False, True):
        async with Simulator(guilds=2, members=2, channels=1) as sim:
            bot = PlainBot()
            async with logged_in(bot, sim):
                cog = ArgusExporter(bot, Settings(**QUIET))
                if with_us:
                    await bot.add_cog(cog)
                sim.answer_next("GET /users/{user_id}", copy_of(ANSWERS[number]))
                seen.append(await outcome_of(bot))
                if with_us:
                    assert counter_total(cog.exporter.instruments, ATTEMPTS) == 1
                    assert values(cog.exporter.instruments, ERRORS) == {}
                    assert (await bot.fetch_user(int(sim.world.bot["id"]))).id == int(sim.world.bot["id"])
    assert seen[0] == seen[1]


def copy_of(answer: web.Response) -> web.Response:
    return web.Response(body=answer.body, status=answer.status, headers=answer.headers)


async def outcome_of(bot: discord.Client) -> tuple[type[BaseException] | None, Any]:
    try:
        async with asyncio.timeout(5):
            return None, await bot.http.get_user(1)
    except Exception as error:  # noqa: BLE001 - whatever discord.py raises
        return type(error), str(error)
