"""What the tests of StatsD have in common."""

from __future__ import annotations

import asyncio

import pytest

from tests.statsd.wires import Names


@pytest.fixture
async def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    names = Names()
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", names.getaddrinfo)
    return names
