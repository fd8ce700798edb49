"""Probes say what is so and why, with the event loop's help and without it; systemd hears the same."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from discord.ext import commands

from argus_exporter import ArgusExporter, Exporter, Settings, attach
from argus_exporter.exposition import health, systemd
from argus_exporter.exposition.health import State
from argus_exporter.settings import Supervisor
from examples.discord_simulator import Simulator
from tests.clients import PlainBot, ShardedBot, ShardedClient, logged_in, until, value
from tests.exposition.test_tls import Paper

QUIET = {"port": 0, "state_dir": "off", "user_registry": False, "session_limit_interval": "off"}
PROBES = ("/livez", "/readyz", "/startupz")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(health, "PERIOD", 0.05)
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)


def fetch(port: int | None, path: str, context: Any = None, method: str = "GET") -> tuple[int, Any]:
    """As a probe does it: a connection of its own, and a few seconds of patience."""
    scheme = "http" if context is None else "https"
    request = urllib.request.Request(f"{scheme}://127.0.0.1:{port}{path}", method=method)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=5, context=context) as response:  # noqa: S310
            return response.status, json.loads(response.read() or "null")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or "null")


async def probe(exporter: Any, path: str) -> tuple[int, Any]:
    return await asyncio.to_thread(fetch, exporter.port, path)


# ------------------------------------------------------------------------------------------ while the loop turns


async def test_without_a_bot_a_process_that_runs_is_alive_started_and_ready() -> None:
    async with Exporter(Settings(**QUIET)) as exporter:
        for path in PROBES:
            assert await probe(exporter, path) == (200, {"status": "ok", "reasons": []})
        assert await asyncio.to_thread(fetch, exporter.port, "/livez", None, "HEAD") == (200, None)


async def test_a_bot_is_ready_when_its_own_shards_are() -> None:
    async with Simulator(guilds=6, members=1, channels=1) as sim:
        bot = ShardedBot(shard_ids=[1, 3], shard_count=4)
        cog = ArgusExporter(bot, Settings(**QUIET))
        await bot.add_cog(cog)
        for path in ("/readyz", "/startupz"):
            assert await probe(cog, path) == (
                503,
                {"status": "failing", "reasons": ["starting: no shard is known yet"]},
            )
        assert (await probe(cog, "/livez"))[0] == 200
        async with logged_in(bot, sim, shards=2):
            await sim.flush()
            await until(lambda: cog.exporter._site._health.state().online == 2)
            own = len(bot.guilds)
            data = {"shards": {"own": 2, "online": 2}, "guilds": {"own": own, "available": own}}
            assert own > 0
            for path in ("/readyz", "/startupz"):
                assert await probe(cog, path) == (200, {"status": "ok", "reasons": [], **data})


async def test_the_start_shows_its_progress() -> None:
    async with Simulator(guilds=4, members=1, channels=1) as sim:
        bot = PlainBot()
        seen: list[tuple[int, Any]] = []

        @bot.listen()
        async def on_connect() -> None:
            seen.append(await probe(cog, "/startupz"))

        class Loads(commands.Cog):
            async def cog_load(self) -> None:
                await bot.add_cog(cog)

        cog = ArgusExporter(bot, Settings(**QUIET))

        async def setup_hook() -> None:
            await bot.add_cog(Loads())
            seen.append(await probe(cog, "/startupz"))

        bot.setup_hook = setup_hook  # type: ignore[method-assign]
        async with logged_in(bot, sim):
            await until(lambda: len(seen) == 2)
            assert seen[0] == (
                503,
                {
                    "status": "failing",
                    "reasons": ["starting: 0 of 1 shards are online", "shard 0 is unknown"],
                    "shards": {"own": 1, "online": 0},
                    "guilds": {"own": 0, "available": 0},
                },
            )
            assert (await probe(cog, "/startupz"))[0] == 200


async def test_a_shard_that_is_lost_is_not_ready_and_still_started() -> None:
    async with Simulator(guilds=4, members=1, channels=1) as sim:
        client = ShardedClient(shard_count=2)
        exporter = attach(client, Settings(**QUIET))
        async with logged_in(client, sim, shards=2):
            await until(lambda: exporter._site._health.state().online == 2)
            assert (await probe(exporter, "/readyz"))[0] == 200
            async with sim.during("gateway_refuses"):
                await sim.drop_shard(1)
                await until(lambda: exporter._site._health.state().online == 1)
                status, said = await probe(exporter, "/readyz")
                assert (status, said["reasons"]) == (503, ["shard 1 is offline"])
                assert said["shards"] == {"own": 2, "online": 1}
                assert (await probe(exporter, "/startupz"))[0] == 200
                assert (await probe(exporter, "/livez"))[0] == 200


async def test_guilds_that_are_unavailable_make_it_not_ready_beyond_a_share() -> None:
    async with Simulator(guilds=10, members=1, channels=1) as sim:
        bot = PlainBot()
        await bot.add_cog(cog := ArgusExporter(bot, Settings(**QUIET, ready_guilds=0.85)))
        async with logged_in(bot, sim):
            await sim.flush()
            for lost, status in ((1, 200), (2, 503)):
                await sim.incident("guild_outage", guild=lost)
                await until(lambda lost=lost: sum(guild.unavailable for guild in bot.guilds) == lost)  # type: ignore[misc]
                found, said = await probe(cog, "/readyz")
                assert (found, said["guilds"]) == (status, {"own": 10, "available": 10 - lost})
            assert said["reasons"] == ["8 of 10 guilds are available, 85% should be"]
            assert (await probe(cog, "/startupz"))[0] == 200


async def test_without_the_collector_of_the_shards_the_library_says_whether_it_is_ready() -> None:
    async with Simulator(guilds=1, members=1, channels=1) as sim:
        bot = PlainBot()
        await bot.add_cog(cog := ArgusExporter(bot, Settings(**QUIET, disable="shards")))  # type: ignore[arg-type]
        assert (await probe(cog, "/readyz"))[0] == 503
        async with logged_in(bot, sim):
            assert await probe(cog, "/readyz") == (200, {"status": "ok", "reasons": []})


def test_a_long_list_of_shards_is_cut() -> None:
    state = State(started=True, shards={str(shard): 2.0 for shard in range(64)}, guilds=0, unavailable=0)
    reasons = state.why_not_ready(1.0)
    assert reasons[0] == "shard 0 is offline"
    assert reasons[-1] == "and 54 more"
    assert len(reasons) == 11


async def test_whoever_asks_all_the_time_gets_what_was_found_a_second_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "FRESH_SECONDS", 3600)
    async with Exporter(Settings(**QUIET)) as exporter:
        found = [exporter._site._health.state() for _ in range(3)]
        assert found[0] is found[1] is found[2]


# ------------------------------------------------------------------------------------------ while it stands still


def block(until: threading.Event) -> None:
    """What no bot should do."""
    assert until.wait(60)


@contextlib.contextmanager
def asking(ask: Callable[[], Any]) -> Iterator[tuple[threading.Event, list[Any]]]:
    """Ask from a thread, and say when the answer is there."""
    done, answers = threading.Event(), list[Any]()

    def run() -> None:
        try:
            answers.append(ask())
        finally:
            done.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield done, answers
    finally:
        thread.join()


def until_blocked(port: int | None, path: str, context: Any = None) -> tuple[int, Any]:
    """Ask until the answer is another one than the loop's."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            status, said = fetch(port, path, context)
            if status != 200:
                return status, said
    raise TimeoutError


@pytest.mark.parametrize("path", [*PROBES, "/metrics", "/"])
async def test_a_loop_that_stands_still_is_said_from_a_thread_with_the_place(path: str) -> None:
    async with Exporter(Settings(**QUIET, live_seconds=1)) as exporter:
        with asking(lambda: until_blocked(exporter.port, path)) as (done, answers):
            block(done)
        ((status, said),) = answers
        assert (status, said["status"]) == (503, "failing")
        assert said["reasons"] in ([f"the event loop has stood still for {n} s"] for n in range(1, 30))
        place = f"{__name__}:block:{block.__code__.co_firstlineno + 2}"
        assert place in said["stack"]
        assert said["stack"].index(place) < said["stack"].index(next(s for s in said["stack"] if "stands_still" in s))
        assert str(Path.cwd()) not in json.dumps(said)
        # it goes on as if nothing had been
        await until(lambda: exporter._site._health._pulse.silence() == 0)  # type: ignore[union-attr]
        assert (await probe(exporter, "/livez"))[0] == 200
        assert value(exporter.instruments, "argus_exporter_collector_errors_total", "exporter") is None


async def test_over_tls_it_is_said_too(tmp_path: Path) -> None:
    paper = Paper(tmp_path)
    async with Exporter(Settings(**QUIET, live_seconds=1, **paper.settings)) as exporter:
        with asking(lambda: until_blocked(exporter.port, "/livez", paper.client())) as (done, answers):
            block(done)
        assert answers[0][0] == 503
        await until(lambda: exporter._site._health._pulse.silence() == 0)  # type: ignore[union-attr]
        assert (await asyncio.to_thread(fetch, exporter.port, "/livez", paper.client()))[0] == 200


async def test_fifty_slow_clients_keep_no_probe_out_of_a_loop_that_stands_still() -> None:
    async with Exporter(Settings(**QUIET, live_seconds=1)) as exporter:
        address = ("127.0.0.1", exporter.port or 0)

        def ask() -> tuple[int, Any]:
            with contextlib.ExitStack() as stack:
                until_blocked(exporter.port, "/livez")
                for _ in range(50):
                    client = stack.enter_context(socket.create_connection(address))
                    client.sendall(b"GET /livez HTT")
                return fetch(exporter.port, "/livez")

        with asking(ask) as (done, answers):
            block(done)
        assert answers[0][0] == 503


async def test_a_head_has_no_body_then_either() -> None:
    async with Exporter(Settings(**QUIET, live_seconds=1)) as exporter:

        def ask() -> bytes:
            until_blocked(exporter.port, "/livez")
            with socket.create_connection(("127.0.0.1", exporter.port or 0), timeout=10) as client:
                client.sendall(b"HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n")
                return b"".join(iter(lambda: client.recv(4096), b""))

        with asking(ask) as (done, answers):
            block(done)
        assert answers[0].startswith(b"HTTP/1.1 503 ")
        assert answers[0].endswith(b"\r\n\r\n")


async def test_a_short_stall_is_none_of_its_business() -> None:
    async with Exporter(Settings(**QUIET, live_seconds=60)) as exporter:
        with asking(lambda: fetch(exporter.port, "/livez")) as (_, answers):
            time.sleep(0.5)  # noqa: ASYNC251 - that is the test
            assert answers == []
            await until(lambda: answers)
        assert answers[0][0] == 200


async def test_the_port_is_free_at_once_after_a_stall_and_no_thread_is_left() -> None:
    before = set(threading.enumerate())
    exporter = Exporter(Settings(**QUIET, live_seconds=1))
    await exporter.start()
    port = exporter.port
    with asking(lambda: until_blocked(port, "/livez")) as (done, _):
        block(done)
    await exporter.close()
    assert {thread.name for thread in set(threading.enumerate()) - before} <= {"argus_exporter.door"}
    socket.create_server(("127.0.0.1", port or 0), reuse_port=False).close()


@pytest.mark.skipif(sys.platform == "win32", reason="no such loop there")
async def test_a_connection_that_came_during_the_stall_is_answered_by_one_of_the_two() -> None:
    async with Exporter(Settings(**QUIET, live_seconds=1)) as exporter:
        answers: list[int] = []

        def ask_on(done: threading.Event) -> None:
            until_blocked(exporter.port, "/livez")
            threading.Timer(0.2, done.set).start()
            while 200 not in answers:
                answers.append(fetch(exporter.port, "/livez")[0])
            answers.extend(fetch(exporter.port, "/livez")[0] for _ in range(50))

        done = threading.Event()
        thread = threading.Thread(target=ask_on, args=(done,))
        thread.start()
        block(done)
        await asyncio.to_thread(thread.join)
        assert set(answers) == {200, 503}
        assert answers == sorted(answers, reverse=True)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_says_what_blocks(capfd: pytest.CaptureFixture[str]) -> None:
    async with Exporter(Settings(**QUIET, live_seconds=1)) as exporter:

        def ask() -> str:
            until_blocked(exporter.port, "/livez")
            command = (
                "curl",
                "-sS",
                "--max-time",
                "5",
                "-w",
                " %{http_code}",
                f"http://127.0.0.1:{exporter.port}/livez",
            )
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout

        with asking(ask) as (done, answers):
            block(done)
        assert answers[0].endswith(" 503")
        assert f"{__name__}:block:" in answers[0]


# ------------------------------------------------------------------------------------------ what the documents say

ROOT = Path(__file__).parents[2]
HEALTHCHECK = re.compile(r"(?m)^HEALTHCHECK .*?CMD (\[.*\])$")


@pytest.mark.parametrize("document", ["README.md", "examples/compose/Dockerfile"])
async def test_the_health_check_for_docker_passes_while_the_loop_turns_and_only_then(document: str) -> None:
    (line,) = HEALTHCHECK.findall((ROOT / document).read_text(encoding="utf-8"))
    program, *arguments = json.loads(line)
    assert (program, "127.0.0.1:9191/livez" in arguments[1]) == ("python", True)
    async with Exporter(Settings(**QUIET, live_seconds=1)) as exporter:
        command = [sys.executable, *(each.replace("9191", str(exporter.port)) for each in arguments)]

        def check() -> int:
            return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode

        assert await asyncio.to_thread(check) == 0
        with asking(lambda: until_blocked(exporter.port, "/livez") and check()) as (done, answers):
            block(done)
        assert answers == [1]


def test_the_probes_of_the_manifest_are_there_and_those_of_the_readme() -> None:
    manifest = yaml.safe_load((ROOT / "prometheus" / "kubernetes" / "statefulset.yml").read_text(encoding="utf-8"))
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    probes = {name: container[name] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert [probe["httpGet"]["path"] for probe in probes.values()] == ["/startupz", "/livez", "/readyz"]
    blocks = re.findall(r"(?ms)^```yaml\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert probes in [yaml.safe_load(block) for block in blocks]


# ------------------------------------------------------------------------------------------ systemd


@contextlib.contextmanager
def manager(folder: Path) -> Iterator[tuple[str, Callable[[], list[str]]]]:
    """Systemd's end of the socket."""
    address = str(folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address)
        receiver.setblocking(False)
        heard: list[str] = []

        def hear() -> list[str]:
            with contextlib.suppress(BlockingIOError):
                while True:
                    heard.extend(receiver.recv(4096).decode().split("\n"))
            return heard

        yield address, hear


needs_unix = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no unix sockets")


@needs_unix
async def test_systemd_hears_ready_once_and_a_sign_of_life_while_the_loop_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with manager(tmp_path) as (address, hear):
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        monkeypatch.setenv("WATCHDOG_USEC", "3000000")
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
        async with Exporter(Settings(**QUIET, live_seconds=1)) as exporter:
            await until(lambda: hear().count("WATCHDOG=1") > 3)
            assert hear()[0] == "WATCHDOG_USEC=3000000"
            assert hear().count("READY=1") == 1
            time.sleep(0.2)  # noqa: ASYNC251 - one may be under way
            before = len(hear())
            time.sleep(0.5)  # noqa: ASYNC251 - that is the test
            assert len(hear()) == before
            await until(lambda: len(hear()) > before)
            await exporter.close()
            assert hear()[-1] == "WATCHDOG_USEC=0"
            await exporter.start()
            await until(lambda: hear().count("READY=1") == 2)
            assert hear().count("WATCHDOG_USEC=3000000") == 2


@needs_unix
async def test_systemd_hears_how_far_the_start_is_and_ready_when_the_bot_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with manager(tmp_path) as (address, hear):
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        async with Simulator(guilds=2, members=1, channels=1) as sim:
            bot = PlainBot()
            await bot.add_cog(ArgusExporter(bot, Settings(**QUIET)))
            await until(lambda: "STATUS=starting: no shard is known yet" in hear())
            assert "READY=1" not in hear()
            async with logged_in(bot, sim):
                await until(lambda: "READY=1" in hear())
        assert not any("WATCHDOG_USEC" in line for line in hear())


@needs_unix
async def test_systemd_hears_nothing_where_that_is_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with manager(tmp_path) as (address, hear):
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        async with Exporter(Settings(**QUIET, systemd=False)) as exporter:
            await asyncio.sleep(0.2)
            assert exporter._site._health._notifier is None
        assert hear() == []


async def test_where_nobody_can_ask_nobody_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    async with Exporter(Settings(**{**QUIET, "port": "off"})) as exporter:
        assert exporter._site._health._pulse is None
        assert "argus_exporter.pulse" not in {thread.name for thread in threading.enumerate()}
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nowhere"))
    async with Exporter(Settings(**{**QUIET, "port": "off"})) as exporter:
        assert (exporter._site._health._pulse is None) == (not hasattr(socket, "AF_UNIX"))


@needs_unix
async def test_the_period_is_short_enough_for_a_short_watchdog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PERIOD", 1.0)
    async with Exporter(Settings(**QUIET)) as exporter:
        own = exporter._site._health
        await own.close()
        own.start(Supervisor("/nowhere", 0.3))
        assert own._pulse is not None
        assert own._pulse._period == pytest.approx(0.1)


@needs_unix
async def test_a_manager_that_is_away_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    async with Exporter(Settings(**QUIET)) as exporter:
        await asyncio.sleep(0.2)
        assert (await probe(exporter, "/readyz"))[0] == 200
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


@needs_unix
async def test_an_abstract_address_is_one() -> None:
    if sys.platform != "linux":
        pytest.skip("Linux alone has abstract addresses")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0argus-{os.getpid()}")
        notifier = systemd.Notifier(Supervisor(f"\0argus-{os.getpid()}"))
        notifier.tell("READY=1", "STATUS=")
        assert receiver.recv(100) == b"READY=1\nSTATUS="
        notifier.close()


async def test_a_system_without_threads_serves_the_page_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: Any, supervisor: Any) -> None:
        msg = "can't start new thread"
        raise RuntimeError(msg)

    monkeypatch.setattr(health.Health, "start", start)
    async with Exporter(Settings(**QUIET)) as exporter:
        assert (await probe(exporter, "/livez"))[0] == 200
        assert value(exporter.instruments, "argus_exporter_collector_errors_total", "exporter") == 1
