"""The command line: what it prints, and how it ends."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys

import pytest

from argus_exporter import catalogue
from argus_exporter.__main__ import main
from argus_exporter.catalogue import METRICS
from argus_exporter.settings import UNSET, Settings, variable_of
from argus_exporter.version import VERSION


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("ARGUS_"):
            monkeypatch.delenv(name)
    # a proxy that the command line must not ask
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)


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
        "help": "Port of `/metrics`; 0 takes a free one, `9191-9199` the first of these that is free, "
        "`off` opens none.",
        "allowed": "a port from 1 to 65535, 0 for a free one, a range such as 9191-9199 of at most 1000, or off",
        "error": "ARGUS_PORT='http' is not allowed: a port from 1 to 65535, 0 for a free one, a range such as "
        "9191-9199 of at most 1000, or off",
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


# ------------------------------------------------------------------------------------------------ check


def test_what_was_found_is_printed_a_line_each(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARGUS_PORT", "off")
    assert main(["check"]) == 0
    lines = said(capsys).splitlines()
    assert lines[0] == "ok      settings: every ARGUS_ variable that is known has a value that is allowed"
    assert "ok      port: off: no page is served" in lines
    monkeypatch.setenv("ARGUS_PORT", "http")
    monkeypatch.setenv("ARGUS_PROT", "1")
    assert main(["check"]) == 1
    wrong, unknown, *_ = said(capsys).splitlines()
    assert wrong.startswith("wrong   settings: ARGUS_PORT='http' is not allowed: a port from 1 to 65535")
    assert unknown == "warning settings: ARGUS_PROT is not a setting: did you mean ARGUS_PORT?"


def test_what_was_found_is_printed_as_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARGUS_PORT", "off")
    assert main(["check", "--json"]) == 0
    found = json.loads(said(capsys))
    assert found["ok"] is True
    assert {"status": "ok", "name": "port", "text": "off: no page is served"} in found["checks"]
    monkeypatch.setenv("ARGUS_PORT", "http")
    assert main(["check", "--json"]) == 1
    assert json.loads(said(capsys))["ok"] is False


@pytest.mark.parametrize(
    ("terminal", "environ", "painted"),
    [(True, {}, True), (False, {}, False), (True, {"NO_COLOR": "1"}, False), (True, {"TERM": "dumb"}, False)],
)
def test_colours_are_for_terminals_that_want_them(
    *,
    terminal: bool,
    environ: dict[str, str],
    painted: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, text in {"ARGUS_PORT": "off", **environ}.items():
        monkeypatch.setenv(name, text)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    main(["check"])
    assert said(capsys).startswith("\x1b[32mok     \x1b[0m settings: " if painted else "ok      settings: ")


# ------------------------------------------------------------------------------------------------ the command line


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["nonsense"], "invalid choice: 'nonsense'"),
        (["metrics", "--yaml"], "unrecognized arguments: --yaml"),
        (["check", "--url", "localhost:9191"], "'localhost:9191' is not a URL such as http://127.0.0.1:9191/metrics"),
        (["check", "--url", "file:///etc/passwd"], "'file:///etc/passwd' is not a URL"),
        (["check", "--url", "http://me:s3cret@a/metrics"], "no secret in a URL: it is asked for with ARGUS_TOKEN\n"),
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
    err = capsys.readouterr().err
    assert complaint in err
    assert "s3cret" not in err


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
