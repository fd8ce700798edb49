from __future__ import annotations

import asyncio
import time

import pytest

from argus_exporter.exposition.turns import Turns, Turnstile


async def test_the_loop_is_handed_back_when_the_turn_is_over_and_not_before() -> None:
    others: list[int] = []
    turns = Turns(0.02)
    asyncio.get_running_loop().call_soon(others.append, 1)
    await turns.rest()
    assert not others or turns.seconds() > 0.02, "the turn was not over"
    time.sleep(0.025)  # noqa: ASYNC251 - work
    await turns.rest()
    assert others


async def test_a_turn_of_nothing_rests_every_time() -> None:
    others: list[int] = []
    turns = Turns(0)
    for index in range(3):
        asyncio.get_running_loop().call_soon(others.append, index)
        await turns.rest()
        assert others[-1] == index


async def test_the_waiting_between_the_turns_is_not_counted() -> None:
    turns = Turns(0)
    time.sleep(0.01)  # noqa: ASYNC251 - work
    asyncio.get_running_loop().call_soon(time.sleep, 0.5)
    await turns.rest()
    time.sleep(0.01)  # noqa: ASYNC251 - work
    assert 0.02 <= turns.seconds() < 0.4


async def test_a_turnstile_lets_one_through_a_turn_in_their_order() -> None:
    turnstile, seen = Turnstile(), list[int]()
    for index in range(3):
        turnstile.enter(lambda index=index: seen.append(index))  # type: ignore[misc]
    for turn in range(4):
        assert seen == list(range(turn))
        await asyncio.sleep(0)
    turnstile.enter(lambda: seen.append(3))
    await turnstile.quiet()
    assert seen == [0, 1, 2, 3]


async def test_a_turnstile_is_quiet_when_nobody_waits_after_a_turn_at_least() -> None:
    turnstile, seen = Turnstile(), list[str]()
    asyncio.get_running_loop().call_soon(seen.append, "others")
    await turnstile.quiet()
    assert seen == ["others"]
    for _ in range(5):
        turnstile.enter(lambda: seen.append("one"))
    await turnstile.quiet()
    assert seen == ["others", *["one"] * 5]


async def test_one_that_fails_at_a_turnstile_holds_up_nobody() -> None:
    turnstile, seen, told = Turnstile(), list[int](), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    turnstile.enter(lambda: pytest.fail("it fails"))
    turnstile.enter(lambda: seen.append(1))
    await turnstile.quiet()
    assert seen == [1]
    assert [str(each) for each in told] == ["it fails"]
