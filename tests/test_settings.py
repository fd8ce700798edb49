"""The settings: from arguments and from the environment, and what is said of those that are not allowed."""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from argus_exporter.settings import (
    ANALYTICS_EVENTS,
    DISABLEABLE,
    STATSD_FLAVOURS,
    UNSET,
    Secret,
    SettingError,
    Settings,
    Supervisor,
    Tokens,
    default_state_dir,
    read_tokens,
    supervisor,
    variable_of,
)
from argus_exporter.statsd.encode import FLAVOURS
from argus_exporter.statsd.transport import Transport

TOKENS = str(Path(__file__).parent / "golden" / "tokens.txt")
DATABASE = str(Path(__file__).parent / "golden" / "database.txt")
CLICKHOUSE = "clickhouse://me:s3cret@db.example:8123/bots?x=s3cret"
NAMES = [field.name for field in dataclasses.fields(Settings)]

# name, what the environment says, what it means
ACCEPTED = [
    ("host", "0.0.0.0", "0.0.0.0"),  # noqa: S104 - it is the meaning that is tested
    ("host", " ::1 ", "::1"),
    ("host", "[::1]", "::1"),
    ("host", "fe80::1%eth0", "fe80::1%eth0"),
    ("host", "localhost", "localhost"),
    ("host", "pod-1.bots.svc.", "pod-1.bots.svc."),
    ("host", "under_score", "under_score"),
    ("host", "3com.example", "3com.example"),
    ("port", "0", 0),
    ("port", " 65535 ", 65535),
    ("port", "OFF", None),
    ("port", " 9191 - 9199 ", range(9191, 9200)),
    ("port", "1-1000", range(1, 1001)),
    ("port", "65535-65535", range(65535, 65536)),
    ("metrics_path", "/a/b.c_d~e-f", "/a/b.c_d~e-f"),
    ("metrics_path", "/metrics/", "/metrics/"),
    ("metrics_path", "/a/livez", "/a/livez"),
    ("metrics_path", "/livezz", "/livezz"),
    ("metrics_path", "/.hidden", "/.hidden"),
    ("metrics_path", "/..a", "/..a"),
    ("token", " a , b\n\nc,", Tokens.of("a,b,c")),
    ("token", "pass word", Tokens.of("pass word")),
    ("file_sd_dir", " auto ", Path("auto")),
    ("file_sd_dir", "off", None),
    ("file_sd_dir", "off//", Path("off")),
    ("file_sd_host", "[::1]", "::1"),
    ("file_sd_host", "AUTO", None),
    ("token_file", f" {TOKENS} ", Path(TOKENS)),
    ("token_file", "OFF", None),
    ("tls_cert", TOKENS, Path(TOKENS)),
    ("tls_key", TOKENS, Path(TOKENS)),
    ("tls_client_ca", TOKENS, Path(TOKENS)),
    ("live_seconds", "1", 1.0),
    ("ready_guilds", "0", 0.0),
    ("ready_guilds", "1", 1.0),
    ("systemd", "off", False),
    ("bot", " Mein Bot é ", "Mein Bot é"),
    ("bot", "x" * 128, "x" * 128),
    ("cluster", "3", "3"),
    ("disable", "loop, Shards,,", frozenset({"loop", "shards"})),
    ("disable", ",".join(DISABLEABLE), frozenset(DISABLEABLE)),
    ("user_registry", "off", False),
    ("user_registry", "No", False),
    ("user_registry", "0", False),
    ("user_registry", "false", False),
    ("short_circuit", "ON", True),
    ("short_circuit", "yes", True),
    ("short_circuit", "1", True),
    ("short_circuit", "true", True),
    ("exemplars", "Auto", None),
    ("exemplars", "on", True),
    ("exemplars", "off", False),
    ("max_commands", "1", 1),
    ("max_commands", " 5000 ", 5000),
    (
        "outcomes",
        "myapp.errors.Poor=user_error, Broke = rejected,,",
        (("myapp.errors.Poor", "user_error"), ("Broke", "rejected")),
    ),
    ("outcomes", "a.b.<locals>.É1=ok", (("a.b.<locals>.É1", "ok"),)),
    ("stall_seconds", "0.05", 0.05),
    ("stall_seconds", "3600", 3600.0),
    ("error_log", "OFF", None),
    ("error_log", " - ", "stderr"),
    ("error_log", "Stderr", "stderr"),
    ("error_log", "/var/log/bot.jsonl", str(Path("/var/log/bot.jsonl"))),
    ("error_log", "~/bot.jsonl", str(Path.home() / "bot.jsonl")),
    ("sentry", "off", False),
    ("sentry_caps", "off", False),
    ("sentry_user_id", "on", True),
    ("session_limit_interval", "off", None),
    ("session_limit_interval", "10", 10.0),
    ("session_limit_interval", "86400", 86400.0),
    ("statsd_url", "OFF", None),
    ("statsd_url", " udp://statsd.example:8125 ", "udp://statsd.example:8125"),
    ("statsd_url", "udp://10.0.0.1/", "udp://10.0.0.1/"),
    ("statsd_url", "udp://[fe80::1%25eth0]:1", "udp://[fe80::1%25eth0]:1"),
    ("statsd_flavour", " Graphite ", "graphite"),
    ("statsd_prefix", "bots.my-bot_1.", "bots.my-bot_1"),
    ("statsd_interval", "0.1", 0.1),
    ("statsd_refresh", "off", None),
    ("statsd_refresh", "86400", 86400.0),
    ("statsd_max_bytes", "Auto", None),
    ("statsd_max_bytes", "256", 256),
    ("statsd_max_bytes", "65507", 65507),
    ("analytics_url", "OFF", None),
    ("analytics_url", f" {CLICKHOUSE} ", Secret(CLICKHOUSE)),
    ("analytics_url", "clickhouses://[::1]/bots", Secret("clickhouses://[::1]/bots")),
    ("analytics_url", "postgresql://u@db/a%20b", Secret("postgresql://u@db/a%20b")),
    ("analytics_url_file", "off", None),
    ("analytics_url_file", f" {DATABASE} ", Path(DATABASE)),
    ("analytics_events", "Message, member,,", frozenset({"message", "member"})),
    ("analytics_events", ",".join(ANALYTICS_EVENTS), frozenset(ANALYTICS_EVENTS)),
    ("analytics_users", " Hash ", "hash"),
    ("analytics_users", "plain", "plain"),
    ("analytics_key", "off", None),
    ("analytics_key", " 0123456789abcdéf ", Secret("0123456789abcdéf")),
    ("analytics_key", "x" * 1024, Secret("x" * 1024)),
    ("analytics_queue_rows", "100", 100),
    ("analytics_queue_rows", "10000000", 10_000_000),
    ("analytics_queue_bytes", "1048576", 2**20),
    ("analytics_batch_rows", "100", 100),
    ("analytics_batch_rows", "10000", 10_000),
    ("analytics_batch_seconds", "0.1", 0.1),
    ("analytics_retention_days", "off", None),
    ("analytics_retention_days", "36500", 36_500),
    ("analytics_async_insert", "on", True),
    ("state_dir", "off", None),
    ("state_dir", "/var/lib/bot", Path("/var/lib/bot")),
    ("state_dir", "relative", Path("relative")),
]

REFUSED = {
    "host": [
        "0",
        "1.2.3",
        "999.1.1.1",
        "a.0",
        "-a",
        "a.-b",
        "*",
        "a b",
        "a:1",
        "http://a",
        "::g",
        "[::1",
        "fe80::1%a b",
    ],
    "port": [
        *("-1", "65536", "9191.0", "http", "0x1", "1 2", "9" * 5000, "x" * 98, "tcp:/x"),
        *("0-9", "9-8", "1-1001", "65535-65536", "9191-", "-9191", "1-2-3", "1,2"),
    ],
    "metrics_path": [
        "metrics",
        "/",
        "/livez",
        "/readyz",
        "/startupz",
        "/a//b",
        "/a b",
        "/{x}",
        "/a?b",
        "/..",
        "/a/./b",
        "/a/../b",
        "/é",
        "/a\nb",
    ],
    "token": [",", ",\n,", "a\tb", "a\0", "\ud800", "x" * 4097, ",".join(map(str, range(101)))],
    "token_file": ["/no/such/file", "/", "x" * 5000, "/a\0b", os.devnull, "~no-such-user-anywhere/x", __file__],
    "tls_cert": ["/no/such/file", "/", "/a\0b", os.devnull],
    "tls_key": ["/no/such/file"],
    "tls_client_ca": ["/no/such/file"],
    "live_seconds": ["0.9", "3601", "off", "nan"],
    "ready_guilds": ["-0.1", "1.1", "90%", "nan"],
    "systemd": ["auto"],
    "bot": ["a\nb", "x" * 129, "nul\0", "\ud800", "a\x85b", "a\u2028b"],
    "cluster": ["a\tb", "x" * 129],
    "file_sd_dir": ["/a\0b", "~no-such-user-anywhere/x"],
    "file_sd_host": ["a b", "http://a", "a:1"],
    "disable": ["statsd", "exporter", "registry", "gateway;loop", "everything"],
    "user_registry": ["maybe", "2", "onn"],
    "short_circuit": ["", "None", "o n"],
    "max_commands": ["0", "5001", "-1", "1.5", "all"],
    "outcomes": ["Poor", "Poor=", "Poor=poor", "=ok", "a b=ok", "a..b=ok", "1a=ok", "a.=ok", "a=ok=ok", "a=ok;b=ok"],
    "exemplars": ["automatic", "1.0"],
    "stall_seconds": ["0.049", "3601", "nan", "inf", "-1", "1s", "off"],
    "error_log": ["/a\0b", "~no-such-user-anywhere/x", "off//", "./Stderr"],
    "sentry": ["auto"],
    "sentry_caps": ["30"],
    "sentry_user_id": ["id"],
    "session_limit_interval": ["9.9", "86401", "never", "nan"],
    "statsd_url": [
        *("localhost:8125", "tcp://a:8125", "udp://", "udp://:8125", "udp://a:0", "udp://a:65536", "udp://a:x"),
        *("udp://a/b", "udp://a?b", "udp://a#b", "udp://***@a", "udp://a b", "udp://[::1", "udp://1.2.3"),
        *("unixgram://", "unixgram:///", "unixgram://a/b", "unix:///a", "unixgram:///a\0b"),
    ],
    "statsd_flavour": ["datadog", "plain,influx", "-"],
    "statsd_prefix": [".", ".a", "a..b", "a b", "a:b", "a/b", "é", "a\nb", "x" * 129],
    "statsd_interval": ["0.09", "3601", "off", "nan"],
    "statsd_refresh": ["0.9", "86401", "never"],
    "statsd_max_bytes": ["255", "65508", "1e3", "off"],
    "analytics_url": [
        *(
            "mysql://a/b",
            "http://a:8123/b",
            "clickhouse:///b",
            "clickhouse://a",
            "clickhouse://a/",
            "clickhouse://a/b/c",
        ),
        *(
            "clickhouse://a/b#c",
            "clickhouse://a:0/b",
            "clickhouse://a:x/b",
            "clickhouse://a b/c",
            "postgresql://a/b\nc",
        ),
        *(
            "postgresql://a/ b",
            "postgresql://[::1/b",
            "postgresql://a,b/c",
            f"postgresql://a/{'x' * 4096}",
            "clickhouse",
        ),
    ],
    "analytics_url_file": ["/no/such/file", "/", "/a\0b", os.devnull, TOKENS],
    "analytics_events": ["messages", "interaction;command", "off"],
    "analytics_users": ["on", "hashed", "off,hash"],
    "analytics_key": ["x" * 15, f"{'x' * 14}  ", "x" * 1025, "x\0" * 16, "\ud800" * 16],
    "analytics_queue_rows": ["99", "10000001", "1e5", "off"],
    "analytics_queue_bytes": ["1048575", "1099511627777", "64MiB"],
    "analytics_batch_rows": ["99", "10001"],
    "analytics_batch_seconds": ["0.09", "3601", "off", "nan"],
    "analytics_retention_days": ["0", "36501", "1.5"],
    "analytics_async_insert": ["auto"],
    "state_dir": ["/a\0b", "~no-such-user-anywhere/x"],
}
ALLOWED = {
    "host": "an IP address or a host name, such as 127.0.0.1 or 0.0.0.0",
    "port": "a port from 1 to 65535, 0 for a free one, a range such as 9191-9199 of at most 1000, or off",
    "metrics_path": "a path such as /metrics, of letters, digits and . _ ~ - /, none of a probe",
    "token": "printable text, several with commas or line ends between, at most 4096 characters each",
    "token_file": "the path of a text file with a token in it, or off",
    "tls_cert": "the path of a file that can be read, or off",
    "tls_key": "the path of a file that can be read, or off",
    "tls_client_ca": "the path of a file that can be read, or off",
    "live_seconds": "seconds from 1 to 3600",
    "ready_guilds": "a share from 0 to 1",
    "systemd": "on or off",
    "bot": "printable text of at most 128 characters",
    "cluster": "printable text of at most 128 characters",
    "file_sd_dir": "the path of a directory, or off",
    "file_sd_host": "an IP address, a host name, or auto",
    "disable": "nouns out of gateway, shards, interactions, commands, rest, cache, tasks, voice, loop, process, "
    "errors, logs, with commas between",
    "user_registry": "on or off",
    "short_circuit": "on or off",
    "max_commands": "a number from 1 to 5000",
    "outcomes": "exception classes and outcomes, such as myapp.errors.NotEnoughCoins=user_error, with commas between, "
    "out of ok, user_error, rejected, bot_error, discord_error, cancelled, not_found",
    "exemplars": "auto, on or off",
    "stall_seconds": "seconds from 0.05 to 3600",
    "error_log": "the path of a file, - for stderr, or off",
    "sentry": "on or off",
    "sentry_caps": "on or off",
    "sentry_user_id": "on or off",
    "session_limit_interval": "seconds from 10 to 86400, or off",
    "statsd_url": "udp://host:8125, udp://[::1]:8125, unixgram:///path/of/socket (not on Windows), or off",
    "statsd_flavour": "one of plain, graphite, dogstatsd, influx",
    "statsd_prefix": "words of letters, digits, _ and - with dots between, at most 128 characters",
    "statsd_interval": "seconds from 0.1 to 3600",
    "statsd_refresh": "seconds from 1 to 86400, or off",
    "statsd_max_bytes": "auto, or bytes from 256 to 65507",
    "analytics_url": "clickhouse://user:password@host:8123/database, clickhouses://… for TLS, "
    "postgresql://user:password@host:5432/database, or off",
    "analytics_url_file": "the path of a text file with such a URL in it, or off",
    "analytics_events": "words out of interaction, command, message, member, guild, names, with commas between",
    "analytics_users": "one of off, hash, plain",
    "analytics_key": "printable text of 16 to 1024 characters",
    "analytics_queue_rows": "a number from 100 to 10000000",
    "analytics_queue_bytes": "bytes from 1048576 to 1099511627776",
    "analytics_batch_rows": "a number from 100 to 10000",
    "analytics_batch_seconds": "seconds from 0.1 to 3600",
    "analytics_retention_days": "days from 1 to 36500, or off",
    "analytics_async_insert": "on or off",
    "state_dir": "the path of a directory, or off",
}
WRONG_TYPES = {
    "host": [None, 0, b"127.0.0.1", True],
    "port": [True, b"9191", 80.5, [80], 10**5000, -(10**5000), range(0), range(9), range(1, 9, 2), range(9, 1, -1)],
    "metrics_path": [None, b"/metrics", 1],
    "token": [None, 5, b"a", True, [5], {"a": "b"}],
    "token_file": [5, True, b"/tmp", [], ""],
    "tls_cert": [5, True, ""],
    "tls_key": [5],
    "tls_client_ca": [5],
    "live_seconds": [None, True],
    "ready_guilds": [None, True, float("nan")],
    "systemd": [None],
    "bot": [None, b"bot", True, ["bot"], 10**5000],
    "cluster": [None, False],
    "file_sd_dir": [5, b"/tmp", True, [], ""],
    "file_sd_host": [5, b"a", True, ""],
    "disable": [None, 5, b"loop", [b"loop"], ["loop", None]],
    "user_registry": [None, 2, b"on", [], 1.5],
    "short_circuit": [None],
    "max_commands": [None, True, 5.5, [5]],
    "outcomes": [None, 5, b"a=ok", {int: "ok"}, {"a": True}, {5: "ok"}, ["a"], {"a": "ok", ValueError: None}],
    "exemplars": [2, b"on", []],
    "stall_seconds": [None, True, b"1", [1], 10**400, float("nan")],
    "error_log": [5, b"/tmp/log", True, [], ""],
    "sentry": [None],
    "sentry_caps": [None],
    "sentry_user_id": [None],
    "session_limit_interval": [True, b"60", [], float("inf")],
    "statsd_url": [5, b"udp://a:1", True, [], ""],
    "statsd_flavour": [None, True, b"plain", ["plain"]],
    "statsd_prefix": [None, b"a", True, ["a"]],
    "statsd_interval": [None, True, b"1", [1]],
    "statsd_refresh": [True, b"60", [], float("inf")],
    "statsd_max_bytes": [True, 512.5, b"512", []],
    "analytics_url": [5, True, b"clickhouse://a/b", [], "", Secret("no url")],
    "analytics_url_file": [5, True, ""],
    "analytics_events": [None, 5, [None]],
    "analytics_users": [None, True, ["hash"]],
    "analytics_key": [5, True, b"0123456789abcdef", "", Secret("short")],
    "analytics_queue_rows": [None, True, [500]],
    "analytics_queue_bytes": [None, 2.5e7],
    "analytics_batch_rows": [None, True],
    "analytics_batch_seconds": [None, True, [1]],
    "analytics_retention_days": [True, 1.5],
    "analytics_async_insert": [None],
    "state_dir": [5, b"/tmp", True, [], ""],
}


def refusal(name: str, shown: str) -> str:
    return rf"\A{variable_of(name)}={re.escape(shown)} is not allowed: {re.escape(ALLOWED[name])}\Z"


def test_the_defaults_open_nothing_to_the_network() -> None:
    defaults = Settings.load({})
    assert dataclasses.replace(defaults, state_dir=None) == Settings(
        host="127.0.0.1",
        port=9191,
        metrics_path="/metrics",
        token=Tokens(),
        token_file=None,
        tls_cert=None,
        tls_key=None,
        tls_client_ca=None,
        live_seconds=10.0,
        ready_guilds=0.9,
        systemd=True,
        bot="",
        cluster="",
        file_sd_dir=None,
        file_sd_host=None,
        disable=frozenset(),
        user_registry=True,
        short_circuit=True,
        max_commands=160,
        outcomes=(),
        stall_seconds=1.0,
        error_log=None,
        sentry=True,
        sentry_caps=True,
        sentry_user_id=False,
        session_limit_interval=600.0,
        statsd_url=None,
        statsd_flavour="dogstatsd",
        statsd_prefix="",
        statsd_interval=10.0,
        statsd_refresh=60.0,
        statsd_max_bytes=None,
        analytics_url=None,
        analytics_url_file=None,
        analytics_events=frozenset({"interaction", "command"}),
        analytics_users="off",
        analytics_key=None,
        analytics_queue_rows=100_000,
        analytics_queue_bytes=67_108_864,
        analytics_batch_rows=5_000,
        analytics_batch_seconds=5.0,
        analytics_retention_days=90,
        analytics_async_insert=False,
        state_dir=None,
    )
    assert defaults.database_url is None
    assert defaults == Settings()
    assert defaults.state_dir == Path(default_state_dir()).expanduser()


def test_every_setting_has_a_test_of_what_is_refused() -> None:
    assert list(REFUSED) == list(ALLOWED) == list(WRONG_TYPES) == NAMES
    assert {name for name, _, _ in ACCEPTED} == set(NAMES)


@pytest.mark.parametrize(("name", "text", "meaning"), ACCEPTED)
def test_a_setting_is_read_from_the_environment_and_from_the_argument(name: str, text: str, meaning: object) -> None:
    assert getattr(Settings.load({variable_of(name): text}), name) == meaning
    assert getattr(Settings(**{name: text}), name) == meaning  # type: ignore[arg-type]
    assert getattr(Settings.load({}, **{name: text}), name) == meaning


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in REFUSED.items() for text in texts])
def test_a_wrong_value_is_refused_in_one_line_that_names_all(name: str, text: str) -> None:
    shown = repr(text) if len(repr(text)) <= 100 else f"{repr(text)[:100]}…"
    shown = "***" if name in {"token", "analytics_url", "analytics_key"} else shown
    with pytest.raises(SettingError, match=refusal(name, shown)):
        Settings(**{name: text})  # type: ignore[arg-type]
    if text:
        with pytest.raises(SettingError, match=refusal(name, shown)):
            Settings.load({variable_of(name): text})


@pytest.mark.parametrize("name", NAMES)
def test_an_argument_of_a_wrong_type_is_refused_in_the_same_words(name: str) -> None:
    for value in WRONG_TYPES[name]:  # not parametrized: pytest cannot write an int of 5000 digits
        with pytest.raises(
            SettingError, match=rf"\A{variable_of(name)}=.* is not allowed: {re.escape(ALLOWED[name])}\Z"
        ):
            Settings(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "meaning"),
    [
        ("port", None, None),
        ("port", 8080, 8080),
        ("port", range(9191, 9200), range(9191, 9200)),
        ("file_sd_dir", Path("targets"), Path("targets")),
        ("token", "", Tokens()),
        ("token", ("a", "b"), Tokens.of("a,b")),
        ("token", ["a"], Tokens.of("a")),
        ("token_file", None, None),
        ("token_file", Path(TOKENS), Path(TOKENS)),
        ("tls_cert", None, None),
        ("cluster", 3, "3"),
        ("disable", ["loop"], frozenset({"loop"})),
        ("disable", (), frozenset()),
        ("user_registry", 0, False),
        ("user_registry", False, False),
        ("short_circuit", True, True),
        ("max_commands", 7, 7),
        ("outcomes", {SettingError: "rejected"}, (("argus_exporter.settings.SettingError", "rejected"),)),
        ("outcomes", {"Poor": "ok"}, (("Poor", "ok"),)),
        ("outcomes", (("Poor", "ok"),), (("Poor", "ok"),)),
        ("stall_seconds", 2, 2.0),
        ("error_log", None, None),
        ("error_log", Path("errors.jsonl"), "errors.jsonl"),
        ("session_limit_interval", None, None),
        ("statsd_url", None, None),
        ("statsd_interval", 5, 5.0),
        ("statsd_refresh", None, None),
        ("statsd_max_bytes", None, None),
        ("statsd_max_bytes", 512, 512),
        ("analytics_url", None, None),
        ("analytics_url", Secret(CLICKHOUSE), Secret(CLICKHOUSE)),
        ("analytics_url_file", Path(DATABASE), Path(DATABASE)),
        ("analytics_events", ["names"], frozenset({"names"})),
        ("analytics_events", (), frozenset()),
        ("analytics_key", None, None),
        ("analytics_key", Secret("0123456789abcdef"), Secret("0123456789abcdef")),
        ("analytics_batch_seconds", 5, 5.0),
        ("analytics_retention_days", None, None),
        ("state_dir", None, None),
        ("state_dir", Path("/var/lib"), Path("/var/lib")),
    ],
)
def test_an_argument_may_be_of_its_own_type(name: str, value: object, meaning: object) -> None:
    assert getattr(Settings(**{name: value}), name) == meaning  # type: ignore[arg-type]


def test_an_argument_wins_over_the_environment_even_over_a_wrong_one() -> None:
    assert Settings.load({"ARGUS_PORT": "81", "ARGUS_BOT": "b"}, port=82) == Settings(port=82, bot="b")
    assert Settings.load({"ARGUS_PORT": "wrong"}, port=None).port is None


def test_the_real_environment_is_read_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARGUS_BOT", "from the environment")
    assert Settings.load().bot == "from the environment"
    assert Settings().bot == ""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", ["", " ", "\t\n"])
def test_an_empty_variable_counts_as_not_set(name: str, text: str) -> None:
    assert Settings.load({variable_of(name): text}) == Settings()


def test_an_unknown_argument_is_named() -> None:
    with pytest.raises(TypeError, match="'prot'"):
        Settings.load({}, prot=80)
    with pytest.raises(TypeError, match="'prot'"):
        Settings(prot=80)  # type: ignore[call-arg]


def test_settings_that_were_parsed_are_taken_again_unchanged() -> None:
    chosen = Settings(
        port="off",
        disable="loop",
        session_limit_interval="off",
        state_dir="off",
        host="[::1]",
        token="a",
        file_sd_dir="off/",
    )  # type: ignore[arg-type]
    assert dataclasses.replace(chosen) == chosen
    assert dataclasses.replace(Settings()) == Settings()


# ------------------------------------------------------------------------------------------------ any text at all

hostile = st.text(st.characters(exclude_categories=())) | st.sampled_from(
    [
        "\n",
        "off\n",
        "9191\n",
        "/metrics\n",
        "\r\n",
        "a\nb",
        "\u2028",
        "~",
        "~x",
        "..",
        "1_0",
        "٣",
        "1e400",
        "[]",
        "[",
        "%",
        "::%\n",
    ]
)


@settings(deadline=None)
@example("host", "a" * 100_000)
@example("disable", "," * 100_000)
@example("metrics_path", "/a" * 50_000 + "!")
@example("host", "a." * 50_000)
@given(st.sampled_from(NAMES), hostile)
def test_any_text_is_taken_or_refused_in_one_short_line_and_nothing_else(name: str, text: str) -> None:
    try:
        Settings.load({variable_of(name): text})
    except SettingError as error:
        message = str(error)
        assert message.isprintable()
        assert len(message) < 300
        assert message.startswith(f"{variable_of(name)}=")
        assert message.endswith(f" is not allowed: {ALLOWED[name]}")


@settings(deadline=None)
@given(st.sampled_from(["host", "metrics_path", "bot", "cluster"]), hostile)
def test_any_text_that_is_taken_is_printable(name: str, text: str) -> None:
    try:
        taken = getattr(Settings.load({variable_of(name): text}), name)
    except SettingError:
        return
    assert taken.isprintable()


def test_a_value_whose_repr_has_several_lines_still_makes_one() -> None:
    class Odd:
        def __repr__(self) -> str:
            return "first\nsecond \ud800"

    with pytest.raises(SettingError, match=r"\AARGUS_HOST=first\\nsecond \\ud800 is not allowed: [^\n]*\Z"):
        Settings(host=Odd())  # type: ignore[arg-type]


def test_a_value_too_long_to_be_written_is_named_by_its_type() -> None:
    with pytest.raises(SettingError, match=r"\AARGUS_PORT=<int> is not allowed"):
        Settings(port=10**5000)


# ------------------------------------------------------------------------------------------------ secrets


def test_a_token_is_shown_nowhere() -> None:
    chosen = Settings(token="s3cret-eins,s3cret-zwei", token_file=TOKENS)  # type: ignore[arg-type]
    shown = repr([chosen, chosen.token, dataclasses.asdict(chosen)]) + str(chosen.token) + f"{chosen}"
    assert "token=***" in shown
    assert "s3cret" not in shown
    assert "digest" not in shown
    assert repr(Tokens()) == "none"
    with pytest.raises(SettingError) as refused:
        Settings.load({"ARGUS_TOKEN": "s3cret\0"})
    assert "s3cret" not in str(refused.value)
    assert refused.value.__context__ is None or "s3cret" not in str(refused.value.__context__)


def test_a_password_in_an_address_that_is_refused_is_not_shown() -> None:
    with pytest.raises(SettingError, match=r"\AARGUS_STATSD_URL='udp://\*\*\*@a:1' is not allowed"):
        Settings(statsd_url="udp://me:s3cret@a:1")


def test_a_database_is_shown_without_user_password_and_options() -> None:
    chosen = Settings(analytics_url=CLICKHOUSE, analytics_key="s3cret" * 3)  # type: ignore[arg-type]
    assert repr(chosen.analytics_url) == f"{chosen.analytics_url}" == "clickhouse://***@db.example:8123/bots?***"
    assert chosen.analytics_url is not None
    assert chosen.analytics_url.reveal() == CLICKHOUSE
    assert "s3cret" not in repr([chosen, dataclasses.asdict(chosen)])
    assert repr(Settings(analytics_url="postgresql://db/bots").analytics_url) == "postgresql://db/bots"  # type: ignore[arg-type]
    for option in ("analytics_url", "analytics_key"):
        with pytest.raises(SettingError) as refused:
            Settings(**{option: "clickhouse://me:s3cret\0@a"})  # type: ignore[arg-type]
        assert "s3cret" not in str(refused.value)


def test_secrets_are_alike_where_their_texts_are() -> None:
    assert {Secret("é"), Secret("é", "shown otherwise")} == {Secret("é")}
    assert Secret("a") not in {Secret("b"), "a"}


def test_the_url_in_a_file_counts_instead(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("\ufeffpostgresql://me:s3cret@db/bots\n", encoding="utf-8")
    chosen = Settings(analytics_url=CLICKHOUSE, analytics_url_file=file)  # type: ignore[arg-type]
    assert chosen.database_url == Secret("postgresql://me:s3cret@db/bots")
    assert Settings(analytics_url=CLICKHOUSE).database_url == Secret(CLICKHOUSE)  # type: ignore[arg-type]
    for spoil in (lambda: file.write_text("s3cret"), file.unlink):
        spoil()
        with pytest.raises(SettingError, match=r"\AARGUS_ANALYTICS_URL_FILE='.*' cannot be read any more\Z"):
            assert chosen.database_url


def test_any_token_opens_and_nothing_else_does() -> None:
    tokens = Tokens.of("one, two words ,drei\r\nschlüssel,ключ")
    for secret in ("one", "two words", "drei", "schlüssel", "ключ"):
        assert tokens.admit(secret.encode())
    assert tokens.admit("schlüssel".encode("latin-1"))
    for wrong in (b"", b"on", b"one ", b"ONE", b"one,two words", b"\xff", "ключ".encode("koi8-r")):
        assert not tokens.admit(wrong)
    assert not Tokens().admit(b"")
    assert (Tokens.of("a") | Tokens.of("b")) == Tokens.of("b,a")


def test_a_file_of_tokens_is_read_or_refused(tmp_path: Path) -> None:
    assert read_tokens(Path(TOKENS)) == Tokens.of("first-token,zweites-tökeñ")
    file = tmp_path / "tokens"
    for content in (b"", b" \n,\n", b"\xff\xfe", b"a\0"):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"^"):
            read_tokens(file)
        with pytest.raises(SettingError, match="ARGUS_TOKEN_FILE="):
            Settings(token_file=file)
    file.write_bytes(b"\xef\xbb\xbfa\r\n")
    assert read_tokens(file) == Tokens.of("a")


# ------------------------------------------------------------------------------------------------ systemd


@pytest.mark.parametrize(
    ("environ", "meaning"),
    [
        ({}, None),
        ({"NOTIFY_SOCKET": "vsock:2:1"}, None),
        ({"NOTIFY_SOCKET": "/run/n"}, Supervisor("/run/n")),
        ({"NOTIFY_SOCKET": "@n@m"}, Supervisor("\0n@m")),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "1500000"}, Supervisor("/n", 1.5)),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "5", "WATCHDOG_PID": str(os.getpid())}, Supervisor("/n", 5e-6)),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "5", "WATCHDOG_PID": "1"}, Supervisor("/n")),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "0"}, Supervisor("/n")),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "-5"}, Supervisor("/n")),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "٣"}, Supervisor("/n")),
    ],
)
def test_systemd_says_where_it_listens_and_how_often_it_wants_to_hear(
    environ: dict[str, str], meaning: Supervisor | None
) -> None:
    assert supervisor(environ) == meaning


def test_systemd_is_looked_for_in_the_real_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/n")
    assert supervisor() is not None


# ------------------------------------------------------------------------------------------------ StatsD


def test_every_url_that_is_taken_is_one_that_the_transport_takes() -> None:
    urls = [text for name, text, meaning in ACCEPTED if name == "statsd_url" and meaning]
    for url in [*urls, *([] if sys.platform == "win32" else ["unixgram:///run/statsd.sock"])]:
        taken = Settings(statsd_url=url).statsd_url
        assert taken == url.strip()
        Transport(taken)


def test_the_flavours_are_those_that_the_encoder_has() -> None:
    assert tuple(FLAVOURS) == STATSD_FLAVOURS
    for flavour in FLAVOURS:
        assert Settings(statsd_flavour=flavour).statsd_flavour == flavour


# ------------------------------------------------------------------------------------------------ Kubernetes


@pytest.mark.parametrize(
    "link", ["tcp://10.0.0.1:9191", "udp://[fd00::1]:53", "sctp://10.0.0.1:1", " tcp://10.0.0.1:9191"]
)
def test_a_service_link_of_kubernetes_is_left_alone_with_one_warning(
    link: str, caplog: pytest.LogCaptureFixture
) -> None:
    others = {"ARGUS_SERVICE_HOST": "10.0.0.1", "ARGUS_SERVICE_PORT": "9191", "ARGUS_PORT_9191_TCP": link}
    assert Settings.load({"ARGUS_PORT": link, **others}) == Settings()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == f"ARGUS_PORT={link!r} is a service link of Kubernetes, not a setting: left alone"


def test_a_service_link_cannot_write_lines_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    Settings.load({"ARGUS_PORT": "tcp://x\nERROR forged"})
    assert caplog.records[0].getMessage().isprintable()


def test_a_service_link_given_as_an_argument_is_refused() -> None:
    with pytest.raises(SettingError, match=r"ARGUS_PORT='tcp://10\.0\.0\.1:9191' is not allowed"):
        Settings(port="tcp://10.0.0.1:9191")  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------ the state directory


@pytest.mark.parametrize(
    ("platform", "variable", "fallback"),
    [
        ("linux", "XDG_STATE_HOME", "~/.local/state"),
        ("freebsd14", "XDG_STATE_HOME", "~/.local/state"),
        ("darwin", "XDG_STATE_HOME", "~/Library/Application Support"),
        ("win32", "LOCALAPPDATA", "~/AppData/Local"),
    ],
)
def test_state_is_kept_where_the_platform_keeps_it(
    platform: str, variable: str, fallback: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("XDG_STATE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    assert default_state_dir(platform) == str(Path(fallback) / "argus_exporter")
    for not_absolute in ("", "relative"):
        monkeypatch.setenv(variable, not_absolute)
        assert default_state_dir(platform) == str(Path(fallback) / "argus_exporter")
    monkeypatch.setenv(variable, str(tmp_path))
    assert default_state_dir(platform) == str(tmp_path / "argus_exporter")


def test_the_state_directory_is_that_of_the_platform_by_default() -> None:
    assert default_state_dir() == default_state_dir(sys.platform)
    assert Settings(state_dir=" Auto ").state_dir == Settings().state_dir  # type: ignore[arg-type]


def test_a_home_directory_is_put_in_for_the_tilde(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert Settings(state_dir="~/state").state_dir == tmp_path / "state"  # type: ignore[arg-type]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no /etc/passwd")
def test_a_container_user_without_a_home_directory_does_without_a_state_directory() -> None:
    code = (
        "import os, pwd\n"
        "pwd.getpwuid = {}.__getitem__  # nobody is known\n"
        "from argus_exporter.settings import Settings, SettingError\n"
        "print(Settings().state_dir)\n"
        "try: Settings(state_dir='~/x')\n"
        "except SettingError as error: print(error)\n"
    )
    environ = {name: value for name, value in os.environ.items() if name not in {"HOME", "XDG_STATE_HOME"}}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ)
    assert done.stdout == "None\nARGUS_STATE_DIR='~/x' is not allowed: the path of a directory, or off\n"
    assert done.stderr == "ARGUS_STATE_DIR is off: no home directory is known\n"


# ------------------------------------------------------------------------------------------------ how they are told


def test_every_setting_says_what_it_is_for_and_what_is_allowed() -> None:
    for field in dataclasses.fields(Settings):
        assert field.metadata["help"].endswith(".")
        assert field.metadata["allowed"] == ALLOWED[field.name]
        assert field.metadata["shown"]


def test_settings_are_given_by_name_and_do_not_change() -> None:
    with pytest.raises(TypeError):
        Settings("127.0.0.1")  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().port = 80  # type: ignore[misc]
    assert not hasattr(Settings(), "__dict__")


def test_the_defaults_are_shown_as_they_would_be_set() -> None:
    shown = {field.name: field.metadata["shown"] for field in dataclasses.fields(Settings)}
    told = {name: text for name, text in shown.items() if text not in {UNSET, "the user's state directory"}}
    assert sorted(set(NAMES) - set(told)) == [
        *("analytics_key", "bot", "cluster", "disable", "outcomes", "state_dir", "statsd_prefix", "token")
    ]
    assert Settings.load({variable_of(name): text for name, text in told.items()}) == Settings()


def test_the_names_of_the_variables_are_those_of_the_arguments() -> None:
    assert variable_of("metrics_path") == "ARGUS_METRICS_PATH"
    rooms = {"gateway", "shards", "interactions", "commands", "rest", "cache", "tasks", "voice", "loop", "process"}
    assert set(DISABLEABLE) == rooms | {"errors", "logs"}
