"""While nobody accepts on a listening socket, the door does; and it takes nobody's connection after that."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from argus_exporter.exposition import door as door_module
from argus_exporter.exposition.door import Door

ANSWER = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


@contextlib.contextmanager
def standing(listening: list[socket.socket], still: Callable[[], bool] | None = None) -> Iterator[Door]:
    closed = threading.Event()
    door = Door(lambda: listening, lambda: None)
    arguments = (still or (lambda: not closed.is_set()), lambda: ANSWER)
    thread = threading.Thread(target=door.stand, args=arguments)
    thread.start()
    try:
        yield door
    finally:
        closed.set()
        thread.join(10)
        assert not thread.is_alive()


def ask(listening: socket.socket, request: bytes = b"GET / HTTP/1.1\r\n\r\n") -> bytes:
    with socket.create_connection(listening.getsockname(), timeout=10) as client:
        client.sendall(request)
        return b"".join(iter(lambda: client.recv(4096), b""))


def free_again(door: Door, places: int) -> None:
    """Wait until every place is free."""
    deadline = time.monotonic() + 10
    while door._places._value != places:  # type: ignore[attr-defined]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_whoever_comes_has_the_answer_whatever_they_ask(listening: socket.socket) -> None:
    with standing([listening]):
        assert ask(listening) == ANSWER
        assert ask(listening, b"GET / HTTP/1.1\r\nX: " + b"y" * 10_000 + b"\r\n\r\n") == ANSWER
        assert ask(listening, b"HEAD / HTTP/1.1\r\n\r\n") == ANSWER.removesuffix(b"{}")
    assert listening.fileno() != -1
    assert listening.gettimeout() == 0


def test_who_says_nothing_is_cut_and_who_leaves_costs_nothing(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door_module, "READ_SECONDS", 0.2)
    monkeypatch.setattr(door_module, "CONNECTIONS", 2)
    with standing([listening]) as door, contextlib.ExitStack() as stack:
        for _ in range(6):
            stack.enter_context(socket.create_connection(listening.getsockname()))
        socket.create_connection(listening.getsockname()).close()
        assert ask(listening) == ANSWER
        free_again(door, 2)


def test_nobody_is_taken_from_who_turns_again_meanwhile(listening: socket.socket) -> None:
    asked = threading.Event()

    def still() -> bool:
        first = not asked.is_set()
        asked.set()
        return first

    with socket.create_connection(listening.getsockname()), standing([listening], still):
        assert asked.wait(10)
    with selectors.DefaultSelector() as selector:
        selector.register(listening, selectors.EVENT_READ)
        assert selector.select(10)
        listening.accept()[0].close()


def test_a_connection_that_somebody_else_took_takes_no_place(listening: socket.socket) -> None:
    taken: list[socket.socket] = []

    def still() -> bool:
        """The second question comes when somebody is there, and right before the door accepts."""
        with contextlib.suppress(BlockingIOError):
            asked.append(1)
            if len(asked) == 2:
                taken.append(listening.accept()[0])
        return len(asked) < 4

    asked: list[int] = []
    with socket.create_connection(listening.getsockname()), standing([listening], still) as door:
        while len(asked) < 4:
            time.sleep(0.01)
        free_again(door, door_module.CONNECTIONS)
    assert len(taken) == 1
    taken[0].close()


def test_without_a_server_there_is_nothing_to_do() -> None:
    with standing([]):
        time.sleep(0.1)


def test_a_system_without_threads_takes_nobody(listening: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    with standing([listening]) as door:
        start = threading.Thread.start

        def fail(self: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", fail)
        for _ in range(3):
            with contextlib.suppress(ConnectionError):
                assert ask(listening) == b""
        monkeypatch.setattr(threading.Thread, "start", start)
        assert ask(listening) == ANSWER
        free_again(door, door_module.CONNECTIONS)
