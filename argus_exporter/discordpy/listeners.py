"""The bot's event listeners: how long each took, and what it raised."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import logging
import sys
import time
import typing
import weakref
from typing import Any, ClassVar, Final

import discord

from argus_exporter.discordpy.parts import Part

if typing.TYPE_CHECKING:
    from collections.abc import Callable

    from argus_exporter.discordpy.view import ClientView
    from argus_exporter.instruments import HistogramCell

_log: Final = logging.getLogger(__name__)


class EventListener:
    """Who wants to hear of the bot's listeners overrides what it wants. What it raises is caught and counted."""

    def ran(self, event: str, seconds: float) -> None:
        """A listener has ended, however it did, whose event (such as ``on_message``) has no cell yet."""

    def failed(self, event: str, error: BaseException, arguments: tuple[Any, ...]) -> None:
        """A listener has raised, before anybody handles it; ``arguments`` are those of its event."""


class Listeners(Part[EventListener]):
    """Follows the listeners of the client and of its Cogs, in the Task that discord.py makes for each.

    :ivar durations: the cells by event; what has none is told to the listeners.
    :ivar entered: are called in that Task before the listener, with the event and its arguments.
    :ivar degraded: whether exceptions are seen by the public ``on_error`` only, and durations not at all.
    """

    noun: ClassVar[str] = "errors"

    def __init__(self, view: ClientView) -> None:
        super().__init__(view)
        self.durations: dict[str, HistogramCell] = {}
        self.entered: list[Callable[[str, tuple[Any, ...]], None]] = []
        self.degraded = False
        self._active = False
        self._ours: weakref.WeakSet[Callable[..., Any]] = weakref.WeakSet()

    def open(self, state: Any) -> None:  # noqa: ARG002
        """Hook ``_run_event``, through which discord.py runs every listener, whatever ``on_error`` is."""
        client: Any = self.view.client
        self._active = True
        original = getattr(client, "_run_event", None)
        if callable(original) and _is_scheduled_by_it():
            self.patches.set(client, "_run_event", self._running(original))
            return
        self.degraded = True
        _log.warning("discord.py %s has no Client._run_event: errors are seen by on_error only", discord.__version__)
        self.check()

    def close(self) -> None:
        """Give everything back; listeners that run now are not told of any more."""
        self._active = False
        self.durations.clear()
        super().close()

    def check(self) -> None:
        """Where ``on_error`` is all there is, wrap it again if the user has replaced it."""
        client: Any = self.view.client
        if self.degraded and client.on_error not in self._ours:
            around = self._erring(client.on_error)
            self._ours.add(around)
            self.patches.set(client, "on_error", around)

    def _running(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def run_event(listener: Callable[..., Any], event: str, /, *arguments: Any, **named: Any) -> Any:
            return original(self._watched(listener, event), event, *arguments, **named)

        return run_event

    def _watched(self, listener: Callable[..., Any], event: str) -> Callable[..., Any]:
        async def watched(*arguments: Any, **named: Any) -> Any:
            for entered in self.entered:
                self.view.guard(self.noun, entered, event, arguments)
            began = time.perf_counter()
            try:
                return await listener(*arguments, **named)
            except Exception as error:
                self._fail(event, error, arguments)
                raise
            finally:
                seconds = time.perf_counter() - began
                cell = self.durations.get(event)
                if cell is not None:
                    cell.observe(seconds)
                elif self._active:
                    self.tell(EventListener.ran, event, seconds)

        return watched

    def _erring(self, original: Callable[..., Any]) -> Callable[..., Any]:
        async def on_error(event: str, /, *arguments: Any, **named: Any) -> Any:
            error = sys.exc_info()[1]
            if error is not None:
                self._fail(event, error, arguments)
            return await original(event, *arguments, **named)

        return on_error

    def _fail(self, event: str, error: BaseException, arguments: tuple[Any, ...]) -> None:
        if self._active:
            self.tell(EventListener.failed, event, error, arguments)


def _is_scheduled_by_it() -> bool:
    """Whether discord.py still runs listeners through ``_run_event``, and does not only have one."""
    code = getattr(vars(discord.Client).get("_schedule_event"), "__code__", None)
    return "_run_event" in getattr(code, "co_names", ())
