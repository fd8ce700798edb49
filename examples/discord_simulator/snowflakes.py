"""Ids and time. A snowflake's upper 42 bits are milliseconds since 2015 (Discord's docs, reference, snowflakes)."""

from __future__ import annotations

import time
from datetime import UTC, datetime

EPOCH = 1_420_070_400_000
"""Discord's epoch, in milliseconds of Unix time."""

_START = 1_451_606_400_000 - EPOCH
_SPAN = 1 << 38
_STRIDE = 0x9E3779B97F4A7C15 % _SPAN | 1
_GUILD_STRIDE = 57_657_600
_GUILD_SLOTS = 4_500


class Clock:
    """The simulator's wall clock; `skew` seconds are added to everything it stamps."""

    def __init__(self) -> None:
        self.skew = 0.0

    def time(self) -> float:
        """Unix time in seconds, skewed."""
        return time.time() + self.skew

    def iso(self) -> str:
        """The time as Discord writes it in payloads."""
        return datetime.fromtimestamp(self.time(), UTC).isoformat()


class Snowflakes:
    """Ids that carry the present time; ids of the same millisecond differ in their lower 22 bits, as Discord's do."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._increment = 0

    def new(self) -> int:
        """The next id."""
        self._increment = (self._increment + 1) & 0xFFF
        return int(self._clock.time() * 1000) - EPOCH << 22 | 0x21000 | self._increment


def fixed(seed: int, number: int) -> int:
    """The id of the world's `number`-th thing: spread over nine years, and no two of one world share a millisecond.

    discord.py hashes an id by its milliseconds, so that ids of one millisecond would collide in every cache.
    """
    spread = (number * _STRIDE + seed * 7919) % _SPAN
    return _START + spread << 22 | (number * 2_654_435_761 & 0x3FFFFF)


def guild(seed: int, index: int) -> int:
    """Give guild `index` its id: it lives on shard `index % n` of n shards for n up to 16, 18, 20, 24, 25, 32, 48, 50.

    Also for 64, 100, 128 and any other n that divides 57,657,600, so that tests and demos know where a guild is.
    """
    slot = (index * 1_931 + seed * 97) % _GUILD_SLOTS
    base = -(-_START // _GUILD_STRIDE) + slot
    return base * _GUILD_STRIDE + index << 22 | (index * 40_503 & 0x3FFFFF)


def created(snowflake: int) -> float:
    """The Unix time in seconds that an id carries."""
    return ((snowflake >> 22) + EPOCH) / 1000


def iso(snowflake: int) -> str:
    """The time that an id carries, as Discord writes it in payloads."""
    return datetime.fromtimestamp(created(snowflake), UTC).isoformat()
