"""How much discord.py's caches hold: lengths alone, never a walk over users, members or messages."""

from __future__ import annotations

import math
import time
import typing
from typing import Any, Final

if typing.TYPE_CHECKING:
    from collections.abc import Mapping

    import discord

FREE_COMPONENTS: Final = 500
"""So many components that belong to no message are counted at each sample (measured: 0.05 ms)."""

COMPONENTS_A_SECOND: Final = 1000
"""Those beyond it are counted no more often than this rate allows: 10,000 of them every ten seconds, for 1 ms."""


class Caches:
    """The caches of a client. What cannot be read is None."""

    def __init__(self, client: discord.Client) -> None:
        self._client = client
        self._nameless = 0
        self._counted_at = -math.inf

    @property
    def users(self) -> int | None:
        """Users in the cache. The public ``Client.users`` copies them."""
        return _length(getattr(self._state, "_users", None))

    @property
    def messages(self) -> int:
        """Messages in the cache; 0 where it is turned off. The public proxy knows its length without a copy."""
        return len(self._client.cached_messages)

    @property
    def modals(self) -> int | None:
        """Modals that wait for being submitted; one that the user has closed waits on until its timeout."""
        return _length(getattr(self._store, "_modals", None))

    @property
    def views(self) -> int | None:
        """Messages whose components wait for interactions, and views that belong to no message.

        A message has one view. What discord.py forgets to take out (its #10405) is counted, as it stays in memory.
        """
        stored: Mapping[int | None, Mapping[Any, Any]] | None = getattr(self._store, "_views", None)
        if stored is None:
            return None
        nameless = stored.get(None)
        return len(stored) if nameless is None else len(stored) - 1 + self._views_of(nameless)

    @property
    def _state(self) -> object:
        return getattr(self._client, "_connection", None)

    @property
    def _store(self) -> object:
        return getattr(self._state, "_view_store", None)

    def _views_of(self, components: Mapping[Any, Any]) -> int:
        """Views with these components, which know their own. Persistent ones are mostly few."""
        now = time.perf_counter()
        if now - self._counted_at >= (len(components) - FREE_COMPONENTS) / COMPONENTS_A_SECOND:
            self._counted_at = now
            self._nameless = len({id(component.view) for component in components.values()})
        return self._nameless


def _length(cache: typing.Sized | None) -> int | None:
    return None if cache is None else len(cache)
