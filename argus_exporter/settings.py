"""The settings, and the only reader of the environment.

Each option stands here once, with its variable, default, help text and check; the table in README.md is generated from
it. An argument wins over the environment.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import logging
import os
import re
import typing
from pathlib import Path
from typing import Any, Final

from argus_exporter.catalogue import COLLECTORS

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_log: Final = logging.getLogger(__name__)

OFF: Final = "off"
AUTO: Final = "auto"
_HOST_NAME: Final = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_-]{1,63})*\.?\Z")
_PATH: Final = re.compile(r"/[A-Za-z0-9._~/-]+\Z")
_SWITCH: Final = {"on": True, "true": True, "yes": True, "1": True, "off": False, "false": False, "no": False, "0": False}
_SERVICE_LINK: Final = re.compile(r"(tcp|udp|sctp)://", re.ASCII)


class SettingError(ValueError):
    """A setting has a value that is not allowed; the message is one line: variable, value, what is allowed."""


class _NotAllowedError(Exception):
    """Raised by a check; ``str()`` of it says what is allowed."""


def _port(value: object) -> int | None:
    if value is None or str(value).strip().lower() == OFF:
        return None
    try:
        port = int(str(value).strip()) if not isinstance(value, bool) else -1
    except ValueError:
        port = -1
    if not (0 <= port <= 65535):  # noqa: PLR2004 - the range of a port
        msg = "a port from 1 to 65535, 0 for a free one, or off"
        raise _NotAllowedError(msg)
    return port


def _host(value: object) -> str:
    host = str(value).strip().strip("[]")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if not _HOST_NAME.match(host):
            msg = "an IP address or a host name, such as 127.0.0.1 or 0.0.0.0"
            raise _NotAllowedError(msg) from None
    return host


def _path(value: object) -> str:
    path = str(value).strip()
    if not _PATH.match(path) or "//" in path:
        msg = "a path such as /metrics, of letters, digits and . _ ~ - /"
        raise _NotAllowedError(msg)
    return path


def _constant(value: object) -> str:
    text = str(value)
    if len(text) > 128 or not text.isprintable():  # noqa: PLR2004
        msg = "printable text of at most 128 characters"
        raise _NotAllowedError(msg)
    return text


def _nouns(value: object) -> frozenset[str]:
    words = value.split(",") if isinstance(value, str) else list(typing.cast("typing.Iterable[object]", value))
    nouns = frozenset(str(word).strip().lower() for word in words) - {""}
    if not nouns <= set(DISABLEABLE):
        msg = f"nouns out of {', '.join(DISABLEABLE)}, with commas between"
        raise _NotAllowedError(msg)
    return nouns


def _switch(value: object) -> bool:
    try:
        return value if isinstance(value, bool) else _SWITCH[str(value).strip().lower()]
    except KeyError:
        msg = "on or off"
        raise _NotAllowedError(msg) from None


def _seconds(least: float, most: float) -> Callable[[object], float]:
    def check(value: object) -> float:
        try:
            seconds = float(str(value).strip())
        except ValueError:
            seconds = -1.0
        if not least <= seconds <= most:
            msg = f"seconds from {least:g} to {most:g}"
            raise _NotAllowedError(msg)
        return seconds

    return check


def _seconds_or_off(least: float, most: float) -> Callable[[object], float | None]:
    inner = _seconds(least, most)

    def check(value: object) -> float | None:
        if value is None or str(value).strip().lower() == OFF:
            return None
        try:
            return inner(value)
        except _NotAllowedError as error:
            msg = f"{error}, or off"
            raise _NotAllowedError(msg) from None

    return check


def _directory(value: object) -> Path | None:
    if value is None or str(value).strip().lower() == OFF:
        return None
    text = default_state_dir() if value == AUTO else str(value)
    if "\0" in text or not text.strip():
        msg = "the path of a directory, or off"
        raise _NotAllowedError(msg)
    return Path(text).expanduser()


def default_state_dir() -> str:
    """Where programs keep small state: the XDG state directory, or what Windows and macOS have for it."""
    if os.name == "nt":
        return str(Path(os.environ.get("LOCALAPPDATA", "~/AppData/Local")) / "argus_exporter")
    return str(Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state") / "argus_exporter")


DISABLEABLE: Final = tuple(noun for noun in COLLECTORS if noun not in {"exporter", "registry"})
"""Collectors that ``ARGUS_DISABLE`` may name."""


def _option(default: Any, check: Callable[[object], Any], text: str, shown: str | None = None) -> Any:  # noqa: ANN401
    metadata = {"check": check, "help": text, "shown": str(default) if shown is None else shown}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What can be set. Each field is also an ``ARGUS_*`` variable of the same name in upper case.

    ``Settings(...)`` takes only arguments; :meth:`load` reads the environment too.

    :raises SettingError: if a value is not allowed, naming the variable, the value and what is allowed.
    """

    host: str = _option("127.0.0.1", _host, "Address to listen on. Loopback by default: nothing is open to the network unasked.")
    port: int | None = _option(9191, _port, "Port of `/metrics`; 0 takes a free one, `off` opens none.")
    metrics_path: str = _option("/metrics", _path, "Path of the metrics.")
    bot: str = _option("", _constant, "Constant label `bot` on every series.", "–")
    cluster: str = _option("", _constant, "Constant label `cluster` on every series, for a bot of several processes.", "–")
    disable: frozenset[str] = _option(
        frozenset[str](), _nouns, f"Collectors to leave out, with commas between: {', '.join(DISABLEABLE)}.", "–"
    )
    user_registry: bool = _option(
        True, _switch, "Serve what the bot itself has on `prometheus_client.REGISTRY` on the same page.", "on"
    )
    short_circuit: bool = _option(
        True,
        _switch,
        "Skip discord.py's dispatch of `socket_event_type` while nobody listens to it: the bot is faster than without us.",
        "on",
    )
    stall_seconds: float = _option(
        1.0, _seconds(0.05, 3600), "A watchdog logs once what blocks the event loop for longer than this.", "1"
    )
    session_limit_interval: float | None = _option(
        600.0,
        _seconds_or_off(10, 86400),
        "Seconds between two questions to `/gateway/bot` for the session start limit; `off` never asks.",
        "600",
    )
    state_dir: Path | None = _option(
        AUTO,
        _directory,
        "Directory of the small file that tells why the last process ended; `off` keeps none.",
        "the user's state directory",
    )

    def __post_init__(self) -> None:
        """Check every value and keep what the check made of it."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            try:
                object.__setattr__(self, field.name, field.metadata["check"](value))
            except _NotAllowedError as error:
                msg = f"{variable_of(field.name)}={value!r} is not allowed: {error}"
                raise SettingError(msg) from None

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **arguments: Any) -> Settings:  # noqa: ANN401 - one a field
        """The settings from arguments, and from the environment where there is no argument.

        An empty variable counts as not set. ``ARGUS_PORT=tcp://…`` is what Kubernetes sets for a Service named
        ``argus``; it is nobody's wish, so it is left alone and said in the log.

        :raises SettingError: if a value is not allowed.
        :raises TypeError: if there is no setting of an argument's name.
        """
        environ = os.environ if environ is None else environ
        names = [field.name for field in dataclasses.fields(cls)]
        found = {name: environ[variable_of(name)] for name in names if environ.get(variable_of(name), "").strip()}
        if _SERVICE_LINK.match(found.get("port", "")):
            _log.warning("%s=%s is a service link of Kubernetes, not a setting: left alone", "ARGUS_PORT", found.pop("port"))
        return cls(**{**found, **arguments})


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return f"ARGUS_{name.upper()}"
