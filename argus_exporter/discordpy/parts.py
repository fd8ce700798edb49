"""What a part of the view has in common: somebody listens to it, and it opens and closes with the view."""

from __future__ import annotations

import typing
from typing import Any, ClassVar, Generic, TypeVar, TypeVarTuple

from argus_exporter.discordpy.patches import Patches

if typing.TYPE_CHECKING:
    from collections.abc import Callable

    from argus_exporter.discordpy.view import ClientView

Listener = TypeVar("Listener")
Told = TypeVarTuple("Told")


class Audience(list[Listener], Generic[Listener]):
    """Those who listen.

    :ivar ears: what of them is to be called, by the method of their base class; those who have left it as it is there
        do not hear. Each list stays the same object, so that it can be kept.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ears = _Ears(self)

    def append(self, listener: Listener, /) -> None:
        """Let it listen."""
        super().append(listener)
        self.ears.prick()

    def remove(self, listener: Listener, /) -> None:
        """Let it listen no more."""
        super().remove(listener)
        self.ears.prick()

    def __setitem__(self, place: Any, listeners: Any, /) -> None:
        """Let others listen."""
        super().__setitem__(place, listeners)
        self.ears.prick()


class _Ears(dict[typing.Any, list[typing.Any]]):
    def __init__(self, audience: list[typing.Any]) -> None:
        super().__init__()
        self._audience = audience

    def __missing__(self, heard: Callable[..., object]) -> list[Any]:
        self[heard] = found = self._find(heard)
        return found

    def prick(self) -> None:
        for heard, found in self.items():
            found[:] = self._find(heard)

    def _find(self, heard: Callable[..., object]) -> list[Any]:
        name = heard.__name__
        kinds: list[tuple[Any, Any]] = [(each, type(each)) for each in self._audience]
        return [getattr(each, name) for each, kind in kinds if getattr(kind, name, None) is not heard]


class Part(Generic[Listener]):
    """One subject of :class:`~argus_exporter.discordpy.ClientView`: its hooks, and those who listen to what they tell.

    A part that nobody listens to is never opened: it costs nothing and replaces nothing.

    :ivar listeners: collectors enter themselves when they are made.
    """

    noun: ClassVar[str]
    """Under which collector's name the exceptions that are caught here are counted."""

    def __init__(self, view: ClientView) -> None:
        self.view = view
        self.listeners: Audience[Listener] = Audience()
        self.patches = Patches()

    @property
    def wanted(self) -> bool:
        """Whether anybody listens."""
        return bool(self.listeners)

    def open(self, state: Any) -> None:
        """Hook what is there before login; ``state`` is discord.py's connection state. Needs no running loop."""

    def park(self) -> None:
        """Begin what needs the client's loop and login; ``view.on`` may be used. Called once, on that loop."""

    def close(self) -> None:
        """Give everything back. What ``view.on`` has begun is ended by the view."""
        self.patches.close()

    def tell(self, heard: Callable[[Any, *Told], object], *told: *Told) -> None:
        """Tell every listener that wants to hear; what one of them raises the others do not notice.

        :param heard: the method as the listeners' base class has it.
        """
        for call in self.listeners.ears[heard]:
            try:
                call(*told)
            except Exception as error:  # noqa: BLE001 - nothing of ours may raise into the bot
                self.view.note_error(self.noun, error)
