"""Interactions that are answered, too late, never answered and too many, on a clock that is set by hand."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import logging
import random
import types
import typing
from collections import Counter
from typing import Any

import discord
import pytest

from argus_exporter.cog import ClientExporter
from argus_exporter.discordpy import Exchange, InteractionListener, Receipt, interactions
from argus_exporter.discordpy.interactions import DEADLINE, MAX_AGE, Interactions
from argus_exporter.settings import Settings
from examples.discord_simulator import Simulator
from tests.clients import KINDS, PlainBot, PlainClient, logged_in

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

BEGAN = 1_700_000_000.0
"""When the clock that is set by hand begins, in epoch seconds; the other one begins at 0."""

_numbers = itertools.count(1)


class Told(InteractionListener):
    """What was told, in order: what happened and to which type of interaction."""

    def __init__(self) -> None:
        self.all: list[tuple[Any, ...]] = []
        self.receipts: list[Receipt] = []

    def of(self, *names: str) -> list[tuple[Any, ...]]:
        return [one for one in self.all if one[0] in names]

    def received(self, receipt: Receipt) -> None:
        self.receipts.append(receipt)
        self.all.append(("received", receipt.type))

    def delivered(self, receipt: Receipt, seconds: float) -> None:
        self.all.append(("delivered", round(seconds, 3)))

    def answered(self, receipt: Receipt, exchange: Exchange) -> None:
        self.all.append(("answered", receipt.type))

    def refused(self, exchange: Exchange) -> None:
        self.all.append(("refused", exchange.status))

    def missed(self, receipt: Receipt) -> None:
        self.all.append(("missed", receipt.type))

    def unanswered(self, receipt: Receipt) -> None:
        self.all.append(("unanswered", receipt.type))

    def evicted(self, receipt: Receipt) -> None:
        self.all.append(("evicted", receipt.type))

    def ended(self, receipt: Receipt, outcome: str) -> None:
        self.all.append(("ended", outcome))


@dataclasses.dataclass
class World:
    """A client that has logged in, whose interactions are followed on a clock that is set by hand."""

    exporter: ClientExporter
    told: Told
    now: float = 0.0

    @property
    def interactions(self) -> Interactions:
        return self.exporter._view.interactions

    @property
    def errors(self) -> float:
        return sum(cell.value for cell in self.exporter._errors.cells.values())

    def begin(self) -> None:
        self.exporter._view.journal.hurry("tests", needed=True)
        self.interactions.now = lambda: self.now
        self.interactions.epoch = lambda: BEGAN + self.now
        self.exporter._view.clock = types.SimpleNamespace(skew=0.0)  # type: ignore[assignment]

    def skewed(self, skew: float | None) -> None:
        self.exporter._view.clock.skew = skew  # type: ignore[misc]

    def receive(self, kind: int = 3, age: float = 0.1, **changes: Any) -> int:
        """An interaction comes, through whatever stands where discord.py's parser stood; its id."""
        milliseconds = round((BEGAN + self.now - age) * 1000) - discord.utils.DISCORD_EPOCH
        interaction_id = (milliseconds << 22) + next(_numbers) % 4096
        data = {"type": 1, "id": "1", "name": "x", "custom_id": "nobody's", "component_type": 2, "components": []}
        state: Any = self.exporter.client._connection
        state.parsers["INTERACTION_CREATE"](frame(id=str(interaction_id), type=kind, data=data) | changes)
        return interaction_id

    def send(self, interaction_id: int | None) -> Exchange:
        exchange = exchange_of(interaction_id, self.now)
        exchange.told = True
        self.interactions.sent(exchange)
        return exchange

    def reply(self, exchange: Exchange, status: str = "200") -> None:
        exchange.seconds, exchange.code = self.now - exchange.sent, 0 if status == "error" else int(status)
        self.interactions.done(exchange)

    def answer(self, interaction_id: int, status: str = "200") -> None:
        self.reply(self.send(interaction_id), status)

    def later(self, seconds: float) -> int | None:
        """Time goes by, and a sample is taken."""
        self.now += seconds
        return self.interactions.settle()


def exchange_of(interaction_id: int | None, sent: float) -> Exchange:
    exchange = Exchange("POST", "/interactions/{id}/{token}/callback", sent)
    exchange.interaction_id = interaction_id
    return exchange


def frame(**fields: Any) -> dict[str, Any]:
    user = {"id": "7", "username": "u", "discriminator": "0", "avatar": None}
    there = {"version": 1, "token": "t", "application_id": "5", "attachment_size_limit": 1, "user": user}
    return {**there, "channel_id": "3", **fields}


@contextlib.asynccontextmanager
async def followed(make: Callable[[], discord.Client] = PlainClient) -> AsyncIterator[World]:
    async with Simulator(guilds=1) as sim:
        client = make()
        exporter = ClientExporter(client, Settings(port="off", disable="commands"))
        told = Told()
        exporter._view.interactions.listeners[:] = [told]
        exporter.open()
        async with logged_in(client, sim):
            world = World(exporter, told)
            world.begin()
            try:
                yield world
            finally:
                await exporter._view.close()
            assert world.errors == 0


# ------------------------------------------------------------------------------------------------ received


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"type": 2, "data": {"type": 1, "id": "1", "name": "x"}}, "slash"),
        ({"type": 2, "data": {"type": 2, "id": "1", "name": "x"}}, "user"),
        ({"type": 2, "data": {"type": 3, "id": "1", "name": "x"}}, "message"),
        ({"type": 3}, "component"),
        ({"type": 4}, "autocomplete"),
        ({"type": 5}, "modal"),
    ],
)
async def test_each_type_is_received_once_before_discord_py_sees_it(fields: Any, kind: str) -> None:
    async with followed() as world:
        heard: list[list[tuple[Any, ...]]] = []
        world.exporter._view.on("interaction", lambda _: heard.append(list(world.told.all)))
        await asyncio.sleep(0)
        interaction_id = world.receive(**fields)
        assert heard == [[("received", kind), ("delivered", 0.1)]]
        receipt = world.interactions.receipt_of(interaction_id)
        assert receipt is not None
        assert (receipt.id, receipt.type, receipt.received, receipt.received_at) == (interaction_id, kind, 0.0, BEGAN)
        assert receipt.created == pytest.approx(BEGAN - 0.1, abs=0.001)


@pytest.mark.parametrize(
    "odd",
    [
        {},
        None,
        [],
        "text",
        {"id": "x", "type": 3},
        {"id": None, "type": 3},
        {"id": "9" * 4000, "type": 3},
        {"type": 3},
        {"id": "1", "type": 1},
        {"id": "1", "type": 99},
        {"id": "1", "type": []},
        {"id": "1", "type": 2},
        {"id": "1", "type": 2, "data": None},
        {"id": "1", "type": 2, "data": {"type": 4}},
    ],
    ids=str,
)
async def test_an_odd_frame_is_discord_pys_alone(odd: Any) -> None:
    async with followed() as world:
        state: Any = world.exporter.client._connection
        seen: list[object] = []
        await world.exporter._view.close()
        state.parsers["INTERACTION_CREATE"] = lambda data: seen.append(data)  # noqa: PLW0108
        world.exporter._view.open()
        state.parsers["INTERACTION_CREATE"](odd)
        assert seen == [odd]
        assert world.told.all == []
        assert world.errors == 0


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
async def test_every_kind_of_client_is_followed_when_it_is_logged_in_too(kind: Any) -> None:
    async with Simulator(guilds=2, shards=kind.count) as sim:
        client = kind.make()
        async with logged_in(client, sim, len(kind.shards)):
            exporter = ClientExporter(client, Settings(port="off", disable="commands"))
            told = Told()
            exporter._view.interactions.listeners[:] = [told]
            exporter.open()
            assert not exporter._view.interactions.degraded
            World(exporter, told).receive()
            await exporter._view.close()
        assert told.of("received") == [("received", "component")]


async def test_an_interaction_that_comes_twice_is_one() -> None:
    async with followed() as world:
        interaction_id = world.receive()
        world.receive(id=str(interaction_id))
        world.answer(interaction_id)
        world.receive(id=str(interaction_id))
        assert world.told.of("received") == [("received", "component")]


async def test_the_parser_fails_as_it_would_without_us() -> None:
    async with followed() as world:
        state: Any = world.exporter.client._connection
        with pytest.raises(KeyError):
            state.parsers["INTERACTION_CREATE"]({"id": str(5 << 22), "type": 3})
        assert world.told.of("received") == [("received", "component")]


async def test_the_parser_is_given_back_unless_somebody_has_wrapped_ours() -> None:
    async with followed() as world:
        state: Any = world.exporter.client._connection
        ours = state.parsers["INTERACTION_CREATE"]
        await world.exporter._view.close()
        assert state.parsers["INTERACTION_CREATE"] == state.parse_interaction_create
        world.exporter._view.open()
        ours = state.parsers["INTERACTION_CREATE"]
        theirs = state.parsers["INTERACTION_CREATE"] = lambda data: ours(data)  # noqa: PLW0108
        await world.exporter._view.close()
        assert state.parsers["INTERACTION_CREATE"] is theirs
        world.receive()
        assert world.told.all == []
        assert world.interactions not in world.exporter._view.wire.listeners


# ------------------------------------------------------------------------------------------------ delivered


@pytest.mark.parametrize(
    ("age", "skew", "delivery"),
    [(0.25, 0.0, 0.25), (30.25, 30.0, 0.25), (-29.75, -30.0, 0.25), (-0.5, 0.0, 0.0), (2.0, 30.0, 0.0)],
)
async def test_the_delivery_is_corrected_by_the_clock_skew_and_never_negative(
    age: float, skew: float, delivery: float
) -> None:
    async with followed() as world:
        world.skewed(skew)
        world.receive(age=age)
        assert world.told.of("delivered") == [("delivered", delivery)]


@pytest.mark.parametrize("age", [4000.0, -4000.0])
async def test_a_creation_that_is_absurdly_far_away_is_not_believed(age: float) -> None:
    async with followed() as world:
        world.receive(age=age)
        assert world.told.all == [("received", "component")]
        assert world.later(2.9) == 1
        assert world.later(0.2) == 0
        assert world.told.of("delivered", "missed") == [("missed", "component")]


async def test_where_the_skew_is_not_known_the_first_response_tells_it() -> None:
    async with followed() as world:
        world.skewed(None)
        interaction_id = world.receive(age=30.5)
        exchange = world.send(interaction_id)
        assert world.later(1) == 1
        world.skewed(30.0)
        world.reply(exchange)
        assert world.told.of("delivered", "answered", "missed") == [("delivered", 0.5), ("answered", "component")]


async def test_where_the_skew_stays_unknown_it_is_taken_for_0_in_the_end() -> None:
    async with followed() as world:
        world.skewed(None)
        world.receive(age=1)
        world.answer(world.receive(age=0.5))
        world.later(2.9)
        assert world.told.of("delivered", "missed") == [("delivered", 0.5)]
        world.later(0.2)
        assert world.told.of("delivered", "missed") == [("delivered", 0.5), ("delivered", 1.0), ("missed", "component")]


# ------------------------------------------------------------------------------------------------ the deadline


async def test_an_answer_in_time_is_told_once() -> None:
    async with followed() as world:
        interaction_id = world.receive()
        assert world.later(0) == 1
        exchange = world.send(interaction_id)
        world.now = 0.5
        world.reply(exchange)
        assert world.later(0) == 0
        world.answer(interaction_id)
        world.later(2 * MAX_AGE)
        assert world.told.all == [
            ("received", "component"),
            ("delivered", 0.1),
            ("answered", "component"),
        ]


async def test_without_an_answer_the_deadline_is_missed_3_s_after_the_creation_and_not_after_the_receipt() -> None:
    async with followed() as world:
        world.receive(age=1.5)
        assert world.later(1.49) == 1
        assert world.told.of("missed") == []
        assert world.later(0.02) == 0
        world.later(1)
        assert world.told.of("missed") == [("missed", "component")]


async def test_what_is_delivered_too_late_is_missed_at_once_whatever_comes() -> None:
    async with followed() as world:
        interaction_id = world.receive(age=3.5)
        assert world.told.of("missed") == [("missed", "component")]
        world.answer(interaction_id)
        world.later(2 * MAX_AGE)
        assert world.told.of("missed", "answered", "unanswered") == [("missed", "component"), ("answered", "component")]


@pytest.mark.parametrize(("status", "missed"), [("200", []), ("204", []), ("404", [("missed", "component")])])
async def test_what_is_on_its_way_when_the_time_is_over_is_decided_by_its_result(status: str, missed: Any) -> None:
    async with followed() as world:
        exchange = world.send(world.receive())
        assert world.later(5) == 0
        assert world.told.of("missed") == []
        world.reply(exchange, status)
        world.later(2 * MAX_AGE)
        assert world.told.of("missed") == missed
        assert world.told.of("unanswered") == []


async def test_a_request_that_hangs_is_waited_for_no_longer_than_the_interaction_is_followed() -> None:
    async with followed() as world:
        exchange = world.send(world.receive())
        world.later(MAX_AGE + 1)
        world.reply(exchange, "404")
        assert world.told.of("missed", "unanswered", "refused") == [("missed", "component"), ("refused", "404")]


async def test_an_answer_sent_too_late_is_missed_though_no_sample_came_between() -> None:
    async with followed() as world:
        interaction_id = world.receive()
        world.now = 2.95
        world.answer(interaction_id)
        assert world.told.of("missed", "answered") == [("missed", "component"), ("answered", "component")]


async def test_a_refusal_leaves_it_unanswered_and_a_later_answer_may_succeed() -> None:
    async with followed() as world:
        interaction_id = world.receive()
        world.answer(interaction_id, "400")
        assert world.later(1) == 1
        world.answer(interaction_id)
        assert world.told.of("refused", "answered", "missed") == [("refused", "400"), ("answered", "component")]


async def test_a_second_answer_that_is_refused_changes_nothing() -> None:
    async with followed() as world:
        interaction_id = world.receive()
        world.answer(interaction_id)
        world.answer(interaction_id, "400")
        world.later(2 * MAX_AGE)
        assert world.told.of("refused", "answered", "missed", "unanswered") == [
            ("answered", "component"),
            ("refused", "400"),
        ]


@pytest.mark.parametrize("status", ["429", "502", "error"])
async def test_what_discord_py_tries_again_is_no_refusal(status: str) -> None:
    async with followed() as world:
        interaction_id = world.receive()
        world.answer(interaction_id, status)
        assert world.later(1) == 1
        world.answer(interaction_id)
        lost = world.receive()
        world.answer(lost, status)
        world.later(2 * MAX_AGE)
        assert world.told.of("refused", "answered", "missed", "unanswered") == [
            ("answered", "component"),
            ("missed", "component"),
        ]


async def test_refusals_count_where_the_interaction_is_not_followed_too_and_other_requests_do_not() -> None:
    async with followed() as world:
        world.reply(world.send(77), "404")
        world.reply(world.send(None), "404")
        assert world.told.all == [("refused", "404")]


async def test_what_nothing_tried_to_answer_is_told_when_it_is_no_longer_followed() -> None:
    async with followed() as world:
        interaction_id = world.receive()
        world.answer(world.receive(4), "404")
        world.later(MAX_AGE - 1)
        assert world.interactions.receipt_of(interaction_id) is not None
        assert world.told.of("unanswered") == []
        world.later(2)
        assert world.interactions.receipt_of(interaction_id) is None
        assert world.told.of("unanswered") == [("unanswered", "component")]
        assert world.told.of("missed") == [("missed", "component"), ("missed", "autocomplete")]


async def test_what_is_over_is_found_when_another_one_is_received() -> None:
    async with followed() as world:
        world.receive(5)
        world.now = DEADLINE + 0.01
        world.receive()
        assert world.told.of("missed") == [("missed", "modal")]
        world.now = MAX_AGE + 1
        world.receive()
        assert world.told.of("unanswered") == [("unanswered", "modal")]


async def test_a_receipt_looks_at_a_few_and_a_sample_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interactions, "_SWEPT", 2)
    async with followed() as world:
        for _ in range(5):
            world.receive()
        world.now = DEADLINE + 1
        world.receive()
        assert len(world.told.of("missed")) == 2
        world.later(0)
        assert len(world.told.of("missed")) == 5


async def test_a_response_whose_sending_was_not_seen_was_an_attempt_all_the_same() -> None:
    async with followed() as world:
        world.reply(exchange_of(world.receive(), world.now), "404")
        world.reply(exchange_of(world.receive(4), world.now))
        world.later(2 * MAX_AGE)
        assert world.told.of("missed", "unanswered", "answered") == [
            ("answered", "autocomplete"),
            ("missed", "component"),
        ]


async def test_a_clock_that_is_set_changes_nothing_for_what_was_received() -> None:
    async with followed() as world:
        interaction_id = world.receive()
        world.interactions.epoch = lambda: BEGAN - 86_400
        world.answer(interaction_id)
        world.later(2 * MAX_AGE)
        assert world.told.of("missed", "answered") == [("answered", "component")]


# ------------------------------------------------------------------------------------------------ the end


async def test_the_end_of_a_handler_is_told_once_and_found_after_the_answer() -> None:
    async with followed() as world:
        interaction_id = world.receive()
        world.answer(interaction_id)
        world.now = 2.5
        receipt = world.interactions.receipt_of(interaction_id)
        assert receipt is not None
        world.interactions.end(interaction_id, "ok")
        world.interactions.end(interaction_id, "bot_error", receipt)
        assert receipt.ended == 2.5
        assert world.told.of("ended") == [("ended", "ok")]
        assert world.interactions.receipt_of(interaction_id) is None


async def test_one_that_ends_before_its_answer_is_there_is_gone_with_it() -> None:
    async with followed() as world:
        interaction_id = world.receive()
        exchange = world.send(interaction_id)
        world.interactions.end(interaction_id, "ok")
        assert world.interactions.receipt_of(interaction_id) is not None
        world.reply(exchange)
        assert world.interactions.receipt_of(interaction_id) is None
        assert world.told.of("answered", "ended") == [("ended", "ok"), ("answered", "component")]


async def test_a_handler_that_runs_for_longer_than_it_is_followed_still_ends() -> None:
    async with followed() as world:
        interaction_id = world.receive()
        receipt = world.interactions.receipt_of(interaction_id)
        world.answer(interaction_id)
        world.later(900)
        assert world.interactions.receipt_of(interaction_id) is None
        world.interactions.end(interaction_id, "ok")
        assert world.told.of("ended") == []
        world.interactions.end(interaction_id, "ok", receipt)
        assert world.told.of("ended") == [("ended", "ok")]


async def test_after_the_close_nothing_is_told_of() -> None:
    async with followed() as world:
        world.receive()
        world.later(DEADLINE)
        interaction_id = world.receive()
        receipt = world.interactions.receipt_of(interaction_id)
        exchange = world.send(interaction_id)
        before = list(world.told.all)
        await world.exporter._view.close()
        world.interactions.end(interaction_id, "ok", receipt)
        world.reply(exchange)
        world.later(2 * MAX_AGE)
        assert world.told.all == before


# ------------------------------------------------------------------------------------------------ too many


async def test_beyond_the_bound_the_oldest_goes_and_is_counted_for_what_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(interactions, "MAX_PENDING", 2)
    async with followed() as world:
        oldest = world.receive(5)
        world.answer(world.receive())
        world.receive()
        assert world.told.of("evicted") == []  # the one that was answered went
        world.receive()
        assert world.told.of("evicted") == [("evicted", "modal")]
        world.answer(oldest)
        world.later(2 * MAX_AGE)
        assert world.told.of("missed", "unanswered", "answered", "evicted") == [
            ("answered", "component"),
            ("evicted", "modal"),
            *[("missed", "component")] * 2,
            *[("unanswered", "component")] * 2,
        ]


async def test_what_was_missed_goes_before_what_can_be_answered_and_is_told_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(interactions, "MAX_PENDING", 3)
    async with followed() as world:
        world.receive(5)
        hanging = world.send(world.receive(4))
        world.later(4)
        for _ in range(3):
            world.receive()
        assert world.told.of("unanswered", "missed", "evicted") == [
            ("missed", "modal"),
            ("unanswered", "modal"),
            ("missed", "autocomplete"),
        ]
        world.reply(hanging)
        assert world.told.of("answered", "evicted") == []


# ------------------------------------------------------------------------------------------------ what is not there


async def test_where_requests_are_not_seen_receipts_and_ends_are_and_nothing_is_said_of_answers() -> None:
    async with followed() as world:
        world.exporter._view.wire.hooked = False
        assert world.interactions.degraded
        interaction_id = world.receive()
        assert world.later(2) is None
        world.interactions.end(interaction_id, "ok")
        world.receive()
        world.later(2 * MAX_AGE)
        world.exporter._view.wire.hooked = True
        assert world.later(0) == 0
        assert world.told.all == [
            ("received", "component"),
            ("delivered", 0.1),
            ("ended", "ok"),
            ("received", "component"),
            ("delivered", 0.1),
        ]
        assert not world.interactions.degraded


def test_what_could_not_be_opened_is_not_said_to_be_fine() -> None:
    view = ClientExporter(PlainClient(), Settings(port="off"))._view
    view.wire.hooked = True
    with pytest.raises(AttributeError):
        view.interactions.open(types.SimpleNamespace(parsers="none any more"))
    assert view.interactions.degraded
    assert view.interactions in view.wire.callbacks
    view.interactions.close()


async def test_without_parsers_the_public_events_are_paired(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Bare(PlainBot):
        def __init__(self) -> None:
            super().__init__()
            state: Any = self._connection
            self.inner, state.parsers = state.parsers, dict(state.parsers)
            del state.parsers["INTERACTION_CREATE"]

    caplog.set_level(logging.WARNING)
    async with followed(Bare) as world:
        bot: Any = world.exporter.client
        bot._connection.parsers = bot.inner
        assert world.interactions.degraded
        assert caplog.text.count("interactions are received the public way") == 1
        world.exporter._view.interactions.park()
        await asyncio.sleep(0)
        menu, modal = {"type": 3, "id": "1", "name": "x"}, {"custom_id": "c", "components": []}
        for kind, data in ((2, menu), (4, {}), (5, modal)):
            world.now += 1
            bot.dispatch("socket_event_type", "INTERACTION_CREATE")
            world.now += 0.25
            bot.dispatch("socket_event_type", "MESSAGE_CREATE")
            world.receive(kind, age=0.5, data=data)
        world.now += 1
        world.receive()
        assert [(each.type, each.received) for each in world.told.receipts] == [
            ("message", 1.0),
            ("autocomplete", 2.25),
            ("modal", 3.5),
            ("component", 4.75),
        ]
        assert world.told.of("delivered")[0] == ("delivered", 0.25)
        assert world.errors == 0


# ------------------------------------------------------------------------------------------------ a million of them


def play(world: World, dice: random.Random, count: int) -> Counter[str]:
    """Random interactions with random outcomes, several under way at once; what was meant to become of them."""
    meant: Counter[str] = Counter()
    on_their_way: list[tuple[Exchange, str]] = []
    for number in range(count):
        world.now += dice.expovariate(200)
        fate = dice.choice(("answered", "answered", "late", "never", "refused", "failed", "slow"))
        kind = dice.choice((2, 3, 4, 5))
        interaction_id = world.receive(kind, age=4.0 if fate == "late" else dice.uniform(0, 0.5))
        meant[fate] += 1
        if fate in {"answered", "slow"}:
            on_their_way.append((world.send(interaction_id), "200"))
        elif fate != "never":
            world.answer(interaction_id, "error" if fate == "failed" else "404")
        if dice.random() < 0.7:
            world.interactions.end(interaction_id, "ok")
        while on_their_way and (on_their_way[0][0].sent < world.now - 0.2 or dice.random() < 0.2):
            world.reply(*on_their_way.pop(0))
        if number % 500 == 0:
            world.interactions.settle()
    for exchange, status in on_their_way:
        world.reply(exchange, status)
    return meant


async def test_twenty_thousand_with_random_outcomes_leave_nothing_and_the_sums_are_equal() -> None:
    async with followed() as world:
        meant = play(world, random.Random(7), 20_000)
        world.later(DEADLINE)
        assert world.later(2 * MAX_AGE) == 0
        told = Counter(name for name, *_ in world.told.all)
        assert told["received"] == sum(meant.values()) == 20_000
        assert told["answered"] == meant["answered"] + meant["slow"]
        assert told["unanswered"] == meant["never"]
        assert told["refused"] == meant["late"] + meant["refused"]
        assert told["missed"] == told["received"] - told["answered"] - told["evicted"]
        assert told["evicted"] == 0
        assert not world.interactions._open
        assert not world.interactions._kept
        assert world.errors == 0
