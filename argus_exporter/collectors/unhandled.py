"""What nothing handled: the hooks that Python has for it, one each for the event loop, threads and the interpreter."""

from __future__ import annotations

import asyncio
import sys
import threading
import typing
from typing import Any

from argus_exporter.hooks import Hook

if typing.TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    Note = Callable[[str, object, str], None]


class Unhandled:
    """Stands in front of the hooks, and calls through.

    :param note: is told, in any thread and before anybody else: of the source (task, thread, excepthook), of the
        exception if there is one, and of the name of the task or thread.
    :param errors: takes what was caught here.
    """

    def __init__(self, note: Note, errors: Callable[[BaseException], None]) -> None:
        self._note = note
        self._errors = errors
        self._hooks: tuple[Hook, ...] = ()

    def start(self) -> None:
        """Begin; on the event loop whose tasks are meant."""
        self._hooks = (
            self._of_loop(asyncio.get_running_loop()),
            self._of_module(threading, self._note_thread),
            self._of_module(sys, self._note_interpreter),
        )
        self.keep()

    def keep(self) -> None:
        """Go on where somebody has put something else in a hook's place."""
        for hook in self._hooks:
            hook.keep()

    def close(self) -> None:
        """Give the hooks back."""
        hooks, self._hooks = self._hooks, ()
        for hook in hooks:
            hook.close()

    def _of_loop(self, loop: asyncio.AbstractEventLoop) -> Hook:
        def note(_loop: object, context: dict[str, Any], /) -> None:
            self._note("task", context.get("exception"), _name(context.get("future")))

        def default(_loop: object, context: dict[str, Any], /) -> None:
            loop.default_exception_handler(context)

        return Hook(loop.get_exception_handler, loop.set_exception_handler, self._before(note), default)

    def _note_thread(self, arguments: threading.ExceptHookArgs, /) -> None:
        self._note("thread", arguments.exc_value, _name(arguments.thread))

    def _note_interpreter(self, _kind: object, error: object, _trace: object, /) -> None:
        self._note("excepthook", error, "")

    def _of_module(self, module: ModuleType, note: Callable[..., None]) -> Hook:
        return Hook(
            lambda: module.excepthook,
            lambda hook: setattr(module, "excepthook", hook),
            self._before(note),
            module.__excepthook__,
        )

    def _before(self, note: Callable[..., None]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def around(through: Callable[..., Any]) -> Callable[..., Any]:
            def noting(*arguments: Any, **named: Any) -> Any:
                try:
                    note(*arguments, **named)
                except Exception as error:  # noqa: BLE001 - nothing of ours may raise into the bot
                    self._errors(error)
                return through(*arguments, **named)

            return noting

        return around


def _name(who: Any) -> str:
    """The name of a task or a thread, if there is one."""
    return str(who.get_name() if isinstance(who, asyncio.Task) else getattr(who, "name", ""))
