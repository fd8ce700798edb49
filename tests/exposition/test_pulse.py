"""A loop that stands still is noticed, and nothing else is taken for one."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from argus_exporter.exposition.pulse import Pulse
from tests.clients import until


class Told:
    """What a pulse has told."""

    def __init__(self) -> None:
        self.turned = self.alive = self.stuck = 0
        self.silences: list[float] = []
        self.errors: list[BaseException] = []
        self.pulse: Pulse | None = None

    def turn(self) -> None:
        self.turned += 1

    def live(self) -> None:
        self.alive += 1

    def stick(self, still: Callable[[], bool]) -> None:
        self.stuck += 1
        while still():
            assert self.pulse is not None
            self.silences.append(self.pulse.silence())
            time.sleep(0.01)

    def start(self, *, limit: float = 60.0, period: float = 0.02) -> Pulse:
        self.pulse = Pulse(self.turn, self.live, self.stick, self.errors.append, limit=limit, period=period)
        self.pulse.start()
        return self.pulse


@pytest.fixture
def told() -> Told:
    return Told()


async def test_a_loop_that_turns_gives_a_sign_of_life_in_each_period(told: Told) -> None:
    pulse = told.start()
    await until(lambda: told.turned > 5)
    assert 0 <= told.alive - told.turned <= 1
    assert pulse.loop_thread == threading.get_ident()
    await pulse.close()
    assert (told.stuck, told.errors) == (0, [])


async def test_a_loop_that_stands_still_is_told_once_with_its_seconds_until_it_turns(told: Told) -> None:
    pulse = told.start(limit=0.3)
    await until(lambda: told.turned)
    began = time.monotonic()
    while not (told.silences and told.silences[-1] > 0.6):
        time.sleep(0.01)  # noqa: ASYNC251 - that is the test
        assert time.monotonic() - began < 30
    took = time.monotonic() - began
    assert told.stuck == 1
    assert told.silences == sorted(told.silences)
    assert told.silences[0] >= 0.3
    assert told.silences[-1] <= took + 2 * 0.02
    alive, turned = told.alive, told.turned
    await until(lambda: told.turned > turned + 1)
    assert alive - turned <= 1
    assert told.stuck == 1
    await pulse.close()


async def test_a_silence_below_the_limit_is_known_and_not_told(told: Told) -> None:
    pulse = told.start(limit=60)
    time.sleep(0.3)  # noqa: ASYNC251 - that is the test
    assert 0.1 < pulse.silence() < 30
    await until(lambda: pulse.silence() == 0)
    assert told.stuck == 0
    await pulse.close()


async def test_a_pause_between_question_and_answer_counts_for_two_periods_at_most(told: Told) -> None:
    pulse = told.start(limit=10)
    await until(lambda: told.turned)
    time.sleep(0.1)  # noqa: ASYNC251 - from here on a question is open
    pulse._looked -= 100
    assert pulse.silence() < 1
    time.sleep(0.1)  # noqa: ASYNC251
    assert told.stuck == 0
    await pulse.close()


async def test_the_end_comes_while_the_loop_stands_still_too(told: Told) -> None:
    pulse = told.start(limit=0.05)
    while not told.stuck:
        time.sleep(0.01)  # noqa: ASYNC251 - that is the test
    closing = asyncio.ensure_future(pulse.close())
    await closing
    assert not pulse._thread.is_alive()


def test_a_loop_that_does_not_run_does_not_stand_still(told: Told) -> None:
    loop = asyncio.new_event_loop()

    async def start() -> Pulse:
        return told.start(limit=0.1)

    pulse = loop.run_until_complete(start())
    time.sleep(0.4)
    assert told.stuck == 0
    loop.run_until_complete(until(lambda: told.turned > 1))
    loop.close()
    pulse._thread.join(10)
    assert not pulse._thread.is_alive()
    assert told.errors == []


async def test_what_fails_in_the_thread_is_told_and_it_goes_on(told: Told) -> None:
    def fail() -> None:
        told.alive += 1
        raise OSError("no")

    told.live = fail  # type: ignore[method-assign]
    pulse = told.start()
    await until(lambda: told.alive > 2)
    await pulse.close()
    assert {type(error) for error in told.errors} == {OSError}


SUSPENDED = """
import asyncio, sys
from argus_exporter.exposition.pulse import Pulse

async def main():
    turned, stuck = [], []
    pulse = Pulse(lambda: turned.append(1), lambda: None, stuck.append, stuck.append, limit=1.0, period=0.1)
    pulse.start()
    while len(turned) < 3:
        await asyncio.sleep(0.01)
    print("turns", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    before = len(turned)
    while len(turned) < before + 3:
        await asyncio.sleep(0.01)
    await pulse.close()
    print(len(stuck), flush=True)

asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system cannot suspend a process")
def test_a_process_that_was_suspended_has_not_stood_still() -> None:
    command = [sys.executable, "-c", SUSPENDED]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "turns\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(2)
        process.send_signal(signal.SIGCONT)
        out, _ = process.communicate("\n", timeout=60)
    assert out == "0\n"
