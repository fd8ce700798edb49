"""The watchdog on real loops that really stand still."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import math
import re
import signal
import subprocess
import sys
import threading
import time
import typing

import pytest

from argus_exporter.collectors import watchdog
from argus_exporter.collectors.watchdog import Frames, Watchdog, frames_of, written

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

pytestmark = pytest.mark.flaky(reruns=2, only_rerun=["AssertionError", "TimeoutError"])
"""A machine that stands still by itself for a moment spoils one run; a mistake spoils them all."""

LOGGER = "argus_exporter.watchdog"
STALL = 0.2
BEAT = 0.02


@pytest.fixture(autouse=True)
def _everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, LOGGER)


@contextlib.asynccontextmanager
async def watched(stall_seconds: float = STALL, period: float = BEAT) -> AsyncIterator[Watchdog]:
    """A watchdog whose loop beats, as long as nothing blocks it."""
    loop = asyncio.get_running_loop()
    dog = Watchdog(loop, stall_seconds)

    async def beats() -> None:
        while True:
            now = time.monotonic()
            dog.beat(now, now + period)
            await asyncio.sleep(period)

    task = asyncio.create_task(beats())
    await asyncio.sleep(0)
    dog.start()
    try:
        yield dog
    finally:
        task.cancel()
        await dog.close()


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def infos_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]


def read_a_huge_file_without_a_thread(seconds: float) -> None:
    time.sleep(seconds)


def recurse(depth: int, seconds: float) -> None:
    if depth:
        recurse(depth - 1, seconds)
    else:
        time.sleep(seconds)


def dogs() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == LOGGER]


async def test_a_stall_is_logged_with_the_function_that_blocks(caplog: pytest.LogCaptureFixture) -> None:
    async with watched():
        read_a_huge_file_without_a_thread(0.6)
    (message,) = warnings_of(caplog)
    assert "blocked for 0." in message
    innermost = message.splitlines()[-2:]
    assert "read_a_huge_file_without_a_thread" in innermost[0]
    assert innermost[1].strip() == "time.sleep(seconds)"
    assert message.index("test_a_stall_is_logged_with_the_function") < message.index("in read_a_huge_file")


async def test_a_stall_is_logged_while_it_lasts(caplog: pytest.LogCaptureFixture) -> None:
    async with watched():
        began = time.time()
        read_a_huge_file_without_a_thread(1.0)
        ended = time.time()
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert began < record.created < ended
    said = re.search(r"blocked for (\d\.\d\d) s so far", record.getMessage())
    assert said
    assert STALL <= float(said[1]) <= record.created - began + 0.3


async def test_one_long_stall_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async with watched():
        read_a_huge_file_without_a_thread(STALL * 8)
        await until(lambda: infos_of(caplog))
    assert len(warnings_of(caplog)) == 1


async def test_two_stalls_are_logged_twice(caplog: pytest.LogCaptureFixture) -> None:
    async with watched():
        read_a_huge_file_without_a_thread(STALL * 2)
        await until(lambda: len(infos_of(caplog)) == 1)
        recurse(1, STALL * 2)
        await until(lambda: len(infos_of(caplog)) == 2)
    first, second = warnings_of(caplog)
    assert "read_a_huge_file_without_a_thread" in first
    assert "in recurse" in second
    assert "read_a_huge_file_without_a_thread" not in second


async def test_the_end_of_a_stall_is_logged_with_its_whole_length(caplog: pytest.LogCaptureFixture) -> None:
    async with watched():
        began = time.monotonic()
        read_a_huge_file_without_a_thread(0.7)
        blocked = time.monotonic() - began
        await until(lambda: infos_of(caplog))
    (message,) = infos_of(caplog)
    said = re.search(r"it was blocked for (\d\.\d\d) s", message)
    assert said
    assert 0.7 - BEAT - 0.01 <= float(said[1]) <= blocked + 0.2


async def test_a_stall_that_is_short_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with watched(stall_seconds=5) as dog:
        read_a_huge_file_without_a_thread(0.3)
        await asyncio.sleep(0.05)
        assert dog.errors == 0
    assert not caplog.records


async def test_a_heartbeat_slower_than_stall_seconds_is_no_stall(caplog: pytest.LogCaptureFixture) -> None:
    async with watched(stall_seconds=0.3, period=1.0) as dog:
        first = dog._due
        await until(lambda: dog._due != first)
    assert not caplog.records


async def test_a_healthy_loop_wakes_the_watchdog_once_in_stall_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    look = Watchdog._look

    def counted(dog: Watchdog) -> None:
        looks.append(time.monotonic())
        look(dog)

    monkeypatch.setattr(Watchdog, "_look", counted)
    async with watched():
        await until(lambda: len(looks) >= 4)
    assert all(after - before >= STALL - BEAT for before, after in itertools.pairwise(looks))


async def test_a_long_stall_costs_a_look_in_a_quarter_of_stall_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    look = Watchdog._look

    def counted(dog: Watchdog) -> None:
        looks.append(time.monotonic())
        look(dog)

    monkeypatch.setattr(Watchdog, "_look", counted)
    async with watched():
        looks.clear()
        read_a_huge_file_without_a_thread(STALL * 5)
        assert 2 <= len(looks) <= 5 * 4 + 1


async def test_the_stack_has_twenty_frames_at_most_and_keeps_the_innermost(caplog: pytest.LogCaptureFixture) -> None:
    async with watched():
        recurse(300, STALL * 3)
    (message,) = warnings_of(caplog)
    assert message.count('File "') <= watchdog.FRAMES
    assert len(message) <= watchdog.FRAMES * (watchdog.FRAME_CHARACTERS + 1) + 100
    assert message.splitlines()[-1].strip() == "time.sleep(seconds)"


def test_a_stack_is_bounded_in_frames_and_characters() -> None:
    source = f"def block(step):\n    step(){' ' * 3000}; {'x = 1;' * 400}\n"
    namespace: dict[str, Callable[[Callable[[], None]], None]] = {}
    exec(compile(source, "n" * 900, "exec"), namespace)  # noqa: S102 - a file with a very long name
    stacks: list[str] = []

    def even(depth: int) -> None:
        odd(depth - 1)

    def odd(depth: int) -> None:
        if depth <= 0:
            namespace["block"](lambda: stacks.append(written(frames_of(threading.get_ident()))))
        else:
            even(depth - 1)

    even(100)
    (stack,) = stacks
    entries = re.split(r"\n(?=  File)", stack)
    assert len(entries) == watchdog.FRAMES
    assert max(map(len, entries)) == watchdog.FRAME_CHARACTERS
    assert "in frames_of" in entries[-1]


def test_the_stack_of_a_thread_that_has_ended_is_empty() -> None:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    ident = thread.ident
    thread.join()
    assert ident is not None
    assert written(frames_of(ident)) == ""


def test_a_loop_in_another_thread_is_watched_too(caplog: pytest.LogCaptureFixture) -> None:
    async def stalled() -> None:
        async with watched():
            read_a_huge_file_without_a_thread(STALL * 3)

    thread = threading.Thread(target=asyncio.run, args=(stalled(),))
    thread.start()
    thread.join()
    (message,) = warnings_of(caplog)
    assert "read_a_huge_file_without_a_thread" in message
    assert "test_a_loop_in_another_thread" not in message


async def test_a_stack_of_a_stall_that_ended_meanwhile_is_not_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watched(stall_seconds=30) as dog:

        def slow(thread: int) -> Frames:
            dog.beat(time.monotonic(), time.monotonic() + 60)
            return frames_of(thread)

        monkeypatch.setattr(watchdog, "frames_of", slow)
        dog._tell_stall(dog._due, 31.0)
    assert not caplog.records


class Raising(logging.Handler):
    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error
        self.messages: list[str] = []

    def handle(self, record: logging.LogRecord) -> bool:
        self.messages.append(record.getMessage())
        raise self.error


@contextlib.contextmanager
def logging_to(handler: logging.Handler) -> Iterator[None]:
    logger = logging.getLogger(LOGGER)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@pytest.mark.parametrize("error", [RuntimeError("disk full"), SystemExit(1)])
async def test_a_handler_that_raises_is_counted_and_the_next_stall_is_logged(error: BaseException) -> None:
    handler = Raising(error)
    with logging_to(handler):
        async with watched() as dog:
            read_a_huge_file_without_a_thread(STALL * 4)
            await until(lambda: dog.errors == 2)
            recurse(1, STALL * 4)
            await until(lambda: dog.errors == 4)
    kinds = ["so far" if "so far" in message else "runs again" for message in handler.messages]
    assert kinds == ["so far", "runs again", "so far", "runs again"]
    assert not dogs()


async def test_close_ends_the_thread() -> None:
    async with watched(stall_seconds=3600):
        (thread,) = dogs()
        assert thread.daemon
        await asyncio.sleep(0.02)
        began = time.monotonic()
    assert time.monotonic() - began < watchdog.CLOSE_SECONDS / 2
    assert not dogs()


async def test_close_before_start_returns() -> None:
    await asyncio.wait_for(Watchdog(asyncio.get_running_loop(), 1).close(), 5)


class Stuck(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.free = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.entered.set()
        self.free.wait(30)


async def test_a_handler_that_is_stuck_does_not_hold_up_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "CLOSE_SECONDS", 0.2)
    handler = Stuck()
    with logging_to(handler):
        async with watched():
            read_a_huge_file_without_a_thread(STALL * 3)
            assert handler.entered.is_set()
            began = time.monotonic()
        assert 0.2 <= time.monotonic() - began < 5
        (thread,) = dogs()
        handler.free.set()
        thread.join(5)
    assert not dogs()


def test_the_thread_ends_by_itself_when_the_loop_was_closed_without_a_word() -> None:
    loop = asyncio.new_event_loop()

    async def start() -> Watchdog:
        dog = Watchdog(loop, 0.1)
        dog.beat(time.monotonic(), time.monotonic())
        dog.start()
        return dog

    dog = loop.run_until_complete(start())
    loop.close()
    dog._thread.join(10)
    assert not dog._thread.is_alive()


def test_a_loop_that_does_not_run_is_not_stalled(caplog: pytest.LogCaptureFixture) -> None:
    with asyncio.Runner() as runner:

        async def start() -> Watchdog:
            dog = Watchdog(asyncio.get_running_loop(), 0.1)
            dog.beat(time.monotonic(), time.monotonic() + 0.05)
            dog.start()
            return dog

        dog = runner.run(start())
        time.sleep(0.8)
        assert dog.late(time.monotonic()) < 0.5

        async def end() -> None:
            await dog.close()

        runner.run(end())
    assert not warnings_of(caplog)


async def test_a_beat_that_is_early_is_not_late() -> None:
    dog = Watchdog(asyncio.get_running_loop(), 1)
    assert dog.late(time.monotonic()) == 0
    assert dog.beat(10.0, 11.0) == 0
    assert dog.late(10.9) == 0
    assert dog.beat(10.9, 12.0) == 0
    assert math.isclose(dog.late(12.5), 0.5)
    assert math.isclose(dog.beat(12.75, 13.0), 0.75)


async def test_only_a_watchdog_that_overslept_by_a_minute_tells_of_a_pause() -> None:
    dog = Watchdog(asyncio.get_running_loop(), 1)
    now = time.monotonic()
    dog.beat(now - 200, now - 100)
    cpu = math.inf  # no CPU time was used, however long this test takes
    dog._asleep = (now - watchdog.PAUSE_SECONDS + 1, cpu)
    assert math.isclose(dog.late(now), 100)
    dog._asleep = (now - watchdog.PAUSE_SECONDS - 1, cpu)
    assert dog.late(now) == 0


PAUSED = """
import asyncio, logging, sys, time
from argus_exporter.collectors import watchdog
from argus_exporter.collectors.watchdog import Watchdog

logging.basicConfig(level=logging.INFO, format="LOG %(message)s", stream=sys.stdout)
watchdog.PAUSE_SECONDS = 1.0

class Slow(logging.Handler):
    def emit(self, record):
        time.sleep(2.5)

async def main(what):
    dog = Watchdog(asyncio.get_running_loop(), 0.3)
    longest = 0.0
    def beat():
        nonlocal longest
        now = time.monotonic()
        longest = max(longest, dog.beat(now, now + 0.02))
        asyncio.get_running_loop().call_later(0.02, beat)
    beat()
    dog.start()
    await asyncio.sleep(0.1)
    if what == "stop":
        print("READY", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
    elif what == "sleep":
        time.sleep(2.5)
    elif what == "handler":
        logging.getLogger("argus_exporter.watchdog").addHandler(Slow())
        time.sleep(2.5)
    elif what == "gil":
        began = time.monotonic()
        while time.monotonic() - began < 0.01: pass
        pow(7, int(sys.argv[2]))
        print(f"TOOK {time.monotonic() - began}\\n", end="", flush=True)
    await asyncio.sleep(0.5)
    print(f"LONGEST {longest}\\n", end="", flush=True)  # at once: a thread logs to the same stream
    await dog.close()

asyncio.run(main(sys.argv[1]))
"""


def run_paused(*arguments: str, act: Callable[[subprocess.Popen[str]], None] = lambda _: None) -> str:
    command = [sys.executable, "-c", PAUSED, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        act(process)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return out


def longest_of(out: str) -> float:
    said = re.search(r"LONGEST (\S+)", out)
    assert said
    return float(said[1])


def stop_for_a_while(process: subprocess.Popen[str]) -> None:
    assert process.stdout
    assert process.stdin
    assert process.stdout.readline() == "READY\n"
    process.send_signal(signal.SIGSTOP)
    time.sleep(3)
    process.send_signal(signal.SIGCONT)
    process.stdin.write("\n")


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGSTOP")
def test_a_process_that_was_suspended_is_not_a_stall_and_says_so() -> None:
    out = run_paused("stop", act=stop_for_a_while)
    assert longest_of(out) < 1
    assert "so far" not in out
    said = re.search(r"This process did not run for (\d) s", out)
    assert said
    assert 2 <= int(said[1]) <= 4
    assert out.count("did not run") == 1


def test_a_loop_that_sleeps_is_a_stall_however_long() -> None:
    out = run_paused("sleep")
    assert longest_of(out) >= 2.4
    assert "did not run" not in out


def test_a_watchdog_held_up_in_a_logging_handler_is_not_taken_for_a_pause() -> None:
    out = run_paused("handler")
    assert longest_of(out) >= 2.4
    assert "did not run" not in out


def exponent_of_seconds(seconds: float) -> int:
    """What ``pow(7, n)``, which keeps the GIL, takes that long for."""
    exponent = 100_000
    while True:
        began = time.perf_counter()
        pow(7, exponent)
        if time.perf_counter() - began > seconds:
            return exponent
        exponent *= 2


def test_code_that_computes_and_keeps_the_gil_is_a_stall() -> None:
    out = run_paused("gil", str(exponent_of_seconds(2.5)))
    took = re.search(r"TOOK (\S+)", out)
    assert took
    assert longest_of(out) >= float(took[1]) - 0.1
    assert "did not run" not in out
    assert "so far" in out
