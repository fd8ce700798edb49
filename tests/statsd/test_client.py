"""The client for a bot's own stats: alone, as statsd's is, and in an exporter."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import math
import re
import socket
import sys
import threading
import typing
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from statsd.client.base import StatsClientBase

from argus_exporter import Exporter, Settings
from argus_exporter.statsd import AsyncStatsClient, client, stats
from argus_exporter.statsd.encode import FLAVOURS
from argus_exporter.statsd.stats import MOST_KEPT
from argus_exporter.statsd.transport import LOCAL_LIMIT, Transport
from tests.clients import until, value, values
from tests.statsd.wires import Names, answer, listening, received, url_of

SNOWFLAKE = "123456789012345678"
THREADS, ROUNDS = 8, 100_000


class Colour(str, enum.Enum):  # noqa: UP042 - its str() is another
    RED = "red"


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with listening() as receiver:
        yield receiver


@pytest.fixture
async def stats_client(receiver: socket.socket) -> AsyncIterator[AsyncStatsClient]:
    """Flushes when it is closed."""
    made = AsyncStatsClient(url=url_of(receiver), interval=3600)
    await made.create_socket()
    yield made
    await made.close()


async def lines(made: AsyncStatsClient, receiver: socket.socket) -> list[str]:
    await made.close()
    return (await received(receiver)).decode().split("\n")


def arrived(receiver: socket.socket) -> list[str]:
    """All lines that are there."""
    found: list[str] = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found += receiver.recv(70_000).decode().split("\n")
    return found


def drained(made: AsyncStatsClient, flavour: str = "plain", prefix: str = "") -> list[str]:
    return [line.decode() for line in made.drain(FLAVOURS[flavour], prefix)]


# ------------------------------------------------------------------------------------------ as statsd's


async def test_it_takes_the_place_of_pydis_cores_client(receiver: socket.socket) -> None:
    host, port = receiver.getsockname()
    made = AsyncStatsClient(asyncio.get_running_loop(), host, port, "bot")
    assert isinstance(made, StatsClientBase)
    await made.create_socket()
    made.incr("commands.help")
    made.incr("commands.help")
    made.gauge("guilds", 5)
    assert await lines(made, receiver) == ["bot.commands.help:2|c", "bot.guilds:5|g"]


@pytest.mark.parametrize(
    ("tell", "are_sent"),
    [
        (lambda c: c.incr("x"), ["x:1|c"]),
        (lambda c: (c.incr("x"), c.incr("x", 5), c.incr("x", count=2)), ["x:8|c"]),
        (lambda c: c.incr("x", 1.5), ["x:1.5|c"]),
        (lambda c: c.incr("x", True), ["x:1|c"]),
        (lambda c: (c.incr("x"), c.incr("x", Decimal("0.5")), c.incr("x", 0.5)), ["x:2|c"]),
        (lambda c: c.incr("x", 10**30), [f"x:{10**30}|c"]),
        (lambda c: c.incr("x", -2), ["x:-2|c"]),
        (lambda c: (c.incr("x", 7), c.decr("x"), c.decr("x", 2)), ["x:7|c", "x:-3|c"]),
        (lambda c: c.decr("x", -2), ["x:2|c"]),
        (lambda c: [c.incr("x", rate=0.1) for _ in range(50)], ["x:50|c"]),
        (lambda c: c.incr(Colour.RED), ["red:1|c"]),
        (lambda c: c.gauge("x", -5), ["x:0|g", "x:-5|g"]),
        (lambda c: c.gauge("x", 3, delta=True), ["x:+3|g"]),
        (lambda c: c.gauge("x", -3, 1, True), ["x:-3|g"]),
        (lambda c: c.gauge("x", 2.5, rate=0.5), ["x:2.5|g"]),
        (lambda c: c.timing("x", 12.5), ["x:12.5|ms"]),
        (lambda c: c.timing("x", timedelta(seconds=2)), ["x:2000|ms"]),
        (lambda c: c.timing("x", 7, rate=0.5), ["x:7|ms"]),
        (lambda c: (c.set("x", "a"), c.set("x", "a"), c.set("x", 7)), ["x:a|s", "x:7|s"]),
        (lambda c: c.set("x", Colour.RED, rate=0.5), ["x:red|s"]),
        (lambda c: c.incr("é.ß"), ["=C3=A9.=C3=9F:1|c"]),
        (lambda c: c.incr("a:1|c\nb"), ["a=3A1=7Cc=0Ab:1|c"]),
        (lambda c: c.incr("x", tags={"b": "v.w", "a": 1}), ["x.1.v-2Ew:1|c"]),
        (lambda c: c.gauge("x", 1, tags={"a": "u"}), ["x.u:1|g"]),
        (lambda c: c.set("x", 1, tags={"a": "u"}), ["x.u:1|s"]),
        (lambda c: c.timing("x", 1, tags={"a": "u"}), ["x.u:1|ms"]),
        (lambda c: c.decr("x", tags={"a": "u"}), ["x.u:-1|c"]),
    ],
)
async def test_what_is_told_is_what_is_sent(
    stats_client: AsyncStatsClient,
    receiver: socket.socket,
    tell: Callable[[AsyncStatsClient], object],
    are_sent: list[str],
) -> None:
    tell(stats_client)
    assert await lines(stats_client, receiver) == are_sent


@pytest.mark.parametrize(
    ("tell", "error"),
    [
        (lambda c: c.incr(""), ValueError),
        (lambda c: c.incr("x" * 65_536), ValueError),
        (lambda c: c.incr(5), TypeError),
        (lambda c: c.incr(None), TypeError),
        (lambda c: c.incr([]), TypeError),
        (lambda c: c.incr(b"x"), TypeError),
        (lambda c: c.incr("x", math.nan), ValueError),
        (lambda c: c.incr("x", math.inf), ValueError),
        (lambda c: c.incr("x", 10**5000), ValueError),
        (lambda c: c.incr("x", "1"), TypeError),
        (lambda c: c.incr("x", b"1"), TypeError),
        (lambda c: c.incr("x", None), TypeError),
        (lambda c: c.decr("x", "1"), TypeError),
        (lambda c: c.incr("x", Decimal("1e999")), ValueError),
        (lambda c: c.incr("x", rate=0), ValueError),
        (lambda c: c.incr("x", rate=1.1), ValueError),
        (lambda c: c.incr("x", rate=-1), ValueError),
        (lambda c: c.incr("x", rate=math.nan), ValueError),
        (lambda c: c.incr("x", rate="1"), TypeError),
        (lambda c: c.incr("x", tags="a:b"), TypeError),
        (lambda c: c.incr("x", tags=["a:b"]), TypeError),
        (lambda c: c.incr("x", tags={"": "b"}), TypeError),
        (lambda c: c.incr("x", tags={1: "b"}), TypeError),
        (lambda c: c.incr("x", tags={"a" * 65_536: "b"}), TypeError),
        (lambda c: c.incr("x", tags={str(i): "b" for i in range(17)}), ValueError),
        (lambda c: c.gauge("x", math.nan), ValueError),
        (lambda c: c.gauge("x", "5"), TypeError),
        (lambda c: c.gauge("x", -math.inf, delta=True), ValueError),
        (lambda c: c.timing("x", math.nan), ValueError),
        (lambda c: c.timing("x", "5"), TypeError),
        (lambda c: c.set("x", None), TypeError),
        (lambda c: c.set("x", ["a"]), TypeError),
        (lambda c: c.set("x", 10**5000), ValueError),
        (lambda c: c.timer("x", rate=2), ValueError),
        (lambda c: c.timer("x", tags=1), TypeError),
    ],
)
@pytest.mark.parametrize("how", ["first", "known", "pipeline"])
def test_what_cannot_be_is_refused_where_it_is_told_in_one_line(
    tell: Callable[[Any], object], error: type[Exception], how: str
) -> None:
    made = AsyncStatsClient()
    if how == "known":
        made._adopt()
        made.incr("x", 0)
    with pytest.raises(error) as caught:
        tell(made.pipeline() if how == "pipeline" else made)
    assert 10 < len(str(caught.value)) < 250
    assert "\n" not in str(caught.value)
    assert drained(made) == []


@pytest.mark.parametrize("options", [{"flavour": "none"}, {"interval": 0}, {"interval": math.nan}, {"host": "a/b"}])
def test_options_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"flavour is one of|is no StatsD server"):
        AsyncStatsClient(**options)


@pytest.mark.parametrize(
    ("flavour", "line"),
    [
        ("plain", "bot.x.v:1|c"),
        ("graphite", "bot.x;k=v:1|c"),
        ("dogstatsd", "bot.x:1|c|#k:v"),
        ("influx", "bot.x,k=v:1|c"),
    ],
)
async def test_tags_are_spelled_in_every_flavour(receiver: socket.socket, flavour: str, line: str) -> None:
    made = AsyncStatsClient(prefix="bot", flavour=flavour, url=url_of(receiver))
    await made.create_socket()
    made.incr("x", tags={"k": "v"})
    assert await lines(made, receiver) == [line]


@given(
    name=st.text(min_size=1, max_size=20),
    tags=st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=8), max_size=3),
    number=st.floats(-1e100, 1e100),
    flavour=st.sampled_from(list(FLAVOURS)),
)
def test_no_text_forges_a_line_a_type_or_a_value(name: str, tags: dict[str, str], number: float, flavour: str) -> None:
    made = AsyncStatsClient()
    made.incr(name, 5, tags=tags)
    made.gauge(name, abs(number), tags=tags)
    made.timing(name, number, tags=tags)
    made.set(name, name, tags=tags)
    sent = drained(made, flavour)
    assert [re.sub(r"^[^|:\n]+:[\w.%~-]+\|(\w+)(\|#[^|\n]*)?$", r"\1", line) for line in sent] == ["c", "g", "ms", "s"]
    assert all(("|#" in line) <= (flavour == "dogstatsd") for line in sent)


def test_a_tag_of_65_kb_is_what_a_user_has_typed() -> None:
    made = AsyncStatsClient()
    made.incr("x", tags={"k": "v" * 65_536})
    assert drained(made) == ["x.other:1|c"]


def test_identities_are_no_tags(caplog: pytest.LogCaptureFixture) -> None:
    made = AsyncStatsClient()
    for _ in range(2):
        made.incr("x", tags={"item": SNOWFLAKE, "kind": "sword"})
        made.incr("x", tags={"item": int(SNOWFLAKE), "kind": "sword"})
        made.incr("x", tags={"item": None, "kind": "sword"})
        made.incr("y", tags={"guild_id": "7"})
    assert drained(made) == ["x.other.sword:6|c", "y.other:2|c"]
    assert len(caplog.records) == 4


def test_tags_are_what_they_say_also_where_python_finds_them_equal() -> None:
    made = AsyncStatsClient()
    for each in ("1", 1, True, 1.0):
        made.incr("x", tags={"k": each})
    assert drained(made) == ["x.1:2|c", "x.True:1|c", "x.1-2E0:1|c"]


def test_the_second_time_with_tags_is_as_the_first() -> None:
    made = AsyncStatsClient()
    made._adopt()
    for count in (1, 2, -3, 0.5):
        made.incr("x", count, tags={"a": "u", "b": "v"})
        made.incr("x", count, tags={"b": "v", "a": "u"})
        made.incr("x", count, tags={})
    assert drained(made) == ["x.u.v:7|c", "x:3.5|c", "x.u.v:-6|c", "x:-3|c"]


def test_the_tags_that_are_remembered_are_bounded_and_hold_no_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_KNOWN", 2)
    made = AsyncStatsClient()
    for each in (SNOWFLAKE, "a", "b", "c", "a"):
        made.incr("x", tags={"k": each})
    assert made._known == {(("k", "a"),): (("k", "a"),), (("k", "b"),): (("k", "b"),)}
    assert drained(made) == ["x.other:1|c", "x.a:2|c", "x.b:1|c", "x.c:1|c"]


def test_where_a_server_takes_whole_numbers_the_rest_waits() -> None:
    made = AsyncStatsClient()
    made.incr("x", 1.5)
    assert drained(made, "influx") == ["x:1|c"]
    made.incr("x", 0.5)
    assert drained(made, "influx") == ["x:1|c"]


# ------------------------------------------------------------------------------------------ timers, pipelines


async def test_a_timer_times_blocks_functions_and_coroutine_functions(
    stats_client: AsyncStatsClient, receiver: socket.socket
) -> None:
    @stats_client.timer("function")
    def function(word: str) -> str:
        return word * 2

    @stats_client.timer("coroutine", tags={"k": "v"})
    async def coroutine(word: str) -> str:
        await asyncio.sleep(0)
        raise LookupError(word)

    with stats_client.timer("block") as timer:
        pass
    stats_client.timer("started").start().stop()
    assert timer.ms >= 0
    assert function("a") == "aa"
    for _ in range(2):
        with pytest.raises(LookupError, match="b"):
            await coroutine("b")
    names = Counter(line.partition(":")[0] for line in await lines(stats_client, receiver))
    assert names == {"block": 1, "started": 1, "function": 1, "coroutine.v": 2}


def test_a_pipeline_tells_at_its_end_also_after_an_error() -> None:
    made = AsyncStatsClient()
    pipe = made.pipeline()
    with contextlib.suppress(LookupError), pipe as same:
        assert same is pipe
        pipe.incr("x", 2)
        pipe.gauge("y", -1)
        with pipe.timer("z"):
            pass
        with pipe.pipeline() as inner:
            inner.incr("x", tags={"guild_id": 5})
        assert drained(made) == []
        raise LookupError
    pipe.send()
    found = drained(made)
    assert found[:2] == ["x:2|c", "y:0|g\ny:-1|g"]
    assert found[2].startswith("z:")
    assert found[3:] == ["x.other:1|c"]


def test_a_pipeline_is_bounded_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MOST_PIPED", 10)
    made = AsyncStatsClient()
    pipe = made.pipeline()
    for _ in range(25):
        pipe.incr("x")
    assert drained(made) == ["x:20|c"]
    pipe.send()
    assert drained(made) == ["x:5|c"]


# ------------------------------------------------------------------------------------------ threads


def in_threads(do: Callable[[], object]) -> list[threading.Thread]:
    threads = [threading.Thread(target=do) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    return threads


@pytest.fixture
def _switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_switching")
@pytest.mark.parametrize("in_one_step", [True, False])
async def test_eight_threads_lose_nothing_while_their_sums_are_sent(
    receiver: socket.socket, monkeypatch: pytest.MonkeyPatch, in_one_step: bool
) -> None:
    if not in_one_step:
        monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    made = AsyncStatsClient(url=url_of(receiver), interval=0.01)
    made.incr("x")
    assert ("x" in made._counts) is in_one_step
    await made.create_socket()

    def tell() -> None:
        for _ in range(ROUNDS):
            made.incr("x")

    told, total = 1, 0
    threads = in_threads(tell)
    while any(thread.is_alive() for thread in threads):
        for _ in range(100):
            made.incr("x")
        told += 100
        await asyncio.sleep(0)
        total += sum(int(line[2:-2]) for line in arrived(receiver))
    await made.close()
    total += sum(int(line[2:-2]) for line in arrived(receiver))
    assert total == told + THREADS * ROUNDS


async def test_what_another_thread_sets_is_older_than_what_the_owner_sets_after_it(
    stats_client: AsyncStatsClient, receiver: socket.socket
) -> None:
    for thread in in_threads(lambda: (stats_client.gauge("x", 5), stats_client.gauge("y", 1, delta=True))):
        thread.join()
    stats_client.gauge("x", 7)
    assert await lines(stats_client, receiver) == ["x:7|g", f"y:+{THREADS}|g"]


# ------------------------------------------------------------------------------------------ the flush


async def test_what_was_told_before_the_start_is_sent_and_nothing_twice(receiver: socket.socket) -> None:
    made = AsyncStatsClient(url=url_of(receiver), interval=0.01)
    made.incr("x", 3)
    await made.create_socket()
    await made.create_socket()
    assert await received(receiver) == b"x:3|c"
    made.incr("x", 2)
    assert await received(receiver) == b"x:2|c"
    await made.close()
    assert arrived(receiver) == []
    assert len(asyncio.all_tasks()) == 1


def test_a_gauge_that_was_set_is_sent_again_after_a_while() -> None:
    made = AsyncStatsClient(refresh=1000)
    made.gauge("x", 5)
    assert [drained(made), drained(made)] == [["x:5|g"], []]
    made._again = 0
    assert [drained(made), drained(made)] == [["x:5|g"], []]
    assert AsyncStatsClient(refresh=None)._again == math.inf
    assert Exporter(quiet(statsd_refresh=7)).stats._refresh == 7


async def test_while_no_address_is_known_all_is_kept(
    names: Names, receiver: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Transport, "retry", 0.01)
    made = AsyncStatsClient(host="statsd.example", interval=0.01)
    made.incr("x")
    await made.create_socket()
    await until(lambda: names.asked)
    made.incr("x")
    made.gauge("y", 4)
    made.timing("z", 5)
    await until(lambda: names.asked >= 3)
    names.answer = answer(receiver)
    assert await received(receiver) == b"x:2|c\ny:4|g\nz:5|ms"
    await made.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only there is a full buffer certain")
async def test_what_a_full_buffer_refuses_is_sent_later(tmp_path: Path) -> None:
    with listening(socket.AF_UNIX, str(tmp_path / "statsd")) as slow:
        made = AsyncStatsClient(url=url_of(slow), interval=0.005)
        await made.create_socket()
        assert made._wire is not None
        while not made._wire.dropped["buffer"]:
            made.incr("x")
            made.gauge("y", -3)
            await asyncio.sleep(0)
        told = value_of(made)
        total = 0
        while total < told:
            for line in (await received(slow)).decode().split("\n"):
                total += int(line[2:-2]) if line.startswith("x:") else 0
        assert total == told
        await made.close()


def value_of(made: AsyncStatsClient) -> float:
    return made._counts["x"].value


async def test_a_flush_of_much_hands_the_loop_back_and_closing_meanwhile_loses_nothing(tmp_path: Path) -> None:
    with listening() as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        made = AsyncStatsClient(url=url_of(receiver), interval=0.005)
        for number in range(2500):
            made.incr(f"a.rather.long.name.of.a.stat.{number}")
        await made.create_socket()
        datagram = await received(receiver)
        assert 4000 < len(datagram) <= FLAVOURS["plain"].most < LOCAL_LIMIT
        found = [*datagram.decode().split("\n"), *arrived(receiver)]
        assert len(found) < 2500
        made.incr("x")
        await made.close()
        found += arrived(receiver)
    assert len(found) == 2501
    assert {line.partition(":")[2] for line in found} == {"1|c"}
    assert len(set(found)) == 2501


async def test_a_line_that_no_datagram_holds_is_counted(receiver: socket.socket) -> None:
    made = AsyncStatsClient(url=url_of(receiver), max_bytes=20)
    await made.create_socket()
    made.incr("x" * 30)
    made.incr("y")
    assert await lines(made, receiver) == ["y:1|c"]
    assert made.left_out == 1


async def test_a_flush_that_fails_is_not_the_last(
    receiver: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = AsyncStatsClient(url=url_of(receiver), interval=0.005)
    await made.create_socket()
    with monkeypatch.context() as patch:
        patch.setattr(made, "drain", lambda *_: 1 / 0)
        await until(lambda: caplog.records)
    made.incr("x")
    assert await received(receiver) == b"x:1|c"
    await made.close()
    assert [record.getMessage() for record in caplog.records] == [
        "StatsD: ZeroDivisionError: division by zero (not logged again)"
    ]


async def test_the_network_raises_nothing_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    with listening() as nobody:
        url = url_of(nobody)
    made = AsyncStatsClient(url=url, interval=0.005)
    await made.create_socket()
    assert made._wire is not None
    while made._wire.errors < 3:
        made.incr("x")
        await asyncio.sleep(0.005)
    await made.close()
    made.incr("x")
    assert len(caplog.records) == 1


# ------------------------------------------------------------------------------------------ the end


async def test_after_the_close_nothing_is_open_and_nothing_breaks(receiver: socket.socket) -> None:
    made = AsyncStatsClient(url=url_of(receiver))
    await made.create_socket()
    made.incr("x")
    await made.close()
    assert len(asyncio.all_tasks()) == 1
    made.incr("x")
    await made.close()
    await made.create_socket()
    assert len(asyncio.all_tasks()) == 1
    assert arrived(receiver) == ["x:1|c"]


async def test_a_close_that_nobody_awaits_sends_too(receiver: socket.socket) -> None:
    made = AsyncStatsClient(url=url_of(receiver))
    await made.create_socket()
    made.incr("x")
    made.close()
    assert arrived(receiver) == ["x:1|c"]
    await until(lambda: len(asyncio.all_tasks()) == 1)


async def test_a_client_that_was_never_started_closes() -> None:
    made = AsyncStatsClient()
    made.incr("x")
    await made.close()
    await made.create_socket()
    assert len(asyncio.all_tasks()) == 1


def test_a_bot_that_ends_without_closing_has_sent_all(receiver: socket.socket) -> None:
    async def bot() -> None:
        made = AsyncStatsClient(url=url_of(receiver))
        await made.create_socket()
        await asyncio.sleep(0)
        made.incr("x")

    asyncio.run(bot())
    assert arrived(receiver) == ["x:1|c"]


# ------------------------------------------------------------------------------------------ in an exporter


def quiet(**options: Any) -> Settings:
    return Settings(**{"port": 0, "state_dir": "off", "user_registry": False, **options})


@pytest.fixture
async def exporter() -> AsyncIterator[Exporter]:
    async with Exporter(quiet(bot="shop")) as exporter:
        yield exporter


async def scraped(exporter: Exporter) -> dict[str, float]:
    """The samples of the page, named as they stand there without the constant label."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{exporter.port}/metrics") as response:
        page = await response.text()
    return {
        sample.name + "".join(f" {key}={text}" for key, text in sample.labels.items() if key != "bot"): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def left_out(exporter: Exporter) -> float | None:
    return value(exporter.instruments, "argus_exporter_left_out_total", "statsd")


@pytest.mark.parametrize(
    ("tell", "on_the_page"),
    [
        (lambda c: (c.incr("commands.help"), c.incr("commands.help", 2.5)), {"commands_help_total": 3.5}),
        (lambda c: c.incr("commands.total"), {"commands_total": 1}),
        (lambda c: c.incr("_total"), {"_total_total": 1}),
        (lambda c: c.incr("7days"), {"_7days_total": 1}),
        (lambda c: c.incr("é-ß"), {"____total": 1}),
        (lambda c: c.incr("discord.joins"), {"statsd_discord_joins_total": 1}),
        (lambda c: (c.incr("x", 5), c.decr("x", 2)), {"x_total": 5, "x_decrements_total": 2}),
        (lambda c: c.incr("x", 0), {"x_total": 0}),
        (lambda c: c.incr("x", tags={"a-b": "c d"}), {"x_total a_b=c d": 1}),
        (lambda c: c.incr("x", tags={"item": SNOWFLAKE}), {"x_total item=other": 1}),
        (lambda c: c.incr("x", tags={"a": "1", "b": "2", "c": "3"}), {"x_total a=1 b=2 c=3": 1}),
        (lambda c: c.gauge("guilds", -5), {"guilds": -5}),
        (lambda c: (c.gauge("x", 5), c.gauge("x", -7, delta=True)), {"x": -2}),
        (lambda c: c.gauge("guild.count", 4), {"guild_count_value": 4}),
        (lambda c: c.timing("query", 250), {"query_seconds_sum": 0.25, "query_seconds_count": 1}),
        (lambda c: c.timing("query", 30, tags={"k": "v"}), {"query_seconds_bucket k=v le=0.05": 1}),
        (lambda c: c.timing("query.seconds", 250), {"query_seconds_sum": 0.25}),
    ],
)
async def test_what_is_told_is_on_the_page(
    exporter: Exporter, tell: Callable[[AsyncStatsClient], object], on_the_page: dict[str, float]
) -> None:
    tell(exporter.stats)
    for _ in range(2):
        page = await scraped(exporter)
        assert {name: page.get(name) for name in on_the_page} == on_the_page


async def test_the_page_says_where_a_metric_comes_from(exporter: Exporter) -> None:
    exporter.stats.incr("a.ß", tags={"k": "v"})
    exporter.stats.timing("b", 1)
    assert exporter.instruments.families["a___total"].metric.help == r"StatsD counter 'a.\xdf' by 'k'."
    assert exporter.instruments.families["b_seconds"].metric.help == "StatsD timing, in seconds, 'b'."
    assert exporter.stats.families == {"a___total", "b_seconds"}


async def test_a_set_is_on_the_page_as_the_distinct_values_of_the_last_interval() -> None:
    async with Exporter(quiet(statsd_interval=1)) as exporter:
        exporter.stats._turn = math.inf
        for each in ("a", "b", "a"):
            exporter.stats.set("authors", each)
        exporter.sample()
        assert value(exporter.instruments, "authors_distinct") == 0
        for distinct in (2, 0):
            exporter.stats._turn = 0
            exporter.sample()
            assert value(exporter.instruments, "authors_distinct") == distinct
            assert exporter.stats._book.room == MOST_KEPT
        exporter.stats.set("authors", "c")
        exporter.sample()
        assert value(exporter.instruments, "authors_distinct") == 0


async def test_with_statsd_on_a_flush_is_the_interval_and_while_there_is_none_the_page_has_all() -> None:
    exporter = Exporter(quiet(statsd_url="udp://127.0.0.1:9", statsd_interval=1))
    exporter.ledger.adopt()
    assert exporter.stats._interval == 1
    exporter.stats.set("authors", "a")
    exporter.stats.incr("x")
    exporter.stats._turn = 0
    exporter.stats.fold()
    assert value(exporter.instruments, "authors_distinct") == 1
    exporter.stats.set("authors", "b")
    exporter.stats._turn = 0
    assert drained(exporter.stats) == ["authors:a|s", "authors:b|s", "x:1|c"]
    exporter.stats.fold()
    assert value(exporter.instruments, "authors_distinct") == 2


@pytest.mark.parametrize(
    ("first", "second", "name"),
    [
        (lambda c: c.incr("a.b", 2), lambda c: c.incr("a_b"), "a_b_total"),
        (lambda c: c.incr("a", 2), lambda c: c.gauge("a", 1), "a_total"),
        (lambda c: c.incr("a", 2), lambda c: c.incr("a", tags={"k": "v"}), "a_total"),
        (lambda c: c.incr("a", 2), lambda c: c.incr(f"joins.{SNOWFLAKE}"), "a_total"),
        (lambda c: c.incr("a", 2), lambda c: c.timing("b", 1, tags={"le": "v"}), "a_total"),
        (lambda c: c.incr("a", 2), lambda c: c.set("b", 1, tags={"__k": "v"}), "a_total"),
        (lambda c: c.incr("a", 2), lambda c: c.incr("b", tags={"k.": "v", "k_": "w"}), "a_total"),
    ],
)
async def test_what_has_no_name_of_its_own_on_the_page_is_left_off_it_counted_and_sent(
    exporter: Exporter,
    caplog: pytest.LogCaptureFixture,
    first: Callable[[AsyncStatsClient], object],
    second: Callable[[AsyncStatsClient], object],
    name: str,
) -> None:
    first(exporter.stats)
    for _ in range(2):
        second(exporter.stats)
        exporter.sample()
    assert value(exporter.instruments, name) == 2
    assert exporter.stats.families == {name}
    assert left_out(exporter) == exporter.stats.left_out == 1
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "from the page" in record.getMessage()
    assert len(set(drained(exporter.stats))) == 2


async def test_the_log_is_no_flood(exporter: Exporter, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(100):
        exporter.stats.incr(f"a.{number}")
        exporter.stats.incr(f"a_{number}")
    assert left_out(exporter) == 100
    assert len(caplog.records) == 50


async def test_a_stat_gives_way_to_a_metric_of_the_bots_own(exporter: Exporter) -> None:
    exporter.counter("a_b_total", "The bot's.").inc(3)
    exporter.stats.incr("a.b")
    exporter.sample()
    assert value(exporter.instruments, "a_b_total") == 3
    assert exporter.stats.families == set()


async def test_identities_in_tags_are_counted(exporter: Exporter) -> None:
    exporter.stats.incr("x", tags={"item": SNOWFLAKE})
    exporter.stats.incr("x", tags={"user": "bob"})
    assert values(exporter.instruments, "argus_exporter_label_overflow_total") == {("statsd",): 2}


async def test_a_name_that_is_too_long_for_a_label_is_not_on_the_page(exporter: Exporter) -> None:
    exporter.stats.incr("x" * 129)
    assert exporter.stats.families == set()
    assert drained(exporter.stats) == ["x" * 129 + ":1|c"]


async def test_label_values_are_bounded_and_the_rest_is_other(
    exporter: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stats, "MOST_VALUES", 2)
    for each in "abcd":
        exporter.stats.incr("x", tags={"k": each})
    exporter.sample()
    assert values(exporter.instruments, "x_total") == {("a",): 1, ("b",): 1, ("other",): 2}


@pytest.mark.parametrize("flavour", ["graphite", "dogstatsd", "influx"])
async def test_constant_labels_are_tags_and_win(exporter: Exporter, flavour: str) -> None:
    exporter.stats.incr("x", tags={"bot": "mine", "k": "v"})
    head, tail = FLAVOURS[flavour].parts("p.x", [("bot", "shop"), ("k", "v")])
    assert drained(exporter.stats, flavour, "p") == [(head + b"1|c" + tail).decode()]


async def test_plain_names_stay_as_the_bot_gave_them(exporter: Exporter) -> None:
    exporter.stats.incr("commands.help")
    assert drained(exporter.stats, "plain", "p") == ["p.commands.help:1|c"]
    exporter.stats.incr("commands.help")
    assert drained(exporter.stats, "plain") == ["commands.help:1|c"]


async def test_a_change_of_a_gauge_is_a_value_in_dogstatsd_which_knows_no_changes(exporter: Exporter) -> None:
    exporter.stats.gauge("x", 4, delta=True)
    assert drained(exporter.stats, "dogstatsd") == ["x:4|g|#bot:shop"]


async def test_what_could_not_be_sent_is_said_again_and_other_lines_are_nothing_to_it(exporter: Exporter) -> None:
    exporter.stats.incr("a", 3)
    exporter.stats.gauge("b", -5)
    exporter.stats.gauge("c", 2, delta=True)
    exporter.stats.set("d", "e")
    exporter.stats.timing("f", 1)
    datagram = "\n".join(["strange:1|c", *drained(exporter.stats)]).encode()
    exporter.stats.undo(datagram)
    exporter.stats.undo(datagram)
    assert drained(exporter.stats) == ["a:3|c", "b:0|g\nb:-5|g", "c:+2|g", "d:e|s"]
    assert drained(exporter.stats) == []


async def test_a_drain_that_ends_in_between_has_told_what_it_gave(exporter: Exporter) -> None:
    for name in "abc":
        exporter.stats.incr(name)
    begun = exporter.stats.drain(FLAVOURS["plain"])
    assert next(begun) == b"a:1|c"
    exporter.stats.incr("b")
    typing.cast("Any", begun).close()
    assert drained(exporter.stats) == ["b:2|c", "c:1|c"]


@pytest.mark.usefixtures("_switching")
@pytest.mark.parametrize("runs", [True, False])
async def test_from_threads_the_page_has_all(runs: bool) -> None:
    exporter = Exporter(quiet())
    exporter.stats.incr("x")
    if runs:
        await exporter.start()

    def tell() -> None:
        for _ in range(ROUNDS // 50):
            exporter.stats.incr("x")
            exporter.stats.timing("y", 1000)

    threads = in_threads(tell)
    while any(thread.is_alive() for thread in threads):
        exporter.stats.incr("x", 0)
        if runs:
            exporter.sample()
        await asyncio.sleep(0)
    exporter.ledger.adopt()
    exporter.sample()
    assert value(exporter.instruments, "x_total") == THREADS * ROUNDS // 50 + 1
    cell: Any = exporter.instruments.families["y_seconds"].cells[()]
    assert sum(cell.counts) == THREADS * ROUNDS // 50
    await exporter.close()


async def test_who_does_not_own_the_cells_takes_nothing_over(exporter: Exporter) -> None:
    exporter.stats.gauge("x", 1)
    owner = exporter.stats._owner
    thread = threading.Thread(target=lambda: (exporter.stats.gauge("x", 2), exporter.stats.fold()))
    thread.start()
    thread.join()
    assert exporter.stats._owner == owner == threading.get_ident()
    assert value(exporter.instruments, "x") == 1
    exporter.sample()
    assert value(exporter.instruments, "x") == 2


def test_while_nobody_owns_the_cells_whoever_brings_them_up_to_date_has_the_lock() -> None:
    exporter = Exporter(quiet())
    exporter.stats.timing("x", 1000)
    thread = threading.Thread(target=exporter.stats.fold)
    with exporter.ledger.lock:
        thread.start()
        thread.join(0.1)
        assert thread.is_alive()
    thread.join()
    cell: Any = exporter.instruments.families["x_seconds"].cells[()]
    assert sum(cell.counts) == 1


async def test_the_bot_that_opens_and_closes_it_as_it_did_before_changes_nothing(exporter: Exporter) -> None:
    tasks = asyncio.all_tasks()
    await exporter.stats.create_socket()
    exporter.stats.close()
    await exporter.stats.close()
    assert asyncio.all_tasks() == tasks
    exporter.stats.incr("x")
    exporter.sample()
    assert value(exporter.instruments, "x_total") == 1
