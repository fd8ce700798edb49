"""Hooks that Python and its libraries have one of: ours stands around whatever is there, and goes without a trace."""

from __future__ import annotations

import typing
import weakref
from types import FunctionType
from typing import Any, Final

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Call = typing.Callable[..., Any]

MOST_NESTED: Final = 20
"""So often at most ours is put around what somebody else goes on putting around ours."""


class Hook:
    """One such hook, such as ``sys.excepthook``.

    Whoever replaces it later wins. Where they call what they found, ours goes on; where they do not, :meth:`keep` puts
    ours around theirs. Only the newest of ours does anything: nothing counts twice, however they are nested.

    :param get: what stands there; None where the library does its own thing.
    :param put: puts something there.
    :param around: makes of a call what does our part and calls through.
    :param default: what is called through to where nothing stands there.
    """

    def __init__(
        self,
        get: Callable[[], Call | None],
        put: Callable[[Any], object],
        around: Callable[[Call], Call],
        default: Call,
    ) -> None:
        self._get: Final = get
        self._put: Final = put
        self._around: Final = around
        self._default: Final = default
        self._live: Call | None = None
        self._found: weakref.WeakKeyDictionary[Call, Call | None] = weakref.WeakKeyDictionary()

    def keep(self) -> None:
        """Put ours around what stands there, unless it is ours."""
        current = self._get()
        ours = next((call for call in _chain(current) if self._is_ours(call)), None)
        if ours is not None:
            self._live = ours  # below another exporter's, or an older one, which somebody has given back
        elif len(self._found) < MOST_NESTED:
            self._live = self._wrap(current)
            self._put(self._live)

    def close(self) -> None:
        """Give back what was there, if ours still stands there; else ours is left, and only calls through."""
        live, self._live = self._live, None
        if live is not None and self._get() is live:
            self._put(self._found[live])

    def _is_ours(self, call: Call) -> bool:
        return isinstance(call, FunctionType) and call in self._found  # theirs may have no hash

    def _wrap(self, found: Call | None) -> Call:
        through = self._default if found is None else found
        ours = self._around(through)

        def hooked(*arguments: Any, **named: Any) -> Any:
            return (ours if self._live is hooked else through)(*arguments, **named)

        self._found[hooked] = found
        hooked.__wrapped__ = found  # type: ignore[attr-defined]
        return hooked


def _chain(call: Call | None) -> Iterator[Call]:
    """What is called through to, as far as those who wrapped it say so."""
    for _ in range(MOST_NESTED):
        if call is None:
            return
        yield call
        call = getattr(call, "__wrapped__", None)
