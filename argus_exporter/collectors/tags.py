"""What Sentry is told of the commands and events of a client."""

from __future__ import annotations

import typing

from argus_exporter.discordpy import CommandListener, command_of, shard_of, user_id_of
from argus_exporter.errors import Caps, fingerprint
from argus_exporter.sentry import Sentry

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from argus_exporter.collectors.base import Context
    from argus_exporter.discordpy import ClientView, Run


class Tags(CommandListener):
    """Says to Sentry what runs where, while there is a Sentry.

    :param outcome_of: the outcome of a command that raised this.
    :param suppress: is told of each event that the caps keep from Sentry.
    :param errors: takes what was caught here.
    """

    def __init__(
        self,
        context: Context,
        view: ClientView,
        outcome_of: Callable[[BaseException], str],
        suppress: Callable[[], None],
        errors: Callable[[BaseException], None],
    ) -> None:
        settings = context.settings
        self._view = view
        self._suppress = suppress
        self._constant = {"cluster": settings.cluster}
        self._active_trace = context.instruments.active_trace or str
        self._with_user = settings.sentry_user_id
        self._caps = Caps() if settings.sentry_caps else None
        self._sentry = Sentry(outcome_of, self._admit, errors)
        self._follows_commands = "commands" not in settings.disable

    def keep(self) -> None:
        """Follow Sentry, which the bot may have initialised since, or anew."""
        self._sentry.keep()
        self._follow()

    def close(self) -> None:
        """Leave Sentry alone."""
        self._sentry.close()
        self._follow()

    def _follow(self) -> None:
        """Nothing is called for each event and command while there is no Sentry."""
        active, commands = self._sentry.active, self._view.commands
        self._view.event_listeners.entered = [self._enter_event] if active else []
        commands.entered = [self._enter_command] if active and self._follows_commands else []
        self._view.journal.hurry("tags", needed=bool(commands.entered))
        if commands.entered and self not in commands.listeners:
            commands.listeners.append(self)
        elif not commands.entered and self in commands.listeners:
            commands.listeners.remove(self)

    def _enter_command(self, subject: object, run: Run) -> None:
        self._sentry.enter(
            lambda: {
                "command": command_of(subject),
                "type": run.type,
                **self._facts("", (subject,), run.receipt.trace if run.receipt else ""),
            }
        )

    def ended(self, run: Run) -> None:  # noqa: ARG002
        """It has ended; what comes after it in this task is none of its own."""
        self._sentry.leave()

    def _enter_event(self, event: str, arguments: tuple[object, ...]) -> None:
        self._sentry.enter(lambda: {"event": event.removeprefix("on_"), **self._facts(event, arguments)})

    def _facts(self, event: str, arguments: tuple[object, ...], trace: str = "") -> dict[str, str]:
        facts = {
            "shard": shard_of(self._view, event, arguments),
            "trace_id": trace or self._active_trace(),
            **self._constant,
        }
        return {**facts, Sentry.USER_ID: user_id_of(arguments)} if self._with_user else facts

    def _admit(self, error: BaseException, facts: Mapping[str, str]) -> bool:
        if self._caps is None:
            return True
        left_out = self._caps.admit(fingerprint(error, facts.get("command"), facts.get("event")))
        if left_out is None:
            self._suppress()
        return left_out is not None
