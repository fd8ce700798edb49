"""README.md does what it says: every program in it runs, every link leads somewhere."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import discord
import prometheus_client
import pytest
from aiohttp import web

from argus_exporter.catalogue import METRICS
from examples.discord_simulator import Simulator, point_at
from tests.clients import until

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"


def programs() -> list[str]:
    return re.findall(r"(?ms)^```python\n(.*?)^```", README.read_text(encoding="utf-8"))


def program(mark: str) -> str:
    """The one program that has a piece of text in it."""
    (found,) = (text for text in programs() if mark in text)
    return found


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, unused_tcp_port: int) -> int:
    """What the environment says of the port; the programs say nothing, or another."""
    monkeypatch.setenv("ARGUS_PORT", str(unused_tcp_port))
    monkeypatch.setenv("ARGUS_STATE_DIR", str(tmp_path))
    return unused_tcp_port


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> list[discord.Client]:
    """The clients that a program would have run."""
    ran: list[discord.Client] = []
    monkeypatch.setattr(discord.Client, "run", lambda client, _token: ran.append(client))
    return ran


@contextlib.asynccontextmanager
async def running(text: str, clients: list[discord.Client]) -> AsyncIterator[discord.Client]:
    """Run a program of the README; its bot logs in to the simulator."""
    exec(compile(text, str(README), "exec"), {"__name__": "__main__"})  # noqa: S102 - that is the test
    (client,) = clients
    async with Simulator(guilds=2, members=2, channels=1) as sim:
        with point_at(sim.url):
            task = asyncio.create_task(client.start(sim.token))
            try:
                await until(lambda: client.is_ready() or task.done())
                if task.done():
                    task.result()
                await sim.flush()
                yield client
            finally:
                await client.close()
                await asyncio.gather(task, return_exceptions=True)


async def fetched(port: int) -> str:
    url = f"http://127.0.0.1:{port}/metrics"
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        assert response.status == 200
        return await response.text()


def shows_a_bot(page: str) -> bool:
    return 'discord_shard_status{shard="0"} 3' in page and 'discord_gateway_events_total{event="READY"} 1' in page


async def test_the_extension_is_loaded_by_one_line(port: int, clients: list[discord.Client]) -> None:
    async with running(program('load_extension("argus_exporter")'), clients):
        assert shows_a_bot(await fetched(port))


async def test_the_cog_takes_arguments(port: int, clients: list[discord.Client]) -> None:
    text = program("port=9300").replace("9300", str(port))
    async with running(text, clients) as bot:
        assert 'bot="my-bot"' in await fetched(port)
        cog: Any = getattr(bot, "get_cog", lambda _: None)("ArgusExporter")
        assert cog.port == cog.settings.port == port


async def test_a_bot_has_metrics_of_its_own(port: int, clients: list[discord.Client]) -> None:
    async with running(program("shop_purchases_total"), clients) as bot:
        shop: Any = getattr(bot, "get_cog", lambda _: None)("Shop")
        shop.purchases.labels(item="axe", level=3).inc()
        page = await fetched(port)
        assert 'shop_purchases_total{item="other",level="3"} 1' in page
        assert "shop_checkout_seconds_count 0" in page


async def test_attach_takes_a_bare_client(port: int, clients: list[discord.Client]) -> None:
    async with running(program("argus_exporter.attach(client)\n"), clients):
        assert shows_a_bot(await fetched(port))


async def test_an_exporter_runs_without_a_bot(port: int) -> None:
    text = program("argus_exporter.Exporter() as exporter").replace("asyncio.run(main())", "")
    space: dict[str, Any] = {}
    exec(compile(text, str(README), "exec"), space)  # noqa: S102 - that is the test
    task = asyncio.create_task(space["main"]())
    with contextlib.suppress(asyncio.CancelledError):
        async with asyncio.timeout(10):
            while not await _answers(port):
                await asyncio.sleep(0.01)
        page = await fetched(port)
        task.cancel()
        await task
    assert "process_resident_memory_bytes" in page
    assert 'discord_commands_total{command="shop sell",type="slash",outcome="bot_error"} 1' in page
    assert 'discord_shard_latency_seconds{shard="0"} 0.041' in page
    assert "discord_guilds 42" in page
    assert "discord_shards" not in page


async def test_a_client_for_stats_stands_alone() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        text = program("AsyncStatsClient(host").replace("8125", str(server.getsockname()[1]))
        space: dict[str, Any] = {}
        exec(compile(text.replace("asyncio.run(main())", ""), str(README), "exec"), space)  # noqa: S102 - that is the test
        await space["main"]()
        assert server.recv(1000) == b"my_bot.starts:1|c"


async def _answers(port: int) -> bool:
    try:
        return bool(await fetched(port))
    except aiohttp.ClientError:
        return False


async def test_the_handler_is_mounted_in_an_application(
    monkeypatch: pytest.MonkeyPatch, port: int, clients: list[discord.Client], unused_tcp_port_factory: Any
) -> None:
    own = unused_tcp_port_factory()
    runners: list[web.AppRunner] = []
    make = web.AppRunner
    monkeypatch.setattr(web, "AppRunner", lambda app, **options: runners.append(make(app, **options)) or runners[-1])
    async with running(program("exporter.handler").replace("8080", str(own)), clients):
        assert shows_a_bot(await fetched(own))
        assert not await _answers(port)
    await runners[-1].cleanup()  # the program leaves that to the end of the process


async def test_the_collector_goes_into_a_registry(
    monkeypatch: pytest.MonkeyPatch, port: int, clients: list[discord.Client], unused_tcp_port_factory: Any
) -> None:
    own = unused_tcp_port_factory()
    started: list[Any] = []
    start = prometheus_client.start_http_server
    monkeypatch.setattr(prometheus_client, "start_http_server", lambda *a, **k: started.append(start(*a, **k)))
    async with running(program("registry.register").replace("8000", str(own)), clients):
        page = await fetched(own)
    ((server, thread),) = started
    await asyncio.to_thread(server.shutdown)
    server.server_close()
    thread.join()
    assert 'discord_shard_status{shard="0"} 3.0' in page
    assert "process_threads" in page
    assert not await _answers(port)


def test_every_program_is_run_by_a_test() -> None:
    tests = Path(__file__).read_text(encoding="utf-8")
    marks = [mark.replace("\\n", "\n") for mark in re.findall(r"program\(['\"](.+?)['\"]\)", tests)]
    assert [text for text in programs() if not any(mark in text for mark in marks)] == []


def test_every_metric_that_the_text_names_is_there() -> None:
    text = README.read_text(encoding="utf-8").split("\n## Metrics\n", maxsplit=1)[0]
    named = set(re.findall(r"\b(?:discord|argus_exporter)_[a-z_]+(?=`|\{| |\[|\))", _without_the_others(text)))
    there = {name for metric in METRICS for name in metric.reserved_names}
    assert len(named) > 30
    assert sorted(named - there - {"discord_error", "discord_simulator"}) == []


def _without_the_others(text: str) -> str:
    """The text without the left columns that tell of other exporters."""
    return re.sub(r"(?ms)^## Coming from another exporter$.*?(?=^## |\Z)", "", text)


@pytest.mark.parametrize("document", [README, CONTRIBUTING], ids=lambda path: path.name)
def test_every_link_to_a_file_or_a_heading_leads_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    headings = {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in re.findall(r"(?m)^#+ (.*)$", text)}
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("https://")]
    assert [link for link in links if link.startswith("#") and link[1:] not in headings] == []
    assert [link for link in links if not link.startswith("#") and not (ROOT / link).exists()] == []
