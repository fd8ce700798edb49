from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import statistics
import struct
import time
import zlib
from collections.abc import AsyncIterator, Callable

import aiohttp
import prometheus_client
import pytest
from aiohttp import web
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from argus_exporter import catalogue
from argus_exporter.catalogue import Counter, Gauge, Histogram, Label
from argus_exporter.exposition import page as page_module
from argus_exporter.exposition import reply as reply_module
from argus_exporter.exposition.negotiate import OPENMETRICS, TEXT
from argus_exporter.exposition.page import ADMITTED, Page
from argus_exporter.exposition.registry import UserRegistry
from argus_exporter.instruments import Instruments

N = Label("n", 90_000, "a test")
ORDERS = Counter("orders_total", "Orders.", "test", (N,))
DEPTH = Gauge("depth", "Depth.", "test", (N,))
WAIT = Histogram("wait_seconds", "Wait.", "test", (Label("n", 5000, "a test"),), edges=(0.1, 0.5, 1.0, 2.5))


class House:
    """A page over real HTTP, in an application that a user could have."""

    def __init__(self, *, turn: float = 0.001, user_registry: bool = False) -> None:
        self.instruments = Instruments({"bot": "b"})
        self.errors: list[tuple[str, BaseException]] = []
        self.samples = 0
        self.sampling: Callable[[], None] = lambda: None
        theirs = UserRegistry(self.instruments, self.error) if user_registry else None
        self.page = Page(self.instruments, sample=self.sample, errors=self.error, registry=theirs, turn=turn)
        self.port = 0

    def error(self, noun: str, error: BaseException) -> None:
        self.errors.append((noun, error))

    def sample(self) -> None:
        self.samples += 1
        self.sampling()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/metrics"

    def fill(self, series: int) -> None:
        orders = self.instruments.counter(ORDERS)
        for n in range(series):
            orders.labels(str(n)).value = n

    def scrapes(self) -> float:
        return self.instruments.counter(catalogue.SCRAPES_TOTAL).labels().value

    async def text(self, *, openmetrics: bool = False, compress: bool = False) -> str:
        body = b"".join(await self.page.render(openmetrics=openmetrics, compress=compress))
        return (gzip.decompress(body) if compress else body).decode()


@contextlib.asynccontextmanager
async def served(house: House) -> AsyncIterator[House]:
    app = web.Application()
    app.router.add_route("*", "/metrics", house.page.handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    house.port = runner.addresses[0][1]
    try:
        yield house
    finally:
        await runner.cleanup()
        house.page.close()


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with served(House()) as house:
        yield house


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.002)


# ------------------------------------------------------------------------------------------ what is served


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize("openmetrics", [False, True])
async def test_a_scrape_gets_the_format_and_the_encoding_that_it_asks_for(
    house: House, http: aiohttp.ClientSession, *, openmetrics: bool, encoding: str
) -> None:
    house.fill(3000)
    accept = "application/openmetrics-text;version=1.0.0" if openmetrics else "text/plain"
    async with http.get(house.url, headers={"Accept": accept, "Accept-Encoding": encoding}) as response:
        body = await response.read()
    assert response.status == 200
    assert response.headers["Content-Type"] == (OPENMETRICS if openmetrics else TEXT)
    assert response.headers.get("Content-Encoding") == (None if encoding == "identity" else "gzip")
    assert int(response.headers["Content-Length"]) == len(body)
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Vary"] == "Accept, Accept-Encoding"
    text = (body if encoding == "identity" else gzip.decompress(body)).decode()
    assert text.endswith("# EOF\n") is openmetrics
    families = {family.name: family for family in (parse_openmetrics if openmetrics else parse_text)(text)}
    assert [sample.value for sample in families["orders"].samples] == list(range(3000))


async def test_accept_headers_that_come_in_several_lines_are_one(house: House, http: aiohttp.ClientSession) -> None:
    headers = [("Accept", "text/plain;q=0.5"), ("Accept", "application/openmetrics-text")]
    async with http.get(house.url, headers=headers) as response:
        assert response.headers["Content-Type"] == OPENMETRICS


async def test_the_gauges_are_brought_up_to_date_before_each_page(house: House) -> None:
    house.sampling = lambda: house.instruments.gauge(DEPTH).labels("a").set(house.samples)
    assert 'depth{bot="b",n="a"} 1\n' in await house.text()
    assert 'depth{bot="b",n="a"} 2\n' in await house.text()


async def test_a_head_says_what_a_get_would_and_renders_nothing(house: House, http: aiohttp.ClientSession) -> None:
    async with http.head(house.url, headers={"Accept-Encoding": "gzip"}) as response:
        assert await response.read() == b""
    assert response.status == 200
    assert response.headers["Content-Type"] == TEXT
    assert response.headers["Content-Encoding"] == "gzip"
    assert "Content-Length" not in response.headers
    assert "Transfer-Encoding" not in response.headers
    assert (house.samples, house.scrapes()) == (0, 0)
    async with http.get(house.url) as response:
        assert response.status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_another_method_is_not_allowed(house: House, http: aiohttp.ClientSession, method: str) -> None:
    async with http.request(method, house.url) as response:
        assert await response.text() == "405: only GET, HEAD\n"
    assert response.status == 405
    assert response.headers["Allow"] == "GET, HEAD"
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert (house.samples, house.scrapes()) == (0, 0)


async def test_an_http_1_0_client_is_served(house: House) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    assert f"Content-Length: {len(body)}".encode() in head
    assert b"argus_exporter_scrapes_total" in body


async def test_the_pages_that_were_served_are_counted_and_timed(house: House, http: aiohttp.ClientSession) -> None:
    house.fill(20_000)
    for expected in range(3):
        async with http.get(house.url, headers={"Accept-Encoding": "identity"}) as response:
            assert f'argus_exporter_scrapes_total{{bot="b"}} {expected}\n' in await response.text()
    seconds = house.instruments.gauge(catalogue.RENDER_SECONDS).labels().value
    assert seconds is not None
    assert 0 < seconds < 5


async def test_the_time_that_a_page_waits_is_not_counted(house: House) -> None:
    house.page._turn = 0  # type: ignore[misc]
    house.fill(2000)
    rendering = asyncio.create_task(house.text())
    loop = asyncio.get_running_loop()
    for _ in range(3):
        await asyncio.sleep(0)
    loop.call_soon(time.sleep, 1)
    await rendering
    seconds = house.instruments.gauge(catalogue.RENDER_SECONDS).labels().value
    assert seconds is not None
    assert seconds < 0.9


async def test_an_error_of_ours_is_answered_500_and_reported(house: House, http: aiohttp.ClientSession) -> None:
    house.sampling = lambda: 1 / 0  # type: ignore[assignment,return-value]
    async with http.get(house.url) as response:
        assert await response.text() == "500: the exporter failed; the bot's log says why\n"
    assert response.status == 500
    assert [(noun, type(error)) for noun, error in house.errors] == [("exporter", ZeroDivisionError)]
    assert house.scrapes() == 0
    house.sampling = lambda: None
    async with http.get(house.url) as response:
        assert response.status == 200


# ------------------------------------------------------------------------------------------ the user's registry


@pytest.mark.parametrize("openmetrics", [False, True])
async def test_the_users_metrics_stand_on_the_same_page_before_its_end(*, openmetrics: bool) -> None:
    gauge = prometheus_client.Gauge("users_own_page_test", "Own.")
    house = House(user_registry=True)
    try:
        gauge.set(4)
        text = await house.text(openmetrics=openmetrics)
    finally:
        prometheus_client.REGISTRY.unregister(gauge)
        house.page.close()
    names = [family.name for family in (parse_openmetrics if openmetrics else parse_text)(text)]
    assert len(names) == len(set(names))
    assert {"users_own_page_test", "argus_exporter_scrapes", "python_info"} <= set(names)
    assert "users_own_page_test 4.0\n" in text
    assert text.count("# EOF") == openmetrics


async def test_the_users_registry_can_be_left_off_the_page() -> None:
    assert "python_info" not in await House(user_registry=False).text()


# ------------------------------------------------------------------------------------------ the loop is the bot's


async def test_a_histogram_is_never_torn_while_it_is_observed() -> None:
    house = House(turn=0)
    cells = [house.instruments.histogram(WAIT).labels(str(n)) for n in range(400)]
    pages: list[str] = []

    async def observe() -> None:
        step = 0
        while len(pages) < 6:
            for cell in cells[step % 7 :: 7]:
                cell.observe(step % 5 * 0.7)
            step += 1
            await asyncio.sleep(0)

    observing = asyncio.create_task(observe())
    for compress in (False, True) * 3:
        pages += [await house.text(compress=compress)]
    await observing
    seen: set[float] = set()
    for page in pages:
        (wait,) = (family for family in parse_text(page) if family.name == "wait_seconds")
        for start in range(0, len(wait.samples), 7):
            lines = {sample.name: sample for sample in wait.samples[start : start + 7]}
            count = lines["wait_seconds_count"]
            buckets = [each for each in wait.samples[start : start + 7] if "le" in each.labels]
            values = [bucket.value for bucket in buckets]
            assert len(lines) == 3
            assert values == sorted(values)
            assert buckets[-1].labels["le"] == "+Inf"
            assert buckets[-1].value == count.value
            seen.add(count.value)
    assert len(wait.samples) == 400 * 7
    assert len(seen) > 6, "nothing was observed in between"


async def test_series_and_families_that_come_between_two_slices_spoil_nothing() -> None:
    house = House(turn=0)
    house.fill(1500)
    orders = house.instruments.counter(ORDERS)
    rendering = asyncio.create_task(house.text())
    added = 0
    while not rendering.done():
        orders.labels(f"new{added}").value += 1
        house.instruments.gauge(Gauge(f"fresh{added}", "Fresh.", "test")).labels().set(1)
        added += 1
        await asyncio.sleep(0)
    assert added > 5
    for page in (await rendering, await house.text()):
        names = [family.name for family in parse_text(page)]
        assert len(names) == len(set(names))
    assert page.count("orders_total{") == 1500 + added
    assert page.count("# TYPE fresh") == added


async def test_the_loop_is_handed_back_about_every_millisecond() -> None:
    """Half of the turns at most may be long: a machine at work stretches any of them."""
    house = House()
    house.fill(50_000)
    turns: list[float] = []

    async def watch() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0)
            turns.append(time.perf_counter() - began)

    for compress in (False, False, True):
        watching = asyncio.create_task(watch())
        await house.text(compress=compress)
        watching.cancel()
        assert len(turns) > 5
        assert statistics.median(turns) < 0.01
        turns.clear()


async def test_only_one_page_is_rendered_at_a_time() -> None:
    """Two turns in one round of the loop would hold it for twice as long."""
    house = House(turn=0)
    house.fill(3000)
    at_work: list[int] = []
    house.sampling = lambda: at_work.append(sum(not task.done() for task in tasks))
    tasks = [asyncio.create_task(house.text()) for _ in range(4)]
    await asyncio.gather(*tasks)
    assert at_work == [4, 3, 2, 1]


# ------------------------------------------------------------------------------------------ many, slow and gone clients


async def test_scrapers_at_the_same_time_each_get_a_whole_page(house: House) -> None:
    house.fill(2000)

    async def scrape(http: aiohttp.ClientSession, index: int) -> str:
        headers = {"Accept": "application/openmetrics-text" if index % 2 else "*/*"}
        async with http.get(house.url, headers=headers) as response:
            assert response.status == 200
            return await response.text()

    async with aiohttp.ClientSession() as http:
        pages = await asyncio.gather(*(scrape(http, index) for index in range(40)))
    for index, page in enumerate(pages):
        families = {family.name: family for family in (parse_openmetrics if index % 2 else parse_text)(page)}
        assert len(families["orders"].samples) == 2000
    assert house.scrapes() == 40


async def test_beyond_the_bound_a_scraper_is_told_to_come_again(house: House) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http, house.page._rendering:

        async def scrape() -> int:
            async with http.get(house.url) as response:
                await response.read()
                return response.status

        waiting = [asyncio.create_task(scrape()) for _ in range(ADMITTED)]
        await until(lambda: house.page._admitted == ADMITTED)
        async with http.get(house.url) as response:
            assert response.status == 503
            assert response.headers["Retry-After"] == "5"
            assert await response.text() == "503: 65 scrapes at once already\n"
            assert house.instruments.counter(catalogue.REQUESTS_REFUSED_TOTAL).labels("busy").value == 1
        house.page._rendering.release()
        try:
            assert await asyncio.gather(*waiting) == [200] * ADMITTED
        finally:
            await house.page._rendering.acquire()
    assert house.scrapes() == ADMITTED
    assert house.page._admitted == 0


def raw_client(port: int) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    client.connect(("127.0.0.1", port))
    client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    return client


def read_all(client: socket.socket) -> bytes:
    """What still comes; a connection that is dropped ends with or without a reset, as the system likes."""
    taken = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := client.recv(1 << 20):
            taken += piece
    return taken


async def test_a_client_that_stops_reading_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reply_module.Reply.send, "__kwdefaults__", {"within": 0.5})
    async with served(House()) as house:
        house.fill(90_000)
        client = raw_client(house.port)
        try:
            await until(lambda: house.page._admitted == 1)
            await until(lambda: house.page._admitted == 0)
            client.settimeout(10)
            taken = await asyncio.to_thread(read_all, client)
            assert 0 < len(taken) < int(taken.partition(b"Content-Length: ")[2].split()[0])
        finally:
            client.close()
        assert (house.scrapes(), house.errors) == (0, [])


async def test_the_last_kilobytes_are_waited_for_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a transport's usual limits they would stay in it, for as long as the client likes."""
    monkeypatch.setattr(reply_module.Reply.send, "__kwdefaults__", {"within": 0.5})
    buffers = []
    async with served(House()) as house:

        class Watched(reply_module.Reply):
            async def send(self, request: web.BaseRequest, *, within: float = 0.5) -> bool:
                assert request.transport is not None
                transport: asyncio.WriteTransport = request.transport
                peer = transport.get_extra_info("socket")
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
                taken = await super().send(request, within=within)
                buffers.append((taken, transport.get_write_buffer_size()))
                return taken

        monkeypatch.setattr(page_module, "Reply", Watched)
        house.fill(1200)
        client = raw_client(house.port)
        try:
            await until(lambda: bool(buffers))
        finally:
            client.close()
    assert buffers == [(False, 0)]


async def test_the_transports_limits_are_put_back(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[tuple[int, int]] = []

    class Watched(reply_module.Reply):
        async def send(self, request: web.BaseRequest, *, within: float = 30) -> bool:
            taken = await super().send(request, within=within)
            assert request.transport is not None
            limits.append(request.transport.get_write_buffer_limits())  # type: ignore[attr-defined]
            return taken

    monkeypatch.setattr(page_module, "Reply", Watched)
    async with aiohttp.ClientSession() as http, http.get(house.url) as response:
        assert response.status == 200
    assert limits == [(16384, 65536)]


@pytest.mark.parametrize("at", ["render", "send"])
async def test_a_client_that_goes_away_leaves_nothing(at: str) -> None:
    async with served(House(turn=0)) as house:
        house.fill(90_000 if at == "send" else 20_000)
        before = asyncio.all_tasks()
        client = raw_client(house.port)
        await until(lambda: house.page._admitted == 1)
        if at == "send":
            await until(lambda: not house.page._rendering.locked() and house.samples == 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        await until(lambda: house.page._admitted == 0)
        await until(lambda: asyncio.all_tasks() == before)
        assert not house.page._rendering.locked()
        assert (house.scrapes(), house.errors) == (0, [])
        assert "orders_total" in await house.text()


async def test_a_compressed_page_is_one_gzip_stream_made_at_the_fastest_level() -> None:
    house = House()
    house.fill(5000)
    chunks = await house.page.render(openmetrics=False, compress=True)
    stream = zlib.decompressobj(31)
    text = b"".join(map(stream.decompress, chunks))
    assert stream.eof
    assert stream.unused_data == b""
    assert text.count(b"orders_total{") == 5000
    assert chunks[0][8] == 4, "RFC 1952: XFL 4 is the fastest"


async def test_a_page_comes_in_chunks_that_are_neither_small_nor_large() -> None:
    house = House()
    house.fill(20_000)
    for n in range(200):
        house.instruments.gauge(Gauge(f"small{n}", "Small.", "test")).labels().set(n)
    sizes = [len(chunk) for chunk in await house.page.render(openmetrics=True, compress=False)]
    assert len(sizes) > 10
    assert all(32 * 1024 <= size < 64 * 1024 for size in sizes[:-1])


async def test_a_page_that_is_closed_serves_on_and_closes_again() -> None:
    house = House(user_registry=True)
    house.page.close()
    assert "python_info" in await house.text()
    house.page.close()
    House(user_registry=False).page.close()
