"""What the bot's event listeners raise and how long they take, and what nothing handled."""

from __future__ import annotations

import typing
from typing import Any, ClassVar

from argus_exporter import catalogue
from argus_exporter.collectors.base import Collector, word
from argus_exporter.collectors.tags import Tags
from argus_exporter.collectors.unhandled import Unhandled
from argus_exporter.discordpy import EventListener, shard_of
from argus_exporter.discordpy.outcomes import outcome_of

if typing.TYPE_CHECKING:
    from argus_exporter.collectors.base import Context
    from argus_exporter.discordpy import ClientView


class ErrorsCollector(Collector, EventListener):
    """Counts what the listeners of the client and its Cogs raise, and what no code of the bot's has handled.

    Cancelled tasks, SystemExit and KeyboardInterrupt are no errors; our own are not the bot's.
    """

    noun: ClassVar[str] = "errors"

    def __init__(self, context: Context) -> None:
        instruments, settings = context.instruments, context.settings
        self._view: ClientView | None = context.client
        self._report, self._count = context.report, context.add
        self._note = context.errors
        self._event_errors = instruments.counter(catalogue.EVENT_ERRORS_TOTAL)
        self._seconds = instruments.histogram(catalogue.EVENT_LISTENER_SECONDS)
        self._unhandled = instruments.counter(catalogue.UNHANDLED_ERRORS_TOTAL)
        self._suppressed = instruments.counter(catalogue.ERROR_LOG_SUPPRESSED_TOTAL)
        self._rules = context.rules
        self._hooks = Unhandled(self._unhandle, self._caught)
        self._tags: Tags | None = None
        for source in catalogue.SOURCE.values:  # at 0, so that the first of each moves rate()
            self._unhandled.labels(source)
        if self._view is not None:
            self._view.event_listeners.listeners.append(self)
            if settings.sentry:
                self._tags = Tags(context, self._view, self._outcome_of, self._suppress, self._caught)

    @property
    def degraded(self) -> bool:
        """Whether listeners are seen by the public way only."""
        return self._view is not None and self._view.event_listeners.degraded

    def start(self) -> None:
        """Stand in front of Python's hooks."""
        self._hooks.start()
        self.sample()

    def sample(self) -> None:
        """Go on where somebody has put something else in a hook's place."""
        self._hooks.keep()
        if self._view is not None:
            self._view.event_listeners.check()
        if self._tags is not None:
            self._tags.keep()

    async def close(self) -> None:
        """Give the hooks back."""
        self._hooks.close()
        if self._tags is not None:
            self._tags.close()

    def ran(self, event: str, seconds: float) -> None:
        """Observe how long a listener took; the first events have their cell at hand from now on."""
        name = _label(event)
        self._event_errors.labels(name)  # at 0, too
        cell = self._seconds.labels(name)
        cell.observe(seconds)
        if self._view is not None and len(self._view.event_listeners.durations) < catalogue.LISTENED.bound:
            self._view.event_listeners.durations[event] = cell

    def failed(self, event: str, error: BaseException, arguments: tuple[Any, ...]) -> None:
        """Count what a listener raised, and report it."""
        name = _label(event)
        self._event_errors.labels(name).value += 1
        if self._tags is not None:
            self._tags.keep()  # Sentry may be told of it next, and be younger than the last sample
        shard = "" if self._view is None else shard_of(self._view, event, arguments)
        facts = {"source": "listener", "event": name, "outcome": self._outcome_of(error), "shard": shard}
        self._report(error, facts)

    def _unhandle(self, source: str, error: object, who: str) -> None:
        if not isinstance(error, Exception):
            return
        if who.startswith("argus_exporter"):
            self._caught(error)
            return
        self._count(self._unhandled, (source,))
        self._report(error, {"source": source})

    def _outcome_of(self, error: BaseException) -> str:
        return outcome_of(error, self._rules)

    def _suppress(self) -> None:
        self._count(self._suppressed, ())

    def _caught(self, error: BaseException) -> None:
        self._note(self.noun, error)


def _label(event: str) -> str:
    return word(event.removeprefix("on_"))
