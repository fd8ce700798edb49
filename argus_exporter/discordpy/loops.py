"""``discord.ext.tasks`` loops: found where programmers put them, and followed from within."""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import inspect
import math
import sys
import time
import typing
import weakref
from typing import Any, Final

from discord.ext import commands, tasks

from argus_exporter.discordpy.patches import Patches

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    import discord

AnyLoop = tasks.Loop[Any]

SEARCH_SECONDS: Final = 30.0
"""After so long everything is looked through again, even where nothing seems to have come or gone."""

LONGEST_DAY: Final = 25 * 3600.0
"""From a time of day to the same of the next day; more is a time before a break."""


class LoopState(typing.NamedTuple):
    """What is the case with a loop.

    :param dead: an exception has ended it; neither a stop nor a cancellation is one.
    :param retrying: its last iteration has failed, and it runs on.
    :param interval: in seconds; None where it has times of day and the last or the next is not known.
    """

    running: bool
    dead: bool
    retrying: bool
    interval: float | None


class Followed:
    """A loop that was found. It is held weakly, so that a Cog which is unloaded goes as if we had never been there.

    :ivar last_success: when the last iteration that did not fail ended, in seconds since the epoch; None before.
    """

    def __init__(self, name: str, loop: AnyLoop) -> None:
        self.name: Final = name
        self.loop: Final = weakref.ref(loop)
        self.last_success: float | None = None
        self.wrapper: Callable[[], object] = lambda: None
        self._failing: Callable[[], object] = lambda: None
        task = loop.get_task()
        if task is not None and getattr(loop, "_last_iteration_failed", False):
            self._failing = weakref.ref(task)

    def is_iterating(self) -> bool:
        """Whether it is the loop that runs the body now, and not somebody who calls it by hand."""
        loop = self.loop()
        return loop is not None and loop.get_task() is asyncio.current_task()

    def note(self, *, failed: bool) -> None:
        """Remember how an iteration ended; of a task that failed no more than a weak reference: it holds frames."""
        if failed:
            task = asyncio.current_task()
            assert task is not None  # noqa: S101 - an iteration runs in a task
            self._failing = weakref.ref(task)
        else:
            self._failing, self.last_success = lambda: None, time.time()

    def state(self) -> LoopState | None:
        """What is the case now; None where the loop is no more."""
        loop = self.loop()
        if loop is None:
            return None
        running, task = loop.is_running(), loop.get_task()
        return LoopState(
            running=running,
            # failed() does not know of what before_loop and after_loop raise; Task.exception() would tell asyncio
            # that somebody has taken care of it, and its log would be silent
            dead=not running and (loop.failed() or getattr(task, "_exception", None) is not None),
            retrying=running and self._failing() is task,
            interval=_interval(loop),
        )


class LoopListener(typing.Protocol):
    """Who wants to hear of loops. What it raises is caught and counted."""

    def found(self, followed: Followed) -> None:
        """A loop was found."""

    def ended(self, followed: Followed, seconds: float, *, failed: bool) -> None:
        """An iteration ended, after so many seconds; one that was cancelled is not told of."""

    def lost(self, followed: Followed) -> None:
        """A loop is gone, or its Cog or module is."""


class Loops:
    """The loops that can be found, and those that :meth:`watch` was told of.

    Looked into are the client, its Cogs and their classes; its extensions' modules, those in which the classes of the
    Cogs and of the client stand, and ``__main__``. discord.py makes a Cog's own loop from that of its class when the
    attribute is first read: to find it is to read it, or its first iterations would not be seen.

    What is replaced: ``Bot.add_cog`` while open, so that a Cog's loops are followed from their first iteration on; and
    ``Loop.coro`` of each loop that was found, so that its iterations are seen. Both are given back.

    :param errors: is told of each exception that was caught here.
    :ivar client: where to look; None in manual mode.
    :ivar degraded: whether there is a loop whose iterations cannot be seen.
    """

    noun: Final = "tasks"

    def __init__(self, errors: Callable[[str, BaseException], None]) -> None:
        self.client: discord.Client | None = None
        self.listener: LoopListener | None = None
        self.degraded = False
        self._errors = errors
        self._watched: weakref.WeakKeyDictionary[AnyLoop, str] = weakref.WeakKeyDictionary()
        self._followed: dict[int, Followed] = {}
        self._joining: list[object] = []
        self._signature: list[tuple[int, int]] = []
        self._searched_at = -math.inf
        self._active = False
        self._patches = Patches()

    def watch(self, loop: object, name: str | None = None) -> None:
        """Follow a loop that cannot be found, or one under another name; it is held weakly.

        :raises TypeError: if it is no loop of ``discord.ext.tasks``.
        """
        if not isinstance(loop, tasks.Loop):
            msg = f"watch() takes a loop of discord.ext.tasks, not {type(loop).__name__}: see discord.ext.tasks.loop"
            raise TypeError(msg)
        self._watched[loop] = name or name_of(loop)  # pyright: ignore[reportUnknownArgumentType]
        self._search_again()

    def start(self) -> None:
        """Begin to follow. Needs no running loop."""
        self._active = True
        if self._bot is not None:
            self._patches.set(self._bot, "add_cog", self._adding(self._bot.add_cog))
        self._search_again()

    def close(self) -> None:
        """Give everything back."""
        self._active = False
        self._patches.close()
        for key in list(self._followed):
            self._drop(key)

    def find(self) -> None:
        """Look whether loops have come or gone: O(Cogs and extensions), and seldom at what is in them."""
        places = list(self._places())
        signature = [(id(place), len(_attributes(place))) for place in places]
        now = time.perf_counter()
        if (
            now - self._searched_at < SEARCH_SECONDS
            and signature == self._signature
            and all(followed.loop() is not None for followed in self._followed.values())
        ):
            return
        self._signature, self._searched_at = signature, now
        found = self._found(places)
        for key, followed in list(self._followed.items()):
            name, loop = found.get(key, ("", None))
            if followed.loop() is not loop or followed.name != name:
                self._drop(key)
        self._follow(found)

    # ------------------------------------------------------------------------------------- finding

    @property
    def _bot(self) -> commands.bot.BotBase | None:
        client: object = self.client
        return client if isinstance(client, commands.bot.BotBase) else None

    def _search_again(self) -> None:
        self._searched_at = -math.inf
        if self._active:
            self._guard(self.find)

    def _adding(self, original: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
        async def add_cog(cog: Any, /, *arguments: Any, **named: Any) -> Any:
            self._joining.append(cog)
            self._guard(self._join, cog)
            try:
                return await original(cog, *arguments, **named)
            finally:
                self._joining.remove(cog)
                self._guard(self._join, cog)

        return add_cog

    def _join(self, cog: object) -> None:
        """Look at one Cog alone: a bot may have hundreds, which come one after another."""
        self._searched_at = -math.inf  # whether it stays is seen when everything is looked through
        if self._active:
            self._follow(self._found([cog]))

    def _places(self) -> Iterator[object]:
        """The Cogs and the client, then the modules."""
        if self.client is None:
            return
        bot = self._bot
        owners: list[object] = [*self._joining, *(() if bot is None else bot.cogs.values()), self.client]
        names = dict.fromkeys([*(type(owner).__module__ for owner in owners), "__main__"])
        yield from owners
        yield from () if bot is None else bot.extensions.values()
        yield from (sys.modules[name] for name in names if name in sys.modules)

    def _search(self, places: list[object]) -> Iterator[tuple[str, AnyLoop]]:
        """Every loop, perhaps more than once, the more telling name first."""
        for loop, name in list(self._watched.items()):
            yield name, loop
        for place in places:
            owner = None if inspect.ismodule(place) else place
            for loop in _loops_in(place) if owner is None else _loops_of(owner):
                yield name_of(loop, owner), loop

    def _found(self, places: list[object]) -> dict[int, tuple[str, AnyLoop]]:
        found: dict[int, tuple[str, AnyLoop]] = {}
        for name, loop in self._search(places):
            found.setdefault(id(loop), (name, loop))
        return found

    def _follow(self, found: dict[int, tuple[str, AnyLoop]]) -> None:
        for key, (name, loop) in found.items():
            if key not in self._followed:
                followed = self._followed[key] = Followed(name, loop)
                self._begin(followed, loop)

    # ------------------------------------------------------------------------------------- following

    def _begin(self, followed: Followed, loop: AnyLoop) -> None:
        self._tell(lambda listener: listener.found(followed))
        try:
            wrapper = self._iterating(followed, loop.coro)
            loop.coro = wrapper
        except Exception as error:  # noqa: BLE001 - a discord.py that does not let it be replaced
            self.degraded = True
            self._errors(self.noun, error)
        else:
            followed.wrapper = weakref.ref(wrapper)

    def _drop(self, key: int) -> None:
        followed = self._followed.pop(key)
        loop = followed.loop()
        wrapper: Any = followed.wrapper()
        if loop is not None and wrapper is not None and loop.coro is wrapper:
            loop.coro = wrapper.__wrapped__
        followed.wrapper = lambda: None
        self._tell(lambda listener: listener.lost(followed))

    def _iterating(self, followed: Followed, original: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
        @functools.wraps(original)
        async def iterate(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                result = await original(*arguments, **named)
            except Exception:
                self._guard(self._end, followed, began, failed=True)
                raise
            self._guard(self._end, followed, began, failed=False)
            return result

        return iterate

    def _end(self, followed: Followed, began: float, *, failed: bool) -> None:
        seconds = time.perf_counter() - began
        # what is no longer followed, or was wrapped by somebody over ours, still comes through here
        if followed.wrapper() is not None and followed.is_iterating():
            followed.note(failed=failed)
            self._tell(lambda listener: listener.ended(followed, seconds, failed=failed))

    def _tell(self, tell: Callable[[LoopListener], object]) -> None:
        if self.listener is not None:
            self._guard(tell, self.listener)

    def _guard(self, call: Callable[..., object], *arguments: object, **named: object) -> None:
        try:
            call(*arguments, **named)
        except Exception as error:  # noqa: BLE001 - nothing of ours may raise into the bot
            self._errors(self.noun, error)


def name_of(loop: AnyLoop, owner: object = None) -> str:
    """``Class.method`` where a Cog or client owns it; else as its coroutine is qualified in its module."""
    if owner is not None:
        return f"{type(owner).__name__}.{_coroutine_name(loop)}"
    coroutine = getattr(loop, "coro", loop)
    name: str = getattr(coroutine, "__qualname__", type(coroutine).__qualname__).rpartition("<locals>.")[2]
    return name if "." in name else f"{coroutine.__module__}.{name}"


def _coroutine_name(loop: AnyLoop) -> str:
    coroutine = getattr(loop, "coro", loop)
    return getattr(coroutine, "__name__", type(coroutine).__name__)


def _attributes(place: object) -> dict[str, object]:
    return getattr(place, "__dict__", {})


def _loops_in(place: object) -> list[AnyLoop]:
    """The loops among somebody's attributes. Their types alone are looked at: a lazy object would be woken by more."""
    values = list(_attributes(place).values())
    return [typing.cast("AnyLoop", value) for value in values if issubclass(type(value), tasks.Loop)]


def _loops_of(owner: object) -> list[AnyLoop]:
    """The loops of an object: those of its classes, each made its own, and those that were put on it."""
    for base in type(owner).__mro__:
        for loop in _loops_in(base):
            if inspect.getattr_static(owner, _coroutine_name(loop), None) is loop:
                getattr(owner, _coroutine_name(loop))
    return _loops_in(owner)


def _interval(loop: AnyLoop) -> float | None:
    if loop.time is None:
        return (loop.hours or 0.0) * 3600 + (loop.minutes or 0.0) * 60 + (loop.seconds or 0.0)
    last, following = getattr(loop, "_last_iteration", None), loop.next_iteration
    if not isinstance(last, dt.datetime) or following is None:
        return None
    seconds = (following - last).total_seconds()
    return seconds if seconds <= LONGEST_DAY else None
