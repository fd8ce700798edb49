"""Commands of every kind, used by a real client: each told of once, with its outcome and its whole duration."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import time
import typing
from typing import Any

import discord
import pytest
from discord import app_commands
from discord.ext import commands

from argus_exporter.discordpy import ClientView
from argus_exporter.discordpy.commands import CommandEnd, CommandListener
from argus_exporter.discordpy.interactions import InteractionListener
from argus_exporter.discordpy.prefix import STAMPS
from examples.discord_simulator import Simulator
from tests.clients import PlainBot, PlainClient, ShardedBot, logged_in, until

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

Interaction = discord.Interaction[Any]
Context = commands.Context[Any]


class Told(CommandListener, InteractionListener):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ends: list[CommandEnd] = []
        self.handled: list[tuple[str, str]] = []
        self.errors: list[BaseException] = []

    def began(self, kind: str) -> None:
        self.begun.append(kind)

    def ended(self, *told: Any) -> None:
        if len(told) == 1:
            self.ends.append(told[0])
        else:
            self.handled.append((told[0].type, told[1]))

    async def one(self) -> CommandEnd:
        """The one command that was used since the last time."""
        await until(lambda: self.ends)
        (end,), self.ends = self.ends, []
        (kind,), self.begun = self.begun, []
        assert end.type == kind
        return end


@contextlib.asynccontextmanager
async def following(client: discord.Client, sim: Simulator) -> AsyncIterator[Told]:
    """A client that runs, and somebody who listens to its commands."""
    told = Told()
    view = ClientView(client, lambda _, error: told.errors.append(error))
    view.commands.listeners.append(told)
    view.interactions.listeners.append(told)
    view.open()
    try:
        async with logged_in(client, sim):
            view.park()
            yield told
            assert view.commands._runs == {}
            await view.close()
    finally:
        await view.close()
    assert told.errors == []


def shape(end: CommandEnd) -> tuple[str, str, str, str | None]:
    return end.command, end.type, end.outcome, None if end.error is None else type(end.error).__name__


class OddError(Exception):
    """What commands raise here."""


async def fail(*_: Any) -> None:
    raise OddError


async def refuse(*_: Any) -> bool:
    return False


def raising(error: BaseException | type[BaseException]) -> Any:
    async def callback(interaction: Interaction) -> None:
        raise error

    return callback


async def answer(interaction: Interaction) -> None:
    await interaction.response.send_message("ok")


def slash(parent: Any, name: str, callback: Any = answer) -> Any:
    command: Any = app_commands.Command(name=name, description="-", callback=callback)
    parent.add_command(command)
    return command


def furnish_tree(tree: Any) -> None:
    """Slash commands and menus that end in every way."""
    slash(tree, "fine")
    slash(tree, "broken", raising(OddError))
    slash(tree, "away", raising(discord.RateLimited(1.0)))
    slash(tree, "cancelled", raising(asyncio.CancelledError))
    slash(tree, "checked").add_check(lambda _: False)
    slash(tree, "check_broken").add_check(fail)
    slash(tree, "cold", app_commands.checks.cooldown(1, 1000.0)(raising(OddError)))
    for name, handler in (("handled", answer), ("handler_broken", fail), ("handler_raises_it", reraise)):
        slash(tree, name, raising(OddError)).on_error = lambda interaction, error, do=handler: do(interaction, error)  # type: ignore[misc]
    checked = slash(tree, "handler_broken_of_check")
    checked.add_check(lambda _: False)
    checked.on_error = fail

    @tree.command(name="convert", description="-")
    async def convert(interaction: Interaction, value: app_commands.Transform[str, Fussy]) -> None: ...

    @tree.command(name="complete", description="-")
    @app_commands.autocomplete(value=complete)
    async def completed(interaction: Interaction, value: str) -> None: ...

    group = app_commands.Group(name="group", description="-")
    inner = app_commands.Group(name="sub", description="-", parent=group)
    slash(inner, "command")
    tree.add_command(group)
    for kind in (discord.User, discord.Message):
        for name, body in (("Menu", answer), ("Broken menu", raising(OddError)), ("Handled menu", raising(OddError))):
            menu = app_commands.ContextMenu(name=name, callback=targeting(body, kind))
            tree.add_command(menu)
            if name == "Handled menu":
                menu.on_error = fail


async def reraise(interaction: Interaction, error: Exception) -> None:
    raise error


async def complete(interaction: Interaction, current: str) -> list[app_commands.Choice[str]]:
    if current == "raise":
        raise OddError
    return []


class Fussy(app_commands.Transformer):
    """Takes nothing."""

    async def transform(self, interaction: Interaction, value: Any, /) -> Any:
        raise OddError


def targeting(body: Any, kind: type) -> Any:
    async def callback(interaction: Interaction, target: Any) -> None:
        await body(interaction)

    callback.__annotations__["target"] = kind
    return callback


async def user_menu(sim: Simulator, name: str) -> None:
    await sim.user_menu(name)


async def message_menu(sim: Simulator, name: str) -> None:
    await sim.message_menu(name, await sim.message())


APP_COMMANDS: list[tuple[str, str, str, str | None]] = [
    ("fine", "slash", "ok", None),
    ("group sub command", "slash", "ok", None),
    ("broken", "slash", "bot_error", "OddError"),
    ("away", "slash", "discord_error", "RateLimited"),
    ("cancelled", "slash", "cancelled", "CancelledError"),
    ("checked", "slash", "rejected", "CheckFailure"),
    ("check_broken", "slash", "bot_error", "OddError"),
    ("convert", "slash", "user_error", "OddError"),
    ("handled", "slash", "bot_error", "OddError"),
    ("handler_broken", "slash", "bot_error", "OddError"),
    ("handler_raises_it", "slash", "bot_error", "OddError"),
    ("handler_broken_of_check", "slash", "bot_error", "OddError"),
    *((name, kind, outcome, error) for kind in ("user", "message") for name, outcome, error in (
        ("Menu", "ok", None), ("Broken menu", "bot_error", "OddError"), ("Handled menu", "bot_error", "OddError"),
    )),
]  # fmt: skip
USE: dict[str, Callable[[Simulator, str], Any]] = {
    "slash": lambda sim, name: sim.slash(name, {"value": "x"} if name == "convert" else {}),
    "user": user_menu,
    "message": message_menu,
}


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
        assert told.begun == []
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


EAGER = pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="came with Python 3.12")


@pytest.mark.parametrize("eager", [False, pytest.param(True, marks=EAGER)], ids=["lazy", "eager"])
async def test_a_command_that_blocks_the_loop_for_800_ms_took_800_ms(eager: bool) -> None:
    bot = PlainBot()
    if eager:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]

    @bot.hybrid_command(description="-")
    async def blocking(ctx: Context) -> None:
        time.sleep(0.8)  # noqa: ASYNC251

    async with Simulator() as sim, following(bot, sim) as told:
        await sim.message("!blocking")
        await until(lambda: told.ends)
        assert (await told.one()).seconds >= 0.8
        await sim.slash("blocking")
        end = await told.one()
        assert end.seconds >= 0.8
        assert end.receipt is not None
        assert end.seconds <= time.perf_counter() - end.receipt.received


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
        assert told.begun == []


# ------------------------------------------------------------------------------------------------ the user's hooks


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


async def test_a_handler_of_the_tree_that_fails_is_called_once_and_counted_once() -> None:
    bot = PlainBot()
    furnish_tree(bot.tree)
    bot.tree.on_error = fail  # type: ignore[method-assign]
    async with Simulator() as sim, following(bot, sim) as told:
        await sim.slash("checked")
        assert shape(await told.one()) == ("checked", "slash", "bot_error", "OddError")
        gc.collect()


def own(target: Any) -> dict[str, Any]:
    return dict(vars(target))


async def test_closing_gives_back_exactly_what_is_the_users() -> None:
    bot = PlainBot()
    furnish_tree(bot.tree)
    tree, parsers = own(bot.tree), dict(bot._connection.parsers)
    async with Simulator() as sim:
        async with following(bot, sim) as told:
            assert bot.tree._call is not bot.tree.__class__._call
            await sim.slash("broken")
            await told.one()
            await sim.message("!unheard")
            await told.one()
        assert own(bot.tree) == tree
        assert "invoke" not in own(bot)
        assert bot._connection.parsers == parsers
    bot = PlainBot()
    bot.tree.on_error = before = reraise  # type: ignore[method-assign]
    async with Simulator() as sim:
        async with following(bot, sim):
            pass
        assert bot.tree.on_error is before


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


async def test_what_somebody_has_wrapped_over_ours_stays_and_tells_nobody_after_the_close() -> None:
    bot = PlainBot()
    furnish_tree(bot.tree)
    async with Simulator() as sim:
        told = Told()
        view = ClientView(bot, lambda _, error: told.errors.append(error))
        view.commands.listeners.append(told)
        view.open()
        async with logged_in(bot, sim):
            view.park()
            await sim.slash("fine")
            assert (await told.one()).receipt is not None
            wrapped: list[str] = []
            over(bot.tree, "_call", wrapped)
            over(bot, "invoke", wrapped)
            parsers = bot._connection.parsers
            parsers["MESSAGE_CREATE"] = parser = parsers["MESSAGE_CREATE"].__call__
            await view.close()
            assert parsers["MESSAGE_CREATE"] is parser
            for use in (sim.slash("fine"), sim.slash("broken"), sim.message("!unheard"), sim.message("plain")):
                await use
            await sim.autocomplete("complete", "value", {"value": "x"})
            await until(lambda: len(wrapped) == 5)
            assert (told.begun, told.ends, told.errors) == ([], [], [])
            assert "on_error" not in own(bot.tree)


def over(target: Any, name: str, calls: list[str]) -> None:
    original = getattr(target, name)

    async def wrapper(*arguments: Any) -> Any:
        calls.append(name)
        return await original(*arguments)

    setattr(target, name, wrapper)


async def test_a_command_that_runs_over_the_close_is_told_of_no_more() -> None:
    bot = PlainBot()
    released, done = asyncio.Event(), asyncio.Event()

    @bot.tree.command(description="-")
    async def slow(interaction: Interaction) -> None:
        await released.wait()
        done.set()

    async with Simulator() as sim:
        told = Told()
        view = ClientView(bot, lambda _, error: told.errors.append(error))
        view.commands.listeners.append(told)
        view.open()
        async with logged_in(bot, sim):
            view.park()
            await sim.slash("slow")
            await until(lambda: told.begun)
            await view.close()
            released.set()
            await done.wait()
            await asyncio.sleep(0)
            assert (told.ends, told.errors) == ([], [])


async def test_a_tree_that_comes_later_is_followed_too() -> None:
    client = PlainClient()
    async with Simulator() as sim, following(client, sim) as told:
        furnish_tree(app_commands.CommandTree(client))
        await sim.slash("broken")
        assert shape(await told.one()) == ("broken", "slash", "bot_error", "OddError")


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


# ------------------------------------------------------------------------------------------------ the public way


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
            monkeypatch.setattr("argus_exporter.discordpy.interactions.Interactions.receipt_of", lambda *_: None)
            await sim.slash("fine")
            end = await told.one()
            assert math.isfinite(end.seconds) == known
            monkeypatch.undo()


# ------------------------------------------------------------------------------------------------ hybrids and prefix


def furnish_hybrids(bot: Any) -> None:
    @bot.hybrid_command(description="-")
    async def both(ctx: Context) -> None:
        await ctx.send("ok")

    @bot.hybrid_command(description="-")
    async def both_broken(ctx: Context) -> None:
        raise OddError

    @bot.hybrid_command(description="-")
    async def both_handler_broken(ctx: Context) -> None:
        raise OddError

    both_handler_broken.error(reply_and_fail)

    @bot.hybrid_command(description="-")
    @commands.check(lambda _: False)
    async def both_checked(ctx: Context) -> None: ...

    @bot.hybrid_group(fallback="show", description="-")
    async def pair(ctx: Context) -> None:
        await ctx.send("ok")

    @pair.command(description="-")
    async def inner(ctx: Context) -> None:
        await ctx.send("ok")


async def reply_and_fail(ctx: Context, error: Exception) -> None:
    raise OddError


def furnish_prefix(bot: Any) -> None:  # noqa: C901 - one function a command
    """Prefix commands that end in every way."""
    furnish_hybrids(bot)

    @bot.command()
    async def plain(ctx: Context, *, text: str = "") -> None: ...

    @bot.command()
    async def number(ctx: Context, value: int) -> None: ...

    @bot.command()
    async def fussy(ctx: Context, value: FussyConverter) -> None: ...

    @bot.command()
    @commands.has_role("nobody has it")
    async def owners(ctx: Context) -> None: ...

    @bot.command(enabled=False)
    async def disabled(ctx: Context) -> None: ...

    @bot.command()
    async def cancelled(ctx: Context) -> None:
        raise asyncio.CancelledError

    @bot.command()
    async def others(ctx: Context) -> None:
        await ctx.invoke(plain)
        await ctx.send_help()

    @bot.command()
    async def redirected(ctx: Context) -> None:
        await plain.reinvoke(ctx)

    @bot.group()
    async def outer(ctx: Context) -> None: ...

    @outer.command()
    async def deep(ctx: Context) -> None:
        raise OddError

    @bot.group(invoke_without_command=True)
    async def alone(ctx: Context) -> None: ...


class FussyConverter(commands.Converter[str]):
    """Takes nothing."""

    async def convert(self, ctx: Context, argument: str) -> str:
        raise OddError


PREFIX_COMMANDS: list[tuple[str, str, str, str | None]] = [
    ("plain", "plain", "ok", None),
    ("help", "help", "ok", None),
    ("unheard", "other", "not_found", "CommandNotFound"),
    ("number x", "number", "user_error", "BadArgument"),
    ("number", "number", "user_error", "MissingRequiredArgument"),
    ("fussy x", "fussy", "user_error", "OddError"),
    ("owners", "owners", "rejected", "MissingRole"),
    ("disabled", "disabled", "rejected", "DisabledCommand"),
    ("cancelled", "cancelled", "cancelled", None),
    ("others", "others", "ok", None),
    ("redirected", "plain", "ok", None),
    ("outer", "outer", "ok", None),
    ("outer deep", "outer deep", "bot_error", "OddError"),
    ("alone", "alone", "ok", None),
    ("both", "both", "ok", None),
    ("both_broken", "both_broken", "bot_error", "OddError"),
    ("both_handler_broken", "both_handler_broken", "bot_error", "OddError"),
    ("both_checked", "both_checked", "rejected", "CheckFailure"),
    ("pair", "pair", "ok", None),
    ("pair inner", "pair inner", "ok", None),
]


@pytest.mark.parametrize("make", [PlainBot, lambda: ShardedBot(shard_count=1)], ids=["Bot", "AutoShardedBot"])
async def test_each_prefix_command_is_told_of_once_however_it_ends(make: Any) -> None:
    bot = make()
    furnish_prefix(bot)
    async with Simulator() as sim, following(bot, sim) as told:
        for text, name, outcome, error in PREFIX_COMMANDS:
            await sim.message("no command")
            await sim.message("!")
            await sim.message(f"!{text}")
            end = await told.one()
            assert shape(end) == (name, "prefix", outcome, error)
            assert end.receipt is None
            assert 0 < end.seconds < 10
        assert told.handled == []
        gc.collect()


HYBRIDS: list[tuple[str, str, str | None]] = [
    ("both", "ok", None),
    ("both_broken", "bot_error", "OddError"),
    ("both_handler_broken", "bot_error", "OddError"),
    ("both_checked", "rejected", "CheckFailure"),
    ("pair show", "ok", None),
    ("pair inner", "ok", None),
]


async def test_a_hybrid_that_is_used_as_a_slash_command_is_one() -> None:
    bot = PlainBot()
    furnish_hybrids(bot)
    async with Simulator() as sim, following(bot, sim) as told:
        for name, outcome, error in HYBRIDS:
            await sim.slash(name)
            assert shape(await told.one()) == (name, "slash", outcome, error)
            assert told.handled.pop() == ("slash", outcome)
        assert told.handled == []
        gc.collect()


async def test_a_prefix_command_lasts_from_the_receipt_of_its_message() -> None:
    class SlowBot(PlainBot):
        async def get_context(self, *arguments: Any, **named: Any) -> Any:
            time.sleep(0.2)  # noqa: ASYNC251
            return await super().get_context(*arguments, **named)

    bot = SlowBot()
    furnish_prefix(bot)
    async with Simulator() as sim, following(bot, sim) as told:
        await sim.message("!plain")
        end = await told.one()
        assert end.seconds >= 0.2


async def test_an_edited_message_counts_from_its_edit() -> None:
    bot = PlainBot()
    furnish_prefix(bot)

    @bot.event
    async def on_message_edit(_: discord.Message, after: discord.Message) -> None:
        after.content = "!plain"
        await bot.process_commands(after)

    async with Simulator() as sim, following(bot, sim) as told:
        await sim.message("edited later")
        await asyncio.sleep(0.5)
        await sim.event("MESSAGE_UPDATE")
        assert (await told.one()).seconds < 0.5


async def test_a_message_that_came_long_ago_counts_from_its_invocation() -> None:
    bot = PlainBot()
    furnish_prefix(bot)
    kept: list[discord.Message] = []

    @bot.event
    async def on_message(message: discord.Message) -> None:
        kept.append(message)

    async with Simulator() as sim, following(bot, sim) as told:
        await sim.message("!plain")
        await sim.burst(STAMPS, mix={"MESSAGE_CREATE": 1})
        await until(lambda: len(kept) > STAMPS)
        before = time.perf_counter()
        await bot.process_commands(kept[0])
        assert (await told.one()).seconds <= time.perf_counter() - before


async def test_an_invoke_of_the_users_own_is_called_and_may_let_nobody_in() -> None:
    class Strict(PlainBot):
        async def invoke(self, ctx: Any, /) -> None:
            if ctx.message.content != "!both":
                await super().invoke(ctx)

    bot = Strict()
    furnish_prefix(bot)
    async with Simulator() as sim, following(bot, sim) as told:
        await sim.message("!both")
        assert shape(await told.one()) == ("both", "prefix", "rejected", None)
        await sim.message("!plain")
        assert shape(await told.one()) == ("plain", "prefix", "ok", None)


async def test_an_invoke_within_a_slash_command_is_no_command_of_its_own() -> None:
    bot = PlainBot()
    furnish_prefix(bot)

    @bot.hybrid_command(description="-")
    async def outermost(ctx: Context) -> None:
        ctx.command = bot.get_command("plain")
        await bot.invoke(ctx)

    async with Simulator() as sim, following(bot, sim) as told:
        await sim.slash("outermost")
        assert shape(await told.one()) == ("outermost", "slash", "ok", None)


async def test_a_prefix_command_that_is_cancelled_from_outside_is_cancelled() -> None:
    bot = PlainBot()
    furnish_prefix(bot)
    tasks: list[asyncio.Task[Any]] = []

    @bot.check_once
    async def wait(_: Context) -> bool:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        await asyncio.Event().wait()
        return True

    async with Simulator() as sim, following(bot, sim) as told:
        await sim.message("!plain")
        await until(lambda: tasks)
        tasks[0].cancel()
        assert shape(await told.one()) == ("plain", "prefix", "cancelled", "CancelledError")


async def test_a_message_that_discord_py_cannot_read_is_its_own_trouble() -> None:
    bot = PlainBot()
    async with Simulator() as sim, following(bot, sim):
        for data in ({}, None):
            with pytest.raises((KeyError, TypeError)):
                bot._connection.parsers["MESSAGE_CREATE"](data)


async def test_without_parsers_a_prefix_command_counts_from_its_invocation() -> None:
    bot = PlainBot()
    furnish_prefix(bot)
    parser = bot._connection.parsers.pop("MESSAGE_CREATE")
    async with Simulator() as sim, following(bot, sim) as told:
        bot._connection.parsers["MESSAGE_CREATE"] = parser
        await sim.message("!plain")
        assert shape(await told.one()) == ("plain", "prefix", "ok", None)


# ------------------------------------------------------------------------------------------------ registered


async def test_what_is_registered_is_known_by_type_without_groups_of_slash_commands() -> None:
    bot = PlainBot()
    furnish_tree(bot.tree)
    furnish_prefix(bot)
    slash_names = {name for name, kind, *_ in APP_COMMANDS if kind == "slash"} | {"cold", "complete"}
    slash_names |= {name for name, *_ in HYBRIDS}
    slash(GuildOnly(bot.tree), "in a guild".replace(" ", "_"))
    async with Simulator() as sim, following(bot, sim):
        view = ClientView(bot, lambda *_: None)
        view.commands.open(bot._connection)
        names = view.commands.registered()
        assert names["slash"] == slash_names | {"in_a_guild"}
        assert names["user"] == names["message"] == {"Menu", "Broken menu", "Handled menu"}
        assert names["prefix"] == {name for _, name, *_ in PREFIX_COMMANDS} - {"other"} | {"redirected"}
        assert view.commands.registered() is names
        slash(bot.tree, "new")
        assert view.commands.registered()["slash"] == names["slash"] | {"new"}
        bot.tree.add_command(slash(bot.tree, "again"), guild=discord.Object(2))
        bot.tree.remove_command("again")
        assert view.commands.registered()["slash"] == names["slash"] | {"new", "again"}
        bot.tree.remove_command("Menu", type=discord.AppCommandType.user)
        assert view.commands.registered()["user"] == {"Broken menu", "Handled menu"}
        bot.remove_command("plain")
        assert view.commands.registered()["prefix"] == names["prefix"] - {"plain"}
        await view.close()


class GuildOnly:
    """The commands of one guild in a tree."""

    def __init__(self, tree: Any) -> None:
        self._tree = tree

    def add_command(self, command: Any) -> None:
        self._tree.add_command(command, guild=discord.Object(1))


async def test_what_came_within_a_group_is_known_within_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    client = PlainClient()
    tree = app_commands.CommandTree(client)
    group = app_commands.Group(name="group", description="-")
    tree.add_command(group)
    view = ClientView(client, lambda *_: None)
    view.commands.open(client._connection)
    names = view.commands.registered()
    assert names == {"slash": set(), "user": set(), "message": set(), "prefix": set()}
    slash(group, "late")
    assert view.commands.registered() is names
    view.commands._registered._walked_at -= 60
    assert view.commands.registered()["slash"] == {"group late"}
    names = view.commands.registered()
    view.commands._registered._walked_at -= 60
    assert view.commands.registered() is names
    monkeypatch.setattr("argus_exporter.discordpy.registered.WALKED", 1)
    slash(tree, "beyond")
    assert len(view.commands.registered()["slash"]) == 1
    await view.close()


async def test_without_its_tables_a_tree_tells_of_its_global_slash_commands() -> None:
    client = PlainClient()
    tree: Any = app_commands.CommandTree(client)
    slash(tree, "one")
    slash(GuildOnly(tree), "two")
    del tree._guild_commands, tree._context_menus
    view = ClientView(client, lambda *_: None)
    view.commands.open(client._connection)
    assert view.commands.registered() == {"slash": {"one"}, "user": set(), "message": set(), "prefix": set()}
    await view.close()


async def test_without_a_tree_there_are_prefix_commands_alone() -> None:
    view = ClientView(PlainClient(), lambda *_: None)
    view.commands.open(object())
    assert view.commands.registered() == {"slash": set(), "user": set(), "message": set(), "prefix": set()}
    await view.close()
