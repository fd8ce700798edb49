"""A running simulator for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from examples.discord_simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# discord.py before 2.6 gives aiohttp's ws_connect its timeout as a number; it is not ours to mend.
_NOT_OURS = ("ignore:parameter 'timeout' of type 'float':DeprecationWarning",)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(__file__.removesuffix("/conftest.py")):
            for line in _NOT_OURS:
                item.add_marker(pytest.mark.filterwarnings(line))


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(guilds=4, members=5, channels=2, heartbeat_interval=0.2) as simulator:
        yield simulator
