"""A real PostgreSQL that a test needs, on this machine and for it alone."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.programs import free_port, program

USER = "postgres" if hasattr(os, "geteuid") and os.geteuid() == 0 else None
"""Who runs it: PostgreSQL refuses to be root's."""


def binary(name: str) -> str:
    """The path of a program of the newest PostgreSQL: Debian has them in no PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    return str(found[-1]) if found else program(name)


@dataclass
class Server:
    """A PostgreSQL, whose superuser is postgres and who asks nobody for a password but those it has one of."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def url(self, database: str, user: str = "postgres") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def run(self, name: str, *arguments: str, told: str = "") -> subprocess.CompletedProcess[str]:
        command = [binary(name), *arguments]
        done = subprocess.run(command, user=USER, cwd="/", input=told, capture_output=True, text=True, check=False)
        assert done.returncode == 0 or name == "pg_isready", done.stderr
        return done

    def psql(self, statements: str, database: str = "postgres") -> str:
        """What statements of the superuser's answer."""
        return self.run("psql", "-XAtq", "-vON_ERROR_STOP=1", self.url(database), told=statements).stdout.strip()

    def start(self) -> None:
        """Run it, and wait until it answers."""
        settings = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
        command = (
            binary("postgres"),
            "-D",
            str(self.folder),
            *(f"--{name}={value}" for name, value in settings.items()),
        )
        with (self.folder / "said").open("ab") as said:
            self.process = subprocess.Popen(command, user=USER, cwd="/", stdout=said, stderr=said)
        until = time.monotonic() + 60
        while self.run("pg_isready", "-h", "127.0.0.1", "-p", str(self.port)).returncode:
            running = self.process.poll() is None and time.monotonic() < until
            assert running, (self.folder / "said").read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        """End it at once, as an accident would: what was not committed is gone."""
        assert self.process is not None
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait()


@contextlib.contextmanager
def postgresql() -> Iterator[Server]:
    """Run a PostgreSQL until the block ends. Its data lies where its user can get at it, and that is not pytest's."""
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
    try:
        if USER:
            shutil.chown(folder, USER)
        server = Server(folder)
        server.run("initdb", "--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "-D", str(folder))
        server.start()
        try:
            yield server
        finally:
            server.kill()
    finally:
        shutil.rmtree(folder)
