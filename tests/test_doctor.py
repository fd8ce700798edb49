"""What `check` finds in real surroundings: sockets, files, certificates, pages."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import os
import re
import socket
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

import argus_exporter.discordpy
from argus_exporter import Exporter, catalogue, doctor, reference
from argus_exporter.analytics import start
from argus_exporter.catalogue import METRICS
from argus_exporter.discovery import REFRESH_SECONDS
from argus_exporter.doctor import OK, WARNING, WRONG, examine, private_attributes
from argus_exporter.exposition.encode import Encoder
from argus_exporter.instruments import Instruments
from argus_exporter.version import VERSION
from tests.analytics.memory import Memory

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX")
EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing listens there
NOTHING = {"EXAMPLE": "1", "ARGUS_STATE_DIR": "off", "ARGUS_PORT": "off"}
"""An environment in which nothing is to be found."""


@pytest.fixture(autouse=True)
def proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that must not be asked."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)


def found(name: str, url: str | None = None, timeout: float = 5.0, **environ: object) -> list[tuple[str, str]]:
    """What is said of one thing."""
    given = NOTHING | {f"ARGUS_{key.upper()}": str(value) for key, value in environ.items()}
    return [(each.status, each.text) for each in examine(given, url, timeout) if each.name == name]


# ------------------------------------------------------------------------------------------------ settings


def test_surroundings_in_which_all_is_well() -> None:
    environ = {
        "ARGUS_SERVICE_HOST": "10.0.0.1",
        "ARGUS_SERVICE_PORT": "9191",
        "ARGUS_SERVICE_PORT_METRICS": "9191",
        "ARGUS_PORT_9191_TCP": "tcp://10.0.0.1:9191",
        "ARGUS_PORT_9191_TCP_ADDR": "10.0.0.1",
    }
    findings = list(examine(NOTHING | environ, None, 5))
    assert [each for each in findings if each.status != OK] == []
    assert [each.name for each in findings] == [
        *("settings", "discord.py", "private attributes", "port", "token", "TLS", "StatsD", "analytics"),
        *("target file", "state"),
        "error log",
    ]


def test_every_setting_that_is_not_allowed_is_said_and_what_depends_on_them_is_not_looked_at() -> None:
    environ = NOTHING | {"ARGUS_PORT": "http", "ARGUS_USER_REGISTRY": "perhaps"}
    findings = list(examine(environ, None, 5))
    port, registry = (each.text for each in findings if each.name == "settings")
    assert port.startswith("ARGUS_PORT='http' is not allowed: a port from 1 to 65535, 0 for a free one")
    assert registry == "ARGUS_USER_REGISTRY='perhaps' is not allowed: on or off"
    assert {each.name for each in findings} == {"settings", "discord.py", "private attributes"}


def test_settings_that_are_right_one_by_one_and_not_together_are_wrong() -> None:
    text = f"ARGUS_TLS_KEY={__file__!r} is not allowed: ARGUS_TLS_CERT is not set"
    assert found("settings", tls_key=__file__) == [(WRONG, text)]


def test_a_misspelt_variable_is_said_but_may_be_another_programs() -> None:
    assert found("settings", prot=80, qqq=80)[:2] == [
        (WARNING, "ARGUS_PROT is not a setting: did you mean ARGUS_PORT?"),
        (WARNING, "ARGUS_QQQ is not a setting"),
    ]
    assert found("settings", prot=80)[1][0] == OK


# ------------------------------------------------------------------------------------------------ discord.py


def test_this_discord_py_has_all_that_is_read() -> None:
    ((status, text),) = found("private attributes")
    names = private_attributes(argus_exporter.discordpy.__doc__ or "")
    assert (status, text) == (OK, f"all {len(names)} that are read are there")
    in_the_readme = re.findall(r"`([^`]+)`", re.sub(r"(?m)^(\|[^|]*)\|.*$", r"\1", reference.insides_text()))
    assert [name.rpartition(".")[2] for name, _ in names] == [name.rpartition(".")[2] for name in in_the_readme]


def test_an_attribute_that_is_gone_is_said_with_what_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    table = "``Client._gone``, ``._also_gone`` nothing\n    at all\n``Client._listeners``, its ``_nowhere`` a guess\n"
    table += "``HTTPClient.__session``, ``DiscordWebSocket.socket.close``, ``tasks.Loop.coro`` much\n"
    table += "``AutoShardedClient.__gone`` little\n``Client._connection._nobody_has_this`` less\n"
    monkeypatch.setattr(argus_exporter.discordpy, "__doc__", table)
    assert found("private attributes") == [
        (WARNING, "Client._gone is not there; without it: nothing at all"),
        (WARNING, "Client._also_gone is not there; without it: nothing at all"),
        (WARNING, "_nowhere is not there; without it: a guess"),
        (WARNING, "AutoShardedClient.__gone is not there; without it: little"),
        (WARNING, "Client._connection._nobody_has_this is not there; without it: less"),
    ]


@pytest.mark.parametrize(
    ("version", "status"), [("2.3.2", WARNING), ("2.4.0", OK), ("2.7.1", OK), ("2.8.0a1", WARNING), ("3.0", WARNING)]
)
def test_which_discord_py_is_supported(version: str, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found("discord.py") == [(OK, f"{importlib.metadata.version('discord.py')} is supported")]
    monkeypatch.setattr(importlib.metadata, "version", lambda _: version)
    ((found_status, text),) = found("discord.py")
    assert found_status == status
    assert text.startswith(f"{version} is ")


def test_no_discord_py_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_: str) -> str:
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(importlib.metadata, "version", absent)
    assert found("discord.py") == [(WRONG, "is not installed")]


def test_what_breaks_while_it_is_looked_at_is_a_finding_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_classes", lambda: 1 / 0)
    assert found("private attributes") == [(WRONG, "cannot be checked: ZeroDivisionError: division by zero")]
    assert found("port") == [(OK, "off: no page is served")]


# ------------------------------------------------------------------------------------------------ the port


def test_a_port_that_is_free_can_be_had(unused_tcp_port: int) -> None:
    assert found("port", port=unused_tcp_port) == [(OK, f"127.0.0.1:{unused_tcp_port} can be had")]
    assert found("port", port=0) == [(OK, "127.0.0.1:0 can be had")]


def hanging_up(server: socket.socket) -> None:
    server.accept()[0].close()


def test_a_port_of_another_program_cannot() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        hang_up = threading.Thread(target=hanging_up, args=(taken,))
        hang_up.start()
        ((status, text),) = found("port", port=port)
        hang_up.join()
    assert (status, text) == (WRONG, f"127.0.0.1:{port} cannot be had: Address already in use")
    assert found("port", host="no.such.host.invalid", port=1)[0][0] == WRONG


async def test_a_port_of_an_exporter_that_runs_is_no_fault() -> None:
    async with Exporter(port=0) as exporter:
        said = await asyncio.to_thread(found, "port", port=exporter.port)
        assert said == [(OK, f"127.0.0.1:{exporter.port} is in use by an exporter, which runs")]


def test_of_several_ports_the_free_ones_are_counted(unused_tcp_port: int) -> None:
    ports = f"{unused_tcp_port}-{unused_tcp_port + 1}"
    with socket.create_server(("127.0.0.1", unused_tcp_port)):
        assert found("port", port=ports) == [(OK, f"127.0.0.1:{ports}: 1 free")]


# ------------------------------------------------------------------------------------------------ who may have it


def test_without_a_token_only_this_machine_should_reach_it(tmp_path: Path) -> None:
    assert found("token", port=0) == [(OK, "none, and only this machine reaches the page")]
    assert found("token", port=0, host="localhost")[0][0] == OK
    assert found("token", port=0, host=EVERYWHERE) == [(WARNING, "none: whoever reaches 0.0.0.0 may read the metrics")]
    assert found("token", host=EVERYWHERE)[0][0] == OK
    assert found("token", port=0, host=EVERYWHERE, token="s3cret") == [
        (WARNING, "goes over the network as it is: no TLS")
    ]
    assert found("token", port=0, token="s3cret") == [(OK, "whoever wants the metrics is asked")]


@posix
def test_a_file_of_tokens_is_not_for_everybody(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("s3cret", "utf-8")
    file.chmod(0o640)
    assert found("token", token_file=file) == [(OK, "whoever wants the metrics is asked")]
    file.chmod(0o644)
    assert found("token", token_file=file)[1:] == [(WARNING, f"{file}: everybody on this machine may read it")]


@pytest.mark.parametrize(
    ("days", "status", "text"),
    [(90, OK, "ends in 90 days"), (13, WARNING, "ends in 13 days"), (-1, WRONG, "certificate has expired")],
)
def test_a_certificate_is_wanted_for_a_while_yet(days: int, status: str, text: str, tmp_path: Path) -> None:
    leaf = trustme.CA().issue_cert("localhost", not_after=datetime.now(UTC) + timedelta(days=days, minutes=5))
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    leaf.cert_chain_pems[0].write_to_path(str(cert))
    leaf.private_key_pem.write_to_path(str(key))
    assert found("TLS", tls_cert=cert, tls_key=key) == [(status, f"{cert}: {text}")]
    assert found("token", port=0, host=EVERYWHERE, token="a", tls_cert=cert, tls_key=key)[0][0] == OK


# ------------------------------------------------------------------------------------------------ what is written to


def test_a_statsd_that_listens_does_not_refuse_and_reads_empty_lines() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        url = f"udp://127.0.0.1:{server.getsockname()[1]}"
        assert found("StatsD", statsd_url=url) == [(OK, f"{url} does not refuse; UDP tells no more")]
        assert {server.recv(100), server.recv(100)} == {b"\n"}


@pytest.mark.skipif(sys.platform != "linux", reason="not every system tells of a refusal")
def test_a_statsd_that_is_not_there_is_wrong(tmp_path: Path) -> None:
    assert found("StatsD", statsd_url="udp://127.0.0.1:1") == [(WRONG, "udp://127.0.0.1:1: Connection refused")]
    url = f"unixgram://{tmp_path}/none"
    assert found("StatsD", statsd_url=url) == [(WRONG, f"{url}: No such file or directory")]
    assert found("StatsD", statsd_url="udp://no.such.host.invalid:8125")[0][0] == WRONG


@posix
def test_a_statsd_behind_a_path_is_found(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "s"))
        assert found("StatsD", statsd_url=f"unixgram://{tmp_path}/s")[0][0] == OK


@pytest.mark.parametrize("scheme", ["clickhouse", "postgresql"])
def test_a_database_that_is_not_there_is_wrong_and_named_without_a_secret(scheme: str, unused_tcp_port: int) -> None:
    pytest.importorskip({"clickhouse": "clickhouse_connect", "postgresql": "asyncpg"}[scheme])
    ((status, text),) = found("analytics", analytics_url=f"{scheme}://me:s3cret@127.0.0.1:{unused_tcp_port}/bots")
    assert status == WRONG
    assert text.startswith(f"{scheme}://***@127.0.0.1:{unused_tcp_port}/bots: ")
    assert "s3cret" not in text


def test_a_database_that_is_there_says_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Memory()
    monkeypatch.setattr(start, "sink_of", lambda settings, url: database)
    assert found("analytics", analytics_url="clickhouse://me:s3cret@db/bots") == [
        (OK, "clickhouse://***@db/bots: memory")
    ]
    assert [call for call, _ in database.calls] == ["check", "close"]
    monkeypatch.setattr(doctor, "_DATABASE_PATIENCE", 0.05)
    database.mode = "hangs"
    closing = asyncio.sleep(0)
    monkeypatch.setattr(database, "close", lambda: closing)
    file = tmp_path / "url"
    file.write_text("postgresql://me:s3cret@db/bots")
    file.chmod(0o644)
    first, *others = found("analytics", analytics_url_file=file)
    assert first == (WRONG, "postgresql://***@db/bots: TimeoutError: no answer in time")
    assert others == ([(WARNING, f"{file}: everybody on this machine may read it")] if os.name == "posix" else [])


def test_a_database_without_its_driver_or_key_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "argus_exporter.analytics.postgres", None)
    assert found("settings", analytics_url="postgresql://me:s3cret@db/bots") == [
        (WRONG, 'ARGUS_ANALYTICS_URL=postgresql://***@db/bots needs pip install "argus_exporter[postgres]"')
    ]
    monkeypatch.setattr(start, "sink_of", lambda settings, url: Memory())
    assert found("settings", analytics_url="postgresql://me:s3cret@db/bots", analytics_users="hash") == [
        (WRONG, "ARGUS_ANALYTICS_USERS='hash' is not allowed: ARGUS_ANALYTICS_KEY is not set")
    ]


def test_the_folder_of_target_files_is_there_and_what_is_old_in_it_is_named(tmp_path: Path) -> None:
    fresh, old = (tmp_path / f"argus_exporter-a-b-{port}.json" for port in (1, 2))
    fresh.touch()
    old.touch()
    os.utime(old, (0, old.stat().st_mtime - 4 * REFRESH_SECONDS - 10))
    assert found("target file", port=0, file_sd_dir=tmp_path) == [
        (OK, f"{tmp_path}: can be written to, 2 targets"),
        (WARNING, f"{old.name}: nobody has refreshed it for two minutes"),
    ]
    assert sorted(tmp_path.iterdir()) == [fresh, old]
    nowhere = tmp_path / "nowhere"
    assert found("target file", port=0, file_sd_dir=nowhere) == [(WRONG, f"{nowhere}: No such file or directory")]
    assert found("target file", file_sd_dir=tmp_path)[0][0] == WARNING


def test_state_and_error_log_have_a_place(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    deep = tmp_path / "to" / "be" / "made"
    assert found("state", state_dir=deep) == [(OK, f"{deep}: can be written to")]
    assert found("state", state_dir=in_the_way / "x")[0][0] == WARNING
    assert found("error log", error_log="-") == [(OK, "stderr")]
    for path in (in_the_way, tmp_path / "new.jsonl"):
        assert found("error log", error_log=path) == [(OK, f"{path}: can be written to")]
    assert found("error log", error_log=deep / "log")[0] == (WRONG, f"{deep / 'log'}: No such file or directory")
    assert found("error log", error_log=tmp_path) == [(WRONG, f"{tmp_path}: it is a directory")]
    assert sorted(tmp_path.iterdir()) == [in_the_way]


# ------------------------------------------------------------------------------------------------ a page


class Handler(BaseHTTPRequestHandler):
    body, status, sends_to = b"", 200, ""
    asked: list[str | None]

    def do_GET(self) -> None:
        self.asked.append(self.headers["Authorization"])
        if self.sends_to:
            self.send_response(302)
            self.send_header("Location", self.sends_to)
        else:
            self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        pass


@contextlib.contextmanager
def served(body: bytes, status: int = 200, **more: Any) -> Iterator[str]:
    handler = type("This", (Handler,), {"body": body, "status": status, "asked": [], **more})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/metrics"
        server.shutdown()
        thread.join()


def page(statuses: dict[str, float], *, down: str = "") -> bytes:
    instruments = Instruments({"bot": 'a "b" }{ \n', "cluster": "1"})
    instruments.gauge(catalogue.EXPORTER_INFO).labels(VERSION, "3").set(1)
    instruments.histogram(catalogue.EVENT_LOOP_LAG_SECONDS).labels().observe(1)
    instruments.gauge(catalogue.COLLECTOR_UP).labels("loop").set(1)
    if down:
        instruments.gauge(catalogue.COLLECTOR_UP).labels(down).set(0)
    for shard, status in statuses.items():
        instruments.gauge(catalogue.SHARD_STATUS).labels(shard).set(status)
    return Encoder(instruments).page()


def test_a_page_of_a_running_exporter_is_told_in_plain_words() -> None:
    body = page({"0": 3, "1": 3, "2": 6, "3": 9, "4": 2.5})
    series = sum(not line.startswith("#") for line in body.decode().splitlines())
    with served(body) as url:
        findings = [each for each in examine(NOTHING, url, 5) if each.name not in {"settings", *doctor._LIBRARIES}]
    told = {each.name: (each.status, each.text) for each in findings}
    assert told[url] == (OK, f"alive, {series} series, 4 of the {len(METRICS)} metrics of argus_exporter")
    counts = "2 online, 1 resuming, 1 9, which means nothing, 1 2.5, which means nothing"
    assert told["discord_shard_status"] == (WARNING, counts)
    assert told["resuming"] == (WARNING, "2")
    assert told["9, which means nothing"] == (WARNING, "3")


def test_many_shards_that_are_not_online_are_not_all_named() -> None:
    with served(page({str(shard): 2 for shard in range(25)})) as url:
        ((status, text),) = found("offline", url)
        assert (status, text) == (WARNING, f"{', '.join(map(str, range(20)))} and 5 more")


@pytest.mark.parametrize(
    ("status", "word"),
    [*enumerate(("unknown", "unhealthy", "offline", "online", "starting", "stopping", "resuming"))],
)
def test_each_status_has_its_word(status: int, word: str) -> None:
    with served(page({"7": status})) as url:
        assert found("discord_shard_status", url) == [(OK if word == "online" else WARNING, f"1 {word}")]


def test_everything_wrong_on_a_page_is_said_at_once() -> None:
    with served(page({}, down="gateway")) as url:
        ((status, text),) = found("discord_shard_status", url)
        assert status == WRONG
        assert text.startswith("is not there. Is the extension loaded")
        text = "does not see all that it should, the bot's log says why"
        assert found("collector gateway", url) == [(WRONG, text)]
        assert found("collector loop", url) == []


@pytest.mark.parametrize(
    "body", [b"", b"hello\n", b"\xff\xfe\n", b"go_info 1\nx notanumber\n", b"# argus_exporter_info 1\n"]
)
def test_a_page_of_something_else_is_wrong(body: bytes) -> None:
    with served(body) as url:
        text = "answers, but is not the page of argus_exporter: argus_exporter_info is not there"
        assert found(url, url) == [(WRONG, text)]


def test_an_answer_that_is_an_error_is_told() -> None:
    with served(b"no", status=404) as url:
        assert found(url, url) == [(WRONG, "answers with 404 Not Found")]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/metrics",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:x/",
        "http://[::1/",
        "http://127.0.0.1:1/ a",
        "https://127.0.0.1:1/",
    ],
)
def test_a_page_that_is_not_reachable_is_told_without_a_traceback(url: str) -> None:
    ((status, text),) = found(url, url)
    assert status == WRONG
    assert re.fullmatch("not reachable: .+", text)


def test_a_page_that_does_not_come_in_time_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/metrics"
        assert found(url, url, 0.05) == [(WRONG, "not reachable: timed out")]


def test_the_page_is_asked_for_with_this_environment_s_token_and_nobody_else_is(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("\nfrom-file\nsecond\n", "utf-8")
    asked: list[str | None] = []
    with served(page({"0": 3}), asked=asked) as url:
        for environ in ({"token": " né, other "}, {"token_file": str(file)}, {"token_file": "off"}, {}):
            assert found(url, url, **environ)[0][0] == OK
        with served(b"", sends_to=url, asked=[]) as elsewhere:
            assert found(elsewhere, elsewhere, token="a")[0][0] == OK
        assert asked == ["Bearer n\u00c3\u00a9", "Bearer from-file", None, None, None]


async def test_a_page_over_tls_is_trusted_by_this_environment_s_certificate(tmp_path: Path) -> None:
    leaf = trustme.CA().issue_cert("127.0.0.1")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    leaf.cert_chain_pems[0].write_to_path(str(cert))
    leaf.private_key_pem.write_to_path(str(key))
    files = {"tls_cert": cert, "tls_key": key}
    async with Exporter(port=0, token="s3cret", **files) as exporter:
        url = f"https://127.0.0.1:{exporter.port}/metrics"
        told = await asyncio.to_thread(found, url, url, **files, token="s3cret")
        assert (told[0][0], told[0][1].split(",")[0]) == (OK, "alive")
        assert "CERTIFICATE_VERIFY_FAILED" in (await asyncio.to_thread(found, url, url))[0][1]
        said = await asyncio.to_thread(found, "port", port=exporter.port, **files)
        assert said == [(OK, f"127.0.0.1:{exporter.port} is in use by an exporter, which runs")]
