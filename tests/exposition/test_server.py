from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import logging
import re
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from argus_exporter.exposition import reply as reply_module
from argus_exporter.exposition import server as server_module
from argus_exporter.exposition.door import Listening
from argus_exporter.exposition.gate import Gate
from argus_exporter.exposition.reply import Reply
from argus_exporter.exposition.server import CONNECTIONS, GRACE_SECONDS, Server
from argus_exporter.settings import Settings
from argus_exporter.version import VERSION

NAME = "argus_exporter.exposition.server"


@dataclasses.dataclass
class Address:
    host: str = "127.0.0.1"
    port: int | range | None = 0
    metrics_path: str = "/metrics"


async def metrics(request: web.BaseRequest) -> web.StreamResponse:
    reply = Reply([b"up 1\n"], headers={"Content-Type": "text/plain"})
    await reply.send(request)
    return reply


@contextlib.asynccontextmanager
async def running(address: Address | None = None, handler: server_module.Handler = metrics) -> AsyncIterator[Server]:
    server = Server(address or Address(), handler)
    await server.start()
    try:
        yield server
    finally:
        await server.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with running() as server:
        yield server


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    """A port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(server_module, "RETRY_SECONDS", 0.02)
    caplog.set_level(logging.INFO, NAME)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.002)


def url(server: Server, path: str) -> str:
    return f"http://127.0.0.1:{server.port}{path}"


async def raw(server: Server, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return answer


# ------------------------------------------------------------------------------------------ what is served


async def test_the_metrics_are_at_their_path(server: Server, http: aiohttp.ClientSession) -> None:
    async with http.get(url(server, "/metrics?a=b")) as response:
        assert (response.status, await response.text()) == (200, "up 1\n")
        assert "Server" not in response.headers


async def test_the_real_settings_are_an_address(http: aiohttp.ClientSession) -> None:
    server = Server(Settings(port=0, metrics_path="/bot/metrics"), metrics)
    await server.start()
    async with http.get(url(server, "/bot/metrics")) as response:
        assert response.status == 200
    await server.close()


async def test_the_index_names_the_version_and_leads_to_the_metrics(
    server: Server, http: aiohttp.ClientSession
) -> None:
    async with http.get(url(server, "/")) as response:
        page = await response.text()
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    assert re.findall(r'href="(.*?)"', page) == ["/metrics"]
    assert f"argus_exporter</h1>\n<p>Prometheus metrics of a discord.py bot. Version {VERSION}." in page
    assert "<script" not in page
    async with http.head(url(server, "/")) as response:
        assert response.headers["Content-Length"] == str(len(page.encode()))
        assert await response.read() == b""


async def test_metrics_at_the_root_take_the_place_of_the_index(http: aiohttp.ClientSession) -> None:
    async with running(Address(metrics_path="/")) as server, http.get(url(server, "/")) as response:
        assert await response.text() == "up 1\n"


async def test_what_is_not_there_is_404_and_says_where_the_metrics_are(
    server: Server, http: aiohttp.ClientSession
) -> None:
    for path in ("/metrics/", "/favicon.ico", "//metrics"):
        async with http.post(url(server, path)) as response:
            assert response.status == 404
            assert await response.text() == "404: nothing here; the metrics are at /metrics\n"
            assert response.headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("path", ["/", "/metrics"])
async def test_other_methods_are_405_and_say_which_are_allowed(
    server: Server, http: aiohttp.ClientSession, path: str
) -> None:
    async with http.post(url(server, path), data=b"x" * 100_000) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET, HEAD"


async def test_an_error_of_the_handler_is_500_with_one_record_in_the_log(
    http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(_: web.BaseRequest) -> web.StreamResponse:
        msg = "broken"
        raise LookupError(msg)

    async with running(handler=fails) as server:
        for _ in range(2):
            async with http.get(url(server, "/metrics")) as response:
                assert response.status == 500
                assert "Server" not in response.headers
                assert "broken" not in await response.text()
        async with http.get(url(server, "/")) as response:
            assert response.status == 200
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.exc_info and record.exc_info[0] for record in errors] == [LookupError, LookupError]
    assert {record.name for record in caplog.records} == {NAME}


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 300,
        b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"y" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9.9\r\n\r\n",
    ],
)
async def test_garbage_is_answered_400_and_fills_no_log(
    server: Server, caplog: pytest.LogCaptureFixture, garbage: bytes
) -> None:
    answer = await raw(server, garbage)
    assert answer.startswith(b"HTTP/1.0 400")
    assert b"aiohttp" not in answer
    assert b"Python" not in answer
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


async def test_every_scrape_of_a_kept_connection_is_answered(server: Server) -> None:
    request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = await raw(server, request * 3 + request.replace(b"Host", b"Connection: close\r\nHost"))
    assert answer.count(b"up 1\n") == 4


# ------------------------------------------------------------------------------------------ listening


async def test_port_none_opens_nothing() -> None:
    async with running(Address(port=None)) as server:
        assert server.port is None
        assert len(asyncio.all_tasks()) == 1


async def test_where_it_listens_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as server:
        assert [record.getMessage() for record in caplog.records] == [f"metrics at {url(server, '/metrics')}"]
        assert caplog.records[0].levelno == logging.INFO


async def test_a_port_in_use_is_told_once_and_taken_when_it_is_free(
    taken: socket.socket, caplog: pytest.LogCaptureFixture, http: aiohttp.ClientSession
) -> None:
    port = taken.getsockname()[1]
    async with running(Address(port=port)) as server:
        assert server.port is None
        await asyncio.sleep(0.1)
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert record.getMessage().startswith(f"cannot listen on 127.0.0.1:{port}, goes on trying: ")
        taken.close()
        await until(lambda: server.port == port)
        async with http.get(url(server, "/metrics")) as response:
            assert response.status == 200
        assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.INFO]


async def test_of_several_ports_the_first_that_is_free_is_taken(
    taken: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    port = taken.getsockname()[1]
    with socket.create_server(("127.0.0.1", port + 1)):
        ports = range(port, port + 3)
        async with running(Address(port=ports)) as server:
            assert server.port == port + 2
            waiting = Server(Address(port=ports), metrics)
            await waiting.start()
            assert waiting.port is None
            assert f"cannot listen on 127.0.0.1:{port}-{port + 2}, goes on trying" in caplog.text
            taken.close()
            await until(lambda: waiting.port == port)
            await waiting.close()


@pytest.mark.parametrize("host", ["192.0.2.1", "does-not-exist.invalid", "a" * 64 + ".example"])
async def test_an_address_that_cannot_be_had_is_told_once_and_tried_again(
    host: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[int] = []
    real = Server._bind

    async def bind(self: Server, port: int) -> asyncio.Server:
        attempts.append(port)
        return await real(self, port)

    monkeypatch.setattr(Server, "_bind", bind)
    async with running(Address(host=host, port=9191)) as server:
        await until(lambda: len(attempts) > 2)
        assert server.port is None
        assert [(record.levelno, f"{host}:9191" in record.getMessage()) for record in caplog.records] == [
            (logging.WARNING, True)
        ]


async def test_a_port_that_is_lost_between_bind_and_listen_is_tried_again(
    taken: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real, sockets = Gate.open, list[Listening]()

    def loses(self: Gate, bound: Sequence[Listening]) -> None:
        sockets.extend(bound)
        monkeypatch.setattr(Gate, "open", real)
        raise OSError(98, "lost")

    monkeypatch.setattr(Gate, "open", loses)
    async with running() as server:
        await until(lambda: server.port is not None)
        assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.INFO]
        assert [each.fileno() for each in sockets] == [-1]


async def test_a_slow_look_up_of_the_host_does_not_hold_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "FIRST_SECONDS", 0.05)
    go = asyncio.Event()
    real = Server._bind

    async def slow(self: Server, port: int) -> asyncio.Server:
        await go.wait()
        return await real(self, port)

    monkeypatch.setattr(Server, "_bind", slow)
    async with running() as server:
        assert server.port is None
        go.set()
        await until(lambda: server.port is not None)


async def test_a_name_of_several_addresses_has_one_port_on_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    asked: list[int] = []

    async def two(host: str, port: int, **options: object) -> list[object]:
        asked.append(port)
        kinds = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(*kinds, (address, port)) for address in ("127.0.0.1", "127.0.0.2")]

    probe = socket.socket()
    try:
        probe.bind(("127.0.0.2", 0))
    except OSError:
        pytest.skip("127.0.0.2 is no address of this system")
    finally:
        probe.close()
    monkeypatch.setattr(loop, "getaddrinfo", two)
    async with running(Address(host="both.example")) as server:
        assert asked == [0, server.port]
        for address in ("127.0.0.1", "127.0.0.2"):
            socket.create_connection((address, server.port or 0)).close()


async def test_a_second_start_and_a_second_close_do_nothing(server: Server) -> None:
    port = server.port
    await server.start()
    assert server.port == port
    await server.close()
    await server.close()
    assert server.port is None


# ------------------------------------------------------------------------------------------ closing


def open_sockets() -> int | None:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else None


async def test_two_hundred_starts_and_closes_leave_nothing_behind(http: aiohttp.ClientSession) -> None:
    server = Server(Address(), metrics)
    await server.start()
    port = server.port
    await server.close()
    server = Server(Address(port=port), metrics)
    tasks, threads, sockets = asyncio.all_tasks(), set(threading.enumerate()), open_sockets()
    for cycle in range(200):
        await server.start()
        assert server.port == port, "the port was not free at once"
        if cycle % 10 == 0:
            async with aiohttp.ClientSession() as each, each.get(url(server, "/metrics")) as response:
                assert response.status == 200
        await server.close()
    await until(lambda: asyncio.all_tasks() == tasks)
    await until(lambda: (open_sockets() or 0) <= (sockets or 0))  # what earlier tests left to the collector may go
    assert set(threading.enumerate()) == threads


async def test_a_connection_that_is_kept_does_not_keep_the_port_or_the_close(http: aiohttp.ClientSession) -> None:
    async with running() as first:
        port = first.port
        async with http.get(url(first, "/metrics")) as response:
            await response.read()
        half = socket.create_connection(("127.0.0.1", port or 0))
        half.sendall(b"GET /metrics HT")
        await until(lambda: len(first._http.connections) == 2)  # type: ignore[union-attr]
        began = time.monotonic()
        await first.close()
        assert time.monotonic() - began < 2
        assert await asyncio.to_thread(half.recv, 100) == b""
        half.close()
        async with running(Address(port=port)) as second:
            assert second.port == port


async def test_idle_connections_are_not_given_the_grace(
    monkeypatch: pytest.MonkeyPatch, http: aiohttp.ClientSession
) -> None:
    monkeypatch.setattr(server_module, "GRACE_SECONDS", 60)
    async with running() as server:
        async with http.get(url(server, "/metrics")) as response:
            await response.read()
        await asyncio.wait_for(server.close(), 10)  # aiohttp's client would let go itself after 15


async def test_a_scrape_whose_client_is_gone_is_given_up() -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def held(_: web.BaseRequest) -> web.StreamResponse:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    async with running(handler=held) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        await begun.wait()
        writer.close()
        await asyncio.wait_for(cancelled.wait(), 30)


async def test_a_client_in_the_middle_of_an_answer_ends_with_the_close(caplog: pytest.LogCaptureFixture) -> None:
    begun = asyncio.Event()

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        begun.set()
        reply = Reply([b"x" * 65536] * 500, headers={})
        await reply.send(request)
        return reply

    tasks = asyncio.all_tasks()
    async with running(handler=endless) as server:
        client = socket.create_connection(("127.0.0.1", server.port or 0))
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        await begun.wait()
        sockets = open_sockets()
        began = time.monotonic()
        await server.close()
        assert 2 * GRACE_SECONDS - 0.1 < time.monotonic() - began < 3
        await until(lambda: asyncio.all_tasks() == tasks)
        if sockets is not None:
            await until(lambda: (open_sockets() or 0) <= sockets - 2)
        client.close()
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


async def test_an_answer_that_is_nearly_done_is_finished_before_the_close(http: aiohttp.ClientSession) -> None:
    begun = asyncio.Event()

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        begun.set()
        await asyncio.sleep(0.1)
        return await metrics(request)

    async with running(handler=slow) as server:

        async def scrape() -> str:
            async with http.get(url(server, "/metrics")) as response:
                return await response.text()

        scraping = asyncio.create_task(scrape())
        await begun.wait()
        await server.close()
        assert await scraping == "up 1\n"


async def test_a_close_while_the_port_is_in_use_ends_the_trying(taken: socket.socket) -> None:
    tasks = asyncio.all_tasks()
    async with running(Address(port=taken.getsockname()[1])) as server:
        await server.close()
        assert asyncio.all_tasks() == tasks


async def test_a_close_in_the_middle_of_the_start_leaves_no_listener() -> None:
    for rounds in range(8):
        server = Server(Address(), metrics)
        sockets = open_sockets()
        starting = asyncio.create_task(server.start())
        for _ in range(rounds):
            await asyncio.sleep(0)
        await server.close()
        await asyncio.wait_for(starting, 10)
        await server.close()
        await until(lambda before=sockets: open_sockets() == before)  # type: ignore[misc]


# ------------------------------------------------------------------------------------------ a full house


async def test_a_full_house_lets_the_oldest_idle_connection_go(http: aiohttp.ClientSession) -> None:
    async with running() as server, contextlib.AsyncExitStack() as stack:
        readers: list[asyncio.StreamReader] = []
        for _ in range(CONNECTIONS):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            stack.callback(writer.close)
            readers.append(reader)
        await until(lambda: len(server._http.connections) == CONNECTIONS)  # type: ignore[union-attr]
        async with http.get(url(server, "/metrics")) as response:
            assert response.status == 200
        await until(lambda: len(server._http.connections) == CONNECTIONS)  # type: ignore[union-attr]
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(readers[0].read(1), 10) == b""
        assert not any(reader.at_eof() for reader in readers[1:])


async def test_a_house_full_of_requests_refuses_one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "CONNECTIONS", 3)
    go, begun = asyncio.Event(), list[int]()

    async def held(request: web.BaseRequest) -> web.StreamResponse:
        begun.append(1)
        await go.wait()
        return await metrics(request)

    async with running(handler=held) as server, aiohttp.ClientSession() as http:
        gets = [asyncio.ensure_future(http.get(url(server, "/metrics"))) for _ in range(3)]
        await until(lambda: len(begun) == 3)
        with pytest.raises(aiohttp.ClientConnectionError):
            await http.get(url(server, "/metrics"))
        go.set()
        for response in await asyncio.gather(*gets):
            assert response.status == 200
            response.release()


async def test_connections_that_come_in_every_round_of_a_close_are_all_closed(server: Server) -> None:
    """Python 3.11 makes no transport for one, and closes nothing, when the listener is gone meanwhile."""
    address = ("127.0.0.1", server.port or 0)
    clients: list[socket.socket] = []

    async def connect() -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                clients.append(socket.create_connection(address))
                await asyncio.sleep(0)

    gc.collect()
    before = open_sockets() or 0
    connecting = asyncio.create_task(connect())
    await server.close()
    await connecting
    gc.collect()  # a transport that was half made would warn here
    gone = open_sockets() or 0
    for client in clients:
        client.close()
    assert len(clients) > 2
    assert gone <= before - 1 + len(clients)


async def test_a_connection_that_comes_with_the_close_is_refused(server: Server) -> None:
    await server.close()
    client, other = socket.socketpair()
    with client, other:
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(server._connection, other)
        client.settimeout(5)
        assert await asyncio.to_thread(client.recv, 1) == b""


async def test_a_client_that_never_reads_what_is_not_there_is_dropped_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short answers have a time limit as well: a thousand of them fill any buffer."""
    monkeypatch.setattr(reply_module.Reply.send, "__kwdefaults__", {"within": 0.3})
    async with running() as server:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        await asyncio.get_running_loop().run_in_executor(None, client.connect, ("127.0.0.1", server.port))
        client.setblocking(False)
        request = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n" * 1000
        try:
            async with asyncio.timeout(60):
                with contextlib.suppress(ConnectionError):
                    while True:
                        await asyncio.get_running_loop().sock_sendall(client, request)
        finally:
            client.close()
        await until(lambda: not server._http.connections)  # type: ignore[union-attr]


# ------------------------------------------------------------------------------------------ hostile clients


WIDE = "0.0.0.0"  # noqa: S104


class Refusals(list[str]):
    """Why nobody was served."""

    @contextlib.asynccontextmanager
    async def counted(self, handler: server_module.Handler = metrics, host: str = "127.0.0.1") -> AsyncIterator[Server]:
        server = Server(Address(host), handler, refused=self.append)
        await server.start()
        try:
            yield server
        finally:
            await server.close()


async def cut(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 30) == b""


async def test_a_client_that_has_left_is_not_waited_for(server: Server) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    await until(lambda: len(server._http.connections) == 1)  # type: ignore[union-attr]
    (connection,) = server._http.connections  # type: ignore[union-attr]
    assert isinstance(connection, server_module._Connection)
    timer = connection._timer
    assert timer is not None
    writer.close()
    await until(timer.cancelled)


@pytest.mark.parametrize("words", [b"", b"G", b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: "])
async def test_a_client_that_does_not_say_what_it_wants_is_cut(monkeypatch: pytest.MonkeyPatch, words: bytes) -> None:
    monkeypatch.setattr(server_module, "ASK_SECONDS", 0.1)
    refusals = Refusals()
    async with refusals.counted() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(words)
        await cut(reader)
        assert refusals == ["slow"]
        writer.close()


async def test_a_client_that_drips_its_request_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "ASK_SECONDS", 0.2)
    refusals = Refusals()
    async with refusals.counted() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(30):
                while not refusals:
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(0.01)
        await cut(reader)
        writer.close()


async def test_a_client_that_is_between_two_scrapes_is_not_cut_and_one_in_the_middle_of_the_second_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "ASK_SECONDS", 0.1)
    refusals = Refusals()
    async with refusals.counted() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for _ in range(3):
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.wait_for(reader.readuntil(b"up 1\n"), 10)
            await asyncio.sleep(0.15)
        assert refusals == []
        writer.write(b"GET /met")
        await cut(reader)
        assert refusals == ["slow"]
        writer.close()


async def test_an_answer_may_take_longer_than_a_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "ASK_SECONDS", 0.1)
    refusals = Refusals()
    begun = asyncio.Event()

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        begun.set()
        await asyncio.sleep(0.3)
        return await metrics(request)

    async with refusals.counted(slow) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        await begun.wait()
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(), 10)).count(b"up 1\n") == 2
        writer.close()
    assert refusals == []


async def test_what_was_answered_counts_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "ASK_BYTES", 100)
    refusals = Refusals()
    async with refusals.counted() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for _ in range(5):
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.wait_for(reader.readuntil(b"up 1\n"), 10)
        writer.close()
    assert refusals == []


@pytest.mark.parametrize(
    "endless",
    [
        b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 20_000,
        b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000000\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
async def test_who_sends_without_end_is_cut(monkeypatch: pytest.MonkeyPatch, endless: bytes) -> None:
    monkeypatch.setattr(server_module, "_LINGER", 30)
    refusals = Refusals()
    async with refusals.counted() as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        sent = 0
        writer.write(endless)
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(30):
                while sent < 50_000_000:
                    writer.write(b"2000\r\n" + b"x" * 8192 + b"\r\n")
                    await writer.drain()
                    sent += 8192
        assert sent < 20_000_000
        await until(lambda: not server._http.connections)  # type: ignore[union-attr]
        writer.close()


async def test_what_is_sent_while_an_answer_is_made_is_limited_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "ASK_BYTES", 1000)
    refusals = Refusals()
    go, begun = asyncio.Event(), asyncio.Event()

    async def held(request: web.BaseRequest) -> web.StreamResponse:
        begun.set()
        await go.wait()
        return await metrics(request)

    async with refusals.counted(held) as server:
        request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
        for more, reason in ((b"y" * 900, []), (b"y" * 1000, ["large"])):
            begun.clear()
            go.clear()
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(request)
            await begun.wait()
            writer.write(more)
            if reason:
                await cut(reader)
            go.set()
            assert refusals == reason
            writer.close()


async def test_fifty_slow_clients_keep_no_scrape_out(http: aiohttp.ClientSession) -> None:
    refusals = Refusals()
    async with refusals.counted() as server, contextlib.AsyncExitStack() as stack:
        for words in (b"", b"GET /metrics HTTP/1.1\r\nX: ", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"):
            for _ in range(50):
                _, writer = await asyncio.open_connection("127.0.0.1", server.port)
                stack.callback(writer.close)
                writer.write(words)
        for _ in range(5):
            async with asyncio.timeout(5), http.get(url(server, "/metrics")) as response:
                assert response.status == 200


async def test_a_full_house_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "CONNECTIONS", 2)
    refusals = Refusals()
    async with refusals.counted() as server, contextlib.AsyncExitStack() as stack:
        for _ in range(3):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            stack.callback(writer.close)
        await until(lambda: refusals == ["full"])


async def test_a_malformed_request_is_said_without_its_words(caplog: pytest.LogCaptureFixture, server: Server) -> None:
    caplog.set_level(logging.DEBUG, NAME)
    caplog.clear()
    await raw(server, b"GET / HTTP/1.1\r\nAuthorization s3cret\r\n\r\n")
    (record,) = caplog.records
    assert (record.levelno, record.exc_info) == (logging.DEBUG, None)
    assert re.fullmatch(r"what came is no request: \w+", record.getMessage())


# ------------------------------------------------------------------------------------------ open to the network


@pytest.mark.parametrize(
    ("host", "guarded", "warned"),
    [(WIDE, False, True), (WIDE, True, False), ("127.0.0.1", False, False), ("localhost", False, False)],
)
async def test_metrics_that_all_may_read_are_said_in_one_line(
    caplog: pytest.LogCaptureFixture, host: str, guarded: bool, warned: bool
) -> None:
    server = Server(Address(host), metrics, guarded=guarded)
    await server.start()
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    said = f"{host}:{server.port}: whoever reaches it may read the metrics, for no token is set"
    assert warnings == ([said] if warned else [])
    await server.close()


async def test_the_addresses_of_this_machine_alone_are_known() -> None:
    class Bound:
        def __init__(self, address: str) -> None:
            self.address = address

        def getsockname(self) -> tuple[str, int]:
            return self.address, 1

    wide = (WIDE, "10.0.0.1", "::", "fe80::1%eth0")
    here = ("127.0.0.1", "127.9.9.9", "::1")
    assert [each for each in (*here, *wide) if server_module._is_loopback(Bound(each))] == list(here)  # type: ignore[arg-type]
