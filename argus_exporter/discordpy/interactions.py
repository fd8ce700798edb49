"""Interactions on four clocks: created, received, first answered, ended; followed in a table that is bounded.

Discord takes a first response within 3 s of the creation (interactions/receiving-and-responding) and refuses any later
one, so an interaction is *open* until it is answered or those 3 s are over, and is *kept* some time after that: for the
end of its handler, and for a response that comes too late.
"""

from __future__ import annotations

import logging
import time
import typing
from collections import OrderedDict
from typing import Any, ClassVar, Final

import discord

from argus_exporter.discordpy.parts import Part
from argus_exporter.discordpy.views import Handlers
from argus_exporter.discordpy.wire import HttpListener

if typing.TYPE_CHECKING:
    from collections.abc import Callable

    from argus_exporter.discordpy.view import ClientView
    from argus_exporter.discordpy.wire import Exchange

DEADLINE: Final = 3.0
"""Seconds from its creation in which an interaction can be answered."""

MAX_AGE: Final = 60.0
"""Seconds from its receipt after which an interaction is no longer followed; only its handler's end is still told."""

MAX_PENDING: Final = 10_000
"""Interactions that are followed at once."""

_SWEPT: Final = 200
"""How many at most are looked at for their age at a time; a sample looks at all."""

_PLAUSIBLE: Final = 3600.0
"""Seconds between creation and receipt, either way, beyond which one of the clocks is not worth believing."""

_DISCORD_EPOCH: Final = discord.utils.DISCORD_EPOCH / 1000
_EVENT: Final = "INTERACTION_CREATE"
_COMMANDS: Final = {1: "slash", 2: "user", 3: "message"}
_OTHERS: Final = {3: "component", 4: "autocomplete", 5: "modal"}
_COMMAND: Final = 2

_ACCEPTED: Final = 2
"""The class of a status, and :data:`_REFUSED`."""

_REFUSED: Final = 4
_TOO_MANY: Final = 429

_log: Final = logging.getLogger(__name__)


class Receipt:
    """An interaction that was received, and what has become of it.

    :ivar type: one of :data:`argus_exporter.catalogue.INTERACTION_TYPES`.
    :ivar received: before discord.py's parser ran, by ``time.perf_counter``.
    :ivar received_at: the same moment in epoch seconds by the own clock.
    :ivar created: in epoch seconds by Discord's clock, from the id.
    :ivar trace: the id of a trace that is active in its handler, set by whoever sees it.
    :ivar delivery: seconds from creation to receipt; None while the clock skew is not known.
    :ivar deadline: until when it can be answered, by ``time.perf_counter``; the latest that may be, while the delivery
        is not known.
    :ivar tried: whether anything tried to answer it.
    :ivar answered: whether Discord has accepted an answer.
    :ivar refused: the status of the last answer that it has not accepted; ``error`` where none came.
    :ivar missed: whether the deadline was missed.
    :ivar ended: when its handler ended, by ``time.perf_counter``; None before.
    :ivar waiting: answers that were sent in time and are on their way.
    :ivar whose: what :attr:`Interactions.whose` took from its payload.
    :ivar acked: seconds from receipt to its first accepted response, and :ivar outcome: that of its handler; both set
        by whoever keeps them.
    """

    # what most of them never have costs nothing in the class
    trace: str = ""
    delivery: float | None = None
    tried: bool = False
    answered: bool = False
    refused: str = ""
    missed: bool = False
    ended: float | None = None
    waiting: tuple[Exchange, ...] = ()
    whose: Any = None
    acked: float | None = None
    outcome: str = ""

    def __init__(
        self, interaction_id: int, kind: str, received: float, received_at: float, whose: object = None
    ) -> None:
        if whose is not None:
            self.whose = whose
        self.id = interaction_id
        self.type = kind
        self.received = received
        self.received_at = received_at
        self.created = (interaction_id >> 22) / 1000 + _DISCORD_EPOCH
        self.deadline = received + DEADLINE

    @property
    def overdue(self) -> float:
        """The latest that its deadline can be, however it was delivered."""
        return self.received + DEADLINE


class InteractionListener:
    """Who wants to hear of interactions overrides what it wants. What it raises is caught and counted.

    Each interaction is received once, and then exactly once missed, evicted or answered in time. One that was missed
    may be answered after all; one that nothing tried to answer is told as unanswered when it is no longer followed.
    """

    def received(self, receipt: Receipt) -> None:
        """An interaction came; discord.py has not seen it yet."""

    def delivered(self, receipt: Receipt, seconds: float) -> None:
        """It is known how long it took from its creation to its receipt; not told where the clocks say nonsense."""

    def answered(self, receipt: Receipt, exchange: Exchange) -> None:
        """Discord has accepted the first response."""

    def refused(self, exchange: Exchange) -> None:
        """Discord has refused a response, perhaps to an interaction that is not followed."""

    def missed(self, receipt: Receipt) -> None:
        """The deadline has passed, and no response was accepted that had been sent in time."""

    def unanswered(self, receipt: Receipt) -> None:
        """It is no longer followed, and nothing has tried to answer it."""

    def evicted(self, receipt: Receipt) -> None:
        """It is no longer followed, because there are too many of them; it could still have been answered."""

    def failed(self, receipt: Receipt, outcome: str, error: BaseException) -> None:
        """The handler of a view, a modal or a dynamic item has raised, just before its end is told."""

    def ended(self, receipt: Receipt, outcome: str) -> None:
        """Its handler has ended; told once."""

    def left(self, receipt: Receipt) -> None:
        """It is no longer followed, after whatever else is told of it; told once."""


_RECEIVED: Final = InteractionListener.received
_DELIVERED: Final = InteractionListener.delivered
_ANSWERED: Final = InteractionListener.answered
_ENDED: Final = InteractionListener.ended
_LEFT: Final = InteractionListener.left


class Interactions(Part[InteractionListener], HttpListener):
    """Follows each interaction from its receipt to its first response and to the end of its handler.

    :ivar whose: takes from an interaction's payload what else is to be kept of it; None where nobody wants any.
    :ivar active_trace: asks for the id of the trace that is active where a response goes out; None where nobody does.
    :ivar now: ``time.perf_counter``, and :ivar epoch: ``time.time``, or what stands for them.
    """

    noun: ClassVar[str] = "interactions"

    def __init__(self, view: ClientView) -> None:
        super().__init__(view)
        self.whose: Callable[[Any], object] | None = None
        self.active_trace: Callable[[], str] | None = None
        self.now: Callable[[], float] = time.perf_counter
        self.epoch: Callable[[], float] = time.time
        self._lacking = True  # until it is open
        self._open: OrderedDict[int, Receipt] = OrderedDict()  # a dict is slow at its first item, where many were taken
        self._kept: OrderedDict[int, Receipt] = OrderedDict()
        self._active = False
        self._parsers: dict[str, Callable[[Any], object]] = {}
        self._wrapped: tuple[Callable[[Any], object], Callable[[Any], object]] | None = None
        self._stamp: tuple[float, float] | None = None
        self._handlers = Handlers(self)
        ears = self.listeners.ears
        self._hear_received, self._hear_delivered = ears[_RECEIVED], ears[_DELIVERED]
        self._hear_answered, self._hear_ended, self._hear_left = ears[_ANSWERED], ears[_ENDED], ears[_LEFT]

    @property
    def degraded(self) -> bool:
        """Whether receipts, answers or the ends of views are not seen, or by the public way only."""
        return self._lacking or self._blind

    # ------------------------------------------------------------------------------------- life

    def open(self, state: Any) -> None:
        """Wrap the parser of interactions, and see views and modals end."""
        self.view.journal.afterwards.append((self._tidy,))
        self.view.wire.callbacks.append(self)  # first: without it, all would look unanswered
        self._active = True
        self._parsers = getattr(state, "parsers", {})
        parser = self._parsers.get(_EVENT)
        self._wrapped = None if parser is None else (self._receiving(parser), parser)
        if self._wrapped is None:
            _log.warning("discord.py %s has no parsers: interactions are received the public way", discord.__version__)
        else:
            self._parsers[_EVENT] = self._wrapped[0]
        seen = self._handlers.open(state)
        self._lacking = parser is None or not seen

    def park(self) -> None:
        """Without the parser, pair the public event's time with the interaction that is dispatched after it."""
        if self._wrapped is None:
            self.view.on("socket_event_type", self._announced)
            self.view.on("interaction", self._dispatched)

    def close(self) -> None:
        """Give everything back. Interactions that are followed now are not told of any more."""
        self._active = False
        if (self._tidy,) in self.view.journal.afterwards:
            self.view.journal.afterwards.remove((self._tidy,))
        if self in self.view.wire.callbacks:
            self.view.wire.callbacks.remove(self)
        if self._wrapped is not None and self._parsers.get(_EVENT) is self._wrapped[0]:
            self._parsers[_EVENT] = self._wrapped[1]
        self._open.clear()
        self._kept.clear()
        self._handlers.close()

    # ------------------------------------------------------------------------------------- what others ask and tell

    def receipt_of(self, interaction_id: int) -> Receipt | None:
        """What is known of an interaction: until it is answered and has ended, or is too old."""
        self.view.journal.settle()
        return self.find(interaction_id)

    def find(self, interaction_id: int) -> Receipt | None:
        """As :meth:`receipt_of`, by what is accounted for."""
        return self._open.get(interaction_id) or self._kept.get(interaction_id)

    def end(
        self,
        interaction_id: int,
        outcome: str,
        receipt: Receipt | None = None,
        error: BaseException | None = None,
        at: float | None = None,
    ) -> None:
        """Whoever sees a handler end tells it here; only the first end of an interaction counts.

        :param receipt: as it was when the handler began: it is found by its id for :data:`MAX_AGE` only.
        :param error: what it raised, where nobody else tells of it.
        :param at: when it ended, by :attr:`now`; now where not given.
        """
        ending = receipt or self.find(interaction_id)
        if ending is None or ending.ended is not None or not self._active:
            return
        ending.ended = self.now() if at is None else at
        leaves = ending.answered and self._kept.pop(interaction_id, None) is not None
        if error is not None:
            self.tell(InteractionListener.failed, ending, outcome, error)
        for hear in self._hear_ended:
            try:
                hear(ending, outcome)
            except Exception as exception:  # noqa: BLE001 - nothing of ours may raise into the bot
                self.view.note_error(self.noun, exception)
        if leaves:
            self._leave(ending)

    def settle(self) -> int | None:
        """Look for what is over, and say how many interactions are open; None where their answers cannot be seen."""
        self.view.journal.settle()
        now = self.now()
        self.view.wire.tell_flying()
        for receipt in [each for each in self._open.values() if now > each.deadline]:
            self._check(receipt, now)
        self._sweep(now, 2 * MAX_PENDING)
        return None if self._blind else len(self._open)

    def followed(self) -> list[Receipt]:
        """What has not left yet, oldest first."""
        self.view.journal.settle()
        return sorted((*self._open.values(), *self._kept.values()), key=lambda receipt: receipt.received)

    @property
    def _blind(self) -> bool:
        return not self.view.wire.hooked

    # ------------------------------------------------------------------------------------- received

    def _receiving(self, parser: Callable[[Any], object]) -> Callable[[Any], object]:
        journal, take, whose, kinds, others = self.view.journal, self._take, self.whose, _COMMANDS, _OTHERS
        notes, settle = journal.notes, journal.settle

        def parse(data: Any) -> object:
            if self._active:
                try:
                    # what is kept of it is little: the memory of the rest is used again, and is in the caches then
                    number, now, epoch = data["type"], self.now, self.epoch  # attributes, no methods: called as such
                    kind = kinds[data["data"]["type"]] if number == _COMMAND else others[number]
                    notes.append((take, int(data["id"]), kind, now(), epoch(), None if whose is None else whose(data)))
                except (LookupError, TypeError, ValueError):
                    pass  # of no type that is known, or no such thing
                if len(notes) >= journal.limit:
                    settle()
            return parser(data)

        return parse

    def _announced(self, event: object) -> None:
        if event == _EVENT:
            self._stamp = self.now(), self.epoch()

    def _dispatched(self, interaction: discord.Interaction[Any]) -> None:
        self.view.journal.settle()
        stamp, self._stamp = self._stamp or (self.now(), self.epoch()), None
        data: Any = interaction.data
        number = interaction.type.value
        kind = _COMMANDS[data["type"]] if number == _COMMAND else _OTHERS[number]
        whose = None if self.whose is None else self.whose(_payload_of(interaction))
        self._take((None, interaction.id, kind, *stamp, whose))

    def _take(self, note: tuple[object, int, str, float, float, object]) -> None:
        _, interaction_id, kind, received, received_at, whose = note
        open_, kept = self._open, self._kept
        if interaction_id in open_ or interaction_id in kept:
            return
        try:
            receipt = Receipt(interaction_id, kind, received, received_at, whose)
        except OverflowError:
            return  # no id of Discord's has hundreds of digits
        if len(open_) + len(kept) >= MAX_PENDING:
            self._evict()
        open_[interaction_id] = receipt
        for hear in self._hear_received:
            try:
                hear(receipt)
            except Exception as error:  # noqa: BLE001
                self.view.note_error(self.noun, error)
        view = self.view
        skew = view.clock.skew
        if not view.wire.hooked:
            self._date(receipt, skew or 0.0)
            receipt.answered = True  # for all that could be known
            self._keep(receipt)
        elif skew is not None:
            self._date(receipt, skew)
            if received > receipt.deadline:
                self._check(receipt, received)

    def _date(self, receipt: Receipt, skew: float) -> None:
        """Find out when it was created by the own clock."""
        seconds = receipt.received_at - receipt.created - skew
        plausible = -_PLAUSIBLE <= seconds <= _PLAUSIBLE
        receipt.delivery = delivery = seconds if plausible and seconds > 0 else 0.0
        receipt.deadline -= delivery
        if plausible:
            for hear in self._hear_delivered:
                try:
                    hear(receipt, delivery)
                except Exception as error:  # noqa: BLE001
                    self.view.note_error(self.noun, error)

    def _tidy(self, _: object) -> None:
        """Look for what is over, if there may be such."""
        now, first, oldest = self.now(), _first(self._open), _first(self._kept)
        if (first and now > first.overdue) or (oldest and now > oldest.received + MAX_AGE):
            self.view.wire.tell_flying()
            self._sweep(now, _SWEPT)

    # ------------------------------------------------------------------------------------- answered

    def sent(self, exchange: Exchange) -> None:
        """A request has gone out, perhaps a response, and has no answer yet."""
        if exchange.interaction_id is None or (receipt := self.find(exchange.interaction_id)) is None:
            return
        self._try(receipt, exchange)
        if receipt.id in self._open:
            receipt.waiting += (exchange,)
        if self.active_trace is not None:
            receipt.trace = receipt.trace or self.active_trace()

    def _try(self, receipt: Receipt, exchange: Exchange) -> None:
        """A response goes out, or went out, perhaps too late."""
        receipt.tried = True
        if (receipt.delivery is None or exchange.sent > receipt.deadline) and receipt.id in self._open:
            self._check(receipt, exchange.sent)

    def done(self, exchange: Exchange) -> None:
        """Discord has answered a request, or has not.

        429, 5xx and no answer at all are neither: discord.py tries again.
        """
        if exchange.interaction_id is None:
            return
        accepted, receipt = exchange.code // 100 == _ACCEPTED, self._open.get(exchange.interaction_id)
        if accepted and receipt and receipt.delivery is not None and exchange.sent <= receipt.deadline:
            receipt.tried = True  # as nearly all are: nothing else is to be asked
            self._accept(receipt, exchange)
            return
        receipt = receipt or self._kept.get(exchange.interaction_id)
        if receipt is not None:
            if not exchange.told:
                self._try(receipt, exchange)
            self._answer(receipt, exchange)
        if exchange.code // 100 == _REFUSED and exchange.code != _TOO_MANY:
            self.tell(InteractionListener.refused, exchange)

    def _answer(self, receipt: Receipt, exchange: Exchange) -> None:
        if receipt.waiting:
            receipt.waiting = tuple(each for each in receipt.waiting if each is not exchange)
        if receipt.answered:
            return
        if exchange.code // 100 == _ACCEPTED:
            if receipt.delivery is None:
                self._date(receipt, self.view.clock.skew or 0.0)
            self._accept(receipt, exchange)
            return
        receipt.refused = exchange.status
        if receipt.id in self._kept:
            self._miss(receipt)

    def _accept(self, receipt: Receipt, exchange: Exchange) -> None:
        """Discord has accepted the first response: what else is on its way decides nothing any more."""
        receipt.answered, receipt.waiting = True, ()
        self._keep(receipt)
        for hear in self._hear_answered:
            try:
                hear(receipt, exchange)
            except Exception as error:  # noqa: BLE001
                self.view.note_error(self.noun, error)
        if receipt.ended is not None:
            self._leave(receipt)

    # ------------------------------------------------------------------------------------- over

    def _check(self, receipt: Receipt, now: float) -> None:
        """Whether the deadline of an open interaction has passed."""
        skew = self.view.clock.skew
        if receipt.delivery is None and (skew is not None or now > receipt.deadline):
            self._date(receipt, skew or 0.0)
        if now > receipt.deadline and receipt.delivery is not None:
            self._keep(receipt)
            self._miss(receipt)

    def _miss(self, receipt: Receipt) -> None:
        """Its deadline has passed; what is on its way decides."""
        if not (receipt.missed or receipt.waiting):
            receipt.missed = True
            self.tell(InteractionListener.missed, receipt)

    def _keep(self, receipt: Receipt) -> None:
        """It is no longer open, and is kept unless all is known of it."""
        self._open.pop(receipt.id, None)
        if receipt.answered and receipt.ended is not None:
            self._kept.pop(receipt.id, None)
        else:
            self._kept[receipt.id] = receipt

    def _sweep(self, now: float, most: int) -> None:
        """Take out what is over, oldest first."""
        for _ in range(most):
            if (first := _first(self._open)) and now > first.overdue:
                self._check(first, now)
            elif (first := _first(self._kept)) and now > first.received + MAX_AGE:
                self._drop(self._kept.pop(first.id))
                self._forget(first)
            else:
                break

    def _evict(self) -> None:
        """Make room: for what can still be answered at the cost of what cannot."""
        if self._kept:
            self._drop(receipt := self._kept.popitem(last=False)[1])
            self._forget(receipt)
        else:
            self._drop(receipt := self._open.popitem(last=False)[1])
            self.tell(InteractionListener.evicted, receipt)
            self._leave(receipt)

    def _drop(self, receipt: Receipt) -> None:
        """It can no longer be found: a command that runs is given it."""
        run = self.view.commands.runs.get(receipt.id)
        if run is not None:
            run.date(receipt)

    def _forget(self, receipt: Receipt) -> None:
        """Follow it no longer."""
        if not receipt.answered:
            receipt.waiting = ()
            self._miss(receipt)
            if not receipt.tried:
                self.tell(InteractionListener.unanswered, receipt)
        self._leave(receipt)

    def _leave(self, receipt: Receipt) -> None:
        for hear in self._hear_left:
            try:
                hear(receipt)
            except Exception as error:  # noqa: BLE001
                self.view.note_error(self.noun, error)


def _payload_of(interaction: discord.Interaction[Any]) -> dict[str, Any]:
    """As much of the payload as can be told from what discord.py made of it."""
    return {
        "guild_id": interaction.guild_id,
        "channel_id": interaction.channel_id,
        "user": {"id": interaction.user.id, "username": interaction.user.name, "bot": interaction.user.bot},
    }


def _first(table: OrderedDict[int, Receipt]) -> Receipt | None:
    return next(iter(table.values()), None)
