"""What a target is."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Generic, TypeVar

from tests.fuzz.source import Source

Input = TypeVar("Input")
Check = Callable[[Input], None]


@dataclasses.dataclass(frozen=True)
class Target(Generic[Input]):
    """Something that takes what others have made.

    :param about: what must hold.
    :param read: makes an input, plain data whose ``repr`` can be read back, of bytes.
    :param opened: what there is for as long as inputs are tried; gives the check, which raises what must not be.
    """

    name: str
    about: str
    read: Callable[[Source], Input]
    opened: Callable[[], AbstractContextManager[Check[Input]]]

    def input_of(self, data: bytes) -> Input:
        """The input that these bytes make."""
        return self.read(Source(data))


def always(check: Check[Input]) -> Callable[[], AbstractContextManager[Check[Input]]]:
    """A check that needs nothing to be open."""
    return lambda: contextlib.nullcontext(check)


def check_line(error: Exception) -> None:
    """What an error says has to be one line that can be printed."""
    assert str(error).isprintable(), repr(error)
