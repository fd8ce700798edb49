"""The hot path: what every gateway dispatch passes through.

``DiscordWebSocket._dispatch`` is called with ``socket_event_type`` and the dispatch's name before anything else is done
with it (and, when the user turned debug events on, with raw frames, which pass untouched). The closure that takes its
place adds to two ints and calls through. A bare discord.py spends about 2 µs in that call, although hardly any bot
listens: where nobody does, it is left out, which pays for the counting.
"""

from __future__ import annotations

import logging
import typing
from typing import Any, Final

import discord
from discord.ext import commands

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from argus_exporter.instruments import CounterCell

KNOWN_VERSIONS: Final = ((2, 4), (2, 5), (2, 6), (2, 7))
"""Minor versions of discord.py whose dispatch was read and is tested."""


def counting(
    call: Callable[..., Any], events: Mapping[str, CounterCell], shard: CounterCell, rare: Callable[[object], None]
) -> Callable[..., Any]:
    """Count each dispatch, and call through.

    :param call: what was there.
    :param events: the cells by name; what is not in it, and what is no name at all, goes to ``rare``.
    :param rare: must not raise.
    """

    def dispatch(name: str, event: Any, *more: Any) -> Any:
        if name == "socket_event_type":
            try:
                events[event].value += 1
            except Exception:  # noqa: BLE001 - an odd frame's name may be of any type
                rare(event)
            shard.value += 1
            return call(name, event)  # as discord.py calls it: to hand on *more takes a tenth of a microsecond
        return call(name, event, *more)

    return dispatch


def skipping(
    client: Any,
    call: Callable[..., Any],
    events: Mapping[str, CounterCell],
    shard: CounterCell,
    rare: Callable[[object], None],
) -> Callable[..., Any]:
    """Count each dispatch, and call through only where somebody would hear it. See :func:`may_skip`."""
    waiters: Mapping[str, object] = client._listeners
    listeners: Mapping[str, object] = getattr(client, "extra_events", {})
    is_logged = logging.getLogger("discord.client").isEnabledFor
    base: Any = discord.Client
    plain: object = base.dispatch

    def dispatch(name: str, event: Any, *more: Any) -> Any:
        if name == "socket_event_type":
            try:
                events[event].value += 1
            except Exception:  # noqa: BLE001 - an odd frame's name may be of any type
                rare(event)
            shard.value += 1
            if not (
                name in waiters
                or listeners.get("on_socket_event_type")
                or hasattr(client, "on_socket_event_type")
                or is_logged(10)
                or base.dispatch is not plain
            ):
                return None
            return call(name, event)
        return call(name, event, *more)

    return dispatch


def checking(events: Mapping[str, CounterCell], rare: Callable[[object], None]) -> Callable[..., bool]:
    """Make a check for ``wait_for("socket_event_type")`` that counts, never raises and never says yes."""

    def check(event: Any) -> bool:
        try:
            events[event].value += 1
        except Exception:  # noqa: BLE001 - an odd frame's name may be of any type
            rare(event)
        return False

    return check


def may_skip(client: discord.Client, call: object) -> bool:
    """Whether ``call`` is discord.py's own dispatch, of a version we know: it does nothing where nobody listens.

    Whoever has overridden ``dispatch`` in a class or on the instance, patched discord.py's, or answers for any
    attribute by ``__getattr__``, is called as ever.
    """
    kind: Any = type(client)
    bases: tuple[type, ...] = kind.__mro__
    ours: tuple[Any, ...] = (discord.Client, commands.bot.BotBase)
    return (
        is_known_version()
        and getattr(call, "__self__", None) is client
        and hasattr(client, "_listeners")
        and "dispatch" not in vars(client)
        and all(base in ours for base in bases if "dispatch" in vars(base))
        and all(is_of_discord(base.dispatch) for base in ours)
        and not any("__getattr__" in vars(base) for base in bases)
        and kind.__getattribute__ is object.__getattribute__
    )


def is_known_version() -> bool:
    """Whether this discord.py's gateway is one that was read and tested."""
    return (discord.version_info.major, discord.version_info.minor) in KNOWN_VERSIONS


def is_of_discord(function: object) -> bool:
    """Whether a function stands in discord.py's own source, and was not patched by somebody."""
    code = getattr(function, "__code__", None)
    own = {discord.client.__file__, commands.bot.__file__}
    return code is not None and code.co_filename in own
