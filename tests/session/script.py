"""The scripted session as data: what is used, how it goes, and what that must be counted as.

Nothing in here knows how anything is counted. What a step leads to is written down by what discord.py and Discord do.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
import typing
from collections.abc import Callable
from typing import Any, Final

from examples.discord_simulator.rest import ApiError, Cut, cloudflare, error, failure, too_many

if typing.TYPE_CHECKING:
    from aiohttp import web

SHARDS: Final = 3
GUILDS: Final = 6
MEMBERS: Final = 8
BARRED: Final = 7
"""The member whom every check of the bot's keeps out."""
CURSED: Final = 6
"""The member over whom the check of the bot's command tree stumbles."""
DIRECT: Final = -1
"""Instead of a guild: direct messages."""

SEND: Final = "POST /channels/{channel_id}/messages"
CALLBACK: Final = "POST /interactions/{interaction_id}/{token}/callback"
WEBHOOK: Final = "POST /webhooks/{webhook_id}/{token}"

ACCEPTED, REFUSED, NOBODY = "accepted", "refused", "nobody"
"""What becomes of an interaction: Discord accepts an answer, refuses it, or nobody tries."""

Plan = tuple[tuple[str, Callable[[], "web.Response"]], ...]


@dataclasses.dataclass(frozen=True)
class Behaviour:
    """What a handler does, whatever it handles, and how that ends.

    :ivar error: the class of the exception that ends it.
    :ivar answer: what becomes of the interaction.
    :ivar plan: how Discord answers the requests of this step.
    :ivar late: so old is the interaction when it comes, in seconds.
    :ivar seconds: so long it sleeps.
    """

    name: str
    outcome: str = "ok"
    error: str = ""
    answer: str = ACCEPTED
    plan: Plan = ()
    late: float = 0.0
    seconds: float = 0.0
    only_interactions: bool = False


def _again() -> web.Response:
    return error(ApiError(400, 40060, "Interaction has already been acknowledged."))


def _forbidden() -> web.Response:
    return error(ApiError(403, 50013, "Missing Permissions"))


def _limited(seconds: float, scope: str) -> Callable[[], web.Response]:
    return lambda: too_many(seconds, scope=scope)


BEHAVIOURS: Final = {
    each.name: each
    for each in (
        Behaviour("answer"),
        Behaviour("defer", only_interactions=True),
        Behaviour("slow", seconds=0.03),
        Behaviour("silent", answer=NOBODY),
        Behaviour("patient", plan=((CALLBACK, _limited(0.02, "user")),), only_interactions=True),
        Behaviour("crash", "bot_error", "RuntimeError", NOBODY),
        Behaviour("regret", "bot_error", "ZeroDivisionError"),
        Behaviour("sleepy", "bot_error", "TimeoutError", NOBODY),
        Behaviour("twice", "bot_error", "InteractionResponded", only_interactions=True),
        Behaviour("again", "bot_error", "HTTPException", REFUSED, ((CALLBACK, _again),), only_interactions=True),
        Behaviour("late", "discord_error", "NotFound", REFUSED, late=4.0, only_interactions=True),
        Behaviour("forbidden", "bot_error", "Forbidden", NOBODY, ((SEND, _forbidden),)),
        Behaviour("down", "discord_error", "DiscordServerError", NOBODY, ((SEND, lambda: failure(503)),)),
        Behaviour("banned", "discord_error", "HTTPException", NOBODY, ((SEND, cloudflare),)),
        Behaviour("limited", "discord_error", "RateLimited", NOBODY, ((SEND, _limited(99.0, "user")),)),
        Behaviour("lost", "discord_error", "ServerDisconnectedError", NOBODY, ((SEND, Cut),)),
        Behaviour("cancelled", "cancelled", "CancelledError", NOBODY),
    )
}
MENUS: Final = ("answer", "silent", "crash", "down", "late")
"""discord.py 2.4 takes five menus of a kind."""
GROUPED: Final = ("answer", "crash", "down", "cancelled")
HYBRID: Final = ("answer", "crash", "down", "slow")


@dataclasses.dataclass(frozen=True)
class Use:
    """Somebody uses something of the bot's.

    :ivar how: slash, user, message, component, modal, autocomplete or prefix.
    :ivar name: what is typed, chosen or pressed.
    :ivar command: the label; ``name`` where empty.
    :ivar handled: whether there is a handler whose end could be seen.
    """

    how: str
    name: str
    outcome: str = "ok"
    error: str = ""
    answer: str = ACCEPTED
    plan: Plan = ()
    late: float = 0.0
    seconds: float = 0.0
    command: str = ""
    options: tuple[tuple[str, Any], ...] = ()
    member: int = 0
    guild: int = 0
    handled: bool = True

    @property
    def is_command(self) -> bool:
        return self.how in {"slash", "user", "message", "prefix"}

    @property
    def hangs(self) -> bool:
        return self.outcome == "cancelled"


@dataclasses.dataclass(frozen=True)
class Call:
    """The bot asks something of Discord by itself, by a method of its own; ``plan`` as in :class:`Behaviour`."""

    name: str
    plan: Plan = ()
    error: str = ""


@dataclasses.dataclass(frozen=True)
class Trouble:
    """Something happens to a shard's websocket.

    :ivar kind: how it comes back.
    :ivar closes: the closes that this leads to, as (code, initiator).
    """

    what: str
    shard: int
    kind: str
    closes: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class Happening:
    """An event of Discord's, and what the bot's listeners do."""

    event: str
    fields: tuple[tuple[str, Any], ...] = ()


Step = Use | Call | Trouble | Happening


def _used(how: str, prefix: str, names: typing.Iterable[str] = tuple(BEHAVIOURS)) -> list[Use]:
    """Each behaviour, used in one way."""
    behaviours = [BEHAVIOURS[name] for name in names if how != "prefix" or not BEHAVIOURS[name].only_interactions]
    return [
        Use(
            how,
            f"{prefix}{each.name}",
            each.outcome,
            _error(how, each),
            each.answer,
            each.plan,
            each.late,
            each.seconds,
        )
        for each in behaviours
    ]


def _error(how: str, behaviour: Behaviour) -> str:
    """discord.py swallows the cancellation of a prefix command."""
    return "" if how == "prefix" and behaviour.outcome == "cancelled" else behaviour.error


def _asked(use: Use) -> list[Use]:
    """A modal is shown before it can be submitted."""
    return [Use("slash", "ask", options=(("modal", use.name),)), use]


_ODD: Final = (
    # checks, conversions and handlers of slash commands
    [Use("slash", "typed", "user_error", "ValueError", NOBODY, options=(("number", "three"),))],
    [Use("slash", "checked", "rejected", "CheckFailure", NOBODY)],
    [Use("slash", "permitted", "rejected", "MissingPermissions", NOBODY)],
    [Use("slash", "handled", "bot_error", "KeyError", ACCEPTED)],
    [Use("slash", "worse", "bot_error", "KeyError", NOBODY)],
    [Use("slash", "unknown", "not_found", "CommandNotFound", NOBODY, command="other")],
    [Use("slash", "admin unknown", "not_found", "CommandNotFound", NOBODY, command="other")],
    [Use("slash", "guarded sub", "rejected", "CheckFailure", NOBODY)],
    [Use("slash", "answer", "rejected", "", NOBODY, member=BARRED)],
    [Use("slash", "answer", "bot_error", "ArithmeticError", NOBODY, member=CURSED)],
    [Use("slash", "answer", guild=DIRECT)],
    [Use("slash", "crash", "bot_error", "RuntimeError", NOBODY, guild=DIRECT)],
    [Use("slash", "cogged", "bot_error", "LookupError")],
    [Use("user", "user answer", "rejected", "", NOBODY, member=BARRED)],
    [Use("user", "unknown", "not_found", "CommandNotFound", NOBODY, command="other")],
    [Use("message", "unknown", "not_found", "CommandNotFound", NOBODY, command="other")],
    # components
    [Use("component", "answer", "rejected", "", NOBODY, member=BARRED)],
    [Use("component", "choose", options=(("values", ("one",)),))],
    [Use("component", "stopped", answer=NOBODY, handled=False)],
    [Use("component", "listener", answer=ACCEPTED, handled=False)],
    # modals
    _asked(Use("modal", "modal answer", "rejected", "", NOBODY, member=BARRED)),
    [Use("modal", "never shown", answer=NOBODY, handled=False)],
    # autocompletes
    [Use("autocomplete", "suggest", options=(("word", "a"),))],
    [Use("autocomplete", "suggest", "bot_error", "", NOBODY, options=(("word", "crash"),))],
    [Use("autocomplete", "suggest", "rejected", "", NOBODY, options=(("word", "a"),), member=BARRED)],
    [Use("autocomplete", "suggest", "discord_error", "", REFUSED, options=(("word", "a"),), late=4.0)],
    [Use("autocomplete", "suggest", "bot_error", "", REFUSED, ((CALLBACK, _again),), options=(("word", "a"),))],
    [Use("autocomplete", "suggest", "bot_error", "", NOBODY, options=(("word", "a"),), member=CURSED)],
    [Use("autocomplete", "unknown", "not_found", "", NOBODY, options=(("word", "a"),))],
    # prefix commands
    [Use("prefix", "need", "user_error", "MissingRequiredArgument")],
    [Use("prefix", "need three", "user_error", "BadArgument", command="need")],
    [Use("prefix", "need 3", command="need")],
    [Use("prefix", "strict 1 2", "user_error", "TooManyArguments", command="strict")],
    [Use("prefix", 'quoted "a"b', "user_error", "InvalidEndOfQuotedStringError", command="quoted")],
    [Use("prefix", "converted x", "user_error", "ZeroDivisionError", command="converted")],
    [Use("prefix", "checked", "rejected", "CheckFailure")],
    [Use("prefix", "permitted", "rejected", "MissingPermissions", member=3)],
    [Use("prefix", "disabled", "rejected", "DisabledCommand")],
    [Use("prefix", "owned", "rejected", "NotOwner", member=3)],
    [Use("prefix", "handled", "bot_error", "KeyError")],
    [Use("prefix", "worse", "bot_error", "KeyError")],
    [Use("prefix", "hooked", "bot_error", "ArithmeticError")],
    [Use("prefix", "in-cog", "rejected", "CheckFailure", member=BARRED)],
    [Use("prefix", "in-cog", "bot_error", "LookupError")],
    [Use("prefix", "unknown", "not_found", "CommandNotFound", command="other")],
    [Use("prefix", "tool use")],
    [Use("prefix", "tool", "ok")],
    # hybrids both ways, and what keeps them from running
    [Use("slash", "hy-checked", "rejected", "CheckFailure", NOBODY)],
    [Use("prefix", "hy-checked", "rejected", "CheckFailure")],
    [Use("slash", "hy-typed", "user_error", "BadArgument", NOBODY, options=(("word", "x"),))],
    [Use("prefix", "hy-typed x", "user_error", "BadArgument", command="hy-typed")],
)
"""What is not the same for all that can be used; each is one or more steps that belong together."""

_COOLED: Final = (
    [Use("slash", "cooled"), Use("slash", "cooled", "rejected", "CommandOnCooldown", NOBODY)],
    [Use("prefix", "cooled"), Use("prefix", "cooled", "rejected", "CommandOnCooldown")],
)
"""Those that a user can use once an hour."""

_CALLS: Final = (
    Call("send"),
    Call("upload"),
    Call("history"),
    Call("edit_and_delete"),
    Call("react"),
    Call("pin"),
    Call("type"),
    Call("members"),
    Call("roles"),
    Call("threads"),
    Call("own_commands"),
    Call("cdn"),
    Call("hook"),
    Call("hook", ((WEBHOOK, _limited(0.02, "user")),)),
    Call("user", (("GET /users/{user_id}", _limited(0.02, "user")),)),
    Call("user", (("GET /users/{user_id}", _limited(0.02, "user")),) * 2),
    Call("send", ((SEND, _limited(0.02, "shared")),)),
    Call("send", ((SEND, _limited(0.02, "global")),)),
    Call("send", ((SEND, lambda: failure(502)),)),
    Call("send", ((SEND, lambda: failure(500)),)),
    Call("hook", ((WEBHOOK, lambda: failure(504)),)),
    Call("user", (("GET /users/{user_id}", cloudflare),), "HTTPException"),
    Call("user", (("GET /users/{user_id}", lambda: failure(520)),), "DiscordServerError"),
    Call("user", (("GET /users/{user_id}", lambda: error(ApiError(401, 0, "401: Unauthorized"))),), "HTTPException"),
    Call("send", ((SEND, _forbidden),), "Forbidden"),
    Call("send", ((SEND, Cut),), "ServerDisconnectedError"),
    Call("nobody", error="NotFound"),
    Call("nothing", error="HTTPException"),
    Call("held_back", ((SEND, _limited(0.3, "global")),)),
)
HELD_BACK: Final = 2
"""Requests that ``held_back`` makes while the global limit holds."""

_TROUBLES: Final = (
    Trouble("reconnect", 0, "resume", (("4000", "server"),)),
    Trouble("invalidate", 1, "identify", (("1000", "server"),)),
    Trouble("close 4000", 2, "resume", (("4000", "server"),)),
    Trouble("close 4009", 0, "identify", (("4009", "server"), ("1000", "server"))),
    Trouble("drop", 1, "resume", (("1006", "server"),)),
    Trouble("reconnect", 2, "resume", (("4000", "server"),)),
)

_HAPPENINGS: Final = (
    Happening("TYPING_START"),
    Happening("MESSAGE_REACTION_ADD"),
    Happening("GUILD_ROLE_CREATE"),
    Happening("RATE_LIMITED"),
    Happening("PRESENCE_UPDATE"),
)


@dataclasses.dataclass(frozen=True)
class Loop:
    """A ``discord.ext.tasks`` loop that has come to its end, or goes on.

    :ivar ran: iterations that ended; ``failed``: of them, those with an exception; ``overran``: of them, the too long.
    """

    name: str
    seconds: float
    ran: int = 0
    failed: int = 0
    overran: int = 0
    running: bool = False
    dead: bool = False


LOOPS: Final = (
    Loop("Clockwork.steady", 0.05, ran=5),
    Loop("Clockwork.doomed", 0.05, ran=2, failed=1, dead=True),
    Loop("Clockwork.stubborn", 3600.0, ran=2, failed=1, running=True),
    Loop("Clockwork.slow", 0.02, ran=2, overran=2),
    Loop("Clockwork.idle", 60.0),
)


def _spread(block: list[Use], number: int) -> list[Step]:
    """Let a block happen in one of the guilds, and so on one of the shards."""
    return [each if each.guild == DIRECT else dataclasses.replace(each, guild=number % GUILDS) for each in block]


def blocks() -> typing.Iterator[list[Use]]:
    """Each use of the script, with what has to come before it."""
    single = itertools.chain(
        _used("slash", ""),
        _used("slash", "admin user ", GROUPED),
        _used("slash", "hy-", HYBRID),
        _used("user", "user ", MENUS),
        _used("message", "message ", MENUS),
        _used("component", ""),
        _used("component", "dyn:"),
        _used("prefix", ""),
        _used("prefix", "hy-", HYBRID),
    )
    yield from ([each] for each in single)
    yield from (_asked(use) for use in _used("modal", "modal "))
    yield from _ODD


def script(times: int = 2, seed: int = 1) -> tuple[Step, ...]:
    """Everything ``times`` times, in one order that is mixed; what belongs together stays together."""
    numbers = itertools.count()
    mixed: list[list[Step]] = [_spread(block, next(numbers)) for _ in range(times) for block in blocks()]
    mixed += [_spread(block, 0) for block in _COOLED]
    mixed += [[each] for each in (*_CALLS, *_HAPPENINGS)]
    random.Random(seed).shuffle(mixed)
    for number, trouble in enumerate(_TROUBLES, 1):
        mixed.insert(number * len(mixed) // (len(_TROUBLES) + 1), [trouble])
    return tuple(itertools.chain.from_iterable(mixed))
