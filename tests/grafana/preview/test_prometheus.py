"""What is asked of a Prometheus, and what becomes of a board's variables."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from grafana.preview.board import ALL, Board, Target, Variable, View
from grafana.preview.prometheus import Prometheus, Refused, resolve, variable_values

VALUES = {"job": ["a", "b"], "cluster": [], "__name__": ["x_seconds_bucket", "y_bucket", "x_seconds_bucket"]}
VIEW = View(1003, 1064, scrape=15)


class Server:
    """Answers as Prometheus does, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def answer(self, request: web.Request) -> web.Response:
        given: dict[str, Any] = dict(await request.post()) | dict(request.query)
        path = request.path.removeprefix("/api/v1/")
        self.asked.append((path, given))
        if given.get("query") == "broken(":
            return web.json_response({"status": "error", "error": "parse error"}, status=400)
        return web.json_response({"status": "success", "data": _data(path, given)})


def _data(path: str, given: dict[str, str]) -> Any:
    if path.startswith("label/"):
        return VALUES[path.split("/")[1]]
    if given["query"] == "1":
        return {"resultType": "scalar", "result": [1064, "1"]}
    series = {"metric": {"job": "a"}, "value": [1064, "2"], "values": [[1050, "NaN"], [1065, "2"]]}
    return {"resultType": "vector", "result": [series]}


@pytest_asyncio.fixture
async def server() -> AsyncIterator[tuple[Server, Prometheus]]:
    mine = Server()
    app = web.Application()
    app.router.add_route("*", "/api/v1/{tail:.+}", mine.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession() as http:
            yield mine, Prometheus(f"http://127.0.0.1:{runner.addresses[0][1]}/", http)
    finally:
        await runner.cleanup()


async def test_a_graph_is_asked_for_from_a_multiple_of_its_step(server: tuple[Server, Prometheus]) -> None:
    (found,) = await server[1].ask(Target("A", "up[$__interval]"), VIEW)
    span = {"start": "990.000", "end": "1064.000", "step": "15.000"}
    assert server[0].asked == [("query_range", {"query": "up[15s]", **span})]
    assert (dict(found.labels), found.last, len(found.points)) == ({"job": "a"}, 2, 2)


async def test_an_instant_is_the_end_of_the_time(server: tuple[Server, Prometheus]) -> None:
    (found,) = await server[1].ask(Target("A", "up", instant=True), VIEW)
    assert server[0].asked == [("query", {"query": "up", "time": "1064.000"})]
    assert found.points == ((1064, 2),)


async def test_a_scalar_is_a_series_without_labels(server: tuple[Server, Prometheus]) -> None:
    (found,) = await server[1].instant("1", 1064)
    assert (dict(found.labels), found.last) == ({}, 1)


async def test_what_the_server_says_against_a_query_is_raised(server: tuple[Server, Prometheus]) -> None:
    with pytest.raises(Refused, match=r"parse error: broken\("):
        await server[1].instant("broken(", 0)


async def test_variables_see_those_before_them_and_are_all_or_what_is_given(server: tuple[Server, Prometheus]) -> None:
    every = {"type": "query", "includeAll": True, "multi": True, "current": {"value": [ALL]}}
    raw = [
        {**every, "name": "job", "query": "label_values(up, job)"},
        {
            **every,
            "name": "cluster",
            "query": {"query": 'label_values(up{job=~"$job", x="$box"}, cluster)'},
            "allValue": ".*",
        },
        {"name": "slo", "type": "custom", "query": "0.9, 0.99", "current": {"value": "0.99"}},
        {"name": "box", "type": "textbox", "query": "", "current": {}},
        {"name": "source", "type": "datasource", "query": "prometheus", "current": {}},
    ]
    view = await resolve(Board({"templating": {"list": raw}}), server[1], VIEW, {"box": "7", "job": "b"})
    assert server[0].asked == [
        ("label/job/values", {"match[]": "up"}),
        ("label/cluster/values", {"match[]": 'up{job=~"b", x="7"}'}),
    ]
    assert view.variables == {
        "job": Variable("job", ("a", "b"), ("b",), several=True),
        "cluster": Variable("cluster", (), (ALL,), several=True, every=".*"),
        "slo": Variable("slo", ("0.9", "0.99"), ("0.99",)),
        "box": Variable("box", ("",), ("7",)),
        "source": Variable("source", ("prometheus",), ("prometheus",)),
    }


async def test_a_choice_that_is_not_there_any_more_becomes_the_first(server: tuple[Server, Prometheus]) -> None:
    raw = {"name": "job", "type": "query", "query": "label_values(job)", "current": {"value": "gone"}}
    view = await resolve(Board({"templating": {"list": [raw]}}), server[1], VIEW, {})
    assert view.variables["job"].chosen == ("a",)


async def test_a_regular_expression_picks_values(server: tuple[Server, Prometheus]) -> None:
    raw = {"type": "query", "query": "label_values(__name__)", "regex": "/(.*_seconds)_bucket/"}
    assert await variable_values(raw, server[1], VIEW) == ["x_seconds"]


async def test_other_functions_of_variables_are_said_to_be_none(server: tuple[Server, Prometheus]) -> None:
    with pytest.raises(Refused, match="magic"):
        await variable_values({"type": "query", "query": "magic(up)"}, server[1], VIEW)
