"""Slash commands and menus, used by a real client: each told of once, with its outcome and its duration."""

from __future__ import annotations

import asyncio
import gc
import math
from typing import Any

import pytest
from discord import app_commands
from discord.ext import commands

from argus_exporter.discordpy.interactions import MAX_AGE
from argus_exporter.discordpy.outcomes import RULES
from examples.discord_simulator import Simulator
from examples.discord_simulator.rest import ApiError, Cut, error, unknown
from tests.clients import PlainBot, PlainClient, until
from tests.discordpy.command_bots import (
    APP_COMMANDS,
    USE,
    Interaction,
    OddError,
    answer,
    fail,
    following,
    furnish_hybrids,
    furnish_tree,
    refuse,
    reraise,
    shape,
)


@pytest.mark.parametrize("make", [PlainBot, PlainClient], ids=["Bot", "Client"])
async def test_each_app_command_is_told_of_once_however_it_ends(make: Any) -> None:
    client = make()
    tree = client.tree if isinstance(client, commands.Bot) else app_commands.CommandTree(client)
    furnish_tree(tree)
    async with Simulator() as sim, following(client, sim) as told:
        for name, kind, outcome, error in APP_COMMANDS:
            await USE[kind](sim, name)
            end = await told.one()
            assert shape(end) == (name, kind, outcome, error)
            assert end.receipt is not None
            assert 0 < end.seconds < 10
            assert told.handled == [(kind, outcome)]
            told.handled.clear()
        await asyncio.sleep(0)
        assert told.ends == []
        gc.collect()  # so that asyncio complains here of what the commands have raised


async def test_a_cooldown_is_no_failure_of_the_bot() -> None:
    bot = PlainBot()
    furnish_tree(bot.tree)
    async with Simulator() as sim, following(bot, sim) as told:
        await sim.slash("cold")
        assert shape(await told.one()) == ("cold", "slash", "bot_error", "OddError")
        await sim.slash("cold")
        assert shape(await told.one()) == ("cold", "slash", "rejected", "CommandOnCooldown")


@pytest.mark.parametrize("path", ["unheard", "group unheard", "group"])
async def test_a_command_that_is_not_there_has_no_name(path: str) -> None:
    bot = PlainBot()
    furnish_tree(bot.tree)
    async with Simulator() as sim, following(bot, sim) as told:
        await sim.slash(path)
        (command, kind, outcome, _) = shape(await told.one())
        assert (command, kind) == ("other", "slash")
        assert outcome == ("bot_error" if path == "group" else "not_found")


async def test_an_interaction_check_that_says_no_rejects() -> None:
    class Tree(app_commands.CommandTree[Any]):
        async def interaction_check(self, interaction: Interaction, /) -> bool:
            return interaction.command is not None and interaction.command.name != "fine"

    bot = PlainBot(tree_cls=Tree)
    furnish_tree(bot.tree)
    async with Simulator() as sim, following(bot, sim) as told:
        await sim.slash("fine")
        assert shape(await told.one()) == ("fine", "slash", "rejected", None)
        await sim.slash("broken")
        assert shape(await told.one()) == ("broken", "slash", "bot_error", "OddError")
        bot.tree.interaction_check = refuse  # type: ignore[method-assign]
        await sim.slash("broken")
        assert shape(await told.one()) == ("broken", "slash", "rejected", None)
        bot.tree.interaction_check = fail  # type: ignore[method-assign]
        await sim.slash("broken")
        assert shape(await told.one()) == ("broken", "slash", "bot_error", "OddError")


async def test_an_autocomplete_is_no_command_but_its_end_is_told() -> None:
    bot = PlainBot()
    furnish_tree(bot.tree)
    async with Simulator() as sim, following(bot, sim) as told:
        for name, value, outcome in (
            ("complete", "x", "ok"),
            ("complete", "raise", "bot_error"),
            ("unheard", "x", "not_found"),
        ):
            await sim.autocomplete(name, "value", {"value": value})
            await until(lambda: told.handled)
            assert told.handled.pop() == ("autocomplete", outcome)
        told.view.commands.rules = {**RULES, f"{OddError.__module__}.OddError": "rejected"}
        bot.tree.interaction_check = fail  # type: ignore[method-assign]
        await sim.autocomplete("complete", "value", {"value": "x"})
        await until(lambda: told.handled)
        assert told.handled.pop() == ("autocomplete", "rejected")
        bot.tree.interaction_check = refuse  # type: ignore[method-assign]
        await sim.autocomplete("complete", "value", {"value": "x"})
        await until(lambda: told.handled)
        assert told.handled.pop() == ("autocomplete", "rejected")
        assert told.ends == []


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (lambda: error(unknown(10062, "interaction")), "discord_error"),
        (Cut, "discord_error"),
        (lambda: error(ApiError(400, 50035, "Invalid Form Body")), "bot_error"),
    ],
    ids=["too late", "no answer", "refused"],
)
async def test_an_autocomplete_whose_answer_is_not_taken_fails_by_whose_fault_it_is(answer: Any, outcome: str) -> None:
    bot = PlainBot()
    furnish_tree(bot.tree)
    async with Simulator() as sim, following(bot, sim) as told:
        sim.answer_next("POST /interactions/{interaction_id}/{token}/callback", answer())
        await sim.autocomplete("complete", "value", {"value": "x"})
        await until(lambda: told.handled)
        assert told.handled.pop() == ("autocomplete", outcome)


async def test_hooks_of_the_user_that_are_set_before_or_after_do_not_end_the_counting() -> None:
    bot = PlainBot()
    furnish_tree(bot.tree)
    heard: list[str] = []

    def handler(name: str) -> Any:
        async def on_error(interaction: Interaction, error: app_commands.AppCommandError) -> None:
            heard.append(name)

        return on_error

    bot.tree.error(handler("before"))
    async with Simulator() as sim, following(bot, sim) as told:
        for name in ("before", "after", "again"):
            if name != "before":
                bot.tree.error(handler(name))
                bot.on_error = handler(name)  # type: ignore[method-assign]
            await sim.slash("broken")
            assert shape(await told.one()) == ("broken", "slash", "bot_error", "OddError")
            assert heard.pop() == name
        kept = bot.tree.on_error
        bot.tree.error(handler("in between"))
        await sim.slash("broken")
        await told.one()
        bot.tree.on_error = kept  # type: ignore[method-assign]
        await sim.slash("broken")
        await told.one()
        assert bot.tree.on_error is kept
        assert heard == ["in between", "again"]


class Handler:
    """A handler of errors that compares by value, as a dataclass does."""

    __hash__: Any = None

    def __init__(self) -> None:
        self.told: list[Exception] = []

    async def __call__(self, _: Interaction, error: Exception) -> None:
        self.told.append(error)


async def test_a_handler_of_the_tree_that_has_no_hash_is_called_and_the_command_counted() -> None:
    bot = PlainBot()
    furnish_tree(bot.tree)
    handler: Any = Handler()
    bot.tree.on_error = handler
    async with Simulator() as sim, following(bot, sim) as told:
        await sim.slash("broken")
        assert shape(await told.one()) == ("broken", "slash", "bot_error", "OddError")
        assert len(handler.told) == 1
    assert bot.tree.on_error is handler


async def test_a_handler_of_the_tree_that_fails_is_called_once_and_counted_once() -> None:
    bot = PlainBot()
    furnish_tree(bot.tree)
    bot.tree.on_error = fail  # type: ignore[method-assign]
    async with Simulator() as sim, following(bot, sim) as told:
        await sim.slash("checked")
        assert shape(await told.one()) == ("checked", "slash", "bot_error", "OddError")
        gc.collect()


async def test_closing_gives_back_what_the_user_has_set_since() -> None:
    bot = PlainBot()
    furnish_tree(bot.tree)
    async with Simulator() as sim:
        async with following(bot, sim) as told:
            bot.tree.on_error = after = reraise  # type: ignore[method-assign]
            await sim.slash("broken")
            await told.one()
            assert bot.tree.on_error is not after
        assert bot.tree.on_error is after


async def test_a_tree_that_comes_later_is_followed_too() -> None:
    client = PlainClient()
    async with Simulator() as sim, following(client, sim) as told:
        furnish_tree(app_commands.CommandTree(client))
        await sim.slash("broken")
        assert shape(await told.one()) == ("broken", "slash", "bot_error", "OddError")


async def test_a_command_that_outlasts_what_is_kept_of_its_interaction_is_told_of_with_its_receipt() -> None:
    bot = PlainBot()
    released = asyncio.Event()

    @bot.tree.command(description="-")
    async def slow(interaction: Interaction) -> None:
        await released.wait()

    async with Simulator() as sim, following(bot, sim) as told:
        await sim.slash("slow")
        await until(lambda: told.view.commands.runs)
        interactions = told.view.interactions
        later = interactions.now() + 2 * MAX_AGE
        interactions.now = lambda: later
        interactions.settle()
        assert not interactions._open
        assert not interactions._kept
        released.set()
        assert (await told.one()).receipt is not None
        assert told.handled == [("slash", "ok")]


async def test_a_call_within_its_own_call_is_one_command() -> None:
    class Tree(app_commands.CommandTree[Any]):
        async def _call(self, interaction: Interaction) -> None:
            if not interaction.extras:
                interaction.extras["again"] = True
                await type(self)._call(self, interaction)
                return
            await super()._call(interaction)

    bot = PlainBot(tree_cls=Tree)

    @bot.tree.command(description="-")
    async def nested(interaction: Interaction) -> None:
        await answer(interaction)
        if interaction.extras.setdefault("called", 0) == 0:
            interaction.extras["called"] = 1
            await bot.tree._call(interaction)

    furnish_tree(bot.tree)
    async with Simulator() as sim, following(bot, sim) as told:
        await sim.slash("fine")
        assert shape(await told.one()) == ("fine", "slash", "ok", None)
        await sim.slash("nested")
        end = await told.one()
        assert end.command == "nested"


class HiddenTree(app_commands.CommandTree[Any]):
    """A tree whose call is not to be found when it is looked for."""

    found = False

    @property
    def _call(self) -> Any:
        found, self.found = self.found, True
        return super()._call if found else None


@pytest.mark.parametrize("late", [False, True], ids=["before", "later"])
async def test_without_a_call_to_hook_the_public_way_tells(late: bool, caplog: pytest.LogCaptureFixture) -> None:
    bot = PlainBot(tree_cls=HiddenTree)
    furnish_tree(bot.tree)
    furnish_hybrids(bot)
    if late:
        bot._connection._command_tree = None
    async with Simulator() as sim:
        async with following(bot, sim) as told:
            bot._connection._command_tree = bot.tree
            for name in ("fine", "broken", "checked", "Menu", "Broken menu", "both", "both_broken"):
                bot.tree.on_error = reraise  # type: ignore[method-assign]
                await (sim.user_menu(name) if "enu" in name else sim.slash(name))
                end = await told.one()
                assert end.command == name
                assert (end.outcome == "ok") == (name in {"fine", "Menu", "both"})
                assert 0 < end.seconds < 10
            await sim.slash("unheard")
            assert (await told.one()).outcome == "not_found"
        assert bot.tree.on_error is reraise
    (said,) = [record.message for record in caplog.records if "_call" in record.message]
    assert said.startswith("discord.py")


async def test_where_the_receipt_is_not_known_a_command_lasts_from_its_call(monkeypatch: pytest.MonkeyPatch) -> None:
    for cls, known in ((app_commands.CommandTree, True), (HiddenTree, False)):
        bot = PlainBot(tree_cls=cls)
        furnish_tree(bot.tree)
        async with Simulator() as sim, following(bot, sim) as told:
            monkeypatch.setattr("argus_exporter.discordpy.interactions.Interactions.find", lambda *_: None)
            await sim.slash("fine")
            end = await told.one()
            assert math.isfinite(end.seconds) == known
            monkeypatch.undo()


class Hashless(app_commands.AppCommandError):
    __hash__: Any = None


async def test_without_a_call_to_hook_an_error_that_has_no_hash_is_told_once() -> None:
    bot = PlainBot(tree_cls=HiddenTree)

    @bot.tree.command(name="odd", description="Raises what has no hash.")
    async def odd(interaction: Interaction) -> None:
        raise Hashless

    async with Simulator() as sim, following(bot, sim) as told:
        await sim.slash("odd")
        assert shape(await told.one()) == ("odd", "slash", "bot_error", "Hashless")
