"""The bot's event listeners: how long each took, and what it raised."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
import typing
import weakref
from typing import Any, ClassVar, Final

import discord

from argus_exporter.discordpy.dispatch import is_known_version, is_of_discord
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
            is_known = is_known_version() and getattr(original, "__func__", None) is discord.Client._run_event
            is_own = is_known and is_of_discord(discord.Client._run_event)
            self.patches.set(client, "_run_event", self._instead(client) if is_own else self._running(original))
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

    def _instead(self, client: Any) -> Callable[..., Any]:
        """Do what discord.py's own does, the same in all versions that we know, for half of what a wrapper costs.

        Most bots run one listener for each message: discord.py's own, which looks for commands.
        """
        now, durations = time.perf_counter, self.durations

        async def run_event(listener: Callable[..., Any], event: str, /, *arguments: Any, **named: Any) -> None:
            if self.entered:
                self._enter(event, arguments)
            began = now()
            try:
                await listener(*arguments, **named)
            except asyncio.CancelledError:
                self._observe(event, now() - began)
            except Exception as error:  # noqa: BLE001 - as discord.py does
                seconds = now() - began
                self._fail(event, error, arguments)
                self._observe(event, seconds)
                with contextlib.suppress(asyncio.CancelledError):
                    await client.on_error(event, *arguments, **named)
            else:
                if event in durations:
                    durations[event].observe(now() - began)
                else:
                    self._observe(event, now() - began)

        return run_event

    def _enter(self, event: str, arguments: tuple[Any, ...]) -> None:
        for entered in self.entered:
            self.view.guard(self.noun, entered, event, arguments)

    def _observe(self, event: str, seconds: float) -> None:
        cell = self.durations.get(event)
        if cell is not None:
            cell.observe(seconds)
        elif self._active:
            self.tell(EventListener.ran, event, seconds)

    def _running(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def run_event(listener: Callable[..., Any], event: str, /, *arguments: Any, **named: Any) -> Any:
            return original(self._watched(listener, event), event, *arguments, **named)

        return run_event

    def _watched(self, listener: Callable[..., Any], event: str) -> Callable[..., Any]:
        async def watched(*arguments: Any, **named: Any) -> Any:
            self._enter(event, arguments)
            began = time.perf_counter()
            try:
                return await listener(*arguments, **named)
            except Exception as error:
                self._fail(event, error, arguments)
                raise
            finally:
                self._observe(event, time.perf_counter() - began)

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
