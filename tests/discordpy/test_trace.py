"""The public way sees what an adopter wants to see, and is nobody's burden without one."""

from __future__ import annotations

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

import argus_exporter
from argus_exporter.cog import attach
from argus_exporter.discordpy.trace import HttpTrace
from tests.clients import PlainBot


async def test_a_trace_that_nobody_adopts_does_nothing() -> None:
    async with TestServer(web.Application()) as server:
        async with aiohttp.ClientSession(trace_configs=[argus_exporter.http_trace()]) as session:
            async with session.get(server.make_url("/")) as response:
                assert response.status == 404


async def test_a_trace_is_adopted_by_what_it_has_and_given_back() -> None:
    class FromAnEarlierImport(aiohttp.TraceConfig):
        argus_exporter: object = None

    for trace in (HttpTrace(), FromAnEarlierImport()):
        exporter = attach(PlainBot(http_trace=trace), port="off", state_dir="off")
        assert trace.argus_exporter is exporter._view.wire
        assert exporter._view.wire.hooked
        await exporter.close()
        assert trace.argus_exporter is None


async def test_another_trace_of_the_users_is_left_alone() -> None:
    trace = aiohttp.TraceConfig()
    exporter = attach(PlainBot(http_trace=trace), port="off", state_dir="off")
    assert not hasattr(trace, "argus_exporter")
    assert not exporter._view.wire.hooked
    await exporter.close()


async def test_a_request_is_ended_by_the_one_that_began_it() -> None:
    told: list[object] = []

    class Sink:
        def begin(self, method: str, url: object, session: object) -> object:
            trace.argus_exporter = None
            return method, str(url)

        def end(self, exchange: object, response: aiohttp.ClientResponse | None) -> None:
            told.append((exchange, response and response.status))

    trace = HttpTrace()
    async with TestServer(web.Application()) as server:
        url = server.make_url("/")
        async with aiohttp.ClientSession(trace_configs=[trace]) as session:
            trace.argus_exporter = Sink()  # type: ignore[assignment]
            async with session.get(url):
                assert told == [(("GET", str(url)), 404)]
