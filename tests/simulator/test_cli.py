"""The command line, in its own process, as users run it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from examples.discord_simulator import Simulator
from examples.discord_simulator.cli import main
from examples.discord_simulator.incidents import INCIDENTS

_ROOT = Path(__file__).parents[2]


class Process:
    """One run of the command line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def line(self, part: str) -> str:
        """The next line that has this in it."""
        assert self.process.stdout is not None
        async with asyncio.timeout(20):
            while line := (await self.process.stdout.readline()).decode():
                self.lines.append(line)
                if part in line:
                    return line
        raise AssertionError(f"{part!r} is not in {self.lines}")

    async def end(self) -> tuple[int, str]:
        """Its exit code and the rest of its output."""
        async with asyncio.timeout(20):
            out, _ = await self.process.communicate()
        return self.process.returncode or 0, out.decode()


async def cli(*arguments: str) -> Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "examples.discord_simulator",
        *arguments,
        cwd=_ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    return Process(process)


@pytest.fixture
async def running() -> AsyncIterator[tuple[Process, str]]:
    started = await cli("--port", "0", "--guilds", "2", "--rate", "20", "--quick")
    url = (await started.line("Discord simulator on")).split()[3].rstrip(",")
    yield started, url
    if started.process.returncode is None:
        started.process.send_signal(signal.SIGINT)
        await started.end()


async def test_it_runs_until_interrupted_and_says_so(running: tuple[Process, str]) -> None:
    started, _ = running
    started.process.send_signal(signal.SIGINT)
    code, rest = await started.end()
    assert (code, rest) == (0, "Stopped.\n")


async def test_a_running_simulator_is_driven_from_another_process(running: tuple[Process, str]) -> None:
    started, url = running
    code, text = await (await cli("start", "slow_rest", "delay=0.1", "--url", url)).end()
    assert (code, text) == (0, "started slow_rest {'delay': 0.1}\n")
    await started.line("incident slow_rest has begun")
    code, text = await (await cli("status", "--url", url)).end()
    assert code == 0
    assert '"slow_rest"' in text
    code, text = await (await cli("stop", "all", "--url", url)).end()
    assert text == "stopped 1\n"
    await started.line("incident slow_rest is over")


@pytest.fixture
async def local(sim: Simulator) -> Simulator:
    return sim


async def _run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The command line in a thread, so that a simulator in this loop can answer it."""
    code = await asyncio.to_thread(main, arguments)
    captured = capsys.readouterr()
    return code, captured.out + captured.err


async def test_events_commands_and_traffic_are_sent(sim: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = await _run(capsys, "send", "MESSAGE_CREATE", "content=hi", "guild=1", "--url", sim.url)
    assert code == 0
    assert '"content": "hi"' in text
    code, text = await _run(capsys, "slash", "ping", "guild=1", "count=3", "--url", sim.url)
    assert text.startswith("sent ")
    assert await _run(capsys, "traffic", "25", "--url", sim.url) == (0, "traffic: 25.0 events/s\n")
    assert await _run(capsys, "traffic", "off", "--url", sim.url) == (0, "traffic is off\n")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("start", "nope"), "no incident 'nope'; there are clock_skew"),
        (("start", "slow_rest", "delay=x"), "delay must be of type float, not 'x'"),
        (("start", "slow_rest", "delay"), "'delay' is not NAME=VALUE"),
        (("send", "NOPE"), "no event 'NOPE'"),
        (("traffic", "fast"), "could not convert string to float"),
    ],
)
async def test_mistakes_get_one_clear_line(
    sim: Simulator, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], error: str
) -> None:
    code, text = await _run(capsys, *arguments, "--url", sim.url)
    assert code == 1
    assert error in text
    assert text.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--incident", "nope"), "no incident 'nope'"),
        (("--incident", "close:code=x@3"), "code must be of type int"),
        (("--incident", "close@soon"), "could not convert"),
        (("--shards", "0"), "--shards must be 1 or more"),
        (("status", "--url", "http://127.0.0.1:9"), "no simulator at http://127.0.0.1:9"),
    ],
)
def test_wrong_options_get_one_clear_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], error: str
) -> None:
    assert main(arguments) == 1
    assert error in capsys.readouterr().err


async def test_a_busy_port_is_said_in_one_line(sim: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = await _run(capsys, "run", "--port", str(sim.port))
    assert code == 1
    assert f"cannot listen on 127.0.0.1:{sim.port}" in text


def test_help_names_every_option_and_incident(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for word in (*INCIDENTS, "--port", "--shards", "--rate", "--incident", "point_at"):
        assert word in text


def test_incidents_lists_every_incident(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["incidents"]) == 0
    text = capsys.readouterr().out
    assert all(f"{name}" in text for name in INCIDENTS)
