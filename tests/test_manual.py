"""Manual mode: a process without a discord.py client fills the metrics that a client's collectors fill."""

from __future__ import annotations

import asyncio
import math
import typing
from typing import Any

import discord
import pytest
from discord.ext import commands

from argus_exporter import Exporter, catalogue
from argus_exporter.cog import ClientExporter
from tests.clients import PlainBot, value, values

if typing.TYPE_CHECKING:
    from collections.abc import Callable

    from argus_exporter.instruments import HistogramCell, Instruments

SNOWFLAKE = "123456789012345678"


@pytest.fixture
def exporter() -> Exporter:
    return Exporter(port="off", user_registry=False)


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> list[tuple[BaseException, dict[str, str]]]:
    """What goes to the error log. Ask for it before the exporter."""
    taken: list[tuple[BaseException, dict[str, str]]] = []
    monkeypatch.setattr(Exporter, "capture_error", lambda _, error, context: taken.append((error, dict(context))))
    return taken


def observed(instruments: Instruments, name: str) -> dict[tuple[str, ...], tuple[int, float]]:
    cells: dict[tuple[str, ...], HistogramCell] = typing.cast("Any", instruments.families[name]).cells
    return {key: (sum(cell.counts), cell.sum) for key, cell in cells.items()}


def left_out(exporter: Exporter) -> dict[tuple[str, ...], float]:
    return values(exporter.instruments, catalogue.LEFT_OUT_TOTAL.name)


def absent(exporter: Exporter, *names: str) -> bool:
    return all(name not in exporter.instruments.families or not values(exporter.instruments, name) for name in names)


def test_a_command_is_one_command_and_one_interaction(exporter: Exporter) -> None:
    exporter.record_command("shop buy", 0.25)
    exporter.record_command("ban", 1, type="user")
    instruments = exporter.instruments
    assert values(instruments, "discord_commands_total") == {("shop buy", "slash", "ok"): 1, ("ban", "user", "ok"): 1}
    assert observed(instruments, "discord_command_duration_seconds") == {("slash",): (1, 0.25), ("user",): (1, 1)}
    assert observed(instruments, "discord_command_duration_by_command_seconds") == {
        ("shop buy",): (1, 0.25),
        ("ban",): (1, 1),
    }
    assert values(instruments, "discord_interactions_total") == {("slash",): 1, ("user",): 1}
    assert values(instruments, "discord_interactions_handled_total") == {("slash", "ok"): 1, ("user", "ok"): 1}
    assert observed(instruments, "discord_interaction_duration_seconds") == {("slash",): (1, 0.25), ("user",): (1, 1)}
    assert absent(exporter, "discord_command_errors_total", "argus_exporter_left_out_total")


def test_a_prefix_command_is_no_interaction_and_a_time_that_is_not_known_is_not_observed(exporter: Exporter) -> None:
    exporter.record_command("ping", type="prefix")
    assert values(exporter.instruments, "discord_commands_total") == {("ping", "prefix", "ok"): 1}
    assert absent(exporter, "discord_interactions_total", "discord_interactions_handled_total")
    assert "discord_command_duration_seconds" not in exporter.instruments.families


def test_components_autocompletions_and_rate_limits_have_their_own(exporter: Exporter) -> None:
    exporter.record_component(0.5)
    exporter.record_component(outcome="rejected")
    exporter.record_autocomplete(0.125, error=LookupError())
    exporter.record_rate_limit()
    exporter.record_rate_limit("shared")
    instruments = exporter.instruments
    assert values(instruments, "discord_interactions_total") == {("component",): 2, ("autocomplete",): 1}
    assert values(instruments, "discord_interactions_handled_total") == {
        ("component", "ok"): 1,
        ("component", "rejected"): 1,
        ("autocomplete", "bot_error"): 1,
    }
    assert observed(instruments, "discord_interaction_duration_seconds") == {
        ("component",): (1, 0.5),
        ("autocomplete",): (1, 0.125),
    }
    assert values(instruments, "discord_http_rate_limited_total") == {("user",): 1, ("shared",): 1}
    assert absent(exporter, "discord_commands_total")


@pytest.mark.parametrize(
    ("error", "given", "outcome", "label"),
    [
        (ValueError("x"), "", "bot_error", "ValueError"),
        (asyncio.CancelledError(), "", "cancelled", "CancelledError"),
        (commands.CheckFailure(), "", "rejected", "CheckFailure"),
        (discord.InvalidData(), "", "discord_error", "InvalidData"),
        (ValueError("x"), "user_error", "user_error", "ValueError"),
        (LookupError("x"), "discord_error", "discord_error", "LookupError"),
        (None, "cancelled", "cancelled", None),
        (None, "not_found", "not_found", None),
        (ValueError("x"), "ok", "ok", None),
        ("text", "", "bot_error", None),
    ],
)
def test_the_error_tells_the_outcome_unless_it_is_given(
    reported: list[tuple[BaseException, dict[str, str]]],
    exporter: Exporter,
    error: Any,
    given: str,
    outcome: str,
    label: str | None,
) -> None:
    exporter.record_command("buy", error=error, outcome=given)
    name = "other" if outcome == "not_found" else "buy"
    assert values(exporter.instruments, "discord_commands_total") == {(name, "slash", outcome): 1}
    assert values(exporter.instruments, "discord_interactions_handled_total") == {("slash", outcome): 1}
    if label:
        assert values(exporter.instruments, "discord_command_errors_total") == {("buy", label): 1}
    else:
        assert absent(exporter, "discord_command_errors_total")
    fault = isinstance(error, BaseException) and outcome in {"bot_error", "discord_error"}
    assert reported == ([(error, {"type": "slash", "outcome": outcome, "command": "buy"})] if fault else [])


def test_the_error_of_a_component_goes_to_the_error_log_too(
    reported: list[tuple[BaseException, dict[str, str]]], exporter: Exporter
) -> None:
    exporter.record_component(error=(error := ValueError()))
    assert reported == [(error, {"type": "component", "outcome": "bot_error"})]


def test_outcomes_of_one_s_own_hold_here_too() -> None:
    exporter = Exporter(port="off", outcomes={ZeroDivisionError: "user_error"})
    exporter.record_command("divide", error=ZeroDivisionError())
    assert values(exporter.instruments, "discord_commands_total") == {("divide", "slash", "user_error"): 1}


def test_the_number_of_names_is_a_setting_here_too() -> None:
    exporter = Exporter(port="off", max_commands=2)
    for name in ("one", "two", "three"):
        exporter.record_command(name, 1, error=ValueError())
    for metric in ("discord_commands_total", "discord_command_errors_total"):
        assert [name for name, *_ in values(exporter.instruments, metric)] == ["one", "two", "other"]
    durations = observed(exporter.instruments, "discord_command_duration_by_command_seconds")
    assert list(durations) == [("one",), ("two",), ("other",)]
    for kind in catalogue.COMMAND_TYPES:
        exporter.record_command("one", 1, type=kind)
    assert len(observed(exporter.instruments, "discord_command_duration_seconds")) == len(catalogue.COMMAND_TYPES)


def test_names_are_bounded_and_hold_no_identities(exporter: Exporter) -> None:
    for number in range(catalogue.COMMAND.bound + 5):
        exporter.record_command(f"command {number}")
    exporter.record_command(SNOWFLAKE)
    exporter.record_command(typing.cast("Any", None))
    counted = values(exporter.instruments, "discord_commands_total")
    assert len(counted) == catalogue.COMMAND.bound + 1
    assert counted["other", "slash", "ok"] == 7


def test_what_is_not_known_is_left_out_counted_and_logged_once(
    exporter: Exporter, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        exporter.record_command("buy", 1, type="hybrid")
        exporter.record_command("buy", 1, outcome="fine")
        exporter.record_component(1, outcome="fine")
        exporter.record_rate_limit("bucket")
        exporter.record_rate_limit(typing.cast("Any", []))
    assert left_out(exporter) == {
        ("discord_commands_total",): 4,
        ("discord_interactions_handled_total",): 2,
        ("discord_http_rate_limited_total",): 4,
    }
    assert len(caplog.records) == 4
    assert "of another scope than user, global, shared, cloudflare" in caplog.text
    assert absent(exporter, "discord_commands_total", "discord_interactions_total", "discord_http_rate_limited_total")


@pytest.mark.parametrize("seconds", ["1", -1, math.nan, math.inf, object()])
def test_a_time_that_is_none_is_left_out_and_the_command_counts(exporter: Exporter, seconds: Any) -> None:
    exporter.record_command("buy", seconds)
    assert values(exporter.instruments, "discord_commands_total") == {("buy", "slash", "ok"): 1}
    assert {count for count, _ in observed(exporter.instruments, "discord_command_duration_seconds").values()} == {0}
    assert left_out(exporter)["discord_command_duration_seconds",] == 1


def test_nothing_raises_into_the_bot(exporter: Exporter) -> None:
    def broken(*_: object) -> typing.NoReturn:
        raise LookupError

    exporter.manual._report = broken
    exporter.record_command("buy", error=ValueError())
    assert values(exporter.instruments, "argus_exporter_collector_errors_total") == {("exporter",): 1}
    assert values(exporter.instruments, "discord_commands_total") == {("buy", "slash", "bot_error"): 1}


async def test_any_thread_may_record(exporter: Exporter) -> None:
    async with exporter:
        await asyncio.to_thread(exporter.record_command, "buy", 0.5)
        await asyncio.to_thread(exporter.record_rate_limit)
        exporter.sample()
        assert values(exporter.instruments, "discord_commands_total") == {("buy", "slash", "ok"): 1}
        assert values(exporter.instruments, "discord_http_rate_limited_total") == {("user",): 1}


# ------------------------------------------------------------------------------------------------ what is asked


@pytest.mark.parametrize(
    ("answer", "latencies"),
    [
        (0.25, {("0",): 0.25}),
        ({0: 0.25, 3: 0.5}, {("0",): 0.25, ("3",): 0.5}),
        ({0: math.nan, 1: math.inf, 2: None, 3: 1}, {("3",): 1}),
        *((unknown, {}) for unknown in (None, math.nan, math.inf, {}, "fast", {"a": 1}, [1])),
    ],
)
def test_the_latency_is_asked_for_at_each_sample(
    exporter: Exporter, answer: Any, latencies: dict[tuple[str, ...], float]
) -> None:
    asked = [{0: 9.0, 7: 9.0}, answer]
    exporter.on_latency(lambda: asked.pop(0))
    exporter.sample()
    assert values(exporter.instruments, "discord_shard_latency_seconds") == {("0",): 9, ("7",): 9}
    exporter.sample()
    assert values(exporter.instruments, "discord_shard_latency_seconds") == latencies


@pytest.mark.parametrize(
    ("answer", "total", "by_shard"),
    [(5, 5, {}), ({0: 2, 1: 3}, 5, {("0",): 2, ("1",): 3}), (None, None, {}), (0, 0, {})],
)
def test_so_is_the_number_of_guilds(
    exporter: Exporter, answer: Any, total: float | None, by_shard: dict[tuple[str, ...], float]
) -> None:
    @exporter.on_guilds
    def guilds() -> Any:
        return answer

    assert guilds() == answer
    exporter.sample()
    assert value(exporter.instruments, "discord_guilds") == total
    assert values(exporter.instruments, "discord_shard_guilds") == by_shard


def test_what_a_callback_raises_is_counted_and_its_series_are_absent(
    exporter: Exporter, caplog: pytest.LogCaptureFixture
) -> None:
    answers: list[float] = [0.25]
    exporter.on_latency(answers.pop)
    exporter.on_guilds(lambda: 3)
    exporter.sample()
    exporter.sample()
    exporter.sample()
    assert values(exporter.instruments, "discord_shard_latency_seconds") == {}
    assert value(exporter.instruments, "discord_guilds") == 3
    assert values(exporter.instruments, "argus_exporter_collector_errors_total") == {("exporter",): 2}
    assert len(caplog.records) == 1


def test_the_last_callback_counts(exporter: Exporter) -> None:
    exporter.on_guilds(lambda: 3)
    exporter.on_guilds(lambda: 4)
    exporter.sample()
    assert value(exporter.instruments, "discord_guilds") == 4


def test_a_coroutine_function_cannot_be_asked(exporter: Exporter) -> None:
    async def latency() -> float:
        return 0.25

    with pytest.raises(TypeError, match="discord_shard_latency_seconds is asked for at each scrape, by a function"):
        exporter.on_latency(typing.cast("Any", latency))


# ------------------------------------------------------------------------------------------------ with a client


def test_where_a_client_is_watched_nothing_is_counted_twice(caplog: pytest.LogCaptureFixture) -> None:
    exporter = ClientExporter(PlainBot(), port="off")
    told: list[Callable[[], object]] = [
        lambda: exporter.record_command("buy", 1),
        exporter.record_component,
        exporter.record_autocomplete,
        exporter.record_rate_limit,
        lambda: exporter.on_latency(lambda: 5.0),
        lambda: exporter.on_guilds(lambda: 5),
    ]
    for tell in (*told, *told):
        tell()
    exporter.sample()
    assert left_out(exporter) == {
        ("discord_commands_total",): 2,
        ("discord_interactions_handled_total",): 4,
        ("discord_http_rate_limited_total",): 2,
        ("discord_shard_latency_seconds",): 2,
        ("discord_shard_guilds",): 2,
    }
    assert [record.levelname for record in caplog.records if record.name == "argus_exporter.custom"] == ["ERROR"] * 5
    names = ("discord_commands_total", "discord_interactions_total", "discord_http_rate_limited_total")
    assert absent(exporter, *names, "discord_shard_latency_seconds", "discord_guilds")
