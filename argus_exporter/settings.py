"""The settings, and the only reader of the environment.

Each option stands here once, with its variable, default, check and texts; the table in README.md is generated from it.
An argument wins over the environment.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import ipaddress
import logging
import os
import re
import sys
import typing
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import unquote, urlsplit

from argus_exporter.catalogue import COLLECTORS, COMMAND, MAX_COMMANDS, OUTCOMES

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_log: Final = logging.getLogger(__name__)
_T = TypeVar("_T")

OFF: Final = "off"
STDERR: Final = "stderr"
AUTO: Final = "auto"
UNSET: Final = "\N{EN DASH}"
"""How a default that is nothing is shown."""

HIDDEN: Final = "***"
"""How a secret is shown."""

STATSD_FLAVOURS: Final = ("plain", "graphite", "dogstatsd", "influx")
"""The ways to write labels in StatsD: :mod:`argus_exporter.statsd.encode`."""

ANALYTICS_EVENTS: Final = ("interaction", "command", "message", "member", "guild", "names")
"""What can be recorded guild by guild: :mod:`argus_exporter.analytics.events`."""

ANALYTICS_USERS: Final = (OFF, "hash", "plain")
"""How the ids of users are kept: :mod:`argus_exporter.analytics.privacy`."""

DISABLEABLE: Final = tuple(noun for noun in COLLECTORS if noun not in {"statsd", "analytics", "exporter", "registry"})
"""Collectors that ``ARGUS_DISABLE`` may name."""

# patterns as text: re compiles them where they are asked for, and of most nobody asks
_HOST_NAME: Final = (
    r"(?=.{1,253}\Z)"  # RFC 1035
    r"(?:(?!-)[A-Za-z0-9_-]{1,63}\.)*"
    r"(?![0-9]+\.?\Z)(?!-)[A-Za-z0-9_-]{1,63}\.?\Z"  # digits at the end would be an address, and 0 all of them
)
_IPV6_SCOPE: Final = r"[A-Za-z0-9._-]*\Z"
_PATH: Final = r"(?!/(?:livez|readyz|startupz)\Z)(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~-]+)+/?\Z"
_SWITCH: Final[dict[str, bool]] = {
    **dict.fromkeys(("on", "true", "yes", "1"), True),
    **dict.fromkeys(("off", "false", "no", "0"), False),
}
_CLASS: Final = r"[^\W\d]\w*(\.([^\W\d]\w*|<locals>))*\Z"
_SERVICE_LINK: Final = r"(?a:\s)*(?:tcp|udp|sctp)://"
_LAST_PORT: Final = 65535
_MOST_PORTS: Final = 1000
_PORTS: Final = r"([0-9]{1,5})\s*-\s*([0-9]{1,5})\Z"
_STATSD_PREFIX: Final = r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?\Z"
_DATAGRAM: Final = (256, 65507)
_LONGEST_CONSTANT: Final = 128
_LONGEST_SHOWN: Final = 100
_LAST_LATIN: Final = 0xFF
_LONGEST_TOKEN: Final = 4096
_MOST_TOKENS: Final = 100
_LARGEST_TOKEN_FILE: Final = 1024 * 1024
_DATABASES: Final = ("clickhouse", "clickhouses", "postgresql")
_DATABASE: Final = r"/[^/]+\Z"
_LONGEST_URL: Final = 4096
_LONGEST_KEY: Final = (16, 1024)
_USER_INFO: Final = r"(?<=//).*@"
_STATE_HOMES: Final = {
    "win32": ("LOCALAPPDATA", "~/AppData/Local"),
    "darwin": ("XDG_STATE_HOME", "~/Library/Application Support"),
}
_XDG_STATE_HOME: Final = ("XDG_STATE_HOME", "~/.local/state")


_BETWEEN_TOKENS: Final = r"[,\r\n]"
_DIGITS: Final = r"[0-9]{1,15}\Z"


class SettingError(ValueError):
    """A setting has a value that is not allowed; the message is one line: variable, value, what is allowed."""


# A parser makes a setting's value of what was given, or raises one of these: then the value is not allowed.
_REFUSALS: Final = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)


class Tokens:
    """Secrets, any of which opens. Only their digests are kept, and no ``repr`` or ``asdict`` shows those."""

    __slots__ = ("_digests",)

    def __init__(self, digests: frozenset[bytes] = frozenset()) -> None:
        self._digests: Final = digests

    @classmethod
    def of(cls, text: str) -> Tokens:
        """The tokens of a text, with commas or line ends between.

        What is not ASCII is right in UTF-8 and in Latin-1: HTTP clients send the one or the other.

        :raises ValueError: if one of them is not printable or too long, or there are too many.
        """
        tokens = {token for part in re.split(_BETWEEN_TOKENS, text) if (token := part.strip())}
        _require(that=len(tokens) <= _MOST_TOKENS)
        _require(that=all(token.isprintable() and len(token) <= _LONGEST_TOKEN for token in tokens))
        written = {token.encode(coding) for token in tokens for coding in _codings(token)}
        return cls(frozenset(hashlib.sha256(each).digest() for each in written))

    def admit(self, secret: bytes) -> bool:
        """Whether this is one of them; takes the same time whichever it is, and if it is none."""
        digest = hashlib.sha256(secret).digest()
        return any([hmac.compare_digest(digest, each) for each in self._digests])  # noqa: C419 - all are compared

    def __or__(self, other: Tokens) -> Tokens:
        return Tokens(self._digests | other._digests)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tokens) and self._digests == other._digests

    def __hash__(self) -> int:
        return hash(self._digests)

    def __bool__(self) -> bool:
        return bool(self._digests)

    def __repr__(self) -> str:
        return HIDDEN if self else "none"


class Secret:
    """A text that no ``repr``, ``str`` or ``asdict`` shows.

    :param shown: what they show instead.
    """

    __slots__ = ("_shown", "_text")

    def __init__(self, text: str, shown: str = HIDDEN) -> None:
        self._text: Final = text
        self._shown: Final = shown

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return self._shown


class Supervisor(typing.NamedTuple):
    """What systemd says of itself to a service with ``Type=notify`` or ``WatchdogSec=`` (sd_notify(3)).

    :param address: of its datagram socket.
    :param watchdog: seconds within which it wants a sign of life again and again; None where it wants none.
    """

    address: str
    watchdog: float | None = None


def supervisor(environ: Mapping[str, str] | None = None) -> Supervisor | None:
    """What started this process and wants to be told of it, if anything does."""
    environ = os.environ if environ is None else environ
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return None
    micros = environ.get("WATCHDOG_USEC", "")
    watched = (
        environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()) and re.match(_DIGITS, micros) is not None
    )
    return Supervisor(re.sub(r"\A@", "\0", address), int(micros) / 1e6 if watched and int(micros) else None)


def _require(*, that: bool) -> None:
    if not that:
        raise ValueError


def _text(value: object) -> str:
    """Take text, or a number that stands for its digits. What else has a ``str`` (None, bytes) is nobody's wish."""
    _require(that=isinstance(value, str | int | float) and not isinstance(value, bool))
    return str(value).strip()


def _or_off(parse: Callable[[object], _T]) -> Callable[[object], _T | None]:
    def parse_unless_off(value: object) -> _T | None:
        is_off = value is None or (not isinstance(value, Path) and str(value).strip().lower() == OFF)
        return None if is_off else parse(value)

    return parse_unless_off


def _port(value: object) -> int | range:
    if isinstance(value, range):
        value = f"{value.start}-{value[-1]}" if value and value.step == 1 else ""
    text = _text(value)
    found = re.match(_PORTS, text)
    if found is None:
        port = int(text)
        _require(that=0 <= port <= _LAST_PORT)
        return port
    first, last = map(int, found.groups())
    _require(that=1 <= first <= last <= min(_LAST_PORT, first + _MOST_PORTS - 1))
    return range(first, last + 1)


def _host(value: object) -> str:
    _require(that=isinstance(value, str))
    host = str(value).strip()
    address = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if _is_address(address):
        return address
    _require(that=re.match(_HOST_NAME, host) is not None)
    return host


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return re.match(_IPV6_SCOPE, text.partition("%")[2]) is not None


def _path(value: object) -> str:
    path = _text(value)
    _require(that=re.match(_PATH, path) is not None)
    return path


def _constant(value: object) -> str:
    text = _text(value)
    _require(that=len(text) <= _LONGEST_CONSTANT and text.isprintable())
    return text


def _switch(value: object) -> bool:
    return value if isinstance(value, bool) else _SWITCH[_text(value).lower()]


def _count(most: int, least: int = 1) -> Callable[[object], int]:
    def parse(value: object) -> int:
        count = int(_text(value))
        _require(that=least <= count <= most)
        return count

    return parse


def _auto_or(parse: Callable[[object], _T]) -> Callable[[object], _T | None]:
    def parse_unless_auto(value: object) -> _T | None:
        return None if value is None or str(value).strip().lower() == AUTO else parse(value)

    return parse_unless_auto


def _statsd_url(value: object) -> str:
    _require(that=isinstance(value, str))
    text = str(value).strip()
    url = urlsplit(text)
    _require(that=text.isprintable() and not (url.query or url.fragment or url.username is not None))
    if url.scheme == "unixgram":
        _require(that=len(url.path) > 1 and not url.netloc and sys.platform != "win32")
    else:
        _require(that=url.scheme == "udp" and url.port != 0 and url.path in {"", "/"})
        _host(unquote(url.hostname or ""))
    return text


def _statsd_prefix(value: object) -> str:
    text = _text(value)
    _require(that=not text or (len(text) <= _LONGEST_CONSTANT and re.match(_STATSD_PREFIX, text) is not None))
    return text.removesuffix(".")


def _outcomes(value: object) -> tuple[tuple[str, str], ...]:
    given: Any = [word.split("=") for word in value.split(",") if word.strip()] if isinstance(value, str) else value
    rules = [(_class(kind), _text(outcome)) for kind, outcome in (given.items() if hasattr(given, "items") else given)]
    _require(that=all(outcome in OUTCOMES for _, outcome in rules))
    return tuple(rules)


def _class(value: object) -> str:
    if isinstance(value, type):
        _require(that=issubclass(value, BaseException))
        return f"{value.__module__}.{value.__qualname__}"
    name = _text(value)
    _require(that=re.match(_CLASS, name) is not None)
    return name


def _seconds(least: float, most: float) -> Callable[[object], float]:
    def parse(value: object) -> float:
        seconds = float(_text(value))
        _require(that=least <= seconds <= most)
        return seconds

    return parse


def _directory(value: object) -> Path | None:
    _require(that=isinstance(value, str | Path))
    text = str(value).strip()
    return _own_directory() if text.lower() == AUTO else _folder(text)


def _folder(value: object) -> Path:
    _require(that=isinstance(value, str | Path))
    text = str(value).strip()
    _require(that=bool(text) and "\0" not in text)
    return Path(text).expanduser()


def _file(value: object) -> str:
    _require(that=isinstance(value, str | Path))
    text = str(value).strip()
    _require(that=bool(text) and "\0" not in text)
    if text == "-" or text.lower() == STDERR:
        return STDERR
    path = str(Path(text).expanduser())
    _require(that=path.lower() not in {"-", OFF, STDERR})  # off// is a file whose name says something else
    return path


def _codings(token: str) -> tuple[str, ...]:
    return ("utf-8", "latin-1") if all(ord(letter) <= _LAST_LATIN for letter in token) else ("utf-8",)


def _tokens(value: object) -> Tokens:
    if isinstance(value, Tokens):
        return value
    _require(that=isinstance(value, str | list | tuple))
    words: list[object] = [value] if isinstance(value, str) else list(typing.cast("Iterable[object]", value))
    _require(that=all(isinstance(word, str) for word in words))
    text = ",".join(map(str, words))
    tokens = Tokens.of(text)
    _require(that=bool(tokens) or not text.strip())
    return tokens


def read_tokens(path: Path) -> Tokens:
    """The tokens in a file.

    :raises OSError: if it cannot be read.
    :raises ValueError: if there is none in it, or it is no text in UTF-8.
    """
    with path.open(encoding="utf-8-sig") as file:
        tokens = Tokens.of(file.read(_LARGEST_TOKEN_FILE))
    _require(that=bool(tokens))
    return tokens


def _readable(value: object) -> Path:
    """A file that is there. Of anything else, such as a pipe, nobody knows how long it takes to be read."""
    _require(that=isinstance(value, str | Path))
    text = str(value).strip()
    _require(that=bool(text))
    try:
        path = Path(text).expanduser()
        _require(that=path.is_file())
        path.open("rb").close()
    except OSError:
        raise ValueError from None
    return path


def _token_file(value: object) -> Path:
    path = _readable(value)
    try:
        read_tokens(path)
    except OSError:
        raise ValueError from None
    return path


def _own_directory() -> Path | None:
    try:
        return Path(default_state_dir()).expanduser()
    except RuntimeError:  # a container whose user is not in /etc/passwd
        _log.warning("%s is off: no home directory is known", variable_of("state_dir"))
        return None


def default_state_dir(platform: str = sys.platform) -> str:
    """Return where programs keep small state: the XDG state directory, or what Windows and macOS have for it."""
    variable, fallback = _STATE_HOMES.get(platform, _XDG_STATE_HOME)
    home = os.environ.get(variable, "")
    return str(Path(home if Path(home).is_absolute() else fallback) / "argus_exporter")


def _words(allowed: tuple[str, ...]) -> Callable[[object], frozenset[str]]:
    def parse(value: object) -> frozenset[str]:
        words = value.split(",") if isinstance(value, str) else list(typing.cast("Iterable[object]", value))
        found = frozenset(str(word).strip().lower() for word in words) - {""}
        _require(that=found <= set(allowed))
        return found

    return parse


def _word(allowed: tuple[str, ...]) -> Callable[[object], str]:
    def parse(value: object) -> str:
        word = _text(value).lower()
        _require(that=word in allowed)
        return word

    return parse


def _database_url(value: object) -> Secret:
    """A database's URL, shown without user, password and options."""
    text = _revealed(value)
    url = urlsplit(text)
    _require(that=text.isprintable() and " " not in text and len(text) <= _LONGEST_URL and not url.fragment)
    _require(that=url.scheme in _DATABASES and re.match(_DATABASE, url.path) is not None and url.port != 0)
    _host(unquote(url.hostname or ""))
    user, at, host = url.netloc.rpartition("@")
    shown = f"{url.scheme}://{HIDDEN if user else ''}{at}{host}{url.path}{f'?{HIDDEN}' if url.query else ''}"
    return Secret(text, shown)


def _read_database_url(path: Path) -> Secret:
    try:
        return _database_url(path.read_text(encoding="utf-8-sig"))
    except OSError:
        raise ValueError from None


def _database_url_file(value: object) -> Path:
    path = _readable(value)
    _read_database_url(path)
    return path


def _revealed(value: object) -> str:
    _require(that=isinstance(value, str | Secret))
    return (value.reveal() if isinstance(value, Secret) else str(value)).strip()


def _key(value: object) -> Secret:
    key = _revealed(value)
    _require(that=_LONGEST_KEY[0] <= len(key) <= _LONGEST_KEY[1] and key.isprintable())
    return Secret(key)


def _option(
    parse: Callable[[object], Any], default: object, allowed: str, text: str, shown: str = "", *, secret: bool = False
) -> Any:
    """Declare an option: its parser, its default, what is allowed, what it is for, and how the default is shown.

    :param secret: whether its value is never to be shown.
    """
    metadata = {"parse": parse, "allowed": allowed, "help": text, "shown": shown or str(default), "secret": secret}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What can be set. Each field is also an ``ARGUS_*`` variable of the same name in upper case.

    ``Settings(...)`` takes only arguments; :meth:`load` reads the environment too.

    :raises SettingError: if a value is not allowed, naming the variable, the value and what is allowed.
    """

    host: str = _option(
        _host,
        "127.0.0.1",
        "an IP address or a host name, such as 127.0.0.1 or 0.0.0.0",
        "Address to listen on. Loopback by default: nothing is open to the network unasked.",
    )
    port: int | range | None = _option(
        _or_off(_port),
        9191,
        f"a port from 1 to 65535, 0 for a free one, a range such as 9191-9199 of at most {_MOST_PORTS}, or off",
        "Port of `/metrics`; 0 takes a free one, `9191-9199` the first of these that is free, `off` opens none.",
    )
    metrics_path: str = _option(
        _path,
        "/metrics",
        "a path such as /metrics, of letters, digits and . _ ~ - /, none of a probe",
        "Path of the metrics.",
    )
    token: Tokens = _option(  # noqa: RUF009 - a dataclasses.field
        _tokens,
        Tokens(),
        f"printable text, several with commas or line ends between, at most {_LONGEST_TOKEN} characters each",
        "Secret for the metrics: a bearer token, or the password of basic auth with any user name. Several, with "
        "commas or line ends between, are all right: so one is replaced by another.",
        UNSET,
        secret=True,
    )
    token_file: Path | None = _option(  # noqa: RUF009 - a dataclasses.field
        _or_off(_token_file),
        OFF,
        "the path of a text file with a token in it, or off",
        "File of such secrets, a line each; read again when it changes.",
    )
    tls_cert: Path | None = _option(  # noqa: RUF009 - a dataclasses.field
        _or_off(_readable),
        OFF,
        "the path of a file that can be read, or off",
        "Certificate chain (PEM) with which the server speaks TLS, and nothing else; read again when it changes.",
    )
    tls_key: Path | None = _option(  # noqa: RUF009 - a dataclasses.field
        _or_off(_readable),
        OFF,
        "the path of a file that can be read, or off",
        "Its private key, without a passphrase, where it is not in the same file; read again when it changes.",
    )
    tls_client_ca: Path | None = _option(  # noqa: RUF009 - a dataclasses.field
        _or_off(_readable),
        OFF,
        "the path of a file that can be read, or off",
        "Authorities (PEM) one of which has to have signed the certificate of whoever wants the metrics.",
    )
    live_seconds: float = _option(
        _seconds(1, 3600),
        10.0,
        "seconds from 1 to 3600",
        "`/livez` says 503 when the event loop has stood still for so long.",
        "10",
    )
    ready_guilds: float = _option(
        _seconds(0, 1),
        0.9,
        "a share from 0 to 1",
        "`/readyz` says 503 while a smaller share of the guilds is available.",
    )
    systemd: bool = _option(
        _switch,
        True,  # noqa: FBT003
        "on or off",
        "Tell systemd where it asks: ready, and alive while the event loop turns (`Type=notify`, `WatchdogSec=`).",
        "on",
    )
    bot: str = _option(
        _constant,
        "",
        f"printable text of at most {_LONGEST_CONSTANT} characters",
        "Constant label `bot` on every series.",
        UNSET,
    )
    cluster: str = _option(
        _constant,
        "",
        f"printable text of at most {_LONGEST_CONSTANT} characters",
        "Constant label `cluster` on every series, for a bot of several processes.",
        UNSET,
    )
    file_sd_dir: Path | None = _option(  # noqa: RUF009 - a dataclasses.field
        _or_off(_folder),
        OFF,
        "the path of a directory, or off",
        "Directory, which has to be there, of a file that tells Prometheus where this process is: `file_sd_configs`.",
    )
    file_sd_host: str | None = _option(
        _auto_or(_host),
        AUTO,
        "an IP address, a host name, or auto",
        "How Prometheus reaches this machine, for that file; `auto`: `ARGUS_HOST`, or this machine's name where that "
        "is every address.",
    )
    disable: frozenset[str] = _option(
        _words(DISABLEABLE),
        frozenset[str](),
        f"nouns out of {', '.join(DISABLEABLE)}, with commas between",
        f"Collectors to leave out, with commas between: {', '.join(DISABLEABLE)}.",
        UNSET,
    )
    user_registry: bool = _option(
        _switch,
        True,  # noqa: FBT003
        "on or off",
        "Serve what the bot itself has on `prometheus_client.REGISTRY` on the same page, and push it.",
        "on",
    )
    short_circuit: bool = _option(
        _switch,
        True,  # noqa: FBT003
        "on or off",
        "Skip discord.py's dispatch of `socket_event_type` while nobody listens to it, which pays for most of what "
        "counting costs.",
        "on",
    )
    max_commands: int = _option(
        _count(MAX_COMMANDS),
        COMMAND.bound,
        f"a number from 1 to {MAX_COMMANDS}",
        "Commands that have their names on the page, the first used first; the rest is `other`.",
    )
    outcomes: tuple[tuple[str, str], ...] = _option(
        _outcomes,
        (),
        "exception classes and outcomes, such as myapp.errors.NotEnoughCoins=user_error, with commas between, out of "
        f"{', '.join(OUTCOMES)}",
        "Outcomes of commands by exception class, for those of your own or instead of the usual ones; as an argument "
        "also a dict of classes.",
        UNSET,
    )
    exemplars: bool | None = _option(
        _auto_or(_switch),
        AUTO,
        "auto, on or off",
        "Whether histograms carry the id of the active OpenTelemetry trace (exemplars, in OpenMetrics); `auto`: where "
        "OpenTelemetry is installed.",
    )
    stall_seconds: float = _option(
        _seconds(0.05, 3600),
        1.0,
        "seconds from 0.05 to 3600",
        "A watchdog logs once what blocks the event loop for longer than this.",
        "1",
    )
    error_log: str | None = _option(
        _or_off(_file),
        OFF,
        "the path of a file, - for stderr, or off",
        "File to which errors are appended, a JSON object a line; `-` is stderr. Each process needs its own.",
    )
    sentry: bool = _option(
        _switch,
        True,  # noqa: FBT003
        "on or off",
        "Tag what Sentry captures with the command or event it belongs to, where `sentry_sdk` is initialised.",
        "on",
    )
    sentry_caps: bool = _option(
        _switch,
        True,  # noqa: FBT003
        "on or off",
        "Of the errors of commands and listeners, send Sentry the same one once a minute, and at most 30 a minute.",
        "on",
    )
    sentry_user_id: bool = _option(
        _switch,
        False,  # noqa: FBT003
        "on or off",
        "Send Sentry the id of the Discord user whose command or event it was.",
        "off",
    )
    session_limit_interval: float | None = _option(
        _or_off(_seconds(10, 86400)),
        600.0,
        "seconds from 10 to 86400, or off",
        "Seconds between two questions to `/gateway/bot` for the session start limit; `off` never asks.",
        "600",
    )
    statsd_url: str | None = _option(
        _or_off(_statsd_url),
        OFF,
        "udp://host:8125, udp://[::1]:8125, unixgram:///path/of/socket (not on Windows), or off",
        "StatsD server to push all metrics to: `udp://host:8125`, `unixgram:///path`; with or without `/metrics`.",
    )
    statsd_flavour: str = _option(
        _word(STATSD_FLAVOURS),
        "dogstatsd",
        f"one of {', '.join(STATSD_FLAVOURS)}",
        f"How labels are written: {', '.join(STATSD_FLAVOURS)}.",
    )
    statsd_prefix: str = _option(
        _statsd_prefix,
        "",
        f"words of letters, digits, _ and - with dots between, at most {_LONGEST_CONSTANT} characters",
        "What stands before each name in StatsD, with a dot between.",
        UNSET,
    )
    statsd_interval: float = _option(
        _seconds(0.1, 3600),
        10.0,
        "seconds from 0.1 to 3600",
        "Seconds between two flushes.",
        "10",
    )
    statsd_refresh: float | None = _option(
        _or_off(_seconds(1, 86400)),
        60.0,
        "seconds from 1 to 86400, or off",
        "Seconds in which a gauge that stays the same is sent again, and 0 for a counter that does; `off` never.",
        "60",
    )
    statsd_max_bytes: int | None = _option(
        _auto_or(_count(_DATAGRAM[1], _DATAGRAM[0])),
        AUTO,
        f"auto, or bytes from {_DATAGRAM[0]} to {_DATAGRAM[1]}",
        "Bytes in a datagram at most; `auto`: 1432, and 8192 (in plain 4096) where the server is on this machine.",
    )
    analytics_url: Secret | None = _option(  # noqa: RUF009 - a dataclasses.field
        _or_off(_database_url),
        OFF,
        "clickhouse://user:password@host:8123/database, clickhouses://… for TLS, "
        "postgresql://user:password@host:5432/database, or off",
        "Database for per-guild answers: `clickhouse://user:password@host:8123/database`, `clickhouses://…` over TLS, "
        "`postgresql://user:password@host:5432/database?sslmode=…`.",
        secret=True,
    )
    analytics_url_file: Path | None = _option(  # noqa: RUF009 - a dataclasses.field
        _or_off(_database_url_file),
        OFF,
        "the path of a text file with such a URL in it, or off",
        "File with that URL in it, which counts instead; read when the exporter is loaded.",
    )
    analytics_events: frozenset[str] = _option(
        _words(ANALYTICS_EVENTS),
        "interaction,command",
        f"words out of {', '.join(ANALYTICS_EVENTS)}, with commas between",
        f"What is recorded there, with commas between: {', '.join(ANALYTICS_EVENTS)}.",
    )
    analytics_users: str = _option(
        _word(ANALYTICS_USERS),
        OFF,
        f"one of {', '.join(ANALYTICS_USERS)}",
        "How the ids of users are kept there: `off` not at all, `hash` as keyed hashes, `plain` as they are; users' "
        "and members' names and flags only with `plain`.",
    )
    analytics_key: Secret | None = _option(  # noqa: RUF009 - a dataclasses.field
        _or_off(_key),
        None,
        f"printable text of {_LONGEST_KEY[0]} to {_LONGEST_KEY[1]} characters",
        "Secret key of those hashes; with another one the same user is somebody else.",
        UNSET,
        secret=True,
    )
    analytics_queue_rows: int = _option(
        _count(10_000_000, 100),
        100_000,
        "a number from 100 to 10000000",
        "Rows that wait for the database at most; what comes then is lost, and counted.",
    )
    analytics_queue_bytes: int = _option(
        _count(2**40, 2**20),
        64 * 2**20,
        "bytes from 1048576 to 1099511627776",
        "Bytes of memory that they take at most.",
    )
    analytics_batch_rows: int = _option(
        _count(10_000, 100),
        5_000,
        "a number from 100 to 10000",
        "Rows that are written at once at most.",
    )
    analytics_batch_seconds: float = _option(
        _seconds(0.1, 3600),
        5.0,
        "seconds from 0.1 to 3600",
        "Seconds after which fewer are written too.",
        "5",
    )
    analytics_retention_days: int | None = _option(
        _or_off(_count(36_500)),
        90,
        "days from 1 to 36500, or off",
        "Days after which recorded events are removed; `off` keeps them for ever.",
    )
    analytics_async_insert: bool = _option(
        _switch,
        False,  # noqa: FBT003
        "on or off",
        "Let ClickHouse collect small batches of many processes itself (asynchronous inserts).",
        "off",
    )
    state_dir: Path | None = _option(  # noqa: RUF009 - a dataclasses.field
        _or_off(_directory),
        AUTO,
        "the path of a directory, or off",
        "Directory of the small file that tells why the last process ended; `off` keeps none.",
        "the user's state directory",
    )

    def __post_init__(self) -> None:
        """Parse every value and keep what came of it."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            try:
                object.__setattr__(self, field.name, field.metadata["parse"](value))
            except _REFUSALS:
                shown = HIDDEN if field.metadata["secret"] else _shown(value)
                msg = f"{variable_of(field.name)}={shown} is not allowed: {field.metadata['allowed']}"
                raise SettingError(msg) from None

    @property
    def database_url(self) -> Secret | None:
        """The URL of the database for analytics, read from its file where that is set; None where it is off.

        :raises SettingError: if the file is not what it was.
        """
        if self.analytics_url_file is None:
            return self.analytics_url
        try:
            return _read_database_url(self.analytics_url_file)
        except ValueError:
            msg = f"{variable_of('analytics_url_file')}={_shown(str(self.analytics_url_file))} cannot be read any more"
            raise SettingError(msg) from None

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **arguments: Any) -> Settings:
        """Take the settings from arguments, and from the environment where there is no argument.

        An empty variable counts as not set. ``ARGUS_PORT=tcp://…`` is what Kubernetes sets for a Service named
        ``argus``; it is nobody's wish, so it is left alone and said in the log.

        :raises SettingError: if a value is not allowed.
        :raises TypeError: if there is no setting of an argument's name.
        """
        environ = os.environ if environ is None else environ
        names = [field.name for field in dataclasses.fields(cls)]
        found = {name: environ[variable_of(name)] for name in names if environ.get(variable_of(name), "").strip()}
        if re.match(_SERVICE_LINK, found.get("port", "")):
            link = _shown(found.pop("port"))
            _log.warning("%s=%s is a service link of Kubernetes, not a setting: left alone", variable_of("port"), link)
        given: dict[str, Any] = {**found, **arguments}
        return cls(**given)


def bracketed(host: str) -> str:
    """Return a host as it stands in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def variable_of(name: str) -> str:
    """Return the environment variable of a setting."""
    return f"ARGUS_{name.upper()}"


def _shown(value: object) -> str:
    """Show a value in one line, whatever it is, cut where it is long."""
    try:
        text = repr(value)
    except _REFUSALS:  # an int of more digits than Python writes
        text = f"<{type(value).__name__}>"
    text = re.sub(_USER_INFO, f"{HIDDEN}@", text)
    text = text if text.isprintable() else text.encode("unicode_escape").decode()
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}\N{HORIZONTAL ELLIPSIS}"
