"""Very many interactions in a small number, and a thousand commands on one page."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

import pytest

from tests.clients import counter_total, values
from tests.soak.soak import ENDINGS, Soak, soaking

COMMANDS_TOTAL = "discord_commands_total"
MOST_SERIES = 3_000


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    log = logging.getLogger("discord")
    level = log.level
    log.setLevel(logging.CRITICAL)
    yield
    log.setLevel(level)


async def test_the_sums_of_very_many_interactions_are_equal_and_nothing_of_them_is_remembered() -> None:
    async with soaking() as soak:
        await soak.send(soak.source.any() for _ in range(20_000))
        assert soak.over() == []


async def use_all(soak: Soak, commands: int, endings: Iterable[str] = tuple(ENDINGS)) -> None:
    """Each command, with each ending."""
    await soak.send(soak.source.slash(number, ending) for number in range(commands) for ending in endings)
    soak.exporter.sample()


async def test_a_thousand_commands_have_no_more_than_three_thousand_series() -> None:
    async with soaking(1_000) as soak:
        await use_all(soak, 1_000)
        assert soak.exporter.instruments.count_series() <= MOST_SERIES
        # what has no series of its own is counted all the same
        for family in (COMMANDS_TOTAL, "discord_command_errors_total"):
            booked = sum(count for (name, _), count in soak.source.book.items() if name == family)
            assert counter_total(soak.exporter.instruments, family) == booked
        assert values(soak.exporter.instruments, "discord_commands_registered")["slash",] == 1_000


async def test_of_a_hundred_and_fifty_commands_none_is_other() -> None:
    async with soaking(150) as soak:
        await use_all(soak, 150, ("ok", "crash", "refused"))
        assert soak.over() == []  # the sums of each, and no label has overflowed
        await use_all(soak, 150)
        named = {command for command, *_ in values(soak.exporter.instruments, COMMANDS_TOTAL)}
        assert named == set(soak.bot.paths)
