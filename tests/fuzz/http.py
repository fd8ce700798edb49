"""Requests to the server: the real one, over socket pairs, on a loop whose clock skips what nobody waits for."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import logging
import re
import selectors
import socket
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from argus_exporter.exposition.health import Bot
from argus_exporter.exposition.page import Page
from argus_exporter.exposition.site import Site
from argus_exporter.instruments import Instruments
from argus_exporter.settings import Settings
from tests.fuzz.source import Source
from tests.fuzz.target import Check, Target

Chunks = tuple[bytes, ...]

TOKEN = "Zq9-a-token-that-nobody-guesses"
NUMBERS = "Zq7-in-the-page"
RIGHT = f"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n".encode()
OFTEN = 1_000
"""After so many inputs, and at the end, somebody scrapes who may."""

METHODS = ("GET", "HEAD")
ODD_METHODS = ("POST", "PUT", "OPTIONS", "CONNECT", "TRACE", "PRI", "get", "G ET", "DELETE", "M-SEARCH", "")
PATHS = ("/metrics", "/", "/livez", "/readyz", "/startupz", "/nothing", "/metrics?x=%zz")
ODD_PATHS = (
    *("/metrics/", "//metrics", "/%6detrics", "/metrics#", "http://x/metrics", "http://[::1", "*", "", "/..", "/\xff"),
    *("/a b", "http://u:p@x:99999/", "x:443", "/%", "?", "//"),
)
VERSIONS = ("HTTP/1.1", "HTTP/1.0")
ODD_VERSIONS = ("HTTP/0.9", "HTTP/2.0", "HTTP/1.1 ", "HTTP/11", "http/1.1", "", "ICE/1.0", "RTSP/1.0")
KEYS = (f"Bearer {TOKEN}", f"Basic {base64.b64encode(f'u:{TOKEN}'.encode()).decode()}")
HEADERS = (
    *[f"Authorization: {key}" for key in KEYS],
    *(
        "Authorization: Bearer x",
        "Authorization: Basic",
        f"Authorization: {KEYS[0][:-1]}",
        "Cookie: a=b; =;",
        "X: \xe9",
    ),
    *("Accept: application/openmetrics-text;version=1.0.0", "Accept: */*;q=nan", "Accept: a/b;q=1;q=.,text/plain;q=0"),
    *("Accept-Encoding: gzip", "Accept-Encoding: *;q=0.5, identity;q=1", "Accept-Encoding: gzip;q=..", "Accept: */*"),
    *("Connection: close", "Connection: keep-alive", "Range: bytes=0-1", "Content-Encoding: deflate"),
)
ODD_HEADERS = (
    *("Host: ", "Content-Length: -1", "Content-Length: 99999999999999999999", "Transfer-Encoding: gzip, chunked"),
    *("Transfer-Encoding: x", "Connection: upgrade", "Upgrade: websocket", "Upgrade: h2c", "Expect: 100-continue"),
    *("Expect: x", "Content-Encoding: br", "Authorization: Basic \xff", ": x", " a: b", "X\0: y", "X: \0", "X" * 9000),
    *(f"X: {'x' * 9000}", "Content-Type: multipart/form-data", "\u0661: b", "a b"),
)
ENDS = ("\n", "\r", "", "\r\n ")
BODIES = (
    ("X: y", ""),
    ("X: y", ""),
    ("Content-Length: 5", "hello"),
    ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
)
ODD_BODIES = (
    *(
        ("Content-Length: 5", ""),
        ("Content-Length: 0", "hello"),
        ("Transfer-Encoding: chunked", "g\r\n"),
        ("X: y", "0\r\n"),
    ),
    *(("Transfer-Encoding: chunked", "fffffffffffffffff\r\n"), ("Transfer-Encoding: chunked", "-1\r\n"), ("", "")),
    ("Transfer-Encoding: chunked", "5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n"),
)
WORDS = (*PATHS, *HEADERS[2:], "\r\n", "\n", "\0", " ", ":", "HTTP/1.1", "GET", "\xff", ",", ";", "q=")


def read(source: Source) -> Chunks:
    """Requests that are more or less right, one behind the other, cut anywhere; or any bytes at all."""
    if source.number(15) == 15:
        return (source.rest(),)
    whole = b"".join(source.many(lambda: _request(source), 3, 1))
    cuts = sorted(source.many(lambda: source.number(len(whole)), 3))
    return tuple(whole[start:stop] for start, stop in zip((0, *cuts), (*cuts, len(whole)), strict=True))


def _request(source: Source) -> bytes:
    end = source.mostly(("\r\n",), ENDS)
    path = source.text(WORDS) if source.seldom() else source.mostly(PATHS, ODD_PATHS)
    first = f"{source.mostly(METHODS, ODD_METHODS)} {path} {source.mostly(VERSIONS, ODD_VERSIONS)}"
    host, (framing, body) = source.mostly(("Host: x",), ODD_HEADERS), source.mostly(BODIES, ODD_BODIES)
    headers = source.many(lambda: _header(source), 3)
    return (end.join((first, host, *headers, framing, "", "")) + body).encode("utf-8", "surrogatepass")


def _header(source: Source) -> str:
    if source.seldom():
        return source.choice(("", "Accept: ", "Accept-Encoding: ", "Authorization: ")) + source.text(WORDS)
    return source.mostly(HEADERS, ODD_HEADERS)


# ------------------------------------------------------------------------------------------ the clock


class Skipping(selectors.DefaultSelector):
    """Waits for nothing: where nothing is there, the time that would have been waited for is over."""

    skipped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if not found and timeout is None:
            msg = "everybody waits for ever"
            raise RuntimeError(msg)
        self.skipped += 0.0 if found or timeout is None else max(timeout, 0.0)
        return found


class Loop(asyncio.SelectorEventLoop):
    """asyncio's own, but for the clock."""

    def __init__(self) -> None:
        self._clock = Skipping()
        super().__init__(self._clock)
        self._clock_resolution = 1e-3  # a nanosecond, added to the years that a million inputs wait, is lost

    def time(self) -> float:
        return self._clock.skipped


# ------------------------------------------------------------------------------------------ the server


class Escaped(logging.Handler):
    """What must not be: what anybody logs as a warning or worse, or hands to the loop, or catches."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(self.format(record))

    def context(self, _: object, context: Mapping[str, Any]) -> None:
        self.seen.append(f"{context!r}")

    def error(self, *what: object) -> None:
        self.seen.append(f"{what!r}")


class Served:
    """A server that listens nowhere, and whoever asks it."""

    def __init__(self, escaped: Escaped) -> None:
        self._escaped = escaped
        self._asked = 0
        settings = Settings(port=0, token=TOKEN, bot=NUMBERS, file_sd_dir=None)
        instruments = Instruments({"bot": settings.bot})
        page = Page(instruments, sample=lambda: None, errors=escaped.error)
        bot = Bot(lambda: None, lambda: True, lambda _: [])
        self._server = Site(settings, instruments, page.handler, bot, escaped.error)._server

    async def start(self) -> None:
        await self._server.start()

    async def close(self) -> None:
        await self.scrape()
        await self._server.close()

    async def ask(self, chunks: Chunks) -> None:
        """Send it, and look at what comes back."""
        self._asked += 1
        answer = await self._exchange(chunks)
        sent = b"".join(chunks)
        answers = list(answers_of(answer, bodiless=b"HEAD" in sent))
        assert all(each.status < 500 for each in answers), answers
        if not any(key.encode() in sent for key in KEYS):
            assert not any(each.has_metrics for each in answers), answers
            assert NUMBERS.encode() not in answer
        escaped, self._escaped.seen = self._escaped.seen, []
        assert not escaped, escaped
        if self._asked % OFTEN == 0:
            await self.scrape()

    async def scrape(self) -> None:
        """Ask as one who may."""
        answer = await self._exchange((RIGHT,))
        (only,) = answers_of(answer, bodiless=False)
        assert (only.status, only.has_metrics) == (200, True)
        assert NUMBERS.encode() in answer

    async def _exchange(self, chunks: Chunks) -> bytes:
        ours, theirs = socket.socketpair()
        loop = asyncio.get_running_loop()
        ours.setblocking(False)
        with ours:
            await loop.connect_accepted_socket(self._server._connection, theirs)
            for chunk in chunks:
                with contextlib.suppress(ConnectionError):
                    ours.send(chunk)
                await asyncio.sleep(0)
            return await _all_of(ours)


async def _all_of(ours: socket.socket) -> bytes:
    """All that comes until the other side closes, which it does, early or late."""
    loop, pieces = asyncio.get_running_loop(), list[bytes]()
    with contextlib.suppress(ConnectionError):
        while piece := await loop.sock_recv(ours, 1 << 16):
            pieces.append(piece)
    return b"".join(pieces)


# ------------------------------------------------------------------------------------------ the answers

_STATUS = re.compile(rb"HTTP/[0-9]\.[0-9] ([1-5]\d\d) [ -~]+")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([\t -~\x80-\xff]*)")
_METRICS = (b"text/plain; version", b"application/openmetrics")


class Answer(typing.NamedTuple):
    """What of an answer is looked at."""

    status: int
    has_metrics: bool


def answers_of(answer: bytes, *, bodiless: bool) -> Iterator[Answer]:
    """Answers that stand one behind the other, each of them well-formed and whole.

    :param bodiless: whether one of them may be without the body that its headers tell of.
    """
    while answer:
        head, end, answer = answer.partition(b"\r\n\r\n")
        first, *rest = head.split(b"\r\n")
        status = _STATUS.fullmatch(first)
        assert status is not None, head
        assert end, head
        headers = dict(typing.cast("re.Match[bytes]", _HEADER.fullmatch(line)).groups() for line in rest)
        yield Answer(int(status[1]), headers.get(b"Content-Type", b"").startswith(_METRICS))
        size = int(headers.get(b"Content-Length", 0))
        if not (bodiless and (not answer or answer.startswith(b"HTTP/"))):
            body, answer = answer[:size], answer[size:]
            assert len(body) == size, (head, body)
            if headers.get(b"Content-Encoding") == b"gzip":
                body = gzip.decompress(body)
            assert not headers.get(b"Content-Type", b"").startswith(_METRICS[1]) or body.endswith(b"# EOF\n"), body


@contextlib.contextmanager
def opened() -> Iterator[Check[Chunks]]:
    escaped = Escaped()
    loggers = [logging.getLogger(name) for name in ("aiohttp", "asyncio", "argus_exporter.exposition")]
    loop = Loop()
    loop.set_exception_handler(escaped.context)
    with contextlib.ExitStack() as stack:
        stack.callback(loop.close)
        for logger in loggers:
            stack.callback(logger.setLevel, logger.level)
            stack.callback(logger.removeHandler, escaped)
            logger.setLevel(logging.WARNING)
            logger.addHandler(escaped)
        served = Served(escaped)
        loop.run_until_complete(served.start())
        stack.callback(lambda: loop.run_until_complete(served.close()))
        yield lambda chunks: loop.run_until_complete(served.ask(chunks))


HTTP = Target("http", "a well-formed answer or none, no number without the token, and it serves on", read, opened)
