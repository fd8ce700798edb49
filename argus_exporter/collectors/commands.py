"""Commands: how they ended, how long they took, which there are."""

from __future__ import annotations

import dataclasses
import typing
from typing import ClassVar, Final

from argus_exporter import catalogue
from argus_exporter.catalogue import COMMAND_TYPES, OTHER
from argus_exporter.collectors.base import Collector, Context
from argus_exporter.discordpy import CommandEnd, CommandListener
from argus_exporter.discordpy.outcomes import FAULTS, OK, RULES

if typing.TYPE_CHECKING:
    from collections.abc import Mapping

    from argus_exporter.discordpy import ClientView

ZEROS: Final = (OK, *FAULTS)
"""Outcomes that exist at 0, so that the first of them moves ``rate()``."""

_ZEROS_SHARE: Final = 2 / 3
"""Of the series of ``discord_commands_total``, how many commands that nobody has used yet may take."""


class CommandsCollector(Collector, CommandListener):
    """Counts each command once. The first ones used have their names on the page, up to the bound."""

    noun: ClassVar[str] = "commands"

    def __init__(self, context: Context) -> None:
        assert context.client is not None  # noqa: S101 - collectors of the client are made with one
        instruments, settings = context.instruments, context.settings
        self._view: ClientView = context.client
        self._report = context.report
        self._bound = settings.max_commands
        self._total = instruments.counter(scaled(catalogue.COMMANDS_TOTAL, self._bound))
        self._by_command = instruments.histogram(scaled(catalogue.COMMAND_DURATION_BY_COMMAND_SECONDS, self._bound))
        self._errors = instruments.counter(scaled(catalogue.COMMAND_ERRORS_TOTAL, self._bound))
        durations = instruments.histogram(catalogue.COMMAND_DURATION_SECONDS)
        self._durations = {kind: durations.labels(kind) for kind in COMMAND_TYPES}
        self._in_flight = instruments.gauge(catalogue.COMMANDS_IN_FLIGHT).labels()
        self._running = 0
        registered = instruments.gauge(catalogue.COMMANDS_REGISTERED)
        self._registered = {kind: registered.labels(kind) for kind in COMMAND_TYPES}
        self._names: Mapping[str, frozenset[str]] = {}
        self._known: set[str] = set()
        self._used: set[tuple[str, str]] = set()
        self._view.commands.rules = {**RULES, **dict(settings.outcomes)}
        self._view.commands.listeners.append(self)

    @property
    def degraded(self) -> bool:
        """Whether app commands are seen by the public way only."""
        return self._view.commands.degraded

    def sample(self) -> None:
        """Say how many commands run, and which there are; O(1) while they are the same."""
        self._in_flight.value = self._running
        names = self._view.commands.registered()
        if names is not self._names:
            self._names = names
            for kind, cell in self._registered.items():
                cell.value = len(names[kind])
            self._announce({(command, kind) for kind in COMMAND_TYPES for command in names[kind]})

    def _announce(self, registered: set[tuple[str, str]]) -> None:
        """Let the series of registered commands exist, if all have room; else each takes its own when it is used."""
        names = self._known.union(command for command, _ in registered)
        pairs = len(self._used | registered)
        if len(names) <= self._bound and pairs * len(ZEROS) <= self._total.metric.series * _ZEROS_SHARE:
            for command, kind in sorted(registered):
                self._make_room(command, kind)

    def began(self, kind: str) -> None:  # noqa: ARG002
        """One more runs."""
        self._running += 1

    def ended(self, end: CommandEnd) -> None:
        """Count it, whatever its outcome."""
        self._running -= 1
        command = self._make_room(end.command, end.type)
        self._total.labels(end.command, end.type, end.outcome).value += 1
        self._durations[end.type].observe(end.seconds)
        self._by_command.labels(command).observe(end.seconds)
        if end.error is not None and end.outcome != OK:
            self._fail(end, command, end.error)

    def _make_room(self, command: str, kind: str) -> str:
        """The label of a command: its name, or ``other`` if it is none of the first ones."""
        if (command, kind) in self._used:
            return command
        if command == OTHER or (command not in self._known and len(self._known) >= self._bound):
            return OTHER
        self._known.add(command)
        self._used.add((command, kind))
        if len(self._total.cells) + len(ZEROS) <= self._total.metric.series:
            for outcome in ZEROS:
                self._total.labels(command, kind, outcome)
        return command

    def _fail(self, end: CommandEnd, command: str, error: BaseException) -> None:
        self._errors.labels(command, type(error).__name__).value += 1
        if end.outcome in FAULTS:
            self._report(error, {"command": end.command, "type": end.type, "outcome": end.outcome})


_Metric = typing.TypeVar("_Metric", catalogue.Counter, catalogue.Histogram)


def scaled(metric: _Metric, bound: int) -> _Metric:
    """The metric as declared, but for the bound of its commands, and the bound of its series in proportion."""
    labels = tuple(
        dataclasses.replace(each, bound=bound) if each is catalogue.COMMAND else each for each in metric.labels
    )
    series = max(1, metric.series * bound // catalogue.COMMAND.bound)
    return dataclasses.replace(metric, labels=labels, series=series)
