"""What a process without a discord.py client says of itself: the same metrics as a client's collectors fill.

Nothing of it raises into the bot, any thread may record, and what cannot be counted is left out, counted, logged once.
"""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Mapping
from typing import Final, TypeVar

from argus_exporter import catalogue
from argus_exporter.catalogue import COMMANDS_TOTAL, INTERACTIONS_HANDLED_TOTAL, OTHER
from argus_exporter.custom import CounterHandle, Custom, HistogramHandle

if typing.TYPE_CHECKING:
    from collections.abc import Callable

    from argus_exporter.catalogue import Counter, Gauge, Histogram, Metric

ByShard = Mapping[int, float | None]
AnyMetric = TypeVar("AnyMetric", catalogue.Counter, catalogue.Histogram)
Asked = TypeVar("Asked", bound="Callable[[], float | ByShard | None]")

_FAULTS: Final = ("bot_error", "discord_error")


class Scale(typing.Protocol):
    """Changes the bounds of a metric of commands."""

    def __call__(self, metric: AnyMetric, bound: int, /) -> AnyMetric:
        """The metric with another bound of command names."""
        ...


class End(typing.NamedTuple):
    """What is told of a command or of another interaction that has ended; ``metric`` is the one that counts them."""

    metric: Metric
    command: str
    type: str
    seconds: float | None
    outcome: str
    error: BaseException | None


class Manual:
    """Counts what it is told, and asks what it was given to ask.

    :param errors: is told what was caught, and by whom.
    :param report: takes an exception of the bot's to the error log.
    :param outcome_of: how a command ended that raised this.
    :param scale: gives a metric the bound of command names that is set, ``max_commands``.
    :ivar attached: whether a client is watched: then its collectors count, and nothing is taken here.
    """

    def __init__(
        self,
        custom: Custom,
        errors: Callable[[str, BaseException], None],
        report: Callable[[BaseException, Mapping[str, str]], None],
        outcome_of: Callable[[BaseException], str],
        scale: Scale,
        max_commands: int,
    ) -> None:
        self.attached = False
        self._custom = custom
        self._instruments = custom.instruments
        self._errors = errors
        self._report = report
        self._outcome_of = outcome_of
        self._scale = scale
        self._max_commands = max_commands
        self._counters: dict[str, CounterHandle] = {}
        self._histograms: dict[str, HistogramHandle] = {}
        self._asked: dict[Gauge, Callable[[], float | ByShard | None]] = {}

    def ended(self, end: End) -> None:
        """Count an interaction or a command whose handler has ended."""
        error = end.error if isinstance(end.error, BaseException) else None
        outcome = end.outcome or (self._outcome_of(error) if error else "bot_error" if end.error else "ok")
        labels = {"type": end.type, "outcome": outcome}
        if not self._knows(end.metric, labels):
            return
        if end.metric is COMMANDS_TOTAL:
            labels["command"] = OTHER if outcome == "not_found" else end.command
            self._command(end, labels, error)
        if end.type in catalogue.INTERACTION_TYPES:
            self._count(catalogue.INTERACTIONS_TOTAL, labels)
            self._count(INTERACTIONS_HANDLED_TOTAL, labels)
            self._observe(catalogue.INTERACTION_DURATION_SECONDS, labels, end.seconds)
        if error is not None and outcome in _FAULTS:
            self._report(error, labels)

    def _command(self, end: End, labels: Mapping[str, str], error: BaseException | None) -> None:
        self._count(COMMANDS_TOTAL, labels)
        self._observe(catalogue.COMMAND_DURATION_SECONDS, labels, end.seconds)
        self._observe(catalogue.COMMAND_DURATION_BY_COMMAND_SECONDS, labels, end.seconds)
        if error is not None and labels["outcome"] != "ok":
            self._count(catalogue.COMMAND_ERRORS_TOTAL, {**labels, "error": type(error).__name__})

    def rate_limited(self, scope: str) -> None:
        """Count a response 429."""
        if self._knows(catalogue.HTTP_RATE_LIMITED_TOTAL, {"scope": scope}):
            self._count(catalogue.HTTP_RATE_LIMITED_TOTAL, {"scope": scope})

    def guarded(self, metric: Metric, do: Callable[[], None]) -> None:
        """Do something for a metric, unless a client is attached; what it raises is counted."""
        try:
            if self.attached:
                self._custom.leave_out(metric.name, "recorded by hand though a client is watched, which counts it")
            else:
                do()
        except Exception as error:  # noqa: BLE001 - nothing of ours may raise into the bot
            self._errors("exporter", error)

    def _knows(self, metric: Metric, given: Mapping[str, str]) -> bool:
        for label in metric.labels:
            if label.values and given[label.name] not in label.values:
                self._custom.leave_out(metric.name, f"of another {label.name} than {', '.join(label.values)}")
                return False
        return True

    def ask(self, metric: Gauge, callback: Asked) -> Asked:
        """Ask a callback at each sample.

        :raises TypeError: if it is a coroutine function.
        """
        if inspect.iscoroutinefunction(callback):
            msg = f"{metric.name} is asked for at each scrape, by a function that answers at once; not by a coroutine"
            raise TypeError(msg)
        self.guarded(metric, lambda: self._asked.update({metric: callback}))
        return callback

    def sample(self) -> None:
        """Ask the callbacks; on the owner's thread."""
        for metric, callback in list(self._asked.items()):
            try:
                answer = _answer(callback())
            except Exception as error:  # noqa: BLE001 - the user's code
                self._errors("exporter", error)
                answer = None
            if metric is catalogue.SHARD_GUILDS:
                total = sum(answer.values()) if isinstance(answer, dict) else answer
                self._instruments.gauge(catalogue.GUILDS).labels().set(total)
                answer = answer if isinstance(answer, dict) else {}
            self._fill(metric, answer if isinstance(answer, dict) else {"0": answer})

    def _fill(self, metric: Gauge, by_shard: Mapping[str, float | None]) -> None:
        family = self._instruments.gauge(metric)
        for shard in by_shard:
            family.labels(shard)
        for key, cell in family.cells.items():
            cell.set(by_shard.get(key[0]))

    def _bounded(self, metric: AnyMetric) -> AnyMetric:
        return self._scale(metric, self._max_commands) if catalogue.COMMAND in metric.labels else metric

    def _count(self, metric: Counter, labels: Mapping[str, str]) -> None:
        counter = self._counters.get(metric.name)
        if counter is None:
            with self._custom.ledger.lock:
                counter = CounterHandle(self._custom, self._instruments.counter(self._bounded(metric)))
            self._counters[metric.name] = counter
        counter.labels(*[labels[name] for name in metric.label_names]).inc()

    def _observe(self, metric: Histogram, labels: Mapping[str, str], seconds: float | None) -> None:
        if seconds is None:
            return
        histogram = self._histograms.get(metric.name)
        if histogram is None:
            with self._custom.ledger.lock:
                histogram = HistogramHandle(self._custom, self._instruments.histogram(self._bounded(metric)))
            self._histograms[metric.name] = histogram
        histogram.labels(*[labels[name] for name in metric.label_names]).observe(seconds)


def _answer(answer: float | ByShard | None) -> dict[str, float] | float | None:
    """What a callback said, as far as it is known: neither None nor nan nor infinite."""
    if isinstance(answer, Mapping):
        known = {str(int(shard)): _answer(value) for shard, value in answer.items()}
        return {shard: value for shard, value in known.items() if isinstance(value, int | float)}
    return answer if answer is not None and math.isfinite(answer) else None


class ManualMethods:
    """What an exporter offers to a process that has no discord.py client.

    Where a client is watched they count nothing (its collectors do), which is logged once.
    """

    manual: Manual

    def record_command(
        self,
        name: str,
        seconds: float | None = None,
        *,
        type: str = "slash",  # noqa: A002 - the label's name
        outcome: str = "",
        error: BaseException | None = None,
    ) -> None:
        """Count a command that has ended, and the interaction that it was, unless it is a prefix command.

        :param name: the command's, with its groups: "shop buy". Never what a user has typed.
        :param seconds: from its receipt to its end; not observed if not given.
        :param type: slash, user, message or prefix.
        :param outcome: one of the outcomes in the README; if not given, ok, or what the table of outcomes says of the
            error (``ARGUS_OUTCOMES`` adds to it), which is mostly bot_error.
        :param error: what it raised; its class becomes a label.
        """
        self._record(End(COMMANDS_TOTAL, name, type, seconds, outcome, error))

    def record_component(
        self, seconds: float | None = None, *, outcome: str = "", error: BaseException | None = None
    ) -> None:
        """Count a click on a component whose handler has ended; as :meth:`record_command`."""
        self._record(End(INTERACTIONS_HANDLED_TOTAL, "", "component", seconds, outcome, error))

    def record_autocomplete(
        self, seconds: float | None = None, *, outcome: str = "", error: BaseException | None = None
    ) -> None:
        """Count an autocompletion that has ended; as :meth:`record_command`."""
        self._record(End(INTERACTIONS_HANDLED_TOTAL, "", "autocomplete", seconds, outcome, error))

    def record_rate_limit(self, scope: str = "user") -> None:
        """Count a response 429 by whose limit it was: user, global, shared or cloudflare."""
        self.manual.guarded(catalogue.HTTP_RATE_LIMITED_TOTAL, lambda: self.manual.rate_limited(scope))

    def _record(self, end: End) -> None:
        self.manual.guarded(end.metric, lambda: self.manual.ended(end))

    def on_latency(self, callback: Asked) -> Asked:
        """Ask a function for the gateway's latency at each sample: seconds, or seconds by shard id.

        It runs on the event loop and must answer at once. None, nan and what it raises leave the series out. The last
        function counts; it is returned, so this is a decorator too.

        :raises TypeError: if it is a coroutine function.
        """
        return self.manual.ask(catalogue.SHARD_LATENCY_SECONDS, callback)

    def on_guilds(self, callback: Asked) -> Asked:
        """Ask a function for the number of guilds at each sample, or their numbers by shard id; as :meth:`on_latency`.

        :raises TypeError: if it is a coroutine function.
        """
        return self.manual.ask(catalogue.SHARD_GUILDS, callback)
