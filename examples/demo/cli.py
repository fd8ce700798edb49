"""The command line of the demo."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import os
import signal
import socket
import sys
import tempfile
import typing
from pathlib import Path
from typing import Any, Final

from examples.demo import incidents
from examples.demo.children import Children, Ended
from examples.demo.demo import Demo, Display, Options
from examples.demo.plain import Plain, say
from examples.discord_simulator.cli import incident_table

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

PROGRAM: Final = "python -m examples.demo"
DEFAULT_PORT: Final = 9191
_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


class Parser(argparse.ArgumentParser):
    """One that says in one line what is wrong."""

    def error(self, message: str) -> typing.NoReturn:
        """End with exit code 2."""
        self.exit(2, f"{PROGRAM}: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; the exit code is 0 when it was stopped, 1 when something broke, 2 for wrong options."""
    given = _parser().parse_args(argv)
    options = Options(
        shards=given.shards,
        guilds=given.guilds,
        rate=given.rate,
        port=_free(given.port),
        seconds=given.seconds,
        incidents=tuple(given.incident),
        calm=given.calm,
        prometheus=given.prometheus,
    )
    try:
        asyncio.run(_until_stopped(options, Plain() if given.plain else _display()))
    except BrokenPipeError:
        return 0
    except (Ended, TimeoutError) as problem:
        print(f"{PROGRAM}: {str(problem) or 'it did not start in time'}", file=sys.stderr)
        return 1
    say("stopped")
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        description="A bot under load on a simulated Discord, and what its exporter says. Ctrl-C stops it.",
        epilog="incidents (parameters with their defaults):\n" + "\n".join(f"  {line}" for line in incident_table()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--shards", type=_number(int, 1, 256), default=4, help="shards of the bot (default: 4)")
    add("--guilds", type=_number(int, 0, 100_000), default=40, help="guilds that it is in (default: 40)")
    add("--rate", type=_number(float, 0, 20_000), default=200.0, help="events per second (default: 200)")
    add("--port", type=_number(int, 0, 65535), help="port of the metrics, 0 for any (default: 9191 if it is free)")
    add("--seconds", type=_number(float, 0.1, math.inf), help="stop after so long (default: at Ctrl-C)")
    add("--prometheus", action="store_true", help="start a Prometheus that scrapes it, if one is installed")
    add("--plain", action="store_true", help="write lines, as it does where stdout is no terminal")
    add("--calm", action="store_true", help="let nothing go wrong")
    add(
        "--incident",
        type=_incident,
        action="append",
        default=[],
        metavar="NAME[:KEY=VALUE,...][@SECONDS]",
        help="let this go wrong, so long after all shards are up, instead of one thing after another; may be repeated",
    )
    return parser


def _number(kind: type[int | float], least: float, most: float) -> Callable[[str], int | float]:
    def parse(text: str) -> int | float:
        with contextlib.suppress(ValueError):
            if least <= (value := kind(text)) <= most:
                return value
        bounds = f"from {least:g} to {most:g}" if math.isfinite(most) else f"of at least {least:g}"
        raise argparse.ArgumentTypeError(f"{text!r} is not a number {bounds}")

    return parse


def _incident(text: str) -> incidents.Planned:
    try:
        return incidents.parse(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


def _free(port: int | None) -> int:
    """The port to use; 0 leaves the choice to the exporter. Ends the program if the wanted one is taken."""
    if port is None:
        return DEFAULT_PORT if _can_listen(DEFAULT_PORT) is None else 0
    problem = _can_listen(port)
    if problem:
        _parser().error(f"--port {port}: {problem}")
    return port


def _can_listen(port: int) -> str | None:
    """Why nobody can listen there now; None where one can."""
    with socket.socket() as probe:
        if os.name == "posix":  # elsewhere it would share the port with its owner
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as problem:
            return problem.strerror
    return None


def _display() -> Display:
    """The live one where there is a terminal and rich for it."""
    if not sys.stdout.isatty():
        return Plain()
    try:
        from examples.demo.screen import Screen  # noqa: PLC0415  it may not be installed
    except ImportError:
        say("rich is not installed: plain lines")
        return Plain()
    screen = Screen()
    return screen if screen.usable else Plain()


async def _until_stopped(options: Options, display: Display) -> None:
    stop = asyncio.Event()
    with _signals(stop.set), tempfile.TemporaryDirectory(prefix="argus-demo-") as folder:
        async with Children() as children:
            work = asyncio.create_task(Demo(options, display, children, Path(folder)).run())
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait((work, stopping), return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            work.cancel()
            await asyncio.wait((work, stopping))
        problem = None if work.cancelled() else work.exception()
        if problem is not None:
            raise _first(problem)


def _first(problem: BaseException) -> BaseException:
    """The first exception of a group, else the exception itself."""
    while isinstance(problem, BaseExceptionGroup):
        problem = typing.cast("BaseExceptionGroup[BaseException]", problem).exceptions[0]
    return problem


@contextlib.contextmanager
def _signals(stop: Callable[[], object]) -> Generator[None]:
    """Stop at a signal, and only once: what follows is quick. Works where loops know no signals, too."""
    loop = asyncio.get_running_loop()

    def handle(_: int, __: Any) -> None:
        loop.call_soon_threadsafe(stop)

    wanted = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    before = {number: signal.signal(number, handle) for number in wanted if not _is_ignored_hangup(number)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_ignored_hangup(number: int) -> bool:
    """Whether `nohup` asked to go on without a terminal."""
    return number == getattr(signal, "SIGHUP", None) and signal.getsignal(number) == signal.SIG_IGN
