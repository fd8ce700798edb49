"""A UDP socket of another process, which counts the StatsD lines that come to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
import typing
from typing import Final

if typing.TYPE_CHECKING:
    from collections.abc import Iterator

LARGE: Final = 4 << 20
"""A socket's buffer, in bytes, that holds whatever comes in a round."""
_QUIET: Final = 0.2


class Receiver:
    """A UDP socket in another process: what came to it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.port = int(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    async def take(self) -> dict[str, float]:
        """What came since the last question, once nothing more comes."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        found: dict[str, float] = json.loads(await asyncio.to_thread(self._line))
        return found


@contextlib.contextmanager
def running(buffer: int = 0) -> Iterator[Receiver]:
    """Run a receiver.

    :param buffer: bytes of its socket's buffer, 0 for the system's default.
    """
    command = [sys.executable, "-m", "tests.benchmarks.receiver", str(buffer)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Receiver(process)
        finally:
            process.kill()


def _receive(buffer: int) -> None:
    """Collect what comes; at each line on stdin, tell of it once nothing more comes, and begin anew."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        if buffer:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        server.bind(("127.0.0.1", 0))
        print(server.getsockname()[1], flush=True)
        datagrams: list[bytes] = []
        threading.Thread(target=_collect, args=(server, datagrams), daemon=True).start()
        for _ in sys.stdin:
            _wait_for_quiet(datagrams)
            got, datagrams[:] = datagrams[:], []
            print(json.dumps(_counted(got)), flush=True)


def _collect(server: socket.socket, datagrams: list[bytes]) -> None:
    while True:
        datagrams.append(server.recv(65536))


def _wait_for_quiet(datagrams: list[bytes]) -> None:
    seen = -1
    while len(datagrams) != seen:
        seen = len(datagrams)
        time.sleep(_QUIET)


def _counted(datagrams: list[bytes]) -> dict[str, float]:
    """What counters without sample rates amount to, of those whose names begin with `bench`."""
    every = [line for datagram in datagrams for line in datagram.splitlines()]
    lines = [line.split(b":") for line in every if line.startswith(b"bench")]
    total = sum(float(values[1].split(b"|")[0]) for values in lines)
    series = len({values[0] for values in lines})
    return {"datagrams": len(datagrams), "lines": len(lines), "sum": total, "series": series}


if __name__ == "__main__":
    _receive(int(sys.argv[1]))
