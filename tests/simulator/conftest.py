"""A running simulator for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from examples.discord_simulator import Simulator


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(guilds=4, members=5, channels=2, heartbeat_interval=0.2) as simulator:
        yield simulator
