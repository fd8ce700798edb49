"""Two minutes of the long run, and what it would notice."""

from __future__ import annotations

import socket

import pytest

from examples.discord_simulator.events import EVENTS
from examples.discord_simulator.incidents import INCIDENTS
from tests.clients import until
from tests.soak.books import differences
from tests.soak.bot import sizes
from tests.soak.endurance import IN_FLIGHT, Plan, Receiver, Run, Trend, fallen, left_over
from tests.soak.people import GATEWAY, LEFT_OUT, MIX, REST, UNDONE, usual

SHORT = Plan(seconds=90.0, rate=1200.0, growth=30.0, mark=3.0, flush=2.0, pause=(0.5, 4.0))
"""A slow machine takes what it can; what it has not taken, nobody has booked."""


@pytest.mark.timeout(600)
async def test_two_minutes_of_events_and_incidents_leave_nothing_behind_and_all_of_it_counted() -> None:
    said: list[str] = []
    run = Run(SHORT, said.append)
    await run.run()
    assert [*run.wrong, *run.grown()] == [], "\n".join([*said, *run.incidents.happened])
    assert len(run.incidents.happened) > 10
    assert {use.how for use in run.books.uses} == {use.how for block in usual() for use in block}
    assert run.scrapes > 5
    for name in ("discord_gateway_events_total", "discord_commands_total", "discord_http_requests_total"):
        assert_that_one_more_would_be_noticed(run, name)


def assert_that_one_more_would_be_noticed(run: Run, name: str) -> None:
    series = next(key for key in run.page if key[0] == name and run.page[key])
    for value in (run.page[series] + 1, run.page[series] - 1):
        assert len(differences(run.book, run.page | {series: value})) == 1
    assert len(differences(run.book, run.page | {(name, frozenset({("odd", "1")})): 1.0})) == 1


def test_every_event_and_every_incident_happens_or_says_why_not() -> None:
    assert {*MIX, "INTERACTION_CREATE"}.union(*UNDONE) == set(EVENTS)
    assert {kind.name for kind in GATEWAY + REST} | set(LEFT_OUT) == set(INCIDENTS)
    for kind in GATEWAY + REST:
        for name, values in kind.choices:
            for value in values:
                INCIDENTS[kind.name].read({name: value})


def test_growth_is_seen_through_bursts() -> None:
    times = [10.0 * number for number in range(60)]
    bursts = [900.0 * (number % 7 == 0) for number in range(60)]
    steady = Trend.of("table", times, [100.0 + burst for burst in bursts])
    growing = Trend.of("table", times, [100.0 + 2 * number + burst for number, burst in enumerate(bursts)])
    assert not steady.is_growing(0)
    assert growing.grown == pytest.approx(58)
    assert growing.is_growing(0)
    back = Trend.of("table", times, [*[200.0] * 30, *(100.0 + 3 * number for number in range(30))])
    assert back.grown > back.allowed(0)
    assert not back.is_growing(0)
    assert growing.slope == pytest.approx(0.2)
    leak = Trend.of("memory", times, [60 + 0.2 * number for number in range(60)])
    assert leak.is_growing(4.0)
    assert not leak.is_growing(10.0)


def test_a_counter_that_falls_or_goes_is_noticed() -> None:
    page = {("a_total", frozenset[tuple[str, str]]()): 2.0, ("b", frozenset[tuple[str, str]]()): 2.0}
    assert fallen(page, page) == []
    assert len(fallen(page, dict.fromkeys(page, 1.0))) == 1
    assert len(fallen(page, {})) == 1


def test_what_is_left_over_at_rest_is_noticed() -> None:
    rest = {"tasks": 20.0, "files": 20.0, "threads": 5.0, "timers": 10.0, **dict.fromkeys(IN_FLIGHT, 0.0)}
    assert left_over(rest, rest | {"tasks": 25.0}) == []
    assert left_over(rest, rest | {"tasks": 45.0}) == ["45 tasks are left"]
    assert left_over(rest, rest | {"Wire.flying": 1.0}) == ["1 Wire.flying are left"]


async def test_the_receiver_adds_counters_up_and_says_what_it_lacks() -> None:
    page = (
        "# TYPE discord_gateway_events_total counter\n"
        'discord_gateway_events_total{event="READY"} 3.0\n'
        "# TYPE discord_guilds gauge\ndiscord_guilds 7.0\n"
    )
    with Receiver() as receiver, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for value in (1, 2):
            lines = f"discord_gateway_events_total:{value}|c|#event:READY\ndiscord_guilds:9|g"
            sender.sendto(lines.encode(), ("127.0.0.1", receiver.port))
            await until(lambda value=value: receiver.datagrams == value)
            assert len(receiver.lacks(page)) == (value == 1)


def test_what_is_held_is_found_wherever_it_is() -> None:
    class Holder:
        __slots__ = ("__dict__", "slot")

        def __init__(self) -> None:
            self.slot = [1, 2]
            self.table = {"a": [1], "b": [1, 2, 3]}
            self.other = 5

    Holder.__module__ = "argus_exporter.made_up"
    outer, inner = Holder(), Holder()
    outer.table["c"] = [inner]  # type: ignore[list-item]
    assert sizes(outer) == {"Holder.slot": 4, "Holder.table": 5 + 5 + 4}
