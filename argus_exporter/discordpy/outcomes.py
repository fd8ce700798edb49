"""How a command ended, told by the exception that ended it: one table, which users extend and override by a setting."""

from __future__ import annotations

import traceback
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final

import aiohttp
from discord import http
from discord.webhook import async_

if typing.TYPE_CHECKING:
    from collections.abc import Iterator

Rule = str | Callable[[BaseException], str]
"""An outcome, or what tells it where the class alone does not."""
Rules = Mapping[str, Rule]

OK: Final = "ok"
BOT_ERROR: Final = "bot_error"
DISCORD_ERROR: Final = "discord_error"
FAULTS: Final = (BOT_ERROR, DISCORD_ERROR)
"""The outcomes that are somebody's fault, but not the user's."""

_UNKNOWN_INTERACTION: Final = 10062
_TOO_MANY_REQUESTS: Final = 429
_DEEPEST: Final = 16
"""Exceptions of a chain that are looked at; a chain may be a circle."""


def of_response(error: BaseException) -> str:
    """Discord's answer: 5xx, 429 and an interaction that it has forgotten are its own, the rest is the bot's."""
    status: object = getattr(error, "status", 0)  # of any type where the bot itself has made the exception
    failed = isinstance(status, int) and (status >= 500 or status == _TOO_MANY_REQUESTS)  # noqa: PLR2004
    theirs = failed or getattr(error, "code", 0) == _UNKNOWN_INTERACTION
    return DISCORD_ERROR if theirs else BOT_ERROR


def of_the_way(error: BaseException) -> str:
    """A timeout or an error of the system is Discord's if it came through discord.py's HTTP, else of the bot's own."""
    return DISCORD_ERROR if _came_through(error, http.__file__, async_.__file__) else BOT_ERROR


def of_aiohttp(error: BaseException) -> str:
    """So is an error of a connection, but for a request that the bot itself made with aiohttp, to wherever it is."""
    elsewhere = of_the_way(error) == BOT_ERROR and _came_through(error, aiohttp.client.__file__)
    return BOT_ERROR if elsewhere else DISCORD_ERROR


def _came_through(error: BaseException, *files: str) -> bool:
    return any(frame.f_code.co_filename in files for frame, _ in traceback.walk_tb(error.__traceback__))


RULES: Final[Rules] = {
    "BaseException": BOT_ERROR,
    "GeneratorExit": "cancelled",
    "OSError": of_the_way,  # TimeoutError is one
    "asyncio.CancelledError": "cancelled",
    "aiohttp.ClientError": of_aiohttp,
    # the client
    "discord.DiscordException": BOT_ERROR,
    "discord.ClientException": BOT_ERROR,
    "discord.ConnectionClosed": DISCORD_ERROR,
    "discord.GatewayNotFound": DISCORD_ERROR,
    "discord.HTTPException": of_response,
    "discord.InvalidData": DISCORD_ERROR,
    "discord.MissingApplicationID": BOT_ERROR,
    "discord.RateLimited": DISCORD_ERROR,
    "discord.oggparse.OggError": BOT_ERROR,
    "discord.opus.OpusError": BOT_ERROR,
    "discord.opus.OpusNotLoaded": BOT_ERROR,
    # app commands
    "discord.app_commands.AppCommandError": BOT_ERROR,
    "discord.app_commands.BotMissingPermissions": BOT_ERROR,
    "discord.app_commands.CheckFailure": "rejected",
    "discord.app_commands.CommandAlreadyRegistered": BOT_ERROR,
    "discord.app_commands.CommandInvokeError": BOT_ERROR,
    "discord.app_commands.CommandLimitReached": BOT_ERROR,
    "discord.app_commands.CommandNotFound": "not_found",
    "discord.app_commands.CommandSignatureMismatch": BOT_ERROR,
    "discord.app_commands.CommandSyncFailure": BOT_ERROR,
    "discord.app_commands.MissingApplicationID": BOT_ERROR,
    "discord.app_commands.TransformerError": "user_error",
    "discord.app_commands.TranslationError": BOT_ERROR,
    # prefix commands
    "discord.ext.commands.BotMissingAnyRole": BOT_ERROR,
    "discord.ext.commands.BotMissingPermissions": BOT_ERROR,
    "discord.ext.commands.BotMissingRole": BOT_ERROR,
    "discord.ext.commands.CheckFailure": "rejected",
    "discord.ext.commands.CommandError": BOT_ERROR,
    "discord.ext.commands.CommandInvokeError": BOT_ERROR,
    "discord.ext.commands.CommandNotFound": "not_found",
    "discord.ext.commands.CommandOnCooldown": "rejected",
    "discord.ext.commands.ConversionError": "user_error",
    "discord.ext.commands.DisabledCommand": "rejected",
    "discord.ext.commands.ExtensionError": BOT_ERROR,
    "discord.ext.commands.HybridCommandError": BOT_ERROR,
    "discord.ext.commands.MaxConcurrencyReached": "rejected",
    "discord.ext.commands.UserInputError": "user_error",
}
"""The outcome of each class and of its subclasses, but those that have a rule of their own.

By dotted name, so that nothing need be imported and a class that a version of discord.py does not have does no harm.
"""

_CONVERSIONS: Final = ("discord.app_commands.TransformerError", "discord.ext.commands.ConversionError")
_WRAPPERS: Final = frozenset(
    {
        *_CONVERSIONS,
        "discord.app_commands.CommandInvokeError",
        "discord.ext.commands.CommandInvokeError",
        "discord.ext.commands.HybridCommandError",
    }
)
_RAISED_BY_DISCORD: Final = frozenset({"discord.app_commands.AppCommandError", "discord.ext.commands.CommandError"})


def names_of(kind: type[BaseException]) -> tuple[str, str]:
    """The dotted names of a class: where it is defined, and the package from which it is imported.

    ``discord.errors.Forbidden`` is ``discord.Forbidden`` too; what is in no package has its bare name.
    """
    module = str(kind.__module__)
    package = module.rpartition(".")[0]
    return f"{module}.{kind.__qualname__}", f"{package}.{kind.__qualname__}" if package else kind.__qualname__


def unwrap(error: BaseException) -> BaseException:
    """The cause under discord.py's wrappers: under CommandInvokeError, HybridCommandError and failed conversions."""
    *_, cause = _unwrapping(error)
    return cause


def outcome_of(error: BaseException | None, rules: Rules = RULES) -> str:
    """How a command ended that ended with this exception, one of :data:`argus_exporter.catalogue.OUTCOMES`.

    The cause's most specific class that has a rule decides. A conversion that failed is the user's error even where
    the converter raised what would be the bot's elsewhere: what was written could not be read.
    """
    if error is None:
        return OK
    *wrappers, cause = _unwrapping(error)
    outcome = _ruled(cause, rules)
    for wrapper in wrappers:
        if outcome == BOT_ERROR and _is_one_of(wrapper, _CONVERSIONS):
            outcome = _ruled(wrapper, rules)
    return outcome


def decisive(told: BaseException | None, raised: BaseException | None, rules: Rules = RULES) -> BaseException:
    """Which exception ended a command: its own, or, where only that is a fault, what handling it has raised.

    There is at least one of them.

    :param told: what discord.py has told its error handlers of.
    :param raised: what came out of the call. A command's own handler that raised keeps discord.py from telling the
        others: then the command's exception is found in the context of this one.
    """
    if raised is None:
        assert told is not None  # noqa: S101 - narrows for the type checkers
        return told
    first = told or (_handled(raised) if isinstance(raised, Exception) else None) or raised
    if outcome_of(first, rules) in FAULTS:
        return first
    return raised if outcome_of(raised, rules) in FAULTS else first


def _unwrapping(error: BaseException) -> list[BaseException]:
    chain = [error]
    while len(chain) < _DEEPEST and _is_one_of(error, _WRAPPERS):
        cause: Any = getattr(error, "original", None) or error.__cause__
        if not isinstance(cause, BaseException):
            break
        chain.append(error := cause)
    return chain


def _handled(raised: Exception) -> BaseException | None:
    """The error that discord.py was handling when this was raised."""
    error = raised.__context__
    for _ in range(_DEEPEST):
        if error is None or _is_one_of(error, _RAISED_BY_DISCORD):
            return error
        error = error.__context__
    return None


def _ruled(error: BaseException, rules: Rules) -> str:
    rule = next(rules[name] for name in _names(error) if name in rules)
    return rule if isinstance(rule, str) else rule(error)


def _is_one_of(error: BaseException, names: typing.Container[str]) -> bool:
    return any(name in names for name in _names(error))


def _names(error: BaseException) -> Iterator[str]:
    for kind in type(error).__mro__:
        yield from names_of(kind)
