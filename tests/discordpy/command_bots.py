"""Bots with commands of every kind, and somebody who is told how they end."""

from __future__ import annotations

import asyncio
import contextlib
import typing
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from argus_exporter.discordpy import ClientView, CommandListener, InteractionListener
from argus_exporter.discordpy.runs import Run
from examples.discord_simulator import Simulator
from tests.clients import logged_in, until

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


Interaction = discord.Interaction[Any]


Context = commands.Context[Any]


class Told(CommandListener, InteractionListener):
    """Keeps what it is told."""

    view: ClientView

    def __init__(self) -> None:
        self.ends: list[Run] = []
        self.handled: list[tuple[str, str]] = []
        self.errors: list[BaseException] = []

    def ended(self, *told: Any) -> None:
        if len(told) == 1:
            self.ends.append(told[0])
        else:
            self.handled.append((told[0].type, told[1]))

    async def one(self) -> Run:
        """The one command that was used since the last time."""
        await until(lambda: self.ends)
        (end,), self.ends = self.ends, []
        return end


@contextlib.asynccontextmanager
async def following(client: discord.Client, sim: Simulator) -> AsyncIterator[Told]:
    """A client that runs, and somebody who listens to its commands."""
    told = Told()
    told.view = view = ClientView(client, lambda _, error: told.errors.append(error))
    view.journal.hurry("tests", needed=True)
    view.commands.listeners.append(told)
    view.interactions.listeners.append(told)
    view.open()
    try:
        async with logged_in(client, sim):
            view.park()
            yield told
            assert view.commands.runs == {}
            await view.close()
    finally:
        await view.close()
    assert told.errors == []


def shape(end: Run) -> tuple[str, str, str, str | None]:
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


HYBRIDS: list[tuple[str, str, str | None]] = [
    ("both", "ok", None),
    ("both_broken", "bot_error", "OddError"),
    ("both_handler_broken", "bot_error", "OddError"),
    ("both_checked", "rejected", "CheckFailure"),
    ("pair show", "ok", None),
    ("pair inner", "ok", None),
]
