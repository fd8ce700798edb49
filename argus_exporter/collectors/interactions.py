"""Interactions: delivered, answered, ended, how long each took, and those whose 3 s were missed."""

from __future__ import annotations

import typing
from typing import ClassVar

from argus_exporter import catalogue
from argus_exporter.collectors.base import Collector, Context
from argus_exporter.discordpy import InteractionListener
from argus_exporter.discordpy.outcomes import FAULTS, unwrap
from argus_exporter.instruments import Pile

if typing.TYPE_CHECKING:
    from argus_exporter.discordpy import ClientView, Exchange, Receipt
    from argus_exporter.instruments import CounterCell


class InteractionsCollector(Collector, InteractionListener):
    """Counts interactions by type, from their receipt to their end."""

    noun: ClassVar[str] = "interactions"

    def __init__(self, context: Context) -> None:
        instruments, view = context.instruments, context.client
        assert view is not None  # noqa: S101 - collectors of the client are made with one
        self._view: ClientView = view
        self._report = context.report
        view.interactions.active_trace = instruments.active_trace
        view.journal.hurry(self.noun, needed=instruments.active_trace is not None)
        received = instruments.counter(catalogue.INTERACTIONS_TOTAL)
        self._handled = instruments.counter(catalogue.INTERACTIONS_HANDLED_TOTAL)
        self._in_flight = instruments.gauge(catalogue.INTERACTIONS_IN_FLIGHT).labels()
        self._delivery = instruments.histogram(catalogue.INTERACTION_DELIVERY_SECONDS).labels()
        self._ack = instruments.histogram(catalogue.INTERACTION_ACK_SECONDS)
        self._duration = instruments.histogram(catalogue.INTERACTION_DURATION_SECONDS)
        self._deliveries = Pile(self._delivery)
        self._acks: dict[str, Pile] = {}
        self._ends: dict[tuple[str, str], tuple[CounterCell, Pile]] = {}
        self._durations: dict[str, Pile] = {}
        self._piles = view.journal.piles
        self._traced = instruments.active_trace is not None  # a trace's own observations are not piled up
        self._missed = instruments.counter(catalogue.INTERACTION_DEADLINE_MISSED_TOTAL)
        self._unanswered = instruments.counter(catalogue.INTERACTIONS_UNANSWERED_TOTAL)
        self._refused = instruments.counter(catalogue.INTERACTION_ACK_FAILURES_TOTAL)
        self._evicted = instruments.counter(catalogue.INTERACTIONS_EVICTED_TOTAL)
        # each exists at 0, so that the first of its kind moves rate()
        self._received = {kind: received.labels(kind) for kind in catalogue.INTERACTION_TYPES}
        for kind in catalogue.INTERACTION_TYPES:
            for family in (self._missed, self._unanswered, self._evicted):
                family.labels(kind)
        view.interactions.listeners.append(self)

    @property
    def degraded(self) -> bool:
        """Whether receipts, answers or the ends of views are not seen as they should be."""
        return self._view.interactions.degraded

    def sample(self) -> None:
        """Count what has missed its deadline, and what is in flight."""
        self._in_flight.set(self._view.interactions.settle())
        self._view.journal.settle()  # it has told of some more

    # ------------------------------------------------------------------------------------- what interactions tell

    def received(self, receipt: Receipt) -> None:
        """Count a receipt."""
        self._received[receipt.type].value += 1

    def delivered(self, receipt: Receipt, seconds: float) -> None:
        """Observe the way from Discord to here."""
        if self._traced:
            self._delivery.observe(seconds, receipt.trace)
            return
        values = self._deliveries.values
        if not values:
            self._piles.append(self._deliveries)
        values.append(seconds)

    def answered(self, receipt: Receipt, exchange: Exchange) -> None:
        """Observe the first response that Discord accepted."""
        pile = self._acks.get(receipt.type)
        if pile is None:
            pile = self._acks[receipt.type] = Pile(self._ack.labels(receipt.type))
        seconds = exchange.sent + exchange.seconds - receipt.received
        if self._traced:
            pile.cell.observe(seconds, receipt.trace)
            return
        values = pile.values
        if not values:
            self._piles.append(pile)
        values.append(seconds)

    def refused(self, exchange: Exchange) -> None:
        """Count a response that Discord refused."""
        self._refused.labels(exchange.status).value += 1

    def missed(self, receipt: Receipt) -> None:
        """Count a missed deadline."""
        self._missed.labels(receipt.type).value += 1

    def unanswered(self, receipt: Receipt) -> None:
        """Count an interaction that nothing tried to answer."""
        self._unanswered.labels(receipt.type).value += 1

    def evicted(self, receipt: Receipt) -> None:
        """Count an interaction that is no longer followed."""
        self._evicted.labels(receipt.type).value += 1

    def failed(self, receipt: Receipt, outcome: str, error: BaseException) -> None:
        """Take a fault to the error log, as those of commands are."""
        if outcome in FAULTS:
            self._report(unwrap(error), {"type": receipt.type, "outcome": outcome})

    def ended(self, receipt: Receipt, outcome: str) -> None:
        """Count the end of a handler, and observe how long it took from the receipt."""
        key = receipt.type, outcome
        cells = self._ends.get(key)
        if cells is None:
            kind = receipt.type
            pile = self._durations[kind] = self._durations.get(kind) or Pile(self._duration.labels(kind))
            cells = self._ends[key] = self._handled.labels(*key), pile
        handled, pile = cells
        handled.value += 1
        if receipt.ended is None:
            return
        if self._traced:
            pile.cell.observe(receipt.ended - receipt.received, receipt.trace)
            return
        values = pile.values
        if not values:
            self._piles.append(pile)
        values.append(receipt.ended - receipt.received)
