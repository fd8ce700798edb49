from __future__ import annotations

import asyncio
import time

from argus_exporter.exposition.turns import Turns


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
