"""The demo, as `make demo` runs it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import typing
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from examples.demo import cli
from examples.demo.plain import Plain
from tests.examples.programs import ROOT, STRICT, gone, page, running

DEMO = ("-m", "examples.demo", "--port", "0", "--shards", "2", "--guilds", "4")
ONLINE = {"0": 3.0, "1": 3.0}

unix = pytest.mark.skipif(sys.platform == "win32", reason="other signals and terminals there")


async def _online(url: str) -> None:
    async with asyncio.timeout(30):
        while (await page(url)).by("discord_shard_status", "shard") != ONLINE:
            await asyncio.sleep(0.1)


@unix
async def test_it_says_where_first_runs_a_real_bot_and_ends_at_ctrl_c(tmp_path: Path) -> None:
    async with running(*DEMO, "--incident", "close:shard=1,code=4000@0.1", TMPDIR=str(tmp_path), **STRICT) as demo:
        url = (await demo.line(r"^metrics: (http://127\.0\.0\.1:\d+/metrics)$"))[1]
        assert demo.said == [f"metrics: {url}\n"]
        await _online(url)
        await demo.line(r"^\d\d:\d\d:\d\d incident close has begun \{'shard': 1, 'code': 4000\}$")
        await demo.line(
            r"^\d\d:\d\d:\d\d shards 2/2 online \| [\d.]+ events/s \| latency \d+ ms \| .* series \| scrape "
        )
        seen = await page(url)
        family = demo.family()
        demo.process.send_signal(signal.SIGINT)
        code, lines = await demo.end()
        assert [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []
    assert os.listdir(tmp_path) == []  # noqa: PTH208  one look, after the end
    assert len(family) == 2
    assert (code, lines[-1]) == (0, "stopped")
    assert not [line for line in lines if "Traceback" in line or "Warning" in line or "slow_acks" in line]
    assert seen.by("discord_shard_guilds", "shard") == {"0": 2.0, "1": 2.0}
    assert (seen.value("discord_gateway_events_total") or 0) > 50
    assert seen.by("discord_gateway_events_total", "event")["INTERACTION_CREATE"] > 0
    assert seen.by("discord_gateway_closes_total", "code") == {"4000": 1.0}


async def test_it_ends_by_itself_and_tells_what_is_not_installed() -> None:
    async with running(*DEMO, "--seconds", "1.5", "--prometheus", "--calm", PATH=os.devnull) as demo:
        code, lines = await demo.end()
    assert code == 0
    assert lines[2] == "prometheus: not installed: there is no program `prometheus` on the PATH"
    assert lines[-1] == "stopped"
    assert not [line for line in lines if "incident" in line]


@unix
async def test_not_even_a_kill_leaves_a_process_behind(tmp_path: Path) -> None:
    async with running(*DEMO, TMPDIR=str(tmp_path)) as demo:
        await demo.line("^metrics: ")
        family = demo.family()
        demo.process.kill()
        assert len(family) == 2
        assert await gone(family)


async def test_what_does_not_heed_an_interrupt_is_ended_all_the_same(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    (tmp_path / "deaf.py").write_text(deaf)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "examples.demo.leash", "module", "deaf"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert process.stdout is not None
    await process.stdout.readline()
    await process.communicate(b"")
    assert process.returncode == 1


@unix
async def test_it_ends_quietly_when_nobody_reads_any_more() -> None:
    async with running(*DEMO, PYTHONUNBUFFERED="") as demo:
        await demo.line("^metrics: ")
        family = demo.family()
        assert demo.process.stdout is not None
        demo.process.stdout._transport.close()  # type: ignore[attr-defined]
        assert await asyncio.wait_for(demo.process.wait(), 30) == 0
        assert len(family) == 2
        assert await gone(family)


async def test_a_bot_that_ends_is_told_in_one_line() -> None:
    async with running(*DEMO, "--incident", "token_reset@0.1") as demo:
        code, lines = await demo.end()
    assert code == 1
    assert lines[-1].startswith("python -m examples.demo: the bot has ended with code 1: ")
    assert "4004" in lines[-1]


@unix
async def test_in_a_terminal_it_shows_a_screen_and_gives_the_terminal_back() -> None:
    text = await asyncio.wait_for(_in_a_terminal(*DEMO, "--seconds", "2", "--calm"), 40)
    before, _, shown = text.partition("\x1b[?1049h")
    shown, _, after = shown.partition("\x1b[?1049l")
    (url,) = [line.removeprefix("metrics: ") for line in before.splitlines() if line.startswith("metrics: ")]
    assert url in shown
    for words in ("INTERACTION_CREATE", "loop lag p99", "online", "Ctrl-C stops it"):
        assert words in shown
    assert "slow_acks" not in shown
    assert after.splitlines()[-1] == "stopped"


async def _in_a_terminal(*command: str) -> str:
    """What a program writes to a terminal of 80 by 24."""
    import fcntl
    import struct
    import termios

    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    text = await asyncio.to_thread(_read, ours)
    assert await process.wait() == 0
    return text


def _read(terminal: int) -> str:
    parts: list[bytes] = []
    with os.fdopen(terminal, "rb", buffering=0) as file:
        try:
            while part := file.read(65536):
                parts.append(part)
        except OSError:  # Linux says so when the last writer is gone
            pass
    return b"".join(parts).decode()


@pytest.mark.integration
async def test_a_prometheus_scrapes_it(tmp_path: Path) -> None:
    from tests.integration.programs import program

    program("prometheus")
    async with running(*DEMO, "--prometheus", "--calm", TMPDIR=str(tmp_path)) as demo:
        url = (await demo.line(r"^prometheus: (http://127\.0\.0\.1:\d+)/graph\?g0.expr=\w+&g0.tab=0$"))[1]
        family = demo.family()
        async with aiohttp.ClientSession() as http, asyncio.timeout(40):
            while not await _found(http, url):
                await asyncio.sleep(0.2)
        demo.process.terminate()
        assert (await demo.end())[0] == 0
        assert len(family) == 4
        assert await gone(family)
    assert os.listdir(tmp_path) == []  # noqa: PTH208  one look, after the end


async def _found(http: aiohttp.ClientSession, url: str) -> list[Any]:
    async with http.get(f"{url}/api/v1/query", params={"query": 'discord_shards{job="demo"} == 2'}) as response:
        return typing.cast("list[Any]", (await response.json())["data"]["result"])


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--incident", "nope"), "no incident 'nope'; there are clock_skew, close"),
        (("--incident", "close:shard=x"), "shard must be of type int, not 'x'"),
        (("--incident", "close:shard"), "'shard' is not KEY=VALUE"),
        (("--incident", "close@soon"), "'soon' is not a number of seconds"),
        (("--incident", "slow_acks:seconds=-1"), "'-1' is not a number of seconds"),
        (("--shards", "0"), "'0' is not a number from 1 to 256"),
        (("--port", "65536"), "'65536' is not a number from 0 to 65535"),
        (("--seconds", "now"), "'now' is not a number of at least 0.1"),
        (("--shard", "2", "--nope"), "--nope"),
    ],
)
def test_a_wrong_option_gives_one_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], error: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    assert error in said.err
    assert said.err.count("\n") == 1


def test_a_port_that_is_taken_is_an_error_if_it_was_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        port = owner.getsockname()[1]
        with pytest.raises(SystemExit) as ended:
            cli.main(["--port", str(port)])
        monkeypatch.setattr(cli, "DEFAULT_PORT", port)
        assert cli._free(None) == 0
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"python -m examples.demo: --port {port}: ")
    assert said.count("\n") == 1
    assert cli._free(None) == cli._free(port) == port


def test_without_rich_it_writes_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.delitem(sys.modules, "examples.demo.screen", raising=False)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert isinstance(cli._display(), Plain)
    assert capsys.readouterr().out == "rich is not installed: plain lines\n"


def test_help_names_every_incident(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    for words in ("--calm", "zombie_no_ack shard=0", "Ctrl-C"):
        assert words in said
