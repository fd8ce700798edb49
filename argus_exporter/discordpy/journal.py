"""What happens at the hot places is noted there, and accounted for a little later, many at once and in order.

Noting takes a third of a microsecond. The accounting takes several, and half as long for many at once as for one
between two of the bot's own steps, whose code and data it would push out of the processor's caches.
"""

from __future__ import annotations

import typing
from typing import Any, Final

if typing.TYPE_CHECKING:
    from collections.abc import Callable

    from argus_exporter.instruments import Pile

AT_ONCE: Final = 256
"""How many notes wait at most: accounting for them holds the event loop for less than a millisecond."""


class Journal:
    """Notes that wait to be accounted for. They belong to the event loop's thread.

    :param errors: is told of what an account raises: its part's noun, and the exception.
    :ivar notes: each an account, a method of a :class:`~argus_exporter.discordpy.parts.Part` that takes the whole note,
        and whatever else that wants to know. Where one is appended that may be the last for long, :meth:`settle` is
        called at :attr:`limit`.
    :ivar limit: 1 where somebody wants to be told at once.
    :ivar afterwards: notes that are accounted for after all the others, each time.
    :ivar piles: what an account has begun to pile up, which is settled at the very end.
    """

    def __init__(self, errors: Callable[[str, BaseException], None]) -> None:
        self.notes: list[tuple[Any, ...]] = []
        self.limit = AT_ONCE
        self.afterwards: list[tuple[Any, ...]] = []
        self.piles: list[Pile] = []
        self._errors = errors
        self._hurried: set[str] = set()

    def hurry(self, noun: str, *, needed: bool) -> None:
        """Account for each note at once, for the sake of one who wants to be told in the task that noted it."""
        (self._hurried.add if needed else self._hurried.discard)(noun)
        self.limit = 1 if self._hurried else AT_ONCE

    def settle(self) -> None:
        """Account for all that is noted. Never raises."""
        notes, self.notes[:] = self.notes[:], ()
        notes += self.afterwards
        for note in notes:
            try:
                note[0](note)
            except Exception as error:  # noqa: BLE001 - nothing of ours may raise into the bot
                self._errors(note[0].__self__.noun, error)
        for pile in self.piles:
            pile.settle()
        self.piles.clear()
