"""The command line, against real pages over real sockets."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import socket
import subprocess
import sys
import threading
import typing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from argus_exporter import catalogue
from argus_exporter.__main__ import main
from argus_exporter.catalogue import METRICS
from argus_exporter.exposition.encode import Encoder
from argus_exporter.instruments import Instruments
from argus_exporter.settings import UNSET, Settings, variable_of
from argus_exporter.version import VERSION

if typing.TYPE_CHECKING:
    from collections.abc import Iterator

FINE = "settings: every ARGUS_ variable that is known has a value that is allowed\n"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("ARGUS_"):
            monkeypatch.delenv(name)
    # a proxy that the command line must not ask
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)


@contextlib.contextmanager
def served(body: bytes, status: int = 200) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
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


def said(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    assert err == ""
    return out


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "argus_exporter", *arguments]
    return subprocess.run(
        command, capture_output=True, encoding="utf-8", check=False, env={**os.environ, "PYTHONUTF8": "1", **environ}
    )


# ------------------------------------------------------------------------------------------------ metrics, settings


def test_the_metrics_are_printed_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics"]) == 0
    head, *lines = said(capsys).splitlines()
    assert re.split(r"  +", head) == ["METRIC", "TYPE", "LABELS (AT MOST)", "MEANING"]
    assert [line.split()[:2] for line in lines] == [[metric.name, metric.kind] for metric in METRICS]
    assert [line[head.index("MEANING") :] for line in lines] == [metric.help for metric in METRICS]
    (closes,) = [line for line in lines if line.startswith("discord_gateway_closes_total")]
    assert closes[head.index("LABELS") :].startswith("code (29), initiator (2)  ")


def test_the_metrics_are_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", "--json"]) == 0
    by_name = {each["name"]: each for each in json.loads(said(capsys))}
    assert list(by_name) == [metric.name for metric in METRICS]
    assert by_name["discord_shard_connections_total"] == {
        "name": "discord_shard_connections_total",
        "type": "counter",
        "noun": "shards",
        "help": catalogue.SHARD_CONNECTIONS_TOTAL.help,
        "series": 4097 * 3,
        "labels": [
            {"name": "shard", "bound": 4096, "why": "shards of this process", "values": []},
            {"name": "kind", "bound": 2, "why": "two ways to begin", "values": ["identify", "resume"]},
        ],
        "edges": None,
    }
    assert by_name["discord_event_loop_lag_seconds"]["edges"] == list(catalogue.EVENT_LOOP_LAG_SECONDS.edges)


def test_the_settings_are_printed_with_what_the_environment_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARGUS_PORT", " 80 ")
    monkeypatch.setenv("ARGUS_BOT", "two\nlines")
    monkeypatch.setenv("ARGUS_CLUSTER", " ")
    assert main(["settings"]) == 0
    head, *lines = said(capsys).splitlines()
    assert re.split(r"  +", head) == ["VARIABLE", "DEFAULT", "NOW", "MEANING"]
    fields = dataclasses.fields(Settings)
    assert [line.split()[0] for line in lines] == [variable_of(field.name) for field in fields]
    assert [line[head.index("MEANING") :] for line in lines] == [field.metadata["help"] for field in fields]
    assert [line[head.index("DEFAULT") : head.index("NOW")].strip() for line in lines] == [
        field.metadata["shown"] for field in fields
    ]
    now = {line.split()[0]: line[head.index("NOW") : head.index("MEANING")].strip() for line in lines}
    assert (now["ARGUS_PORT"], now["ARGUS_BOT"]) == ("80", r"'two\nlines' (not allowed)")
    assert (now["ARGUS_CLUSTER"], now["ARGUS_HOST"]) == (UNSET, UNSET)


def test_the_settings_are_printed_as_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARGUS_PORT", "http")
    monkeypatch.setenv("ARGUS_CLUSTER", "2")
    assert main(["settings", "--json"]) == 0
    by_name = {each["variable"]: each for each in json.loads(said(capsys))}
    assert list(by_name) == [variable_of(field.name) for field in dataclasses.fields(Settings)]
    assert by_name["ARGUS_PORT"] == {
        "variable": "ARGUS_PORT",
        "argument": "port",
        "default": "9191",
        "value": "http",
        "help": "Port of `/metrics`; 0 takes a free one, `off` opens none.",
        "allowed": "a port from 1 to 65535, 0 for a free one, or off",
        "error": "ARGUS_PORT='http' is not allowed: a port from 1 to 65535, 0 for a free one, or off",
    }
    assert (by_name["ARGUS_CLUSTER"]["value"], by_name["ARGUS_CLUSTER"]["error"]) == ("2", None)
    assert by_name["ARGUS_BOT"]["value"] is None


def test_a_secret_is_not_printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for token in ("s3cret", "s3cret\x01"):
        monkeypatch.setenv("ARGUS_TOKEN", token)
        for command in (["settings"], ["settings", "--json"], ["check"]):
            main(command)
            out = said(capsys)
            assert "s3cret" not in out
            assert "***" in out or (command == ["check"] and token == "s3cret")


# ------------------------------------------------------------------------------------------------ check: settings


def test_settings_that_are_right_one_by_one_and_not_together_fail_the_check(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARGUS_TLS_KEY", __file__)
    assert main(["check"]) == 1
    assert said(capsys) == f"ARGUS_TLS_KEY={__file__!r} is not allowed: ARGUS_TLS_CERT is not set\n"


def test_settings_that_are_allowed_pass_the_check(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARGUS_PORT", "0")
    monkeypatch.setenv("ARGUS_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("ARGUS_SERVICE_PORT", "9191")
    monkeypatch.setenv("ARGUS_SERVICE_PORT_METRICS", "9191")
    monkeypatch.setenv("ARGUS_PORT_9191_TCP", "tcp://10.0.0.1:9191")
    monkeypatch.setenv("ARGUS_PORT_9191_TCP_ADDR", "10.0.0.1")
    assert main(["check"]) == 0
    assert said(capsys) == FINE


def test_every_setting_that_is_not_allowed_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARGUS_PORT", "http")
    monkeypatch.setenv("ARGUS_USER_REGISTRY", "perhaps")
    assert main(["check"]) == 1
    assert said(capsys).splitlines() == [
        "ARGUS_PORT='http' is not allowed: a port from 1 to 65535, 0 for a free one, or off",
        "ARGUS_USER_REGISTRY='perhaps' is not allowed: on or off",
    ]


def test_a_misspelt_variable_is_said_but_may_be_another_programs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARGUS_PROT", "80")
    monkeypatch.setenv("ARGUS_QQQ", "80")
    assert main(["check"]) == 0
    assert said(capsys) == f"ARGUS_PROT is not a setting: did you mean ARGUS_PORT?\nARGUS_QQQ is not a setting\n{FINE}"


# ------------------------------------------------------------------------------------------------ check: the page


def test_a_page_of_a_running_exporter_is_told_in_plain_words(capsys: pytest.CaptureFixture[str]) -> None:
    body = page({"0": 3, "1": 3, "2": 6, "3": 9, "4": 2.5})
    with served(body) as url:
        assert main(["check", "--url", url]) == 0
    series = sum(not line.startswith("#") for line in body.decode().splitlines())
    first, alive, shards, *others = said(capsys).splitlines(keepends=True)
    assert first == FINE
    assert alive == f"{url}: alive, {series} series, 4 of the {len(METRICS)} metrics of argus_exporter\n"
    assert shards == (
        "discord_shard_status: 2 online, 1 resuming, 1 9, which means nothing, 1 2.5, which means nothing\n"
    )
    assert sorted(others) == ["  2.5, which means nothing: 4\n", "  9, which means nothing: 3\n", "  resuming: 2\n"]


@pytest.mark.parametrize(
    ("status", "word"),
    [*enumerate(("unknown", "unhealthy", "offline", "online", "starting", "stopping", "resuming"))],
)
def test_each_status_has_its_word(status: int, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with served(page({"7": status})) as url:
        assert main(["check", "--url", url]) == 0
    assert f"discord_shard_status: 1 {word}\n" in said(capsys)


def test_a_page_without_shards_does_not_pass(capsys: pytest.CaptureFixture[str]) -> None:
    with served(page({})) as url:
        assert main(["check", "--url", url]) == 1
    assert "discord_shard_status: is not there. Is the extension loaded" in said(capsys)


def test_a_collector_that_is_down_does_not_pass(capsys: pytest.CaptureFixture[str]) -> None:
    with served(page({"0": 3}, down="gateway")) as url:
        assert main(["check", "--url", url]) == 1
    out = said(capsys)
    assert "collector gateway: does not see all that it should, the bot's log says why\n" in out
    assert "collector loop" not in out


def test_everything_wrong_on_a_page_is_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with served(page({}, down="gateway")) as url:
        assert main(["check", "--url", url]) == 1
    out = said(capsys)
    assert "discord_shard_status: is not there" in out
    assert "collector gateway: does not see" in out


def test_wrong_settings_fail_the_check_of_a_good_page(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARGUS_PORT", "http")
    with served(page({"0": 3})) as url:
        assert main(["check", "--url", url]) == 1
    assert "alive" in said(capsys)


@pytest.mark.parametrize(
    "body", [b"", b"hello\n", b"\xff\xfe\n", b"go_info 1\nx notanumber\n", b"# argus_exporter_info 1\n"]
)
def test_a_page_of_something_else_does_not_pass(body: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    with served(body) as url:
        assert main(["check", "--url", url]) == 1
    assert said(capsys) == (
        f"{FINE}{url}: answers, but is not the page of argus_exporter: argus_exporter_info is not there\n"
    )


def test_an_answer_that_is_an_error_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with served(b"no", status=404) as url:
        assert main(["check", "--url", url]) == 1
    assert said(capsys) == f"{FINE}{url}: answers with 404 Not Found\n"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/metrics",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:x/",
        "http://[::1/",
        "http://127.0.0.1:1/ a",
    ],
)
def test_a_page_that_is_not_reachable_is_told_without_a_traceback(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--url", url]) == 1
    assert re.fullmatch(rf"{re.escape(FINE)}{re.escape(url)}: not reachable: .+\n", said(capsys))


def test_a_page_that_does_not_come_in_time_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/metrics"
        assert main(["check", "--url", url, "--timeout", "0.05"]) == 1
    assert said(capsys) == f"{FINE}{url}: not reachable: timed out\n"


# ------------------------------------------------------------------------------------------------ the command line


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["nonsense"], "invalid choice: 'nonsense'"),
        (["metrics", "--yaml"], "unrecognized arguments: --yaml"),
        (["check", "--url", "localhost:9191"], "'localhost:9191' is not a URL such as http://127.0.0.1:9191/metrics"),
        (["check", "--url", "file:///etc/passwd"], "'file:///etc/passwd' is not a URL"),
        (["check", "--timeout", "soon"], "'soon' is not a number of seconds"),
        (["check", "--timeout", "0"], "'0' is not a number of seconds"),
        (["check", "--timeout", "3601"], "'3601' is not a number of seconds"),
    ],
)
def test_a_wrong_command_line_ends_with_two(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert complaint in capsys.readouterr().err


def test_the_help_names_the_commands_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    out = said(capsys)
    assert end.value.code == 0
    assert "\nexit codes:\n  0  all is well\n  1  " in out
    assert all(re.search(rf"\n    {command} +\w", out) for command in ("metrics", "settings", "check"))
    with pytest.raises(SystemExit):
        main(["check", "--help"])
    assert "\nCheck the ARGUS_ variables" in capsys.readouterr().out


def test_it_runs_as_a_module_and_says_its_version() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"argus_exporter {VERSION}\n", "")
    assert run("check", ARGUS_PORT="http").returncode == 1


def test_a_terminal_that_cannot_show_a_character_gets_another() -> None:
    done = run("settings", PYTHONUTF8="0", PYTHONIOENCODING="ascii", ARGUS_BOT="né", PYTHONCOERCECLOCALE="0")
    assert done.returncode == 0
    assert re.search(r"ARGUS_BOT +\? +n\?", done.stdout)


def test_a_reader_that_goes_early_is_no_error() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "argus_exporter", "metrics"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0
