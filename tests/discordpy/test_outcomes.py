"""What each exception says of how a command ended."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import typing
from typing import Any

import aiohttp
import discord
import pytest
from discord import app_commands
from discord.ext import commands

from argus_exporter.catalogue import OUTCOMES
from argus_exporter.discordpy.outcomes import FAULTS, RULES, decisive, names_of, outcome_of, unwrap
from examples.discord_simulator import Simulator, point_at
from tests.clients import PlainBot, logged_in

CATCH_ALL = {
    "BaseException",
    "OSError",
    "discord.DiscordException",
    "discord.app_commands.AppCommandError",
    "discord.ext.commands.CommandError",
}
"""Rules for what users derive of them; no class of discord.py's own rests on them alone."""


class Answer:
    """As much of aiohttp's response as discord.py's exceptions read."""

    reason = "-"

    def __init__(self, status: int) -> None:
        self.status = status


def http(status: int, code: int = 0, kind: type[discord.HTTPException] = discord.HTTPException) -> Exception:
    answer: Any = Answer(status)
    return kind(answer, {"code": code, "message": "-"})


def made(kind: type[BaseException], *arguments: Any) -> Any:
    """An exception of a class whose constructor wants what the test does not need."""
    error = kind.__new__(kind)
    error.args = arguments
    return error


def invoked(error: Exception) -> Any:
    command: Any = discord.Object(1)
    command.name = "c"
    return app_commands.CommandInvokeError(command, error)


def transformed(cause: Exception | None) -> Any:
    error = made(app_commands.TransformerError)
    error.__cause__ = cause
    return error


def converted(cause: Exception) -> Any:
    converter: Any = None
    return commands.ConversionError(converter, cause)


def hybrid(error: Any) -> Any:
    return commands.HybridCommandError(error)


def everything(kind: type[BaseException] = discord.DiscordException) -> set[type[BaseException]]:
    """All exception classes of the installed discord.py."""
    for module in pkgutil.walk_packages(discord.__path__, "discord."):
        if not module.name.startswith(("discord.__main__", "discord.types")):
            importlib.import_module(module.name)
    return {kind}.union(*(everything(each) for each in kind.__subclasses__() if each.__module__.startswith("discord.")))


@pytest.mark.parametrize("kind", sorted(everything(), key=names_of), ids=lambda kind: kind.__name__)
def test_every_exception_of_discord_py_has_a_rule_by_itself_or_by_its_base(kind: type[BaseException]) -> None:
    ruled = next(name for each in kind.__mro__ for name in names_of(each) if name in RULES)
    assert ruled not in CATCH_ALL or ruled in names_of(kind)


def test_every_rule_is_of_a_class_that_some_discord_py_has_and_says_an_outcome() -> None:
    known = {name for kind in everything() for name in names_of(kind)}
    foreign = {name for name in RULES if not name.startswith("discord.")}
    assert foreign == {"BaseException", "GeneratorExit", "OSError", "aiohttp.ClientError", "asyncio.CancelledError"}
    moved = {"discord.app_commands.MissingApplicationID", "discord.MissingApplicationID"}  # in 2.5, to discord itself
    assert set(RULES) - foreign <= known | moved
    assert {rule for rule in RULES.values() if isinstance(rule, str)} < set(OUTCOMES)
    assert set(FAULTS) < set(OUTCOMES)


TABLE: list[tuple[BaseException | None, str]] = [
    (None, "ok"),
    (made(commands.MissingRequiredArgument), "user_error"),
    (commands.TooManyArguments(), "user_error"),
    (made(commands.BadUnionArgument), "user_error"),
    (made(commands.UnexpectedQuoteError), "user_error"),
    (made(commands.MemberNotFound), "user_error"),
    (converted(KeyError()), "user_error"),
    (converted(http(403)), "user_error"),
    (converted(http(503)), "discord_error"),
    (transformed(None), "user_error"),
    (transformed(ValueError()), "user_error"),
    (hybrid(transformed(ValueError())), "user_error"),
    (hybrid(transformed(converted(ValueError()))), "user_error"),
    (commands.CheckFailure(), "rejected"),
    (made(commands.MissingPermissions), "rejected"),
    (commands.NotOwner(), "rejected"),
    (made(commands.NSFWChannelRequired), "rejected"),
    (made(commands.CheckAnyFailure), "rejected"),
    (commands.DisabledCommand(), "rejected"),
    (made(commands.CommandOnCooldown), "rejected"),
    (made(commands.MaxConcurrencyReached), "rejected"),
    (app_commands.CheckFailure(), "rejected"),
    (app_commands.NoPrivateMessage(), "rejected"),
    (made(app_commands.CommandOnCooldown), "rejected"),
    (made(app_commands.MissingPermissions), "rejected"),
    (hybrid(made(app_commands.CommandOnCooldown)), "rejected"),
    (made(commands.BotMissingPermissions), "bot_error"),
    (made(commands.BotMissingRole), "bot_error"),
    (made(commands.BotMissingAnyRole), "bot_error"),
    (made(app_commands.BotMissingPermissions), "bot_error"),
    (invoked(http(500, kind=discord.DiscordServerError)), "discord_error"),
    (invoked(http(599)), "discord_error"),
    (invoked(http(429)), "discord_error"),
    (invoked(http(404, 10062, discord.NotFound)), "discord_error"),
    (invoked(http(404, 10008, discord.NotFound)), "bot_error"),
    (invoked(http(403, 50013, discord.Forbidden)), "bot_error"),
    (invoked(http(400, 40060)), "bot_error"),
    (invoked(discord.RateLimited(1.0)), "discord_error"),
    (invoked(aiohttp.ServerTimeoutError()), "discord_error"),
    (invoked(aiohttp.ClientConnectionError()), "discord_error"),
    (invoked(TimeoutError()), "bot_error"),
    (invoked(ConnectionRefusedError()), "bot_error"),
    (invoked(ValueError()), "bot_error"),
    (made(discord.InteractionResponded), "bot_error"),
    (made(app_commands.CommandSignatureMismatch), "bot_error"),
    (made(app_commands.CommandSyncFailure), "bot_error"),
    (commands.CommandError(), "bot_error"),
    (KeyboardInterrupt(), "bot_error"),
    (asyncio.CancelledError(), "cancelled"),
    (GeneratorExit(), "cancelled"),
    (commands.CommandNotFound(), "not_found"),
    (app_commands.CommandNotFound("x", []), "not_found"),
]


@pytest.mark.parametrize(("error", "outcome"), TABLE, ids=lambda each: each if isinstance(each, str) else repr(each))
def test_an_exception_says_how_a_command_ended(error: BaseException | None, outcome: str) -> None:
    assert outcome_of(error) == outcome


async def test_a_timeout_is_discords_if_it_came_through_discord_pys_http(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Simulator() as sim:
        bot = PlainBot()
        async with logged_in(bot, sim):

            def late(*_: object, **__: object) -> typing.NoReturn:
                raise TimeoutError

            session: Any = bot.http._HTTPClient__session  # type: ignore[attr-defined]
            monkeypatch.setattr(session, "request", late)
            with pytest.raises(TimeoutError) as caught:
                await bot.fetch_user(1)
            monkeypatch.undo()
            assert outcome_of(invoked(caught.value)) == "discord_error"


async def test_a_connection_that_fails_is_discords_unless_the_bot_itself_has_made_it() -> None:
    nowhere = "http://127.0.0.1:1"
    async with Simulator() as sim:
        bot = PlainBot()
        async with logged_in(bot, sim):
            with point_at(nowhere), pytest.raises(aiohttp.ClientError) as discords:
                await bot.fetch_user(1)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError) as bots:
            await session.get(nowhere)
        webhook = discord.Webhook.partial(1, "token", session=session)
        with point_at(nowhere), pytest.raises(aiohttp.ClientError) as webhooks:
            await webhook.send("x")
    outcomes = [outcome_of(invoked(each.value)) for each in (discords, bots, webhooks)]
    assert outcomes == ["discord_error", "bot_error", "discord_error"]


def test_the_cause_is_found_under_every_wrapper() -> None:
    cause = ValueError()
    invocation = commands.CommandInvokeError(cause)
    for error in (cause, invocation, invoked(cause), hybrid(invoked(cause)), converted(cause), transformed(cause)):
        assert unwrap(error) is cause
    assert unwrap(hybrid(transformed(invocation))) is cause


def test_what_wraps_nothing_is_itself_the_cause() -> None:
    alone = transformed(None)
    assert unwrap(alone) is alone
    reloaded = made(commands.ExtensionFailed)
    reloaded.original = ValueError()
    assert unwrap(invoked(reloaded)) is reloaded


def test_a_wrapper_of_itself_has_an_end() -> None:
    error = transformed(None)
    error.__cause__ = error
    assert unwrap(error) is error
    assert outcome_of(error) == "user_error"


class Poor(Exception):  # noqa: N818
    """Not enough coins."""


class Broke(Poor, commands.CheckFailure):
    """None at all."""


def test_a_rule_of_the_users_own_goes_by_the_most_specific_class() -> None:
    here = f"{Poor.__module__}.Poor"
    assert outcome_of(Poor(), {**RULES, here: "user_error"}) == "user_error"
    assert outcome_of(invoked(Broke()), {**RULES, here: "user_error"}) == "user_error"
    assert outcome_of(Broke(), {**RULES, "tests.Broke": "ok"}) == "rejected"
    assert outcome_of(Broke(), {**RULES, "tests.discordpy.Broke": "ok"}) == "ok"


def test_a_rule_may_name_a_class_by_where_it_stands_or_by_where_it_is_imported_from() -> None:
    for name in ("discord.errors.Forbidden", "discord.Forbidden"):
        assert outcome_of(http(403, kind=discord.Forbidden), {**RULES, name: "rejected"}) == "rejected"
    for name in ("builtins.ZeroDivisionError", "ZeroDivisionError"):
        assert outcome_of(ZeroDivisionError(), {**RULES, name: "user_error"}) == "user_error"


def test_a_rule_for_conversions_is_the_users_to_change() -> None:
    rules = {**RULES, "discord.ext.commands.ConversionError": "bot_error"}
    assert outcome_of(converted(KeyError()), rules) == "bot_error"


def raised_while(handling: BaseException, error: BaseException) -> BaseException:
    """An exception as it is when it was raised while another one was handled."""
    error.__context__ = KeyError()
    error.__context__.__context__ = handling
    return error


def test_of_two_exceptions_the_commands_own_counts() -> None:
    own, handlers = invoked(ValueError()), RuntimeError()
    assert decisive(own, None) is own
    assert decisive(None, handlers) is handlers
    assert decisive(own, handlers) is own
    assert decisive(None, raised_while(own, handlers)) is own


def test_a_handler_that_fails_is_a_fault_where_the_commands_own_was_none() -> None:
    own, handlers = made(commands.CommandOnCooldown), RuntimeError()
    assert decisive(own, handlers) is handlers
    assert decisive(None, raised_while(own, handlers)) is handlers
    assert decisive(own, commands.CheckFailure()) is own


def test_a_cancellation_is_one_whatever_was_being_handled() -> None:
    cancelled = asyncio.CancelledError()
    assert decisive(None, raised_while(commands.CheckFailure(), cancelled)) is cancelled


def test_contexts_in_a_circle_have_an_end() -> None:
    error = RuntimeError()
    error.__context__ = other = KeyError()
    other.__context__ = error
    assert decisive(None, error) is error


def test_an_exception_that_the_bot_has_made_up_has_an_outcome_too() -> None:
    response: Any = type("Response", (), {"status": None, "reason": "made up"})
    assert outcome_of(discord.HTTPException(response, "made up")) == "bot_error"
    assert outcome_of(type("MadeUp", (Exception,), {"__module__": None})()) == "bot_error"
