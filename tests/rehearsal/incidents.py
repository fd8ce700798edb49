"""What goes wrong: async context managers, what comes before the ``yield`` breaks, what follows heals."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Final

from tests.rehearsal.scene import Process, Scene

NOTICED: Final = 6.0
"""Real seconds after which Prometheus knows that a target is gone from a file: it looks every five."""

Incident = Callable[[Scene], AbstractAsyncContextManager[None]]


def discord(name: str, **parameters: Any) -> Incident:
    """An incident of the simulator that lasts."""

    @contextlib.asynccontextmanager
    async def run(scene: Scene) -> AsyncIterator[None]:
        async with scene.sim.during(name, **parameters):
            yield

    return run


def discord_once(name: str, **parameters: Any) -> Incident:
    """An incident of the simulator that happens and is over."""

    @contextlib.asynccontextmanager
    async def run(scene: Scene) -> AsyncIterator[None]:
        await scene.sim.incident(name, **parameters)
        yield

    return run


def discord_often(name: str, *, every: float, times: int, **parameters: Any) -> Incident:
    """The same so many times, so many minutes apart, where the shard is there."""

    @contextlib.asynccontextmanager
    async def run(scene: Scene) -> AsyncIterator[None]:
        for _ in range(times):
            with contextlib.suppress(LookupError):
                await scene.sim.incident(name, **parameters)
            await _minutes(scene, every)
        yield

    return run


def use(command: str, rate: float) -> Incident:
    """People use a command so often per second, real seconds."""

    @contextlib.asynccontextmanager
    async def run(scene: Scene) -> AsyncIterator[None]:
        before, scene.uses[command] = scene.uses[command], rate
        yield
        scene.uses[command] = before

    return run


def tell(word: str, argument: object = "", *, then: str = "") -> Incident:
    """The bot is told to do something, and at the end something else."""

    @contextlib.asynccontextmanager
    async def run(scene: Scene) -> AsyncIterator[None]:
        await scene.tell(word, argument)
        yield
        if then:
            await scene.tell(then)

    return run


def tell_often(word: str, *, every: float, argument: object = "", minutes: float = 0.0) -> Incident:
    """The bot is told to do something every so many minutes: for some minutes, or until the end."""

    @contextlib.asynccontextmanager
    async def run(scene: Scene) -> AsyncIterator[None]:
        async def repeat() -> None:
            while True:
                await scene.tell(word, argument)
                await _minutes(scene, every)

        task = asyncio.create_task(repeat())
        try:
            if minutes:
                await _minutes(scene, minutes)
                task.cancel()
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return run


def together(*incidents: Incident) -> Incident:
    """Several incidents at once, begun in order."""

    @contextlib.asynccontextmanager
    async def run(scene: Scene) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for each in incidents:
                await stack.enter_async_context(each(scene))
            yield

    return run


@contextlib.asynccontextmanager
async def nothing(scene: Scene) -> AsyncIterator[None]:
    """All is well."""
    yield


@contextlib.asynccontextmanager
async def killed(scene: Scene) -> AsyncIterator[None]:
    """The first process is killed, and started again at the end."""
    await scene.processes[0].kill()
    yield
    await _start_again(scene)


@contextlib.asynccontextmanager
async def frozen(scene: Scene) -> AsyncIterator[None]:
    """The first process does not run for a while."""
    scene.processes[0].send(signal.SIGSTOP)
    yield
    scene.processes[0].send(signal.SIGCONT)


def restarted(times: int, *, every: float) -> Incident:
    """The first process is killed and started again, several times, so many minutes apart."""

    @contextlib.asynccontextmanager
    async def run(scene: Scene) -> AsyncIterator[None]:
        for _ in range(times):
            await scene.processes[0].prepare()
            await scene.processes[0].kill()
            await _start_again(scene)
            await _minutes(scene, every)
        yield

    return run


def ended(cause: Incident, *, minutes: float) -> Incident:
    """Discord ends the client for good; after some minutes the cause is mended and the process started again."""

    @contextlib.asynccontextmanager
    async def run(scene: Scene) -> AsyncIterator[None]:
        async with cause(scene):
            await scene.processes[0].ended()
            await _minutes(scene, minutes)
        await _start_again(scene)
        yield

    return run


@contextlib.asynccontextmanager
async def unlisted(scene: Scene) -> AsyncIterator[None]:
    """The last process is taken from the list of targets, though it runs, and is put back at the end."""
    scene.unlisted = {scene.processes[-1]}
    yield
    scene.unlisted = set()


@contextlib.asynccontextmanager
async def given_up(scene: Scene) -> AsyncIterator[None]:
    """The last process is taken from the list and ended, and there again at the end."""
    async with unlisted(scene):
        await asyncio.sleep(NOTICED)
        await scene.processes[-1].kill()
        yield
        await scene.processes[-1].start()
        await scene.up()


@contextlib.asynccontextmanager
async def shut_out(scene: Scene) -> AsyncIterator[None]:
    """The first process is started again while Discord takes no connection."""
    await scene.processes[0].prepare()
    await scene.processes[0].kill()
    async with scene.sim.during("gateway_refuses"):
        await scene.processes[0].start()
        yield
    await scene.up()


@contextlib.asynccontextmanager
async def statsd_away(scene: Scene) -> AsyncIterator[None]:
    """Nobody takes what the bot pushes."""
    scene.listen_no_more()
    yield
    await scene.listen()


@contextlib.asynccontextmanager
async def database_away(scene: Scene) -> AsyncIterator[None]:
    """The database that the bot records into is not there."""
    assert scene.database is not None
    scene.database.kill()
    yield
    await asyncio.to_thread(scene.database.start)


@contextlib.asynccontextmanager
async def database_never_there(scene: Scene) -> AsyncIterator[None]:
    """The same when the first process starts."""
    await scene.processes[0].prepare()
    await scene.processes[0].kill()
    async with database_away(scene):
        await _start_again(scene)
        yield


@contextlib.asynccontextmanager
async def folder_away(scene: Scene) -> AsyncIterator[None]:
    """The folder of the target files is not there."""
    with scene.without_folder():
        yield


def joined(process: Process) -> Incident:
    """One process more, until the end."""

    @contextlib.asynccontextmanager
    async def run(scene: Scene) -> AsyncIterator[None]:
        more = await scene.join(process)
        await scene.up()
        yield
        scene.processes.remove(more)
        await asyncio.sleep(NOTICED)
        await more.kill()

    return run


async def _start_again(scene: Scene) -> None:
    await scene.processes[0].start()
    await scene.up()


async def _minutes(scene: Scene, minutes: float) -> None:
    """Wait for minutes, scaled."""
    await asyncio.sleep(minutes * 60 / scene.factor)
