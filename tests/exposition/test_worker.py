from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from argus_exporter.exposition.worker import JobError, StuckError, Worker

NAME = "test worker"


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == NAME]


@pytest.fixture
def worker() -> Iterator[Worker[int]]:
    worker = Worker[int](NAME, 10)
    yield worker
    worker.close()
    wait_for_no_thread()


def wait_for_no_thread() -> None:
    for thread in threads():
        thread.join(10)
    assert not threads()


async def test_a_job_runs_in_a_daemon_thread_of_its_own(worker: Worker[int]) -> None:
    assert not threads()
    ran: list[threading.Thread] = []
    assert await worker.ask("a", lambda: ran.append(threading.current_thread()) or 7) == 7
    assert ran[0].daemon
    assert ran[0] is not threading.current_thread()


async def test_one_thread_serves_every_job(worker: Worker[int]) -> None:
    first = await worker.ask("a", threading.get_ident)
    assert await worker.ask("b", threading.get_ident) == first


@pytest.mark.parametrize(
    "error", [ValueError("no"), SystemExit(3), KeyboardInterrupt(), StopIteration(), TimeoutError()]
)
async def test_whatever_a_job_raises_comes_as_one_error_and_the_thread_lives_on(
    worker: Worker[int], error: BaseException
) -> None:
    def fails() -> int:
        raise error

    with pytest.raises(JobError) as caught:
        await worker.ask("a", fails)
    assert caught.value.__cause__ is error
    assert await worker.ask("a", lambda: 1) == 1


async def test_jobs_of_one_key_that_wait_are_one_job_and_a_running_one_is_not_shared(worker: Worker[int]) -> None:
    started, go = threading.Event(), threading.Event()
    runs: list[int] = []

    def held() -> int:
        started.set()
        go.wait(10)
        return -1

    def counts() -> int:
        runs.append(1)
        return len(runs)

    running = asyncio.create_task(worker.ask("a", held))
    await asyncio.to_thread(started.wait, 10)
    shared = [asyncio.create_task(worker.ask("a", counts)) for _ in range(3)]
    other = asyncio.create_task(worker.ask("b", counts))
    await asyncio.sleep(0)
    go.set()
    assert await running == -1
    assert await asyncio.gather(*shared) == [1, 1, 1]
    assert await other == 2


async def test_a_stuck_job_is_waited_for_once_and_then_refuses_at_once_without_a_second_thread() -> None:
    worker, go = Worker[int](NAME, 0.2), threading.Event()
    try:
        with pytest.raises(StuckError, match=r"no answer within 0\.2 s"):
            await worker.ask("a", lambda: go.wait(30) and 1)
        while time.monotonic() - (worker._began or 0) <= 0.2:
            await asyncio.sleep(0.01)
        asked = asyncio.ensure_future(worker.ask("b", lambda: 2))
        await asyncio.sleep(0)
        assert asked.done(), "it waited for a thread that was known to be stuck"
        with pytest.raises(StuckError):
            await asked
        assert len(threads()) == 1
        worker.close()
        with pytest.raises(StuckError):
            await worker.ask("b", lambda: 2)
        assert len(threads()) == 1
    finally:
        go.set()
        worker.close()
        await asyncio.to_thread(wait_for_no_thread)


async def test_a_thread_that_was_stuck_and_came_back_is_asked_again() -> None:
    worker, go = Worker[int](NAME, 0.2), threading.Event()
    try:
        with pytest.raises(StuckError):
            await worker.ask("a", lambda: go.wait(30) and 1)
        go.set()
        while worker._began is not None:
            await asyncio.sleep(0.005)
        assert await worker.ask("a", lambda: 2) == 2
    finally:
        worker.close()
        await asyncio.to_thread(wait_for_no_thread)


async def test_close_ends_the_thread_and_a_later_question_starts_another(worker: Worker[int]) -> None:
    await worker.ask("a", lambda: 1)
    worker.close()
    await asyncio.to_thread(wait_for_no_thread)
    ran: list[threading.Thread] = []
    for _ in range(3):
        await worker.ask("a", lambda: ran.append(threading.current_thread()) or 2)
    assert len(set(ran)) == 1


async def test_a_job_that_waits_at_the_close_is_still_done(worker: Worker[int]) -> None:
    asked = asyncio.create_task(worker.ask("a", lambda: 1))
    await asyncio.sleep(0)
    worker.close()
    assert await asked == 1


def test_an_answer_for_a_loop_that_is_gone_is_dropped_and_the_thread_lives_on() -> None:
    worker, go = Worker[int](NAME, 0.05), threading.Event()

    async def gives_up() -> None:
        with pytest.raises(StuckError):
            await worker.ask("a", lambda: go.wait(30) and 1)

    asyncio.run(gives_up())
    go.set()
    worker.close()
    wait_for_no_thread()


def test_a_stuck_thread_does_not_keep_the_interpreter_from_its_exit() -> None:
    program = (
        "import asyncio, time\n"
        "from argus_exporter.exposition.worker import StuckError, Worker\n"
        "async def main():\n"
        "    try:\n"
        "        await Worker('w', 0.1).ask('a', lambda: time.sleep(600))\n"
        "    except StuckError:\n"
        "        print('gave up')\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "gave up", "")


async def test_where_the_system_has_no_thread_the_error_is_raised_and_nothing_is_kept(
    worker: Worker[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(RuntimeError, match="can't start"):
            await worker.ask("a", lambda: 1)
    assert await worker.ask("a", lambda: 2) == 2
