"""What a part of the view has in common: somebody listens to it, and it opens and closes with the view."""

from __future__ import annotations

import typing
from typing import Any, ClassVar, Generic, TypeVar

from argus_exporter.discordpy.patches import Patches

if typing.TYPE_CHECKING:
    from collections.abc import Callable

    from argus_exporter.discordpy.view import ClientView

Listener = TypeVar("Listener")


class Part(Generic[Listener]):
    """One subject of :class:`~argus_exporter.discordpy.ClientView`: its hooks, and those who listen to what they tell.

    A part that nobody listens to is never opened: it costs nothing and replaces nothing.

    :ivar listeners: collectors enter themselves when they are made.
    """

    noun: ClassVar[str]
    """Under which collector's name the exceptions that are caught here are counted."""

    def __init__(self, view: ClientView) -> None:
        self.view = view
        self.listeners: list[Listener] = []
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

    def tell(self, tell: Callable[[Listener], object]) -> None:
        """Tell every listener; what one of them raises the others do not notice."""
        for listener in self.listeners:
            self.view.guard(self.noun, tell, listener)
