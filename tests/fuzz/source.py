"""Bytes as a source of choices: the same bytes make the same input, whoever has made the bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

_END = 8
"""Characters that are repeated at most."""
_WORDS, _ASCII, _LATIN, _ANY = 160, 200, 220, 254
_LAST = 0x10FFFF


class Source:
    """Reads choices from bytes. When they are used up, every choice is the first one."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, most: int) -> int:
        """From 0 to ``most``."""
        size = (most.bit_length() + 7) // 8
        self._at += size
        return int.from_bytes(self._data[self._at - size : self._at], "little") % (most + 1)

    def choice(self, options: Sequence[T]) -> T:
        """One of them."""
        return options[self.number(len(options) - 1)]

    def mostly(self, usual: Sequence[T], odd: Sequence[T]) -> T:
        """One of the usual ones, or seldom one of the odd ones."""
        return self.choice(odd if self.seldom() else usual)

    def seldom(self) -> bool:
        """Yes in one of eight times."""
        return self.number(7) == 7

    def flag(self) -> bool:
        """Yes or no."""
        return bool(self.number(1))

    def many(self, make: Callable[[], T], most: int, least: int = 0) -> tuple[T, ...]:
        """Several of what ``make`` makes."""
        return tuple([make() for _ in range(least + self.number(most - least))])

    def text(self, words: Sequence[str], most: int = 5) -> str:
        """Some of the words, with characters of any kind between; now and then a long one. Lone surrogates too."""
        text = ""
        for _ in range(self.number(most)):
            text += self._piece(text, words)
        return text

    def _piece(self, text: str, words: Sequence[str]) -> str:
        kind = self.number(255)
        if kind < _WORDS:
            return words[kind % len(words)]
        if kind < _ANY:
            return chr(self.number(0x7F if kind < _ASCII else 0x250 if kind < _LATIN else _LAST))
        return (text[-_END:] or "x") * self.number(140)

    def rest(self) -> bytes:
        """All that is left."""
        at, self._at = self._at, len(self._data)
        return self._data[at:]
