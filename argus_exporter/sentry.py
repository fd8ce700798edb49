"""What Sentry is told of errors beyond the exception: which command, which shard. Only where the bot uses Sentry."""

from __future__ import annotations

import sys
import typing
from contextvars import ContextVar
from typing import Any, Final

from argus_exporter.hooks import Hook

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Facts = Callable[[], Mapping[str, str]]


DEEPEST: Final = 8
"""So many commands and events within one another are known: a listener that dispatches its own event has no end."""


class _Inside(typing.NamedTuple):
    """What runs in this task, and what it runs in."""

    facts: Facts
    outer: _Inside | None
    depth: int

    def all(self) -> dict[str, str]:
        return {**(self.outer.all() if self.outer else {}), **self.facts()}


class Sentry:
    """Tags the events of the ``sentry_sdk`` that the bot itself has initialised, at any time; captures none.

    It stands in front of the client's ``before_send``, which sees the tags too. There is no scope for each command or
    event: what runs is in a variable of its task's context, and asked only where something is captured.

    :param outcome_of: the outcome of a command that raised this.
    :param admit: whether the event of an exception is to be sent, or one of the same too many.
    :param errors: is told what was caught here; the event is sent without tags then.
    """

    USER_ID: Final = "user_id"
    """Which of the facts is the user's id: it is no tag."""

    def __init__(
        self,
        outcome_of: Callable[[BaseException], str],
        admit: Callable[[BaseException, Mapping[str, str]], bool],
        errors: Callable[[BaseException], None],
    ) -> None:
        self._outcome_of = outcome_of
        self._admit = admit
        self._errors = errors
        self._client: Any = None
        self._hook: Hook | None = None
        self._inside: ContextVar[_Inside | None] = ContextVar("argus_exporter", default=None)

    @property
    def active(self) -> bool:
        """Whether there is a Sentry that is told."""
        return self._hook is not None

    def keep(self) -> None:
        """Follow the client that Sentry has now: the bot may initialise it late, or anew."""
        sdk = sys.modules.get("sentry_sdk")  # who has not imported it has not initialised it
        get_client = getattr(sdk, "get_client", None)  # sentry_sdk 2 and above
        client: Any = None if get_client is None else get_client()
        if client is not None and not client.is_active():
            client = None
        if client is not self._client:
            self.close()
            self._client = client
        if client is not None:
            self._hook = self._hook or _before_send(client.options, self._around)
            self._hook.keep()

    def close(self) -> None:
        """Give ``before_send`` back."""
        hook, self._hook, self._client = self._hook, None, None
        if hook is not None:
            hook.close()

    def enter(self, facts: Facts) -> None:
        """What runs in this task from now on, until :meth:`leave` or the task's end; what it starts belongs to it."""
        outer = self._inside.get()
        if outer is not None and outer.depth >= DEEPEST:
            outer = None
        self._inside.set(_Inside(facts, outer, outer.depth + 1 if outer else 1))

    def leave(self) -> None:
        """What was entered last has ended."""
        inside = self._inside.get()
        if inside is not None:
            self._inside.set(inside.outer)

    def _around(self, through: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def before_send(event: Any, hint: Any) -> Any:
            inside = self._inside.get()
            try:
                wanted = inside is None or self._tag(event, hint, inside.all())
            except Exception as error:  # noqa: BLE001 - nothing of ours may keep an event from Sentry
                self._errors(error)
                wanted = True
            return through(event, hint) if wanted else None

        return before_send

    def _tag(self, event: dict[str, Any], hint: Mapping[str, Any], facts: dict[str, str]) -> bool:
        error = (hint.get("exc_info") or (None, None))[1]
        if isinstance(error, BaseException):
            facts["outcome"] = self._outcome_of(error)
            if not self._admit(error, facts):
                return False
        user_id = facts.pop(self.USER_ID, "")
        if user_id:
            event["user"] = {"id": user_id, **event.get("user", {})}
        event["tags"] = {**{key: value for key, value in facts.items() if value}, **event.get("tags", {})}
        return True


def _before_send(options: dict[str, Any], around: Callable[[Any], Any]) -> Hook:
    return Hook(
        lambda: options.get("before_send"), lambda call: options.update(before_send=call), around, _send_as_it_is
    )


def _send_as_it_is(event: Any, _hint: Any) -> Any:
    return event
