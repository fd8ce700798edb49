"""The commands that there are."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import time
import typing
from itertools import islice
from typing import Any, Final

import discord
from discord import app_commands

from argus_exporter.catalogue import COMMAND_TYPES

if typing.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

RECOUNT_SECONDS: Final = 60.0
"""How often at most the commands are walked over where none is known to have come or gone."""

WALKED: Final = 10_000
"""Commands that are walked over at most: a bot may have those of its own in each guild."""


class Registered:
    """Names of the registered commands by type, kept while the numbers of commands are the same, for a minute."""

    def __init__(self) -> None:
        self._names: Mapping[str, frozenset[str]] = {}
        self._numbers: tuple[int, ...] = ()
        self._walked_at = 0.0

    def look(self, tree: Any, bot: Any) -> Mapping[str, frozenset[str]]:
        """Walk over them if that is due.

        :param tree: the command tree, or None.
        :param bot: the client if it has prefix commands, or None.
        """
        now, numbers = time.perf_counter(), _numbers(tree, bot)
        if numbers != self._numbers or now - self._walked_at >= RECOUNT_SECONDS:
            self._numbers, self._walked_at = numbers, now
            names = _names(tree, bot)
            if names != self._names:
                self._names = names
        return self._names


def _numbers(tree: Any, bot: Any) -> tuple[int, ...]:
    """What changes when a command comes or goes, but within a group, or in a guild that has others of its own."""
    tables = (getattr(tree, name, ()) for name in ("_global_commands", "_guild_commands", "_context_menus"))
    return (*map(len, tables), 0 if bot is None else len(bot.all_commands))


def _names(tree: Any, bot: Any) -> Mapping[str, frozenset[str]]:
    names: dict[str, set[str]] = {kind: set() for kind in COMMAND_TYPES}
    for kind, command in islice(_walk(tree, bot), WALKED):
        names[kind].add(command.qualified_name)
    return {kind: frozenset(each) for kind, each in names.items()}


def _walk(tree: Any, bot: Any) -> Iterator[tuple[str, Any]]:
    if bot is not None:
        yield from (("prefix", command) for command in bot.walk_commands())
    if tree is None:
        return
    for guild in (None, *map(discord.Object, getattr(tree, "_guild_commands", ()))):
        for command in tree.walk_commands(guild=guild):
            if not isinstance(command, app_commands.Group):
                yield "slash", command
    menus: Mapping[Any, app_commands.ContextMenu] = getattr(tree, "_context_menus", {})
    yield from ((menu.type.name, menu) for menu in menus.values())
