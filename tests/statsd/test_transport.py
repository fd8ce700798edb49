"""The transport, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from argus_exporter.catalogue import TRANSPORT_DROPS
from argus_exporter.statsd.transport import LOCAL_LIMIT, PATH_LIMIT, Transport
from tests.clients import until
from tests.statsd.wires import Names, answer, listening, received, url_of

UNIX = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="Windows has no unix sockets")
ICMP = pytest.mark.skipif(sys.platform == "win32", reason="Windows tells of ICMP only to those who receive")


class Quick(Transport):
    """Looks again soon."""

    retry = 0.01
    refresh = 0.02


@contextlib.asynccontextmanager
async def started(transport: Transport) -> Any:
    await transport.start()
    try:
        yield transport
    finally:
        await transport.close()


async def sent(transport: Transport, receiver: socket.socket, payload: bytes = b"x:1|c") -> None:
    """Send until it arrives there."""

    def arrived() -> bool:
        transport.send(payload)
        with contextlib.suppress(BlockingIOError):
            return receiver.recv(70_000) == payload
        return False

    await until(arrived)


def dropped(transport: Transport) -> dict[str, int]:
    return {reason: samples for reason, samples in transport.dropped.items() if samples}


# ------------------------------------------------------------------------------------------ where it goes


@pytest.fixture(params=["IPv4", "IPv6", pytest.param("unix", marks=UNIX)])
def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    if request.param == "unix":
        family, address = socket.AF_UNIX, str(tmp_path / "statsd")
    elif request.param == "IPv6":
        family, address = socket.AF_INET6, ("::1", 0)
    else:
        family, address = socket.AF_INET, ("127.0.0.1", 0)
    try:
        with listening(family, address) as receiver:
            yield receiver
    except OSError as error:
        pytest.skip(f"{request.param}: {error}")


async def test_datagrams_arrive_and_are_counted(receiver: socket.socket, names: Names) -> None:
    async with started(Transport(url_of(receiver))) as transport:
        assert transport.send(b"a:1|c\nb:2|c", 2)
        assert transport.send(b"c:1|c")
        assert await received(receiver) == b"a:1|c\nb:2|c"
        assert await received(receiver) == b"c:1|c"
        assert (transport.datagrams, transport.bytes, transport.errors) == (2, 16, 0)
        assert transport.dropped == dict.fromkeys(TRANSPORT_DROPS, 0)
    assert names.asked == 0


async def test_an_address_is_there_as_soon_as_it_is_started(receiver: socket.socket) -> None:
    async with started(Transport(url_of(receiver))) as transport:
        assert transport.ready
        assert transport.limit == LOCAL_LIMIT
        assert 0 <= transport.address_age < 10


async def test_a_datagram_of_the_limit_arrives_whole(receiver: socket.socket) -> None:
    async with started(Transport(url_of(receiver))) as transport:
        assert transport.send(b"x" * transport.limit)
        assert await received(receiver) == b"x" * transport.limit


@pytest.mark.parametrize(
    ("url", "limit", "is_to_be"),
    [
        ("udp://192.0.2.1:8125", None, PATH_LIMIT),
        ("udp://127.3.2.1", None, LOCAL_LIMIT),
        ("udp://192.0.2.1", 512, 512),
        ("udp://127.0.0.1", 512, 512),
    ],
)
async def test_the_limit_is_that_of_the_way(url: str, limit: int | None, is_to_be: int) -> None:
    transport = Transport(url, limit=limit)
    assert transport.limit == (limit or PATH_LIMIT)
    async with started(transport):
        assert transport.limit == is_to_be


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("udp://statsd.example", "statsd.example", 8125, ""),
        ("udp://statsd.example:9125/", "statsd.example", 9125, ""),
        ("udp://[2001:db8::1]", "2001:db8::1", 8125, ""),
        ("udp://[fe80::1%25lo]:9125", "fe80::1%lo", 9125, ""),
        pytest.param("unixgram:///run/stats%20d", "", 0, "/run/stats d", marks=UNIX),
    ],
)
def test_a_url_says_where(url: str, host: str, port: int, path: str) -> None:
    transport = Transport(url)
    assert (transport._host, transport._port, transport._path) == (host, port, path)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "statsd.example",
        "tcp://statsd.example:8125",
        "udp://",
        "udp://statsd.example:port",
        "udp://statsd.example:0",
        "udp://statsd.example:65536",
        "udp://statsd.example/path",
        "udp://user@statsd.example",
        "udp://[::1",
        "unixgram://",
        "unixgram:///",
        "unixgram://host/path",
    ],
)
def test_a_url_that_is_no_server_is_refused_in_one_line(url: str) -> None:
    with pytest.raises(ValueError, match=r"^'.*' is no StatsD server: udp://host:8125, .*$") as caught:
        Transport(url)
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------ names


async def test_start_does_not_wait_for_a_name_server_and_neither_does_close(names: Names) -> None:
    names.hangs = True
    transport = Transport("udp://statsd.example")
    async with asyncio.timeout(10):
        await transport.start()
        await until(lambda: names.asked)
        assert not transport.send(b"x:1|c", 3)
        await transport.close()
    assert dropped(transport) == {"unresolved": 3}
    assert transport.address_age is None


async def test_a_name_server_that_is_away_at_the_start_is_asked_again(names: Names) -> None:
    told: list[BaseException] = []
    async with started(Quick("udp://statsd.example", note=told.append)) as transport:
        await until(lambda: names.asked >= 3)
        assert not transport.ready
        assert transport.errors >= 2
        assert isinstance(told[0], OSError)
        with listening() as receiver:
            names.answer = answer(receiver)
            await until(lambda: transport.ready)
            assert transport.send(b"x:1|c")
            assert await received(receiver) == b"x:1|c"


async def test_a_name_server_that_stays_away_is_asked_ever_less_often(names: Names) -> None:
    transport = Transport("udp://statsd.example")
    transport.retry = 0.01  # type: ignore[misc]
    async with started(transport):
        began = asyncio.get_running_loop().time()
        await until(lambda: names.asked >= 5)
        assert asyncio.get_running_loop().time() - began >= 4 * 0.01 + (2 + 4 + 8 + 16) * 0.01


@ICMP
async def test_once_the_trouble_is_over_nobody_is_asked_until_the_next_refresh(names: Names) -> None:
    with listening() as nobody:
        names.answer = answer(nobody)
    transport = Transport("udp://statsd.example")
    transport.retry = 0.01  # type: ignore[misc]
    async with started(transport):
        await until(lambda: transport.send(b"x:1|c") and transport.errors)
        await until(lambda: names.asked == 2)
        await asyncio.sleep(10 * 0.01)
        assert names.asked == 2


async def test_a_name_that_is_none_is_an_error_like_others(names: Names) -> None:
    names.answer = UnicodeError("label too long")
    async with started(Quick("udp://statsd.example")) as transport:
        await until(lambda: transport.errors >= 2)
        assert not transport.send(b"x:1|c")


async def test_what_listens_to_errors_cannot_end_it(names: Names) -> None:
    def fail(_: BaseException) -> None:
        raise RuntimeError

    async with started(Quick("udp://statsd.example", note=fail)) as transport:
        await until(lambda: transport.errors >= 2)


async def test_one_lookup_that_hangs_is_one_lookup(names: Names) -> None:
    names.hangs = True
    async with started(Quick("udp://statsd.example")):
        await until(lambda: names.asked)
        await asyncio.sleep(5 * Quick.refresh)
        assert names.asked == 1


async def test_an_address_that_moves_is_followed(names: Names) -> None:
    with listening() as before, listening() as after:
        names.answer = answer(before)
        async with started(Quick("udp://statsd.example")) as transport:
            await until(lambda: transport.ready)
            assert transport.send(b"x:1|c")
            assert await received(before) == b"x:1|c"
            names.answer = answer(after)
            await sent(transport, after)
            assert transport.errors == 0


async def test_while_no_name_is_known_the_last_address_is_good(names: Names) -> None:
    with listening() as receiver:
        names.answer = answer(receiver)
        async with started(Quick("udp://statsd.example")) as transport:
            await until(lambda: transport.ready)
            names.answer = OSError("no name server")
            await until(lambda: transport.errors >= 2)
            assert transport.send(b"x:1|c")
            assert await received(receiver) == b"x:1|c"


async def test_the_age_of_an_address_is_that_of_its_last_confirmation(names: Names) -> None:
    with listening() as receiver:
        names.answer = answer(receiver)
        async with started(Quick("udp://statsd.example")) as transport:
            await until(lambda: names.asked >= 3)
            names.answer = OSError("no name server")
            await until(lambda: transport.errors)
            age = transport.address_age
            await until(lambda: transport.address_age > age + 0.05)
            names.answer = answer(receiver)
            await until(lambda: transport.address_age < age + 0.05)


async def test_the_same_address_keeps_its_socket(names: Names) -> None:
    with listening() as receiver, listening() as other:
        names.answer = answer(receiver, other)
        async with started(Quick("udp://statsd.example")) as transport:
            await until(lambda: transport.ready)
            port = transport._socket.getsockname()
            names.answer = answer(other, receiver)
            asked = names.asked
            await until(lambda: names.asked >= asked + 2)
            assert transport._socket.getsockname() == port


# ------------------------------------------------------------------------------------------ what goes wrong


@ICMP
async def test_nobody_listening_is_noticed_and_so_is_who_comes() -> None:
    with listening() as nobody:
        address, url = nobody.getsockname(), url_of(nobody)
    told: list[BaseException] = []
    async with started(Quick(url, note=told.append)) as transport:
        await until(lambda: transport.send(b"x:1|c", 5) and transport.errors)
        assert isinstance(told[0], ConnectionRefusedError)
        assert transport.dropped["refused"] >= 5
        with listening(address=address) as somebody:
            await sent(transport, somebody)
            errors = transport.errors
            assert transport.send(b"y:1|c")
            assert await received(somebody) == b"y:1|c"
            assert transport.errors == errors


@ICMP
async def test_what_is_refused_is_the_datagram_before_and_this_one_is_sent() -> None:
    with listening() as nobody:
        address, url = nobody.getsockname(), url_of(nobody)
    async with started(Transport(url)) as transport:
        assert transport.send(b"lost:1|c", 7)
        with listening(address=address) as somebody:
            assert transport.send(b"x:1|c", 2)
            assert await received(somebody) == b"x:1|c"
        assert dropped(transport) == {"refused": 7}
        assert (transport.errors, transport.datagrams) == (1, 2)


@ICMP
async def test_a_datagram_is_refused_once() -> None:
    class Refusing(socket.socket):
        def send(self, *_: object) -> int:
            raise ConnectionRefusedError

    with listening() as receiver:
        async with started(Transport(url_of(receiver))) as transport:
            assert transport.send(b"x:1|c", 5)
            with transport._socket, Refusing() as transport._socket:
                assert not transport.send(b"x:1|c", 2)
                assert dropped(transport) == {"refused": 7}
                assert not transport.send(b"x:1|c", 1)
                assert dropped(transport) == {"refused": 8}


@UNIX
async def test_a_unix_socket_says_itself_that_nobody_listens(tmp_path: Path) -> None:
    with listening(socket.AF_UNIX, str(tmp_path / "statsd")) as receiver:
        transport = Transport(url_of(receiver))
        await transport.start()
        assert transport.send(b"x:1|c", 9)
    assert not transport.send(b"x:1|c", 4)
    assert dropped(transport) == {"refused": 4}
    assert transport.errors == 1
    await transport.close()


@ICMP
async def test_of_several_addresses_the_one_is_found_that_listens(names: Names) -> None:
    with listening() as nobody:
        away = answer(nobody)
    with listening() as somebody:
        names.answer = [*away, *answer(somebody)]
        async with started(Quick("udp://statsd.example")) as transport:
            await sent(transport, somebody)
            refusals = transport.errors
            await asyncio.sleep(3 * Quick.refresh)
            await sent(transport, somebody, b"y:1|c")
            assert transport.errors == refusals


async def test_an_address_that_cannot_be_reached_is_passed_over(names: Names) -> None:
    with listening() as receiver:
        odd = (socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("255.255.255.255", 8125))
        names.answer = [odd, *answer(receiver)]
        async with started(Quick("udp://statsd.example")) as transport:
            await sent(transport, receiver)
            names.answer = [odd]
            await until(lambda: not transport.ready)
            assert transport.errors


@UNIX
@pytest.mark.skipif(sys.platform != "linux", reason="the others drop at a full reader")
async def test_a_full_buffer_drops_counts_and_goes_on(tmp_path: Path) -> None:
    with listening(socket.AF_UNIX, str(tmp_path / "statsd")) as receiver:
        async with started(Transport(url_of(receiver))) as transport:
            taken = 0
            while transport.send(b"x" * 1000, 4):
                taken += 1
            assert not transport.send(b"x" * 1000, 4)
            assert dropped(transport) == {"buffer": 8}
            assert (transport.datagrams, transport.errors) == (taken, 0)
            for _ in range(taken):
                assert await received(receiver) == b"x" * 1000
            assert transport.send(b"y:1|c")
            assert await received(receiver) == b"y:1|c"


async def test_what_no_datagram_holds_is_dropped_alone(receiver: socket.socket) -> None:
    async with started(Transport(url_of(receiver))) as transport:
        assert not transport.send(b"x" * 4_000_000, 9)
        assert dropped(transport) == {"too_long": 9}
        assert transport.errors == 0
        assert transport.send(b"y:1|c")
        assert await received(receiver) == b"y:1|c"


async def test_a_name_of_65_kb_is_dropped_alone() -> None:
    with listening() as receiver:
        async with started(Transport(url_of(receiver))) as transport:
            assert not transport.send(b"x" * 65_536 + b":1|c")
            assert dropped(transport) == {"too_long": 1}
            assert transport.send(b"y:1|c")
            assert await received(receiver) == b"y:1|c"


@UNIX
async def test_a_unix_socket_that_is_not_there_yet_is_found_when_it_is(tmp_path: Path) -> None:
    path = tmp_path / "stats d"
    async with started(Quick(f"unixgram://{str(path).replace(' ', '%20')}")) as transport:
        await until(lambda: transport.errors >= 2)
        assert not transport.send(b"x:1|c")
        assert dropped(transport) == {"unresolved": 1}
        with listening(socket.AF_UNIX, str(path)) as receiver:
            await sent(transport, receiver)
        path.unlink()
        assert not transport.send(b"x:1|c")
        assert not transport.send(b"x:1|c")
        assert transport.dropped["refused"] >= 1
        with listening(socket.AF_UNIX, str(path)) as receiver:
            await sent(transport, receiver)


# ------------------------------------------------------------------------------------------ the end


async def test_after_the_close_there_is_no_socket_and_no_task(receiver: socket.socket) -> None:
    transport = Transport(url_of(receiver))
    await transport.start()
    await transport.start()
    assert len(asyncio.all_tasks()) == 2
    kept = transport._socket
    await transport.close()
    await transport.close()
    assert len(asyncio.all_tasks()) == 1
    assert kept.fileno() == -1
    assert not transport.send(b"x:1|c", 2)
    assert dropped(transport) == {"closed": 2}
    await transport.start()
    assert len(asyncio.all_tasks()) == 1
    assert not transport.ready


async def test_a_transport_that_never_started_closes() -> None:
    transport = Transport("udp://127.0.0.1:8125")
    assert not transport.send(b"x:1|c")
    await transport.close()
    await transport.start()
    assert not transport.ready


def test_it_needs_no_reader_so_any_loop_will_do() -> None:
    class NoReaders(asyncio.SelectorEventLoop):
        def add_reader(self, *_: object) -> None:
            raise NotImplementedError  # as Windows' usual loop does

        add_writer = add_reader

    async def send() -> None:
        with listening() as receiver:
            async with started(Transport(url_of(receiver))) as transport:
                assert transport.send(b"x:1|c")
            assert receiver.recv(100) == b"x:1|c"

    with asyncio.Runner(loop_factory=NoReaders) as runner:
        runner.run(send())
