"""ClickHouse's engine behind a stand-in for its HTTP interface, in a process of its own.

The engine is the real one (chdb, which has no server in it). The server is ours: it speaks of ClickHouse's HTTP
interface what clickhouse-connect uses, and hands the bytes to the engine and back. Nothing here proves how a real
server behaves where the engine is not asked: logins, timeouts, limits of connections.

    python -m tests.analytics.engine PORT FOLDER
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.integration.programs import free_port

USER, PASSWORD = "argus", "sesame opens"
"""Who is let in."""

_LOGIN = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

_TRANSPORT = re.compile(
    r"database|query|query_id|param_.*|session_.*|client_protocol_version|wait_end_of_query|.*_http_.*|compress"
)
"""Parameters of a request that are no settings of the engine."""

_STATUS = {516: 403, 60: 404, 81: 404, 497: 403}
"""Of the answer by the exception's code; 500 of all others."""

_FAREWELL = 5.0

ROOT = Path(__file__).parents[2]


class EngineError(Exception):
    """An exception of the engine."""


class Server:
    """The HTTP interface of one engine, of which there is one in a process."""

    def __init__(self, folder: str) -> None:
        import chdb

        self._connect: Any = chdb.connect
        self._folder = folder
        self._engine = chdb.connect(folder)
        self._files = Path(f"{folder}.bodies")
        self._files.mkdir(exist_ok=True)

    def application(self) -> web.Application:
        app = web.Application(client_max_size=2**30)
        app.router.add_get("/ping", lambda _: _pong())
        app.router.add_route("*", "/", self.answer)
        return app

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            _let_in(request)
            shown, result = await asyncio.to_thread(self.run, request.query, body)
        except EngineError as error:
            code = int((re.search(r"Code: (\d+)", str(error)) or ["", "1001"])[1])
            head = {"X-ClickHouse-Exception-Code": str(code)}
            return web.Response(status=_STATUS.get(code, 500), text=str(error), headers=head)
        head = {"X-ClickHouse-Summary": json.dumps({"elapsed_ns": "0"}), "X-ClickHouse-Timezone": "UTC"}
        if shown:
            head["X-ClickHouse-Format"] = shown
        if result and request.query.get("enable_http_compression") == "1":
            head["Content-Encoding"], result = "gzip", gzip.compress(result, 1)
        return web.Response(body=result, headers=head, content_type="text/plain")

    def run(self, asked: Mapping[str, str], body: bytes) -> tuple[str, bytes]:
        """Execute a request in a session of its own; the format of what came of it, and its bytes."""
        sql = f"{asked['query']}\n".encode() + body if "query" in asked else body
        with self._file(sql) as statement:
            return self._execute(statement, asked)

    @contextlib.contextmanager
    def _file(self, sql: bytes) -> Iterator[bytes]:
        """A statement whose data, if it has any, are in a file: the engine takes them for SQL where they follow it."""
        insertion = re.match(rb"(INSERT INTO .*) (FORMAT \w+)\n", sql)
        if not insertion:
            yield sql
            return
        with tempfile.NamedTemporaryFile(dir=self._files) as file:
            file.write(sql[insertion.end() :])
            file.flush()
            yield insertion[1] + f" FROM INFILE '{file.name}' ".encode() + insertion[2]

    def _execute(self, sql: bytes, asked: Mapping[str, str]) -> tuple[str, bytes]:
        named = re.search(rb"\bFORMAT\s+(\w+)\s*;?\s*\Z", sql, re.IGNORECASE)
        params = {name.removeprefix("param_"): value for name, value in asked.items() if name.startswith("param_")}
        session = self._connect(self._folder)
        try:
            session.query(f"USE `{asked.get('database', 'default')}`")
            for name, value in asked.items():
                if not _TRANSPORT.fullmatch(name):
                    session.query(f"SET {name} = '{value}'")
            result = session.query(sql, "TabSeparated", params=params).bytes()
        except RuntimeError as error:
            raise EngineError(str(error)) from None
        finally:
            session.close()
        return (named[1].decode() if named else "TabSeparated" if result else ""), result


async def _pong() -> web.Response:
    return web.Response(text="Ok.\n")


def _let_in(request: web.Request) -> None:
    if request.headers.get("Authorization") != f"Basic {_LOGIN}":
        raise EngineError("Code: 516. DB::Exception: Authentication failed. (AUTHENTICATION_FAILED)")


class Engine:
    """A running stand-in, which can be killed and started again, on the same port and with the same data."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str, options: str = "", port: int | None = None) -> str:
        """What the settings take."""
        secret = PASSWORD.replace(" ", "%20")
        return f"clickhouse://{USER}:{secret}@127.0.0.1:{port or self.port}/{database}{options}"

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.analytics.engine", str(self.port), str(self._folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT)

    async def ready(self) -> None:
        """Wait until it answers."""
        async with asyncio.timeout(60), aiohttp.ClientSession() as http:
            while True:
                assert self._process is not None
                assert self._process.poll() is None, "the engine has ended"
                with contextlib.suppress(aiohttp.ClientError):
                    async with http.get(f"http://127.0.0.1:{self.port}/ping") as response:
                        if response.status == 200:
                            return
                await asyncio.sleep(0.05)

    def kill(self) -> None:
        """End it in the middle of whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_FAREWELL)
        self._process = None

    async def rows(self, sql: str, database: str = "default", **params: object) -> list[tuple[Any, ...]]:
        """What a statement finds, asked without the client under test; parameters are ``{name:Type}`` in it."""
        asked = {f"param_{name}": str(value) for name, value in params.items()}
        answer = await self.do(f"{sql} FORMAT JSONCompactEachRow", database, **asked)
        return [tuple(json.loads(line)) for line in answer.splitlines()]

    async def do(self, sql: str, database: str = "default", **asked: str) -> str:
        """Execute a statement."""
        where, params = f"http://127.0.0.1:{self.port}/", {"database": database, **asked}
        async with aiohttp.ClientSession(headers={"Authorization": f"Basic {_LOGIN}"}) as http:
            async with http.post(where, params=params, data=sql) as response:
                answer = await response.text()
        assert response.status == 200, answer
        return answer


@contextlib.contextmanager
def engine(folder: Path) -> Iterator[Engine]:
    """An engine of its own. Skips where chdb is absent, and fails where the services are required."""
    if importlib.util.find_spec("chdb") is None:
        reason = "chdb is not installed: make engine"
        (pytest.fail if os.environ.get("ARGUS_REQUIRE_SERVICES") == "1" else pytest.skip)(reason)
    found = Engine(folder)
    found.start()
    try:
        yield found
    finally:
        found.kill()


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Engine]:
    """An engine of its own that answers."""
    with engine(folder) as found:
        await found.ready()
        yield found


if __name__ == "__main__":
    web.run_app(Server(sys.argv[2]).application(), host="127.0.0.1", port=int(sys.argv[1]), print=None)
