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
        self._known: list[Listener] = []
        self._ears: dict[object, list[Callable[..., object]]] = {}

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

        :param heard: the method as the listeners' base class has it; those who have left it as it is are not called.
        """
        if self.listeners != self._known:
            self._known, self._ears = self.listeners.copy(), {}
        ears = self._ears.get(heard)
        if ears is None:
            ears = self._ears[heard] = self._ears_for(heard)
        for call in ears:
            try:
                call(*told)
            except Exception as error:  # noqa: BLE001 - nothing of ours may raise into the bot
                self.view.note_error(self.noun, error)

    def _ears_for(self, heard: Callable[..., object]) -> list[Callable[..., object]]:
        name = heard.__name__
        return [getattr(each, name) for each in self.listeners if getattr(type(each), name, None) is not heard]
