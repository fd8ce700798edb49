"""App commands: their end is that of ``CommandTree._call``, whatever their error handlers do."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import contextlib
import logging
import math
import typing
import weakref
from types import FunctionType
from typing import Any, ClassVar, Final

import discord

from argus_exporter.discordpy.interactions import InteractionListener
from argus_exporter.discordpy.outcomes import BOT_ERROR, DISCORD_ERROR, OK, outcome_of
from argus_exporter.discordpy.runs import Run

if typing.TYPE_CHECKING:
    from collections.abc import Callable

    from argus_exporter.discordpy.commands import Commands
    from argus_exporter.discordpy.interactions import Interactions, Receipt

_TYPES: Final[dict[object, str]] = {discord.AppCommandType.user: "user", discord.AppCommandType.message: "message"}
"""The types of context menus; what else is called is a slash command."""

_AUTOCOMPLETE: Final = discord.InteractionType.autocomplete

_THEIRS: Final = ("404", "429", "5", "error")
"""How the statuses begin with which Discord refuses an answer for reasons of its own; 404 is 10062, too late."""

_log: Final = logging.getLogger(__name__)


class TreeCommands(InteractionListener):
    """Hooks the command tree: its ``_call``, and ``on_error`` around whatever is there when a command begins.

    :ivar noun: under which what is caught here is counted.
    :ivar tree: the client's command tree; None while there is none.
    :ivar degraded: whether there is no ``_call``; then the public ``on_error`` and ``app_command_completion`` tell.
    """

    noun: ClassVar[str] = "commands"

    def __init__(self, commands: Commands) -> None:
        self.tree: Any = None
        self.degraded = False
        self._commands = commands
        self._interactions: Interactions = commands.view.interactions
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
        self._interactions.listeners.append(self._listener)

    def close(self) -> None:
        """Listen no more."""
        with contextlib.suppress(ValueError):
            self._interactions.listeners.remove(self._listener)

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
        commands, journal, interactions = self._commands, self._commands.view.journal, self._interactions
        runs, notes, settle, ended, autocomplete = (
            commands.runs,
            journal.notes,
            journal.settle,
            self._ended,
            _AUTOCOMPLETE,
        )

        async def call(interaction: Any, *more: Any, **named: Any) -> Any:
            key = interaction.id
            if interaction.type is autocomplete or not commands.active or key in runs:
                return await self._follow(tree, interaction, original(interaction, *more, **named))
            now = interactions.now  # an attribute, no method: called as such
            run = runs[key] = Run(key, interaction, now())
            if commands.entered or tree.on_error is not self._around:
                self._guard("commands", self._enter, tree, run)
            try:
                result = await original(interaction, *more, **named)
            except BaseException as error:
                if runs.pop(key, None) is run:
                    notes.append((ended, run, interaction.command, interaction.command_failed, error, now()))
                    settle()
                raise
            if runs.pop(key, None) is run:
                notes.append((ended, run, interaction.command, interaction.command_failed, None, now()))
                if run.error is not None or len(notes) >= journal.limit:  # an error is told of at once
                    settle()
                run.subject = None  # its memory is used again, and is in the caches then
            return result

        return call

    # ------------------------------------------------------------------------------------- one command

    def _enter(self, tree: Any, run: Run) -> None:
        """A command begins where somebody wants to know it in its own task, or where the user has changed something."""
        if tree.on_error is not self._around:
            self._keep_around(tree)
        if self._commands.entered:
            receipt = self._interactions.receipt_of(run.key)
            if receipt is not None:
                run.date(receipt)
            self._commands.enter(run)

    async def _follow(self, tree: Any, interaction: Any, running: Any) -> Any:
        """Await what is no command of its own, and tell the end of it if it is an autocomplete."""
        is_one = self._commands.active and interaction.type is _AUTOCOMPLETE
        if is_one and tree.on_error is not self._around:
            self._guard("commands", self._keep_around, tree)
        try:
            result = await running
        except BaseException as error:
            if is_one:
                self._guard("commands", self._autocompleted, interaction, error)
            raise
        if is_one:
            self._guard("commands", self._autocompleted, interaction)
        return result

    def _ended(self, note: tuple[object, Run, Any, object, BaseException | None, float]) -> None:
        _, run, command, failed, raised, at = note
        if not run.type:
            receipt = self._interactions.find(run.key)
            if receipt is not None:
                run.date(receipt)
            else:
                run.type = _TYPES.get(getattr(command, "type", None), "slash")
        name = None if command is None else command.qualified_name
        # no exception, and yet it failed: interaction_check said no
        self._commands.end(run, name, raised, "rejected" if failed else OK, at)
        if run.receipt is not None:
            self._interactions.end(run.key, run.outcome, run.receipt, None, at)

    def fail(self, interaction: Any, error: BaseException) -> None:
        """discord.py tells of a command's error, which by the public way is its end, though it may be told again."""
        if not self.degraded:
            self._commands.fail(interaction.id, error)
        elif self._told.get(id(error)) is not error:
            self._told[id(error)] = error  # by its id: the user's may have no hash
            self._completed(interaction, error=error)

    def _completed(self, interaction: Any, *_: object, error: BaseException | None = None) -> None:
        if self._commands.active:
            view = self._commands.view
            view.journal.settle()
            run = Run(interaction.id, interaction, math.nan)
            self._ended((None, run, interaction.command, interaction.command_failed, error, view.interactions.now()))

    def _autocompleted(self, interaction: Any, raised: BaseException | None = None) -> None:
        interactions = self._interactions
        receipt = interactions.receipt_of(interaction.id)
        interactions.end(interaction.id, self._outcome(interaction, receipt, raised), receipt)

    def _outcome(self, interaction: Any, receipt: Receipt | None, raised: BaseException | None) -> str:
        """How an autocomplete ended: discord.py swallows what it raises; but one that did not fail has answered."""
        if raised is not None:
            return outcome_of(raised, self._commands.rules)
        if interaction.command_failed:  # interaction_check said no
            return "rejected"
        if interaction.response.is_done():
            return OK
        return DISCORD_ERROR if receipt is not None and receipt.refused.startswith(_THEIRS) else BOT_ERROR
