"""Interactions of a real client, answered over a real HTTP connection, as they stand on the page."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import typing
from collections import Counter
from typing import Any

import discord
import pytest
from discord import app_commands

from argus_exporter.catalogue import INTERACTION_TYPES
from argus_exporter.cog import ClientExporter, attach
from argus_exporter.collectors import Context
from argus_exporter.collectors.interactions import InteractionsCollector
from argus_exporter.discordpy import Exchange, Receipt
from argus_exporter.instruments import Instruments
from argus_exporter.settings import Settings
from examples.discord_simulator import Simulator
from tests.clients import PlainBot, counter_total, logged_in, until, value, values

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from argus_exporter.instruments import HistogramCell

    Used = discord.Interaction[Any]

RECEIVED, MISSED = "discord_interactions_total", "discord_interaction_deadline_missed_total"
UNANSWERED, REFUSED = "discord_interactions_unanswered_total", "discord_interaction_ack_failures_total"
HANDLED, EVICTED = "discord_interactions_handled_total", "argus_exporter_interactions_evicted_total"
IN_FLIGHT = "discord_interactions_in_flight"
DELIVERY, ACK = "discord_interaction_delivery_seconds", "discord_interaction_ack_seconds"
DURATION = "discord_interaction_duration_seconds"


class Clicked(discord.ui.View):
    def __init__(self, *, lets: bool = True) -> None:
        super().__init__(timeout=None)
        self.lets = lets
        self.fails: type[Exception] = ZeroDivisionError

    async def interaction_check(self, interaction: Used, /) -> bool:
        return self.lets

    @discord.ui.button(label="Click", custom_id="click")
    async def click(self, interaction: Used, button: Any) -> None:
        await interaction.response.defer()

    @discord.ui.button(label="Ask", custom_id="ask")
    async def ask(self, interaction: Used, button: Any) -> None:
        await interaction.response.send_modal(Asked())

    @discord.ui.button(label="Fail", custom_id="fail")
    async def fail(self, interaction: Used, button: Any) -> None:
        raise self.fails


class Asked(discord.ui.Modal, title="Asked"):
    name: discord.ui.TextInput[Any] = discord.ui.TextInput(label="Name", custom_id="name")

    def __init__(self) -> None:
        super().__init__(custom_id="asked")

    async def on_submit(self, interaction: Used, /) -> None:
        await interaction.response.send_message(f"Hello {self.name.value}")


class Bot(PlainBot):
    """A bot with a command of every kind."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.gate = asyncio.Event()
        self.failures: list[app_commands.AppCommandError] = []
        commands: tuple[Any, ...] = (
            app_commands.Command(name="hello", description="-", callback=self.hello),
            app_commands.Command(name="wait", description="-", callback=self.wait),
            app_commands.Command(name="defer", description="-", callback=self.defer),
            app_commands.Command(name="never", description="-", callback=self.never),
            app_commands.Command(name="twice", description="-", callback=self.twice),
            app_commands.ContextMenu(name="look", callback=look),
            app_commands.ContextMenu(name="quote", callback=quote),
        )
        for command in commands:
            self.tree.add_command(command)
        search: Any = app_commands.Command(name="search", description="-", callback=search_for)
        search.autocomplete("text")(suggest)
        self.tree.add_command(search)
        self.tree.on_error = self.note  # type: ignore[method-assign]

    async def note(self, interaction: Used, error: app_commands.AppCommandError) -> None:  # type: ignore[override]
        self.failures.append(error)

    async def hello(self, interaction: Used) -> None:
        await interaction.response.send_message("hello")

    async def wait(self, interaction: Used) -> None:
        await self.gate.wait()
        await interaction.response.send_message("at last")

    async def defer(self, interaction: Used) -> None:
        await interaction.response.defer()
        await self.gate.wait()
        await interaction.followup.send("at last")

    async def never(self, interaction: Used) -> None: ...

    async def twice(self, interaction: Used) -> None:
        await interaction.response.send_message("once")
        interaction.response._response_type = None
        await interaction.response.send_message("twice")


async def look(interaction: Used, user: discord.User) -> None:
    await interaction.response.send_message("seen")


async def quote(interaction: Used, message: discord.Message) -> None:
    await interaction.response.send_message("quoted")


async def search_for(interaction: Used, text: str) -> None:
    await interaction.response.send_message(text)


async def suggest(interaction: Used, text: str) -> list[app_commands.Choice[str]]:
    return [app_commands.Choice(name=text, value=text)]


@contextlib.asynccontextmanager
async def watched(sim: Simulator, bot: Bot | None = None) -> AsyncIterator[tuple[Bot, ClientExporter]]:
    bot = bot or Bot()
    exporter = attach(bot, Settings(port="off", state_dir="off", session_limit_interval="off"))
    async with logged_in(bot, sim):
        yield bot, exporter
        assert values(exporter.instruments, "argus_exporter_collector_errors_total") == {}


def observed(exporter: ClientExporter, name: str, *labels: str) -> HistogramCell:
    cell: Any = exporter.instruments.families[name].cells[labels]
    return cell  # type: ignore[no-any-return]


def count(exporter: ClientExporter, name: str) -> int:
    cells: dict[Any, HistogramCell] = dict(exporter.instruments.families[name].cells)  # type: ignore[arg-type]
    return sum(sum(cell.counts) for cell in cells.values())


def in_flight(exporter: ClientExporter) -> float | None:
    exporter.sample()
    return value(exporter.instruments, IN_FLIGHT)


def age(exporter: ClientExporter, seconds: float) -> None:
    """Let time go by for the interactions."""
    interactions = exporter._view.interactions
    then = interactions.now
    interactions.now = lambda: then() + seconds
    exporter.sample()


# ------------------------------------------------------------------------------------------------ every type


async def test_every_type_is_timed_from_its_receipt_to_its_answer_and_its_end() -> None:
    async with Simulator(guilds=1) as sim, watched(sim) as (bot, exporter):
        channel = bot.guilds[0].text_channels[0]
        shown = await channel.send("Click!", view=Clicked())
        await sim.slash("hello")
        await sim.user_menu("look")
        await sim.message_menu("quote", shown.id)
        await sim.component(shown.id, "click")
        await sim.autocomplete("search", "text", {"text": "a"})
        await sim.component(shown.id, "ask")
        await until(lambda: count(exporter, ACK) == 6)
        await sim.modal("asked", {"name": "Ada"})
        await until(lambda: counter_total(exporter.instruments, HANDLED) == 7)
        await until(lambda: count(exporter, ACK) == 7)
        once: dict[tuple[str, ...], float] = {(kind,): 1.0 for kind in INTERACTION_TYPES}
        assert values(exporter.instruments, RECEIVED) == once | {("component",): 2.0}
        expected = {(kind, "ok"): 1.0 for kind in INTERACTION_TYPES} | {("component", "ok"): 2.0}
        assert values(exporter.instruments, HANDLED) == expected
        for kind in INTERACTION_TYPES:
            ack, duration = (observed(exporter, name, kind) for name in (ACK, DURATION))
            assert sum(ack.counts) == sum(duration.counts) == 1 + (kind == "component")
            assert 0 < ack.sum < 5
            assert 0 < duration.sum < 5
        assert sum(observed(exporter, DELIVERY).counts) == 7
        assert in_flight(exporter) == 0
        assert not exporter._view.interactions._kept
        for name in (MISSED, UNANSWERED, REFUSED, EVICTED):
            assert counter_total(exporter.instruments, name) == 0
        assert value(exporter.instruments, "argus_exporter_collector_up", "interactions") == 1


def test_the_first_of_a_kind_moves_a_rate() -> None:
    exporter = ClientExporter(PlainBot(), Settings(port="off"))
    for name in (RECEIVED, MISSED, UNANSWERED, EVICTED):
        assert {key: cell.value for key, cell in exporter.instruments.families[name].cells.items()} == {
            (kind,): 0 for kind in INTERACTION_TYPES
        }


async def test_a_handlers_trace_is_the_exemplar_of_its_answer_and_of_its_end() -> None:
    exporter = ClientExporter(PlainBot(), Settings(port="off"))
    active = ""
    instruments = Instruments(active_trace=lambda: active)
    collector = InteractionsCollector(Context(instruments, exporter.settings, exporter._view))
    receipt = exporter._view.interactions._open[1] = Receipt(1, "slash", 0.0, 0.0)
    exchange = Exchange("POST", "", 1.0)
    exchange.seconds, exchange.interaction_id = 0.25, 1
    active = "a" * 32
    exporter._view.interactions.sent(exchange)
    active = "b" * 32
    exporter._view.interactions.sent(exchange)
    collector.answered(receipt, exchange)
    collector.delivered(receipt, 0.5)
    receipt.ended = 3.0
    collector.ended(receipt, "ok")
    exemplars: dict[str, Any] = {}
    for name in (ACK, DURATION, DELIVERY):
        (cell,) = typing.cast("Any", instruments.families[name].cells.values())
        exemplars[name] = [(each.trace[0], each.value) for each in cell.exemplars if each]
    assert exemplars == {ACK: [("a", 1.25)], DURATION: [("a", 3.0)], DELIVERY: [("a", 0.5)]}


# ------------------------------------------------------------------------------------------------ what peers get wrong


async def test_every_component_click_is_counted_and_no_timer_is_leaked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("argus_exporter.discordpy.interactions.DEADLINE", 30.0)  # for slow machines
    async with Simulator(guilds=1) as sim, watched(sim) as (bot, exporter):
        shown = await bot.guilds[0].text_channels[0].send("Click!", view=Clicked())
        for custom_id in ("click",) * 30 + ("fail",) * 20:
            await sim.component(shown.id, custom_id)
        await until(lambda: counter_total(exporter.instruments, HANDLED) == 50)
        await until(lambda: count(exporter, ACK) == 30)
        assert values(exporter.instruments, RECEIVED) == {("component",): 50}
        assert values(exporter.instruments, HANDLED) == {("component", "ok"): 30, ("component", "bot_error"): 20}
        assert in_flight(exporter) == 20
        age(exporter, 30)
        assert in_flight(exporter) == 0
        age(exporter, 31)
        assert not exporter._view.interactions._kept
        assert values(exporter.instruments, MISSED) == values(exporter.instruments, UNANSWERED) == {("component",): 20}


async def test_an_interaction_check_that_returns_false_leaks_nothing() -> None:
    async with Simulator(guilds=1) as sim, watched(sim) as (bot, exporter):

        async def no(interaction: Used) -> bool:
            return False

        bot.tree.interaction_check = no  # type: ignore[method-assign]
        shown = await bot.guilds[0].text_channels[0].send("Click!", view=Clicked(lets=False))
        await sim.component(shown.id, "click")
        await sim.slash("hello")
        await until(lambda: counter_total(exporter.instruments, HANDLED) == 2)
        assert values(exporter.instruments, HANDLED) == {("component", "rejected"): 1, ("slash", "rejected"): 1}
        age(exporter, 63)
        assert in_flight(exporter) == 0
        assert not exporter._view.interactions._kept


async def test_the_faults_of_views_are_reported_and_what_is_the_users_is_not() -> None:
    reported: list[tuple[str, dict[str, str]]] = []

    class Noting(ClientExporter):
        def capture_error(self, error: BaseException, context: Any = None) -> None:
            reported.append((type(error).__name__, dict(context)))

    async with Simulator(guilds=1) as sim:
        bot = Bot()
        exporter = Noting(bot, Settings(port="off", state_dir="off", disable="commands"))
        exporter.open()
        async with logged_in(bot, sim):
            view = Clicked()
            shown = await bot.guilds[0].text_channels[0].send("Click!", view=view)
            await sim.component(shown.id, "fail")
            await until(lambda: counter_total(exporter.instruments, HANDLED) == 1)
            view.fails = discord.app_commands.CheckFailure
            await sim.component(shown.id, "fail")
            await until(lambda: counter_total(exporter.instruments, HANDLED) == 2)
        await exporter.close()
    assert reported == [("ZeroDivisionError", {"type": "component", "outcome": "bot_error"})]


@pytest.mark.parametrize("late", [0.0, 4.0])
async def test_an_answer_is_held_against_the_deadline_of_3_s_after_the_creation(late: float) -> None:
    async with Simulator(guilds=1) as sim, watched(sim) as (bot, exporter):
        async with sim.during("late_interactions", late=late):
            await sim.slash("hello")
            await until(lambda: bot.failures or count(exporter, ACK))
        delivery = observed(exporter, DELIVERY)
        assert late <= delivery.sum < late + 3
        expected = {("slash",): 1.0} if late else {}
        assert values(exporter.instruments, MISSED) == expected
        assert values(exporter.instruments, REFUSED) == ({("404",): 1} if late else {})
        assert count(exporter, ACK) == (0 if late else 1)
        await until(lambda: counter_total(exporter.instruments, HANDLED) == 1)
        assert values(exporter.instruments, HANDLED) == {("slash", "discord_error" if late else "ok"): 1}
        assert in_flight(exporter) == 0
        assert values(exporter.instruments, UNANSWERED) == {}


@pytest.mark.parametrize("skew", [30.0, -30.0])
async def test_a_clock_that_is_wrong_misses_no_deadline(skew: float) -> None:
    async with Simulator(guilds=1) as sim, sim.during("clock_skew", skew=skew), watched(sim) as (_, exporter):
        await sim.slash("hello")
        await until(lambda: count(exporter, ACK) == 1)
        assert observed(exporter, DELIVERY).sum < 3
        assert values(exporter.instruments, MISSED) == {}


# ------------------------------------------------------------------------------------------------ answers


async def test_a_defer_is_the_answer_and_a_follow_up_is_none() -> None:
    async with Simulator(guilds=1) as sim, watched(sim) as (bot, exporter):
        interaction = await sim.slash("defer")
        await until(lambda: count(exporter, ACK) == 1)
        assert in_flight(exporter) == 0
        assert values(exporter.instruments, HANDLED) == {}
        bot.gate.set()
        await until(lambda: interaction.followups)
        await until(lambda: values(exporter.instruments, HANDLED) == {("slash", "ok"): 1})
        assert count(exporter, ACK) == 1


async def test_one_that_waits_is_in_flight_until_its_time_is_over() -> None:
    async with Simulator(guilds=1) as sim, watched(sim) as (bot, exporter):
        await sim.slash("wait")
        await until(lambda: in_flight(exporter) == 1)
        age(exporter, 3)
        assert in_flight(exporter) == 0
        assert values(exporter.instruments, MISSED) == {("slash",): 1}
        bot.gate.set()
        await until(lambda: counter_total(exporter.instruments, HANDLED) == 1)
        assert values(exporter.instruments, MISSED) == {("slash",): 1}
        age(exporter, 60)
        assert values(exporter.instruments, UNANSWERED) == {}


async def test_a_command_that_never_answers_is_unanswered_and_has_missed_its_deadline() -> None:
    async with Simulator(guilds=1) as sim, watched(sim) as (_, exporter):
        await sim.slash("never")
        await until(lambda: values(exporter.instruments, HANDLED) == {("slash", "ok"): 1})
        age(exporter, 63)
        assert values(exporter.instruments, UNANSWERED) == values(exporter.instruments, MISSED) == {("slash",): 1}


async def test_a_second_response_is_refused_and_the_first_stays_the_answer() -> None:
    async with Simulator(guilds=1) as sim, watched(sim) as (_, exporter):
        await sim.slash("twice")
        await until(lambda: values(exporter.instruments, HANDLED) == {("slash", "bot_error"): 1})
        assert values(exporter.instruments, REFUSED) == {("400",): 1}
        assert count(exporter, ACK) == 1
        assert values(exporter.instruments, MISSED) == {}


async def test_too_many_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("argus_exporter.discordpy.interactions.MAX_PENDING", 1)
    async with Simulator(guilds=1) as sim, watched(sim) as (_, exporter):
        await sim.slash("wait")
        await sim.slash("hello")
        await until(lambda: count(exporter, ACK) == 1)
        assert values(exporter.instruments, EVICTED) == {("slash",): 1}


async def test_nothing_is_said_of_what_cannot_be_seen() -> None:
    async with Simulator(guilds=1) as sim, watched(sim) as (_, exporter):
        exporter._view.wire.hooked = False
        await sim.slash("never")
        await until(lambda: values(exporter.instruments, HANDLED))
        age(exporter, 63)
        assert value(exporter.instruments, IN_FLIGHT) is None
        assert values(exporter.instruments, MISSED) == values(exporter.instruments, UNANSWERED) == {}
        assert value(exporter.instruments, "argus_exporter_collector_up", "interactions") == 0
        exporter._view.wire.hooked = True


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
async def test_with_eager_tasks_the_receipt_is_before_the_first_step_of_the_handler() -> None:
    async with Simulator(guilds=1) as sim, watched(sim) as (bot, exporter):
        shown = await bot.guilds[0].text_channels[0].send("Click!", view=Clicked())
        loop: Any = asyncio.get_running_loop()
        loop.set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009 - mypy looks at 3.11
        try:
            await sim.slash("hello")
            await sim.component(shown.id, "click")
            await sim.component(shown.id, "fail")
            await until(lambda: count(exporter, ACK) == 2)
            await until(lambda: counter_total(exporter.instruments, HANDLED) == 3)
        finally:
            loop.set_task_factory(None)
        assert values(exporter.instruments, RECEIVED) == {("slash",): 1, ("component",): 2}
        assert values(exporter.instruments, HANDLED) == {
            ("slash", "ok"): 1,
            ("component", "ok"): 1,
            ("component", "bot_error"): 1,
        }
        assert count(exporter, DURATION) == 3
        assert in_flight(exporter) == 1


async def test_whatever_becomes_of_them_over_the_wire_the_sums_are_equal() -> None:
    dice = random.Random(5)
    async with Simulator(guilds=1) as sim, watched(sim) as (bot, exporter):
        shown = await bot.guilds[0].text_channels[0].send("Click!", view=Clicked())
        meant: Counter[str] = Counter()
        for _ in range(60):
            fate = dice.choice(("hello", "never", "twice", "click", "fail", "late"))
            meant[fate] += 1
            if fate == "late":
                async with sim.during("late_interactions", late=5):
                    await sim.slash("hello")
            elif fate in {"click", "fail"}:
                await sim.component(shown.id, fate)
            else:
                await sim.slash(fate)
        answered = meant["hello"] + meant["twice"] + meant["click"]
        await until(lambda: counter_total(exporter.instruments, HANDLED) == 60)
        await until(lambda: count(exporter, ACK) == answered)
        age(exporter, 63)
        assert in_flight(exporter) == 0
        assert not exporter._view.interactions._kept
        assert counter_total(exporter.instruments, RECEIVED) == 60
        assert counter_total(exporter.instruments, MISSED) == 60 - answered
        assert counter_total(exporter.instruments, UNANSWERED) == meant["never"] + meant["fail"]
        assert values(exporter.instruments, REFUSED) == {("404",): meant["late"], ("400",): meant["twice"]}
