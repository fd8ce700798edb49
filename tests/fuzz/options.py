"""Settings from the environment."""

from __future__ import annotations

import dataclasses

from argus_exporter.settings import DISABLEABLE, STATSD_FLAVOURS, SettingError, Settings, variable_of
from tests.fuzz.source import Source
from tests.fuzz.target import Target, always

Environ = tuple[tuple[str, str], ...]

FIELDS = {field.name: field for field in dataclasses.fields(Settings)}
SECRET = "Zq9-a-secret-that-nobody-guesses"
PASSWORD = "Zq7-a-password-in-an-address"
WORDS = (
    *("off", "auto", "on", "no", "0", "1", "9191", "-", "9191-9199", "65536", "0.9", "1e3", "nan", "inf", "1e999"),
    *("٣", "1_0"),
    *("127.0.0.1", "::", "[::1]", "fe80::1%eth0", "localhost", "a.b", "xn--", "-a", "/metrics", "/", ".."),
    *(".", "~", "~x"),
    *("udp://", "unixgram://", "/run/x.sock", ":8125", "tcp://10.0.0.1:9191", "?", "#", "@", ":", "//", "[", "]", "%"),
    *(f"//u:{PASSWORD}@h", f"//u:a/{PASSWORD}@h", f"//u:a {PASSWORD}@h", f"//{PASSWORD}@"),
    *("myapp.NotEnough=user_error", "=", ","),
    *("builtins.OSError", "<locals>", "ok", *DISABLEABLE, *STATSD_FLAVOURS, "stderr", "/dev/null", __file__),
    "/proc/self/mem",
    *("\0", "\n", "\r", "\x85", "\u2028", "\ud800", "é", " ", "\t", '"', "'", "\\", "x" * 130, "9" * 5000),
)


def read(source: Source) -> Environ:
    def pair() -> tuple[str, str]:
        name, text = source.choice(tuple(FIELDS)), source.text(WORDS, 4)
        return name, f"{text}{SECRET}{source.text(WORDS, 2)}" if FIELDS[name].metadata["secret"] else text

    return source.many(pair, 4, 1)


def check(given: Environ) -> None:
    environ = {variable_of(name): text for name, text in given}
    try:
        settings = Settings.load(environ)
    except SettingError as error:
        refused(str(error), environ)
        return
    if len(environ) == 1:
        assert dataclasses.replace(settings) == settings
    if any(SECRET in text for text in environ.values()):
        assert SECRET not in f"{settings!r}{dataclasses.asdict(settings)}"


def refused(message: str, environ: dict[str, str]) -> None:
    assert message.isprintable()
    assert len(message) < 400
    assert message.partition("=")[0] in environ
    assert SECRET not in message
    assert PASSWORD not in message


SETTINGS = Target("settings", "taken, or refused in a line without a secret", read, always(check))
