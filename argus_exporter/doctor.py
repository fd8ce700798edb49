"""What ``python -m argus_exporter check`` looks at: what a bot would start in, and a page that is served.

Each check says what it found in one line. None shows a secret, and none changes anything: what is opened is closed
again, and what is sent to StatsD is an empty line.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import difflib
import http.client
import importlib
import importlib.metadata
import ipaddress
import os
import re
import socket
import ssl
import stat
import sys
import tempfile
import time
import typing
import urllib.error
import urllib.request
from pathlib import Path
from types import FunctionType
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from argus_exporter import catalogue
from argus_exporter.catalogue import METRICS
from argus_exporter.discovery import REFRESH_SECONDS
from argus_exporter.exposition.tls import certificates
from argus_exporter.settings import STDERR, SettingError, Settings, bracketed, variable_of
from argus_exporter.statsd.transport import parsed

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from argus_exporter.analytics.sink import Sink
    from argus_exporter.settings import Secret

OK: Final = "ok"
WARNING: Final = "warning"
WRONG: Final = "wrong"

LARGEST_PAGE: Final = 256 * 1024 * 1024
SUPPORTED: Final = ((2, 4), (2, 8))
"""The first version of discord.py that is supported, and the first that is not."""

EXPIRES_SOON: Final = 14 * 86400
"""Seconds before its end from which on a certificate is warned of."""

_PREFIX: Final = variable_of("")
_SERVICE_LINK_VARIABLE: Final = re.compile(r"ARGUS_(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)\Z")
_SAMPLE: Final = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})? (\S+)(?: \S+)?\Z')
_PAIR: Final = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_PATIENCE: Final = 2.0
_DATABASE_PATIENCE: Final = 10.0
_ICMP_SECONDS: Final = 0.2
_MOST_NAMED: Final = 20


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    :param status: :data:`OK`, :data:`WARNING` or :data:`WRONG`.
    :param name: of what was looked at.
    """

    status: str
    name: str
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """One line of a page."""

    name: str
    labels: dict[str, str]
    value: float


Said = tuple[str, str]
"""A status, and what is said of it."""


def examine(environ: Mapping[str, str], url: str | None, timeout: float) -> Iterator[Finding]:
    """Look at everything, and at the page of an exporter where one is named."""
    wrong = _wrong_settings(environ)
    yield from (Finding(WRONG, "settings", error) for error in wrong)
    yield from (Finding(WARNING, "settings", line) for line in _unknown_variables(environ))
    if not wrong:
        yield Finding(OK, "settings", "every ARGUS_ variable that is known has a value that is allowed")
    yield from _looked(_LIBRARIES, None)
    if not wrong:
        yield from _looked(_SURROUNDINGS, Settings.load(environ))
    if url is not None:
        yield from _page(url, timeout, environ)


def _looked(checks: Mapping[str, Callable[[Any], Iterator[Said]]], what: Settings | None) -> Iterator[Finding]:
    for name, check in checks.items():
        try:
            yield from (Finding(status, name, text) for status, text in check(what))
        except Exception as error:  # noqa: BLE001 - a file that goes while it is looked at, a library that is half there
            yield Finding(WRONG, name, f"cannot be checked: {type(error).__name__}: {printable(str(error))}")


# ---------------------------------------------------------------------------------------------- settings


def error_of(name: str, environ: Mapping[str, str]) -> str | None:
    """Say what is wrong with a setting's variable, if anything is."""
    variable = variable_of(name)
    try:
        Settings.load({variable: environ.get(variable, "")})
    except SettingError as error:
        return str(error)
    return None


def _wrong_settings(environ: Mapping[str, str]) -> list[str]:
    errors = [error for field in dataclasses.fields(Settings) if (error := error_of(field.name, environ))]
    return errors or _errors_between(environ)


def _errors_between(environ: Mapping[str, str]) -> list[str]:
    """Say what is wrong with settings that are right one by one: what does not belong together, or is not installed."""
    try:
        settings = Settings.load(environ)
        found = certificates(settings)
        _database(settings)
    except SettingError as error:
        return [str(error)]
    if found is not None:
        found.close()
    return []


def _unknown_variables(environ: Mapping[str, str]) -> Iterator[str]:
    """Name the variables that look like settings and are none: another program's, or misspelt."""
    known = {variable_of(field.name).removeprefix(_PREFIX) for field in dataclasses.fields(Settings)}
    for name in sorted(environ):
        own = name.removeprefix(_PREFIX)
        if own not in {name, *known} and not _SERVICE_LINK_VARIABLE.match(name):
            alike = difflib.get_close_matches(own, known, n=1)
            yield f"{printable(name)} is not a setting{f': did you mean {_PREFIX}{alike[0]}?' if alike else ''}"


def printable(text: str) -> str:
    """Show a text in one line."""
    return text if text.isprintable() else repr(text)


# ---------------------------------------------------------------------------------------------- discord.py


def _version(_: object) -> Iterator[Said]:
    try:
        version = importlib.metadata.version("discord.py")
    except importlib.metadata.PackageNotFoundError:
        yield WRONG, "is not installed"
        return
    first, end = SUPPORTED
    known = first <= tuple(map(int, re.findall(r"\d+", version)[:2])) < end
    unknown = "is none that is known: what it has of private attributes is used, or else the public ways"
    yield (OK, f"{version} is supported") if known else (WARNING, f"{version} {unknown}")


def _insides(_: object) -> Iterator[Said]:
    """Look for discord.py's private attributes, as the table of the package that reads them names them."""
    rows = private_attributes(importlib.import_module("argus_exporter.discordpy").__doc__ or "")
    classes = _classes()
    missing = [(name, without) for name, without in rows if not _is_there(name, classes)]
    yield from ((WARNING, f"{name} is not there; without it: {without}") for name, without in missing)
    if not missing:
        yield OK, f"all {len(rows)} that are read are there"


def private_attributes(text: str) -> list[tuple[str, str]]:
    """The names in the first column of a table, each with what the second says; "the same" stands for the row above."""
    rows: list[tuple[list[str], str]] = []
    for line in text.splitlines():
        found = re.match(r"(?P<names>``.+?``(?:, (?:its )?``.+?``)*)\s+(?P<without>\S.*)", line)
        if found:
            rows.append((re.findall(r"``(.+?)``", found["names"]), found["without"]))
        elif rows and line.startswith(" "):
            rows[-1] = rows[-1][0], f"{rows[-1][1]} {line.strip()}"
    return [(name, without) for names, without in rows for name in _whole(names)]


def _whole(names: list[str]) -> Iterator[str]:
    owner = names[0].rpartition(".")[0]
    yield from (f"{owner}{name}" if name.startswith(".") else name for name in names)


def _classes() -> dict[str, type]:
    for name in ("discord.ext.tasks", "discord.ext.commands", "discord.ui.view"):
        importlib.import_module(name)
    modules = [module for name, module in list(sys.modules.items()) if name.split(".")[0] == "discord"]
    found = [thing for module in modules for thing in vars(module).values() if isinstance(thing, type)]
    return {each.__name__: each for each in (aiohttp.ClientSession, *found)}


def _is_there(path: str, classes: Mapping[str, type]) -> bool:
    """Whether a path of a class and its attributes leads somewhere; behind the first of these may be any class."""
    owner, *attributes = [part for part in path.split(".") if part != "tasks"]
    if owner not in classes:
        return _anybody_has(owner, classes)
    first, *others = attributes
    return _has(classes[owner], first) and all(_anybody_has(each, classes) for each in others)


def _anybody_has(attribute: str, classes: Mapping[str, type]) -> bool:
    return any(_has(each, attribute) for each in classes.values())


def _has(owner: type, attribute: str) -> bool:
    """Whether instances of a class have an attribute: it is the class' own, or its code sets or reads it."""
    name = f"_{owner.__name__}{attribute}" if attribute.startswith("__") else attribute
    parts = [getattr(part, "__func__", part) for each in owner.__mro__ for part in vars(each).values()]
    return hasattr(owner, name) or any(
        isinstance(part, FunctionType) and name in part.__code__.co_names for part in parts
    )


# ---------------------------------------------------------------------------------------------- what is listened on


def _port(settings: Settings) -> Iterator[Said]:
    if settings.port is None:
        yield OK, "off: no page is served"
        return
    ports = settings.port if isinstance(settings.port, range) else range(settings.port, settings.port + 1)
    shown = f"{bracketed(settings.host)}:{ports[0]}" + (f"-{ports[-1]}" if len(ports) > 1 else "")
    trouble = [error for port in ports if (error := _cannot_bind(settings.host, port))]
    if len(trouble) < len(ports):
        yield OK, f"{shown}: {len(ports) - len(trouble)} free" if len(ports) > 1 else f"{shown} can be had"
    elif _is_exporter(settings, ports[0]):
        yield OK, f"{shown} is in use by an exporter, which runs"
    else:
        yield WRONG, f"{shown} cannot be had: {trouble[-1]}"


def _cannot_bind(host: str, port: int) -> str | None:
    try:
        for family, kind, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind) as probe:
                if os.name == "posix":  # as asyncio does: connections that wait for their end are in nobody's way
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                probe.listen(1)
    except (OSError, UnicodeError) as error:
        return getattr(error, "strerror", None) or str(error)
    return None


def _is_exporter(settings: Settings, port: int) -> bool:
    host = "127.0.0.1" if settings.host == "0.0.0.0" else "::1" if settings.host == "::" else settings.host  # noqa: S104
    scheme = "http" if settings.tls_cert is None else "https"
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is told nothing
    try:
        return b"argus_exporter" in _opened(f"{scheme}://{bracketed(host)}:{port}/", _PATIENCE, context)
    except (OSError, http.client.HTTPException):
        return False


def _token(settings: Settings) -> Iterator[Said]:
    asks = bool(settings.token) or settings.token_file is not None or settings.tls_client_ca is not None
    near = settings.port is None or _is_near(settings.host)
    if not asks:
        yield (
            (OK, "none, and only this machine reaches the page")
            if near
            else (WARNING, f"none: whoever reaches {settings.host} may read the metrics")
        )
    elif settings.tls_cert is None and not near:
        yield WARNING, "goes over the network as it is: no TLS"
    else:
        yield OK, "whoever wants the metrics is asked"
    yield from _secrecy(settings.token_file)


def _secrecy(file: Path | None) -> Iterator[Said]:
    if file is not None and os.name == "posix" and file.stat().st_mode & stat.S_IROTH:
        yield WARNING, f"{file}: everybody on this machine may read it"


def _is_near(host: str) -> bool:
    try:
        found = {str(address[4][0]).partition("%")[0] for address in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return False
    return all(ipaddress.ip_address(each).is_loopback for each in found)


def _tls(settings: Settings) -> Iterator[Said]:
    if settings.tls_cert is None:
        yield OK, "off"
        return
    try:
        left = _certificate_ends(settings.tls_cert, settings.tls_key) - time.time()
    except ssl.SSLCertVerificationError as error:
        yield WRONG, f"{settings.tls_cert}: {error.verify_message}"
        return
    days = f"{settings.tls_cert}: ends in {left / 86400:.0f} days"
    yield (OK if left > EXPIRES_SOON else WARNING), days


def _certificate_ends(cert: Path, key: Path | None) -> float:
    """When a certificate ends, as epoch seconds: shown to ourselves, for only a peer's can be asked for that.

    :raises ssl.SSLCertVerificationError: if it is not valid now.
    """
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server.load_cert_chain(cert, key)
    client.load_verify_locations(cert)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours, theirs = client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True)
    for side in (ours, theirs, ours):
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    peer = typing.cast("dict[str, Any]", ours.getpeercert())
    return float(ssl.cert_time_to_seconds(peer["notAfter"]))


# ---------------------------------------------------------------------------------------------- what is written to


def _statsd(settings: Settings) -> Iterator[Said]:
    if settings.statsd_url is None:
        yield OK, "off"
        return
    try:
        _send_nothing(settings.statsd_url)
    except (OSError, UnicodeError) as error:
        yield WRONG, f"{settings.statsd_url}: {getattr(error, 'strerror', None) or error}"
    else:
        yield OK, f"{settings.statsd_url} does not refuse; UDP tells no more"


def _send_nothing(url: str) -> None:
    """Send two empty lines: what refuses the first is told at the second."""
    host, port, path = parsed(url)
    if path:
        family, address = socket.AF_UNIX, typing.cast("Any", path)
    else:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as sending:
        sending.settimeout(_PATIENCE)
        sending.connect(address)
        sending.send(b"\n")
        time.sleep(_ICMP_SECONDS)
        sending.send(b"\n")


def _analytics(settings: Settings) -> Iterator[Said]:
    url, sink = settings.database_url, _database(settings)
    if url is None or sink is None:
        yield OK, "off"
        return
    yield asyncio.run(_reached(sink, url))
    yield from _secrecy(settings.analytics_url_file)


def _database(settings: Settings) -> Sink | None:
    """What would talk to the database.

    :raises SettingError: if it is not installed, or there is no key for what is to be hashed.
    """
    url = settings.database_url
    if url is None:
        return None
    start = importlib.import_module("argus_exporter.analytics.start")
    start.users_of(settings)
    sink: Sink = start.sink_of(settings, url)
    return sink


async def _reached(sink: Sink, url: Secret) -> Said:
    told = importlib.import_module("argus_exporter.analytics.privacy").told
    try:
        async with asyncio.timeout(_DATABASE_PATIENCE):
            return OK, f"{url}: {await sink.check()}"
    except Exception as error:  # noqa: BLE001 - whatever the database says is a finding
        return WRONG, f"{url}: {told(error, url.reveal())}"
    finally:
        await sink.close()


def _targets(settings: Settings) -> Iterator[Said]:
    folder = settings.file_sd_dir
    if folder is None:
        yield OK, "off"
    elif settings.port is None:
        yield WARNING, f"{folder}: nothing is written, for ARGUS_PORT is off"
    elif trouble := _cannot_write(folder):
        yield WRONG, f"{folder}: {trouble}"
    else:
        files = list(folder.glob("argus_exporter-*.json"))
        old = [path.name for path in files if time.time() - path.stat().st_mtime > 4 * REFRESH_SECONDS]
        yield OK, f"{folder}: can be written to, {len(files)} targets"
        yield from ((WARNING, f"{name}: nobody has refreshed it for two minutes") for name in old[:_MOST_NAMED])


def _state(settings: Settings) -> Iterator[Said]:
    folder = settings.state_dir
    if folder is None:
        yield OK, "off: why the last process ended is not told"
        return
    trouble = _cannot_write(next(each for each in (folder, *folder.absolute().parents) if each.exists()))
    yield (WARNING, f"{folder}: {trouble}") if trouble else (OK, f"{folder}: can be written to")


def _error_log(settings: Settings) -> Iterator[Said]:
    if settings.error_log in {None, STDERR}:
        yield OK, settings.error_log or "off"
        return
    path = Path(str(settings.error_log))
    trouble = None if path.exists() and os.access(path, os.W_OK) else _cannot_write(path.absolute().parent)
    if path.is_dir():
        trouble = "it is a directory"
    yield (WRONG, f"{path}: {trouble}") if trouble else (OK, f"{path}: can be written to")


def _cannot_write(folder: Path) -> str | None:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0")
    except OSError as error:
        return error.strerror or str(error)
    return None


_LIBRARIES: Final[dict[str, Callable[[Any], Iterator[Said]]]] = {
    "discord.py": _version,
    "private attributes": _insides,
}
_SURROUNDINGS: Final[dict[str, Callable[[Settings], Iterator[Said]]]] = {
    "port": _port,
    "token": _token,
    "TLS": _tls,
    "StatsD": _statsd,
    "analytics": _analytics,
    "target file": _targets,
    "state": _state,
    "error log": _error_log,
}


# ---------------------------------------------------------------------------------------------- a page


def _page(url: str, timeout: float, environ: Mapping[str, str]) -> Iterator[Finding]:
    try:
        text = _fetched(url, timeout, environ)
    except urllib.error.HTTPError as error:
        yield Finding(WRONG, url, f"answers with {error.code} {error.reason}")
        error.close()
        return
    except (OSError, ValueError, OverflowError, http.client.HTTPException) as error:
        yield Finding(WRONG, url, f"not reachable: {getattr(error, 'reason', error) or type(error).__name__}")
        return
    samples = list(_samples(text))
    families = {metric.name for metric in METRICS} & {
        re.sub(r"_(bucket|sum|count)\Z", "", each.name) for each in samples
    }
    if catalogue.EXPORTER_INFO.name not in families:
        text = f"answers, but is not the page of argus_exporter: {catalogue.EXPORTER_INFO.name} is not there"
        yield Finding(WRONG, url, text)
        return
    text = f"alive, {len(samples)} series, {len(families)} of the {len(METRICS)} metrics of argus_exporter"
    yield Finding(OK, url, text)
    yield from _shards(samples)
    yield from _collectors(samples)


def _shards(samples: Sequence[Sample]) -> Iterator[Finding]:
    name = catalogue.SHARD_STATUS.name
    tally: dict[str, list[str]] = {}
    for sample in samples:
        if sample.name == name:
            tally.setdefault(_status(sample.value), []).append(sample.labels.get("shard", ""))
    if not tally:
        yield Finding(WRONG, name, "is not there. Is the extension loaded, and shards not in ARGUS_DISABLE?")
        return
    counts = ", ".join(f"{len(shards)} {status}" for status, shards in tally.items())
    yield Finding(OK if tally.keys() == {"online"} else WARNING, name, counts)
    for status in tally.keys() - {"online"}:
        more = f" and {len(tally[status]) - _MOST_NAMED} more" if len(tally[status]) > _MOST_NAMED else ""
        yield Finding(WARNING, status, f"{', '.join(tally[status][:_MOST_NAMED])}{more}")


def _status(value: float) -> str:
    names = catalogue.SHARD_STATUSES
    return names[int(value)] if value in range(len(names)) else f"{value:g}, which means nothing"


def _collectors(samples: Sequence[Sample]) -> Iterator[Finding]:
    for sample in samples:
        if sample.name == catalogue.COLLECTOR_UP.name and sample.value == 0:
            text = "does not see all that it should, the bot's log says why"
            yield Finding(WRONG, f"collector {sample.labels.get('collector', '')}", text)


def _fetched(url: str, timeout: float, environ: Mapping[str, str]) -> str:
    """A page, asked for with this environment's token, and trusting its certificate."""
    context = ssl.create_default_context()
    cert = environ.get(variable_of("tls_cert"), "").strip()
    if cert and cert.lower() != "off":
        context.load_verify_locations(Path(cert).expanduser())
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    host = urlsplit(url).hostname or ""
    secret = _secret(environ) if url.lower().startswith("https:") or _is_near(host) else ""
    return _opened(url, timeout, context, secret).decode(errors="replace")


def _secret(environ: Mapping[str, str]) -> str:
    """The first token of the environment, or of the file that it names; "" where there is none."""
    text, file = (environ.get(variable_of(name), "").strip() for name in ("token", "token_file"))
    if not text and file and file.lower() != "off":
        text = Path(file).expanduser().read_text(encoding="utf-8-sig").strip()
    return re.split(r"[,\r\n]", text)[0].strip()


def _opened(url: str, timeout: float, context: ssl.SSLContext, secret: str = "") -> bytes:
    """What is at an address, without any proxy."""
    request = urllib.request.Request(url)  # noqa: S310 - http and https alone, see the command line
    if secret:  # not for whom the server sends us to
        request.add_unredirected_header("Authorization", f"Bearer {secret}".encode().decode("latin-1"))
    handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    with urllib.request.build_opener(*handlers).open(request, timeout=timeout) as answer:
        return bytes(answer.read(LARGEST_PAGE))


def _samples(page: str) -> Iterator[Sample]:
    for line in page.split("\n"):
        match = None if line.startswith("#") else _SAMPLE.match(line)
        if match:
            yield Sample(match[1], dict(_PAIR.findall(match[2] or "")), number(match[3]))


def number(text: str) -> float:
    """What a text says, nan where it says no number."""
    try:
        return float(text)
    except ValueError:
        return float("nan")
