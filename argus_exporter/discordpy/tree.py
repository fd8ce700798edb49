"""App commands: their end is that of ``CommandTree._call``, whatever their error handlers do."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import contextlib
import logging
import math
import time
import typing
import weakref
from types import FunctionType
from typing import Any, Final

import discord

from argus_exporter.discordpy.interactions import InteractionListener
from argus_exporter.discordpy.outcomes import BOT_ERROR, DISCORD_ERROR, OK, outcome_of

if typing.TYPE_CHECKING:
    from collections.abc import Callable

    from argus_exporter.discordpy.commands import Commands
    from argus_exporter.discordpy.interactions import Receipt

_TYPES: Final = {2: "user", 3: "message"}
"""The types of app commands as Discord numbers them; what else is called is a slash command."""

_AUTOCOMPLETE: Final = discord.InteractionType.autocomplete

_THEIRS: Final = ("404", "429", "5", "error")
"""How the statuses begin with which Discord refuses an answer for reasons of its own; 404 is 10062, too late."""

_log: Final = logging.getLogger(__name__)


class TreeCommands(InteractionListener):
    """Hooks the command tree: its ``_call``, and ``on_error`` around whatever is there when a command begins.

    :ivar tree: the client's command tree; None while there is none.
    :ivar degraded: whether there is no ``_call``; then the public ``on_error`` and ``app_command_completion`` tell.
    """

    def __init__(self, commands: Commands) -> None:
        self.tree: Any = None
        self.degraded = False
        self._commands = commands
        self._guard = commands.view.guard
        self._state: Any = None
        self._listener: InteractionListener = self
        self._parked = False
        self._around: Callable[..., Any] | None = None
        self._told: weakref.WeakValueDictionary[int, BaseException] = weakref.WeakValueDictionary()
        self._ours: weakref.WeakSet[Callable[..., Any]] = weakref.WeakSet()

    def open(self, state: Any) -> None:
        """Hook the tree, and listen to interactions: for their receipts, and for a tree that comes later."""
        self._state = state
        self.check()
        if self.tree is not None and not self.degraded:
            self._listener = InteractionListener()  # wants the receipts to be there, and hears nothing
        self._commands.view.interactions.listeners.append(self._listener)

    def close(self) -> None:
        """Listen no more."""
        with contextlib.suppress(ValueError):
            self._commands.view.interactions.listeners.remove(self._listener)

    def received(self, receipt: Receipt) -> None:  # noqa: ARG002
        """An interaction came, which the tree has not seen yet."""
        self.check()

    def park(self) -> None:
        """Hear of what completes where that is all there is to hear."""
        self._parked = True
        if self.degraded:
            self._commands.view.on("app_command_completion", self._completed)

    def check(self) -> None:
        """Hook the client's command tree if it is new."""
        tree = getattr(self._state, "_command_tree", None)
        if tree is not None and tree is not self.tree:
            self.tree = tree
            self._hook(tree)
        elif self.degraded:
            self._keep_around(tree)

    def _hook(self, tree: Any) -> None:
        original = getattr(tree, "_call", None)
        if callable(original):
            self._commands.patches.set(tree, "_call", self._calling(tree, original))
        elif not self.degraded:
            self.degraded = True
            _log.warning("discord.py %s has no CommandTree._call: following by the public way", discord.__version__)
            if self._parked:
                self.park()
        self._keep_around(tree)

    def _keep_around(self, tree: Any) -> None:
        """Wrap ``on_error`` if the user has replaced it; theirs is what is given back at the end."""
        original = tree.on_error
        if not isinstance(original, FunctionType) or original not in self._ours:  # theirs may have no hash
            self._around = self._erring(original)
            self._ours.add(self._around)
            self._commands.patches.set(tree, "on_error", self._around)

    def _erring(self, original: Callable[..., Any]) -> Callable[..., Any]:
        async def on_error(interaction: Any, error: Any, *more: Any, **named: Any) -> Any:
            self._guard("commands", self.fail, interaction, error)
            return await original(interaction, error, *more, **named)

        return on_error

    def _calling(self, tree: Any, original: Callable[..., Any]) -> Callable[..., Any]:
        # by hand what guard would do, for a tenth of what all of this costs
        begin, end, note_error = self._begin, self._end, self._commands.view.note_error

        async def call(interaction: Any, *more: Any, **named: Any) -> Any:
            try:
                begin(tree, interaction)
            except Exception as error:  # noqa: BLE001 - nothing of ours may raise into the bot
                note_error("commands", error)
            try:
                result = await original(interaction, *more, **named)
            except BaseException as error:
                self._guard("commands", end, interaction, error)
                raise
            try:
                end(interaction)
            except Exception as error:  # noqa: BLE001
                note_error("commands", error)
            return result

        return call

    # ------------------------------------------------------------------------------------- one command

    def _begin(self, tree: Any, interaction: Any) -> None:
        if not self._commands.active:
            return
        if tree.on_error is not self._around:
            self._keep_around(tree)
        if interaction.type is _AUTOCOMPLETE:
            return
        receipt = self._commands.view.interactions.receipt_of(interaction.id)
        if receipt is None:
            self._begin_at(interaction, time.perf_counter())
        else:
            self._commands.begin(interaction, receipt.type, receipt.received, receipt)

    def _begin_at(self, interaction: Any, began: float) -> None:
        self._commands.begin(interaction, _TYPES.get(interaction.data.get("type"), "slash"), began)

    def _end(self, interaction: Any, raised: BaseException | None = None) -> None:
        if interaction.type is _AUTOCOMPLETE:
            self._commands.view.interactions.end(interaction.id, self._autocompleted(interaction, raised))
            return
        run = self._commands.runs.pop(id(interaction), None)
        if run is not None:
            # no exception, and yet it failed: interaction_check said no
            silent = "rejected" if interaction.command_failed else OK
            command = interaction.command
            name = None if command is None else command.qualified_name
            outcome = self._commands.end(run, name, raised, silent)
            self._commands.view.interactions.end(interaction.id, outcome, run.receipt)

    def fail(self, interaction: Any, error: BaseException) -> None:
        """discord.py tells of a command's error, which by the public way is its end, though it may be told again."""
        if not self.degraded:
            self._commands.fail(interaction, error)
        elif self._told.get(id(error)) is not error:
            self._told[id(error)] = error  # by its id: the user's may have no hash
            self._completed(interaction, error=error)

    def _completed(self, interaction: Any, *_: object, error: BaseException | None = None) -> None:
        receipt = self._commands.view.interactions.receipt_of(interaction.id)
        if receipt is None:
            self._begin_at(interaction, math.nan)
        else:
            self._commands.begin(interaction, receipt.type, receipt.received, receipt)
        self._end(interaction, error)

    def _autocompleted(self, interaction: Any, raised: BaseException | None) -> str:
        """discord.py swallows what an autocomplete raises; but one that did not fail has answered."""
        if raised is not None:
            return outcome_of(raised, self._commands.rules)
        if interaction.command_failed:  # interaction_check said no
            return "rejected"
        if interaction.response.is_done():
            return OK
        receipt = self._commands.view.interactions.receipt_of(interaction.id)
        return DISCORD_ERROR if receipt is not None and receipt.refused.startswith(_THEIRS) else BOT_ERROR
