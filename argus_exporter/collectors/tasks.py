"""The ``discord.ext.tasks`` loops: which run, which are dead, which try for ever."""

from __future__ import annotations

import sys
import typing
from typing import ClassVar

from argus_exporter import catalogue
from argus_exporter.collectors.base import Collector, Context

if typing.TYPE_CHECKING:
    from collections.abc import Callable

    from argus_exporter.discordpy import Followed
    from argus_exporter.instruments import CounterCell, GaugeCell, Instruments


class LoopCells(typing.NamedTuple):
    """The handles of one loop; those of a name are the same, and so are those beyond the bound."""

    iterations: CounterCell
    failures: CounterCell
    overruns: CounterCell
    running: GaugeCell
    dead: GaugeCell
    retrying: GaugeCell
    interval: GaugeCell
    last_success: GaugeCell

    @classmethod
    def of(cls, instruments: Instruments, name: str) -> LoopCells:
        """The handles of a loop; its counters exist at 0 from now on, so that the first event moves ``rate()``."""
        counter, gauge = instruments.counter, instruments.gauge
        return cls(
            iterations=counter(catalogue.TASK_LOOP_ITERATIONS_TOTAL).labels(name),
            failures=counter(catalogue.TASK_LOOP_FAILURES_TOTAL).labels(name),
            overruns=counter(catalogue.TASK_LOOP_OVERRUNS_TOTAL).labels(name),
            running=gauge(catalogue.TASK_LOOP_RUNNING).labels(name),
            dead=gauge(catalogue.TASK_LOOP_DEAD).labels(name),
            retrying=gauge(catalogue.TASK_LOOP_RETRYING).labels(name),
            interval=gauge(catalogue.TASK_LOOP_INTERVAL_SECONDS).labels(name),
            last_success=gauge(catalogue.TASK_LOOP_LAST_SUCCESS_TIMESTAMP_SECONDS).labels(name),
        )


_GAUGES = (
    catalogue.TASK_LOOP_RUNNING,
    catalogue.TASK_LOOP_DEAD,
    catalogue.TASK_LOOP_RETRYING,
    catalogue.TASK_LOOP_INTERVAL_SECONDS,
    catalogue.TASK_LOOP_LAST_SUCCESS_TIMESTAMP_SECONDS,
)


class TasksCollector(Collector):
    """Follows the loops that were found, and those that it was told to watch.

    Loops of one name (two instances of a class) share their series: the counters add up, the gauges tell the worst of
    them: not running if one of them is not, dead if one is, the oldest last success, the longest interval.
    """

    noun: ClassVar[str] = "tasks"

    def __init__(self, context: Context) -> None:
        assert context.loops is not None  # noqa: S101 - collectors of a process are made with it
        self._loops = context.loops
        self._instruments = context.instruments
        self._report = context.report
        self._cells: dict[Followed, LoopCells] = {}
        self._gauges = [context.instruments.gauge(metric) for metric in _GAUGES]
        self._loops.listener = self

    @property
    def degraded(self) -> bool:
        """Whether there is a loop whose iterations cannot be seen."""
        return self._loops.degraded

    def start(self) -> None:
        """Begin to look for loops."""
        self._loops.start()

    async def close(self) -> None:
        """Give the loops back."""
        self._loops.close()

    def sample(self) -> None:
        """Bring the gauges up to date: O(loops)."""
        self._loops.find()
        for family in self._gauges:
            for cell in family.cells.values():
                cell.value = None
        for followed, cells in self._cells.items():
            state = followed.state()
            if state is not None:
                _join(cells.running, min, state.running)
                _join(cells.dead, max, state.dead)
                _join(cells.retrying, max, state.retrying)
                _join(cells.interval, max, state.interval)
                _join(cells.last_success, min, followed.last_success)

    # ------------------------------------------------------------------------------------- what the loops tell

    def found(self, followed: Followed) -> None:
        """A loop was found."""
        self._cells[followed] = LoopCells.of(self._instruments, followed.name)

    def lost(self, followed: Followed) -> None:
        """A loop is gone: so are its gauges, while its counters stay."""
        del self._cells[followed]

    def ended(self, followed: Followed, seconds: float, *, failed: bool) -> None:
        """Count an iteration, and report what it raised."""
        cells, state = self._cells[followed], followed.state()
        cells.iterations.value += 1
        cells.failures.value += failed
        if state is not None and state.interval:  # one of 0 has no pause that could be overrun
            cells.overruns.value += seconds > state.interval
        error = sys.exc_info()[1] if failed else None  # this is told where discord.py has not handled it yet
        if error is not None:
            self._report(error, {"source": "loop", "loop": followed.name})


def _join(cell: GaugeCell, worse: Callable[[float, float], float], value: float | None) -> None:
    if value is not None:
        cell.set(value if cell.value is None else worse(cell.value, value))
