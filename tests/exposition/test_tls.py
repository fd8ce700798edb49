"""The server speaks TLS, with certificates that change under it, and with clients that would rather not go on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

from argus_exporter import Exporter, SettingError, Settings
from argus_exporter.exposition import files, gate
from argus_exporter.exposition.reply import Reply
from tests.clients import until, value

REFUSED = "argus_exporter_requests_refused_total"


class Paper:
    """An authority, and what it has signed."""

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        self.cert, self.key, self.authority = folder / "cert.pem", folder / "key.pem", folder / "ca.pem"
        self.ca.cert_pem.write_to_path(str(self.authority))
        self.renew()

    def renew(self) -> None:
        leaf = self.ca.issue_cert("127.0.0.1", "localhost")
        self.cert.write_bytes(b"".join(each.bytes() for each in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(str(self.key))

    def client(self, identity: str | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority))
        if identity is not None:
            self.ca.issue_cert(identity).configure_cert(context)
        return context

    @property
    def settings(self) -> dict[str, Any]:
        return {"tls_cert": self.cert, "tls_key": self.key}


@pytest.fixture
def paper(tmp_path: Path) -> Paper:
    return Paper(tmp_path)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LOOK_SECONDS", 0)


@contextlib.asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[Exporter]:
    async with Exporter(Settings(**{"port": 0, "state_dir": "off", "user_registry": False, **options})) as exporter:
        yield exporter


async def get(exporter: Exporter, context: ssl.SSLContext, path: str = "/metrics", **options: Any) -> int:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as http:
        async with http.get(f"https://127.0.0.1:{exporter.port}{path}", **options) as response:
            await response.read()
            return response.status


def serial_of(exporter: Exporter, context: ssl.SSLContext) -> int:
    with socket.create_connection(("127.0.0.1", exporter.port or 0), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
            return int(str((secure.getpeercert() or {})["serialNumber"]), 16)


# ------------------------------------------------------------------------------------------ what is served


async def test_the_page_and_the_probes_come_over_tls(paper: Paper, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with serving(**paper.settings, token="right") as exporter:
        assert f"metrics at https://127.0.0.1:{exporter.port}/metrics" in caplog.text
        client = paper.client()
        assert await get(exporter, client, headers={"Authorization": "Bearer right"}) == 200
        assert await get(exporter, client) == 401
        for path in ("/", "/livez", "/readyz", "/startupz"):
            assert await get(exporter, client, path) == 200
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


async def test_a_connection_is_kept_for_many_requests(paper: Paper) -> None:
    async with serving(**paper.settings) as exporter:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=paper.client(), limit=1)) as http:
            for _ in range(3):
                async with http.get(f"https://127.0.0.1:{exporter.port}/metrics") as response:
                    assert b"argus_exporter_info" in await response.read()
            assert len(exporter._site._server._http.connections) == 1  # type: ignore[union-attr]


async def test_a_request_right_behind_the_handshake_is_not_lost(paper: Paper) -> None:
    def ask(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            secure = paper.client().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
            while True:
                try:
                    secure.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    plain.sendall(outgoing.read())
                    incoming.write(plain.recv(65536))
            secure.write(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            plain.sendall(outgoing.read())  # the end of the handshake and the request, in one
            answer = b""
            with contextlib.suppress(ssl.SSLError):
                while True:
                    try:
                        piece = secure.read()
                    except ssl.SSLWantReadError:
                        incoming.write(data) if (data := plain.recv(65536)) else incoming.write_eof()
                        continue
                    if not piece:
                        break
                    answer += piece
            return answer

    async with serving(**paper.settings) as exporter:
        for _ in range(5):
            assert (await asyncio.to_thread(ask, exporter.port or 0)).startswith(b"HTTP/1.1 200 OK")


async def test_an_answer_is_over_when_the_client_has_it(paper: Paper) -> None:
    async with serving(**paper.settings) as exporter:
        reader, writer = await asyncio.open_connection("127.0.0.1", exporter.port, ssl=paper.client())
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"argus_exporter_info" in await asyncio.wait_for(reader.read(), 10)
        writer.close()
        await until(lambda: value(exporter.instruments, "argus_exporter_scrapes_total") == 1)
        await until(lambda: not exporter._site._server._http.connections)  # type: ignore[union-attr]


async def test_a_client_that_never_reads_is_dropped(paper: Paper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reply.send, "__kwdefaults__", {"within": 0.3})
    async with serving(**paper.settings) as exporter:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        await asyncio.to_thread(client.connect, ("127.0.0.1", exporter.port))
        secure = await asyncio.to_thread(paper.client().wrap_socket, client, server_hostname="127.0.0.1")
        page = b"x" * 10_000_000

        async def large(request: Any) -> Any:
            reply = Reply([page], headers={})
            assert not await reply.send(request)
            return reply

        exporter._site._server._routes["/large"] = large  # type: ignore[index]
        secure.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: exporter._site._server._http.connections)  # type: ignore[union-attr]
        await until(lambda: not exporter._site._server._http.connections)  # type: ignore[union-attr]
        secure.close()


async def test_plain_http_is_no_way_in_and_is_counted(paper: Paper, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(**paper.settings) as exporter:
        async with aiohttp.ClientSession() as http:
            with pytest.raises(aiohttp.ClientError):
                await http.get(f"http://127.0.0.1:{exporter.port}/metrics")
        await until(lambda: value(exporter.instruments, REFUSED, "handshake"))
        assert await get(exporter, paper.client()) == 200
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


async def test_old_versions_of_tls_are_refused(paper: Paper) -> None:
    old = paper.client()
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    async with serving(**paper.settings) as exporter:
        with pytest.raises(aiohttp.ClientConnectionError):
            await get(exporter, old)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_has_the_page(paper: Paper) -> None:
    async with serving(**paper.settings, token="right") as exporter:
        command = ("curl", "-sS", "--fail", "--cacert", paper.authority, "-u", "prometheus:right")
        url = f"https://127.0.0.1:{exporter.port}/metrics"
        done = await asyncio.to_thread(subprocess.run, [*command, url], capture_output=True, text=True, check=True)
        assert "argus_exporter_info" in done.stdout


# ------------------------------------------------------------------------------------------ clients' certificates


async def test_the_metrics_want_a_certificate_and_the_probes_do_not(paper: Paper, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    stranger = Paper(tmp_path / "other").ca.issue_cert("stranger")
    async with serving(**paper.settings, tls_client_ca=paper.authority) as exporter:
        assert await get(exporter, paper.client("scraper@example.org")) == 200
        assert await get(exporter, paper.client()) == 401
        assert await get(exporter, paper.client(), "/livez") == 200
        context = paper.client()
        stranger.configure_cert(context)
        with pytest.raises(aiohttp.ClientError):
            await get(exporter, context)
        assert value(exporter.instruments, REFUSED, "unauthorized") == 1


async def test_a_certificate_does_not_stand_for_a_token(paper: Paper) -> None:
    async with serving(**paper.settings, tls_client_ca=paper.authority, token="right") as exporter:
        client, bare = paper.client("scraper@example.org"), paper.client()
        assert await get(exporter, client) == 401
        assert await get(exporter, bare, headers={"Authorization": "Bearer right"}) == 401
        assert await get(exporter, client, headers={"Authorization": "Bearer right"}) == 200


# ------------------------------------------------------------------------------------------ files that change


async def test_a_certificate_is_renewed_without_dropping_a_connection(paper: Paper) -> None:
    async with serving(**paper.settings) as exporter:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=paper.client(), limit=1)) as http:
            async with http.get(f"https://127.0.0.1:{exporter.port}/livez") as response:
                await response.read()
            (kept,) = exporter._site._server._http.connections  # type: ignore[union-attr]
            before = await asyncio.to_thread(serial_of, exporter, paper.client())
            assert await asyncio.to_thread(serial_of, exporter, paper.client()) == before
            paper.renew()
            assert await asyncio.to_thread(serial_of, exporter, paper.client()) != before
            async with http.get(f"https://127.0.0.1:{exporter.port}/livez") as response:
                assert response.status == 200
            assert kept in exporter._site._server._http.connections  # type: ignore[union-attr]


async def test_while_key_and_certificate_do_not_fit_the_old_ones_hold(
    paper: Paper, caplog: pytest.LogCaptureFixture
) -> None:
    old = paper.cert.read_bytes(), paper.key.read_bytes()
    async with serving(**paper.settings) as exporter:
        before = await asyncio.to_thread(serial_of, exporter, paper.client())
        paper.renew()
        new = paper.cert.read_bytes(), paper.key.read_bytes()
        paper.key.write_bytes(old[1])
        for _ in range(2):
            assert await asyncio.to_thread(serial_of, exporter, paper.client()) == before
        warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert len(warnings) == 1
        assert f"ARGUS_TLS_KEY={str(paper.key)!r} is not allowed: KEY_VALUES_MISMATCH" in warnings[0]
        paper.key.write_bytes(new[1])
        assert await asyncio.to_thread(serial_of, exporter, paper.client()) != before


async def test_an_authority_that_is_no_longer_trusted_lets_nobody_in(paper: Paper, tmp_path: Path) -> None:
    async with serving(**paper.settings, tls_client_ca=paper.authority) as exporter:
        scraper = paper.client("scraper@example.org")
        assert await get(exporter, scraper) == 200
        trustme.CA().cert_pem.write_to_path(str(paper.authority))
        with pytest.raises(aiohttp.ClientError):
            await get(exporter, scraper)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_no_session_outlives_the_files_that_it_was_checked_against(paper: Paper, version: ssl.TLSVersion) -> None:
    context = paper.client("scraper@example.org")
    context.minimum_version = context.maximum_version = version

    def ask(port: int, session: ssl.SSLSession | None) -> ssl.SSLSession | None:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            with context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as secure:
                secure.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
                assert secure.recv(12) == b"HTTP/1.1 200"
                assert not secure.session_reused
                return secure.session

    async with serving(**paper.settings, tls_client_ca=paper.authority) as exporter:
        session = await asyncio.to_thread(ask, exporter.port or 0, None)
        assert session is None or not session.has_ticket
        await asyncio.to_thread(ask, exporter.port or 0, session)


# ------------------------------------------------------------------------------------------ what is wrong at the load


def encrypted(paper: Paper) -> None:
    from cryptography.hazmat.primitives import serialization as to

    key = to.load_pem_private_key(paper.key.read_bytes(), None)
    pem, old = to.Encoding.PEM, to.PrivateFormat.TraditionalOpenSSL
    paper.key.write_bytes(key.private_bytes(pem, old, to.BestAvailableEncryption(b"secret")))


def swapped(paper: Paper) -> None:
    Paper(paper.cert.parent)
    paper.key.write_bytes(trustme.CA().issue_cert("x").private_key_pem.bytes())


WRONG: dict[str, tuple[str, str, Callable[[Paper], Any]]] = {
    "no certificate": ("ARGUS_TLS_CERT", "nothing in PEM", lambda paper: paper.cert.write_text("none")),
    "no key": ("ARGUS_TLS_KEY", "nothing in PEM", lambda paper: paper.key.write_text("none")),
    "another's key": ("ARGUS_TLS_KEY", "KEY_VALUES_MISMATCH", swapped),
    "an encrypted key": ("ARGUS_TLS_KEY", "", encrypted),
    "no authority": ("ARGUS_TLS_CLIENT_CA", "", lambda paper: paper.authority.write_text("none")),
    "gone": ("ARGUS_TLS_CERT", "No such file", lambda paper: paper.cert.unlink()),
}


@pytest.mark.parametrize("what", WRONG)
def test_files_that_do_not_load_are_refused_in_one_line_without_asking_anybody(paper: Paper, what: str) -> None:
    name, why, break_it = WRONG[what]
    settings = Settings(**paper.settings, tls_client_ca=paper.authority, port=0, state_dir=None)
    break_it(paper)
    file = {"ARGUS_TLS_CERT": paper.cert, "ARGUS_TLS_KEY": paper.key}.get(name, paper.authority)
    with pytest.raises(SettingError) as refused:
        Exporter(settings)
    assert str(refused.value).startswith(f"{name}={str(file)!r} is not allowed: ")
    assert why in str(refused.value)
    assert str(refused.value).isprintable()
    assert not str(refused.value).endswith(": ")


@pytest.mark.parametrize("name", ["tls_key", "tls_client_ca"])
def test_a_key_or_an_authority_without_a_certificate_is_refused(paper: Paper, name: str) -> None:
    with pytest.raises(SettingError, match=rf"\AARGUS_{name.upper()}='.*' is not allowed: ARGUS_TLS_CERT is not set\Z"):
        Exporter(Settings(**{name: paper.key}))


async def test_the_key_may_be_in_the_same_file(paper: Paper) -> None:
    paper.cert.write_bytes(paper.cert.read_bytes() + paper.key.read_bytes())
    async with serving(tls_cert=paper.cert) as exporter:
        assert await get(exporter, paper.client()) == 200


# ------------------------------------------------------------------------------------------ clients that do not go on


async def test_handshakes_that_are_not_finished_make_way_and_keep_nobody_out(
    paper: Paper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "HANDSHAKES", 5)
    monkeypatch.setattr(gate, "HANDSHAKE_SECONDS", 3600)
    async with serving(**paper.settings) as exporter, contextlib.AsyncExitStack() as stack:
        readers = []
        for _ in range(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", exporter.port)
            stack.callback(writer.close)
            readers.append(reader)
        shaking = exporter._site._server._gate._shaking
        await until(lambda: value(exporter.instruments, REFUSED, "handshake") == 15)
        assert len(shaking) == 5
        assert await get(exporter, paper.client()) == 200
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(readers[0].read(), 10) == b""
        await asyncio.wait_for(exporter.close(), 10)
        assert shaking == {}
        for reader in readers:
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 10) == b""


async def test_a_handshake_has_its_time(paper: Paper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "HANDSHAKE_SECONDS", 0.1)
    async with serving(**paper.settings) as exporter:
        reader, writer = await asyncio.open_connection("127.0.0.1", exporter.port)
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 10) == b""
        assert time.monotonic() - began < 5
        await until(lambda: value(exporter.instruments, REFUSED, "handshake") == 1)
        writer.close()


async def test_a_client_that_leaves_in_the_middle_leaves_nothing(paper: Paper) -> None:
    async with serving(**paper.settings) as exporter:
        tasks = asyncio.all_tasks()
        for words in (b"", b"\x16\x03\x01", b"GET / HTTP/1.0\r\n\r\n"):
            client = socket.create_connection(("127.0.0.1", exporter.port or 0))
            client.sendall(words)
            client.close()
        await until(lambda: value(exporter.instruments, REFUSED, "handshake") == 3)
        await until(lambda: not exporter._site._server._gate._shaking)
        await until(lambda: asyncio.all_tasks() == tasks)
