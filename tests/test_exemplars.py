"""The active trace of OpenTelemetry, from the span to the page."""

from __future__ import annotations

import asyncio
import builtins
import re
import typing
from typing import Any

import aiohttp
import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from argus_exporter import Exporter, SettingError
from argus_exporter.exemplars import active_trace
from argus_exporter.instruments import TracedCell
from tests.clients import values

if typing.TYPE_CHECKING:
    from collections.abc import Callable

OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0"}
TEXT = {"Accept": "text/plain;version=0.0.4"}


def raising(_: str, error: BaseException) -> None:
    raise error


def active() -> Callable[[], str]:
    source = active_trace(None, raising)
    assert source is not None
    return source


@pytest.fixture
def tracer() -> trace.Tracer:
    return TracerProvider().get_tracer("tests")


def test_the_trace_of_the_active_span_is_told_in_32_digits(tracer: trace.Tracer) -> None:
    assert active()() == ""
    with tracer.start_as_current_span("outer") as outer:
        told = active()()
        assert re.fullmatch("[0-9a-f]{32}", told)
        assert int(told, 16) == outer.get_span_context().trace_id
        with tracer.start_as_current_span("inner"):
            assert active()() == told
    assert active()() == ""


def test_leading_zeros_stay() -> None:
    context = trace.SpanContext(1, 1, is_remote=True, trace_flags=trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(context)):
        assert active()() == "0" * 31 + "1"


def test_a_trace_that_is_not_sampled_or_not_valid_is_none() -> None:
    with TracerProvider(sampler=ALWAYS_OFF).get_tracer("tests").start_as_current_span("dropped"):
        assert active()() == ""
    with trace.use_span(trace.NonRecordingSpan(trace.SpanContext(0, 0, False, trace.TraceFlags(1)))):
        assert active()() == ""


async def test_what_a_span_of_the_user_s_raises_is_counted_and_the_observation_too() -> None:
    class Broken(trace.NonRecordingSpan):
        def get_span_context(self) -> trace.SpanContext:
            raise LookupError("theirs")

    exporter = Exporter(port="off")
    with trace.use_span(Broken(trace.INVALID_SPAN_CONTEXT)):
        exporter.histogram("shop_seconds", "Time.").observe(1)
    assert values(exporter.instruments, "argus_exporter_collector_errors_total") == {("exporter",): 1}
    cell: Any = exporter.instruments.families["shop_seconds"].cells[()]
    assert cell.sum == 1
    assert not any(cell.exemplars)


def without_opentelemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def absent(name: str, *arguments: Any, **named: Any) -> Any:
        if name.startswith("opentelemetry"):
            raise ModuleNotFoundError(name)
        return found(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", absent)


def test_without_opentelemetry_there_are_none_and_wanting_them_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    without_opentelemetry(monkeypatch)
    assert active_trace(None, raising) is None
    with pytest.raises(SettingError, match=r"ARGUS_EXEMPLARS='on' is not allowed: OpenTelemetry is not installed"):
        Exporter(port="off", exemplars="on")


@pytest.mark.parametrize(("setting", "traced"), [("auto", True), ("on", True), ("off", False)])
def test_the_setting_decides_whether_cells_carry_them(setting: str, *, traced: bool) -> None:
    exporter = Exporter(port="off", exemplars=setting)
    exporter.histogram("shop_seconds", "Time.")
    assert isinstance(exporter.instruments.families["shop_seconds"].cells[()], TracedCell) == traced


async def test_observations_within_a_span_have_its_trace_on_the_openmetrics_page_alone(tracer: trace.Tracer) -> None:
    async with Exporter(port=0, user_registry=False, bot="b") as exporter, aiohttp.ClientSession() as http:

        @exporter.timed("shop_seconds", "Time.", edges=(30.0,))
        async def buy() -> None:
            await asyncio.sleep(0)

        with tracer.start_as_current_span("buy"):
            told = active()()
            await buy()
        await buy()
        exporter.histogram("shop_seconds", "Time.", edges=(30.0,)).observe(40, "given")
        with tracer.start_as_current_span("thread"):
            threads = active()()
            here = otel_context.get_current()
            await asyncio.to_thread(lambda: otel_context.attach(here) and exporter.record_command("buy", 0.5))

        async def page(headers: dict[str, str]) -> str:
            url = f"http://127.0.0.1:{exporter.port}/metrics"
            async with http.get(url, headers=headers) as response:
                return await response.text()

        openmetrics, text = await page(OPENMETRICS), await page(TEXT)
    number = r"\d+\.\d+(?:e-\d+)?"
    first, second = re.findall(r"(?m)^shop_seconds_bucket\{.*$", openmetrics)
    assert re.fullmatch(rf'.*,le="30.0"}} 2 # {{trace_id="{told}"}} {number} {number}', first)
    assert re.fullmatch(rf'.*,le="\+Inf"}} 3 # {{trace_id="given"}} 40.0 {number}', second)
    assert f'le="0.5"}} 1 # {{trace_id="{threads}"}} 0.5' in openmetrics
    assert "trace_id" not in text
    assert len(re.findall("trace_id", openmetrics)) == 5
