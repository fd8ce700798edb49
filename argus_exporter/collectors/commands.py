"""Commands: how they ended, how long they took, which there are."""

from __future__ import annotations

import dataclasses
import typing
from typing import ClassVar, Final

from argus_exporter import catalogue
from argus_exporter.catalogue import COMMAND_TYPES, OTHER
from argus_exporter.collectors.base import Collector, Context, word
from argus_exporter.discordpy import CommandListener
from argus_exporter.discordpy.outcomes import FAULTS, OK
from argus_exporter.instruments import Pile

if typing.TYPE_CHECKING:
    from collections.abc import Mapping

    from argus_exporter.discordpy import ClientView, Run
    from argus_exporter.instruments import CounterCell, HistogramCell

ZEROS: Final = (OK, *FAULTS)
"""Outcomes that exist at 0, so that the first of them moves ``rate()``."""

_ZEROS_SHARE: Final = 2 / 3
"""Of the series of ``discord_commands_total``, how many commands that nobody has used yet may take."""


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class Row:
    """The cells of one command of one type.

    :ivar ok: None where there was no room for it.
    """

    durations: Pile
    by_command: HistogramCell
    ok: CounterCell | None = None


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
        self._durations = {kind: Pile(durations.labels(kind)) for kind in COMMAND_TYPES}
        self._piles = self._view.journal.piles
        self._traced = instruments.active_trace is not None  # a trace's own observations are not piled up
        self._in_flight = instruments.gauge(catalogue.COMMANDS_IN_FLIGHT).labels()
        registered = instruments.gauge(catalogue.COMMANDS_REGISTERED)
        self._registered = {kind: registered.labels(kind) for kind in COMMAND_TYPES}
        self._names: Mapping[str, frozenset[str]] = {}
        self._known: set[str] = set()
        self._rows: dict[tuple[str, str], Row] = {}
        self._view.commands.listeners.append(self)

    @property
    def degraded(self) -> bool:
        """Whether app commands are seen by the public way only."""
        return self._view.commands.degraded

    def sample(self) -> None:
        """Say how many commands run, and which there are; O(1) while they are the same."""
        self._view.journal.settle()
        self._in_flight.value = self._view.commands.running()
        names = self._view.commands.registered()
        if names is not self._names:
            self._names = names
            for kind, cell in self._registered.items():
                cell.value = len(names[kind])
            self._announce({(command, kind) for kind in COMMAND_TYPES for command in names[kind]})

    def _announce(self, registered: set[tuple[str, str]]) -> None:
        """Let the series of registered commands exist, if all have room; else each takes its own when it is used."""
        names = self._known.union(command for command, _ in registered)
        pairs = len(self._rows.keys() | registered)
        if len(names) <= self._bound and pairs * len(ZEROS) <= self._total.metric.series * _ZEROS_SHARE:
            for command, kind in sorted(registered):
                self._admit(command)
                self._make_room(word(command), kind)

    def ended(self, run: Run) -> None:
        """Count it, whatever its outcome."""
        row = self._rows.get((run.command, run.type)) or self._row(run.command, run.type)
        if run.outcome == OK and row.ok is not None:
            row.ok.value += 1
        else:
            self._total.labels(word(run.command), run.type, run.outcome).value += 1
        seconds = run.seconds
        if self._traced:
            trace = "" if run.receipt is None else run.receipt.trace
            row.durations.cell.observe(seconds, trace)
            row.by_command.observe(seconds, trace)
        else:
            row.by_command.observe(seconds)  # of one command there are few at a time
            values = row.durations.values
            if not values:
                self._piles.append(row.durations)
            values.append(seconds)
        if run.error is not None and run.outcome != OK:
            self._fail(run, run.error)

    def _row(self, command: str, kind: str) -> Row:
        """The cells of a command that has none yet; they are kept if it is one of the first ones."""
        label = self._admit(command)
        row = Row(self._durations[kind], self._by_command.labels(label))
        if label != OTHER:
            self._rows[command, kind] = row
            row.ok = self._make_room(command, kind)
        return row

    def _admit(self, command: str) -> str:
        """The label of a command: its name, or ``other`` if it is none of the first ones, or seems to have an id in it.

        Bots add commands while they run, and name them after whatever they are for.
        """
        if word(command) != OTHER and len(self._known) < self._bound:
            self._known.add(command)
        return command if command in self._known else OTHER

    def _make_room(self, command: str, kind: str) -> CounterCell | None:
        """Let the outcomes that are watched exist; the cell of ok, if all have room."""
        if len(self._total.cells) + len(ZEROS) > self._total.metric.series:
            return None
        ok, *_ = [self._total.labels(command, kind, outcome) for outcome in ZEROS]
        return ok

    def _fail(self, run: Run, error: BaseException) -> None:
        self._errors.labels(self._admit(run.command), type(error).__name__).value += 1
        if run.outcome in FAULTS:
            facts = {"command": run.command, "type": run.type, "outcome": run.outcome, "shard": run.shard}
            trace = run.receipt.trace if run.receipt else ""
            self._report(error, {**facts, "trace_id": trace} if trace else facts)


_Metric = typing.TypeVar("_Metric", catalogue.Counter, catalogue.Histogram)


def scaled(metric: _Metric, bound: int) -> _Metric:
    """The metric as declared, but for the bound of its commands: each takes as many series as it is declared with."""
    commands = catalogue.COMMAND
    labels = tuple(dataclasses.replace(each, bound=bound) if each is commands else each for each in metric.labels)
    series = metric.series + metric.series // commands.bound * (bound - commands.bound)
    return dataclasses.replace(metric, labels=labels, series=series)
