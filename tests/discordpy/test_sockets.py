"""Close codes and who began it, as a table of what discord.py and aiohttp leave behind; live in test_gateway.py."""

from __future__ import annotations

import time
import types
from typing import Any

import pytest

from argus_exporter.discordpy import Heart, is_fatal
from argus_exporter.discordpy.sockets import Socket, heart_of

SESSION = {"session_id": "abc"}
NO_SESSION = {"session_id": None}


def websocket(*, sent: int | None, received: int | None, closed: bool, closing: bool = True, **ws: Any) -> Any:
    socket = types.SimpleNamespace(close_code=received, closed=closed, _closing=closing)
    return types.SimpleNamespace(socket=socket, shard_id=None, _close_code=sent, **{**SESSION, **ws})


@pytest.mark.parametrize(
    ("facts", "code", "reason"),
    [
        ({"sent": 4000, "received": None, "closed": False}, 4000, ("4000", "server")),
        ({"sent": 1000, "received": None, "closed": False, **NO_SESSION}, 1000, ("1000", "server")),
        ({"sent": 1000, "received": None, "closed": False}, 1000, ("1000", "client")),
        ({"sent": None, "received": 4009, "closed": False}, 4000, ("4009", "server")),
        ({"sent": None, "received": 1000, "closed": False}, 4000, ("1000", "server")),
        ({"sent": None, "received": 1000, "closed": False, "closing": False}, 4000, ("1006", "server")),
        ({"sent": None, "received": 1006, "closed": True}, 4000, ("1006", "server")),
        ({"sent": None, "received": 1006, "closed": False}, 4000, ("4000", "client")),
        ({"sent": None, "received": 1006, "closed": False}, None, ("none", "client")),
        ({"sent": None, "received": None, "closed": False}, None, ("none", "client")),
        ({"sent": None, "received": None, "closed": True}, None, ("none", "server")),
    ],
    ids=["op 7", "op 9", "own", "frame", "frame 1000", "no frame", "lost", "read timed out", "left", "left new", "odd"],
)
def test_the_reason_of_a_close(facts: Any, code: int | None, reason: tuple[str, str]) -> None:
    assert Socket(websocket(**facts)).close_reason(code, closing=False) == reason


def test_an_aiohttp_that_does_not_tell_lost_from_closed_is_believed() -> None:
    ws = websocket(sent=None, received=1000, closed=True)
    del ws.socket._closing
    assert Socket(ws).close_reason(None, closing=False) == ("1000", "server")


@pytest.mark.parametrize(("closed", "code", "over"), [(False, None, False), (True, None, True), (False, 4000, True)])
def test_a_websocket_is_over_when_it_is_closed_or_has_a_code(closed: bool, code: int | None, over: bool) -> None:
    assert Socket(websocket(sent=None, received=code, closed=closed)).is_over is over


@pytest.mark.parametrize("age", [0.0, 50.0, 55.0, 60.0])
def test_4000_is_the_clients_where_nothing_came_for_the_heartbeat_timeout(age: float) -> None:
    beats = types.SimpleNamespace(_last_recv=time.perf_counter() - age, heartbeat_timeout=60.0)
    socket = Socket(websocket(sent=4000, received=None, closed=False, _keep_alive=beats))
    assert socket.close_reason(4000, closing=False)[1] == ("client" if age > 54 else "server")


def test_a_client_that_closes_has_begun_it() -> None:
    socket = Socket(websocket(sent=1000, received=None, closed=False, **NO_SESSION))
    assert socket.close_reason(1000, closing=True) == ("1000", "client")


@pytest.mark.parametrize(
    ("code", "fatal"), [("4004", True), ("4014", True), ("4009", False), ("none", False), ("²", False)]
)
def test_fatal_codes(code: str, fatal: bool) -> None:
    assert is_fatal(code) is fatal


def test_a_websocket_without_a_heartbeat_has_no_times() -> None:
    ws: Any = types.SimpleNamespace(open=True, is_ratelimited=lambda: False, sequence=3, _keep_alive=None)
    heart = heart_of(ws, is_open=True)
    assert (heart.open, heart.sequence, heart.latency, heart.last_ack, heart.answered) == (True, 3, None, None, None)
    assert not heart_of(ws, is_open=False).open


@pytest.mark.parametrize("latency", [float("inf"), float("nan")])
def test_before_the_first_ack_one_interval_before_the_first_heartbeat_counts_as_answered(latency: float) -> None:
    beats = types.SimpleNamespace(interval=41.25, _last_send=100.0, _last_ack=100.0, latency=latency)
    ws: Any = types.SimpleNamespace(open=True, is_ratelimited=lambda: False, sequence=3, _keep_alive=beats)
    heart = heart_of(ws, is_open=True)
    assert (heart.latency, heart.last_ack, heart.answered) == (None, None, 58.75)
    beats.interval = None
    assert heart_of(ws, is_open=True).answered == 100.0


def test_the_heartbeat_that_was_answered_went_out_one_latency_before_its_ack() -> None:
    beats = types.SimpleNamespace(interval=41.25, _last_send=141.0, _last_ack=100.5, latency=0.5)
    ws: Any = types.SimpleNamespace(is_ratelimited=lambda: True, sequence=3, _keep_alive=beats)
    assert heart_of(ws, is_open=True) == Heart(True, True, 3, 41.25, 141.0, 0.5, 100.5, 100.0)
    assert Heart() == Heart(False, False, None, None, None, None, None, None)


@pytest.mark.parametrize(("interval", "latency"), [(41.25, 0.5), (None, 41.75)])
def test_an_ack_that_comes_before_the_sending_is_noted_is_not_measured_from_the_heartbeat_before(
    interval: float | None, latency: float
) -> None:
    beats = types.SimpleNamespace(interval=interval, _last_send=141.76, _last_ack=141.75, latency=41.75)
    ws: Any = types.SimpleNamespace(is_ratelimited=lambda: False, sequence=3, _keep_alive=beats)
    heart = heart_of(ws, is_open=True)
    assert (heart.latency, heart.last_ack, heart.answered) == (latency, 141.75, 141.75 - latency)
