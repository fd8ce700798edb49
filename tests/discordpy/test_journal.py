from __future__ import annotations

import asyncio
import typing

from argus_exporter.discordpy import journal as journal_module
from argus_exporter.discordpy.journal import AT_ONCE, Journal
from argus_exporter.instruments import HistogramCell, Pile
from examples.discord_simulator import Simulator
from tests.clients import PlainBot, until
from tests.discordpy.command_bots import OddError, following, furnish_tree, shape

if typing.TYPE_CHECKING:
    import pytest


class Accounts:
    """Keeps what it is told, in order."""

    noun = "interactions"

    def __init__(self) -> None:
        self.told: list[object] = []

    def take(self, note: tuple[object, ...]) -> None:
        self.told.append(note[1:])

    def fail(self, _: object) -> None:
        raise ZeroDivisionError


def test_notes_are_accounted_for_in_order_and_once_and_then_what_comes_afterwards() -> None:
    accounts, journal = Accounts(), Journal(lambda *_: None)
    journal.afterwards.append((accounts.take,))
    journal.notes.append((accounts.take, 1))
    journal.notes.append((accounts.take, 2, "b"))
    journal.settle()
    assert accounts.told == [(1,), (2, "b"), ()]
    assert journal.notes == []
    journal.settle()
    assert accounts.told[3:] == [()]


def test_what_an_account_raises_is_told_under_its_noun_and_keeps_nothing_from_the_others() -> None:
    errors: list[tuple[str, type]] = []
    accounts, journal = Accounts(), Journal(lambda noun, error: errors.append((noun, type(error))))
    journal.notes[:] = [(accounts.fail,), (accounts.take, 1)]
    journal.settle()
    assert errors == [("interactions", ZeroDivisionError)]
    assert accounts.told == [(1,)]


def test_what_is_noted_by_an_account_waits_for_the_next_time() -> None:
    accounts, journal = Accounts(), Journal(lambda *_: None)
    journal.notes.append((accounts.take, 1))
    journal.afterwards.append((accounts.take,))
    accounts.take = lambda *_: journal.notes.append((accounts.fail,))  # type: ignore[method-assign]
    journal.notes.append((journal.notes.append, (accounts.take, 2)))
    journal.settle()
    assert len(journal.notes) == 1


def test_piles_that_an_account_has_begun_are_counted_in_the_same_turn_and_once() -> None:
    journal, pile = Journal(lambda *_: None), Pile(HistogramCell((1.0,)))

    def add(_: object) -> None:
        if not pile.values:
            journal.piles.append(pile)
        pile.values.append(0.5)

    for _ in range(2):
        journal.notes[:] = [(add,)] * 3
        journal.settle()
        assert (pile.values, journal.piles) == ([], [])
    assert pile.cell.counts == [6, 0]


def test_all_is_told_at_once_as_long_as_anybody_needs_it() -> None:
    journal = Journal(lambda *_: None)
    journal.hurry("tags", needed=True)
    journal.hurry("interactions", needed=True)
    journal.hurry("tags", needed=False)
    assert journal.limit == 1
    journal.hurry("interactions", needed=False)
    assert journal.limit == AT_ONCE


async def test_commands_are_told_of_in_batches_and_the_rest_when_it_is_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "AT_ONCE", 7)
    bot = PlainBot()
    furnish_tree(bot.tree)
    completed: list[object] = []

    @bot.event
    async def on_app_command_completion(*command: object) -> None:
        completed.append(command)

    async with Simulator() as sim, following(bot, sim) as told:
        told.view.journal.hurry("tests", needed=False)
        for used in range(1, 5):
            await sim.slash("fine")
            await until(lambda used=used: len(completed) == used and not told.view.commands.runs)  # type: ignore[misc]
        # a receipt, an answer and an end of each; the third one's receipt is the seventh note
        assert len(told.ends) == 2
        assert len(told.view.journal.notes) == 5
        told.view.journal.settle()
        assert [shape(end) for end in told.ends] == [("fine", "slash", "ok", None)] * 4
        assert told.view.journal.notes == []


async def test_an_error_waits_for_nobody() -> None:
    bot = PlainBot()
    furnish_tree(bot.tree)
    async with Simulator() as sim, following(bot, sim) as told:
        told.view.journal.hurry("tests", needed=False)
        await sim.slash("broken")
        await until(lambda: told.ends)
        assert [type(end.error) for end in told.ends] == [OddError]


async def test_what_is_noted_at_the_close_is_accounted_for_before_it() -> None:
    bot = PlainBot()
    furnish_tree(bot.tree)
    async with Simulator() as sim, following(bot, sim) as told:
        told.view.journal.hurry("tests", needed=False)
        await sim.slash("fine")
        await until(lambda: len(told.view.journal.notes) >= 2 and not told.view.commands.runs)
        await asyncio.sleep(0)
        assert told.ends == []
        await told.view.close()
        assert [end.command for end in told.ends] == ["fine"]
        told.view.open()
