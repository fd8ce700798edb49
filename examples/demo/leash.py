"""Run something until stdin ends, so that it cannot outlive whoever holds the other end, however that one dies.

`python -m examples.demo.leash module NAME [ARGUMENT ...]` runs a Python module, which gets a SIGINT in the end;
`python -m examples.demo.leash program PATH [ARGUMENT ...]` runs a program, which is terminated.
"""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_INTERRUPTS: Final = 2
_PATIENCE: Final = 1.5
"""Seconds between two interrupts."""


def main(kind: str, name: str, arguments: list[str]) -> int:
    """Run it; the exit code is its own, and 0 when it was ended by the leash."""
    try:
        return _program(name, arguments) if kind == "program" else _module(name, arguments)
    except KeyboardInterrupt:
        return 0


def _module(name: str, arguments: list[str]) -> int:
    _at_the_end_of_stdin(_interrupt)
    sys.argv[1:] = arguments
    runpy.run_module(name, run_name="__main__", alter_sys=True)
    return 0


def _interrupt() -> None:
    """Interrupt the main thread, until it heeds: discord.py may take the first for a failed attempt to connect."""
    for _ in range(_INTERRUPTS):
        signal.raise_signal(signal.SIGINT)
        time.sleep(_PATIENCE)
    os._exit(1)


def _program(path: str, arguments: list[str]) -> int:
    with subprocess.Popen([path, *arguments], stdin=subprocess.DEVNULL) as program:  # noqa: S603  the demo names it
        _at_the_end_of_stdin(program.terminate)
        return program.wait()


def _at_the_end_of_stdin(then: Callable[[], object]) -> None:
    def watch() -> None:
        # Not sys.stdin: a thread that is still in its lock when Python ends would abort the process.
        while os.read(0, 4096):
            pass
        then()

    threading.Thread(target=watch, name="leash", daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
