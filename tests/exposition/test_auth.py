"""Who has a token is served, whatever bytes it is made of, and nobody else; what is refused is counted."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from argus_exporter import Exporter, SettingError, Settings
from argus_exporter.exposition import files
from argus_exporter.exposition.auth import Guard
from tests.clients import until, value

TOKEN = "schlüssel-s3cret"
REFUSED = "argus_exporter_requests_refused_total"


@contextlib.asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[Exporter]:
    async with Exporter(Settings(**{"port": 0, "state_dir": "off", "user_registry": False, **options})) as exporter:
        yield exporter


async def ask(exporter: Exporter, authorization: bytes | None = None, path: str = "/metrics") -> tuple[int, str]:
    """A request as it is on the wire: clients do not agree on how to write what is not ASCII."""
    reader, writer = await asyncio.open_connection("127.0.0.1", exporter.port)
    header = b"" if authorization is None else b"Authorization: " + authorization + b"\r\n"
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode() + header + b"\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return int(answer.split()[1]), answer.decode()


def basic(pair: str, coding: str = "utf-8") -> bytes:
    return b"Basic " + base64.b64encode(pair.encode(coding))


async def test_a_token_opens_as_bearer_and_as_password_in_utf_8_and_in_latin_1() -> None:
    async with serving(token=f"other, {TOKEN}") as exporter:
        for right in (
            *(b"Bearer other", b"bEARER  other ", b"Bearer " + TOKEN.encode(), b"Bearer " + TOKEN.encode("latin-1")),
            *(basic("prometheus:other"), basic(":other"), basic(f"é:{TOKEN}"), basic(f"é:{TOKEN}", "latin-1")),
        ):
            assert (await ask(exporter, right))[0] == 200, right
        assert value(exporter.instruments, REFUSED, "unauthorized") == 0


async def test_anything_else_is_401_never_500_and_is_counted() -> None:
    wrong = [
        *(
            None,
            b"",
            b"Bearer",
            b"Bearer ",
            b"Bearer othe",
            b"Bearer other2",
            b"other",
            b"Digest other",
            b"Bearer Other",
        ),
        *(b"Bearer \xff\xfe", b"Bearer \xc3", "Bearer ключ".encode(), "Bearer 🔑".encode(), b"\xff other", b"Basic"),
        *(b"Basic other", b"Basic !!!", b"Basic \xff", basic("other:x"), basic("nothing"), basic("é:ø", "latin-1")),
        b"Basic " + base64.b64encode(b"\xff:\xff"),
    ]
    async with serving(token="other") as exporter:
        for count, authorization in enumerate(wrong):
            status, answer = await ask(exporter, authorization)
            assert status == 401, authorization
            assert 'WWW-Authenticate: Bearer realm="argus_exporter", Basic realm=' in answer
            assert "other" not in answer
            assert value(exporter.instruments, REFUSED, "unauthorized") == count + 1


async def test_a_token_of_a_name_and_a_password_is_right_for_that_name() -> None:
    async with serving(token="scraper:s3cret") as exporter:
        assert (await ask(exporter, basic("scraper:s3cret")))[0] == 200
        assert (await ask(exporter, basic("other:s3cret")))[0] == 401


async def test_without_a_token_nothing_is_asked() -> None:
    async with serving() as exporter:
        assert (await ask(exporter))[0] == 200
        assert (await ask(exporter, b"Bearer any"))[0] == 200


async def test_the_probes_and_the_index_need_no_token_and_tell_none(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("from-the-file")
    async with serving(token=TOKEN, token_file=tmp_path / "tokens") as exporter:
        for path in ("/", "/livez", "/readyz", "/startupz", "/nothing", "/metrics"):
            status, answer = await ask(exporter, path=path)
            assert status == {"/nothing": 404, "/metrics": 401}.get(path, 200)
            assert not {"schl", "s3cret", "from-the-file"} & set(answer.replace(":", " ").split())
        assert "s3cret" not in repr(exporter.settings) + repr(vars(exporter))


async def test_the_log_has_no_secret_in_it_at_any_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(token=TOKEN) as exporter:
        await ask(exporter, b"Bearer " + TOKEN.encode())
        await ask(exporter, b"Bearer wrong-s3cret")
        assert (await ask(exporter, b"Bearer s3cret\x01" + b"x" * 9000))[0] == 400
        assert (await ask(exporter, b"Bearer s3cret\0"))[0] == 400
    assert any("what came is no request" in record.getMessage() for record in caplog.records)
    formatted = "\n".join(logging.Formatter().format(record) for record in caplog.records)
    assert "s3cret" not in formatted


async def test_the_handler_in_an_application_of_ones_own_asks_for_the_token_too() -> None:
    async with serving(token=TOKEN, port="off") as exporter:
        app = web.Application()
        app.router.add_get("/own", exporter.handler)
        app.router.add_get("/health/{probe}", exporter.probe)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with aiohttp.ClientSession() as http:
            for path, headers, status in (
                ("/own", {}, 401),
                ("/own", {"Authorization": f"Bearer {TOKEN}"}, 200),
                ("/health/livez", {}, 200),
                ("/health/other", {}, 404),
            ):
                async with http.get(base + path, headers=headers) as response:
                    assert response.status == status
            await exporter.close()
            async with http.get(f"{base}/health/livez") as response:
                assert response.status == 503
        await runner.cleanup()


# ------------------------------------------------------------------------------------------ the file


async def test_a_token_is_replaced_by_writing_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(files, "LOOK_SECONDS", 0)
    caplog.set_level(logging.INFO)
    file = tmp_path / "tokens"
    file.write_text("old\n")
    before = set(threading.enumerate())
    async with serving(token="fixed", token_file=file) as exporter:
        for texts, right, wrong in (
            (None, "old", "new"),
            ("old\nnew\n", "new", "both"),
            ("new\n", "new", "old"),
        ):
            if texts is not None:
                # as Kubernetes does: another file takes its place
                (tmp_path / "next").write_text(texts)
                (tmp_path / "next").replace(file)
            assert (await ask(exporter, b"Bearer " + right.encode()))[0] == 200
            assert (await ask(exporter, b"Bearer " + wrong.encode()))[0] == 401
            assert (await ask(exporter, b"Bearer fixed"))[0] == 200
        caplog.clear()
        for break_it in (lambda: file.write_bytes(b"\xff"), lambda: file.write_text("\n"), file.unlink):
            break_it()
            for _ in range(2):
                assert (await ask(exporter, b"Bearer new"))[0] == 200
                assert (await ask(exporter, b"Bearer old"))[0] == 401
                assert (await ask(exporter))[0] == 401
        warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert len(warnings) == 1
        assert "what was read before still holds: SettingError: ARGUS_TOKEN_FILE=" in warnings[0]
        file.write_text("again")
        assert (await ask(exporter, b"Bearer again"))[0] == 200
        assert "argus_exporter.files" in {thread.name for thread in threading.enumerate()}
    await until(lambda: set(threading.enumerate()) <= before)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
async def test_a_file_that_hangs_holds_up_neither_the_loop_nor_the_scrape_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(files, "LOOK_SECONDS", 0)
    monkeypatch.setattr(files, "_PATIENCE", 0.1)
    file = tmp_path / "tokens"
    file.write_text("right")
    async with serving(token_file=file) as exporter:
        file.unlink()
        os.mkfifo(file)
        for _ in range(2):
            assert (await ask(exporter, b"Bearer right"))[0] == 200
        assert "no answer within" in caplog.text
        await asyncio.to_thread(file.write_text, "late")  # lets the thread go on
        await until(lambda: exporter._site._guard._tokens.current.admit(b"late"))


def test_a_file_that_is_gone_when_the_exporter_is_made_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("a")
    settings = Settings(token_file=file)
    file.unlink()
    with pytest.raises(SettingError, match=r"\AARGUS_TOKEN_FILE='[^\n]*' is not allowed: no text file with a token"):
        Guard(settings, lambda: None)
